"""What code inside the walls tries and cannot do; each attempt succeeds without them, so that the tests can fail."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shoal.adapters.engine import SandboxedEngine, bubblewrap, landlock
from shoal.adapters.engine.files import JobFiles
from shoal.core.limits import MIB
from shoal.errors import EngineError

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64") or landlock.abi() < 1,
    reason="needs Linux with Landlock",
)

ATTEMPTS = {
    "connect by TCP": "socket.create_connection(('127.0.0.1', a.port), timeout=5)",
    "send by UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', a.port))",
    "listen": "socket.create_server(('127.0.0.1', 0))",
    "connect to a Unix socket": "socket.socket(socket.AF_UNIX).connect(a.socket)",
    "make a pair of sockets": "socket.socketpair()",
    "read a secret": "open(a.secret).read()",
    "list a directory": "os.listdir(a.outside)",
    "write to a file": "open(a.secret, 'a').write('x')",
    "empty a file by opening it to read": "os.open(a.library, os.O_RDONLY | os.O_TRUNC)",
    "empty a file by name": "os.truncate(a.secret, 0)",
    "make a file": "open(os.path.join(a.outside, 'new'), 'w')",
    "remove a file": "os.unlink(a.secret)",
    "move a file away": "os.rename(a.secret, os.path.join(a.scratch, 'mine'))",
    "move a file out": "os.rename(a.own, os.path.join(a.outside, 'yours'))",
    "change a file's mode": "os.chmod(a.secret, 0o666)",
    "change a file's times": "os.utime(a.secret, (1, 1))",
    "change its parent's input": "open(a.graph, 'a').write('x')",
    "make a file beside its parent's": "open(os.path.join(a.job, 'new'), 'w')",
    "lay a link for its parent": "os.symlink(a.secret, os.path.join(a.scratch, 'link'))",
    "lay a hard link for its parent": "os.link(a.own, os.path.join(a.scratch, 'link'))",
    "lay a pipe for its parent": "os.mkfifo(os.path.join(a.scratch, 'pipe'))",
    "read its parent's environment": "open(f'/proc/{os.getppid()}/environ').read()",
    "list processes": "os.listdir('/proc')",
    "run a program": "os.execv('/bin/sh', ['sh', '-c', 'exit 77'])",
    "spawn a program": "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)",
    "fork": "os.fork() or os._exit(0)",
    "find its parent by a signal": "os.kill(os.getppid(), 0)",
    "kill another process": "os.kill(a.victim, signal.SIGTERM)",
    "have its parent get signals": "fcntl.fcntl(0, F_SETOWN, os.getppid())",
    "slow another process down": "os.setpriority(os.PRIO_PROCESS, a.victim, 19)",
    "move another process to other cores": "os.sched_setaffinity(a.victim, os.sched_getaffinity(0))",
    "lower another process's limits": "resource.prlimit(a.victim, resource.RLIMIT_CORE, (0, 0))",
    "trace": "libc('ptrace', 0, 0, 0, 0)",
    "read memory of a process": "libc('process_vm_readv', os.getpid(), vector, 1, vector, 1, 0)",
    "make a namespace": "libc('unshare', 0)",
    "make a file without a name": "os.memfd_create('x')",
    "take all memory": "bytearray(a.bomb_bytes)",
    "lift the memory limit": "resource.setrlimit(resource.RLIMIT_AS, (2**50, 2**50)) or bytearray(a.bomb_bytes)",
    "lift the limit of file sizes": "resource.setrlimit(resource.RLIMIT_FSIZE, (2**50, 2**50))",
    "write from a thread": "in_a_thread(lambda: open(os.path.join(a.outside, 'new'), 'w'))",
}

OFTEN_REFUSED = ("trace", "read memory of a process", "make a namespace")
"""By containers to all they hold."""

INSIDE = """
import ctypes, fcntl, json, os, resource, signal, socket, sys, types
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from shoal.adapters.engine import walls
F_SETOWN = fcntl.F_SETOWN
a = types.SimpleNamespace(**json.loads(sys.argv[1]))
if a.walled:
    walls.lower_limits()
    names = walls.put_up(Path(a.job), Path(a.scratch))
    walls.set_memory(walls.limit_memory(64 << 20, threads=1), for_ever=True)
    assert names[0].startswith("landlock abi ") and names[1] == "seccomp", names
pool = ThreadPoolExecutor()
def in_a_thread(work):
    return pool.submit(work).result()
def libc(name, *arguments):
    ctypes.set_errno(0)
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
text = ctypes.create_string_buffer(8)
vector = (ctypes.c_size_t * 2)(ctypes.addressof(text), 8)
in_a_thread(lambda: Path(a.scratch, "allowed").write_text("x"))
try:
    eval(a.attempt)
except (OSError, MemoryError, ValueError) as error:
    if isinstance(error, ValueError) and "limit" not in str(error):
        raise
    print("refused", getattr(error, "errno", None))
else:
    print("done")
"""


@dataclass(frozen=True)
class Scene:
    """A node's directory with a secret, a job in it, and a neighbour."""

    arguments: dict[str, object]

    def attempt(self, code: str, *, walled: bool) -> subprocess.CompletedProcess[str]:
        arguments = json.dumps({**self.arguments, "attempt": code, "walled": walled})
        command = [sys.executable, "-B", "-c", INSIDE, arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    job, scratch, outside = tmp_path / "job", tmp_path / "job" / "scratch", tmp_path / "outside"
    for directory in (job, scratch, outside):
        directory.mkdir()
    secret, graph, own = outside / "operator.key", job / "graph.json", scratch / "own"
    for file in (secret, graph, own):
        file.write_text("content")
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]) as victim,
    ):
        unix.bind(str(tmp_path / "s"))
        unix.listen()
        yield Scene(
            {
                "job": str(job),
                "scratch": str(scratch),
                "outside": str(outside),
                "secret": str(secret),
                "library": str(secret),
                "graph": str(graph),
                "own": str(own),
                "socket": str(tmp_path / "s"),
                "port": tcp.getsockname()[1],
                "victim": victim.pid,
                "bomb_bytes": 1024 * MIB,
            }
        )
        victim.kill()


@pytest.mark.parametrize("what", ATTEMPTS)
def test_attempts_are_refused(what, scene):
    done = scene.attempt(ATTEMPTS[what], walled=True)
    assert done.stdout.startswith("refused"), done.stdout + done.stderr


@pytest.mark.parametrize("what", ATTEMPTS)
def test_the_same_attempts_succeed_without_walls(what, scene):
    done = scene.attempt(ATTEMPTS[what], walled=False)
    if what in OFTEN_REFUSED and done.stdout.startswith("refused"):
        pytest.skip("there is a wall around these tests already")
    assert done.stdout == "done\n" or done.returncode == 77, done.stdout + done.stderr


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x32 is a part of x86-64")
def test_calls_under_other_numbers_kill(scene):
    getpid_of_x32 = "libc('syscall', ctypes.c_long(0x40000000 + 39))"
    assert scene.attempt(getpid_of_x32, walled=True).returncode == -signal.SIGSYS
    assert scene.attempt(getpid_of_x32, walled=False).returncode == 0


def test_a_file_that_may_be_read_cannot_be_emptied(scene):
    """Before its third version Landlock alone would allow it."""
    scene.arguments["library"] = scene.arguments["graph"]
    code = ATTEMPTS["empty a file by opening it to read"]
    assert scene.attempt(code, walled=True).stdout.startswith("refused")
    assert scene.attempt(code, walled=False).stdout == "done\n"


# ---------------------------------------------------------------- the self-test

SELFTEST = """
import json, sys
from pathlib import Path
from shoal.adapters.engine import landlock, selftest, walls
job, canary, abi = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
if abi >= 0:
    landlock.abi = lambda: abi
    walls.put_up(job, job)
print(json.dumps(selftest.breaches(job, canary, hidden=False)))
"""
FILES = ["read a file outside", "write a file outside", "write into the job"]


def breaches(tmp_path: Path, abi: int) -> list[str]:
    """What the self-test finds behind Landlock of a version; -1 for no walls at all, 0 for seccomp alone."""
    job, canary = tmp_path / "job", tmp_path / "canary"
    job.mkdir()
    canary.touch()
    command = [sys.executable, "-B", "-c", SELFTEST, job, canary, str(abi)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert sorted(tmp_path.iterdir()) == [canary, job]
    return list(found)


def test_the_self_test_finds_everything_where_there_are_no_walls(tmp_path):
    calls = ["TCP socket", "UDP socket", "Unix socket", "run a program", "fork", "signal another process"]
    assert breaches(tmp_path, -1) == [*FILES, *calls, "read another process"]


def test_seccomp_alone_does_not_pass_it(tmp_path):
    assert breaches(tmp_path, 0) == FILES


@pytest.mark.parametrize("abi", range(1, 8))
def test_every_version_of_landlock_passes_it(tmp_path, abi):
    if abi > landlock.abi():
        pytest.skip(f"this kernel has version {landlock.abi()}")
    # Here the job's directory is the scratch directory too.
    assert breaches(tmp_path, abi) == ["write into the job"]


# ---------------------------------------------------------------- an engine fails closed

LESS = """
from shoal.adapters.engine import child, landlock, seccomp, walls
{patch}
child.main()
"""
NO_LANDLOCK, NO_SECCOMP = "landlock.abi = lambda: 0", "seccomp.confine = lambda: False"
NO_WALLS = "walls.put_up = lambda job, scratch: ['landlock']"


def with_less(job: Path, patch: str):
    command = [sys.executable, "-B", "-c", LESS.format(patch=patch)]
    return SandboxedEngine.open(job, memory_limit_bytes=MIB, threads=1, walls="auto", command=command)


@pytest.mark.parametrize(
    ("patch", "breach"),
    [(NO_LANDLOCK, "read a file outside"), (NO_SECCOMP, "UDP socket"), (NO_WALLS, "fork")],
)
async def test_an_engine_does_not_run_with_a_wall_missing(tmp_path, monkeypatch, patch, breach):
    monkeypatch.setattr(bubblewrap, "prefix", tuple)
    async with with_less(tmp_path / "job", patch) as engine:
        with pytest.raises(EngineError) as caught:
            await engine.ready()
    assert caught.value.code == "SHOAL-E06"
    assert breach in caught.value.message and "allow_unsandboxed" in caught.value.hint


async def test_bubblewrap_stands_in_for_landlock_but_not_for_seccomp(tmp_path):
    if not bubblewrap.prefix():
        pytest.skip("bubblewrap does not work here")
    async with with_less(tmp_path / "one", NO_LANDLOCK) as engine:
        assert await engine.ready() == "bubblewrap + seccomp"
    async with with_less(tmp_path / "two", NO_SECCOMP) as engine:
        with pytest.raises(EngineError, match="TCP socket") as caught:
            await engine.ready()
    assert caught.value.code == "SHOAL-E06"


def test_bubblewrap_hides_files_processes_and_the_network(tmp_path):
    if not bubblewrap.prefix():
        pytest.skip("bubblewrap does not work here")
    files = JobFiles(tmp_path / "job")
    files.prepare()
    code = """
import json, os, socket
def can(work):
    try: work()
    except OSError: return False
    return True
print(json.dumps([os.path.exists(CANARY), os.path.exists("/root"), os.path.exists("/home"),
    sorted(os.listdir("/sys/class/net")) if os.path.exists("/sys/class/net") else [],
    can(lambda: open("/new", "w")), can(lambda: open("/usr/new", "w")), can(lambda: open(os.path.join(JOB, "x"), "w")),
    can(lambda: open("own", "w")), can(lambda: socket.create_connection(("127.0.0.1", PORT), timeout=5)),
    len([name for name in os.listdir("/proc") if name.isdigit()])]))
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        for name, value in {"CANARY": files.canary, "JOB": files.job_dir, "PORT": server.getsockname()[1]}.items():
            code = code.replace(name, repr(str(value)) if isinstance(value, Path) else str(value))
        command = [*bubblewrap.wrap(bubblewrap.prefix(), files), sys.executable, "-I", "-S", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={})
    canary, root, home, interfaces, *writes, connected, processes = json.loads(done.stdout)
    # Python itself may be installed in somebody's home.
    assert not canary and not home and (not root or sys.base_prefix.startswith("/root"))
    assert not interfaces and not connected and processes <= 2
    assert writes == [False, False, False, True]


async def test_no_secret_of_the_parent_travels_to_the_child(tmp_path, monkeypatch):
    monkeypatch.setenv("OPERATOR_KEY", "hunter2")
    read = "import os, sys; sys.stderr.write(repr(sorted(os.environ)) + repr(os.listdir('/proc/self/fd'))); sys.exit(3)"
    command = [sys.executable, "-c", read]
    async with SandboxedEngine.open(
        tmp_path / "job", memory_limit_bytes=MIB, threads=1, walls="none", command=command
    ) as engine:
        with pytest.raises(EngineError) as caught:
            await engine.ready()
    assert "OMP_NUM_THREADS" in caught.value.message and "OPERATOR" not in caught.value.message
    assert "['0', '1', '2', '3']" in caught.value.message, "the fourth is the listing itself"
    assert os.environ["OPERATOR_KEY"] not in caught.value.message
