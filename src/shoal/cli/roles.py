"""Nodes by their role, as `shoal node run` and `shoal shell` open them: one table, a line for each role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import trio

from shoal import node as composition
from shoal.cli.confirm import confirm_on_mainnet
from shoal.core.money import format_hbar
from shoal.errors import UsageError
from shoal.node import Node
from shoal.ports import Network
from shoal.settings import Settings
from shoal.shell.station import Station


@dataclass(frozen=True)
class Opened:
    """A node that is open in this process.

    Args:
        run: what it does by itself, until cancelled.
        station: what commands act on.
        node: None for a bootstrap node, which has no account.
        told: what else is said once it is open, by name.
    """

    role: str
    network: Network
    station: Station
    node: Node | None = None
    run: Callable[[], Awaitable[None]] = field(default=trio.sleep_forever)
    told: Mapping[str, str] = field(default_factory=dict)


class Worker(Protocol):
    """A service that earns: a trainer, a validator."""

    async def run(self) -> None: ...


Opener = Callable[[Settings], AbstractAsyncContextManager[Opened]]


@asynccontextmanager
async def _bootstrap(settings: Settings) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(composition.open_bootstrap(settings))
        store = stack.enter_context(composition.open_store(settings))
        station = await stack.enter_async_context(Station.open("bootstrap", settings, network, store))
        yield Opened("bootstrap", network, station)


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[Opened]:
    from shoal.api.server import station_of  # it knows models and data, which other roles do without
    from shoal.api.service import Service

    async with composition.open_node(settings, roles=["client"]) as node, Service.open(node) as service:
        async with station_of(service) as station:
            yield Opened("client", node.network, station, node)


@asynccontextmanager
async def _worker(role: str, make: Callable[[Node], Worker], settings: Settings) -> AsyncIterator[Opened]:
    async with composition.open_node(settings, roles=[role]) as node:
        async with Station.open(role, settings, node.network, node.store, desk=node) as station:
            yield Opened(role, node.network, station, node, make(node).run)


@asynccontextmanager
async def _validator(settings: Settings) -> AsyncIterator[Opened]:
    async with composition.open_node(settings, roles=["validator"]) as node:
        async with Station.open("validator", settings, node.network, node.store, desk=node) as station:
            service = composition.validator(node)
            joined = await service.join()
            told = {"locked": format_hbar(joined.stake), "pool": f"{joined.pool} validators"}
            yield Opened("validator", node.network, station, node, service.run, told)


ROLES: dict[str, Opener] = {
    "bootstrap": _bootstrap,
    "client": _client,
    "trainer": partial(_worker, "trainer", composition.trainer),
    "validator": _validator,
}


def opener_of(role: str) -> Opener:
    """How a node of a role is opened.

    Raises:
        UsageError: SHOAL-U01, there is no such role.
    """
    if role not in ROLES:
        raise UsageError(f"there is no role {role!r}", code="SHOAL-U01", hint=f"one of {', '.join(ROLES)}")
    return ROLES[role]


def confirm_role(settings: Settings, role: str, *, yes: bool) -> None:
    """On mainnet a role that earns stakes real money, and pays fees as it goes."""
    if role == "validator":
        stake = format_hbar(settings.validator_stake_tinybar)
        confirm_on_mainnet(settings, f"lock up to {stake} as a validator, and pay bonds and fees", yes=yes)
    elif role == "trainer":
        stake = format_hbar(settings.stake_tinybar)
        confirm_on_mainnet(settings, f"register with a stake of {stake}, and pay fees for every task", yes=yes)
