"""A desk over the world of fakes: what the Python API has under it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from tests.unit.roles.fakes import LedgerPort
from tests.unit.roles.world import World

from shoal.client import prepare
from shoal.client.purchase import Report
from shoal.client.session import home_of
from shoal.core.entries import Place
from shoal.core.ids import TaskId
from shoal.core.money import Tinybar
from shoal.core.task import State
from shoal.ports import Liabilities, Movement
from shoal.sdk.net import Net
from shoal.settings import Settings
from shoal.testing.follower import CONTRACT, NETWORK


class FullPort(LedgerPort):
    """An account that also makes topics, and has money."""

    hbar = 100

    async def create_topic(self, memo: str) -> int:
        await trio.sleep(0.01)
        return 8

    async def balance(self, account: str | None = None) -> Tinybar:
        return Tinybar(self.hbar * 10**8)

    async def liabilities(self) -> Liabilities:
        return Liabilities(Tinybar(0), Tinybar(0), Tinybar(0))

    async def movements(self, *, after_ns: int, until_ns: int, account: str | None = None) -> Sequence[Movement]:
        return [Movement(after_ns + 1, "tx", "create", "SUCCESS", (), self.account, Tinybar(7))]


class FakeDesk:
    """One party of a world; its directory holds what the world's task was prepared with."""

    def __init__(self, w: World, name: str = "client") -> None:
        self.w = w
        self.settings = Settings(dir=w.dir / "desk", network="devnet", contract_id=CONTRACT, poll_s=0.1)
        self.ledger: Any = FullPort(w.ledger, w.keys[name].address)
        self.network: Any = w.peer(name)
        self.keys, self.store = w.keys[name], w.stores[name]
        self.transfer = w.storage
        home = home_of(self.settings, w.task)
        home.mkdir(parents=True)
        (home / prepare.DOCUMENT).write_bytes(b"{}")
        self.store.put("secrets", w.task.hex(), w.secrets.to_bytes())
        self.store.put("manifests", w.task.hex(), w.manifest.to_bytes())

    def place(self, task: TaskId) -> Place:
        return Place(NETWORK, CONTRACT, task)

    def blobs(self) -> Any:
        return self.w.storage


def report_of(state: State, path: Path = Path("w")) -> Report:
    return Report(state.place.task.hex(), str(path), "00", state.round - 1, "accuracy", 0.9, 0.1, None, 1, 2, 3)


@asynccontextmanager
async def opened(desk: FakeDesk, **options: Any) -> AsyncIterator[Net]:
    async with trio.open_nursery() as nursery:
        yield Net(desk, nursery, **options)
        nursery.cancel_scope.cancel()
