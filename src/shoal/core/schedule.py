"""A weekly schedule such as `22:00-08:00 mon-fri`: parsed, and asked whether it is open and when that changes.

Times are local minutes of the week: 0 is Monday 00:00.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY, WEEK = 24 * 60, 7 * 24 * 60
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WINDOWS = 64
"""Most that a schedule may hold."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Windows of time, each by its first minute in the week and its length in minutes.

    >>> night = parse("22:00-08:00 mon-fri")
    >>> night.contains(minute("mon", 23)), night.contains(minute("sat", 7)), night.contains(minute("sun", 23))
    (True, True, False)
    """

    windows: tuple[tuple[int, int], ...]

    def contains(self, minute: int) -> bool:
        return any((minute - start) % WEEK < length for start, length in self.windows)

    def next_change(self, minute: int) -> int | None:
        """Minutes until it opens or closes; None if it never does.

        >>> parse("22:00-08:00").next_change(minute("tue", 21, 30))
        30
        """
        now = self.contains(minute)
        edges = {(edge - minute) % WEEK for start, length in self.windows for edge in (start, start + length)}
        return next((edge for edge in sorted(edges) if self.contains(minute + edge) is not now), None)


ALWAYS = Schedule(((0, WEEK),))


def parse(text: str) -> Schedule:
    """Read `HH:MM-HH:MM [DAYS]`, or `DAYS` alone, several of them separated by `;`. A day is that of the beginning.

    >>> parse("22:00-08:00 mon-fri; sat,sun").windows[-1] == (minute("sun"), DAY)
    True

    Raises:
        ValueError: it is something else, with the part that cannot be read.
    """
    windows: list[tuple[int, int]] = []
    for part in text.lower().split(";"):
        words = part.split()
        times = words.pop(0) if words and ":" in words[0] else "00:00-24:00"
        if len(words) > 1 or not part.strip():
            raise ValueError(f"{part.strip()!r} is not of the form 22:00-08:00 mon-fri")
        start, length = _times(times)
        windows += [(day * DAY + start, length) for day in _days(words[0] if words else "mon-sun")]
    if len(windows) > WINDOWS:
        raise ValueError(f"at most {WINDOWS} windows")
    return Schedule(tuple(sorted(set(windows))))


def minute(day: str, hour: int = 0, minutes: int = 0) -> int:
    """A minute of the week.

    >>> minute("tue", 8, 30)
    1950
    """
    return DAYS.index(day) * DAY + hour * 60 + minutes


def _times(text: str) -> tuple[int, int]:
    """First minute of a day, and length; an end that is not after the beginning is on the next day."""
    begin, dash, end = text.partition("-")
    if not dash:
        raise ValueError(f"{text!r} is not of the form 22:00-08:00")
    start = _clock(begin)
    if start == DAY:
        raise ValueError("a window cannot begin at 24:00")
    return start, (_clock(end) - start - 1) % DAY + 1


def _clock(text: str) -> int:
    hour, colon, minutes = text.partition(":")
    if not (colon and hour.isascii() and hour.isdigit() and len(hour) <= 2):
        raise ValueError(f"{text!r} is no time of day")
    if not (minutes.isascii() and minutes.isdigit() and len(minutes) == 2):
        raise ValueError(f"{text!r} is no time of day")
    value = int(hour) * 60 + int(minutes)
    if int(minutes) > 59 or value > DAY:
        raise ValueError(f"{text!r} is no time of day")
    return value


def _days(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"{part!r} is no day: use {', '.join(DAYS)}, or a span such as mon-fri")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found += [(begin + step) % 7 for step in range((end - begin) % 7 + 1)]
    return found
