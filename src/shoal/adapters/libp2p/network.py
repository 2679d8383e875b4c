"""One node's side of the peer network: the port, and the supervisor that rebuilds libp2p when it breaks."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.addresses import split_address
from shoal.adapters.libp2p.bans import Bans
from shoal.adapters.libp2p.conduct import Conduct
from shoal.adapters.libp2p.discovery import Discovery
from shoal.adapters.libp2p.files import Downloads, Shelf
from shoal.adapters.libp2p.frames import network_errors
from shoal.adapters.libp2p.gossip import Gossip
from shoal.adapters.libp2p.host import PeerHost, check_ports, run_host
from shoal.adapters.libp2p.mesh import MESH, Mesh
from shoal.adapters.libp2p.peer_id import peer_id_of
from shoal.adapters.libp2p.peerbook import PeerBook
from shoal.adapters.libp2p.reach import Reach, on_loopback_only
from shoal.adapters.libp2p.relay import Places, Relay
from shoal.adapters.libp2p.requests import Requests, request
from shoal.adapters.libp2p.summary import OwnState
from shoal.core import limits
from shoal.errors import NetworkError
from shoal.ports import NetworkStatus, NodeSummary, Peer, Received, Topic

log = logging.getLogger(__name__)

_REBUILD_MIN_S = 0.2
_REBUILD_MAX_S = 10.0
_SOUND_S = 60.0
_START_TIMEOUT_S = 20.0


class Libp2pNetwork:
    """The `Network` port. While libp2p is being rebuilt, requests raise NetworkError and gossip is dropped."""

    def __init__(
        self,
        *,
        private_key: bytes,
        listen: Sequence[str],
        bootstrap: Sequence[str],
        roles: Sequence[str],
        peerstore: Path | None,
        lan: bool,
        relay: bool,
    ) -> None:
        key = Ed25519PrivateKey.from_private_bytes(private_key)
        self.peer_id = peer_id_of(key.public_key().public_bytes_raw())
        self._private_key, self._roles, self._lan = private_key, list(roles), lan
        self._listen = list(listen)
        self._version = version("shoal")
        self.started = trio.Event()
        self.rebuilds = 0
        """How often libp2p failed under this node."""
        self._host: PeerHost | None = None
        self._changed = trio.Event()
        self._book = PeerBook(self.peer_id, bootstrap, peerstore, now_s=trio.current_time)
        self._bans = Bans(peerstore.with_name("bans.json") if peerstore is not None else None)
        self._conduct = Conduct(on_spent=self._cut_off)
        self._requests = Requests()
        self._shelf = Shelf()
        self._downloads = Downloads()
        self._gossip = Gossip(self._conduct, refuses=self._bans.__contains__)
        self._relay = Relay() if relay else None
        self._places = Places()
        self._reach = Reach(self._book, self._requests, self._places, self._moved)
        self._discovery = Discovery(
            self.peer_id, self._book, roles, self._requests, self._bans, self._reachable_addresses, self._notify
        )
        self._mesh = self._discovery.mesh = Mesh(
            book=self._book,
            gossip=self._gossip,
            requests=self._requests,
            own=self._own_state,
            sign=key.sign,
            changed=self._notify,
        )

    # ------------------------------------------------------------ the port

    def addresses(self) -> list[str]:
        """Own listen addresses and those through relays, each with `/p2p/<peer id>`."""
        return [f"{address}/p2p/{self.peer_id}" for address in self._reachable_addresses()]

    def peers(self) -> list[Peer]:
        """Peers that introduced themselves; roles are their own claim."""
        connected = self._host.connected() if self._host is not None else set()
        return [
            self._peer(peer_id, addresses, roles, peer_id in connected)
            for peer_id, addresses, roles in self._book.all()
        ]

    def status(self) -> NetworkStatus:
        """How this node is reached, by how many it is connected, and whom it has cut off."""
        connected = len(self._host.connected()) if self._host is not None else 0
        return NetworkStatus(self._reach.state, connected, self._places.relays(), self._bans.now(), self.rebuilds)

    def mesh(self) -> Sequence[NodeSummary]:
        """This node's own summary, then the latest of every other, the freshest first."""
        return self._mesh.summaries()

    async def ask_mesh(self, peer_id: str, *, timeout_s: float) -> Sequence[NodeSummary]:
        """What another node, a bootstrap node above all, knows of the mesh. Raises NetworkError."""
        reply = await self.request(peer_id, MESH, self._mesh.own_summary(), timeout_s=timeout_s)
        return await self._mesh.take_reply(reply)

    async def connect(self, address: str, *, timeout_s: float) -> str:
        """Connect to a multiaddress with `/p2p/<peer id>`. Raises NetworkError.

        >>> await network.connect("/ip4/192.0.2.7/tcp/4001/p2p/12D3KooW...", timeout_s=10)
        '12D3KooW...'
        """
        found = split_address(address)
        if found is None:
            raise NetworkError(
                f"{address!r} cannot be dialled",
                code="SHOAL-N15",
                hint="write it as /ip4/ADDRESS/tcp/PORT/p2p/PEER-ID",
            )
        self._book.hint(found[1], [found[0]], trio.current_time())
        with network_errors(f"connecting to {address}"), trio.fail_after(timeout_s):
            await self._connected(found[1])
        return found[1]

    def add_addresses(self, peer_id: str, addresses: Sequence[str]) -> None:
        """Addresses known from elsewhere: hints, which a dial then proves or not."""
        self._book.hint(peer_id, addresses, trio.current_time())

    async def join(self, topic: str) -> None:
        """Hear a topic, and keep its last messages for `read`."""
        await self._gossip.join(topic)

    async def leave(self, topic: str) -> None:
        """Undo `join`."""
        await self._gossip.leave(topic)

    def read(self, topic: str, *, after: int = 0) -> Sequence[Received]:
        """Kept messages of a joined topic, oldest first."""
        return self._gossip.read(topic, after=after)

    def topics(self) -> Sequence[Topic]:
        """Topics that this node or a connected peer hears."""
        return self._gossip.topics()

    async def wait_for_peers(self, count: int, timeout_s: float) -> None:
        """Return once `count` peers are connected and introduced. Raises NetworkError."""
        with trio.move_on_after(timeout_s) as scope:
            while sum(peer.connected for peer in self.peers()) < count:
                await self._changed.wait()
        if not scope.cancelled_caught:
            return
        found = sum(peer.connected for peer in self.peers())
        raise NetworkError(
            f"{found} of {count} peers after {timeout_s:.0f} s",
            code="SHOAL-N09",
            hint="is a bootstrap node running, and is its address right?",
        )

    async def publish(self, topic: str, data: bytes) -> None:
        """Gossip up to `limits.GOSSIP_BYTES`; waits for its turn, is dropped if it cannot be sent."""
        await self._gossip.publish(topic, data)

    def subscribe(self, topic: str) -> AbstractAsyncContextManager[AsyncIterator[tuple[str, bytes]]]:
        """What others publish on a topic, as (peer id of the author, data)."""
        return self._gossip.subscribe(topic)

    def serve(self, name: str, handler: Callable[[str, bytes], Awaitable[bytes]]) -> None:
        """Answer requests; a `ShoalError` of the handler is told to the peer, any other only as a refusal."""
        self._requests.serve(name, handler)

    async def request(self, peer_id: str, name: str, payload: bytes, *, timeout_s: float) -> bytes:
        """Ask one peer, dialling it if need be. Raises NetworkError."""
        if len(payload) > limits.REQUEST_BYTES:
            raise ValueError(f"{len(payload)} bytes, at most {limits.REQUEST_BYTES} are sent")
        with network_errors(f"request {name!r} to {peer_id}"), trio.fail_after(timeout_s):
            host = await self._connected(peer_id)
            return await request(host, peer_id, name, payload, timeout_s=timeout_s)

    def provide(self, sha256: bytes, path: Path) -> None:
        """Serve a file to anyone who asks by its SHA-256; a file deleted later is refused."""
        self._shelf.provide(sha256, path)

    async def fetch(self, peer_id: str, sha256: bytes, out: Path, *, max_bytes: int, timeout_s: float) -> None:
        """Pull a file; what arrived before a cut is kept beside `out`. Raises NetworkError or CryptoError."""

        async def connect() -> PeerHost:
            host = await self._connected(peer_id)
            if max_bytes > bounds.RELAYED_BYTES and host.relayed(peer_id):
                raise NetworkError(f"{peer_id} is reached through a relay only: too slow for files", code="SHOAL-N08")
            return host

        await self._downloads.fetch(connect, peer_id, sha256, out, max_bytes=max_bytes, timeout_s=timeout_s)

    # ------------------------------------------------------------ inside

    async def _connected(self, peer_id: str) -> PeerHost:
        host = self._host
        if host is None:
            raise NetworkError("the peer network is restarting", code="SHOAL-N10", hint="try again in a few seconds")
        if not await self._discovery.find_and_connect(host, peer_id):
            raise NetworkError(f"peer {peer_id} cannot be reached", code="SHOAL-N03")
        return host

    def _cut_off(self, peer_id: str) -> None:
        self._discovery.cut_off(peer_id)

    def _reachable_addresses(self) -> list[str]:
        return self._listen + self._places.addresses()

    def _peer(self, peer_id: str, addresses: tuple[str, ...], roles: tuple[str, ...], connected: bool) -> Peer:
        host = self._host
        received, sent = host.traffic(peer_id) if host is not None else (0, 0)
        return Peer(
            peer_id,
            addresses,
            roles,
            connected,
            relayed=host is not None and host.relayed(peer_id),
            latency_s=self._discovery.latency_s(peer_id),
            received_bytes=received,
            sent_bytes=sent,
            score=0.0 if peer_id in self._bans else self._conduct.score(peer_id),
        )

    def _own_state(self) -> OwnState:
        return OwnState(
            peer_id=self.peer_id,
            roles=self._roles,
            addresses=self._reach.advertised(self._listen),
            topics=self._gossip.own_topics(),
            load=round(os.getloadavg()[0] / (os.cpu_count() or 1), 2),
            version=self._version,
            reachability=self._reach.state,
            peers=len(self._host.connected()) if self._host is not None else 0,
            latency_s=self._discovery.median_latency_s(),
        )

    def _moved(self) -> None:
        self._discovery.tell_addresses()
        self._mesh.announce_soon()
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _session(self) -> None:
        """One life of libp2p: ends with an exception, or when cancelled."""
        async with run_host(self._private_key, self._listen, self._gossip, self._notify, self._bans.__contains__) as (
            host,
            gossip,
        ):
            self._listen = [address.rpartition("/p2p/")[0] for address in host.addresses()]
            self._requests.attach(host)
            self._shelf.attach(host)
            self._places.attach(host)
            if self._relay is not None:
                self._relay.attach(host)
            self._host = host
            try:
                await self._gossip.attach(gossip)
                self.started.set()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._reach.run, host, self._listen)
                    if self._lan:
                        nursery.start_soon(self._meet_on_lan)
                    await self._discovery.run(host)
            finally:
                self._host = None
                self._gossip.detach()
                self._notify()

    async def _meet_on_lan(self) -> None:
        from shoal.adapters.libp2p.lan import run_lan  # zeroconf takes memory, and only this needs it

        while not (addresses := self._reach.advertised(self._listen)):  # noqa: ASYNC110 - until the node knows its IP
            await trio.sleep(1.0)
        await run_lan(self.peer_id, addresses, self.add_addresses)

    async def speak(self) -> None:
        """Announce this node to the mesh and hear the others, for ever, whatever happens to libp2p."""
        while True:
            try:
                await self._mesh.run()
            except* Exception as group:
                log.warning("the mesh's summaries start anew", exc_info=group)
            await trio.sleep(_REBUILD_MIN_S)

    async def supervise(self) -> None:
        """Run sessions for ever, with a pause after each failure that doubles until one proves sound."""
        pause_s = _REBUILD_MIN_S
        while True:
            began_s = trio.current_time()
            try:
                await self._session()
            except* Exception as group:
                self.rebuilds += 1
                log.warning("libp2p failed and is rebuilt in %.1f s", pause_s, exc_info=group)
            if trio.current_time() - began_s > _SOUND_S:
                pause_s = _REBUILD_MIN_S
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, _REBUILD_MAX_S)

    def remember(self) -> None:
        """Save what is known of peers; blocks for two small files."""
        self._book.save()
        self._bans.save()


@asynccontextmanager
async def open_network(
    *,
    private_key: bytes,
    listen: Sequence[str] = ("/ip4/127.0.0.1/tcp/0",),
    bootstrap: Sequence[str] = (),
    roles: Sequence[str] = (),
    peerstore: Path | None = None,
    lan: bool | None = None,
    relay: bool | None = None,
) -> AsyncIterator[Libp2pNetwork]:
    """Join the peer network; a bootstrap node is one with the role `bootstrap` that others name.

    Args:
        private_key: 32 bytes, the Ed25519 seed of the node's signing key; peers then know the node by that key.
        listen: TCP multiaddrs; port 0 takes a free one. None at all: others reach this node through relays only.
        bootstrap: multiaddrs with `/p2p/` of nodes to meet others by.
        roles: what this node says it does.
        peerstore: file to remember peers in over a restart; `bans.json` beside it holds the ban list.
        lan: whether to meet peers by mDNS; by default if it listens beyond loopback.
        relay: whether to relay for nodes that nobody can dial; by default if it is a bootstrap node.

    Raises NetworkError if it cannot listen, ConfigError for an address that cannot be used.

        async with open_network(private_key=seed, bootstrap=[address], roles=["trainer"]) as network:
            await network.wait_for_peers(1, timeout_s=10)
    """
    check_ports(listen)
    network = Libp2pNetwork(
        private_key=private_key,
        listen=listen,
        bootstrap=bootstrap,
        roles=roles,
        peerstore=peerstore,
        lan=not on_loopback_only(listen) if lan is None else lan,
        relay="bootstrap" in roles if relay is None else relay,
    )
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(network.supervise)
            nursery.start_soon(network.speak)
            try:
                with trio.move_on_after(_START_TIMEOUT_S):
                    await network.started.wait()
                if not network.started.is_set():
                    raise NetworkError("libp2p does not start", code="SHOAL-N12", hint="see the log for the reason")
                yield network
            finally:
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The supervisor raises nothing, so a lone exception is the caller's own: give it back as it was.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from group.exceptions[0].__cause__
        raise
    finally:
        network.remember()
