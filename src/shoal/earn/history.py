"""What this account did and was paid, line by line from the ledger: no sums of our own, and nothing from this disk.

Every line is one transaction with its id and consensus time. The lines of an account's own transactions, with what
they changed its balance by, explain the whole of its balance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from shoal.core import events as ev
from shoal.core.codec import CodecError
from shoal.core.earnings import Kind, Line, Total, total
from shoal.core.entries import BidCommitment, Entry, Place, parse
from shoal.core.ids import Address, TaskId
from shoal.core.money import ZERO, Tinybar
from shoal.core.task import SECOND_NS, State
from shoal.ports import LedgerView, LoggedEvent, Movement
from shoal.roles.tasklog import TaskLog

TASK_S = 40 * 24 * 3600
"""A task is claimed at most so long after it was created: seven days of life, and thirty to claim."""


@dataclass(frozen=True, slots=True)
class History:
    """Lines, oldest first, and how far the ledger was read."""

    account: str
    lines: tuple[Line, ...]
    until_ns: int

    def total(self, seconds: float) -> Total:
        """Of the last so many seconds of consensus time."""
        return total(self.lines, since_ns=self.until_ns - int(seconds * SECOND_NS))

    def last(self, days: float) -> tuple[Line, ...]:
        """The lines of the last days, oldest first."""
        after_ns = self.until_ns - int(days * 86_400 * SECOND_NS)
        return tuple(line for line in self.lines if line.time_ns > after_ns)

    def since(self, time_ns: int) -> Total:
        return total(self.lines, since_ns=time_ns)


@dataclass(frozen=True, slots=True)
class _Said:
    """What an entry or bid of this account on a task's topic was, by its consensus time."""

    task: TaskId
    what: str
    kind: Kind = Kind.FEE


async def read(ledger: LedgerView, place_of: Callable[[TaskId], Place], *, days: float) -> History:
    """Everything of the last `days` that concerns the account that looks.

    >>> history = await read(ledger, place_of, days=30)  # doctest: +SKIP
    >>> history.total(7 * 86_400).profit  # doctest: +SKIP
    """
    until_ns = await ledger.watermark()
    after_ns = max(0, until_ns - int(days * 86_400 * SECOND_NS))
    logged = await ledger.events(after_ns=max(0, after_ns - TASK_S * SECOND_NS), until_ns=until_ns)
    moved = await ledger.movements(after_ns=after_ns, until_ns=until_ns, account=ledger.account)
    said: dict[int, _Said] = {}
    for created in _tasks_of(ledger.address, logged):
        assert isinstance(created.event, ev.TaskCreated), "only these are taken"
        said |= await _said(ledger, created, place_of(created.event.task_id))
    mine = [each for each in logged if each.time_ns > after_ns and _concerns(ledger.address, each.event)]
    by_time: dict[int, list[LoggedEvent]] = {}
    for each in mine:
        by_time.setdefault(each.time_ns, []).append(each)
    lines = [_line(each, by_time.pop(each.time_ns, []), said.get(each.time_ns), ledger) for each in moved]
    for time_ns, events in by_time.items():  # what others' transactions did for this account
        found = await ledger.movements(after_ns=time_ns - 1, until_ns=time_ns)
        identity = found[0].transaction if found else events[0].transaction
        lines.append(_of_events(events, ledger.address, Line(time_ns, identity, Kind.FEE, "by another")))
    lines.sort(key=lambda line: (line.time_ns, line.transaction))
    return History(ledger.account, tuple(lines), until_ns)


def _tasks_of(me: Address, logged: Sequence[LoggedEvent]) -> list[LoggedEvent]:
    """Tasks that this account has a seat in. What it bid for in vain stays a message: the ledger holds too many tasks
    to read every one for it."""
    seated = {each.event.task_id for each in logged if isinstance(each.event, ev.Accepted) and each.event.trainer == me}
    return [each for each in logged if isinstance(each.event, ev.TaskCreated) and each.event.task_id in seated]


def _concerns(me: Address, event: ev.Event) -> bool:
    names = ("account", "trainer", "validator", "juror", "voter", "challenger")
    return any(getattr(event, name, None) == me for name in names)


async def _said(ledger: LedgerView, created: LoggedEvent, place: Place) -> dict[int, _Said]:
    """This account's entries in one task's log, and what became of them."""
    me = ledger.address
    tasklog = TaskLog(created, place, ledger=ledger)
    await tasklog.catch_up()
    log = tasklog.log
    found: dict[int, _Said] = {}
    for message in await ledger.messages(log.topic, after_ns=created.time_ns, until_ns=log.now_ns):
        with suppress(CodecError, KeyError, TypeError):
            entry = parse(message.data)
            if isinstance(entry, BidCommitment):
                if entry.trainer == me:
                    found[message.time_ns] = _Said(place.task, "bid")
            elif entry.author == me and entry.place == place:
                found[message.time_ns] = (
                    _entry(entry, log) if isinstance(entry, Entry) else _Said(place.task, "log lines")
                )
    return found


def _entry(entry: Entry, log: State) -> _Said:
    body, task, kind = entry.body, entry.place.task, Kind.FEE
    what = entry.kind
    if entry.kind == "update":
        what, kind = f"round {body['round']}, chunk {body['chunk']}: {_fate(entry, log)}", Kind.WORK
    elif entry.kind == "checkpoint":
        taken = any(each.author == entry.author and each.round == body["round"] for each in log.checkpoints[1:])
        what, kind = f"round {body['round']}: aggregate, {'taken' if taken else 'not taken'}", Kind.WORK
    elif entry.kind == "void":
        what = f"round {body['round']}, chunk {body['chunk']}: void, {str(body['reason'])[:40]}"
    return _Said(task, what, kind)


def _fate(entry: Entry, log: State) -> str:
    """What became of an update: counted, rejected by the aggregate, waiting for it, or never taken by the log."""
    round, chunk, object = entry.body["round"], entry.body["chunk"], entry.body["object"]
    for checkpoint in log.checkpoints[1:]:
        for update in checkpoint.updates:
            if (update.round, update.chunk, update.author, update.object) == (round, chunk, entry.author, object):
                return f"counts at {log.unit_price} tinybar" if chunk in checkpoint.included else "rejected"
    waiting = log.updates.get(chunk) if log.checkpoints and log.round == round else None
    return "delivered" if waiting is not None and waiting.object == object else "not taken"


def _line(moved: Movement, events: Sequence[LoggedEvent], said: _Said | None, ledger: LedgerView) -> Line:
    fee = moved.fee_tinybar if moved.payer == ledger.account else ZERO
    net = moved.net_tinybar(ledger.account)
    name = _NAMES.get(moved.name, moved.name.lower())
    line = Line(moved.time_ns, moved.transaction, Kind.FEE, name, fee=fee, net=net)
    if moved.result != "SUCCESS":
        return replace(line, what=f"{name}: {moved.result}")
    if events:
        return _of_events(events, ledger.address, line)
    if said is not None:
        return replace(line, kind=said.kind, what=said.what, task=said.task.hex())
    return line


def _of_events(events: Sequence[LoggedEvent], me: Address, line: Line) -> Line:
    """What a transaction's events did for this account; they are of one call."""
    what: list[str] = []
    for logged in events:
        event = logged.event
        changes = _changes(event, me)
        task = getattr(event, "task_id", None)
        line = replace(
            line,
            kind=changes.get("kind", line.kind),
            task=task.hex() if task is not None else line.task,
            earned=Tinybar(line.earned + changes.get("earned", 0)),
            penalty=Tinybar(line.penalty + changes.get("penalty", 0)),
        )
        what.append(changes["what"])
    return replace(line, what=", ".join(what))


def _changes(event: ev.Event, me: Address) -> dict[str, Any]:
    """Kind, words and amounts of one event."""
    match event:
        case ev.Claimed():
            what = f"paid for {event.units} units and {event.aggregates} aggregates"
            what += f"; {event.stake_returned} tinybar of stake free"
            penalty = event.penalty + event.finder_fee
            return {"kind": Kind.PAYMENT, "what": what, "earned": event.paid, "penalty": penalty}
        case ev.Released():
            what = f"compensation; {event.stake_returned} tinybar of stake free"
            return {"kind": Kind.PAYMENT, "what": what, "earned": event.compensation}
        case ev.AuditsClaimed():
            return {"kind": Kind.AUDIT, "what": f"paid for {event.audits} audits", "earned": event.paid}
        case ev.JurorPaid():
            return {"kind": Kind.AUDIT, "what": "juror's fee", "earned": event.amount}
        case ev.JurorFined():
            return {"kind": Kind.AUDIT, "what": "juror's fine", "penalty": event.amount}
        case ev.Slashed():
            taken = event.to_finder + event.to_client
            return {"kind": Kind.PAYMENT, "what": "stake slashed", "penalty": taken}
        case ev.Registered():
            return {"kind": Kind.STAKE, "what": f"registered with {event.stake} tinybar of stake"}
        case ev.StakeDeposited():
            return {"kind": Kind.STAKE, "what": f"{event.amount} tinybar of stake more"}
        case ev.UnstakeRequested() | ev.UnstakeCancelled() | ev.Unstaked():
            words = {ev.UnstakeRequested: "asked back", ev.UnstakeCancelled: "kept", ev.Unstaked: "back"}[type(event)]
            return {"kind": Kind.STAKE, "what": f"{event.amount} tinybar of stake {words}"}
        case ev.Withdrawn():
            return {"kind": Kind.WITHDRAWAL, "what": f"{event.amount} tinybar from the contract"}
    return {"what": _CALLS.get(type(event), type(event).__name__)}


_CALLS = {
    ev.Accepted: "seat taken",
    ev.TrainerReady: "ready",
    ev.CheckpointVoted: "vote for a checkpoint",
    ev.ResultPublished: "result published",
    ev.ResultVoted: "vote for the result",
}
_NAMES = {"CONSENSUSSUBMITMESSAGE": "message", "CONTRACTCALL": "call", "CRYPTOTRANSFER": "transfer"}
