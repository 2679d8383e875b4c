"""Options that many commands have, and the settings that they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from shoal.cli import logs, output
from shoal.errors import ShoalError
from shoal.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout; the last line is the result or the error.")]
Dir = Annotated[
    Path | None,
    typer.Option(
        "--dir", help="The node's directory: keys, shoal.toml, tasks.", envvar="SHOAL_DIR", show_default="~/.shoal"
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")]


def settings_of(directory: Path | None, as_json: bool, **flags: Any) -> Settings:
    """What is not given as a flag is looked up; an option that may be repeated counts when it is there at all.

    Ends the process with the error's status where the settings cannot be used.
    """
    try:
        given = {"dir": directory, **{name: value or None for name, value in flags.items()}}
        settings = Settings.load(flags=given)
        if not logs.asked_for:
            logs.set_up(settings.log)
        return settings
    except ShoalError as error:
        output.show_error(error, as_json=as_json)
        raise SystemExit(error.exit_status) from None
