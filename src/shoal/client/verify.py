"""Verifying a task as anyone can: everything that is public of it is gathered from a mirror node, then judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import trio

from shoal.core.codec import CodecError
from shoal.core.entries import BidCommitment, Place, parse
from shoal.core.events import Accepted, TaskCreated
from shoal.core.fold import Item
from shoal.core.ids import TaskId, short
from shoal.core.verdicts import Check, Verdict
from shoal.core.verify import Evidence, verify
from shoal.errors import VerificationError
from shoal.ports import LedgerView, LoggedEvent, Message

TRIES, PAUSE_S = 3, 4.0
"""A mirror node answers from many machines, and a task goes on while it is read: what seems wrong is read again."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked of a task, up to a consensus time.

    >>> found = await verify_task(ledger, created, place)  # doctest: +SKIP
    >>> found.holds, [check.name for check in found.checks]
    """

    task: TaskId
    until_ns: int
    checks: tuple[Check, ...]

    @property
    def wrong(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.verdict is Verdict.WRONG)

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong; something may still be unknown."""
        return not self.wrong

    def as_dict(self) -> dict[str, Any]:
        counts = Counter(str(check.verdict) for check in self.checks)
        return {
            "task_id": self.task.hex(),
            "verified_until_ns": self.until_ns,
            "holds": self.holds,
            "counts": {str(verdict): counts[str(verdict)] for verdict in Verdict},
            "checks": [check.as_dict() for check in self.checks],
        }

    def raise_if_wrong(self) -> None:
        """Raises VerificationError SHOAL-V01 where something does not hold."""
        if self.wrong:
            names = ", ".join(check.name for check in self.wrong)
            raise VerificationError(
                f"of task {short(self.task)} this does not hold: {names}",
                code="SHOAL-V01",
                hint="verify again with another mirror node: one that has left something out looks like this",
                money="nothing was sent",
            )


async def verify_task(ledger: LedgerView, created: LoggedEvent, place: Place) -> Verification:
    """Gather and judge; what is wrong is gathered again before it is said.

    Args:
        created: the task's `TaskCreated` event.

    Raises:
        LedgerUnreachable: the mirror node does not answer.
    """
    for attempt in range(TRIES):
        evidence = await gather(ledger, created, place)
        checks = await trio.to_thread.run_sync(verify, evidence)
        found = Verification(place.task, evidence.until_ns, tuple(checks))
        if found.holds or attempt == TRIES - 1:
            break
        await trio.sleep(PAUSE_S)
    return found


async def gather(ledger: LedgerView, created: LoggedEvent, place: Place) -> Evidence:
    """All that the mirror node has of a task: events, messages, the contract's record, the transfer of the escrow."""
    assert isinstance(created.event, TaskCreated), "a task begins with it"
    until, begin = await ledger.watermark(), created.time_ns
    events = await ledger.events(after_ns=begin, until_ns=until, task=place.task)
    messages = await ledger.messages(created.event.topic, after_ns=begin, until_ns=until)
    trainers = [logged.event.trainer for logged in events if isinstance(logged.event, Accepted)]
    standing = await ledger.task(place.task, trainers)
    later = await ledger.events(after_ns=until, until_ns=await ledger.watermark(), task=place.task)
    paid_in = await _paid_in(ledger, begin)
    evidence = Evidence(place, (Item(begin, created.event),), max(until, begin), paid_in=paid_in, standing=standing)
    return replace(_merged(evidence, events, messages), moved_on=bool(later))


async def _paid_in(ledger: LedgerView, at_ns: int) -> int | None:
    """What the contract received at one consensus time, at which there is one transaction."""
    for movement in await ledger.movements(after_ns=at_ns - 1, until_ns=at_ns):
        if movement.time_ns == at_ns and any(account == ledger.contract for account, _ in movement.transfers):
            return movement.net_tinybar(ledger.contract)
    return None


def _merged(evidence: Evidence, events: Sequence[LoggedEvent], messages: Sequence[Message]) -> Evidence:
    """Everything in consensus order. Anyone may write on a topic: what is no entry is counted."""
    items = [(each.time_ns, each.index, Item(each.time_ns, each.event)) for each in events]
    unreadable = bids = 0
    for message in messages:
        try:
            parsed = parse(message.data)
        except CodecError:
            unreadable += 1
            continue
        if isinstance(parsed, BidCommitment):
            bids += parsed.task == evidence.place.task
        else:
            items.append((message.time_ns, 0, Item(message.time_ns, parsed)))
    ordered = [item for _, _, item in sorted(items, key=lambda each: each[:2])]
    return replace(evidence, items=(*evidence.items, *ordered), unreadable=unreadable, bids=bids)
