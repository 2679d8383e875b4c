"""Runs shoal as people do: as processes with arguments, terminals and signals; and looks at the ledger beside them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from shoal.settings import VARIABLES

SHOAL = [sys.executable, "-m", "shoal"]
DEADLINE_S = 240.0


def environment(**more: str) -> dict[str, str]:
    """As a newcomer's: no setting of the machine's owner leaks in."""
    ours = ("SHOAL_", "OPERATOR_", "NETWORK", "CONTRACT_ID")
    return {
        name: value for name, value in os.environ.items() if not name.startswith(ours) and name not in VARIABLES
    } | more


def shoal(*arguments: str, cwd: Path, timeout_s: float = DEADLINE_S, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*SHOAL, *arguments],
        cwd=cwd,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def last_json(text: str) -> dict[str, Any]:
    """The last line of stdout, which under `--json` is the result or the error."""
    value = json.loads(text.strip().splitlines()[-1])
    assert isinstance(value, dict)
    return value


class Running:
    """A command in the background; its lines are kept as they come."""

    def __init__(self, arguments: Sequence[str], cwd: Path) -> None:
        self.lines: list[str] = []
        self.talk: list[str] = []
        self.process = subprocess.Popen(
            [*SHOAL, *arguments],
            cwd=cwd,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        self._readers = [
            threading.Thread(target=_collect, args=pair, daemon=True)
            for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.talk))
        ]
        for reader in self._readers:
            reader.start()

    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def until(self, found: Callable[[], Any], *, timeout_s: float = DEADLINE_S) -> Any:
        """What `found` gives once it gives something; fails if the command ends before, or too much time passes."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if value := found():
                return value
            if self.process.poll() is not None:
                for reader in self._readers:
                    reader.join(5)
                if value := found():
                    return value
                raise AssertionError(f"ended with {self.process.returncode}\n{self.story()}")
            time.sleep(0.02)
        raise AssertionError(f"nothing after {timeout_s} s\n{self.story()}")

    def tree(self) -> list[psutil.Process]:
        """Every process below the command."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int | None = signal.SIGINT, *, timeout_s: float = 40.0) -> int:
        """Signal it, unless it ends by itself, wait for it, and give its exit status."""
        if number is not None and self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(timeout_s)
        for reader in self._readers:
            reader.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return status

    def story(self) -> str:
        return "".join([*self.lines[-20:], *self.talk[-40:]])


def _collect(stream: Any, into: list[str]) -> None:
    for line in stream:
        into.append(line)


def gone(processes: Sequence[psutil.Process], *, timeout_s: float = 10.0) -> list[psutil.Process]:
    """Those that are still there after a while."""
    _, alive = psutil.wait_procs(list(processes), timeout=timeout_s)
    return alive


def settings_file(directory: Path) -> dict[str, Any]:
    return tomllib.loads((directory / "shoal.toml").read_text())


def process_of(running: Running, name: str) -> psutil.Process:
    """The process of one node of a demo, by its directory."""
    for process in running.tree():
        command = process.cmdline()
        if "node" in command and any(Path(part).name == name for part in command):
            return process
    raise AssertionError(f"no process of {name}")
