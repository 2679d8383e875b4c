"""The pool of validators, as the contract's events tell it."""

from __future__ import annotations

from shoal.core.events import ValidatorJoined, ValidatorLeft
from shoal.core.ids import Address
from shoal.ports import LedgerView


async def validators(ledger: LedgerView) -> frozenset[Address]:
    """Who is in the pool now: committees and juries are drawn from them.

    Raises:
        LedgerError: the events cannot be read.
    """
    found: set[Address] = set()
    for logged in await ledger.events(after_ns=0, until_ns=await ledger.watermark()):
        if isinstance(logged.event, ValidatorJoined):
            found.add(logged.event.account)
        elif isinstance(logged.event, ValidatorLeft):
            found.discard(logged.event.account)
    return frozenset(found)
