"""Offers of training rounds on the mesh: what others offer, and this node's own, said again and again.

Gossip forgets: whoever comes later hears an offer when it is repeated, and one that is not repeated is forgotten.
An offer is a claim of the peer that signs it; what it leads to is only a topic to join.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import trio

from shoal.core import limits
from shoal.core.codec import CodecError, decode, encode
from shoal.errors import ShoalError, UsageError
from shoal.ports import Network

log = logging.getLogger("shoal.shell")

TOPIC_BYTES = 200
REPEAT_S = 10.0
FORGET_S = 4 * REPEAT_S
MOST = 256
"""Offers of others that are remembered."""
MOST_OWN = 16
_TAG = "shoal/offer/1"


@dataclass(frozen=True, slots=True)
class Offer:
    """A peer says that a training round is to come on a topic."""

    peer_id: str
    topic: str
    heard_s: float
    """When it was last heard, by trio's clock."""

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "heard_s"}


class Offers:
    """What is offered around a node.

    Args:
        place: the ledger that the rounds are for.
    """

    def __init__(self, network: Network, place: str) -> None:
        self._network, self._topic = network, f"shoal/offers/{place}"
        self._heard: OrderedDict[tuple[str, str], Offer] = OrderedDict()
        self._own: list[str] = []
        self.on_new: Callable[[Offer], None] = lambda offer: None

    async def run(self) -> None:
        """Hear and repeat, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            while True:
                await trio.sleep(REPEAT_S)
                for topic in self._own:
                    try:
                        await self._say(topic)
                    except ShoalError as error:
                        log.warning("the offer of %s is not repeated: %s", topic, error)

    async def offer(self, topic: str) -> None:
        """Say it now, and again until this node ends.

        Raises:
            UsageError: SHOAL-U62, too many are offered already.
        """
        if topic not in self._own:
            if len(self._own) >= MOST_OWN:
                raise UsageError(f"{MOST_OWN} topics are offered already", code="SHOAL-U62", hint="start the node anew")
            self._own.append(topic)
        await self._say(topic)

    def withdraw(self, topic: str) -> None:
        """Say it no more; others forget it soon."""
        if topic in self._own:
            self._own.remove(topic)

    def all(self) -> list[Offer]:
        """What others offer, the latest heard last."""
        self._forget()
        return list(self._heard.values())

    async def _say(self, topic: str) -> None:
        await self._network.publish(self._topic, encode([_TAG, topic]))

    async def _listen(self) -> None:
        async with self._network.subscribe(self._topic) as stream:
            async for peer_id, data in stream:
                topic = _parse(data)
                if topic is not None and peer_id != self._network.peer_id:
                    self._take(Offer(peer_id, topic, trio.current_time()))

    def _take(self, offer: Offer) -> None:
        self._forget()
        key = (offer.peer_id, offer.topic)
        known = self._heard.pop(key, None)
        self._heard[key] = offer
        while len(self._heard) > MOST:
            self._heard.popitem(last=False)
        if known is None:
            self.on_new(offer)

    def _forget(self) -> None:
        now_s = trio.current_time()
        while self._heard:
            key, oldest = next(iter(self._heard.items()))
            if now_s - oldest.heard_s <= FORGET_S:
                break
            del self._heard[key]


def _parse(data: bytes) -> str | None:
    """The topic that is offered; None for whatever else a stranger writes."""
    try:
        value = decode(data, max_bytes=limits.TEXT_BYTES)
    except CodecError:
        return None
    match value:
        case [str(tag), str(topic)] if tag == _TAG and is_free_topic(topic) and topic.isprintable():
            return topic
    return None


def is_free_topic(topic: str) -> bool:
    """Whether a name is a topic of people's own: those that begin with `shoal/` are the market's.

    >>> is_free_topic("news"), is_free_topic("shoal/market"), is_free_topic("")
    (True, False, False)
    """
    return 0 < len(topic.encode(errors="replace")) <= TOPIC_BYTES and not topic.startswith("shoal/")
