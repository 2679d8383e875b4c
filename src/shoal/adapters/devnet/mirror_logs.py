"""Mirror REST: the logs of contracts."""

from __future__ import annotations

import re
from typing import Any

from shoal.adapters.devnet.ledger import Ledger
from shoal.adapters.devnet.mirror_params import (
    BadRequest,
    Comparison,
    Params,
    conditions,
    find_entity,
    hex_text,
    page,
    parse_hash,
    parse_number,
    parse_timestamp,
    timestamp_text,
)

_TOPIC = re.compile(r"(?:eq:)?(?:0x)?([0-9a-fA-F]{1,64})\Z", re.ASCII)
_MAX_TOPIC_RANGE_NS = 7 * 86_400 * 10**9
COLUMNS = "time_ns, idx, contract, address, bloom, topic0, topic1, topic2, topic3, data"


def logs(ledger: Ledger, params: Params, name: str) -> dict[str, Any]:
    """/contracts/{id}/results/logs."""
    entity = find_entity(ledger.store, name, "contractIdOrAddress", "contract")
    return _logs(ledger, params, ("contract = ?", entity.num))


def all_logs(ledger: Ledger, params: Params) -> dict[str, Any]:
    """/contracts/results/logs: of all contracts."""
    text = params.text("transaction.hash")
    if text is None:
        return _logs(ledger, params)
    digest = parse_hash(text)
    if digest is None:
        raise BadRequest("Invalid parameter: transaction.hash")
    row = ledger.store.one("select time_ns from tx where substr(hash, 1, 32) = ?", digest)
    return _logs(ledger, params, ("time_ns = ?", row[0] if row else -1))


def _logs(ledger: Ledger, params: Params, *which: tuple[str, Any]) -> dict[str, Any]:
    """Pages end between two logs, even of one transaction: see `_position`."""
    limit, order = params.limit(), params.choice("order", "desc", "asc")
    times = params.comparisons("timestamp", parse_timestamp)
    indexes = params.comparisons("index", parse_number)
    topics = _topics(params)
    if topics:
        _check_topic_range(times)
    position, position_values = _position(times, indexes)
    where, values = conditions(*which, *topics)
    rows = ledger.store.all(
        f"select {COLUMNS} from log{where or ' where true'}{position} "  # noqa: S608
        f"order by time_ns {order}, idx {order} limit ?",
        (*values, *position_values, limit),
    )
    last = {}
    if rows:
        beyond, same = ("gt", "gte") if order == "asc" else ("lt", "lte")
        last = {"timestamp": f"{same}:{timestamp_text(rows[-1][0])}", "index": f"{beyond}:{rows[-1][1]}"}
    return {"logs": logs_json(ledger, rows), "links": page(params, rows, limit, order, last)}


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


def logs_json(ledger: Ledger, rows: list[Any]) -> list[dict[str, Any]]:
    transactions: dict[int, Any] = {}
    entries = []
    for time_ns, index, contract, address, bloom, *topics, data in rows:
        if time_ns not in transactions:
            sql = "select hash, entity from tx where time_ns = ?"
            transactions[time_ns] = ledger.store.one(sql, time_ns)
        digest, root = transactions[time_ns]
        entries.append(
            {
                "address": hex_text(address),
                "block_hash": hex_text(ledger.block_hash(ledger.clock.block_of(time_ns))),
                "block_number": ledger.clock.block_of(time_ns),
                "bloom": hex_text(bloom),
                "contract_id": f"0.0.{contract}",
                "data": hex_text(data),
                "index": index,
                "root_contract_id": f"0.0.{root}",
                "timestamp": timestamp_text(time_ns),
                "topics": [hex_text(topic) for topic in topics if topic is not None],
                "transaction_hash": hex_text(digest[:32]),
                "transaction_index": transaction_index(ledger, time_ns),
            }
        )
    return entries


def transaction_index(ledger: Ledger, time_ns: int) -> int:
    sql = "select count(*) from tx where time_ns >= ? and time_ns < ?"
    row = ledger.store.one(sql, time_ns - time_ns % ledger.clock.block_ns, time_ns)
    return int(row[0]) if row else 0
