"""What a trainer asks for a work unit: its time, and what the ledger charges it for taking part."""

from __future__ import annotations

import math

from shoal.core import costs, fees
from shoal.core.fees import Rate
from shoal.core.money import TINYBAR_PER_HBAR, Tinybar

_CALLS = ("accept", "ready", "confirmResult", "claim", "withdraw")
"""Made once by each trainer of a task."""


def fees_per_unit(*, rounds: int, chunks: int, confirm_every: int, rate: Rate, audits: int = 0) -> Tinybar:
    """Hedera's fees of one trainer in a task that goes well, spread over its work units and rounded up.

    >>> fees_per_unit(rounds=10, chunks=1, confirm_every=3, rate=Rate(cents=12, hbars=1)) / TINYBAR_PER_HBAR
    0.06770672

    Args:
        chunks: that it holds.
        confirm_every: rounds between two checkpoints that it votes for.
        audits: units that it opens to validators, about.
    """
    once = sum(fees.call(fees.GAS[name]) for name in _CALLS) + fees.message(costs.BID_BYTES)
    once += audits * costs.messages(costs.OPEN_BYTES)
    votes = rounds // confirm_every * fees.call(fees.GAS["confirmCheckpoint"])
    units = rounds * chunks
    return Tinybar(-(-rate.tinybar(once + votes + units * fees.message(costs.UPDATE_BYTES)) // units))


def asked(*, unit_s: float, hbar_per_hour: float, min_unit: int, fees: int) -> Tinybar:
    """The price of a work unit, in tinybar.

    >>> asked(unit_s=3.6, hbar_per_hour=1.0, min_unit=1_000, fees=500)
    100500

    Args:
        unit_s: measured seconds of one chunk in one round.
        min_unit: asked for the work at least, however short it is.
        fees: of the ledger, for each work unit.
    """
    return Tinybar(max(min_unit, math.ceil(hbar_per_hour * TINYBAR_PER_HBAR * unit_s / 3600), 1) + fees)


def power_floor(*, watts: float, usd_per_kwh: float, rate: Rate) -> float:
    """What an hour of a machine costs in power, in HBAR: asking less would lose money.

    >>> power_floor(watts=100, usd_per_kwh=0.3, rate=Rate(cents=12, hbars=1))
    0.25
    """
    return watts / 1000 * usd_per_kwh * 100 * rate.hbars / rate.cents


def hourly(*, unit_price: int, unit_s: float) -> float:
    """What a price of a work unit comes to in HBAR an hour, for a trainer that takes `unit_s` for it.

    >>> hourly(unit_price=100_000, unit_s=3.6)
    1.0
    """
    return unit_price / TINYBAR_PER_HBAR * 3600 / unit_s


def suggested(*, floor: float | None, market: float | None, default: float) -> float:
    """What to ask for an hour, in HBAR: what others were paid, but never less than the power costs.

    >>> suggested(floor=0.25, market=0.1, default=1.0), suggested(floor=None, market=None, default=1.0)
    (0.25, 1.0)
    """
    return max(floor or 0.0, market if market is not None else default)
