"""The receiving end of a download: bytes go to a file and into a hash, over as many connections as it takes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import BinaryIO

from shoal.adapters.transfer.target import Target
from shoal.errors import CryptoError

_BUFFER_BYTES = 1024 * 1024
_CONTENT_RANGE = re.compile(rb"bytes (\d{1,19})-(\d{1,19})/(?:\d{1,19}|\*)")
_LENGTH = re.compile(rb"\d{1,19}")


class Incoming:
    """What has arrived of one object. `add` only collects; `flush` writes, and may be called in a thread."""

    def __init__(self, target: Target, file: BinaryIO, max_bytes: int) -> None:
        self._target, self._file, self._max = target, file, max_bytes
        self._sha256 = hashlib.sha256()
        self._etag = ""
        self._buffer = bytearray()
        self.size = 0

    def range_headers(self) -> dict[str, str]:
        """What to ask for: the rest, if there is a beginning, and only if it is still the same object."""
        if not self.size:
            return {}
        same = {"If-Range": self._etag} if self._etag else {}
        return {"Range": f"bytes={self.size}-", **same}

    def begin(self, status: int, headers: Mapping[bytes, bytes]) -> bool:
        """Look at an answer's head; False if it brings no bytes of the object.

        Raises:
            StorageError: SHOAL-S06, it announces more than is allowed.
        """
        fields = {name.lower(): value for name, value in headers.items()}
        if status == 206:
            found = _CONTENT_RANGE.fullmatch(fields.get(b"content-range", b""))
            if not self.size or found is None or int(found[1]) != self.size:
                self._restart()
                return False
        elif status == 200:
            self._restart()
        else:
            if status == 416:
                self._restart()
            return False
        length = fields.get(b"content-length", b"0")
        if _LENGTH.fullmatch(length) and self.size + int(length) > self._max:
            raise self._target.too_large(self._max)
        etag = fields.get(b"etag", b"").decode("latin-1")
        self._etag = etag if etag.startswith('"') and etag.isascii() else ""
        return True

    def add(self, data: bytes) -> bool:
        """Take some bytes; True when it is time to flush. Raises as `begin`, before anything too much is kept."""
        self._buffer += data
        if self.size + len(self._buffer) > self._max:
            self._buffer.clear()
            raise self._target.too_large(self._max)
        return len(self._buffer) >= _BUFFER_BYTES

    def flush(self) -> None:
        self._file.write(self._buffer)
        self._sha256.update(self._buffer)
        self.size += len(self._buffer)
        self._buffer.clear()

    def finish(self, sha256: bytes | None) -> None:
        """Compare, and put it on disk. Raises CryptoError SHOAL-K02 when these are other bytes than promised."""
        if sha256 is not None and self._sha256.digest() != sha256:
            raise CryptoError(f"{self._target} holds other bytes than {sha256.hex()}", code="SHOAL-K02")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._sha256 = hashlib.sha256()
        self._buffer.clear()
        self.size = 0
