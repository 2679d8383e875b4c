"""What others are paid: unit prices of recent awards, set against the time that their trainers needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shoal.core.entries import Place
from shoal.core.events import Awarded, TaskCreated
from shoal.core.ids import TaskId
from shoal.core.money import ZERO, Tinybar
from shoal.core.pricing import fees_per_unit, hourly
from shoal.core.task import SECOND_NS
from shoal.ports import LedgerView, LoggedEvent
from shoal.roles.tasklog import TaskLog

RECENT = 10
"""How many awards are looked at."""
LOOK_BACK_S = 30 * 24 * 3600
SHORTEST_S = 0.001
"""Less training than this tells nothing."""


@dataclass(frozen=True, slots=True)
class Paid:
    """One award, and what was trained for it.

    Args:
        unit_price: of every work unit in it.
        fees: the part of it that pays Hedera, as trainers reckon it before they bid.
        units, seconds: what was delivered, and how long its trainers say that they trained for it.
    """

    task: TaskId
    time_ns: int
    transaction: str
    unit_price: Tinybar
    fees: Tinybar
    units: int
    seconds: float


async def recent(ledger: LedgerView, place_of: Callable[[TaskId], Place]) -> list[Paid]:
    """The last awards on the ledger, the newest first."""
    until = await ledger.watermark()
    events = await ledger.events(after_ns=max(0, until - LOOK_BACK_S * SECOND_NS), until_ns=until)
    created = {each.event.task_id: each for each in events if isinstance(each.event, TaskCreated)}
    awards = [each for each in events if isinstance(each.event, Awarded) and each.event.task_id in created]
    return [await _paid(ledger, place_of, created, each) for each in reversed(awards[-RECENT:])]


def per_hour(paid: Sequence[Paid]) -> float | None:
    """What an hour of training brought, in HBAR, after Hedera's fees; None if nothing was trained.

    All of it together, so that many short tasks, whose price is mostly fees, do not speak for the long ones.
    """
    seconds = sum(each.seconds for each in paid)
    if seconds < SHORTEST_S:
        return None
    earned = sum(max(0, each.unit_price - each.fees) * each.units for each in paid)
    return hourly(unit_price=earned, unit_s=seconds)


async def _paid(
    ledger: LedgerView,
    place_of: Callable[[TaskId], Place],
    created: dict[TaskId, LoggedEvent],
    award: LoggedEvent,
) -> Paid:
    assert isinstance(award.event, Awarded), "only these are looked at"
    task = award.event.task_id
    tasklog = TaskLog(created[task], place_of(task), ledger=ledger)
    await tasklog.catch_up()
    log, fees = tasklog.log, ZERO
    if log.manifest is not None:
        fees = fees_per_unit(
            rounds=log.plan.rounds,
            chunks=-(-log.plan.chunks // log.plan.seats),
            confirm_every=log.manifest.rules.confirm_every,
            rate=await ledger.rate(),
        )
    updates = [update for checkpoint in log.checkpoints for update in checkpoint.updates]
    return Paid(
        task=task,
        time_ns=award.time_ns,
        transaction=award.transaction,
        unit_price=award.event.unit_price,
        fees=fees,
        units=len(updates),
        seconds=sum(max(0.0, update.seconds) for update in updates),
    )
