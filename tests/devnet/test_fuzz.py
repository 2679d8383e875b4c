"""Whatever is sent, the devnet has an answer of its own: no 500, no FAIL_INVALID, no HBAR made or lost."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hiero_sdk_python.hapi.services import query_pb2, transaction_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.adapters.devnet.handlers import HANDLERS

from .direct import OPERATOR_KEY, Direct, public, transfer_body
from .harness import SUPPLY, Devnet
from .test_ledger import deploy

FAIL_INVALID = 5
NUMBERS = st.sampled_from([0, 1, 2, 3, 98, 1001, 1002, 1003, 2**31 - 1, 2**63 - 1, 10**8, 21_000, 100_000])
SIGNED = st.one_of(NUMBERS, st.sampled_from([-1, -(2**31), -(2**63)]))
BYTES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"", bytes(20), bytes(19) + b"\x02", b"\x11" * 20, b"\x3a\x21" + bytes(33), b"\x12\x20" + bytes(32)]
    ),
)
TEXTS = st.sampled_from(["", "memo", "\0", "x" * 101, "é" * 60])
_NUMBER_OF = {"AccountID": "accountNum", "ContractID": "contractNum", "FileID": "fileNum", "TopicID": "topicNum"}
QUERIES = [
    "cryptogetAccountBalance",
    "transactionGetReceipt",
    "transactionGetRecord",
    "cryptoGetInfo",
    "consensusGetTopicInfo",
    "fileGetContents",
    "fileGetInfo",
    "contractGetInfo",
    "contractGetBytecode",
    "contractCallLocal",
]


def fill(draw: Any, message: Any, depth: int = 0) -> None:
    """Set some of a protobuf message's fields to odd values, recursively."""
    number = _NUMBER_OF.get(message.DESCRIPTOR.name)
    if number and draw(st.integers(0, 3)):  # mostly one that exists: the topic, the contract, the file, the operator
        setattr(message, number, draw(st.sampled_from([2, 1001, 1002, 1003])))
        return
    for field in message.DESCRIPTOR.fields:
        if field.name == "header" or not draw(st.booleans()):
            continue
        if field.message_type is not None:
            if depth < 4:
                inner = getattr(message, field.name)
                fill(draw, inner.add() if field.is_repeated else inner, depth + 1)
        elif not field.is_repeated:
            setattr(message, field.name, draw(scalar(field)))


def scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return BYTES
    if field.type == FieldDescriptor.TYPE_STRING:
        return TEXTS
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_ENUM):
        return st.sampled_from([0, 1, 2, 5])
    return SIGNED if field.type == FieldDescriptor.TYPE_INT64 else NUMBERS


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_transaction_and_query_has_an_answer(fuzzed: Direct, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(HANDLERS)))
    body = transaction_pb2.TransactionBody()
    getattr(body, kind).SetInParent()
    fill(data.draw, getattr(body, kind))
    status = fuzzed.submit(body)
    assert status != "FAIL_INVALID"
    query = query_pb2.Query()
    asked = getattr(query, data.draw(st.sampled_from(QUERIES)))
    asked.SetInParent()
    fill(data.draw, asked)
    asked.header.payment.CopyFrom(fuzzed.sign(transfer_body({2: -(10**9), 3: 10**9})))
    answer = fuzzed.queries.answer(query)
    header = getattr(answer, answer.WhichOneof("response")).header
    assert header.nodeTransactionPrecheckCode != FAIL_INVALID
    assert fuzzed.supply() == SUPPLY


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    direct = Direct(tmp_path_factory.mktemp("fuzz"))
    topic = transaction_pb2.TransactionBody()
    topic.consensusCreateTopic.memo = "target"
    topic.consensusCreateTopic.adminKey.CopyFrom(public(OPERATOR_KEY))
    assert direct.submit(topic) == "SUCCESS"
    deploy(direct, 1000)
    file = transaction_pb2.TransactionBody()
    file.fileCreate.keys.keys.append(public(OPERATOR_KEY))
    assert direct.submit(file) == "SUCCESS"
    yield direct
    direct.store.close()


PATHS = [
    "accounts",
    "accounts/{}",
    "accounts/{}/tokens",
    "balances",
    "blocks",
    "blocks/{}",
    "contracts",
    "contracts/results",
    "contracts/results/logs",
    "contracts/{}/results",
    "contracts/{}/results/{}",
    "contracts/{}/state",
    "network/nodes",
    "topics/messages/{}",
    "contracts/{}",
    "contracts/{}/results/logs",
    "contracts/results/{}",
    "topics/{}",
    "topics/{}/messages",
    "topics/{}/messages/{}",
    "transactions",
    "transactions/{}",
]
NAMES = ["limit", "order", "timestamp", "index", "account.id", "sequencenumber", "block.number", "topic0", "encoding"]
NAMES += ["account.publickey", "account.balance", "contract.id", "from", "slot", "node.id", "type", "transaction.hash"]
VALUES = st.one_of(
    st.sampled_from(["0.0.2", "0.0.1001", "gt:0", "lt:9223372036854775807", "eq:0.0.2", "0x" + "0" * 40, "asc", "-1"]),
    st.tuples(
        st.sampled_from(["", "eq:", "ne:", "gt:", "gte:", "lt:", "lte:"]), st.text("0123456789.-xa", max_size=22)
    ).map("".join),
    st.text(st.characters(blacklist_categories=("Cs",)), max_size=8),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PATHS), VALUES, st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=4))
def test_no_get_is_500(devnet: Devnet, path: str, name: str, query: list[tuple[str, str]]) -> None:
    path = path.replace("{}", quote(name, safe="") or "0.0.2")
    response = devnet.http.get(f"/api/v1/{path}?{urlencode(query)}")
    assert response.status_code in (200, 400, 404), (response.url, response.text)
    assert isinstance(response.json(), dict)


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("0x" + "0" * 39 + "2")
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["to", "from", "data", "gas", "value", "block", "estimate"]), JSON))
def test_no_simulated_call_is_500(devnet: Devnet, body: dict[str, Any]) -> None:
    response = devnet.http.post("/api/v1/contracts/call", content=json.dumps(body))
    assert response.status_code in (200, 400), (body, response.text)
