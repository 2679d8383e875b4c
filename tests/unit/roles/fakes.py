"""A ledger and a network in memory, with seeded delays and losses, for services that run on trio's mock clock."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio
import trio.lowlevel

from shoal.core import calls
from shoal.core.events import TaskCreated
from shoal.core.ids import Address
from shoal.errors import LedgerUnreachable
from shoal.ports import LoggedEvent, Message

START_NS = 1_800_000_000 * 10**9


class FakeLedger:
    """One topic and some events in consensus order; every node has its own view of it through `port`."""

    def __init__(self, seed: int, *, lost: float = 0.0, unreachable: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.log: list[Message] = []
        self.events: list[LoggedEvent] = []
        self.lost, self.unreachable = lost, unreachable
        self.submitted = 0

    def now_ns(self) -> int:
        return START_NS + int(trio.current_time() * 10**9)

    def created(self, event: TaskCreated) -> LoggedEvent:
        logged = LoggedEvent(self.now_ns(), 0, event, "tx")
        self.events.append(logged)
        return logged

    def happen(self, event: object) -> None:
        """An event of the contract takes place now."""
        self.events.append(LoggedEvent(self._next_ns(), 0, event, "tx"))  # type: ignore[arg-type]

    def _next_ns(self) -> int:
        newest = max([m.time_ns for m in self.log] + [e.time_ns for e in self.events], default=0)
        return max(self.now_ns(), newest + 1)

    async def submit(self, topic: int, data: bytes) -> None:
        await trio.sleep(self.random.uniform(0.05, 3.0))
        if self.random.random() < self.unreachable:
            raise LedgerUnreachable("away")
        self.submitted += 1
        if self.random.random() >= self.lost:
            self.log.append(Message(self._next_ns(), len(self.log) + 1, "0.0.5", data))
        await trio.sleep(self.random.uniform(0.0, 0.5))

    async def watermark(self) -> int:
        await trio.sleep(self.random.uniform(0.0, 0.2))
        return self.now_ns() - 10**8

    async def messages(self, topic: int, *, after_ns: int, until_ns: int) -> Sequence[Message]:
        await trio.sleep(0.01)
        return [m for m in self.log if after_ns < m.time_ns <= until_ns]

    async def events_of(self, *, after_ns: int, until_ns: int) -> Sequence[LoggedEvent]:
        await trio.sleep(0.01)
        return [e for e in self.events if after_ns < e.time_ns <= until_ns]

    def port(self, address: Address) -> LedgerPort:
        return LedgerPort(self, address)


class LedgerPort:
    """What one account sees; only what following a task needs."""

    account, contract = "0.0.5", "0.0.1001"

    def __init__(self, ledger: FakeLedger, address: Address) -> None:
        self._ledger, self.address = ledger, address
        self.calls: list[calls.Call] = []

    async def submit(self, topic: int, data: bytes) -> None:
        await self._ledger.submit(topic, data)

    async def watermark(self) -> int:
        return await self._ledger.watermark()

    async def messages(self, topic: int, *, after_ns: int, until_ns: int) -> Sequence[Message]:
        return await self._ledger.messages(topic, after_ns=after_ns, until_ns=until_ns)

    async def events(self, *, after_ns: int, until_ns: int, task: object = None) -> Sequence[LoggedEvent]:
        return await self._ledger.events_of(after_ns=after_ns, until_ns=until_ns)


class FakeNetwork:
    """Gossip between the nodes of one test."""

    def __init__(self, seed: int, *, loss: float = 0.0) -> None:
        self.random, self.loss = random.Random(seed), loss
        self.inboxes: list[tuple[str, str, trio.MemorySendChannel[tuple[str, bytes]]]] = []
        self.peer_id = "self"

    async def publish(self, topic: str, data: bytes) -> None:
        for _, wanted, inbox in self.inboxes:
            if wanted == topic and self.random.random() >= self.loss:
                inbox.send_nowait(("peer", data))
        await trio.lowlevel.checkpoint()

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[AsyncIterator[tuple[str, bytes]]]:
        send, receive = trio.open_memory_channel[tuple[str, bytes]](10_000)
        row = ("peer", topic, send)
        self.inboxes.append(row)
        try:
            async with receive:
                yield receive
        finally:
            self.inboxes.remove(row)


class MemoryStore:
    """Survives a node's crash, like a disk."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], bytes] = {}

    def put(self, table: str, key: str, value: bytes) -> None:
        self.rows[table, key] = value

    def get(self, table: str, key: str) -> bytes | None:
        return self.rows.get((table, key))

    def items(self, table: str) -> Sequence[tuple[str, bytes]]:
        return [(key, value) for (name, key), value in sorted(self.rows.items()) if name == table]

    def delete(self, table: str, key: str) -> None:
        self.rows.pop((table, key), None)
