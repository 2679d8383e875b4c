"""Whole tasks with audits: who cheats is found and pays for it, who did its work is paid, to the tinybar."""

from __future__ import annotations

import random
from functools import cache

import pytest

from shoal.core.audits import Finding, Ruling
from shoal.core.duties import settled_mark
from shoal.core.ids import Address
from shoal.core.task import Phase
from shoal.testing import Fault, Misdeed, Trace, simulate
from shoal.testing.market import VALIDATOR_STAKE
from shoal.testing.simulator import AUDIT_PRICE, BOND, BONDS, FINDER_SHARE, SLASH

POOL, AUDITORS = 6, 3


@cache
def run(
    seed: int, *faults: Fault | Misdeed, trainers: int = 4, chunks: int = 5, rounds: int = 4, audits: int = 12
) -> Trace:
    return simulate(seed, trainers, chunks, rounds, faults, pool=POOL, auditors=AUDITORS, audits=audits)


def struck(trace: Trace, misdeed: Fault | Misdeed) -> Address:
    (who,) = [who for who, what in trace.struck.items() if what is misdeed]
    return who


def gain(trace: Trace, who: Address) -> int:
    """What somebody has now, in its wallet and as stake, more than at the beginning."""
    account = trace.market.account(who)
    return trace.wallets[who] + account.stake + account.unbonding - trace.deposits[who]


def check(trace: Trace) -> None:
    """What must hold at the end, whoever did what."""
    final = trace.final
    for name, state in trace.states.items():
        assert state == final, f"{name} holds another state than a late joiner"
    trace.market.check()
    (task,) = trace.market.tasks.values()
    assert final.phase.over and final.phase.value == task.phase.name.lower()
    assert all(seat.closed for seat in task.seats.values()) and task.reserved == 0
    assert not trace.market.court.bonds()
    assert all(not account.balance for account in trace.market.accounts.values())
    everyone = set(trace.deposits)
    assert sum(gain(trace, who) for who in everyone) == 0, "no tinybar was made or lost"
    for who, account in trace.market.accounts.items():
        stake = trace.market.court.validator(who).stake
        assert account.locked == stake, "only the validators' own stake is locked still"
    for trainer in (seat.trainer for seat in final.seats):
        if trainer not in trace.struck:
            assert gain(trace, trainer) >= 0, "who did its work lost something"
    for validator in trace.validators:
        if validator not in trace.struck:
            assert gain(trace, validator) >= 0, "an honest validator lost something"
    assert len(final.audits) <= final.plan.audits
    mark = settled_mark(final) if final.phase is Phase.SETTLED else None
    if mark is not None:
        claimed = {who: int(paid) for who, paid in final.audit_claims.items()}
        assert claimed == {leaf.validator: leaf.audits * AUDIT_PRICE for leaf in mark.audit_credits}


@pytest.mark.parametrize("seed", range(6))
def test_honest_work_is_audited_and_validators_are_paid_for_it(seed: int) -> None:
    trace = run(seed)
    check(trace)
    final = trace.final
    assert final.phase is Phase.SETTLED and final.confirmed is not None and final.confirmed.round == 4
    assert len(final.audits) == 12 and not final.disputes
    assert {audit.finding for audit in final.audits.values()} == {Finding.OK}
    assert final.confirmed.audits == 12, "the last ones, too, are paid"
    assert sum(gain(trace, validator) for validator in trace.validators) == 12 * AUDIT_PRICE


@pytest.mark.parametrize("seed", range(6))
def test_a_cheat_is_found_accused_judged_and_slashed(seed: int) -> None:
    trace = run(seed, Misdeed.CHEAT)
    check(trace)
    final, cheat = trace.final, struck(trace, Misdeed.CHEAT)
    assert final.phase is Phase.SETTLED
    seat = final.seat_of(cheat)
    if seat is None:
        pytest.skip("it did not win a seat with this seed")
    assert seat.slashed and gain(trace, cheat) == -SLASH, "it has lost its stake's part, and is paid nothing"
    (upheld,) = [each for each in final.disputes.values() if each.ruling is Ruling.UPHELD]
    finder = gain(trace, upheld.challenger)
    assert finder >= SLASH * FINDER_SHARE // 10_000 - BOND, "who found it has more than before"
    assert {each.accused for each in final.disputes.values()} == {cheat}


@pytest.mark.parametrize("misdeed", [Misdeed.WITHHOLD, Misdeed.UNUSABLE])
@pytest.mark.parametrize("seed", range(3))
def test_who_lets_nobody_see_its_work_is_a_no_show(misdeed: Misdeed, seed: int) -> None:
    trace = run(seed, misdeed)
    check(trace)
    final, who = trace.final, struck(trace, misdeed)
    seat = final.seat_of(who)
    assert seat is not None and seat.lost and not seat.slashed
    assert {a.finding for a in final.audits.values() if a.unit.trainer == who} <= {Finding.WITHHELD, None}
    assert final.claims[who].penalty == final.plan.no_show_penalty


@pytest.mark.parametrize("seed", range(6))
def test_a_false_accuser_loses_its_bond_to_the_jury(seed: int) -> None:
    trace = run(seed, Misdeed.FALSE_ACCUSER)
    check(trace)
    final, liar = trace.final, struck(trace, Misdeed.FALSE_ACCUSER)
    accused = [each for each in final.disputes.values() if each.challenger == liar]
    assert all(each.ruling is Ruling.REJECTED for each in accused)
    assert not any(seat.slashed or seat.lost for seat in final.seats)
    if any(audit.validator == liar for audit in final.audits.values()):
        assert accused and gain(trace, liar) <= -BOND
    assert liar not in {leaf.validator for leaf in (settled_mark(final) or final.marks[-1]).audit_credits}


def test_false_accusations_are_seen() -> None:
    traces = [run(seed, Misdeed.FALSE_ACCUSER) for seed in range(6)]
    assert any(trace.final.disputes for trace in traces)


@pytest.mark.parametrize("seed", range(4))
def test_validators_that_sleep_hold_up_nobody_for_long(seed: int) -> None:
    trace = run(seed, Misdeed.SLEEPING_VALIDATOR, Misdeed.SLEEPING_VALIDATOR, Misdeed.CHEAT)
    check(trace)
    final = trace.final
    assert final.phase is Phase.SETTLED and final.confirmed is not None
    asleep = {who for who, what in trace.struck.items() if what is Misdeed.SLEEPING_VALIDATOR}
    assert asleep.isdisjoint(final.audit_claims)


def test_without_a_pool_a_task_ends_all_the_same() -> None:
    trace = simulate(1, 4, 5, 4, (), pool=0, auditors=3, audits=12)
    check(trace)
    assert trace.final.confirmed is not None and not trace.final.audits


@pytest.mark.parametrize("number", range(40))
def test_whatever_goes_wrong_the_money_is_right(number: int) -> None:
    draw = random.Random(number)
    trainers = draw.randint(2, 6)
    faults: list[Fault | Misdeed] = [each for each in (*Fault, *Misdeed) if draw.random() < 0.15]
    of_validators = (Misdeed.FALSE_ACCUSER, Misdeed.SLEEPING_VALIDATOR)
    while sum(fault not in of_validators for fault in faults) > trainers // 2:
        faults.pop(0)
    chunks, rounds = draw.randint(trainers, 8), draw.randint(1, 5)
    trace = simulate(
        number, trainers, chunks, rounds, faults, pool=draw.randint(4, 7), auditors=3, audits=draw.randint(1, 20)
    )
    final = trace.final
    trace.market.check()
    assert final.phase.over and all(state == final for state in trace.states.values())
    assert sum(gain(trace, who) for who in trace.deposits) == 0
    assert not trace.market.court.bonds()
    for who in trace.validators:
        if who not in trace.struck:
            assert gain(trace, who) >= 0
    slashed = {seat.trainer for seat in final.seats if seat.slashed}
    garbage = {Misdeed.CHEAT, Misdeed.WITHHOLD, Misdeed.UNUSABLE, Fault.EQUIVOCATE}  # the last signs garbage as well
    assert {trace.struck.get(who) for who in slashed} <= garbage


def test_the_same_arguments_give_the_same_trace() -> None:
    faults = (Misdeed.CHEAT, Misdeed.FALSE_ACCUSER, Fault.GOSSIP_LOSS)
    one = simulate(5, 4, 5, 4, faults, pool=POOL, auditors=AUDITORS, audits=9)
    two = simulate(5, 4, 5, 4, faults, pool=POOL, auditors=AUDITORS, audits=9)
    assert one.hash == two.hash


def test_purses_are_as_large_as_they_say() -> None:
    trace = run(0)
    assert all(trace.deposits[who] == VALIDATOR_STAKE + BONDS * BOND for who in trace.validators)
