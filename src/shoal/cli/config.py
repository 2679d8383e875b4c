"""`shoal config`: settings and their origins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.table import Table

from shoal.cli import output
from shoal.settings import load_with_origins


def show(directory: Path | None, *, as_json: bool) -> None:
    """Print every setting with where it came from."""
    settings, origins = load_with_origins(flags={"dir": directory})
    rows = {name: (_plain(getattr(settings, name)), origins[name].text) for name in type(settings).model_fields}
    if as_json:
        output.print_json({name: {"value": value, "origin": origin} for name, (value, origin) in rows.items()})
        return
    table = Table("setting", "value", "origin", box=None)
    for name, (value, origin) in rows.items():
        table.add_row(name, str(value), origin)
    output.stdout.print(table)


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else ""
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
