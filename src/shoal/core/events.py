"""What the contract says happened: one value per event of `TrainingMarket.sol`, with its place in consensus order.

Field names and order are those of the Solidity events, so that an adapter can decode them from the ABI.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal.core.calls import Plan, Result
from shoal.core.ids import Address, Digest, TaskId
from shoal.core.money import Tinybar


@dataclass(frozen=True, slots=True)
class Registered:
    account: Address
    signing_key: bytes
    recipient: bytes
    stake: Tinybar


@dataclass(frozen=True, slots=True)
class TaskCreated:
    task_id: TaskId
    client: Address
    topic: int
    manifest_hash: Digest
    signing_key: bytes
    recipient: bytes
    plan: Plan
    escrow: Tinybar


@dataclass(frozen=True, slots=True)
class Awarded:
    task_id: TaskId
    root: bytes
    unit_price: Tinybar
    primaries: int


@dataclass(frozen=True, slots=True)
class Accepted:
    task_id: TaskId
    trainer: Address
    signing_key: bytes
    recipient: bytes
    units: int
    rank: int


@dataclass(frozen=True, slots=True)
class TrainerReady:
    task_id: TaskId
    trainer: Address


@dataclass(frozen=True, slots=True)
class Started:
    task_id: TaskId
    accepted: int
    ready: int
    quorum: int


@dataclass(frozen=True, slots=True)
class CheckpointVoted:
    task_id: TaskId
    voter: Address
    round: int
    checkpoint: Digest
    units: int
    aggregates: int
    audits: int
    credits_root: bytes


@dataclass(frozen=True, slots=True)
class CheckpointConfirmed:
    task_id: TaskId
    round: int
    checkpoint: Digest
    units: int
    aggregates: int
    audits: int
    credits_root: bytes


@dataclass(frozen=True, slots=True)
class ResultPublished:
    task_id: TaskId
    voter: Address
    result: Digest
    log_position: int
    round: int
    units: int
    aggregates: int
    audits: int
    credits_root: bytes


@dataclass(frozen=True, slots=True)
class ResultVoted:
    task_id: TaskId
    voter: Address
    result: Digest
    proposal: bytes


@dataclass(frozen=True, slots=True)
class ResultConfirmed:
    task_id: TaskId
    result: Digest
    log_position: int
    round: int
    units: int
    aggregates: int
    audits: int
    credits_root: bytes
    settle_after: int


@dataclass(frozen=True, slots=True)
class Settled:
    task_id: TaskId
    reserved: Tinybar
    refunded: Tinybar


@dataclass(frozen=True, slots=True)
class Claimed:
    task_id: TaskId
    trainer: Address
    units: int
    aggregates: int
    paid: Tinybar
    stake_returned: Tinybar
    penalty: Tinybar
    """Of the stake, to the client."""
    finder_fee: Tinybar
    """Of the stake, to whoever found a wrong vote."""
    forfeited: Tinybar
    """Pay of a slashed trainer, to the client."""


@dataclass(frozen=True, slots=True)
class AuditsClaimed:
    task_id: TaskId
    validator: Address
    audits: int
    paid: Tinybar


@dataclass(frozen=True, slots=True)
class Cancelled:
    task_id: TaskId
    refunded: Tinybar
    compensation: Tinybar


@dataclass(frozen=True, slots=True)
class Expired:
    task_id: TaskId
    reason: int
    refunded: Tinybar
    compensation: Tinybar


@dataclass(frozen=True, slots=True)
class Released:
    task_id: TaskId
    trainer: Address
    stake_returned: Tinybar
    compensation: Tinybar


@dataclass(frozen=True, slots=True)
class Member:
    """A validator that was drawn, with what its entries in the log are checked by."""

    validator: Address
    signing_key: bytes
    recipient: bytes


@dataclass(frozen=True, slots=True)
class DrawRequested:
    task_id: TaskId
    round: int


@dataclass(frozen=True, slots=True)
class Drawn:
    task_id: TaskId
    round: int
    seed: bytes
    committee: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class DisputeOpened:
    task_id: TaskId
    dispute_id: bytes
    kind: int
    challenger: Address
    accused: Address
    subject: bytes
    bond: Tinybar


@dataclass(frozen=True, slots=True)
class ReplacementProposed:
    task_id: TaskId
    dispute_id: bytes
    result: Result


@dataclass(frozen=True, slots=True)
class JuryRequested:
    """Anew: nobody drew the jury while the seed of its first request was known."""

    task_id: TaskId
    dispute_id: bytes


@dataclass(frozen=True, slots=True)
class JuryDrawn:
    task_id: TaskId
    dispute_id: bytes
    jury: tuple[Member, ...]
    decide_by: int


@dataclass(frozen=True, slots=True)
class Judged:
    task_id: TaskId
    dispute_id: bytes
    juror: Address
    upheld: bool


@dataclass(frozen=True, slots=True)
class JurorPaid:
    task_id: TaskId
    dispute_id: bytes
    juror: Address
    amount: Tinybar


@dataclass(frozen=True, slots=True)
class JurorFined:
    task_id: TaskId
    dispute_id: bytes
    juror: Address
    amount: Tinybar


@dataclass(frozen=True, slots=True)
class DisputeClosed:
    task_id: TaskId
    dispute_id: bytes
    state: int
    bond_to: Address
    bond_returned: Tinybar


@dataclass(frozen=True, slots=True)
class Slashed:
    task_id: TaskId
    trainer: Address
    to_finder: Tinybar
    to_client: Tinybar


@dataclass(frozen=True, slots=True)
class ResultReplaced:
    task_id: TaskId
    dispute_id: bytes
    result: Digest
    settle_after: int


@dataclass(frozen=True, slots=True)
class StakeDeposited:
    account: Address
    amount: Tinybar


@dataclass(frozen=True, slots=True)
class UnstakeRequested:
    account: Address
    amount: Tinybar
    unbond_at: int


@dataclass(frozen=True, slots=True)
class UnstakeCancelled:
    account: Address
    amount: Tinybar


@dataclass(frozen=True, slots=True)
class Unstaked:
    account: Address
    amount: Tinybar


@dataclass(frozen=True, slots=True)
class ValidatorJoined:
    account: Address
    locked: Tinybar


@dataclass(frozen=True, slots=True)
class ValidatorLeft:
    account: Address


@dataclass(frozen=True, slots=True)
class Withdrawn:
    account: Address
    amount: Tinybar


TaskEvent = (
    TaskCreated
    | Awarded
    | Accepted
    | TrainerReady
    | Started
    | CheckpointVoted
    | CheckpointConfirmed
    | ResultPublished
    | ResultVoted
    | ResultConfirmed
    | Settled
    | Claimed
    | Cancelled
    | Expired
    | Released
    | AuditsClaimed
    | DrawRequested
    | Drawn
    | DisputeOpened
    | ReplacementProposed
    | JuryRequested
    | JuryDrawn
    | Judged
    | JurorPaid
    | JurorFined
    | DisputeClosed
    | Slashed
    | ResultReplaced
)
AccountEvent = (
    Registered
    | StakeDeposited
    | UnstakeRequested
    | UnstakeCancelled
    | Unstaked
    | ValidatorJoined
    | ValidatorLeft
    | Withdrawn
)
Event = TaskEvent | AccountEvent
