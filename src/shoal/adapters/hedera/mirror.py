"""The mirror node's REST: requests with deadlines and retries, pages, and how far the ledger can be read."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

import httpx
import trio

from shoal.errors import LedgerError, LedgerUnreachable

log = logging.getLogger("shoal.ledger")

SECOND_NS = 1_000_000_000
PAGE_ROWS = 100
_ATTEMPT_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 3.0
_MAX_BODY_BYTES = 32 * 1024 * 1024
_MAX_PAGES = 100_000
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
Params = Sequence[tuple[str, str]]
P = ParamSpec("P")
T = TypeVar("T")


def legible(read: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Around what reads a mirror's rows: one that lacks a field, or has another in its place, is as good as no answer.

    A proxy's page or a mirror of another version may answer 200 with anything; nobody above this adapter is prepared
    for a KeyError. Raises LedgerUnreachable instead.
    """

    @wraps(read)
    async def reading(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await read(*args, **kwargs)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise LedgerUnreachable(
                f"the mirror node's answer cannot be read ({read.__name__}: {error!r:.200})",
                hint="it is asked again; if this stays, use another mirror node",
            ) from error

    return reading


def time_text(time_ns: int) -> str:
    """Consensus time as the mirror writes it.

    >>> time_text(1_500_000_000_000_000_001)
    '1500000000.000000001'
    """
    return f"{time_ns // SECOND_NS}.{time_ns % SECOND_NS:09d}"


def parse_time(text: str) -> int:
    """The inverse of `time_text`; raises ValueError.

    >>> parse_time("1500000000.000000001")
    1500000000000000001
    """
    seconds, _, fraction = text.partition(".")
    if not (seconds.isascii() and seconds.isdigit() and len(fraction) <= 9):
        raise ValueError(f"{text!r} is not a consensus time")
    return int(seconds) * SECOND_NS + int(fraction.ljust(9, "0"))


def between(after_ns: int, until_ns: int) -> list[tuple[str, str]]:
    """Parameters that select after < time <= until, oldest first, in full pages."""
    return [
        ("timestamp", f"gt:{time_text(after_ns)}"),
        ("timestamp", f"lte:{time_text(until_ns)}"),
        ("order", "asc"),
        ("limit", str(PAGE_ROWS)),
    ]


class Mirror:
    """One mirror node. Every method raises LedgerUnreachable after its deadline."""

    def __init__(self, url: str, http: httpx.AsyncClient, deadline_s: float) -> None:
        self._url = url.rstrip("/")
        self._http = http
        self._deadline_s = deadline_s

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, deadline_s: float = 30.0) -> AsyncIterator[Mirror]:
        """A mirror with its own pool of connections that are kept alive."""
        local = urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
        limits = httpx.Limits(max_connections=8, max_keepalive_connections=4)
        # A proxy from the environment never stands between a machine and itself.
        async with httpx.AsyncClient(timeout=_ATTEMPT_S, limits=limits, trust_env=not local) as http:
            yield cls(url, http, deadline_s)

    # ---------------------------------------------------------------- requests

    async def get(self, path: str, params: Params = ()) -> dict[str, Any] | None:
        """The JSON object at a path below /api/v1; None when the mirror does not have it."""
        status, body = await self._request("GET", "/api/v1" + path, params=list(params))
        if status == 404:
            return None
        if status != 200:
            raise self._refused(path, status, body)
        return body

    async def need(self, path: str, params: Params = ()) -> dict[str, Any]:
        """As `get`, for what must be there."""
        body = await self.get(path, params)
        if body is None:
            raise self._refused(path, 404, {})
        return body

    async def eventually(self, path: str) -> dict[str, Any] | None:
        """As `get`, for what has consensus already: waits until the mirror has caught up; None when it does not."""
        pause_s, body = _FIRST_PAUSE_S, None
        with trio.move_on_after(self._deadline_s):
            while (body := await self.get(path)) is None:
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, 1.0)
        return body

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a POST that changes nothing."""
        return await self._request("POST", "/api/v1" + path, content=json.dumps(body).encode())

    async def rows(self, path: str, name: str, params: Params) -> AsyncGenerator[dict[str, Any], None]:
        """All rows of all pages; nothing when the mirror does not have the path."""
        target, wanted = "/api/v1" + path, list(params)
        for _ in range(_MAX_PAGES):
            status, body = await self._request("GET", target, params=wanted)
            if status == 404:
                return
            if status != 200:
                raise self._refused(path, status, body)
            for row in body.get(name) or ():
                yield row
            link = (body.get("links") or {}).get("next")
            if not link:
                return
            parts = urlsplit(str(link))
            if not parts.path.startswith("/api/v1/"):
                raise self._refused(path, status, {"links": link})
            target, wanted = f"{parts.path}?{parts.query}", []
        raise self._refused(path, 200, {"links": "pages without end"})

    async def _request(self, method: str, target: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """One request, repeated while the mirror is busy or away."""
        pause_s, problem = _FIRST_PAUSE_S, "no answer"
        if not more.get("params"):
            more.pop("params", None)
        with trio.move_on_after(self._deadline_s):
            while True:
                try:
                    status, raw = await self._once(method, self._url + target, more)
                    if status not in _RETRIED:
                        return status, _json_object(raw)
                    problem = f"HTTP {status}"
                except httpx.RequestError as error:  # also an answer that cannot be unpacked
                    problem = str(error) or type(error).__name__
                except (ValueError, RecursionError):
                    problem = "an answer that is not a JSON object"
                log.debug("mirror %s: %s", target, problem)
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        raise LedgerUnreachable(
            f"the mirror node at {self._url} cannot be reached: {problem}",
            hint="check the network and the setting mirror_rest",
        )

    async def _once(self, method: str, url: str, more: dict[str, Any]) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"} if "content" in more else {}
        async with self._http.stream(method, url, headers=headers, **more) as response:
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _MAX_BODY_BYTES:
                    raise LedgerError(f"the mirror node's answer to {url} is larger than {_MAX_BODY_BYTES} bytes")
            return response.status_code, bytes(body)

    def _refused(self, path: str, status: int, body: dict[str, Any]) -> LedgerError:
        return LedgerError(
            f"the mirror node at {self._url} answered {path} with HTTP {status}: {json.dumps(body)[:300]}",
            hint="is this the mirror node of the network in your settings?",
        )

    # ---------------------------------------------------------------- what is asked often

    @legible
    async def watermark(self) -> int:
        """Consensus time in ns up to which everything can be read.

        A mirror imports in order and commits whole blocks, so all before the newest transaction or the end of the
        newest closed block is there; a quiet network still closes blocks. To be asked before reading.
        """
        newest = [("limit", "1"), ("order", "desc")]
        times = [0]
        blocks = await self.need("/blocks", newest)
        times += [parse_time(block["timestamp"]["to"]) for block in blocks["blocks"] if block["timestamp"]["to"]]
        transactions = await self.need("/transactions", newest)
        times += [parse_time(row["consensus_timestamp"]) for row in transactions["transactions"]]
        return max(times)

    async def transaction(self, transaction: str) -> dict[str, Any] | None:
        """The user's transaction of an id, whatever its result; its duplicates and children are left out."""
        body = await self.get(f"/transactions/{transaction}")
        return _original(body)

    async def consensus(self, transaction: str) -> dict[str, Any] | None:
        """As `transaction`, for one that has consensus: waits for the mirror."""
        return _original(await self.eventually(f"/transactions/{transaction}"))


def _original(body: dict[str, Any] | None) -> dict[str, Any] | None:
    """What an id did. A node that passes on what it should have refused leaves a failure beside the success."""
    rows = [
        row
        for row in (body or {}).get("transactions", ())
        if row.get("nonce", 0) == 0 and not row.get("scheduled") and row.get("result") != "DUPLICATE_TRANSACTION"
    ]
    rows.sort(key=lambda row: row.get("result") != "SUCCESS")
    return dict(rows[0]) if rows else None


def _json_object(raw: bytes) -> dict[str, Any]:
    body = json.loads(raw or b"{}")
    if not isinstance(body, dict):
        raise ValueError("not an object")
    return body
