"""UnixFS files: how bytes become a tree of blocks, and how such blocks are read.

Sources: the UnixFS and DAG-PB specifications (specs.ipfs.tech/unixfs, ipld.io/specs/codecs/dag-pb), and for the layouts
IPIP-499 and the defaults of Kubo and Helia.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from shoal.adapters.ipfs.cid import DAG_PB, RAW, Cid, CidError, to_varint, varint

KIB = 1024
_FILE_TYPES = (0, 2)
"""Raw and File."""
_TYPE_NAMES = {1: "a directory", 3: "metadata", 4: "a symbolic link", 5: "a directory"}
_LINKS = 8_192
"""Most links that a block may have: 1,024 is the widest layout in use."""


class NodeError(ValueError):
    """A block is not part of a file; the text says what it is, and may be shown."""


# ---------------------------------------------------------------- layouts


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is cut and its pieces are tied together, which decides its CID."""

    chunk_bytes: int
    links: int
    version: int
    raw_leaves: bool


MIB_1024 = Layout(1_024 * KIB, 1_024, 1, True)
"""The profile `unixfs-v1-2025` of IPIP-499."""
KIB_256_RAW = Layout(256 * KIB, 174, 1, True)
KIB_256_V0 = Layout(256 * KIB, 174, 0, False)
"""Kubo's default of old, the profile `unixfs-v0-2015`."""
LAYOUTS = (
    MIB_1024,
    KIB_256_RAW,
    KIB_256_V0,
    Layout(1_024 * KIB, 174, 1, True),
    Layout(256 * KIB, 1_024, 1, True),
    Layout(256 * KIB, 174, 1, False),
    Layout(256 * KIB, 174, 0, True),
)
"""Those that are tried when the CID of some bytes is to be recomputed, the likeliest first."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A subtree: its root, the bytes of all its blocks, and the bytes of the file in it."""

    cid: Cid
    tree_bytes: int
    file_bytes: int


def file_cid(file: BinaryIO, layout: Layout, keep: Callable[[Cid, bytes], None] | None = None) -> Cid:
    """The CID of a file in one layout, read in pieces: of each, only its CID and sizes are kept.

    >>> import io
    >>> str(file_cid(io.BytesIO(b"hello world\\n"), KIB_256_V0))
    'QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o'

    Args:
        keep: is handed every block.
    """
    parts: list[_Part] = []
    while (chunk := _read(file, layout.chunk_bytes)) or not parts:
        block, codec = (chunk, RAW) if layout.raw_leaves else (_encode(chunk, [], len(chunk)), DAG_PB)
        parts.append(_part(block, codec, len(chunk), len(block), layout, keep))
    while len(parts) > 1:
        groups = [parts[at : at + layout.links] for at in range(0, len(parts), layout.links)]
        parts = [_tie(group, layout, keep) for group in groups]
    return parts[0].cid


def _tie(group: list[_Part], layout: Layout, keep: Callable[[Cid, bytes], None] | None) -> _Part:
    size = sum(part.file_bytes for part in group)
    block = _encode(b"", group, size)
    return _part(block, DAG_PB, size, len(block) + sum(part.tree_bytes for part in group), layout, keep)


def _part(
    block: bytes, codec: int, size: int, tree: int, layout: Layout, keep: Callable[[Cid, bytes], None] | None
) -> _Part:
    # A raw block has no name in version 0.
    cid = Cid.of(block, codec, 1 if codec == RAW else layout.version)
    if keep is not None:
        keep(cid, block)
    return _Part(cid, tree, size)


def _read(file: BinaryIO, size: int) -> bytes:
    """Exactly `size` bytes but at the end, also from what returns less at a time."""
    pieces, got = [], 0
    while got < size and (piece := file.read(size - got)):
        pieces.append(piece)
        got += len(piece)
    return b"".join(pieces)


def _encode(data: bytes, parts: list[_Part], size: int) -> bytes:
    """A DAG-PB block: links before data, as the canonical form has it, with empty names."""
    unixfs = b"\x08\x02" + (_field(2, data) if data else b"") + b"\x18" + to_varint(size)
    unixfs += b"".join(b"\x20" + to_varint(part.file_bytes) for part in parts)
    links = (
        _field(2, _field(1, part.cid.to_bytes()) + _field(2, b"") + b"\x18" + to_varint(part.tree_bytes))
        for part in parts
    )
    return b"".join(links) + _field(1, unixfs)


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + to_varint(len(value)) + value


# ---------------------------------------------------------------- reading blocks


@dataclass(frozen=True, slots=True)
class Node:
    """A block of a file: its own bytes come first, then those below each link, with the size that is said of them."""

    data: bytes
    links: tuple[tuple[Cid, int], ...]
    size_bytes: int


def read_node(cid: Cid, block: bytes) -> Node:
    """Read a block that has been found to be the one that `cid` names.

    Raises:
        NodeError: it is no part of a file, or its parts contradict each other.
    """
    if cid.codec == RAW:
        return Node(block, (), len(block))
    if cid.codec != DAG_PB:
        raise NodeError(f"a block in the codec 0x{cid.codec:x}, which is no file")
    try:
        cids, data = _read_dag_pb(block)
        kind, own, size, sizes = _read_unixfs(data)
    except CidError as error:
        raise NodeError(f"malformed: {error}") from None
    if kind not in _FILE_TYPES:
        raise NodeError(f"{_TYPE_NAMES.get(kind, 'of an unknown type')}, not a file")
    if len(sizes) != len(cids) or size not in (None, len(own) + sum(sizes)):
        raise NodeError("malformed: its sizes contradict each other")
    if 0 in sizes:  # nobody makes these; a tree of nothing but them could be endless
        raise NodeError("malformed: it has branches without bytes")
    return Node(own, tuple(zip(cids, sizes, strict=True)), len(own) + sum(sizes))


def _read_dag_pb(block: bytes) -> tuple[list[Cid], bytes]:
    cids: list[Cid] = []
    data: bytes | None = None
    for number, value in _fields(block):
        if number == 2 and isinstance(value, bytes):
            target = [each for name, each in _fields(value) if name == 1]
            if len(target) != 1 or not isinstance(target[0], bytes) or len(cids) >= _LINKS:
                raise CidError("a link that leads nowhere, or too many of them")
            cids.append(Cid.from_bytes(target[0]))
        elif number == 1 and isinstance(value, bytes) and data is None:
            data = value
        else:
            raise CidError("it is not DAG-PB")
    if data is None:
        raise CidError("it has no UnixFS data")
    return cids, data


def _read_unixfs(data: bytes) -> tuple[int, bytes, int | None, list[int]]:
    kind: int | None = None
    own, size, sizes = b"", None, []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, bytes):
            own = value
        elif number == 3 and isinstance(value, int):
            size = value
        elif number == 4 and isinstance(value, int):
            sizes.append(value)
    if kind is None:
        raise CidError("it has no UnixFS type")
    return kind, own, size, sizes


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """The fields of a protobuf message: numbers, and pieces of a length. Raises CidError."""
    found: list[tuple[int, int | bytes]] = []
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        value, at = varint(data, at)
        if key & 7 == 0:
            found.append((key >> 3, value))
        elif key & 7 == 2 and at + value <= len(data):
            found.append((key >> 3, data[at : at + value]))
            at += value
        else:
            raise CidError("it is not the protobuf that was expected")
    return found
