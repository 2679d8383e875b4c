"""Closing a task: settle it, make the claims that are owed, and withdraw; for whoever comes back later."""

from __future__ import annotations

import logging

from shoal.core import calls, duties
from shoal.core.money import format_hbar
from shoal.errors import CallReverted
from shoal.ports import Ledger
from shoal.roles.tasklog import TaskLog

log = logging.getLogger("shoal.client")


async def call(tasklog: TaskLog, ledger: Ledger, what: calls.Call, *, value: int = 0) -> None:
    """Make a call and wait until the log shows it. What somebody did already, or comes too late, is no error.

    Args:
        value: tinybar that go with it.
    """
    after = tasklog.log.now_ns
    try:
        after = (await ledger.call(what, value=value)).time_ns
    except CallReverted as error:
        log.info("%s: %s", type(what).__name__, error.reason)
        after += 1
    # Else the same duty would be seen again before the log shows that it is done.
    await tasklog.passed(after)


async def close(tasklog: TaskLog, ledger: Ledger) -> None:
    """Until the task is over and nothing is owed to this account.

    Where a quorum confirmed credits that do not follow from the log, a trainer cannot prove a claim: its stake comes
    back only after the time for claims, so that is waited for.
    """
    while True:
        change, state = tasklog.change, tasklog.log
        due = duties.payments(state, ledger.address)
        waits = state.seat_of(ledger.address) is not None and ledger.address not in state.claims
        if state.phase.over and not due and not waits:
            break
        if due:
            await call(tasklog, ledger, due[0])
        else:
            await change.wait()
    await withdraw(ledger)


async def withdraw(ledger: Ledger) -> None:
    """Take what the contract holds for this account."""
    account = await ledger.account_state(ledger.address)
    if not account.balance_tinybar:
        return
    try:
        await ledger.call(calls.Withdraw())
    except CallReverted as error:
        if error.reason != "NothingToWithdraw":  # another task of this account was quicker
            raise
    else:
        log.info("withdrew %s", format_hbar(account.balance_tinybar))
