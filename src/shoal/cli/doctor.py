"""`shoal doctor`: all checks of this machine and of what it needs of the world, the gravest findings first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shoal.cli import output
from shoal.doctor import machine, world
from shoal.doctor.checks import Check, Finding, Grade, Result, fail, run
from shoal.errors import MachineError, ShoalError
from shoal.settings import Settings

_STYLES = {Grade.FAIL: "bold red", Grade.WARN: "yellow", Grade.OK: "green", Grade.SKIP: "dim"}


async def run_doctor(flags: Mapping[str, Any], *, as_json: bool) -> None:
    """Look, tell, and end with status 0 if nothing failed.

    Raises:
        MachineError: SHOAL-G07, something did.
    """
    results = await run(_checks(flags))
    counts = Counter(str(each.finding.grade) for each in results)
    failed = [each.check.name for each in results if each.finding.grade is Grade.FAIL]
    if as_json:
        output.print_json({"ok": not failed, **counts, "checks": [each.as_dict() for each in results]})
    else:
        for each in results:
            _show(each)
    if failed:
        raise MachineError(
            f"{len(failed)} of {len(results)} checks failed: {', '.join(failed)}",
            code="SHOAL-G07",
            hint="the lines above say what each means and what to do",
        )


def _checks(flags: Mapping[str, Any]) -> list[Check]:
    """All of them; of a node whose settings cannot be read, what does not need them."""
    try:
        settings = Settings.load(flags=flags)
    except ShoalError as error:
        found = fail(error.message, error.hint, error.code)

        async def tell() -> Finding:
            return found

        return [
            Check("settings", "no command of shoal works", tell),
            *machine.checks(Settings.model_validate(_dir(flags))),
        ]
    return [*world.checks(settings), *machine.checks(settings)]


def _dir(flags: Mapping[str, Any]) -> dict[str, Path]:
    return {"dir": Path(flags["dir"])} if flags.get("dir") else {}


def _show(result: Result) -> None:
    found, style = result.as_dict(), _STYLES[result.finding.grade]
    output.stdout.print(f"[{style}]{found['grade']:4}[/]  {found['check']:10} ", end="")
    code = f" ({found['code']})" if found["code"] else ""
    output.stdout.print(f"{found['text']}{code}", markup=False, soft_wrap=True)
    for name in ("means", "do"):
        if found[name]:
            output.stdout.print(f"      {name + ':':6} {found[name]}", markup=False, soft_wrap=True)
