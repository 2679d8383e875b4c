"""The earnings of one account as plain records, for the command line and the HTTP API alike."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from typing import Any

from shoal.core.earnings import Line, Total
from shoal.core.task import SECOND_NS
from shoal.earn.history import History
from shoal.ports import LedgerView

COLUMNS = (
    "consensus_time", "transaction", "kind", "what", "task_id", "earned_tinybar", "penalty_tinybar", "fee_tinybar",
    "net_tinybar",
)  # fmt: skip


MONTH = 30
"""Days of the longest total: a history has to reach as far."""


async def earnings(ledger: LedgerView, history: History, *, days: float, now_s: float) -> dict[str, Any]:
    """Totals of today, 7 and 30 days, and the lines of the last `days`, the newest first.

    Args:
        history: of 30 days at least, and of `days`.
        now_s: Unix time here, for where today begins.
    """
    account = await ledger.account_state(ledger.address)
    today_ns = int(midnight(now_s)) * SECOND_NS
    return {
        "account": history.account,
        "read_at": history.until_ns / SECOND_NS,
        "withdrawable_tinybar": int(account.balance_tinybar),
        "stake_tinybar": int(account.stake_tinybar),
        "today": total_record(history.since(today_ns)),
        "days_7": total_record(history.total(7 * 86_400)),
        "days_30": total_record(history.total(MONTH * 86_400)),
        "items": [line_record(line) for line in reversed(history.last(days))],
    }


def total_record(total: Total) -> dict[str, int]:
    return {
        "earned_tinybar": int(total.earned),
        "penalties_tinybar": int(total.penalties),
        "fees_tinybar": int(total.fees),
        "profit_tinybar": total.profit,
    }


def line_record(line: Line) -> dict[str, Any]:
    return {
        "at": line.time_ns / SECOND_NS,
        "transaction": line.transaction,
        "kind": str(line.kind),
        "what": line.what,
        "task_id": line.task or None,
        "earned_tinybar": int(line.earned),
        "penalty_tinybar": int(line.penalty),
        "fee_tinybar": int(line.fee),
        "net_tinybar": line.net,
    }


def as_csv(lines: Sequence[Line]) -> str:
    """Lines as a table; consensus time in nanoseconds' precision, as the mirror writes it."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for line in lines:
        at = f"{line.time_ns // SECOND_NS}.{line.time_ns % SECOND_NS:09d}"
        row = line_record(line)
        writer.writerow([at, *(row[name] for name in COLUMNS[1:])])
    return out.getvalue()


def midnight(now_s: float) -> float:
    """When this day began here, in Unix time."""
    local = time.localtime(now_s)
    return time.mktime((local.tm_year, local.tm_mon, local.tm_mday, 0, 0, 0, 0, 0, -1))
