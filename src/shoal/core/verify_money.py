"""Every payment of a task against its plan and its credits: the contract's arithmetic, done again from its events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from shoal.core import events as ev
from shoal.core.calls import Plan, Result
from shoal.core.ids import Address, TaskId, account_text, keccak256, word
from shoal.core.merkle import AuditLeaf, CreditLeaf
from shoal.core.money import format_hbar
from shoal.core.task import Mark

_WHOLE = 10_000
_NOT_STARTED, _ENDED_ON_PROGRESS, _CLAIMS_LAPSED = 3, 4, 6
"""Of `MarketTypes.ExpiryReason`."""
_UPHELD, _REJECTED, _VOID = 2, 3, 4
"""How a dispute ends; `_FRAUD` is of its kinds."""
_FRAUD, _APPEAL = 0, 2
PAYMENTS, ENDS, DISPUTES = "payments", "ends", "disputes"
"""What a fault is about."""


@dataclass(slots=True)
class _Seat:
    ready: bool = False
    slashed: bool = False
    closed: bool = False


@dataclass(slots=True)
class _Dispute:
    opened: ev.DisputeOpened
    replacement: Result | None = None
    jury: tuple[Address, ...] = ()
    """In the order of the draw."""
    ballots: dict[Address, bool] = field(default_factory=dict)
    fines: dict[Address, int] = field(default_factory=dict)
    fees: dict[Address, int] = field(default_factory=dict)
    state: int = 0
    """How it ended; 0 while it is open."""

    @property
    def upheld(self) -> bool:
        return self.state == _UPHELD

    def right(self, state: int) -> list[Address]:
        """The jurors that voted for an outcome; in a void dispute each vote is as good."""
        wanted = {_UPHELD: (True,), _REJECTED: (False,)}.get(state, (True, False))
        return [juror for juror in self.jury if self.ballots.get(juror) in wanted]


@dataclass(slots=True)
class Books:
    """One task's money, event by event. `faults` says what does not add up, and about what."""

    task: TaskId
    client: Address
    plan: Plan
    mark_of: Callable[[int, bytes], Mark | None]
    """The credits that follow from the log, by round and root."""
    faults: list[tuple[str, str]] = field(default_factory=list)
    unit_price: int = 0
    seats: dict[Address, _Seat] = field(default_factory=dict)
    auditors: set[Address] = field(default_factory=set)
    audits_closed: set[Address] = field(default_factory=set)
    votes: dict[bytes, set[Address]] = field(default_factory=dict)
    outcome: Result | None = None
    """What claims are made by: the confirmed result, or the last confirmed checkpoint."""
    confirmed: bool = False
    ended: bool = False
    compensation: int = 0
    """That each trainer is due that was ready, or all are where nothing was started."""
    started: bool = False
    wrong: bytes = b""
    right: bytes = b""
    appealed: bool = False
    disputes: dict[bytes, _Dispute] = field(default_factory=dict)
    paid: int = 0
    refunded: int = 0
    forfeited: int = 0
    compensated: int = 0
    audits_paid: int = 0
    penalties: int = 0
    slashes: int = 0
    stakes_returned: int = 0

    @property
    def held(self) -> int:
        """Of the escrow, in the contract still."""
        out = self.paid + self.refunded + self.forfeited + self.compensated + self.audits_paid
        return int(self.plan.escrow()) - out

    @property
    def idle_pay(self) -> int:
        """What those are owed still that were not ready at the start."""
        idle = sum(not (seat.ready or seat.closed) for seat in self.seats.values()) if self.started else 0
        return idle * int(self.plan.compensation)

    def take(self, happened: Iterable[ev.Event]) -> None:
        """All events of the task, in order."""
        for event in happened:
            rule = _RULES.get(type(event))
            if rule is not None:
                rule(self, event)

    def fault(self, about: str, text: str) -> None:
        self.faults.append((about, text))

    def same(self, about: str, what: str, found: int, right: int) -> None:
        if found != right:
            self.fault(about, f"{what} {format_hbar(found)} where {format_hbar(right)} is right")

    # ------------------------------------------------------------ who, and what for

    def _awarded(self, event: ev.Awarded) -> None:
        self.unit_price = int(event.unit_price)
        if event.unit_price > self.plan.max_unit_price:
            self.fault(PAYMENTS, f"awarded at {format_hbar(event.unit_price)}, above the plan's ceiling")

    def _accepted(self, event: ev.Accepted) -> None:
        self.seats[event.trainer] = _Seat()

    def _got_ready(self, event: ev.TrainerReady) -> None:
        self.seats.setdefault(event.trainer, _Seat()).ready = True

    def _started(self, event: ev.Started) -> None:
        self.started = True

    def _drawn(self, event: ev.Drawn) -> None:
        self.auditors |= {member.validator for member in event.committee}

    def _checkpoint_voted(self, event: ev.CheckpointVoted) -> None:
        self._vote(checkpoint_proposal(self.task, progress_of(event)), event.voter)

    def _published(self, event: ev.ResultPublished) -> None:
        self._vote(proposal(self.task, result_of(event)), event.voter)

    def _voted(self, event: ev.ResultVoted) -> None:
        self._vote(event.proposal, event.voter)

    def _vote(self, proposal: bytes, voter: Address) -> None:
        self.votes.setdefault(proposal, set()).add(voter)

    def _progressed(self, event: ev.CheckpointConfirmed) -> None:
        self.outcome = progress_of(event)

    def _confirmed(self, event: ev.ResultConfirmed) -> None:
        self.outcome, self.confirmed = result_of(event), True

    # ------------------------------------------------------------ ends

    def _settled(self, event: ev.Settled) -> None:
        if self.outcome is None:
            self.fault(ENDS, "settled without a confirmed result or checkpoint")
            return
        owed = self._price(self.outcome.units, self.outcome.aggregates, self.outcome.audits) + self.idle_pay
        self.same(ENDS, "reserved for claims", event.reserved, owed)
        self.same(ENDS, "given back at the settlement", event.refunded, self.held - owed)
        self.refunded += event.refunded
        self._end()

    def _cancelled(self, event: ev.Cancelled) -> None:
        self._unpaid(event, int(self.plan.compensation))

    def _expired(self, event: ev.Expired) -> None:
        if event.reason == _ENDED_ON_PROGRESS:
            self.same(ENDS, "given back before the settlement", event.refunded, 0)
        elif event.reason == _CLAIMS_LAPSED:
            self.same(ENDS, "given back of unclaimed pay", event.refunded, self.held - self.idle_pay)
            self.same(ENDS, "compensation in all", event.compensation, self.idle_pay)
            self.compensation = 0
            self.refunded += event.refunded
        else:
            self._unpaid(event, int(self.plan.compensation) if event.reason == _NOT_STARTED else 0)

    def _unpaid(self, event: ev.Cancelled | ev.Expired, each: int) -> None:
        owed = each * len(self.seats) + self.idle_pay
        self.same(ENDS, "compensation in all", event.compensation, owed)
        self.same(ENDS, "given back at the end", event.refunded, self.held - owed)
        self.compensation = each
        self.refunded += event.refunded
        self._end()

    def _end(self) -> None:
        if self.ended:
            self.fault(ENDS, "it ended twice")
        self.ended = True

    # ------------------------------------------------------------ payments

    def _claimed(self, event: ev.Claimed) -> None:
        who = account_text(event.trainer)
        seat = self._close(event.trainer)
        if not seat.ready:
            self.fault(PAYMENTS, f"{who} was paid by the credits and was never ready")
        leaf = self._credit(event.trainer)
        if leaf is not None and (leaf.units, leaf.aggregates) != (event.units, event.aggregates):
            self.fault(
                PAYMENTS,
                f"{who} was paid for {event.units} units and {event.aggregates} aggregates, the log credits it with "
                f"{leaf.units} and {leaf.aggregates}",
            )
        earned = self._price(event.units, event.aggregates, 0)
        self.same(PAYMENTS, f"{who} was paid", event.paid, 0 if seat.slashed else earned)
        self.same(PAYMENTS, f"{who} forfeited", event.forfeited, earned if seat.slashed else 0)
        penalty, fee = self._penalty(event.trainer, seat, no_show=leaf is not None and leaf.no_show)
        self.same(PAYMENTS, f"{who} lost of its stake", event.penalty, penalty)
        self.same(PAYMENTS, f"the finder got of {who}'s stake", event.finder_fee, fee)
        back = self._stake_of(seat) - event.penalty - event.finder_fee
        self.same(PAYMENTS, f"{who} got back of its stake", event.stake_returned, back)
        self.paid += event.paid
        self.forfeited += event.forfeited
        self.penalties += event.penalty + event.finder_fee
        self.stakes_returned += event.stake_returned

    def _released(self, event: ev.Released) -> None:
        who, seat = account_text(event.trainer), self._close(event.trainer)
        due = int(self.plan.compensation) if self._idle(seat) else self.compensation
        self.same(PAYMENTS, f"{who} was compensated with", event.compensation, due)
        self.same(PAYMENTS, f"{who} got back of its stake", event.stake_returned, self._stake_of(seat))
        self.compensated += event.compensation
        self.stakes_returned += event.stake_returned

    def _audits_claimed(self, event: ev.AuditsClaimed) -> None:
        who = account_text(event.validator)
        if event.validator not in self.auditors:
            self.fault(PAYMENTS, f"{who} was paid for audits and was never drawn")
        if event.validator in self.audits_closed:
            self.fault(PAYMENTS, f"{who} was paid twice for its audits")
        self.audits_closed.add(event.validator)
        mark = self._mark()
        leaves: tuple[AuditLeaf, ...] = mark.audit_credits if mark else ()
        if mark is not None and AuditLeaf(event.validator, event.audits) not in leaves:
            self.fault(PAYMENTS, f"{who} was paid for {event.audits} audits, which the log does not credit")
        self.same(PAYMENTS, f"{who} was paid for audits", event.paid, self._price(0, 0, event.audits))
        self.audits_paid += event.paid

    def _close(self, trainer: Address) -> _Seat:
        if trainer not in self.seats:
            self.fault(PAYMENTS, f"{account_text(trainer)} was paid and never had a seat")
        seat = self.seats.setdefault(trainer, _Seat())
        if seat.closed:
            self.fault(PAYMENTS, f"{account_text(trainer)} was paid twice")
        if not (self.ended or self._idle(seat)):
            self.fault(PAYMENTS, f"{account_text(trainer)} was paid before the end")
        seat.closed = True
        return seat

    def _idle(self, seat: _Seat) -> bool:
        """Not ready at the start: it may take its stake and its compensation from then on."""
        return self.started and not seat.ready

    def _mark(self) -> Mark | None:
        return None if self.outcome is None else self.mark_of(self.outcome.round, self.outcome.credits_root)

    def _credit(self, trainer: Address) -> CreditLeaf | None:
        mark = self._mark()
        leaves = mark.credits if mark else ()
        found = next((leaf for leaf in leaves if leaf.trainer == trainer), None)
        if found is None:
            self.fault(PAYMENTS, f"{account_text(trainer)} was paid by credits that do not follow from the log")
        return found

    def _price(self, units: int, aggregates: int, audits: int) -> int:
        plan = self.plan
        return units * self.unit_price + aggregates * plan.aggregate_price + audits * plan.audit_price

    def _stake_of(self, seat: _Seat) -> int:
        return int(self.plan.stake_per_seat) - (int(self.plan.slash) if seat.slashed else 0)

    def _penalty(self, trainer: Address, seat: _Seat, *, no_show: bool) -> tuple[int, int]:
        """To the client and to the finder: one thing at most, the gravest."""
        if seat.slashed:
            return 0, 0
        if self.wrong and trainer in self.votes.get(self.wrong, ()):
            lost = int(self.plan.slash)
        elif self.appealed and trainer not in self.votes.get(self.right, ()):
            lost = int(self.plan.no_show_penalty)
        else:
            return (int(self.plan.no_show_penalty) if no_show else 0), 0
        fee = lost * self.plan.finder_share // _WHOLE
        return lost - fee, fee

    # ------------------------------------------------------------ disputes

    def _opened(self, event: ev.DisputeOpened) -> None:
        if event.dispute_id in self.disputes:
            self.fault(DISPUTES, f"dispute {event.dispute_id.hex()[:12]} was opened twice")
        self.same(DISPUTES, "a bond was", event.bond, int(self.plan.bond))
        about = (event.accused, event.subject)
        if any(not each.state and about == (each.opened.accused, each.opened.subject) for each in self._all()):
            self.fault(DISPUTES, "a dispute was opened beside one about the same")
        if event.kind == _FRAUD and not self.seats.get(event.accused, _Seat()).ready:
            self.fault(DISPUTES, f"{account_text(event.accused)} was accused and was never ready")
        self.disputes[event.dispute_id] = _Dispute(event)

    def _proposed(self, event: ev.ReplacementProposed) -> None:
        if (dispute := self._dispute(event)) is None:
            return
        dispute.replacement = event.result
        if dispute.opened.subject != proposal(self.task, event.result):
            self.fault(DISPUTES, "a dispute is about another result than it proposes")

    def _jury(self, event: ev.JuryDrawn) -> None:
        if (dispute := self._dispute(event)) is None:
            return
        dispute.jury = tuple(member.validator for member in event.jury)
        partial = set(dispute.jury) & {self.client, dispute.opened.challenger, *self.seats}
        if partial or len(set(dispute.jury)) != self.plan.auditors:
            self.fault(DISPUTES, "a jury has members that take part in the task, or too few")

    def _ballot(self, event: ev.Judged) -> None:
        if (dispute := self._dispute(event)) is None:
            return
        if event.juror not in dispute.jury or event.juror in dispute.ballots:
            self.fault(DISPUTES, f"{account_text(event.juror)} judged without being due to")
        dispute.ballots[event.juror] = event.upheld

    def _juror_paid(self, event: ev.JurorPaid) -> None:
        if (dispute := self._dispute(event)) is not None:
            self._once(dispute.fees, event)

    def _juror_fined(self, event: ev.JurorFined) -> None:
        # What a juror has left of its stake is no fact of this task: less than the fine may be all that there was.
        if (dispute := self._dispute(event)) is not None:
            self._once(dispute.fines, event)
            if event.amount > self.plan.audit_price:
                self.fault(DISPUTES, f"juror {account_text(event.juror)} was fined more than an audit's price")

    def _once(self, sums: dict[Address, int], event: ev.JurorPaid | ev.JurorFined) -> None:
        if event.juror in sums:
            self.fault(DISPUTES, f"juror {account_text(event.juror)} was paid or fined twice in one dispute")
        sums[event.juror] = int(event.amount)

    def _closed(self, event: ev.DisputeClosed) -> None:
        if (dispute := self._dispute(event)) is None:
            return
        if event.state != self._outcome(dispute):
            self.fault(DISPUTES, "a dispute ended otherwise than its jury voted")
        if event.bond_to != dispute.opened.challenger:
            to = account_text(dispute.opened.challenger)
            self.fault(DISPUTES, f"a bond went to {account_text(event.bond_to)} in place of {to}")
        bond = int(self.plan.bond)
        back = bond if event.state == _VOID else 0
        self.same(DISPUTES, "of a bond came back", event.bond_returned, back)
        self._jurors(dispute, event.state, bond - back)
        dispute.state = event.state

    def _outcome(self, dispute: _Dispute) -> int:
        """More than half of the jury; what an earlier dispute has settled is not settled twice."""
        votes, half = list(dispute.ballots.values()), len(dispute.jury) / 2
        if not dispute.jury or max(votes.count(True), votes.count(False)) <= half:
            return _VOID
        if votes.count(False) > half:
            return _REJECTED
        fraud = dispute.opened.kind == _FRAUD
        settled = self.seats.get(dispute.opened.accused, _Seat()).slashed if fraud else bool(self.right)
        return _VOID if settled else _UPHELD

    def _jurors(self, dispute: _Dispute, state: int, paid: int) -> None:
        """Who voted for the outcome shares what is paid and the fines of the others, to the tinybar."""
        right = dispute.right(state)
        wrong = {juror for juror in dispute.jury if juror not in right} if right else set()
        if set(dispute.fines) != wrong:
            self.fault(DISPUTES, "other jurors were fined than those that did not vote for the outcome")
        if set(dispute.fees) != set(right):
            self.fault(DISPUTES, "other jurors were paid than those that voted for the outcome")
        share, extra = divmod(paid + sum(dispute.fines.values()), len(right) or 1)
        for juror in right:
            due = share + (extra if juror == right[0] else 0)
            self.same(DISPUTES, f"juror {account_text(juror)} was paid", dispute.fees.get(juror, 0), due)

    def _slashed(self, event: ev.Slashed) -> None:
        who = account_text(event.trainer)
        if not any(d.upheld and d.opened.kind == _FRAUD and d.opened.accused == event.trainer for d in self._all()):
            self.fault(DISPUTES, f"{who} was slashed without a jury's word")
        finder = int(self.plan.slash) * self.plan.finder_share // _WHOLE
        self.same(DISPUTES, f"of {who}'s slash the finder got", event.to_finder, finder)
        self.same(DISPUTES, f"of {who}'s slash the client got", event.to_client, int(self.plan.slash) - finder)
        seat = self.seats.setdefault(event.trainer, _Seat())
        if seat.slashed:
            self.fault(DISPUTES, f"{who} was slashed twice")
        seat.slashed = True
        self.slashes += event.to_finder + event.to_client

    def _replaced(self, event: ev.ResultReplaced) -> None:
        dispute = self._dispute(event)
        if dispute is None:
            return
        if not dispute.upheld or dispute.replacement is None or dispute.replacement.result != event.result:
            self.fault(DISPUTES, "a result was replaced by another than a jury upheld")
            return
        if dispute.opened.kind == _APPEAL:
            self.appealed = True
            # Work does not become less: a progress with more of it was wrong.
            if self.outcome is not None and dispute.replacement.units < self.outcome.units:
                self.wrong = checkpoint_proposal(self.task, self.outcome)
        elif self.outcome is not None:
            self.wrong = proposal(self.task, self.outcome)
        self.right, self.outcome, self.confirmed = dispute.opened.subject, dispute.replacement, True

    def _dispute(self, event: Any) -> _Dispute | None:
        found = self.disputes.get(event.dispute_id)
        if found is None:
            self.fault(DISPUTES, f"{type(event).__name__} of a dispute that nobody opened")
        return found

    def _all(self) -> Iterable[_Dispute]:
        return self.disputes.values()


def proposal(task: TaskId, result: Result) -> bytes:
    """keccak256(abi.encode(all arguments)): what the contract counts votes for a result by."""
    counts = (result.log_position, result.round, result.units, result.aggregates, result.audits)
    fields: tuple[int | bytes, ...] = (task, result.result, *counts, result.credits_root)
    return keccak256(b"".join(map(word, fields)))


def checkpoint_proposal(task: TaskId, progress: Result) -> bytes:
    """The same for a checkpoint, which `progress` holds in the place of the result."""
    counts = (progress.units, progress.aggregates, progress.audits)
    fields: tuple[int | bytes, ...] = (task, progress.round, progress.result, *counts, progress.credits_root)
    return keccak256(b"".join(map(word, fields)))


def progress_of(event: ev.CheckpointVoted | ev.CheckpointConfirmed) -> Result:
    counts = (event.round, event.units, event.aggregates, event.audits)
    return Result(0, *counts, event.checkpoint, event.credits_root)


def result_of(event: ev.ResultPublished | ev.ResultConfirmed) -> Result:
    counts = (event.round, event.units, event.aggregates, event.audits)
    return Result(event.log_position, *counts, event.result, event.credits_root)


_RULES: dict[type[Any], Callable[[Books, Any], None]] = {
    ev.Awarded: Books._awarded,
    ev.Accepted: Books._accepted,
    ev.TrainerReady: Books._got_ready,
    ev.Started: Books._started,
    ev.Drawn: Books._drawn,
    ev.CheckpointVoted: Books._checkpoint_voted,
    ev.ResultPublished: Books._published,
    ev.ResultVoted: Books._voted,
    ev.CheckpointConfirmed: Books._progressed,
    ev.ResultConfirmed: Books._confirmed,
    ev.Settled: Books._settled,
    ev.Cancelled: Books._cancelled,
    ev.Expired: Books._expired,
    ev.Claimed: Books._claimed,
    ev.Released: Books._released,
    ev.AuditsClaimed: Books._audits_claimed,
    ev.DisputeOpened: Books._opened,
    ev.ReplacementProposed: Books._proposed,
    ev.JuryDrawn: Books._jury,
    ev.Judged: Books._ballot,
    ev.JurorPaid: Books._juror_paid,
    ev.JurorFined: Books._juror_fined,
    ev.DisputeClosed: Books._closed,
    ev.Slashed: Books._slashed,
    ev.ResultReplaced: Books._replaced,
}
