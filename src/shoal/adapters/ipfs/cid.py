"""CIDs: the names that IPFS gives to bytes, as text and as bytes, with SHA-256 as the only hash.

Source: https://github.com/multiformats/cid, and the multibase and unsigned-varint specifications beside it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Self

import base58

RAW, DAG_PB = 0x55, 0x70
_SHA256 = b"\x12\x20"
_TEXT_CHARS = 128
_VARINT_BYTES = 9
"""As the multiformats allow: 63 bits."""


class CidError(ValueError):
    """It is no CID, or one that is not read here; the text says which, and may be shown."""


@dataclass(frozen=True, slots=True)
class Cid:
    """One CID. Two with the same codec and digest name the same block, whatever their version.

    >>> str(Cid.of(b"hello world\\n"))
    'bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4'
    """

    version: int
    codec: int
    digest: bytes

    @classmethod
    def of(cls, block: bytes, codec: int = RAW, version: int = 1) -> Self:
        """The CID of a block."""
        return cls(version, codec, hashlib.sha256(block).digest())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a CID as people paste it: `Qm...`, `bafy...`, or with `ipfs://` or `/ipfs/` before it.

        Raises:
            CidError: it is none, has a path after it, or names bytes by another hash than SHA-256.
        """
        bare = text.strip().removeprefix("ipfs://").removeprefix("/ipfs/").removesuffix("/")
        if not bare or len(bare) > _TEXT_CHARS or not bare.isascii():
            raise CidError("it is no CID")
        if "/" in bare or "?" in bare:
            raise CidError("it has a path after the CID, which is not followed")
        if len(bare) == 46 and bare.startswith("Qm"):
            return cls.from_bytes(_base58(bare))
        decoders = {"b": _base32, "B": lambda body: _base32(body.lower()), "z": _base58, "f": _hex, "F": _hex}
        if bare[0] not in decoders:
            raise CidError("it is no CID in base32, base58 or hex")
        found = cls.from_bytes(decoders[bare[0]](bare[1:]))
        if found.version == 0:
            raise CidError("it is a CID of version 0 in a form that only version 1 has")
        return found

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a CID that takes up all of `data`. Raises CidError."""
        found, end = cls.take(data)
        if end != len(data):
            raise CidError("there is more after the CID")
        return found

    @classmethod
    def take(cls, data: bytes) -> tuple[Self, int]:
        """Read the CID that `data` begins with, and tell where it ends. Raises CidError."""
        if data[:2] == _SHA256:
            return cls(0, DAG_PB, _digest(data[2:34])), 34
        version, at = varint(data, 0)
        if version != 1:
            raise CidError(f"CIDs of version {version} are not known")
        codec, at = varint(data, at)
        if data[at : at + 2] != _SHA256:
            raise CidError("it names bytes by another hash than SHA-256")
        return cls(1, codec, _digest(data[at + 2 : at + 34])), at + 34

    def to_bytes(self) -> bytes:
        """The binary form, as it stands in links and CARs."""
        return _SHA256 + self.digest if self.version == 0 else b"\x01" + to_varint(self.codec) + _SHA256 + self.digest

    def names(self, block: bytes) -> bool:
        """Whether this is the block that the CID names."""
        return hashlib.sha256(block).digest() == self.digest

    @property
    def block(self) -> tuple[int, bytes]:
        """Codec and digest: the same for both versions of a CID."""
        return self.codec, self.digest

    def __str__(self) -> str:
        if self.version == 0:
            return base58.b58encode(self.to_bytes()).decode()
        return "b" + base64.b32encode(self.to_bytes()).decode().lower().rstrip("=")


def varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned varint in its shortest form, and where it ends. Raises CidError."""
    value = 0
    for index, byte in enumerate(data[at : at + _VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index:
                raise CidError("a number in it is longer than need be")
            return value, at + index + 1
    raise CidError("a number in it has no end")


def to_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _digest(data: bytes) -> bytes:
    if len(data) != 32:
        raise CidError("it is cut short")
    return data


def _base32(body: str) -> bytes:
    try:
        data = base64.b32decode(body.upper() + "=" * (-len(body) % 8))
    except binascii.Error:
        raise CidError("it is no base32") from None
    if base64.b32encode(data).decode().lower().rstrip("=") != body:
        raise CidError("it is no base32 in lower case")  # or bits are set that stand for nothing
    return data


def _base58(body: str) -> bytes:
    try:
        return base58.b58decode(body)
    except ValueError:
        raise CidError("it is no base58") from None


def _hex(body: str) -> bytes:
    try:
        return bytes.fromhex(body)
    except ValueError:
        raise CidError("it is no hex") from None
