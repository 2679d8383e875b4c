"""The bundled examples: folders with `model.py`, `recipe.json` and how their data is got."""

from __future__ import annotations

from pathlib import Path

from shoal.errors import UsageError

_PLACES = (Path(__file__).parents[3] / "examples", Path(__file__).parents[1] / "_examples")
"""Beside the source tree, or inside the wheel."""


def example(name: str) -> Path:
    """The folder of a bundled example.

    Raises:
        UsageError: SHOAL-U09, there is none of this name.
    """
    for place in _PLACES:
        if (place / name / "model.py").is_file():
            return place / name
    known = sorted({path.parent.name for place in _PLACES for path in place.glob("*/model.py")})
    raise UsageError(f"there is no example {name!r}", code="SHOAL-U09", hint=f"one of {', '.join(known)}")
