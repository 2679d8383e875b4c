"""One task as a Python program holds it: driven in the background, watched, left, and its weights."""

from __future__ import annotations

import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import torch
import trio

from shoal.client import prepare, session
from shoal.client.desk import Desk
from shoal.client.purchase import Report, check_writable
from shoal.client.story import Story, Told
from shoal.client.tracking import tracking
from shoal.core.events import TaskCreated
from shoal.core.ids import short
from shoal.core.task import Phase, State
from shoal.errors import UsageError, first_error
from shoal.learn import document, update
from shoal.ports import LoggedEvent
from shoal.roles.closing import close
from shoal.roles.tasklog import TaskLog
from shoal.sdk.card import card

RESULT = "result.safetensors"

Finish = Callable[[State], Awaitable[Report]]
"""Fetches and scores the weights of a task that is over."""


def closed() -> UsageError:
    return UsageError(
        "this network is closed",
        code="SHOAL-U41",
        hint="open it again; `net.get(task_id)` finds the tasks of a network that stays",
    )


class Facts(ABC):
    """What is known of a run now; needs no waiting, and may be asked from any thread."""

    @property
    @abstractmethod
    def _run(self) -> Run:
        """The run that is asked."""

    @property
    def task_id(self) -> str:
        """In hex; `net.get` and `shoal get` take it."""
        return self._run.state.place.task.hex()

    @property
    def phase(self) -> str:
        """`open`, `awarded`, `running`, `finished`, `settling`, `settled`, `cancelled` or `expired`."""
        return str(self._run.state.phase)

    @property
    def round(self) -> int:
        """Rounds that are done."""
        return max(0, self._run.state.round - 1)

    @property
    def rounds(self) -> int:
        return self._run.state.plan.rounds

    @property
    def events(self) -> tuple[Told, ...]:
        """All that has happened until now."""
        return tuple(self._run.story.told)

    @property
    def history(self) -> list[dict[str, Any]]:
        """Loss and metric on the validation rows after each round, for a DataFrame: `pd.DataFrame(run.history)`.

        None stands for what is not finite.
        """
        state = self._run.state
        name = str(state.manifest.summary.get("metric", "metric")) if state.manifest else "metric"
        return [
            {"round": each.round, "loss": _finite(each.loss), name: _finite(each.metric)}
            for each in state.checkpoints[1:]
        ]

    @property
    def money(self) -> dict[str, int]:
        """In tinybar: what was locked, what trainers were paid of it, and what came back."""
        state = self._run.state
        return {
            "escrow_tinybar": int(state.plan.escrow()),
            "paid_tinybar": sum(int(claim.paid) for claim in state.claims.values()),
            "refunded_tinybar": int(state.refunded),
        }

    @property
    def report(self) -> Report:
        """What the training gave and what it cost, once `wait` has returned or `watch` has ended.

        Raises:
            UsageError: SHOAL-U40, it is not there yet, or never will be.
            ShoalError: why the run failed.
        """
        return self._run.outcome()

    def _repr_html_(self) -> str:
        """The card that a notebook shows."""
        return card(self)

    def __repr__(self) -> str:
        return f"<Run {self.task_id[:12]}: {self.phase}, round {self.round} of {self.rounds}>"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class Run(Facts):
    """One task, driven to its end in the background; of another account's, its log.

    >>> run = await net.train(model, (x, y), budget="5 hbar")  # doctest: +SKIP
    >>> async for event in run.watch():
    ...     print(event)
    >>> model.load_state_dict(await run.weights())
    """

    def __init__(self, desk: Desk, created: LoggedEvent, finish: Finish) -> None:
        assert isinstance(created.event, TaskCreated), "a task begins with it"
        self._desk, self._created, self._finish = desk, created, finish
        self.task = created.event.task_id
        self.mine = created.event.client == desk.ledger.address
        self.story = Story()
        self.began = trio.Event()
        """Set when its log has been read up to now, or cannot be."""
        self.done = trio.Event()
        """Set when nothing drives it any more."""
        self._changed, self._leaving = trio.Event(), trio.Event()
        self._state: State | None = None
        self._report: Report | None = None
        self._error: BaseException | None = None
        self._left = False

    @property
    def _run(self) -> Run:
        return self

    @property
    def state(self) -> State:
        """The fold of its log."""
        assert self._state is not None, "a log begins with its first state"
        return self._state

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        return self._report is not None

    # ------------------------------------------------------------ what it is asked

    async def watch(self, start: int = 0) -> AsyncIterator[Told]:
        """Everything that happens, from the beginning or the `start`-th happening on, until the weights are here.

        Raises:
            ShoalError: at the end, why there are no weights.
        """
        while (told := await self.event(start)) is not None:
            yield told
            start += 1

    async def event(self, index: int) -> Told | None:
        """The `index`-th happening, counted from 0, once it is there; None if none will be. Raises as `watch`."""
        while index >= len(self.story.told):
            if self.done.is_set():
                if self._error is not None:
                    raise self._error
                return None
            await self._changed.wait()
        return self.story.told[index]

    async def wait(self) -> Report:
        """Until the weights are here, scored on the test rows, which never left this machine.

        Raises:
            MarketError: SHOAL-T07, the task ended without a result; T09, no round could be trained.
            UsageError: SHOAL-U08, it is another account's; U40, it was left; U41, the network was closed.
        """
        if not self.mine:
            raise UsageError(
                f"task {short(self.task)} belongs to another account",
                code="SHOAL-U08",
                hint="use the account and key directory that created it; `watch` shows its log",
            )
        await self.done.wait()
        return self.outcome()

    async def weights(self) -> dict[str, torch.Tensor]:
        """The trained weights as a state dict, for the `load_state_dict` of the module. Waits and raises as `wait`."""
        path = Path((await self.wait()).weights)
        home = session.home_of(self._desk.settings, self.task)
        return await trio.to_thread.run_sync(read_weights, path, home / prepare.DOCUMENT)

    async def save(self, path: str | Path) -> Path:
        """Copy the weights to a file of one's own, as safetensors. Waits and raises as `wait`.

        Raises:
            UsageError: SHOAL-U15, it cannot be written there.
        """
        out = Path(path)
        check_writable(out)
        report = await self.wait()
        return Path(await trio.to_thread.run_sync(shutil.copyfile, report.weights, out)).resolve()

    async def detach(self) -> None:
        """Leave the run once its trainers do without us: when training has started. `net.get(run.task_id)` finds it.

        Raises:
            ShoalError: it ended before.
        """
        self._leaving.set()
        await self.done.wait()
        if self._error is not None:
            raise self._error

    def outcome(self) -> Report:
        if self._error is not None:
            raise self._error
        if self._report is None:
            left = "it was left" if self._left else f"it is {self.state.phase}"
            raise UsageError(
                f"run {short(self.task)} has no report: {left}",
                code="SHOAL-U40",
                hint="`net.get(run.task_id)` takes it up again" if self._left else "`wait` first",
            )
        return self._report

    # ------------------------------------------------------------ the work behind it

    def stepped(self, old: State | None, new: State) -> None:
        """As the witness of its log."""
        self._state = new
        self.story.stepped(old, new)
        self._wake()

    def bid(self, count: int, time_ns: int) -> None:
        self.story.bid(count, time_ns)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def drive(self) -> None:
        """To its end, or until it is left. What goes wrong is told to whoever waits, and to nobody else."""
        error: BaseException | None = closed()  # unless something better comes
        try:
            await self._drive()
            error = None
        except (Exception, BaseExceptionGroup) as group:
            found = first_error(group)
            if not isinstance(found, Exception):
                raise
            error = found
        finally:
            self._error = error
            self.began.set()
            self.done.set()
            self._wake()

    async def _drive(self) -> None:
        async with self._followed() as tasklog, trio.open_nursery() as nursery:
            await tasklog.passed(await self._desk.ledger.watermark())
            self.began.set()
            nursery.start_soon(self._leave, tasklog, nursery.cancel_scope)
            if not self.mine:
                await self._tell(tasklog)
            else:
                async with tracking(self._desk, self._created, self.story) as tracked:
                    await self._part(tasklog)
                    self._report = await self._finish(tasklog.log)
                    tracked.result(self._report.as_dict())
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def _followed(self) -> AsyncIterator[TaskLog]:
        """Its log, running; another account's is only read."""
        desk = self._desk
        if self.mine:
            async with session.following(desk, self._created, self.task, witness=self) as tasklog:
                yield tasklog
            return
        place = desk.place(self.task)
        tasklog = TaskLog(self._created, place, ledger=desk.ledger, poll_s=desk.settings.poll_s, witness=self)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tasklog.run)
            yield tasklog
            nursery.cancel_scope.cancel()

    async def _part(self, tasklog: TaskLog) -> None:
        """What is the client's to do, as it was begun or interrupted."""
        client = None if tasklog.log.phase.over else session.client_of(self._desk, tasklog)
        if client is not None:
            await client.run()
        await close(tasklog, self._desk.ledger)

    async def _tell(self, tasklog: TaskLog) -> None:
        async for _ in self.story.follow():
            pass

    async def _leave(self, tasklog: TaskLog, scope: trio.CancelScope) -> None:
        await self._leaving.wait()
        await tasklog.wait_for(lambda me: me.log.phase not in (Phase.OPEN, Phase.AWARDED))
        if not tasklog.log.phase.over:
            self._left = True
            scope.cancel()


def read_weights(path: Path, graph: Path) -> dict[str, torch.Tensor]:
    """A result as the state dict of the author's module: tied weights under every name that they have there."""
    parsed = document.parse(graph.read_bytes())
    state = update.read_state(path, parsed)
    return {**state, **{name: state[first] for name, first in parsed.tied.items()}}
