"""Circuit relay v2: how two nodes meet that nobody can dial, through one that everybody can (`relay/circuit-v2.md`).

The messages are the library's. Its service is not used: it gives a reservation to whoever is named in the request,
not to who asks, keeps an idle circuit for ever, and writes status messages into a circuit's data.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import trio
from libp2p.connection_types import ConnectionType
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb import circuit_pb2
from libp2p.utils import encode_varint_prefixed
from libp2p.utils.varint import read_varint_prefixed_bytes_limited
from multiaddr import Multiaddr

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.addresses import CIRCUIT
from shoal.adapters.libp2p.budget import Bucket
from shoal.adapters.libp2p.frames import closing, network_errors
from shoal.adapters.libp2p.gates import Gate
from shoal.errors import NetworkError

log = logging.getLogger(__name__)

HOP = "/libp2p/circuit/relay/0.2.0/hop"
STOP = "/libp2p/circuit/relay/0.2.0/stop"
_MESSAGE_BYTES = 4_096
_READ_BYTES = 65_536

_Hop, _Stop = circuit_pb2.HopMessage, circuit_pb2.StopMessage


class Host(Protocol):
    """What a relay and its clients need of a host."""

    peer_id: str

    def addresses(self) -> list[str]: ...
    def is_connected(self, peer_id: str) -> bool: ...
    def relayed(self, peer_id: str) -> bool: ...
    def handle(self, protocol: str, handler: Callable[[str, Any], Awaitable[None]]) -> None: ...
    async def open_stream(self, peer_id: str, protocol: str) -> Any: ...
    async def dial(self, peer_id: str, address: str) -> None: ...
    async def upgrade(self, raw: Any, address: Multiaddr, peer_id: str | None) -> None: ...


def circuit_address(relay_address: str, relay_id: str) -> str:
    """The address of whoever has a reservation at a relay.

    >>> circuit_address("/ip4/192.0.2.1/tcp/4001", "12D3KooWRelay")
    '/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWRelay/p2p-circuit'
    """
    return f"{relay_address}/p2p/{relay_id}{CIRCUIT}"


class Relay:
    """The relay's side: a place for who asks, and circuits to those who have one, bounded in number, rate and time."""

    def __init__(self) -> None:
        self._reserved: dict[str, float] = {}
        self._gate = Gate(total=bounds.CIRCUITS, per_peer=bounds.CIRCUITS_PER_PEER)
        self._host: Host | None = None

    def attach(self, host: Host) -> None:
        self._host = host
        host.handle(HOP, self._on_hop)

    async def _on_hop(self, peer_id: str, stream: Any) -> None:
        host = self._host
        assert host is not None, "handlers are registered by attach"
        async with closing(stream):
            with trio.fail_after(bounds.FRAME_TIMEOUT_S):
                message = await _read(stream, _Hop)
            if host.relayed(peer_id):
                await _answer(stream, _Hop, circuit_pb2.PERMISSION_DENIED)
            elif message.type == _Hop.RESERVE:
                await self._reserve(host, peer_id, stream)
            elif message.type == _Hop.CONNECT:
                await self._connect(host, peer_id, str(ID(message.peer.id)), stream)
            else:
                await _answer(stream, _Hop, circuit_pb2.MALFORMED_MESSAGE)

    async def _reserve(self, host: Host, peer_id: str, stream: Any) -> None:
        now_s = trio.current_time()
        self._reserved = {peer: until_s for peer, until_s in self._reserved.items() if until_s > now_s}
        if peer_id not in self._reserved and len(self._reserved) >= bounds.RESERVATIONS:
            await _answer(stream, _Hop, circuit_pb2.RESERVATION_REFUSED)
            return
        self._reserved[peer_id] = now_s + bounds.RESERVATION_S
        reservation = circuit_pb2.Reservation(
            expire=int(time.time()) + bounds.RESERVATION_S,
            addrs=[Multiaddr(address).to_bytes() for address in host.addresses()],
        )
        await _answer(stream, _Hop, circuit_pb2.OK, reservation=reservation)

    async def _connect(self, host: Host, peer_id: str, target: str, stream: Any) -> None:
        until_s = self._reserved.get(target, 0.0)
        if until_s <= trio.current_time() or not host.is_connected(target) or host.relayed(target):
            await _answer(stream, _Hop, circuit_pb2.NO_RESERVATION)
            return
        with self._gate.enter(peer_id) as admitted:
            if not admitted:
                await _answer(stream, _Hop, circuit_pb2.RESOURCE_LIMIT_EXCEEDED)
                return
            try:
                with trio.fail_after(bounds.FRAME_TIMEOUT_S):
                    other = await self._call(host, peer_id, target)
            except Exception as error:
                log.info("no circuit from %s to %s: %r", peer_id, target, error)
                await _answer(stream, _Hop, circuit_pb2.CONNECTION_FAILED)
                return
            async with closing(other):
                await _answer(stream, _Hop, circuit_pb2.OK)
                await _carry(stream, other)

    async def _call(self, host: Host, peer_id: str, target: str) -> Any:
        other = await host.open_stream(target, STOP)
        try:
            caller = circuit_pb2.PeerId(id=ID.from_base58(peer_id).to_bytes())
            await other.write(_bytes(_Stop(type=_Stop.CONNECT, peer=caller)))
            reply = await _read(other, _Stop)
            if reply.type != _Stop.STATUS or reply.status != circuit_pb2.OK:
                raise NetworkError(f"{target} takes no circuit", code="SHOAL-N03")
        except BaseException:
            with trio.CancelScope(shield=True), trio.move_on_after(bounds.CLOSE_TIMEOUT_S):
                await other.reset()
            raise
        return other


async def _carry(one: Any, two: Any) -> None:
    """Move bytes both ways until either side ends, is silent for long, or the circuit is old."""
    budget = Bucket(per_s=bounds.CIRCUIT_BYTES_PER_S, burst=bounds.CIRCUIT_BURST_BYTES, now_s=trio.current_time)

    async def carry(source: Any, sink: Any) -> None:
        try:
            while True:
                with trio.fail_after(bounds.CIRCUIT_IDLE_S):
                    data = await source.read(_READ_BYTES)
                if not data:
                    break
                while not budget.take(len(data)):  # noqa: ASYNC110 - a bucket has no event
                    await trio.sleep(budget.wait_s(len(data)))
                with trio.fail_after(bounds.FRAME_TIMEOUT_S):
                    await sink.write(data)
        except Exception as error:
            log.debug("a circuit ended: %r", error)
        nursery.cancel_scope.cancel()

    with trio.move_on_after(bounds.CIRCUIT_LIFE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry, one, two)
            nursery.start_soon(carry, two, one)


class Places:
    """The client's side: this node's places at relays, and the circuits that come in through them."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._host: Host | None = None

    def attach(self, host: Host) -> None:
        self._host = host
        self._until, self._addresses = {}, {}
        host.handle(STOP, self._on_stop)

    def relays(self) -> tuple[str, ...]:
        """Relays at which this node has a place and to which it is connected."""
        host, now_s = self._host, trio.current_time()
        if host is None:
            return ()
        return tuple(each for each, until_s in self._until.items() if until_s > now_s and host.is_connected(each))

    def addresses(self) -> list[str]:
        """Where this node is reached through its relays, without `/p2p/` of its own."""
        return [address for relay in self.relays() for address in self._addresses[relay]]

    async def reserve(self, host: Host, relay_id: str, relay_addresses: tuple[str, ...]) -> None:
        """Ask a connected relay for a place, or to keep it. Raises NetworkError."""
        with network_errors(f"a place at {relay_id}"), trio.fail_after(bounds.PING_TIMEOUT_S):
            async with closing(await host.open_stream(relay_id, HOP)) as stream:
                await stream.write(_bytes(_Hop(type=_Hop.RESERVE)))
                reply = await _read(stream, _Hop)
        if reply.type != _Hop.STATUS or reply.status != circuit_pb2.OK:
            raise NetworkError(f"{relay_id} has no place for us: status {reply.status}", code="SHOAL-N07")
        life_s = min(max(0.0, reply.reservation.expire - time.time()), float(bounds.RESERVATION_S))
        self._until[relay_id] = trio.current_time() + life_s
        self._addresses[relay_id] = tuple(circuit_address(each, relay_id) for each in relay_addresses[:2])

    async def _on_stop(self, relay_id: str, stream: Any) -> None:
        host = self._host
        assert host is not None, "handlers are registered by attach"
        async with closing(stream):
            with trio.fail_after(bounds.FRAME_TIMEOUT_S):
                message = await _read(stream, _Stop)
            if message.type != _Stop.CONNECT or relay_id not in self.relays():
                await _answer(stream, _Stop, circuit_pb2.PERMISSION_DENIED)
                return
            await _answer(stream, _Stop, circuit_pb2.OK)
            # Who calls is only hinted at by the relay: Noise proves it, end to end.
            address = Multiaddr(f"/p2p/{relay_id}{CIRCUIT}")
            await host.upgrade(_raw(stream, address, dialled=False), address, None)


async def dial_through(host: Host, address: str, peer_id: str) -> None:
    """Connect to a peer by a circuit address. Raises NetworkError, and whatever libp2p raises."""
    relay_address, _, relay_id = address.removesuffix(CIRCUIT).partition("/p2p/")
    if relay_id == host.peer_id:
        raise NetworkError("that address leads through this node", code="SHOAL-N03")
    if not host.is_connected(relay_id):
        await host.dial(relay_id, relay_address)
    stream = await host.open_stream(relay_id, HOP)
    try:
        target = circuit_pb2.PeerId(id=ID.from_base58(peer_id).to_bytes())
        await stream.write(_bytes(_Hop(type=_Hop.CONNECT, peer=target)))
        reply = await _read(stream, _Hop)
        if reply.type != _Hop.STATUS or reply.status != circuit_pb2.OK:
            raise NetworkError(f"no circuit to {peer_id}: status {reply.status}", code="SHOAL-N03")
        through = Multiaddr(f"/p2p/{relay_id}{CIRCUIT}/p2p/{peer_id}")
        await host.upgrade(_raw(stream, through, dialled=True), through, peer_id)
    except BaseException:
        with trio.CancelScope(shield=True), trio.move_on_after(bounds.CLOSE_TIMEOUT_S):
            await stream.reset()
        raise


def _raw(stream: Any, address: Multiaddr, *, dialled: bool) -> RawConnection:
    return RawConnection(stream=stream, initiator=dialled, connection_type=ConnectionType.RELAYED, addresses=[address])


def _bytes(message: Any) -> bytes:
    return bytes(encode_varint_prefixed(message.SerializeToString()))


async def _read(stream: Any, kind: type[Any]) -> Any:
    message = kind()
    message.ParseFromString(await read_varint_prefixed_bytes_limited(stream, _MESSAGE_BYTES))
    return message


async def _answer(stream: Any, kind: type[Any], status: int, **fields: Any) -> None:
    with trio.fail_after(bounds.FRAME_TIMEOUT_S):
        await stream.write(_bytes(kind(type=kind.STATUS, status=status, **fields)))
