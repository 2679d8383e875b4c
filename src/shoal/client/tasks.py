"""Tasks on the ledger: finding one, and listing them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shoal.core.entries import Place
from shoal.core.events import TaskCreated
from shoal.core.ids import TaskId
from shoal.core.task import State
from shoal.errors import MarketError
from shoal.ports import LedgerView, LoggedEvent
from shoal.roles.tasklog import TaskLog, find_task


async def must_find(ledger: LedgerView, wanted: str) -> tuple[LoggedEvent, TaskId]:
    """The task that the user means: by its id, a unique beginning of it, or its topic.

    Raises:
        MarketError: SHOAL-T08, there is none.
    """
    created = await find_task(ledger, wanted)
    if created is None:
        raise MarketError(
            f"there is no task {wanted!r} on this ledger", code="SHOAL-T08", hint="`shoal ps --all` lists them"
        )
    assert isinstance(created.event, TaskCreated), "find_task returns nothing else"
    return created, created.event.task_id


async def list_tasks(ledger: LedgerView, place: Callable[[TaskId], Place], *, everyone: bool) -> list[State]:
    """The state of every task, or of this account's, the newest first."""
    found = []
    for logged in await ledger.events(after_ns=0, until_ns=await ledger.watermark()):
        if isinstance(logged.event, TaskCreated) and (everyone or logged.event.client == ledger.address):
            tasklog = TaskLog(logged, place(logged.event.task_id), ledger=ledger)
            await tasklog.catch_up()
            found.append(tasklog.log)
    return found[::-1]


def summary(state: State) -> dict[str, Any]:
    """A task in one row."""
    return {
        "task_id": state.place.task.hex(),
        "phase": str(state.phase),
        "round": max(0, state.round - 1),
        "rounds": state.plan.rounds,
        "trainers": len(state.seats),
        "escrow_tinybar": int(state.plan.escrow()),
        "topic_id": f"0.0.{state.topic}",
    }
