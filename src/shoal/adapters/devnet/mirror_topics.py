"""Mirror REST: topics and their messages."""

from __future__ import annotations

import base64
from typing import Any

from hiero_sdk_python.hapi.services import consensus_submit_message_pb2 as submit_message

from shoal.adapters.devnet.handlers_consensus import RUNNING_HASH_VERSION
from shoal.adapters.devnet.ledger import Ledger
from shoal.adapters.devnet.mirror_params import (
    BadRequest,
    NotFound,
    Params,
    conditions,
    key_json,
    page,
    parse_entity,
    parse_number,
    parse_timestamp,
    timestamp_text,
)
from shoal.adapters.devnet.store import Entity

_COLUMNS = "sequence, time_ns, payer, data, running_hash, chunk"


def topic(ledger: Ledger, params: Params, name: str) -> dict[str, Any]:
    """/topics/{id}."""
    entity, row = _topic(ledger, name)
    renewer = f"0.0.{row[1]}" if row[1] else None
    return {
        "admin_key": key_json(entity.key),
        "auto_renew_account": renewer,
        "auto_renew_period": entity.auto_renew_s,
        "created_timestamp": timestamp_text(entity.created_ns),
        "custom_fees": {"created_timestamp": timestamp_text(entity.created_ns), "fixed_fees": []},
        "deleted": entity.deleted,
        "fee_exempt_key_list": [],
        "fee_schedule_key": None,
        "memo": entity.memo,
        "submit_key": key_json(row[0]),
        "timestamp": {"from": timestamp_text(entity.updated_ns), "to": None},
        "topic_id": f"0.0.{entity.num}",
    }


def _topic(ledger: Ledger, name: str) -> tuple[Entity, Any]:
    try:
        num = parse_entity(name)
    except ValueError:
        raise BadRequest("Invalid parameter: topicId") from None
    entity = ledger.store.entity(num, "topic")
    if entity is None:
        raise NotFound
    row = ledger.store.one("select submit_key, auto_renew_account from topic where num = ?", num)
    assert row is not None, "every topic has its row"
    return entity, row


def messages(ledger: Ledger, params: Params, name: str) -> dict[str, Any]:
    """/topics/{id}/messages."""
    entity, _ = _topic(ledger, name)
    limit, order = params.limit(), params.choice("order", "asc", "desc")
    as_text = params.choice("encoding", "base64", "utf-8", "utf8") != "base64"
    where, values = conditions(
        ("topic = ?", entity.num),
        *(c.sql("sequence") for c in params.comparisons("sequencenumber", parse_number)),
        *(c.sql("time_ns") for c in params.comparisons("timestamp", parse_timestamp)),
    )
    rows = ledger.store.all(
        f"select {_COLUMNS} from message{where} "  # noqa: S608
        f"order by sequence {order} limit ?",
        (*values, limit),
    )
    entries = [_message_json(entity.num, row, as_text=as_text) for row in rows]
    last = {"sequencenumber": f"{'gt' if order == 'asc' else 'lt'}:{rows[-1][0]}"} if rows else {}
    return {"links": page(params, rows, limit, order, last), "messages": entries}


def message(ledger: Ledger, params: Params, name: str, sequence: str) -> dict[str, Any]:
    """/topics/{id}/messages/{sequence number}."""
    entity, _ = _topic(ledger, name)
    try:
        number = parse_number(sequence)
    except ValueError:
        raise BadRequest("Invalid parameter: sequencenumber") from None
    row = ledger.store.one(
        f"select {_COLUMNS} from message where topic = ? and sequence = ?",  # noqa: S608
        entity.num,
        number,
    )
    if row is None:
        raise NotFound
    return _message_json(entity.num, row, as_text=False)


def message_at(ledger: Ledger, params: Params, time: str) -> dict[str, Any]:
    """/topics/messages/{consensus timestamp}."""
    try:
        time_ns = parse_timestamp(time)
    except ValueError:
        raise BadRequest("Invalid parameter: timestamp") from None
    row = ledger.store.one(
        f"select topic, {_COLUMNS} from message where time_ns = ?",  # noqa: S608
        time_ns,
    )
    if row is None:
        raise NotFound
    return _message_json(row[0], row[1:], as_text=False)


def _message_json(topic_num: int, row: Any, *, as_text: bool) -> dict[str, Any]:
    sequence, time_ns, payer, data, running_hash, chunk = row
    return {
        "chunk_info": _chunk_json(chunk) if chunk else None,
        "consensus_timestamp": timestamp_text(time_ns),
        "message": data.decode(errors="replace") if as_text else base64.b64encode(data).decode(),
        "payer_account_id": f"0.0.{payer}",
        "running_hash": base64.b64encode(running_hash).decode(),
        "running_hash_version": RUNNING_HASH_VERSION,
        "sequence_number": sequence,
        "topic_id": f"0.0.{topic_num}",
    }


def _chunk_json(raw: bytes) -> dict[str, Any]:
    info = submit_message.ConsensusMessageChunkInfo.FromString(raw)
    first = info.initialTransactionID
    start = first.transactionValidStart
    return {
        "initial_transaction_id": {
            "account_id": f"0.0.{first.accountID.accountNum}",
            "nonce": first.nonce,
            "scheduled": first.scheduled,
            "transaction_valid_start": f"{start.seconds}.{start.nanos:09d}",
        },
        "number": info.number,
        "total": info.total,
    }
