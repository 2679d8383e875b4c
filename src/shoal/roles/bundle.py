"""The bundles behind an envelope: where a trainer finds its chunks, its slots, and the secret of the task.

A topic message is small, so an envelope holds one presigned URL; behind it lies the trainer's own bundle (sealed to
it alone), and behind that the bundle all trainers share (under the secret of the task).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shoal.core import limits
from shoal.core.codec import CodecError, decode, encode
from shoal.core.task import State

SHARED_LABEL = b"shared"


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where an object lies and what its bytes hash to."""

    url: str
    sha256: bytes
    size_bytes: int

    def to_bytes(self) -> bytes:
        return encode([self.url, self.sha256, self.size_bytes])

    @classmethod
    def from_bytes(cls, data: bytes) -> Pointer:
        return cls.parse(decode(data, max_bytes=limits.ENVELOPE_BYTES))

    @classmethod
    def parse(cls, value: Any) -> Pointer:
        match value:
            case [str(url), bytes(sha256), int(size)] if len(sha256) == 32 and 0 < size <= limits.BUNDLE_BYTES:
                return cls(url, sha256, size)
        raise CodecError("not a pointer to a bundle")

    def fields(self) -> list[Any]:
        return [self.url, self.sha256, self.size_bytes]


@dataclass(frozen=True, slots=True)
class Bundle:
    """One trainer's own part. A key is the age identity of one object."""

    secret: bytes
    chunks: Mapping[int, tuple[str, str]]
    """Chunk -> (URL, key)."""
    validation: tuple[str, str]
    initial: str
    put: Mapping[str, str]
    """Slot -> URL that takes this trainer's object, once."""
    shared: Pointer

    def to_bytes(self) -> bytes:
        return encode(
            {
                "secret": self.secret,
                "chunks": [[chunk, url, key] for chunk, (url, key) in sorted(self.chunks.items())],
                "validation": list(self.validation),
                "initial": self.initial,
                "put": dict(self.put),
                "shared": self.shared.fields(),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Bundle:
        value = decode(data, max_bytes=limits.BUNDLE_BYTES)
        try:
            bundle = cls(
                secret=value["secret"],
                chunks={chunk: (url, key) for chunk, url, key in value["chunks"]},
                validation=(value["validation"][0], value["validation"][1]),
                initial=value["initial"],
                put=value["put"],
                shared=Pointer.parse(value["shared"]),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CodecError("not a trainer's bundle") from error
        pairs = [*bundle.chunks.values(), bundle.validation]
        texts = [bundle.initial, *(text for pair in pairs for text in pair)]
        if not isinstance(bundle.secret, bytes) or len(bundle.secret) != 32 or not _texts(bundle.put):
            raise CodecError("not a trainer's bundle")
        if not all(isinstance(text, str) for text in texts) or not all(isinstance(key, int) for key in bundle.chunks):
            raise CodecError("not a trainer's bundle")
        return bundle

    def serves(self, state: State, seat: int) -> bool:
        """Whether everything that this seat may ever need is in it."""
        held = {c for c, holders in enumerate(state.holders) if seat in (holders.primary, holders.backup)}
        return self.chunks.keys() >= held and self.put.keys() >= set(slots_of(state, seat))


@dataclass(frozen=True, slots=True)
class Opening:
    """A unit, opened to its auditor or to jurors: (URL, age identity) of each object that it was made of.

    The hashes stand in the log: nothing else passes for these objects.
    """

    chunk: tuple[str, str]
    base: tuple[str, str]
    update: tuple[str, str]

    def to_bytes(self) -> bytes:
        return encode([list(self.chunk), list(self.base), list(self.update)])

    @classmethod
    def from_bytes(cls, data: bytes) -> Opening:
        """Parse what a trainer sealed to us.

        Raises:
            CodecError: anything else.
        """
        match decode(data, max_bytes=limits.ENVELOPE_BYTES):
            case [[str(a), str(b)], [str(c), str(d)], [str(e), str(f)]]:
                return cls((a, b), (c, d), (e, f))
        raise CodecError("not an opened unit")


def encode_shared(get: Mapping[str, str]) -> bytes:
    """The part all trainers share: slot -> URL to read it."""
    return encode(dict(get))


def decode_shared(data: bytes) -> dict[str, str]:
    value = decode(data, max_bytes=limits.BUNDLE_BYTES)
    if not _texts(value):
        raise CodecError("not a shared bundle")
    return dict(value)


def update_slot(round: int, chunk: int, seat: int) -> str:
    return f"u/{round}/{chunk}/{seat}"


def checkpoint_slot(round: int, seat: int) -> str:
    return f"c/{round}/{seat}"


def result_slot(seat: int) -> str:
    return f"r/{seat}"


def slots_of(state: State, seat: int) -> list[str]:
    """Every slot that one seat may ever need to write."""
    rounds = range(1, state.plan.rounds + 1)
    held = [c for c, holders in enumerate(state.holders) if seat in (holders.primary, holders.backup)]
    return [
        *(update_slot(round, chunk, seat) for round in rounds for chunk in held),
        *(checkpoint_slot(round, seat) for round in rounds),
        result_slot(seat),
    ]


def update_label(round: int, chunk: int) -> bytes:
    return f"update/{round}/{chunk}".encode()


def checkpoint_label(round: int) -> bytes:
    return f"checkpoint/{round}".encode()


RESULT_LABEL = b"result"


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
