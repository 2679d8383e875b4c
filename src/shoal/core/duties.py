"""What the state asks of each participant: commands derived from the state, so that a restart repeats nothing.

Training follows the optimistic view, since redoing it costs only time. Money follows the log alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from shoal.core import calls
from shoal.core.court import TURN_S, court_calls
from shoal.core.ids import Address, TaskId
from shoal.core.merkle import proof
from shoal.core.task import SECOND_NS, Checkpoint, Mark, Phase, State, Update

CLAIM_PERIOD_S = 30 * 24 * 3600
"""As in the contract: then what nobody claimed can be given back."""
PATIENCE_S = 15
"""After so long the client claims for those that do not: a trainer that died would else leave a task open."""


@dataclass(frozen=True, slots=True)
class GetReady:
    """Open the envelope, fetch and verify the chunks, then call `ready`."""

    envelope: bytes


@dataclass(frozen=True, slots=True)
class TrainChunk:
    round: int
    chunk: int
    base: Checkpoint


@dataclass(frozen=True, slots=True)
class MakeCheckpoint:
    round: int
    base: Checkpoint
    updates: tuple[Update, ...]


@dataclass(frozen=True, slots=True)
class PostResult:
    mark: Mark


Work = GetReady | TrainChunk | MakeCheckpoint | PostResult


def work(view: State, me: Address) -> list[Work]:
    """What a trainer should do now, by the optimistic view; the most urgent first."""
    seat = view.seat_of(me)
    if seat is None or seat.lost:
        return []
    if view.phase is Phase.AWARDED and not seat.ready and view.holders and me in view.envelopes:
        return [GetReady(view.envelopes[me])]
    if not seat.active:
        return []
    aggregator = view.aggregator()
    mine = aggregator is not None and aggregator.trainer == me
    if view.phase is Phase.RUNNING:
        waiting = view.waiting_for()
        duties: list[Work] = [
            TrainChunk(view.round, chunk, view.base)
            for chunk in waiting
            if (holder := view.holder(chunk)) and holder.trainer == me
        ]
        if mine and not waiting and view.updates:
            duties.append(
                MakeCheckpoint(view.round, view.base, tuple(view.updates[chunk] for chunk in sorted(view.updates)))
            )
        return duties
    if view.phase is Phase.FINISHED and mine and view.final and view.result is None:
        return [PostResult(view.final)]
    return []


def hand_over_at(view: State, me: Address, chunk: int) -> int:
    """When a trainer that may not work now should say so of a chunk of its own (consensus time, ns).

    At once where somebody else can take it. Where nobody can, it waits for its machine to be free again, until shortly
    before its silence would cost the seat: a chunk that is void in one round is in the next.
    """
    assert view.manifest is not None, "a running task has its manifest"
    if _others(view, me, chunk):
        return view.turn_ns
    return view.turn_ns + view.manifest.rules.round_timeout_s * SECOND_NS * 3 // 4


def may_leave(view: State, me: Address) -> bool:
    """Whether giving the seat back for good leaves the task to somebody.

    A task that nobody is left in could not even publish what it has reached; then it is better to come back in time.
    """
    seat = view.seat_of(me)
    if seat is None or seat.lost or view.phase not in (Phase.AWARDED, Phase.RUNNING):
        return False
    return view.phase is Phase.AWARDED or any(other.trainer != me for other in view.active())


def _others(view: State, me: Address, chunk: int) -> bool:
    """Whether another holder of a chunk could train it in this round."""
    holders = view.holders[chunk]
    seats = [view.seats[index] for index in (holders.primary, holders.backup) if index is not None]
    return any(seat.active and seat.trainer != me and (chunk, seat.trainer) not in view.voids for seat in seats)


def payments(log: State, me: Address) -> list[calls.Call]:
    """The calls that `me` should make now, by the log alone: draw, resolve, expire, settle, claim, release."""
    task, plan = log.place.task, log.plan
    due = court_calls(log, me)
    if log.quorum and log.phase not in (Phase.EXPIRED, Phase.CANCELLED):
        due += [calls.Release(task, trainer) for trainer in _left_out(log, me)]
    if log.open_disputes:
        return due  # nothing is settled before they have ended
    if log.phase is Phase.SETTLING and log.confirmed and _my_turn(log, me, log.confirmed.settle_after):
        due.append(calls.Settle(task))
    elif log.phase is Phase.OPEN and _my_turn(log, me, plan.award_until):
        due.append(calls.Expire(task))
    elif log.phase is Phase.AWARDED:
        enough = len(log.seats) >= plan.min_trainers
        until = plan.start_until if enough else plan.standby_until
        # Started without its manifest or holders: it cannot be trained, but the contract takes it for running.
        if _my_turn(log, me, plan.end_by + plan.dispute_time if log.quorum else until):
            due.append(calls.Expire(task))
    elif log.phase in (Phase.RUNNING, Phase.FINISHED) and _my_turn(log, me, plan.end_by + plan.dispute_time):
        due.append(calls.Expire(task))
    elif log.phase is Phase.SETTLED:
        if _my_turn(log, me, log.settled_ns // SECOND_NS + CLAIM_PERIOD_S):
            return [calls.Expire(task)]
        due += [claim for leaf in _owed(log, me) if (claim := claim_for(log, leaf)) is not None]
        due += [audits for who in _audits_owed(log, me) if (audits := audit_claim_for(log, who)) is not None]
    elif log.phase.over:
        due += [calls.Release(task, trainer) for trainer in _owed(log, me)]
    return due


def claim_for(log: State, trainer: Address) -> calls.Claim | None:
    """The claim of one trainer, with its proof against the settled root of credits."""
    mark = settled_mark(log)
    if mark is None:
        return None
    leaves = mark.leaves(log.place)
    for index, leaf in enumerate(mark.credits):
        if leaf.trainer == trainer:
            path = proof(leaves, index)
            return calls.Claim(log.place.task, trainer, leaf.units, leaf.aggregates, leaf.no_show, path)
    return None


def audit_claim_for(log: State, validator: Address) -> calls.ClaimAudits | None:
    """The claim of one validator, with its proof; None where it has earned nothing."""
    mark = settled_mark(log)
    for index, leaf in enumerate(mark.audit_credits if mark else ()):
        if mark is not None and leaf.validator == validator:
            path = proof(mark.leaves(log.place), len(mark.credits) + index)
            return calls.ClaimAudits(log.place.task, validator, leaf.audits, path)
    return None


def settled_mark(log: State) -> Mark | None:
    """What the money follows: the confirmed result, or after an early end the last confirmed checkpoint.

    None also where a quorum confirmed credits that do not follow from the log: no proof of ours would fit them.
    """
    confirmed = log.confirmed
    round, root = (confirmed.round, confirmed.credits_root) if confirmed else (log.progress_round, log.progress_root)
    candidates = [mark for mark in (log.final, log.mark_of(round)) if mark is not None and mark.round == round]
    return next((mark for mark in candidates if mark.root(log.place) == root), None)


def checkpoint_vote(log: State, me: Address, mark: Mark) -> calls.ConfirmCheckpoint | None:
    """The vote for a mark, unless it is cast already, or no longer needed."""
    if log.phase not in (Phase.RUNNING, Phase.FINISHED) or not log.progress_round < mark.round or _is_late(log):
        return None
    if log.voted(me, mark.subject()) or log.mark_of(mark.round) != mark:
        return None
    return calls.ConfirmCheckpoint(
        log.place.task, mark.round, mark.checkpoint, mark.units, mark.aggregates, mark.audits, mark.root(log.place)
    )


def result_vote(log: State, me: Address) -> calls.PublishResult | calls.ConfirmResult | None:
    """The vote for the posted result: its author publishes, others confirm, or publish if the author does not."""
    mark, note = log.final, log.result
    if log.phase is not Phase.FINISHED or mark is None or note is None or _is_late(log):
        return None
    if log.voted(me, mark.subject(note.object)):
        return None
    fields = (
        log.place.task,
        note.object,
        mark.log_position,
        mark.round,
        mark.units,
        mark.aggregates,
        mark.audits,
        mark.root(log.place),
    )
    if note.object in log.published:
        return calls.ConfirmResult(*fields)
    if note.author == me or log.now_ns > log.turn_ns + TURN_S * (1 + _turn(log, me)) * SECOND_NS:
        return calls.PublishResult(*fields)
    return None


def _is_late(log: State) -> bool:
    """The contract takes no votes any more; only the calls that end the task are left."""
    return log.now_ns > log.plan.end_by * SECOND_NS


def unit_seed(task: TaskId, round: int, chunk: int) -> int:
    """The seed of a work unit: whoever trains it, and whoever checks it, draws the same numbers (63 bits)."""
    text = b"shoal/unit/1" + task + round.to_bytes(4, "big") + chunk.to_bytes(4, "big")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def _owed(log: State, me: Address) -> list[Address]:
    """Whose claim `me` makes: its own; the client also those of the absent, and after a while everybody's."""
    mine = [seat.trainer for seat in log.seats if seat.trainer == me]
    if me == log.client and settled_mark(log):
        late = log.now_ns > log.settled_ns + PATIENCE_S * SECOND_NS
        mine += [seat.trainer for seat in log.seats if late or seat.lost]
    left_out = {seat.trainer for seat in log.seats if log.quorum and not seat.ready and log.phase is Phase.SETTLED}
    return [trainer for trainer in mine if trainer not in log.claims and trainer not in left_out]


def _left_out(log: State, me: Address) -> list[Address]:
    """Seats that were not ready when the task was started: they get stake and compensation at once, by `release`.

    The client makes the call for them once the task is settled, so that nothing of it is left open.
    """
    for_all = me == log.client and log.phase is Phase.SETTLED
    out = [seat.trainer for seat in log.seats if not seat.ready and (for_all or seat.trainer == me)]
    return [trainer for trainer in out if trainer not in log.claims]


def _audits_owed(log: State, me: Address) -> list[Address]:
    """Whose audits `me` claims: its own; the client after a while everybody's."""
    mark = settled_mark(log)
    late = me == log.client and log.now_ns > log.settled_ns + PATIENCE_S * SECOND_NS
    earned = [leaf.validator for leaf in mark.audit_credits] if mark else []
    return [who for who in earned if (who == me or late) and who not in log.audit_claims]


def _turn(log: State, me: Address) -> int:
    """0 for the client, then the seats in order; strangers have no turn."""
    index = log.seat_index(me)
    return 0 if me == log.client else (len(log.seats) + 1 if index is None else index + 1)


def _my_turn(log: State, me: Address, after_s: int) -> bool:
    if me != log.client and log.seat_index(me) is None:
        return False
    return log.now_ns > (after_s + TURN_S * _turn(log, me)) * SECOND_NS + SECOND_NS
