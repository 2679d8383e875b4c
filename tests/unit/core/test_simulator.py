"""Whole tasks under faults, over many seeds: one state for all, every tinybar in its place, every task with an end."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from shoal.core import limits
from shoal.core.duties import settled_mark
from shoal.core.entries import Entry
from shoal.core.ids import Address
from shoal.core.task import LEFT, Phase, State
from shoal.testing import Fault, Trace, learning, simulate

OF_TRAINERS = {
    Fault.CRASH,
    Fault.CRASH_AND_RESTART,
    Fault.SILENT_AGGREGATOR,
    Fault.NO_READY,
    Fault.LAZY,
    Fault.LEAVE,
    Fault.EQUIVOCATE,
    Fault.BAD_CHECKPOINT,
    Fault.SPAM,
}
run = cache(simulate)


def check(trace: Trace) -> None:
    """What must hold at the end of every task, whatever went wrong."""
    final = trace.final
    for name, state in trace.states.items():
        assert state == final, f"{name} holds another state than a late joiner"
    for name, view in trace.views.items():
        # Entries of a party that died before it sent them stay pending; nothing but chains may come of them.
        assert replace(view, authors=final.authors) == final, f"{name}'s view is not the log's"
    check_money(trace, final)
    mark = settled_mark(final) if final.phase is Phase.SETTLED else None
    for base, checkpoint in zip(final.checkpoints, final.checkpoints[1:], strict=False):
        if mark is not None and checkpoint.round <= mark.round:
            assert learning.is_right(base, checkpoint), "garbage was settled"


def check_money(trace: Trace, final: State) -> None:
    trace.market.check()
    (task,) = trace.market.tasks.values()
    assert final.phase.over and final.phase.value == task.phase.name.lower()
    assert all(seat.closed for seat in task.seats.values()) and task.reserved == 0
    accounts = trace.market.accounts
    assert all(account.locked == 0 and account.balance == 0 for account in accounts.values())
    stakes = sum(account.stake for account in accounts.values())
    assert sum(trace.wallets.values()) + stakes == sum(trace.deposits.values())
    # What each has now, by what it earned: counted here from the checkpoints, not from the fold's sums.
    mark = settled_mark(final) if final.phase is Phase.SETTLED else None
    earned = {seat.trainer: 0 for seat in final.seats}
    for checkpoint in final.checkpoints[1:] if mark else ():
        if mark is not None and checkpoint.round <= mark.round:
            earned[checkpoint.author] += final.plan.aggregate_price
            for update in checkpoint.updates:
                earned[update.author] += final.unit_price if update.chunk in checkpoint.included else 0
    each = final.compensation // max(1, len(final.seats))
    for seat in final.seats:
        absent = mark is not None and next(leaf.no_show for leaf in mark.credits if leaf.trainer == seat.trainer)
        penalty = final.plan.no_show_penalty if absent else 0
        stake = accounts[seat.trainer].stake + trace.wallets[seat.trainer]
        left_out = final.plan.compensation if final.quorum and not seat.ready else 0
        due = earned[seat.trainer] + (left_out or each) - penalty
        assert stake == trace.deposits[seat.trainer] + due


def some_task(number: int) -> tuple[int, int, int, int, tuple[Fault, ...], int]:
    draw = random.Random(number)
    trainers = draw.randint(1, 6)
    faults = [fault for fault in Fault if draw.random() < 0.2]
    while sum(fault in OF_TRAINERS for fault in faults) > trainers:
        faults.pop(0)
    chunks = draw.randint(trainers, 8)
    return number, trainers, chunks, draw.randint(1, 4), tuple(faults), draw.choice([trainers, max(1, trainers - 1)])


@pytest.mark.parametrize("number", range(80))
def test_whatever_goes_wrong_all_agree_and_the_money_is_right(number: int) -> None:
    seed, trainers, chunks, rounds, faults, seats = some_task(number)
    check(simulate(seed, trainers, chunks, rounds, faults, seats=seats))


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("seed", range(3))
def test_each_fault_alone(fault: Fault, seed: int) -> None:
    trace = run(seed, 5, 7, 3, (fault,))
    check(trace)
    final = trace.final
    if fault is Fault.CLIENT_GONE_BEFORE_START:
        assert final.phase is Phase.EXPIRED and not final.checkpoints
    else:
        assert final.phase is Phase.SETTLED
    if fault not in (Fault.CLIENT_GONE_BEFORE_START, Fault.BAD_CHECKPOINT, Fault.DIVERGE):
        assert final.confirmed is not None and final.round - 1 == 3, "one fault does not keep a task from its result"


def crashes(count: int) -> Iterator[Trace]:
    """Runs in which so many trainers with a seat crashed between the start and the result."""
    for seed in range(40):
        trace = run(seed, 5, 7, 3, (Fault.CRASH,) * count)
        final = trace.final
        seated = {seat.trainer for seat in final.seats}
        began_ns = final.started_ns or trace.end_ns
        if len(seated) == 5 and trace.crashed_ns.keys() <= seated and min(trace.crashed_ns.values()) > began_ns:
            yield trace


@pytest.mark.parametrize("count", [1, 2])
def test_a_task_survives_all_crashes_that_leave_a_quorum(count: int) -> None:
    seen = late = 0
    for trace in crashes(count):
        check(trace)
        final = trace.final
        assert final.phase is Phase.SETTLED and final.confirmed is not None
        assert final.round - 1 == final.plan.rounds and final.confirmed.round == final.plan.rounds
        for who, at_ns in trace.crashed_ns.items():
            delivered = delivered_before(trace, who, at_ns)
            claim = final.claims[who]
            aggregates = sum(checkpoint.author == who for checkpoint in final.checkpoints[1:])
            assert claim.paid <= delivered * final.unit_price + aggregates * final.plan.aggregate_price
            late += claim.penalty > 0
        seen += 1
    assert seen >= 3 and late, "the seeds must show what this is about"


def delivered_before(trace: Trace, who: Address, time_ns: int) -> int:
    """Updates that an author got into the log until its crash, or had under way then."""
    on_the_way_ns = 2 * 10**9
    return sum(
        isinstance(item.what, Entry)
        and (item.what.author, item.what.kind) == (who, "update")
        and item.time_ns <= time_ns + on_the_way_ns
        for item in trace.items
    )


@pytest.mark.parametrize("seed", range(12))
def test_an_equivocator_costs_time_and_splits_nobody(seed: int) -> None:
    trace = run(seed, 4, 6, 3, (Fault.EQUIVOCATE, Fault.GOSSIP_REORDER))
    check(trace)
    (liar,) = trace.struck
    final = trace.final
    assert {who for who, author in final.authors.items() if author.equivocated} <= {liar}
    assert final.confirmed is not None and final.confirmed.round == 3


def test_equivocation_is_seen() -> None:
    traces = [run(seed, 4, 6, 3, (Fault.EQUIVOCATE, Fault.GOSSIP_REORDER)) for seed in range(12)]
    assert all(any(author.equivocated for author in trace.final.authors.values()) for trace in traces)


@pytest.mark.parametrize("seed", range(4))
def test_spam_is_bounded_and_leaves_no_trace_of_strangers(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AUTHOR_ENTRIES", 14)
    trace = simulate(seed, 4, 4, 3, (Fault.SPAM,))
    check(trace)
    final = trace.final
    posted = [item.what for item in trace.items if isinstance(item.what, Entry)]
    assert len(posted) > sum(author.entries for author in final.authors.values())
    assert max(author.entries for author in final.authors.values()) <= 14
    assert set(final.authors) == {final.client, *(seat.trainer for seat in final.seats)}
    assert final.confirmed is not None


def test_a_lost_quorum_ends_on_the_confirmed_progress_or_in_a_refund() -> None:
    ends = set()
    for seed in range(16):
        trace = run(seed, 4, 5, 4, (Fault.CRASH, Fault.CRASH, Fault.CRASH, Fault.CLIENT_GONE_AFTER_START))
        check(trace)
        if trace.final.started_ns and trace.final.confirmed is None:
            ends.add(trace.final.phase)
    assert ends == {Phase.SETTLED, Phase.EXPIRED}


def test_the_same_arguments_give_the_same_trace_in_another_process() -> None:
    faults = (Fault.CRASH_AND_RESTART, Fault.SPAM, Fault.EQUIVOCATE, Fault.GOSSIP_LOSS)
    here = simulate(11, 5, 6, 2, faults).hash
    program = (
        "from shoal.testing import Fault, simulate; "
        f"print(simulate(11, 5, 6, 2, [Fault(each) for each in {[fault.value for fault in faults]}]).hash)"
    )
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60
        )
        assert done.stdout.strip() == here, done.stderr
    assert simulate(12, 5, 6, 2, faults).hash != here


@pytest.mark.parametrize("seed", range(6))
def test_a_recipe_that_diverges_costs_the_client_what_was_done_and_nobody_a_penalty(seed: int) -> None:
    trace = run(seed, 4, 5, 3, (Fault.DIVERGE,))
    check(trace)
    final = trace.final
    assert final.confirmed is not None and final.phase is Phase.SETTLED
    reached = final.confirmed.round
    assert reached == final.round - 1 < 3
    assert all(claim.penalty == 0 for claim in final.claims.values())
    paid = sum(claim.paid for claim in final.claims.values())
    assert paid == reached * (5 * final.unit_price + final.plan.aggregate_price)
    assert final.refunded == final.plan.escrow() - paid


@pytest.mark.parametrize("seed", range(4))
def test_a_lazy_trainer_is_not_paid_and_its_chunks_are_trained_by_their_backups(seed: int) -> None:
    trace = run(seed, 4, 6, 3, (Fault.LAZY,))
    check(trace)
    (lazy,) = trace.struck
    final = trace.final
    assert final.confirmed is not None and final.confirmed.round == 3
    assert final.units.get(lazy, 0) == 0
    assert sum(final.units.values()) == 3 * 6


@pytest.mark.parametrize("seed", range(4))
def test_who_leaves_is_paid_for_what_it_delivered_and_loses_no_stake(seed: int) -> None:
    trace = run(seed, 4, 6, 3, (Fault.LEAVE,))
    check(trace)
    (leaver,) = trace.struck
    final = trace.final
    assert final.confirmed is not None and final.confirmed.round == 3
    assert sum(final.units.values()) == 3 * 6, "its backups take over, and nothing lapses"
    if seat := final.seat_of(leaver):
        assert seat.lost == LEFT and final.units[leaver] == 1 and final.claims[leaver].penalty == 0


def test_more_faults_than_trainers_are_refused() -> None:
    with pytest.raises(ValueError):
        simulate(1, 1, 1, 1, (Fault.CRASH, Fault.NO_READY))
