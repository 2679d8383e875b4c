"""What operations cost: the fee schedule in USD (`fees.json`, HIP-1261), turned into tinybar."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.adapters.devnet.keys import count_keys

_SCHEDULE: dict[str, Any] = json.loads(Path(__file__).with_name("fees.json").read_text())
_EXTRAS: dict[str, int] = _SCHEDULE["extras"]
CENTS: int = _SCHEDULE["exchange_rate"]["cents"]
HBARS: int = _SCHEDULE["exchange_rate"]["hbars"]


def tinybar(tinycents: int) -> int:
    """Tinycents in tinybar: both are 10^-8 of their unit, so only the exchange rate matters.

    >>> tinybar(10**10)  # one US dollar at 12 cents an HBAR
    833333333
    """
    return tinycents * HBARS // CENTS


GAS_PRICE_TINYBAR = tinybar(_EXTRAS["gas"])


def _gas_of(tinycents: int) -> int:
    """What a system contract asks for: its price in gas and a fifth more (SystemContractGasCalculator)."""
    gas = (tinycents + 1000 * _EXTRAS["gas"] - 1) // _EXTRAS["gas"]
    return int(gas + gas * _SCHEDULE["system_contracts"]["markup_percent"] // 100)


EXCHANGE_RATE_GAS: int = _SCHEDULE["system_contracts"]["exchange_rate_gas"]
PRNG_GAS = _gas_of(_SCHEDULE["system_contracts"]["prng"])
VIEW_GAS = _gas_of(_SCHEDULE["system_contracts"]["view"])


@dataclass(frozen=True, slots=True)
class Fee:
    """In tinybar: what the submitting node gets, and the network's and service's part together. Gas is apart."""

    node: int
    network: int

    @property
    def total(self) -> int:
        return self.node + self.network


def supported(kind: str) -> bool:
    """Whether the ledger executes this kind of transaction (a field name of `TransactionBody.data`)."""
    return kind in _SCHEDULE["transactions"]


def transaction_fee(kind: str, payload: Any, *, signatures: int, size_bytes: int) -> Fee:
    """The fee without gas: node part, nine times that for the network, and the service's base and extras."""
    entry = _SCHEDULE["transactions"][kind]
    if entry.get("gas_only"):
        return Fee(0, 0)
    node = _SCHEDULE["node"]
    per_node = node["base"]
    per_node += max(0, signatures - node["included_signatures"]) * _EXTRAS["signature"]
    per_node += max(0, size_bytes - node["included_bytes"]) * _EXTRAS["processing_byte"]
    counts = _counts(kind, payload)
    service = entry["base"]
    for name, included in entry["included"].items():
        service += max(0, counts[name] - included) * _EXTRAS[name]
    total = tinybar(per_node * (1 + _SCHEDULE["network_multiplier"]) + service)
    return Fee(tinybar(per_node), total - tinybar(per_node))


def query_cost(kind: str, *, gas: int = 0) -> int:
    """What a query's answer costs, in tinybar; raises KeyError when the query is not supported."""
    return tinybar(_SCHEDULE["queries"][kind] + gas * _EXTRAS["gas"])


def _counts(kind: str, payload: Any) -> dict[str, int]:
    if kind == "cryptoTransfer":
        return {"account": len(payload.transfers.accountAmounts)}
    if kind == "consensusSubmitMessage":
        return {"message_byte": len(payload.message)}
    keys = 0
    for name in ("key", "adminKey", "submitKey"):
        if name in payload.DESCRIPTOR.fields_by_name and payload.HasField(name):
            keys += count_keys(getattr(payload, name))
    if kind == "fileCreate":
        keys = sum(count_keys(key) for key in payload.keys.keys)
    contents = len(payload.contents) if "contents" in payload.DESCRIPTOR.fields_by_name else 0
    return {"key": keys, "state_byte": contents}
