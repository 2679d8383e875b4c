"""Seeded malformed messages of every wire type, handed to a running node by fake streams of strangers.

python tests/hostile/wire.py 100000        # so many of each type; prints what came of it, one JSON line a type
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519_key_pair
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.relay.circuit_v2.pb import circuit_pb2
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.utils import encode_varint_prefixed

from shoal.adapters.libp2p import Libp2pNetwork, library, open_network
from shoal.adapters.libp2p.frames import frame
from shoal.adapters.libp2p.peer_id import peer_id_of
from shoal.adapters.libp2p.summary import OwnState, sign_summary
from shoal.core import codec, limits

TOPIC = "shoal/fuzz"
DEADLINE_S = 30.0
FILE = b"a file that may be asked for" * 100
HELLO = b"\x13/multistream/1.0.0\n"
AUTHOR = create_new_key_pair(bytes(range(32)))
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class FakeConnection:
    """Bytes that a stranger sends; what is written goes nowhere. It serves as stream and as connection alike."""

    metric_send_channel = None
    is_initiator = False
    is_closed = True

    def __init__(self, data: bytes, peer_id: ID) -> None:
        self._data, self._at = data, 0
        self.peer_id = peer_id
        self.muxed_conn = self

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._at >= len(self._data):
            raise StreamEOF
        part = self._data[self._at : None if n is None else self._at + n]
        self._at += len(part)
        return part

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def close(self) -> None: ...

    async def reset(self) -> None: ...

    def set_protocol(self, protocol: str) -> None: ...

    def get_remote_address(self) -> tuple[str, int]:
        return "192.0.2.1", 4001


def mutated(data: bytes, random: random.Random) -> bytes:
    """Sound bytes made unsound in one of the usual ways, or bytes that never were sound."""
    way = random.randrange(8)
    at = random.randrange(len(data)) if data else 0
    if way == 0 or not data:
        return random.randbytes(random.randrange(200))
    if way == 1:
        return data[:at]
    if way == 2:
        return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]
    if way == 3:
        return data[:at] + random.randbytes(random.randrange(1, 40)) + data[at:]
    if way == 4:
        return data[:at] + data[at + random.randrange(1, 20) :]
    if way == 5:
        return data[:at] + b"\xff" * random.randrange(1, 12) + data[at:]
    if way == 6:
        return data * random.randrange(2, 5)
    return data  # sound: its twin may follow


def message(random: random.Random, data: bytes, topic: str, *, signed: bool) -> Any:
    found = rpc_pb2.Message(
        from_id=ID.from_pubkey(AUTHOR.public_key).to_bytes(),
        seqno=random.randbytes(8),
        data=data,
        topicIDs=[topic],
    )
    unsigned = b"libp2p-pubsub:" + found.SerializeToString()
    found.key = AUTHOR.public_key.serialize()
    found.signature = AUTHOR.private_key.sign(unsigned) if signed else random.randbytes(64)
    return found


def gossip(random: random.Random) -> bytes:
    rpc = rpc_pb2.RPC(
        subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=TOPIC)],
        publish=[message(random, random.randbytes(20), TOPIC, signed=random.random() < 0.5)],
        control=rpc_pb2.ControlMessage(
            ihave=[rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=[random.randbytes(9)])],
            iwant=[rpc_pb2.ControlIWant(messageIDs=[b"(b'', 1)", random.randbytes(9)])],
            graft=[rpc_pb2.ControlGraft(topicID=TOPIC)],
            prune=[rpc_pb2.ControlPrune(topicID=TOPIC, peers=[rpc_pb2.PeerInfo(peerID=random.randbytes(5))])],
        ),
    )
    return bytes(encode_varint_prefixed(mutated(rpc.SerializeToString(), random)))


def summary() -> bytes:
    peer_id = peer_id_of(SIGNER.public_key().public_bytes_raw())
    state = OwnState(peer_id, ["trainer"], ["/ip4/192.0.2.7/tcp/1"], [TOPIC], 0.5, "1", "direct", 1, 0.1)
    return sign_summary(state, time.time(), SIGNER.sign)


def request_bytes(random: random.Random) -> bytes:
    addresses = ["/ip4/192.0.2.7/tcp/4001", "/ip4/0.0.0.0/tcp/1", random.randbytes(4).hex()]
    peer_id = peer_id_of(random.randbytes(32))
    record = {
        "addresses": addresses,
        "roles": ["trainer", 7],
        "others": [{"peer": peer_id, "addresses": addresses}],
        "near": peer_id,
    }
    return mutated(frame(mutated(codec.encode(record), random)), random)


def hop(random: random.Random) -> bytes:
    kind = circuit_pb2.HopMessage
    peer = circuit_pb2.PeerId(id=ID.from_base58(peer_id_of(random.randbytes(32))).to_bytes())
    return bytes(encode_varint_prefixed(kind(type=random.randrange(3), peer=peer).SerializeToString()))


def stop(random: random.Random) -> bytes:
    kind = circuit_pb2.StopMessage
    peer = circuit_pb2.PeerId(id=random.randbytes(38))
    return bytes(encode_varint_prefixed(kind(type=random.randrange(2), peer=peer).SerializeToString()))


def yamux_frame(random: random.Random) -> bytes:
    body = random.randbytes(random.randrange(30))
    head = bytes([0, random.randrange(5)]) + random.randrange(16).to_bytes(2, "big")
    return head + random.randrange(6).to_bytes(4, "big") + len(body).to_bytes(4, "big") + body


STREAMS: dict[str, Callable[[random.Random], bytes]] = {
    "/shoal/peers/1": request_bytes,
    "/shoal/mesh/1": request_bytes,
    "/shoal/reach/1": request_bytes,
    "/shoal/echo/1": request_bytes,
    "/shoal/fetch/1": lambda random: hashlib.sha256(FILE).digest() + random.choice([bytes(8), random.randbytes(8)]),
    "/meshsub/1.2.0": gossip,
    "/libp2p/circuit/relay/0.2.0/hop": hop,
    "/libp2p/circuit/relay/0.2.0/stop": stop,
    "/ipfs/ping/1.0.0": lambda random: random.randbytes(32),
    "/ipfs/id/1.0.0": lambda random: random.randbytes(32),
    "/ipfs/id/push/1.0.0": lambda random: random.randbytes(64),
}
WIRE_TYPES = (*STREAMS, "summary", "multistream", "yamux", "noise")


class Target:
    """A running node and a way to hand it one malformed message of each type."""

    def __init__(self, network: Libp2pNetwork, seed: int) -> None:
        self.network, self.random = network, random.Random(seed)
        self._noise = NoiseTransport(create_new_key_pair(bytes(32)), noise_privkey=create_x25519_key_pair().private_key)

    async def send(self, wire_type: str) -> None:
        """Raises only what a node would be ended by, or TooSlowError for what it would hang at."""
        with trio.fail_after(DEADLINE_S):
            await self._sender(wire_type)()

    def _sender(self, wire_type: str) -> Callable[[], Awaitable[None]]:
        special = {
            "summary": self._summary,
            "multistream": self._multistream,
            "yamux": self._yamux,
            "noise": self._noise_handshake,
        }
        return special.get(wire_type) or (lambda: self._stream(wire_type))

    def _stranger(self) -> ID:
        return ID.from_base58(peer_id_of(self.random.randbytes(32)))

    async def _stream(self, protocol: str) -> None:
        head = HELLO + encode_varint_prefixed(protocol.encode() + b"\n")
        data = head + mutated(STREAMS[protocol](self.random), self.random)
        stranger = self._stranger()
        await self._host()._swarm_stream_handler(FakeConnection(data, stranger))
        service = self.network._gossip._service
        assert service is not None
        service._handle_dead_peer(stranger)  # as the end of its connection would have it

    async def _multistream(self) -> None:
        data = mutated(HELLO + encode_varint_prefixed(b"/shoal/peers/1\n"), self.random)
        await self._host()._swarm_stream_handler(FakeConnection(data, self._stranger()))

    async def _summary(self) -> None:
        data = mutated(summary(), self.random)
        self.network._mesh._hear(str(self._stranger()), data)
        await trio.lowlevel.checkpoint()

    async def _yamux(self) -> None:
        frames = b"".join(yamux_frame(self.random) for _ in range(4))
        conn = FakeConnection(mutated(frames, self.random), self._stranger())
        await library._Muxer(conn, conn.peer_id).start()

    async def _noise_handshake(self) -> None:
        data = mutated(b"\0\x20" + self.random.randbytes(32), self.random)
        try:
            await self._noise.secure_inbound(FakeConnection(data, self._stranger()))
        except Exception:  # the library's caller ends the connection
            return

    def _host(self) -> Any:
        assert self.network._host is not None, "the node was rebuilt"
        return self.network._host._host


@asynccontextmanager
async def target(seed: int) -> AsyncIterator[Target]:
    async with open_network(private_key=os.urandom(32), roles=["bootstrap"]) as network:

        async def echo(peer_id: str, payload: bytes) -> bytes:
            return payload

        network.serve("echo", echo)
        await network.join(TOPIC)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "file"
            path.write_bytes(FILE)
            network.provide(hashlib.sha256(FILE).digest(), path)
            yield Target(network, seed)


def tables(network: Libp2pNetwork) -> dict[str, int]:
    """How much the node remembers of strangers; each has a bound."""
    return {
        "peers": len(network._book),
        "summaries": len(network._mesh._held),
        "accounts": len(network._conduct._accounts),
        "bans": len(network.status().cut_off),
        "hearers": len(next(each.peers for each in network.topics() if each.name == TOPIC)),
    }


async def run(count: int, seed: int) -> int:
    resident = psutil.Process().memory_info
    async with target(seed) as fuzzed:
        for wire_type in WIRE_TYPES:
            crashes, began_s, early_mib = 0, time.monotonic(), 0.0
            for number in range(count):
                if number == count // 10:
                    gc.collect()
                    early_mib = resident().rss / limits.MIB
                try:
                    await fuzzed.send(wire_type)
                except Exception as error:
                    crashes += 1
                    print(f"{wire_type}: {error!r}", file=sys.stderr)
            gc.collect()
            report = {
                "type": wire_type,
                "messages": count,
                "crashes": crashes + fuzzed.network.rebuilds,
                "rss_mib": [round(early_mib, 1), round(resident().rss / limits.MIB, 1)],
                "seconds": round(time.monotonic() - began_s, 1),
                **tables(fuzzed.network),
            }
            print(json.dumps(report), flush=True)
            if report["crashes"]:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(trio.run(run, int(sys.argv[1]) if len(sys.argv) > 1 else 2_000, 7))
