"""What was sent and may not have ended: on disk before it is sent, so that a restart pays nothing twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from shoal.core.codec import decode, encode
from shoal.ports import Store

TABLE = "transactions"
_MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """One request to the ledger, and the transaction that was signed for it."""

    transaction: str
    """Its id, as the mirror writes it."""
    signed: bytes
    """What is sent again: the same bytes under the same id. Anyone may see them, they hold no key."""
    landed: bool = False
    """Whether it is known to have happened; then `entity` is the number of what it created."""
    entity: int | None = None

    def to_bytes(self) -> bytes:
        return encode([self.transaction, self.signed, self.landed, self.entity])

    @classmethod
    def from_bytes(cls, data: bytes) -> Record:
        return cls(*decode(data, max_bytes=_MAX_BYTES))


class Journal:
    """Records by the name of the request that they belong to, in a store that survives the process.

    Two requests of one name are the same request, so one waits for the other.

    >>> journal = Journal(store, scope="testnet/0.0.1001")  # doctest: +SKIP
    >>> journal.put("deploy/file", Record("0.0.5-1800000000-000000000", signed))  # doctest: +SKIP
    """

    def __init__(self, store: Store | None, scope: str) -> None:
        self._store, self._scope = store, scope
        self._locks: dict[str, tuple[trio.Lock, int]] = {}

    def get(self, name: str) -> Record | None:
        data = self._store.get(TABLE, self._key(name)) if self._store is not None else None
        return None if data is None else Record.from_bytes(data)

    def put(self, name: str, record: Record) -> None:
        """On disk when this returns."""
        if self._store is not None:
            self._store.put(TABLE, self._key(name), record.to_bytes())

    def drop(self, name: str) -> None:
        if self._store is not None:
            self._store.delete(TABLE, self._key(name))

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[None]:
        """At most one request of a name at a time in this process; across processes the node's lock sees to it."""
        lock, users = self._locks.get(name, (trio.Lock(), 0))
        self._locks[name] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[name]
            if users == 1:
                del self._locks[name]
            else:
                self._locks[name] = lock, users - 1

    def _key(self, name: str) -> str:
        return f"{self._scope}/{name}"
