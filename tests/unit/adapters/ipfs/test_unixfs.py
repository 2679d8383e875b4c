"""CIDs of files against those that Helia's importer made (tests/js-ipfs), and what hostile blocks may not do."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from shoal.adapters.ipfs.assemble import Assembler
from shoal.adapters.ipfs.blocks import CarBlocks, SingleBlocks
from shoal.adapters.ipfs.cid import DAG_PB, RAW, Cid, CidError, to_varint, varint
from shoal.adapters.ipfs.files import matches
from shoal.adapters.ipfs.unixfs import KIB_256_V0, LAYOUTS, Layout, NodeError, file_cid, read_node
from shoal.errors import CryptoError, ShoalError, StorageError

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors.json").read_text())


@cache
def content(seed: str, size: int) -> bytes:
    """The same bytes as in tests/js-ipfs/vectors.mjs."""
    parts = (hashlib.sha256(f"{seed},{index}".encode()).digest() for index in range(-(-size // 32)))
    return b"".join(parts)[:size]


def layout_of(vector: dict[str, Any]) -> Layout:
    return Layout(vector["chunk"], vector["links"], vector["version"], vector["rawLeaves"])


# ---------------------------------------------------------------- CIDs of files


@pytest.mark.parametrize(
    "vector", VECTORS["cids"], ids=lambda v: f"{v['size']}-{v['chunk']}-{v['links']}-v{v['version']}"
)
def test_a_file_has_the_cid_that_another_implementation_gives_it(vector: dict[str, Any]) -> None:
    data = content(vector["seed"], vector["size"])
    assert str(file_cid(io.BytesIO(data), layout_of(vector))) == vector["cid"]


def test_vectors_cover_every_layout_but_one() -> None:
    """Raw leaves below a root of version 0: Kubo makes them on demand, Helia's importer does not."""
    assert len(VECTORS["cids"]) == 131  # as docs/ipfs.md says
    covered = {layout_of(vector) for vector in VECTORS["cids"]}
    assert {layout for layout in LAYOUTS if layout not in covered} == {Layout(256 * 1024, 174, 0, True)}


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("size", [0, 12, 3_000_000])
def test_bytes_are_recognised_in_every_layout_and_no_others(layout: Layout, size: int) -> None:
    cid = file_cid(io.BytesIO(content("a", size)), layout)
    assert matches(io.BytesIO(content("a", size)), cid)
    assert not matches(io.BytesIO(content("a", size) + b"x"), cid)


# ---------------------------------------------------------------- CIDs as text


KNOWN = (
    "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
    "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4",
    "bafybeiei4gndtjho3vcv55gqpi4iqw4s3pta5ifednsqy5ejfbm575jyxe",
)


@pytest.mark.parametrize("text", KNOWN)
def test_a_cid_reads_as_it_is_written(text: str) -> None:
    cid = Cid.parse(text)
    assert str(cid) == text
    assert Cid.from_bytes(cid.to_bytes()) == cid
    for form in (f"ipfs://{text}", f"/ipfs/{text}", f" {text}\n", f"f{cid.to_bytes().hex()}"):
        if cid.version == 1 or not form.startswith("f"):
            assert Cid.parse(form) == cid


def test_both_versions_name_one_block() -> None:
    old = Cid.parse(KNOWN[0])
    assert old.block == Cid(1, old.codec, old.digest).block and old.codec == DAG_PB


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "Qm", "hello", KNOWN[0][:-1], KNOWN[0][:-1] + "0", KNOWN[1][:-1], KNOWN[1] + "a", KNOWN[1] + "/a.txt",
        KNOWN[1][:-1] + "5", "z" + KNOWN[0], "b" * 200, "ü" * 46, "bafkqaaa", "f01551112" + "00" * 20, "k" + KNOWN[0],
    ],
)  # fmt: skip
def test_what_is_no_cid_is_refused(text: str) -> None:
    with pytest.raises(CidError):
        Cid.parse(text)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**32, 2**63 - 1])
def test_varints(value: int) -> None:
    assert varint(to_varint(value) + b"rest", 0) == (value, len(to_varint(value)))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x00", b"\xff" * 10])
def test_varints_that_are_none(data: bytes) -> None:
    with pytest.raises(CidError):
        varint(data, 0)


# ---------------------------------------------------------------- blocks


def field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + to_varint(len(value)) + value


def node(unixfs: bytes, *links: Cid) -> tuple[Cid, bytes]:
    block = b"".join(field(2, field(1, cid.to_bytes())) for cid in links) + field(1, unixfs)
    return Cid.of(block, DAG_PB), block


LEAF = Cid.of(b"leaf")
BAD_NODES = {
    "directory": node(b"\x08\x01"),
    "sharded directory": node(b"\x08\x05"),
    "symlink": node(b"\x08\x04\x12\x01/"),
    "unknown type": node(b"\x08\x09"),
    "no type": node(b"\x18\x00"),
    "size too large": node(b"\x08\x02\x12\x01x\x18\x02"),
    "size of a link missing": node(b"\x08\x02\x18\x04", LEAF),
    "size without a link": node(b"\x08\x02\x18\x04\x20\x04"),
    "sizes do not add up": node(b"\x08\x02\x18\x05\x20\x04", LEAF),
    "empty branch": node(b"\x08\x02\x18\x00\x20\x00", LEAF),
    "length beyond the end": (Cid.of(b"\x0a\x09x", DAG_PB), b"\x0a\x09x"),
    "group": (Cid.of(b"\x0b\x00", DAG_PB), b"\x0b\x00"),
    "no data": (Cid.of(b"", DAG_PB), b""),
    "two data": (Cid.of(field(1, b"\x08\x02") * 2, DAG_PB), field(1, b"\x08\x02") * 2),
    "link of no CID": (Cid.of(b"", DAG_PB), field(2, field(1, b"x")) + field(1, b"\x08\x02")),
    "too many links": node(b"\x08\x02", *[LEAF] * 8_193),
    "another codec": (Cid.of(b"\xa0", 0x71), b"\xa0"),
}


@pytest.mark.parametrize("name", BAD_NODES)
def test_a_block_that_is_no_part_of_a_file_is_refused(name: str) -> None:
    with pytest.raises(NodeError):
        read_node(*BAD_NODES[name])


# ---------------------------------------------------------------- from CARs and blocks to files


async def nothing(cid: Cid) -> bytes:
    raise AssertionError(f"{cid} was asked for singly")


class InPieces:
    """Bytes as they come over a network; no generator, since a CAR is often left before its end."""

    def __init__(self, data: Iterable[bytes]) -> None:
        self._rest = iter(data)

    def __aiter__(self) -> InPieces:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._rest:
            return piece
        raise StopAsyncIteration


def in_pieces(data: bytes, size: int = 7) -> InPieces:
    return InPieces(data[at : at + size] for at in range(0, len(data), size))


def sections(car: bytes) -> tuple[bytes, list[tuple[Cid, bytes]]]:
    """A CAR taken apart: header, and blocks."""
    size, at = varint(car, 0)
    header, at = car[: at + size], at + size
    found = []
    while at < len(car):
        size, start = varint(car, at)
        cid, end = Cid.take(car[start : start + size])
        found.append((cid, car[start + end : start + size]))
        at = start + size
    return header, found


def joined(header: bytes, blocks: list[tuple[Cid, bytes]]) -> bytes:
    parts = (cid.to_bytes() + block for cid, block in blocks)
    return header + b"".join(to_varint(len(part)) + part for part in parts)


CARS = VECTORS["cars"]


@pytest.mark.parametrize("vector", CARS, ids=["raw", "v0"])
@pytest.mark.parametrize("order", ["as it came", "reversed", "sorted"])
async def test_a_car_of_any_order_becomes_the_file(vector: dict[str, Any], order: str) -> None:
    header, blocks = sections(base64.b64decode(vector["car"]))
    if order != "as it came":
        blocks = blocks[::-1] if order == "reversed" else sorted(blocks, key=lambda each: each[0].digest)
    out, told = io.BytesIO(), []
    assembler = Assembler(
        CarBlocks("gateway", in_pieces(joined(header, blocks)), nothing),
        out,
        max_bytes=1_000,
        progress=lambda done, total: told.append((done, total)),
    )
    assert await assembler.run(Cid.parse(vector["cid"])) == 1_000
    assert out.getvalue() == content("c", 1_000)
    assert told[-1] == (1_000, 1_000) and told == sorted(told)


@pytest.mark.parametrize("vector", CARS, ids=["raw", "v0"])
async def test_what_a_broken_car_lacks_is_asked_for_singly(vector: dict[str, Any]) -> None:
    header, blocks = sections(base64.b64decode(vector["car"]))
    store = {cid.block: block for cid, block in blocks}
    asked: list[Cid] = []

    async def ask(cid: Cid) -> bytes:
        asked.append(cid)
        return store[cid.block]

    for cut in (0, 1, len(header), len(joined(header, blocks)) // 2, -1):
        out = io.BytesIO()
        source = CarBlocks("gateway", in_pieces(joined(header, blocks)[:cut]), ask)
        await Assembler(source, out, max_bytes=1_000).run(Cid.parse(vector["cid"]))
        assert out.getvalue() == content("c", 1_000), cut
    assert asked


@pytest.mark.parametrize("vector", CARS, ids=["raw", "v0"])
async def test_no_single_changed_byte_gets_through(vector: dict[str, Any]) -> None:
    """Each bit of each block decides: the file is refused, or it is the file."""
    header, blocks = sections(base64.b64decode(vector["car"]))

    async def gone(cid: Cid) -> bytes:
        raise StorageError("gone", code="SHOAL-S23")

    car = joined(header, blocks)
    for at in range(0, len(car), 3):
        changed = car[:at] + bytes([car[at] ^ 0x10]) + car[at + 1 :]
        out = io.BytesIO()
        try:
            await Assembler(CarBlocks("gateway", in_pieces(changed, 500), gone), out, max_bytes=1_000).run(
                Cid.parse(vector["cid"])
            )
        except ShoalError:
            continue
        assert out.getvalue() == content("c", 1_000), at


async def test_a_tree_that_repeats_itself_asks_for_no_block_twice() -> None:
    layout = Layout(4_096, 3, 1, True)
    data, store = bytes(4_096 * 100), {}
    root = file_cid(io.BytesIO(data), layout, lambda cid, block: store.setdefault(cid.block, block))
    asked: list[tuple[int, bytes]] = []

    async def ask(cid: Cid) -> bytes:
        asked.append(cid.block)
        return store[cid.block]

    out = io.BytesIO()
    assert await Assembler(SingleBlocks("gateway", ask), out, max_bytes=len(data)).run(root) == len(data)
    assert out.getvalue() == data
    assert len(asked) == len(set(asked)) == len(store)


async def test_a_wrong_block_is_refused() -> None:
    async def ask(cid: Cid) -> bytes:
        return b"other"

    with pytest.raises(CryptoError) as caught:
        await SingleBlocks("gateway", ask).get(Cid.of(b"leaf"))
    assert caught.value.code == "SHOAL-K20"


async def run_store(root: Cid, store: dict[tuple[int, bytes], bytes], most: int = 10**6) -> bytes:
    async def ask(cid: Cid) -> bytes:
        return store[cid.block]

    out = io.BytesIO()
    await Assembler(SingleBlocks("gateway", ask), out, max_bytes=most).run(root)
    return out.getvalue()


async def test_a_tree_whose_sizes_lie_is_refused() -> None:
    leaf = b"x" * 10
    cid, block = node(b"\x08\x02\x18\x05\x20\x05", Cid.of(leaf))
    with pytest.raises(StorageError) as caught:
        await run_store(cid, {cid.block: block, Cid.of(leaf).block: leaf})
    assert caught.value.code == "SHOAL-S28"


async def test_a_tree_that_is_too_deep_is_refused() -> None:
    cid, store = Cid.of(b"x"), {Cid.of(b"x").block: b"x"}
    for _ in range(40):
        cid, block = node(b"\x08\x02\x18\x01\x20\x01", cid)
        store[cid.block] = block
    with pytest.raises(StorageError) as caught:
        await run_store(cid, store)
    assert caught.value.code == "SHOAL-S28"


async def test_what_is_too_large_is_known_from_the_root() -> None:
    store: dict[tuple[int, bytes], bytes] = {}
    root = file_cid(io.BytesIO(content("c", 1_000)), Layout(64, 3, 1, True), lambda c, b: store.setdefault(c.block, b))
    only_root = {root.block: store[root.block]}
    with pytest.raises(StorageError) as caught:
        await run_store(root, only_root, most=999)
    assert caught.value.code == "SHOAL-S24"
    assert await run_store(root, store, most=1_000) == content("c", 1_000)


@pytest.mark.parametrize(
    "car",
    [
        b"<html>" * 20,
        b"\xff" * 40,
        b"\x03\xa1\x00\x00",
        to_varint(2**40),
        b"\x0a\xa1gversion\x02",
        b"\x80\x00",
    ],
)
async def test_what_is_no_car_is_refused(car: bytes) -> None:
    with pytest.raises(StorageError) as caught:
        await CarBlocks("gateway", in_pieces(car), nothing).get(LEAF)
    assert caught.value.code == "SHOAL-S25"


async def test_a_car_full_of_other_things_is_left() -> None:
    header, _ = sections(base64.b64decode(CARS[0]["car"]))

    def endless() -> Iterator[bytes]:
        yield header
        for index in range(100):
            block = index.to_bytes(4, "big") + bytes(1024 * 1024)
            yield joined(b"", [(Cid.of(block, RAW), block)])

    with pytest.raises(StorageError) as caught:
        await CarBlocks("gateway", InPieces(endless()), nothing).get(LEAF)
    assert caught.value.code == "SHOAL-S25"


def test_a_file_like_object_may_return_less_than_it_was_asked_for() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 1_000))

    data = content("a", 600_000)
    assert file_cid(Slow(data), KIB_256_V0) == file_cid(io.BytesIO(data), KIB_256_V0)
