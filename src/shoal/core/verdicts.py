"""What a verification says: one row for each thing that was checked, and by what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

SHOWN = 5
"""Faults told of one check; the rest are counted."""


class Verdict(StrEnum):
    HOLDS = "ok"
    NOTED = "noted"
    """It holds, and there is something that whoever looks should know."""
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """It cannot be known from public data; `found` tells why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked.

    Args:
        name: what.
        by: what it was compared with.
        found: in words.
    """

    name: str
    by: str
    verdict: Verdict
    found: str

    def as_dict(self) -> dict[str, str]:
        return {"check": self.name, "by": self.by, "verdict": str(self.verdict), "found": self.found}


def judged(name: str, by: str, faults: Sequence[str], found: str) -> Check:
    """Wrong where there are faults, which are then told instead of `found`.

    >>> judged("escrow", "the plan", ["5 tinybar too many"], "all of it").verdict
    <Verdict.WRONG: 'wrong'>
    """
    if not faults:
        return Check(name, by, Verdict.HOLDS, found)
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return Check(name, by, Verdict.WRONG, "; ".join(faults[:SHOWN]) + more)
