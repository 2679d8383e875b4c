"""Length-prefixed frames on a libp2p stream, and its many errors turned into ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import trio

from shoal.adapters.libp2p import bounds
from shoal.errors import NetworkError, ShoalError

_LENGTH_BYTES = 4


class MalformedFrame(NetworkError):
    """The peer sent what its protocol does not allow."""

    default_code = "SHOAL-N05"


async def read_exactly(stream: Any, size: int) -> bytes:
    """Read `size` bytes; the caller sets the deadline and has bounded `size`."""
    parts = []
    missing = size
    while missing:
        part = await stream.read(missing)
        if not part:
            raise MalformedFrame("the stream ended early")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


async def read_frame(stream: Any, max_bytes: int) -> bytes:
    """Four bytes of length, big-endian, then so many bytes."""
    size = int.from_bytes(await read_exactly(stream, _LENGTH_BYTES), "big")
    if size > max_bytes:
        raise MalformedFrame(f"a frame of {size} bytes, at most {max_bytes} are accepted")
    return await read_exactly(stream, size)


def frame(data: bytes) -> bytes:
    """The bytes that `read_frame` reads.

    >>> frame(b"ab")
    b'\\x00\\x00\\x00\\x02ab'
    """
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


@contextmanager
def network_errors(what: str) -> Iterator[None]:
    """Turn a missed deadline, and whatever libp2p raises, into a NetworkError that says `what` failed."""
    try:
        yield
    except ShoalError:
        raise
    except trio.TooSlowError as error:
        raise NetworkError(f"{what}: no answer in time", code="SHOAL-N02") from error
    except Exception as error:  # libp2p has a dozen unrelated families, and groups of them
        raise NetworkError(f"{what}: {type(error).__name__}", code="SHOAL-N01") from error


@asynccontextmanager
async def closing(stream: Any) -> AsyncIterator[Any]:
    """Close a stream at the end, or reset it if anything went wrong, without waiting for the peer."""
    try:
        yield stream
        await stream.close()
    except BaseException:
        with trio.move_on_after(bounds.CLOSE_TIMEOUT_S) as scope:
            scope.shield = True
            await stream.reset()
        raise
