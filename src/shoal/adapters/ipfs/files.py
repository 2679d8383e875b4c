"""Local files on their way to and from IPFS: read in pieces, checked against a CID, and whole or not there at all."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

import trio

from shoal.adapters.ipfs.bodies import local_errors
from shoal.adapters.ipfs.cid import RAW, Cid, CidError
from shoal.adapters.ipfs.refusals import local, no_cid, too_large
from shoal.adapters.ipfs.unixfs import LAYOUTS, file_cid
from shoal.core.limits import IPFS_FILE_BYTES, MIB
from shoal.errors import UsageError
from shoal.ports import Progress
from shoal.seal.files import whole_file


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


@contextmanager
def as_file(data: bytes) -> Iterator[Path]:
    """Bytes as a file that only this user can read, for as long as the body runs."""
    with tempfile.NamedTemporaryFile(prefix="shoal-") as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


# ---------------------------------------------------------------- is it this file?


def matches(file: BinaryIO, cid: Cid) -> bool:
    """Whether a file is what `cid` names, by recomputing it in each layout that is known; False says nothing."""
    file.seek(0)
    if cid.codec == RAW:
        # One block is the whole file, unless it was too large for one, and then this is no block of a file.
        return hashlib.file_digest(file, "sha256").digest() == cid.digest  # type: ignore[arg-type]
    for layout in LAYOUTS:
        file.seek(0)
        if layout.version == cid.version and file_cid(file, layout).block == cid.block:
            return True
    return False


async def is_file_of(path: Path, cid: Cid) -> bool:
    """`matches`, in a thread. Raises StorageError SHOAL-S11."""
    with local_errors(path), path.open("rb") as file:
        return await trio.to_thread.run_sync(matches, file, cid)


# ---------------------------------------------------------------- arriving


@asynccontextmanager
async def arriving(out: Path) -> AsyncIterator[BinaryIO]:
    """A file that takes the name `out` once the body is done; when it raises, nothing is left."""
    with local_errors(out), whole_file(out) as file:
        yield file


async def save(
    chunks: AsyncIterator[bytes], file: BinaryIO, what: str, most: int, progress: Progress | None, total: int
) -> int:
    """Write what comes, about a MiB at a time; returns its size. Raises StorageError SHOAL-S24."""
    buffer, size = bytearray(), 0
    async for chunk in chunks:
        buffer += chunk
        size += len(chunk)
        if size > most:
            raise too_large(what, most)
        if len(buffer) >= MIB:
            await trio.to_thread.run_sync(file.write, bytes(buffer))
            buffer.clear()
            if progress is not None:
                progress(size, max(size, total))
    file.write(buffer)
    if progress is not None:
        progress(size, size)
    return size
