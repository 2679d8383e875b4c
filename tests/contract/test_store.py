"""The `Store` port: what was put is there after `kill -9`, whoever else has the file open."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.adapters.store import VERSION, SqliteStore
from shoal.errors import ConfigError

WRITER = """
import sys
from pathlib import Path
from shoal.adapters.store import SqliteStore
with SqliteStore(Path(sys.argv[1])) as store:
    print("open", flush=True)
    for n in range(int(sys.argv[3])):
        store.put(sys.argv[2], f"{n:06}", n.to_bytes(4, "big") * 100)
        print(n, flush=True)
"""
text = st.text(max_size=20)
step = st.one_of(
    st.tuples(st.just("put"), text, text, st.binary(max_size=200)),
    st.tuples(st.just("delete"), text, text, st.just(b"")),
    st.tuples(st.just("reopen"), st.just(""), st.just(""), st.just(b"")),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.db"


def refused(path: Path, act: Callable[[SqliteStore], object] = lambda store: None) -> ConfigError:
    with pytest.raises(ConfigError) as caught, SqliteStore(path) as store:
        act(store)
    assert caught.value.hint
    assert str(path) in caught.value.message
    return caught.value


def writer(path: Path, table: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), table, str(count)], stdout=subprocess.PIPE, text=True
    )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(step, max_size=25))
def test_it_is_a_dictionary_that_lasts(path: Path, steps: list[tuple[str, str, str, bytes]]) -> None:
    for old in path.parent.iterdir():
        old.unlink()
    expected: dict[tuple[str, str], bytes] = {}
    store = SqliteStore(path).__enter__()
    try:
        for what, table, key, value in steps:
            if what == "put":
                store.put(table, key, value)
                expected[table, key] = value
            elif what == "delete":
                store.delete(table, key)
                expected.pop((table, key), None)
            else:
                store.close()
                store = SqliteStore(path).__enter__()
        for table, key in expected:
            assert store.get(table, key) == expected[table, key]
            assert dict(store.items(table)) == {k: v for (t, k), v in expected.items() if t == table}
        assert store.get("no", "such") is None or ("no", "such") in expected
    finally:
        store.close()


def test_items_come_in_order_and_tables_are_apart(path: Path) -> None:
    with SqliteStore(path) as store:
        for key in ("b", "a", "c"):
            store.put("one", key, key.encode())
        store.put("two", "a", b"other")
        assert store.items("one") == [("a", b"a"), ("b", b"b"), ("c", b"c")]
        assert store.items("none") == []
        store.delete("one", "a")
        assert store.get("two", "a") == b"other"


def test_only_the_owner_reads_it(path: Path) -> None:
    path.touch(mode=0o644)
    with SqliteStore(path) as store:
        store.put("t", "k", b"v")
        modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
    assert modes == {"node.db": 0o600, "node.db-wal": 0o600, "node.db-shm": 0o600}


def test_every_call_is_synced(path: Path) -> None:
    with SqliteStore(path) as store:
        assert store._connection is not None
        assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store._connection.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    for attempt in range(6):
        table = f"run-{attempt}"
        process = writer(path, table, 100_000)
        assert process.stdout is not None
        acknowledged = -1
        stop = random.randint(1, 60)
        assert process.stdout.readline() == "open\n"
        for line in process.stdout:
            acknowledged = int(line)
            if acknowledged >= stop:
                process.send_signal(signal.SIGKILL)
                break
        acknowledged = max([acknowledged, *(int(line) for line in process.stdout.read().split("\n")[:-1])])
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        with SqliteStore(path) as store:
            found = store.items(table)
        assert [key for key, _ in found[: acknowledged + 1]] == [f"{n:06}" for n in range(acknowledged + 1)]
        assert all(value == int(key).to_bytes(4, "big") * 100 for key, value in found)
        assert len(found) <= acknowledged + 2, "at most one was written and not yet told"


def test_processes_share_a_file(path: Path) -> None:
    """All are started on a file that is not there yet: making the table is a race as well."""
    processes = [writer(path, f"p{n}", 60) for n in range(3)]
    with SqliteStore(path) as store:
        for n in range(60):
            store.put("own", str(n), b"x")
        for process in processes:
            process.communicate(timeout=60)
            assert process.returncode == 0
        assert [len(store.items(table)) for table in ("own", "p0", "p1", "p2")] == [60] * 4


def test_threads_share_a_store(path: Path) -> None:
    with SqliteStore(path) as store:
        threads = [
            threading.Thread(target=lambda n=n: [store.put("t", f"{n}-{i}", b"x") for i in range(30)]) for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.items("t")) == 120


def test_a_writer_that_never_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.adapters.store._BUSY_S", 0.2)
    with SqliteStore(path) as store:
        store.put("t", "k", b"v")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert store.get("t", "k") == b"v", "readers do not wait"
        with pytest.raises(ConfigError) as caught:
            store.put("t", "k", b"w")
        assert caught.value.code == "SHOAL-C30"
        assert refused(path).code == "SHOAL-C30"
        other.execute("ROLLBACK")
        other.close()
        store.put("t", "k", b"w")


def test_a_damaged_file(path: Path) -> None:
    path.write_bytes(os.urandom(8_192))
    assert refused(path).code == "SHOAL-C31"
    path.unlink()
    with SqliteStore(path) as store:
        for n in range(2_000):
            store._run("INSERT INTO items VALUES (?, ?, ?)", "t", str(n), bytes(100))
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * 40_000)
    assert refused(path, lambda store: store.items("t")).code == "SHOAL-C31"


def test_another_programs_database_is_left_alone(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    before = path.read_bytes()
    assert refused(path).code == "SHOAL-C31"
    assert path.read_bytes() == before


def test_a_newer_format(path: Path) -> None:
    with SqliteStore(path) as store:
        assert store._connection is not None
        store._connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    assert refused(path).code == "SHOAL-C32"


def test_what_cannot_be_opened(path: Path) -> None:
    path.mkdir()
    assert refused(path).code == "SHOAL-C33"
    missing = path / "no" / "node.db"
    assert refused(missing).code == "SHOAL-C33"


def test_a_closed_store_is_a_mistake(path: Path) -> None:
    with SqliteStore(path) as store:
        pass
    with pytest.raises(ValueError, match="not open"):
        store.get("t", "k")
