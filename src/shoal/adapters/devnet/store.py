"""The ledger's one SQLite file: schema, exclusive lock, entities, transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hiero_sdk_python.hapi.services import basic_types_pb2 as basic

from shoal.errors import ProcessError

FIRST_NUM = 1001
_VERSION = 3
_SCHEMA = """
create table if not exists meta(key text primary key, value) without rowid;
create table if not exists entity(
  num integer primary key, kind text not null, address blob unique, alias blob unique,
  key blob not null, memo text not null,
  created_ns integer not null, updated_ns integer not null, deleted integer not null default 0,
  receiver_signs integer not null default 0, auto_renew_s integer not null default 7776000);
create table if not exists evm_account(
  address blob primary key, balance integer not null, nonce integer not null, code_hash blob not null) without rowid;
create table if not exists evm_code(hash blob primary key, code blob not null);
create table if not exists evm_storage(
  address blob, slot blob, value blob not null, primary key(address, slot)) without rowid;
create table if not exists topic(
  num integer primary key, submit_key blob not null, sequence integer not null, running_hash blob not null,
  auto_renew_account integer);
create table if not exists message(
  topic integer, sequence integer, time_ns integer not null, payer integer not null, data blob not null,
  running_hash blob not null, chunk blob, primary key(topic, sequence)) without rowid;
create index if not exists message_time on message(topic, time_ns);
create index if not exists message_at on message(time_ns);
create table if not exists contract(num integer primary key, initcode blob not null);
create table if not exists file(num integer primary key, contents blob not null);
create table if not exists tx(
  time_ns integer primary key, id text not null, nonce integer not null, kind text not null, payer integer not null,
  status integer not null, hash blob not null, record blob not null, entity integer, max_fee integer not null,
  valid_s integer not null, gas_used integer not null, running_hash blob not null, unique(id, nonce));
create index if not exists tx_hash on tx(substr(hash, 1, 32));
create index if not exists tx_contract on tx(entity, time_ns) where kind in ('contractCall', 'contractCreateInstance');
create table if not exists tx_account(
  account integer, time_ns integer, amount integer not null, primary key(account, time_ns)) without rowid;
create table if not exists log(
  time_ns integer, idx integer, contract integer not null, address blob not null, bloom blob not null,
  topic0 blob, topic1 blob, topic2 blob, topic3 blob, data blob not null, primary key(time_ns, idx)) without rowid;
create index if not exists log_contract on log(contract, time_ns, idx);
"""


@dataclass(frozen=True, slots=True)
class Entity:
    """One account, contract, topic or file, `0.0.num`. `key` is a serialized proto.Key; the admin key of a topic."""

    num: int
    kind: str
    address: bytes | None
    alias: bytes | None
    key: bytes
    memo: str
    created_ns: int
    updated_ns: int
    deleted: bool
    receiver_signs: bool
    auto_renew_s: int

    @property
    def key_tree(self) -> Any:
        return basic.Key.FromString(self.key)

    @property
    def evm_address(self) -> bytes:
        """The alias, or `0x00..num`, as the EVM sees it; accounts and contracts only."""
        assert self.address is not None, "topics and files have none"
        return self.address


def long_zero(num: int) -> bytes:
    """The EVM address of an entity without alias."""
    return num.to_bytes(20, "big")


class Store:
    """The open file. One process at a time: the lock is SQLite's own and ends with the process, however it ends.

    Raises:
        ProcessError: SHOAL-P03, another devnet has this directory open; SHOAL-P04, it cannot be read.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.db = sqlite3.connect(directory / "ledger.sqlite", isolation_level=None, timeout=0)
        except (OSError, sqlite3.Error) as error:
            raise cannot_open(directory, str(error)) from error
        try:
            self._prepare(directory)
        except sqlite3.Error as error:
            self.db.close()
            if "locked" in str(error):
                raise _in_use(directory) from error
            raise cannot_open(directory, str(error)) from error
        except ProcessError:
            self.db.close()
            raise

    def _prepare(self, directory: Path) -> None:
        self.db.execute("pragma locking_mode = exclusive")
        self.db.execute("pragma journal_mode = wal")
        self.db.execute("pragma synchronous = normal")
        self.db.execute("begin immediate")
        self.db.execute("commit")
        version = self.db.execute("pragma user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise cannot_open(directory, f"it has format {version}, this shoal knows {_VERSION}")
        self.db.executescript(_SCHEMA)
        self.db.execute(f"pragma user_version = {_VERSION}")

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; committed when the block ends."""
        self.db.execute("begin immediate")
        try:
            yield
            self.db.execute("commit")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("rollback")
            raise

    def one(self, sql: str, *values: Any) -> Any | None:
        """The first row, or None."""
        return self.db.execute(sql, values).fetchone()

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return self.db.execute(sql, values).fetchall()

    def run(self, sql: str, *values: Any) -> None:
        self.db.execute(sql, values)

    def meta(self, key: str) -> Any | None:
        row = self.one("select value from meta where key = ?", key)
        return row[0] if row else None

    def set_meta(self, key: str, value: Any) -> None:
        self.run("insert or replace into meta values(?, ?)", key, value)

    def entity(self, num: int, *kinds: str) -> Entity | None:
        """The entity with this number, if it is of one of these kinds (of any, when none is given)."""
        if not 0 < num < 2**63:
            return None
        row = self.one("select * from entity where num = ?", num)
        return _entity(row) if row and (not kinds or row[1] in kinds) else None

    def by_address(self, address: bytes) -> Entity | None:
        """The account or contract behind an EVM address, its alias or `0x00..num`."""
        row = self.one("select * from entity where address = ?", address)
        if row:
            return _entity(row)
        if address[:12] == bytes(12):
            return self.entity(int.from_bytes(address, "big"), "account", "contract")
        return None

    def by_alias(self, alias: bytes) -> Entity | None:
        row = self.one("select * from entity where alias = ?", alias)
        return _entity(row) if row else None

    def new_num(self) -> int:
        num: int = self.meta("next_num") or FIRST_NUM
        self.set_meta("next_num", num + 1)
        return num

    def add_entity(
        self,
        kind: str,
        key: bytes,
        *,
        now_ns: int,
        num: int | None = None,
        address: bytes | None = None,
        alias: bytes | None = None,
        memo: str = "",
        receiver_signs: bool = False,
        auto_renew_s: int = 7_776_000,
    ) -> int:
        """Insert an entity; accounts and contracts without an address get `0x00..num`."""
        num = num or self.new_num()
        if address is None and kind in ("account", "contract"):
            address = long_zero(num)
        values = (num, kind, address, alias, key, memo, now_ns, now_ns, 0, int(receiver_signs), auto_renew_s)
        self.db.execute("insert into entity values(?,?,?,?,?,?,?,?,?,?,?)", values)
        return num

    def update_entity(self, num: int, now_ns: int, **columns: Any) -> None:
        """Set columns of an entity (names are ours, never a user's)."""
        columns["updated_ns"] = now_ns
        names = ", ".join(f"{name} = ?" for name in columns)
        self.db.execute(f"update entity set {names} where num = ?", (*columns.values(), num))  # noqa: S608

    def balance(self, address: bytes) -> int:
        row = self.one("select balance from evm_account where address = ?", address)
        return row[0] if row else 0

    def record(self, transaction_id: str, nonce: int = 0) -> bytes | None:
        """The serialized TransactionRecord of a transaction `0.0.x-seconds-nanos`, or of one of its children."""
        row = self.one("select record from tx where id = ? and nonce = ?", transaction_id, nonce)
        return row[0] if row else None

    def child_records(self, transaction_id: str) -> list[bytes]:
        """Those of what a transaction caused, in their order."""
        sql = "select record from tx where id = ? and nonce > 0 order by nonce"
        return [row[0] for row in self.all(sql, (transaction_id,))]


def _entity(row: Sequence[Any]) -> Entity:
    values: list[Any] = [*row[:8], bool(row[8]), bool(row[9]), row[10]]
    return Entity(*values)


def _in_use(directory: Path) -> ProcessError:
    hint = "stop it, or choose another --dir"
    return ProcessError(f"another devnet is running in {directory}", code="SHOAL-P03", hint=hint)


def cannot_open(directory: Path, why: str) -> ProcessError:
    """SHOAL-P04: the file is there, and this shoal cannot go on with it."""
    hint = "choose another --dir; a devnet's ledger can be deleted, it holds play money only"
    return ProcessError(f"cannot open the ledger in {directory}: {why}", code="SHOAL-P04", hint=hint)
