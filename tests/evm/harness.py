"""Drives the compiled contract on py-evm: settable time, plain balances, decoded events and errors, Merkle proofs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eth.constants import BLANK_ROOT_HASH, CREATE_CONTRACT_ADDRESS
from eth.db.atomic import AtomicDB
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.cancun.state import CancunState
from eth.vm.message import Message
from eth.vm.transaction_context import BaseTransactionContext
from eth_abi import decode, encode

from shoal.core.ids import keccak256
from shoal.testing.court import block_at, hash_of

# py-evm raises the limit to 100,000, at which the JSON parser of another test would overflow its stack.
sys.setrecursionlimit(12_000)

ROOT = Path(__file__).parents[2]
ARTEFACT = ROOT / "src" / "shoal" / "contracts" / "TrainingMarket.json"
GAS_LIMIT = 15_000_000
START_S = 1_800_000_000
UNBONDING_S = 7 * 24 * 3600
VALIDATOR_STAKE = 16_000
MIN_DISPUTE_S = 40
FUNDS = 10**15


class Reverted(Exception):
    """A call that the contract refused: the custom error's name and arguments."""

    def __init__(self, name: str, args: dict[str, Any], gas: int) -> None:
        super().__init__(name, args)
        self.name = name
        self.arguments = args
        self.gas = gas


@dataclass(frozen=True)
class Event:
    name: str
    args: dict[str, Any]


@dataclass(frozen=True)
class Receipt:
    output: bytes
    gas: int
    events: list[Event]

    def only(self, name: str) -> dict[str, Any]:
        """The arguments of the one event with this name."""
        found = [event.args for event in self.events if event.name == name]
        assert len(found) == 1, f"{len(found)} {name} in {self.events}"
        return found[0]


class Chain:
    """An EVM with a clock; a transaction that fails leaves nothing behind. Fees are not charged."""

    def __init__(self) -> None:
        self.now_s = START_S
        self.state = CancunState(AtomicDB(), self._context(), BLANK_ROOT_HASH)

    def _context(self) -> ExecutionContext:
        return ExecutionContext(
            coinbase=bytes(20),
            timestamp=self.now_s,
            block_number=block_at(self.now_s),
            difficulty=0,
            mix_hash=bytes(32),
            gas_limit=GAS_LIMIT,
            prev_hashes=(hash_of(self.now_s - 1 - i) for i in range(256)),
            chain_id=298,
            base_fee_per_gas=0,
            excess_blob_gas=0,
        )

    def account(self, name: str, tinybar: int = FUNDS) -> bytes:
        address = keccak256(name.encode())[12:]
        self.state.set_balance(address, tinybar)
        return address

    def balance(self, address: bytes) -> int:
        return int(self.state.get_balance(address))

    def transact(
        self, sender: bytes, to: bytes | None, data: bytes, *, value: int = 0, create_at: bytes | None = None
    ) -> tuple[Any, int]:
        """Run one transaction; returns py-evm's computation and the gas that it used in all."""
        state = self.state
        state.execution_context = self._context()
        state.lock_changes()
        intrinsic = 21_000 + sum(16 if byte else 4 for byte in data)
        if create_at:
            intrinsic += 32_000 + 2 * ((len(data) + 31) // 32)  # EIP-3860
        context = BaseTransactionContext(gas_price=0, origin=sender)
        state.mark_address_warm(sender)
        state.mark_address_warm(create_at or to)
        gas = GAS_LIMIT - intrinsic
        if create_at:
            message = Message(gas, CREATE_CONTRACT_ADDRESS, sender, value, b"", data, create_address=create_at)
            done = state.computation_class.apply_create_message(state, message, context)
        else:
            message = Message(gas, to, sender, value, data, state.get_code(to))
            done = state.computation_class.apply_message(state, message, context)
        used = intrinsic + done.get_gas_used()
        if done.is_success:
            used -= min(done.get_gas_refund(), used // 5)
        state.clear_transient_storage()
        return done, used

    def deploy(self, sender: bytes, code: bytes, *, value: int = 0) -> tuple[bytes, Any, int]:
        address = keccak256(b"contract" + code + value.to_bytes(32, "big"))[12:]
        done, gas = self.transact(sender, None, code, value=value, create_at=address)
        return address, done, gas


@dataclass(frozen=True)
class Plan:
    """The contract's plan, in its order; times are `START_S` and so many seconds."""

    chunks: int = 8
    rounds: int = 3
    seats: int = 4
    min_trainers: int = 2
    max_unit_price: int = 1_000
    aggregate_price: int = 500
    stake_per_seat: int = 10_000
    compensation: int = 300
    no_show_penalty: int = 4_000
    bid_until: int = START_S + 100
    award_until: int = START_S + 200
    accept_until: int = START_S + 300
    standby_until: int = START_S + 400
    start_until: int = START_S + 500
    end_by: int = START_S + 5_000
    window: int = 60
    auditors: int = 0
    audit_price: int = 0
    audits: int = 0
    bond: int = 0
    slash: int = 0
    finder_share: int = 0
    dispute_time: int = 0

    def values(self) -> tuple[int, ...]:
        return tuple(vars(self).values())

    @property
    def escrow(self) -> int:
        units = self.chunks * self.rounds * self.max_unit_price
        left_out = (self.seats - self.min_trainers) * self.compensation
        return units + self.rounds * self.aggregate_price + self.audits * self.audit_price + left_out

    def but(self, **changes: int) -> Plan:
        return replace(self, **changes)


class Market:
    """The deployed contract: `market(sender, "register", key, recipient, value=5)`, `market.view("getTask", id)`."""

    def __init__(self, chain: Chain) -> None:
        artefact = json.loads(ARTEFACT.read_text())
        self.code = bytes.fromhex(artefact["bytecode"]) + encode(
            ["uint64"] * 3, [UNBONDING_S, VALIDATOR_STAKE, MIN_DISPUTE_S]
        )
        self.abi = artefact["abi"]
        self.functions = {item["name"]: item for item in self.abi if item["type"] == "function"}
        self._events = {_selector(item): item for item in self.abi if item["type"] == "event"}
        self._errors = {_selector(item)[:4]: item for item in self.abi if item["type"] == "error"}
        self.chain = chain
        deployer = chain.account("deployer")
        self.address, done, self.deploy_gas = chain.deploy(deployer, self.code, value=1)
        done.raise_if_error()

    def encode(self, function: str, *args: Any) -> bytes:
        item = self.functions[function]
        arguments: bytes = encode(_types(item["inputs"]), args)
        return _selector(item)[:4] + arguments

    def __call__(self, sender: bytes, function: str, *args: Any, value: int = 0) -> Receipt:
        done, gas = self.chain.transact(sender, self.address, self.encode(function, *args), value=value)
        if done.is_error:
            raise self.reverted(done.output, gas)
        events = [self._event(topics, data) for _, topics, data in done.get_log_entries()]
        return Receipt(done.output, gas, events)

    def view(self, function: str, *args: Any) -> Any:
        """A view's answer: a dict for a struct or several named values, else the value."""
        done, gas = self.chain.transact(bytes(20), self.address, self.encode(function, *args))
        if done.is_error:
            raise self.reverted(done.output, gas)
        outputs = self.functions[function]["outputs"]
        values = _named(outputs, decode(_types(outputs), done.output))
        return next(iter(values.values())) if len(outputs) == 1 else values

    def reverted(self, output: bytes, gas: int) -> Reverted:
        item = self._errors.get(output[:4])
        if item is None:
            return Reverted("0x" + output.hex(), {}, gas)
        return Reverted(item["name"], _named(item["inputs"], decode(_types(item["inputs"]), output[4:])), gas)

    def _event(self, topics: Sequence[int], data: bytes) -> Event:
        words = [topic.to_bytes(32, "big") for topic in topics]
        item = self._events[words[0]]
        indexed = [field for field in item["inputs"] if field["indexed"]]
        plain = [field for field in item["inputs"] if not field["indexed"]]
        args = _named(plain, decode(_types(plain), data))
        for field, word in zip(indexed, words[1:], strict=True):
            args |= _named([field], decode(_types([field]), word))
        return Event(item["name"], args)

    def liabilities(self) -> int:
        return sum(self.view("liabilities").values())


def task_id(client: bytes, manifest: bytes) -> bytes:
    return keccak256(encode(["address", "bytes32"], [client, manifest]))


def award_leaf(task: bytes, trainer: bytes, units: int, rank: int) -> bytes:
    types = ["bytes32", "address", "uint32", "uint16"]
    return keccak256(keccak256(encode(types, [task, trainer, units, rank])))


def credit_leaf(task: bytes, trainer: bytes, units: int, aggregates: int, no_show: bool) -> bytes:
    types = ["bytes32", "address", "uint32", "uint32", "bool"]
    return keccak256(keccak256(encode(types, [task, trainer, units, aggregates, no_show])))


def audit_leaf(task: bytes, validator: bytes, audits: int) -> bytes:
    return keccak256(keccak256(encode(["bytes32", "address", "uint32"], [task, validator, audits])))


class Tree:
    """A Merkle tree as OpenZeppelin's StandardMerkleTree lays it out: leaves sorted, pairs hashed in sorted order."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        ordered = sorted(leaves)
        count = len(ordered)
        self._nodes = [b""] * (count - 1) + ordered[::-1]
        for i in reversed(range(count - 1)):
            self._nodes[i] = keccak256(b"".join(sorted((self._nodes[2 * i + 1], self._nodes[2 * i + 2]))))
        self.root = self._nodes[0]

    def proof(self, leaf: bytes) -> list[bytes]:
        at, path = self._nodes.index(leaf), []
        while at > 0:
            path.append(self._nodes[at + 1 if at % 2 else at - 1])
            at = (at - 1) // 2
        return path


def _type(field: dict[str, Any]) -> str:
    if field["type"].startswith("tuple"):
        inner = ",".join(_type(part) for part in field["components"])
        return f"({inner}){field['type'][5:]}"
    return str(field["type"])


def _types(fields: Sequence[dict[str, Any]]) -> list[str]:
    return [_type(field) for field in fields]


def _selector(item: dict[str, Any]) -> bytes:
    return keccak256(f"{item['name']}({','.join(_types(item['inputs']))})".encode())


def _named(fields: Sequence[dict[str, Any]], values: Sequence[Any]) -> dict[str, Any]:
    named = {}
    for field, value in zip(fields, values, strict=True):
        if field["type"] == "tuple":
            value = _named(field["components"], value)
        elif field["type"] == "tuple[]":
            value = [_named(field["components"], each) for each in value]
        elif field["type"] == "address[]":
            value = [bytes.fromhex(each[2:]) for each in value]
        elif field["type"] == "address":
            value = bytes.fromhex(value[2:])
        named[field["name"]] = value
    return named
