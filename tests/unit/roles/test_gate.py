"""A machine that is not always free: what a closed gate holds back, hands over and keeps up, and how a seat is left."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from shoal.core import calls
from shoal.core.task import LEFT, Phase
from shoal.roles.gate import Gate
from shoal.roles.seat import AWAY

from .fakes import Engines
from .world import ROUND_TIMEOUT_S, World

pytestmark = pytest.mark.timeout(60)
Clock = trio.testing.MockClock
ME = 0


async def test_a_gate_opens_and_closes(autojump_clock: Clock) -> None:
    gate = Gate(open=False)
    with trio.move_on_after(1) as waiting:
        await gate.opened()
    assert waiting.cancelled_caught
    await gate.closed()
    gate.turn(open=True)
    gate.turn(open=True)
    await gate.opened()
    assert gate.is_open


# ---------------------------------------------------------------- a seat


async def test_a_closed_gate_hands_a_chunk_to_its_backup_at_once(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    async with w.seat(ME, gate=Gate(open=False)) as seat:
        await w.until(lambda s: (0, seat.me) in s.voids, ROUND_TIMEOUT_S / 4)
        assert w.state().voids[0, seat.me] == AWAY and not seat.engine.count("train")
        w.train()  # the backup, and the others
        w.say(w.aggregator(), "checkpoint", w.checkpoint())
        await w.until(lambda s: s.round == 2)
        assert not w.state().seats[ME].lost


async def test_training_is_cut_short_after_the_grace_and_goes_on_with_the_next_round(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w, gate = World(tmp_path).running(), Gate(grace_s=1.0)
    async with w.seat(ME, gate=gate) as seat:
        seat.engine.takes_s["train"] = 15.0
        await w.until(lambda _: seat.engine.count("train"))
        gate.turn(open=False)
        await w.until(lambda s: (0, seat.me) in s.voids, 8)
        w.train()
        w.say(w.aggregator(), "checkpoint", w.checkpoint())
        seat.engine.takes_s["train"] = 0.5
        gate.turn(open=True)
        await w.until(lambda s: s.round == 2 and 0 in s.updates, 15)
    assert w.state().updates[0].author == w.trainers[ME]


async def test_a_chunk_that_is_nearly_done_is_finished(tmp_path: Path, autojump_clock: Clock) -> None:
    w, gate = World(tmp_path).running(), Gate(grace_s=5.0)
    async with w.seat(ME, gate=gate) as seat:
        seat.engine.takes_s["train"] = 4.0
        await w.until(lambda _: seat.engine.count("train"))
        gate.turn(open=False)
        await w.until(lambda s: 0 in s.updates, 15)
    assert not w.entries("void")


async def test_a_gate_that_opens_within_the_grace_interrupts_nothing(tmp_path: Path, autojump_clock: Clock) -> None:
    w, gate = World(tmp_path).running(), Gate(grace_s=3.0)
    async with w.seat(ME, gate=gate) as seat:
        seat.engine.takes_s["train"] = 6.0
        await w.until(lambda _: seat.engine.count("train"))
        gate.turn(open=False)
        await trio.sleep(1)
        gate.turn(open=True)
        await w.until(lambda s: 0 in s.updates, 15)
    assert seat.engine.count("train", chunk="chunk-0.safetensors") == 1


async def test_the_last_holder_waits_for_its_machine_and_speaks_before_its_seat_is_lost(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).running()
    async with w.seat(ME, gate=Gate(open=False)) as seat:
        w.train(0, 1)
        body = {"round": 1, "chunk": 2, "base": w.state().base.state, "reason": "SHOAL-E02"}
        w.say(w.trainers[2], "void", body)  # its backup is this seat
        began = w.state().turn_ns
        assert w.state().holder(2) == w.state().seats[ME]
        await w.until(lambda s: (2, seat.me) in s.voids, ROUND_TIMEOUT_S)
        said = w.state().turn_ns - began
        assert said >= 0.75 * ROUND_TIMEOUT_S * 10**9 and not w.state().seats[ME].lost


async def test_behind_a_closed_gate_a_seat_votes_and_claims(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    w.round()
    async with w.seat(ME, gate=Gate(open=False)):
        await w.until(lambda _: w.ledger.calls_of(calls.ConfirmCheckpoint, w.trainers[ME]), 20)


async def test_behind_a_closed_gate_nobody_gets_ready(tmp_path: Path, autojump_clock: Clock) -> None:
    w, gate = World(tmp_path).assigned(), Gate(open=False)
    w.enveloped()
    async with w.seat(ME, gate=gate):
        await trio.sleep(10)
        assert not w.ledger.calls_of(calls.Ready)
        gate.turn(open=True)
        await w.until(lambda s: s.seats[ME].ready, 30)


# ---------------------------------------------------------------- leaving


async def test_who_leaves_finishes_its_chunk_and_its_backups_take_over(tmp_path: Path, autojump_clock: Clock) -> None:
    w, gate = World(tmp_path).running(), Gate(grace_s=5.0)
    async with w.seat(ME, gate=gate) as seat:
        seat.engine.takes_s["train"] = 3.0
        await w.until(lambda _: seat.engine.count("train"))
        gate.turn(open=False)
        await seat.holder.leave()
        state = w.state()
        assert state.seats[ME].lost == LEFT and state.updates[0].author == seat.me, "what it had in hand counts"
    w.train()
    w.say(w.aggregator(), "checkpoint", w.checkpoint())
    state = w.state()
    assert state.round == 2 and state.holder(0) is not None and not state.marks[0].credits[ME].no_show
    assert state.marks[0].credits[ME].units == 1


async def test_who_is_alone_does_not_leave(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    for other in w.trainers[1:]:
        w.say(other, "leave", {})
    async with w.seat(ME, gate=Gate(open=False)) as seat:
        await trio.sleep(2)
        await seat.holder.leave()
    assert not w.entries("leave", w.trainers[ME]) and not w.state().seats[ME].lost


# ---------------------------------------------------------------- a trainer


async def test_a_closed_gate_takes_no_new_work(tmp_path: Path, autojump_clock: Clock) -> None:
    w, engines = World(tmp_path).published(), Engines()
    async with w.trainer(0, engines=engines, gate=Gate(open=False)):
        await w.sleep_to(w.plan.bid_until + 5)
    assert not w.bids(0) and not engines.opened


async def test_a_gate_that_opens_in_time_bids(tmp_path: Path, autojump_clock: Clock) -> None:
    w, gate = World(tmp_path).published(), Gate(open=False)
    async with w.trainer(0, gate=gate):
        await trio.sleep(3)
        assert not w.bids(0)
        gate.turn(open=True)
        await w.until(lambda _: w.bids(0), 20)


async def test_a_trainer_leaves_all_its_seats(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    async with w.trainer(0) as trainer:
        await w.until(lambda _: trainer.seats, 30)
        await trainer.leave()
        assert w.state().seats[0].lost == LEFT
    assert w.state().phase is Phase.RUNNING
    w.round()
