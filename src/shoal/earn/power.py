"""What this machine draws, in watts: by the processor's own counters (RAPL), and by `nvidia-smi`, if they answer."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

_ZONES = "sys/class/powercap"
TOOL_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The energy counters of all processor packages at one moment."""

    at_s: float
    joules: dict[str, float]
    wraps: dict[str, float]
    """Where each counter begins anew."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics card as `nvidia-smi` names it; `watts` is what it draws now, if it tells."""

    name: str
    watts: float | None


def read(root: Path = Path("/")) -> Reading | None:
    """Read the counters; None where there are none, or only the system's administrator may read them."""
    joules, wraps = {}, {}
    for zone in (root / _ZONES).glob("intel-rapl:?"):
        try:
            joules[zone.name] = int((zone / "energy_uj").read_text()) / 1e6
            wraps[zone.name] = int((zone / "max_energy_range_uj").read_text()) / 1e6
        except (OSError, ValueError):
            continue
    return Reading(time.monotonic(), joules, wraps) if joules else None


def watts(before: Reading | None, after: Reading | None) -> float | None:
    """The mean between two readings.

    >>> watts(Reading(0, {"a": 99.0}, {"a": 100.0}), Reading(2, {"a": 9.0}, {"a": 100.0}))
    5.0
    """
    if before is None or after is None or after.at_s <= before.at_s or before.joules.keys() != after.joules.keys():
        return None
    spent = 0.0
    for name, joules in after.joules.items():
        more = joules - before.joules[name]
        spent += more if more >= 0 else more + after.wraps[name]
    return spent / (after.at_s - before.at_s)


def gpus() -> tuple[Gpu, ...]:
    """NVIDIA's cards in this machine; empty where there is no driver."""
    command = ["nvidia-smi", "--query-gpu=name,power.draw", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TOOL_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_gpus(done.stdout.decode(errors="replace")) if done.returncode == 0 else ()


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """One line a card.

    >>> parse_gpus("NVIDIA GeForce RTX 4070, 28.35")
    (Gpu(name='NVIDIA GeForce RTX 4070', watts=28.35),)
    """
    found = []
    for line in text.splitlines():
        name, comma, draw = line.rpartition(",")
        if comma and name.strip():
            try:
                found.append(Gpu(name.strip(), float(draw)))
            except ValueError:  # [N/A], where the card does not tell
                found.append(Gpu(name.strip(), None))
    return tuple(found)
