"""The quote: the worst case of a task, shown before any money moves, and the plan that the contract enforces."""

from __future__ import annotations

from dataclasses import dataclass, replace

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

# In a task with audits.
MAX_NO_SHOW_PENALTY = Tinybar(50_000_000)
"""What trainers put up with by default."""
MAX_AUDIT_PRICE = Tinybar(40_000_000)
"""An audit is the work of a unit, and is paid like one; more would need larger stakes than trainers have."""
AUDITED_STAKE = Tinybar(200_000_000)
SLASH_FEES = 4
"""How many times the fees of a jury a slash is, at least: half goes to whoever found the fraud, which pays the bond."""
FINDER_SHARE = 5_000
BOND_FEES = 2
"""A bond is so many times what the jury costs by the plan: the jurors that decide share all of it."""


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
    dispute_s: int = 3600
    """For the draw of a jury, and again for its votes."""
    challenge_s: int = 3600
    """For challenges of a result, in a task with audits: its window is this at least."""


LOCAL_TIMING = Timing(
    bid_s=12, award_s=60, accept_s=30, standby_s=15, start_s=120, train_s=3600, window_s=4, dispute_s=180, challenge_s=4
)
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
    auditors: int = 0,
    audits: int | None = None,
) -> Quote:
    """Turn a wish into a plan.

    Args:
        budget: all that may ever be spent on trainers; the ceiling of a work unit follows from it.
        trainer_fees: what the ledger charges a trainer for each work unit, which it will ask for.
        now_s: consensus time; every deadline is absolute.
        auditors: validators in a committee and in a jury: 3, 5 or 7; 0 for a task without audits.
        audits: paid at most; None takes one for each ten units, and one for each trainer at least.

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
    checked = _audits_of(auditors, audits, units, trainers)
    fewest = min_trainers or (trainers // 2 + 1 if trainers > 1 else 1)
    if budget is None:
        unit_price = DEFAULT_UNIT_TINYBAR + FEE_ROOM * trainer_fees
    else:
        budgeted = int(budget) - (trainers - fewest) * min(COMPENSATION, int(budget) // (4 * trainers))
        unit_price = budgeted * AGGREGATE_SHARE // ((units + checked) * AGGREGATE_SHARE + rounds)
    aggregate_price = unit_price // AGGREGATE_SHARE
    if unit_price < 1:
        raise BudgetTooSmall(units + checked + rounds)
    bid_until = now_s + timing.bid_s
    award_until = bid_until + timing.award_s
    accept_until = award_until + timing.accept_s
    standby_until = accept_until + timing.standby_s
    start_until = standby_until + timing.start_s
    audit_price = min(unit_price, MAX_AUDIT_PRICE) if checked else 0
    escrow = units * unit_price + rounds * aggregate_price + checked * audit_price
    plan = Plan(
        chunks=chunks,
        rounds=rounds,
        seats=trainers,
        min_trainers=fewest,
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
    plan = _with_audits(plan, auditors, checked, Tinybar(audit_price), timing) if checked else plan
    told = costs.lines(plan, manifest_bytes=costs.manifest_estimate(chunks), confirm_every=confirm_every_of(rounds))
    usd = costs.total(told, costs.Payer.CLIENT) / fees.TINYCENTS_PER_USD
    return Quote(plan, plan.escrow(), units, usd)


def _audits_of(auditors: int, audits: int | None, units: int, trainers: int) -> int:
    """How many audits are paid for; none without auditors."""
    if auditors and (auditors % 2 == 0 or not 0 < auditors <= limits.AUDITORS):
        raise ValueError(f"{auditors} auditors: an odd number up to {limits.AUDITORS}, or 0")
    if audits and not (auditors and 0 < audits <= units):
        raise ValueError(f"{audits} audits: at most one for each of {units} work units, and with auditors")
    usual = max(trainers, -(-units // 10)) if audits is None else audits
    return usual if auditors else 0


def _with_audits(plan: Plan, auditors: int, audits: int, audit_price: Tinybar, timing: Timing) -> Plan:
    """What makes it dear to cheat, to hide it, and to accuse wrongly."""
    jury = auditors * audit_price
    stake = max(AUDITED_STAKE, SLASH_FEES * jury)
    # Who was paid for false updates and then lets nobody see them must not go away with the pay since the last draw.
    span = confirm_every_of(plan.rounds) * -(-plan.chunks // plan.seats) * plan.max_unit_price
    return replace(
        plan,
        stake_per_seat=Tinybar(stake),
        no_show_penalty=Tinybar(min(MAX_NO_SHOW_PENALTY, max(NO_SHOW_PENALTY, span))),
        auditors=auditors,
        audit_price=audit_price,
        audits=audits,
        bond=Tinybar(BOND_FEES * jury),
        slash=Tinybar(stake),
        finder_share=FINDER_SHARE,
        dispute_time=timing.dispute_s,
        window=max(timing.window_s, timing.challenge_s),
    )


def confirm_every_of(rounds: int) -> int:
    """How often a quorum confirms a checkpoint on chain: three times in a task.

    >>> confirm_every_of(10)
    3
    """
    return max(1, rounds // 3)
