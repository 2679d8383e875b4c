"""The feed of events: each once and in order, whoever answers and however often the node is started again."""

from __future__ import annotations

import random

import pytest
import trio
import trio.testing

from shoal.core import events as ev
from shoal.core.ids import Address
from shoal.core.money import Tinybar
from shoal.errors import LedgerUnreachable
from shoal.ports import LoggedEvent
from shoal.roles.feed import OVERLAP_NS, MarketFeed

from .fakes import SECOND_NS, START_NS, MemoryStore


class Replicas:
    """A ledger that gets an event now and then, read through machines that are behind, busy, or say things twice."""

    def __init__(self, seed: int, lags_s: list[float]) -> None:
        self.random, self.lags_s = random.Random(seed), lags_s
        self.all: list[LoggedEvent] = []

    def now_ns(self) -> int:
        return START_NS + int(trio.current_time() * SECOND_NS)

    def happen(self) -> None:
        for index in range(self.random.randint(1, 3)):
            event = ev.StakeDeposited(Address(bytes(20)), Tinybar(len(self.all)))
            self.all.append(LoggedEvent(self.now_ns(), index, event, "tx"))

    def known_ns(self) -> int:
        if self.random.random() < 0.2:
            raise LedgerUnreachable("HTTP 429")
        return self.now_ns() - int(self.random.choice(self.lags_s) * SECOND_NS)

    async def watermark(self) -> int:
        await trio.sleep(0.01)
        return self.known_ns()

    async def events(self, *, after_ns: int, until_ns: int) -> list[LoggedEvent]:
        await trio.sleep(self.random.uniform(0.0, 2.0))
        until_ns = min(until_ns, self.known_ns())
        return [each for each in self.all if after_ns < each.time_ns <= until_ns]


@pytest.mark.parametrize("seed", range(10))
async def test_each_event_once_whatever_happens(seed: int, autojump_clock: trio.testing.MockClock) -> None:
    ledger, store = Replicas(seed, [0.0, 1.0, 20.0]), MemoryStore()
    given: list[LoggedEvent] = []
    feed = MarketFeed(ledger, store, "market")  # type: ignore[arg-type]
    restarts = 0
    for turn in range(400):
        await trio.sleep(ledger.random.uniform(0.1, 1.0))
        if turn < 300 and ledger.random.random() < 0.5:
            ledger.happen()
        if ledger.random.random() < 0.1:
            feed, restarts = MarketFeed(ledger, store, "market"), restarts + 1  # type: ignore[arg-type]
        try:
            given += await feed.read()
            feed.commit()
        except LedgerUnreachable:
            continue
    assert restarts > 10 and len(ledger.all) > 100
    assert sorted(given, key=lambda each: (each.time_ns, each.index)) == ledger.all


async def test_who_is_killed_before_it_acted_is_told_again(autojump_clock: trio.testing.MockClock) -> None:
    ledger, store = Replicas(0, [0.0]), MemoryStore()
    ledger.random.random = lambda: 1.0  # type: ignore[method-assign]
    ledger.happen()
    await trio.sleep(1)
    first = await MarketFeed(ledger, store, "market").read()  # type: ignore[arg-type]
    again = MarketFeed(ledger, store, "market")  # type: ignore[arg-type]
    assert await again.read() == first == ledger.all
    again.commit()
    assert await MarketFeed(ledger, store, "market").read() == []  # type: ignore[arg-type]
    assert await MarketFeed(ledger, store, "another").read() == ledger.all  # type: ignore[arg-type]


async def test_a_restart_reads_no_more_than_the_overlap(autojump_clock: trio.testing.MockClock) -> None:
    ledger, store = Replicas(0, [0.0]), MemoryStore()
    ledger.random.random = lambda: 1.0  # type: ignore[method-assign]
    ledger.happen()
    asked: list[int] = []
    events = ledger.events

    async def spied(*, after_ns: int, until_ns: int) -> list[LoggedEvent]:
        asked.append(after_ns)
        return await events(after_ns=after_ns, until_ns=until_ns)

    ledger.events = spied  # type: ignore[method-assign]
    await trio.sleep(10_000)
    feed = MarketFeed(ledger, store, "market")  # type: ignore[arg-type]
    assert len(await feed.read()) == len(ledger.all)
    feed.commit()
    end = feed.until_ns
    await MarketFeed(ledger, store, "market").read()  # type: ignore[arg-type]
    assert asked == [0, end - OVERLAP_NS] or asked == [0]
    await trio.sleep(5)
    await MarketFeed(ledger, store, "market").read()  # type: ignore[arg-type]
    assert asked[-1] == end - OVERLAP_NS
