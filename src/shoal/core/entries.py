"""Signed entries of a task's log, and bids: how they are made, encoded, parsed and checked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shoal.core import limits
from shoal.core.codec import CodecError, decode, digest, encode
from shoal.core.ids import Address, Digest, TaskId

KINDS = (
    "manifest",
    "award",
    "assign",
    "envelope",
    "update",
    "void",
    "checkpoint",
    "result",
    "leave",
    "open",
    "verdict",
    "pin",
)
_ENTRY = "shoal/entry/1"
_BID = "shoal/bid-commitment/1"
_LOG = "shoal/log/1"
_LOG_HEAD_BYTES = 40
"""What CBOR, tag and number add to a batch of log lines, at most; place, author and signature come on top."""


class Signer(Protocol):
    """Whoever holds an Ed25519 key."""

    def sign(self, data: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry belongs. Signed with it, so that no entry can be replayed in another task or network."""

    network: str
    contract: str
    task: TaskId


@dataclass(frozen=True, slots=True)
class Entry:
    """One signed statement. `previous` is the hash of its author's entry before (zeros for the first)."""

    place: Place
    author: Address
    sequence: int
    previous: Digest
    kind: str
    body: dict[str, Any]
    payload: bytes
    signature: bytes

    @property
    def hash(self) -> Digest:
        return digest(self.payload)

    def data(self) -> bytes:
        """The bytes that travel: on the topic and in gossip alike."""
        return encode([self.payload, self.signature])

    def signed_by(self, signing_key: bytes) -> bool:
        return verify_signature(signing_key, self.payload, self.signature)


@dataclass(frozen=True, slots=True)
class BidCommitment:
    """A trainer's sealed bid: made by someone who is no participant yet, hence outside the chain of entries."""

    task: TaskId
    trainer: Address
    commitment: Digest
    payload: bytes
    signature: bytes

    def data(self) -> bytes:
        return encode([self.payload, self.signature])


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A batch of a participant's log lines (kind `log`). Outside the chain of entries: what counts never waits for it.

    `lines` is as `loglines.pack` made it.
    """

    place: Place
    author: Address
    sequence: int
    lines: bytes
    payload: bytes
    signature: bytes

    def data(self) -> bytes:
        return encode([self.payload, self.signature])

    def signed_by(self, signing_key: bytes) -> bool:
        return verify_signature(signing_key, self.payload, self.signature)


def make_log_entry(signer: Signer, place: Place, *, author: Address, sequence: int, lines: bytes) -> LogEntry:
    """Sign a batch of lines.

    Raises:
        CodecError: it does not fit one message; `room_for_lines` tells what does.
    """
    payload = encode([_LOG, place.network, place.contract, place.task, author, sequence, lines])
    entry = LogEntry(place, author, sequence, lines, payload, signer.sign(payload))
    if len(entry.data()) > limits.TOPIC_MESSAGE_BYTES:
        raise CodecError(f"{len(lines)} bytes of log lines do not fit one message")
    return entry


def room_for_lines(place: Place) -> int:
    """How many bytes of packed lines fit one message of a topic, which is one transaction."""
    names = len(place.network.encode()) + len(place.contract.encode())
    return limits.TOPIC_MESSAGE_BYTES - _LOG_HEAD_BYTES - names - 32 - 20 - 64


def make_entry(
    signer: Signer,
    place: Place,
    *,
    author: Address,
    sequence: int,
    previous: Digest,
    kind: str,
    body: dict[str, Any],
) -> Entry:
    """Sign an entry.

    Raises:
        CodecError: unknown kind, or more than `limits.LOG_ENTRY_BYTES`.
    """
    if kind not in KINDS:
        raise CodecError(f"no entries of kind {kind!r}")
    head = [_ENTRY, place.network, place.contract, place.task, author, sequence, previous, kind]
    payload = encode([*head, body])
    entry = Entry(place, author, sequence, previous, kind, body, payload, signer.sign(payload))
    if len(entry.data()) > limits.LOG_ENTRY_BYTES:
        raise CodecError(f"an entry of {len(payload)} bytes does not fit a topic")
    return entry


def make_bid_commitment(signer: Signer, task: TaskId, trainer: Address, commitment: Digest) -> BidCommitment:
    payload = encode([_BID, task, trainer, commitment])
    return BidCommitment(task, trainer, commitment, payload, signer.sign(payload))


def parse(data: bytes) -> Entry | BidCommitment | LogEntry:
    """Parse bytes from a stranger. The signature is not checked here, since its key depends on the state.

    Raises:
        CodecError: anything that is not a well-formed entry, bid commitment or batch of log lines.
    """
    match decode(data, max_bytes=limits.LOG_ENTRY_BYTES):
        case [bytes(payload), bytes(signature)] if len(signature) == 64:
            fields = decode(payload, max_bytes=limits.LOG_ENTRY_BYTES)
        case _:
            raise CodecError("not a signed entry")
    match fields:
        case [
            str(tag),
            str(network),
            str(contract),
            bytes(task),
            bytes(author),
            int(sequence),
            bytes(previous),
            str(kind),
            dict(body),
        ] if tag == _ENTRY and kind in KINDS:
            if len(task) != 32 or len(author) != 20 or len(previous) != 32:
                raise CodecError("an entry's field has a wrong size")
            if isinstance(sequence, bool) or sequence < 0:  # `true` is no number where others read the log
                raise CodecError("an entry's sequence number is not one")
            place = Place(network, contract, TaskId(task))
            return Entry(place, Address(author), sequence, Digest(previous), kind, body, payload, signature)
        case [str(tag), bytes(task), bytes(trainer), bytes(commitment)] if tag == _BID:
            if len(task) != 32 or len(trainer) != 20 or len(commitment) != 32:
                raise CodecError("a bid's field has a wrong size")
            return BidCommitment(TaskId(task), Address(trainer), Digest(commitment), payload, signature)
        case [
            str(tag),
            str(network),
            str(contract),
            bytes(task),
            bytes(author),
            int(sequence),
            bytes(lines),
        ] if tag == _LOG:
            if len(task) != 32 or len(author) != 20 or isinstance(sequence, bool) or sequence < 0:
                raise CodecError("a field of log lines is wrong")
            if len(data) > limits.TOPIC_MESSAGE_BYTES:
                raise CodecError("log lines of more than one message")
            return LogEntry(
                Place(network, contract, TaskId(task)), Address(author), sequence, lines, payload, signature
            )
    raise CodecError("neither an entry, nor a bid, nor log lines")


@lru_cache(maxsize=2_048)  # the optimistic view is derived anew at every change, from the same entries
def verify_signature(signing_key: bytes, payload: bytes, signature: bytes) -> bool:
    """Ed25519 (RFC 8032)."""
    try:
        Ed25519PublicKey.from_public_bytes(signing_key).verify(signature, payload)
    except (InvalidSignature, ValueError):
        return False
    return True
