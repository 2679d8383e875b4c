"""The question before money is spent."""

from __future__ import annotations

import sys

from shoal.cli import output
from shoal.errors import UsageError
from shoal.settings import Settings


def confirm(what: str, *, yes: bool, otherwise: str = "") -> None:
    """Go on if the user says so, on the command line or when asked.

    Args:
        what: what would happen, as in "lock 2 ℏ in escrow".
        otherwise: what else could be said on the command line.

    Raises:
        UsageError: SHOAL-U07, it was not confirmed.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        hint = "say --yes to spend without being asked"
        raise UsageError(
            f"this would {what}",
            code="SHOAL-U07",
            hint=f"{hint}, or {otherwise}" if otherwise else hint,
            money="nothing was spent",
        )
    output.stderr.print(f"{what}? [y/N] ", end="", markup=False)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("not confirmed", code="SHOAL-U07", money="nothing was spent")


def confirm_on_mainnet(settings: Settings, what: str, *, yes: bool) -> None:
    """For commands that spend as they go, where real money is at stake.

    Raises:
        UsageError: SHOAL-U07, it was not confirmed.
    """
    if settings.network == "mainnet":
        confirm(f"{what} with real HBAR of {settings.operator_id or 'the operator'}", yes=yes)
