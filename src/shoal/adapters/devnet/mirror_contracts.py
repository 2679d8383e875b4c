"""Mirror REST: contract results, contract logs, and calls that are only simulated."""

from __future__ import annotations

import json
import re
from typing import Any

from eth_abi import decode
from eth_abi.exceptions import DecodingError
from hiero_sdk_python.hapi.services import transaction_record_pb2

from shoal.adapters.devnet.context import Refused, status_name
from shoal.adapters.devnet.evm import CHAIN_ID, MAX_GAS, block_hash
from shoal.adapters.devnet.fees import GAS_PRICE_TINYBAR
from shoal.adapters.devnet.ledger import SUCCESS, Ledger
from shoal.adapters.devnet.mirror_params import (
    BadRequest,
    Comparison,
    NotFound,
    Params,
    conditions,
    find_entity,
    page,
    parse_number,
    parse_timestamp,
    timestamp_text,
)
from shoal.adapters.devnet.mirror_transactions import parse_transaction_id
from shoal.adapters.devnet.queries import Queries

_HASH = re.compile(r"(?:0x)?([0-9a-fA-F]{64}|[0-9a-fA-F]{96})\Z", re.ASCII)
_TOPIC = re.compile(r"(?:eq:)?(?:0x)?([0-9a-fA-F]{1,64})\Z", re.ASCII)
_MAX_TOPIC_RANGE_NS = 7 * 86_400 * 10**9
_ERROR_STRING = bytes.fromhex("08c379a0")
_LOG_COLUMNS = "time_ns, idx, contract, address, bloom, topic0, topic1, topic2, topic3, data"


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


# ---------------------------------------------------------------- logs


def logs(ledger: Ledger, params: Params, name: str) -> dict[str, Any]:
    """/contracts/{id}/results/logs. Pages end between two logs, even of one transaction: see `_position`."""
    entity = find_entity(ledger.store, name, "contractIdOrAddress", "contract")
    limit, order = params.limit(), params.choice("order", "desc", "asc")
    times = params.comparisons("timestamp", parse_timestamp)
    indexes = params.comparisons("index", parse_number)
    topics = _topics(params)
    if topics:
        _check_topic_range(times)
    position, position_values = _position(times, indexes)
    where, values = conditions(("contract = ?", entity.num), *topics)
    rows = ledger.store.all(
        f"select {_LOG_COLUMNS} from log{where}{position} "  # noqa: S608
        f"order by time_ns {order}, idx {order} limit ?",
        (*values, *position_values, limit),
    )
    last = {}
    if rows:
        beyond, same = ("gt", "gte") if order == "asc" else ("lt", "lte")
        last = {"timestamp": f"{same}:{timestamp_text(rows[-1][0])}", "index": f"{beyond}:{rows[-1][1]}"}
    return {"logs": _logs_json(ledger, rows), "links": page(params, rows, limit, order, last)}


def _topics(params: Params) -> list[tuple[str, Any]]:
    parts: list[tuple[str, Any]] = []
    for position in range(4):
        for text in params.texts(f"topic{position}"):
            match = _TOPIC.match(text)
            if not match:
                raise BadRequest(f"Invalid parameter: topic{position}")
            parts.append((f"topic{position} = ?", bytes.fromhex(match[1].rjust(64, "0"))))
    return parts


def _check_topic_range(times: list[Comparison]) -> None:
    """As the mirror node: topics can be searched within seven days only."""
    if any(time.operator == "eq" for time in times):
        return
    lower = [time.value for time in times if time.is_lower]
    upper = [time.value for time in times if time.is_upper]
    if not lower or not upper:
        raise BadRequest("Cannot search topics without a valid timestamp range: No timestamp range or eq operator")
    if not 0 <= min(upper) - max(lower) <= _MAX_TOPIC_RANGE_NS:
        raise BadRequest("Timestamp range by the lower and upper bounds must be positive and within 7d")


def _position(times: list[Comparison], indexes: list[Comparison]) -> tuple[str, list[Any]]:
    """An index bounds the first or last transaction only: (time, index) is compared as a pair."""
    parts: list[tuple[str, list[Any]]] = []
    bounds = list(indexes)
    for time in times:
        paired = [index for index in bounds if _same_side(time, index)]
        if not paired:
            sql, value = time.sql("time_ns")
            parts.append((sql, [value]))
            continue
        for index in paired:
            bounds.remove(index)
            sql, value = index.sql("idx")
            strict = ">" if index.is_lower else "<"
            if time.operator == "eq":
                parts.append((f"time_ns = ? and {sql}", [time.value, value]))
            else:
                condition = f"(time_ns {strict} ? or (time_ns = ? and {sql}))"
                parts.append((condition, [time.value, time.value, value]))
    if bounds:
        raise BadRequest("Invalid parameter: index")
    return "".join(f" and {sql}" for sql, _ in parts), [value for _, values in parts for value in values]


def _same_side(time: Comparison, index: Comparison) -> bool:
    if time.operator == "eq":
        return True
    both_lower = time.operator == "gte" and index.is_lower
    return both_lower or (time.operator == "lte" and index.is_upper)


def _logs_json(ledger: Ledger, rows: list[Any]) -> list[dict[str, Any]]:
    transactions: dict[int, Any] = {}
    entries = []
    for time_ns, index, contract, address, bloom, *topics, data in rows:
        if time_ns not in transactions:
            sql = "select hash, entity from tx where time_ns = ?"
            transactions[time_ns] = ledger.store.one(sql, time_ns)
        digest, root = transactions[time_ns]
        entries.append(
            {
                "address": _hex(address),
                "block_hash": _hex(block_hash(ledger.clock.block_of(time_ns))),
                "block_number": ledger.clock.block_of(time_ns),
                "bloom": _hex(bloom),
                "contract_id": f"0.0.{contract}",
                "data": _hex(data),
                "index": index,
                "root_contract_id": f"0.0.{root}",
                "timestamp": timestamp_text(time_ns),
                "topics": [_hex(topic) for topic in topics if topic is not None],
                "transaction_hash": _hex(digest[:32]),
                "transaction_index": _transaction_index(ledger, time_ns),
            }
        )
    return entries


def _transaction_index(ledger: Ledger, time_ns: int) -> int:
    sql = "select count(*) from tx where time_ns >= ? and time_ns < ?"
    row = ledger.store.one(sql, time_ns - time_ns % ledger.clock.block_ns, time_ns)
    return int(row[0]) if row else 0


# ---------------------------------------------------------------- results


def result(ledger: Ledger, params: Params, name: str) -> dict[str, Any]:
    """/contracts/results/{transaction id or hash}."""
    identity, match = parse_transaction_id(name), _HASH.match(name)
    columns = "time_ns, hash, record, status"
    if identity is not None:
        row = ledger.store.one(f"select {columns} from tx where id = ?", identity)  # noqa: S608
    elif match:
        digest = bytes.fromhex(match[1])[:32]
        sql = f"select {columns} from tx where substr(hash, 1, 32) = ?"  # noqa: S608
        row = ledger.store.one(sql, digest)
    else:
        raise BadRequest("Invalid parameter: transactionIdOrHash")
    record = transaction_record_pb2.TransactionRecord.FromString(row[2]) if row else None
    which = record.WhichOneof("body") if record else None
    if row is None or which is None:
        raise NotFound
    return _result_json(ledger, row, record, getattr(record, which), creating=which == "contractCreateResult")


def _result_json(ledger: Ledger, row: Any, record: Any, done: Any, *, creating: bool) -> dict[str, Any]:
    time_ns, digest, _, status = row
    number = done.contractID.contractNum
    entity = ledger.store.entity(number) if number else None
    sender = ledger.store.entity(done.sender_id.accountNum)
    address = _hex(entity.evm_address) if entity else None
    sql = f"select {_LOG_COLUMNS} from log where time_ns = ? order by idx"  # noqa: S608
    return {
        "access_list": "0x",
        "address": address,
        "amount": done.amount,
        "authorization_list": [],
        "block_gas_used": done.gasUsed,
        "block_hash": _hex(block_hash(ledger.clock.block_of(time_ns))),
        "block_number": ledger.clock.block_of(time_ns),
        "bloom": _hex(done.bloom or bytes(256)),
        "call_result": _hex(done.contractCallResult),
        "chain_id": hex(CHAIN_ID),
        "contract_id": f"0.0.{number}" if number else None,
        "created_contract_ids": [f"0.0.{made.contractNum}" for made in done.createdContractIDs],
        "error_message": done.errorMessage or None,
        "failed_initcode": None,
        "from": _hex(sender.evm_address) if sender and sender.address else None,
        "function_parameters": _hex(done.functionParameters),
        "gas_consumed": done.gasUsed,
        "gas_limit": done.gas,
        "gas_price": hex(GAS_PRICE_TINYBAR),
        "gas_used": done.gasUsed,
        "hash": _hex(digest[:32]),
        "logs": _logs_json(ledger, ledger.store.all(sql, (time_ns,))),
        "max_fee_per_gas": None,
        "max_priority_fee_per_gas": None,
        "nonce": None,
        "r": None,
        "result": status_name(status),
        "s": None,
        "state_changes": [],
        "status": "0x1" if status == SUCCESS else "0x0",
        "timestamp": timestamp_text(time_ns),
        "to": None if creating else address,
        "transaction_index": _transaction_index(ledger, time_ns),
        "type": None,
        "v": None,
    }


# ---------------------------------------------------------------- simulated calls


def call(queries: Queries, raw: bytes) -> dict[str, Any]:
    """POST /contracts/call: eth_call without a fee, or with `estimate` the gas that it takes."""
    try:
        body = json.loads(raw)
        if not isinstance(body, dict):
            raise TypeError
        sender = _address(body.get("from")) or bytes(20)
        target = _address(body.get("to"))
        data = bytes.fromhex(str(body.get("data") or "0x").removeprefix("0x"))
        gas, value = int(body.get("gas") or MAX_GAS), int(body.get("value") or 0)
        block = str(body.get("block") or "latest")
    except (ValueError, TypeError):
        raise BadRequest("Unable to parse JSON") from None
    if not 0 < gas <= MAX_GAS or not 0 <= value < 2**63:
        raise BadRequest("gas or value out of range")
    if block not in ("latest", "pending", "safe", "finalized"):
        raise BadRequest("Only the latest block is served")
    if target is None and not data:
        raise BadRequest("to field must not be empty")
    try:
        done = queries.simulate(
            sender=sender, to=target or b"", data=data, gas=gas, value_tinybar=value, create=target is None
        )
    except Refused as refusal:
        raise BadRequest(refusal.status) from None
    if done.error:
        status = "CONTRACT_REVERT_EXECUTED" if done.reverted else done.error
        raise BadRequest(status, revert_text(done.output), _hex(done.output))
    return {"result": hex(done.gas_used) if body.get("estimate") else _hex(done.output)}


def _address(value: Any) -> bytes | None:
    """20 bytes of `0x...`; None when absent; raises ValueError."""
    if value in (None, ""):
        return None
    address = bytes.fromhex(str(value).removeprefix("0x"))
    if len(address) != 20:
        raise ValueError(value)
    return address


def revert_text(output: bytes) -> str:
    """The message of a plain `revert("...")`; empty for custom errors."""
    if output[:4] != _ERROR_STRING:
        return ""
    try:
        return str(decode(["string"], output[4:])[0])
    except (DecodingError, UnicodeDecodeError):
        return ""
