"""What a tracker is told: the facts of a run once, then everything that happens in it, numbered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Record = Mapping[str, Any]
"""One happening as the command line tells it under `--json`, with `time`, its Unix seconds of consensus."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run before its first round.

    Args:
        params: recipe and plan, flat, as names and plain values.
        home: the client's directory of this task; a tracker without a place of its own keeps its files there.
    """

    task_id: str
    name: str
    begun_s: float
    params: Mapping[str, str | int | float | bool]
    home: Path


class Tracker(Protocol):
    """Called from one thread at a time, never from the one that the task runs in. Whatever it raises ends it only."""

    def begin(self, facts: RunFacts, run_id: str) -> str:
        """Make a run, or go on with the one of this id; its id, which is given back after a restart.

        May be called again, where it was cancelled before its caller knew that it was done.
        """
        ...

    def tell(self, number: int, record: Record) -> None:
        """The `number`-th happening, counted from 0; each once, unless a process was killed in between."""
        ...

    def end(self, *, over: bool) -> None:
        """No more will be told by this process; `over` tells whether the task has ended."""
        ...


_NO_METRICS = ("at_s", "time", "round")


def scalars(record: Record) -> dict[str, float]:
    """The numbers of a round, or of the result, by names that sort well; nothing for other happenings.

    >>> scalars({"event": "round", "round": 2, "loss": 0.5, "accuracy": 0.9, "trainers": {"0.0.9": {"loss": 0.4}}})
    {'global/loss': 0.5, 'global/accuracy': 0.9, 'trainer/0.0.9/loss': 0.4}
    """
    if record.get("event") == "result":
        return {f"result/{name}": value for name, value in _numbers(record).items() if name not in _NO_METRICS}
    if record.get("event") != "round":
        return {}
    plain = {name: value for name, value in record.items() if name not in _NO_METRICS}
    found = {f"global/{name}": value for name, value in _numbers(plain).items()}
    for trainer, told in sorted(record.get("trainers", {}).items()):
        wanted = {name: value for name, value in told.items() if name != "chunk"}
        found |= {f"trainer/{trainer}/{name}": value for name, value in _numbers(wanted).items()}
    return found


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
