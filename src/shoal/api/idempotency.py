"""Idempotency-Key: a POST that is sent again gets the answer of the first time, and takes effect once.

After draft-ietf-httpapi-idempotency-key-header. Answers are kept in the node's store, so a restart between the two
changes nothing. What ended in a fault (5xx) or was not let in is not kept: it may be tried again under its key. Nobody
gets another caller's answers, and answers that hold secrets are not kept: what makes them is safe to repeat by itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import IO, Any

import trio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shoal.api.access import caller_of
from shoal.api.problems import Refused, send_problem
from shoal.errors import UsageError
from shoal.ports import Store

TABLE = "api-answers"
KEPT_S = 24 * 3600
KEPT = 1_000
ANSWER_BYTES = 256 * 1024
_MEMORY_BYTES = 1024 * 1024
_PIECE_BYTES = 64 * 1024
_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")
_BOUNDARY = re.compile(r"boundary=\"?([^\";,]{1,70})")
_HEADERS = (b"content-type", b"location")
"""Those of an answer that are kept."""


class Idempotency:
    """ASGI middleware around everything that reads a body."""

    def __init__(
        self,
        app: ASGIApp,
        store: Store,
        *,
        secret: Callable[[str], bool] = lambda path: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app, self._store, self._secret, self._clock = app, store, secret, clock
        self._locks: dict[str, tuple[trio.Lock, int]] = {}
        """By key, with how many wait for it or hold it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = Headers(scope=scope).get("idempotency-key") if scope["type"] == "http" else None
        if key is None or scope["method"] != "POST" or self._secret(scope["path"]):
            await self._app(scope, receive, send)
            return
        if not _KEY.match(key):
            await send_problem(
                send, UsageError("an Idempotency-Key has 1 to 255 printable characters", code="SHOAL-U54")
            )
            return
        caller = caller_of(scope)
        whose = "" if caller is None or caller.is_operator else f"{caller.name}\n"
        name = hashlib.sha256(f"{whose}{key}".encode()).hexdigest()
        with tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES) as body:
            try:
                if not await _read_body(receive, body):
                    return
            except Refused as refused:
                await send_problem(send, refused.error)
                return
            fingerprint = await trio.to_thread.run_sync(_fingerprint, scope, body)
            lock, users = self._locks.get(name, (trio.Lock(), 0))
            self._locks[name] = (lock, users + 1)
            try:
                async with lock:
                    await self._answer(name, fingerprint, scope, _replayed(body, receive), send)
            finally:
                lock, users = self._locks.pop(name)
                if users > 1:
                    self._locks[name] = (lock, users - 1)

    async def _answer(self, name: str, fingerprint: str, scope: Scope, receive: Receive, send: Send) -> None:
        kept = self._kept(name)
        if kept is None:
            recorder = _Recorder(send)
            await self._app(scope, receive, recorder)
            if recorder.is_whole and recorder.status < 500 and recorder.status not in (401, 429):
                self._keep(name, {"fingerprint": fingerprint, "at": self._clock(), **recorder.as_dict()})
        elif kept["fingerprint"] != fingerprint:
            error = UsageError(
                "this Idempotency-Key was used for another request",
                code="SHOAL-U53",
                hint="a new request needs a new key; a repeated one must be the same to the byte",
                money="nothing was done",
            )
            await send_problem(send, error)
        else:
            headers = [(key.encode(), value.encode()) for key, value in kept["headers"]]
            headers.append((b"idempotent-replayed", b"true"))
            await send({"type": "http.response.start", "status": kept["status"], "headers": headers})
            await send({"type": "http.response.body", "body": base64.b64decode(kept["body"])})

    def _kept(self, name: str) -> dict[str, Any] | None:
        data = self._store.get(TABLE, name)
        kept: dict[str, Any] | None = json.loads(data) if data is not None else None
        return None if kept is None or kept["at"] < self._clock() - KEPT_S else kept

    def _keep(self, name: str, answer: dict[str, Any]) -> None:
        self._store.put(TABLE, name, json.dumps(answer).encode())
        ages = sorted((json.loads(data)["at"], key) for key, data in self._store.items(TABLE))
        for at, key in ages[:-1]:
            if at < self._clock() - KEPT_S or len(ages) > KEPT:
                self._store.delete(TABLE, key)
                ages = ages[1:]


class _Recorder:
    """Passes an answer on, and keeps a copy of a short one."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self._headers: list[tuple[str, str]] = []
        self._body = b""
        self.is_whole = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._headers = [(k.decode(), v.decode()) for k, v in message["headers"] if k.lower() in _HEADERS]
        elif message["type"] == "http.response.body" and len(self._body) <= ANSWER_BYTES:
            self._body += message.get("body", b"")
            self.is_whole = not message.get("more_body", False) and len(self._body) <= ANSWER_BYTES
        await self._send(message)

    def as_dict(self) -> dict[str, Any]:
        body = base64.b64encode(self._body).decode()
        return {"status": self.status, "headers": self._headers, "body": body}


async def _read_body(receive: Receive, body: IO[bytes]) -> bool:
    """Whether all of it came."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return False
        body.write(message.get("body", b""))
        if not message.get("more_body", False):
            return True


def _fingerprint(scope: Scope, body: IO[bytes]) -> str:
    """Of a multipart body without its boundaries, which are drawn anew each time a form is sent."""
    kind = Headers(scope=scope).get("content-type", "")
    boundary = _BOUNDARY.search(kind) if kind.startswith("multipart/") else None
    delimiter = b"--" + boundary[1].encode() if boundary else None
    digest = hashlib.sha256(f"{scope['path']}?{scope['query_string'].decode('latin-1')}\n".encode())
    digest.update(kind.partition(";")[0].encode())
    body.seek(0)
    while line := body.readline(_PIECE_BYTES):
        digest.update(b"\n--\n" if delimiter and line.startswith(delimiter) else line)
    return digest.hexdigest()


def _replayed(body: IO[bytes], receive: Receive) -> Callable[[], Awaitable[Message]]:
    """The body once more, then whatever comes after it."""
    body.seek(0)
    done = False

    async def replay() -> Message:
        nonlocal done
        if done:
            return await receive()
        piece = body.read(_PIECE_BYTES)
        done = len(piece) < _PIECE_BYTES
        return {"type": "http.request", "body": piece, "more_body": not done}

    return replay
