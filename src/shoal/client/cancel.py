"""Cancelling a task before its start: who may, until when, and what comes back."""

from __future__ import annotations

import trio

from shoal.core import calls
from shoal.core.ids import Address, short
from shoal.core.money import format_hbar
from shoal.core.task import Phase, State
from shoal.errors import CallReverted, UsageError
from shoal.ports import Ledger
from shoal.roles.tasklog import TaskLog

MIRROR_TIMEOUT_S = 60.0
POLL_S = 0.2


def check_cancellable(state: State, account: Address) -> None:
    """Whether an account may end a task now; one that it has cancelled already is no error.

    Raises:
        UsageError: SHOAL-U08, another account's; U58, it has started or ended already.
    """
    if state.client != account:
        raise UsageError(
            f"task {short(state.place.task)} belongs to another account",
            code="SHOAL-U08",
            hint="use the account that created it",
        )
    if state.phase is Phase.CANCELLED:
        return
    if state.phase not in (Phase.OPEN, Phase.AWARDED) or state.started_ns:
        raise too_late(state)


def too_late(state: State) -> UsageError:
    over = state.phase.over
    return UsageError(
        f"the task cannot be cancelled: it is {state.phase}",
        code="SHOAL-U58",
        hint="" if over else "it goes on to its result; what is not earned comes back then",
        money=f"{format_hbar(state.refunded)} came back" if over else "the escrow stays in the contract",
    )


async def cancel_task(tasklog: TaskLog, ledger: Ledger) -> State:
    """End it; what stands after that. The log is read on here, so nobody else may be following it.

    Raises:
        UsageError: SHOAL-U58, somebody was quicker.
        LedgerError: the ledger refused, or is away.
    """
    try:
        until = (await ledger.call(calls.Cancel(tasklog.place.task))).time_ns
    except CallReverted as error:
        await tasklog.catch_up()
        if tasklog.log.phase is not Phase.CANCELLED:
            raise too_late(tasklog.log) from error
        return tasklog.log
    with trio.move_on_after(MIRROR_TIMEOUT_S):
        while tasklog.log.now_ns < until:
            await tasklog.catch_up()
            await trio.sleep(POLL_S)
    return tasklog.log
