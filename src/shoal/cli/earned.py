"""`shoal earn pause`, `resume`, `stop`, `status`, `history`: what is told to a running one, and what it has done."""

from __future__ import annotations

import math
import sys
import time
from functools import partial
from typing import Any

import trio

from shoal import node as composition
from shoal.cli import output
from shoal.cli.earn import line_of
from shoal.core.idle import duration, parse_duration
from shoal.core.money import format_hbar
from shoal.earn import history, report
from shoal.earn.control import Control
from shoal.errors import MachineError, ShoalError
from shoal.settings import Settings

STOP_WAIT_S = 90.0


# ---------------------------------------------------------------- orders


def run_pause(settings: Settings, length: str | None, *, as_json: bool) -> None:
    """Pause a running `shoal earn` for some time, or until `resume`.

    Raises:
        MachineError: SHOAL-G01, no length of time; G02, none runs.
    """
    control = Control(settings.dir)
    seconds = math.inf if length is None else _seconds(length)
    control.need_running()
    orders = control.pause(time.time() + seconds)
    until = None if math.isinf(orders.paused_until_s) else orders.paused_until_s
    long = "until resumed" if until is None else f"for {duration(seconds)}"
    text = f"paused {long}; seats are kept, their chunks handed over"
    _said({"paused": True, "paused_until": until}, text, as_json)


def run_resume(settings: Settings, *, as_json: bool) -> None:
    """Raises MachineError: SHOAL-G02, none runs."""
    control = Control(settings.dir)
    control.need_running()
    control.resume()
    _said({"paused": False}, "goes on, where nothing else stands in the way: `shoal earn status`", as_json)


async def run_stop(settings: Settings, *, as_json: bool) -> None:
    """Stop a running `shoal earn`, and wait until it has.

    Raises:
        MachineError: SHOAL-G02, none runs; G05, it does not end.
    """
    control = Control(settings.dir)
    control.need_running()
    control.stop()
    with trio.move_on_after(STOP_WAIT_S):
        while control.running():  # noqa: ASYNC110 - the lock is the kernel's, and tells nobody
            await trio.sleep(0.2)
        _said({"stopped": True}, "stopped; its seats are given back", as_json)
        return
    raise MachineError(
        f"it has not stopped after {STOP_WAIT_S:.0f} s",
        code="SHOAL-G05",
        hint="it may be waiting for the ledger; Ctrl-C twice in its terminal ends it at once",
    )


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise MachineError(str(error), code="SHOAL-G01", hint="for example: shoal earn pause 2h") from error


def _said(record: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        output.print_json(record)
    else:
        output.say(text)


# ---------------------------------------------------------------- looking back


async def run_status(settings: Settings, *, as_json: bool) -> None:
    """What it does, why, what would change it; and what the ledger says of its earnings. Needs no key."""
    control = Control(settings.dir)
    state, running = control.present(), control.running()
    record, trouble = None, None
    try:
        _, record = await _earnings(settings, days=report.MONTH)
    except ShoalError as error:
        trouble = error
    if as_json:
        row = {key: value for key, value in (record or {}).items() if key != "items"}
        output.print_json({"running": state is not None, "state": state, "earnings": row or None,
                           "trouble": trouble.as_dict() if trouble else None})  # fmt: skip
        return
    if state is None:
        output.stdout.print(
            "not running: `shoal earn` starts it" if not running else "a node runs here, not `shoal earn`"
        )
    else:
        output.stdout.print(line_of({**state, "at": time.time()}), soft_wrap=True)
        for each in state.get("obstacles", [])[1:]:
            output.stdout.print(f"  also: {each['why']}; {each['until']}", soft_wrap=True)
        source = state.get("touch_seen_by") or "nobody: it cannot be told whether somebody is here"
        output.stdout.print(f"  keyboard and mouse are seen by {source}", soft_wrap=True)
    if trouble is not None:
        output.show_error(trouble, as_json=False)
    elif record is not None:
        _print_totals(record)


async def run_history(settings: Settings, days: int, *, as_csv: bool, as_json: bool) -> None:
    """Every line of the last days, from the ledger; needs no key."""
    found, record = await _earnings(settings, days=days)
    if as_json:
        for item in reversed(record.pop("items")):
            output.print_json(item)
        output.print_json(record)
    elif as_csv:
        sys.stdout.write(report.as_csv(found.last(days)))
    else:
        for line in found.last(days):
            _print_line(report.line_record(line))
        _print_totals(record)


async def _earnings(settings: Settings, *, days: int) -> tuple[history.History, dict[str, Any]]:
    async with _reader(settings) as ledger:
        place_of = partial(composition.place_of, settings)
        found = await history.read(ledger, place_of, days=max(days, report.MONTH))
        return found, await report.earnings(ledger, found, days=days, now_s=time.time())


def _reader(settings: Settings) -> Any:
    settings.need("operator_id", "contract_id")
    return composition.open_reader(settings)


def _print_line(row: dict[str, Any]) -> None:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["at"]))
    amounts = [f"+{format_hbar(row['earned_tinybar'])}"] if row["earned_tinybar"] else []
    amounts += [f"-{format_hbar(row['penalty_tinybar'])} penalty"] if row["penalty_tinybar"] else []
    amounts += [f"fee {format_hbar(row['fee_tinybar'])}"] if row["fee_tinybar"] else []
    task = (row["task_id"] or "")[:8]
    output.stdout.print(
        f"{at}  {row['kind']:10} {task:8}  {row['what']}  {', '.join(amounts)}  {row['transaction']}",
        soft_wrap=True, markup=False,
    )  # fmt: skip


def _print_totals(record: dict[str, Any]) -> None:
    for name, key in (("today", "today"), ("7 days", "days_7"), ("30 days", "days_30")):
        each = record[key]
        output.stdout.print(
            f"{name:8} earned {format_hbar(each['earned_tinybar'])}, fees {format_hbar(each['fees_tinybar'])}, "
            f"penalties {format_hbar(each['penalties_tinybar'])}: {format_hbar(each['profit_tinybar'])} left",
            soft_wrap=True,
        )
    held = format_hbar(record["withdrawable_tinybar"])
    output.stdout.print(
        f"in the contract: {held} to withdraw, {format_hbar(record['stake_tinybar'])} of stake", soft_wrap=True
    )
