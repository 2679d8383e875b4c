"""Mirror REST: transactions, with the transfers that each one made."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any

from hiero_sdk_python.hapi.services import transaction_record_pb2

from shoal.adapters.devnet.context import NODE, status_name
from shoal.adapters.devnet.ledger import SUCCESS, Ledger
from shoal.adapters.devnet.mirror_params import (
    BadRequest,
    Comparison,
    NotFound,
    Params,
    conditions,
    page,
    parse_entity,
    parse_timestamp,
    timestamp_text,
)

_ID = re.compile(r"0\.0\.(\d{1,18})-(\d{1,10})-(\d{1,9})\Z", re.ASCII)
_COLUMNS = "tx.time_ns, id, kind, tx.status, hash, record, entity, max_fee, valid_s"
NAMES = {
    "cryptoCreateAccount": "CRYPTOCREATEACCOUNT",
    "cryptoUpdateAccount": "CRYPTOUPDATEACCOUNT",
    "cryptoTransfer": "CRYPTOTRANSFER",
    "consensusCreateTopic": "CONSENSUSCREATETOPIC",
    "consensusUpdateTopic": "CONSENSUSUPDATETOPIC",
    "consensusDeleteTopic": "CONSENSUSDELETETOPIC",
    "consensusSubmitMessage": "CONSENSUSSUBMITMESSAGE",
    "fileCreate": "FILECREATE",
    "fileAppend": "FILEAPPEND",
    "fileDelete": "FILEDELETE",
    "contractCreateInstance": "CONTRACTCREATEINSTANCE",
    "contractCall": "CONTRACTCALL",
}
_KINDS = {name.lower(): kind for kind, name in NAMES.items()}


def parse_transaction_id(text: str) -> str | None:
    """The id as the store has it (nanoseconds in nine digits), or None when this is not one."""
    match = _ID.match(text)
    return f"0.0.{int(match[1])}-{int(match[2])}-{int(match[3]):09d}" if match else None


def transactions(ledger: Ledger, params: Params) -> dict[str, Any]:
    """/transactions: filtered by account.id, timestamp, result and transactiontype."""
    limit, order = params.limit(), params.choice("order", "desc", "asc")
    times = params.comparisons("timestamp", parse_timestamp)
    account = params.text("account.id")
    num = None
    if account is not None:
        try:
            num = parse_entity(account.removeprefix("eq:"))
        except ValueError:
            raise BadRequest("Invalid parameter: account.id") from None
    extra: list[tuple[str, Any]] = []
    if (result := params.choice("result", "", "success", "fail")) != "":
        extra.append((f"tx.status {'=' if result == 'success' else '!='} ?", SUCCESS))
    if (name := params.text("transactiontype")) is not None:
        if name.lower() not in _KINDS:
            raise BadRequest("Invalid parameter: transactiontype")
        extra.append(("kind = ?", _KINDS[name.lower()]))
    entries = transactions_of(ledger, num, times, limit, order, extra)
    last = {}
    if entries:
        last = {"timestamp": ("gt:" if order == "asc" else "lt:") + entries[-1]["consensus_timestamp"]}
    return {"transactions": entries, "links": page(params, entries, limit, order, last)}


def transactions_of(
    ledger: Ledger,
    account: int | None,
    times: Sequence[Comparison],
    limit: int,
    order: str,
    extra: Sequence[tuple[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Those that an account paid for, gave or got in; all when it is None."""
    source, column, parts = "tx", "tx.time_ns", list(extra)
    if account is not None:
        source, column = "tx_account join tx using (time_ns)", "tx_account.time_ns"
        parts.append(("tx_account.account = ?", account))
    where, values = conditions(*parts, *(c.sql(column) for c in times))
    sql = f"select {_COLUMNS} from {source}{where} order by {column} {order} limit ?"  # noqa: S608
    return [_transaction_json(row) for row in ledger.store.all(sql, (*values, limit))]


def transaction(ledger: Ledger, params: Params, name: str) -> dict[str, Any]:
    """/transactions/{id}."""
    identity = parse_transaction_id(name)
    if identity is None:
        raise BadRequest("Invalid parameter: transactionIdOrHash")
    row = ledger.store.one(f"select {_COLUMNS} from tx where id = ?", identity)  # noqa: S608
    if row is None:
        raise NotFound
    return {"transactions": [_transaction_json(row)]}


def _transaction_json(row: Any) -> dict[str, Any]:
    time_ns, identity, kind, status, digest, raw, entity, max_fee, valid_s = row
    record = transaction_record_pb2.TransactionRecord.FromString(raw)
    _, seconds, nanos = identity.split("-")
    return {
        "batch_key": None,
        "bytes": None,
        "charged_tx_fee": record.transactionFee,
        "consensus_timestamp": timestamp_text(time_ns),
        "entity_id": f"0.0.{entity}" if entity else None,
        "max_custom_fees": [],
        "max_fee": str(max_fee),
        "memo_base64": base64.b64encode(record.memo.encode()).decode(),
        "name": NAMES[kind],
        "nft_transfers": [],
        "node": f"0.0.{NODE}",
        "nonce": 0,
        "parent_consensus_timestamp": None,
        "result": status_name(status),
        "scheduled": False,
        "staking_reward_transfers": [],
        "token_transfers": [],
        "transaction_hash": base64.b64encode(digest).decode(),
        "transaction_id": identity,
        "transfers": [
            {"account": f"0.0.{entry.accountID.accountNum}", "amount": entry.amount, "is_approval": False}
            for entry in record.transferList.accountAmounts
        ],
        "valid_duration_seconds": str(valid_s),
        "valid_start_timestamp": f"{seconds}.{nanos}",
    }
