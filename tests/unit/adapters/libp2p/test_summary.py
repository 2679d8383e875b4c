"""Summaries, addresses and TXT records: what is accepted, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.addresses import ip_and_port, is_circuit, is_loopback, split_address, valid_address
from shoal.adapters.libp2p.lan import read_txt, run_lan, txt_record
from shoal.adapters.libp2p.peer_id import peer_id_of, signing_key_of
from shoal.adapters.libp2p.peerbook import PeerBook, distance
from shoal.adapters.libp2p.summary import _DOMAIN, OwnState, read_summary, sign_summary
from shoal.core import codec
from shoal.errors import NetworkError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PEER = peer_id_of(KEY.public_key().public_bytes_raw())
OTHER = peer_id_of(Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw())
NOW_S = 1_800_000_000.0
STATE = OwnState(PEER, ["trainer"], ["/ip4/192.0.2.7/tcp/4001"], ["a"], 0.5, "1.2.3", "direct", 7, 0.012)


def changed(**fields: Any) -> bytes:
    """A summary with other fields, signed all the same."""
    body = codec.decode(sign_summary(STATE, NOW_S, KEY.sign)[64:], max_bytes=10_000)
    body = codec.encode({name: value for name, value in {**body, **fields}.items() if value is not ...})
    return KEY.sign(_DOMAIN + body) + body


def test_a_summary_says_what_was_signed() -> None:
    said = read_summary(sign_summary(STATE, NOW_S, KEY.sign), NOW_S + 5)
    assert (said.peer_id, said.roles, said.addresses) == (PEER, ("trainer",), ("/ip4/192.0.2.7/tcp/4001",))
    assert (said.topics, said.load, said.version, said.reachability) == (("a",), 0.5, "1.2.3", "direct")
    assert (said.peers, said.latency_s, said.time_s, said.age_s) == (7, 0.012, NOW_S, 5.0)


@pytest.mark.parametrize(
    "fields",
    [
        {"peer": OTHER},
        {"peer": "nobody"},
        {"peer": 7},
        {"peer": ...},
        {"more": 1},
        {"roles": ["Trainer"]},
        {"roles": ["x"] * 9},
        {"roles": "trainer"},
        {"addresses": None},
        {"topics": [""]},
        {"topics": ["t" * 257]},
        {"topics": ["t"] * 17},
        {"topics": [1]},
        {"load": -1.0},
        {"load": float("nan")},
        {"load": 1},
        {"peers": -1},
        {"peers": True},
        {"peers": "7"},
        {"latency_us": -1},
        {"latency_us": 0.5},
        {"version": "1\x1b[31m"},
        {"version": 1},
        {"reachability": "everywhere"},
        {"reachability": ["direct"]},
        {"time_ms": round((NOW_S - bounds.SUMMARY_AGE_S - 1) * 1e3)},
        {"time_ms": round((NOW_S + bounds.SUMMARY_AHEAD_S + 1) * 1e3)},
        {"time_ms": "now"},
        {"addresses": ["x" * 200] * 60},
    ],
)
def test_a_summary_with_anything_wrong_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(NetworkError, match="malformed summary"):
        read_summary(changed(**fields), NOW_S)


def test_addresses_that_cannot_be_dialled_are_left_out() -> None:
    said = read_summary(changed(addresses=["/ip4/0.0.0.0/tcp/1", 7, "/ip4/192.0.2.7/udp/1", "/dns4/host/tcp/2"]), NOW_S)
    assert said.addresses == ("/dns4/host/tcp/2",)


@given(st.integers(0, 400), st.integers(1, 255))
def test_no_bit_of_a_summary_can_be_changed(position: int, flip: int) -> None:
    data = bytearray(sign_summary(STATE, NOW_S, KEY.sign))
    data[position % len(data)] ^= flip
    with pytest.raises(NetworkError):
        read_summary(bytes(data), NOW_S)


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(NetworkError):
        read_summary(data, NOW_S)


# ---------------------------------------------------------------- addresses


def test_which_addresses_can_be_dialled() -> None:
    circuit = f"/ip4/192.0.2.1/tcp/4001/p2p/{OTHER}/p2p-circuit"
    for good in ("/ip4/192.0.2.7/tcp/1", "/ip6/2001:db8::1/tcp/65535", "/dns4/a.example/tcp/443", circuit):
        assert valid_address(good) == good
    for bad in (
        *("/ip4/192.0.2.7/tcp/0", "/ip4/192.0.2.7/tcp/65536", "/ip4/999.1.1.1/tcp/1", "/ip4/224.0.0.1/tcp/1"),
        *("/ip4/192.0.2.7/udp/1", "/ip4/192.0.2.7/tcp/1/ws", f"{circuit}/p2p-circuit", circuit.replace("tcp", "udp")),
        *("/ip4/0.0.0.0/tcp/1", f"/ip4/0.0.0.0/tcp/1/p2p/{OTHER}/p2p-circuit", "", None, 7, "/dns4/" + "a" * 200),
    ):
        assert valid_address(bad, None) is None, bad
    assert split_address(f"{circuit}/p2p/{PEER}") == (circuit, PEER)
    assert split_address(f"/ip4/192.0.2.7/tcp/1/p2p/{PEER}x") is None
    assert is_circuit(circuit)
    assert ip_and_port(circuit) is None
    assert ip_and_port("/dns4/a.example/tcp/1") is None
    assert is_loopback("/ip4/127.0.0.9/tcp/1")
    assert not is_loopback("/ip4/192.0.2.7/tcp/1")


def test_a_peer_id_holds_its_key() -> None:
    assert signing_key_of(PEER) == KEY.public_key().public_bytes_raw()
    for wrong in ("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", PEER[:-1], "", "0OIl"):
        with pytest.raises(ValueError, match=r"peer id|character"):
            signing_key_of(wrong)


def test_the_nearest_are_told_first_and_hints_of_one_do_not_crowd_out_others() -> None:
    book = PeerBook(PEER, [], None, now_s=lambda: 0.0)
    peers = [peer_id_of(bytes([number]) * 32) for number in range(50)]
    for peer_id in peers:
        book.confirm(peer_id, ["/ip4/192.0.2.1/tcp/1"], [], None)
    near = [peer_id for peer_id, _ in book.closest(OTHER, leave_out=peers[0])]
    assert near == sorted(set(peers) - {peers[0]}, key=lambda each: distance(each, OTHER))[: bounds.CLOSEST]
    book.hint(OTHER, ["/ip4/192.0.2.9/tcp/1"], 0.0)
    book.hint(OTHER, [f"/ip4/198.51.100.{number}/tcp/1" for number in range(8)], 0.0)
    assert "/ip4/192.0.2.9/tcp/1" in book.addresses_of(OTHER)


# ---------------------------------------------------------------- mDNS


@given(st.binary(max_size=600))
def test_no_txt_record_does_more_than_be_ignored(text: bytes) -> None:
    assert all(valid_address(address) for address, _ in read_txt(text))


async def test_two_nodes_find_each_other_by_mdns() -> None:
    found: dict[str, dict[str, list[str]]] = {PEER: {}, OTHER: {}}

    def noting(own: str) -> Callable[[str, list[str]], None]:
        return lambda peer_id, addresses: found[own].update({peer_id: addresses})

    async with trio.open_nursery() as nursery:
        for own, port in ((PEER, 4001), (OTHER, 4002)):
            addresses = [f"/ip4/127.0.0.1/tcp/{port}"]

            async def live(own: str = own, addresses: list[str] = addresses) -> None:
                await run_lan(own, addresses, noting(own), interfaces=["127.0.0.1"])

            nursery.start_soon(live)
        with trio.fail_after(30):
            while not (OTHER in found[PEER] and PEER in found[OTHER]):  # noqa: ASYNC110
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    assert found[PEER][OTHER] == ["/ip4/127.0.0.1/tcp/4002"]
    assert PEER not in found[PEER]
    assert read_txt(txt_record(["/ip4/127.0.0.1/tcp/4001"], PEER)) == [("/ip4/127.0.0.1/tcp/4001", PEER)]
