"""A client's work on one task: its files, its running log, and its way to the result."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from shoal import seal
from shoal.client import prepare
from shoal.client.desk import Desk
from shoal.client.result import Way, goal_of
from shoal.core.ids import TaskId
from shoal.core.manifest import Manifest
from shoal.core.task import State
from shoal.ports import LoggedEvent
from shoal.roles.client import Client, Secrets
from shoal.roles.tasklog import TaskLog, Witness
from shoal.settings import Settings

WAY_LIFE_S = 3_600


@asynccontextmanager
async def following(
    desk: Desk, created: LoggedEvent, task: TaskId, *, witness: Witness | None = None
) -> AsyncIterator[TaskLog]:
    """The task's log with this node's keys, running."""
    tasklog = TaskLog(
        created,
        desk.place(task),
        ledger=desk.ledger,
        network=desk.network,
        keys=desk.keys,
        store=desk.store,
        poll_s=desk.settings.poll_s,
        witness=witness,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tasklog.run)
        yield tasklog
        nursery.cancel_scope.cancel()


def home_of(settings: Settings, task: TaskId) -> Path:
    """Where a client keeps a task: the graph document, the test split, the initial weights."""
    return settings.dir / "tasks" / task.hex()[:16]


def client_of(desk: Desk, tasklog: TaskLog) -> Client | None:
    """The client of a task that was created from this directory, now or before a crash; None for any other task."""
    task = tasklog.place.task
    kept, manifest = desk.store.get("secrets", task.hex()), desk.store.get("manifests", task.hex())
    if kept is None or manifest is None or tasklog.log.client != desk.ledger.address:
        return None
    home = home_of(desk.settings, task)
    return Client(
        tasklog,
        ledger=desk.ledger,
        network=desk.network,
        blobs=desk.blobs(),
        keys=desk.keys,
        store=desk.store,
        manifest=Manifest.from_bytes(manifest),
        secrets=Secrets.from_bytes(kept),
        document=home / prepare.DOCUMENT,
        dir=home / "bundles",
    )


def own_way(desk: Desk, state: State) -> Way | None:
    """The way to the result that follows from what this directory kept when it prepared the task."""
    kept, goal = desk.store.get("secrets", state.place.task.hex()), goal_of(state)
    if kept is None or goal is None or not goal.slot:
        return None
    secrets = Secrets.from_bytes(kept)
    url = desk.blobs().presign_get(f"{secrets.prefix}/slot/{goal.slot}", expires_s=WAY_LIFE_S)
    return Way(url, seal.derive_key(secrets.secret, goal.label))
