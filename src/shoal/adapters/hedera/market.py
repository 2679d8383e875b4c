"""The market contract's ABI: calls to call data, logs to events, reverts to reasons, views to values."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError

from shoal.core import calls, events
from shoal.core.ids import Address, Digest, address_text, keccak256
from shoal.core.money import Tinybar
from shoal.core.standing import TaskView
from shoal.errors import ConfigError, LedgerError, UsageError
from shoal.ports import AccountState, Liabilities

_ERROR_STRING, _PANIC = bytes.fromhex("08c379a0"), bytes.fromhex("4e487b71")


@dataclass(frozen=True, slots=True)
class _Item:
    """A function, event or error of the ABI."""

    name: str
    inputs: tuple[Mapping[str, Any], ...]
    types: tuple[str, ...]
    outputs: tuple[str, ...]
    returns: tuple[Mapping[str, Any], ...] = ()
    """The fields of the struct that a view returns."""

    @property
    def signature_hash(self) -> bytes:
        return keccak256(f"{self.name}({','.join(self.types)})".encode())

    @property
    def selector(self) -> bytes:
        return self.signature_hash[:4]


def _item(entry: Mapping[str, Any]) -> _Item:
    inputs = tuple(entry.get("inputs", ()))
    outputs = tuple(_type(part) for part in entry.get("outputs", ()))
    first: Mapping[str, Any] = next(iter(entry.get("outputs", ())), {})
    return _Item(
        entry["name"], inputs, tuple(_type(part) for part in inputs), outputs, tuple(first.get("components", ()))
    )


def _type(part: Mapping[str, Any]) -> str:
    """The canonical type, structs spelled out: `(uint32,uint64)[]`."""
    name: str = part["type"]
    if not name.startswith("tuple"):
        return name
    return f"({','.join(_type(inner) for inner in part['components'])}){name.removeprefix('tuple')}"


def camel(name: str) -> str:
    """Python's name of a field as Solidity has it.

    >>> camel("task_id")
    'taskId'
    """
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@cache
def artefact() -> dict[str, Any]:
    """The contract as it was compiled for this version of shoal: abi, bytecode."""
    text = resources.files("shoal.contracts").joinpath("TrainingMarket.json").read_text()
    return dict(json.loads(text))


class MarketAbi:
    """Checked against `core.calls` and `core.events` when it is made, so that no call is ever encoded by a wrong shape.

    >>> MarketAbi().encode(calls.RequestUnstake(Tinybar(5))).hex()[:8]
    '2e17de78'

    Raises:
        ConfigError: SHOAL-C11, names, arity or types of the dataclasses and of the ABI differ.
    """

    def __init__(self, abi: Sequence[Mapping[str, Any]] | None = None) -> None:
        entries = artefact()["abi"] if abi is None else abi
        of = {kind: {e["name"]: _item(e) for e in entries if e["type"] == kind} for kind in _KINDS}
        self._functions, self._errors = of["function"], {e.selector: e for e in of["error"].values()}
        functions = [e for e in entries if e["type"] == "function" and e["name"] not in _OWNERS]
        changing = {e["name"] for e in functions if e["stateMutability"] not in _READING}
        call_classes = {_lower(cls.__name__): cls for cls in typing.get_args(calls.Call)}
        event_classes = {cls.__name__: cls for cls in typing.get_args(events.Event)}
        _same_names("functions", set(call_classes), changing)
        _same_names("events", set(event_classes), set(of["event"]) - _OWNERS)
        for name, cls in call_classes.items():
            _check(name, cls, self._functions[name].inputs)
        for name, cls in event_classes.items():
            _check(name, cls, of["event"][name].inputs)
        named = ((cls, of["event"][name]) for name, cls in event_classes.items())
        self._events = {item.signature_hash: (cls, item) for cls, item in named}

    def encode(self, call: calls.Call) -> bytes:
        """Call data.

        Raises:
            UsageError: SHOAL-U10, a value does not fit its type.
        """
        item = self._functions[_lower(type(call).__name__)]
        return self._encoded(item, _values(call))

    def encode_view(self, name: str, *arguments: Any) -> bytes:
        return self._encoded(self._functions[name], arguments)

    def decode_view(self, name: str, data: bytes) -> tuple[Any, ...]:
        """The values that a view returned.

        Raises:
            LedgerError: SHOAL-L06, they are not such a view's.
        """
        try:
            return tuple(decode(self._functions[name].outputs, data))
        except (DecodingError, OverflowError, UnicodeDecodeError) as error:
            raise _foreign(f"answered {name}() with {data[:64].hex() or 'nothing'}") from error

    def decode_event(self, topics: Sequence[bytes], data: bytes) -> events.Event | None:
        """The event of a log; None when it is not one of the market's.

        Raises:
            LedgerError: SHOAL-L06, the log has the name of an event but not its shape.
        """
        found = self._events.get(topics[0]) if topics else None
        if found is None:
            return None
        cls, item = found
        rest = iter(topics[1:])
        try:
            plain = iter(decode([t for t, i in zip(item.types, item.inputs, strict=True) if not i["indexed"]], data))
            values = [
                decode([kind], next(rest))[0] if part["indexed"] else next(plain)
                for kind, part in zip(item.types, item.inputs, strict=True)
            ]
        except (DecodingError, StopIteration, OverflowError) as error:
            raise _foreign(f"wrote a malformed event {item.name}") from error
        made: events.Event = _build(cls, item.inputs, values)
        return made

    def decode_error(self, data: bytes) -> tuple[str, str]:
        """Name and text of what a revert carries.

        >>> MarketAbi().decode_error(bytes.fromhex("4e487b71" + "11".rjust(64, "0")))
        ('Panic', 'Panic(0x11)')
        """
        selector, arguments = data[:4], data[4:]
        try:
            if selector == _ERROR_STRING:
                return "Error", str(decode(["string"], arguments)[0])
            if selector == _PANIC:
                return "Panic", f"Panic({decode(['uint256'], arguments)[0]:#04x})"
            item = self._errors.get(selector)
            if item is not None:
                values = decode(item.types, arguments)
                shown = (f"{part['name']}={_shown(value)}" for part, value in zip(item.inputs, values, strict=True))
                return item.name, f"{item.name}({', '.join(shown)})"
        except (DecodingError, OverflowError, UnicodeDecodeError):
            return "Unknown", f"revert data {data[:68].hex()}"
        return "Unknown", f"revert data {data[:68].hex()}" if data else "reverted without a reason"

    def account_state(self, data: bytes) -> AccountState:
        signing_key, recipient, *amounts, unbond_at = self.decode_view("getAccount", data)[0]
        stake, locked, balance, unbonding = map(Tinybar, amounts)
        registered = any(signing_key)
        return AccountState(registered, signing_key, recipient, stake, locked, balance, unbonding, unbond_at)

    def liabilities(self, data: bytes) -> Liabilities:
        return Liabilities(*self.decode_view("liabilities", data))

    def task(self, data: bytes) -> TaskView:
        """The contract's record of a task, without its seats."""
        names = [str(part["name"]) for part in self._functions["getTask"].returns]
        told = dict(zip(names, self.decode_view("getTask", data)[0], strict=True))
        round, units, aggregates, audits, checkpoint, credits_root = told["progress"]
        return TaskView(
            client=Address(bytes.fromhex(told["client"][2:])),
            topic=told["topic"],
            phase=told["phase"],
            quorum=told["quorum"],
            manifest_hash=Digest(told["manifestHash"]),
            plan=calls.Plan(*told["plan"]),
            escrow_tinybar=Tinybar(told["escrow"]),
            reserved_tinybar=Tinybar(told["reserved"]),
            unit_price=Tinybar(told["unitPrice"]),
            award_root=told["awardRoot"],
            accepted=told["accepted"],
            ready=told["ready"],
            open_disputes=told["openDisputes"],
            progress=calls.Result(0, round, units, aggregates, audits, checkpoint, credits_root),
            result=calls.Result(*told["result"]),
        )

    def is_closed(self, data: bytes) -> bool:
        """Whether a seat was claimed or released."""
        closed: bool = self.decode_view("getSeat", data)[0][2]
        return closed

    def _encoded(self, item: _Item, values: Sequence[Any]) -> bytes:
        try:
            return item.selector + bytes(encode(item.types, values))
        except (EncodingError, TypeError, ValueError) as error:
            raise UsageError(f"{item.name}: {error}", code="SHOAL-U10") from error


_KINDS = ("function", "event", "error")
_READING = ("view", "pure")
_OWNERS = frozenset(
    {"pause", "unpause", "transferOwnership", "acceptOwnership", "renounceOwnership"}
    | {"Paused", "Unpaused", "OwnershipTransferStarted", "OwnershipTransferred"}
)
"""What only the contract's owner calls, and what only concerns it."""
_PYTHON_TYPES: dict[Any, tuple[str, ...]] = {
    int: ("uint",),
    bool: ("bool",),
    bytes: ("bytes32", "address"),
    tuple[bytes, ...]: ("bytes32[]",),
    tuple[events.Member, ...]: ("tuple[]",),
    calls.Plan: ("tuple",),
    calls.Result: ("tuple",),
}
_STRUCTS: dict[Any, type[Any]] = {
    calls.Plan: calls.Plan,
    calls.Result: calls.Result,
    tuple[events.Member, ...]: events.Member,
}
"""Fields that are structs, or lists of structs, and their Python classes."""


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]


def _same_names(what: str, python: set[str], solidity: set[str]) -> None:
    if python != solidity:
        raise _mismatch(f"{what} that only one side has: {', '.join(sorted(python ^ solidity))}")


def _check(name: str, cls: type[Any], inputs: Sequence[Mapping[str, Any]]) -> None:
    ours = [camel(part.name) for part in fields(cls)]
    theirs = [part["name"] for part in inputs]
    if ours != theirs:
        raise _mismatch(f"{name} has {ours} in Python and {theirs} in Solidity")
    hints = typing.get_type_hints(cls)
    for part, entry in zip(fields(cls), inputs, strict=True):
        hint = hints[part.name]
        exact = "address" if hint is Address else ""
        hint = getattr(hint, "__supertype__", hint)
        hint = getattr(hint, "__supertype__", hint)
        if not entry["type"].startswith(exact or _PYTHON_TYPES[hint]):
            raise _mismatch(f"{name}.{part.name} is {entry['type']} in Solidity")
        if struct := _STRUCTS.get(hint):
            _check(f"{name}.{part.name}", struct, entry["components"])


def _values(value: Any) -> tuple[Any, ...]:
    """The fields of a dataclass by position, structs as tuples; not `astuple`, which would copy proofs deeply."""
    parts = (getattr(value, part.name) for part in fields(value))
    return tuple(_values(part) if isinstance(part, calls.Plan | calls.Result) else part for part in parts)


def _build(cls: type[Any], inputs: Sequence[Mapping[str, Any]], values: Sequence[Any]) -> Any:
    hints = typing.get_type_hints(cls)
    made = []
    for part, entry, value in zip(fields(cls), inputs, values, strict=True):
        struct = _STRUCTS.get(hints[part.name])
        if entry["type"] == "address":
            value = bytes.fromhex(value[2:])
        elif entry["type"] == "tuple[]" and struct:
            value = tuple(_build(struct, entry["components"], each) for each in value)
        elif struct:
            value = _build(struct, entry["components"], value)
        made.append(value)
    return cls(*made)


def _shown(value: Any) -> str:
    """An argument of an error, for people; a bytes32 of printable ASCII is the name of a field."""
    if not isinstance(value, bytes):
        return str(value)
    text = value.rstrip(b"\0")
    if text and len(text) < len(value) and text.isascii() and text.decode("ascii").isprintable():
        return text.decode("ascii")
    return address_text(value)


def _mismatch(text: str) -> ConfigError:
    return ConfigError(
        f"the contract's ABI is not this version's: {text}", code="SHOAL-C11", hint="compile the contract again"
    )


def _foreign(text: str) -> LedgerError:
    return LedgerError(
        f"the contract {text}: it is not a TrainingMarket of this version",
        code="SHOAL-L06",
        hint="check the setting contract_id",
    )
