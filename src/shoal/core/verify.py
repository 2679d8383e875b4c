"""Verifying a task from public data alone: the log against the contract, votes against the fold, money to the tinybar.

    verify(Evidence(...)) -> [Check(name, by, verdict, found), ...]

Whoever has a mirror node can do it: no key, no node, nobody's word. What cannot be known without the task's keys is
told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shoal.core import events as ev
from shoal.core import fold, verify_money
from shoal.core.calls import Result
from shoal.core.entries import Place
from shoal.core.fold import Item
from shoal.core.ids import ZERO_DIGEST, Address, account_text, short, task_id
from shoal.core.merkle import AwardLeaf, root
from shoal.core.money import format_hbar
from shoal.core.standing import ContractPhase, TaskView
from shoal.core.task import Mark, Phase, State
from shoal.core.verdicts import Check, Verdict, judged
from shoal.core.verify_entries import Chains

LOG, FOLD, CHAIN, PLAN = "the log", "the fold of the log", "the contract's events", "the plan"
_PHASES = {
    Phase.OPEN: {ContractPhase.CREATED},
    Phase.AWARDED: {ContractPhase.AWARDED, ContractPhase.RUNNING},  # started without its manifest or holders
    Phase.RUNNING: {ContractPhase.RUNNING},
    Phase.FINISHED: {ContractPhase.RUNNING},
    Phase.SETTLING: {ContractPhase.SETTLING},
    Phase.SETTLED: {ContractPhase.SETTLED},
    Phase.CANCELLED: {ContractPhase.CANCELLED},
    Phase.EXPIRED: {ContractPhase.EXPIRED, ContractPhase.LAPSED},
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is public of one task.

    Args:
        items: the entries on its topic and the contract's events of it, in consensus order, its `TaskCreated` first.
        until_ns: up to when they were read.
        unreadable: messages on the topic that are neither entries nor bids.
        bids: sealed bids on the topic.
        paid_in: tinybar that the contract's account received in the transaction that created the task; None where
            the mirror node does not tell.
        standing: what the contract says of the task, read at `until_ns` or later; None where it was not asked.
        moved_on: whether the task had new events by the time that `standing` was read, so that the two may differ.
    """

    place: Place
    items: tuple[Item, ...]
    until_ns: int
    unreadable: int = 0
    bids: int = 0
    paid_in: int | None = None
    standing: TaskView | None = None
    moved_on: bool = False

    @property
    def created(self) -> ev.TaskCreated:
        first = self.items[0].what if self.items else None
        if not isinstance(first, ev.TaskCreated):
            raise ValueError("a task begins with its TaskCreated event")
        return first

    def events(self) -> Iterator[ev.Event]:
        return (item.what for item in self.items if isinstance(item.what, ev.TaskEvent))


def folded(evidence: Evidence) -> State:
    """The state that follows from the evidence, folded from nothing."""
    state = fold.begin(evidence.place, evidence.created, evidence.items[0].time_ns)
    for item in evidence.items[1:]:
        state = fold.step(state, item)
    return fold.advance(state, evidence.until_ns)


def verify(evidence: Evidence) -> list[Check]:
    """Check everything that can be checked, in the order of a task's life.

    >>> [check.name for check in verify(evidence) if check.verdict is Verdict.WRONG]  # doctest: +SKIP
    ['payments']

    Raises:
        ValueError: the items do not begin with a TaskCreated event.
    """
    state = folded(evidence)
    books = verify_money.Books(
        evidence.place.task, evidence.created.client, evidence.created.plan, lambda *which: _mark(state, *which)
    )
    books.take(evidence.events())
    checks = [
        _identity(evidence),
        _escrow(evidence),
        _manifest(state),
        *_entries(evidence, state),
        *_award(evidence, state),
        *_seats(evidence, state),
        *_checkpoints(state),
        *_progress(evidence, state),
        *_result(evidence, state),
        *_draws(evidence, state),
        *_disputes(evidence, books),
        *_payments(state, books),
        *_pins(state),
        _conservation(evidence, books),
        _contract(evidence, state, books),
        *_cannot(state),
    ]
    return checks


def _mark(state: State, round: int, credits_root: bytes) -> Mark | None:
    mark = state.mark_of(round)
    return mark if mark is not None and mark.root(state.place) == credits_root else None


# ---------------------------------------------------------------- the beginning


def _identity(evidence: Evidence) -> Check:
    created = evidence.created
    right = task_id(created.client, created.manifest_hash)
    faults = (
        [] if created.task_id == right == evidence.place.task else ["its id is not that of its client and manifest"]
    )
    found = f"{short(right)} is that of {account_text(created.client)} and manifest {short(created.manifest_hash)}"
    return judged("task id", "client and manifest hash", faults, found)


def _escrow(evidence: Evidence) -> Check:
    plan, faults = evidence.created.plan, []
    if evidence.created.escrow != plan.escrow():
        faults.append(
            f"{format_hbar(evidence.created.escrow)} is in escrow, the worst case is {format_hbar(plan.escrow())}"
        )
    if evidence.paid_in is not None and evidence.paid_in != evidence.created.escrow:
        faults.append(
            f"{format_hbar(evidence.paid_in)} went into the contract, {format_hbar(evidence.created.escrow)} is said"
        )
    found = f"{format_hbar(plan.escrow())} is the worst case of the plan"
    if evidence.paid_in is None:
        return judged("escrow", PLAN, faults, f"{found}; no mirror node was asked for the transfer")
    return judged("escrow", f"{PLAN} and the ledger's transfers", faults, f"{found}, and what was paid in")


def _manifest(state: State) -> Check:
    by = "its hash on chain"
    if state.manifest is None:
        why = "no entry of the client holds a manifest of this hash, so nothing that follows from it is known either"
        return Check("manifest", by, Verdict.UNKNOWN, why)
    faults = [] if state.manifest.hash == state.manifest_hash else ["it has another hash"]
    chunks = len(state.manifest.chunks)
    return judged("manifest", by, faults, f"{short(state.manifest_hash)}, in the log; {chunks} chunks, as in the plan")


def _entries(evidence: Evidence, state: State) -> Iterator[Check]:
    chains = Chains.walk(evidence.place, evidence.items)
    parts = ", ".join(f"{count} {kind}" for kind, count in sorted(chains.kinds.items()))
    found = f"{chains.taken} signed entries, each its author's next: {parts}" if chains.taken else "no entries"
    others = [*sorted(chains.ignored.items())]
    others += [("unreadable", evidence.unreadable)] if evidence.unreadable else []
    if others:
        found += "; left out, as every node does: " + ", ".join(f"{count} {why}" for why, count in others)
    faults = [*chains.gaps(), *chains.unlike(state)]
    yield judged("entries", "signatures and chains", faults, found)
    if chains.equivocations:
        said = "; ".join(
            f"{account_text(who)} signed two entries of number {number}: {short(first)} counts, {short(other)} does not"
            for who, number, first, other in chains.equivocations[:5]
        )
        yield Check("equivocation", "signatures", Verdict.NOTED, f"proven: {said}")
    else:
        yield Check("equivocation", "signatures", Verdict.HOLDS, "nobody signed two entries of one number")


# ---------------------------------------------------------------- trainers


def _award(evidence: Evidence, state: State) -> Iterator[Check]:
    awarded = next((event for event in evidence.events() if isinstance(event, ev.Awarded)), None)
    if awarded is None:
        return
    if not state.award:
        why = "the client has not shown whom it awarded; a trainer that accepted proved its place to the contract"
        yield Check("award", "its root on chain", Verdict.UNKNOWN, why)
    else:
        right = root([leaf.hash(evidence.place.task) for leaf in state.award])
        faults = [] if right == awarded.root else ["the trainers in the log are not those awarded on chain"]
        if awarded.unit_price > evidence.created.plan.max_unit_price:
            faults.append("the price is above the plan's ceiling")
        seats = sum(leaf.rank == 0 for leaf in state.award)
        found = f"{seats} seats and {len(state.award) - seats} standbys at {format_hbar(awarded.unit_price)} a unit"
        yield judged("award", "its root on chain and the plan", faults, found)
    why = f"{evidence.bids} sealed bids are on the topic; they were opened to the client alone, as it is meant"
    yield Check("price", "the bids", Verdict.UNKNOWN, why)


def _seats(evidence: Evidence, state: State) -> Iterator[Check]:
    accepted = [event for event in evidence.events() if isinstance(event, ev.Accepted)]
    if not accepted:
        return
    plan, faults = evidence.created.plan, []
    if state.award:
        awarded = set(state.award)
        faults += [
            f"{account_text(each.trainer)} accepted a seat that it was not awarded"
            for each in accepted
            if AwardLeaf(each.trainer, each.units, each.rank) not in awarded
        ]
    if len({each.trainer for each in accepted}) != len(accepted) or len(accepted) > plan.seats:
        faults.append("more seats were taken than there are")
    started = next((event for event in evidence.events() if isinstance(event, ev.Started)), None)
    found = f"{len(accepted)} of {plan.seats} taken"
    if started is not None:
        ready = sum(isinstance(event, ev.TrainerReady) for event in evidence.events())
        right = 1 if plan.seats == 1 else ready // 2 + 1
        if (started.accepted, started.ready, started.quorum) != (len(accepted), ready, right):
            faults.append(f"it started with a quorum of {started.quorum}, {right} of {ready} ready is right")
        if ready < plan.min_trainers:
            faults.append(f"it started with {ready} ready, the plan wants {plan.min_trainers}")
        found += f", {ready} ready at the start; {right} votes are a quorum"
    yield judged("seats", "the award and the plan", faults, found)


# ---------------------------------------------------------------- rounds and result


def _checkpoints(state: State) -> Iterator[Check]:
    if len(state.checkpoints) < 2:
        return
    faults = []
    for before, after in zip(state.checkpoints, state.checkpoints[1:], strict=False):
        if after.round != before.round + 1 or not before.time_ns <= after.time_ns:
            faults.append(f"checkpoint {after.round} does not follow {before.round}")
        delivered = {update.chunk for update in after.updates}
        if delivered != {*after.included, *(chunk for chunk, _ in after.rejected)}:
            faults.append(f"checkpoint {after.round} leaves out a delivered update")
    units = sum(len(each.included) for each in state.checkpoints)
    if units != sum(state.units.values()):
        faults.append("the credits are not those of the checkpoints")
    rejected = sum(len(each.rejected) for each in state.checkpoints)
    found = f"{len(state.checkpoints) - 1} of {state.plan.rounds} rounds, {units} work units"
    found += f", {rejected} updates rejected" if rejected else ""
    lost = [f"{account_text(seat.trainer)} ({seat.lost})" for seat in state.seats if seat.lost]
    found += f"; lost their seats: {', '.join(lost)}" if lost else ""
    yield judged("checkpoints", "updates in the log", faults, found)


def _voters(state: State) -> set[Address]:
    seats = {seat.trainer for seat in state.seats if seat.ready}
    return seats | {state.client} if state.quorum > 1 else seats


def _progress(evidence: Evidence, state: State) -> Iterator[Check]:
    votes: dict[tuple[object, ...], set[Address]] = {}
    faults, told = [], []
    for event in evidence.events():
        if isinstance(event, ev.CheckpointVoted):
            votes.setdefault(_what(event), set()).add(event.voter)
        elif isinstance(event, ev.CheckpointConfirmed):
            voters = votes.get(_what(event), set()) & _voters(state)
            faults += [f"round {event.round}: {fault}" for fault in _unlike(state, event, event.checkpoint)]
            if len(voters) < max(1, state.quorum):
                faults.append(f"round {event.round} was confirmed by {len(voters)} votes, {state.quorum} are a quorum")
            told.append(f"round {event.round} by {_names(voters)}")
    if told or faults:
        yield judged("progress", f"votes on chain and {FOLD}", faults, "; ".join(told[-3:]))


def _what(event: ev.CheckpointVoted | ev.CheckpointConfirmed) -> tuple[object, ...]:
    return event.round, event.checkpoint, event.units, event.aggregates, event.audits, event.credits_root


def _unlike(state: State, event: ev.CheckpointConfirmed | ev.ResultConfirmed, checkpoint: bytes) -> Iterator[str]:
    """What was confirmed on chain against the mark that follows from the log."""
    mark = state.mark_of(event.round)
    if mark is None:
        yield "no such checkpoint follows from the log"
        return
    if checkpoint != mark.checkpoint:
        yield "another checkpoint was confirmed than follows from the log"
    if (event.units, event.aggregates, event.audits) != (mark.units, mark.aggregates, mark.audits):
        yield (
            f"{event.units} units, {event.aggregates} aggregates and {event.audits} audits were confirmed, "
            f"{mark.units}, {mark.aggregates} and {mark.audits} follow from the log"
        )
    if event.credits_root != mark.root(state.place):
        yield "the root of credits is not that of the log"


def _result(evidence: Evidence, state: State) -> Iterator[Check]:
    confirmed = next((event for event in evidence.events() if isinstance(event, ev.ResultConfirmed)), None)
    if confirmed is None:
        return
    faults = list(_unlike(state, confirmed, getattr(state.mark_of(confirmed.round), "checkpoint", b"")))
    mark, note = state.mark_of(confirmed.round), state.notes.get(confirmed.result)
    if mark is not None and confirmed.log_position != mark.log_position:
        faults.append("it names another place in the log")
    if note is None:
        faults.append("the confirmed object is no result that the log names")
    voters = _result_voters(evidence, confirmed) & _voters(state)
    if len(voters) < max(1, state.quorum):
        faults.append(f"it was confirmed by {len(voters)} votes, {state.quorum} are a quorum")
    right = evidence.created.plan.window
    confirmed_s = next(item.time_ns for item in evidence.items if item.what is confirmed) // 10**9
    if confirmed.settle_after != confirmed_s + right:
        faults.append("its window is not the plan's")
    by = "" if note is None else f", put there by {account_text(note.author)}"
    found = f"object {short(confirmed.result)} of round {confirmed.round}{by}; confirmed by {_names(voters)}"
    yield judged("result", f"votes on chain, the log and {FOLD}", faults, found)


def _result_voters(evidence: Evidence, confirmed: ev.ResultConfirmed) -> set[Address]:
    right = _claimed(confirmed)
    proposal = verify_money.proposal(confirmed.task_id, right)
    voters = set()
    for event in evidence.events():
        if event is confirmed:
            break
        published = isinstance(event, ev.ResultPublished) and _claimed(event) == right
        if published or (isinstance(event, ev.ResultVoted) and event.proposal == proposal):
            voters.add(event.voter)  # type: ignore[union-attr]
    return voters


def _claimed(event: ev.ResultPublished | ev.ResultConfirmed) -> Result:
    return verify_money.result_of(event)


# ---------------------------------------------------------------- validators


def _draws(evidence: Evidence, state: State) -> Iterator[Check]:
    drawn = [event for event in evidence.events() if isinstance(event, ev.Drawn)]
    if not drawn:
        return
    faults, insiders, reached = [], {state.client, *(seat.trainer for seat in state.seats)}, 0
    for event in drawn:
        members = [member.validator for member in event.committee]
        if insiders & set(members) or len(set(members)) != len(members):
            faults.append(f"the committee of round {event.round} has members that take part in the task")
        if len(members) != state.plan.auditors or not reached < event.round <= state.plan.rounds:
            faults.append(f"the draw of round {event.round} is not one that the plan allows")
        reached = event.round
    told = "; ".join(f"up to round {event.round}: {_names({m.validator for m in event.committee})}" for event in drawn)
    yield judged("draws", PLAN, faults, told)
    why = "each seed is made of the hash of the block after its request; the blocks were not asked for"
    yield Check("seeds", "the ledger's blocks", Verdict.UNKNOWN, why)


def _disputes(evidence: Evidence, books: verify_money.Books) -> Iterator[Check]:
    faults = [text for about, text in books.faults if about == verify_money.DISPUTES]
    opened = [event for event in evidence.events() if isinstance(event, ev.DisputeOpened)]
    if not opened and not faults:
        return
    ends = [event for event in evidence.events() if isinstance(event, ev.DisputeClosed)]
    kinds, ended = ("fraud", "result", "appeal"), {2: "upheld", 3: "rejected", 4: "void"}
    told = [f"{kinds[e.kind] if e.kind < 3 else e.kind} by {account_text(e.challenger)}" for e in opened]
    found = f"{', '.join(told)}: {', '.join(ended.get(e.state, '?') for e in ends) or 'open'}"
    if books.slashes:
        found += f"; {format_hbar(books.slashes)} of stake was slashed"
    yield judged("disputes", "ballots and the plan", faults, found)


# ---------------------------------------------------------------- money


def _payments(state: State, books: verify_money.Books) -> Iterator[Check]:
    ends = [text for about, text in books.faults if about == verify_money.ENDS]
    if books.ended or ends:
        found = f"{format_hbar(books.refunded)} went back to the client"
        yield judged("end", PLAN, ends, found)
    faults = [text for about, text in books.faults if about == verify_money.PAYMENTS]
    closed = sum(seat.closed for seat in books.seats.values())
    if closed or faults:
        parts = {
            "of pay": books.paid,
            "for audits": books.audits_paid,
            "of compensation": books.compensated,
            "forfeited": books.forfeited,
            "of penalties": books.penalties,
        }
        sums = ", ".join(f"{format_hbar(amount)} {what}" for what, amount in parts.items() if amount) or "no pay"
        open_ = len(state.seats) - closed
        found = f"{closed} seats: {sums}; {format_hbar(books.stakes_returned)} of stake came back"
        found += f"; {open_} not claimed yet" if open_ > 0 else ""
        yield judged("payments", "the plan and the credits of the log", faults, found)


def _pins(state: State) -> Iterator[Check]:
    if state.pins:
        told = ", ".join(f"{what} {cid}" for what, cid in sorted(state.pins.items()))
        why = f"{told}; `shoal ipfs get` compares the bytes with the CID"
        yield Check("pins", "the content on IPFS", Verdict.UNKNOWN, why)


def _conservation(evidence: Evidence, books: verify_money.Books) -> Check:
    faults = [] if books.held >= 0 else [f"{format_hbar(-books.held)} more left the escrow than was in it"]
    over = books.ended and all(seat.closed for seat in books.seats.values())
    audits = books.outcome.audits if books.outcome and not books.compensation else 0
    if over and not audits and books.held:
        faults.append(f"{format_hbar(books.held)} of the escrow went nowhere")
    out = format_hbar(books.paid + books.audits_paid + books.forfeited + books.compensated)
    found = f"{format_hbar(evidence.created.plan.escrow())} in = {out} out to others + "
    found += f"{format_hbar(books.refunded)} back + {format_hbar(max(0, books.held))} held"
    return judged("escrow in = out", CHAIN, faults, found)


def _contract(evidence: Evidence, state: State, books: verify_money.Books) -> Check:
    by, told = "the contract's own record", evidence.standing
    if told is None:
        return Check("state", by, Verdict.UNKNOWN, "it was not asked for")
    created = evidence.created
    pairs: list[tuple[str, object, object]] = [
        ("client", told.client, created.client),
        ("topic", told.topic, created.topic),
        ("manifest", told.manifest_hash, created.manifest_hash),
        ("plan", told.plan, created.plan),
        ("escrow", told.escrow_tinybar, created.escrow),
    ]
    if not evidence.moved_on:
        pairs += [
            ("quorum", told.quorum, state.quorum),
            ("seats", told.accepted, len(state.seats)),
            ("ready trainers", told.ready, sum(seat.ready for seat in state.seats)),
            ("unit price", told.unit_price, state.unit_price),
            ("award", told.award_root or ZERO_DIGEST, state.award_root or ZERO_DIGEST),
            ("open disputes", told.open_disputes, state.open_disputes),
            ("progress", told.progress.round, state.progress_round),
            ("credits of the progress", told.progress.credits_root, state.progress_root or ZERO_DIGEST),
            ("result", told.result, _confirmed(state)),
            ("what is held of the escrow", told.reserved_tinybar, books.held),
            ("closed seats", told.closed, frozenset(state.claims)),
        ]
    faults = [
        f"{name}: the contract says {_say(one)}, the log {_say(other)}" for name, one, other in pairs if one != other
    ]
    if not evidence.moved_on and told.phase not in _PHASES[state.phase]:
        faults.append(f"the contract's phase is {told.phase}, the log's is {state.phase}")
    held = format_hbar(told.reserved_tinybar)
    found = f"{state.phase}, round {state.progress_round} confirmed, {len(state.claims)} seats closed, {held} held"
    if evidence.moved_on:
        found = "client, topic, manifest, plan and escrow; the task went on while it was read, so not the rest"
    return judged("state", by, faults, found)


def _confirmed(state: State) -> Result:
    if state.confirmed is None:
        return Result(0, 0, 0, 0, 0, ZERO_DIGEST, bytes(ZERO_DIGEST))
    return verify_money.result_of(state.confirmed)


def _cannot(state: State) -> Iterator[Check]:
    """What needs the keys of the task."""
    if len(state.checkpoints) < 2:
        return
    why = "updates are encrypted; each trainer that voted has computed the checkpoints again"
    yield Check("training", "the updates themselves", Verdict.UNKNOWN, why)
    if state.confirmed is not None:
        why = "the result is encrypted to the client; `shoal get` compares it with what was confirmed"
        yield Check("weights", "the bytes in storage", Verdict.UNKNOWN, why)


def _names(who: set[Address]) -> str:
    return ", ".join(account_text(each) for each in sorted(who)) or "nobody"


def _say(value: object) -> str:
    if isinstance(value, bytes):
        return short(value)
    if isinstance(value, frozenset):
        return _names(set(value))
    if isinstance(value, Result):
        return f"{short(value.result)} of round {value.round}, credits {short(value.credits_root)}"
    return str(value)


__all__ = ["Check", "Evidence", "Verdict", "folded", "verify"]
