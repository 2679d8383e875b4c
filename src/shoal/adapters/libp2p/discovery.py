"""Meeting peers: dial, introduce, ask for others, notice who is gone, and dial again.

Request `peers`: canonical CBOR `{addresses, roles}` of the asker, and `near`, a peer id, if it looks for that one;
the reply adds `others`, a list of `{peer, addresses}`: some peers, or those nearest to `near`. Both sides speak for
themselves only; `others` are hints, which a dial then proves or not.
"""

from __future__ import annotations

import logging
import random
import secrets
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import trio

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.addresses import PEER_ID
from shoal.adapters.libp2p.bans import Bans
from shoal.adapters.libp2p.frames import closing, network_errors, read_exactly
from shoal.adapters.libp2p.host import PeerHost
from shoal.adapters.libp2p.mesh import MESH, Mesh
from shoal.adapters.libp2p.peerbook import PeerBook
from shoal.adapters.libp2p.requests import Requests, request
from shoal.core import codec, limits
from shoal.errors import NetworkError

log = logging.getLogger(__name__)

PEERS = "peers"
PING = "/ipfs/ping/1.0.0"
_PING_BYTES = 32
_ROUND_S = 0.5
_SAVE_EVERY = 8


class Discovery:
    """Keeps a node connected; its memory outlives any one host.

    Args:
        own_addresses: this node's addresses now, without `/p2p/` of its own; may hold "any interface".
    """

    def __init__(
        self,
        own_id: str,
        book: PeerBook,
        roles: Sequence[str],
        requests: Requests,
        bans: Bans,
        own_addresses: Callable[[], list[str]],
        changed: Callable[[], None],
    ) -> None:
        self._own_id, self._book, self._roles, self._bans = own_id, book, list(roles), bans
        self._own_addresses, self._changed = own_addresses, changed
        self._host: PeerHost | None = None
        self._dialling: dict[str, trio.Event] = {}
        self._watched: set[str] = set()
        self._latency_s: dict[str, float] = {}
        self._dialled_s = 0.0
        self._hurry = trio.Event()
        self._moved = trio.Event()
        self.mesh: Mesh | None = None
        """Whose summaries are compared with those of peers."""
        requests.serve(PEERS, self._introduce)

    async def run(self, host: PeerHost) -> None:
        """Serve one host until cancelled."""
        self._host, self._dialling, self._watched = host, {}, set()
        rounds = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_comparing, host)
            while True:
                connected = host.connected()
                host.mend_gossip()
                self._watch_over(host, connected, nursery)
                self._dial_due(host, connected, nursery)
                rounds += 1
                if rounds % _SAVE_EVERY == 0:
                    await trio.to_thread.run_sync(self._book.save)
                self._hurry = trio.Event()
                with trio.move_on_after(_ROUND_S):
                    await self._hurry.wait()

    def _watch_over(self, host: PeerHost, connected: set[str], nursery: trio.Nursery) -> None:
        for peer_id in connected:
            if peer_id in self._bans or host.buffered_bytes(peer_id) > bounds.BUFFERED_BYTES:
                nursery.start_soon(host.drop, peer_id)
            elif peer_id not in self._watched:
                self._watched.add(peer_id)
                nursery.start_soon(self._watch, host, peer_id)

    def _dial_due(self, host: PeerHost, connected: set[str], nursery: trio.Nursery) -> None:
        """Dial bootstrap peers always, others up to a number; and those that a relay leads to, to do without it."""
        settled = {peer_id for peer_id in connected if not host.relayed(peer_id)} | self._dialling.keys()
        now_s = trio.current_time()
        room = self._room(len(connected) + len(self._dialling), now_s)
        for peer_id in self._book.due(settled, now_s):
            if peer_id in self._bans:
                continue
            if peer_id in connected:
                nursery.start_soon(self._dial_directly, host, peer_id)
            elif room > 0 or peer_id in self._book.bootstrap:
                room -= 1
                self._dialled_s = now_s
                nursery.start_soon(self.connect, host, peer_id)

    def _room(self, connections: int, now_s: float) -> int:
        """How many more to dial now."""
        if connections < bounds.DIALED_AT_ONCE:
            return bounds.DIALED_AT_ONCE - connections
        return int(connections < bounds.DIALED and now_s - self._dialled_s >= bounds.DIAL_PACE_S)

    def cut_off(self, peer_id: str) -> None:
        """Ban a peer, and drop it at once."""
        length_s = self._bans.add(peer_id)
        log.warning("peer %s misbehaves: cut off for %.0f s", peer_id, length_s)
        self._book.hold_off(peer_id, trio.current_time() + length_s)
        self._hurry.set()

    def tell_addresses(self) -> None:
        """Introduce this node again at once: its addresses have changed."""
        self._moved.set()
        self._moved = trio.Event()

    def latency_s(self, peer_id: str) -> float | None:
        """The last ping's round trip."""
        return self._latency_s.get(peer_id)

    def median_latency_s(self) -> float | None:
        return statistics.median(self._latency_s.values()) if self._latency_s else None

    # ------------------------------------------------------------ dialling

    async def connect(self, host: PeerHost, peer_id: str) -> bool:
        """Try the peer's addresses in turn; True once connected. Simultaneous calls share one attempt."""
        if peer_id in self._dialling:
            await self._dialling[peer_id].wait()
            return host.is_connected(peer_id)
        if host.is_connected(peer_id):
            return True
        done = self._dialling[peer_id] = trio.Event()
        reached = False
        try:
            reached = await self._dial_any(host, peer_id, self._book.addresses_of(peer_id))
            self._book.dialled(peer_id, trio.current_time(), reached=reached)
        finally:
            done.set()
            self._dialling.pop(peer_id, None)
        return reached

    async def find_and_connect(self, host: PeerHost, peer_id: str) -> bool:
        """As `connect`, and look for the peer in the mesh where no known address leads to it."""
        if await self.connect(host, peer_id):
            return True
        before = set(self._book.addresses_of(peer_id))
        await self._look_up(host, peer_id, before)
        return not before.issuperset(self._book.addresses_of(peer_id)) and await self.connect(host, peer_id)

    async def _dial_any(self, host: PeerHost, peer_id: str, addresses: Sequence[str]) -> bool:
        for address in addresses:
            try:
                await host.dial(peer_id, address)
                return True
            except NetworkError as error:
                log.debug("%s: %r", error, error.__cause__)
        return False

    async def _dial_directly(self, host: PeerHost, peer_id: str) -> None:
        """A peer that is reached through a relay may be reachable without: then the relay is not needed."""
        done = self._dialling[peer_id] = trio.Event()
        try:
            reached = await self._dial_any(host, peer_id, self._book.direct_addresses_of(peer_id))
            # Counted as reached: it lives, and must not be forgotten for being behind a NAT.
            self._book.dialled(peer_id, trio.current_time() + bounds.REDIAL_MAX_S, reached=True)
            if reached:
                await host.drop(peer_id, relayed_only=True)
        finally:
            done.set()
            self._dialling.pop(peer_id, None)

    async def _look_up(self, host: PeerHost, target: str, known: set[str]) -> None:
        """Ask ever nearer peers for the target until one knows a new address (Kademlia's iterative FIND_NODE)."""
        asked: set[str] = set()
        while len(asked) < bounds.LOOKUP_ASKED and known.issuperset(self._book.addresses_of(target)):
            rows = self._book.closest(target, leave_out=target)
            batch = [peer_id for peer_id, _ in rows if peer_id not in asked][: bounds.LOOKUP_AT_ONCE]
            if not batch:
                return
            asked.update(batch)
            async with trio.open_nursery() as nursery:
                for peer_id in batch:
                    nursery.start_soon(self._ask_for, host, peer_id, target)

    async def _ask_for(self, host: PeerHost, peer_id: str, target: str) -> None:
        with trio.move_on_after(bounds.LOOKUP_TIMEOUT_S):
            if await self.connect(host, peer_id):
                await self._exchange(host, peer_id, near=target)

    # ------------------------------------------------------------ introductions

    async def _introduce(self, peer_id: str, payload: bytes) -> bytes:
        near = self._learn(peer_id, payload)
        rows = self._book.closest(near, leave_out=peer_id) if near else self._book.sample(leave_out=peer_id)
        others = [{"peer": other, "addresses": list(addresses)} for other, addresses in rows]
        return codec.encode({**self._own_record(), "others": others})

    def _own_record(self) -> dict[str, Any]:
        return {"addresses": self._own_addresses()[: bounds.ADDRESSES], "roles": self._roles}

    def _learn(self, peer_id: str, payload: bytes) -> str | None:
        """Take a peer's words; the peer id it is looking for, if any."""
        try:
            record = codec.decode(payload, max_bytes=limits.REQUEST_BYTES)
            addresses, roles = list(record["addresses"]), list(record["roles"])
            others = [(each["peer"], list(each["addresses"])) for each in record.get("others", ())]
            near = record.get("near")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise NetworkError("a malformed introduction", code="SHOAL-N05") from error
        seen_ip = self._host.remote_ip(peer_id) if self._host is not None else None
        self._book.confirm(peer_id, addresses, roles, seen_ip)
        for other, hinted in others[: bounds.EXCHANGED_PEERS]:
            self._book.hint(other, hinted, trio.current_time())
        self._changed()
        return near if isinstance(near, str) and PEER_ID.match(near) else None

    async def _keep_comparing(self, host: PeerHost) -> None:
        """Tell one peer after the other of this node, and ask it for its summary of the mesh."""
        pause_s = bounds.COMPARE_MIN_S
        while self.mesh is not None:
            await trio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - only spreads load
            peers = [peer_id for peer_id in host.connected() if peer_id not in self._bans]
            if not peers:
                continue
            # Bootstrap nodes know most: at first only they are asked, later every other time.
            first = [peer_id for peer_id in peers if peer_id in self._book.bootstrap]
            early = pause_s < bounds.COMPARE_MAX_S or random.random() < 0.5  # noqa: S311 - only spreads load
            peer_id = random.choice(first if first and early else peers)  # noqa: S311 - as above
            try:
                own, timeout_s = self.mesh.own_summary(), bounds.ASK_TIMEOUT_S
                await self.mesh.take_reply(await request(host, peer_id, MESH, own, timeout_s=timeout_s))
            except NetworkError as error:
                log.debug("no summaries from %s: %s", peer_id, error)
            else:
                pause_s = min(3 * pause_s, max(bounds.COMPARE_MAX_S, len(self.mesh) / bounds.COMPARED_PER_S))

    # ------------------------------------------------------------ one connected peer

    async def _watch(self, host: PeerHost, peer_id: str) -> None:
        """Introduce ourselves, then ping: a peer that is stopped or cut off does not close its connection."""
        try:
            with network_errors(f"watching {peer_id}"):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep_exchanging, host, peer_id)
                    nursery.start_soon(self._keep_pinging, host, peer_id)
                    await self._drop_when_silent(host, peer_id)
                    nursery.cancel_scope.cancel()
        except NetworkError as error:
            log.warning("%s", error, exc_info=error)
        finally:
            self._watched.discard(peer_id)
            self._latency_s.pop(peer_id, None)
            self._book.lost(peer_id, trio.current_time())
            self._changed()

    async def _keep_exchanging(self, host: PeerHost, peer_id: str) -> None:
        """Of two peers that meet one asks and both are introduced; the other waits a little for that."""
        if self._own_id > peer_id:
            await trio.sleep(bounds.COURTESY_S)
        told = self._own_id > peer_id and self._book.introduced(peer_id)
        while True:
            if not told:
                told = await self._exchange(host, peer_id)
            with trio.move_on_after(bounds.EXCHANGE_S if told else bounds.ASK_TIMEOUT_S):
                await self._moved.wait()
            told = False

    async def _drop_when_silent(self, host: PeerHost, peer_id: str) -> None:
        """Return once the peer is gone; one that is silent though it is pinged is dropped."""
        late_s = 0.0
        while host.is_connected(peer_id):
            silent_s = trio.current_time() - host.heard_s(peer_id)
            if silent_s > bounds.SILENCE_S and late_s < _ROUND_S:  # if this node was late, so may be what it reads
                log.info("lost %s: silent for %.0f s", peer_id, silent_s)
                await host.drop(peer_id)
                return
            began_s = trio.current_time()
            await trio.sleep(_ROUND_S)
            late_s = trio.current_time() - began_s - _ROUND_S

    async def _keep_pinging(self, host: PeerHost, peer_id: str) -> None:
        """A ping stream that ends is replaced: peers close one that was quiet for some seconds."""
        await self._until_silent(host, peer_id)
        while True:
            try:
                with trio.fail_after(bounds.PING_TIMEOUT_S):
                    stream = await host.open_stream(peer_id, PING)
                async with closing(stream):
                    while True:
                        await self._ping(stream, peer_id)
                        await self._until_silent(host, peer_id)
            except Exception as error:
                log.debug("a ping of %s failed: %r", peer_id, error)
                await trio.sleep(bounds.PING_INTERVAL_S)

    async def _until_silent(self, host: PeerHost, peer_id: str) -> None:
        """Who has just sent something lives: wait for a pause in it, but not for long."""
        for _ in range(bounds.PING_EVERY):
            heard_s = host.heard_s(peer_id)
            await trio.sleep(bounds.PING_INTERVAL_S)
            if host.heard_s(peer_id) == heard_s:
                return

    async def _exchange(self, host: PeerHost, peer_id: str, *, near: str | None = None) -> bool:
        """Introduce this node, and learn of others; False if the peer did not answer."""
        try:
            payload = codec.encode({**self._own_record(), **({"near": near} if near else {})})
            reply = await request(host, peer_id, PEERS, payload, timeout_s=bounds.ASK_TIMEOUT_S)
            self._learn(peer_id, reply)
        except NetworkError as error:
            log.debug("no introduction from %s: %s", peer_id, error)  # whether it lives, its silence decides
            return False
        return True

    async def _ping(self, stream: Any, peer_id: str) -> None:
        nonce = secrets.token_bytes(_PING_BYTES)
        began_s = trio.current_time()
        with trio.fail_after(bounds.PING_TIMEOUT_S):
            await stream.write(nonce)
            if await read_exactly(stream, _PING_BYTES) != nonce:
                raise NetworkError("the answer to a ping is wrong", code="SHOAL-N05")
        self._latency_s[peer_id] = trio.current_time() - began_s
