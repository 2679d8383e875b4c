"""Keyboard, mouse and full-screen programs: how long nobody touched this machine, and what fills its screen.

Three ways, the most exact first: X11's screen saver counter, logind's idle hints, the times at which terminals were
read. What none of them can tell is unknown, and counts as no permission to work.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOOL_TIMEOUT_S = 3.0
SESSIONS = 64
"""Most sessions that are asked about."""
_TITLE = 60
_USER_CLASSES = ("user", "user-early", "user-light")


@dataclass(frozen=True, slots=True)
class Touch:
    """How long ago keyboard or mouse were used, and who says so."""

    idle_s: float
    source: str


class Desktop:
    """One graphical session, looked at again and again from a thread; X11 is asked over one connection.

    Args:
        environment: the process's: `DISPLAY`, `WAYLAND_DISPLAY`, `XDG_SESSION_TYPE`.
        root: where `/dev` is found.
        users: terminals that somebody is logged in on, such as `pts/0`.
        logind: its answer about every session; None where there is no logind.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        root: Path = Path("/"),
        users: Callable[[], Sequence[str]] = lambda: (),
        logind: Callable[[], str | None] = lambda: ask_logind(),
    ) -> None:
        self._wayland = bool(environment.get("WAYLAND_DISPLAY")) or environment.get("XDG_SESSION_TYPE") == "wayland"
        self._display_name = environment.get("DISPLAY", "")
        self._root, self._users, self._logind = root, users, logind
        self._display: Any = None

    def touched(self, now_s: float) -> Touch | None:
        """Since when nobody touched it; None where nothing can tell."""
        # Under Wayland X11 sees the input of X11's own programs only.
        if not self._wayland and (idle_s := self._x11(_idle_s)) is not None:
            return Touch(idle_s, "X11")
        answer = self._logind()
        if answer is not None:
            return Touch(logind_idle_s(answer, now_s), "logind")
        times = list(_read_times(self._root / "dev", self._users()))
        return Touch(max(0.0, now_s - max(times)), "terminals") if times else None

    def full_screen(self) -> str | None:
        """The title of a program that fills the screen, empty if there is none; None where that cannot be seen."""
        return None if self._wayland else self._x11(_full_screen)

    def close(self) -> None:
        if self._display is not None:
            with suppress(Exception):  # whatever the server's end left of it
                self._display.close()
            self._display = None

    def _x11(self, question: Callable[[Any], Any]) -> Any:
        """Ask the X server; a lost connection is made anew next time, and tells nothing now."""
        if not self._display_name:
            return None
        try:
            if self._display is None:
                from Xlib.display import Display

                self._display = Display(self._display_name)
            return question(self._display)
        except Exception:  # python-xlib raises many kinds of its own: no library, no server, no right, gone
            self.close()
            return None


def _idle_s(display: Any) -> float | None:
    """By the extension MIT-SCREEN-SAVER, as `xprintidle` asks it."""
    from Xlib.ext import screensaver

    if not display.has_extension(screensaver.extname):
        return None
    return float(display.screen().root.screensaver_query_info().idle) / 1000


def _full_screen(display: Any) -> str | None:
    """By the window manager's list and states of windows (Extended Window Manager Hints)."""
    from Xlib import error

    root = display.screen().root
    atoms = {name: display.intern_atom(f"_NET_{name}") for name in ("CLIENT_LIST", "WM_STATE", "WM_NAME")}
    full, hidden = (display.intern_atom(f"_NET_WM_STATE_{name}") for name in ("FULLSCREEN", "HIDDEN"))
    listed = root.get_full_property(atoms["CLIENT_LIST"], 0)
    if listed is None:
        return None  # no window manager that says what there is
    for number in listed.value:
        with suppress(error.BadWindow):  # it has closed just now
            window = display.create_resource_object("window", number)
            state = window.get_full_property(atoms["WM_STATE"], 0)
            if state is not None and full in state.value and hidden not in state.value:
                title = window.get_full_property(atoms["WM_NAME"], 0)
                text = title.value if title is not None else window.get_wm_name() or b""
                text = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
                return "".join(each if each.isprintable() else " " for each in text)[:_TITLE].strip() or "a program"
    return ""


# ---------------------------------------------------------------- logind


def ask_logind() -> str | None:
    """What logind says of every session, as `loginctl` prints it; None where there is none."""
    listed = _output(["loginctl", "list-sessions", "--no-legend"])
    if listed is None:
        return None
    ids = [line.split()[0] for line in listed.splitlines() if line.split()][:SESSIONS]
    if not ids:
        return ""
    names = [f"--property={name}" for name in ("Id", "Class", "IdleHint", "IdleSinceHint")]
    return _output(["loginctl", "show-session", *names, *ids])


def logind_idle_s(answer: str, now_s: float) -> float:
    """How long every user's session has been idle; infinite where nobody is logged in.

    >>> logind_idle_s("Class=user\\nIdleHint=yes\\nIdleSinceHint=40000000\\n", 100.0)
    60.0
    """
    idle_s = math.inf
    for block in answer.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if values.get("Class") not in _USER_CLASSES:
            continue  # a greeter, a lock screen, a service
        since = values.get("IdleSinceHint", "")
        if values.get("IdleHint") != "yes" or not (since.isascii() and since.isdigit()):
            return 0.0
        idle_s = min(idle_s, max(0.0, now_s - int(since) / 1e6))
    return idle_s


def _output(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=TOOL_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _read_times(dev: Path, terminals: Sequence[str]) -> Iterator[float]:
    """When each terminal was read last: the kernel notes it every eight seconds at most, as `w` shows it."""
    for name in terminals:
        with suppress(OSError, ValueError):
            if name and ".." not in Path(name).parts:
                yield (dev / name).stat().st_atime
