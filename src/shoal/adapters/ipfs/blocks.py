"""Where blocks come from: a CAR as it streams in, or one request each; every block is hashed before anyone sees it.

Source: the CARv1 specification (ipld.io/specs/transport/car/carv1).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import trio

from shoal.adapters.ipfs.cid import Cid, CidError, varint
from shoal.adapters.ipfs.http import BrokenOff
from shoal.adapters.ipfs.refusals import bad_bytes, broken_off, odd_answer
from shoal.core.limits import IPFS_BLOCK_BYTES, MIB
from shoal.errors import StorageError

_HEADER_BYTES = 64 * 1024
_AHEAD_BYTES = 64 * MIB
"""Blocks that come before they are wanted are kept up to this; Kubo's order, depth first, needs none of it."""
_VERSION_1 = b"gversion\x01"
"""As deterministic CBOR has it. A CAR's roots tell nothing: gateways may put anything there."""

GetBlock = Callable[[Cid], Awaitable[bytes]]


class Blocks(Protocol):
    async def get(self, cid: Cid) -> bytes:
        """A block, known to be the one that `cid` names. Raises StorageError or CryptoError."""
        ...


class SingleBlocks:
    """Blocks asked for one by one.

    Args:
        name: who sends them, for errors.
        ask: gets the bytes of one block, unchecked.
    """

    def __init__(self, name: str, ask: GetBlock) -> None:
        self._name, self._ask = name, ask

    async def get(self, cid: Cid) -> bytes:
        block = await self._ask(cid)
        if len(block) > IPFS_BLOCK_BYTES or not await _is(cid, block):
            raise bad_bytes(self._name, str(cid))
        return block


class CarBlocks:
    """Blocks of a CAR, read forward only; what it lacks is asked for singly.

    Args:
        name: who sends it, for errors.
        pieces: the CAR's bytes.
        ask: gets one block that the CAR does not have: one that it holds once but is needed again, or what a broken
            connection left out.
    """

    def __init__(self, name: str, pieces: AsyncIterator[bytes], ask: GetBlock) -> None:
        self._name, self._pieces = name, pieces
        self._singly = SingleBlocks(name, ask)
        self._buffer = bytearray()
        self._begun = self._ended = self._broken = False
        self._kept: dict[tuple[int, bytes], bytes] = {}
        self._kept_bytes = 0

    async def get(self, cid: Cid) -> bytes:
        if (kept := self._kept.pop(cid.block, None)) is not None:
            self._kept_bytes -= len(kept)
            return kept
        while not self._ended:
            found = await self._next()
            if found is None:
                self._ended = True
                break
            its, block = found
            if its.block == cid.block:
                return block
            self._kept_bytes += len(block)
            self._kept[its.block] = block
            if self._kept_bytes > _AHEAD_BYTES:
                raise odd_answer(self._name, "its CAR is full of blocks that are not part of the file")
        try:
            return await self._singly.get(cid)
        except StorageError:
            if not self._broken:
                raise
            raise broken_off(self._name, "broke off") from None

    async def _next(self) -> tuple[Cid, bytes] | None:
        """The next block; None at the end, also at one that comes too soon."""
        if not self._begun:
            header = await self._section(_HEADER_BYTES)
            if header is None:
                return None
            if _VERSION_1 not in header:
                raise odd_answer(self._name, "what it sends is no CAR of version 1")
            self._begun = True
        section = await self._section(IPFS_BLOCK_BYTES + 64)
        if section is None:
            return None
        try:
            cid, at = Cid.take(section)
        except CidError as error:
            raise odd_answer(self._name, f"its CAR holds a block that cannot be checked: {error}") from None
        block = section[at:]
        if not await _is(cid, block):
            raise bad_bytes(self._name, str(cid))
        return cid, block

    async def _section(self, most: int) -> bytes | None:
        """One length and so many bytes; None where the stream ends or breaks."""
        try:
            while True:
                size, at = self._length()
                if size > most:
                    raise odd_answer(self._name, "its CAR holds a block that is too large")
                if at and len(self._buffer) >= at + size:
                    section = bytes(self._buffer[at : at + size])
                    del self._buffer[: at + size]
                    return section
                self._buffer += await anext(self._pieces)
        except StopAsyncIteration:
            return None
        except BrokenOff:
            self._broken = True
            return None

    def _length(self) -> tuple[int, int]:
        """The length that the buffer begins with, and where it ends: 0 while it is not all there."""
        if not any(byte < 0x80 for byte in self._buffer[:9]):
            if len(self._buffer) >= 9:
                raise odd_answer(self._name, "what it sends is no CAR")
            return 0, 0
        try:
            return varint(bytes(self._buffer[:9]), 0)
        except CidError:
            raise odd_answer(self._name, "what it sends is no CAR") from None


async def _is(cid: Cid, block: bytes) -> bool:
    return await trio.to_thread.run_sync(cid.names, block)
