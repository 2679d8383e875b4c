"""Files: create, append, delete. They carry contract bytecode, as hex text."""

from __future__ import annotations

from typing import Any

from hiero_sdk_python.hapi.services import basic_types_pb2 as basic

from shoal.adapters.devnet.context import Context, Refused, checked_key, checked_memo
from shoal.adapters.devnet.keys import is_empty
from shoal.adapters.devnet.store import Entity

MAX_FILE_BYTES = 1024 * 1024


def create_file(context: Context, payload: Any) -> None:
    """A file without keys can never change."""
    keys = basic.Key(keyList=payload.keys)
    key = b"" if is_empty(keys) else checked_key(keys)
    if key:
        context.require(keys)
    num = context.store.add_entity("file", key, now_ns=context.now_ns, memo=checked_memo(payload.memo))
    context.store.run("insert into file values(?, ?)", num, payload.contents)
    context.record.receipt.fileID.fileNum = num
    context.entity = num


def append_file(context: Context, payload: Any) -> None:
    entity = _changeable(context, payload.fileID)
    sql = "select length(contents) from file where num = ?"
    row = context.store.one(sql, entity.num)
    assert row is not None, "every file has its row"
    if row[0] + len(payload.contents) > MAX_FILE_BYTES:
        raise Refused("MAX_FILE_SIZE_EXCEEDED")
    sql = "update file set contents = cast(contents || ? as blob) where num = ?"
    context.store.run(sql, payload.contents, entity.num)
    context.entity = entity.num


def delete_file(context: Context, payload: Any) -> None:
    """Any one of a file's keys can delete it; the others need all to sign."""
    entity = _changeable(context, payload.fileID, any_key=True)
    context.store.update_entity(entity.num, context.now_ns, deleted=1)
    context.store.run("update file set contents = x'' where num = ?", entity.num)
    context.entity = entity.num


def _changeable(context: Context, pb: Any, *, any_key: bool = False) -> Entity:
    entity = context.store.entity(pb.fileNum, "file")
    if entity is None or pb.shardNum or pb.realmNum:
        raise Refused("INVALID_FILE_ID")
    if entity.deleted:
        raise Refused("FILE_DELETED")
    if not entity.key:
        raise Refused("UNAUTHORIZED")
    key = entity.key_tree
    if any_key and any(context.signatures.satisfy(part) for part in key.keyList.keys):
        return entity
    context.require(key)
    return entity
