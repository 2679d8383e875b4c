"""Money: integers in tinybar, 10^8 to one HBAR, and how people read and write them."""

from __future__ import annotations

from decimal import Decimal, Inexact, InvalidOperation, localcontext
from typing import NewType

Tinybar = NewType("Tinybar", int)
"""The only unit of money in code."""

ZERO = Tinybar(0)
TINYBAR_PER_HBAR = 100_000_000
TOTAL_SUPPLY = Tinybar(50_000_000_000 * TINYBAR_PER_HBAR)


def parse_hbar(text: str) -> Tinybar:
    """Read an amount in HBAR, exactly.

    >>> parse_hbar("1.5")
    150000000
    >>> parse_hbar("5 hbar")
    500000000

    Raises:
        ValueError: not a number, negative, more than 8 decimals, or above the total supply.
    """
    cleaned = text.strip().lower().removesuffix("hbar").removesuffix("ℏ").strip()
    try:
        amount = Decimal(cleaned)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not an amount in HBAR") from error
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{text!r} is not a positive amount in HBAR")
    if amount > TOTAL_SUPPLY // TINYBAR_PER_HBAR:
        raise ValueError(f"{text!r} is more HBAR than exist")
    try:
        with localcontext() as context:
            context.traps[Inexact] = True  # else a long tail of decimals would be rounded away
            return Tinybar(int((amount * TINYBAR_PER_HBAR).to_integral_exact()))
    except Inexact as error:
        raise ValueError(f"{text!r} has more than 8 decimals: one tinybar is 0.00000001 HBAR") from error


def format_hbar(tinybar: int) -> str:
    """Write an amount for people, exactly and without trailing zeros.

    >>> format_hbar(150000000)
    '1.5 ℏ'
    >>> format_hbar(-1)
    '-0.00000001 ℏ'
    """
    sign = "-" if tinybar < 0 else ""
    whole, rest = divmod(abs(tinybar), TINYBAR_PER_HBAR)
    decimals = f"{rest:08d}".rstrip("0")
    return f"{sign}{whole:,}{'.' + decimals if decimals else ''} ℏ"
