"""The mesh: who is there, what they say of themselves, topics by name, relays, and who is cut off; by real hosts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import trio

from shoal.adapters.libp2p import Libp2pNetwork, bounds, open_network
from shoal.adapters.libp2p.mesh import Mesh
from shoal.adapters.libp2p.peer_id import peer_id_of
from shoal.adapters.libp2p.peerbook import PeerBook
from shoal.errors import NetworkError

TOPIC = "shoal/by-name"


async def until(condition: Callable[[], object], *, timeout_s: float = 30.0) -> None:
    with trio.fail_after(timeout_s):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.02)


def node(**options: Any) -> Any:
    return open_network(private_key=os.urandom(32), **options)


@asynccontextmanager
async def mesh_of(count: int) -> AsyncIterator[tuple[Libp2pNetwork, list[Libp2pNetwork]]]:
    async with AsyncExitStack() as stack:
        bootstrap = await stack.enter_async_context(node(roles=["bootstrap"]))
        others = [
            await stack.enter_async_context(node(bootstrap=bootstrap.addresses(), roles=["trainer"]))
            for _ in range(count)
        ]
        yield bootstrap, others


def heard_of(network: Libp2pNetwork) -> set[str]:
    return {each.peer_id for each in network.mesh()}


async def echo(peer_id: str, payload: bytes) -> bytes:
    return payload


# ---------------------------------------------------------------- summaries


async def test_every_node_hears_of_every_other_and_of_itself_first() -> None:
    async with mesh_of(3) as (bootstrap, others):
        everyone = {bootstrap.peer_id, *(each.peer_id for each in others)}
        for each in (bootstrap, *others):
            await until(lambda each=each: heard_of(each) == everyone)
            assert each.mesh()[0].peer_id == each.peer_id
        await until(lambda: all(each.status().reachability == "direct" for each in others))
        await others[0].join(TOPIC)

        def says() -> Any:
            return next(each for each in bootstrap.mesh() if each.peer_id == others[0].peer_id)

        await until(lambda: TOPIC in says().topics and says().latency_s is not None)
        said = says()
        assert said.roles == ("trainer",)
        assert [f"{address}/p2p/{said.peer_id}" for address in said.addresses] == others[0].addresses()
        assert said.version == version("shoal")
        assert said.reachability == "direct"
        assert said.peers >= 1
        assert said.load >= 0
        assert 0 <= said.age_s < 60


async def test_a_node_asks_a_bootstrap_node_for_its_summary_of_the_mesh() -> None:
    async with mesh_of(2) as (bootstrap, others):
        await until(lambda: len(heard_of(bootstrap)) == 3)
        async with node() as newcomer:  # which knows nobody
            asked = await newcomer.connect(bootstrap.addresses()[0], timeout_s=10)
            found = await newcomer.ask_mesh(asked, timeout_s=10)
            assert found[0].peer_id == bootstrap.peer_id
            assert {each.peer_id for each in found} >= {each.peer_id for each in others}
            assert {each.peer_id for each in others} <= {each.peer_id for each in newcomer.mesh()}


async def test_an_answer_about_the_mesh_keeps_what_is_sound_of_it() -> None:
    async with mesh_of(1) as (bootstrap, (other,)):
        await until(lambda: len(heard_of(bootstrap)) == 2)
        from shoal.core import codec

        held = bootstrap._mesh._held[other.peer_id].data
        tampered = held[:-1] + bytes([held[-1] ^ 1])
        async with node() as newcomer:
            found = await newcomer._mesh.take_reply(codec.encode({"summaries": [b"", 7, tampered, held]}))
            assert [each.peer_id for each in found] == [other.peer_id]
            for reply in (b"", b"\xff", codec.encode({}), codec.encode({"summaries": 7}), codec.encode([])):
                with pytest.raises(NetworkError, match="malformed"):
                    await newcomer._mesh.take_reply(reply)


async def test_a_fault_in_the_summaries_starts_them_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async with mesh_of(1) as (bootstrap, (other,)):
        await until(lambda: len(heard_of(bootstrap)) == 2)
        announce, failed = Mesh._announce, []

        async def fail(mesh: Mesh) -> None:
            if not failed:
                failed.append(mesh)
                raise RuntimeError("injected")
            await announce(mesh)

        monkeypatch.setattr(Mesh, "_announce", fail)
        async with node(bootstrap=bootstrap.addresses()) as newcomer:
            await until(lambda: newcomer.peer_id in heard_of(other))
            assert failed
            assert newcomer.rebuilds == 0


# ---------------------------------------------------------------- finding


async def test_one_of_several_bootstrap_nodes_is_enough() -> None:
    async with node(roles=["bootstrap"]) as first, trio.open_nursery() as nursery:
        ends = trio.CancelScope()

        async def live(task_status: trio.TaskStatus[Libp2pNetwork]) -> None:
            with ends:
                async with node(roles=["bootstrap"], bootstrap=first.addresses()) as second:
                    task_status.started(second)
                    await trio.sleep_forever()

        second: Libp2pNetwork = await nursery.start(live)
        addresses = [*second.addresses(), *first.addresses()]
        async with node(bootstrap=addresses) as one:
            await one.wait_for_peers(2, 20)
            ends.cancel()
            async with node(bootstrap=addresses) as two:
                await until(lambda: {one.peer_id, first.peer_id} <= {each.peer_id for each in two.peers()})


async def test_a_peer_that_only_others_know_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the two ways by which everyone would hear of everyone in so small a mesh.
    monkeypatch.setattr(PeerBook, "sample", lambda book, leave_out: [])
    monkeypatch.setattr(PeerBook, "confirm_signed", lambda book, *args: None)
    async with mesh_of(2) as (bootstrap, (one, two)):
        two.serve("echo", echo)
        await until(lambda: {one.peer_id, two.peer_id} <= {each.peer_id for each in bootstrap.peers()})
        assert two.peer_id not in {each.peer_id for each in one.peers()}
        assert await one.request(two.peer_id, "echo", b"found", timeout_s=20) == b"found"
        with pytest.raises(NetworkError, match="cannot be reached"):
            await one.request(peer_id_of(os.urandom(32)), "echo", b"", timeout_s=20)


async def test_addresses_from_elsewhere_and_a_multiaddress_lead_to_a_peer() -> None:
    async with node() as known, node() as typed, node() as network:
        network.add_addresses(known.peer_id, [known.addresses()[0].partition("/p2p/")[0]])
        network.add_addresses("nonsense", ["/ip4/127.0.0.1/tcp/1"])
        await network.wait_for_peers(1, 20)
        assert await network.connect(typed.addresses()[0], timeout_s=10) == typed.peer_id
        for wrong in ("", "/ip4/127.0.0.1/tcp/4001", "/ip4/0.0.0.0/tcp/1/p2p/" + typed.peer_id):
            with pytest.raises(NetworkError, match="cannot be dialled"):
                await network.connect(wrong, timeout_s=10)
        nobody = f"/ip4/127.0.0.1/tcp/9/p2p/{peer_id_of(os.urandom(32))}"
        with pytest.raises(NetworkError, match="cannot be reached"):
            await network.connect(nobody, timeout_s=10)


async def test_latency_and_traffic_of_each_peer_are_known() -> None:
    async with mesh_of(1) as (bootstrap, (other,)):
        bootstrap.serve("echo", echo)
        await other.wait_for_peers(1, 20)
        await until(lambda: other.peers()[0].latency_s is not None)
        before = other.peers()[0]
        await other.request(bootstrap.peer_id, "echo", bytes(100_000), timeout_s=10)
        after = other.peers()[0]
        assert after.latency_s is not None
        assert 0 < after.latency_s < bounds.PING_TIMEOUT_S
        assert after.sent_bytes - before.sent_bytes > 100_000
        assert after.received_bytes - before.received_bytes > 100_000
        assert (after.score, after.relayed) == (100.0, False)


# ---------------------------------------------------------------- topics


async def test_topics_are_joined_read_listed_and_left() -> None:
    async with mesh_of(2) as (_, (one, two)):
        with pytest.raises(NetworkError, match="not joined"):
            one.read(TOPIC)
        await one.join(TOPIC)
        await one.join(TOPIC)
        await until(lambda: any(each.name == TOPIC and one.peer_id in each.peers for each in two.topics()))
        assert not next(each.joined for each in two.topics() if each.name == TOPIC)
        number = 0
        with trio.fail_after(20):
            while len(one.read(TOPIC)) < 3:
                number += 1
                await two.publish(TOPIC, b"%d" % number)
                await trio.sleep(0.05)
        messages = one.read(TOPIC)
        assert [each.number for each in messages] == list(range(1, len(messages) + 1))
        assert {each.peer_id for each in messages} == {two.peer_id}
        assert one.read(TOPIC, after=2)[0] == messages[2]
        assert next(each.joined for each in one.topics() if each.name == TOPIC)
        await one.leave(TOPIC)
        await one.leave(TOPIC)
        with pytest.raises(NetworkError, match="not joined"):
            one.read(TOPIC)
        await until(lambda: not any(one.peer_id in each.peers for each in two.topics() if each.name == TOPIC))


async def test_only_so_many_topics_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "JOINED_TOPICS", 2)
    async with node() as network:
        for name in ("a", "b"):
            await network.join(name)
        with pytest.raises(NetworkError, match="joined already"):
            await network.join("c")
        with pytest.raises(ValueError, match="characters"):
            await network.leave("a")
            await network.join("")


async def test_joined_topics_outlive_libp2p(monkeypatch: pytest.MonkeyPatch) -> None:
    async with mesh_of(2) as (_, (one, two)):
        await one.join(TOPIC)

        def fail() -> None:
            raise RuntimeError("injected")

        assert one._host is not None
        monkeypatch.setattr(one._host, "connected", fail)
        await until(lambda: one.rebuilds == 1)
        with trio.fail_after(30):
            while not one.read(TOPIC):
                await two.publish(TOPIC, os.urandom(8))
                await trio.sleep(0.05)


# ---------------------------------------------------------------- nodes that nobody can dial


async def test_nodes_without_a_listener_meet_through_a_relay(tmp_path: Path) -> None:
    async with node(roles=["bootstrap"]) as relay:
        options: dict[str, Any] = {"listen": (), "bootstrap": relay.addresses(), "roles": ["trainer"]}
        async with node(**options) as one, node(**options) as two:
            for each in (one, two):
                await until(lambda each=each: each.status().reachability == "relayed")
                assert each.status().relays == (relay.peer_id,)
                assert each.addresses() == [f"{relay.addresses()[0]}/p2p-circuit/p2p/{each.peer_id}"]
            two.serve("echo", echo)
            payload = os.urandom(300_000)
            assert await one.request(two.peer_id, "echo", payload, timeout_s=20) == payload
            await until(lambda: any(each.peer_id == two.peer_id for each in one.peers()))
            seen = next(each for each in one.peers() if each.peer_id == two.peer_id)
            assert (seen.connected, seen.relayed) == (True, True)
            (source := tmp_path / "source").write_bytes(payload)
            sha256, out = hashlib.sha256(payload).digest(), tmp_path / "out"
            two.provide(sha256, source)
            with pytest.raises(NetworkError, match="through a relay"):
                await one.fetch(two.peer_id, sha256, out, max_bytes=bounds.RELAYED_BYTES + 1, timeout_s=20)
            await one.fetch(two.peer_id, sha256, out, max_bytes=len(payload), timeout_s=20)
            assert out.read_bytes() == payload
            await two.join(TOPIC)
            with trio.fail_after(20):
                while not any(each.peer_id == one.peer_id for each in two.read(TOPIC)):
                    await one.publish(TOPIC, os.urandom(8))
                    await trio.sleep(0.1)
            said = [each.reachability for each in relay.mesh() if each.peer_id == one.peer_id]
            await until(lambda: "relayed" in [e.reachability for e in relay.mesh() if e.peer_id == one.peer_id])
            assert said


async def test_a_relayed_connection_gives_way_to_a_direct_one() -> None:
    async with node(roles=["bootstrap"]) as relay, node() as listening:
        async with node(listen=(), bootstrap=relay.addresses()) as hidden:
            await until(lambda: hidden.status().relays)
            await listening.connect(hidden.addresses()[0], timeout_s=20)
            # The hidden node hears where the other listens, and dials it; then the circuit is not needed any more.
            await until(lambda: any(e.peer_id == listening.peer_id and not e.relayed for e in hidden.peers()))
            await until(lambda: any(e.peer_id == hidden.peer_id and not e.relayed for e in listening.peers()))


async def test_without_a_relay_a_node_says_that_it_only_dials_out() -> None:
    async with node(roles=["bootstrap"], relay=False) as bootstrap:
        async with node(listen=(), bootstrap=bootstrap.addresses()) as hidden:
            await until(lambda: hidden.status().reachability == "outbound")
            assert hidden.addresses() == []
            hidden.serve("echo", echo)
            # Over the connection that it dialled itself it is reached all the same.
            assert await bootstrap.request(hidden.peer_id, "echo", b"x", timeout_s=10) == b"x"


async def test_an_address_that_nobody_reaches_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing_there(address: str, ip: str) -> bool:
        return False

    monkeypatch.setattr("shoal.adapters.libp2p.reach._answers", nothing_there)
    async with node(roles=["bootstrap"]) as relay, node(bootstrap=relay.addresses()) as shut:
        await until(lambda: shut.status().reachability == "relayed")
        assert len(shut.addresses()) == 2


# ---------------------------------------------------------------- who is cut off


async def test_a_ban_outlives_a_restart_and_then_ends(tmp_path: Path) -> None:
    store, seed = tmp_path / "peers.json", os.urandom(32)
    async with node() as bad:
        bad.serve("echo", echo)
        async with open_network(private_key=seed, bootstrap=bad.addresses(), peerstore=store) as network:
            await network.wait_for_peers(1, 20)
            network._conduct.strike(bad.peer_id, bounds.POINTS + 1)
            assert network.status().cut_off == (bad.peer_id,)
            await until(lambda: not network.peers()[0].connected)
            assert network.peers()[0].score == 0.0
        async with open_network(private_key=seed, bootstrap=bad.addresses(), peerstore=store) as network:
            assert network.status().cut_off == (bad.peer_id,)
            bad.add_addresses(network.peer_id, [network.addresses()[0].partition("/p2p/")[0]])
            with pytest.raises(NetworkError):
                await bad.request(network.peer_id, "peers", b"", timeout_s=5)
            assert not any(each.connected for each in network.peers())
        bans = tmp_path / "bans.json"
        bans.write_text(
            json.dumps({peer_id: [1.0, times] for peer_id, (_, times) in json.loads(bans.read_text()).items()})
        )
        async with open_network(private_key=seed, bootstrap=bad.addresses(), peerstore=store) as network:
            assert network.status().cut_off == ()
            await network.wait_for_peers(1, 20)


def test_a_silent_peer_is_noticed_within_ten_seconds() -> None:
    assert 2 * bounds.PING_INTERVAL_S < bounds.SILENCE_S < 9


async def test_connections_that_nobody_uses_last() -> None:
    """The library's side of a ping closes its stream after 10 s of silence: that is not the end of a peer."""
    async with mesh_of(2) as (bootstrap, (one, two)):
        await one.wait_for_peers(2, 20)
        await two.wait_for_peers(2, 20)
        lost = []
        with trio.move_on_after(14):
            while True:
                lost += [each for node in (bootstrap, one, two) for each in node.peers() if not each.connected]
                await trio.sleep(0.02)
        assert lost == []
