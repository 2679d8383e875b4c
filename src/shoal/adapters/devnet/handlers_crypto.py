"""Accounts and transfers: create, update, transfer, and accounts that come to life when they are first paid."""

from __future__ import annotations

from typing import Any

from hiero_sdk_python.hapi.services import basic_types_pb2 as basic

from shoal.adapters.devnet.context import (
    EMPTY_KEY,
    Context,
    Refused,
    alias_address,
    checked_key,
    checked_memo,
    find_account,
)
from shoal.adapters.devnet.keys import is_empty, is_valid
from shoal.adapters.devnet.store import Entity

MAX_TRANSFERS = 10
"""As the real network: so many balance changes in one transaction."""
_MIN_RENEW_S, _MAX_RENEW_S = 2_592_000, 8_000_001


def create_account(context: Context, payload: Any) -> None:
    """CryptoCreate; an alias of 20 bytes is an EVM address and its key must sign (HIP-583)."""
    store = context.store
    alias = payload.alias
    hollow = is_empty(payload.key) and len(alias) == 20
    key = EMPTY_KEY if hollow else checked_key(payload.key)
    address = _alias_of_new_account(context, alias, payload.key) if alias else None
    renew_s = payload.autoRenewPeriod.seconds if payload.HasField("autoRenewPeriod") else 7_776_000
    if not _MIN_RENEW_S <= renew_s <= _MAX_RENEW_S:
        raise Refused("AUTORENEW_DURATION_NOT_IN_RANGE")
    if payload.receiverSigRequired:
        context.require(payload.key)
    payer = context.payer.evm_address
    if payload.initialBalance > context.accounts.get_balance(payer):
        raise Refused("INSUFFICIENT_PAYER_BALANCE")
    num = store.add_entity(
        "account",
        key,
        now_ns=context.now_ns,
        address=address,
        alias=alias if alias and len(alias) != 20 else None,
        memo=checked_memo(payload.memo),
        receiver_signs=payload.receiverSigRequired,
        auto_renew_s=renew_s,
    )
    created = store.entity(num)
    assert created is not None, "just inserted"
    context.accounts.move(payer, created.evm_address, payload.initialBalance)
    context.record.receipt.accountID.accountNum = num
    context.record.evm_address = address or b""
    context.entity = num


def _alias_of_new_account(context: Context, alias: bytes, key: Any) -> bytes | None:
    """The new account's EVM address; None when the alias is an ed25519 key."""
    if len(alias) != 20:
        try:
            alias_key = basic.Key.FromString(alias)
        except Exception as error:
            raise Refused("INVALID_ALIAS_KEY") from error
        if not is_valid(alias_key) or alias_key != key:
            raise Refused("INVALID_ALIAS_KEY")
    address = alias if len(alias) == 20 else alias_address(alias)
    if (address and context.store.by_address(address)) or context.store.by_alias(alias):
        raise Refused("ALIAS_ALREADY_ASSIGNED")
    if address and address[:12] == bytes(12):
        raise Refused("INVALID_ALIAS_KEY")
    if len(alias) == 20 and context.signatures.key_of_address(alias) is None:
        raise Refused("INVALID_SIGNATURE")
    return address


def update_account(context: Context, payload: Any) -> None:
    """CryptoUpdate: key (the old and the new one must sign), memo, receiver signature, auto renew period."""
    entity = find_account(context.store, payload.accountIDToUpdate)
    if entity is None or entity.kind != "account":
        raise Refused("INVALID_ACCOUNT_ID")
    context.require_entity(entity)
    columns: dict[str, Any] = {}
    if payload.HasField("key"):
        columns["key"] = checked_key(payload.key)
        context.require(payload.key)
    if payload.HasField("memo"):
        columns["memo"] = checked_memo(payload.memo.value)
    if payload.HasField("receiverSigRequiredWrapper"):
        columns["receiver_signs"] = int(payload.receiverSigRequiredWrapper.value)
    if payload.HasField("autoRenewPeriod"):
        if not _MIN_RENEW_S <= payload.autoRenewPeriod.seconds <= _MAX_RENEW_S:
            raise Refused("AUTORENEW_DURATION_NOT_IN_RANGE")
        columns["auto_renew_s"] = payload.autoRenewPeriod.seconds
    context.store.update_entity(entity.num, context.now_ns, **columns)
    context.record.receipt.accountID.accountNum = entity.num
    context.entity = entity.num


def transfer(context: Context, payload: Any) -> None:
    """CryptoTransfer of HBAR. Debits first, so that nobody spends what only this transaction brings."""
    amounts = payload.transfers.accountAmounts
    if payload.tokenTransfers or any(amount.is_approval for amount in amounts):
        raise Refused("NOT_SUPPORTED")
    if len(amounts) > MAX_TRANSFERS:
        raise Refused("TRANSFER_LIST_SIZE_LIMIT_EXCEEDED")
    accounts = context.accounts
    for amount in sorted(amounts, key=lambda entry: int(entry.amount)):
        entity = find_account(context.store, amount.accountID)
        if entity is None:
            entity = _first_paid(context, amount)
        if amount.amount < 0:
            if entity.kind != "account":
                raise Refused("INVALID_SIGNATURE")
            if entity.num != context.payer.num:
                context.require_entity(entity)
        elif entity.receiver_signs:
            context.require_entity(entity)
        balance = accounts.get_balance(entity.evm_address) + amount.amount
        if balance < 0:
            raise Refused("INSUFFICIENT_ACCOUNT_BALANCE")
        accounts.set_balance(entity.evm_address, balance)


def _first_paid(context: Context, amount: Any) -> Entity:
    """Paying an unused alias creates its account: of that key, or hollow for a bare EVM address (HIP-583)."""
    alias = amount.accountID.alias
    if amount.accountID.WhichOneof("account") != "alias" or amount.amount <= 0:
        raise Refused("INVALID_ACCOUNT_ID")
    store, now_ns = context.store, context.now_ns
    if len(alias) == 20:
        if alias[:12] == bytes(12):
            raise Refused("INVALID_ACCOUNT_ID")
        num = store.add_entity("account", EMPTY_KEY, now_ns=now_ns, address=alias, memo="lazy-created account")
    else:
        try:
            key = checked_key(basic.Key.FromString(alias))
        except Exception as error:
            raise Refused("INVALID_ALIAS_KEY") from error
        address = alias_address(alias)
        num = store.add_entity("account", key, now_ns=now_ns, address=address, alias=alias, memo="auto-created account")
    entity = store.entity(num)
    assert entity is not None, "just inserted"
    context.created.append(num)
    return entity
