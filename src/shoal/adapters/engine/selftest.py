"""Tries what the walls must refuse, from inside, before a stranger's byte is read."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

_REFUSED = {errno.EPERM, errno.EACCES, errno.ENOSYS}
_HIDDEN = {*_REFUSED, errno.ENOENT, errno.EROFS}
"""What else a file may answer that a mount namespace keeps from sight."""
_PTRACE_PEEK = 2


def breaches(job_dir: Path, canary: Path, *, hidden: bool) -> list[str]:
    """Names of all that succeeded, or failed for another reason than a wall: empty when the walls stand.

    Args:
        canary: a file outside `job_dir` that exists; nothing beside it may be made either.
        hidden: whether files outside may not even be there to see.
    """
    files: dict[str, Callable[[], object]] = {
        "read a file outside": lambda: canary.read_bytes(),
        "write a file outside": lambda: _make(canary.with_name(f"{canary.name}.breach")),
        "write into the job": lambda: _make(job_dir / ".breach"),
    }
    calls: dict[str, Callable[[], object]] = {
        "TCP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
        "UDP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "Unix socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close(),
        # Without a wall this fails too, but otherwise: there is no such program.
        "run a program": lambda: os.execv("/nonexistent/program", ["program"]),  # noqa: S606
        "fork": _fork,
        "signal another process": lambda: os.kill(os.getppid(), 0),
        # Process 0 cannot be: the kernel would say so, a wall speaks first.
        "read another process": _peek,
    }
    found = [name for name, probe in files.items() if _succeeds(probe, _HIDDEN if hidden else _REFUSED)]
    return found + [name for name, probe in calls.items() if _succeeds(probe, _REFUSED)]


def _succeeds(probe: Callable[[], object], refusals: set[int]) -> bool:
    try:
        probe()
    except OSError as error:
        return error.errno not in refusals
    return True


def _make(path: Path) -> None:
    path.touch(exist_ok=False)
    path.unlink()


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _peek() -> None:
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.restype = ctypes.c_long
    ctypes.set_errno(0)
    ptrace(ctypes.c_long(_PTRACE_PEEK), ctypes.c_long(0), None, None)
    if ctypes.get_errno():
        raise OSError(ctypes.get_errno(), "ptrace")
