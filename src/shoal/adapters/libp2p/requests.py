"""Requests and replies: one stream each, framed, bounded in size, time and number; protocol `/shoal/<name>/1`."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.frames import closing, frame, network_errors, read_exactly, read_frame
from shoal.adapters.libp2p.gates import Gate
from shoal.adapters.libp2p.host import PeerHost
from shoal.core import limits
from shoal.errors import NetworkError, ShoalError

log = logging.getLogger(__name__)

Handler = Callable[[str, bytes], Awaitable[bytes]]

OK, REFUSED, BUSY = 0, 1, 2
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")


class Requests:
    """Handlers by name; they outlive any one host."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._gate = Gate(total=bounds.HANDLERS, per_peer=bounds.HANDLERS_PER_PEER)
        self._host: PeerHost | None = None

    def attach(self, host: PeerHost) -> None:
        self._host = host
        for name in self._handlers:
            host.handle(protocol(name), self._stream_handler(name))

    def serve(self, name: str, handler: Handler) -> None:
        """Answer requests of a name; serving a name again replaces its handler."""
        known = name in self._handlers
        path = protocol(name)
        self._handlers[name] = handler
        if self._host is not None and not known:
            self._host.handle(path, self._stream_handler(name))

    def _stream_handler(self, name: str) -> Callable[[str, Any], Awaitable[None]]:
        async def on_stream(peer_id: str, stream: Any) -> None:
            async with closing(stream):
                with self._gate.enter(peer_id) as admitted:
                    status, reply = BUSY, b""
                    if admitted:
                        with trio.fail_after(bounds.FRAME_TIMEOUT_S):
                            payload = await read_frame(stream, limits.REQUEST_BYTES)
                        status, reply = await self._answer(name, peer_id, payload)
                    with trio.fail_after(bounds.FRAME_TIMEOUT_S):
                        await stream.write(bytes([status]) + frame(reply))

        return on_stream

    async def _answer(self, name: str, peer_id: str, payload: bytes) -> tuple[int, bytes]:
        """A handler's failure is told to the peer as a refusal: our own errors by message, others without detail."""
        try:
            with trio.fail_after(bounds.HANDLER_TIMEOUT_S):
                reply = await self._handlers[name](peer_id, payload)
            if len(reply) > limits.REQUEST_BYTES:
                raise ValueError(f"a reply of {len(reply)} bytes, at most {limits.REQUEST_BYTES} are sent")
            return OK, reply
        except ShoalError as error:
            log.info("request %s of %s refused: %s", name, peer_id, error)
            return REFUSED, error.message.encode()[: bounds.REFUSAL_BYTES]
        except trio.TooSlowError:
            log.warning("request %s of %s took too long", name, peer_id)
            return REFUSED, b"took too long"
        except Exception:
            log.exception("request %s of %s failed", name, peer_id)
            return REFUSED, b"internal error"


def protocol(name: str) -> str:
    """The libp2p protocol id of a request name."""
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is not a name for a request")
    return f"/shoal/{name}/1"


async def request(host: PeerHost, peer_id: str, name: str, payload: bytes, *, timeout_s: float) -> bytes:
    """Ask a connected peer; the payload is within `limits.REQUEST_BYTES`. Raises NetworkError."""
    with network_errors(f"request {name!r} to {peer_id}"), trio.fail_after(timeout_s):
        async with closing(await host.open_stream(peer_id, protocol(name))) as stream:
            await stream.write(frame(payload))
            status = (await read_exactly(stream, 1))[0]
            reply = await read_frame(stream, limits.REQUEST_BYTES if status == OK else bounds.REFUSAL_BYTES)
    if status == OK:
        return reply
    if status == BUSY:
        raise NetworkError(f"{peer_id} is busy", code="SHOAL-N06", hint="try again later")
    raise NetworkError(f"{peer_id} refused {name!r}: {readable(reply)}", code="SHOAL-N07")


def readable(text: bytes) -> str:
    """A peer's words, safe to print.

    >>> readable(b"no\\x1b[31m")
    'no?[31m'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text.decode(errors="replace"))
