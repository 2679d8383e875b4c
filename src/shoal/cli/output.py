"""How the command line speaks: results on stdout, talk on stderr, errors with code, money and advice."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import trio
from rich.console import Console
from rich.logging import RichHandler

from shoal.errors import ShoalError, first_error

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
    if as_json:
        print_json({"error": error.as_dict()})
        return
    stderr.print(f"[bold red]error[/] [dim]{error.code}[/]  ", end="")
    stderr.print(error.message, markup=False, soft_wrap=True)
    if error.money:
        stderr.print(f"  money: {error.money}", markup=False, soft_wrap=True)
    if error.hint:
        stderr.print(f"  do:    {error.hint}", markup=False, soft_wrap=True)


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
    """Rich logs on stderr; libraries speak up from WARNING only."""
    handler = RichHandler(console=stderr, show_path=False, rich_tracebacks=False, markup=False)
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", handlers=[handler], force=True)
    logging.getLogger("shoal").setLevel(logging.DEBUG if verbose else logging.INFO)
    # What peers and servers do is for whoever looks for a fault; what they cost is told by the roles.
    logging.getLogger("shoal.adapters").setLevel(logging.DEBUG if verbose else logging.WARNING)
