"""Following a task: whatever order, delay or loss, all nodes end with one log, and nobody ever signs a number twice."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio
import trio.lowlevel
import trio.testing

from shoal.core import events as ev
from shoal.core.assign import assign
from shoal.core.auction import Award
from shoal.core.codec import digest
from shoal.core.entries import Entry, Place, parse
from shoal.core.ids import Address, task_id
from shoal.core.manifest import Manifest
from shoal.core.merkle import AwardLeaf
from shoal.core.money import Tinybar
from shoal.core.task import Phase, State, inputs_of
from shoal.errors import LedgerUnreachable
from shoal.ports import LoggedEvent, Message
from shoal.roles.tasklog import TaskLog
from shoal.testing import learning, simulate
from shoal.testing.follower import identity

from .fakes import SECOND_NS, FakeLedger, FakeNetwork, LedgerPort, MemoryStore

MODEL = simulate(0, 3, 6, 4)
CHUNKS, ROUNDS, TRAINERS = 6, 4, 3


class Keys:
    def __init__(self, name: str) -> None:
        self.address, self._key = identity(name)
        self.signing_key = self._key.public_key().public_bytes_raw()
        self.recipient = bytes(32)

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)

    def open(self, envelope: bytes) -> bytes:
        raise NotImplementedError


@dataclass
class World:
    ledger: FakeLedger
    network: FakeNetwork
    manifest: Manifest
    place: Place
    created: object
    stores: dict[str, MemoryStore]

    def tasklog(self, name: str, *, network: bool = True) -> TaskLog:
        keys = Keys(name)
        return TaskLog(
            self.created,  # type: ignore[arg-type]
            self.place,
            ledger=self.ledger.port(keys.address),  # type: ignore[arg-type]
            network=self.network if network else None,  # type: ignore[arg-type]
            keys=keys,
            store=self.stores[name],
            poll_s=0.4,
        )


def world(seed: int, **faults: float) -> World:
    ledger = FakeLedger(seed, lost=faults.get("lost", 0.0), unreachable=faults.get("unreachable", 0.0))
    manifest = MODEL.final.manifest
    assert manifest is not None
    client = Keys("client")
    task = task_id(client.address, manifest.hash)
    plan = MODEL.begin.plan
    created = ledger.created(
        ev.TaskCreated(task, client.address, 7, manifest.hash, client.signing_key, bytes(32), plan, plan.escrow())
    )
    names = ["client", *(f"trainer-{index}" for index in range(TRAINERS))]
    place = Place(manifest.network, manifest.contract, task)
    network = FakeNetwork(seed, loss=faults.get("gossip", 0.0))
    return World(ledger, network, manifest, place, created, {name: MemoryStore() for name in names})


async def run_client(world: World) -> None:
    """From the manifest to the start, by the events that the contract would write."""
    tasklog, me = world.tasklog("client"), Keys("client").address
    trainers = [Keys(f"trainer-{index}") for index in range(TRAINERS)]
    award = Award(tuple(AwardLeaf(each.address, CHUNKS, 0) for each in trainers), Tinybar(900))
    task = world.place.task
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tasklog.run)
        await tasklog.post(me, "manifest", {"manifest": world.manifest.to_bytes()})
        await tasklog.wait_for(lambda t: t.log.manifest is not None)
        world.ledger.happen(ev.Awarded(task, award.root(task), award.unit_price, award.primaries))
        for each in trainers:
            world.ledger.happen(ev.Accepted(task, each.address, each.signing_key, bytes(32), CHUNKS, 0))
        await tasklog.wait_for(lambda t: len(t.log.seats) == TRAINERS)
        holders = [[each.primary, each.backup] for each in assign(tasklog.log.seats, CHUNKS)]
        await tasklog.post(me, "assign", {"holders": holders})
        await tasklog.wait_for(lambda t: bool(t.log.holders))
        for each in trainers:
            world.ledger.happen(ev.TrainerReady(task, each.address))
        world.ledger.happen(ev.Started(task, TRAINERS, TRAINERS, 2))
        await trio.sleep_forever()


async def act(tasklog: TaskLog, me: Address) -> None:
    """Train and aggregate by the optimistic view, as a seat does."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tasklog.run)
        while True:
            change, view = tasklog.change, tasklog.view
            if not await one_duty(tasklog, view, me):
                await change.wait()


async def one_duty(tasklog: TaskLog, view: State, me: Address) -> bool:
    if view.phase is not Phase.RUNNING:
        return False
    for chunk in view.waiting_for():
        holder = view.holder(chunk)
        if holder is not None and holder.trainer == me:
            await trio.sleep(0.2)
            if tasklog.view.round == view.round and tasklog.view.base == view.base:
                await tasklog.post(me, "update", learning.train(view.place.task, view.round, chunk, view.base.state))
            return True
    aggregator = view.aggregator()
    if aggregator is not None and aggregator.trainer == me and view.updates and not view.waiting_for():
        updates = tuple(view.updates[chunk] for chunk in sorted(view.updates))
        state = learning.aggregate(view.base.state, updates)
        body = {
            "round": view.round,
            "state": state,
            "object": digest(b"sealed" + state),
            "inputs": inputs_of(updates),
            "included": [update.chunk for update in updates],
            "rejected": [],
            "loss": 0.5,
            "metric": 0.5,
        }
        await tasklog.post(me, "checkpoint", body)
        return True
    return False


@asynccontextmanager
async def running(world: World) -> AsyncIterator[dict[str, TaskLog]]:
    logs = {name: world.tasklog(name) for name in world.stores if name != "client"}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_client, world)
        for name, tasklog in logs.items():
            nursery.start_soon(act, tasklog, Keys(name).address)
        yield logs
        nursery.cancel_scope.cancel()


def entries(world: World) -> list[Entry]:
    found = [parse(message.data) for message in world.ledger.log]
    return [each for each in found if isinstance(each, Entry)]


def check_chains(world: World) -> None:
    """No number is signed twice: what appears twice is the same entry, sent again."""
    signed: dict[tuple[Address, int], set[bytes]] = defaultdict(set)
    for entry in entries(world):
        signed[entry.author, entry.sequence].add(entry.hash)
    assert all(len(hashes) == 1 for hashes in signed.values())


async def converge(world: World, logs: dict[str, TaskLog]) -> State:
    for tasklog in logs.values():
        assert await tasklog.wait_for(lambda t: t.log.phase is Phase.FINISHED, timeout_s=600)
    await trio.sleep(5)
    reader = world.tasklog("client", network=False)
    until = max(tasklog.log.now_ns for tasklog in logs.values())
    await reader.catch_up()
    for tasklog in logs.values():
        assert tasklog.log.checkpoints == reader.log.checkpoints
        assert tasklog.log.units == reader.log.units
    assert reader.log.now_ns >= until - 10**10
    check_chains(world)
    return reader.log


@pytest.mark.parametrize("seed", range(8))
async def test_all_end_with_one_log_and_say_everything_once(seed: int, autojump_clock: trio.testing.MockClock) -> None:
    w = world(seed)
    async with running(w) as logs:
        final = await converge(w, logs)
        assert sum(final.units.values()) == CHUNKS * ROUNDS
        kinds = [entry.kind for entry in entries(w)]
        assert (kinds.count("update"), kinds.count("checkpoint")) == (CHUNKS * ROUNDS, ROUNDS)
        assert all(not tasklog.outbox for tasklog in logs.values()), "all is in the log"


@pytest.mark.parametrize("seed", range(4))
async def test_without_any_gossip_it_only_takes_longer(seed: int, autojump_clock: trio.testing.MockClock) -> None:
    w = world(seed, gossip=1.0)
    async with running(w) as logs:
        final = await converge(w, logs)
        assert final.round - 1 == ROUNDS


@pytest.mark.parametrize("seed", range(4))
async def test_a_ledger_that_loses_entries_or_is_away_gets_them_again(
    seed: int, autojump_clock: trio.testing.MockClock
) -> None:
    w = world(seed, lost=0.2, unreachable=0.2)
    me = Keys("client").address
    async with trio.open_nursery() as nursery:
        tasklog = w.tasklog("client")
        nursery.start_soon(tasklog.run)
        posted = [await tasklog.post(me, "award", {"leaves": number}) for number in range(12)]
        with trio.fail_after(3_600):
            await tasklog.wait_for(lambda t: t.log.authors[me].sequence == 12)
        nursery.cancel_scope.cancel()
    check_chains(w)
    assert tasklog.log.authors[me].head == posted[-1].hash
    assert w.ledger.submitted >= 12 and not tasklog.outbox


async def test_what_was_signed_before_a_crash_is_sent_after_it(autojump_clock: trio.testing.MockClock) -> None:
    w = world(3)
    me = Keys("client").address
    async with trio.open_nursery() as nursery:
        first = w.tasklog("client")
        nursery.start_soon(first.run)
        entry = await first.post(me, "manifest", {"manifest": w.manifest.to_bytes()})
        nursery.cancel_scope.cancel()  # before consensus
    assert not entries(w)
    async with trio.open_nursery() as nursery:
        second = w.tasklog("client")
        assert second.view.manifest is None or second.view.manifest == w.manifest
        nursery.start_soon(second.run)
        await second.wait_for(lambda t: t.log.manifest is not None)
        after = await second.post(me, "assign", {"holders": []})
        assert (after.sequence, after.previous) == (1, entry.hash)
        await second.wait_for(lambda t: t.log.authors[me].sequence == 2)
        nursery.cancel_scope.cancel()
    assert [each.hash for each in entries(w)] == [entry.hash, after.hash]


# ---------------------------------------------------------------- a mirror of many machines


class Replicas:
    """A `Ledger` port whose reads are answered by machines that are behind by different times, in any order.

    Each knows what the ledger had up to its own time, and says so; but the next question goes to another.
    """

    def __init__(self, port: LedgerPort, lags_s: list[float], seed: int) -> None:
        self._port, self.lags_s, self._random = port, lags_s, random.Random(seed)
        self.account, self.address, self.contract = port.account, port.address, port.contract
        self.hidden: set[int] = set()
        """Sequence numbers of messages that no machine shows."""
        self.asked = 0

    def _until(self) -> int:
        self.asked += 1
        if self._random.random() < 0.05:
            raise LedgerUnreachable("HTTP 503")
        return self._port._ledger.now_ns() - int(self._random.choice(self.lags_s) * SECOND_NS)

    async def watermark(self) -> int:
        await trio.sleep(0.01)
        return self._until()

    async def messages(self, topic: int, *, after_ns: int, until_ns: int) -> list[Message]:
        known = min(until_ns, self._until())
        found = await self._port.messages(topic, after_ns=after_ns, until_ns=known)
        return [each for each in found if each.sequence_number not in self.hidden]

    async def events(self, *, after_ns: int, until_ns: int, task: object = None) -> list[LoggedEvent]:
        return list(await self._port.events(after_ns=after_ns, until_ns=min(until_ns, self._until()), task=task))

    async def submit(self, topic: int, data: bytes) -> None:
        await self._port.submit(topic, data)


def behind(w: World, name: str, lags_s: list[float], seed: int = 0) -> tuple[TaskLog, Replicas]:
    tasklog = w.tasklog(name)
    replicas = Replicas(tasklog._ledger, lags_s, seed)  # type: ignore[arg-type]
    tasklog._ledger = replicas  # type: ignore[assignment]
    return tasklog, replicas


@pytest.mark.parametrize("seed", range(6))
async def test_machines_that_are_behind_end_in_the_same_log(seed: int, autojump_clock: trio.testing.MockClock) -> None:
    """One shows an update only seconds after another's watermark has passed it: then the log is folded anew."""
    w = world(seed)
    async with running(w) as logs:
        reader, replicas = behind(w, "client", [0.0, 0.5, 4.0], seed)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader._follow)
            final = await converge(w, logs)
            await reader.wait_for(lambda t: t.log.authors == final.authors, timeout_s=600)
            assert (reader.log.checkpoints, reader.log.units) == (final.checkpoints, final.units)
            assert reader.log.authors == final.authors and replicas.asked > 50
            nursery.cancel_scope.cancel()


async def test_without_the_second_look_something_would_be_missing(autojump_clock: trio.testing.MockClock) -> None:
    """The test above tests something."""
    differ = 0
    for seed in range(6):
        w = world(seed)
        async with running(w) as logs:
            reader, _ = behind(w, "client", [0.0, 0.5, 4.0], seed)
            reader.audit = never  # type: ignore[method-assign]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reader._follow)
                final = await converge(w, logs)
                await trio.sleep(60)
                differ += reader.log.authors != final.authors
                nursery.cancel_scope.cancel()
    assert differ > 0


async def never() -> bool:
    await trio.lowlevel.checkpoint()
    return True


async def test_a_restart_before_a_mirror_that_is_behind_signs_no_number_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    w = world(2)
    me = Keys("client").address
    async with trio.open_nursery() as nursery:
        first = w.tasklog("client")
        nursery.start_soon(first.run)
        for number in range(4):
            await first.post(me, "award", {"leaves": number})
        await first.wait_for(lambda t: t.log.authors[me].sequence == 4)
        await trio.sleep(100)  # several audits later
        nursery.cancel_scope.cancel()
    second, replicas = behind(w, "client", [10_000.0])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.run)
        await trio.sleep(5)
        assert second.log.authors[me].sequence == 0, "this mirror knows nothing of them"
        after = await second.post(me, "award", {"leaves": 4})
        assert after.sequence == 4
        replicas.lags_s = [0.0]
        await second.wait_for(lambda t: t.log.authors[me].sequence == 5)
        nursery.cancel_scope.cancel()
    check_chains(w)


async def test_an_own_entry_that_was_shown_once_and_never_again_is_sent_again(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    w = world(5)
    me = Keys("client").address
    tasklog, replicas = behind(w, "client", [0.0])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tasklog.run)
        entry = await tasklog.post(me, "award", {"leaves": 0})
        await tasklog.wait_for(lambda t: t.log.authors[me].sequence == 1)
        replicas.hidden = {1}
        await trio.sleep(60)
        assert tasklog.log.authors[me].sequence == 1, "a machine that is behind looks like this: nothing is taken back"
        assert len(entries(w)) == 1
        with trio.fail_after(600):
            while len(entries(w)) < 2:  # noqa: ASYNC110 - the fake tells nobody
                await trio.sleep(1.0)
        await tasklog.wait_for(lambda t: t.log.authors[me].sequence == 1)
        assert [each.hash for each in entries(w)] == [entry.hash] * 2
        assert "gone from the mirror node" in caplog.text
        nursery.cancel_scope.cancel()
    assert w.stores["client"].items("outbox"), "kept until the task is over"


async def test_after_a_restart_what_the_log_shows_is_not_sent_again(autojump_clock: trio.testing.MockClock) -> None:
    w = world(6)
    me = Keys("client").address
    for number in range(2):
        async with trio.open_nursery() as nursery:
            tasklog = w.tasklog("client")
            nursery.start_soon(tasklog.run)
            await tasklog.post(me, "award", {"leaves": number})
            await tasklog.wait_for(lambda t, n=number: t.log.authors[me].sequence == n + 1)  # type: ignore[misc]
            await trio.sleep(20)
            nursery.cancel_scope.cancel()
    assert [each.sequence for each in entries(w)] == [0, 1]
