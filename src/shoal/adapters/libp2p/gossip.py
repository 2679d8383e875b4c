"""GossipSub with strict signing behind our own budgets: topics, subscribers and paced publishing."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol
from weakref import WeakSet

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.budget import Bucket
from shoal.adapters.libp2p.conduct import Conduct
from shoal.adapters.libp2p.replay import ReplayGuard
from shoal.adapters.libp2p.topics import Kept
from shoal.core import limits
from shoal.errors import NetworkError
from shoal.ports import Received, Topic

log = logging.getLogger(__name__)

_PROTOCOLS = ("/meshsub/1.2.0", "/meshsub/1.1.0")
_QUEUE_ROOM = 16
"""The library drops what a peer's outgoing queue of 32 cannot take; the other half is for forwarding."""
_QUEUE_WAIT_S = 3.0


class Sink(Protocol):
    """Where messages of a topic go."""

    def put(self, author: str, data: bytes) -> None: ...


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
    """Topics of a node and what it admits on them; outlives any one host.

    Args:
        conduct: whose budgets each message is taken from.
        refuses: whether a peer is cut off.
    """

    def __init__(self, conduct: Conduct, refuses: Callable[[str], bool]) -> None:
        self.conduct, self._refuses = conduct, refuses
        self._sinks: dict[str, list[Sink]] = {}
        self._joined: dict[str, Kept] = {}
        self._replays = ReplayGuard(now_s=trio.current_time)
        self._service: GossipService | None = None
        self._pace: Bucket | None = None
        self._publishing = trio.Lock()
        self._stalled: WeakSet[Any] = WeakSet()

    async def attach(self, service: GossipService) -> None:
        """Use a new host's service: hear every topic that has a reader."""
        self._service = service
        for topic in list(self._sinks):
            await service.subscribe(topic)

    def detach(self) -> None:
        self._service = None

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[AsyncIterator[tuple[str, bytes]]]:
        """Messages of others as (peer id of the author, data)."""
        inbox = Inbox()
        await self._add(topic, inbox)
        try:
            yield inbox
        finally:
            await self._remove(topic, inbox)

    async def join(self, topic: str) -> None:
        """Keep a topic's messages until `leave`."""
        if topic in self._joined:
            return
        if len(self._joined) >= bounds.JOINED_TOPICS:
            raise NetworkError(
                f"{bounds.JOINED_TOPICS} topics are joined already", code="SHOAL-N13", hint="leave one first"
            )
        _check_topic(topic)
        kept = self._joined[topic] = Kept()
        await self._add(topic, kept)

    async def leave(self, topic: str) -> None:
        """Stop keeping a topic's messages, and forget them."""
        kept = self._joined.pop(topic, None)
        if kept is not None:
            await self._remove(topic, kept)

    def read(self, topic: str, *, after: int) -> Sequence[Received]:
        """What is kept of a joined topic."""
        if topic not in self._joined:
            raise NetworkError(f"the topic {topic!r} is not joined", code="SHOAL-N14", hint="join it first")
        return self._joined[topic].after(after)

    def topics(self) -> Sequence[Topic]:
        """Topics that are heard here or by connected peers."""
        heard = self._service.hearers() if self._service is not None else {}
        names = sorted(set(self._sinks) | set(heard))
        return tuple(Topic(name, name in self._sinks, heard.get(name, ())) for name in names)

    def own_topics(self) -> list[str]:
        """Topics that this node hears."""
        return sorted(self._sinks)

    async def _add(self, topic: str, sink: Sink) -> None:
        _check_topic(topic)
        first = topic not in self._sinks
        self._sinks.setdefault(topic, []).append(sink)
        if first:
            await self._safely("join", "subscribe", topic)

    async def _remove(self, topic: str, sink: Sink) -> None:
        self._sinks[topic].remove(sink)
        if not self._sinks[topic]:
            del self._sinks[topic]
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

    def admit(self, forwarder: str, author: str, topics: list[str], size_bytes: int) -> bool:
        """Whether a message that a peer sends or forwards is wanted, and within budgets."""
        if self._refuses(forwarder) or self._refuses(author) or not self.conduct.admit(forwarder, size_bytes):
            return False
        if size_bytes > limits.GOSSIP_BYTES:
            self.conduct.strike(forwarder, bounds.STRIKE_UNSIGNED)
            return False
        return len(topics) == 1 and topics[0] in self._sinks

    def admit_new(self, forwarder: str, author: str, sequence: bytes) -> bool:
        """Whether a message that the library does not remember is new, and within its author's budget."""
        if self._replays.is_old(author, sequence):
            self.conduct.strike(forwarder, bounds.STRIKE_REPLAYED)
            return False
        if self.conduct.admit_author(author):
            return True
        if forwarder == author:
            self.conduct.strike(forwarder, bounds.STRIKE_OVER_BUDGET)
        return False

    def deliver(self, author: str, sequence: bytes, topic: str, data: bytes) -> None:
        """Hand a message with a verified signature to whoever reads its topic."""
        self._replays.note(author, sequence)
        for sink in self._sinks.get(topic, ()):
            sink.put(author, data)


class _Metered:
    """A gossip stream that is read at the pace its peer is allowed: floods of control messages wait outside."""

    def __init__(self, stream: Any, conduct: Conduct) -> None:
        self._stream, self._conduct = stream, conduct
        self._peer_id = str(stream.muxed_conn.peer_id)

    async def read(self, n: int | None = None) -> bytes:
        pause_s = self._conduct.pause_s(self._peer_id)
        if pause_s:
            await trio.sleep(pause_s)
        data: bytes = await self._stream.read(n)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Router(GossipSub):  # type: ignore[misc]
    """The library's router with half its traffic, and no memory of topics that only a peer has ever named."""

    async def handle_graft(self, graft_msg: Any, sender_peer_id: Any) -> None:
        if graft_msg.topicID in self.mesh:
            await super().handle_graft(graft_msg, sender_peer_id)

    async def handle_prune(self, prune_msg: Any, sender_peer_id: Any) -> None:
        if prune_msg.topicID in self.mesh:
            await super().handle_prune(prune_msg, sender_peer_id)

    async def handle_ihave(self, ihave_msg: Any, sender_peer_id: Any) -> None:
        if ihave_msg.topicID in self.mesh:
            await super().handle_ihave(ihave_msg, sender_peer_id)

    async def _emit_idontwant_for_message(self, msg_id: bytes, topic_ids: Any) -> None:
        """Never: the specs mean it for large messages, and ours are small; the library says it of every one."""


class GossipService(Pubsub):  # type: ignore[misc]
    """The library's service with our admission in front. It is stopped by any exception, so none leaves here.

    Budgets are taken in `push_msg`, not in a topic validator: a validator's refusal is remembered by message id,
    so a flooding peer could make us refuse an honest author's message from everyone else.
    """

    def __init__(self, host: Any, gossip: Gossip) -> None:
        router = _Router(
            protocols=_PROTOCOLS,
            degree=4,
            degree_low=3,
            degree_high=12,  # with room to spare: a node that all others' full meshes refuse hears everything late
            prune_back_off=10,
            adaptive_gossip_enabled=False,  # it would note every disconnection of the last minute
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
        if not self._peer_is_connected(peer_id):
            # The library forgets only who took our stream, and when it may graft nobody: both would grow for ever.
            self.router.remove_peer(peer_id)
            for waiting in self.router.back_off.values():
                waiting.pop(peer_id, None)
        elif topics:
            for topic in topics:
                self.peer_topics.setdefault(topic, set()).add(peer_id)
            self._peer_subscription_count[peer_id] = len(topics)

    def hearers(self) -> dict[str, tuple[str, ...]]:
        """For each topic the connected peers that hear it."""
        return {topic: tuple(sorted(map(str, peers))) for topic, peers in self.peer_topics.items() if peers}

    async def push_msg(self, msg_forwarder: Any, msg: Any) -> None:
        try:
            if msg_forwarder == self.my_id:
                await super().push_msg(msg_forwarder, msg)
                return
            forwarder, author = str(msg_forwarder), str(ID(msg.from_id))
            if not self._gossip.admit(forwarder, author, list(msg.topicIDs), len(msg.data)) or self._is_msg_seen(msg):
                return
            if self._gossip.admit_new(forwarder, author, msg.seqno):
                await super().push_msg(msg_forwarder, msg)
                if not self._is_msg_seen(msg):  # it was refused: its signature is missing or wrong
                    self._gossip.conduct.strike(forwarder, bounds.STRIKE_UNSIGNED)
        except Exception as error:
            log.info("a gossip message was dropped: %r", error)
            self._gossip.conduct.strike(str(msg_forwarder), bounds.STRIKE_UNSIGNED)

    def notify_subscriptions(self, publish_message: Any) -> None:
        author = ID(publish_message.from_id)
        if author != self.my_id:
            topic = publish_message.topicIDs[0]
            self._gossip.deliver(str(author), publish_message.seqno, topic, publish_message.data)

    def handle_subscription(self, origin_id: Any, sub_message: Any) -> None:
        if len(sub_message.topicid) <= bounds.TOPIC_CHARACTERS:
            super().handle_subscription(origin_id, sub_message)

    async def continuously_read_stream(self, stream: Any) -> None:
        await super().continuously_read_stream(_Metered(stream, self._gossip.conduct))

    async def stream_handler(self, stream: Any) -> None:
        try:
            await super().stream_handler(stream)
        except Exception:
            self._gossip.conduct.strike(str(stream.muxed_conn.peer_id), bounds.STRIKE_MALFORMED)
            raise  # the host resets the stream


def _check_topic(topic: str) -> None:
    if not 0 < len(topic) <= bounds.TOPIC_CHARACTERS:
        raise ValueError(f"a topic has 1 to {bounds.TOPIC_CHARACTERS} characters")
