"""The fold's rules for audits and disputes: draws, openings, verdicts, juries, and what passes with time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shoal.core import events as ev
from shoal.core import limits
from shoal.core.audits import SEED_S, Audit, Dispute, Finding, Kind, Ruling, Unit, draw, evidence_of
from shoal.core.ids import Address, Digest
from shoal.core.manifest import AuditRules
from shoal.core.merkle import AuditLeaf
from shoal.core.task import SECOND_NS, Author, Phase, State


def rules_of(state: State) -> AuditRules | None:
    """How audits are judged; None where the task has none."""
    plan = state.plan
    return state.manifest.audit if state.manifest and plan.auditors and plan.audits else None


def pending(state: State) -> list[tuple[tuple[int, int], Audit]]:
    """Audits that have not ended yet. Of a trainer that has lost its seat nothing more is found out."""
    lost = {seat.trainer for seat in state.seats if seat.lost}
    return [
        (key, audit) for key, audit in state.audits.items() if audit.finding is None and audit.unit.trainer not in lost
    ]


def credits_of(state: State) -> tuple[AuditLeaf, ...]:
    """What validators have earned: an audit each for what they found right, and for a fraud that a jury upheld.

    An accusation that was rejected, or that nobody made, is no work.
    """
    slashed = {seat.trainer for seat in state.seats if seat.slashed}
    counts = Counter(
        audit.validator
        for audit in state.audits.values()
        if audit.finding is Finding.OK or (audit.finding is Finding.WRONG and audit.unit.trainer in slashed)
    )
    return tuple(AuditLeaf(who, counts[who]) for who in sorted(counts))


# ---------------------------------------------------------------- time


def waits(state: State) -> bool:
    """Whether a finished task waits for its last audits before it says what everybody is owed."""
    due = _draw_due(state)
    return bool(rules_of(state) and pending(state)) or (due is not None and state.now_ns < due)


def next_due(state: State) -> int | None:
    """When the next audit, or the wait for the last draw, ends by time alone (ns)."""
    rules = rules_of(state)
    if rules is None or state.phase not in (Phase.RUNNING, Phase.FINISHED):
        return None
    dues = [_due(audit, rules) for _, audit in pending(state)]
    last = _draw_due(state)
    if not dues and last is not None and last > state.now_ns:
        dues = [last]
    due = min(dues, default=None)
    return due if due is not None and due <= state.plan.end_by * SECOND_NS else None


def expire(state: State) -> State:
    """End every audit whose time has come."""
    rules = rules_of(state)
    assert rules is not None, "nothing is due without them"
    for key, audit in pending(state):
        if _due(audit, rules) <= state.now_ns:
            state = _end(state, key, Finding.LAPSED if audit.sealed else Finding.WITHHELD)
    return state


def _due(audit: Audit, rules: AuditRules) -> int:
    if not audit.sealed:
        return audit.asked_ns + rules.open_s * SECOND_NS
    return audit.opened_ns + rules.verdict_s * (audit.place + 1) * SECOND_NS


def _draw_due(state: State) -> int | None:
    """Until when the last draw is waited for."""
    rules = rules_of(state)
    if rules is None or state.phase is not Phase.FINISHED or state.final is not None:
        return None
    if state.base.round <= state.drawn_round or not count_due(state, state.base.round):
        return None
    return state.turn_ns + (rules.open_s + SEED_S) * SECOND_NS


def _end(state: State, key: tuple[int, int], finding: Finding, **changes: Any) -> State:
    audit = replace(state.audits[key], finding=finding, **changes)
    state = replace(state, audits={**state.audits, key: audit})
    if finding is not Finding.WITHHELD:
        return state
    reason = f"did not open chunk {audit.unit.chunk} of round {audit.unit.round} to its auditor"
    seats = tuple(
        replace(seat, lost=reason) if seat.trainer == audit.unit.trainer and not seat.lost else seat
        for seat in state.seats
    )
    # Its backups take over with the whole time for it. In a finished task nobody's turn changes by it.
    return replace(state, seats=seats, turn_ns=state.now_ns if state.phase is Phase.RUNNING else state.turn_ns)


# ---------------------------------------------------------------- entries


def take_open(state: State, author: Address, body: Mapping[str, Any]) -> State:
    """A trainer shows a unit of its own: to its auditor, or to the jurors of a dispute about it."""
    key = _key(body)
    sealed, dispute_id = body["sealed"], body["dispute"]
    if not isinstance(sealed, bytes) or not 0 < len(sealed) <= limits.ENVELOPE_BYTES:
        return state
    if dispute_id:
        dispute = state.disputes[dispute_id]
        if dispute.ruling is not Ruling.OPEN or dispute.sealed or not dispute.jury or dispute.unit is None:
            return state
        if dispute.accused != author or (dispute.unit.round, dispute.unit.chunk) != key:
            return state
        return _with_dispute(state, dispute_id, sealed=sealed)
    audit = state.audits[key]
    if audit.unit.trainer != author or audit.sealed or audit.finding is not None or body["to"] != audit.validator:
        return state
    audit = replace(audit, sealed=sealed, opened_ns=state.now_ns)
    return replace(state, audits={**state.audits, key: audit})


def take_verdict(state: State, author: Address, body: Mapping[str, Any]) -> State:
    """A validator says what it found; what it could not use goes to the next of its committee."""
    key, finding, found = _key(body), body["finding"], body["state"]
    audit = state.audits[key]
    if audit.validator != author or not audit.sealed or audit.finding is not None:
        return state
    if state.phase not in (Phase.RUNNING, Phase.FINISHED):
        return state
    if finding == "unusable":
        return _pass_on(state, key, audit)
    if finding not in ("ok", "wrong") or not isinstance(found, bytes) or len(found) != 32:
        return state
    return _end(state, key, Finding(finding), found=Digest(found))


def _pass_on(state: State, key: tuple[int, int], audit: Audit) -> State:
    unusable = (*audit.unusable, audit.validator)
    others = [each for each in audit.committee if each not in unusable]
    if not others or len(unusable) * 2 > len(audit.committee):
        return _end(state, key, Finding.WITHHELD, unusable=unusable)
    again = replace(
        audit, validator=others[0], unusable=unusable, place=0, asked_ns=state.now_ns, sealed=b"", opened_ns=0
    )
    return replace(state, audits={**state.audits, key: again})


# ---------------------------------------------------------------- events


def take_drawn(state: State, event: ev.Drawn) -> State:
    """The draw decides what is audited of all that was confirmed since the one before."""
    state = _with_members(state, event.committee)
    first, state = state.drawn_round, replace(state, drawn_round=event.round, draw_requested_ns=0)
    if rules_of(state) is None or state.phase not in (Phase.RUNNING, Phase.FINISHED):
        return state
    here = {seat.trainer for seat in state.seats if not seat.lost}
    units = [unit for unit in _paid(state) if first < unit.round <= event.round and unit.trainer in here]
    count = count_due(state, event.round)
    committee = tuple(member.validator for member in event.committee)
    audits, places = dict(state.audits), Counter[Address]()
    for unit, validator in draw(event.seed, units, committee, count):
        audits[unit.round, unit.chunk] = Audit(unit, validator, committee, places[validator], state.now_ns)
        places[validator] += 1
    return replace(state, audits=audits)


def count_due(state: State, round: int) -> int:
    """How many units a draw up to a round takes: the audits that the plan pays for, spread evenly over its rounds."""
    return max(0, state.plan.audits * round // state.plan.rounds - len(state.audits))


def take_dispute(state: State, event: ev.DisputeOpened) -> State:
    task = state.place.task
    states = {(update.round, update.chunk): update.state for each in state.checkpoints for update in each.updates}
    unit = next(
        (
            unit
            for unit in _paid(state)
            if unit.trainer == event.accused
            and evidence_of(task, unit, states[unit.round, unit.chunk]) == event.subject
        ),
        None,
    )
    dispute = Dispute(
        Kind(event.kind), event.challenger, event.accused, event.subject, event.bond, state.now_ns, unit, state.now_ns
    )
    return replace(state, disputes={**state.disputes, event.dispute_id: dispute})


def take_jury_request(state: State, event: ev.JuryRequested) -> State:
    known = event.dispute_id in state.disputes
    return _with_dispute(state, event.dispute_id, asked_ns=state.now_ns) if known else state


def take_jury(state: State, event: ev.JuryDrawn) -> State:
    if event.dispute_id not in state.disputes:
        return state
    state = _with_members(state, event.jury)
    jury = tuple(member.validator for member in event.jury)
    return _with_dispute(state, event.dispute_id, jury=jury, drawn_ns=state.now_ns, decide_by=event.decide_by)


def take_ballot(state: State, event: ev.Judged) -> State:
    if event.dispute_id not in state.disputes:
        return state
    ballots = {**state.disputes[event.dispute_id].ballots, event.juror: event.upheld}
    return _with_dispute(state, event.dispute_id, ballots=ballots)


def take_ruling(state: State, event: ev.DisputeClosed) -> State:
    if event.dispute_id not in state.disputes:
        return state
    state = _with_dispute(state, event.dispute_id, ruling=Ruling(event.state))
    return gained(state, event.bond_to, event.bond_returned)


def gained(state: State, who: Address, amount: int) -> State:
    """The court gave somebody a sum: a bond, a fee, a fine or a part of a stake."""
    return replace(state, gains={**state.gains, who: state.gains.get(who, 0) + amount}) if amount else state


def finder_of(state: State, accused: Address | None) -> Address | None:
    """Who was right about a trainer; or, without one, about the result."""
    kinds = (Kind.RESULT, Kind.APPEAL) if accused is None else (Kind.FRAUD,)
    for dispute in state.disputes.values():
        if dispute.ruling is Ruling.UPHELD and dispute.kind in kinds and accused in (None, dispute.accused):
            return dispute.challenger
    return None


def _key(body: Mapping[str, Any]) -> tuple[int, int]:
    round, chunk = body["round"], body["chunk"]
    if type(round) is not int or type(chunk) is not int:  # `true` is no number where others read the log
        raise ValueError("expected whole numbers")
    return round, chunk


def _paid(state: State) -> list[Unit]:
    return [
        Unit(update.round, update.chunk, update.author)
        for checkpoint in state.checkpoints
        for update in checkpoint.updates
        if update.chunk in checkpoint.included
    ]


def _with_members(state: State, members: tuple[ev.Member, ...]) -> State:
    """Whoever is drawn may speak in the log from now on, and can be sealed to."""
    known = {**state.members, **{member.validator: member for member in members}}
    authors = {member.validator: Author(member.signing_key) for member in members} | dict(state.authors)
    return replace(state, members=known, authors=authors)


def _with_dispute(state: State, dispute_id: bytes, **changes: Any) -> State:
    return replace(state, disputes={**state.disputes, dispute_id: replace(state.disputes[dispute_id], **changes)})
