"""Mirror REST: contracts, their storage, and the results of calls."""

from __future__ import annotations

from typing import Any

from hiero_sdk_python.hapi.services import transaction_record_pb2

from shoal.adapters.devnet.context import status_name
from shoal.adapters.devnet.evm import CHAIN_ID
from shoal.adapters.devnet.fees import GAS_PRICE_TINYBAR
from shoal.adapters.devnet.ledger import SUCCESS, Ledger
from shoal.adapters.devnet.mirror_accounts import EXPIRES
from shoal.adapters.devnet.mirror_logs import COLUMNS, logs_json, transaction_index
from shoal.adapters.devnet.mirror_params import (
    BadRequest,
    NotFound,
    Params,
    conditions,
    find_entity,
    hex_text,
    key_json,
    page,
    parse_entity,
    parse_hash,
    parse_number,
    parse_timestamp,
    timestamp_text,
)
from shoal.adapters.devnet.mirror_transactions import parse_transaction_id
from shoal.adapters.devnet.state import Accounts
from shoal.adapters.devnet.store import Entity, long_zero

_RESULT_COLUMNS = "time_ns, hash, record, status"
_CALLS = "kind in ('contractCall', 'contractCreateInstance')"
_NOT_IN_LISTS = ("logs", "state_changes", "failed_initcode")


def contracts(ledger: Ledger, params: Params) -> dict[str, Any]:
    """/contracts: those that contract.id selects."""
    limit, order = params.limit(), params.choice("order", "desc", "asc")
    wanted = [c.sql("num") for c in params.comparisons("contract.id", parse_entity)]
    where, values = conditions(("kind = ?", "contract"), *wanted)
    rows = ledger.store.all(f"select num from entity{where} order by num {order} limit ?", (*values, limit))  # noqa: S608
    entries = []
    for (num,) in rows:
        entity = ledger.store.entity(num)
        assert entity is not None, "just read"
        entries.append(_contract_json(entity))
    last = {"contract.id": ("gt:" if order == "asc" else "lt:") + entries[-1]["contract_id"]} if entries else {}
    return {"contracts": entries, "links": page(params, rows, limit, order, last)}


def contract(ledger: Ledger, params: Params, name: str) -> dict[str, Any]:
    """/contracts/{id or EVM address}, with its code."""
    entity = find_entity(ledger.store, name, "contractIdOrAddress", "contract")
    code = Accounts(ledger.store).get_code(entity.evm_address)
    row = ledger.store.one("select initcode from contract where num = ?", entity.num)  # none where a contract made it
    return _contract_json(entity) | {"bytecode": hex_text(row[0]) if row else None, "runtime_bytecode": hex_text(code)}


def state(ledger: Ledger, params: Params, name: str) -> dict[str, Any]:
    """/contracts/{id}/state: its storage, slot by slot."""
    entity = find_entity(ledger.store, name, "contractIdOrAddress", "contract")
    limit, order = params.limit(), params.choice("order", "asc", "desc")
    slots = [c.sql("slot") for c in params.comparisons("slot", _parse_slot)]
    wanted = [(sql, value.to_bytes(32, "big")) for sql, value in slots]
    where, values = conditions(("address = ?", entity.evm_address), *wanted)
    rows = ledger.store.all(
        f"select slot, value from evm_storage{where} order by slot {order} limit ?",  # noqa: S608
        (*values, limit),
    )
    address, now = hex_text(entity.evm_address), timestamp_text(ledger.now_ns())
    entries = [
        {
            "address": address,
            "contract_id": f"0.0.{entity.num}",
            "slot": hex_text(slot),
            "timestamp": now,
            "value": hex_text(value.rjust(32, b"\0")),
        }
        for slot, value in rows
    ]
    last = {"slot": ("gt:" if order == "asc" else "lt:") + entries[-1]["slot"]} if entries else {}
    return {"state": entries, "links": page(params, rows, limit, order, last)}


def _parse_slot(text: str) -> int:
    """A slot's number, in hex; raises ValueError."""
    digits = text.removeprefix("0x")
    if not 0 < len(digits) <= 64:
        raise ValueError(text)
    return int.from_bytes(bytes.fromhex(digits.rjust(64, "0")), "big")


def _contract_json(entity: Entity) -> dict[str, Any]:
    created = timestamp_text(entity.created_ns)
    return {
        "admin_key": key_json(entity.key),
        "auto_renew_account": None,
        "auto_renew_period": entity.auto_renew_s,
        "contract_id": f"0.0.{entity.num}",
        "created_timestamp": created,
        "deleted": entity.deleted,
        "evm_address": "0x" + entity.evm_address.hex(),
        "expiration_timestamp": EXPIRES,
        "file_id": None,
        "max_automatic_token_associations": 0,
        "memo": entity.memo,
        "obtainer_id": None,
        "permanent_removal": None,
        "proxy_account_id": None,
        "timestamp": {"from": timestamp_text(entity.updated_ns), "to": None},
    }


def result(ledger: Ledger, params: Params, name: str) -> dict[str, Any]:
    """/contracts/results/{transaction id or hash}."""
    identity, digest = parse_transaction_id(name), parse_hash(name)
    if identity is None and digest is None:
        raise BadRequest("Invalid parameter: transactionIdOrHash")
    where, value = ("id = ?", identity) if identity is not None else ("substr(hash, 1, 32) = ?", digest)
    # children, if any, come before the contract's own record, which has nonce 0
    sql = f"select {_RESULT_COLUMNS} from tx where {where} order by nonce"  # noqa: S608
    return _result_of(ledger, ledger.store.one(sql, value))


def result_at(ledger: Ledger, params: Params, name: str, time: str) -> dict[str, Any]:
    """/contracts/{id}/results/{consensus timestamp}."""
    entity = find_entity(ledger.store, name, "contractIdOrAddress", "contract")
    try:
        time_ns = parse_timestamp(time)
    except ValueError:
        raise BadRequest("Invalid parameter: timestamp") from None
    sql = f"select {_RESULT_COLUMNS} from tx where time_ns = ? and entity = ?"  # noqa: S608
    return _result_of(ledger, ledger.store.one(sql, time_ns, entity.num))


def results(ledger: Ledger, params: Params, name: str | None = None) -> dict[str, Any]:
    """/contracts/results and /contracts/{id}/results, by timestamp, block and sender."""
    limit, order = params.limit(), params.choice("order", "desc", "asc")
    parts = [c.sql("time_ns") for c in params.comparisons("timestamp", parse_timestamp)]
    if name is not None:
        entity = find_entity(ledger.store, name, "contractIdOrAddress", "contract")
        parts.append(("entity = ?", entity.num))
    block_ns = ledger.clock.block_ns
    for comparison in params.comparisons("block.number", parse_number):
        sql, number = comparison.sql(f"time_ns / {block_ns}")
        parts.append((sql, number))
    if (sender := params.text("from")) is not None:
        parts.append(("payer = ?", find_entity(ledger.store, sender, "from", "account").num))
    where, values = conditions(*parts)
    where = f"{where} and {_CALLS}" if where else f" where {_CALLS}"
    rows = ledger.store.all(
        f"select {_RESULT_COLUMNS} from tx{where} order by time_ns {order} limit ?",  # noqa: S608
        (*values, limit),
    )
    entries = []
    for row in rows:
        entry = _result_of(ledger, row)
        entries.append({key: value for key, value in entry.items() if key not in _NOT_IN_LISTS})
    last = {"timestamp": ("gt:" if order == "asc" else "lt:") + entries[-1]["timestamp"]} if entries else {}
    return {"results": entries, "links": page(params, rows, limit, order, last)}


def _result_of(ledger: Ledger, row: Any | None) -> dict[str, Any]:
    """The result of a row of `_RESULT_COLUMNS`, if it is that of a contract's transaction."""
    record = transaction_record_pb2.TransactionRecord.FromString(row[2]) if row else None
    which = record.WhichOneof("body") if record else None
    if row is None or which is None:
        raise NotFound
    return _result_json(ledger, row, getattr(record, which), creating=which == "contractCreateResult")


def _result_json(ledger: Ledger, row: Any, done: Any, *, creating: bool) -> dict[str, Any]:
    time_ns, digest, _, status = row
    block = ledger.clock.block_of(time_ns)
    within = (block * ledger.clock.block_ns, (block + 1) * ledger.clock.block_ns)
    used = ledger.store.one("select sum(gas_used) from tx where time_ns >= ? and time_ns < ?", *within)
    number = done.contractID.contractNum
    entity = ledger.store.entity(number) if number else None
    sender = ledger.store.entity(done.sender_id.accountNum)
    address = hex_text(entity.evm_address if entity else long_zero(number)) if number else None
    sql = f"select {COLUMNS} from log where time_ns = ? order by idx"  # noqa: S608
    return {
        "access_list": "0x",
        "address": address,
        "amount": done.amount,
        "authorization_list": [],
        "block_gas_used": used[0] if used else 0,
        "block_hash": hex_text(ledger.block_hash(block)),
        "block_number": block,
        "bloom": hex_text(done.bloom or bytes(256)),
        "call_result": hex_text(done.contractCallResult),
        "chain_id": hex(CHAIN_ID),
        "contract_id": f"0.0.{number}" if number else None,
        "created_contract_ids": [f"0.0.{made.contractNum}" for made in done.createdContractIDs],
        "error_message": done.errorMessage or None,
        "failed_initcode": None,
        "from": hex_text(sender.evm_address) if sender and sender.address else None,
        "function_parameters": hex_text(done.functionParameters),
        "gas_consumed": done.gasUsed,
        "gas_limit": done.gas,
        "gas_price": hex(GAS_PRICE_TINYBAR),
        "gas_used": done.gasUsed,
        "hash": hex_text(digest[:32]),
        "logs": logs_json(ledger, ledger.store.all(sql, (time_ns,))),
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
        "transaction_index": transaction_index(ledger, time_ns),
        "type": None,
        "v": None,
    }
