"""The mirror's gRPC subscription, by its wire protocol: start, end, limit, live, and no such topic."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from hiero_sdk_python import TopicCreateTransaction, TopicId, TopicMessageSubmitTransaction
from hiero_sdk_python.hapi.mirror import consensus_service_pb2 as mirror
from hiero_sdk_python.hapi.mirror import mirror_network_service_pb2 as network
from hiero_sdk_python.hapi.services import basic_types_pb2, timestamp_pb2

from shoal.adapters.devnet.mirror_grpc import NETWORK, TOPICS

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


def web_frames(devnet: Devnet, query: Any) -> list[tuple[int, bytes]]:
    """What a browser gets from a subscription over grpc-web: (flags, payload) of each frame."""
    raw = query.SerializeToString()
    path = f"/{TOPICS}/subscribeTopic"
    body = devnet.http.post(path, content=b"\0" + len(raw).to_bytes(4, "big") + raw).content
    frames = []
    while body:
        size = int.from_bytes(body[1:5], "big")
        frames.append((body[0], body[5 : 5 + size]))
        body = body[5 + size :]
    return frames


def test_browsers_subscribe_too(devnet: Devnet, topic: Topic) -> None:
    for text in ("one", "two"):
        topic.send(text)
    query = mirror.ConsensusTopicQuery(topicID=topic.id._to_proto(), consensusStartTime=ALL, limit=2)
    *messages, (flags, trailers) = web_frames(devnet, query)
    assert [mirror.ConsensusTopicResponse.FromString(raw).message for _, raw in messages] == [b"one", b"two"]
    assert (flags, trailers) == (0x80, b"grpc-status:0\r\n")
    query.topicID.topicNum = 2
    ((flags, trailers),) = web_frames(devnet, query)
    assert flags == 0x80 and trailers == b"grpc-status:5\r\ngrpc-message:Topic%200.0.2%20does%20not%20exist\r\n"


def test_the_address_book(devnet: Devnet) -> None:
    with grpc.insecure_channel(devnet.endpoints["mirror_grpc"]) as channel:
        method = channel.unary_stream(
            f"/{NETWORK}/getNodes",
            request_serializer=network.AddressBookQuery.SerializeToString,
            response_deserializer=basic_types_pb2.NodeAddress.FromString,
        )
        (node,) = method(network.AddressBookQuery(file_id=basic_types_pb2.FileID(fileNum=102)), timeout=DEADLINE_S)
        (endpoint,) = node.serviceEndpoint
        host = ".".join(str(byte) for byte in endpoint.ipAddressV4)
        assert f"{host}:{endpoint.port}" == devnet.endpoints["node"] and node.nodeAccountId.accountNum == 3
        with pytest.raises(grpc.RpcError) as caught:
            list(method(network.AddressBookQuery(), timeout=DEADLINE_S))
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_an_open_subscription_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    net = Devnet(tmp_path)
    topic = TopicCreateTransaction().execute(net.client, validate_status=True).topic_id
    TopicMessageSubmitTransaction(topic, "one").execute(net.client, validate_status=True)
    raw = mirror.ConsensusTopicQuery(topicID=topic._to_proto(), consensusStartTime=ALL).SerializeToString()
    request = b"\0" + len(raw).to_bytes(4, "big") + raw
    with httpx.Client(base_url=net.endpoints["mirror_rest"], trust_env=False) as http:
        with http.stream("POST", f"/{TOPICS}/subscribeTopic", content=request) as response:
            assert b"one" in next(response.iter_raw())
            assert net.stop() == 0
