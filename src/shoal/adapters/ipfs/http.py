"""HTTP to one service of IPFS: httpx on trio, with limits, patience where a service asks for it, and no key in any log.

Redirects are not followed, so that a key goes to nobody else. Answers that promise to pass (429, 503 and the like, and
broken connections) are asked for again a few times; a `Retry-After` is waited for, by all requests to that service.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import trio

from shoal.adapters.ipfs.bodies import Body
from shoal.adapters.ipfs.refusals import broken_off, missing, odd_answer, refused, too_many, unreachable
from shoal.core.limits import IPFS_ANSWER_BYTES
from shoal.errors import ConfigError, StorageError

# httpx logs every URL at INFO, and the signed links of private files are secrets.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

log = logging.getLogger(__name__)

_TIMEOUT = httpx.Timeout(120.0, connect=15.0)
_TRIES = 5
FIRST_PAUSE_S = 0.5
"""Before the second try; each later one is twice as long."""
_LONGEST_WAIT_S = 120.0
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_REASON = re.compile(r"[A-Z][A-Z0-9_]{1,60}")
_CONNECTIONS = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, small enough to be kept."""

    status: int
    headers: httpx.Headers
    body: bytes

    def json(self, name: str) -> dict[str, Any]:
        """Raises StorageError SHOAL-S25 for what is no JSON object."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise odd_answer(name, "what it answers is not the JSON that was expected")
        return value


class Service:
    """One service at one address.

    >>> async with Service("https://ipfs.io", headers={}) as service:  # doctest: +SKIP
    ...     answer = await service.call("GET", "/ipfs/bafkrei...")

    Args:
        url: where it is, http or https, perhaps with a path.
        headers: sent with every request; keys stand here.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str]) -> None:
        self.url = usable_url(url)
        self.name = urlsplit(self.url).netloc
        self._not_before_s = 0.0
        self._client = httpx.AsyncClient(
            headers={"User-Agent": "shoal", "Accept-Encoding": "identity", **headers},
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
            follow_redirects=False,
            # A proxy from the environment never stands between a machine and itself.
            trust_env=not _is_local(self.url),
        )

    def __repr__(self) -> str:
        return f"Service({self.name!r})"

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    # ------------------------------------------------------------ requests

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        value: Any = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        about: str = "it",
        accept: frozenset[int] = frozenset(),
        most: int = IPFS_ANSWER_BYTES,
        repeat: bool = True,
    ) -> Answer:
        """A request with a small answer, tried again while that may help.

        Args:
            path: below the service's URL; or a whole URL on the same host.
            value: sent as JSON.
            body: sent as it is read, instead.
            about: what it is about, for errors: a CID.
            accept: statuses beside 2xx that are an answer and no failure.
            repeat: whether it may have its effect twice; else it is tried again only where it was turned away.

        Raises:
            StorageError: SHOAL-S20 to S26.
        """
        content = None if value is None else json.dumps(value).encode()
        kind = body.headers if body is not None else {"Content-Type": "application/json"} if content else {}
        more = {**kind, **(headers or {})}

        async def attempt() -> Answer:
            request = self._client.build_request(method, self._at(path), params=params, content=content, headers=more)
            if body is not None:
                request.stream = body
            response = await self._client.send(request, stream=True)
            try:
                whole = await _whole(response, most if response.is_success else IPFS_ANSWER_BYTES)
            finally:
                await response.aclose()
            if response.is_success or response.status_code in accept:
                if whole is None:
                    raise odd_answer(self.name, "its answer is too long")
                return Answer(response.status_code, response.headers, whole)
            raise self._failure(response, whole or b"", about)

        return await self._patiently(attempt, repeat=repeat)

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, params: Mapping[str, str], headers: Mapping[str, str], about: str
    ) -> AsyncIterator[httpx.Response]:
        """An answer of any size. Raises as `call`, until it begins; `pieces` reads it."""

        async def attempt() -> httpx.Response:
            request = self._client.build_request(method, self._at(path), params=params or None, headers=headers)
            response = await self._client.send(request, stream=True)
            if not response.is_success:
                try:
                    whole = await _whole(response, IPFS_ANSWER_BYTES)
                finally:
                    await response.aclose()
                raise self._failure(response, whole or b"", about)
            return response

        response = await self._patiently(attempt)
        try:
            yield response
        finally:
            with trio.CancelScope(shield=True):
                await response.aclose()

    def pieces(self, response: httpx.Response) -> Pieces:
        """The bytes of an answer as they come; to be closed. Raises StorageError SHOAL-S25."""
        if response.headers.get("content-encoding", "identity") != "identity":
            raise odd_answer(self.name, "it compresses what was to come as it is")
        return Pieces(response)

    # ------------------------------------------------------------ patience

    async def _patiently(self, attempt: Callable[[], Awaitable[T]], *, repeat: bool = True) -> T:
        tries = 0
        while True:
            await trio.sleep(max(0.0, self._not_before_s - trio.current_time()))
            tries += 1
            wait_s = FIRST_PAUSE_S * 2 ** (tries - 1)
            try:
                return await attempt()
            except _Busy as busy:
                last: StorageError = busy.error
                if busy.wait_s is not None:
                    wait_s = busy.wait_s
                    if wait_s > _LONGEST_WAIT_S:
                        raise last from None
                    self._not_before_s = trio.current_time() + wait_s
            # `from None`: the library's errors may quote URLs and headers.
            except httpx.ConnectError:
                last = unreachable(self.name, "there is no connection")
            except httpx.ConnectTimeout:
                last = unreachable(self.name, "it does not answer")
            except httpx.TransportError as error:
                last = broken_off(self.name, f"broke off ({type(error).__name__})")
            turned_away = last.code in ("SHOAL-S20", "SHOAL-S22")
            if tries >= _TRIES or not (repeat or turned_away):
                raise last from None
            log.info("%s; trying again", last)
            await trio.sleep(wait_s)

    def _failure(self, response: httpx.Response, body: bytes, about: str) -> Exception:
        status, reason = response.status_code, _reason(body)
        if status in (401, 403):
            return refused(self.name, status, reason)
        if status in (404, 410):
            return missing(self.name, about)
        if status not in _BUSY:
            return odd_answer(self.name, f"it answers HTTP {status} {reason}".rstrip())
        wait_s = _retry_after_s(response.headers.get("retry-after", ""))
        if status == 429:
            return _Busy(too_many(self.name, wait_s), wait_s)
        error = odd_answer(self.name, f"it answers HTTP {status} {reason}".rstrip())
        # Kubo says 500 for all that it cannot do: to ask again would not help.
        return error if status == 500 else _Busy(error, wait_s)

    def _at(self, path: str) -> str:
        if not path.startswith("/"):
            if urlsplit(path)[:2] != urlsplit(self.url)[:2]:
                raise odd_answer(self.name, "it leads to another host, which is not followed")
            return path
        return self.url + path


class BrokenOff(Exception):
    """A connection ended in the middle of an answer."""


class Pieces:
    """A body as it comes. One that is left before its end has its connection cut, and httpx's nested generators see
    it: none of them is left to the garbage collector.
    """

    def __init__(self, response: httpx.Response) -> None:
        self._response, self._raw = response, response.aiter_raw()
        self._over = False

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        """Raises BrokenOff."""
        try:
            return await anext(self._raw)
        except StopAsyncIteration:
            self._over = True
            raise
        except httpx.TransportError as error:
            self._over = True
            raise BrokenOff(type(error).__name__) from None

    async def aclose(self) -> None:
        if self._over:
            return
        self._over = True
        with trio.CancelScope(shield=True):
            # Not closed: httpcore still asks the socket of a connection whose rest had been read already.
            with suppress(OSError):
                self._response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            with suppress(httpx.TransportError):
                async for _ in self._raw:
                    pass


class _Busy(Exception):
    """A failure that may pass."""

    def __init__(self, error: StorageError, wait_s: float | None) -> None:
        super().__init__(error.message)
        self.error, self.wait_s = error, wait_s


@contextmanager
def deadline(timeout_s: float, name: str) -> Iterator[None]:
    """Around awaits: raises StorageError SHOAL-S26 when they are not done in time."""
    with trio.move_on_after(timeout_s) as scope:
        yield
    if scope.cancelled_caught:
        raise broken_off(name, f"was not done in {timeout_s:.0f} s")


def usable_url(text: str) -> str:
    """A service's URL without a slash at its end; a host alone is taken as https.

    Raises:
        ConfigError: SHOAL-C02, it is none; a password in it is not shown.
    """
    url = (text if "://" in text else f"https://{text}").rstrip("/")
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0 and url.isascii() and url.isprintable() and " " not in url
    except ValueError:
        usable = False
    if not usable or parts.scheme not in ("http", "https") or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            "the URL of an IPFS service cannot be used: it must read like https://gateway.example",
            code="SHOAL-C02",
            hint="check PINATA_GATEWAY, ipfs_gateways and kubo_rpc; `shoal config show` lists them",
        )
    return url


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _whole(response: httpx.Response, most: int) -> bytes | None:
    """A body; None if it is longer than `most`, of which nothing is kept. Raises httpx.TransportError."""
    body = bytearray()
    async with aclosing(Pieces(response)) as pieces:
        try:
            async for piece in pieces:
                body += piece
                if len(body) > most:
                    return None
        except BrokenOff as error:
            raise httpx.ReadError(str(error)) from None
    return bytes(body)


def _reason(body: bytes) -> str:
    """The name that an error's JSON gives it, such as INVALID_CREDENTIALS; nothing else of a body is ever shown."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    error = value.get("error") if isinstance(value, dict) else None
    reason = error.get("reason") if isinstance(error, dict) else error
    return reason if isinstance(reason, str) and _REASON.fullmatch(reason) else ""


def _retry_after_s(text: str) -> float | None:
    """Seconds, from either form of the header (RFC 9110, 10.2.3)."""
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), 10**6))
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
