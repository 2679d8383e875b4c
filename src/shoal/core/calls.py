"""What an account may ask of the contract: one value per function of `TrainingMarket.sol`.

Field names and order are those of the Solidity functions, so that an adapter can encode them from the ABI.
A call's effect happens at most once: the contract refuses a repetition with an error like `AlreadyAccepted`.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal.core.ids import Address, Digest, TaskId
from shoal.core.money import ZERO, Tinybar


@dataclass(frozen=True, slots=True)
class Plan:
    """The numbers of a task that the contract enforces. Times are consensus seconds, prices tinybar."""

    chunks: int
    rounds: int
    seats: int
    min_trainers: int
    max_unit_price: Tinybar
    aggregate_price: Tinybar
    stake_per_seat: Tinybar
    compensation: Tinybar
    no_show_penalty: Tinybar
    bid_until: int
    award_until: int
    accept_until: int
    standby_until: int
    start_until: int
    end_by: int
    window: int
    auditors: int = 0
    """Validators in a committee and in a jury, an odd number; 0: no audits and no disputes."""
    audit_price: Tinybar = ZERO
    audits: int = 0
    """That are paid, at most."""
    bond: Tinybar = ZERO
    slash: Tinybar = ZERO
    finder_share: int = 0
    """Of a slash, in 1/10,000; the rest is the client's."""
    dispute_time: int = 0
    """Seconds until a jury must be drawn, and then until it must have decided."""

    def escrow(self) -> Tinybar:
        """The worst case, locked at creation: every unit at the ceiling, every aggregate and every audit, and the
        compensation of every seat that may be left out at the start."""
        units = self.chunks * self.rounds * self.max_unit_price
        left_out = (self.seats - self.min_trainers) * self.compensation
        return Tinybar(units + self.rounds * self.aggregate_price + self.audits * self.audit_price + left_out)


@dataclass(frozen=True, slots=True)
class Result:
    """All that a result claims, as a dispute proposes it."""

    log_position: int
    round: int
    units: int
    aggregates: int
    audits: int
    result: Digest
    credits_root: bytes


@dataclass(frozen=True, slots=True)
class Register:
    signing_key: bytes
    recipient: bytes


@dataclass(frozen=True, slots=True)
class DepositStake:
    pass


@dataclass(frozen=True, slots=True)
class RequestUnstake:
    amount: Tinybar


@dataclass(frozen=True, slots=True)
class CancelUnstake:
    pass


@dataclass(frozen=True, slots=True)
class CompleteUnstake:
    pass


@dataclass(frozen=True, slots=True)
class JoinValidators:
    pass


@dataclass(frozen=True, slots=True)
class LeaveValidators:
    pass


@dataclass(frozen=True, slots=True)
class CreateTask:
    manifest_hash: Digest
    topic: int
    signing_key: bytes
    recipient: bytes
    plan: Plan


@dataclass(frozen=True, slots=True)
class Award:
    task_id: TaskId
    root: bytes
    unit_price: Tinybar
    primaries: int


@dataclass(frozen=True, slots=True)
class Accept:
    task_id: TaskId
    units: int
    rank: int
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    task_id: TaskId


@dataclass(frozen=True, slots=True)
class Start:
    task_id: TaskId


@dataclass(frozen=True, slots=True)
class ConfirmCheckpoint:
    task_id: TaskId
    round: int
    checkpoint: Digest
    units: int
    aggregates: int
    audits: int
    credits_root: bytes


@dataclass(frozen=True, slots=True)
class PublishResult:
    task_id: TaskId
    result: Digest
    log_position: int
    round: int
    units: int
    aggregates: int
    audits: int
    credits_root: bytes


@dataclass(frozen=True, slots=True)
class ConfirmResult:
    task_id: TaskId
    result: Digest
    log_position: int
    round: int
    units: int
    aggregates: int
    audits: int
    credits_root: bytes


@dataclass(frozen=True, slots=True)
class Settle:
    task_id: TaskId


@dataclass(frozen=True, slots=True)
class Claim:
    task_id: TaskId
    trainer: Address
    units: int
    aggregates: int
    no_show: bool
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ClaimAudits:
    task_id: TaskId
    validator: Address
    audits: int
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    task_id: TaskId


@dataclass(frozen=True, slots=True)
class Expire:
    task_id: TaskId


@dataclass(frozen=True, slots=True)
class Release:
    task_id: TaskId
    trainer: Address


@dataclass(frozen=True, slots=True)
class Withdraw:
    pass


@dataclass(frozen=True, slots=True)
class RequestDraw:
    task_id: TaskId


@dataclass(frozen=True, slots=True)
class Draw:
    task_id: TaskId


@dataclass(frozen=True, slots=True)
class Accuse:
    """Needs the plan's bond."""

    task_id: TaskId
    trainer: Address
    evidence: Digest
    """Hash of the log entry that shows the fraud."""


@dataclass(frozen=True, slots=True)
class ChallengeResult:
    """Needs the plan's bond."""

    task_id: TaskId
    right: Result


@dataclass(frozen=True, slots=True)
class Appeal:
    """Needs the plan's bond."""

    task_id: TaskId
    right: Result


@dataclass(frozen=True, slots=True)
class DrawJury:
    dispute_id: bytes


@dataclass(frozen=True, slots=True)
class Judge:
    dispute_id: bytes
    upheld: bool


@dataclass(frozen=True, slots=True)
class Resolve:
    dispute_id: bytes


Call = (
    Register
    | DepositStake
    | RequestUnstake
    | CancelUnstake
    | CompleteUnstake
    | JoinValidators
    | LeaveValidators
    | CreateTask
    | Award
    | Accept
    | Ready
    | Start
    | ConfirmCheckpoint
    | PublishResult
    | ConfirmResult
    | Settle
    | Claim
    | ClaimAudits
    | Cancel
    | Expire
    | Release
    | Withdraw
    | RequestDraw
    | Draw
    | Accuse
    | ChallengeResult
    | Appeal
    | DrawJury
    | Judge
    | Resolve
)
PAYABLE = Register | DepositStake | CreateTask | Accuse | ChallengeResult | Appeal
"""The calls that take a value."""
