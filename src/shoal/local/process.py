"""A child process of the local stack: started, watched, ended; it never outlives us."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import trio

from shoal.errors import ProcessError

STOP_S = 5.0
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """In the child: a demo that is killed with SIGKILL takes its processes with it (prctl(2), Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """One process. Its stdout is read line by line as JSON, its stderr goes to a log file.

    Args:
        essential: whether the stack is of no use without it.
    """

    def __init__(self, name: str, process: trio.Process, log: Path, *, essential: bool) -> None:
        self.name, self.process, self.log, self.essential = name, process, log, essential
        self._buffer = b""
        self.stopping = False

    @classmethod
    async def start(
        cls,
        name: str,
        arguments: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        essential: bool = True,
    ) -> Child:
        """Run `python -m <arguments>` in a session of its own, so that Ctrl-C reaches only us."""
        with log.open("ab") as errors:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-m", *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        return cls(name, process, log, essential=essential)

    async def line(self, *, timeout_s: float) -> dict[str, Any]:
        """The next JSON line on its stdout.

        Raises:
            ProcessError: SHOAL-P01, it ended or said nothing in time; with the end of its log.
        """
        assert self.process.stdout is not None, "opened with a pipe"
        with trio.move_on_after(timeout_s):
            while True:
                while b"\n" not in self._buffer:
                    data = await self.process.stdout.receive_some(65_536)
                    if not data:
                        await self.process.wait()
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
        status = self.process.returncode
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
        await self.process.wait()
        if not self.stopping:
            on_death(self)

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL to all of its session."""
        self.stopping = True
        if self.process.returncode is not None:
            return
        with trio.CancelScope(shield=True):
            self.process.terminate()
            with trio.move_on_after(STOP_S):
                await self.process.wait()
                return
            os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()
