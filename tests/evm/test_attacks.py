"""Attacks that an audit of the contract found, each run to its end: what the attacker has of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shoal.core import calls
from shoal.core import events as ev
from shoal.core.codec import digest
from shoal.core.merkle import AuditLeaf
from shoal.core.money import Tinybar
from shoal.testing.court import DRAW_BLOCKS

from .harness import MIN_DISPUTE_S
from .test_disputes import only, settle_and_claim
from .twin import EVIDENCE, KEY, PLAN, Twin

BOND = int(PLAN.bond)
SIX = replace(PLAN, seats=6, chunks=6)


def six(*, ready: int) -> Twin:
    """Six accepted, and fewer got ready before the client started."""
    twin = Twin(SIX, trainers=6)
    return twin.running(range(6), ready=ready)


# ---------------------------------------------------------------- draining validators by sham disputes


def test_jurors_have_time_to_vote_whatever_the_client_wants() -> None:
    for dispute_time in (1, MIN_DISPUTE_S - 1):
        twin = Twin(replace(PLAN, dispute_time=dispute_time)).registered()
        assert twin.refused(twin.client, twin.create(), int(twin.plan.escrow())) == "InvalidPlan"


@pytest.mark.parametrize("voters", [0, 1])
def test_a_client_gains_nothing_by_jurors_that_sleep(voters: int) -> None:
    """Its own trainer, accused by itself, before jurors of whom one votes at most."""
    twin = Twin(validators=3).running()
    twin(twin.client, calls.Register(KEY, KEY))
    sham = [twin.client, twin.stranger, *twin.trainers]
    before = {who: twin.model.account(who).balance for who in sham}
    stakes = sum(twin.model.court.validator(who).stake for who in twin.validators)
    for number in range(1, 6):
        twin(twin.client, calls.Accuse(twin.task, twin.trainers[0], EVIDENCE), BOND)
        for juror in twin.jury(twin.dispute(number))[:voters]:
            twin(juror, calls.Judge(twin.dispute(number), False))
        twin.wait(PLAN.dispute_time + 1)
        twin(twin.client, calls.Resolve(twin.dispute(number)))
        before[twin.client] += BOND
        assert {who: twin.model.account(who).balance for who in sham} == before, "its bond, and no more"
    left = sum(twin.model.court.validator(who).stake + twin.model.account(who).balance for who in twin.validators)
    assert left == stakes, "what one loses another has"


# ---------------------------------------------------------------- spoilt envelopes


def test_two_that_trained_are_paid_though_four_envelopes_were_spoilt() -> None:
    twin = six(ready=2)
    assert twin.model.tasks[twin.task].quorum == 2
    for idle in twin.trainers[2:]:
        assert twin.refused(idle, twin.publish(twin.result())) == "NotAVoter", "it could not train"
        assert twin.refused(idle, twin.checkpoint()) == "NotAVoter"
    twin(twin.trainers[0], twin.publish(twin.result()))
    assert only(twin(twin.trainers[1], twin.confirm(twin.result())), ev.ResultConfirmed)


def test_who_was_never_ready_takes_stake_and_compensation_at_once_and_loses_nothing() -> None:
    twin = six(ready=3)
    bystander = twin.trainers[4]
    (released,) = twin(bystander, calls.Release(twin.task, bystander))
    assert (released.stake_returned, released.compensation) == (PLAN.stake_per_seat, PLAN.compensation)  # type: ignore[union-attr]
    assert twin.refused(bystander, calls.Release(twin.task, bystander)) == "AlreadyClosed"
    assert twin.refused(twin.stranger, calls.Release(twin.task, twin.trainers[0])) == "WrongPhase"
    twin(twin.stranger, calls.Register(KEY, KEY))
    accuse = calls.Accuse(twin.task, twin.trainers[3], EVIDENCE)
    assert twin.refused(twin.stranger, accuse, BOND) == "NotReady", "it has done no work"
    # A quorum withholds its votes; the jury of the appeal finds for the first trainer.
    twin(twin.trainers[0], twin.publish(twin.result()))
    twin.at(SIX.end_by + 1)
    twin(twin.trainers[0], calls.Appeal(twin.task, twin.result()), BOND)
    twin.judged(twin.dispute(), True, True, True)
    settle_and_claim(twin, 0, 1, 2)
    idle = twin.trainers[3]
    leaf = calls.Claim(twin.task, idle, 0, 0, False, ())
    assert twin.refused(idle, leaf) == "NotReady", "released, not paid by the credits"
    twin.wait(31 * 24 * 3600)
    twin(twin.stranger, calls.Expire(twin.task))
    for each in (idle, twin.trainers[5]):
        twin(twin.stranger, calls.Release(twin.task, each))
    twin.leave_no_money()
    assert [twin.gain(each) for each in twin.trainers[3:]] == [PLAN.compensation] * 3


@pytest.mark.parametrize("end", ["settled by the worst case", "expired", "ended on progress"])
def test_the_escrow_bears_the_worst_case_and_every_seat_left_out(end: str) -> None:
    """Every unit at the ceiling, every aggregate and audit, and as many left out as a plan allows."""
    plan = replace(SIX, compensation=Tinybar(777))
    twin = Twin(plan, trainers=6)
    twin.award = replace(twin.award, unit_price=plan.max_unit_price)
    twin.running(range(6), ready=2)
    first, second, *idle = twin.trainers
    twin(idle[0], calls.Release(twin.task, idle[0]))
    most = twin.result(units=12, aggregates=2, audits=4)
    if end == "settled by the worst case":
        twin(first, twin.publish(most))
        twin(second, twin.confirm(most))
        twin(idle[1], calls.Release(twin.task, idle[1]))
        twin.wait(plan.window)
        settled = only(twin(first, calls.Settle(twin.task)), ev.Settled)
        assert (settled.refunded, settled.reserved) == (0, plan.escrow() - 2 * 777)
    else:
        if end == "ended on progress":
            for voter in (first, second):
                twin(voter, twin.checkpoint())
        twin.at(plan.end_by + plan.dispute_time + 1)
        twin(first, calls.Expire(twin.task))
    twin.wait(31 * 24 * 3600)
    twin.try_call(first, calls.Expire(twin.task))
    for each in twin.trainers:
        twin.try_call(first, calls.Release(twin.task, each))
    twin.leave_no_money()
    assert [twin.gain(each) for each in idle] == [777] * 4


# ---------------------------------------------------------------- false progress


def test_no_round_has_more_work_than_was_possible_by_then() -> None:
    twin = Twin().running()
    for voter in twin.trainers[:2]:
        assert twin.refused(voter, replace(twin.checkpoint(1), units=PLAN.chunks + 1)) == "OutOfBounds"
        assert twin.refused(voter, replace(twin.checkpoint(1), aggregates=2)) == "OutOfBounds"
    assert twin.refused(twin.trainers[0], twin.publish(twin.result(round=1))) == "OutOfBounds"


def test_a_false_progress_is_put_right_by_an_appeal_and_costs_those_who_voted_for_it() -> None:
    twin = Twin().running()
    false = replace(twin.checkpoint(2), units=12)
    for cheat in twin.trainers[:2]:
        twin(cheat, false)
    right = twin.result()  # of fewer units
    assert right.units < false.units
    assert twin.refused(twin.trainers[2], twin.publish(right)) == "BelowProgress"
    twin.at(PLAN.end_by + 1)
    twin(twin.trainers[2], calls.Appeal(twin.task, right), BOND)
    assert only(twin.judged(twin.dispute(), True, True, True), ev.ResultReplaced).result == right.result
    claims = [event for event in settle_and_claim(twin, 0, 1, 2) if isinstance(event, ev.Claimed)]
    assert [each.penalty + each.finder_fee for each in claims] == [PLAN.slash, PLAN.slash, PLAN.no_show_penalty]
    assert [each.units for each in claims] == [4, 3, 2], "the credits are the right ones"


# ---------------------------------------------------------------- sham disputes that keep out honest ones


def test_a_sham_challenge_keeps_no_other_out_and_costs_its_bond() -> None:
    twin = Twin().settling()
    sham, right = twin.result(result=digest(b"sham")), twin.result(result=digest(b"right"))
    for who in (twin.stranger, twin.client):
        twin(who, calls.Register(KEY, KEY))
    twin(twin.client, calls.ChallengeResult(twin.task, sham), BOND)
    assert twin.refused(twin.stranger, calls.ChallengeResult(twin.task, sham), BOND) == "AlreadyDisputed"
    twin(twin.stranger, calls.ChallengeResult(twin.task, right), BOND)
    before = twin.model.account(twin.client).balance
    twin.judged(twin.dispute(1), False, False, False)
    assert twin.model.account(twin.client).balance == before, "nothing of it comes back to the client"
    assert only(twin.judged(twin.dispute(2), True, True, True), ev.ResultReplaced).result == right.result


def test_of_two_juries_that_replace_a_result_the_first_has_done_it() -> None:
    twin = Twin().settling()
    twin(twin.stranger, calls.Register(KEY, KEY))
    for name in (b"one", b"two"):
        twin(twin.stranger, calls.ChallengeResult(twin.task, twin.result(result=digest(name))), BOND)
    twin.judged(twin.dispute(2), True, True, True)
    closed = only(twin.judged(twin.dispute(1), True, True, True), ev.DisputeClosed)
    assert (closed.state, closed.bond_returned) == (4, BOND)
    assert twin.model.tasks[twin.task].result == twin.result(result=digest(b"two"))


def test_a_sham_accusation_shields_nobody_and_nobody_is_slashed_twice() -> None:
    twin = Twin().running()
    cheat, friend = twin.trainers[0], twin.trainers[1]
    twin(friend, calls.Accuse(twin.task, cheat, digest(b"nonsense")), BOND)
    dispute = twin.dispute(2)
    twin.accused()
    twin(friend, calls.Accuse(twin.task, cheat, digest(b"more")), BOND)
    assert only(twin.judged(dispute, True, True, True), ev.Slashed).trainer == cheat
    before = twin.model.account(cheat).balance, twin.model.account(friend).balance
    twin.judged(twin.dispute(1), False, False, False)
    assert (twin.model.account(cheat).balance, twin.model.account(friend).balance) == before
    again = twin.judged(twin.dispute(3), True, True, True)
    assert only(again, ev.DisputeClosed).state == 4 and not any(isinstance(each, ev.Slashed) for each in again)
    assert twin.model.account(cheat).stake == PLAN.stake_per_seat - PLAN.slash


# ---------------------------------------------------------------- draws


def test_a_committee_is_whole_or_it_is_not_drawn() -> None:
    twin = Twin(validators=2).settling()
    twin(twin.client, calls.RequestDraw(twin.task))
    twin.wait(2)
    assert twin.refused(twin.client, calls.Draw(twin.task)) == "TooFewValidators"
    assert twin.model.tasks[twin.task].drawn_round == 0


def test_only_who_may_vote_asks_for_a_draw() -> None:
    twin = six(ready=2)
    twin(twin.trainers[0], twin.checkpoint())
    twin(twin.trainers[1], twin.checkpoint())
    twin.judged(twin.accused(0), True, True, True)
    for who in (twin.trainers[0], twin.trainers[5], twin.stranger):
        assert twin.refused(who, calls.RequestDraw(twin.task)) == "NotAVoter"
    twin(twin.client, calls.RequestDraw(twin.task))


def test_a_stake_cannot_leave_before_a_draw_that_may_name_its_owner() -> None:
    twin = Twin(validators=3).running()
    who = twin.validators[0]
    twin(who, calls.LeaveValidators())
    twin.wait(1)
    dispute = twin.accused()
    twin.wait(2)
    assert twin.refused(twin.stranger, calls.DrawJury(dispute)) == "TooFewValidators", "it left before"
    twin(who, calls.JoinValidators())
    assert twin.refused(twin.stranger, calls.DrawJury(dispute)) == "TooFewValidators", "and came too late"
    twin.wait(DRAW_BLOCKS + 1)
    twin(who, calls.LeaveValidators())
    twin.wait(DRAW_BLOCKS)
    assert twin.refused(who, calls.LeaveValidators()) == "StillDrawable"


# ---------------------------------------------------------------- credits, power


def test_a_claim_that_promises_too_much_leaves_the_seat_to_its_release() -> None:
    twin = Twin()
    twin.audits = [AuditLeaf(who, 1) for who in twin.validators[:2]]
    twin.settling(twin.result(units=4))
    settle_and_claim(twin, 0)
    assert twin.refused(twin.stranger, twin.claim(1)) == "CreditsExhausted"
    twin.wait(31 * 24 * 3600)
    twin(twin.stranger, calls.Expire(twin.task))
    twin(twin.stranger, calls.Release(twin.task, twin.trainers[1]))
    assert twin.model.account(twin.trainers[1]).locked == 0


def test_the_power_to_pause_is_not_given_up_while_it_is_used() -> None:
    twin = Twin().registered()
    deployer, market = twin.chain.account("deployer"), twin.market
    market(deployer, "pause")
    with pytest.raises(Exception, match="EnforcedPause"):
        market(deployer, "renounceOwnership")
    market(deployer, "unpause")
    market(deployer, "renounceOwnership")
    twin(twin.client, twin.create(), int(twin.plan.escrow()))
