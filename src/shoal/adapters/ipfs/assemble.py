"""Putting a file together from its blocks, each of which has been checked against its CID."""

from __future__ import annotations

from typing import BinaryIO

import trio

from shoal.adapters.ipfs.blocks import Blocks
from shoal.adapters.ipfs.cid import Cid
from shoal.adapters.ipfs.refusals import not_a_file, too_large
from shoal.adapters.ipfs.unixfs import Node, NodeError, read_node
from shoal.core.limits import MIB
from shoal.ports import Progress

_DEPTH = 16
"""Of a tree: with 174 links a node, a depth of 4 holds 240 TB."""
_COPY_BYTES = MIB
_SMALL_BYTES = 4 * 1024
"""Subtrees below this are not remembered: to fetch one again costs no more than to remember it."""


class Assembler:
    """Writes one file, its blocks in order from left to right.

    A subtree that comes again is copied from what has been written, so that a tree which repeats itself asks for no
    block twice; and nothing is written beyond the size that the root announced.

    Args:
        file: open for reading and writing, and empty.
        max_bytes: most that the file may have.
    """

    def __init__(self, blocks: Blocks, file: BinaryIO, *, max_bytes: int, progress: Progress | None = None) -> None:
        self._blocks, self._file, self._max, self._progress = blocks, file, max_bytes, progress
        self._written = self._total = 0
        self._places: dict[tuple[int, bytes], tuple[int, int]] = {}

    async def run(self, root: Cid) -> int:
        """Write it all; returns its size.

        Raises:
            StorageError: SHOAL-S24, too large; S28, no file; and what the blocks raise.
            CryptoError: SHOAL-K20, a block is not what its CID names.
        """
        node = self._read(root, await self._blocks.get(root), root)
        self._total = node.size_bytes
        if self._total > self._max:
            raise too_large(str(root), self._max)
        await self._place(root, node, root, 0)
        return self._written

    async def _place(self, cid: Cid, node: Node, root: Cid, depth: int) -> None:
        start = self._written
        await trio.to_thread.run_sync(self._write, node.data)
        self._tell()
        for child, size in node.links:
            if (place := self._places.get(child.block)) is not None and place[1] == size:
                await trio.to_thread.run_sync(self._copy, *place)
                self._tell()
                continue
            below = self._read(child, await self._blocks.get(child), root)
            if below.size_bytes != size or depth >= _DEPTH:
                raise not_a_file(str(root), "malformed: its sizes contradict each other, or it is too deep")
            await self._place(child, below, root, depth + 1)
        if node.size_bytes >= _SMALL_BYTES:
            self._places[cid.block] = (start, node.size_bytes)

    def _read(self, cid: Cid, block: bytes, root: Cid) -> Node:
        try:
            return read_node(cid, block)
        except NodeError as error:
            raise not_a_file(str(root), str(error)) from None

    def _write(self, data: bytes) -> None:
        self._file.seek(self._written)
        self._file.write(data)
        self._written += len(data)

    def _copy(self, start: int, size: int) -> None:
        while size:
            self._file.seek(start)
            piece = self._file.read(min(size, _COPY_BYTES))
            self._write(piece)
            start += len(piece)
            size -= len(piece)

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._written, self._total)
