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
    parse_hash,
    parse_number,
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
    accounts = params.comparisons("account.id", parse_entity)
    extra = of_type(params)
    if (result := params.choice("result", "", "success", "fail")) != "":
        extra.append((f"tx.status {'=' if result == 'success' else '!='} ?", SUCCESS))
    if (direction := params.choice("type", "", "credit", "debit")) != "":
        if not accounts:
            raise BadRequest("Invalid parameter: type")
        extra.append((f"tx_account.amount {'>' if direction == 'credit' else '<'} ?", 0))
    entries = transactions_of(ledger, accounts, times, limit, order, extra)
    last = {}
    if entries:
        last = {"timestamp": ("gt:" if order == "asc" else "lt:") + entries[-1]["consensus_timestamp"]}
    return {"transactions": entries, "links": page(params, entries, limit, order, last)}


def of_type(params: Params) -> list[tuple[str, Any]]:
    """The SQL condition of `transactiontype`, which may be given several times."""
    kinds = []
    for name in params.texts("transactiontype"):
        if name.lower() not in _KINDS:
            raise BadRequest("Invalid parameter: transactiontype")
        kinds.append(_KINDS[name.lower()])
    return [(f"kind in (?{', ?' * (len(kinds) - 1)})", kinds)] if kinds else []


def transactions_of(
    ledger: Ledger,
    accounts: Sequence[Comparison],
    times: Sequence[Comparison],
    limit: int,
    order: str,
    extra: Sequence[tuple[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Those that an account paid for, gave or got in, for accounts that meet all comparisons; all without any."""
    source, column, parts = "tx", "tx.time_ns", list(extra)
    if accounts:
        source, column = "tx_account join tx using (time_ns)", "tx_account.time_ns"
        parts += [account.sql("tx_account.account") for account in accounts]
    where, values = conditions(*parts, *(c.sql(column) for c in times))
    sql = f"select distinct {_COLUMNS} from {source}{where} order by {column} {order} limit ?"  # noqa: S608
    return [_transaction_json(row) for row in ledger.store.all(sql, (*values, limit))]


def transaction(ledger: Ledger, params: Params, name: str) -> dict[str, Any]:
    """/transactions/{id or hash}: with the children, or of one nonce; nothing is ever scheduled."""
    identity, digest = parse_transaction_id(name), _parse_hash(name)
    if identity is None and digest is None:
        raise BadRequest("Invalid parameter: transactionIdOrHash")
    parts: list[tuple[str, Any]] = [
        ("id = ?", identity) if identity is not None else ("substr(hash, 1, 32) = ?", digest)
    ]
    if (nonce := params.text("nonce")) is not None:
        try:
            parts.append(("nonce = ?", parse_number(nonce)))
        except ValueError:
            raise BadRequest("Invalid parameter: nonce") from None
    where, values = conditions(*parts)
    rows = ledger.store.all(f"select {_COLUMNS} from tx{where} order by time_ns", values)  # noqa: S608
    if not rows or params.choice("scheduled", "false", "true") == "true":
        raise NotFound
    return {"transactions": [_transaction_json(row) for row in rows]}


def _parse_hash(text: str) -> bytes | None:
    """A hash in hex, or all 48 bytes of it in base64 as the mirror shows it (also for URLs)."""
    if (digest := parse_hash(text)) is not None:
        return digest
    try:
        raw = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        return None
    return raw[:32] if len(raw) == 48 else None


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
        "nonce": record.transactionID.nonce,
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
