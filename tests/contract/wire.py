"""A TCP proxy that reads gRPC's frames and cuts the connection at a chosen point of a chosen call."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
from hpack import Decoder

SUBMIT, RECEIPT = "/proto.SmartContractService/contractCallMethod", "/proto.CryptoService/getTransactionReceipts"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS = 0x0, 0x1
_END_STREAM, _PADDED, _PRIORITY = 0x1, 0x8, 0x20


class Cut(enum.Enum):
    """Where the connection breaks."""

    BEFORE_REQUEST = "before the request"
    IN_REQUEST = "in the middle of the request"
    AFTER_REQUEST = "right after the request"
    BEFORE_ANSWER = "when the answer is there, before any of it"
    IN_ANSWER = "in the middle of the answer"
    AFTER_ANSWER = "right after the answer"


@dataclass
class Wire:
    """Cuts the next `times` calls of `method`; what happened is in `cuts` and `calls`."""

    method: str
    cut: Cut
    times: int = 1
    stall: bool = False
    """Rather than cutting, go silent, as a network that swallows everything does."""
    address: str = ""
    cuts: int = 0
    calls: list[str] = field(default_factory=list)
    """Every call that came, by its path."""
    reached: trio.Event = field(default_factory=trio.Event)
    """Set at the first cut."""

    def take(self) -> bool:
        """Whether this is to be cut."""
        if self.cuts >= self.times:
            return False
        self.cuts += 1
        self.reached.set()
        return True


class _Broken(Exception):
    pass


@dataclass
class _Frame:
    kind: int
    flags: int
    stream: int
    raw: bytes

    @property
    def payload(self) -> bytes:
        return self.raw[9:]


class _Frames:
    """Whole frames out of a stream of bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[_Frame]:
        self._buffer += data
        found = []
        while len(self._buffer) >= 9:
            size = 9 + int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < size:
                break
            raw = bytes(self._buffer[:size])
            del self._buffer[:size]
            found.append(_Frame(raw[3], raw[4], int.from_bytes(raw[5:9], "big") & 0x7FFFFFFF, raw))
        return found


class _Connection:
    """One connection of the client, and ours to the node."""

    def __init__(self, wire: Wire, near: trio.SocketStream, far: trio.SocketStream) -> None:
        self._wire, self._near, self._far = wire, near, far
        self._decoder = Decoder()
        self._watched: set[int] = set()

    async def forth(self) -> None:
        frames, greeted = _Frames(), b""
        async for part in self._near:
            if len(greeted) < len(_PREFACE):
                taken = part[: len(_PREFACE) - len(greeted)]
                greeted, part = greeted + taken, part[len(taken) :]
                await self._far.send_all(taken)
            for frame in frames.feed(part):
                await self._request(frame)

    async def _request(self, frame: _Frame) -> None:
        wire = self._wire
        if frame.kind == _HEADERS:
            path = dict(self._decoder.decode(_block(frame)))[":path"]
            wire.calls.append(path)
            if path == wire.method:
                self._watched.add(frame.stream)
                if wire.cut is Cut.BEFORE_REQUEST and wire.take():
                    await self._break()
        watched = frame.stream in self._watched
        if watched and frame.kind == _DATA and wire.cut is Cut.IN_REQUEST and wire.take():
            await self._far.send_all(frame.raw[: 9 + len(frame.payload) // 2])
            await self._break()
        await self._far.send_all(frame.raw)
        if watched and frame.flags & _END_STREAM and wire.cut is Cut.AFTER_REQUEST and wire.take():
            await self._break()

    async def back(self) -> None:
        frames = _Frames()
        async for part in self._far:
            for frame in frames.feed(part):
                await self._answer(frame)

    async def _answer(self, frame: _Frame) -> None:
        wire = self._wire
        watched = frame.stream in self._watched and frame.kind in (_DATA, _HEADERS)
        if watched and wire.cut is Cut.BEFORE_ANSWER and wire.take():
            await self._break()
        if watched and frame.kind == _DATA and wire.cut is Cut.IN_ANSWER and wire.take():
            await self._near.send_all(frame.raw[: 9 + len(frame.payload) // 2])
            await self._break()
        await self._near.send_all(frame.raw)
        if watched and frame.flags & _END_STREAM and wire.cut is Cut.AFTER_ANSWER and wire.take():
            await self._break()

    async def _break(self) -> None:
        if self._wire.stall:
            await trio.sleep_forever()
        raise _Broken


def _block(frame: _Frame) -> bytes:
    data = frame.payload
    if frame.flags & _PADDED:
        data = data[1 : len(data) - data[0]]
    return data[5:] if frame.flags & _PRIORITY else data


@asynccontextmanager
async def cutting(wire: Wire, target: str) -> AsyncIterator[Wire]:
    """Serve the wire in front of `target` (host:port); `wire.address` is where clients connect."""
    host, port = target.split(":")

    async def serve(near: trio.SocketStream) -> None:
        try:
            async with near, await trio.open_tcp_stream(host, int(port)) as far:
                connection = _Connection(wire, near, far)
                async with trio.open_nursery() as nursery:
                    for way in (connection.forth, connection.back):
                        nursery.start_soon(_one_way, way, nursery.cancel_scope)
        except* (_Broken, trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass

    async def _one_way(way: object, scope: trio.CancelScope) -> None:
        await way()  # type: ignore[operator]
        scope.cancel()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        wire.address = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield wire
        nursery.cancel_scope.cancel()
