"""Balances, code and storage as one transaction sees them: an overlay on SQLite with nested undo.

The EVM and HAPI share it, so that a contract's transfers and a CryptoTransfer are the same kind of change. It
lives for one transaction: what is not flushed never happened, and nothing in memory can disagree with the file.
Hedera publishes no Ethereum state root, so there is no trie: rows are flat.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from eth.abc import AccountDatabaseAPI

from shoal.adapters.devnet.store import Store
from shoal.core.ids import keccak256

EMPTY_CODE_HASH = keccak256(b"")
_EMPTY_ROOT = bytes(32)
_checkpoints = count()


@dataclass(frozen=True, slots=True)
class Account:
    """An account's EVM side; balance in tinybar."""

    balance: int = 0
    nonce: int = 0
    code_hash: bytes = EMPTY_CODE_HASH


_ABSENT = Account()


class Accounts(AccountDatabaseAPI):  # type: ignore[misc]
    """The state for one transaction; py-evm calls it by py-evm's names.

    >>> accounts = Accounts(store)  # doctest: +SKIP
    >>> mark = accounts.record()
    >>> accounts.move(alice, bob, 5)
    >>> accounts.discard(mark)  # as if nothing had moved
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._accounts: dict[bytes, Account] = {}
        self._storage: dict[tuple[bytes, int], int] = {}
        self._code: dict[bytes, bytes] = {}
        self._warm: dict[Any, bool] = {}
        self._loaded: dict[bytes, Account] = {}
        self._loaded_storage: dict[tuple[bytes, int], int] = {}
        self._canonical: dict[bytes, bytes] = {}
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []
        self._marks: dict[int, int] = {}

    # ------------------------------------------------------------ ours

    def move(self, source: bytes, target: bytes, tinybar: int) -> None:
        """Move an amount that the source has; the caller checked that it has."""
        self.set_balance(source, self.get_balance(source) - tinybar)
        self.set_balance(target, self.get_balance(target) + tinybar)

    def deltas(self) -> dict[bytes, int]:
        """Every address whose balance differs from that at the start, and by how much."""
        changes = {a: now.balance - self._loaded[a].balance for a, now in self._accounts.items()}
        return {address: change for address, change in changes.items() if change}

    def touched(self) -> list[bytes]:
        """Addresses that have changed, in the order of the first change."""
        return [address for address, now in self._accounts.items() if now != self._loaded[address]]

    def flush(self) -> None:
        """Write the changes to the open SQL transaction."""
        db = self._store.db
        for address, now in self._accounts.items():
            before = self._loaded[address]
            if now == before:
                continue
            if now.code_hash not in (before.code_hash, EMPTY_CODE_HASH):
                code = self._code[now.code_hash]
                db.execute("insert or ignore into evm_code values(?, ?)", (now.code_hash, code))
            values = (address, now.balance, now.nonce, now.code_hash)
            db.execute("insert or replace into evm_account values(?, ?, ?, ?)", values)
        for (address, slot), value in self._storage.items():
            key = (address, slot.to_bytes(32, "big"))
            if value:
                blob = value.to_bytes((value.bit_length() + 7) // 8, "big")
                db.execute("insert or replace into evm_storage values(?, ?, ?)", (*key, blob))
            else:
                db.execute("delete from evm_storage where address = ? and slot = ?", key)

    # ------------------------------------------------------------ accounts

    def get_balance(self, address: bytes) -> int:
        return self._get(address).balance

    def set_balance(self, address: bytes, balance: int) -> None:
        if balance < 0:
            raise ValueError(f"balance of 0x{address.hex()} would be {balance}")
        self._put(address, replace(self._get(address), balance=balance))

    def get_nonce(self, address: bytes) -> int:
        return self._get(address).nonce

    def set_nonce(self, address: bytes, nonce: int) -> None:
        self._put(address, replace(self._get(address), nonce=nonce))

    def increment_nonce(self, address: bytes) -> None:
        self.set_nonce(address, self.get_nonce(address) + 1)

    def get_code_hash(self, address: bytes) -> bytes:
        return self._get(address).code_hash

    def get_code(self, address: bytes) -> bytes:
        code_hash = self._get(address).code_hash
        if code_hash == EMPTY_CODE_HASH:
            return b""
        if code_hash not in self._code:
            row = self._store.one("select code from evm_code where hash = ?", code_hash)
            assert row is not None, "code is written with the account that refers to it"
            self._code[code_hash] = row[0]
        return self._code[code_hash]

    def set_code(self, address: bytes, code: bytes) -> None:
        code_hash = keccak256(code)
        self._code[code_hash] = code
        self._put(address, replace(self._get(address), code_hash=code_hash))

    def delete_code(self, address: bytes) -> None:
        self._put(address, replace(self._get(address), code_hash=EMPTY_CODE_HASH))

    def account_has_code_or_nonce(self, address: bytes) -> bool:
        account = self._get(address)
        return account.nonce != 0 or account.code_hash != EMPTY_CODE_HASH

    def account_exists(self, address: bytes) -> bool:
        return self._get(address) != _ABSENT or self._store.by_address(address) is not None

    def account_is_empty(self, address: bytes) -> bool:
        """What costs extra gas to pay; an account that Hedera knows is not empty, even without a balance."""
        return self._get(address) == _ABSENT and self._store.by_address(address) is None

    def touch_account(self, address: bytes) -> None:
        """Nothing: touching only matters where empty accounts are swept away."""

    def delete_account(self, address: bytes) -> None:
        self.delete_storage(address)
        self._put(address, _ABSENT)

    # ------------------------------------------------------------ storage

    def get_storage(self, address: bytes, slot: int, from_journal: bool = True) -> int:
        key = (self._canon(address), slot)
        if from_journal and key in self._storage:
            return self._storage[key]
        if key not in self._loaded_storage:
            sql = "select value from evm_storage where address = ? and slot = ?"
            row = self._store.one(sql, key[0], slot.to_bytes(32, "big"))
            self._loaded_storage[key] = int.from_bytes(row[0], "big") if row else 0
        return self._loaded_storage[key]

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        self._change(self._storage, (self._canon(address), slot), value)

    def delete_storage(self, address: bytes) -> None:
        address = self._canon(address)
        slots = {slot for owner, slot in self._storage if owner == address}
        rows = self._store.all("select slot from evm_storage where address = ?", (address,))
        for slot in slots | {int.from_bytes(row[0], "big") for row in rows}:
            self._change(self._storage, (address, slot), 0)

    # ------------------------------------------------------------ access lists (EIP-2929)

    def is_storage_warm(self, address: bytes, slot: int) -> bool:
        return (address, slot) in self._warm

    def mark_storage_warm(self, address: bytes, slot: int) -> None:
        self._change(self._warm, (address, slot), True)

    def is_address_warm(self, address: bytes) -> bool:
        return address in self._warm

    def mark_address_warm(self, address: bytes) -> None:
        self._change(self._warm, address, True)

    # ------------------------------------------------------------ undo

    def record(self) -> int:
        """A checkpoint to go back to."""
        checkpoint = next(_checkpoints)
        self._marks[checkpoint] = len(self._undo)
        return checkpoint

    def discard(self, checkpoint: int) -> None:
        """Undo everything since the checkpoint."""
        mark = self._marks.pop(checkpoint)
        for where, key, before in reversed(self._undo[mark:]):
            if before is None:
                del where[key]
            else:
                where[key] = before
        del self._undo[mark:]

    def commit(self, checkpoint: int) -> None:
        """Keep what happened since the checkpoint; an earlier one can still undo it."""
        del self._marks[checkpoint]

    # ------------------------------------------------------------ asked for by the interface only

    @property
    def state_root(self) -> bytes:
        return _EMPTY_ROOT

    @state_root.setter
    def state_root(self, value: bytes) -> None:
        assert value == _EMPTY_ROOT, "there is no other root"

    def has_root(self, state_root: bytes) -> bool:
        return state_root == _EMPTY_ROOT

    def lock_changes(self) -> None:
        raise NotImplementedError("one overlay lives for one transaction")

    def make_state_root(self) -> bytes:
        raise NotImplementedError("Hedera publishes no Ethereum state root")

    def persist(self) -> None:
        raise NotImplementedError("flush() does that")

    # ------------------------------------------------------------ inside

    def _canon(self, address: bytes) -> bytes:
        """`0x00..num` of an account with an alias is that alias: one account has one balance."""
        if address[:12] != bytes(12):
            return address
        known = self._canonical.get(address)
        if known is None:
            entity = self._store.by_address(address)
            known = self._canonical[address] = (entity and entity.address) or address
        return known

    def _get(self, address: bytes) -> Account:
        address = self._canon(address)
        now = self._accounts.get(address) or self._loaded.get(address)
        if now is None:
            sql = "select balance, nonce, code_hash from evm_account where address = ?"
            row = self._store.one(sql, address)
            now = self._loaded[address] = Account(*row) if row else _ABSENT
        return now

    def _put(self, address: bytes, account: Account) -> None:
        self._get(address)
        self._change(self._accounts, self._canon(address), account)

    def _change(self, where: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((where, key, where.get(key)))
        where[key] = value
