"""Uploads that go on where they broke off, also in another process: the tus protocol, version 1.0.0 (tus.io)."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urljoin

import trio

from shoal.adapters.ipfs.bodies import Body, local_errors
from shoal.adapters.ipfs.http import Answer, Service
from shoal.adapters.ipfs.refusals import odd_answer
from shoal.core.limits import MIB
from shoal.errors import StorageError
from shoal.ports import Progress

log = logging.getLogger(__name__)

PIECE_BYTES = 32 * MIB
"""Of one request; Pinata takes less than 50 MB."""
FIRST_PAUSE_S = 1.0
"""Before going on; each later one is twice as long."""
_VERSION = {"Tus-Resumable": "1.0.0"}
_FAILURES = 5
"""In a row, without a byte more, after which an upload gives up."""
_PASSING = ("SHOAL-S20", "SHOAL-S25", "SHOAL-S26")
_GONE = frozenset({403, 404, 410})


class TusUpload:
    """One file on its way.

    Args:
        service: where it goes.
        path: below the service's URL: where uploads are created.
        metadata: told to the service as the upload begins.
        notes: a directory where unfinished uploads are noted, so that a later process finds them; None notes nothing.
    """

    def __init__(
        self,
        service: Service,
        path: str,
        metadata: Mapping[str, str],
        *,
        notes: Path | None = None,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        self._service, self._path, self._metadata = service, path, dict(metadata)
        self._notes, self._piece_bytes = notes, piece_bytes

    async def send(self, file: Path, size: int, progress: Progress | None) -> tuple[str, Answer | None]:
        """Upload it all; returns its URL, and the answer to the last piece unless that got lost.

        Raises:
            StorageError: SHOAL-S20 to S26; what was sent stays noted, and is not sent again next time.
        """
        note = self._note(file, size)
        url = _read_note(note)
        offset = await self._resume(url, size) if url else None
        if offset is None:
            url, offset = await self._create(size), 0
            _write_note(note, url)
        failures, answer = 0, None
        while offset < size:
            try:
                answer = await self._send_piece(file, url, offset, min(self._piece_bytes, size - offset), progress)
                reached = _offset(self._service.name, answer, size)
            except StorageError as error:
                failures += 1
                if error.code not in _PASSING or failures > _FAILURES:
                    raise
                log.info("%s; going on from where it is", error)
                await trio.sleep(FIRST_PAUSE_S * 2 ** (failures - 1))
                found = await self._resume(url, size)
                if found is None:
                    raise
                failures, answer, offset = (0 if found > offset else failures), None, found
                continue
            if reached <= offset:
                raise odd_answer(self._service.name, "an upload does not get further")
            offset, failures = reached, 0
        if note is not None:
            note.unlink(missing_ok=True)
        return url, answer

    # ------------------------------------------------------------ the protocol

    async def _create(self, size: int) -> str:
        told = ",".join(f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in self._metadata.items())
        headers = {**_VERSION, "Upload-Length": str(size), "Upload-Metadata": told}
        answer = await self._service.call("POST", self._path, headers=headers)
        location = answer.headers.get("location", "")
        if not location:
            raise odd_answer(self._service.name, "it does not say where an upload goes")
        where: str = urljoin(self._service.url + self._path, location)
        return where

    async def _send_piece(self, file: Path, url: str, offset: int, size: int, progress: Progress | None) -> Answer:
        headers = {**_VERSION, "Upload-Offset": str(offset)}
        body = Body(file, offset, size, progress, kind="application/offset+octet-stream")
        # To be sent again only from where the service then is.
        return await self._service.call("PATCH", url, headers=headers, body=body, repeat=False)

    async def _resume(self, url: str, size: int) -> int | None:
        """How far an upload is; None if it is not known any more."""
        answer = await self._service.call("HEAD", url, headers=_VERSION, accept=_GONE)
        return None if answer.status in _GONE else _offset(self._service.name, answer, size)

    # ------------------------------------------------------------ notes

    def _note(self, file: Path, size: int) -> Path | None:
        """Where the upload of this very file to this very place is noted."""
        if self._notes is None:
            return None
        with local_errors(file):
            self._notes.mkdir(parents=True, exist_ok=True, mode=0o700)
            state = file.stat()
        what = [str(file.resolve()), size, state.st_mtime_ns, self._service.url, self._metadata]
        return self._notes / f"{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]}.json"


def _read_note(note: Path | None) -> str:
    try:
        value = json.loads(note.read_text()) if note is not None else {}
    except (OSError, ValueError):
        return ""
    url = value.get("url") if isinstance(value, dict) else None
    return url if isinstance(url, str) else ""


def _write_note(note: Path | None, url: str) -> None:
    if note is not None:
        with local_errors(note):
            note.write_text(json.dumps({"url": url}))


def _offset(name: str, answer: Answer, size: int) -> int:
    text = answer.headers.get("upload-offset", "")
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= size):
        raise odd_answer(name, "it does not say how far an upload is")
    return int(text)
