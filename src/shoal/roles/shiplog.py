"""Log lines of a task to its topic: batched, signed, few, and without anything that is not for everyone's eyes.

Whoever looks at a task later can read there what its trainers saw. The topic is public and for ever, and each message
costs its sender a fee. So: only what the roles log, errors by their code only (their text may quote a stranger's data),
no tracebacks, one message in `every_s`, and no more in all than the quote tells (`core.costs.log_messages`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import trio

from shoal.core import limits
from shoal.core.costs import log_messages
from shoal.core.entries import make_log_entry, room_for_lines
from shoal.core.loglines import LEVELS, LogLine, pack
from shoal.errors import ShoalError
from shoal.ports import Keys, Ledger, Store
from shoal.redact import clean
from shoal.roles.tasklog import TaskLog

log = logging.getLogger("shoal.task")

LOGGERS = ("shoal.trainer", "shoal.task", "shoal.client", "shoal.validator")
"""What roles say of their work; nothing of adapters and libraries is published."""
WAITING_LINES = 512
LAST_S = 20.0
"""How long the last batch may take, once the work is done."""
TABLE = "log-sequences"

_current: ContextVar[Shipper | None] = ContextVar("shipper", default=None)


@dataclass(frozen=True, slots=True)
class Shipping:
    """What of its logs a node puts on topics.

    Args:
        level: of `logging`; what is below it stays here.
        every_s: at most one message in this time, for each task.
    """

    level: int = logging.INFO
    every_s: float = 30.0


class Shipper:
    """Collects one task's lines, and sends them as long as it runs."""

    def __init__(self, tasklog: TaskLog, shipping: Shipping, *, ledger: Ledger, keys: Keys, store: Store) -> None:
        self._tasklog, self._shipping = tasklog, shipping
        self._ledger, self._keys, self._store = ledger, keys, store
        self._lines: deque[LogLine] = deque()
        self._dropped = 0
        self._sent = 0

    def take(self, record: logging.LogRecord) -> None:
        """From any thread: a line for the next batch; the oldest make room."""
        if record.levelno < self._shipping.level:
            return
        text = public_text(record)
        level = next(name for name in reversed(LEVELS) if record.levelno >= getattr(logging, name.upper()))
        self._lines.append(LogLine(int(record.created * 1000), level, text[: limits.LOG_LINE_CHARS]))
        while len(self._lines) > WAITING_LINES:
            self._lines.popleft()
            self._dropped += 1

    async def run(self) -> None:
        """A message in every while, until cancelled; one is left for the end."""
        while True:
            await trio.sleep(self._shipping.every_s)
            await self.send(reserve=1)

    async def send(self, *, reserve: int = 0) -> bool:
        """One batch, if there is something to say and this node is a participant; whether there was."""
        me, state = self._ledger.address, self._tasklog.log
        author = state.authors.get(me)
        used = max(self._sent, author.log_entries if author else 0)
        if author is None or not self._lines or used + reserve >= log_messages(state.plan.rounds):
            return False
        lines, dropped = list(self._lines), self._dropped
        if dropped:
            lines.insert(0, LogLine(lines[0].time_ms, "warning", f"{dropped} lines before this one were dropped"))
        blob, count = pack(lines, room_for_lines(self._tasklog.place))
        taken = count - bool(dropped)
        for _ in range(taken):
            self._lines.popleft()
        self._dropped = 0
        entry = make_log_entry(
            self._keys, self._tasklog.place, author=me, sequence=self._number(author.log_next), lines=blob
        )
        self._sent = used + 1
        try:
            await self._ledger.submit(state.topic, entry.data())
        except ShoalError as error:
            log.debug("a batch of log lines is not sent: %s", error)  # it may be on the topic all the same
        return True

    async def finish(self) -> None:
        """What is left, within the budget and a little time: logs hold nobody up."""
        with trio.move_on_after(LAST_S):
            while await self.send():
                pass

    def _number(self, following: int) -> int:
        """Never the same twice, also after a crash: it is on disk before the batch is sent."""
        key = self._tasklog.place.task.hex()
        kept = self._store.get(TABLE, key)
        number = max(following, int(kept) + 1 if kept else 0)
        self._store.put(TABLE, key, str(number).encode())
        return number


@asynccontextmanager
async def shipping_logs(
    nursery: trio.Nursery, tasklog: TaskLog, shipping: Shipping | None, *, ledger: Ledger, keys: Keys, store: Store
) -> AsyncIterator[None]:
    """What is logged in this block, and by tasks that it starts, goes to the topic of the task; None sends nothing.

    Args:
        nursery: the caller's, in which batches are sent meanwhile.
    """
    if shipping is None:
        yield
        return
    shipper = Shipper(tasklog, shipping, ledger=ledger, keys=keys, store=store)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(_FORWARD)  # once, however often it is asked for
    before = _current.set(shipper)
    try:
        nursery.start_soon(shipper.run)
        yield
        await shipper.finish()
        store.delete(TABLE, tasklog.place.task.hex())
    finally:
        _current.reset(before)


class _Forward(logging.Handler):
    """Hands a record to the shipper of the task in whose context it was logged."""

    def emit(self, record: logging.LogRecord) -> None:
        shipper = _current.get()
        if shipper is not None:
            try:
                shipper.take(record)
            except Exception:
                self.handleError(record)


_FORWARD = _Forward()


def public_text(record: logging.LogRecord) -> str:
    """A record as everybody may read it: of an error its code, of any other exception its kind.

    >>> record = logging.LogRecord("shoal.trainer", 30, "", 0, "chunk %d: %s", (1, ShoalError("it reads 7")), None)
    >>> public_text(record)
    'chunk 1: SHOAL-X00'
    """
    arguments: Any = record.args
    if isinstance(arguments, tuple):
        arguments = tuple(_public(each) for each in arguments)
    text = str(record.msg) % arguments if arguments else str(record.msg)
    if record.exc_info and record.exc_info[0] is not None:
        text += f" ({record.exc_info[0].__name__})"
    return clean("".join(each if each.isprintable() else " " for each in text))


def _public(value: Any) -> Any:
    if isinstance(value, ShoalError):
        return value.code
    return type(value).__name__ if isinstance(value, BaseException) else value
