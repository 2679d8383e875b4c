"""A check, what it found, and running many of them: each alone, none longer than its deadline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import trio

from shoal.errors import ShoalError, first_error

DEADLINE_S = 20.0
PATIENCE_S = 2.0
"""For a check that is cancelled to clean up."""


class Grade(StrEnum):
    """From the worst to the best."""

    FAIL = "fail"
    WARN = "warn"
    OK = "ok"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Args:
        text: what is so.
        means: what follows from it.
        do: what to do about it; empty where nothing needs to be done.
    """

    grade: Grade
    text: str
    means: str = ""
    do: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A name, what the check is good for, and how it looks; it may block."""

    name: str
    about: str
    """What a failure of it means for the user."""
    look: Callable[[], Awaitable[Finding]]
    deadline_s: float = DEADLINE_S


@dataclass(frozen=True, slots=True)
class Result:
    check: Check
    finding: Finding

    def as_dict(self) -> dict[str, Any]:
        found = self.finding
        return {
            "check": self.check.name,
            "grade": str(found.grade),
            "text": found.text,
            "means": found.means or (self.check.about if found.grade in (Grade.FAIL, Grade.WARN) else ""),
            "do": found.do,
            "code": found.code,
        }


def ok(text: str) -> Finding:
    return Finding(Grade.OK, text)


def skip(text: str, do: str = "") -> Finding:
    return Finding(Grade.SKIP, text, do=do)


def warn(text: str, do: str) -> Finding:
    return Finding(Grade.WARN, text, do=do)


def fail(text: str, do: str, code: str = "") -> Finding:
    return Finding(Grade.FAIL, text, do=do, code=code)


async def run(checks: Sequence[Check]) -> list[Result]:
    """Run all of them side by side; the gravest findings come first, and in the order of the checks otherwise."""
    found: dict[str, Finding] = {}

    async def one(check: Check) -> None:
        found[check.name] = await examine(check)

    async with trio.open_nursery() as nursery:
        for check in checks:
            nursery.start_soon(one, check)
    grades = list(Grade)
    results = [Result(check, found[check.name]) for check in checks]
    return sorted(results, key=lambda each: grades.index(each.finding.grade))


async def examine(check: Check) -> Finding:
    """One check, in a thread and a trio of its own: that it throws or hangs is its finding and nobody else's."""
    with trio.move_on_after(check.deadline_s + PATIENCE_S) as scope:
        found = await trio.to_thread.run_sync(trio.run, _in_time, check, abandon_on_cancel=True)  # type: ignore[call-arg]
    return _late(check) if scope.cancelled_caught else found


async def _in_time(check: Check) -> Finding:
    """A check that can be cancelled is, and cleans up; one that blocks its thread is left behind by `examine`."""
    with trio.move_on_after(check.deadline_s) as scope:
        try:
            found = await check.look()
        except Exception as error:
            found = _thrown(error)
    return _late(check) if scope.cancelled_caught else found


def _late(check: Check) -> Finding:
    return fail(
        f"no answer after {check.deadline_s:.0f} s",
        "look whether what it asks hangs: a disk, a network, a service",
        "SHOAL-G06",
    )


def _thrown(error: Exception) -> Finding:
    first = first_error(error)
    if isinstance(first, ShoalError):
        return fail(first.message, first.hint or f"docs/errors.md, {first.code}", first.code)
    return fail(
        f"this check itself failed: {type(first).__name__}: {str(first)[:200]}",
        "please report it; the other checks do not depend on it",
        "SHOAL-X00",
    )
