"""The manifest reads back exactly, and every field has its bounds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core import limits
from shoal.core.codec import CodecError, decode, digest, encode
from shoal.core.manifest import Blob, ChunkInfo, Manifest, Rules

BLOB = Blob(digest(b"x"), 10)
MANIFEST = Manifest(
    nonce=bytes(16),
    network="net",
    contract="0.0.1",
    document=BLOB,
    initial=digest(b"i"),
    initial_blob=BLOB,
    recipe={"loss": "mse", "lr": 0.1},
    chunks=(ChunkInfo(BLOB, 5), ChunkInfo(BLOB, 6)),
    validation=ChunkInfo(BLOB, 7),
    slot_bytes=1_000,
    rules=Rules(60, 30, 2),
    summary={"name": "test"},
)
TABLE: dict[str, Any] = decode(MANIFEST.to_bytes(), max_bytes=10_000)


def test_reads_back() -> None:
    assert Manifest.from_bytes(MANIFEST.to_bytes()) == MANIFEST
    assert MANIFEST.hash == digest(MANIFEST.to_bytes())


@pytest.mark.parametrize("key", sorted(TABLE))
def test_every_field_is_needed(key: str) -> None:
    with pytest.raises(CodecError):
        Manifest.from_bytes(encode({name: value for name, value in TABLE.items() if name != key}))


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"v": 2},
        {"v": True},
        {"nonce": bytes(15)},
        {"network": b"net"},
        {"network": "x" * (limits.TEXT_BYTES + 1)},
        {"document": [digest(b"x"), 0]},
        {"document": [digest(b"x"), limits.DOCUMENT_BYTES + 1]},
        {"document": [digest(b"x"), True]},
        {"initial": b""},
        {"recipe": []},
        {"recipe": {"lr": float("inf")}},
        {"chunks": []},
        {"chunks": [[digest(b"x"), 10]]},
        {"chunks": [[digest(b"x"), 10, 0]]},
        {"chunks": [[digest(b"x"), 10, 5]] * (limits.CHUNKS + 1)},
        {"chunks": 7},
        {"validation": None},
        {"slot_bytes": 0},
        {"rules": [0, 30, 2]},
        {"rules": [60, 30]},
        {"rules": [60, 30, 2, 1]},
        {"rules": [60, limits.TASK_LIFE_S + 1, 2]},
        {"summary": "text"},
    ],
)
def test_refuses(change: dict[str, Any]) -> None:
    with pytest.raises(CodecError):
        Manifest.from_bytes(encode(TABLE | change))


@given(st.binary(max_size=100) | st.recursive(st.none() | st.integers(0, 9), st.lists, max_leaves=5).map(encode))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        Manifest.from_bytes(data)
