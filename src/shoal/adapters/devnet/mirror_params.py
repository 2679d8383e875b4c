"""Reading the mirror node's query parameters, strictly, and writing its links to the next page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne
from typing import Any
from urllib.parse import parse_qsl, urlencode

from hiero_sdk_python.hapi.services import basic_types_pb2 as basic

from shoal.adapters.devnet.store import Entity, Store

MAX_LIMIT = 100
DEFAULT_LIMIT = 25
SECOND_NS = 1_000_000_000
_OPERATORS = {"eq": "=", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_HOLDS = {"eq": eq, "ne": ne, "gt": gt, "gte": ge, "lt": lt, "lte": le}
_TIMESTAMP = re.compile(r"(\d{1,10})(?:\.(\d{1,9}))?\Z", re.ASCII)
_ENTITY = re.compile(r"(?:0\.0\.)?(\d{1,18})\Z", re.ASCII)
_ADDRESS = re.compile(r"(?:0x)?([0-9a-fA-F]{40})\Z", re.ASCII)
_HASH = re.compile(r"(?:0x)?([0-9a-fA-F]{64}|[0-9a-fA-F]{96})\Z", re.ASCII)
_MAX_PARAMS = 50
_KEY_TYPES = {"ed25519": "ED25519", "ECDSA_secp256k1": "ECDSA_SECP256K1"}


class BadRequest(Exception):
    """400, with the mirror node's message, and for a reverted call its detail and data."""

    def __init__(self, message: str, detail: str = "", data: str = "") -> None:
        super().__init__(message)
        self.body = {"message": message}
        if detail or data:
            self.body |= {"detail": detail, "data": data}


class NotFound(Exception):
    """404."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`gt:5` as an operator name and a value."""

    operator: str
    value: int

    @property
    def is_lower(self) -> bool:
        return self.operator in ("gt", "gte")

    @property
    def is_upper(self) -> bool:
        return self.operator in ("lt", "lte")

    def holds(self, value: int) -> bool:
        return bool(_HOLDS[self.operator](value, self.value))

    def sql(self, column: str) -> tuple[str, int]:
        """A condition and its value; the column's name is ours."""
        return f"{column} {_OPERATORS[self.operator]} ?", self.value


def hex_text(value: bytes) -> str:
    return "0x" + value.hex()


def key_json(raw: bytes) -> dict[str, str] | None:
    """A key as the mirror node shows it: the public key in hex, or the protobuf for a tree."""
    if not raw:
        return None
    key = basic.Key.FromString(raw)
    which = key.WhichOneof("key")
    if which in _KEY_TYPES:
        return {"_type": _KEY_TYPES[which], "key": getattr(key, which).hex()}
    return {"_type": "ProtobufEncoded", "key": raw.hex()}


def timestamp_text(time_ns: int) -> str:
    """`seconds.nanoseconds`.

    >>> timestamp_text(1_500_000_000_000_000_001)
    '1500000000.000000001'
    """
    return f"{time_ns // SECOND_NS}.{time_ns % SECOND_NS:09d}"


def parse_timestamp(text: str) -> int:
    """Nanoseconds of `seconds[.nanoseconds]`; raises ValueError."""
    match = _TIMESTAMP.match(text)
    if not match:
        raise ValueError(text)
    return int(match[1]) * SECOND_NS + int((match[2] or "0").ljust(9, "0"))


def parse_number(text: str) -> int:
    """A non-negative integer below 2^63; raises ValueError."""
    if not re.fullmatch(r"\d{1,19}", text, re.ASCII) or int(text) >= 2**63:
        raise ValueError(text)
    return int(text)


def parse_entity(text: str) -> int:
    """The number of `0.0.n` or `n`; raises ValueError."""
    match = _ENTITY.match(text)
    if not match:
        raise ValueError(text)
    return int(match[1])


def parse_hash(text: str) -> bytes | None:
    """The first 32 bytes of a transaction's hash, given as 32 or 48 bytes in hex; None when it is not one."""
    match = _HASH.match(text)
    return bytes.fromhex(match[1])[:32] if match else None


def find_entity(store: Store, text: str, name: str, *kinds: str) -> Entity:
    """The entity that a path names by number or EVM address.

    Raises:
        BadRequest: it is neither.
        NotFound: there is no such entity of these kinds.
    """
    if match := _ADDRESS.match(text):
        entity = store.by_address(bytes.fromhex(match[1]))
        if entity is not None and entity.kind not in kinds:
            entity = None
    else:
        try:
            entity = store.entity(parse_entity(text), *kinds)
        except ValueError:
            raise BadRequest(f"Invalid parameter: {name}") from None
    if entity is None:
        raise NotFound
    return entity


class Params:
    """The parameters of one request.

    Args:
        path: what links start with.
        known: the names that the endpoint takes; any other is refused.
    """

    def __init__(self, path: str, query: str, known: Iterable[str]) -> None:
        self.path = path
        try:
            self.items = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMS, errors="strict")
        except ValueError:
            raise BadRequest("Invalid query string") from None
        allowed = set(known)
        for name, _ in self.items:
            if name not in allowed:
                raise BadRequest(f"Unknown query parameter: {name}")

    def texts(self, name: str) -> list[str]:
        return [value for key, value in self.items if key == name]

    def text(self, name: str) -> str | None:
        """The value of a parameter that may be given once."""
        values = self.texts(name)
        if len(values) > 1:
            raise BadRequest(f"Invalid parameter: {name}")
        return values[0] if values else None

    def choice(self, name: str, default: str, *others: str) -> str:
        value = (self.text(name) or default).lower()
        if value not in (default, *others):
            raise BadRequest(f"Invalid parameter: {name}")
        return value

    def limit(self) -> int:
        """1 to 100; more is cut to 100, as the mirror node does."""
        text = self.text("limit")
        try:
            limit = DEFAULT_LIMIT if text is None else parse_number(text)
        except ValueError:
            limit = 0
        if limit < 1:
            raise BadRequest("Invalid parameter: limit")
        return min(limit, MAX_LIMIT)

    def comparisons(self, name: str, parse: Callable[[str], int]) -> list[Comparison]:
        """Every `op:value` of a parameter; a bare value means `eq`."""
        return [self._comparison(name, text, parse) for text in self.texts(name)]

    def _comparison(self, name: str, text: str, parse: Callable[[str], int]) -> Comparison:
        operator, colon, value = text.partition(":")
        if not colon:
            operator, value = "eq", text
        try:
            if operator not in _OPERATORS:
                raise ValueError(operator)
            return Comparison(operator, parse(value))
        except ValueError:
            raise BadRequest(f"Invalid parameter: {name}") from None

    def next_link(self, order: str, last: Mapping[str, str]) -> str:
        """A link to the page after the last row.

        Args:
            last: the parameters that continue from it; for each, the comparisons that bounded the side which the
                pages move away from are dropped, the other side's are kept.
        """
        passed = ("gt:", "gte:") if order == "asc" else ("lt:", "lte:")
        kept = [(k, v) for k, v in self.items if k not in last or not v.startswith(passed)]
        return f"{self.path}?{urlencode([*kept, *last.items()], safe=':')}"


def page(params: Params, rows: list[Any], limit: int, order: str, last: Mapping[str, str]) -> dict[str, str | None]:
    """The `links` object: a next link when the page is full."""
    return {"next": params.next_link(order, last) if len(rows) == limit else None}


def conditions(*parts: tuple[str, Any]) -> tuple[str, list[Any]]:
    """SQL `where` text of all parts, and the values; a list is the values of a part with several.

    >>> conditions(("a > ?", 1), ("b = ?", 2))
    (' where a > ? and b = ?', [1, 2])
    """
    if not parts:
        return "", []
    values: list[Any] = []
    for _, value in parts:
        values += value if isinstance(value, list) else [value]
    return " where " + " and ".join(sql for sql, _ in parts), values
