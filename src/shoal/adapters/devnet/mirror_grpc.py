"""The mirror node's gRPC: subscribe to a topic's messages, past and coming; and the address book of the one node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from hiero_sdk_python.hapi.mirror import consensus_service_pb2 as mirror
from hiero_sdk_python.hapi.mirror import mirror_network_service_pb2 as network
from hiero_sdk_python.hapi.services import basic_types_pb2 as basic

from shoal.adapters.devnet.context import NODE, account_id, nanoseconds, timestamp
from shoal.adapters.devnet.handlers_consensus import RUNNING_HASH_VERSION
from shoal.adapters.devnet.ledger import Ledger

TOPICS, NETWORK = "com.hedera.mirror.api.proto.ConsensusService", "com.hedera.mirror.api.proto.NetworkService"
ADDRESS_BOOKS = (101, 102)
"""The files 0.0.101 and 0.0.102."""
_PAGE = 100


class Unanswerable(Exception):
    """A query ends with this gRPC status and text."""

    def __init__(self, status: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Mirror:
    """What the mirror streams; each subscriber is a coroutine that sleeps until the next commit.

    Args:
        node: host and port of the consensus node.
    """

    def __init__(self, ledger: Ledger, node: tuple[str, int]) -> None:
        self._ledger, self._node = ledger, node
        self._changed = asyncio.Event()
        ledger.on_change(self._wake)

    def handlers(self) -> list[Any]:
        """To be added to a grpc.aio server."""
        topics = {"subscribeTopic": _method(self.messages, mirror.ConsensusTopicQuery)}
        nodes = {"getNodes": _method(self.nodes, network.AddressBookQuery)}
        return [
            grpc.method_handlers_generic_handler(TOPICS, topics),
            grpc.method_handlers_generic_handler(NETWORK, nodes),
        ]

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def messages(self, query: Any) -> AsyncIterator[Any]:
        """Messages with start <= time < end, oldest first, at most `limit` (0: all); live until the end is past.

        Without a start it begins now, as the real mirror node does.

        Raises:
            Unanswerable: no such topic, or an end before the start.
        """
        topic = query.topicID.topicNum
        if self._ledger.store.entity(topic, "topic") is None:
            raise Unanswerable(grpc.StatusCode.NOT_FOUND, f"Topic 0.0.{topic} does not exist")
        now_ns = self._ledger.now_ns()
        start_ns = nanoseconds(query.consensusStartTime) if query.HasField("consensusStartTime") else now_ns
        start_ns = max(start_ns, 0)
        end_ns = nanoseconds(query.consensusEndTime) if query.HasField("consensusEndTime") else 2**63 - 1
        if end_ns <= start_ns:
            raise Unanswerable(grpc.StatusCode.INVALID_ARGUMENT, "End time must be after start time")
        left = query.limit or 2**63 - 1
        while left > 0:
            changed = self._changed
            until_ns = self._ledger.now_ns()
            rows = self._page(topic, start_ns, end_ns, min(left, _PAGE))
            for row in rows:
                yield _response(*row)
                start_ns = row[1] + 1
            left -= len(rows)
            if rows:
                continue
            if until_ns >= end_ns:
                return
            await _wait(changed, min((end_ns - until_ns) / 1e9, 3600.0))

    def _page(self, topic: int, start_ns: int, end_ns: int, limit: int) -> list[Any]:
        return self._ledger.store.all(
            "select sequence, time_ns, data, running_hash, chunk from message "
            "where topic = ? and time_ns >= ? and time_ns < ? order by time_ns limit ?",
            (topic, min(start_ns, 2**63 - 1), min(end_ns, 2**63 - 1), limit),
        )

    async def nodes(self, query: Any) -> AsyncIterator[Any]:
        """The address book, of which this node is the only entry."""
        if query.file_id.fileNum not in ADDRESS_BOOKS or query.file_id.shardNum or query.file_id.realmNum:
            raise Unanswerable(grpc.StatusCode.INVALID_ARGUMENT, "file_id must be 0.0.101 or 0.0.102")
        host, port = self._node
        address = bytes(int(part) for part in host.split("."))
        endpoint = basic.ServiceEndpoint(ipAddressV4=address, port=port)
        yield basic.NodeAddress(
            nodeId=0, nodeAccountId=account_id(NODE), serviceEndpoint=[endpoint], description="shoal devnet"
        )


def _method(stream: Callable[[Any], AsyncIterator[Any]], request: Any) -> Any:
    async def handle(query: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async for response in stream(query):
                yield response
        except Unanswerable as error:
            await context.abort(error.status, error.text)

    return grpc.unary_stream_rpc_method_handler(
        handle,
        request_deserializer=request.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


async def _wait(changed: asyncio.Event, timeout_s: float) -> None:
    """Until the next commit, or the time that the subscription ends."""
    try:
        async with asyncio.timeout(timeout_s):
            await changed.wait()
    except TimeoutError:
        return


def _response(sequence: int, time_ns: int, data: bytes, running_hash: bytes, chunk: bytes | None) -> Any:
    response = mirror.ConsensusTopicResponse(
        consensusTimestamp=timestamp(time_ns),
        message=data,
        runningHash=running_hash,
        runningHashVersion=RUNNING_HASH_VERSION,
        sequenceNumber=sequence,
    )
    if chunk:
        response.chunkInfo.ParseFromString(chunk)
    return response
