"""Local files on their way to and from IPFS: read in pieces, checked against a CID, and whole or not there at all."""

from __future__ import annotations

import hashlib
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

import trio

from shoal.adapters.ipfs.cid import RAW, Cid, CidError
from shoal.adapters.ipfs.http import Body
from shoal.adapters.ipfs.refusals import local, no_cid
from shoal.adapters.ipfs.unixfs import LAYOUTS, file_cid
from shoal.core.limits import IPFS_FILE_BYTES, MIB
from shoal.errors import UsageError
from shoal.ports import Progress
from shoal.seal.files import whole_file

_PIECE_BYTES = 256 * 1024
_NAME_CHARS = 200
_UNSAFE = re.compile(r'[\x00-\x1f\x7f"\\/]')


def cid_of(text: str) -> Cid:
    """The CID that a user gave. Raises UsageError SHOAL-U20."""
    try:
        return Cid.parse(text)
    except CidError as error:
        raise no_cid(text, str(error)) from None


def upload_size(path: Path, most: int = IPFS_FILE_BYTES) -> int:
    """The size of a file that is to be uploaded.

    Raises:
        UsageError: SHOAL-U21, it is no file, or larger than any service takes.
        StorageError: SHOAL-S11, it cannot be read.
    """
    try:
        size, is_file = path.stat().st_size, path.is_file()
    except OSError as error:
        raise local(path.name, error) from error
    if not is_file or size > most:
        why = f"has more than {most} bytes" if is_file else "is not a file"
        raise UsageError(f"{path.name} {why}", code="SHOAL-U21", hint="give one file; pack a folder into an archive")
    return size


def safe_name(name: str) -> str:
    """A name as services take it, which needs no quoting anywhere."""
    return _UNSAFE.sub("_", name).strip()[:_NAME_CHARS] or "file"


@contextmanager
def as_file(data: bytes) -> Iterator[Path]:
    """Bytes as a file that only this user can read, for as long as the body runs."""
    with tempfile.NamedTemporaryFile(prefix="shoal-") as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


# ---------------------------------------------------------------- is it this file?


def matches(path: Path, cid: Cid) -> bool:
    """Whether a file is what `cid` names, by recomputing it in each layout that is known; False says nothing."""
    with path.open("rb") as file:
        if cid.codec == RAW:
            return hashlib.file_digest(file, "sha256").digest() == cid.digest
        for layout in LAYOUTS:
            file.seek(0)
            if layout.version == cid.version and file_cid(file, layout).block == cid.block:
                return True
    return False


async def is_file_of(path: Path, cid: Cid) -> bool:
    """`matches`, in a thread. Raises StorageError SHOAL-S11."""
    with local_errors(path):
        return await trio.to_thread.run_sync(matches, path, cid)


# ---------------------------------------------------------------- bodies


def multipart(path: Path, size: int, fields: dict[str, str], name: str, progress: Progress | None) -> tuple[
    Body, dict[str, str]
]:  # fmt: skip
    """A form with one file (RFC 7578), read as it is sent: its body, anew for each try, and its headers."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in fields.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{safe_name(name)}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    before, after = "".join(parts).encode(), f"\r\n--{boundary}--\r\n".encode()

    async def body() -> AsyncIterator[bytes]:
        yield before
        async for piece in pieces(path, 0, size, progress):
            yield piece
        yield after

    return body, {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(len(before) + size + len(after)),
    }


async def pieces(path: Path, start: int, size: int, progress: Progress | None) -> AsyncIterator[bytes]:
    """So many bytes of a file, from `start` on. Raises StorageError SHOAL-S11, also when it got shorter meanwhile."""
    with local_errors(path), path.open("rb") as file:
        total = path.stat().st_size
        file.seek(start)
        sent = 0
        while sent < size:
            piece = await trio.to_thread.run_sync(file.read, min(_PIECE_BYTES, size - sent))
            if not piece:
                raise OSError(0, "it became shorter while it was read")
            yield piece
            sent += len(piece)
            if progress is not None:
                progress(start + sent, total)


# ---------------------------------------------------------------- arriving


@asynccontextmanager
async def arriving(out: Path) -> AsyncIterator[BinaryIO]:
    """A file that takes the name `out` once the body is done; when it raises, nothing is left."""
    with local_errors(out), whole_file(out) as file:
        yield file


async def save(chunks: AsyncIterator[bytes], file: BinaryIO) -> None:
    """Write what comes, about a MiB at a time."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        if len(buffer) >= MIB:
            await trio.to_thread.run_sync(file.write, bytes(buffer))
            buffer.clear()
    file.write(buffer)


@contextmanager
def local_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise local(path.name, error) from error
