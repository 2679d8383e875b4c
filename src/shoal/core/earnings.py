"""What a trainer earned, line by line as the ledger has it, and what the lines of some time come to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from shoal.core.money import ZERO, Tinybar


class Kind(StrEnum):
    WORK = "work"
    """An update or an aggregate, and whether it was taken."""
    AUDIT = "audit"
    """Pay for audits and juries, or a fine."""
    PAYMENT = "payment"
    """What a task paid into this account's balance in the contract, and what became of its stake."""
    STAKE = "stake"
    WITHDRAWAL = "withdrawal"
    """From the contract to the account."""
    FEE = "fee"
    """Any other transaction of this account."""


@dataclass(frozen=True, slots=True)
class Line:
    """One transaction of the ledger, as far as it concerns this account. All amounts in tinybar."""

    time_ns: int
    transaction: str
    kind: Kind
    what: str
    task: str = ""
    earned: Tinybar = ZERO
    """Pay: from now on the contract holds it for this account."""
    penalty: Tinybar = ZERO
    """Of the stake, to others."""
    fee: Tinybar = ZERO
    """To Hedera, paid by this account."""
    net: int = 0
    """What the account's balance on the ledger changed by, the fee included."""


@dataclass(frozen=True, slots=True)
class Total:
    """What some lines come to."""

    earned: Tinybar
    penalties: Tinybar
    fees: Tinybar
    net: int
    lines: int

    @property
    def profit(self) -> int:
        """What is left of the pay after penalties and Hedera's fees."""
        return self.earned - self.penalties - self.fees


def total(lines: Iterable[Line], *, since_ns: int = 0) -> Total:
    """Add up the lines from some time on.

    >>> total([Line(5, "t", Kind.PAYMENT, "", earned=Tinybar(7), fee=Tinybar(2), net=-2)], since_ns=5).profit
    5
    """
    some = [line for line in lines if line.time_ns >= since_ns]
    return Total(
        Tinybar(sum(line.earned for line in some)),
        Tinybar(sum(line.penalty for line in some)),
        Tinybar(sum(line.fee for line in some)),
        sum(line.net for line in some),
        len(some),
    )
