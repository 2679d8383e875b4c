"""A client's work on one task: its files, its running log, and the story told meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from shoal import seal
from shoal.cli.follow import Teller
from shoal.client import prepare
from shoal.client.result import Way, goal_of
from shoal.core.ids import TaskId
from shoal.core.manifest import Manifest
from shoal.core.task import State
from shoal.node import Node
from shoal.ports import LoggedEvent
from shoal.roles.client import Client, Secrets
from shoal.roles.tasklog import TaskLog
from shoal.settings import Settings

WAY_LIFE_S = 3_600


@asynccontextmanager
async def following(node: Node, created: LoggedEvent, task: TaskId) -> AsyncIterator[TaskLog]:
    """The task's log with this node's keys, running."""
    tasklog = TaskLog(
        created,
        node.place(task),
        ledger=node.ledger,
        network=node.network,
        keys=node.keys,
        store=node.store,
        poll_s=node.settings.poll_s,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tasklog.run)
        yield tasklog
        nursery.cancel_scope.cancel()


def home_of(settings: Settings, task: TaskId) -> Path:
    """Where a client keeps a task: the graph document, the test split, the initial weights."""
    return settings.dir / "tasks" / task.hex()[:16]


def client_of(node: Node, tasklog: TaskLog) -> Client | None:
    """The client of a task that was created from this directory, now or before a crash; None for any other task."""
    task = tasklog.place.task
    kept, manifest = node.store.get("secrets", task.hex()), node.store.get("manifests", task.hex())
    if kept is None or manifest is None or tasklog.log.client != node.ledger.address:
        return None
    home = home_of(node.settings, task)
    return Client(
        tasklog,
        ledger=node.ledger,
        network=node.network,
        blobs=node.blobs(),
        keys=node.keys,
        store=node.store,
        manifest=Manifest.from_bytes(manifest),
        secrets=Secrets.from_bytes(kept),
        document=home / prepare.DOCUMENT,
        dir=home / "bundles",
    )


def own_way(node: Node, state: State) -> Way | None:
    """The way to the result that follows from what this directory kept when it prepared the task."""
    kept, goal = node.store.get("secrets", state.place.task.hex()), goal_of(state)
    if kept is None or goal is None or not goal.slot:
        return None
    secrets = Secrets.from_bytes(kept)
    url = node.blobs().presign_get(f"{secrets.prefix}/slot/{goal.slot}", expires_s=WAY_LIFE_S)
    return Way(url, seal.derive_key(secrets.secret, goal.label))


async def told(tasklog: TaskLog, work: Callable[[], Awaitable[None]], *, as_json: bool) -> None:
    """Do something while the task's story is told."""
    async with trio.open_nursery() as nursery:
        teller = Teller(tasklog, as_json=as_json)
        nursery.start_soon(teller.run)
        await work()
        teller.finish()
        nursery.cancel_scope.cancel()
