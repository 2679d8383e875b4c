"""Mirror REST: calls of contracts that are only simulated."""

from __future__ import annotations

import json
from typing import Any

from eth_abi import decode
from eth_abi.exceptions import DecodingError

from shoal.adapters.devnet.context import Refused
from shoal.adapters.devnet.evm import MAX_GAS
from shoal.adapters.devnet.mirror_params import BadRequest, hex_text
from shoal.adapters.devnet.queries import Queries

_ERROR_STRING = bytes.fromhex("08c379a0")


def call(queries: Queries, raw: bytes) -> dict[str, Any]:
    """POST /contracts/call: eth_call without a fee, or with `estimate` the gas that it takes."""
    try:
        body = json.loads(raw)
        if not isinstance(body, dict):
            raise TypeError
        sender = _address(body.get("from")) or bytes(20)
        target = _address(body.get("to"))
        data = bytes.fromhex(str(body.get("data") or "0x").removeprefix("0x"))
        gas, value = int(body.get("gas") or MAX_GAS), int(body.get("value") or 0)
        block = str(body.get("block") or "latest")
    except (ValueError, TypeError):
        raise BadRequest("Unable to parse JSON") from None
    if not 0 < gas <= MAX_GAS or not 0 <= value < 2**63:
        raise BadRequest("gas or value out of range")
    if block not in ("latest", "pending", "safe", "finalized"):
        raise BadRequest("Only the latest block is served")
    if target is None and not data:
        raise BadRequest("to field must not be empty")
    try:
        done = queries.simulate(
            sender=sender, to=target or b"", data=data, gas=gas, value_tinybar=value, create=target is None
        )
    except Refused as refusal:
        raise BadRequest(refusal.status) from None
    if done.error:
        status = "CONTRACT_REVERT_EXECUTED" if done.reverted else done.error
        raise BadRequest(status, revert_text(done.output), hex_text(done.output))
    return {"result": hex(done.gas_used) if body.get("estimate") else hex_text(done.output)}


def _address(value: Any) -> bytes | None:
    """20 bytes of `0x...`; None when absent; raises ValueError."""
    if value in (None, ""):
        return None
    address = bytes.fromhex(str(value).removeprefix("0x"))
    if len(address) != 20:
        raise ValueError(value)
    return address


def revert_text(output: bytes) -> str:
    """The message of a plain `revert("...")`; empty for custom errors."""
    if output[:4] != _ERROR_STRING:
        return ""
    try:
        return str(decode(["string"], output[4:])[0])
    except (DecodingError, UnicodeDecodeError):
        return ""
