"""What a node sees in a transaction's body alone, and refuses before anybody pays (the node's `pureChecks`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shoal.adapters.devnet.context import Refused
from shoal.adapters.devnet.evm import MAX_GAS, intrinsic_gas


def pure_check(kind: str, payload: Any) -> None:
    """Look at the body of a transaction of this kind (a field name of `TransactionBody.data`).

    Raises:
        Refused: with the status that a real node answers.
    """
    if (check := _CHECKS.get(kind)) is not None:
        check(payload)


def _create_account(payload: Any) -> None:
    if not payload.HasField("key"):
        raise Refused("KEY_REQUIRED")
    if payload.initialBalance >= 2**63:
        raise Refused("INVALID_INITIAL_BALANCE")


def _transfer(payload: Any) -> None:
    amounts = payload.transfers.accountAmounts
    if sum(amount.amount for amount in amounts) != 0:
        raise Refused("INVALID_ACCOUNT_AMOUNTS")
    names = [amount.accountID.SerializeToString(deterministic=True) for amount in amounts]
    if len(set(names)) != len(names):
        raise Refused("ACCOUNT_REPEATED_IN_ACCOUNT_AMOUNTS")


def _submit_message(payload: Any) -> None:
    if not payload.HasField("topicID"):
        raise Refused("INVALID_TOPIC_ID")
    if not payload.message:
        raise Refused("INVALID_TOPIC_MESSAGE")


def _call_contract(payload: Any) -> None:
    if not payload.HasField("contractID"):
        raise Refused("INVALID_CONTRACT_ID")
    _check_gas(payload.gas, payload.amount, intrinsic_gas(payload.functionParameters, create=False))


def _create_contract(payload: Any) -> None:
    # code in a file is not known yet: the handler looks again
    code = payload.initcode + payload.constructorParameters
    _check_gas(payload.gas, payload.initialBalance, intrinsic_gas(code, create=True))


def _check_gas(gas: int, tinybar: int, intrinsic: int) -> None:
    if tinybar < 0:
        raise Refused("CONTRACT_NEGATIVE_VALUE")
    if gas < 0:
        raise Refused("CONTRACT_NEGATIVE_GAS")
    if gas > MAX_GAS:
        raise Refused("MAX_GAS_LIMIT_EXCEEDED")
    if gas < intrinsic:
        raise Refused("INSUFFICIENT_GAS")


_CHECKS: Mapping[str, Callable[[Any], None]] = {
    "cryptoCreateAccount": _create_account,
    "cryptoTransfer": _transfer,
    "consensusSubmitMessage": _submit_message,
    "contractCall": _call_contract,
    "contractCreateInstance": _create_contract,
}
