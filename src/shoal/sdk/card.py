"""A run as a notebook shows it: one piece of HTML with inline SVG, escaped, without scripts or links."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Protocol

from shoal.core.money import format_hbar

WIDTH, HEIGHT, MARGIN = 260, 90, 6
_COLOURS = ("#2563eb", "#d97706")
_BOX = "font-family:system-ui,sans-serif;font-size:13px;border:1px solid #8884;border-radius:6px;padding:10px 14px"


class Shown(Protocol):
    """What a card needs to know of a run."""

    @property
    def task_id(self) -> str: ...
    @property
    def phase(self) -> str: ...
    @property
    def round(self) -> int: ...
    @property
    def rounds(self) -> int: ...
    @property
    def history(self) -> list[dict[str, Any]]: ...
    @property
    def money(self) -> dict[str, int]: ...


def card(run: Shown) -> str:
    """Phase, round, loss and metric by round, and where the money is."""
    history = run.history
    columns = [name for name in (history[0] if history else {}) if name != "round"]
    curves = "".join(_curve(history, name, colour) for name, colour in zip(columns, _COLOURS, strict=False))
    money = " · ".join(
        f"{text} {escape(format_hbar(run.money[name]))}"
        for name, text in (("escrow_tinybar", "escrow"), ("paid_tinybar", "paid"), ("refunded_tinybar", "came back"))
    )
    return (
        f'<div style="{_BOX}"><div><b>task {escape(run.task_id[:12])}</b> · {escape(run.phase)} · '
        f"round {run.round} of {run.rounds}</div>{curves}<div>{money}</div></div>"
    )


def _curve(history: Sequence[dict[str, Any]], column: str, colour: str) -> str:
    """One column by round, the axis from its least to its greatest value; what is not finite is left out."""
    points = [(int(row["round"]), float(row[column])) for row in history if row[column] is not None]
    if not points:
        return ""
    low, high = min(value for _, value in points), max(value for _, value in points)
    last = max(1, history[-1]["round"])

    def place(round: int, value: float) -> str:
        across = MARGIN + (WIDTH - 2 * MARGIN) * round / last
        down = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * ((value - low) / (high - low) if high > low else 0.5)
        return f"{across:.1f},{down:.1f}"

    line = " ".join(place(*point) for point in points)
    end = place(*points[-1]).split(",")
    name = escape(column)
    return (
        f'<figure style="display:inline-block;margin:6px 12px 6px 0"><figcaption>{name} {points[-1][1]:.4g} '
        f'<span style="opacity:.6">({low:.4g} to {high:.4g})</span></figcaption>'
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{name} by round"><polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        f'<circle cx="{end[0]}" cy="{end[1]}" r="3" fill="{colour}"/></svg></figure>'
    )
