"""A participant's log lines on its task's topic: few small messages, compressed, beside the chain of entries.

They are signed like entries, and are none: a batch that is late, lost or one too many delays nothing that counts. The
fold only counts them, so that nobody fills a reader's memory with them. They are public, for ever.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.core import limits
from shoal.core.codec import CodecError, decode, encode
from shoal.core.ids import Address

if TYPE_CHECKING:
    from shoal.core.entries import LogEntry

LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line, with its author's clock in milliseconds of Unix time."""

    time_ms: int
    level: str
    text: str


def pack(lines: Sequence[LogLine], room: int) -> tuple[bytes, int]:
    """As many lines from the front as fit into `room` bytes, compressed; and how many those are.

    >>> blob, count = pack([LogLine(1_000, "info", "round 1"), LogLine(2_000, "info", "round 2")], 850)
    >>> count, unpack(blob)[1].text
    (2, 'round 2')
    """
    fit, most = (b"", 0), min(len(lines), limits.LOG_LINES) + 1
    low = 0
    while most - low > 1:
        half = (low + most) // 2
        blob = _squeeze(lines[:half])
        if blob is not None and len(blob) <= room:
            low, fit = half, (blob, half)
        else:
            most = half
    return fit


def unpack(blob: bytes) -> tuple[LogLine, ...]:
    """The inverse; strangers wrote it.

    Raises:
        CodecError: it is none, or more than is ever read of one message.
    """
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(blob, limits.LOG_TEXT_BYTES)
    except zlib.error as error:
        raise CodecError("not compressed lines") from error
    if not inflater.eof or inflater.unused_data:
        raise CodecError("too many lines, or not their end")
    rows = decode(data, max_bytes=limits.LOG_TEXT_BYTES)
    if not isinstance(rows, list) or len(rows) > limits.LOG_LINES:
        raise CodecError("not lines")
    return tuple(_line(row) for row in rows)


def admits(entry: LogEntry, *, following: int, taken: int) -> bool:
    """Whether a batch of an author counts, by the number that is to follow and how many there are already.

    Numbers may have gaps, since a batch may be lost; none counts twice.
    """
    return following <= entry.sequence < limits.LOG_SEQUENCES and taken < limits.AUTHOR_LOG_ENTRIES


class LogReader:
    """Which batches of a topic count, read in consensus order: the rule of the fold, for whoever shows them."""

    def __init__(self) -> None:
        self._taken: dict[Address, tuple[int, int]] = {}

    def take(self, entry: LogEntry) -> bool:
        """Whether it counts; its place and signature were checked before."""
        following, taken = self._taken.get(entry.author, (0, 0))
        if not admits(entry, following=following, taken=taken):
            return False
        self._taken[entry.author] = (entry.sequence + 1, taken + 1)
        return True


def _squeeze(lines: Sequence[LogLine]) -> bytes | None:
    data = encode([[line.time_ms, line.level, line.text] for line in lines])
    return zlib.compress(data, 9) if len(data) <= limits.LOG_TEXT_BYTES else None


def _line(row: object) -> LogLine:
    match row:
        case [int(time_ms), str(level), str(text)] if level in LEVELS and len(text) <= limits.LOG_LINE_CHARS:
            if not isinstance(time_ms, bool) and 0 <= time_ms < 2**53:
                return LogLine(time_ms, level, text)
    raise CodecError("not a line")
