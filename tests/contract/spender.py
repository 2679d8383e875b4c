"""A program that pays once: `python spender.py SETTINGS STORE TINYBAR`; tests kill it and run it again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import trio

from shoal.adapters.hedera import HederaLedger, LedgerSettings
from shoal.adapters.store import SqliteStore
from shoal.core import calls


async def spend(settings: LedgerSettings, path: Path, tinybar: int) -> str:
    with SqliteStore(path) as store:
        async with HederaLedger.open(settings, store=store) as ledger:
            return (await ledger.call(calls.DepositStake(), value=tinybar)).transaction


if __name__ == "__main__":
    given, where, amount = sys.argv[1:]
    print(trio.run(spend, LedgerSettings(**json.loads(given)), Path(where), int(amount)), flush=True)
