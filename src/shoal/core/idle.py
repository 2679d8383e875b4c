"""Whether this machine may work for others now: run, pause or stop, why, and what would change it.

A pure function of what the machine shows (`Facts`), what its owner allows (`Limits`) and what its owner has just said
(`Orders`). What cannot be known never counts as permission to disturb: without a sign of the keyboard nothing runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from shoal.core.schedule import ALWAYS, Schedule

COOLING_C = 10.0
"""Once too hot, a machine cools by this much before it goes on."""


class Verdict(StrEnum):
    RUN = "run"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the machine shows; None where that cannot be known."""

    now_s: float
    """Unix time."""
    minute: int
    """Local minute of the week; 0 is Monday 00:00."""
    idle_s: float | None = None
    """Since the keyboard or the mouse was used."""
    on_battery: bool | None = None
    full_screen: str | None = None
    """The title of a program that fills the screen; empty if there is none."""
    celsius: float | None = None
    """The hottest sensor."""
    memory_mib: int | None = None
    """Free for others: what this program uses itself counts as free."""
    disk_mib: int | None = None
    seen: bool = True
    """Whether the machine could be looked at; if not, all that is above is of no use."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the owner of the machine allows."""

    idle_s: float = 300.0
    """Nobody may have touched it for so long; 0 runs beside its user."""
    max_celsius: float = 85.0
    min_memory_mib: int = 2_048
    min_disk_mib: int = 4_096
    schedule: Schedule = field(default=ALWAYS)


@dataclass(frozen=True, slots=True)
class Orders:
    """What its owner has said last."""

    stop: bool = False
    paused_until_s: float = 0.0
    """Unix time; infinite until `resume`."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One reason not to run: its name, why, and what would change it."""

    name: str
    why: str
    until: str


@dataclass(frozen=True, slots=True)
class Decision:
    verdict: Verdict
    obstacles: tuple[Obstacle, ...]
    """All that stand in the way, the first first; empty when it runs."""
    until: str
    """What would change it."""

    @property
    def why(self) -> str:
        return self.obstacles[0].why if self.obstacles else "nothing stands in the way"


def decide(facts: Facts, limits: Limits, orders: Orders, *, running: bool) -> Decision:
    """What to do now.

    >>> decide(Facts(now_s=0, minute=0, idle_s=10), Limits(), Orders(), running=True).why
    'keyboard or mouse were used 10 s ago'

    Args:
        running: whether it works at the moment; a machine that is cooling does not.
    """
    if orders.stop:
        stop = Obstacle("stop", "you said stop", "`shoal earn` starts again")
        return Decision(Verdict.STOP, (stop,), stop.until)
    obstacles = tuple(_obstacles(facts, limits, orders, running))
    if obstacles:
        return Decision(Verdict.PAUSE, obstacles, obstacles[0].until)
    return Decision(Verdict.RUN, (), _ends(facts, limits))


def _obstacles(facts: Facts, limits: Limits, orders: Orders, running: bool) -> Iterator[Obstacle]:
    if orders.paused_until_s > facts.now_s:
        left_s = orders.paused_until_s - facts.now_s
        again = "" if left_s == float("inf") else f"in {duration(left_s)}, or with "
        yield Obstacle("paused", "you said pause", f"goes on {again or 'with '}`shoal earn resume`")
    if not limits.schedule.contains(facts.minute):
        minutes = limits.schedule.next_change(facts.minute)
        assert minutes is not None, "a schedule has a window"
        yield Obstacle("schedule", "outside its schedule", f"goes on in {duration(60 * minutes)}")
    if not facts.seen:
        yield Obstacle("sight", "this machine cannot be looked at", "goes on when it can; the log tells what fails")
        return
    if facts.on_battery:
        yield Obstacle("battery", "on battery", "goes on when it is plugged in")
    if facts.full_screen:
        yield Obstacle("full screen", f"{facts.full_screen} fills the screen", "goes on when that is closed")
    yield from _touched(facts, limits)
    yield from _caps(facts, limits, running)


def _touched(facts: Facts, limits: Limits) -> Iterator[Obstacle]:
    if limits.idle_s <= 0:
        return
    if facts.idle_s is None:
        yield Obstacle(
            "idle", "it cannot be told whether somebody is at this machine", "--beside-me works all the same"
        )
    elif facts.idle_s < limits.idle_s:
        why = f"keyboard or mouse were used {duration(facts.idle_s)} ago"
        yield Obstacle("idle", why, f"goes on after {duration(limits.idle_s - facts.idle_s)} without a touch")


def _caps(facts: Facts, limits: Limits, running: bool) -> Iterator[Obstacle]:
    limit_c = limits.max_celsius - (0 if running else COOLING_C)
    if facts.celsius is not None and facts.celsius >= limit_c:
        yield Obstacle(
            "temperature", f"{facts.celsius:.0f} °C", f"goes on below {limits.max_celsius - COOLING_C:.0f} °C"
        )
    if facts.memory_mib is not None and facts.memory_mib < limits.min_memory_mib:
        why = f"{facts.memory_mib} MiB of memory are free"
        yield Obstacle("memory", why, f"goes on when {limits.min_memory_mib} MiB are")
    if facts.disk_mib is not None and facts.disk_mib < limits.min_disk_mib:
        why = f"{facts.disk_mib} MiB of disk are free"
        yield Obstacle("disk", why, f"goes on when {limits.min_disk_mib} MiB are")


def _ends(facts: Facts, limits: Limits) -> str:
    ends = [] if limits.idle_s <= 0 else ["when you touch keyboard or mouse"]
    if (minutes := limits.schedule.next_change(facts.minute)) is not None:
        ends.append(f"when its schedule ends in {duration(60 * minutes)}")
    return f"pauses {', or '.join([*ends, 'with `shoal earn pause`'])}"


def duration(seconds: float) -> str:
    """For people, in the two largest units.

    >>> duration(7_322), duration(59.2)
    ('2 h 2 min', '59 s')
    """
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86_400, whole % 86_400 // 3_600, whole % 3_600 // 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (whole % 60, "s")]
    first = next((index for index, (value, _) in enumerate(parts) if value), 3)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2] if value) or "0 s"


def parse_duration(text: str) -> float:
    """Seconds of `2h`, `30min`, `90s`, `1h30m`.

    >>> parse_duration("1h30m")
    5400.0

    Raises:
        ValueError: it is something else, or longer than a year.
    """
    seconds, number = 0.0, ""
    rest = text.strip().lower().replace(" ", "").replace("min", "m")
    for letter in rest:
        if letter.isascii() and letter.isdigit():
            number += letter
        elif letter in "dhms" and number:
            seconds, number = seconds + int(number[:9]) * {"d": 86_400, "h": 3_600, "m": 60, "s": 1}[letter], ""
        else:
            number = "?"
            break
    if number or not 0 < seconds <= 366 * 86_400:
        raise ValueError(f"{text!r} is no length of time: write 2h, 30min or 1h30m")
    return seconds
