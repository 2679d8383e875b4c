"""The mesh as this node knows it: every node's latest signed summary, gossiped, compared and asked for.

Request `mesh`: the asker's own signed summary, or nothing of a mere observer; the reply is canonical CBOR
`{summaries}`, a list of signed summaries, the answering node's own first. A new node is known so to whom it asks, and
knows whom they know; gossip, which costs every node several messages for each, keeps the summaries fresh.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import trio

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.gossip import Gossip
from shoal.adapters.libp2p.peerbook import PeerBook
from shoal.adapters.libp2p.requests import Requests, readable
from shoal.adapters.libp2p.summary import MESH_TOPIC, OwnState, read_summary, sign_summary
from shoal.core import codec, limits
from shoal.errors import NetworkError
from shoal.ports import NodeSummary

log = logging.getLogger(__name__)

MESH = "mesh"
_CBOR_HEAD_BYTES = 16


@dataclass(frozen=True, slots=True)
class _Held:
    data: bytes
    summary: NodeSummary


class Mesh:
    """At most `limits.PEERS` summaries, none older than `bounds.SUMMARY_AGE_S`.

    Args:
        own: this node's state.
        sign: makes an Ed25519 signature with the key of this node's peer id.
        changed: called when a node was heard of for the first time.
    """

    def __init__(
        self,
        *,
        book: PeerBook,
        gossip: Gossip,
        requests: Requests,
        own: Callable[[], OwnState],
        sign: Callable[[bytes], bytes],
        changed: Callable[[], None],
    ) -> None:
        self._book, self._gossip, self._own, self._sign, self._changed = book, gossip, own, sign, changed
        self._held: dict[str, _Held] = {}
        self._news = trio.Event()
        requests.serve(MESH, self._answer)

    # ------------------------------------------------------------ what is known

    def summaries(self) -> list[NodeSummary]:
        """This node first, then the others, the freshest first."""
        now_s = time.time()
        own = read_summary(self.own_summary(), now_s)
        others = [
            replace(held.summary, age_s=max(0.0, now_s - held.summary.time_s)) for held in self._fresh(now_s).values()
        ]
        return [own, *sorted(others, key=lambda each: each.age_s)]

    def __len__(self) -> int:
        return len(self._held)

    def take(self, data: bytes) -> NodeSummary:
        """Check a summary and keep it if it is the latest of its node. Raises NetworkError if it is malformed."""
        now_s = time.time()
        summary = read_summary(data, now_s)
        own_id = self._own().peer_id
        held = self._held.get(summary.peer_id)
        if summary.peer_id == own_id or (held is not None and held.summary.time_s >= summary.time_s):
            return summary
        if held is None and len(self._held) >= limits.PEERS:
            del self._held[min(self._held, key=lambda each: self._held[each].summary.time_s)]
        self._held[summary.peer_id] = _Held(data, summary)
        self._book.confirm_signed(summary.peer_id, summary.addresses, summary.roles)
        if held is None:
            self._changed()
        return summary

    async def take_reply(self, reply: bytes) -> list[NodeSummary]:
        """Summaries of a peer's answer; malformed ones are left out. Raises NetworkError if it is no answer."""
        try:
            rows = codec.decode(reply, max_bytes=limits.REQUEST_BYTES)["summaries"]
            if not isinstance(rows, list) or len(rows) > limits.PEERS + 1:
                raise TypeError("not a list of summaries")
        except (ValueError, TypeError, KeyError) as error:
            raise NetworkError("a malformed answer about the mesh", code="SHOAL-N05") from error
        now_s = time.time()
        known = {held.data: held.summary for held in self._held.values()}
        found = []
        for data in rows:
            if data in known:  # already verified
                found.append(replace(known[data], age_s=max(0.0, now_s - known[data].time_s)))
                continue
            try:
                if isinstance(data, bytes):
                    found.append(self.take(data))
            except NetworkError as error:
                log.info("a summary was left out: %s", readable(str(error).encode()))
            await trio.lowlevel.checkpoint()
        return found

    # ------------------------------------------------------------ speaking and hearing

    async def run(self) -> None:
        """Announce this node and hear the others, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._announce)
            async with self._gossip.subscribe(MESH_TOPIC) as stream:
                async for author, data in stream:
                    self._hear(author, data)

    def announce_soon(self) -> None:
        """Say at once what has changed."""
        self._news.set()

    def _hear(self, author: str, data: bytes) -> None:
        try:
            summary = self.take(data)
            if summary.peer_id != author:
                raise NetworkError("somebody else's summary", code="SHOAL-N05")
        except NetworkError as error:
            log.info("%s: %s", author, error)
            self._gossip.conduct.strike(author, bounds.STRIKE_BAD_SUMMARY)

    async def _announce(self) -> None:
        await trio.sleep(bounds.ANNOUNCE_S / 4)  # by then it has compared, and knows how large the mesh is
        least = 0.0
        while True:
            self._news = trio.Event()
            with trio.move_on_after(self._interval_s() * random.uniform(least, 1.0)):  # noqa: S311 - only spreads load
                await self._news.wait()
            await self._gossip.publish(MESH_TOPIC, self.own_summary())
            least = 0.8

    def _interval_s(self) -> float:
        """The larger the mesh, the more rarely each node speaks."""
        return max(bounds.ANNOUNCE_S, len(self._held) / bounds.ANNOUNCEMENTS_PER_S)

    async def _answer(self, peer_id: str, payload: bytes) -> bytes:
        if payload and self.take(payload).peer_id != peer_id:
            raise NetworkError("somebody else's summary", code="SHOAL-N05")
        now_s = time.time()
        held = sorted(self._fresh(now_s).values(), key=lambda each: -each.summary.time_s)
        rows = [self.own_summary()]
        size = len(rows[0]) + _CBOR_HEAD_BYTES
        for each in held:
            size += len(each.data) + _CBOR_HEAD_BYTES
            if size > limits.REQUEST_BYTES - _CBOR_HEAD_BYTES:
                break
            rows.append(each.data)
        return codec.encode({"summaries": rows})

    def own_summary(self) -> bytes:
        """This node's summary as of now, signed."""
        return sign_summary(self._own(), time.time(), self._sign)

    def _fresh(self, now_s: float) -> dict[str, _Held]:
        oldest_s = now_s - max(bounds.FORGET_MIN_S, bounds.FORGET_ANNOUNCEMENTS * self._interval_s())
        self._held = {peer_id: held for peer_id, held in self._held.items() if held.summary.time_s >= oldest_s}
        return self._held
