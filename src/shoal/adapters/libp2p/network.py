"""One node's side of the peer network: the port, and the supervisor that rebuilds libp2p when it breaks."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shoal.adapters.libp2p.discovery import Discovery
from shoal.adapters.libp2p.files import Downloads, Shelf
from shoal.adapters.libp2p.frames import network_errors
from shoal.adapters.libp2p.gossip import Gossip
from shoal.adapters.libp2p.host import PeerHost, check_ports, run_host
from shoal.adapters.libp2p.peer_id import peer_id_of
from shoal.adapters.libp2p.peerbook import PeerBook
from shoal.adapters.libp2p.requests import Requests, request
from shoal.core import limits
from shoal.errors import NetworkError
from shoal.ports import Peer

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
    ) -> None:
        public_key = Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()
        self.peer_id = peer_id_of(public_key)
        self._private_key = private_key
        self._listen = list(listen)
        self.started = trio.Event()
        self.rebuilds = 0
        """How often libp2p failed under this node."""
        self._host: PeerHost | None = None
        self._changed = trio.Event()
        self._book = PeerBook(self.peer_id, bootstrap, peerstore)
        self._requests = Requests()
        self._shelf = Shelf()
        self._downloads = Downloads()
        self._gossip = Gossip(on_flood=self._on_flood)
        self._discovery = Discovery(self._book, roles, self._requests, self._notify)

    # ------------------------------------------------------------ the port

    def addresses(self) -> list[str]:
        """Own listen addresses, each with `/p2p/<peer id>`; the same after a rebuild."""
        return [f"{address}/p2p/{self.peer_id}" for address in self._listen]

    def peers(self) -> list[Peer]:
        """Peers that introduced themselves; roles are their own claim."""
        connected = self._host.connected() if self._host is not None else set()
        return [Peer(peer_id, addresses, roles, peer_id in connected) for peer_id, addresses, roles in self._book.all()]

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
            return await self._connected(peer_id)

        await self._downloads.fetch(connect, peer_id, sha256, out, max_bytes=max_bytes, timeout_s=timeout_s)

    # ------------------------------------------------------------ inside

    async def _connected(self, peer_id: str) -> PeerHost:
        host = self._host
        if host is None:
            raise NetworkError("the peer network is restarting", code="SHOAL-N10", hint="try again in a few seconds")
        if not await self._discovery.connect(host, peer_id):
            raise NetworkError(f"peer {peer_id} cannot be reached", code="SHOAL-N03")
        return host

    def _on_flood(self, peer_id: str) -> None:
        self._discovery.ban(peer_id)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _session(self) -> None:
        """One life of libp2p: ends with an exception, or when cancelled."""
        async with run_host(self._private_key, self._listen, self._gossip, self._notify) as (host, gossip):
            self._listen = [address.partition("/p2p/")[0] for address in host.addresses()]
            self._requests.attach(host)
            self._shelf.attach(host)
            self._host = host
            try:
                await self._gossip.attach(gossip)
                self.started.set()
                await self._discovery.run(host)
            finally:
                self._host = None
                self._gossip.detach()
                self._notify()

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
        """Save what is known of peers; blocks for a small file."""
        self._book.save()


@asynccontextmanager
async def open_network(
    *,
    private_key: bytes,
    listen: Sequence[str] = ("/ip4/127.0.0.1/tcp/0",),
    bootstrap: Sequence[str] = (),
    roles: Sequence[str] = (),
    peerstore: Path | None = None,
) -> AsyncIterator[Libp2pNetwork]:
    """Join the peer network; a bootstrap node is one with the role `bootstrap` that others name.

    Args:
        private_key: 32 bytes, the Ed25519 seed of the node's signing key; peers then know the node by that key.
        listen: TCP multiaddrs; port 0 takes a free one.
        bootstrap: multiaddrs with `/p2p/` of nodes to meet others by.
        roles: what this node says it does.
        peerstore: file to remember peers in over a restart.

    Raises NetworkError if it cannot listen, ConfigError for an address that cannot be used.

        async with open_network(private_key=seed, bootstrap=[address], roles=["trainer"]) as network:
            await network.wait_for_peers(1, timeout_s=10)
    """
    check_ports(listen)
    network = Libp2pNetwork(
        private_key=private_key, listen=listen, bootstrap=bootstrap, roles=roles, peerstore=peerstore
    )
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(network.supervise)
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
