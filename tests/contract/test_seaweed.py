"""The embedded S3 server: closed to everyone but its owner, started again when it dies, and never left behind."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import trio

from shoal.adapters.s3 import S3Blobs
from shoal.adapters.seaweed import Layout
from shoal.adapters.seaweed.logfile import LogFile
from shoal.adapters.transfer import HttpTransfer
from shoal.errors import ConfigError, ProcessError

from .conftest import running_store

GRPC = 10_000


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Any]:
    """A store for a test that is rough with it."""
    with running_store(tmp_path / "s3") as running:
        yield running


@pytest.fixture
async def filled(own: Any, transfer: HttpTransfer, tmp_path: Path) -> AsyncIterator[S3Blobs]:
    """Its bucket, holding one object of 3 MB."""
    blobs = own.blobs(transfer)
    await blobs.ensure_bucket()
    (tmp_path / "object").write_bytes(os.urandom(3_000_000))
    await blobs.put("object", tmp_path / "object")
    yield blobs


def weed_of(store: Any) -> psutil.Process:
    (child,) = psutil.Process(store.process.pid).children()
    return child


def port_of(store: Any) -> int:
    return int(store.endpoint.rpartition(":")[2])


def until(condition: Callable[[], object], *, timeout_s: float = 20) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout_s
        time.sleep(0.02)
    return time.monotonic() - started


def occupied(port: int) -> socket.socket:
    """Listen on a port that its last owner, just killed, may not have given back yet."""
    for attempt in range(100):
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError:
            if attempt == 99:
                raise
            time.sleep(0.1)
    raise AssertionError("unreachable")


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def sockets_of(store: Any) -> list[Path]:
    base = port_of(store) + GRPC
    return [path for port in range(base, base + 5) for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]


async def still_there(blobs: S3Blobs, transfer: HttpTransfer, tmp_path: Path) -> None:
    url = blobs.presign_get("object", expires_s=600)
    with trio.fail_after(30):
        await transfer.download(url, tmp_path / "back", sha256=None, max_bytes=3_000_000, timeout_s=20)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "object").read_bytes()


# ---------------------------------------------------------------- hardening


def test_everything_listens_on_loopback(store: Any) -> None:
    listening = [c.laddr for c in weed_of(store).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    base = port_of(store)
    expected = {*range(base, base + 5), *range(base + GRPC, base + GRPC + 5)}
    assert {address.port for address in listening} <= expected
    assert psutil.Process(store.process.pid).net_connections("tcp") == []


def test_it_talks_to_nobody(store: Any) -> None:
    """No telemetry, no update check."""
    peers = {c.raddr.ip for c in weed_of(store).net_connections("inet") if c.raddr}
    assert peers <= {"127.0.0.1"}


def test_nobody_reads_or_writes_without_a_key(store: Any) -> None:
    """On no port, by no way that weed has; only the master's status page is shown."""
    base = port_of(store)
    paths = [
        "/buckets/",
        "/buckets/shoal-ready/ready",
        "/shoal-ready/ready",
        "/dir/assign",
        "/dir/status",
        "/1,01",
        "/",
    ]
    open_ways = set()
    with httpx.Client(trust_env=False, verify=False) as client:
        for port in range(base, base + 5):
            for method, path in itertools.product(("GET", "PUT", "POST", "DELETE"), paths):
                try:
                    answer = client.request(method, f"http://127.0.0.1:{port}{path}", content=b"x")
                except httpx.ConnectError:
                    continue
                if answer.status_code not in (400, 401, 403, 404, 405):
                    open_ways.add((port - base, path))
                assert answer.content != b"ready"
    assert open_ways <= {(1, "/")}


def test_files_are_the_owners(store: Any) -> None:
    assert store.directory.stat().st_mode & 0o777 == 0o700
    for name in ("credentials.json", "weed.log"):
        assert (store.directory / name).stat().st_mode & 0o777 == 0o600


def test_logs_and_command_lines_hold_no_keys(store: Any) -> None:
    errors = (store.directory.parent / f"{store.directory.name}.err").read_text()
    for text in ((store.directory / "weed.log").read_text(), errors, " ".join(weed_of(store).cmdline())):
        assert store.access_key not in text
        assert store.secret_key not in text


def test_it_needs_little(store: Any) -> None:
    sizes = [path.stat().st_size for path in store.directory.rglob("*") if path.is_file()]
    assert sum(sizes) < 200_000_000, "what the other tests put, and no preallocated volumes"
    assert weed_of(store).memory_info().rss < 600_000_000


# ---------------------------------------------------------------- life


async def test_a_crash_loses_nothing(own: Any, filled: S3Blobs, transfer: HttpTransfer, tmp_path: Path) -> None:
    first = weed_of(own)
    for _ in range(2):
        weed_of(own).kill()
        await still_there(filled, transfer, tmp_path)
        (tmp_path / "new").write_bytes(b"x")
        await filled.put("new", tmp_path / "new")
    assert weed_of(own).pid != first.pid
    assert "starting it again" in (tmp_path / "s3.err").read_text()


async def test_it_starts_again_where_it_was(own: Any, filled: S3Blobs, transfer: HttpTransfer, tmp_path: Path) -> None:
    own.process.terminate()
    assert own.process.wait(5) == 0
    with running_store(own.directory) as again:
        assert (again.endpoint, again.access_key) == (own.endpoint, own.access_key)
        await still_there(filled, transfer, tmp_path)


async def test_it_starts_elsewhere_with_other_keys(
    own: Any, filled: S3Blobs, transfer: HttpTransfer, tmp_path: Path
) -> None:
    weed = weed_of(own)
    own.process.kill()
    own.process.wait()
    until(lambda: is_gone(weed.pid))
    (own.directory / "credentials.json").unlink()
    with occupied(port_of(own) + 2):
        with running_store(own.directory) as again:
            assert again.endpoint != own.endpoint
            assert again.secret_key != own.secret_key
            await still_there(again.blobs(transfer), transfer, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told(own: Any, number: signal.Signals) -> None:
    weed = weed_of(own)
    assert sockets_of(own)
    own.process.send_signal(number)
    assert own.process.wait(5) == 0
    assert is_gone(weed.pid)
    assert sockets_of(own) == []


def test_it_ends_within_its_time_even_when_weed_hangs(own: Any) -> None:
    weed = weed_of(own)
    weed.suspend()
    own.process.terminate()
    assert own.process.wait(5) == 0
    assert is_gone(weed.pid)


def test_weed_does_not_outlive_a_killed_supervisor(own: Any) -> None:
    weed = weed_of(own)
    own.process.kill()
    assert until(lambda: is_gone(weed.pid)) < 3


def test_it_does_not_outlive_its_parent(tmp_path: Path) -> None:
    script = "import subprocess, sys; subprocess.Popen(sys.argv[1:]).wait()"
    command = [sys.executable, "-m", "shoal.adapters.seaweed", "--dir", str(tmp_path / "s3"), "--json"]
    parent = subprocess.Popen([sys.executable, "-c", script, *command], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        assert json.loads(parent.stdout.readline())
        family = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
        assert len(family) == 2
        parent.kill()
        parent.wait()
        until(lambda: all(is_gone(pid) for pid in family))


# ---------------------------------------------------------------- refusals


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shoal.adapters.seaweed", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_one_directory_one_store(store: Any) -> None:
    done = run("--dir", str(store.directory))
    assert done.returncode == ProcessError.exit_status
    assert "SHOAL-P03" in done.stderr
    assert done.stdout == ""


def test_ports_in_use(store: Any, tmp_path: Path) -> None:
    done = run("--dir", str(tmp_path / "s3"), "--port-base", str(port_of(store)))
    assert done.returncode == ProcessError.exit_status
    assert "SHOAL-P02" in done.stderr


def test_ports_that_are_wanted(tmp_path: Path) -> None:
    base = Layout.open(tmp_path / "other").choose_base(0)
    with running_store(tmp_path / "s3", "--port-base", str(base)) as running:
        assert port_of(running) == base


def test_damaged_credentials(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text("{")
    with pytest.raises(ConfigError) as caught:
        Layout.open(tmp_path)
    assert caught.value.code == "SHOAL-C24"


def test_a_weed_that_does_not_come_up(tmp_path: Path) -> None:
    (tmp_path / "s3").mkdir()
    (tmp_path / "s3" / "filerldb2").write_text("not a directory")
    done = run("--dir", str(tmp_path / "s3"))
    assert done.returncode == ProcessError.exit_status
    assert "SHOAL-P05" in done.stderr


# ---------------------------------------------------------------- its log


def test_a_log_stays_small_and_holds_no_secrets(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "weed.log", [b"s3cret"])
    log.write(b"key s3c")
    log.write(b"ret here\nnext")
    log.flush()
    assert (tmp_path / "weed.log").read_text() == "key *** here\nnext\n"
    for _ in range(300):
        log.write(b"x" * 49_999 + b"\n")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 9 * 1024 * 1024
    assert sorted(path.name for path in tmp_path.iterdir()) == ["weed.log", "weed.log.1"]
