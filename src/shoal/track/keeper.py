"""Keeps trackers up with a story, each by itself: what one does, or fails to do, harms neither the task nor others."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from shoal.track.jsonl import Jsonl
from shoal.track.run import Record, RunFacts, Tracker
from shoal.track.specs import make

log = logging.getLogger("shoal.track")

CALL_S = 60.0
"""Most that one call of a tracker may take; a service that hangs is left alone then."""
LAST_S = 20.0
"""For all that is left to tell when the command ends."""
POSITIONS = "trackers.json"


Telling = tuple[int, Sequence[Record]]


@dataclass
class Position:
    """How far a tracker is: happenings that it was told, and the id of its run."""

    told: int = 0
    run: str = ""


class Keeper:
    """The trackers of one task.

    Args:
        story: how often it has begun, and all that has happened until now, in order. When it begins anew, JSON lines
            are compared from their beginning; what other trackers have told stays.
        facts: of the run.
        specs: those wanted beside JSON lines.
    """

    def __init__(self, story: Callable[[], Telling], facts: RunFacts, specs: Sequence[str]) -> None:
        self._story, self._facts = story, facts
        self._telling = 0
        self._trackers: dict[str, Tracker] = {"jsonl": Jsonl(), **{spec: make(spec) for spec in specs}}
        self._path = facts.home / POSITIONS
        self._positions = {**_read(self._path), "jsonl": Position()}  # which looks for itself, line by line
        self._begun: set[str] = set()
        self._limiters = {name: trio.CapacityLimiter(1) for name in self._trackers}

    @property
    def names(self) -> list[str]:
        """Those that are still at work."""
        return list(self._trackers)

    async def catch_up(self) -> None:
        """Tell each what it was not told yet; one that does not open is left out."""
        async with trio.open_nursery() as nursery:
            for name in self.names:
                nursery.start_soon(self._tell, name)

    async def _tell(self, name: str) -> None:
        if name not in self._begun:
            known = self._positions.setdefault(name, Position())
            run = await self._call(name, partial(self._trackers[name].begin, self._facts, known.run))
            known.run = run or known.run
            self._begun.add(name)  # not where it was cancelled: then it is begun again
        (telling, story), position = self._story(), self._positions[name]
        if name == "jsonl" and telling != self._telling:
            position.told, self._telling = 0, telling
        position.told = min(position.told, len(story))
        while position.told < len(story) and name in self._trackers:
            number = position.told
            await self._call(name, partial(self._trackers[name].tell, number, story[number]))
            position.told = number + 1
        self._write()

    async def end(self, *, over: bool) -> None:
        """Tell what is left, and close; within `LAST_S`, also where the command is being cancelled."""
        with trio.CancelScope(deadline=trio.current_time() + LAST_S, shield=True):
            async with trio.open_nursery() as nursery:
                for name in self.names:
                    nursery.start_soon(self._last, name, over)

    async def _last(self, name: str, over: bool) -> None:
        await self._tell(name)
        if name in self._trackers:
            await self._call(name, partial(self._trackers[name].end, over=over))

    async def _call(self, name: str, what: Callable[[], Any]) -> Any:
        """In a thread; None, and the tracker is left out from then on, where it fails or hangs."""
        try:
            with trio.fail_after(CALL_S):
                limiter = self._limiters[name]
                return await trio.to_thread.run_sync(what, abandon_on_cancel=True, limiter=limiter)  # type: ignore[call-arg]
        except (Exception, SystemExit) as error:  # anything: these are other people's libraries and services
            why = "it did not answer in time" if isinstance(error, trio.TooSlowError) else f"{error}"
            log.warning("tracker %s is left out from now on: %s: %s", name, type(error).__name__, why[:300])
            self._trackers.pop(name, None)
            return None

    def _write(self) -> None:
        text = json.dumps({name: asdict(position) for name, position in self._positions.items()})
        part = self._path.with_name(f".{self._path.name}")
        with suppress(OSError):  # a full disk: at worst something is told twice
            part.write_text(text)
            os.replace(part, self._path)  # noqa: PTH105


def _read(path: Path) -> dict[str, Position]:
    try:
        return {str(name): Position(int(each["told"]), str(each["run"])) for name, each in _table(path).items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _table(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text())
    if not isinstance(value, dict):
        raise ValueError("not a table")
    return value
