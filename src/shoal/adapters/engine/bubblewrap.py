"""bubblewrap: namespaces around the child, as one more wall where they can be had; nothing depends on it.

The child sees only what is bound here: no other process, no network, and the files that Landlock too would let it read.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from shoal.adapters.engine import places
from shoal.adapters.engine.files import JobFiles

_PROBE_TIMEOUT_S = 10.0
_NAMESPACES = ("--unshare-all", "--unshare-user", "--die-with-parent", "--cap-drop", "ALL")
_NO_MORE = "--disable-userns"
"""Since version 0.8; seccomp refuses new namespaces as well."""


@cache
def prefix() -> tuple[str, ...]:
    """The beginning of a command that works here; empty where bubblewrap is missing or may not make namespaces.

    Starts a process: call it in a thread. Found out once, then remembered.
    """
    program = shutil.which("bwrap") if sys.platform == "linux" else None
    if program is None:
        return ()
    for flags in ((*_NAMESPACES, _NO_MORE), _NAMESPACES):
        start = (program, *flags, *_base())
        try:
            command = [*start, "--remount-ro", "/", "--", sys.executable, "-I", "-S", "-c", "pass"]
            done = subprocess.run(command, capture_output=True, timeout=_PROBE_TIMEOUT_S, env={}, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return start
    return ()


def wrap(start: tuple[str, ...], files: JobFiles) -> list[str]:
    """What to put before the child's command."""
    job, scratch = str(files.job_dir), str(files.scratch)
    own = ["--ro-bind", job, job, "--bind", scratch, scratch, "--chdir", scratch, "--remount-ro", "/", "--"]
    return [*start, *own]


def _base() -> list[str]:
    command = ["--proc", "/proc", "--dev", "/dev"]
    for path in _outermost([*places.readable(), *places.start_up()]):
        if path.parts[1] not in ("proc", "dev"):
            command += ["--ro-bind-try", str(path), str(path)]
    return command


def _outermost(paths: list[Path]) -> list[Path]:
    """Without what lies in another: a bind within a read-only bind could not make its mount point."""
    kept: list[Path] = []
    for path in sorted(set(paths), key=lambda path: len(path.parts)):
        if not any(path.is_relative_to(other) for other in kept):
            kept.append(path)
    return kept
