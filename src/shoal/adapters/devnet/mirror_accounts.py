"""Mirror REST: accounts and their balances."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from hiero_sdk_python.hapi.services import basic_types_pb2 as basic

from shoal.adapters.devnet.ledger import Ledger
from shoal.adapters.devnet.mirror_params import (
    BadRequest,
    Comparison,
    NotFound,
    Params,
    conditions,
    find_entity,
    key_json,
    page,
    parse_entity,
    parse_number,
    parse_timestamp,
    timestamp_text,
)
from shoal.adapters.devnet.mirror_transactions import of_type, transactions_of
from shoal.adapters.devnet.store import Entity

_SOURCE = "entity left join evm_account using (address)"
EXPIRES = "4000000000.000000000"
_ALIAS = re.compile(r"(?:0\.0\.)?([A-Z2-7]{32,})\Z", re.ASCII)
_PUBLIC_KEY = re.compile(r"(?:0x)?(?:302a300506032b6570032100|302d300706052b8104000a032200)?([0-9a-fA-F]{64,66})\Z")


def accounts(ledger: Ledger, params: Params) -> dict[str, Any]:
    """/accounts: all accounts and contracts, or those that account.id, account.balance and account.publickey select."""
    with_balance = params.choice("balance", "true", "false") == "true"
    limit, order = params.limit(), params.choice("order", "asc", "desc")
    where, values = conditions(*_selected(params))
    rows = ledger.store.all(f"select num from {_SOURCE}{where} order by num {order} limit ?", (*values, limit))  # noqa: S608
    entries = []
    for (num,) in rows:
        entity = ledger.store.entity(num)
        assert entity is not None, "just read"
        entries.append(_account_json(ledger, entity) | ({} if with_balance else {"balance": None}))
    last = {"account.id": ("gt:" if order == "asc" else "lt:") + entries[-1]["account"]} if entries else {}
    return {"accounts": entries, "links": page(params, rows, limit, order, last)}


def _selected(params: Params) -> list[tuple[str, Any]]:
    """SQL conditions on `_SOURCE`."""
    parts: list[tuple[str, Any]] = [("kind in (?, 'contract')", "account")]
    parts += [c.sql("num") for c in params.comparisons("account.id", parse_entity)]
    parts += [c.sql("coalesce(balance, 0)") for c in params.comparisons("account.balance", parse_number)]
    if (text := params.text("account.publickey")) is not None:
        match = _PUBLIC_KEY.match(text.removeprefix("eq:"))
        if not match:
            raise BadRequest("Invalid parameter: account.publickey")
        raw = bytes.fromhex(match[1])
        key = basic.Key(ed25519=raw) if len(raw) == 32 else basic.Key(ECDSA_secp256k1=raw)
        parts.append(("key = ?", key.SerializeToString()))
    return parts


def account(ledger: Ledger, params: Params, name: str) -> dict[str, Any]:
    """/accounts/{id, alias or EVM address}: with its newest transactions."""
    entity = _find(ledger, name)
    wanted = params.choice("transactions", "true", "false") == "true"
    limit, order = params.limit(), params.choice("order", "desc", "asc")
    transactions: list[Any] = []
    link = None
    if wanted:
        times = params.comparisons("timestamp", parse_timestamp)
        transactions = transactions_of(ledger, [Comparison("eq", entity.num)], times, limit, order, of_type(params))
        if transactions:
            last = ("gt:" if order == "asc" else "lt:") + transactions[-1]["consensus_timestamp"]
            link = page(params, transactions, limit, order, {"timestamp": last})["next"]
    body = _account_json(ledger, entity)
    return body | {"transactions": transactions, "links": {"next": link}}


def without_tokens(rows: str) -> Callable[..., dict[str, Any]]:
    """/accounts/{id}/tokens and the like: this network has no tokens, allowances or rewards."""

    def nothing(ledger: Ledger, params: Params, name: str) -> dict[str, Any]:
        _find(ledger, name)
        return {rows: [], "links": {"next": None}}

    return nothing


def no_tokens(ledger: Ledger, params: Params) -> dict[str, Any]:
    """/tokens."""
    return {"tokens": [], "links": {"next": None}}


def _find(ledger: Ledger, name: str) -> Entity:
    if match := _ALIAS.match(name):
        try:
            alias = base64.b32decode(match[1] + "=" * (-len(match[1]) % 8))
        except binascii.Error:
            raise BadRequest("Invalid parameter: idOrAliasOrEvmAddress") from None
        entity = ledger.store.by_address(alias) if len(alias) == 20 else ledger.store.by_alias(alias)
        if entity is None:
            raise NotFound
        return entity
    return find_entity(ledger.store, name, "idOrAliasOrEvmAddress", "account", "contract")


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
        "expiry_timestamp": EXPIRES,
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
    """/balances: of all accounts and contracts, or those selected as for /accounts."""
    limit, order = params.limit(), params.choice("order", "desc", "asc")
    where, values = conditions(*_selected(params))
    rows = ledger.store.all(
        f"select num, coalesce(balance, 0) from {_SOURCE}{where} order by num {order} limit ?",  # noqa: S608
        (*values, limit),
    )
    entries = [{"account": f"0.0.{num}", "balance": tinybar, "tokens": []} for num, tinybar in rows]
    last = {"account.id": ("gt:" if order == "asc" else "lt:") + entries[-1]["account"]} if entries else {}
    links = page(params, rows, limit, order, last)
    return {"timestamp": timestamp_text(ledger.now_ns()), "balances": entries, "links": links}
