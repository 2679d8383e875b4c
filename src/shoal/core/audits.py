"""Audits and disputes as plain values, and the draw: which work units are looked at again, and by which validator.

What is audited follows from a seed that nobody knew when the work was committed (Hedera's random system contract, in a
later transaction than the request), by a function that everybody can compute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from shoal.core.codec import digest, encode
from shoal.core.ids import ZERO_DIGEST, Address, Digest, TaskId
from shoal.core.money import Tinybar

SEED_S = 5
"""From the request of a draw until it can be made: the block after it has to be over, and blocks take two seconds."""
_EVIDENCE = "shoal/evidence/1"


class Finding(StrEnum):
    """How an audit ended."""

    OK = "ok"
    WRONG = "wrong"
    """The unit, trained again, gives another update."""
    WITHHELD = "withheld"
    """Its trainer did not open it in time, or opened what most of the committee could not use."""
    LAPSED = "lapsed"
    """The validator said nothing in time: nobody is paid, and nothing is held against the trainer."""


class Kind(IntEnum):
    """What a dispute is about, as in the contract."""

    FRAUD = 0
    RESULT = 1
    APPEAL = 2


class Ruling(IntEnum):
    """Where a dispute stands, as in the contract."""

    OPEN = 1
    UPHELD = 2
    REJECTED = 3
    VOID = 4


@dataclass(frozen=True, slots=True)
class Unit:
    """A work unit that was paid for: what a draw chooses from."""

    round: int
    chunk: int
    trainer: Address


@dataclass(frozen=True, slots=True)
class Audit:
    """A drawn unit, and how far it is looked into."""

    unit: Unit
    validator: Address
    """Whose turn it is."""
    committee: tuple[Address, ...]
    place: int
    """How many units the validator has to look at before this one."""
    asked_ns: int
    """Since when the trainer is asked to open it to this validator."""
    sealed: bytes = b""
    """What the trainer opened it with: an age file to the validator."""
    opened_ns: int = 0
    unusable: tuple[Address, ...] = ()
    """Validators that could not use what was opened to them."""
    finding: Finding | None = None
    found: Digest = ZERO_DIGEST
    """SHA-256 of the update that the validator trained."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute in the contract, with the unit that it is about."""

    kind: Kind
    challenger: Address
    accused: Address
    subject: bytes
    bond: Tinybar
    opened_ns: int
    unit: Unit | None
    """None where the evidence names none of the accused's."""
    asked_ns: int = 0
    """When its jury was asked for last."""
    jury: tuple[Address, ...] = ()
    drawn_ns: int = 0
    decide_by: int = 0
    """Consensus second."""
    sealed: bytes = b""
    """What the accused opened the unit to the jurors with."""
    ballots: Mapping[Address, bool] = field(default_factory=dict)
    ruling: Ruling = Ruling.OPEN


def draw(seed: bytes, units: Sequence[Unit], committee: Sequence[Address], count: int) -> list[tuple[Unit, Address]]:
    """Which units are audited, and by whom: the same for whoever computes it.

    Every trainer is looked at as often as the others, one unit more or less: one that cheats in each of its units is
    found with certainty once there are as many audits as trainers. Which unit of it, follows from the seed.

    >>> draw(seed, units, committee, 2)  # doctest: +SKIP
    [(Unit(round=3, chunk=1, trainer=...), validator_a), (Unit(round=1, chunk=0, trainer=...), validator_b)]
    """
    if not committee or count <= 0:
        return []
    lists: dict[Address, list[Unit]] = {}
    for unit in sorted(
        units, key=lambda unit: _lot(seed, unit.round.to_bytes(4, "big"), unit.chunk.to_bytes(4, "big"))
    ):
        lists.setdefault(unit.trainer, []).append(unit)
    trainers = sorted(lists, key=lambda trainer: _lot(seed, trainer))
    deepest = max((len(each) for each in lists.values()), default=0)
    in_turn = [lists[who][depth] for depth in range(deepest) for who in trainers if depth < len(lists[who])]
    return [(unit, committee[index % len(committee)]) for index, unit in enumerate(in_turn[:count])]


def evidence_of(task: TaskId, unit: Unit, state: Digest) -> Digest:
    """What an accusation names on chain: one update of one trainer, and nothing else.

    Args:
        state: SHA-256 of the update that its trainer committed to.
    """
    return digest(encode([_EVIDENCE, task, unit.round, unit.chunk, unit.trainer, state]))


def _lot(seed: bytes, *parts: bytes) -> bytes:
    return hashlib.sha256(b"shoal/audit/1" + seed + b"".join(parts)).digest()
