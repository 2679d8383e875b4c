"""What a node must remember across `kill -9`: one SQLite table of (table, key, value), each call durable."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shoal.errors import ConfigError

VERSION = 1
"""Of the schema, in the file's `user_version`."""
_APPLICATION = 0x73686F6C
"""`shol`: tells our files from other programs'."""
_BUSY_S = 5.0
"""How long a call waits for another process that is writing: `shoal train` and `shoal get` share a directory."""
_PAUSE_S = 0.02
_SCHEMA = "CREATE TABLE items (tbl TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (tbl, key))"


class SqliteStore:
    """The `Store` port over a file; several processes and threads may use it at once.

    >>> with SqliteStore(Path("node.db")) as store:  # doctest: +SKIP
    ...     store.put("bids", "ab12", b"...")
    ...     store.get("bids", "ab12")
    b'...'

    Raises:
        ConfigError: SHOAL-C30, another process keeps it locked; C31, damaged or another program's; C32, of a newer
            version; C33, it cannot be read or written. Entering it and every call may raise these.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        with self._errors():
            # SQLite gives its -wal and -shm files the permissions of the database.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            self._path.chmod(0o600)
            self._connection = sqlite3.connect(
                self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._check(self._connection)
                self._prepare(self._connection)
            except BaseException:
                self.close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was put is on disk whether this is called or not."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def put(self, table: str, key: str, value: bytes) -> None:
        """Remember a value, in place of an earlier one; it is on disk when this returns."""
        self._run("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", table, key, value)

    def get(self, table: str, key: str) -> bytes | None:
        rows = self._run("SELECT value FROM items WHERE tbl = ? AND key = ?", table, key)
        return bytes(rows[0][0]) if rows else None

    def items(self, table: str) -> Sequence[tuple[str, bytes]]:
        """All of one table, ordered by key."""
        rows = self._run("SELECT key, value FROM items WHERE tbl = ? ORDER BY key", table)
        return [(key, bytes(value)) for key, value in rows]

    def delete(self, table: str, key: str) -> None:
        """Forget a value; it is no error when it is not there."""
        self._run("DELETE FROM items WHERE tbl = ? AND key = ?", table, key)

    # ------------------------------------------------------------

    def _run(self, statement: str, *values: str | bytes) -> list[Any]:
        with self._lock, self._errors():
            if self._connection is None:
                raise ValueError("the store is not open")
            return self._connection.execute(statement, values).fetchall()

    def _check(self, connection: sqlite3.Connection) -> None:
        """Refuse other files before anything is changed in them."""
        version, application, objects = _describe(connection)
        if application != _APPLICATION and (version or application or objects):
            raise self._unusable("it is another program's database")
        if version > VERSION:
            raise ConfigError(
                f"{self._path} has format {version}, this shoal knows {VERSION}",
                code="SHOAL-C32",
                hint="a newer shoal wrote it: update this one, or give it another directory",
            )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Looked at again under the lock: another process may have made the table in the meantime.
            if _describe(connection)[0] == 0:
                connection.execute(_SCHEMA)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            match getattr(error, "sqlite_errorcode", 0) & 0xFF:
                case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                    raise ConfigError(
                        f"another process keeps {self._path} locked",
                        code="SHOAL-C30",
                        hint="end the other shoal process that uses this directory, and try again",
                    ) from error
                case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR:
                    raise self._unusable(str(error)) from error
            raise self._unreachable(str(error)) from error
        except OSError as error:
            raise self._unreachable(str(error.strerror)) from error

    def _unusable(self, why: str) -> ConfigError:
        return ConfigError(
            f"{self._path} cannot be used: {why}",
            code="SHOAL-C31",
            hint="restore it from a backup, or move it away; running tasks are then found again on the ledger, but "
            "secrets of tasks that this node created are lost",
        )

    def _unreachable(self, why: str) -> ConfigError:
        return ConfigError(
            f"cannot read or write {self._path}: {why}",
            code="SHOAL-C33",
            hint="check that this user owns it, and that the disk is not full",
        )


def _describe(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """The format, the program that it belongs to, and how many tables there are."""
    version, application, objects = (
        connection.execute(statement).fetchone()[0]
        for statement in ("PRAGMA user_version", "PRAGMA application_id", "SELECT count(*) FROM sqlite_schema")
    )
    return version, application, objects


def _use_wal(connection: sqlite3.Connection) -> None:
    """Readers do not wait for writers. SQLite does not wait by itself when two processes ask for it at once."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_S)
