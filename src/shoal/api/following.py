"""The tasks that a node follows: its own are driven to their end, others are read while somebody looks."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import trio

from shoal.client import session
from shoal.client.desk import Desk
from shoal.client.openings import Openings
from shoal.client.story import Story, Told
from shoal.client.tracking import tracking
from shoal.core.ids import TaskId, short
from shoal.core.task import State
from shoal.errors import ShoalError, UsageError, first_error
from shoal.ports import LoggedEvent
from shoal.roles.closing import close, withdraw
from shoal.roles.tasklog import TaskLog

log = logging.getLogger("shoal.api")

READERS = 64
"""Tasks of others followed at once."""
KEPT = 256
"""Tasks that are over and whose story is kept in memory."""
PASSED_S, LOOK_S = 60.0, 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0


@dataclass
class Followed:
    """One task as this process sees it."""

    task: TaskId
    created: LoggedEvent
    story: Story
    tasklog: TaskLog
    driven: bool
    attended: bool = False
    """Whether this node serves the task for a client elsewhere."""
    error: ShoalError | None = None
    """Why the client's part does not get on at present; it is tried again."""
    ended: trio.Event = field(default_factory=trio.Event)
    """Set once nothing follows it any more."""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    @property
    def state(self) -> State:
        return self.tasklog.log

    async def told(self, index: int, *, patience_s: float) -> Told | None:
        """The `index`-th happening, counted from 0; None if there is none within the time, or none is to come."""
        with trio.move_on_after(patience_s):
            async with aclosing(self.story.follow(index)) as happenings:
                async for each in happenings:
                    return each
        return None

    def is_told(self, index: int) -> bool:
        """Whether there will be no happening of this number."""
        return index >= len(self.story.told) and (self.story.is_over or self.ended.is_set())


class Following:
    """Everything followed, each with a failure of its own: one that breaks down is begun again after a pause."""

    def __init__(self, desk: Desk, nursery: trio.Nursery) -> None:
        self._desk, self._nursery = desk, nursery
        self.openings = Openings(desk)
        self._live: dict[TaskId, Followed] = {}
        self._over: OrderedDict[TaskId, Followed] = OrderedDict()
        self._locks: dict[TaskId, trio.Lock] = {}

    def known(self, task: TaskId) -> Followed | None:
        """What is followed already, or was."""
        return self._live.get(task) or self._over.get(task)

    async def get(self, created: LoggedEvent, task: TaskId, *, always: bool = False) -> Followed:
        """A task with its log read up to now; followed from then on.

        Args:
            always: it does not count among those that are read while somebody looks.

        Raises:
            UsageError: SHOAL-U51, too many are followed already.
            LedgerError: the log cannot be read.
        """
        async with self._locks.setdefault(task, trio.Lock()):
            found = self.known(task)
            if found is not None:
                found.attended = found.attended or always
                return found
            looked_at = sum(not each.driven and not each.attended for each in self._live.values())
            if not always and looked_at >= READERS:
                raise UsageError(f"{READERS} tasks are followed already", code="SHOAL-U51", hint="try again later")
            begun = await self._begin(created, task, driven=False)
            begun.attended = always
            return begun

    async def look(self, created: LoggedEvent, task: TaskId) -> State:
        """How a task stands, without following it from now on."""
        found = self.known(task)
        if found is not None:
            return found.state
        followed = self._new(created, task, driven=False)
        await followed.tasklog.catch_up()
        if followed.state.phase.over:
            self._retire(followed)
        return followed.state

    async def passed(self, followed: Followed, time_ns: int) -> State:
        """A task's state once its log is read up to a consensus time, or a minute has passed.

        Who follows it may change in between; only they read its log, since two at once would fold things twice.
        """
        with trio.move_on_after(PASSED_S):
            while (now := self.current(followed)).state.now_ns < time_ns:
                await now.tasklog.wait_for(lambda log: log.log.now_ns >= time_ns, timeout_s=LOOK_S)
        return self.current(followed).state

    def current(self, followed: Followed) -> Followed:
        """Whoever follows the same task now."""
        return self.known(followed.task) or followed

    async def drive(self, created: LoggedEvent, task: TaskId) -> Followed:
        """Do the client's part of a task from now on, to its end."""
        async with self._locks.setdefault(task, trio.Lock()):
            found = self._live.get(task)
            if found is not None and found.driven:
                return found
            self._over.pop(task, None)
            driven = await self._begin(created, task, driven=True)
            if found is not None:
                found.scope.cancel()  # whoever looks goes on with the driven one
            return driven

    async def _begin(self, created: LoggedEvent, task: TaskId, *, driven: bool) -> Followed:
        followed = self._new(created, task, driven=driven)
        await followed.tasklog.catch_up()
        if followed.state.phase.over and not driven:
            self._retire(followed)
        else:
            self._live[task] = followed
            self._nursery.start_soon(self._keep_up, followed)
        return followed

    def _new(self, created: LoggedEvent, task: TaskId, *, driven: bool) -> Followed:
        desk, story = self._desk, Story()
        tasklog = TaskLog(
            created,
            desk.place(task),
            ledger=desk.ledger,
            network=desk.network if driven else None,
            keys=desk.keys if driven else None,
            store=desk.store if driven else None,
            poll_s=desk.settings.poll_s,
            witness=story,
        )
        return Followed(task, created, story, tasklog, driven)

    async def _keep_up(self, followed: Followed) -> None:
        """Follow until all is done; whatever happens stays with this task."""
        try:
            with followed.scope:
                await self._follow(followed)
        except Exception as error:
            followed.error = _known(error)
            log.error("task %s is not followed any more", short(followed.task), exc_info=error)
            self._drop(followed)
            if followed.driven:
                self._nursery.start_soon(self._again, followed)
        else:
            if followed.scope.cancelled_caught:
                self._drop(followed)
            else:
                self._retire(followed)

    async def _follow(self, followed: Followed) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(followed.tasklog.run)
            if followed.driven:
                async with tracking(self._desk, followed.created, followed.story):
                    await self._client(followed)
            else:
                async for _ in followed.story.follow():
                    pass
            nursery.cancel_scope.cancel()

    async def _again(self, failed: Followed) -> None:
        await trio.sleep(LONGEST_PAUSE_S)
        while True:
            try:
                await self.drive(failed.created, failed.task)
                return
            except ShoalError as error:
                log.warning("task %s: %s; trying again", short(failed.task), error)
                await trio.sleep(LONGEST_PAUSE_S)

    async def _client(self, followed: Followed) -> None:
        """The client's part, tried again after whatever it ends with: its deadlines do not wait."""
        desk, pause = self.openings.desk_of(followed.task), FIRST_PAUSE_S
        try:
            while True:
                try:
                    await self._part(followed, desk)()
                    followed.error = None
                    return
                except Exception as error:
                    followed.error = _known(error)
                    log.warning("task %s: %s; trying again in %.0f s", short(followed.task), followed.error, pause)
                await trio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
        finally:
            self.openings.forget(followed.task)

    def _part(self, followed: Followed, desk: Desk) -> Callable[[], Awaitable[None]]:
        tasklog = followed.tasklog
        client = None if tasklog.log.phase.over else session.client_of(desk, tasklog)

        async def finish() -> None:
            await close(tasklog, desk.ledger)
            await withdraw(desk.ledger)

        return finish if client is None else client.run

    def _retire(self, followed: Followed) -> None:
        self._drop(followed)
        self._over[followed.task] = followed
        while len(self._over) > KEPT:
            self._over.popitem(last=False)

    def _drop(self, followed: Followed) -> None:
        if self._live.get(followed.task) is followed:
            del self._live[followed.task]
        self._locks.pop(followed.task, None)
        followed.ended.set()


def _known(error: Exception) -> ShoalError:
    """What can be told of an error: ours as they are, others by their kind only."""
    found = first_error(error)
    if isinstance(found, ShoalError):
        return found
    return ShoalError(f"a fault of the node ({type(found).__name__}); its log tells more", code="SHOAL-X02")
