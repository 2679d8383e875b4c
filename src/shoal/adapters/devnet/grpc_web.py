"""gRPC-web (unary): how the browser build of the JavaScript SDK reaches the node."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from starlette.requests import Request
from starlette.responses import Response

from shoal.adapters.devnet.ledger import MAX_TRANSACTION_BYTES
from shoal.adapters.devnet.node_grpc import NodeService

CONTENT_TYPE = "application/grpc-web+proto"
MAX_BODY_BYTES = 4 * MAX_TRANSACTION_BYTES
_INVALID_ARGUMENT, _UNIMPLEMENTED = 3, 12


def frame(flags: int, payload: bytes) -> bytes:
    """A length-prefixed message; flag 0x80 marks the trailers."""
    return bytes([flags]) + len(payload).to_bytes(4, "big") + payload


def unframe(body: bytes) -> bytes | None:
    """The one uncompressed message of a request; None when it is not that."""
    if len(body) < 5 or body[0] != 0 or int.from_bytes(body[1:5], "big") != len(body) - 5:
        return None
    return body[5:]


class GrpcWeb:
    """An endpoint for POST /proto.Service/method, and for the SDK's health check, an empty POST to /."""

    def __init__(self, node: NodeService) -> None:
        self._node = node

    async def health(self, request: Request) -> Response:
        return Response(headers={"grpc-status": "0"})

    async def unary(self, request: Request) -> Response:
        message = unframe(await limited_body(request))
        if message is None:
            return _failed(_INVALID_ARGUMENT)
        service, method = request.path_params["service"], request.path_params["method"]
        try:
            answer = self._node.call(service, method, message)
        except DecodeError:
            return _failed(_INVALID_ARGUMENT)
        if answer is None:
            return _failed(_UNIMPLEMENTED)
        content = frame(0, answer) + frame(0x80, b"grpc-status:0\r\n")
        return Response(content, media_type=CONTENT_TYPE)


async def limited_body(request: Request) -> bytes:
    """The request's body, cut off just past the limit, so that it is refused and never fills memory."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            break
    return bytes(body)


def _failed(status: int) -> Response:
    return Response(headers={"grpc-status": str(status)}, media_type=CONTENT_TYPE)
