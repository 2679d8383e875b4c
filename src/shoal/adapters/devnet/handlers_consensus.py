"""Topics: create, update, delete, and submit a message under the running hash."""

from __future__ import annotations

import hashlib
from typing import Any

from hiero_sdk_python.hapi.services import basic_types_pb2 as basic

from shoal.adapters.devnet.clock import SECOND_NS
from shoal.adapters.devnet.context import Context, Refused, checked_key, checked_memo, find_account
from shoal.adapters.devnet.keys import is_empty
from shoal.adapters.devnet.store import Entity

MAX_MESSAGE_BYTES = 1024
RUNNING_HASH_VERSION = 3
_DEFAULT_RENEW_S = 7_776_000


def create_topic(context: Context, payload: Any) -> None:
    admin = _optional_key(payload, "adminKey")
    submit = _optional_key(payload, "submitKey")
    if admin:
        context.require(payload.adminKey)
    if payload.custom_fees:
        raise Refused("NOT_SUPPORTED")
    renewer = None
    if payload.HasField("autoRenewAccount"):
        found = find_account(context.store, payload.autoRenewAccount)
        if found is None:
            raise Refused("INVALID_AUTORENEW_ACCOUNT")
        if found.num != context.payer.num:
            context.require_entity(found)
        renewer = found.num
    num = context.store.add_entity(
        "topic",
        admin,
        now_ns=context.now_ns,
        memo=checked_memo(payload.memo),
        auto_renew_s=payload.autoRenewPeriod.seconds or _DEFAULT_RENEW_S,
    )
    context.store.run("insert into topic values(?, ?, 0, ?, ?)", num, submit, bytes(48), renewer)
    context.record.receipt.topicID.topicNum = num
    context.entity = num


def update_topic(context: Context, payload: Any) -> None:
    """Only a topic with an admin key can change; an empty key list takes the admin or submit key away."""
    entity = _topic(context, payload.topicID)
    _require_admin(context, entity)
    columns: dict[str, Any] = {}
    if payload.HasField("memo"):
        columns["memo"] = checked_memo(payload.memo.value)
    if payload.HasField("adminKey"):
        columns["key"] = _optional_key(payload, "adminKey")
        if columns["key"]:
            context.require(payload.adminKey)
    if payload.HasField("autoRenewPeriod"):
        columns["auto_renew_s"] = payload.autoRenewPeriod.seconds
    if payload.HasField("submitKey"):
        submit = _optional_key(payload, "submitKey")
        context.store.run("update topic set submit_key = ? where num = ?", submit, entity.num)
    context.store.update_entity(entity.num, context.now_ns, **columns)
    context.entity = entity.num


def delete_topic(context: Context, payload: Any) -> None:
    entity = _topic(context, payload.topicID)
    _require_admin(context, entity)
    context.store.update_entity(entity.num, context.now_ns, deleted=1)
    context.entity = entity.num


def submit_message(context: Context, payload: Any) -> None:
    """Append one message (or one chunk of one) and extend the topic's running hash."""
    entity = _topic(context, payload.topicID)
    if len(payload.message) > MAX_MESSAGE_BYTES:
        raise Refused("MESSAGE_SIZE_TOO_LARGE")
    chunk = _chunk(context, payload)
    sql = "select submit_key, sequence, running_hash from topic where num = ?"
    row = context.store.one(sql, entity.num)
    assert row is not None, "every topic has its row"
    submit_key, sequence, before = row
    if submit_key:
        context.require(basic.Key.FromString(submit_key))
    sequence += 1
    running = running_hash(before, context.payer.num, entity.num, context.now_ns, sequence, payload.message)
    store = context.store
    store.run("update topic set sequence = ?, running_hash = ? where num = ?", sequence, running, entity.num)
    store.run(
        "insert into message values(?, ?, ?, ?, ?, ?, ?)",
        entity.num,
        sequence,
        context.now_ns,
        context.payer.num,
        payload.message,
        running,
        chunk,
    )
    receipt = context.record.receipt
    receipt.topicSequenceNumber = sequence
    receipt.topicRunningHash = running
    receipt.topicRunningHashVersion = RUNNING_HASH_VERSION
    context.entity = entity.num


def running_hash(before: bytes, payer: int, topic: int, now_ns: int, sequence: int, message: bytes) -> bytes:
    """Version 3 (consensus_submit_message.proto): SHA-384 over the previous hash and what identifies the message."""
    numbers = (RUNNING_HASH_VERSION, 0, 0, payer, 0, 0, topic, now_ns // SECOND_NS)
    parts = before + b"".join(number.to_bytes(8, "big") for number in numbers)
    parts += (now_ns % SECOND_NS).to_bytes(4, "big") + sequence.to_bytes(8, "big")
    return hashlib.sha384(parts + hashlib.sha384(message).digest()).digest()


def _chunk(context: Context, payload: Any) -> bytes | None:
    """The serialized chunk info, checked: number in range, the first chunk's id is the transaction's own."""
    if not payload.HasField("chunkInfo"):
        return None
    info = payload.chunkInfo
    if not 1 <= info.number <= info.total:
        raise Refused("INVALID_CHUNK_NUMBER")
    if info.initialTransactionID.accountID != context.record.transactionID.accountID:
        raise Refused("INVALID_CHUNK_TRANSACTION_ID")
    if info.number == 1 and info.initialTransactionID != context.record.transactionID:
        raise Refused("INVALID_CHUNK_TRANSACTION_ID")
    return bytes(info.SerializeToString())


def _topic(context: Context, pb: Any) -> Entity:
    entity = context.store.entity(pb.topicNum, "topic")
    if entity is None or entity.deleted or pb.shardNum or pb.realmNum:
        raise Refused("INVALID_TOPIC_ID")
    return entity


def _require_admin(context: Context, entity: Entity) -> None:
    if not entity.key:
        raise Refused("UNAUTHORIZED")
    context.require(entity.key_tree)


def _optional_key(payload: Any, name: str) -> bytes:
    """The serialized key, or nothing when it is not set or the empty list."""
    if not payload.HasField(name) or is_empty(getattr(payload, name)):
        return b""
    return checked_key(getattr(payload, name))
