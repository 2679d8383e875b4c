"""The mirror node's gRPC: subscribe to a topic's messages, past and coming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from hiero_sdk_python.hapi.mirror import consensus_service_pb2 as mirror

from shoal.adapters.devnet.context import nanoseconds, timestamp
from shoal.adapters.devnet.handlers_consensus import RUNNING_HASH_VERSION
from shoal.adapters.devnet.ledger import Ledger

_PAGE = 100
_SERVICE = "com.hedera.mirror.api.proto.ConsensusService"


class Subscriptions:
    """Serves subscribeTopic; each subscriber is a coroutine that sleeps until the next commit."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._changed = asyncio.Event()
        ledger.on_change(self._wake)

    def handler(self) -> Any:
        """To be added to a grpc.aio server."""
        method = grpc.unary_stream_rpc_method_handler(
            self.subscribe,
            request_deserializer=mirror.ConsensusTopicQuery.FromString,
            response_serializer=mirror.ConsensusTopicResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(_SERVICE, {"subscribeTopic": method})

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def subscribe(self, query: Any, context: Any) -> AsyncIterator[Any]:
        """Messages with start <= time < end, oldest first, at most `limit` (0: all); live until the end is past.

        Without a start it begins now, as the real mirror node does.
        """
        topic = query.topicID.topicNum
        if self._ledger.store.entity(topic, "topic") is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Topic 0.0.{topic} does not exist")
        now_ns = self._ledger.now_ns()
        start_ns = nanoseconds(query.consensusStartTime) if query.HasField("consensusStartTime") else now_ns
        start_ns = max(start_ns, 0)
        end_ns = nanoseconds(query.consensusEndTime) if query.HasField("consensusEndTime") else 2**63 - 1
        if end_ns <= start_ns:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "End time must be after start time")
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
