"""Mirror REST: accounts, balances, contracts, topics and their messages."""

from __future__ import annotations

import base64
from typing import Any

from hiero_sdk_python.hapi.services import basic_types_pb2 as basic
from hiero_sdk_python.hapi.services import consensus_submit_message_pb2 as submit_message

from shoal.adapters.devnet.handlers_consensus import RUNNING_HASH_VERSION
from shoal.adapters.devnet.ledger import Ledger
from shoal.adapters.devnet.mirror_params import (
    BadRequest,
    NotFound,
    Params,
    conditions,
    find_entity,
    page,
    parse_entity,
    parse_number,
    parse_timestamp,
    timestamp_text,
)
from shoal.adapters.devnet.mirror_transactions import transactions_of
from shoal.adapters.devnet.state import Accounts
from shoal.adapters.devnet.store import Entity

_KEY_TYPES = {"ed25519": "ED25519", "ECDSA_secp256k1": "ECDSA_SECP256K1"}
_EXPIRES = "4000000000.000000000"


def key_json(raw: bytes) -> dict[str, str] | None:
    """A key as the mirror node shows it: the public key in hex, or the protobuf for a tree."""
    if not raw:
        return None
    key = basic.Key.FromString(raw)
    which = key.WhichOneof("key")
    if which in _KEY_TYPES:
        return {"_type": _KEY_TYPES[which], "key": getattr(key, which).hex()}
    return {"_type": "ProtobufEncoded", "key": raw.hex()}


def account(ledger: Ledger, params: Params, name: str) -> dict[str, Any]:
    """/accounts/{id or EVM address}: with its newest transactions."""
    entity = find_entity(ledger.store, name, "idOrAliasOrEvmAddress", "account", "contract")
    wanted = params.choice("transactions", "true", "false") == "true"
    limit, order = params.limit(), params.choice("order", "desc", "asc")
    transactions: list[Any] = []
    link = None
    if wanted:
        times = params.comparisons("timestamp", parse_timestamp)
        transactions = transactions_of(ledger, entity.num, times, limit, order)
        if transactions:
            last = ("gt:" if order == "asc" else "lt:") + transactions[-1]["consensus_timestamp"]
            link = page(params, transactions, limit, order, {"timestamp": last})["next"]
    body = _account_json(ledger, entity)
    return body | {"transactions": transactions, "links": {"next": link}}


def _account_json(ledger: Ledger, entity: Entity) -> dict[str, Any]:
    alias = base64.b32encode(entity.alias).decode().rstrip("=") if entity.alias else None
    if alias is None and entity.evm_address[:12] != bytes(12) and entity.kind == "account":
        alias = base64.b32encode(entity.evm_address).decode().rstrip("=")
    return {
        "account": f"0.0.{entity.num}",
        "alias": alias,
        "auto_renew_period": entity.auto_renew_s,
        "balance": _balance(ledger, entity),
        "created_timestamp": timestamp_text(entity.created_ns),
        "decline_reward": False,
        "deleted": entity.deleted,
        "ethereum_nonce": 0 if entity.kind == "account" else None,
        "evm_address": "0x" + entity.evm_address.hex(),
        "expiry_timestamp": _EXPIRES,
        "key": key_json(entity.key),
        "max_automatic_token_associations": 0,
        "memo": entity.memo,
        "pending_reward": 0,
        "receiver_sig_required": entity.receiver_signs if entity.kind == "account" else None,
        "staked_account_id": None,
        "staked_node_id": None,
        "stake_period_start": None,
    }


def _balance(ledger: Ledger, entity: Entity) -> dict[str, Any]:
    tinybar = ledger.store.balance(entity.evm_address)
    return {"balance": tinybar, "timestamp": timestamp_text(ledger.now_ns()), "tokens": []}


def balances(ledger: Ledger, params: Params) -> dict[str, Any]:
    """/balances: of all accounts and contracts, or those that account.id selects."""
    limit, order = params.limit(), params.choice("order", "desc", "asc")
    wanted = [c.sql("num") for c in params.comparisons("account.id", parse_entity)]
    where, values = conditions(("kind in (?, 'contract')", "account"), *wanted)
    rows = ledger.store.all(
        f"select num, coalesce(balance, 0) from entity left join evm_account using (address){where} "  # noqa: S608
        f"order by num {order} limit ?",
        (*values, limit),
    )
    entries = [{"account": f"0.0.{num}", "balance": tinybar, "tokens": []} for num, tinybar in rows]
    last = {"account.id": ("gt:" if order == "asc" else "lt:") + entries[-1]["account"]} if entries else {}
    links = page(params, rows, limit, order, last)
    return {"timestamp": timestamp_text(ledger.now_ns()), "balances": entries, "links": links}


def contract(ledger: Ledger, params: Params, name: str) -> dict[str, Any]:
    """/contracts/{id or EVM address}."""
    entity = find_entity(ledger.store, name, "contractIdOrAddress", "contract")
    accounts = Accounts(ledger.store)
    created = timestamp_text(entity.created_ns)
    return {
        "admin_key": key_json(entity.key),
        "auto_renew_account": None,
        "auto_renew_period": entity.auto_renew_s,
        "bytecode": None,
        "contract_id": f"0.0.{entity.num}",
        "created_timestamp": created,
        "deleted": entity.deleted,
        "evm_address": "0x" + entity.evm_address.hex(),
        "expiration_timestamp": _EXPIRES,
        "file_id": None,
        "max_automatic_token_associations": 0,
        "memo": entity.memo,
        "nonce": accounts.get_nonce(entity.evm_address),
        "obtainer_id": None,
        "permanent_removal": None,
        "proxy_account_id": None,
        "runtime_bytecode": "0x" + accounts.get_code(entity.evm_address).hex(),
        "timestamp": {"from": timestamp_text(entity.updated_ns), "to": None},
    }


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
        f"select sequence, time_ns, payer, data, running_hash, chunk from message{where} "  # noqa: S608
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
        "select sequence, time_ns, payer, data, running_hash, chunk from message where topic = ? and sequence = ?",
        entity.num,
        number,
    )
    if row is None:
        raise NotFound
    return _message_json(entity.num, row, as_text=False)


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
