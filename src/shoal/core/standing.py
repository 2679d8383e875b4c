"""What the contract itself says of a task now: the other witness beside its events."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from shoal.core.calls import Plan, Result
from shoal.core.ids import Address, Digest
from shoal.core.money import Tinybar


class ContractPhase(IntEnum):
    """As `MarketTypes.Phase`; 0 there is a task that does not exist."""

    CREATED = 1
    AWARDED = 2
    RUNNING = 3
    SETTLING = 4
    SETTLED = 5
    CANCELLED = 6
    EXPIRED = 7
    LAPSED = 8


@dataclass(frozen=True, slots=True)
class TaskView:
    """The contract's record of one task; `phase` counts as `ContractPhase` does."""

    client: Address
    topic: int
    phase: int
    quorum: int
    manifest_hash: Digest
    plan: Plan
    escrow_tinybar: Tinybar
    reserved_tinybar: Tinybar
    """Of the escrow, what is still held."""
    unit_price: Tinybar
    award_root: bytes
    accepted: int
    ready: int
    open_disputes: int
    progress: Result
    """The last confirmed checkpoint, with its hash in the place of the result's; all zeros where there is none."""
    result: Result
    """The confirmed result; all zeros where there is none."""
    closed: frozenset[Address] = frozenset()
    """Of the trainers that were asked about, those whose seat was claimed or released."""
