"""gRPC-web: how the browser build of the JavaScript SDK reaches the node, and subscribes to topics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

import grpc
from google.protobuf.message import DecodeError
from hiero_sdk_python.hapi.mirror import consensus_service_pb2 as mirror
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from shoal.adapters.devnet.ledger import MAX_TRANSACTION_BYTES
from shoal.adapters.devnet.mirror_grpc import TOPICS, Mirror, Unanswerable
from shoal.adapters.devnet.node_grpc import NodeService

CONTENT_TYPE = "application/grpc-web+proto"
MAX_BODY_BYTES = 4 * MAX_TRANSACTION_BYTES


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

    def __init__(self, node: NodeService, mirror_node: Mirror) -> None:
        self._node, self._mirror = node, mirror_node

    async def health(self, request: Request) -> Response:
        return Response(headers={"grpc-status": "0"})

    async def call(self, request: Request) -> Response:
        """One unary call, or a subscription."""
        message = unframe(await limited_body(request))
        if message is None:
            return _failed(grpc.StatusCode.INVALID_ARGUMENT)
        service, method = request.path_params["service"], request.path_params["method"]
        try:
            if (service, method) == (TOPICS, "subscribeTopic"):
                query = mirror.ConsensusTopicQuery.FromString(message)
                return StreamingResponse(self._messages(query), media_type=CONTENT_TYPE)
            answer = self._node.call(service, method, message)
        except DecodeError:
            return _failed(grpc.StatusCode.INVALID_ARGUMENT)
        if answer is None:
            return _failed(grpc.StatusCode.UNIMPLEMENTED)
        return Response(frame(0, answer) + _trailers(grpc.StatusCode.OK), media_type=CONTENT_TYPE)

    async def _messages(self, query: mirror.ConsensusTopicQuery) -> AsyncIterator[bytes]:
        try:
            async for response in self._mirror.messages(query):
                yield frame(0, response.SerializeToString())
        except Unanswerable as error:
            yield _trailers(error.status, error.text)
            return
        yield _trailers(grpc.StatusCode.OK)


async def limited_body(request: Request) -> bytes:
    """The request's body, cut off just past the limit, so that it is refused and never fills memory."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            break
    return bytes(body)


def _trailers(status: grpc.StatusCode, text: str = "") -> bytes:
    lines = f"grpc-status:{status.value[0]}\r\n" + (f"grpc-message:{quote(text)}\r\n" if text else "")
    return frame(0x80, lines.encode())


def _failed(status: grpc.StatusCode) -> Response:
    return Response(headers={"grpc-status": str(status.value[0])}, media_type=CONTENT_TYPE)
