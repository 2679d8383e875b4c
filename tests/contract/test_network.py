"""The `Network` port: what every node may rely on, by real hosts in this process and in others."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH
from libp2p.stream_muxer.yamux import yamux

from shoal.adapters.libp2p import Libp2pNetwork, bounds, files, open_network
from shoal.adapters.libp2p.gossip import Inbox
from shoal.adapters.libp2p.peer_id import peer_id_of
from shoal.core import limits
from shoal.errors import ConfigError, CryptoError, NetworkError

TOPIC = "shoal/test"


async def until(condition: Callable[[], object], *, timeout_s: float = 20.0) -> None:
    with trio.fail_after(timeout_s):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.02)


@asynccontextmanager
async def nodes(count: int) -> AsyncIterator[tuple[Libp2pNetwork, list[Libp2pNetwork]]]:
    """A bootstrap node, and others that know nothing but its address and have all met."""
    async with AsyncExitStack() as stack:
        bootstrap = await stack.enter_async_context(open_network(private_key=os.urandom(32), roles=["bootstrap"]))
        others = [
            await stack.enter_async_context(
                open_network(private_key=os.urandom(32), bootstrap=bootstrap.addresses(), roles=["trainer"])
            )
            for _ in range(count)
        ]
        for each in others:
            await each.wait_for_peers(count, 20)
        yield bootstrap, others


@contextmanager
def process(seed: bytes, bootstrap: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    script = Path(__file__).with_name("peer_process.py")
    child = subprocess.Popen([sys.executable, script, seed.hex(), bootstrap, TOPIC], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield child, json.loads(child.stdout.readline())
    finally:
        child.send_signal(signal.SIGCONT)
        child.kill()
        child.wait()
        child.stdout.close()


async def heard(stream: AsyncIterator[tuple[str, bytes]], count: int) -> list[bytes]:
    found: list[bytes] = []
    with trio.fail_after(20):
        async for _, data in stream:
            found.append(data)
            if len(found) == count:
                break
    return found


async def publish_until(network: Libp2pNetwork, done: trio.Event, data: bytes) -> None:
    """Gossip is best effort until the mesh has formed, so say it again until it was heard."""
    attempt = 0
    while not done.is_set():
        attempt += 1
        await network.publish(TOPIC, data + b" %d" % attempt)
        await trio.sleep(0.1)


async def echo(peer_id: str, payload: bytes) -> bytes:
    return peer_id.encode() + b" " + payload


def connected(network: Libp2pNetwork) -> set[str]:
    return {peer.peer_id for peer in network.peers() if peer.connected}


# ---------------------------------------------------------------- meeting


async def test_nodes_meet_through_a_bootstrap_node_only() -> None:
    async with nodes(4) as (bootstrap, others):
        for node in others:
            roles = {peer.peer_id: peer.roles for peer in node.peers()}
            assert roles[bootstrap.peer_id] == ("bootstrap",)
            assert all(roles[each.peer_id] == ("trainer",) for each in others if each is not node)
        assert connected(bootstrap) == {each.peer_id for each in others}


async def test_the_peer_id_is_that_of_the_signing_key_and_light_to_compute() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    seed = os.urandom(32)
    async with open_network(private_key=seed) as network:
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        assert network.peer_id == peer_id_of(public)
        assert network.addresses()[0].endswith(f"/p2p/{peer_id_of(public)}")
    code = "import sys; from shoal.adapters.libp2p.peer_id import peer_id_of; sys.exit('libp2p' in sys.modules)"
    assert (await trio.run_process([sys.executable, "-c", code])).returncode == 0


async def test_a_bootstrap_node_is_found_again_after_a_restart_and_remembers(tmp_path: Path) -> None:
    seed, store = os.urandom(32), tmp_path / "peers.json"
    async with open_network(private_key=seed, roles=["bootstrap"]) as bootstrap:
        addresses = bootstrap.addresses()
    listen = [addresses[0].partition("/p2p/")[0]]
    async with open_network(private_key=os.urandom(32), bootstrap=addresses) as node:
        for _ in range(2):
            async with open_network(private_key=seed, listen=listen, roles=["bootstrap"], peerstore=store) as bootstrap:
                assert bootstrap.addresses() == addresses
                await node.wait_for_peers(1, 20)
                await bootstrap.wait_for_peers(1, 20)
            await until(lambda: not connected(node))
            assert node.peer_id in store.read_text()


async def test_a_remembered_peer_is_dialled_without_any_bootstrap(tmp_path: Path) -> None:
    store = tmp_path / "peers.json"
    async with open_network(private_key=os.urandom(32)) as other:
        rows = [{"peer_id": other.peer_id, "addresses": [other.addresses()[0].partition("/p2p/")[0]]}]
        store.write_text(json.dumps(rows))
        async with open_network(private_key=os.urandom(32), peerstore=store) as network:
            await network.wait_for_peers(1, 20)
    store.write_bytes(b"\xff not json")
    async with open_network(private_key=os.urandom(32), peerstore=store) as network:
        assert network.peers() == []


async def test_a_port_in_use_and_a_bad_bootstrap_address_are_told() -> None:
    async with open_network(private_key=os.urandom(32)) as network:
        with pytest.raises(NetworkError, match="cannot listen"):
            async with open_network(private_key=os.urandom(32), listen=[network.addresses()[0].partition("/p2p/")[0]]):
                pass
    with pytest.raises(ConfigError):
        async with open_network(private_key=os.urandom(32), bootstrap=["/ip4/127.0.0.1/tcp/4001"]):
            pass


async def test_the_callers_own_error_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_network(private_key=os.urandom(32)):
            raise KeyError("mine")


# ---------------------------------------------------------------- processes that stop or die


async def test_a_killed_peer_is_noticed_and_comes_back_on_another_port() -> None:
    async with open_network(private_key=os.urandom(32)) as network:
        seed, address = os.urandom(32), network.addresses()[0]
        with process(seed, address) as (child, addresses):
            peer_id = addresses[0].rpartition("/")[2]
            await until(lambda: peer_id in connected(network))
            assert await network.request(peer_id, "echo", b"hello", timeout_s=10) == b"hello"
            child.kill()
            await until(lambda: peer_id not in connected(network))
            with pytest.raises(NetworkError):
                await network.request(peer_id, "echo", b"hello", timeout_s=5)
        with process(seed, address) as (_, again):
            assert again != addresses
            await until(lambda: peer_id in connected(network))
            assert await network.request(peer_id, "echo", b"hello again", timeout_s=10) == b"hello again"
            async with network.subscribe(TOPIC) as stream, trio.open_nursery() as nursery:
                done = trio.Event()
                nursery.start_soon(publish_until, network, done, b"hi")
                assert (await heard(stream, 1))[0].startswith(b"heard hi")
                done.set()


async def test_a_stopped_peer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "PING_INTERVAL_S", 0.2)
    monkeypatch.setattr(bounds, "SILENCE_S", 2.0)
    async with open_network(private_key=os.urandom(32)) as network:
        with process(os.urandom(32), network.addresses()[0]) as (child, addresses):
            peer_id = addresses[0].rpartition("/")[2]
            await until(lambda: peer_id in connected(network))
            child.send_signal(signal.SIGSTOP)
            await until(lambda: peer_id not in connected(network))
            child.send_signal(signal.SIGCONT)
            await until(lambda: peer_id in connected(network), timeout_s=40)


# ---------------------------------------------------------------- gossip


async def test_a_paced_burst_reaches_everyone_whole() -> None:
    async with nodes(3) as (_, others), AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(each.subscribe(TOPIC)) for each in others]
        async with trio.open_nursery() as nursery:
            done = trio.Event()
            nursery.start_soon(publish_until, others[0], done, b"warm")
            for stream in streams[1:]:
                await heard(stream, 1)
            done.set()
        expected = {b"message %d" % number for number in range(300)}
        found: list[set[bytes]] = [set() for _ in streams]

        async def listen(index: int) -> None:
            with trio.move_on_after(30):
                async for author, data in streams[index]:
                    assert author == others[0].peer_id
                    found[index].add(data)
                    if expected <= found[index]:
                        return

        async with trio.open_nursery() as nursery:
            for index in (1, 2):
                nursery.start_soon(listen, index)
            for data in sorted(expected):
                await others[0].publish(TOPIC, data)
        assert expected <= found[1]
        assert expected <= found[2]


async def test_the_largest_message_arrives_and_a_larger_one_is_the_callers_error() -> None:
    async with nodes(2) as (_, (one, two)):
        async with two.subscribe(TOPIC) as stream, trio.open_nursery() as nursery:
            done = trio.Event()
            nursery.start_soon(publish_until, one, done, os.urandom(limits.GOSSIP_BYTES - 10))
            assert len((await heard(stream, 1))[0]) > limits.GOSSIP_BYTES - 10
            done.set()
        with pytest.raises(ValueError, match="at most"):
            await one.publish(TOPIC, bytes(limits.GOSSIP_BYTES + 1))


async def test_a_slow_reader_loses_the_oldest() -> None:
    inbox = Inbox()
    for number in range(bounds.INBOX_MESSAGES + 3):
        inbox.put("author", b"%d" % number)
    assert await anext(inbox) == ("author", b"3")


# ---------------------------------------------------------------- requests


async def test_requests_and_every_way_they_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HANDLER_TIMEOUT_S", 1.0)
    async with nodes(2) as (_, (one, two)):

        async def wrong(peer_id: str, payload: bytes) -> bytes:
            raise RuntimeError("secret detail")

        async def refuse(peer_id: str, payload: bytes) -> bytes:
            raise CryptoError("bad signature")

        async def hang(peer_id: str, payload: bytes) -> bytes:
            await trio.sleep_forever()
            raise AssertionError

        async def much(peer_id: str, payload: bytes) -> bytes:
            return bytes(limits.REQUEST_BYTES + 1)

        for name, handler in (("echo", echo), ("wrong", wrong), ("refuse", refuse), ("hang", hang), ("much", much)):
            two.serve(name, handler)

        async def ask(name: str, payload: bytes = b"x", timeout_s: float = 10) -> bytes:
            return await one.request(two.peer_id, name, payload, timeout_s=timeout_s)

        assert await ask("echo", b"hi") == one.peer_id.encode() + b" hi"
        large = os.urandom(limits.REQUEST_BYTES - 100)
        assert (await ask("echo", large)).endswith(large)
        with pytest.raises(NetworkError, match="internal error") as failure:
            await ask("wrong")
        assert "secret" not in str(failure.value)
        with pytest.raises(NetworkError, match="bad signature"):
            await ask("refuse")
        with pytest.raises(NetworkError, match="internal error"):
            await ask("much")
        with pytest.raises(NetworkError, match="took too long"):
            await ask("hang")
        with pytest.raises(NetworkError, match="in time"):
            await ask("hang", timeout_s=0.3)
        with pytest.raises(NetworkError):
            await ask("nobody-serves-this")
        with pytest.raises(ValueError, match="at most"):
            await ask("echo", bytes(limits.REQUEST_BYTES + 1))
        with pytest.raises(NetworkError, match="cannot be reached"):
            await one.request(peer_id_of(os.urandom(32)), "echo", b"x", timeout_s=5)
        assert await ask("echo", b"still here") == one.peer_id.encode() + b" still here"


async def test_a_request_given_up_in_the_middle_does_not_garble_the_connection() -> None:
    async with nodes(2) as (_, (one, two)):
        two.serve("echo", echo)
        assert one._host is not None
        before = one._host._connections(two.peer_id)
        for attempt in range(60):
            with trio.move_on_after(0.001 * (attempt % 20)):
                await one.request(two.peer_id, "echo", bytes(1_000_000), timeout_s=20)
        assert (await one.request(two.peer_id, "echo", b"whole", timeout_s=20)).endswith(b"whole")
        assert one._host._connections(two.peer_id) == before


async def test_a_peer_gets_only_so_many_handlers_at_once() -> None:
    async with nodes(2) as (_, (one, two)):
        inside = 0
        release = trio.Event()

        async def wait(peer_id: str, payload: bytes) -> bytes:
            nonlocal inside
            inside += 1
            await release.wait()
            return b"done"

        two.serve("wait", wait)
        answers: list[str] = []

        async def ask() -> None:
            try:
                answers.append((await one.request(two.peer_id, "wait", b"", timeout_s=20)).decode())
            except NetworkError as error:
                answers.append(error.code)

        async with trio.open_nursery() as nursery:
            for _ in range(bounds.HANDLERS_PER_PEER + 3):
                nursery.start_soon(ask)
            await until(lambda: inside + len(answers) == bounds.HANDLERS_PER_PEER + 3)
            release.set()
        assert inside <= bounds.HANDLERS_PER_PEER
        assert answers.count("done") == inside
        assert answers.count("SHOAL-N06") == len(answers) - inside > 0


# ---------------------------------------------------------------- files


def write(path: Path, size: int) -> bytes:
    data = os.urandom(size)
    path.write_bytes(data)
    return hashlib.sha256(data).digest()


async def test_files_arrive_verified_or_not_at_all(tmp_path: Path) -> None:
    async with nodes(2) as (_, (one, two)):
        source, out = tmp_path / "source", tmp_path / "out"

        async def fetch(sha256: bytes, max_bytes: int = 30 * limits.MIB) -> None:
            await two.fetch(one.peer_id, sha256, out, max_bytes=max_bytes, timeout_s=60)

        for size in (20 * limits.MIB + 17, limits.PIECE_BYTES, 1, 0):
            sha256 = write(source, size)
            one.provide(sha256, source)
            await fetch(sha256)
            assert out.read_bytes() == source.read_bytes()
            out.unlink()
        sha256 = write(source, 3 * limits.MIB)
        one.provide(sha256, source)
        with pytest.raises(NetworkError, match="at most"):
            await fetch(sha256, max_bytes=3 * limits.MIB - 1)
        source.write_bytes(os.urandom(3 * limits.MIB))
        with pytest.raises(CryptoError):
            await fetch(sha256)
        source.unlink()
        with pytest.raises(NetworkError, match="does not have"):
            await fetch(sha256)
        with pytest.raises(NetworkError, match="does not have"):
            await fetch(os.urandom(32))
        assert sum(each.stat().st_size for each in tmp_path.iterdir()) == 0


async def test_a_fetch_goes_on_after_a_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    read_piece = files._read_piece

    def counting(path: Path, offset: int) -> tuple[int, bytes]:
        sent.append(offset)
        return read_piece(path, offset)

    monkeypatch.setattr(files, "_read_piece", counting)
    async with nodes(2) as (_, (one, two)):
        source, out = tmp_path / "source", tmp_path / "out"
        sha256 = write(source, 20 * limits.MIB)
        one.provide(sha256, source)
        async with trio.open_nursery() as nursery:

            async def cut() -> None:
                await until(lambda: len(sent) >= 8)
                assert two._host is not None
                await two._host.drop(one.peer_id)

            nursery.start_soon(cut)
            await two.fetch(one.peer_id, sha256, out, max_bytes=limits.MIB * 20, timeout_s=60)
        assert out.read_bytes() == source.read_bytes()
        assert sent.count(0) == 1
        assert len(sent) <= 20 + bounds.PIECES_AHEAD + 2


async def test_wrong_bytes_left_by_one_provider_are_not_blamed_on_the_next(tmp_path: Path) -> None:
    async with nodes(2) as (_, (one, two)):
        source, out = tmp_path / "source", tmp_path / "out"
        sha256 = write(source, 4 * limits.MIB)
        one.provide(sha256, source)
        (tmp_path / f".out.{sha256.hex()[:16]}.part").write_bytes(bytes(2 * limits.MIB))
        await two.fetch(one.peer_id, sha256, out, max_bytes=limits.MIB * 4, timeout_s=60)
        assert out.read_bytes() == source.read_bytes()


# ---------------------------------------------------------------- faults


async def test_a_fault_inside_libp2p_costs_seconds_not_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes(2) as (_, (one, two)):
        one.serve("echo", echo)
        addresses = one.addresses()
        async with one.subscribe(TOPIC) as stream:
            heartbeat = GossipSub.mesh_heartbeat
            assert one._host is not None
            assert one._gossip._service is not None
            broken, sequence = one._host, one._gossip._service.counter

            def fail(router: GossipSub) -> object:
                if one._host is broken and str(router.pubsub.my_id) == one.peer_id:
                    raise RuntimeError("injected")
                return heartbeat(router)

            monkeypatch.setattr(GossipSub, "mesh_heartbeat", fail)
            await until(lambda: one.rebuilds == 1)
            await one.publish(TOPIC, b"dropped or not, but no error")
            await until(lambda: two.peer_id in connected(one))
            assert one.addresses() == addresses
            async with trio.open_nursery() as nursery:
                done = trio.Event()
                nursery.start_soon(publish_until, two, done, b"after")
                assert (await heard(stream, 1))[0].startswith(b"after")
                done.set()
            assert await two.request(one.peer_id, "echo", b"x", timeout_s=10) == two.peer_id.encode() + b" x"
            assert one.rebuilds == 1
            # Peers drop sequence numbers they have seen: however many were used before, they do not come again.
            assert one._gossip._service is not None
            assert one._gossip._service.counter > sequence + 10_000


async def test_requests_fail_cleanly_while_libp2p_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes(1) as (bootstrap, (node,)):
        monkeypatch.setattr("shoal.adapters.libp2p.network._REBUILD_MIN_S", 5.0)

        def fail(*args: object) -> None:
            raise RuntimeError("injected")

        assert node._host is not None
        monkeypatch.setattr(node._host, "connected", fail)
        monkeypatch.setattr(node._gossip, "attach", fail)
        await until(lambda: node._host is None)
        with pytest.raises(NetworkError, match="restarting"):
            await node.request(bootstrap.peer_id, "echo", b"", timeout_s=5)
        await node.publish(TOPIC, b"dropped")
        async with node.subscribe(TOPIC):
            pass


async def test_a_yamux_frame_fits_one_noise_message() -> None:
    async with open_network(private_key=os.urandom(32)):
        assert yamux.MAX_MESSAGE_SIZE == MAX_PLAINTEXT_LENGTH
