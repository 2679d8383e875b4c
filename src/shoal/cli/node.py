"""`shoal node run`: one node in the foreground."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from shoal import node as composition
from shoal.cli import output
from shoal.cli.confirm import confirm_on_mainnet
from shoal.core.money import format_hbar
from shoal.errors import UsageError
from shoal.ports import Network
from shoal.settings import Settings


async def run_node(settings: Settings, role: str, *, yes: bool, as_json: bool) -> None:
    """Run until SIGTERM or Ctrl-C."""
    runners = {"bootstrap": _bootstrap, "trainer": _trainer}
    if role not in runners:
        raise UsageError(f"there is no role {role!r}", code="SHOAL-U01", hint=f"one of {', '.join(runners)}")
    if role == "trainer":
        stake = format_hbar(settings.stake_tinybar)
        confirm_on_mainnet(settings, f"register with a stake of {stake}, and pay fees for every task", yes=yes)
    async with _until_told():
        await runners[role](settings, as_json)


async def _bootstrap(settings: Settings, as_json: bool) -> None:
    async with composition.open_bootstrap(settings) as network:
        _announce("bootstrap", network, as_json)
        await trio.sleep_forever()


async def _trainer(settings: Settings, as_json: bool) -> None:
    async with composition.open_node(settings, roles=["trainer"]) as node:
        _announce("trainer", node.network, as_json)
        await composition.trainer(node).run()


def _announce(role: str, network: Network, as_json: bool) -> None:
    if as_json:
        output.print_json({"role": role, "peer_id": network.peer_id, "addresses": network.addresses()})
    else:
        output.say(f"{role} {network.peer_id} on {', '.join(network.addresses())}")


@asynccontextmanager
async def _until_told() -> AsyncIterator[None]:
    """SIGTERM ends the node like Ctrl-C does, with everything closed on the way out."""
    async with trio.open_nursery() as nursery:

        async def wait_for_signal() -> None:
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

        nursery.start_soon(wait_for_signal)
        yield
        nursery.cancel_scope.cancel()
