"""Mirror REST: blocks, exchange rate, nodes, supply."""

from __future__ import annotations

import re
from typing import Any

from shoal.adapters.devnet import fees
from shoal.adapters.devnet.context import NODE
from shoal.adapters.devnet.ledger import TOTAL_SUPPLY_TINYBAR, Ledger
from shoal.adapters.devnet.mirror_grpc import ADDRESS_BOOKS
from shoal.adapters.devnet.mirror_params import (
    BadRequest,
    Comparison,
    NotFound,
    Params,
    page,
    parse_entity,
    parse_number,
    parse_timestamp,
    timestamp_text,
)

HOST = "127.0.0.1"
_SECOND_NS = 10**9
_BLOCK_HASH = re.compile(r"(?:0x)?([0-9a-fA-F]{64}|[0-9a-fA-F]{96})\Z", re.ASCII)


def blocks(ledger: Ledger, params: Params) -> dict[str, Any]:
    """/blocks: one for each block time, empty or not. The newest is the newest that is over: all before its end is
    final, so it tells a reader how far everything can be read, also while the network is quiet."""
    limit, order = params.limit(), params.choice("order", "desc", "asc")
    low, high = _closed(ledger)
    for comparison in params.comparisons("block.number", parse_number):
        low, high = _narrow(low, high, comparison)
    for comparison in params.comparisons("timestamp", parse_timestamp):
        low, high = _narrow_time(ledger, low, high, comparison)
    numbers = range(low, high + 1)
    chosen = list(numbers[:limit] if order == "asc" else numbers[: -limit - 1 : -1])
    entries = [_block_json(ledger, number) for number in chosen]
    last = {"block.number": f"{'gt' if order == 'asc' else 'lt'}:{chosen[-1]}"} if chosen else {}
    return {"blocks": entries, "links": page(params, chosen, limit, order, last)}


def _closed(ledger: Ledger) -> tuple[int, int]:
    """The numbers of the first block and of the last that is over."""
    genesis_ns = ledger.store.meta("genesis_ns") or 0
    return ledger.clock.block_of(genesis_ns), ledger.clock.block_of(ledger.now_ns()) - 1


def block(ledger: Ledger, params: Params, name: str) -> dict[str, Any]:
    """/blocks/{number or hash}."""
    match = _BLOCK_HASH.match(name)
    try:
        number = int(match[1][80:] if len(match[1]) == 96 else "0", 16) if match else parse_number(name)
    except ValueError:
        raise BadRequest("Invalid parameter: hashOrNumber") from None
    low, high = _closed(ledger)
    if match and len(match[1]) == 64:
        number = next(
            (n for n in range(high, max(high - 256, low) - 1, -1) if ledger.block_hash(n)[:32].hex() == match[1]), -1
        )
    if not low <= number <= high or (match and not ledger.block_hash(number).hex().startswith(match[1].lower())):
        raise NotFound
    return _block_json(ledger, number)


def _narrow_time(ledger: Ledger, low: int, high: int, comparison: Comparison) -> tuple[int, int]:
    """Blocks that begin where the comparison says."""
    number, within = divmod(comparison.value, ledger.clock.block_ns)
    match comparison.operator:
        case "eq":
            return (max(low, number), min(high, number)) if within == 0 else (1, 0)
        case "gt":
            return max(low, number + 1), high
        case "gte":
            return max(low, number + bool(within)), high
        case "lt":
            return low, min(high, number - (not within))
        case "lte":
            return low, min(high, number)
    raise BadRequest("Invalid parameter: timestamp")


def _narrow(low: int, high: int, comparison: Comparison) -> tuple[int, int]:
    value = comparison.value
    match comparison.operator:
        case "eq":
            return max(low, value), min(high, value)
        case "gt":
            return max(low, value + 1), high
        case "gte":
            return max(low, value), high
        case "lt":
            return low, min(high, value - 1)
        case "lte":
            return low, min(high, value)
    raise BadRequest("Invalid parameter: block.number")


def _block_json(ledger: Ledger, number: int) -> dict[str, Any]:
    start_ns, end_ns = number * ledger.clock.block_ns, (number + 1) * ledger.clock.block_ns - 1
    within = "where time_ns between ? and ?"
    sql = f"select count(*), coalesce(sum(gas_used), 0) from tx {within}"  # noqa: S608
    count, gas_used = ledger.store.one(sql, start_ns, end_ns) or (0, 0)
    bloom = 0
    for (part,) in ledger.store.all(f"select bloom from log {within}", (start_ns, end_ns)):  # noqa: S608
        bloom |= int.from_bytes(part, "big")
    return {
        "count": count,
        "gas_used": gas_used,
        "hapi_version": "0.66.0",
        "hash": "0x" + ledger.block_hash(number).hex(),
        "logs_bloom": "0x" + bloom.to_bytes(256, "big").hex() if bloom else "0x",
        "name": f"{timestamp_text(start_ns).replace('.', '_')}.rcd.gz",
        "number": number,
        "previous_hash": "0x" + ledger.block_hash(number - 1).hex(),
        "size": None,
        "timestamp": {"from": timestamp_text(start_ns), "to": timestamp_text(end_ns)},
    }


def fees_in_gas(ledger: Ledger, params: Params) -> dict[str, Any]:
    """/network/fees: what gas costs, in tinybar."""
    params.choice("order", "asc", "desc")
    kinds = ("ContractCall", "ContractCreate", "EthereumTransaction")
    prices = [{"gas": fees.GAS_PRICE_TINYBAR, "transaction_type": kind} for kind in kinds]
    return {"fees": prices, "timestamp": timestamp_text(ledger.now_ns())}


def exchange_rate(ledger: Ledger, params: Params) -> dict[str, Any]:
    """/network/exchangerate; the devnet's never changes."""
    params.comparisons("timestamp", parse_timestamp)
    now_ns = ledger.now_ns()
    hour = now_ns // _SECOND_NS // 3600
    rate = {"cent_equivalent": fees.CENTS, "hbar_equivalent": fees.HBARS}
    return {
        "current_rate": {**rate, "expiration_time": (hour + 1) * 3600},
        "next_rate": {**rate, "expiration_time": (hour + 2) * 3600},
        "timestamp": timestamp_text(now_ns),
    }


def supply(ledger: Ledger, params: Params) -> dict[str, Any]:
    """/network/supply: counted, so that it shows any HBAR made or lost."""
    row = ledger.store.one("select sum(balance) from evm_account")
    total = str(row[0] if row else TOTAL_SUPPLY_TINYBAR)
    return {"released_supply": total, "timestamp": timestamp_text(ledger.now_ns()), "total_supply": total}


def nodes(ledger: Ledger, params: Params, node_port: int, rest_port: int) -> dict[str, Any]:
    """/network/nodes: the one node; browsers reach it through the REST port."""
    limit, order = params.limit(), params.choice("order", "asc", "desc")
    wanted = params.comparisons("node.id", parse_number)
    file = params.comparisons("file.id", parse_entity)
    if any(comparison.value not in ADDRESS_BOOKS for comparison in file):
        raise BadRequest("Invalid parameter: file.id")
    genesis_ns = ledger.store.meta("genesis_ns") or 0
    node = {
        "admin_key": None,
        "decline_reward": True,
        "description": "shoal devnet",
        "file_id": "0.0.102",
        "grpc_proxy_endpoint": {"domain_name": HOST, "ip_address_v4": "", "port": rest_port},
        "max_stake": 0,
        "memo": "",
        "min_stake": 0,
        "node_account_id": f"0.0.{NODE}",
        "node_cert_hash": "0x",
        "node_id": 0,
        "public_key": "0x",
        "reward_rate_start": 0,
        "service_endpoints": [{"domain_name": "", "ip_address_v4": HOST, "port": node_port}],
        "stake": 0,
        "stake_not_rewarded": 0,
        "stake_rewarded": 0,
        "staking_period": None,
        "timestamp": {"from": timestamp_text(genesis_ns), "to": None},
    }
    found = [node] if all(comparison.holds(0) for comparison in wanted) else []
    links = page(params, found, limit, order, {"node.id": "gt:0" if order == "asc" else "lt:0"})
    return {"links": links, "nodes": found}
