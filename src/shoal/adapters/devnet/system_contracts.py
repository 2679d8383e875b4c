"""Hedera's system contracts in the EVM: exchange rate at 0x168 (HIP-475), pseudorandom seed at 0x169 (HIP-351)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eth.exceptions import VMError
from eth.vm.forks.cancun.computation import CANCUN_PRECOMPILES, CancunComputation

from shoal.adapters.devnet import fees
from shoal.adapters.devnet.store import long_zero

EXCHANGE_RATE, PRNG = 360, 361
"""Their entity numbers, 0x168 and 0x169."""
EVM_PRECOMPILES = tuple(CANCUN_PRECOMPILES)
"""Addresses that are warm from the start (EIP-2929); the system contracts are not among them."""
_TO_TINYBARS, _TO_TINYCENTS = bytes.fromhex("2e3cff6a"), bytes.fromhex("43a88229")
_SEED = bytes.fromhex("d83bf9a1")
_SEED_BYTES = 32


class _InvalidOperation(VMError):  # type: ignore[misc]
    """As a node: the call fails and its gas is used up."""


def exchange_rate(computation: Any) -> None:
    """`tinycentsToTinybars(uint256)` and `tinybarsToTinycents(uint256)`, rounded down."""
    data = bytes(computation.msg.data)
    _enter(computation, fees.EXCHANGE_RATE_GAS)
    rates = {_TO_TINYBARS: (fees.HBARS, fees.CENTS), _TO_TINYCENTS: (fees.CENTS, fees.HBARS)}
    if len(data) != 36 or data[:4] not in rates:
        raise _InvalidOperation("INVALID_OPERATION")
    multiplier, divisor = rates[data[:4]]
    amount = int.from_bytes(data[4:], "big") * multiplier // divisor
    if amount >= 2**256:
        raise _InvalidOperation("INVALID_OPERATION")
    computation.output = amount.to_bytes(32, "big")


def pseudorandom_seed(computation: Any) -> None:
    """`getPseudorandomSeed()`: one value for the whole transaction, from the records before it."""
    static = computation.msg.is_static
    _enter(computation, fees.VIEW_GAS if static else max(fees.PRNG_GAS, fees.VIEW_GAS))
    if bytes(computation.msg.data)[:4] != _SEED:
        raise _InvalidOperation("INVALID_OPERATION")
    computation.output = computation.state.seed[:_SEED_BYTES]


def _enter(computation: Any, gas: int) -> None:
    """No HBAR may be sent to a system contract; then its gas is due."""
    if computation.msg.should_transfer_value and computation.msg.value:
        raise _InvalidOperation("INVALID_CONTRACT_ID")
    computation.consume_gas(gas, reason="system contract")


CONTRACTS: dict[bytes, Callable[[Any], None]] = {
    long_zero(EXCHANGE_RATE): exchange_rate,
    long_zero(PRNG): pseudorandom_seed,
}


class Computation(CancunComputation):  # type: ignore[misc]
    """Cancun's rules, with Hedera's contracts beside Ethereum's precompiles."""

    _precompiles = {**CANCUN_PRECOMPILES, **CONTRACTS}  # noqa: RUF012 - py-evm's name and type
