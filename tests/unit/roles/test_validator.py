"""Validators and the trainers that they check, as services: what is opened, found, accused and judged."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from shoal.core import calls, court
from shoal.core.audits import Audit, Finding, Ruling, Unit
from shoal.core.codec import digest
from shoal.core.ids import Address
from shoal.core.task import Phase, State
from shoal.errors import EngineError, MarketError
from shoal.roles import bundle as b
from shoal.roles.pool import validators
from shoal.testing.market import VALIDATOR_STAKE

from .fakes import Engines
from .world import OPEN_S, World

pytestmark = pytest.mark.timeout(120)
Clock = trio.testing.MockClock


def world(dir: Path, **given: Any) -> World:
    return World(dir, validators=4, audits=6, **given)


async def bench(stack: AsyncExitStack, w: World, *who: int, engines: Engines | None = None) -> None:
    for index in who:
        await stack.enter_async_context(w.validator(index, engines=engines))


async def seats(stack: AsyncExitStack, w: World, *who: int) -> None:
    for index in who:
        await stack.enter_async_context(w.seat(index))


def drawn(state: State) -> list[Audit]:
    return list(state.audits.values())


def confirm(w: World) -> None:
    """The puppets confirm the last mark, ask for the draw and make it."""
    mark = w.state().marks[-1]
    w.confirm(mark, 0, 1)
    w.call(w.client, calls.RequestDraw(w.task))
    w.ledger.skip(2)
    w.call(w.client, calls.Draw(w.task))


# ---------------------------------------------------------------- the pool


async def test_a_validator_registers_locks_its_stake_and_joins_once(tmp_path: Path, autojump_clock: Clock) -> None:
    w = world(tmp_path)
    me = w.validators[0]
    for _ in range(2):
        async with w.validator(0):
            account = w.ledger.market.account(me)
            assert account.stake == account.locked == VALIDATOR_STAKE
            assert await validators(w.ledger.port(me)) == {me}  # type: ignore[arg-type]
    assert len(w.ledger.calls_of(calls.Register, me)) == len(w.ledger.calls_of(calls.JoinValidators, me)) == 1


async def test_a_validator_pays_in_what_lacks_of_its_stake_and_no_more(tmp_path: Path, autojump_clock: Clock) -> None:
    w = world(tmp_path)
    keys = w.keys["validator-0"]
    w.ledger.run_call(keys.address, calls.Register(keys.signing_key, keys.recipient), 1_000)
    async with w.validator(0):
        assert w.ledger.market.account(keys.address).stake == VALIDATOR_STAKE


async def test_more_than_is_allowed_is_not_locked(tmp_path: Path, autojump_clock: Clock) -> None:
    w = world(tmp_path)
    w.ledger.market.validator_stake = VALIDATOR_STAKE + 1
    with pytest.raises(MarketError) as caught:
        async with w.validator(0):
            raise AssertionError("unreachable")
    assert caught.value.code == "SHOAL-T21" and not w.ledger.market.account(w.validators[0]).stake


# ---------------------------------------------------------------- audits


async def test_right_work_is_opened_trained_again_and_paid(tmp_path: Path, autojump_clock: Clock) -> None:
    w = world(tmp_path).running()
    async with AsyncExitStack() as stack:
        await bench(stack, w, 0, 1, 2, 3)
        await seats(stack, w, 0, 1, 2)
        state = await w.until(lambda s: s.phase is Phase.SETTLED or s.now_ns > w.plan.end_by * 10**9, 400)
        assert state.phase is Phase.SETTLED and state.confirmed is not None and state.confirmed.audits == 6
        assert {audit.finding for audit in drawn(state)} == {Finding.OK} and len(drawn(state)) == 6
        earned = {leaf.validator for leaf in state.final.audit_credits} if state.final else set()
        await w.until(lambda s: s.audit_claims.keys() == earned, 60)
        await trio.sleep(5)
    of_draws = [
        (call, reason) for _, _, call, reason in w.ledger.calls if isinstance(call, calls.RequestDraw | calls.Draw)
    ]
    assert len(of_draws) in (2, 4) and not any(reason for _, reason in of_draws), "fees are paid once"
    assert all(not w.ledger.market.account(who).balance for who in w.validators), "and what was earned is taken out"
    assert not [*tmp_path.glob("validator-*/audit-*")], "nothing of other people's data stays"
    w.check_chains()


async def test_a_false_update_is_found_accused_and_slashed(tmp_path: Path, autojump_clock: Clock) -> None:
    w = world(tmp_path).running()
    cheat = w.trainers[0]
    async with AsyncExitStack() as stack:
        w.say(*false_update(w, cheat))
        w.train()
        w.say(w.aggregator(), "checkpoint", w.checkpoint())
        await bench(stack, w, 0, 1, 2, 3)
        await seats(stack, w, 0, 1, 2)
        state = await w.until(lambda s: any(seat.slashed for seat in s.seats), 300)
        assert [seat.trainer for seat in state.seats if seat.slashed] == [cheat]
        (dispute,) = [each for each in state.disputes.values() if each.ruling is Ruling.UPHELD]
        assert dispute.accused == cheat and len(dispute.ballots) == 3 and all(dispute.ballots.values())
        await w.until(lambda s: s.phase is Phase.SETTLED, 400)
    w.check_chains()


def false_update(w: World, who: Address) -> tuple[Address, str, dict[str, Any]]:
    """An update of other bytes than its chunk gives, in its slot like any other."""
    chunk = next(c for c in w.state().waiting_for() if w.state().holder(c).trainer == who)  # type: ignore[union-attr]
    body = w.update(chunk, who)
    honest = body["state"]
    plain = b"update  of nothing at all, yet as long"
    slot = b.update_slot(w.state().round, chunk, w.state().seat_index(who) or 0)
    w.storage.objects.pop(f"tasks/x/slot/{slot}", None)
    body |= {"object": w.deliver(who, slot, b.update_label(w.state().round, chunk), plain), "state": digest(plain)}
    assert body["state"] != honest
    return who, "update", body


async def test_what_another_processor_rounds_otherwise_is_no_fraud(tmp_path: Path, autojump_clock: Clock) -> None:
    w = world(tmp_path).running()
    for chunk in w.state().waiting_for():
        holder = w.state().holder(chunk)
        assert holder is not None
        w.say(holder.trainer, "update", w.update(chunk, holder.trainer, noise=b" rounded"))
    w.say(w.aggregator(), "checkpoint", w.checkpoint())
    async with AsyncExitStack() as stack:
        await bench(stack, w, 0, 1, 2, 3)
        await seats(stack, w, 0, 1, 2)
        state = await w.until(lambda s: noisy(s) and all(audit.finding for audit in noisy(s)), 200)
    assert {audit.finding for audit in noisy(state)} == {Finding.OK} and not state.disputes
    assert all(audit.found != court.update_of(state, audit.unit).state for audit in noisy(state))


def noisy(state: State) -> list[Audit]:
    return [audit for audit in drawn(state) if audit.unit.round == 1]


async def test_a_client_whose_store_forgets_cannot_make_its_trainers_look_guilty(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = world(tmp_path).running()
    async with AsyncExitStack() as stack:
        await seats(stack, w, 0, 1, 2)
        await w.until(lambda s: s.round == 2, 60)
        w.storage.refuses = lambda method, key: method == "GET" and "/slot/r/" not in key
        await bench(stack, w, 0, 1, 2, 3)
        state = await w.until(lambda s: s.phase is Phase.SETTLED, 400)
    assert {audit.finding for audit in drawn(state)} == {Finding.OK}
    assert not any(seat.lost for seat in state.seats)


async def test_a_trainer_that_opens_nothing_loses_its_seat_alone(tmp_path: Path, autojump_clock: Clock) -> None:
    w = world(tmp_path).running()
    w.round()
    async with AsyncExitStack() as stack:
        await bench(stack, w, 0, 1, 2, 3)
        await seats(stack, w, 1, 2)
        confirm(w)
        state = await w.until(lambda s: any(seat.lost for seat in s.seats), OPEN_S + 20)
    silent = [seat.trainer for seat in state.seats if seat.lost]
    assert silent == [w.trainers[0]] and not any(seat.slashed for seat in state.seats)


async def test_a_validator_that_was_killed_goes_on_where_it_was(tmp_path: Path, autojump_clock: Clock) -> None:
    w = world(tmp_path).running()
    w.round()
    async with AsyncExitStack() as stack:
        await seats(stack, w, 0, 1, 2)
        for _ in range(3):  # killed at whatever it is about
            async with AsyncExitStack() as lives:
                await bench(lives, w, 0, 1, 2, 3)
                await trio.sleep(6)
        await bench(stack, w, 0, 1, 2, 3)
        state = await w.until(lambda s: s.phase is Phase.SETTLED, 400)
    assert {audit.finding for audit in drawn(state)} <= {Finding.OK, Finding.LAPSED}
    assert sum(audit.finding is Finding.OK for audit in drawn(state)) >= 3
    w.check_chains()


async def test_a_machine_that_cannot_train_says_nothing_about_others(tmp_path: Path, autojump_clock: Clock) -> None:
    w = world(tmp_path).running()
    w.round()
    ill = Engines(EngineError("no sandbox here", code="SHOAL-E06"))
    async with AsyncExitStack() as stack:
        await bench(stack, w, 0, 1, 2, 3, engines=ill)
        await seats(stack, w, 0, 1, 2)
        state = await w.until(lambda s: s.phase is Phase.SETTLED, 600)
    assert {audit.finding for audit in drawn(state)} == {Finding.LAPSED} and not state.disputes
    assert not any(seat.lost for seat in state.seats) and not state.audit_claims


# ---------------------------------------------------------------- juries


async def test_a_false_accusation_costs_the_accuser_its_bond(tmp_path: Path, autojump_clock: Clock) -> None:
    w = world(tmp_path).running()
    w.round()
    async with AsyncExitStack() as stack:
        await bench(stack, w, 0, 1, 2)
        await seats(stack, w, 0, 1, 2)
        keys = w.keys["validator-3"]
        w.ledger.run_call(keys.address, calls.Register(keys.signing_key, keys.recipient), 0)
        state = w.state()
        unit = next(u for u in _units(state) if u.trainer == w.trainers[0])
        accuse = calls.Accuse(w.task, unit.trainer, court.evidence(state, unit))
        w.ledger.run_call(keys.address, accuse, int(w.plan.bond))
        state = await w.until(lambda s: s.disputes and not s.open_disputes, 200)
    (dispute,) = state.disputes.values()
    assert dispute.ruling is Ruling.REJECTED and len(dispute.ballots) == 3 and not any(dispute.ballots.values())
    assert sum(state.gains[juror] for juror in dispute.jury) == w.plan.bond and unit.trainer not in state.gains
    assert not any(seat.slashed for seat in state.seats)


async def test_an_accused_that_opens_nothing_to_its_jury_is_found_guilty(tmp_path: Path, autojump_clock: Clock) -> None:
    w = world(tmp_path).running()
    w.round()
    async with AsyncExitStack() as stack:
        await bench(stack, w, 0, 1, 2)
        await seats(stack, w, 1, 2)
        keys = w.keys["validator-3"]
        w.ledger.run_call(keys.address, calls.Register(keys.signing_key, keys.recipient), 0)
        state = w.state()
        unit = next(u for u in _units(state) if u.trainer == w.trainers[0])
        accuse = calls.Accuse(w.task, unit.trainer, court.evidence(state, unit))
        w.ledger.run_call(keys.address, accuse, int(w.plan.bond))
        state = await w.until(lambda s: s.disputes and not s.open_disputes, 200)
    assert next(iter(state.disputes.values())).ruling is Ruling.UPHELD


async def test_a_juror_whose_key_is_nonsense_does_not_silence_the_accused(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = world(tmp_path).running()
    w.round()
    state, accused = w.state(), w.trainers[0]
    unit = next(u for u in _units(state) if u.trainer == accused)
    async with AsyncExitStack() as stack:
        nonsense = w.keys["validator-0"]
        w.ledger.run_call(nonsense.address, calls.Register(nonsense.signing_key, bytes(31) + b"x"), VALIDATOR_STAKE)
        w.ledger.run_call(nonsense.address, calls.JoinValidators())
        await bench(stack, w, 1, 2)
        await seats(stack, w, 0, 1, 2)
        accuser = w.keys["validator-3"]
        w.ledger.run_call(accuser.address, calls.Register(accuser.signing_key, accuser.recipient), 0)
        accuse = calls.Accuse(w.task, accused, court.evidence(state, unit))
        w.ledger.run_call(accuser.address, accuse, int(w.plan.bond))
        state = await w.until(lambda s: s.disputes and not s.open_disputes, 300)
    (dispute,) = state.disputes.values()
    assert nonsense.address in dispute.jury and dispute.sealed
    assert dispute.ruling is Ruling.REJECTED, "the two others have seen the work"


async def test_a_quorum_that_confirms_another_result_than_the_log_is_challenged(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = world(tmp_path, window=30).running()
    for _ in range(w.plan.rounds):
        w.round()
    w.ledger.skip(OPEN_S + court.SEED_S + 1)  # nobody draws
    w.say(w.aggregator(), "result", w.publish())
    right = court.true_result(w.state())
    assert right is not None
    wrong = replace(right, units=right.units - 1)
    counts = (wrong.log_position, wrong.round, wrong.units, wrong.aggregates, wrong.audits)
    w.call(w.trainers[1], calls.PublishResult(w.task, wrong.result, *counts, wrong.credits_root))
    w.call(w.trainers[2], calls.ConfirmResult(w.task, wrong.result, *counts, wrong.credits_root))
    async with AsyncExitStack() as stack:
        await bench(stack, w, 0, 1, 2, 3)
        await seats(stack, w, 0)
        state = await w.until(lambda s: s.phase is Phase.SETTLED, 200)
        await w.until(lambda s: w.trainers[0] in s.claims, 60)
    (dispute,) = state.disputes.values()
    assert dispute.challenger == w.trainers[0] and dispute.ruling is Ruling.UPHELD
    assert state.confirmed is not None and state.confirmed.units == right.units
    assert len(w.ledger.calls_of(calls.ChallengeResult)) == 1


def _units(state: State) -> list[Any]:
    return [Unit(u.round, u.chunk, u.author) for each in state.checkpoints for u in each.updates]
