"""What the model of the contract keeps, and the rules that its parts share, in the order of the Solidity source."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from shoal.core import calls
from shoal.core.calls import Plan
from shoal.core.ids import Address, Digest, TaskId, keccak256, word
from shoal.core.money import Tinybar

CLAIM_PERIOD_S = 30 * 24 * 3600
MAX_LIFE_S = 90 * 24 * 3600
MAX_WINDOW_S = 30 * 24 * 3600
MAX_UNITS = 2**31 - 1
MAX_AUDITORS = 7
FINES = 16
WHOLE = 10_000
ZERO_WORD = bytes(32)


class Reverted(Exception):
    """The contract refused a call and changed nothing. `reason` is the name of its custom error.

    A value sent with a call that takes none is refused without a name: then `reason` is empty.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason or "reverted without a reason")
        self.reason = reason


class MarketPhase(IntEnum):
    """As in Solidity; a task that does not exist is None there and absent here."""

    CREATED = 1
    AWARDED = 2
    RUNNING = 3
    SETTLING = 4
    SETTLED = 5
    CANCELLED = 6
    EXPIRED = 7
    LAPSED = 8


class ExpiryReason(IntEnum):
    """Why a task expired, as in the event `Expired`."""

    NOT_AWARDED = 1
    TOO_FEW_ACCEPTED = 2
    NOT_STARTED = 3
    ENDED_ON_PROGRESS = 4
    NO_PROGRESS = 5
    CLAIMS_LAPSED = 6


@dataclass(slots=True)
class Account:
    """Amounts in tinybar; `stake` includes `locked`."""

    signing_key: bytes = b""
    recipient: bytes = b""
    stake: int = 0
    locked: int = 0
    balance: int = 0
    unbonding: int = 0
    unbond_at: int = 0

    @property
    def free(self) -> int:
        return self.stake - self.locked


@dataclass(slots=True)
class Validator:
    stake: int = 0
    """Its part of the account's locked stake."""
    place: int = 0
    """In the pool, from 1; 0: not in it."""
    duties: int = 0
    left_block: int = 0


@dataclass(slots=True)
class TakenSeat:
    units: int
    rank: int
    ready: bool = False
    closed: bool = False
    slashed: bool = False


NOTHING = calls.Result(0, 0, 0, 0, 0, Digest(ZERO_WORD), ZERO_WORD)
"""The progress of a task that has none."""


NOBODY = Address(bytes(20))


class DisputeKind(IntEnum):
    FRAUD = 0
    RESULT = 1
    APPEAL = 2


class DisputeState(IntEnum):
    OPEN = 1
    UPHELD = 2
    REJECTED = 3
    VOID = 4


@dataclass(slots=True)
class Dispute:
    task: TaskId
    kind: DisputeKind
    challenger: Address
    accused: Address
    subject: bytes
    bond: int
    opened_s: int
    draw_block: int
    replacement: calls.Result = NOTHING
    state: DisputeState = DisputeState.OPEN
    decide_by: int = 0
    ballots: dict[Address, bool | None] = field(default_factory=dict)
    """Of the jury, in the order of the draw; None is due."""


@dataclass(slots=True)
class MarketTask:
    client: Address
    plan: Plan
    escrow: int
    reserved: int
    phase: MarketPhase = MarketPhase.CREATED
    award_root: bytes = ZERO_WORD
    unit_price: int = 0
    primaries: int = 0
    primaries_accepted: int = 0
    quorum: int = 0
    idle: int = 0
    settle_after: int = 0
    claim_until: int = 0
    claimed_units: int = 0
    claimed_aggregates: int = 0
    claimed_audits: int = 0
    compensation_due: int = 0
    drawn_round: int = 0
    draw_block: int = 0
    open_disputes: int = 0
    disputes: int = 0
    appealed: bool = False
    wrong_proposal: bytes = b""
    right_proposal: bytes = b""
    finder: Address = NOBODY
    progress: calls.Result = NOTHING
    result: calls.Result | None = None
    auditors: set[Address] = field(default_factory=set)
    audits_claimed: set[Address] = field(default_factory=set)
    seats: dict[Address, TakenSeat] = field(default_factory=dict)
    votes: dict[bytes, list[Address]] = field(default_factory=dict)

    @property
    def idle_pay(self) -> int:
        """What those are owed that were not ready when it was started."""
        return self.idle * self.plan.compensation

    def may_vote(self, who: Address) -> bool:
        seat = self.seats.get(who)
        return self.quorum > 1 if who == self.client else seat is not None and seat.ready and not seat.slashed

    @property
    def outcome(self) -> calls.Result:
        """What trainers claim by: the confirmed result, or the last confirmed checkpoint."""
        return self.result or self.progress


def checkpoint_proposal(task: TaskId, claimed: calls.Result) -> bytes:
    """keccak256(abi.encode(all arguments)): what votes for a checkpoint are counted by."""
    numbers = (claimed.units, claimed.aggregates, claimed.audits, claimed.credits_root)
    return proposal(task, claimed.round, claimed.result, *numbers)


def result_proposal(task: TaskId, result: calls.Result) -> bytes:
    """keccak256(abi.encode(all arguments)): what votes for a result are counted by."""
    return proposal(task, *result_values(result))


def proposal(*fields: int | bytes) -> bytes:
    return keccak256(b"".join(map(word, fields)))


def result_of(call: calls.PublishResult | calls.ConfirmResult) -> calls.Result:
    """What a vote is for."""
    return calls.Result(
        call.log_position, call.round, call.units, call.aggregates, call.audits, call.result, call.credits_root
    )


def result_values(result: calls.Result) -> tuple[Digest, int, int, int, int, int, bytes]:
    """In the order of the contract's arguments and events."""
    counts = (result.log_position, result.round, result.units, result.aggregates, result.audits)
    return result.result, *counts, result.credits_root


def price(task: MarketTask, units: int, aggregates: int, audits: int) -> Tinybar:
    paid = units * task.unit_price + aggregates * task.plan.aggregate_price
    return Tinybar(paid + audits * task.plan.audit_price)


def finder_part(plan: Plan, amount: int) -> Tinybar:
    return Tinybar(amount * plan.finder_share // WHOLE)


def open_seat(task: MarketTask, trainer: Address) -> TakenSeat:
    seat = task.seats.get(trainer)
    if seat is None:
        raise Reverted("NotAccepted")
    require(not seat.closed, "AlreadyClosed")
    return seat


def require(condition: bool, reason: str) -> None:
    if not condition:
        raise Reverted(reason)


def require_keys(signing_key: bytes, recipient: bytes) -> None:
    require(signing_key != ZERO_WORD, "ZeroValue")
    require(recipient != ZERO_WORD, "ZeroValue")


def require_bounds(plan: Plan, result: calls.Result) -> None:
    require(result.round <= plan.rounds, "OutOfBounds")
    require(result.units <= plan.chunks * result.round, "OutOfBounds")
    require(result.aggregates <= result.round, "OutOfBounds")
    require(result.audits <= plan.audits, "OutOfBounds")
    require(result.result != ZERO_WORD, "ZeroValue")
    require(result.credits_root != ZERO_WORD, "ZeroValue")


def require_plan(plan: Plan, validator_stake: int, min_dispute_s: int, now_s: int) -> None:
    """`PlanRules.worstCase`."""
    times = (now_s, plan.bid_until, plan.award_until, plan.accept_until, plan.standby_until, plan.start_until)
    valid = (
        plan.rounds > 0
        and plan.chunks * plan.rounds <= MAX_UNITS
        and 0 < plan.seats <= plan.chunks
        and (2 if plan.seats > 1 else 1) <= plan.min_trainers <= plan.seats
        and plan.no_show_penalty <= plan.stake_per_seat
        and all(earlier < later for earlier, later in zip(times, (*times[1:], plan.end_by), strict=True))
        and plan.end_by <= now_s + MAX_LIFE_S
        and plan.window <= MAX_WINDOW_S
        and plan.seats * plan.compensation <= plan.escrow()
        and _fair_disputes(plan, validator_stake, min_dispute_s)
    )
    require(valid, "InvalidPlan")


def _fair_disputes(plan: Plan, validator_stake: int, min_dispute_s: int) -> bool:
    rest = (plan.audit_price, plan.audits, plan.bond, plan.slash, plan.finder_share, plan.dispute_time)
    if plan.auditors == 0:
        return not any(rest)
    return (
        plan.auditors % 2 == 1
        and plan.auditors <= MAX_AUDITORS
        and 0 < plan.audit_price <= validator_stake // FINES
        and plan.audits <= MAX_UNITS
        and plan.bond >= plan.auditors * plan.audit_price
        and 0 < plan.slash <= plan.stake_per_seat
        and plan.finder_share <= WHOLE
        and plan.slash * plan.finder_share // WHOLE >= plan.bond
        and min_dispute_s <= plan.dispute_time <= MAX_WINDOW_S
        and plan.window >= min_dispute_s
    )
