"""What an account may ask of the contract: one value per function of `TrainingMarket.sol`.

Field names and order are those of the Solidity functions, so that an adapter can encode them from the ABI.
A call's effect happens at most once: the contract refuses a repetition with an error like `AlreadyAccepted`.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal.core.ids import Address, Digest, TaskId
from shoal.core.money import Tinybar


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

    def escrow(self) -> Tinybar:
        """The worst case, locked at creation: every unit at the ceiling and every aggregate."""
        return Tinybar(self.chunks * self.rounds * self.max_unit_price + self.rounds * self.aggregate_price)


@dataclass(frozen=True, slots=True)
class Register:
    signing_key: bytes
    recipient: bytes


@dataclass(frozen=True, slots=True)
class DepositStake:
    pass


@dataclass(frozen=True, slots=True)
class Unstake:
    amount: Tinybar


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
    credits_root: bytes


@dataclass(frozen=True, slots=True)
class PublishResult:
    task_id: TaskId
    result: Digest
    log_position: int
    round: int
    units: int
    aggregates: int
    credits_root: bytes


@dataclass(frozen=True, slots=True)
class ConfirmResult:
    task_id: TaskId
    result: Digest
    log_position: int
    round: int
    units: int
    aggregates: int
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


Call = (
    Register
    | DepositStake
    | Unstake
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
    | Cancel
    | Expire
    | Release
    | Withdraw
)
