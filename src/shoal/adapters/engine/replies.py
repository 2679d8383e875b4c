"""Checks what the child says: once it runs a stranger's model, nothing it says is believed by itself."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from shoal.adapters.engine import wire
from shoal.errors import DataError, EngineError, ModelError, ShoalError

_ERRORS: dict[str, type[ShoalError]] = {"M": ModelError, "D": DataError, "E": EngineError}
_CODE = re.compile(r"SHOAL-([MDE])[0-9]{2}")
_WALL = re.compile(r"[a-z0-9 +]{0,80}")
_HEX32 = re.compile(r"[0-9a-f]{64}")
_COUNT = 2**62
_SAMPLES = 2**31
_SECONDS = 1e7
_BREACHES = 32


class Lie(EngineError):
    """An answer that a child of ours would not give: it is under a stranger's control, or broken."""

    default_code = "SHOAL-E08"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the training process's answer {what}", hint="the model may be an attack on this node: leave the task"
        )


def clean(value: object, limit: int) -> str:
    """A text from the child, fit for a terminal and a log."""
    text = value if isinstance(value, str) else ""
    return "".join(char if char.isprintable() else " " for char in text[:limit]).strip()


def read_hello(frame: bytes) -> tuple[str, list[str]]:
    """The walls that stand, and what got through them.

    Raises:
        EngineError: SHOAL-E08.
    """
    table = _table(_decode(frame), ("wall", "breaches"))
    wall, breaches = table["wall"], table["breaches"]
    if not isinstance(wall, str) or not _WALL.fullmatch(wall):
        raise Lie("names no wall")
    if not isinstance(breaches, list) or len(breaches) > _BREACHES:
        raise Lie("has no list of breaches")
    return wall, [clean(item, 80) for item in breaches]


def read_reply(frame: bytes) -> Mapping[str, Any]:
    """The report of a reply.

    Raises:
        ModelError, DataError, EngineError: as the child reports, or SHOAL-E08 when it makes no sense.
    """
    value = _decode(frame)
    if isinstance(value, dict) and value.keys() == {"error"}:
        error = _table(value["error"], ("code", "message", "hint"))
        code = error["code"] if isinstance(error["code"], str) else ""
        found = _CODE.fullmatch(code)
        if found is None:
            raise Lie("has an unknown error code")
        message = clean(error["message"], 1000) or "no text"
        raise _ERRORS[found[1]](message, code=code, hint=clean(error["hint"], 500))
    report = _table(value, ("report",))["report"]
    if not isinstance(report, dict):
        raise Lie("is no report")
    return report


def nothing(report: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_table(report, ()))


def preflight(report: Mapping[str, Any]) -> dict[str, Any]:
    table = _table(report, ("step_s", "peak_bytes", "parameters"))
    step_s = _number(table["step_s"], 0.0, _SECONDS)
    if step_s == 0.0:
        raise Lie("claims a step that takes no time")
    return {
        "step_s": step_s,
        "peak_bytes": _whole(table["peak_bytes"], 0, _COUNT),
        "parameters": _whole(table["parameters"], 1, _COUNT),
    }


def train(report: Mapping[str, Any]) -> dict[str, Any]:
    table = _table(report, ("sha256", "samples", "loss", "metric", "seconds", "chain"))
    return {
        "sha256": _hex32(table["sha256"]),
        "samples": _whole(table["samples"], 1, _SAMPLES),
        "loss": _number(table["loss"]),
        "metric": _number(table["metric"]),
        "seconds": _number(table["seconds"], 0.0, _SECONDS),
        "chain": _hex32(table["chain"]),
    }


def aggregate(report: Mapping[str, Any], asked: Collection[int]) -> dict[str, Any]:
    """Every chunk asked for must be either in or out."""
    table = _table(report, ("sha256", "included", "rejected"))
    included, rejected = table["included"], table["rejected"]
    if not isinstance(included, list) or not isinstance(rejected, dict):
        raise Lie("has no lists of updates")
    chunks = [_whole(chunk, 0, _SAMPLES) for chunk in included]
    # Only the chunks asked for are looked up: a name that is no number is an odd one left over.
    reasons = {
        chunk: clean(rejected[str(chunk)], wire.REASON_CHARS) for chunk in sorted(asked) if str(chunk) in rejected
    }
    if len(reasons) != len(rejected) or chunks != [chunk for chunk in sorted(asked) if chunk not in reasons]:
        raise Lie("accounts for other updates than it was given")
    return {"sha256": _hex32(table["sha256"]), "included": chunks, "rejected": reasons}


def evaluate(report: Mapping[str, Any]) -> dict[str, Any]:
    table = _table(report, ("loss", "metric", "samples"))
    return {
        "loss": _number(table["loss"]),
        "metric": _number(table["metric"]),
        "samples": _whole(table["samples"], 1, _SAMPLES),
    }


def compare(report: Mapping[str, Any]) -> dict[str, Any]:
    return {"distance": _number(_table(report, ("distance",))["distance"], 0.0, wire.FARTHEST)}


# ---------------------------------------------------------------- values


def _decode(frame: bytes) -> Any:
    try:
        return wire.decode(frame)
    except ValueError as error:
        raise Lie("is not JSON") from error


def _table(value: Any, fields: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, dict) or value.keys() != set(fields):
        raise Lie(f"does not hold {', '.join(fields) or 'nothing'}")
    return value


def _number(value: Any, low: float = -1e300, high: float = 1e300) -> float:
    # Comparing also refuses NaN, and integers too large for a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Lie("has a number that is none, or out of range")
    assert math.isfinite(value)
    return float(value)


def _whole(value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Lie("has a count that is none, or out of range")
    return value


def _hex32(value: Any) -> str:
    if not isinstance(value, str) or not _HEX32.fullmatch(value):
        raise Lie("has a hash that is none")
    return value
