"""What a node says of itself to the mesh: canonical CBOR, signed with the key that its peer id holds.

The bytes are 64 of an Ed25519 signature over `shoal/mesh/1`, a line feed and the body, then the body. The peer id
holds the key, so that anyone can check a summary, whoever passed it on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.addresses import PEER_ID, valid_addresses
from shoal.adapters.libp2p.peer_id import signing_key_of
from shoal.core import codec
from shoal.errors import NetworkError
from shoal.ports import NodeSummary, Reachability

MESH_TOPIC = "shoal/mesh/1"
_DOMAIN = b"shoal/mesh/1\n"
_SIGNATURE_BYTES = 64
_ROLE = re.compile(r"[a-z]{1,16}\Z")
_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,32}\Z")
_FIELDS = {
    "peer",
    "roles",
    "addresses",
    "topics",
    "load",
    "version",
    "reachability",
    "peers",
    "latency_us",
    "time_ms",
}


@dataclass(frozen=True, slots=True)
class OwnState:
    """What goes into a node's own summary."""

    peer_id: str
    roles: Sequence[str]
    addresses: Sequence[str]
    topics: Sequence[str]
    load: float
    version: str
    reachability: Reachability
    peers: int
    latency_s: float | None


def sign_summary(state: OwnState, time_s: float, sign: Callable[[bytes], bytes]) -> bytes:
    """The bytes of a summary, as said at Unix time `time_s`."""
    body = codec.encode(
        {
            "peer": state.peer_id,
            "roles": list(state.roles)[: bounds.ROLES],
            "addresses": list(state.addresses)[: bounds.ADDRESSES],
            "topics": list(state.topics)[: bounds.SUMMARY_TOPICS],
            "load": float(state.load),
            "version": state.version,
            "reachability": state.reachability,
            "peers": state.peers,
            "latency_us": None if state.latency_s is None else round(state.latency_s * 1e6),
            "time_ms": round(time_s * 1e3),
        }
    )
    return sign(_DOMAIN + body) + body


def read_summary(data: bytes, now_s: float) -> NodeSummary:
    """Check a summary, signature and all, at Unix time `now_s`. Raises NetworkError.

    Addresses that cannot be dialled are left out; everything else that is wrong makes the whole summary wrong.
    """
    if len(data) > bounds.SUMMARY_BYTES:
        raise _wrong("it is too large")
    signature, body = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
    try:
        fields = codec.decode(body, max_bytes=bounds.SUMMARY_BYTES)
        if not isinstance(fields, dict) or set(fields) != _FIELDS:
            raise _wrong("other fields are expected")
        if not isinstance(fields["peer"], str) or not PEER_ID.match(fields["peer"]):
            raise _wrong("it names no peer")
        Ed25519PublicKey.from_public_bytes(signing_key_of(fields["peer"])).verify(signature, _DOMAIN + body)
        return _checked(fields, now_s)
    except InvalidSignature as error:
        raise _wrong("its signature is wrong") from error
    except (ValueError, TypeError) as error:
        raise _wrong(str(error)) from error


def _checked(fields: dict[str, Any], now_s: float) -> NodeSummary:
    load, latency, time_ms, peers = (fields[name] for name in ("load", "latency_us", "time_ms", "peers"))
    if not isinstance(time_ms, int) or not isinstance(peers, int) or not isinstance(load, float):
        raise _wrong("a number is not a number")
    if not (0 <= load < 1e6 and 0 <= peers < 1e6) or isinstance(peers, bool):
        raise _wrong("a number is out of bounds")
    if latency is not None and (not isinstance(latency, int) or not 0 <= latency < 1e9):
        raise _wrong("its latency is out of bounds")
    age_s = now_s - time_ms / 1e3
    if not -bounds.SUMMARY_AHEAD_S <= age_s <= bounds.SUMMARY_AGE_S:
        raise _wrong("it is too old, or said in the future")
    if fields["reachability"] not in get_args(Reachability) or not _text(fields["version"], _VERSION):
        raise _wrong("its version or reachability is unknown")
    roles, topics, addresses = (fields[name] for name in ("roles", "topics", "addresses"))
    if not all(isinstance(each, list) for each in (roles, topics, addresses)):
        raise _wrong("a list is not a list")
    if len(roles) > bounds.ROLES or not all(_text(each, _ROLE) for each in roles):
        raise _wrong("its roles are malformed")
    if len(topics) > bounds.SUMMARY_TOPICS or not all(
        isinstance(each, str) and 0 < len(each) <= bounds.TOPIC_CHARACTERS for each in topics
    ):
        raise _wrong("its topics are malformed")
    return NodeSummary(
        peer_id=fields["peer"],
        roles=tuple(roles),
        addresses=valid_addresses(addresses),
        topics=tuple(topics),
        load=load,
        version=fields["version"],
        reachability=fields["reachability"],
        peers=peers,
        latency_s=None if latency is None else latency / 1e6,
        time_s=time_ms / 1e3,
        age_s=max(0.0, age_s),
    )


def _text(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.match(value) is not None


def _wrong(why: str) -> NetworkError:
    return NetworkError(f"a malformed summary: {why}", code="SHOAL-N05")
