"""The auction: cheapest bids first, one uniform price for all, standbys in order.

The price is that of the first bid left out (a uniform-price auction after Vickrey, 1961: a bidder's own
price never sets what it is paid while someone was left out, so bidding one's true cost is safe).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shoal.core.codec import digest, encode
from shoal.core.ids import Address, Digest, TaskId
from shoal.core.merkle import AwardLeaf, proof, root
from shoal.core.money import Tinybar


@dataclass(frozen=True, slots=True)
class Bid:
    """An opened bid. `units` is how many chunks the trainer is ready to hold."""

    trainer: Address
    unit_price: Tinybar
    units: int
    unit_s: float
    """Seconds that one work unit takes the bidder, as measured in its preflight."""
    expires: int
    salt: bytes

    def commitment(self, task: TaskId) -> Digest:
        """What is posted before the deadline; it hides the bid because of the 32 random bytes of `salt`."""
        return digest(encode(["shoal/bid/1", task, *self.fields()]))

    def fields(self) -> list[object]:
        return [self.trainer, int(self.unit_price), self.units, self.unit_s, self.expires, self.salt]


@dataclass(frozen=True, slots=True)
class Award:
    """Seats and standbys, in the order of the Merkle tree, and the price that all are paid."""

    leaves: tuple[AwardLeaf, ...]
    unit_price: Tinybar

    @property
    def primaries(self) -> int:
        return sum(leaf.rank == 0 for leaf in self.leaves)

    def root(self, task: TaskId) -> bytes:
        return root([leaf.hash(task) for leaf in self.leaves])

    def proof(self, task: TaskId, trainer: Address) -> tuple[AwardLeaf, tuple[bytes, ...]] | None:
        """The trainer's leaf and its proof, or None when it was not chosen."""
        for index, leaf in enumerate(self.leaves):
            if leaf.trainer == trainer:
                return leaf, proof([each.hash(task) for each in self.leaves], index)
        return None


def clear(
    bids: Sequence[Bid], *, task: TaskId, chunks: int, seats: int, min_trainers: int, ceiling: Tinybar, now_s: int
) -> Award | None:
    """Choose trainers for `chunks` chunks, or None when the bids cannot carry the task.

    Each seat takes an equal share of the chunks, or less if its holder bid for less; what is left over goes
    to the cheapest that bid for more. Ties are broken by commitment, which nobody can foresee for others.
    One bid per trainer counts: its cheapest.
    """
    ordered = sorted(
        (bid for bid in bids if 0 < bid.unit_price <= ceiling and bid.units > 0 and bid.expires >= now_s),
        key=lambda bid: (bid.unit_price, bid.commitment(task)),
    )
    unique: dict[Address, Bid] = {}
    for bid in ordered:
        unique.setdefault(bid.trainer, bid)
    ranked = list(unique.values())
    chosen = ranked[: min(seats, chunks)]
    if len(chosen) < min_trainers:
        return None
    shares = _shares([bid.units for bid in chosen], chunks)
    if shares is None:
        return None
    left_out = ranked[len(chosen) :]
    price = left_out[0].unit_price if left_out else chosen[-1].unit_price
    leaves = [AwardLeaf(bid.trainer, share, 0) for bid, share in zip(chosen, shares, strict=True)]
    share = -(-chunks // len(chosen))
    # A standby's rank is at most the number of vacant seats, so more of them could never accept.
    standbys = left_out[: len(chosen)]
    leaves += [AwardLeaf(bid.trainer, min(share, bid.units), rank) for rank, bid in enumerate(standbys, 1)]
    return Award(tuple(leaves), Tinybar(price))


def _shares(capacities: Sequence[int], chunks: int) -> list[int] | None:
    """Spread chunks one at a time, round after round, over those who still have room."""
    if sum(capacities) < chunks:
        return None
    shares = [0] * len(capacities)
    left = chunks
    while left:
        for index, capacity in enumerate(capacities):
            if left and shares[index] < capacity:
                shares[index] += 1
                left -= 1
    return shares
