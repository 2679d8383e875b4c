"""Who asks: the node's operator by its token or a paired page, a user by a signed-in wallet, or nobody."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from starlette.types import Scope

from shoal.api.token import Token
from shoal.core.ids import Address
from shoal.errors import UsageError
from shoal.ports import Store

TABLE = "api-sessions"
SESSION_S = 12 * 3600
SESSIONS = 10_000
"""Kept at once, and of one account `PER_ACCOUNT`; the oldest go first."""
PER_ACCOUNT = 16
PAIRING_S = 120.0
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_CODE_CHARS = 8
"""Of an alphabet without what looks alike."""
_GUESSES = 10
_SCOPE = "shoal.caller"

Role = Literal["operator", "user"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever is behind a request."""

    role: Role
    account: str
    address: Address
    """The account as the contract sees it."""

    @property
    def name(self) -> str:
        """What this caller's things are kept under: the operator's are the node's own, whatever its account."""
        return "operator" if self.role == "operator" else self.account

    @property
    def is_operator(self) -> bool:
        return self.role == "operator"


@dataclass(frozen=True, slots=True)
class Session:
    """What a sign-in gives. The token itself is told once, and only its hash is kept."""

    token: str
    caller: Caller
    expires_s: float


class Access:
    """Tokens and sessions of one node.

    >>> access = Access(token, store, operator)  # doctest: +SKIP
    >>> access.caller("Bearer ...").role
    'operator'

    Args:
        operator: the node's own account, as which its token acts.
        clock: Unix seconds.
    """

    def __init__(self, token: Token, store: Store, operator: Caller, *, clock: Callable[[], float] = time.time) -> None:
        self.token = token
        self._store, self._operator, self._clock = store, operator, clock
        self._code, self._code_until_s, self._guesses = "", 0.0, 0

    def caller(self, header: str | None) -> Caller | None:
        """Whose an Authorization header is; None for one that is nobody's, or expired."""
        if header is None:
            return None
        if self.token.admits(header):
            return self._operator
        scheme, _, given = header.partition(" ")
        if scheme.lower() != "bearer":
            return None
        kept = self._store.get(TABLE, _hash(given.strip()))
        if kept is None:
            return None
        value = json.loads(kept)
        if value["expires_s"] < self._clock():
            self._store.delete(TABLE, _hash(given.strip()))
            return None
        if value["role"] == "operator":
            return self._operator
        return Caller("user", value["account"], Address(bytes.fromhex(value["address"])))

    def open(self, caller: Caller) -> Session:
        """A session for somebody who has proved to be it."""
        self._forget()
        token, expires_s = secrets.token_urlsafe(32), self._clock() + SESSION_S
        value = {
            "role": caller.role,
            "account": caller.account,
            "address": caller.address.hex(),
            "expires_s": expires_s,
        }
        self._store.put(TABLE, _hash(token), json.dumps(value).encode())
        return Session(token, caller, expires_s)

    def close(self, header: str | None) -> bool:
        """End the session of a header; False where it is the node's token, or nobody's."""
        name = _hash((header or "").partition(" ")[2].strip())
        found = self._store.get(TABLE, name) is not None
        self._store.delete(TABLE, name)
        return found

    def _forget(self) -> None:
        """Sessions that have expired, and the oldest where there are too many."""
        rows = [(key, json.loads(data)) for key, data in self._store.items(TABLE)]
        rows.sort(key=lambda row: row[1]["expires_s"])
        left: dict[str, int] = {}
        for count, (key, value) in enumerate(reversed(rows)):
            left[value["account"]] = left.get(value["account"], 0) + 1
            if value["expires_s"] < self._clock() or count >= SESSIONS or left[value["account"]] >= PER_ACCOUNT:
                self._store.delete(TABLE, key)

    # ------------------------------------------------------------ pairing

    def new_code(self) -> str:
        """A code that a page shows instead of the token: good once, for two minutes; the one before it ends.

        It is short enough to be typed, and guessed at ten times at most.
        """
        letters = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_CHARS))
        self._code, self._guesses = letters, 0
        self._code_until_s = self._clock() + PAIRING_S
        return f"{letters[:4]}-{letters[4:]}"

    def pair(self, code: str) -> Session:
        """Exchange a code for a session of the operator.

        Raises:
            UsageError: SHOAL-U80, it is not the code, was used, or is too old.
        """
        given = code.upper().replace("-", "").replace(" ", "").encode()
        late = self._clock() > self._code_until_s
        good = bool(self._code) and secrets.compare_digest(given, self._code.encode())
        self._guesses += 1
        if good or late or self._guesses >= _GUESSES:
            self._code = ""
        if late or not good:
            raise UsageError(
                "this is not the node's pairing code, or it was used or is too old",
                code="SHOAL-U80",
                hint="`shoal pair` shows a new one, which is good once and for two minutes",
            )
        return self.open(self._operator)


def caller_of(scope: Scope) -> Caller | None:
    """Who is behind a request, as the guard found out."""
    found: Caller | None = scope.get(_SCOPE)
    return found


def mark(scope: Scope, caller: Caller | None) -> None:
    """Note who is behind a request."""
    scope[_SCOPE] = caller


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
