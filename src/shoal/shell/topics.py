"""Commands about gossip topics: joining, reading, publishing, and offers of training rounds."""

from __future__ import annotations

from collections.abc import Sequence

from shoal.core import limits
from shoal.ports import Received
from shoal.shell.offers import TOPIC_BYTES, is_free_topic
from shoal.shell.peers import none
from shoal.shell.station import Answer, Call, wrong


async def join(call: Call, arguments: Sequence[str]) -> Answer:
    topic = _one(arguments, "join TOPIC")
    await call.station.network.join(topic)
    return {"topic": topic, "joined": True}


async def leave(call: Call, arguments: Sequence[str]) -> Answer:
    topic = _one(arguments, "leave TOPIC")
    call.station.offers.withdraw(topic)
    await call.station.network.leave(topic)
    return {"topic": topic, "joined": False}


async def read(call: Call, arguments: Sequence[str]) -> Answer:
    if len(arguments) == 2 and not arguments[1].isdecimal():
        raise wrong("read TOPIC [AFTER]")
    topic = _one(arguments[:1], "read TOPIC [AFTER]")
    found = call.station.network.read(topic, after=int(arguments[1]) if len(arguments) == 2 else 0)
    return {"topic": topic, "messages": [message(each) for each in found]}


async def topics(call: Call, arguments: Sequence[str]) -> Answer:
    none(arguments, "topics")
    return {
        "topics": [
            {"topic": each.name, "joined": each.joined, "peers": list(each.peers)}
            for each in call.station.network.topics()
        ]
    }


async def publish(call: Call, arguments: Sequence[str]) -> Answer:
    if len(arguments) < 2:
        raise wrong("publish TOPIC TEXT")
    topic, data = checked(arguments[0]), " ".join(arguments[1:]).encode()
    if len(data) > limits.GOSSIP_BYTES:
        raise wrong(f"{len(data)} bytes, at most {limits.GOSSIP_BYTES} are gossiped")
    await call.station.network.publish(topic, data)
    return {"topic": topic, "size_bytes": len(data)}


async def advertize(call: Call, arguments: Sequence[str]) -> Answer:
    """Whoever joins the topic hears the round that `train` starts on it."""
    topic = _one(arguments, "advertize TOPIC")
    await call.station.network.join(topic)
    await call.station.offers.offer(topic)
    return {"topic": topic, "joined": True, "advertized": True}


async def offers(call: Call, arguments: Sequence[str]) -> Answer:
    none(arguments, "offers")
    return {"offers": [each.as_dict() for each in call.station.offers.all()]}


def message(each: Received) -> Answer:
    """A gossiped message; of bytes that are no text, their hexadecimal digits."""
    row: Answer = {"number": each.number, "time": each.time_s, "peer_id": each.peer_id}
    try:
        return {**row, "text": each.data.decode()}
    except UnicodeDecodeError:
        return {**row, "hex": each.data.hex()}


def checked(topic: str) -> str:
    """Raises UsageError SHOAL-U62 for a name that is no topic of one's own."""
    if not is_free_topic(topic):
        raise wrong(f"a topic has 1 to {TOPIC_BYTES} bytes, and those that begin with shoal/ are the market's own")
    return topic


def _one(arguments: Sequence[str], usage: str) -> str:
    if len(arguments) != 1:
        raise wrong(usage)
    return checked(arguments[0])
