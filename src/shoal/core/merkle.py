"""Merkle trees of awards and credits, verified on chain by OpenZeppelin's `MerkleProof` (sorted pairs)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shoal.core.ids import Address, TaskId, keccak256, word

EMPTY_ROOT = bytes(32)


@dataclass(frozen=True, slots=True)
class AwardLeaf:
    """One awarded bidder: `rank` 0 is a seat, 1 and up a standby in this order."""

    trainer: Address
    units: int
    rank: int

    def hash(self, task: TaskId) -> bytes:
        return _leaf(task, self.trainer, self.units, self.rank)


@dataclass(frozen=True, slots=True)
class CreditLeaf:
    """What one trainer earned: work units, aggregates, and whether it dropped out."""

    trainer: Address
    units: int
    aggregates: int
    no_show: bool

    def hash(self, task: TaskId) -> bytes:
        return _leaf(task, self.trainer, self.units, self.aggregates, int(self.no_show))


@dataclass(frozen=True, slots=True)
class AuditLeaf:
    """What one validator earned; of three words, so that it never passes for a trainer's leaf of five."""

    validator: Address
    audits: int

    def hash(self, task: TaskId) -> bytes:
        return _leaf(task, self.validator, self.audits)


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes in this order; 32 zero bytes when there are none."""
    level = list(leaves)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The siblings that lead from leaf `index` to the root; O(log n) hashes."""
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    level, path = list(leaves), []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level, index = _parents(level), index // 2
    return tuple(path)


def verify(leaf: bytes, path: Sequence[bytes], expected_root: bytes) -> bool:
    """What `MerkleProof.verify` computes on chain."""
    node = leaf
    for sibling in path:
        node = _pair(node, sibling)
    return node == expected_root


def _leaf(task: TaskId, trainer: Address, *numbers: int) -> bytes:
    # Hashed twice, as OpenZeppelin's standard tree does, so that no inner node can pass for a leaf.
    return keccak256(keccak256(word(task) + word(trainer) + b"".join(map(word, numbers))))


def _pair(left: bytes, right: bytes) -> bytes:
    return keccak256(min(left, right) + max(left, right))


def _parents(level: list[bytes]) -> list[bytes]:
    parents = [_pair(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    if len(level) % 2:
        parents.append(level[-1])
    return parents
