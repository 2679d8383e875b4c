"""Audits and disputes in the contract, to each of their ends: who pays whom, to the tinybar, as the model has it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shoal.core import calls
from shoal.core import events as ev
from shoal.core.codec import digest
from shoal.core.events import Event
from shoal.core.ids import Address, Digest
from shoal.core.money import Tinybar
from shoal.testing.court import DRAW_BLOCKS

from .harness import UNBONDING_S, VALIDATOR_STAKE
from .twin import ABI, EVIDENCE, KEY, PLAN, Twin

BOND, PRICE, SLASH = int(PLAN.bond), int(PLAN.audit_price), int(PLAN.slash)
TO_FINDER = SLASH * PLAN.finder_share // 10_000
WRONG = {"result": digest(b"wrong")}


def only(events: list[Event], kind: type[Any]) -> Any:
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


def settle_and_claim(twin: Twin, *who: int) -> list[Event]:
    """Close the books and make the claims; their events."""
    twin.at(max(twin.chain.now_s, twin.model.tasks[twin.task].settle_after))
    twin(twin.stranger, calls.Settle(twin.task))
    return [event for i in who for event in twin(twin.stranger, twin.claim(i))]


# ---------------------------------------------------------------- stake


def test_stake_takes_its_time_to_come_back_and_may_stay_after_all() -> None:
    twin = Twin().registered()
    who = twin.trainers[0]
    twin(who, calls.RequestUnstake(Tinybar(100)))
    twin.wait(UNBONDING_S - 1)
    twin(who, calls.RequestUnstake(Tinybar(50)))
    twin.wait(UNBONDING_S - 1)
    assert twin.refused(who, calls.CompleteUnstake()) == "TooEarly", "a further request starts the clock anew"
    twin(who, calls.CancelUnstake())
    assert twin.refused(who, calls.CompleteUnstake()) == "NothingToUnstake"
    twin(who, calls.RequestUnstake(Tinybar(10_000)))
    assert twin.refused(who, calls.RequestUnstake(Tinybar(1))) == "InsufficientStake"
    twin.wait(UNBONDING_S)
    twin(who, calls.CompleteUnstake())
    assert twin.model.account(who).balance == 10_000
    twin.leave_no_money()


# ---------------------------------------------------------------- validators


def test_a_validator_locks_its_stake_and_gets_it_back_when_it_has_left() -> None:
    twin = Twin().registered()
    who = twin.validators[1]
    assert twin.refused(who, calls.JoinValidators()) == "AlreadyValidator"
    assert twin.refused(who, calls.RequestUnstake(Tinybar(1))) == "InsufficientStake"
    (left,) = twin(who, calls.LeaveValidators())
    assert isinstance(left, ev.ValidatorLeft)
    twin.wait(DRAW_BLOCKS)
    assert twin.refused(who, calls.LeaveValidators()) == "StillDrawable", "for draws that were asked for before"
    twin.wait(1)
    (requested,) = twin(who, calls.LeaveValidators())
    assert isinstance(requested, ev.UnstakeRequested) and requested.amount == VALIDATOR_STAKE
    assert twin.refused(who, calls.LeaveValidators()) == "NotAValidator"
    assert twin.model.court.pool == [twin.validators[i] for i in (0, 3, 2)]
    twin(who, calls.CancelUnstake())
    twin(who, calls.JoinValidators())
    assert twin.model.court.pool == [twin.validators[i] for i in (0, 3, 2, 1)]
    twin.leave_no_money()
    assert all(twin.gain(each) == 0 for each in twin.everyone)


def test_who_has_not_the_stake_or_is_not_registered_cannot_be_a_validator() -> None:
    twin = Twin().registered()
    assert twin.refused(twin.stranger, calls.JoinValidators()) == "NotRegistered"
    twin(twin.stranger, calls.Register(KEY, KEY), VALIDATOR_STAKE - 1)
    assert twin.refused(twin.stranger, calls.JoinValidators()) == "InsufficientStake"
    assert twin.refused(twin.stranger, calls.LeaveValidators()) == "NotAValidator"


def test_a_juror_leaves_the_pool_at_once_and_gets_its_stake_when_its_duty_is_done() -> None:
    twin = Twin().running()
    dispute = twin.accused()
    juror, *others = twin.jury(dispute)
    (left,) = twin(juror, calls.LeaveValidators())
    assert isinstance(left, ev.ValidatorLeft)
    assert twin.refused(juror, calls.LeaveValidators()) == "OnDuty"
    for each in (juror, *others):
        twin(each, calls.Judge(dispute, False))
    twin(twin.stranger, calls.Resolve(dispute))
    twin.wait(DRAW_BLOCKS + 1)
    (requested,) = twin(juror, calls.LeaveValidators())
    assert isinstance(requested, ev.UnstakeRequested) and requested.amount == VALIDATOR_STAKE


# ---------------------------------------------------------------- draws


def test_what_is_audited_is_drawn_after_it_was_confirmed() -> None:
    twin = Twin().running()
    request, draw = calls.RequestDraw(twin.task), calls.Draw(twin.task)
    assert twin.refused(twin.client, request) == "NothingToDraw"
    for trainer in twin.trainers[:2]:
        twin(trainer, twin.checkpoint(1))
    assert twin.refused(twin.stranger, request) == "NotAVoter"
    assert twin.refused(twin.stranger, draw) == "NothingToDraw"
    twin(twin.client, request)
    assert twin.refused(twin.trainers[0], request) == "AlreadyRequested"
    assert twin.refused(twin.stranger, draw) == "SeedNotYet", "the seed is of the next block, which nobody knows yet"
    twin.wait(1)
    assert twin.refused(twin.stranger, draw) == "SeedNotYet"
    twin.wait(1)
    (drawn,) = twin(twin.stranger, draw)
    assert isinstance(drawn, ev.Drawn) and drawn.round == 1
    committee = [member.validator for member in drawn.committee]
    assert len(set(committee)) == PLAN.auditors and set(committee) <= set(twin.validators)
    assert all(member.signing_key == KEY for member in drawn.committee)
    assert twin.refused(twin.client, request) == "NothingToDraw", "once for each confirmed round"


def asked_for(twin: Twin) -> Twin:
    """A draw, in the block before this one's last but one: it can be made from now on."""
    twin.settling()
    twin(twin.client, calls.RequestDraw(twin.task))
    twin.wait(2)
    return twin


def committee_of(events: list[Event]) -> list[Address]:
    return [member.validator for member in only(events, ev.Drawn).committee]


def test_a_draw_that_was_undone_gives_the_same_when_it_is_made_again() -> None:
    """A batch, a contract or too little gas may undo a draw that somebody does not like: there is nothing in it."""
    twin = asked_for(Twin(validators=12))
    wrapper, market = twin.chain.account("wrapper", 0), twin.market.address
    # calldatacopy; call the market with it; revert with its answer
    code = "365f5f375f5f365f5f73" + market.hex() + "5af1503d5f5f3e3d5ffd"
    twin.chain.state.set_code(wrapper, bytes.fromhex(code))
    data = twin.market.encode("draw", twin.task)
    for _ in range(3):
        done, _ = twin.chain.transact(twin.stranger, wrapper, data)
        assert done.is_error
        twin.wait(40)
    late = committee_of(twin(twin.stranger, calls.Draw(twin.task)))
    assert late == committee_of(asked_for(Twin(validators=12))(twin.stranger, calls.Draw(twin.task)))


def test_who_comes_or_leaves_after_the_request_changes_nothing() -> None:
    """Places are taken over and given up between the request and the draw; the draw is of the pool before it."""
    still = committee_of(asked_for(Twin(validators=6))(Twin().stranger, calls.Draw(Twin().task)))
    twin = asked_for(Twin(validators=6))
    twin(twin.stranger, calls.Register(KEY, KEY), VALIDATOR_STAKE)
    twin(twin.stranger, calls.JoinValidators())
    for who in (still[0], *(set(twin.validators) - set(still))):
        twin(who, calls.LeaveValidators())
    twin(still[0], calls.JoinValidators())
    assert committee_of(twin(twin.client, calls.Draw(twin.task))) == still


def test_a_draw_that_nobody_made_in_time_is_asked_for_anew() -> None:
    twin = asked_for(Twin())
    twin.at(twin.model.tasks[twin.task].draw_block + DRAW_BLOCKS)
    twin.model.tasks[twin.task].settle_after += 10 * DRAW_BLOCKS
    twin.checks = False  # the window is longer here than there
    twin.wait(1)
    (asked,) = twin(twin.stranger, calls.Draw(twin.task))
    assert isinstance(asked, ev.DrawRequested)
    assert twin.refused(twin.stranger, calls.Draw(twin.task)) == "SeedNotYet"
    twin.wait(DRAW_BLOCKS)
    assert len(committee_of(twin(twin.stranger, calls.Draw(twin.task)))) == PLAN.auditors


def test_a_jury_that_nobody_drew_in_time_is_asked_for_anew() -> None:
    twin = Twin(replace(PLAN, dispute_time=1_000)).running()
    dispute = twin.accused()
    twin.wait(DRAW_BLOCKS + 1)
    (asked,) = twin(twin.stranger, calls.DrawJury(dispute))
    assert asked == ev.JuryRequested(twin.task, dispute)
    assert twin.refused(twin.stranger, calls.DrawJury(dispute)) == "SeedNotYet"
    assert len(twin.jury(dispute)) == PLAN.auditors


def test_nobody_with_a_part_in_the_task_is_drawn() -> None:
    """Two trainers, and the client, are validators as well: of those left there are too few, and none is drawn."""
    twin = Twin(validators=2)
    twin.registered()
    for who in (twin.client, *twin.trainers[:2]):
        if who == twin.client:
            twin(who, calls.Register(KEY, KEY), VALIDATOR_STAKE)
        else:
            twin(who, calls.DepositStake(), VALIDATOR_STAKE)
        twin(who, calls.JoinValidators())
    twin.registered = lambda: twin  # type: ignore[method-assign]
    asked_for(twin)
    assert twin.refused(twin.stranger, calls.Draw(twin.task)) == "TooFewValidators"
    dispute = twin.accused(2)
    twin.wait(2)
    assert twin.refused(twin.stranger, calls.DrawJury(dispute)) == "TooFewValidators", "only time makes it void"
    twin.wait(PLAN.dispute_time)
    closed = only(twin(twin.stranger, calls.Resolve(dispute)), ev.DisputeClosed)
    assert (closed.state, closed.bond_to, closed.bond_returned) == (4, twin.stranger, BOND)


def test_a_pool_full_of_people_with_a_part_in_the_task_still_gives_a_jury() -> None:
    """Of 40 validators 36 are trainers; the other four are found, however long it takes."""
    many = 36
    plan = replace(PLAN, seats=many, chunks=many)
    twin = Twin(plan, trainers=many)
    twin.checks = False
    twin.registered()
    for who in twin.trainers:
        twin(who, calls.DepositStake(), VALIDATOR_STAKE)
        twin(who, calls.JoinValidators())
    twin.registered = lambda: twin  # type: ignore[method-assign]
    twin.running(range(many))
    twin(twin.stranger, calls.Register(KEY, KEY))
    for number, trainer in enumerate(twin.trainers[:12], 1):
        twin(twin.stranger, calls.Accuse(twin.task, trainer, EVIDENCE), BOND)
        assert set(twin.jury(twin.dispute(number))) < set(twin.validators)


def test_a_pool_that_empties_after_an_accusation_is_drawn_from_all_the_same() -> None:
    twin = Twin().running()
    dispute = twin.accused()
    for who in twin.validators:
        twin(who, calls.LeaveValidators())
    jury = twin.jury(dispute)
    assert len(jury) == PLAN.auditors
    twin.wait(DRAW_BLOCKS)
    assert twin.refused(jury[0], calls.LeaveValidators()) == "OnDuty", "its stake answers for it"


def test_audits_are_paid_by_the_credits_to_those_that_were_drawn() -> None:
    twin = asked_for(Twin())
    drawn = only(twin(twin.stranger, calls.Draw(twin.task)), ev.Drawn)
    committee = {member.validator for member in drawn.committee}
    assert twin.refused(twin.stranger, twin.claim_audits(0)) in ("WrongPhase", "NotAuditor")
    settle_and_claim(twin, 0, 1, 2)
    for i, validator in enumerate(twin.validators[:2]):
        if validator not in committee:
            assert twin.refused(twin.stranger, twin.claim_audits(i)) == "NotAuditor"
            continue
        wrong = replace(twin.claim_audits(i), audits=3)
        assert twin.refused(validator, wrong) == "BadProof"
        claimed = only(twin(twin.stranger, twin.claim_audits(i)), ev.AuditsClaimed)
        assert claimed.paid == twin.audits[i].audits * PRICE
        assert twin.refused(validator, twin.claim_audits(i)) == "AlreadyClosed"
    twin.wait(31 * 24 * 3600)
    twin(twin.stranger, calls.Expire(twin.task))
    twin.leave_no_money()


# ---------------------------------------------------------------- fraud


def test_proven_fraud_costs_stake_and_pay_and_is_shared_by_finder_and_client() -> None:
    twin = Twin().settling()
    events = twin.judged(twin.accused(), True, True, False)
    slashed = only(events, ev.Slashed)
    assert (slashed.trainer, slashed.to_finder, slashed.to_client) == (twin.trainers[0], TO_FINDER, SLASH - TO_FINDER)
    pot = BOND + PRICE  # and what the juror that was wrong loses
    assert [event.amount for event in events if isinstance(event, ev.JurorPaid)] == [pot // 2, pot // 2]
    assert only(events, ev.JurorFined).amount == PRICE
    claims = [event for event in settle_and_claim(twin, 0, 1, 2) if isinstance(event, ev.Claimed)]
    assert (claims[0].paid, claims[0].forfeited) == (0, 4 * 900)
    assert (claims[0].stake_returned, claims[0].penalty) == (PLAN.stake_per_seat - SLASH, 0)
    assert claims[1].paid == 3 * 900 + 77 and claims[1].forfeited == 0
    twin.wait(31 * 24 * 3600)
    twin(twin.stranger, calls.Expire(twin.task))
    twin.leave_no_money()
    assert twin.gain(twin.trainers[0]) == -SLASH
    assert twin.gain(twin.stranger) == TO_FINDER - BOND, "the bond is the jury's"
    no_show = int(PLAN.no_show_penalty)
    assert twin.gain(twin.trainers[2]) == 2 * 900 - no_show
    assert twin.gain(twin.client) == (SLASH - TO_FINDER) + no_show - (3 * 900 + 77) - 2 * 900


def test_a_slashed_trainer_has_no_vote() -> None:
    twin = Twin().running()
    twin.judged(twin.accused(), True, True, True)
    assert twin.refused(twin.trainers[0], twin.publish(twin.result())) == "NotAVoter"
    accuse = calls.Accuse(twin.task, twin.trainers[0], EVIDENCE)
    assert twin.refused(twin.stranger, accuse, BOND) == "AlreadySlashed"
    twin(twin.trainers[1], twin.publish(twin.result()))
    twin(twin.client, twin.confirm(twin.result()))
    claimed = only(settle_and_claim(twin, 0), ev.Claimed)
    assert claimed.forfeited and not claimed.paid


def test_who_cries_wolf_loses_its_bond_to_the_jury() -> None:
    twin = Twin().running()
    events = twin.judged(twin.accused(), False, False, True)
    closed = only(events, ev.DisputeClosed)
    assert (closed.state, closed.bond_returned) == (3, 0)
    assert sum(event.amount for event in events if isinstance(event, ev.JurorPaid)) == BOND + PRICE
    assert not any(twin.model.account(who).balance for who in (twin.stranger, twin.client, twin.trainers[0]))
    assert twin.model.account(twin.trainers[0]).locked == PLAN.stake_per_seat


@pytest.mark.parametrize("votes", [(), (True,), (True, False)])
def test_a_jury_that_does_not_agree_in_time_ends_nothing_but_the_dispute(votes: tuple[bool, ...]) -> None:
    twin = Twin().running()
    dispute = twin.accused()
    jury = twin.jury(dispute)
    for juror, vote in zip(jury, votes, strict=False):
        twin(juror, calls.Judge(dispute, vote))
    assert twin.refused(twin.stranger, calls.Resolve(dispute)) == "TooEarly"
    twin.wait(PLAN.dispute_time)
    twin(jury[-1], calls.Judge(dispute, True)) if not votes else None
    twin.wait(1)
    assert twin.refused(jury[-1], calls.Judge(dispute, True)) in ("TooLate", "AlreadyJudged")
    events = twin(twin.stranger, calls.Resolve(dispute))
    closed = only(events, ev.DisputeClosed)
    assert (closed.state, closed.bond_to, closed.bond_returned) == (4, twin.stranger, BOND)
    sleepers = [event for event in events if isinstance(event, ev.JurorFined)]
    voters = [event for event in events if isinstance(event, ev.JurorPaid)]
    assert len(sleepers) == 3 - max(1, len(votes)) and len(voters) == max(1, len(votes))
    assert sum(event.amount for event in voters) == PRICE * len(sleepers), "and nobody else has anything of it"
    assert twin.refused(twin.stranger, calls.Resolve(dispute)) == "AlreadyResolved"


def test_a_dispute_whose_jury_nobody_draws_ends_by_time() -> None:
    twin = Twin().running()
    dispute = twin.accused()
    assert twin.refused(twin.validators[0], calls.Judge(dispute, True)) == "NotAJuror"
    assert twin.refused(twin.stranger, calls.DrawJury(dispute)) == "SeedNotYet"
    assert twin.refused(twin.stranger, calls.Resolve(dispute)) == "TooEarly"
    twin.wait(PLAN.dispute_time + 1)
    assert twin.refused(twin.stranger, calls.DrawJury(dispute)) == "TooLate"
    closed = only(twin(twin.client, calls.Resolve(dispute)), ev.DisputeClosed)
    assert (closed.state, closed.bond_returned) == (4, BOND)
    (again,) = twin(twin.stranger, calls.Accuse(twin.task, twin.trainers[0], EVIDENCE), BOND)
    assert isinstance(again, ev.DisputeOpened) and again.dispute_id == twin.dispute(2)


def test_a_juror_that_is_fined_too_often_leaves_the_pool_and_is_never_fined_more_than_it_has() -> None:
    """Two sleep through dispute after dispute, one votes; each costs a sixteenth or so of their stake."""
    twin = Twin(validators=3).running()
    twin(twin.stranger, calls.Register(KEY, KEY))
    awake, *asleep = twin.validators
    rounds = 0
    while len(twin.model.court.pool) == 3:
        twin(twin.stranger, calls.Accuse(twin.task, twin.trainers[0], EVIDENCE), BOND)
        rounds += 1
        twin.jury(twin.dispute(rounds))
        twin(awake, calls.Judge(twin.dispute(rounds), True))
        twin.wait(PLAN.dispute_time + 1)
        twin(twin.stranger, calls.Resolve(twin.dispute(rounds)))
    assert twin.model.court.pool == [awake], "both of them at once"
    stake = VALIDATOR_STAKE - rounds * PRICE
    assert stake < VALIDATOR_STAKE // 2 <= stake + PRICE
    assert all(twin.model.court.validator(who).stake == stake for who in asleep)
    assert twin.model.account(awake).balance == 2 * rounds * PRICE
    twin(asleep[0], calls.DepositStake(), rounds * PRICE)
    twin(asleep[0], calls.JoinValidators())
    assert twin.model.court.validator(asleep[0]).stake == VALIDATOR_STAKE


def test_more_juries_than_a_stake_bears_are_all_ended() -> None:
    """Seventeen trainers are accused at once before the same three jurors, whose stakes bear sixteen fines."""
    many = 17
    price = Tinybar(VALIDATOR_STAKE // 16)
    plan = replace(PLAN, seats=many, chunks=many, audit_price=price, bond=Tinybar(3 * price))
    twin = Twin(plan, trainers=many, validators=3).running(range(many))
    twin(twin.stranger, calls.Register(KEY, KEY))
    for trainer in twin.trainers:
        twin(twin.stranger, calls.Accuse(twin.task, trainer, EVIDENCE), int(plan.bond))
    twin.wait(2)
    for number in range(1, many + 1):
        twin(twin.stranger, calls.DrawJury(twin.dispute(number)))
        twin(twin.validators[0], calls.Judge(twin.dispute(number), False))
    twin.wait(PLAN.dispute_time + 1)
    for number in range(1, many + 1):
        fines = [
            event.amount
            for event in twin(twin.stranger, calls.Resolve(twin.dispute(number)))
            if isinstance(event, ev.JurorFined)
        ]
        assert fines == [price if number < many else 0] * 2
    assert twin.refused(twin.validators[1], calls.LeaveValidators()) == "NotAValidator", "there is nothing left"


# ---------------------------------------------------------------- results


def test_a_wrong_result_is_replaced_and_those_who_voted_for_it_pay() -> None:
    twin = Twin().settling()
    wrong, right = twin.model.tasks[twin.task].result, twin.result(**WRONG)  # which of them is right, the jury says
    assert wrong is not None
    twin(twin.stranger, calls.Register(KEY, KEY))
    challenge = calls.ChallengeResult(twin.task, right)
    assert twin.refused(twin.stranger, replace(challenge, right=wrong), BOND) == "SameResult"
    opened, proposed = twin(twin.stranger, challenge, BOND)
    assert isinstance(opened, ev.DisputeOpened) and opened.kind == 1
    assert isinstance(proposed, ev.ReplacementProposed) and proposed.result == right
    assert twin.refused(twin.stranger, challenge, BOND) == "AlreadyDisputed"
    replaced = only(twin.judged(twin.dispute(), True, True, True), ev.ResultReplaced)
    assert replaced.result == right.result
    assert twin.refused(twin.stranger, replace(challenge, right=wrong), BOND) == "AlreadyDisputed", "once"
    claims = [event for event in settle_and_claim(twin, 0, 1, 2) if isinstance(event, ev.Claimed)]
    assert [(each.penalty, each.finder_fee) for each in claims] == [
        (SLASH - TO_FINDER, TO_FINDER),
        (SLASH - TO_FINDER, TO_FINDER),
        (PLAN.no_show_penalty, 0),
    ]
    assert [each.paid for each in claims] == [4 * 900, 3 * 900 + 77, 2 * 900], "the credits are the right ones"
    twin.wait(31 * 24 * 3600)
    twin(twin.stranger, calls.Expire(twin.task))
    twin.leave_no_money()
    assert twin.gain(twin.stranger) == 2 * TO_FINDER - BOND


def test_nothing_is_settled_while_its_result_is_disputed() -> None:
    twin = Twin().settling()
    twin(twin.stranger, calls.Register(KEY, KEY))
    settle_after = twin.model.tasks[twin.task].settle_after
    twin.at(settle_after - 1)
    twin(twin.stranger, calls.ChallengeResult(twin.task, twin.result(**WRONG)), BOND)
    twin.at(settle_after)
    assert twin.refused(twin.client, calls.Settle(twin.task)) == "DisputesOpen"
    events = twin.judged(twin.dispute(), False, False, False)
    assert only(events, ev.DisputeClosed).bond_returned == 0
    twin(twin.client, calls.Settle(twin.task))
    again = calls.ChallengeResult(twin.task, twin.result(**WRONG))
    assert twin.refused(twin.stranger, again, BOND) == "WrongPhase"


def test_after_the_window_no_dispute_is_opened() -> None:
    twin = Twin().settling()
    twin(twin.stranger, calls.Register(KEY, KEY))
    twin.at(twin.model.tasks[twin.task].settle_after)
    assert twin.refused(twin.stranger, calls.ChallengeResult(twin.task, twin.result(**WRONG)), BOND) == "TooLate"
    assert twin.refused(twin.stranger, calls.Accuse(twin.task, twin.trainers[0], EVIDENCE), BOND) == "TooLate"


# ---------------------------------------------------------------- appeals


def test_a_withheld_confirmation_is_made_up_for_by_a_jury_and_costs_those_who_withheld() -> None:
    twin = Twin().running()
    twin(twin.trainers[0], twin.publish(twin.result()))
    appeal = calls.Appeal(twin.task, twin.result())
    assert twin.refused(twin.trainers[0], appeal, BOND) == "TooEarly"
    twin.at(PLAN.end_by + 1)
    assert twin.refused(twin.trainers[1], calls.Expire(twin.task)) == "TooEarly", "there is time to appeal first"
    twin(twin.trainers[0], appeal, BOND)
    twin.at(PLAN.end_by + PLAN.dispute_time)
    twin.wait(1)
    assert twin.refused(twin.trainers[1], calls.Expire(twin.task)) == "DisputesOpen"
    twin.at(PLAN.end_by + 1)
    events = twin.judged(twin.dispute(), True, True, True)
    assert only(events, ev.ResultReplaced).settle_after == twin.chain.now_s
    claims = [event for event in settle_and_claim(twin, 0, 1, 2) if isinstance(event, ev.Claimed)]
    penalty = int(PLAN.no_show_penalty)
    to_finder = penalty * PLAN.finder_share // 10_000
    assert [(each.penalty, each.finder_fee) for each in claims] == [(0, 0), *[(penalty - to_finder, to_finder)] * 2]
    assert [each.paid for each in claims] == [4 * 900, 3 * 900 + 77, 2 * 900]


def test_an_appeal_comes_in_its_time_or_not_at_all() -> None:
    twin = Twin().running()
    twin.at(PLAN.end_by + PLAN.dispute_time + 1)
    assert twin.refused(twin.trainers[0], calls.Appeal(twin.task, twin.result()), BOND) == "TooLate"
    assert twin.refused(twin.stranger, calls.Accuse(twin.task, twin.trainers[0], EVIDENCE), BOND) == "NotRegistered"
    twin(twin.stranger, calls.Register(KEY, KEY))
    assert twin.refused(twin.stranger, calls.Accuse(twin.task, twin.trainers[0], EVIDENCE), BOND) == "TooLate"
    twin(twin.stranger, calls.Expire(twin.task))
    for trainer in twin.trainers[:3]:
        twin(twin.stranger, calls.Release(twin.task, trainer))
    twin.leave_no_money()


def test_an_appeal_that_is_rejected_leaves_the_task_to_its_deadline() -> None:
    twin = Twin().running()
    for trainer in twin.trainers[:2]:
        twin(trainer, twin.checkpoint(1))
    twin.at(PLAN.end_by + 1)
    twin(twin.trainers[0], calls.Appeal(twin.task, twin.result()), BOND)
    assert twin.refused(twin.trainers[1], calls.Appeal(twin.task, twin.result()), BOND) == "AlreadyDisputed"
    twin.judged(twin.dispute(), False, False, False)
    twin.at(PLAN.end_by + PLAN.dispute_time + 1)
    expired, settled = twin(twin.stranger, calls.Expire(twin.task))
    assert isinstance(expired, ev.Expired) and isinstance(settled, ev.Settled)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"auditors": 0}, "auditors"),
        ({"auditors": 2}, "auditors"),
        ({"auditors": 9}, "auditors"),
        ({"audit_price": Tinybar(0)}, "auditPrice"),
        ({"audit_price": Tinybar(VALIDATOR_STAKE // 16 + 1)}, "auditPrice"),
        ({"audits": 2**31}, "audits"),
        ({"bond": Tinybar(3 * PRICE - 1)}, "bond"),
        ({"slash": Tinybar(0)}, "slash"),
        ({"slash": Tinybar(PLAN.stake_per_seat + 1)}, "slash"),
        ({"finder_share": 10_001}, "finderShare"),
        ({"finder_share": 3_332}, "finderShare"),  # the finder would get less than its bond
        ({"dispute_time": 0}, "disputeTime"),
        ({"dispute_time": 39}, "disputeTime"),
        ({"window": 0}, "window"),
        ({"window": 39}, "window"),
        ({"dispute_time": 30 * 24 * 3600 + 1}, "disputeTime"),
    ],
)
def test_a_plan_whose_disputes_do_not_hold_together_is_refused(change: dict[str, int], field: str) -> None:
    twin = Twin(replace(PLAN, **change)).registered()  # type: ignore[arg-type]
    value = min(int(twin.plan.escrow()), 10**15)
    assert twin.refused(twin.client, twin.create(), value) == "InvalidPlan"
    done, _ = twin.chain.transact(twin.client, twin.market.address, ABI.encode(twin.create()), value=value)
    assert twin.market.reverted(done.output, 0).arguments == {"field": field.encode().ljust(32, b"\0")}


def test_a_task_without_auditors_has_no_disputes() -> None:
    plain = replace(
        PLAN,
        auditors=0,
        audit_price=Tinybar(0),
        audits=0,
        bond=Tinybar(0),
        slash=Tinybar(0),
        finder_share=0,
        dispute_time=0,
    )
    twin = Twin(plain)
    twin.audits = []
    twin.settling()
    for call in (
        calls.RequestDraw(twin.task),
        calls.Accuse(twin.task, twin.trainers[0], EVIDENCE),
        calls.ChallengeResult(twin.task, twin.result(**WRONG)),
        calls.Appeal(twin.task, twin.result(**WRONG)),
    ):
        assert twin.refused(twin.client, call) == "NoDisputes"


def test_what_an_accusation_needs() -> None:
    twin = Twin().running()
    accuse = calls.Accuse(twin.task, twin.trainers[0], EVIDENCE)
    assert twin.refused(twin.stranger, accuse, BOND) == "NotRegistered"
    twin(twin.stranger, calls.Register(KEY, KEY))
    assert twin.refused(twin.stranger, accuse, BOND - 1) == "WrongBond"
    assert twin.refused(twin.stranger, accuse, BOND + 1) == "WrongBond"
    assert twin.refused(twin.trainers[0], accuse, BOND) == "OwnWork"
    assert twin.refused(twin.stranger, replace(accuse, evidence=Digest(bytes(32))), BOND) == "ZeroValue"
    assert twin.refused(twin.stranger, replace(accuse, trainer=twin.trainers[3]), BOND) == "NotAccepted"
    twin(twin.stranger, accuse, BOND)
    assert twin.refused(twin.trainers[1], accuse, BOND) == "AlreadyDisputed"
    unknown = digest(b"no dispute")
    for call in (calls.DrawJury(unknown), calls.Judge(unknown, True), calls.Resolve(unknown)):
        assert twin.refused(twin.stranger, call) == "UnknownDispute"
    jury = twin.jury(twin.dispute())
    assert twin.refused(twin.stranger, calls.DrawJury(twin.dispute())) == "AlreadyDrawn"
    assert twin.refused(twin.stranger, calls.Judge(twin.dispute(), True)) == "NotAJuror"
    twin(jury[0], calls.Judge(twin.dispute(), True))
    assert twin.refused(jury[0], calls.Judge(twin.dispute(), False)) == "AlreadyJudged"


def test_only_new_tasks_can_be_paused_and_only_by_the_owner() -> None:
    twin = Twin().running()
    deployer = twin.chain.account("deployer")
    market = twin.market
    with pytest.raises(Exception, match="OwnableUnauthorizedAccount"):
        market(twin.stranger, "pause")
    market(deployer, "pause")
    other = ABI.encode(replace(twin.create(), manifest_hash=digest(b"another")))
    escrow = int(twin.plan.escrow())
    done, _ = twin.chain.transact(twin.client, market.address, other, value=escrow)
    assert market.reverted(done.output, 0).name == "EnforcedPause"
    twin(twin.trainers[0], twin.publish(twin.result()))
    twin(twin.trainers[1], twin.confirm(twin.result()))
    settle_and_claim(twin, 0, 1, 2)
    twin(twin.trainers[0], calls.Withdraw())
    market(deployer, "unpause")
    done, _ = twin.chain.transact(twin.client, market.address, other, value=escrow)
    assert market.reverted(done.output, 0).name == "InvalidPlan", "its deadlines are past: it is looked at again"
    market(deployer, "renounceOwnership")
    with pytest.raises(Exception, match="OwnableUnauthorizedAccount"):
        market(deployer, "pause")
