"""What audits and disputes ask of each participant: commands derived from the log, so that a restart repeats nothing.

All of it follows the log alone: what is opened, found, accused and judged here costs money.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from shoal.core import calls
from shoal.core.audits import SEED_S, Audit, Dispute, Finding, Kind, Ruling, Unit, evidence_of
from shoal.core.fold_audits import count_due, pending, rules_of
from shoal.core.ids import Address, Digest
from shoal.core.money import Tinybar
from shoal.core.task import SECOND_NS, Phase, State, Update

TURN_S = 3
"""Calls that anyone may make are made by one after the other, this far apart."""


@dataclass(frozen=True, slots=True)
class OpenUnit:
    """Show a unit of one's own to these."""

    unit: Unit
    to: tuple[Address, ...]
    dispute: bytes = b""
    """Empty for an audit."""


@dataclass(frozen=True, slots=True)
class AuditUnit:
    """Train a unit again, and say what it gives."""

    audit: Audit


@dataclass(frozen=True, slots=True)
class JudgeUnit:
    """Train a unit again, and vote whether its trainer cheated."""

    dispute_id: bytes
    unit: Unit
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Vote:
    """A ballot that needs no work."""

    call: calls.Judge


Work = AuditUnit | JudgeUnit | Vote


def update_of(log: State, unit: Unit) -> Update:
    """What a trainer delivered for a unit."""
    updates = log.checkpoints[unit.round].updates
    return next(update for update in updates if update.chunk == unit.chunk)


def openings(log: State, me: Address) -> list[OpenUnit]:
    """What a trainer has to open now. It does so even where it has lost its seat: a jury judges against silence."""
    due = [
        OpenUnit(dispute.unit, dispute.jury, dispute_id)
        for dispute_id, dispute in log.disputes.items()
        if dispute.accused == me and dispute.unit and dispute.jury and not dispute.sealed and _can_judge(log, dispute)
    ]
    if log.phase in (Phase.RUNNING, Phase.FINISHED):
        due += [
            OpenUnit(audit.unit, (audit.validator,))
            for _, audit in pending(log)
            if audit.unit.trainer == me and not audit.sealed
        ]
    return due


def work(log: State, me: Address) -> list[Work]:
    """What a validator has to do now: as a juror first, since silence there is fined."""
    due: list[Work] = []
    for dispute_id, dispute in log.disputes.items():
        if me in dispute.jury and me not in dispute.ballots and _can_judge(log, dispute):
            due += _judgement(log, dispute_id, dispute)
    if log.phase in (Phase.RUNNING, Phase.FINISHED):
        mine = [audit for _, audit in pending(log) if audit.validator == me and audit.sealed]
        due += [AuditUnit(audit) for audit in mine]
    return due


def _judgement(log: State, dispute_id: bytes, dispute: Dispute) -> list[Work]:
    if dispute.kind is not Kind.FRAUD:
        return [Vote(calls.Judge(dispute_id, follows_from_log(log, dispute_id)))]
    if dispute.unit is None:
        return [Vote(calls.Judge(dispute_id, False))]  # an accusation has to name what it is about
    if dispute.sealed:
        return [JudgeUnit(dispute_id, dispute.unit, dispute.sealed)]
    # Its trainer alone can show that it did the work.
    return [Vote(calls.Judge(dispute_id, True))] if log.now_ns > _patience_ns(log, dispute) else []


def _can_judge(log: State, dispute: Dispute) -> bool:
    return dispute.ruling is Ruling.OPEN and log.now_ns <= dispute.decide_by * SECOND_NS


def _patience_ns(log: State, dispute: Dispute) -> int:
    """Until when jurors wait for the accused: never so long that they could not vote any more."""
    rules, half_s = rules_of(log), log.plan.dispute_time // 2
    return dispute.drawn_ns + min(rules.open_s if rules else half_s, half_s) * SECOND_NS


def accusations(log: State, me: Address) -> list[calls.Accuse]:
    """The accusations that a validator owes to what it found; each takes the plan's bond."""
    due = []
    for audit in log.audits.values():
        seat = log.seat_of(audit.unit.trainer)
        if audit.finding is not Finding.WRONG or audit.validator != me or seat is None or seat.slashed:
            continue
        # About another unit of it there may be any number: none keeps out this one.
        same = [each for each in log.disputes.values() if each.unit == audit.unit]
        again = any(each.challenger == me or each.ruling is Ruling.OPEN for each in same)
        if again or not seat.ready or not _can_accuse(log):
            continue
        due.append(calls.Accuse(log.place.task, seat.trainer, evidence(log, audit.unit)))
    return due[:1]


def evidence(log: State, unit: Unit) -> Digest:
    return evidence_of(log.place.task, unit, update_of(log, unit).state)


def _can_accuse(log: State) -> bool:
    if log.phase is Phase.SETTLING and log.confirmed:
        return log.now_ns < (log.confirmed.settle_after - 1) * SECOND_NS
    return log.phase in (Phase.RUNNING, Phase.FINISHED) and log.now_ns < log.plan.end_by * SECOND_NS


def challenges(log: State, me: Address) -> list[calls.ChallengeResult]:
    """What a trainer puts in the place of a confirmed result that does not follow from the log; takes the bond."""
    confirmed, right = log.confirmed, true_result(log)
    if log.phase is not Phase.SETTLING or confirmed is None or right is None or not log.plan.auditors:
        return []
    if _stands(log) or _is_settled(log, me, right):
        return []
    seat = log.seat_of(me)
    if seat is None or seat.slashed or not _can_accuse(log):
        return []
    begun_ns = (confirmed.settle_after - log.plan.window) * SECOND_NS
    return [calls.ChallengeResult(log.place.task, right)] if _my_turn(log, me, begun_ns) else []


def _is_settled(log: State, me: Address, right: calls.Result) -> bool:
    """Whether a jury has replaced the result, or judges this proposal, or need not hear it from here again.

    Other proposals may be before a jury beside it: a sham one keeps no honest one out.
    """
    for dispute_id, dispute in log.disputes.items():
        if dispute.kind is Kind.FRAUD:
            continue
        same = log.replacements.get(dispute_id) == right
        if dispute.ruling is Ruling.UPHELD or (
            same and (dispute.ruling is not Ruling.VOID or dispute.challenger == me)
        ):
            return True
    return False


def true_result(log: State) -> calls.Result | None:
    """The result that follows from the log: with the object that was confirmed, or else the last that was posted."""
    if log.final is None or not log.notes:
        return None
    mark, note = log.final, list(log.notes.values())[-1]
    if log.confirmed is not None:
        note = log.notes.get(log.confirmed.result, note)
    counts = (mark.units, mark.aggregates, mark.audits)
    return calls.Result(mark.log_position, mark.round, *counts, note.object, mark.root(log.place))


def follows_from_log(log: State, dispute_id: bytes) -> bool:
    """Whether a proposed result is the log's, and the confirmed one, if there is any, is not."""
    proposed, right = log.replacements.get(dispute_id), true_result(log)
    if proposed is None or right is None or proposed.result not in log.notes:
        return False
    return replace(proposed, result=right.result) == right and not _stands(log)


def _stands(log: State) -> bool:
    """Whether the confirmed result follows from the log."""
    confirmed, right = log.confirmed, true_result(log)
    if confirmed is None or right is None:
        return False
    counts = (confirmed.units, confirmed.aggregates, confirmed.audits)
    said = calls.Result(confirmed.log_position, confirmed.round, *counts, right.result, confirmed.credits_root)
    return said == right and confirmed.result in log.notes


def court_calls(log: State, me: Address) -> list[calls.Call]:
    """The calls that move audits and disputes on, by turns: draws, juries, ends."""
    due: list[calls.Call] = []
    if _draw_is_wanted(log) and _my_turn(log, me, log.progress_ns, voters_only=True):
        due.append(calls.RequestDraw(log.place.task))
    asked_ns = log.draw_requested_ns
    if asked_ns and log.phase in (Phase.RUNNING, Phase.FINISHED) and _my_turn(log, me, asked_ns + SEED_S * SECOND_NS):
        due.append(calls.Draw(log.place.task))
    for dispute_id, dispute in log.disputes.items():
        if dispute.ruling is not Ruling.OPEN:
            continue
        late_ns = dispute.opened_ns + log.plan.dispute_time * SECOND_NS
        if not dispute.jury and log.now_ns < late_ns:
            if _my_turn(log, me, dispute.asked_ns + SEED_S * SECOND_NS, first=dispute.challenger):
                due.append(calls.DrawJury(dispute_id))
        elif _my_turn(log, me, _resolvable_ns(log, dispute, late_ns), first=dispute.challenger):
            due.append(calls.Resolve(dispute_id))
    return due


def _resolvable_ns(log: State, dispute: Dispute, late_ns: int) -> int:
    if dispute.jury and len(dispute.ballots) == len(dispute.jury):
        return dispute.drawn_ns
    return dispute.decide_by * SECOND_NS + SECOND_NS if dispute.jury else late_ns + SECOND_NS


def _draw_is_wanted(log: State) -> bool:
    """Something was confirmed since the last draw, and its audits can still be paid."""
    open_still = log.phase is Phase.RUNNING or (log.phase is Phase.FINISHED and log.final is None)
    if rules_of(log) is None or not open_still or log.draw_requested_ns or log.now_ns > log.plan.end_by * SECOND_NS:
        return False
    return log.progress_round > log.drawn_round and count_due(log, log.progress_round) > 0


def _my_turn(
    log: State, me: Address, after_ns: int, *, first: Address | None = None, voters_only: bool = False
) -> bool:
    """The client, then the trainers in the order of their seats, then the validators; `first` before them all."""
    order = [log.client, *(seat.trainer for seat in log.seats)]
    order += [] if voters_only else sorted(log.members)
    turn = 0 if me == first else order.index(me) + (first is not None) if me in order else None
    return turn is not None and log.now_ns > after_ns + (TURN_S * turn) * SECOND_NS


def bond_of(log: State, call: calls.Call) -> Tinybar:
    """What has to be paid with a call."""
    takes_bond = isinstance(call, calls.Accuse | calls.ChallengeResult | calls.Appeal)
    return log.plan.bond if takes_bond else Tinybar(0)
