"""Commands about topics of Hedera's Consensus Service; the last one that was made here is remembered."""

from __future__ import annotations

import re
from collections.abc import Sequence

from shoal.core import limits
from shoal.core.ids import entity_number
from shoal.core.task import SECOND_NS
from shoal.ports import Message
from shoal.shell.station import Answer, Call, Station, wrong

MEMO_BYTES = 100
"""Hedera's own limit."""
QUERIED = 25
MOST_QUERIED = 200
_TABLE, _KEY = "shell", "topic"
_TOPIC = re.compile(r"(0\.0\.)?\d{1,18}")


async def create_hcs(call: Call, arguments: Sequence[str]) -> Answer:
    memo = " ".join(arguments)
    if len(memo.encode()) > MEMO_BYTES:
        raise wrong(f"a memo has at most {MEMO_BYTES} bytes")
    topic = f"0.0.{await call.station.need_desk('create-hcs').ledger.create_topic(memo)}"
    call.station.store.put(_TABLE, _KEY, topic.encode())
    return {"topic_id": topic, "memo": memo}


async def send_hcs(call: Call, arguments: Sequence[str]) -> Answer:
    desk = call.station.need_desk("send-hcs")
    topic, words = _topic_first(call.station, arguments, "send-hcs [TOPIC] TEXT")
    data = " ".join(words).encode()
    if not data:
        raise wrong("send-hcs [TOPIC] TEXT: there is no text")
    if len(data) > limits.LOG_ENTRY_BYTES:
        raise wrong(f"{len(data)} bytes, at most {limits.LOG_ENTRY_BYTES} fit a topic's message")
    await desk.ledger.submit(entity_number(topic), data)
    return {"topic_id": topic, "size_bytes": len(data)}


async def query(call: Call, arguments: Sequence[str]) -> Answer:
    """Up to now: what was sent just before is waited for, as far as the mirror node has got."""
    desk = call.station.need_desk("query")
    topic, rest = _topic_first(call.station, arguments, "query [TOPIC] [COUNT]")
    if len(rest) > 1 or (rest and not re.fullmatch(r"\d{1,9}", rest[0])):
        raise wrong("query [TOPIC] [COUNT]")
    count = min(int(rest[0]), MOST_QUERIED) if rest else QUERIED
    ledger = desk.ledger
    messages = await ledger.messages(entity_number(topic), after_ns=0, until_ns=await ledger.watermark())
    last = messages[-count:] if count else []
    return {"topic_id": topic, "total": len(messages), "messages": [message(each) for each in last]}


def _topic_first(station: Station, arguments: Sequence[str], usage: str) -> tuple[str, Sequence[str]]:
    """The topic that is given first, else the one that is remembered; and what else was given."""
    if arguments and arguments[0].startswith("0.0."):
        if not _TOPIC.fullmatch(arguments[0]):
            raise wrong(f"{arguments[0]!r} is no topic id of the form 0.0.N")
        return arguments[0], arguments[1:]
    kept = station.store.get(_TABLE, _KEY)
    if kept is None:
        raise wrong(f"{usage}: there is no topic from `create-hcs` yet, so give one as 0.0.N")
    return kept.decode(), arguments


def message(each: Message) -> Answer:
    """A topic's message; of bytes that are no text, their hexadecimal digits."""
    row: Answer = {
        "sequence_number": each.sequence_number,
        "consensus_time": each.time_ns / SECOND_NS,
        "payer": each.payer,
    }
    try:
        return {**row, "text": each.data.decode()}
    except UnicodeDecodeError:
        return {**row, "hex": each.data.hex()}
