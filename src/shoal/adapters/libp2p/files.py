"""Files by their SHA-256: pulled in pieces over one stream, resumed after a cut, verified before they appear.

Protocol `/shoal/fetch/1`. A request is 32 bytes of SHA-256 and 8 of offset; a reply is a status byte, 8 bytes
of the file's size, 4 of the piece's length, and the piece. Requests may be sent ahead; replies keep their order.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.frames import MalformedFrame, closing, network_errors, read_exactly, read_frame
from shoal.adapters.libp2p.gates import Gate
from shoal.adapters.libp2p.host import PeerHost
from shoal.adapters.libp2p.requests import BUSY, OK, REFUSED
from shoal.core import limits
from shoal.errors import CryptoError, NetworkError

log = logging.getLogger(__name__)

PROTOCOL = "/shoal/fetch/1"
_HASH_BYTES = 32
_REQUEST_BYTES = _HASH_BYTES + 8
_RETRY_S = 0.25
_CUTS = 4
"""Cuts in a row without a byte more, after which a fetch gives up."""


class Shelf:
    """Files this node gives to anyone who knows their hash."""

    def __init__(self) -> None:
        self._paths: OrderedDict[bytes, Path] = OrderedDict()
        self._gate = Gate(total=bounds.UPLOADS, per_peer=bounds.UPLOADS_PER_PEER)

    def provide(self, sha256: bytes, path: Path) -> None:
        """Offer a file; beyond `bounds.PROVIDED` the one offered first is forgotten."""
        if len(sha256) != _HASH_BYTES:
            raise ValueError("a SHA-256 has 32 bytes")
        self._paths[sha256] = path
        self._paths.move_to_end(sha256)
        while len(self._paths) > bounds.PROVIDED:
            self._paths.popitem(last=False)

    def attach(self, host: PeerHost) -> None:
        host.handle(PROTOCOL, self._on_stream)

    async def _on_stream(self, peer_id: str, stream: Any) -> None:
        async with closing(stream):
            with self._gate.enter(peer_id) as admitted, trio.fail_after(bounds.UPLOAD_LIFE_S):
                while await self._send_piece(stream, admitted):
                    pass

    async def _send_piece(self, stream: Any, admitted: bool) -> bool:
        with trio.fail_after(bounds.FRAME_TIMEOUT_S):
            request = await read_exactly(stream, _REQUEST_BYTES)
        path = self._paths.get(request[:_HASH_BYTES])
        offset = int.from_bytes(request[_HASH_BYTES:], "big")
        status, size, piece = REFUSED, 0, b""
        if not admitted:
            status = BUSY
        elif path is not None:
            try:
                size, piece = await trio.to_thread.run_sync(_read_piece, path, offset)
                status = OK
            except (OSError, ValueError) as error:
                log.info("cannot provide %s: %s", path.name, error)
        with trio.fail_after(bounds.FRAME_TIMEOUT_S):
            await stream.write(bytes([status]) + size.to_bytes(8, "big") + len(piece).to_bytes(4, "big") + piece)
        return status == OK and offset + len(piece) < size


def _read_piece(path: Path, offset: int) -> tuple[int, bytes]:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if offset > size:
            raise ValueError("asked for bytes beyond the end")
        file.seek(offset)
        return size, file.read(limits.PIECE_BYTES)


class Downloads:
    """Files on their way to this node."""

    def __init__(self) -> None:
        self._slots = trio.CapacityLimiter(bounds.DOWNLOADS)
        self._busy: dict[Path, trio.Lock] = {}

    async def fetch(
        self,
        connect: Callable[[], Awaitable[PeerHost]],
        peer_id: str,
        sha256: bytes,
        out: Path,
        *,
        max_bytes: int,
        timeout_s: float,
    ) -> None:
        """Pull a file into `out`. Raises NetworkError, or CryptoError if the bytes have another hash.

        Args:
            connect: gives a host that is connected to the peer; asked again after every cut.
        """
        if len(sha256) != _HASH_BYTES:
            raise ValueError("a SHA-256 has 32 bytes")
        lock = self._busy.setdefault(out, trio.Lock())
        try:
            with network_errors(f"fetching {sha256.hex()[:12]} from {peer_id}"), trio.fail_after(timeout_s):
                async with lock, self._slots:
                    if not await trio.to_thread.run_sync(_holds, out, sha256):
                        await self._pull(connect, peer_id, sha256, out, max_bytes)
        finally:
            if not lock.locked():
                self._busy.pop(out, None)

    async def _pull(
        self, connect: Callable[[], Awaitable[PeerHost]], peer_id: str, sha256: bytes, out: Path, max_bytes: int
    ) -> None:
        partial = out.with_name(f".{out.name}.{sha256.hex()[:16]}.part")
        cuts = 0
        while True:
            start = _size_of(partial)
            try:
                async with closing(await (await connect()).open_stream(peer_id, PROTOCOL)) as stream:
                    await _receive(stream, sha256, partial, max_bytes)
            except _Refused as refused:
                if not refused.busy:
                    raise
            except (MalformedFrame, trio.TooSlowError):
                raise
            except Exception as error:
                cuts = 1 if _size_of(partial) > start else cuts + 1
                if cuts > _CUTS or not _size_of(partial):
                    raise
                log.info("fetch of %s was cut: %r", out.name, error)
            else:
                if await trio.to_thread.run_sync(_finish, partial, out, sha256):
                    return
                # What was there before may be what is wrong, and not this peer's doing: judge it by all its bytes.
                if not start:
                    raise CryptoError(f"{peer_id} sent other bytes than {sha256.hex()}", code="SHOAL-K02")
                continue
            await trio.sleep(_RETRY_S * 2**cuts)


class _Refused(NetworkError):
    default_code = "SHOAL-N08"

    def __init__(self, message: str, *, busy: bool = False) -> None:
        super().__init__(message)
        self.busy = busy


async def _receive(stream: Any, sha256: bytes, partial: Path, max_bytes: int) -> None:
    """Append pieces to `partial` until it is as long as the peer says that the file is."""
    with await trio.to_thread.run_sync(partial.open, "ab") as file:
        done = file.tell()
        if done > max_bytes:
            file.truncate(0)
            done = 0
        asked, size = done, None
        while size is None or done < size:
            ahead = done + bounds.PIECES_AHEAD * limits.PIECE_BYTES
            while asked == done or (size is not None and asked < min(ahead, size)):
                await stream.write(sha256 + asked.to_bytes(8, "big"))
                asked += limits.PIECE_BYTES
            with trio.fail_after(bounds.FRAME_TIMEOUT_S):
                size, piece = await _read_reply(stream, size, max_bytes)
            if len(piece) != min(limits.PIECE_BYTES, size - done):
                raise MalformedFrame("a piece has the wrong length")
            await trio.to_thread.run_sync(file.write, piece)
            done += len(piece)


async def _read_reply(stream: Any, known_size: int | None, max_bytes: int) -> tuple[int, bytes]:
    status = (await read_exactly(stream, 1))[0]
    size = int.from_bytes(await read_exactly(stream, 8), "big")
    piece = await read_frame(stream, limits.PIECE_BYTES)
    if status == BUSY:
        raise _Refused("the peer is busy", busy=True)
    if status != OK:
        raise _Refused("the peer does not have the file")
    if size > max_bytes:
        raise _Refused(f"the file has {size} bytes, at most {max_bytes} are accepted")
    if known_size is not None and size != known_size:
        raise MalformedFrame("the file changed its size")
    return size, piece


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _holds(path: Path, sha256: bytes) -> bool:
    return path.is_file() and _sha256_of(path) == sha256


def _finish(partial: Path, out: Path, sha256: bytes) -> bool:
    """Put a complete, right file in its place, durably; remove a wrong one."""
    if _sha256_of(partial) != sha256:
        partial.unlink()
        return False
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(out)
    return True
