"""The `Transfer` port over HTTP/1.1: httpcore on trio, without httpx's redirects, cookies, proxies and logged URLs."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import httpcore
import httpx
import trio

from shoal import meters
from shoal.adapters.transfer.guard import PublicOnly
from shoal.adapters.transfer.receive import Incoming
from shoal.adapters.transfer.target import Target
from shoal.errors import StorageError

log = logging.getLogger(__name__)

_TIMEOUT = {"connect": 10.0, "read": 30.0, "write": 30.0, "pool": None}
_CONNECTIONS = 32
_FAILURES = 5
"""In a row, without a byte more, after which a transfer gives up."""
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_PIECE_BYTES = 1024 * 1024
_ERROR_BYTES = 4_096
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_TRANSIENT = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.RemoteProtocolError)


class HttpTransfer:
    """Downloads and uploads by URL; needs no credentials.

    >>> async with HttpTransfer(allow_private=False) as transfer:  # doctest: +SKIP
    ...     await transfer.download(url, Path("chunk"), sha256=digest, max_bytes=2**26, timeout_s=60)

    Args:
        allow_private: whether URLs may lead to this machine or its local network. They come from strangers, who
            would have a node fetch what only it can reach; on a local test network the store is there.
    """

    def __init__(self, *, allow_private: bool) -> None:
        # httpx's client is left out because it logs every URL. Environment proxies are not used: they would resolve
        # the name again, behind the check.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=_CONNECTIONS,
            keepalive_expiry=5.0,
            network_backend=httpcore.TrioBackend() if allow_private else PublicOnly(),
        )

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.__aexit__(kind, error, trace)

    async def download(self, url: str, out: Path, *, sha256: bytes | None, max_bytes: int, timeout_s: float) -> None:
        """Fetch an object into `out`, which appears only when all of it is there and has the right hash.

        A connection that breaks is resumed where it broke, a few times.

        Args:
            sha256: of the object, if it is known.
            max_bytes: most that is accepted; a longer object is left as soon as that shows.

        Raises:
            StorageError: SHOAL-S01, unreachable; S03, refused; S04, S05, missing; S06, too large; S07, another status;
                S08, a URL that may not be followed; S09, too slow or broken off too often; S11, the local file.
            CryptoError: SHOAL-K02, other bytes than promised.
        """
        target = Target.parse(url)
        with _local_errors(target, out):
            descriptor, name = tempfile.mkstemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent)
        part = Path(name)
        try:
            with _local_errors(target, out), os.fdopen(descriptor, "w+b") as file:
                incoming = Incoming(target, file, max_bytes)
                await self._persist(target, lambda: self._receive(target, incoming), lambda: incoming.size, timeout_s)
                await trio.to_thread.run_sync(incoming.finish, sha256)
                part.replace(out)
        finally:
            part.unlink(missing_ok=True)

    async def upload(self, url: str, path: Path, *, timeout_s: float) -> None:
        """Put a file, whole, with its exact length.

        Where the URL's signature says `If-None-Match: *`, an object that is there already is a success: the slot is
        this node's own, so it is an earlier try of this very upload.

        Raises:
            StorageError: as `download`.
        """
        target = Target.parse(url)
        with _local_errors(target, path):
            await self._persist(target, lambda: self._send(target, path), lambda: 0, timeout_s)

    # ------------------------------------------------------------ one try

    async def _receive(self, target: Target, incoming: Incoming) -> None:
        async with self._pool.stream(
            "GET", target.url, headers=_headers(incoming.range_headers()), extensions={"timeout": _TIMEOUT}
        ) as response:
            if not incoming.begin(response.status, dict(response.headers)):
                # 206, 416: another range than the rest that was asked for. It has been forgotten; from the start again.
                busy = response.status in (206, 416)
                raise _failure(target, response.status, await _start_of(response), busy=busy)

            async def take(data: bytes) -> bool:
                meters.TRANSFERRED.labels("received").inc(len(data))
                if incoming.add(data):
                    await trio.to_thread.run_sync(incoming.flush)
                return True

            try:
                await _read(response, take)
            finally:
                incoming.flush()

    async def _send(self, target: Target, path: Path) -> None:
        with path.open("rb") as file:
            headers = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
            if target.write_once:
                headers["If-None-Match"] = "*"
            async with aclosing(_pieces(file)) as body:
                async with self._pool.stream(
                    "PUT", target.url, headers=_headers(headers), content=body, extensions={"timeout": _TIMEOUT}
                ) as response:
                    status, start = response.status, await _start_of(response)
        if status // 100 == 2 or (status == 412 and target.write_once):
            return
        # 409: another conditional write of this slot is on its way (Amazon S3).
        raise _failure(target, status, start, busy=status == 409 and target.write_once)

    # ------------------------------------------------------------ until it works

    async def _persist(
        self, target: Target, attempt: Callable[[], Awaitable[None]], progress: Callable[[], int], timeout_s: float
    ) -> None:
        """Try again after what may pass, with growing pauses, until `timeout_s`."""
        failures, last = 0, target.broken_off(f"was not done in {timeout_s:.0f} s")
        with trio.move_on_after(timeout_s):
            while True:
                before = progress()
                try:
                    await attempt()
                    return
                except _Busy as busy:
                    last = busy.error
                except httpcore.LocalProtocolError:
                    # `from None` here and below: the library's errors may quote the URL.
                    raise target.broken_off("cannot be done: the file changed, or the URL is malformed") from None
                except _TRANSIENT as error:
                    last = _explain(target, error)
                failures = 1 if progress() > before else failures + 1
                if failures > _FAILURES:
                    raise last from None
                log.info("%s; trying again", last)
                await trio.sleep(min(_FIRST_PAUSE_S * 2 ** (failures - 1), _LONGEST_PAUSE_S))
        raise last from None


class _Busy(Exception):
    """A status that may be another one soon."""

    def __init__(self, error: StorageError) -> None:
        super().__init__(error.message)
        self.error = error


def _failure(target: Target, status: int, body: bytes, *, busy: bool = False) -> Exception:
    error = target.status(status, body)
    return _Busy(error) if busy or status in _BUSY else error


def _explain(target: Target, error: Exception) -> StorageError:
    if isinstance(error, httpcore.ConnectTimeout):
        return target.unreachable("it does not answer")
    if isinstance(error, httpcore.ConnectError):
        return target.unreachable(str(error))
    return target.broken_off(f"broke off ({type(error).__name__})")


def _headers(extra: dict[str, str]) -> list[tuple[bytes, bytes]]:
    # Compressed answers would be other bytes than those that were hashed.
    base = {"User-Agent": "shoal", "Accept": "*/*", "Accept-Encoding": "identity", **extra}
    return [(name.encode(), value.encode()) for name, value in base.items()]


async def _pieces(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    while piece := await trio.to_thread.run_sync(file.read, _PIECE_BYTES):
        yield piece
        meters.TRANSFERRED.labels("sent").inc(len(piece))


async def _start_of(response: Any) -> bytes:
    """Enough of an error's body to read its code; the rest may be endless."""
    start = bytearray()

    async def take(data: bytes) -> bool:
        start.extend(data)
        return len(start) < _ERROR_BYTES

    await _read(response, take)
    return bytes(start[:_ERROR_BYTES])


async def _read(response: Any, take: Callable[[bytes], Awaitable[bool]]) -> None:
    """Hand the body over piece by piece, until its end or until `take` says no."""
    stream = response.aiter_stream()
    try:
        async for data in stream:
            if not await take(data):
                break
        else:
            return
    except BaseException:
        await _cut(response, stream)
        raise
    await _cut(response, stream)


async def _cut(response: Any, stream: AsyncIterator[bytes]) -> None:
    """Hang up, and let httpcore's nested generators see it: none of them is left to the garbage collector."""
    with trio.CancelScope(shield=True):
        await response.extensions["network_stream"].aclose()
        with suppress(httpcore.NetworkError, httpcore.ProtocolError):
            async for _ in stream:
                pass


@contextmanager
def _local_errors(target: Target, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise target.local(error, path.name) from error
