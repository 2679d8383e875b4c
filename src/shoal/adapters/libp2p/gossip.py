"""GossipSub with strict signing behind our own budgets: topics, subscribers and paced publishing."""

from __future__ import annotations

import logging
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakSet

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.budget import Bucket
from shoal.core import limits

log = logging.getLogger(__name__)

_PROTOCOLS = ("/meshsub/1.2.0", "/meshsub/1.1.0")
_QUEUE_ROOM = 16
"""The library drops what a peer's outgoing queue of 32 cannot take; the other half is for forwarding."""
_QUEUE_WAIT_S = 1.0


class Inbox:
    """What a subscriber has not read yet; iterate to read. Loses the oldest when full."""

    def __init__(self) -> None:
        self._messages: deque[tuple[str, bytes]] = deque(maxlen=bounds.INBOX_MESSAGES)
        self._filled = trio.Event()

    def put(self, author: str, data: bytes) -> None:
        self._messages.append((author, data))
        self._filled.set()

    def __aiter__(self) -> Inbox:
        return self

    async def __anext__(self) -> tuple[str, bytes]:
        while not self._messages:
            self._filled = trio.Event()
            await self._filled.wait()
        await trio.lowlevel.checkpoint()
        return self._messages.popleft()


class Gossip:
    """Topics and budgets of a node; outlives any one host.

    Args:
        on_flood: called with the id of a peer that keeps sending more than its budget, or garbage.
    """

    def __init__(self, on_flood: Callable[[str], None]) -> None:
        self._on_flood = on_flood
        self._inboxes: dict[str, list[Inbox]] = {}
        self._budgets: OrderedDict[str, tuple[Bucket, Bucket]] = OrderedDict()
        self._strikes: Counter[str] = Counter()
        self._service: GossipService | None = None
        self._pace: Bucket | None = None
        self._publishing = trio.Lock()
        self._stalled: WeakSet[Any] = WeakSet()

    async def attach(self, service: GossipService) -> None:
        """Use a new host's service: join every topic that has a subscriber."""
        self._service = service
        for topic in list(self._inboxes):
            await service.subscribe(topic)

    def detach(self) -> None:
        self._service = None

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[AsyncIterator[tuple[str, bytes]]]:
        """Messages of others as (peer id of the author, data)."""
        _check_topic(topic)
        inbox = Inbox()
        first = topic not in self._inboxes
        self._inboxes.setdefault(topic, []).append(inbox)
        try:
            if first:
                await self._safely("join", "subscribe", topic)
            yield inbox
        finally:
            self._inboxes[topic].remove(inbox)
            if not self._inboxes[topic]:
                del self._inboxes[topic]
                with trio.move_on_after(bounds.CLOSE_TIMEOUT_S) as scope:
                    scope.shield = True
                    await self._safely("leave", "unsubscribe", topic)

    async def publish(self, topic: str, data: bytes) -> None:
        """Send at the pace that queues can take; what cannot be sent is dropped."""
        _check_topic(topic)
        if len(data) > limits.GOSSIP_BYTES:
            raise ValueError(f"{len(data)} bytes, at most {limits.GOSSIP_BYTES} are gossiped")
        async with self._publishing:
            if self._pace is None:
                self._pace = Bucket(per_s=bounds.PUBLISH_PER_S, burst=bounds.PUBLISH_BURST, now_s=trio.current_time)
            while not self._pace.take(1):  # noqa: ASYNC110 - a bucket has no event
                await trio.sleep(self._pace.wait_s(1))
            if self._service is not None:
                await self._room(self._service)
            await self._safely("publish on", "publish", topic, data)

    async def _room(self, service: GossipService) -> None:
        queues = list(service.peer_queues.values())
        with trio.move_on_after(_QUEUE_WAIT_S):
            while any(len(each) > _QUEUE_ROOM and each not in self._stalled for each in queues):  # noqa: ASYNC110
                await trio.sleep(0.005)
        # A peer that stopped reading must not hold up everyone else: it is not waited for again until it reads.
        for queue in queues:
            if len(queue) > _QUEUE_ROOM:
                self._stalled.add(queue)
            else:
                self._stalled.discard(queue)

    async def _safely(self, what: str, method: str, *args: Any) -> None:
        """Gossip is best effort: the supervisor mends a broken host, the caller need not know."""
        if self._service is None:
            log.debug("offline: cannot %s %s", what, args[0])
            return
        try:
            await getattr(self._service, method)(*args)
        except Exception as error:
            log.info("cannot %s %s: %r", what, args[0], error)

    # ------------------------------------------------------------ what the service asks

    def admit(self, peer_id: str, topics: list[str], size_bytes: int) -> bool:
        """Whether a message that a peer sends or forwards is wanted, and within the peer's budget."""
        messages, volume = self._budget(peer_id)
        if not messages.take(1) or not volume.take(size_bytes) or size_bytes > limits.GOSSIP_BYTES:
            self.strike(peer_id)
            return False
        return len(topics) == 1 and topics[0] in self._inboxes

    def strike(self, peer_id: str, weight: int = 1) -> None:
        """Count against a peer; enough of it and the peer is cut off."""
        self._strikes[peer_id] += weight
        if self._strikes[peer_id] >= bounds.STRIKES:
            del self._strikes[peer_id]
            self._on_flood(peer_id)

    def deliver(self, author: str, topic: str, data: bytes) -> None:
        for inbox in self._inboxes.get(topic, ()):
            inbox.put(author, data)

    def _budget(self, peer_id: str) -> tuple[Bucket, Bucket]:
        if peer_id not in self._budgets:
            while len(self._budgets) >= 2 * bounds.CONNECTIONS:
                gone, _ = self._budgets.popitem(last=False)
                self._strikes.pop(gone, None)
            now_s = trio.current_time
            self._budgets[peer_id] = (
                Bucket(per_s=bounds.PEER_MESSAGES_PER_S, burst=bounds.PEER_MESSAGES_BURST, now_s=now_s),
                Bucket(per_s=bounds.PEER_BYTES_PER_S, burst=bounds.PEER_BYTES_BURST, now_s=now_s),
            )
        self._budgets.move_to_end(peer_id)
        return self._budgets[peer_id]


class GossipService(Pubsub):  # type: ignore[misc]
    """The library's service with our admission in front. It is stopped by any exception, so none leaves here.

    Budgets are taken in `push_msg`, not in a topic validator: a validator's refusal is remembered by message id,
    so a flooding peer could make us refuse an honest author's message from everyone else.
    """

    def __init__(self, host: Any, gossip: Gossip) -> None:
        router = GossipSub(
            protocols=_PROTOCOLS,
            degree=4,
            degree_low=2,
            degree_high=6,
            heartbeat_interval=1,
            time_to_live=60,
            spam_protection_enabled=False,  # it silently drops all but 10 messages/s; our budgets replace it
        )
        super().__init__(host, router, max_subscriptions_per_peer=bounds.TOPICS_PER_PEER)
        # By default numbers start at the time in seconds, so a restarted node repeats some and is not heard.
        self.counter = time.time_ns()
        self._gossip = gossip

    def mend(self) -> None:
        """Open a new stream to every peer whose old one died with its connection.

        If a peer reconnects before the end of its old connection was noticed, the library keeps the dead stream.
        """
        for peer, stream in list(self.peers.items()):
            if stream.muxed_conn.is_closed:
                self._handle_dead_peer(peer)

    def _handle_dead_peer(self, peer_id: Any) -> None:
        """A peer that is still connected keeps its topics: it told them on its own stream and will not repeat them."""
        topics = [topic for topic, peers in self.peer_topics.items() if peer_id in peers]
        super()._handle_dead_peer(peer_id)
        if topics and self._peer_is_connected(peer_id):
            for topic in topics:
                self.peer_topics.setdefault(topic, set()).add(peer_id)
            self._peer_subscription_count[peer_id] = len(topics)

    async def push_msg(self, msg_forwarder: Any, msg: Any) -> None:
        try:
            own = msg_forwarder == self.my_id
            if own or self._gossip.admit(str(msg_forwarder), list(msg.topicIDs), len(msg.data)):
                await super().push_msg(msg_forwarder, msg)
        except Exception as error:
            log.info("a gossip message was dropped: %r", error)

    def notify_subscriptions(self, publish_message: Any) -> None:
        author = ID(publish_message.from_id)
        if author != self.my_id:
            self._gossip.deliver(str(author), publish_message.topicIDs[0], publish_message.data)

    def handle_subscription(self, origin_id: Any, sub_message: Any) -> None:
        if len(sub_message.topicid) <= bounds.TOPIC_CHARACTERS:
            super().handle_subscription(origin_id, sub_message)

    async def stream_handler(self, stream: Any) -> None:
        try:
            await super().stream_handler(stream)
        except Exception:
            self._gossip.strike(str(stream.muxed_conn.peer_id), bounds.STRIKES // 4)
            raise  # the host resets the stream


def _check_topic(topic: str) -> None:
    if not 0 < len(topic) <= bounds.TOPIC_CHARACTERS:
        raise ValueError(f"a topic has 1 to {bounds.TOPIC_CHARACTERS} characters")
