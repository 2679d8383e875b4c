"""What the model of the contract says of a task when it is asked, as the contract's `getTask` and `getSeat` do."""

from __future__ import annotations

from shoal.core.ids import Digest, TaskId
from shoal.core.money import Tinybar
from shoal.core.standing import TaskView
from shoal.testing.market import Market
from shoal.testing.market_books import NOTHING


def standing(market: Market, task_id: TaskId, *, topic: int, manifest_hash: Digest) -> TaskView:
    """Ask the model.

    Args:
        topic, manifest_hash: what the task was created with, which the model does not keep.
    """
    task = market.tasks[task_id]
    return TaskView(
        client=task.client,
        topic=topic,
        phase=int(task.phase),
        quorum=task.quorum,
        manifest_hash=manifest_hash,
        plan=task.plan,
        escrow_tinybar=Tinybar(task.escrow),
        reserved_tinybar=Tinybar(task.reserved),
        unit_price=Tinybar(task.unit_price),
        award_root=task.award_root,
        accepted=len(task.seats),
        ready=sum(seat.ready for seat in task.seats.values()),
        open_disputes=task.open_disputes,
        progress=task.progress,
        result=task.result or NOTHING,
        closed=frozenset(trainer for trainer, seat in task.seats.items() if seat.closed),
    )
