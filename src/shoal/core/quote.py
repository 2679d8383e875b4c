"""The quote: the worst case of a task, shown before any money moves, and the plan that the contract enforces."""

from __future__ import annotations

from dataclasses import dataclass

from shoal.core import costs, fees, limits
from shoal.core.calls import Plan
from shoal.core.money import ZERO, Tinybar

AGGREGATE_SHARE = 10
"""An aggregate is paid like one tenth of a work unit's ceiling: it costs bandwidth, little computing."""
DEFAULT_UNIT_TINYBAR = Tinybar(5_000_000)
"""The ceiling of a work unit when no budget is given: 0.05 HBAR, and `FEE_ROOM` times a trainer's fees."""
FEE_ROOM = 2
SEAT_STAKE = Tinybar(100_000_000)
COMPENSATION = Tinybar(100_000)
NO_SHOW_PENALTY = Tinybar(10_000_000)


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
    trainer_fees: Tinybar = ZERO,
    timing: Timing,
    now_s: int,
    min_trainers: int | None = None,
) -> Quote:
    """Turn a wish into a plan.

    Args:
        budget: all that may ever be spent on trainers; the ceiling of a work unit follows from it.
        trainer_fees: what the ledger charges a trainer for each work unit, which it will ask for.
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
        unit_price = DEFAULT_UNIT_TINYBAR + FEE_ROOM * trainer_fees
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
    told = costs.lines(plan, manifest_bytes=costs.manifest_estimate(chunks), confirm_every=confirm_every_of(rounds))
    usd = costs.total(told, costs.Payer.CLIENT) / fees.TINYCENTS_PER_USD
    return Quote(plan, plan.escrow(), units, usd)


def confirm_every_of(rounds: int) -> int:
    """How often a quorum confirms a checkpoint on chain: three times in a task.

    >>> confirm_every_of(10)
    3
    """
    return max(1, rounds // 3)
