"""One port for the mirror's gRPC and REST, as Solo's ingress is: the SDKs derive the one's address from the other's."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""With what a client begins that knows that the server speaks HTTP/2 (RFC 9113, 3.4): a gRPC client, here."""
_PIECE = 64 * 1024
_FIRST_BYTE_S = 60.0


class Front:
    """Looks at a connection's first bytes and passes it on, to the gRPC server or to the REST server."""

    def __init__(self, host: str, grpc_port: int, rest_port: int) -> None:
        self._host, self._grpc_port, self._rest_port = host, grpc_port, rest_port
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> asyncio.Server:
        """Begin to accept."""
        return await asyncio.start_server(self._accept, sock=listener)

    async def close(self) -> None:
        """End all connections."""
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "asyncio runs this in a task of its own"
        self._connections.add(task)
        try:
            with suppress(OSError, TimeoutError):
                await self._pass_on(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_FIRST_BYTE_S):
            begin = await reader.read(_PIECE)
            while begin and len(begin) < len(HTTP2_PREFACE) and HTTP2_PREFACE.startswith(begin):
                if not (more := await reader.read(_PIECE)):
                    return
                begin += more
        if not begin:
            return
        port = self._grpc_port if begin.startswith(HTTP2_PREFACE) else self._rest_port
        inner_reader, inner_writer = await asyncio.open_connection(self._host, port)
        inner_writer.write(begin)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, inner_writer))
                both.create_task(_copy(inner_reader, writer))
        except* OSError:  # one side is gone: so is the connection
            pass
        finally:
            inner_writer.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while piece := await source.read(_PIECE):
        target.write(piece)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()
