"""A child process of the local stack: started, watched, ended; it never outlives us."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import trio

from shoal.errors import ProcessError
from shoal.settings import VARIABLES

STOP_S = 5.0
_POLL_S = 0.05
_PR_SET_PDEATHSIG = 1
_OURS = ("SHOAL_", "OPERATOR_", "NETWORK", "CONTRACT_ID", "BOOTSTRAP_ADDR")
"""Variables that would override the settings file that each child is given."""
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    """In the child: a demo that is killed with SIGKILL takes its processes with it (prctl(2), Linux)."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """One process. Its stdout is read line by line as JSON, its stderr goes to a log file.

    Args:
        essential: whether the stack is of no use without it.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path, *, essential: bool) -> None:
        assert process.stdout is not None, "opened with a pipe"
        self.name, self.log, self.essential = name, log, essential
        self._process = process
        self._stdout = trio.lowlevel.FdStream(os.dup(process.stdout.fileno()))
        process.stdout.close()
        self._buffer = b""
        self.stopping = False

    @classmethod
    def start(cls, name: str, arguments: Sequence[str], *, directory: Path, log: Path, essential: bool = True) -> Child:
        """Run `python -m <arguments>` in `directory` and in a session of its own, so that Ctrl-C reaches only us.

        Forked by the calling thread, which must be one that lives on: the kernel takes the death of that thread for
        the death of the parent, and trio's own `open_process` forks in a worker thread that soon ends.
        """
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(_OURS) and name not in VARIABLES
        }
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                cwd=directory,
                env=environment,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        return cls(name, process, log, essential=essential)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    async def wait(self) -> int:
        """Its exit status."""
        while (status := self._process.poll()) is None:  # noqa: ASYNC110 - nothing tells
            await trio.sleep(_POLL_S)
        return status

    async def line(self, *, timeout_s: float) -> dict[str, Any]:
        """The next JSON line on its stdout.

        Raises:
            ProcessError: SHOAL-P01, it ended or said nothing in time; with the end of its log.
        """
        with trio.move_on_after(timeout_s):
            while True:
                while b"\n" not in self._buffer:
                    data = await self._stdout.receive_some(65_536)
                    if not data:
                        await self.wait()
                        raise self.failure("ended")
                    self._buffer += data
                text, self._buffer = self._buffer.split(b"\n", 1)
                try:
                    value = json.loads(text)
                except ValueError:
                    continue
                if isinstance(value, dict):
                    return value
        raise self.failure(f"said nothing for {timeout_s:.0f} s")

    def failure(self, what: str) -> ProcessError:
        """An error that shows the end of the child's log."""
        status = self._process.poll()
        reason = "" if status is None else f" with status {status}"
        try:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])
        except OSError:
            tail = ""
        return ProcessError(
            f"{self.name} {what}{reason}\n{tail}".rstrip(),
            code="SHOAL-P01",
            hint=f"its whole log is {self.log}",
            money="on the local devnet no real money is involved",
        )

    async def watch(self, on_death: Callable[[Child], None]) -> None:
        """Call back when it dies by itself."""
        await self.wait()
        if not self.stopping:
            on_death(self)

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL to all of its session."""
        self.stopping = True
        with trio.CancelScope(shield=True):
            if self._process.poll() is None:
                self._process.terminate()
            with trio.move_on_after(STOP_S):
                await self.wait()
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                await self.wait()
            await self._stdout.aclose()
