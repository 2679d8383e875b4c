"""The client: whose bids count, who gets which envelope, when it starts, and that it may be killed at any moment."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from shoal.core import calls, duties
from shoal.core.auction import Award
from shoal.core.entries import Entry, parse
from shoal.core.ids import TaskId
from shoal.core.money import Tinybar
from shoal.core.task import Phase, State
from shoal.errors import CryptoError, LedgerUnreachable, NetworkError
from shoal.roles import bundle as b
from shoal.roles.client import OPENING_GRACE_S, Client
from shoal.roles.trainer import opening

from .world import PREFIX, World

pytestmark = pytest.mark.timeout(60)
Clock = trio.testing.MockClock


class Puppets:
    """Trainers that do at once what the task asks of them, and nothing that they are told to leave."""

    def __init__(self, w: World, *, bid: tuple[int, ...] | None = None, ready: tuple[int, ...] | None = None) -> None:
        everyone = tuple(range(len(w.trainers)))
        self.w = w
        self.bidders = everyone if bid is None else bid
        self.readies = everyone if ready is None else ready
        self.opens = True
        self.claimers: tuple[int, ...] = everyone

    async def run(self) -> None:
        w, bids, opened = self.w, {}, set[int]()
        while True:
            state = w.state()
            me = {index: w.trainers[index] for index in self.bidders}
            if state.phase is Phase.OPEN and state.manifest is not None and not bids:
                bids = {index: w.bid(index, price=5_000 + index) for index in self.bidders}
            if state.now_ns > (w.plan.bid_until + 1) * 10**9 and state.phase is Phase.OPEN and self.opens:
                for index in bids.keys() - opened:
                    try:
                        await w.open_bid(bids[index])
                        opened.add(index)
                    except NetworkError:
                        pass
            if state.phase is Phase.AWARDED:
                for leaf in state.award:
                    if state.seat_of(leaf.trainer) is None and leaf.rank == 0:
                        self._accept(state, leaf)
                for index in self.readies:
                    seat = w.state().seat_of(w.trainers[index])
                    if seat is not None and not seat.ready and seat.trainer in state.envelopes:
                        w.call(seat.trainer, calls.Ready(w.task))
            if state.phase is Phase.SETTLED:
                for index in self.claimers:
                    if index in me and me[index] not in state.claims:
                        w.claim(index)
            await trio.sleep(0.1)

    def _accept(self, state: State, leaf: Any) -> None:
        found = Award(state.award, state.unit_price).proof(state.place.task, leaf.trainer)
        assert found is not None
        self.w.call(leaf.trainer, calls.Accept(state.place.task, leaf.units, leaf.rank, found[1]))


def kinds(w: World) -> Counter[str]:
    """What the client said, each entry once."""
    return Counter(kind for kind in ("manifest", "award", "assign", "envelope") for _ in w.entries(kind, w.client))


def started(w: World) -> bool:
    return bool(w.state().quorum)


# ---------------------------------------------------------------- bids


async def test_forged_bids_do_not_shut_a_trainer_out(tmp_path: Path, autojump_clock: Clock) -> None:
    """Anybody may write a bid in anybody's name, before the real one comes."""
    w = World(tmp_path).published()
    w.bid(0, 1, by="stranger")
    w.bid(0, 2, by="trainer-1")
    w.bid(2, 3, by="stranger")
    bids = [w.bid(index, 5_000) for index in range(3)]
    w.bid(1, 9_999, by="stranger")
    async with w.run_client(), trio.open_nursery() as nursery:
        await w.sleep_to(w.plan.bid_until + 2)
        for bid in bids:
            nursery.start_soon(w.open_bid, bid)
        state = await w.until(lambda s: s.award, 20)
        assert {leaf.trainer for leaf in state.award} == set(w.trainers)
        assert state.unit_price == 5_000


async def test_what_is_no_bid_of_its_trainer_is_not_opened(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).published()
    forged = w.bid(0, 4_000, by="stranger")
    real, second = w.bid(0, 5_000), w.bid(0, 3_000, expires=w.plan.end_by)
    never = w.bid(1)
    w.ledger.log.pop()
    stranger = w.bid(2, by="stranger")
    async with w.run_client():
        await w.sleep_to(w.plan.bid_until - 1)
        with pytest.raises(NetworkError, match="too early"):
            await w.open_bid(real)
        await w.sleep_to(w.plan.bid_until + 2)
        for wrong in (forged, second, never, stranger):
            with pytest.raises(NetworkError, match="sealed"):
                await w.open_bid(wrong)
        with pytest.raises(NetworkError, match="another task"):
            await w.open_bid(real, TaskId(b"t" * 32))
        for payload in (b"", opening(w.task, real)[:-1]):
            with pytest.raises(NetworkError):
                await w.peer("trainer-0").request(w.peer("client").peer_id, "opening", payload, timeout_s=5)
        assert await w.open_bid(real) == b"seen"


async def test_a_bid_that_was_sealed_too_late_does_not_count(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).published()
    async with w.run_client():
        await w.sleep_to(w.plan.bid_until + 0.9)
        in_time = w.bid(0)
        await trio.sleep(1)
        late = w.bid(1)
        await trio.sleep(2)
        for bid in (late, in_time):
            with pytest.raises(NetworkError, match="sealed"):
                await w.open_bid(bid)


async def test_an_opening_that_comes_while_the_auction_clears_does_not_break_it(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).published()
    bids = [w.bid(index) for index in range(3)]
    port = w.ledger.port(w.client)
    plain, asked = port.account_state, []

    async def slow(address: Any) -> Any:
        asked.append(address)
        await trio.sleep(1.0)
        return await plain(address)

    async with w.run_client(port=port):
        await w.sleep_to(w.plan.bid_until + 2)
        for bid in bids[:2]:
            await w.open_bid(bid)
        asked.clear()
        port.account_state = slow  # type: ignore[method-assign]
        await w.sleep_to(w.plan.bid_until + OPENING_GRACE_S)
        await w.until(lambda _: asked, 10)  # the auction looks at the first of two
        await w.open_bid(bids[2])
        state = await w.until(lambda s: s.award, 20)
        assert len(state.award) >= 2


async def test_a_bid_without_the_stake_of_a_seat_is_left_out(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path)
    w.call(w.trainers[2], calls.RequestUnstake(Tinybar(600_000)))
    async with w.run_client(), trio.open_nursery() as nursery:
        nursery.start_soon(Puppets(w).run)
        state = await w.until(lambda s: s.award, 60)
        assert {leaf.trainer for leaf in state.award} == set(w.trainers[:2])
        nursery.cancel_scope.cancel()


async def test_bids_that_are_never_opened_are_not_waited_for_too_long(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).published()
    bids = [w.bid(index) for index in range(3)]
    async with w.run_client():
        await w.sleep_to(w.plan.bid_until + 2)
        for bid in bids[:2]:
            await w.open_bid(bid)
        await w.sleep_to(w.plan.bid_until + OPENING_GRACE_S - 1)
        assert not w.ledger.calls_of(calls.Award), "they may still be opened"
        await w.until(lambda s: s.phase is Phase.AWARDED, 10)


async def test_once_all_bids_are_open_nothing_is_waited_for(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path)
    async with w.run_client(), trio.open_nursery() as nursery:
        nursery.start_soon(Puppets(w).run)
        await w.sleep_to(w.plan.bid_until + 8)
        assert w.state().phase is Phase.AWARDED
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("bidders", [(), (0,)])
async def test_too_few_bids_end_in_a_cancellation_and_all_the_money_comes_back(
    tmp_path: Path, autojump_clock: Clock, bidders: tuple[int, ...]
) -> None:
    w = World(tmp_path)
    async with w.run_client() as done, trio.open_nursery() as nursery:
        nursery.start_soon(Puppets(w, bid=bidders).run)
        with trio.fail_after(60):
            await done.wait()
        nursery.cancel_scope.cancel()
    assert w.state().phase is Phase.CANCELLED
    assert w.state().refunded == w.ledger.market.withdrawn == w.plan.escrow()
    assert not w.ledger.calls_of(calls.Award)


# ---------------------------------------------------------------- envelopes


def opened(w: World, entry: Entry, index: int) -> b.Bundle:
    """What a trainer finds in an envelope."""
    keys = w.keys[w.names[index + 1]]
    pointer = b.Pointer.from_bytes(keys.open(entry.body["sealed"]))
    key = pointer.url.removeprefix("https://store/").partition("?")[0]
    return b.Bundle.from_bytes(keys.open(w.storage.objects[key]))


async def test_every_seat_gets_one_envelope_which_only_it_opens_with_its_own_chunks(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path, chunks=7)
    async with w.run_client(Client.run_until_started) as done, trio.open_nursery() as nursery:
        nursery.start_soon(Puppets(w).run)
        with trio.fail_after(100):
            await done.wait()
        nursery.cancel_scope.cancel()
    await trio.sleep(5)
    state, entries = w.state(), w.entries("envelope")
    assert Counter(entry.body["to"] for entry in entries) == dict.fromkeys(w.trainers, 1)
    for entry in entries:
        index = w.trainers.index(entry.body["to"])
        seat = state.seat_index(entry.body["to"])
        assert seat is not None
        for other in range(3):
            if other != index:
                with pytest.raises(CryptoError):
                    opened(w, entry, other)
        bundle = opened(w, entry, index)
        held = {chunk for chunk, each in enumerate(state.holders) if seat in (each.primary, each.backup)}
        assert 0 < len(held) < 7 and bundle.chunks.keys() == held
        assert {key for _, key in bundle.chunks.values()} == {w.secrets.chunk_keys[chunk] for chunk in held}
        assert sorted(bundle.put) == sorted(b.slots_of(state, seat))
        others_chunks = [f"{PREFIX}/chunk-{chunk}" for chunk in range(7) if chunk not in held]
        assert not any(name.encode() + b"?" in bundle.to_bytes() for name in others_chunks)


async def test_a_trainer_whose_key_cannot_be_sealed_to_costs_the_others_nothing(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path)
    w.ledger.market.account(w.trainers[1]).recipient = (1).to_bytes(32, "little")  # a point of low order
    async with w.run_client(), trio.open_nursery() as nursery:
        nursery.start_soon(Puppets(w).run)
        state = await w.until(lambda s: s.quorum, 150)
        assert state.envelopes.keys() == {w.trainers[0], w.trainers[2]}
        nursery.cancel_scope.cancel()


# ---------------------------------------------------------------- the start


async def start_time(w: World, puppets: Puppets) -> float:
    """Seconds from the award to the start."""
    async with w.run_client(), trio.open_nursery() as nursery:
        nursery.start_soon(puppets.run)
        await w.until(lambda s: s.quorum, 200)
        nursery.cancel_scope.cancel()
    when = {type(call): time_ns for time_ns, _, call, _ in w.ledger.calls}
    assert [type(call) for _, _, call, _ in w.ledger.calls].count(calls.Start) == 1
    return when[calls.Start] / 10**9


async def test_once_all_are_ready_the_task_starts(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path)
    assert await start_time(w, Puppets(w)) < w.plan.bid_until + 30


async def test_whoever_is_not_ready_is_waited_for_until_it_is_late(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path)
    late = (w.plan.standby_until + w.plan.start_until) // 2
    assert late < await start_time(w, Puppets(w, ready=(0, 1))) < late + 5


async def test_too_few_that_are_ready_are_not_started_with(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path)
    async with w.run_client(Client.run_until_started) as done, trio.open_nursery() as nursery:
        nursery.start_soon(Puppets(w, ready=(0,)).run)
        with trio.fail_after(200):
            await done.wait()
        nursery.cancel_scope.cancel()
    assert w.state().phase is Phase.EXPIRED and not w.ledger.calls_of(calls.Start)


# ---------------------------------------------------------------- killed and restarted


def sent(count: int) -> Callable[[World], bool]:
    """So many envelopes are signed; not all of them need be on the topic."""
    return lambda w: kinds_signed(w)["envelope"] >= count


def kinds_signed(w: World) -> Counter[str]:
    """What the client has signed, whether it is on the topic yet or in the outbox only."""
    rows = [parse(data) for _, data in w.stores["client"].items("outbox")]
    found = {e.hash: e.kind for e in rows if isinstance(e, Entry)}
    for kind in ("manifest", "award", "assign", "envelope"):
        found |= {entry.hash: kind for entry in w.entries(kind, w.client)}
    return Counter(found.values())


STAGES: dict[str, Callable[[World], bool]] = {
    "created": lambda w: True,
    "manifest signed": lambda w: kinds_signed(w)["manifest"] == 1,
    "manifest on the topic": lambda w: kinds(w)["manifest"] == 1,
    "openings heard": lambda w: w.state().now_ns > (w.plan.bid_until + 2) * 10**9,
    "award remembered": lambda w: bool(w.stores["client"].items("awards")),
    "award on chain": lambda w: w.state().phase is Phase.AWARDED,
    "award signed": lambda w: kinds_signed(w)["award"] == 1,
    "award on the topic": lambda w: kinds(w)["award"] == 1,
    "accepted": lambda w: len(w.state().seats) == 3,
    "assignment signed": lambda w: kinds_signed(w)["assign"] == 1,
    "assignment on the topic": lambda w: kinds(w)["assign"] == 1,
    "all envelopes on the topic": lambda w: kinds(w)["envelope"] == 3,
    "ready": lambda w: sum(seat.ready for seat in w.state().seats) == 3,
}


async def killed_at(w: World, stage: Callable[[World], bool]) -> None:
    """The client is killed at a stage, comes back from its disk, and goes on to the start."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Puppets(w).run)
        async with w.run_client():
            with trio.fail_after(120):
                while not stage(w):  # noqa: ASYNC110 - other tasks change it
                    await trio.sleep(0.03)
        await trio.sleep(1.5)
        async with w.run_client(Client.run_until_started) as done:
            with trio.fail_after(150):
                await done.wait()
            await trio.sleep(10)  # what is left in the outbox gets out
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("stage", STAGES)
async def test_a_client_that_is_killed_goes_on_where_it_was(tmp_path: Path, autojump_clock: Clock, stage: str) -> None:
    w = World(tmp_path)
    await killed_at(w, STAGES[stage])
    assert w.state().phase is Phase.RUNNING and len(w.state().active()) == 3
    w.check_chains()
    assert kinds(w)["envelope"] == 3
    assert len(w.ledger.calls_of(calls.Award)) <= 2 and len(set(w.ledger.calls_of(calls.Award))) == 1


@pytest.mark.parametrize("signed", [1, 2, 3])
async def test_a_client_that_is_killed_between_its_envelopes_sends_nobody_two(
    tmp_path: Path, autojump_clock: Clock, signed: int
) -> None:
    w = World(tmp_path)
    await killed_at(w, sent(signed))
    w.check_chains()
    assert Counter(entry.body["to"] for entry in w.entries("envelope")) == dict.fromkeys(w.trainers, 1)


async def all_open_their_envelopes(w: World) -> None:
    """Every trainer finds in its envelope what the task needs, as the real one does."""
    state = w.state()
    for index, trainer in enumerate(w.trainers):
        objects = w.objects(w.names[index + 1])
        await objects.open_envelope(state, state.envelopes[trainer])


@pytest.mark.parametrize("signed", [1, 2, 3])
async def test_envelopes_from_before_a_crash_open_after_it(tmp_path: Path, autojump_clock: Clock, signed: int) -> None:
    w = World(tmp_path)
    await killed_at(w, sent(signed))
    await all_open_their_envelopes(w)


async def test_envelopes_from_before_a_failed_upload_open_after_it(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path)
    failures = iter([False, False, True])  # the shared bundle, the first trainer's, the second's
    w.storage.refuses = lambda method, key: "shared" in key or "bundle" in key if next(failures, False) else False
    async with w.run_client(Client.run_until_started) as done, trio.open_nursery() as nursery:
        nursery.start_soon(Puppets(w).run)
        with trio.fail_after(150):
            await done.wait()
        nursery.cancel_scope.cancel()
    await all_open_their_envelopes(w)


# ---------------------------------------------------------------- the end


async def test_the_client_waits_for_the_claims_of_others(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).settled()
    async with w.run_client() as done:
        for index in range(3):
            await trio.sleep(3)
            assert not done.is_set()
            w.claim(index)
        with trio.fail_after(5):
            await done.wait()
    assert len(w.ledger.calls_of(calls.Claim)) == 3 and not w.ledger.calls_of(calls.Claim, w.client)
    assert w.ledger.market.account(w.client).balance == 0
    assert w.ledger.market.withdrawn == w.state().refunded


async def test_the_client_makes_the_claims_that_do_not_come(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).settled()
    settled_ns = w.state().settled_ns
    async with w.run_client() as done:
        await trio.sleep(2)
        w.claim(1)
        with trio.fail_after(60):
            await done.wait()
    mine = w.ledger.calls_of(calls.Claim, w.client)
    assert {call.trainer for call in mine} == {w.trainers[0], w.trainers[2]} and len(mine) == 2
    first = min(
        time_ns for time_ns, who, call, _ in w.ledger.calls if isinstance(call, calls.Claim) and who == w.client
    )
    assert first > settled_ns + duties.PATIENCE_S * 10**9
    assert len(w.state().claims) == 3 and all(a.locked == 0 for a in w.ledger.market.accounts.values())


async def test_the_client_releases_at_once_whoever_was_never_ready(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running(0, 1).settled()
    assert not w.state().seats[2].ready
    async with w.run_client():
        await trio.sleep(5)
        assert {call.trainer for call in w.ledger.calls_of(calls.Release, w.client)} == {w.trainers[2]}


async def test_the_run_of_a_task_that_expired_ends_with_its_money(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).accepted(0)  # too few
    async with w.run_client() as done:
        with trio.fail_after(100):
            await done.wait()
    assert w.state().phase is Phase.EXPIRED
    assert w.ledger.market.withdrawn == w.plan.escrow()


@pytest.mark.parametrize("left", [(0,), (0, 1)])
async def test_the_client_votes_only_when_the_trainers_that_are_left_are_too_few(
    tmp_path: Path, autojump_clock: Clock, left: tuple[int, ...]
) -> None:
    w = World(tmp_path).running()
    w.train(*left)
    w.ledger.skip(21)
    w.finished()
    assert len(w.state().active()) == len(left)
    w.say(w.aggregator(), "result", w.publish())
    async with w.run_client():
        await trio.sleep(20)
        voted = w.ledger.calls_of(calls.PublishResult, w.client)
        assert bool(voted) is (len(left) < w.state().quorum)


async def test_a_store_that_is_away_only_costs_time(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path)
    w.storage.refuses = lambda method, key: w.state().now_ns < (w.plan.bid_until + 20) * 10**9
    async with w.run_client(), trio.open_nursery() as nursery:
        nursery.start_soon(Puppets(w).run)
        await w.until(lambda s: s.quorum, 60)
        nursery.cancel_scope.cancel()
    assert kinds(w)["envelope"] == 3


async def test_a_ledger_that_is_away_only_costs_time(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path)
    port = w.ledger.port(w.client)
    port.troubles = {kind: deque([LedgerUnreachable("away")] * 2) for kind in (calls.Award, calls.Start)}
    port.answers_lost = {calls.Award, calls.Start}
    async with w.run_client(port=port), trio.open_nursery() as nursery:
        nursery.start_soon(Puppets(w).run)
        await w.until(lambda s: s.quorum, 80)
        nursery.cancel_scope.cancel()
    assert w.state().phase is Phase.RUNNING
