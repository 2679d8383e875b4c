"""Contracts: py-evm's Cancun rules on the ledger's accounts, in tinybar, with Hedera's block and fee context."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from eth.constants import CREATE_CONTRACT_ADDRESS
from eth.exceptions import OutOfGas, Revert, VMError
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.cancun.state import CancunState
from eth.vm.message import Message
from eth.vm.transaction_context import BaseTransactionContext
from eth_bloom import BloomFilter

from shoal.adapters.devnet.clock import SECOND_NS, Moment
from shoal.adapters.devnet.fees import GAS_PRICE_TINYBAR
from shoal.adapters.devnet.state import EMPTY_CODE_HASH, Accounts
from shoal.adapters.devnet.store import long_zero
from shoal.adapters.devnet.system_contracts import EVM_PRECOMPILES, Computation

# Importing py-evm raises Python's limit to 100,000 (py_ecc does), at which C code such as the JSON parser overflows its
# stack: a request of nothing but brackets would end the process. A call depth of 1,024 needs about ten frames each.
sys.setrecursionlimit(12_000)
CHAIN_ID = 298
MAX_GAS = 15_000_000
FEE_COLLECTOR = 98
_ANCESTORS = 256


@dataclass(frozen=True, slots=True)
class Call:
    """One message to the EVM. `create_at` makes it a deployment: `data` is then init code and `to` is not used."""

    sender: bytes
    to: bytes
    data: bytes
    value_tinybar: int
    gas: int
    moment: Moment
    create_at: bytes | None = None
    static: bool = False


@dataclass(frozen=True, slots=True)
class Log:
    """One event: the contract that emitted it, up to four topics, data, and its Bloom filter (256 bytes)."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes

    @property
    def bloom(self) -> bytes:
        return blooms([self])


@dataclass(frozen=True, slots=True)
class Execution:
    """How it ended. `error` is empty on success, the revert data in hex after a revert, else the EVM's reason."""

    output: bytes
    gas_used: int
    error: str
    reverted: bool
    logs: tuple[Log, ...]


class _State(CancunState):  # type: ignore[misc]
    """py-evm's state machine on our accounts; its own constructor would want a trie."""

    computation_class = Computation

    def __init__(self, accounts: Accounts, context: ExecutionContext, seed: bytes) -> None:
        self._account_db = accounts
        self.execution_context = context
        self.seed = seed


def intrinsic_gas(data: bytes, *, create: bool) -> int:
    """Gas taken before the first instruction (EIP-2028; for deployments EIP-2 and EIP-3860).

    >>> intrinsic_gas(b"\\0\\1", create=False)
    21020
    """
    gas = 21_000 + 16 * len(data) - 12 * data.count(0)
    return gas + (32_000 + 2 * ((len(data) + 31) // 32) if create else 0)


def blooms(logs: list[Log] | tuple[Log, ...]) -> bytes:
    """The Bloom filter over addresses and topics of these logs, 256 bytes."""
    bloom = BloomFilter()
    for log in logs:
        bloom.add(log.address)
        for topic in log.topics:
            bloom.add(topic)
    return int(bloom).to_bytes(256, "big")


def execute(accounts: Accounts, call: Call) -> Execution:
    """Run one message on the accounts. The caller has checked gas >= intrinsic and balance >= value.

    On failure every change of the call is undone; gas is for the caller to charge.
    """
    intrinsic = intrinsic_gas(call.data, create=call.create_at is not None)
    assert call.gas >= intrinsic, "checked by the caller"
    state = _State(accounts, _context(call), call.moment.seed)
    target = call.create_at or call.to
    for address in (call.sender, target, long_zero(FEE_COLLECTOR), *EVM_PRECOMPILES):
        state.mark_address_warm(address)
    mark = accounts.record()
    held = sum(accounts.deltas().values())
    try:
        done = _apply(state, call, call.gas - intrinsic)
        _delete(accounts, done)
        if sum(accounts.deltas().values()) != held:
            raise VMError("SELF_DESTRUCT_TO_SELF")
    except VMError as error:
        accounts.discard(mark)
        return Execution(b"", call.gas, _reason(error), False, ())
    accounts.commit(mark)
    used = intrinsic + done.get_gas_used()
    if done.is_error:
        reverted = isinstance(done.error, Revert)
        error_text = "0x" + done.output.hex() if reverted else _reason(done.error)
        return Execution(done.output, used, error_text, reverted, ())
    used -= min(done.get_gas_refund(), used // 5)  # EIP-3529
    logs = tuple(
        Log(address, tuple(topic.to_bytes(32, "big") for topic in topics), data)
        for address, topics, data in done.get_log_entries()
    )
    return Execution(done.output, used, "", False, logs)


def is_contract(accounts: Accounts, address: bytes) -> bool:
    return accounts.get_code_hash(address) != EMPTY_CODE_HASH


def _apply(state: _State, call: Call, gas: int) -> Any:
    context = BaseTransactionContext(gas_price=GAS_PRICE_TINYBAR, origin=call.sender)
    if call.create_at is not None:
        message = Message(
            gas, CREATE_CONTRACT_ADDRESS, call.sender, call.value_tinybar, b"", call.data, create_address=call.create_at
        )
        return state.computation_class.apply_create_message(state, message, context)
    code = state.get_code(call.to)
    message = Message(gas, call.to, call.sender, call.value_tinybar, call.data, code, is_static=call.static)
    return state.computation_class.apply_message(state, message, context)


def _delete(accounts: Accounts, done: Any) -> None:
    """SELFDESTRUCT of contracts made in this transaction (EIP-6780); Hedera lets none take HBAR with it."""
    for address in done.get_accounts_for_deletion():
        if accounts.get_balance(address):
            raise VMError("SELF_DESTRUCT_TO_SELF")
        accounts.delete_account(address)


def _reason(error: VMError) -> str:
    """Hedera's names where they differ from py-evm's class names."""
    if isinstance(error, OutOfGas):
        return "INSUFFICIENT_GAS"
    return str(error) if str(error).isupper() else type(error).__name__


def _context(call: Call) -> ExecutionContext:
    moment = call.moment
    return ExecutionContext(
        coinbase=long_zero(FEE_COLLECTOR),
        timestamp=moment.now_ns // SECOND_NS,
        block_number=moment.block,
        difficulty=0,
        mix_hash=moment.seed[:32],
        gas_limit=MAX_GAS,
        prev_hashes=_ancestors(moment),
        chain_id=CHAIN_ID,
        base_fee_per_gas=0,
        excess_blob_gas=0,
    )


def _ancestors(moment: Moment) -> Iterator[bytes]:
    for ancestor in range(moment.block - 1, max(moment.block - 1 - _ANCESTORS, -1), -1):
        yield moment.hash_of(ancestor)[:32]
