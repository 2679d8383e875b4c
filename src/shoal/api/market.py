"""The market as the contract's events tell it: which tasks there are, and who has registered."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from shoal.core.events import Registered, TaskCreated
from shoal.core.ids import Address, TaskId
from shoal.errors import MarketError, UsageError
from shoal.ports import Ledger, LoggedEvent


class Market:
    """A list that grows with the ledger; each event is read once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._read_ns = 0
        self._tasks: list[LoggedEvent] = []
        self._registered: dict[Address, LoggedEvent] = {}
        self._lock = trio.Lock()

    async def tasks(self) -> Sequence[LoggedEvent]:
        """The `TaskCreated` events so far, oldest first."""
        await self._read()
        return tuple(self._tasks)

    async def registered(self) -> Sequence[LoggedEvent]:
        """The first `Registered` event of each account, oldest first."""
        await self._read()
        return tuple(self._registered.values())

    async def find(self, wanted: str) -> tuple[LoggedEvent, TaskId]:
        """A task by its id, a unique beginning of it, or its topic.

        Raises:
            MarketError: SHOAL-T08, there is none.
            UsageError: SHOAL-U03, there are several.
        """
        found = self._matching(wanted)
        if not found:  # it may be new
            await self._read()
            found = self._matching(wanted)
        if len(found) > 1:
            raise UsageError(
                f"{len(found)} tasks begin with {wanted[:64]!r}", code="SHOAL-U03", hint="give more digits of the id"
            )
        if not found:
            raise MarketError(
                f"there is no task {wanted[:64]!r} on this ledger",
                code="SHOAL-T08",
                hint="GET /api/v1/tasks lists them",
            )
        return found[0], task_of(found[0])

    def _matching(self, wanted: str) -> list[LoggedEvent]:
        prefix = wanted.lower().removeprefix("0x")
        found = []
        for logged in self._tasks:
            assert isinstance(logged.event, TaskCreated), "only these are kept"
            if wanted == f"0.0.{logged.event.topic}" or (prefix and logged.event.task_id.hex().startswith(prefix)):
                found.append(logged)
        return found

    async def _read(self) -> None:
        async with self._lock:
            until = await self._ledger.watermark()
            if until <= self._read_ns:
                return
            for logged in await self._ledger.events(after_ns=self._read_ns, until_ns=until):
                if isinstance(logged.event, TaskCreated):
                    self._tasks.append(logged)
                elif isinstance(logged.event, Registered):
                    self._registered.setdefault(logged.event.account, logged)
            self._read_ns = until


def task_of(created: LoggedEvent) -> TaskId:
    """The id of a task, from the event that began it."""
    assert isinstance(created.event, TaskCreated), "a task begins with this event"
    return created.event.task_id
