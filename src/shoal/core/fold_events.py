"""The fold's rules for contract events: the contract has already checked them, the fold only takes note."""

from __future__ import annotations

from dataclasses import replace

from shoal.core import events as ev
from shoal.core import fold_audits, fold_entries
from shoal.core.ids import ZERO_DIGEST, Digest
from shoal.core.money import ZERO, Tinybar
from shoal.core.task import Author, Checkpoint, Claim, Mark, Phase, Seat, State


def take(state: State, event: ev.Event) -> State:
    """Take one event of this task; events of other tasks change nothing."""
    if getattr(event, "task_id", None) != state.place.task:
        return state
    match event:
        case ev.Awarded():
            return replace(state, phase=Phase.AWARDED, award_root=event.root, unit_price=event.unit_price)
        case ev.Accepted():
            return _accepted(state, event)
        case ev.TrainerReady():
            seats = (replace(seat, ready=True) if seat.trainer == event.trainer else seat for seat in state.seats)
            return replace(state, seats=tuple(seats))
        case ev.Started():
            return _started(state, event)
        case ev.CheckpointVoted() | ev.ResultPublished() | ev.ResultVoted():
            return _voted(state, event)
        case ev.CheckpointConfirmed():
            return replace(
                state, progress_round=event.round, progress_root=event.credits_root, progress_ns=state.now_ns
            )
        case ev.ResultConfirmed():
            return replace(state, phase=Phase.SETTLING, confirmed=event)
        case ev.Settled():
            return replace(state, phase=Phase.SETTLED, settled=event, settled_ns=state.now_ns, refunded=event.refunded)
        case ev.ReplacementProposed():
            return replace(state, replacements={**state.replacements, event.dispute_id: event.result})
        case ev.ResultReplaced():
            return _replaced(state, event)
        case ev.Slashed():
            return _slashed(state, event)
        case ev.Claimed():
            return _claimed(state, event)
        case ev.Released():
            claim = Claim(event.compensation, event.stake_returned, ZERO)
            return replace(state, claims={**state.claims, event.trainer: claim})
        case ev.Cancelled():
            return _ended(state, Phase.CANCELLED, event)
        case ev.Expired():
            return _ended(state, Phase.EXPIRED, event)
        case _:
            return _court(state, event)


def _court(state: State, event: ev.Event) -> State:
    """What the events of audits and disputes say."""
    match event:
        case ev.DrawRequested():
            return replace(state, draw_requested_ns=state.now_ns)
        case ev.Drawn():
            return fold_entries.close(fold_audits.take_drawn(state, event))
        case ev.DisputeOpened():
            return fold_audits.take_dispute(state, event)
        case ev.JuryRequested():
            return fold_audits.take_jury_request(state, event)
        case ev.JuryDrawn():
            return fold_audits.take_jury(state, event)
        case ev.Judged():
            return fold_audits.take_ballot(state, event)
        case ev.JurorPaid():
            return fold_audits.gained(state, event.juror, event.amount)
        case ev.DisputeClosed():
            return fold_audits.take_ruling(state, event)
        case ev.AuditsClaimed():
            return replace(state, audit_claims={**state.audit_claims, event.validator: event.paid})
        case _:
            return state


def _accepted(state: State, event: ev.Accepted) -> State:
    seat = Seat(event.trainer, event.signing_key, event.recipient, event.units, event.rank)
    authors = {**state.authors, event.trainer: Author(event.signing_key)}
    return replace(state, seats=(*state.seats, seat), authors=authors)


def _started(state: State, event: ev.Started) -> State:
    if state.manifest is None or not state.holders:
        # Nothing can be trained without them; the deadline ends the task and the client gets its money back.
        return replace(state, quorum=event.quorum)
    initial = Checkpoint(
        round=0,
        state=state.manifest.initial,
        object=state.manifest.initial_blob.sha256,
        author=state.client,
        included=(),
        rejected=(),
        loss=0.0,
        metric=0.0,
        updates=(),
        started_ns=state.now_ns,
        time_ns=state.now_ns,
    )
    return replace(
        state,
        phase=Phase.RUNNING,
        quorum=event.quorum,
        started_ns=state.now_ns,
        turn_ns=state.now_ns,
        checkpoints=(initial,),
    )


def _voted(state: State, event: ev.CheckpointVoted | ev.ResultPublished | ev.ResultVoted) -> State:
    """Note a vote under the name of the mark it is for; a vote for anything else is kept apart."""
    if isinstance(event, ev.CheckpointVoted):
        mark, result, checkpoint = state.mark_of(event.round), ZERO_DIGEST, event.checkpoint
        subject = mark.subject() if mark and _same(state, mark, event, checkpoint) else b"other"
    else:
        mark, result = state.final, Digest(event.result)
        subject = mark.subject(result) if mark else b"other"
        if isinstance(event, ev.ResultPublished):
            same = mark is not None and _same(state, mark, event, mark.checkpoint)
            # Its log position makes it another proposal, which nobody else's confirmation is for.
            if mark is None or not same or event.log_position != mark.log_position:
                return state
            state = replace(state, published=state.published | {event.result})
    return replace(state, votes=state.votes | {(event.voter, subject)})


def _same(state: State, mark: Mark, event: ev.CheckpointVoted | ev.ResultPublished, checkpoint: Digest) -> bool:
    return (mark.round, mark.checkpoint, mark.units, mark.aggregates, mark.audits, mark.root(state.place)) == (
        event.round,
        checkpoint,
        event.units,
        event.aggregates,
        event.audits,
        event.credits_root,
    )


def _slashed(state: State, event: ev.Slashed) -> State:
    """It has lost its seat; while the task runs its backups take over, with the whole time for it."""
    finder = fold_audits.finder_of(state, event.trainer)
    state = fold_audits.gained(state, finder, event.to_finder) if finder else state
    state = fold_audits.gained(state, state.client, event.to_client)
    seats = tuple(
        replace(seat, lost="slashed", slashed=True) if seat.trainer == event.trainer else seat for seat in state.seats
    )
    if state.phase is not Phase.RUNNING:
        return fold_entries.close(replace(state, seats=seats))
    state = replace(state, seats=seats, turn_ns=state.now_ns)
    return fold_entries.hear_early(fold_entries.end_if_nothing_left(state))


def _claimed(state: State, event: ev.Claimed) -> State:
    penalty = Tinybar(event.penalty + event.finder_fee)
    claim = Claim(event.paid, event.stake_returned, penalty, event.forfeited, event.finder_fee)
    state = replace(state, claims={**state.claims, event.trainer: claim})
    finder = fold_audits.finder_of(state, None)
    return fold_audits.gained(state, finder, event.finder_fee) if finder else state


def _replaced(state: State, event: ev.ResultReplaced) -> State:
    """A jury's word stands in the place of the quorum's."""
    task, right = event.task_id, state.replacements[event.dispute_id]
    counts = (right.log_position, right.round, right.units, right.aggregates, right.audits)
    confirmed = ev.ResultConfirmed(task, right.result, *counts, right.credits_root, event.settle_after)
    return replace(state, phase=Phase.SETTLING, confirmed=confirmed)


def _ended(state: State, phase: Phase, event: ev.Cancelled | ev.Expired) -> State:
    # A task that expired with confirmed progress is settled by it: its Settled event follows in the same call. One
    # that expires after its settlement refunds what nobody claimed, and has no claims from then on, only releases.
    refunded = Tinybar(state.refunded + event.refunded)
    return replace(state, phase=phase, refunded=refunded, compensation=event.compensation)
