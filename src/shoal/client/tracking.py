"""Telling a task's story to experiment trackers while it happens, beside the work and never in its way."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, overload

import trio

from shoal.client.desk import Desk
from shoal.client.session import home_of
from shoal.client.story import Story
from shoal.core.events import TaskCreated
from shoal.core.manifest import Manifest
from shoal.core.task import SECOND_NS
from shoal.ports import LoggedEvent
from shoal.track import Keeper, Record, RunFacts

log = logging.getLogger("shoal.client")


class Tracked:
    """What trackers are told of one task: its story, and at last what came of it."""

    def __init__(self, story: Story, begun_s: float) -> None:
        self.story, self._begun_s = story, begun_s
        self._result: Record | None = None

    def result(self, report: Mapping[str, Any]) -> None:
        """The report of the finished training, as the last record."""
        last = self.story.told[-1].at_s if self.story.told else 0.0
        at = {"event": "result", "at_s": round(last, 3), "time": round(self._begun_s + last, 3)}
        self._result = {**at, "round": report.get("rounds", 0), "text": "the weights are here", **report}

    def telling(self) -> tuple[int, Sequence[Record]]:
        """How often the story has begun, and all of it until now."""
        return self.story.tellings, _Records(self.story, self._begun_s, self._result)


class _Records(Sequence[Record]):
    """The story as records, each made when it is looked at: most were told already."""

    def __init__(self, story: Story, begun_s: float, result: Record | None) -> None:
        self._told, self._begun_s, self._result = list(story.told), begun_s, result

    def __len__(self) -> int:
        return len(self._told) + (self._result is not None)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if self._result is not None and index == len(self._told):
            return self._result
        told = self._told[index]
        return {**told.as_dict(), "time": round(self._begun_s + told.at_s, 3)}


@asynccontextmanager
async def tracking(desk: Desk, created: LoggedEvent, story: Story) -> AsyncIterator[Tracked]:
    """Track a task of this directory until the block ends: in `events.jsonl`, and where the settings say.

    >>> async with tracking(desk, created, story) as tracked:  # doctest: +SKIP
    ...     report = await drive()
    ...     tracked.result(report.as_dict())
    """
    tracked = Tracked(story, created.time_ns / SECOND_NS)
    keeper = _keeper(desk, created, tracked)
    if keeper is None:
        yield tracked
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_keep_up, story, keeper)
        try:
            yield tracked
        finally:
            nursery.cancel_scope.cancel()
            await keeper.end(over=story.is_over)


def _keeper(desk: Desk, created: LoggedEvent, tracked: Tracked) -> Keeper | None:
    """None where the task cannot be tracked: that is no reason not to drive it."""
    try:
        return Keeper(tracked.telling, facts_of(desk, created), desk.settings.trackers)
    except Exception as error:  # a full disk, a damaged manifest; whatever it is, the task finds out for itself
        log.warning("a task is not tracked: %s: %s", type(error).__name__, error)
        return None


async def _keep_up(story: Story, keeper: Keeper) -> None:
    while True:
        changed = story.change
        await keeper.catch_up()
        await changed.wait()


def facts_of(desk: Desk, created: LoggedEvent) -> RunFacts:
    """What is known of a task when it has just been created."""
    event, settings = created.event, desk.settings
    assert isinstance(event, TaskCreated), "a task begins with it"
    home = home_of(settings, event.task_id)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = desk.store.get("manifests", event.task_id.hex())
    manifest = Manifest.from_bytes(kept) if kept is not None else None
    plan = event.plan
    params: dict[str, Any] = {
        "network": settings.network,
        "contract": settings.contract_id,
        "topic": f"0.0.{event.topic}",
        "rounds": plan.rounds,
        "chunks": plan.chunks,
        "trainers": plan.seats,
        "escrow_tinybar": int(event.escrow),
        "max_unit_price_tinybar": int(plan.max_unit_price),
    }
    if manifest is not None:
        params |= _flat("data", {name: value for name, value in manifest.summary.items() if name != "metric"})
        params |= _flat("recipe", manifest.recipe)
    name = str(manifest.summary.get("name", "task")) if manifest else "task"
    return RunFacts(event.task_id.hex(), name, created.time_ns / SECOND_NS, params, home)


def _flat(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables as dotted names; lists as text, what is not set left out."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(f"{prefix}.{name}", value)
        elif isinstance(value, str | int | float | bool):
            found[f"{prefix}.{name}"] = value
        elif value is not None:
            found[f"{prefix}.{name}"] = str(value)
    return found
