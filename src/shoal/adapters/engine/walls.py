"""Puts the walls around this process, before it has threads and before it reads a stranger's byte.

Landlock holds back files, seccomp everything else; neither needs rights or namespaces. Limits bound what is left:
memory, files, open handles. Not bounded: the number of threads (by memory only), and bytes written to the job's scratch
directory in all.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from shoal.adapters.engine import places
from shoal.core import limits

_OPEN_FILES = 1024
_NICE = 5
_HEADROOM_BYTES = 256 * limits.MIB
_THREAD_BYTES = 80 * limits.MIB
"""Address space of a thread: its stack and its part of the allocator."""


def put_up(job_dir: Path, scratch: Path) -> list[str]:
    """Confine this process for ever; returns the names of the walls that stand.

    Raises OSError when the kernel has a wall and refuses it.
    """
    if sys.platform != "linux":
        return []
    from shoal.adapters.engine import kernel, landlock, seccomp

    # Landlock confines the calling thread and what that starts: an earlier thread would stay free.
    assert threading.active_count() == 1, "walls come before threads"
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.drop_capabilities()
    names: list[str] = []
    read: Iterable[Path] = [*places.readable(), places.own_process(), job_dir]
    if version := landlock.restrict(read, [scratch, Path(os.devnull)]):
        names.append(f"landlock abi {version}")
    if seccomp.confine():
        names.append("seccomp")
    return names


def die_with(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends."""
    if sys.platform == "linux":
        from shoal.adapters.engine import kernel

        kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
        if os.getppid() != parent_pid:  # it ended before we asked
            os._exit(0)


def lower_limits() -> None:
    """Everything but memory; see `limit_memory`."""
    os.umask(0o077)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _lower(resource.RLIMIT_FSIZE, limits.WEIGHTS_BYTES + limits.MIB)
    with suppress(OSError):
        os.nice(_NICE)
    # Should the machine run out of memory, this process goes first and the node stays.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def limit_memory(more_bytes: int, *, threads: int) -> int:
    """Let this process map `more_bytes` beyond what it has; returns the limit. Only Linux holds a process to it."""
    if sys.platform != "linux":
        return 0
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _HEADROOM_BYTES + _THREAD_BYTES * threads + more_bytes
    set_memory(limit)
    return limit


def set_memory(limit_bytes: int, *, for_ever: bool = False) -> None:
    """Move the limit, as far as an earlier one `for_ever` lets it."""
    if sys.platform == "linux":
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit_bytes = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes if for_ever else hard))


def _lower(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))
