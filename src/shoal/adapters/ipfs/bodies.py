"""Parts of files as the bodies of requests."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import trio

from shoal.adapters.ipfs.refusals import local
from shoal.ports import Progress

_PIECE_BYTES = 256 * 1024
_NAME_CHARS = 200
_UNSAFE = re.compile(r'[\x00-\x1f\x7f"\\/]')


class Body(httpx.AsyncByteStream):
    """A part of a file as a request's body, read as it is sent; it may be sent again from its start.

    No generator: a service that answers before the end leaves it where it is.

    Args:
        start, size: which part of the file.
        kind: its media type.
        before, after: bytes around it.
    """

    def __init__(
        self,
        path: Path,
        start: int,
        size: int,
        progress: Progress | None,
        *,
        kind: str,
        before: bytes = b"",
        after: bytes = b"",
    ) -> None:
        self.headers = {"Content-Type": kind, "Content-Length": str(len(before) + size + len(after))}
        self._path, self._start, self._size, self._progress = path, start, size, progress
        self._before, self._after = before, after

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Reading(self)

    async def piece(self, sent: int) -> bytes:
        """What comes after `sent` bytes of the part. Raises StorageError SHOAL-S11, also when the file got shorter."""
        with local_errors(self._path):
            wanted = min(_PIECE_BYTES, self._size - sent)
            piece, total = await trio.to_thread.run_sync(_read, self._path, self._start + sent, wanted)
            if len(piece) < wanted:
                raise OSError(0, "it became shorter while it was read")
        if self._progress is not None:
            self._progress(self._start + sent + len(piece), total)
        return piece


class _Reading:
    """One pass over a body."""

    def __init__(self, body: Body) -> None:
        self._body, self._sent, self._step = body, 0, 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        body = self._body
        if self._step == 0:
            self._step = 1
            if body._before:
                return body._before
        if self._step == 1:
            if self._sent < body._size:
                piece = await body.piece(self._sent)
                self._sent += len(piece)
                return piece
            self._step = 2
            if body._after:
                return body._after
        raise StopAsyncIteration


def _read(path: Path, start: int, size: int) -> tuple[bytes, int]:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size), os.fstat(file.fileno()).st_size


def form(path: Path, size: int, fields: Mapping[str, str], name: str, progress: Progress | None) -> Body:
    """A form with one file (RFC 7578)."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in fields.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{safe_name(name)}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return Body(
        path,
        0,
        size,
        progress,
        kind=f"multipart/form-data; boundary={boundary}",
        before="".join(parts).encode(),
        after=f"\r\n--{boundary}--\r\n".encode(),
    )


def safe_name(name: str) -> str:
    """A name as services take it, which needs no quoting anywhere."""
    return _UNSAFE.sub("_", name).strip()[:_NAME_CHARS] or "file"


@contextmanager
def local_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise local(path.name, error) from error
