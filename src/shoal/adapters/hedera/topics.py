"""A topic's messages: chunks put together, the same however the time is cut into windows."""

from __future__ import annotations

import base64
import binascii
import logging
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from shoal.adapters.hedera.mirror import SECOND_NS, Mirror, between, parse_time
from shoal.core import limits
from shoal.errors import LedgerUnreachable
from shoal.ports import Message

log = logging.getLogger("shoal.ledger")

CHUNK_WINDOW_NS = 300 * SECOND_NS
"""A message's chunks have consensus within this time from the valid start of its first transaction, or it is void.
A transaction is valid for 180 s at most, and all chunks are sent in one go. So whoever reads from this long before a
window sees every message that ends in it, and needs no memory of what it read before."""
OPEN_OF_PAYER = 8
OPEN_OF_TOPIC = 1_024
_TOPICS = 256


@dataclass(slots=True)
class _Open:
    payer: str
    start_ns: int
    total: int
    parts: list[bytes] = field(default_factory=list)
    size_bytes: int = 0


class Reassembly:
    """Feeds on one topic's rows in consensus order and gives whole messages; foreign junk gives nothing.

    Only the payer of a first chunk can continue it, in order. Where a payer, or the topic, has too many messages open,
    the one begun first is dropped: an older one never drops a newer, so the outcome does not depend on where the
    reading began.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[str, _Open] = OrderedDict()

    def feed(self, row: Mapping[str, Any]) -> Message | None:
        """The message that this row completes."""
        try:
            time_ns = parse_time(row["consensus_timestamp"])
            data = base64.b64decode(row["message"], validate=True)
            payer, number = str(row["payer_account_id"]), int(row["sequence_number"])
            chunk = row.get("chunk_info")
            whole = data if chunk is None or chunk["total"] == 1 else self._continue(chunk, payer, time_ns, data)
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            log.debug("a row of a topic is skipped: %r", error)
            return None
        if whole is None or len(whole) > limits.LOG_ENTRY_BYTES:
            return None
        return Message(time_ns, number, payer, whole)

    def _continue(self, chunk: Mapping[str, Any], payer: str, time_ns: int, data: bytes) -> bytes | None:
        identity = chunk["initial_transaction_id"]
        start_text = str(identity["transaction_valid_start"])
        start_ns = parse_time(start_text)
        total, number = int(chunk["total"]), int(chunk["number"])
        self._expire(time_ns)
        if identity["account_id"] != payer or not 2 <= total <= limits.TOPIC_CHUNKS:
            return None
        if not start_ns <= time_ns <= start_ns + CHUNK_WINDOW_NS:
            return None
        key = f"{payer}@{start_ns}"
        if number == 1 and key not in self._open:
            self._begin(key, _Open(payer, start_ns, total))
        current = self._open.get(key)
        if current is None or current.total != total or number != len(current.parts) + 1:
            return None
        current.parts.append(data)
        current.size_bytes += len(data)
        if current.size_bytes > limits.LOG_ENTRY_BYTES:
            del self._open[key]
            return None
        if number < total:
            return None
        del self._open[key]
        return b"".join(current.parts)

    def _begin(self, key: str, opened: _Open) -> None:
        same = [other for other, value in self._open.items() if value.payer == opened.payer]
        if len(same) >= OPEN_OF_PAYER:
            del self._open[same[0]]
        if len(self._open) >= OPEN_OF_TOPIC:
            self._open.popitem(last=False)
        self._open[key] = opened

    def _expire(self, time_ns: int) -> None:
        """Drop from the front what can't be completed any more; what hides behind a younger one waits a little."""
        while self._open:
            first = next(iter(self._open))
            if time_ns <= self._open[first].start_ns + CHUNK_WINDOW_NS:
                return
            del self._open[first]


@dataclass(frozen=True, slots=True)
class _Read:
    """How far a topic has been read."""

    until_ns: int
    number: int | None
    """Of the last message up to there; None where none was seen."""
    reassembly: Reassembly | None
    """None where a read failed half way: it would have seen half of the rows."""


class TopicReader:
    """Reads topics window by window. Consecutive windows of a topic continue where the last one ended."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._states: OrderedDict[int, _Read] = OrderedDict()

    async def read(self, topic: int, after_ns: int, until_ns: int) -> list[Message]:
        """Whole messages with after < time <= until, where a message's time is that of its last chunk.

        Raises:
            LedgerUnreachable: the mirror left something out: a topic's messages are numbered without gaps. Pages that
                several machines answer, of which one is behind, may look like that.
        """
        if until_ns <= after_ns:
            return []
        from_ns, reassembly = max(0, after_ns - CHUNK_WINDOW_NS), Reassembly()
        last = before = None
        if topic in self._states and self._states[topic].until_ns == after_ns:
            state = self._states[topic]
            before = state.number
            if state.reassembly is not None:
                from_ns, reassembly, last = after_ns, state.reassembly, before
            self._states[topic] = _Read(after_ns, before, None)
        found = []
        rows = self._mirror.rows(f"/topics/0.0.{topic}/messages", "messages", between(from_ns, until_ns))
        async with aclosing(rows):
            async for row in rows:
                number = int(row["sequence_number"])
                if last is None and parse_time(row["consensus_timestamp"]) > after_ns:
                    last = before
                if (last is not None and number <= last) or parse_time(row["consensus_timestamp"]) > until_ns:
                    continue  # shown again, or never asked for
                if last is not None and number != last + 1:
                    raise LedgerUnreachable(
                        f"the mirror node left messages {last + 1} to {number - 1} of topic 0.0.{topic} out",
                        hint="it is asked again; if this stays, use another mirror node",
                    )
                last = number
                message = reassembly.feed(row)
                if message is not None and message.time_ns > after_ns:
                    found.append(message)
        if topic not in self._states or self._states[topic].until_ns < until_ns:
            self._states[topic] = _Read(until_ns, before if last is None else last, reassembly)
        if len(self._states) > _TOPICS:
            self._states.popitem(last=False)
        return found
