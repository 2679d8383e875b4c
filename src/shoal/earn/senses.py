"""What this machine shows of itself: time, touch, battery, heat, memory and disk, as facts for `core.idle`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from shoal.core.idle import Facts
from shoal.core.limits import MIB
from shoal.core.schedule import DAYS, minute
from shoal.earn.desktop import Desktop

CHIPS = ("coretemp", "k10temp", "zenpower", "amdgpu", "nouveau", "cpu_thermal", "soc_thermal")
"""Whose temperatures count: processors, not disks or radios, which have limits of their own."""
ZONES = ("x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal")
_ODD_C = 150.0
"""Beyond this a sensor is broken."""


class Senses:
    """Looks at the machine whenever it is asked; takes milliseconds, and belongs into a thread.

    Args:
        directory: whose disk counts.
        root: where `/sys` and `/dev` are found.
    """

    def __init__(
        self, directory: Path, *, root: Path = Path("/"), environment: Mapping[str, str] | None = None
    ) -> None:
        self._directory, self._root = directory, root
        self._desktop = Desktop(os.environ if environment is None else environment, root=root, users=_terminals)
        self.source = ""
        """Who tells of keyboard and mouse; empty where nobody does."""

    def look(self) -> Facts:
        now_s = time.time()
        touched = self._desktop.touched(now_s)
        self.source = touched.source if touched else ""
        return Facts(
            now_s=now_s,
            minute=minute_of(time.localtime(now_s)),
            idle_s=touched.idle_s if touched else None,
            on_battery=on_battery(self._root),
            full_screen=self._desktop.full_screen(),
            celsius=celsius(self._root),
            memory_mib=_memory_mib(),
            disk_mib=psutil.disk_usage(str(self._directory)).free // MIB,
        )

    def close(self) -> None:
        self._desktop.close()


def minute_of(now: time.struct_time) -> int:
    """The minute of the week of a local time."""
    return minute(DAYS[now.tm_wday], now.tm_hour, now.tm_min)


def on_battery(root: Path = Path("/")) -> bool | None:
    """Whether a battery feeds this machine, as the kernel's power supplies tell; None where it has no battery."""
    supplies = [(_text(path / "type"), path) for path in sorted((root / "sys/class/power_supply").glob("*"))]
    batteries = [
        path for kind, path in supplies if kind == "Battery" and _text(path / "scope") != "Device"
    ]  # a mouse's or a headset's does not count
    if not batteries:
        return None
    if any(_text(path / "status") == "Discharging" for path in batteries):
        return True
    mains = [_text(path / "online") for kind, path in supplies if kind in ("Mains", "USB", "USB_C", "USB_PD")]
    return bool(mains) and "1" not in mains


def celsius(root: Path = Path("/")) -> float | None:
    """The hottest processor; None where no sensor tells."""
    found = [value for value in _temperatures(root / "sys/class") if 0 < value < _ODD_C]
    return max(found, default=None)


def _temperatures(classes: Path) -> Iterator[float]:
    for chip in (classes / "hwmon").glob("*"):
        if _text(chip / "name") in CHIPS:
            yield from (_milli(path) for path in chip.glob("temp*_input"))
    for zone in (classes / "thermal").glob("thermal_zone*"):
        if _text(zone / "type") in ZONES:
            yield _milli(zone / "temp")


def _milli(path: Path) -> float:
    with suppress(ValueError):
        return int(_text(path)) / 1000
    return 0.0


def _text(path: Path) -> str:
    """A file of the kernel's; empty where it is not there or does not answer."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _memory_mib() -> int:
    """What is free for others, and what this program and its children use, which would be free without it."""
    own, used = psutil.Process(), 0
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.Error):
            used += process.memory_info().rss
    return int(psutil.virtual_memory().available + used) // MIB


def _terminals() -> list[str]:
    return [str(user.terminal) for user in psutil.users() if user.terminal]
