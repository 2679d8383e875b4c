"""Canonical bytes: one value has one encoding (RFC 8949 deterministic CBOR), and decoding accepts only that."""

from __future__ import annotations

import hashlib
from typing import Any

import cbor2

from shoal.core import limits
from shoal.core.ids import Digest


class CodecError(ValueError):
    """Bytes that are not the canonical encoding of a plain value within the limits."""


def encode(value: Any) -> bytes:
    """Encode dicts with text keys, lists, ints, floats, bytes, text, booleans and None.

    >>> encode({"b": 1, "a": b"x"}).hex()
    'a261614178616201'
    """
    _check(value, 0)
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes, *, max_bytes: int) -> Any:
    """Decode canonical CBOR.

    Raises:
        CodecError: too long, malformed, trailing bytes, tags, other types, or not canonical.
    """
    if len(data) > max_bytes:
        raise CodecError(f"{len(data)} bytes, at most {max_bytes} are accepted")
    try:
        value = cbor2.loads(data)
    except Exception as error:  # cbor2 raises several families on hostile input
        raise CodecError("not CBOR") from error
    try:
        again = encode(value)
    except (ValueError, OverflowError) as error:
        raise CodecError(str(error)) from error
    if again != data:
        raise CodecError("not the canonical encoding")
    return value


def digest(data: bytes) -> Digest:
    """SHA-256."""
    return Digest(hashlib.sha256(data).digest())


def _check(value: Any, depth: int) -> None:
    if depth > limits.CBOR_DEPTH:
        raise CodecError("nested too deeply")
    if value is None or isinstance(value, bool | float | bytes | str):
        return
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise CodecError("integer out of range")
        return
    if isinstance(value, list | tuple):
        for item in value:
            _check(item, depth + 1)
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise CodecError("keys are text")
            _check(item, depth + 1)
        return
    raise CodecError(f"{type(value).__name__} has no encoding here")
