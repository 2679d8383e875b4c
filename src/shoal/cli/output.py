"""How the command line speaks: results on stdout, talk on stderr, errors with code, money and advice."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import trio
from rich.console import Console

from shoal.errors import ShoalError, first_error
from shoal.redact import clean

T = TypeVar("T")

stderr = Console(stderr=True, highlight=False)
stdout = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
INTERRUPTED = 130


def print_json(value: Any) -> None:
    """One JSON value on one line of stdout."""
    sys.stdout.write(json.dumps(value, separators=(", ", ": ")) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Talk: never parsed by anybody."""
    stderr.print(text, markup=False, soft_wrap=True)


def show_error(error: ShoalError, *, as_json: bool) -> None:
    """What happened, whether the money is safe, and what to do."""
    row = record_of(error)
    if as_json:
        print_json({"error": row})
        return
    stderr.print(f"[bold red]error[/] [dim]{error.code}[/]  ", end="")
    stderr.print(row["message"], markup=False, soft_wrap=True)
    if row["money"]:
        stderr.print(f"  money: {row['money']}", markup=False, soft_wrap=True)
    if row["hint"]:
        stderr.print(f"  do:    {row['hint']}", markup=False, soft_wrap=True)


def record_of(error: ShoalError) -> dict[str, str | int]:
    """An error as it is printed: as a plain record, without secrets that something has quoted."""
    return {name: clean(value) if isinstance(value, str) else value for name, value in error.as_dict().items()}


@dataclass
class Aftermath:
    """What an interruption means for the user's money, as it stands."""

    text: str = ""


def run(main: Callable[[], Coroutine[Any, Any, T]], *, as_json: bool, aftermath: Aftermath | None = None) -> T:
    """Run a command; end the process with the error's own status when it fails. SIGTERM ends it like Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        try:
            return trio.run(main)
        except BaseExceptionGroup as group:
            raise first_error(group) from None
    except ShoalError as error:
        show_error(error, as_json=as_json)
        raise SystemExit(error.exit_status) from None
    except KeyboardInterrupt:
        said = aftermath.text if aftermath else ""
        say(f"interrupted; {said}" if said else "interrupted")
        raise SystemExit(INTERRUPTED) from None


def set_up_logs(*, verbose: bool) -> None:
    """`--verbose` of a command: everything that shoal logs. Else logs stay as they were set up for all commands."""
    from shoal.cli import logs  # it prints by this module

    if verbose:
        logs.set_up("debug")
        logs.asked_for = True
