"""A seat: it votes only for what it has recomputed, and no fault, foreign or its own, takes its other duties."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from shoal.core import calls
from shoal.core.codec import decode, digest
from shoal.core.task import Phase
from shoal.errors import DataError, EngineError, LedgerUnreachable, ModelError, ShoalError
from shoal.roles import bundle as b
from shoal.roles.seat import TRAIN_TRIES
from shoal.roles.tasklog import gossip_topic

from .world import AGGREGATE_TIMEOUT_S, ROUND_TIMEOUT_S, World

pytestmark = pytest.mark.timeout(60)
Clock = trio.testing.MockClock
ME = 0
"""The trainer with the real seat: trainer 1 aggregates round 1, trainer 2 round 2, and trainer 0 posts the result."""


def votes(w: World, index: int = ME) -> list[Any]:
    return w.ledger.calls_of(calls.ConfirmCheckpoint, w.trainers[index])


def ballots(w: World, index: int = ME) -> list[Any]:
    who = w.trainers[index]
    return w.ledger.calls_of(calls.PublishResult, who) + w.ledger.calls_of(calls.ConfirmResult, who)


async def delivered(w: World, *chunks: int) -> None:
    await w.until(lambda s: all(chunk in s.updates for chunk in chunks), 30)


# ---------------------------------------------------------------- ready


async def test_a_seat_is_ready_once_its_chunks_are_verified(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).assigned()
    bad = f"{w.secrets.prefix}/chunk-0"
    right = w.storage.objects[bad]
    w.storage.objects[bad] = right[:-1] + b"x"
    w.enveloped()
    async with w.seat(ME) as seat:
        await trio.sleep(10)
        assert not w.ledger.calls_of(calls.Ready), "a chunk is not what the manifest says"
        w.storage.objects[bad] = right
        await w.until(lambda s: s.seats[ME].ready, 30)
        held = {each.name for each in seat.engine.job_dir.glob("chunk-*")}
        assert held == {"chunk-0.safetensors", "chunk-2.safetensors"}


async def test_gossip_alone_makes_nobody_ready(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).assigned()
    async with w.seat(ME) as seat:
        await trio.sleep(1)
        entry = w.sign(w.client, "envelope", w.envelope(ME))
        await w.network.publish(gossip_topic(w.task), entry.data())
        await trio.sleep(20)
        assert seat.me in seat.tasklog.view.envelopes and seat.me not in seat.tasklog.log.envelopes
        assert not w.ledger.calls_of(calls.Ready)
        w.ledger.write(entry.data())
        await w.until(lambda s: s.seats[ME].ready, 10)


# ---------------------------------------------------------------- training


async def test_a_seat_trains_its_chunk_and_others_find_the_update(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    async with w.seat(ME):
        await delivered(w, 0)
    update, expected = w.state().updates[0], w.update(0, w.trainers[ME])
    assert (update.state, update.object) == (expected["state"], expected["object"])


@pytest.mark.parametrize(
    "error",
    [
        EngineError("row 17 of a patient made the loss NaN", code="SHOAL-E02"),
        ModelError("row 17 of a patient has no such shape", code="SHOAL-M31"),
        DataError("row 17 of a patient is empty", code="SHOAL-D20"),
    ],
)
async def test_what_can_never_be_trained_is_void_at_once_and_only_the_code_is_told(
    tmp_path: Path, autojump_clock: Clock, error: ShoalError
) -> None:
    w = World(tmp_path).running()
    async with w.seat(ME) as seat:
        seat.engine.always["train"] = error
        await w.until(lambda s: (0, seat.me) in s.voids, 10)
        assert seat.engine.count("train", chunk="chunk-0.safetensors") == 1
    (entry,) = w.entries("void")
    assert entry.body == {
        "round": 1,
        "chunk": 0,
        "base": w.state().base.state,
        "reason": error.code,
    }
    assert not any(b"patient" in data for data in [*w.network.gossiped, *(m.data for m in w.ledger.log)])


@pytest.mark.parametrize("failures", [TRAIN_TRIES - 1, TRAIN_TRIES])
async def test_a_flaky_engine_is_tried_twice_before_a_chunk_is_void(
    tmp_path: Path, autojump_clock: Clock, failures: int
) -> None:
    w = World(tmp_path).running()
    async with w.seat(ME) as seat:
        seat.engine.faults["train"] = deque([EngineError("it died", code="SHOAL-E05")] * failures)
        await w.until(lambda s: 0 in s.updates or (0, seat.me) in s.voids, 15)
        assert (0 in w.state().updates) is (failures < TRAIN_TRIES)
        assert seat.engine.count("train", chunk="chunk-0.safetensors") == 2


async def test_the_tries_of_one_chunk_do_not_count_for_another(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    async with w.seat(ME) as seat:
        seat.engine.faults["train"] = deque([EngineError("it died", code="SHOAL-E05")])
        await delivered(w, 0)
        w.train(1, 2)
        w.say(w.aggregator(), "checkpoint", w.checkpoint())
        seat.engine.faults["train"] = deque([EngineError("it died", code="SHOAL-E05")])
        await delivered(w, 0)
    assert not w.entries("void")


async def test_a_backup_takes_over_a_void_chunk(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    body = {"round": 1, "chunk": 2, "base": w.state().base.state, "reason": "SHOAL-E02"}
    w.say(w.trainers[2], "void", body)
    async with w.seat(ME):
        await delivered(w, 0, 2)
    assert w.state().updates[2].author == w.trainers[ME]


async def test_slots_that_take_nothing_silence_nobody(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    w.storage.refuses = lambda method, key: method == "PUT" and "/slot/" in key
    async with w.seat(ME) as seat:
        await delivered(w, 0)
        assert not w.storage.puts
        other = w.objects("trainer-1")
        await other.open_envelope(w.state(), w.state().envelopes[w.trainers[1]])
        assert await other.fetch_update(w.state(), w.state().updates[0], timeout_s=5)
        assert w.state().updates[0].object in seat.peer.files


async def test_an_update_that_the_view_has_passed_by_is_not_posted(tmp_path: Path, autojump_clock: Clock) -> None:
    """Its round is over before it is trained: there is nothing left to say."""
    w = World(tmp_path).running()
    async with w.seat(ME) as seat:
        seat.engine.takes_s["train"] = ROUND_TIMEOUT_S + 3  # its chunk goes to the backup
        w.train(1, 2)
        await w.until(lambda s: s.seats[ME].lost, 30)
        w.train(0)
        w.say(w.aggregator(), "checkpoint", w.checkpoint())
        await trio.sleep(10)
    assert not w.entries("update", w.trainers[ME])


# ---------------------------------------------------------------- aggregates


async def test_a_seat_makes_the_checkpoint_that_everybody_would_make(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    async with w.seat(1):
        w.train(0, 2)
        await w.until(lambda s: s.round == 2, 30)
    (entry,) = w.entries("checkpoint")
    made = w.state().checkpoints[1]
    plain = w.objects("trainer-1")
    assert (made.author, made.included, entry.body["rejected"]) == (w.trainers[1], (0, 1, 2), [])
    assert plain.checkpoint_name(1, made.state) in {each.name for each in (tmp_path / "trainer-1" / "job").iterdir()}
    w.round()
    w.confirm(w.state().marks[0], 0, 2)


async def test_an_update_that_cannot_be_had_is_left_out_and_the_others_are_not(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).running()
    async with w.seat(1):
        w.train(0)
        w.train(2)
        lost = w.state().updates[2].object
        for peer in w.network.peers.values():
            peer.files.pop(lost, None)
        del w.storage.objects[f"{w.secrets.prefix}/slot/{b.update_slot(1, 2, 2)}"]
        await w.until(lambda s: s.round == 2, 40)
    made = w.state().checkpoints[1]
    assert made.included == (0, 1) and made.rejected == ((2, "not in its slot"),)


# ---------------------------------------------------------------- votes


async def test_a_right_checkpoint_gets_a_vote(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    w.round()
    async with w.seat(ME) as seat:
        await w.until(lambda _: votes(w), 20)
        mark = w.state().marks[0]
        assert [(vote.round, vote.checkpoint) for vote in votes(w)] == [(1, mark.checkpoint)]
        assert seat.engine.count("aggregate") == 1


@pytest.mark.parametrize("wrong", ["state", "left out", "both"])
async def test_a_wrong_checkpoint_gets_no_vote_and_neither_does_what_is_built_on_it(
    tmp_path: Path, autojump_clock: Clock, wrong: str
) -> None:
    w = World(tmp_path, rounds=3).running()
    w.train()
    garbage = b"garbage that nobody would make  "
    w.models[digest(garbage)] = garbage
    changes: dict[str, Any] = {}
    if wrong in ("state", "both"):
        sealed = w.deliver(w.aggregator(), b.checkpoint_slot(1, 1), b.checkpoint_label(1), garbage)
        changes |= {"state": digest(garbage), "object": sealed}
    if wrong in ("left out", "both"):
        changes |= {"included": [0, 1], "rejected": [[2, "its norm is odd"]]}
    w.say(w.aggregator(), "checkpoint", w.checkpoint(**changes))
    w.round()
    assert w.state().round == 3
    async with w.seat(ME) as seat:
        await trio.sleep(25)
        assert not votes(w)
        assert seat.engine.count("aggregate") >= 2, "it has looked"


async def test_a_seat_whose_own_checkpoint_came_too_late_does_not_vote_for_another_that_is_wrong(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    """What it made ahead of the log tells nothing of what the log took in its place."""
    w = World(tmp_path).running()
    port = w.ledger.port(w.trainers[1])
    async with w.seat(1, port) as seat:
        w.train(0, 2)
        await delivered(w, 1)
        port.submits = False  # it has made a checkpoint, and nobody hears of it
        await w.until(lambda s: s.seats[1].lost, AGGREGATE_TIMEOUT_S + 20)
        assert seat.engine.count("aggregate") >= 1
        garbage = b"garbage that nobody would make  "
        sealed = w.deliver(w.aggregator(), b.checkpoint_slot(1, 2), b.checkpoint_label(1), garbage)
        w.say(w.aggregator(), "checkpoint", w.checkpoint(state=digest(garbage), object=sealed))
        await trio.sleep(20)
        assert w.state().marks and not votes(w, 1)


async def test_a_seat_whose_own_checkpoint_came_too_late_votes_for_another_that_is_the_same(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).running()
    port = w.ledger.port(w.trainers[1])
    async with w.seat(1, port):
        w.train(0, 2)
        await delivered(w, 1)
        port.submits = False
        await w.until(lambda s: s.seats[1].lost, AGGREGATE_TIMEOUT_S + 20)
        w.say(w.aggregator(), "checkpoint", w.checkpoint())
        await w.until(lambda _: votes(w, 1), 20)


async def test_a_seat_that_an_equivocator_made_aggregate_something_else_recomputes_what_the_log_took(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).running()
    port = w.ledger.port(w.trainers[1])
    async with w.seat(1, port) as seat:
        await delivered(w, 1)
        port.submits = False
        w.train(0)
        (shown,) = w.train(2, keep=True)  # to this node, and to nobody else
        (told,) = w.train(2, keep=True, **w.update(2, w.trainers[2], noise=b"another"))
        assert shown.sequence == told.sequence and shown.hash != told.hash
        await w.network.publish(gossip_topic(w.task), shown.data())
        await trio.sleep(3)
        assert seat.engine.count("aggregate") == 1
        w.ledger.write(told.data())
        seat.engine.takes_s["aggregate"] = AGGREGATE_TIMEOUT_S + 5.0  # its second try is too late
        await w.until(lambda s: s.seats[1].lost, 40)
        w.say(w.aggregator(), "checkpoint", w.checkpoint())
        seat.engine.takes_s["aggregate"] = 0.2
        await w.until(lambda _: votes(w, 1), 40)


async def test_a_seat_that_was_lost_votes_still(tmp_path: Path, autojump_clock: Clock) -> None:
    """The quorum counts all that accepted: without its vote an honest task might not be settled."""
    w = World(tmp_path).running()
    w.train(1, 2)
    w.ledger.skip(ROUND_TIMEOUT_S + 1)
    assert w.state().seats[ME].lost
    w.round()
    async with w.seat(ME):
        await w.until(lambda _: votes(w), 20)
        w.finished()
        w.say(w.aggregator(), "result", w.publish())
        await w.until(lambda _: ballots(w), 30)


async def test_the_result_gets_a_ballot_if_it_is_the_final_checkpoint_and_lies_in_its_slot(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).finished()
    body = w.publish()
    slot = f"{w.secrets.prefix}/slot/{b.result_slot(w.state().seat_index(w.aggregator()) or 0)}"
    data = w.storage.objects.pop(slot)
    w.say(w.aggregator(), "result", body)
    me = next(index for index in range(3) if w.trainers[index] != w.aggregator())
    async with w.seat(me):
        await trio.sleep(12)
        assert not ballots(w, me), "it is not there"
        w.storage.objects[slot] = data[:-1] + b"x"
        await trio.sleep(12)
        assert not ballots(w, me), "it is something else"
        w.storage.objects[slot] = data
        await w.until(lambda _: ballots(w, me), 20)


async def test_another_result_gets_no_ballot(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).finished()
    publisher = w.aggregator()
    slot = b.result_slot(w.state().seat_index(publisher) or 0)
    object = w.deliver(publisher, slot, b.RESULT_LABEL, b"weights that nobody has trained  ")
    w.say(publisher, "result", w.publish() | {"object": object})
    me = next(index for index in range(3) if w.trainers[index] != publisher)
    async with w.seat(me):
        await trio.sleep(8)
        assert w.state().result is not None and not ballots(w, me)


async def test_a_seat_publishes_when_it_is_its_turn_and_is_paid(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).finished()
    me = w.trainers.index(w.aggregator())
    async with w.seat(me):
        state = await w.until(lambda s: s.result, 20)
        assert state.result is not None and state.result.author == w.trainers[me]
        await w.until(lambda _: w.ledger.calls_of(calls.PublishResult, w.trainers[me]), 20)
    content = decode(w.keys["client"].open(state.result.envelope), max_bytes=8_192)
    assert content["object"] == state.result.object and state.final is not None
    assert content["state"] == state.final.checkpoint


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("fault", [ValueError("a fault"), KeyError("a fault"), EngineError("it died")])
async def test_a_fault_in_the_recomputing_does_not_end_the_training(
    tmp_path: Path, autojump_clock: Clock, fault: Exception
) -> None:
    w = World(tmp_path).running()
    w.round()
    async with w.seat(ME) as seat:
        seat.engine.always["aggregate"] = fault
        await delivered(w, 0)
        await trio.sleep(12)
        assert not votes(w) and seat.engine.count("aggregate") > 1
        del seat.engine.always["aggregate"]
        await w.until(lambda _: votes(w), 30)


@pytest.mark.parametrize("fault", [ValueError("a fault"), OSError("no space left")])
async def test_a_fault_in_the_fetching_of_updates_does_not_end_the_training(
    tmp_path: Path, autojump_clock: Clock, fault: Exception
) -> None:
    w = World(tmp_path).running()
    w.train(1)
    async with w.seat(ME) as seat:
        seat.peer.trouble = fault
        await delivered(w, 0)
        assert seat.peer.fetched, "it has tried"
        await trio.sleep(1)
        seat.peer.trouble = None
        w.train(2)
        w.say(w.aggregator(), "checkpoint", w.checkpoint())
        await w.until(lambda _: votes(w), 40)


@pytest.mark.parametrize("fault", [ValueError("a fault"), LedgerUnreachable("away")])
async def test_a_fault_in_a_payment_does_not_end_the_others(
    tmp_path: Path, autojump_clock: Clock, fault: Exception
) -> None:
    w = World(tmp_path).running()
    w.round()
    port = w.ledger.port(w.trainers[ME])
    port.troubles[calls.ConfirmCheckpoint] = deque([fault])
    async with w.seat(ME, port):
        await delivered(w, 0)
        await w.until(lambda _: votes(w), 30)


async def test_a_fault_in_the_training_does_not_end_the_votes(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    w.round()
    async with w.seat(ME) as seat:
        seat.engine.always["train"] = RuntimeError("a fault")
        await w.until(lambda _: votes(w), 20)
        assert seat.engine.count("train")


# ---------------------------------------------------------------- restarts and the end


async def test_a_seat_that_is_killed_goes_on_and_says_nothing_twice(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path, rounds=3).running()
    for _ in range(3):
        async with w.seat(ME):
            await delivered(w, 0)
        w.train()
        if w.aggregator() != w.trainers[ME]:
            w.say(w.aggregator(), "checkpoint", w.checkpoint())
        else:
            async with w.seat(ME):
                await w.until(lambda s: s.phase is Phase.FINISHED, 30)
    w.check_chains()
    assert len(w.entries("update", w.trainers[ME])) == 3


async def test_a_unit_that_was_trained_before_a_crash_is_not_trained_again(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).running()
    w.storage.refuses = lambda method, key: method == "PUT"
    async with w.seat(ME) as first:
        await trio.sleep(0.1)
        with trio.fail_after(10):
            while not list((tmp_path / "trainer-0" / "sealed").glob("update-*.json")):  # noqa: ASYNC110
                await trio.sleep(0.01)
        assert first.engine.count("train") == 1
    assert not w.entries("update", w.trainers[ME])
    async with w.seat(ME) as second:
        await delivered(w, 0)
        assert second.engine.count("train") == 0


async def test_three_seats_see_a_task_through_and_each_is_paid(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path, rounds=3).running()
    async with w.seat(0), w.seat(1), w.seat(2), w.run_client() as done:
        with trio.fail_after(200):
            await done.wait()
    state = w.state()
    assert state.phase is Phase.SETTLED and len(state.claims) == 3
    assert {claim.penalty for claim in state.claims.values()} == {0}
    assert sum(state.units.values()) == 9 and len(state.checkpoints) == 4
    w.check_chains()
