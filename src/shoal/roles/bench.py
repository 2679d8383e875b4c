"""A validator's place in one task: it audits, accuses, judges and claims, until nothing is left to do."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import trio

from shoal.core import calls, court, duties
from shoal.core.audits import Unit
from shoal.core.court import AuditUnit, JudgeUnit, Vote
from shoal.core.ids import ZERO_DIGEST, short
from shoal.core.task import State
from shoal.errors import ShoalError
from shoal.ports import Ledger
from shoal.roles.closing import call, withdraw
from shoal.roles.recheck import Found, Rechecker, Unusable
from shoal.roles.tasklog import TaskLog

log = logging.getLogger("shoal.validator")

TRIES = 3
"""How often what was opened is asked for before it counts as of no use."""
RETRY_S = 2.0


class Bench:
    """Does what the log asks of this validator.

    Args:
        open_rechecker: opened when there is something to train, since it takes a sandbox.
    """

    def __init__(
        self,
        tasklog: TaskLog,
        *,
        ledger: Ledger,
        open_rechecker: Callable[[], AbstractAsyncContextManager[Rechecker]],
    ) -> None:
        self._tasklog, self._ledger, self._open_rechecker = tasklog, ledger, open_rechecker
        self._me = ledger.address

    async def run(self) -> None:
        """Until the task is over, and nothing of it is owed to this validator."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forever, self._work)
            await self._forever(self._money, until=self._is_done)
            nursery.cancel_scope.cancel()
        await withdraw(self._ledger)

    def _is_done(self) -> bool:
        state = self._tasklog.log
        return state.phase.over and not duties.payments(state, self._me)

    async def _forever(self, step: Callable[[], Awaitable[bool]], until: Callable[[], bool] = lambda: False) -> None:
        """Run a step whenever the task changes; an error costs a pause, never the other duties."""
        pause = 0.5
        while not until():
            change = self._tasklog.change
            try:
                if not await step():
                    await change.wait()
                pause = 0.5
            except ShoalError as error:
                log.warning("task %s: %s", short(self._tasklog.place.task), error)
                await trio.sleep(pause)
                pause = min(pause * 2, 10.0)
            except Exception:  # a fault of this program must not take the other duties with it
                log.exception("task %s: a duty failed", short(self._tasklog.place.task))
                await trio.sleep(10.0)

    async def _money(self) -> bool:
        """Accusations, and the calls that are this validator's turn; True when one was made."""
        state = self._tasklog.log
        for due in [*court.accusations(state, self._me), *duties.payments(state, self._me)]:
            await call(self._tasklog, self._ledger, due, value=court.bond_of(state, due))
            return True
        return False

    async def _work(self) -> bool:
        """All that is to be trained again, in one sandbox, which is gone afterwards; True when there was something."""
        todo = self._todo()
        if not todo:
            return False
        if isinstance(todo[0], Vote):
            await call(self._tasklog, self._ledger, todo[0].call)
            return True
        async with self._open_rechecker() as rechecker:
            while todo := self._todo():
                await self._do(todo[0], rechecker)
        return True

    def _todo(self) -> list[court.Work]:
        return [duty for duty in court.work(self._tasklog.log, self._me) if not self._is_said(duty)]

    async def _do(self, duty: court.Work, rechecker: Rechecker) -> None:
        state = self._tasklog.log
        match duty:
            case Vote(ballot):
                await call(self._tasklog, self._ledger, ballot)
            case AuditUnit(audit):
                await self._audit(state, audit.unit, audit.sealed, rechecker)
            case JudgeUnit(dispute_id, unit, sealed):
                found = await self._recheck(state, unit, sealed, rechecker)
                # Who is accused alone can show its work; what it opened to a jury is of use, or it has shown nothing.
                cheated = found is None or not found.right
                log.info("task %s: as a juror: %s", short(state.place.task), "fraud" if cheated else "no fraud")
                await call(self._tasklog, self._ledger, calls.Judge(dispute_id, cheated))

    def _is_said(self, duty: court.Work) -> bool:
        """Whether a verdict is on its way to the log already: it is signed once."""
        if not isinstance(duty, AuditUnit):
            return False
        unit = duty.audit.unit
        return any(
            entry.kind == "verdict" and (entry.body.get("round"), entry.body.get("chunk")) == (unit.round, unit.chunk)
            for entry in self._tasklog.outbox
        )

    async def _audit(self, state: State, unit: Unit, sealed: bytes, rechecker: Rechecker) -> None:
        found = await self._recheck(state, unit, sealed, rechecker)
        finding = "unusable" if found is None else "ok" if found.right else "wrong"
        body: dict[str, object] = {
            "round": unit.round,
            "chunk": unit.chunk,
            "finding": finding,
            "state": ZERO_DIGEST if found is None else found.state,
        }
        await self._tasklog.post(self._me, "verdict", body)
        log.info("task %s round %d chunk %d: %s", short(state.place.task), unit.round, unit.chunk, finding)

    async def _recheck(self, state: State, unit: Unit, sealed: bytes, rechecker: Rechecker) -> Found | None:
        """None where what was opened is of no use, again and again."""
        for attempt in range(TRIES):
            try:
                return await rechecker.recheck(state, unit, sealed)
            except Unusable as error:
                log.warning("task %s round %d chunk %d: %s", short(state.place.task), unit.round, unit.chunk, error)
                if attempt + 1 < TRIES:
                    await trio.sleep(RETRY_S)
        return None
