"""What is said to a running `shoal earn`, and what it says of itself: two small files in the node's directory.

Orders are a file and not a request, so that a pause outlives a restart, and needs neither port nor token.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from shoal.core.idle import Orders
from shoal.errors import MachineError
from shoal.seal.files import whole_file

ORDERS, STATE = "earn-orders.json", "earn-state.json"
LONGEST_BYTES = 64 * 1024
NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Control:
    """The two files of one node's directory."""

    directory: Path

    def orders(self) -> Orders:
        """What was said last; nothing in the way if nothing was.

        Raises:
            MachineError: SHOAL-G04, the file is not one of ours.
        """
        value = _read(self.directory / ORDERS)
        if value is None:
            return Orders()
        match value:
            case {"stop": bool(stop), "paused_until": None | int() | float() as until} if not isinstance(until, bool):
                return Orders(stop, NEVER if until is None else float(until))
        raise _damaged(self.directory / ORDERS, "it holds no orders")

    def pause(self, until_s: float) -> Orders:
        """Until a moment in Unix time; infinity is until `resume`."""
        return self._order(replace(self._last(), paused_until_s=until_s))

    def resume(self) -> Orders:
        return self._order(replace(self._last(), paused_until_s=0.0))

    def stop(self) -> Orders:
        return self._order(replace(self._last(), stop=True))

    def begin(self) -> None:
        """A new run: an old `stop` is done; an old pause holds."""
        self._order(replace(self._last(), stop=False))

    def tell(self, state: Mapping[str, Any]) -> None:
        """Say what this process does now."""
        _write(self.directory / STATE, state)

    def state(self) -> dict[str, Any] | None:
        """What the process said last, whether it still runs or not; None if there never was one."""
        return _read(self.directory / STATE)

    def running(self) -> bool:
        """Whether a node is at work with this directory, by the lock that it holds."""
        try:
            with (self.directory / "lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def present(self) -> dict[str, Any] | None:
        """What a `shoal earn` that runs now said last; None if none does, whatever else runs with this directory."""
        state = self.state()
        if state is None or state.get("state") == "stopped" or not self.running():
            return None
        pid = state.get("pid")
        return state if isinstance(pid, int) and psutil.pid_exists(pid) else None

    def need_running(self) -> dict[str, Any]:
        """The state of the process.

        Raises:
            MachineError: SHOAL-G02, there is none.
        """
        state = self.present()
        if state is None:
            raise MachineError(
                f"no `shoal earn` runs with {self.directory}",
                code="SHOAL-G02",
                hint="start it with `shoal earn`, or name its directory with --dir",
            )
        return state

    def _last(self) -> Orders:
        """A damaged file is replaced by whatever is said next."""
        try:
            return self.orders()
        except MachineError:
            return Orders()

    def _order(self, orders: Orders) -> Orders:
        until = None if orders.paused_until_s == NEVER else orders.paused_until_s
        _write(self.directory / ORDERS, {"stop": orders.stop, "paused_until": until})
        return orders


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with whole_file(path) as file:
        file.write(json.dumps(value).encode())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _damaged(path, str(error.strerror)) from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _damaged(path, "it is no file")
        data = file.read(LONGEST_BYTES + 1)
    try:
        value = json.loads(data) if len(data) <= LONGEST_BYTES else None
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "it is not JSON") from error
    if not isinstance(value, dict):
        raise _damaged(path, "it holds no record")
    return value


def _damaged(path: Path, why: str) -> MachineError:
    return MachineError(f"cannot use {path}: {why}", code="SHOAL-G04", hint="remove it; it is written anew")
