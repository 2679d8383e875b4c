"""A presigned URL is a secret: what may be said of it, and the errors that say it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from shoal.errors import StorageError

_URL_BYTES = 8 * 1024
_S3_CODE = re.compile(rb"<Code>([A-Za-z]{1,60})</Code>")


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, taken apart and found usable. Its text shows the host and a short hash of the path, nothing else."""

    url: str = field(repr=False)
    name: str
    write_once: bool
    """Whether its signature demands `If-None-Match: *`."""

    @classmethod
    def parse(cls, url: str) -> Target:
        """Raises StorageError SHOAL-S08 for what is no http(s) URL."""
        try:
            parts = urlsplit(url)
            host, port, query = parts.hostname, parts.port, parse_qs(parts.query)
            usable = url.isascii() and url.isprintable() and " " not in url and len(url) <= _URL_BYTES
        except ValueError:
            usable, host, port, query = False, None, None, {}
        if not usable or not host or parts.scheme not in ("http", "https") or "@" in parts.netloc:
            raise StorageError("not a usable http or https URL", code="SHOAL-S08", hint="the client's envelope is bad")
        signed = query.get("X-Amz-SignedHeaders", [""])[0].split(";")
        digest = hashlib.sha256(parts.path.encode()).hexdigest()[:8]
        where = host if port is None else f"{host}:{port}"
        return cls(url, f"{where} (object {digest})", "if-none-match" in signed)

    def __str__(self) -> str:
        return self.name

    # ------------------------------------------------------------ errors

    def unreachable(self, why: str) -> StorageError:
        return StorageError(
            f"cannot reach {self}: {why}",
            code="SHOAL-S01",
            hint="check the network connection and that the store is running, then try again",
        )

    def broken_off(self, why: str) -> StorageError:
        return StorageError(
            f"the transfer with {self} {why}", code="SHOAL-S09", hint="try again; the store or the network is too slow"
        )

    def too_large(self, max_bytes: int) -> StorageError:
        return StorageError(
            f"{self} has more than the {max_bytes} bytes that were expected",
            code="SHOAL-S06",
            hint="this is not the object that the task promises; nothing was kept",
        )

    def local(self, error: OSError, name: str) -> StorageError:
        return StorageError(
            f"cannot read or write {name}: {error.strerror}",
            code="SHOAL-S11",
            hint="check that the disk is not full and that this user owns the directory",
        )

    def status(self, status: int, body: bytes) -> StorageError:
        """The error for an HTTP status that means no success."""
        found = _S3_CODE.search(body)
        why = found[1].decode() if found else ""
        said = f"HTTP {status} {why}".rstrip()
        if why == "NoSuchBucket":
            return StorageError(
                f"{self}: there is no such bucket", code="SHOAL-S04", hint="its owner removed it, or has not made it"
            )
        if status in (401, 403):
            return StorageError(
                f"{self} refused: {said}",
                code="SHOAL-S03",
                hint="the URL has expired, was altered, or its signer lost the right; compare this machine's clock too",
            )
        if status in (404, 410):
            return StorageError(f"{self} is not there: {said}", code="SHOAL-S05", hint="it was never put, or removed")
        hint = "redirects are not followed" if 300 <= status < 400 else "try again later; ask the store's operator"
        return StorageError(f"{self} answered {said}", code="SHOAL-S07", hint=hint)
