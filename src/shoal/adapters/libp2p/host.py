"""One running libp2p host: dial, drop, streams; it lives until something inside the library fails."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import Any

import trio
from libp2p.abc import INotifee
from libp2p.connection_types import ConnectionType
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStoreError
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.addresses import is_circuit
from shoal.adapters.libp2p.frames import network_errors
from shoal.adapters.libp2p.gossip import Gossip, GossipService
from shoal.adapters.libp2p.library import build_host
from shoal.adapters.libp2p.relay import dial_through
from shoal.errors import NetworkError

log = logging.getLogger(__name__)


class _ConnectionEvents(INotifee):  # type: ignore[misc]
    """Tells when the set of connected peers may have changed."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    async def connected(self, network: Any, conn: Any) -> None:
        self._changed()

    async def disconnected(self, network: Any, conn: Any) -> None:
        # Else the peerstore keeps keys and addresses of everyone who ever connected.
        if not network.get_connections(conn.muxed_conn.peer_id):
            with suppress(PeerStoreError):  # it holds nothing of who came through a relay
                network.peerstore.clear_peerdata(conn.muxed_conn.peer_id)
        self._changed()

    async def opened_stream(self, network: Any, stream: Any) -> None: ...

    async def closed_stream(self, network: Any, stream: Any) -> None: ...

    async def listen(self, network: Any, multiaddr: Any) -> None: ...

    async def listen_close(self, network: Any, multiaddr: Any) -> None: ...


class PeerHost:
    """What the services use of a host."""

    def __init__(self, host: Any, service: GossipService, changed: Callable[[], None]) -> None:
        self._host = host
        self.mend_gossip = service.mend
        self._swarm = host.get_network()
        self._swarm.register_notifee(_ConnectionEvents(changed))
        self.peer_id = str(host.get_id())

    def addresses(self) -> list[str]:
        """Listen addresses with their real ports, each with `/p2p/<peer id>`."""
        return [str(address) for address in self._host.get_addrs()]

    def connected(self) -> set[str]:
        return {
            str(peer)
            for peer, connections in self._swarm.connections.items()
            if any(not connection.is_closed for connection in connections)
        }

    def is_connected(self, peer_id: str) -> bool:
        """Whether one peer is connected."""
        return any(not connection.is_closed for connection in self._connections(peer_id))

    def relayed(self, peer_id: str) -> bool:
        """Whether a connected peer is reached through a relay only."""
        connections = self._connections(peer_id)
        return bool(connections) and all(map(_is_relayed, connections))

    def traffic(self, peer_id: str) -> tuple[int, int]:
        """Bytes received from and sent to a peer, over the connections that are open."""
        counted = [connection.muxed_conn.secured_conn for connection in self._connections(peer_id)]
        return sum(each.received_bytes for each in counted), sum(each.sent_bytes for each in counted)

    def heard_s(self, peer_id: str) -> float:
        """When the last byte of a connected peer came, on trio's clock."""
        counted = [connection.muxed_conn.secured_conn for connection in self._connections(peer_id)]
        return max((each.heard_s for each in counted), default=0.0)

    def remote_ip(self, peer_id: str) -> str | None:
        """The address that a directly connected peer is seen at."""
        for connection in self._connections(peer_id):
            if _is_relayed(connection):
                continue
            remote = connection.muxed_conn.get_remote_address()
            if remote is not None:
                return str(remote[0])
        return None

    def buffered_bytes(self, peer_id: str) -> int:
        """Bytes that came from a peer and were not read yet."""
        return sum(
            len(buffer)
            for connection in self._connections(peer_id)
            for buffer in list(connection.muxed_conn.stream_buffers.values())
        )

    async def dial(self, peer_id: str, address: str) -> None:
        """Connect; Noise proves that whoever answers holds the key of `peer_id`. Raises NetworkError."""
        with network_errors(f"dialling {address}"), trio.fail_after(bounds.DIAL_TIMEOUT_S):
            if is_circuit(address):
                await dial_through(self, address, peer_id)
                return
            # Not `host.connect`: that tries one remembered address and then refuses the peer for a minute.
            await self._swarm.dial_addr(Multiaddr(f"{address}/p2p/{peer_id}"), _id(peer_id))

    async def upgrade(self, raw: Any, address: Multiaddr, peer_id: str | None) -> None:
        """Make a connection of a raw one: to `peer_id` if it is ours, else from whoever Noise proves that it is.

        One from elsewhere is waited for until it ends, which raises.
        """
        if peer_id is None:
            await self._swarm.upgrade_inbound_raw_conn(raw, address)
        else:
            await self._swarm.upgrade_outbound_raw_conn(raw, _id(peer_id))

    async def drop(self, peer_id: str, *, relayed_only: bool = False) -> None:
        """End all connections to a peer, or those through relays, without waiting for it."""
        async with trio.open_nursery() as nursery:
            for connection in self._connections(peer_id):
                if _is_relayed(connection) or not relayed_only:
                    nursery.start_soon(self._close, connection)

    def handle(self, protocol: str, handler: Callable[[str, Any], Awaitable[None]]) -> None:
        """Have streams of a protocol handled as `handler(peer id, stream)`."""

        async def on_stream(stream: Any) -> None:
            await handler(str(stream.muxed_conn.peer_id), stream)

        self._host.set_stream_handler(protocol, on_stream)

    async def open_stream(self, peer_id: str, protocol: str) -> Any:
        """A new stream to a connected peer; the caller sets the deadline and translates errors."""
        if not self._connections(peer_id):
            raise NetworkError(f"peer {peer_id} is not connected", code="SHOAL-N03")
        return await self._host.new_stream(_id(peer_id), [protocol])

    async def close(self) -> None:
        """Close listeners and connections; a cancelled swarm leaves both open."""
        async with trio.open_nursery() as nursery:
            for listener in list(self._swarm.listeners.values()):
                nursery.start_soon(listener.close)
            for connections in list(self._swarm.connections.values()):
                for connection in connections:
                    nursery.start_soon(self._close, connection)

    def _connections(self, peer_id: str) -> list[Any]:
        return list(self._swarm.connections.get(_id(peer_id), ()))

    async def _close(self, connection: Any) -> None:
        try:
            with trio.move_on_after(bounds.CLOSE_TIMEOUT_S / 2):
                await connection.close()
            # A close that was cancelled half-way counts as done in the library, with the socket still open.
            await connection.muxed_conn.secured_conn.close()
            self._swarm.remove_conn(connection)
        except Exception as error:
            log.info("closing a connection: %r", error)


@lru_cache(maxsize=4_096)
def _id(peer_id: str) -> Any:
    """Parsed once: base58 in Python is slow, and peers are looked up several times a second."""
    return ID.from_base58(peer_id)


def _is_relayed(connection: Any) -> bool:
    return bool(connection.muxed_conn.get_connection_type() == ConnectionType.RELAYED)


@asynccontextmanager
async def run_host(
    private_key: bytes,
    listen: Sequence[str],
    gossip: Gossip,
    changed: Callable[[], None],
    refuses: Callable[[str], bool],
) -> AsyncIterator[tuple[PeerHost, GossipService]]:
    """Listen and run until the block ends; a fault inside libp2p cancels the block and is raised.

    Args:
        refuses: whether a peer is cut off.
    """
    with network_errors("starting libp2p"):
        host = build_host(private_key, refuses)
        service = GossipService(host, gossip)
        peer_host = PeerHost(host, service, changed)
    async with host.run(listen_addrs=[Multiaddr(address) for address in listen]):
        try:
            if len(host.get_network().listeners) != len(listen):
                raise NetworkError(f"cannot listen on {', '.join(listen)}", code="SHOAL-N04")
            async with background_trio_service(service), background_trio_service(service.router):
                await service.wait_until_ready()
                yield peer_host, service
        finally:
            with trio.move_on_after(bounds.CLOSE_TIMEOUT_S) as scope:
                scope.shield = True
                await peer_host.close()


def check_ports(listen: Sequence[str]) -> None:
    """Raise NetworkError if an address is taken: libp2p would share it with its owner (SO_REUSEPORT)."""
    for address in listen:
        _, family, host, _, port = address.split("/")[:5]
        kind = socket.AF_INET6 if family == "ip6" else socket.AF_INET
        try:
            with socket.socket(kind, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, int(port)))
                probe.listen(1)
        except OSError as error:
            raise NetworkError(
                f"cannot listen on {address}: {error.strerror}",
                code="SHOAL-N04",
                hint="another node may be running; choose another port, or 0 for any",
            ) from error
