"""Answers of commands for people: lists of records as tables, anything else a line a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from shoal.cli import output
from shoal.core.money import format_hbar

_LONG = frozenset({"addresses", "topics", "time_s", "version", "relayed"})
"""Of a node, what is for `--json`."""


def show(answer: Mapping[str, Any]) -> None:
    """Print an answer on stdout.

    >>> show({"topic": "news", "joined": True})
    topic   news
    joined  yes
    """
    fields = [(name, value) for name, value in answer.items() if not _is_records(value)]
    width = max((len(name) for name, _ in fields), default=0)
    for name, value in fields:
        output.stdout.print(f"{name:<{width}}  {plain(name, value)}", markup=False, highlight=False, soft_wrap=True)
    for name, value in answer.items():
        if _is_records(value):
            output.stdout.print(table(value) if value else f"no {name}")


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One row a record; columns in the order in which they first appear. Of nodes, what fits a line."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if rows[0].keys() >= {"peer_id", "roles"}:
        names = [name for name in names if name not in _LONG]
    made = Table(box=None)
    for name in names:
        made.add_column(name, no_wrap=name == "peer_id")
    for row in rows:
        made.add_row(*(Text(plain(name, row.get(name)), overflow="fold") for name in names))
    return made


def plain(name: str, value: Any) -> str:
    """A value on one line; what strangers wrote can move no cursor.

    >>> plain("stake_tinybar", 150_000_000), plain("latency_s", 0.0123456), plain("roles", ["trainer"])
    ('1.5 ℏ', '0.012', 'trainer')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_tinybar") and isinstance(value, int):
        return format_hbar(value)
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(str(key), each)}" for key, each in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(plain("", each) for each in value) or "-"
    return printable(str(value))


def printable(text: str) -> str:
    """Without control characters, which could write anywhere on a terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, Mapping) for each in value)
