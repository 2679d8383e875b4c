"""The quote: the worst case of a task, shown before any money moves, and the plan that the contract enforces."""

from __future__ import annotations

from dataclasses import dataclass

from shoal.core import limits
from shoal.core.calls import Plan
from shoal.core.money import Tinybar

AGGREGATE_SHARE = 10
"""An aggregate is paid like one tenth of a work unit's ceiling: it costs bandwidth, little computing."""
DEFAULT_UNIT_TINYBAR = Tinybar(5_000_000)
"""The ceiling of a work unit when no budget is given: 0.05 HBAR."""
SEAT_STAKE = Tinybar(100_000_000)
COMPENSATION = Tinybar(100_000)
NO_SHOW_PENALTY = Tinybar(10_000_000)

# Hedera's fixed fees in USD, of which a client's side pays a handful (HIP-1261; createTask and its like by gas).
_GAS_USD = 0.0000000852
_FEES_USD = {"topic": 0.01, "message": 0.00143, "create gas": 450_000 * _GAS_USD, "call gas": 120_000 * _GAS_USD}


class BudgetTooSmall(ValueError):
    """The budget leaves less than one tinybar for a work unit. `needed` is the least that makes sense."""

    def __init__(self, needed: int) -> None:
        super().__init__(f"the budget must be at least {needed} tinybar")
        self.needed = Tinybar(needed)


class TooLarge(ValueError):
    """More entries or upload slots than one task can have."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long each stage may take, in seconds of consensus time."""

    bid_s: int = 60
    award_s: int = 60
    accept_s: int = 60
    standby_s: int = 30
    start_s: int = 300
    train_s: int = 24 * 3600
    window_s: int = 60


LOCAL_TIMING = Timing(bid_s=12, award_s=60, accept_s=30, standby_s=15, start_s=120, train_s=3600, window_s=4)
"""For a ledger on the same machine, where consensus takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What a task costs at most, and what it is likely to cost less."""

    plan: Plan
    escrow: Tinybar
    units: int
    fees_usd: float
    """Hedera's fees of the client's own transactions, about."""


def quote(
    *,
    chunks: int,
    rounds: int,
    trainers: int,
    budget: Tinybar | None,
    timing: Timing,
    now_s: int,
    min_trainers: int | None = None,
) -> Quote:
    """Turn a wish into a plan.

    Args:
        budget: all that may ever be spent on trainers; the ceiling of a work unit follows from it.
        now_s: consensus time; every deadline is absolute.

    Raises:
        BudgetTooSmall: less than one tinybar a work unit would be left.
        ValueError: numbers beyond `limits`.
    """
    if not 1 <= trainers <= min(chunks, limits.SEATS) or not 1 <= rounds <= limits.ROUNDS or chunks > limits.CHUNKS:
        raise ValueError(f"{trainers} trainers, {chunks} chunks, {rounds} rounds: out of bounds")
    units = chunks * rounds
    held = -(-chunks // trainers) * (2 if trainers > 1 else 1)
    if rounds * (held + 1) + trainers > limits.AUTHOR_ENTRIES or rounds * (2 * chunks + trainers) > limits.SLOTS:
        raise TooLarge(f"{chunks} chunks x {rounds} rounds are more than one task can hold")
    if budget is None:
        unit_price = int(DEFAULT_UNIT_TINYBAR)
        aggregate_price = unit_price // AGGREGATE_SHARE
    else:
        unit_price = int(budget) * AGGREGATE_SHARE // (units * AGGREGATE_SHARE + rounds)
        aggregate_price = unit_price // AGGREGATE_SHARE
    if unit_price < 1:
        raise BudgetTooSmall(units + rounds)
    bid_until = now_s + timing.bid_s
    award_until = bid_until + timing.award_s
    accept_until = award_until + timing.accept_s
    standby_until = accept_until + timing.standby_s
    start_until = standby_until + timing.start_s
    escrow = units * unit_price + rounds * aggregate_price
    plan = Plan(
        chunks=chunks,
        rounds=rounds,
        seats=trainers,
        min_trainers=min_trainers or max(1, trainers // 2 + 1 if trainers > 1 else 1),
        max_unit_price=Tinybar(unit_price),
        aggregate_price=Tinybar(aggregate_price),
        stake_per_seat=SEAT_STAKE,
        compensation=Tinybar(min(COMPENSATION, escrow // (4 * trainers))),
        no_show_penalty=NO_SHOW_PENALTY,
        bid_until=bid_until,
        award_until=award_until,
        accept_until=accept_until,
        standby_until=standby_until,
        start_until=start_until,
        end_by=start_until + timing.train_s,
        window=timing.window_s,
    )
    messages = 4 + trainers * 2
    fees = _FEES_USD["topic"] + messages * _FEES_USD["message"] + _FEES_USD["create gas"] + 6 * _FEES_USD["call gas"]
    return Quote(plan, plan.escrow(), units, fees)
