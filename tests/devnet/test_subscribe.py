"""The mirror's gRPC subscription, by its wire protocol: start, end, limit, live, and no such topic."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from hiero_sdk_python import TopicCreateTransaction, TopicId, TopicMessageSubmitTransaction
from hiero_sdk_python.hapi.mirror import consensus_service_pb2 as mirror
from hiero_sdk_python.hapi.services import timestamp_pb2

from .harness import DEADLINE_S, Devnet


class Topic:
    def __init__(self, devnet: Devnet) -> None:
        self._devnet = devnet
        self.id = TopicCreateTransaction().execute(devnet.client, validate_status=True).topic_id
        self._channel = grpc.insecure_channel(devnet.endpoints["mirror_grpc"])
        self._method = self._channel.unary_stream(
            "/com.hedera.mirror.api.proto.ConsensusService/subscribeTopic",
            request_serializer=mirror.ConsensusTopicQuery.SerializeToString,
            response_deserializer=mirror.ConsensusTopicResponse.FromString,
        )

    def send(self, text: str) -> None:
        TopicMessageSubmitTransaction(self.id, text).execute(self._devnet.client, validate_status=True)

    def subscribe(self, **query: Any) -> Any:
        request = mirror.ConsensusTopicQuery(topicID=self.id._to_proto(), **query)
        return self._method(request, timeout=DEADLINE_S)

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def topic(devnet: Devnet) -> Iterator[Topic]:
    made = Topic(devnet)
    yield made
    made.close()


def texts(stream: Any) -> list[str]:
    return [response.message.decode() for response in stream]


ALL = timestamp_pb2.Timestamp(seconds=0)


def test_history_is_cut_by_start_end_and_limit(topic: Topic) -> None:
    for text in ("one", "two", "three"):
        topic.send(text)
    assert texts(topic.subscribe(consensusStartTime=ALL, limit=2)) == ["one", "two"]
    first, second, third = topic.subscribe(consensusStartTime=ALL, limit=3)
    assert [first.sequenceNumber, second.sequenceNumber, third.sequenceNumber] == [1, 2, 3]
    from_second = topic.subscribe(consensusStartTime=second.consensusTimestamp, limit=2)
    assert texts(from_second) == ["two", "three"]
    until_third = topic.subscribe(consensusStartTime=ALL, consensusEndTime=third.consensusTimestamp)
    assert texts(until_third) == ["one", "two"], "the end is exclusive, and past, so the stream ends by itself"


def test_live_messages_follow_history_without_gap(topic: Topic) -> None:
    topic.send("0")
    received: list[str] = []
    begun = threading.Event()

    def read() -> None:
        for response in topic.subscribe(consensusStartTime=ALL, limit=31):
            received.append(response.message.decode())
            begun.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(DEADLINE_S)
    for number in range(1, 31):
        topic.send(str(number))
    reader.join(DEADLINE_S)
    assert received == [str(number) for number in range(31)]


def test_a_stream_ends_when_its_end_time_passes(topic: Topic) -> None:
    soon = timestamp_pb2.Timestamp(seconds=int(time.time()) + 2)
    assert texts(topic.subscribe(consensusStartTime=ALL, consensusEndTime=soon)) == []


def test_no_such_topic(topic: Topic) -> None:
    topic.id = TopicId(0, 0, 2)
    with pytest.raises(grpc.RpcError) as caught:
        texts(topic.subscribe())
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
