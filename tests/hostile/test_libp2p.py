"""Attacks on a node over the peer network; where the library itself falls to one, the test shows that first."""

from __future__ import annotations

import os
import time
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
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.network.config import RetryConfig
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.relay.circuit_v2.pb import circuit_pb2
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.stream_muxer.yamux import yamux
from libp2p.utils import encode_varint_prefixed
from libp2p.utils.varint import read_varint_prefixed_bytes_limited
from multiaddr import Multiaddr

from shoal.adapters.libp2p import Libp2pNetwork, bounds, open_network
from shoal.adapters.libp2p.library import build_host, tame
from shoal.adapters.libp2p.relay import HOP, STOP
from shoal.adapters.libp2p.summary import MESH_TOPIC
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


async def test_a_peer_that_sends_valid_messages_without_end_is_cut_off_by_count() -> None:
    """What is delivered of it is bounded by the budgets, however fast it sends: no clock is looked at here."""
    async with victim_and_attacker() as (victim, attacker, peer_id):
        await victim.join(TOPIC)
        stream = await gossip_stream(attacker, peer_id)
        name, sent = str(attacker.get_id()), 0
        with trio.fail_after(60):
            while name not in victim.status().cut_off:
                rpc = rpc_pb2.RPC(publish=[signed_message(attacker, b"%d" % (sent + each)) for each in range(20)])
                sent += 20
                try:
                    await stream.write(encode_varint_prefixed(rpc.SerializeToString()))
                except BaseLibp2pError:
                    break
                await trio.sleep(0.005)
        await until(lambda: name in victim.status().cut_off)
        heard = victim.read(TOPIC)
        assert {each.peer_id for each in heard} == {name}
        seconds_worth = 2 * bounds.AUTHOR_MESSAGES_PER_S
        assert heard[-1].number <= bounds.AUTHOR_MESSAGES_BURST + seconds_worth
        await assert_sound(victim)


def signed_message(author: Any, data: bytes, sequence: bytes | None = None) -> Any:
    message = rpc_pb2.Message(
        from_id=author.get_id().to_bytes(), seqno=sequence or os.urandom(8), data=data, topicIDs=[TOPIC]
    )
    message.signature = author.get_private_key().sign(b"libp2p-pubsub:" + message.SerializeToString())
    message.key = author.get_public_key().serialize()
    return message


async def test_what_was_heard_is_not_heard_again_once_the_library_has_forgotten_it() -> None:
    async with victim_and_attacker() as (victim, attacker, peer_id):
        await victim.join(TOPIC)
        stream = await gossip_stream(attacker, peer_id)
        rpc = rpc_pb2.RPC(publish=[signed_message(attacker, b"once", time.time_ns().to_bytes(8, "big"))])
        data = encode_varint_prefixed(rpc.SerializeToString())
        await stream.write(data)
        await until(lambda: victim.read(TOPIC))
        victim._gossip._replays._now_s = lambda: trio.current_time() + 3 * bounds.REPLAY_S
        assert victim._gossip._service is not None
        victim._gossip._service.seen_messages.cache.clear()
        await stream.write(data)
        await until(lambda: victim._conduct.score(str(attacker.get_id())) < bounds.POINTS)
        assert [each.data for each in victim.read(TOPIC)] == [b"once"]


async def test_the_wrongly_signed_cost_their_sender_and_nobody_else() -> None:
    async with victim_and_attacker() as (victim, attacker, peer_id):
        await victim.join(TOPIC)
        stream = await gossip_stream(attacker, peer_id)
        forged = signed_message(attacker, b"sound")
        forged.from_id = ID.from_pubkey(create_new_key_pair(bytes(32)).public_key).to_bytes()
        tampered = signed_message(attacker, b"sound")
        tampered.data = b"other"
        for message in (forged, tampered):
            before = victim._conduct.score(str(attacker.get_id()))
            rpc = rpc_pb2.RPC(publish=[message])
            await stream.write(encode_varint_prefixed(rpc.SerializeToString()))
            await until(lambda before=before: victim._conduct.score(str(attacker.get_id())) < before - 1)
        assert victim.read(TOPIC) == ()
        assert victim._conduct.score(str(ID(forged.from_id))) == bounds.POINTS


async def test_a_summary_in_anothers_name_is_refused() -> None:
    async with open_network(private_key=os.urandom(32), roles=["trainer"]) as honest:
        async with open_network(private_key=os.urandom(32), bootstrap=honest.addresses()) as victim:
            await until(lambda: honest.peer_id in victim._mesh._held)
            held = victim._mesh._held[honest.peer_id]
            liar = "12D3KooW" + "A" * 44
            for data in (held.data, held.data[:64] + held.data[64:].replace(b"trainer", b"trainee"), b"", bytes(9_000)):
                before = victim._conduct.score(liar)
                victim._mesh._hear(liar, data)
                assert victim._conduct.score(liar) < before
            assert victim._mesh._held[honest.peer_id].summary.roles == ("trainer",)


async def test_topics_that_only_a_peer_has_named_leave_nothing_behind() -> None:
    async with victim_and_attacker() as (victim, attacker, peer_id):
        await victim.join(TOPIC)
        stream = await gossip_stream(attacker, peer_id)
        name = str(attacker.get_id())
        for number in range(500):
            topic = f"invented {number}"
            control = rpc_pb2.ControlMessage(
                ihave=[rpc_pb2.ControlIHave(topicID=topic, messageIDs=[os.urandom(8)])],
                graft=[rpc_pb2.ControlGraft(topicID=topic)],
                prune=[rpc_pb2.ControlPrune(topicID=topic, backoff=10**6), rpc_pb2.ControlPrune(topicID=TOPIC)],
            )
            await stream.write(encode_varint_prefixed(rpc_pb2.RPC(control=control).SerializeToString()))
        service = victim._gossip._service
        assert service is not None
        await until(lambda: any(name in map(str, peers) for peers in service.router.back_off.values()))
        assert set(service.router.back_off) | set(service.router.mesh) <= {TOPIC, MESH_TOPIC}
        assert victim._host is not None
        await victim._host.drop(name)
        await until(lambda: not any(name in map(str, peers) for peers in service.router.back_off.values()))
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


# ---------------------------------------------------------------- relays, dial-backs and the library's DHT


async def ask_relay(attacker: Any, relay: ID, message: Any) -> int:
    stream = await attacker.new_stream(relay, [HOP])
    await stream.write(encode_varint_prefixed(message.SerializeToString()))
    reply = circuit_pb2.HopMessage()
    reply.ParseFromString(await read_varint_prefixed_bytes_limited(stream, 4_096))
    return int(reply.status)


async def test_a_relay_gives_a_place_to_who_asks_and_circuits_to_no_one_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "RESERVATIONS", 1)
    hop, pb = circuit_pb2.HopMessage, circuit_pb2
    async with open_network(private_key=os.urandom(32), roles=["bootstrap"]) as relay:
        async with running(build_host(os.urandom(32))) as one, running(build_host(os.urandom(32))) as two:
            at = ID.from_base58(await dial(one, relay.addresses()[0]))
            await dial(two, relay.addresses()[0])
            named = pb.PeerId(id=two.get_id().to_bytes())
            # In the name of another: the library's relay would reserve for that other.
            assert await ask_relay(one, at, hop(type=hop.RESERVE, peer=named)) == pb.OK
            assert relay._relay is not None
            assert set(relay._relay._reserved) == {str(one.get_id())}
            assert await ask_relay(two, at, hop(type=hop.RESERVE)) == pb.RESERVATION_REFUSED
            assert await ask_relay(one, at, hop(type=hop.CONNECT, peer=named)) == pb.NO_RESERVATION
            caller = pb.PeerId(id=one.get_id().to_bytes())
            # It has a place, but does not speak the protocol: the circuit fails, the relay does not.
            assert await ask_relay(two, at, hop(type=hop.CONNECT, peer=caller)) == pb.CONNECTION_FAILED
            assert await ask_relay(one, at, hop(type=hop.STATUS)) == pb.MALFORMED_MESSAGE
        await assert_sound(relay)


async def test_a_circuit_is_taken_from_a_relay_of_ours_only_and_proves_who_calls() -> None:
    stop = circuit_pb2.StopMessage
    async with victim_and_attacker() as (victim, attacker, peer_id):
        stream = await attacker.new_stream(peer_id, [STOP])
        caller = circuit_pb2.PeerId(id=attacker.get_id().to_bytes())
        await stream.write(encode_varint_prefixed(stop(type=stop.CONNECT, peer=caller).SerializeToString()))
        reply = stop()
        reply.ParseFromString(await read_varint_prefixed_bytes_limited(stream, 4_096))
        assert reply.status == circuit_pb2.PERMISSION_DENIED
        await assert_sound(victim)


async def test_nobody_is_made_to_dial_a_third() -> None:
    async with victim_and_attacker() as (victim, attacker, peer_id):
        async with open_network(private_key=os.urandom(32)) as third:
            port = third.addresses()[0].split("/")[4]
            asked = ["/ip4/127.0.0.2/tcp/" + port, "/ip4/192.0.2.1/tcp/80", "/dns4/localhost/tcp/" + port, 7, "x"]
            payload = codec.encode({"addresses": [*asked, "/ip4/0.0.0.0/tcp/" + port]})
            stream = await attacker.new_stream(peer_id, ["/shoal/reach/1"])
            await stream.write(len(payload).to_bytes(4, "big") + payload)
            assert await stream.read(1) == b"\0"
            size = int.from_bytes(await stream.read(4), "big")
            reply = codec.decode(await stream.read(size), max_bytes=1_000)
            # Only at the very address that the asker is seen at; ports are its own affair.
            assert reply == {"ip": "127.0.0.1", "open": [f"/ip4/127.0.0.1/tcp/{port}"]}
            await assert_sound(victim)


async def test_one_silent_peer_stops_the_librarys_dht_for_everyone() -> None:
    """Why there is no DHT here: twelve streams that say nothing take all its handlers, and keep them."""
    async with running(build_host(os.urandom(32))) as server, running(build_host(os.urandom(32))) as attacker:
        dht = KadDHT(server, DHTMode.SERVER)
        peer_id = ID.from_base58(await dial(attacker, str(server.get_addrs()[0])))
        for _ in range(12):
            await attacker.new_stream(peer_id, ["/ipfs/kad/1.0.0"])
        await until(lambda: dht._inbound_limiter.available_tokens == 0)
        async with running(build_host(os.urandom(32))) as honest:
            await dial(honest, str(server.get_addrs()[0]))
            with pytest.raises(BaseLibp2pError):
                await honest.new_stream(peer_id, ["/ipfs/kad/1.0.0"])
