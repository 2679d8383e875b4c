"""What we change in py-libp2p 0.8.1, and why; the only module that knows its internals.

Each override contains a fault or a resource to the peer that caused it. Without them one remote peer can end
the host (an exception in a handler's task cancels the swarm), or use up all inbound slots (they are held until
the swarm ends, not until the connection does).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519_key_pair
from libp2p.host.basic_host import BasicHost
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection import swarm_connection
from libp2p.network.connection.exceptions import RawConnError
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.yamux import yamux
from libp2p.transport.tcp.tcp import TCP
from libp2p.transport.upgrader import TransportUpgrader

from shoal.adapters.libp2p import bounds

log = logging.getLogger(__name__)

NOISE_PLAINTEXT_BYTES = 65_519


class _Demoted(logging.Handler):
    """Peers can cause any of the library's warnings, so they are worth no more than a debug line each."""

    def emit(self, record: logging.LogRecord) -> None:
        log.debug("%s: %s", record.name, record.getMessage()[:500])


def tame() -> None:
    """Quiet the library's loggers and patch three of its module names; idempotent."""
    logger = logging.getLogger("libp2p")
    logger.handlers = [_Demoted(logging.WARNING)]
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logging.getLogger("multiaddr").setLevel(logging.WARNING)
    # This module logs to the root logger, which would install a handler that prints to stderr.
    swarm_connection.logging = logging.getLogger("libp2p.network.connection")
    # This module makes a Yamux whatever class it was given for the protocol.
    muxer_multistream.Yamux = _Muxer
    # A Yamux frame then fits one Noise message instead of being split into two: +26 to +47 % throughput.
    yamux.MAX_MESSAGE_SIZE = NOISE_PLAINTEXT_BYTES


class _Counted:
    """A connection that knows how many bytes went through it, and when the last came."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn
        self.received_bytes = self.sent_bytes = 0
        self.heard_s = trio.current_time()

    async def read(self, n: int | None = None) -> bytes:
        data: bytes = await self._conn.read(n)
        self.received_bytes += len(data)
        self.heard_s = trio.current_time()
        return data

    async def write(self, data: bytes) -> None:
        await self._conn.write(data)
        self.sent_bytes += len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)


class _Muxer(yamux.Yamux):  # type: ignore[misc]
    """Yamux whose bytes are counted and whose faults end one connection."""

    def __init__(self, secured_conn: Any, *args: Any, **options: Any) -> None:
        super().__init__(_Counted(secured_conn), *args, **options)

    async def start(self) -> None:
        try:
            await super().start()
        except Exception as error:
            log.info("connection to %s ended: %r", self.peer_id, error)
            await self.close()
        finally:
            self.event_started.set()  # else whoever registers the connection waits for ever

    async def _write_frame(self, data: bytes) -> None:
        """A frame is written whole or the connection ends: half a frame would garble all other streams."""
        async with self._write_lock:
            with trio.move_on_after(bounds.WRITE_STALL_S) as scope:
                scope.shield = True
                await self.secured_conn.write(data)
        if scope.cancelled_caught:
            await self.secured_conn.close()
            raise RawConnError("the peer reads nothing")
        await trio.lowlevel.checkpoint()


class _Swarm(Swarm):  # type: ignore[misc]
    """A swarm whose inbound slots end with their connections."""

    async def upgrade_inbound_raw_conn(self, raw_conn: Any, maddr: Any) -> Any:
        muxed = await super().upgrade_inbound_raw_conn(raw_conn, maddr)
        for connection in self.get_connections(muxed.peer_id):
            if connection.muxed_conn is muxed:
                await connection.event_closed.wait()
        raise SwarmException("the connection has ended")  # the caller then frees its slot


class _Host(BasicHost):  # type: ignore[misc]
    """A host whose stream handlers may fail, and are bounded per peer and in total; those cut off get none."""

    def __init__(self, swarm: _Swarm, refuses: Callable[[str], bool]) -> None:
        self._streams: Counter[Any] = Counter()
        self._refuses = refuses
        super().__init__(network=swarm, disable_identify_address_discovery=True)

    async def _swarm_stream_handler(self, net_stream: Any) -> None:
        peer = net_stream.muxed_conn.peer_id
        full = self._streams[peer] >= bounds.STREAMS_PER_PEER or self._streams.total() >= bounds.STREAMS
        if full or self._refuses(str(peer)):
            await net_stream.reset()
            return
        self._streams[peer] += 1
        try:
            await super()._swarm_stream_handler(net_stream)
        except Exception as error:
            log.info("a stream of %s failed: %r", peer, error)
            await net_stream.reset()
        finally:
            self._streams[peer] -= 1
            if not self._streams[peer]:
                del self._streams[peer]

    def _schedule_identify(self, peer_id: Any, *, reason: str) -> None:
        """Never ask: nothing here needs the answer, and it runs as a trio system task, outside any supervisor."""


def build_host(private_key: bytes, refuses: Callable[[str], bool] = lambda peer_id: False) -> Any:
    """A host with this Ed25519 seed as its identity that speaks Noise, Yamux and TCP, and nothing else.

    The library's `new_host()` would also accept plaintext, in which any identity can be claimed.

    Args:
        refuses: whether a peer's streams are not served.
    """
    tame()
    key_pair = create_new_key_pair(private_key)
    peer = ID.from_pubkey(key_pair.public_key)
    peerstore = PeerStore()
    peerstore.add_key_pair(peer, key_pair)
    noise = NoiseTransport(key_pair, noise_privkey=create_x25519_key_pair().private_key)
    swarm = _Swarm(
        peer,
        peerstore,
        TransportUpgrader({NOISE: noise}, {yamux.PROTOCOL_ID: _Muxer}),
        transports=[TCP()],
        retry_config=RetryConfig(max_retries=0),
        # The watermarks switch the library's own dialling off: discovery here decides whom to dial.
        connection_config=ConnectionConfig(
            max_connections=bounds.CONNECTIONS,
            high_watermark=bounds.CONNECTIONS,
            min_connections=0,
            low_watermark=0,
        ),
    )
    return _Host(swarm, refuses)
