"""Attacks on a node over the peer network; where the library itself falls to one, the test shows that first."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.config import RetryConfig
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.stream_muxer.yamux import yamux
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

from shoal.adapters.libp2p import Libp2pNetwork, bounds, open_network
from shoal.adapters.libp2p.library import build_host, tame
from shoal.core import codec
from shoal.errors import NetworkError

TOPIC = "shoal/test"


async def until(condition: Callable[[], object], *, timeout_s: float = 20.0) -> None:
    with trio.fail_after(timeout_s):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.02)


def connected(network: Libp2pNetwork) -> set[str]:
    return {peer.peer_id for peer in network.peers() if peer.connected}


@asynccontextmanager
async def running(host: Any, listen: str = "/ip4/127.0.0.1/tcp/0") -> AsyncIterator[Any]:
    async with host.run(listen_addrs=[Multiaddr(listen)]):
        try:
            yield host
        finally:
            with trio.CancelScope(shield=True):
                await host.close()


async def dial(host: Any, address: str) -> str:
    bare, _, peer_id = address.partition("/p2p/")
    await host.get_network().dial_addr(Multiaddr(bare), ID.from_base58(peer_id))
    return peer_id


@asynccontextmanager
async def victim_and_attacker() -> AsyncIterator[tuple[Libp2pNetwork, Any, ID]]:
    """A node of ours, and an authenticated host that is connected to it and says whatever it likes."""
    async with open_network(private_key=os.urandom(32)) as victim, running(build_host(os.urandom(32))) as attacker:
        peer_id = await dial(attacker, victim.addresses()[0])
        yield victim, attacker, ID.from_base58(peer_id)


async def assert_sound(victim: Libp2pNetwork) -> None:
    """The node was not even rebuilt, and an honest peer still gets everything from it."""

    async def echo(peer_id: str, payload: bytes) -> bytes:
        return payload

    victim.serve("echo", echo)
    async with open_network(private_key=os.urandom(32), bootstrap=victim.addresses()) as honest:
        await honest.wait_for_peers(1, 20)
        assert await honest.request(victim.peer_id, "echo", b"sound", timeout_s=10) == b"sound"
        async with victim.subscribe(TOPIC) as stream, trio.open_nursery() as nursery:

            async def keep_publishing() -> None:
                while True:
                    await honest.publish(TOPIC, os.urandom(8))
                    await trio.sleep(0.1)

            nursery.start_soon(keep_publishing)
            with trio.fail_after(20):
                async for author, _ in stream:
                    if author == honest.peer_id:
                        break
            nursery.cancel_scope.cancel()
    assert victim.rebuilds == 0


# ---------------------------------------------------------------- impostors


class _StolenName:
    """What an impostor has of its victim: the public key."""

    def __init__(self, public_key: Any) -> None:
        self._public_key = public_key

    def get_public_key(self) -> Any:
        return self._public_key


def impostor_of(public_key: Any) -> Any:
    """A host that claims somebody else's identity in plaintext, with no private key but its own."""
    claimed = KeyPair(private_key=_StolenName(public_key), public_key=public_key)
    own = create_new_key_pair(os.urandom(32))
    return without_retries(new_host(key_pair=own, sec_opt={PLAINTEXT_PROTOCOL_ID: InsecureTransport(claimed)}))


def without_retries(host: Any) -> Any:
    tame()
    host.get_network().retry_config = RetryConfig(max_retries=0)
    return host


async def test_an_impostor_client_fools_the_library_but_not_a_node() -> None:
    stolen = create_new_key_pair(os.urandom(32)).public_key
    name = ID.from_pubkey(stolen)
    async with running(impostor_of(stolen)) as impostor:
        async with running(without_retries(new_host())) as default:
            await dial(impostor, str(default.get_addrs()[0]))
            await until(lambda: name in default.get_network().connections)
        async with open_network(private_key=os.urandom(32)) as network:
            with pytest.raises(Exception, match="security"):
                await dial(impostor, network.addresses()[0])
            assert network._host is not None
            assert network._host.connected() == set()
            await assert_sound(network)


async def test_an_impostor_server_fools_the_library_but_not_a_node() -> None:
    stolen = create_new_key_pair(os.urandom(32)).public_key
    name = ID.from_pubkey(stolen)
    async with running(impostor_of(stolen)) as impostor:
        address = f"{impostor.get_transport_addrs()[0]}/p2p/{name}"
        async with running(without_retries(new_host())) as default:
            await dial(default, address)
            assert name in default.get_network().connections
        async with open_network(private_key=os.urandom(32), bootstrap=[address]) as network:
            with pytest.raises(NetworkError, match="cannot be reached"):
                await network.request(str(name), "echo", b"", timeout_s=10)
            assert connected(network) == set()


async def test_a_node_at_anothers_address_is_not_taken_for_it() -> None:
    async with open_network(private_key=os.urandom(32)) as wrong:
        bare = wrong.addresses()[0].partition("/p2p/")[0]
        expected = str(ID.from_pubkey(create_new_key_pair(os.urandom(32)).public_key))
        async with open_network(private_key=os.urandom(32), bootstrap=[f"{bare}/p2p/{expected}"]) as network:
            with pytest.raises(NetworkError, match="cannot be reached"):
                await network.request(expected, "echo", b"", timeout_s=10)


async def test_nobody_speaks_for_another_peer() -> None:
    async with open_network(private_key=os.urandom(32), roles=["trainer"]) as honest:
        async with open_network(private_key=os.urandom(32), bootstrap=honest.addresses()) as victim:
            await victim.wait_for_peers(1, 20)
            before = victim.peers()
            async with running(build_host(os.urandom(32))) as attacker:
                peer_id = ID.from_base58(await dial(attacker, victim.addresses()[0]))
                lie = {
                    "addresses": ["/ip4/127.0.0.1/tcp/1"] * 500,
                    "roles": ["validator", "x" * 99, 7],
                    "others": [{"peer": honest.peer_id, "addresses": ["/ip4/127.0.0.1/tcp/9"]}],
                }
                payload = codec.encode(lie)
                stream = await attacker.new_stream(peer_id, ["/shoal/peers/1"])
                await stream.write(len(payload).to_bytes(4, "big") + payload)
                assert await stream.read(1) == b"\0"
                after = {peer.peer_id: peer for peer in victim.peers()}
                of_honest = after[honest.peer_id]
                assert (of_honest.addresses, of_honest.roles) == (before[0].addresses, before[0].roles)
                liar = after[str(attacker.get_id())]
                assert (liar.addresses, liar.roles) == (("/ip4/127.0.0.1/tcp/1",), ("validator",))


# ---------------------------------------------------------------- gossip


async def write_until_cut_off(stream: Any, data: bytes) -> None:
    with trio.fail_after(30):
        while True:
            try:
                await stream.write(data)
            except BaseLibp2pError:
                return


async def gossip_stream(attacker: Any, victim: ID) -> Any:
    stream = await attacker.new_stream(victim, ["/meshsub/1.2.0"])
    hello = rpc_pb2.RPC(subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=TOPIC)])
    await stream.write(encode_varint_prefixed(hello.SerializeToString()))
    return stream


def wicked_messages() -> list[bytes]:
    """RPCs that are malformed at every level, the outermost last."""
    message = rpc_pb2.Message
    oversized = message(from_id=b"\0$\x08\x01\x12 " + bytes(32), seqno=b"1", data=bytes(200_000), topicIDs=[TOPIC])
    rpcs = [
        rpc_pb2.RPC(publish=[message(from_id=b"", seqno=b"", data=b"x", topicIDs=[TOPIC])]),
        rpc_pb2.RPC(publish=[message(from_id=b"\xff" * 99, key=b"\xff", signature=b"1", topicIDs=[TOPIC])]),
        rpc_pb2.RPC(publish=[message(topicIDs=[TOPIC] * 1000)]),
        rpc_pb2.RPC(publish=[oversized]),
        rpc_pb2.RPC(subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid="t" * 100_000)]),
        rpc_pb2.RPC(senderRecord=b"\xff\xff"),
    ]
    control = rpc_pb2.ControlMessage(
        ihave=[rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=[b"{", b"(b'', 1)", b"x" * 1000, b"\xff"])],
        iwant=[rpc_pb2.ControlIWant(messageIDs=[b"{", b"not a tuple", b"\xff"])],
    )
    return [each.SerializeToString() for each in (*rpcs, rpc_pb2.RPC(control=control))] + [b"\xff\xff\xff\xff"]


async def test_malformed_gossip_does_not_stop_a_node() -> None:
    async with victim_and_attacker() as (victim, attacker, peer_id):
        async with victim.subscribe(TOPIC):
            for data in wicked_messages():
                stream = await gossip_stream(attacker, peer_id)
                await stream.write(encode_varint_prefixed(data))
                await stream.close()
            stream = await gossip_stream(attacker, peer_id)
            await stream.write(b"\xff" * 100)
        await assert_sound(victim)


async def test_a_flooding_peer_is_cut_off_and_the_others_are_still_heard() -> None:
    async with victim_and_attacker() as (victim, attacker, peer_id):
        async with victim.subscribe(TOPIC):
            stream = await gossip_stream(attacker, peer_id)
            flood = rpc_pb2.RPC(
                publish=[
                    rpc_pb2.Message(from_id=attacker.get_id().to_bytes(), seqno=os.urandom(8), topicIDs=[TOPIC])
                    for _ in range(500)
                ]
            )
            data = encode_varint_prefixed(flood.SerializeToString())
            name = str(attacker.get_id())
            assert victim._host is not None
            assert name in victim._host.connected()
            await write_until_cut_off(stream, data)
            await until(lambda: victim._host is not None and name not in victim._host.connected())
        await assert_sound(victim)


async def test_a_topic_nobody_reads_is_not_relayed_and_strangers_messages_cost_only_their_budget() -> None:
    async with victim_and_attacker() as (victim, attacker, _):
        name = str(attacker.get_id())
        assert not victim._gossip.admit(name, name, ["unknown"], 10)
        async with victim.subscribe(TOPIC):
            assert victim._gossip.admit(name, name, [TOPIC], 10)
            assert not victim._gossip.admit(name, name, [TOPIC, TOPIC], 10)
            admitted = sum(victim._gossip.admit(name, name, [TOPIC], 10) for _ in range(2 * bounds.PEER_MESSAGES_BURST))
            assert admitted <= bounds.PEER_MESSAGES_BURST * 1.5
            assert victim._gossip.admit("another peer", "another author", [TOPIC], 10)


# ---------------------------------------------------------------- malformed frames

PROTOCOLS = [
    "/shoal/peers/1",
    "/shoal/fetch/1",
    "/shoal/echo/1",
    "/meshsub/1.2.0",
    "/ipfs/ping/1.0.0",
    "/ipfs/id/1.0.0",
    "/ipfs/id/push/1.0.0",
]
FRAMES = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=100).map(lambda data: len(data).to_bytes(4, "big") + data),
    st.recursive(
        st.one_of(st.integers(0, 9), st.text(max_size=9), st.none()), lambda inner: st.lists(inner, max_size=3)
    )
    .map(lambda value: codec.encode({"addresses": value, "roles": value, "others": value}))
    .map(lambda data: len(data).to_bytes(4, "big") + data),
)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from(PROTOCOLS), FRAMES, st.booleans()), min_size=30, max_size=60))
def test_no_frame_stops_a_node(frames: list[tuple[str, bytes, bool]]) -> None:
    async def send_all() -> None:
        async with victim_and_attacker() as (victim, attacker, peer_id):

            async def echo(_: str, payload: bytes) -> bytes:
                return payload

            victim.serve("echo", echo)
            for protocol, data, cut in frames:
                try:
                    stream = await attacker.new_stream(peer_id, [protocol])
                    await stream.write(data)
                    await (stream.reset() if cut else stream.close())
                except BaseLibp2pError:  # cut off, as it deserves
                    await dial(attacker, victim.addresses()[0])
            assert victim.rebuilds == 0
            async with open_network(private_key=os.urandom(32), bootstrap=victim.addresses()) as honest:
                await honest.wait_for_peers(1, 20)
                assert await honest.request(victim.peer_id, "echo", b"alive", timeout_s=10) == b"alive"

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(bounds, "POINTS", 1e9)
        trio.run(send_all)


async def test_garbage_below_the_streams_ends_one_connection() -> None:
    async with open_network(private_key=os.urandom(32)) as victim:
        _, _, host, _, port = victim.addresses()[0].split("/")[:5]
        for data in (b"", b"\xff" * 1000, b"\x13/multistream/1.0.0\n\x07/noise\n" + bytes(500)):
            async with await trio.open_tcp_stream(host, int(port)) as raw:
                await raw.send_all(data)
        for data in (b"\xff" * 12, os.urandom(1200), bytes(12) * 50, b"\0\0\0\1\0\0\0\1\xff\xff\xff\xff"):
            async with running(build_host(os.urandom(32))) as attacker:
                peer_id = ID.from_base58(await dial(attacker, victim.addresses()[0]))
                connection = attacker.get_network().get_connections(peer_id)[0]
                await connection.muxed_conn.secured_conn.write(data)
                await trio.sleep(0.05)
        await assert_sound(victim)


async def test_a_frame_of_four_gigabytes_is_not_waited_for() -> None:
    async with victim_and_attacker() as (victim, attacker, peer_id):
        await until(lambda: victim._host is not None and victim._host.connected())
        connection = attacker.get_network().get_connections(peer_id)[0]
        await connection.muxed_conn.secured_conn.write(b"\0\0\0\1\0\0\0\x7f\xff\xff\xff\xff")
        # Within the deadline of a ping, which would notice too, but only after so long.
        await until(
            lambda: victim._host is not None and not victim._host.connected(), timeout_s=bounds.PING_TIMEOUT_S / 2
        )
        await assert_sound(victim)


async def test_a_fault_of_the_multiplexer_ends_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_network(private_key=os.urandom(32)) as victim, running(build_host(os.urandom(32))) as attacker:
        handle_incoming = yamux.Yamux.handle_incoming

        async def fail(muxer: Any) -> None:
            if muxer.peer_id == attacker.get_id():
                raise RuntimeError("injected")
            await handle_incoming(muxer)

        monkeypatch.setattr(yamux.Yamux, "handle_incoming", fail)
        await dial(attacker, victim.addresses()[0])
        await until(lambda: not attacker.get_network().connections)
        await assert_sound(victim)


# ---------------------------------------------------------------- using things up


async def test_inbound_slots_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "CONNECTIONS", 4)
    async with open_network(private_key=os.urandom(32)) as victim:
        for _ in range(8):
            async with running(build_host(os.urandom(32))) as visitor:
                await dial(visitor, victim.addresses()[0])
            await until(lambda: victim._host is not None and not victim._host.connected())
        await assert_sound(victim)


async def test_streams_of_one_peer_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "STREAMS_PER_PEER", 6)
    async with victim_and_attacker() as (victim, attacker, peer_id):
        opened = 0
        with pytest.raises(Exception, match=r"failed to open|reset"):
            for _ in range(10):
                await attacker.new_stream(peer_id, ["/shoal/fetch/1"])
                opened += 1
        assert 0 < opened <= 6
        await assert_sound(victim)


async def test_bytes_sent_beyond_the_window_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "BUFFERED_BYTES", 1_000_000)
    async with victim_and_attacker() as (victim, attacker, peer_id):
        name = str(attacker.get_id())

        async def hang(_: str, payload: bytes) -> bytes:
            await trio.sleep_forever()
            raise AssertionError

        victim.serve("hang", hang)
        stream = await attacker.new_stream(peer_id, ["/shoal/hang/1"])
        stream.muxed_stream.send_window = 2**31  # the library's receiver lets this pass
        await write_until_cut_off(stream, bytes(1_000_000))
        await until(lambda: victim._host is not None and name not in victim._host.connected())
        await assert_sound(victim)
