"""`shoal node run`: one node in the foreground."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import trio

from shoal import node as composition
from shoal.cli import output
from shoal.cli.pair import show
from shoal.cli.roles import confirm_role, opener_of
from shoal.errors import UsageError
from shoal.ports import Network
from shoal.settings import Settings

# The API knows models and data: some 200 MiB, which a node that serves nothing does without.
if TYPE_CHECKING:
    from shoal.api.server import CommandServing, Serving


async def run_node(settings: Settings, role: str, *, commands: bool, yes: bool, as_json: bool) -> None:
    """Run until SIGTERM or Ctrl-C.

    Args:
        commands: whether the command port is served; a client serves it in any case, with its API.
    """
    opener_of(role)
    if settings.gateway and role != "client":
        raise UsageError("only a client node is a gateway", code="SHOAL-U99", hint="add --role client")
    confirm_role(settings, role, yes=yes)
    async with until_told():
        if role == "client":
            await _client(settings, as_json)
        else:
            await _other(settings, role, commands=commands, as_json=as_json)


async def _other(settings: Settings, role: str, *, commands: bool, as_json: bool) -> None:
    async with opener_of(role)(settings) as opened, AsyncExitStack() as stack:
        told = dict(opened.told)
        if settings.metrics_listen:
            from shoal.api.server import serving_metrics

            ledger = opened.node.ledger if opened.node else None
            served = serving_metrics(settings.metrics_listen, role, network=opened.network, ledger=ledger)
            told["metrics_url"] = f"{await stack.enter_async_context(served)}/metrics"
        if commands:
            from shoal.api.server import serving_commands

            door = await stack.enter_async_context(serving_commands(opened.station))
            told |= {"command_url": door.command_url, "token_file": str(door.token.path)}
            show_token(door)
        _announce(role, opened.network, as_json, **told)
        await opened.run()


async def _client(settings: Settings, as_json: bool) -> None:
    from shoal.api.server import serving

    async with composition.open_node(settings, roles=["client"]) as node:
        async with serving(node, peer_id_of=composition.peer_id_of) as served:
            _announce("client", node.network, as_json, **served_at(served))
            show_token(served)
            show(served.url, served.access.new_code())
            await trio.sleep_forever()


def served_at(served: Serving) -> dict[str, str]:
    """Where a client's API is; the token is named by its file only."""
    return {"url": served.url, "command_url": served.command_url, "token_file": str(served.token.path)}


def show_token(served: Serving | CommandServing) -> None:
    """Once, on the terminal of whoever starts the node for the first time."""
    if served.token.fresh:
        output.say(f"token of the API, shown this once and kept in {served.token.path}:\n{served.token.fresh}")


def _announce(role: str, network: Network, as_json: bool, **more: str) -> None:
    if as_json:
        output.print_json({"role": role, "peer_id": network.peer_id, "addresses": network.addresses(), **more})
    else:
        output.say(f"{role} {network.peer_id} on {', '.join(network.addresses())}")
        for name, value in more.items():
            output.say(f"{name} {value}")


@asynccontextmanager
async def until_told() -> AsyncIterator[None]:
    """SIGTERM ends the node like Ctrl-C does, with everything closed on the way out."""
    async with trio.open_nursery() as nursery:

        async def wait_for_signal() -> None:
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

        nursery.start_soon(wait_for_signal)
        yield
        nursery.cancel_scope.cancel()
