"""Seeing a task through to its end, for the services that hold several: one that goes wrong is that task's affair."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import trio

from shoal.core.ids import TaskId, short
from shoal.errors import CallReverted, LedgerError, ShoalError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0


async def see_through(task: TaskId, serve: Callable[[], Awaitable[None]], log: logging.Logger) -> bool:
    """Serve a task until it is done; whether it is. What else ends it is logged.

    A ledger that is away is waited for, since that may cost no bid, seat, claim or verdict: the task is then served
    anew, as after a restart.
    """
    pause_s = FIRST_PAUSE_S
    try:
        while await _lacks_ledger(serve, log):
            await trio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
    except* ShoalError as group:
        for error in group.exceptions:
            log.warning("task %s: %s", short(task), error)
    except* Exception:
        log.exception("task %s ended by a fault of this program", short(task))
    else:
        log.info("task %s: done", short(task))
        return True
    return False


async def _lacks_ledger(serve: Callable[[], Awaitable[None]], log: logging.Logger) -> bool:
    away = False
    try:
        await serve()
    except* CallReverted:
        raise
    except* LedgerError as group:
        away = True
        for error in group.exceptions:
            log.warning("%s; trying again", error)
    return away
