"""`shoal wallet leave`: a validator gets its stake back, and hears why where it does not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import trio.testing

from shoal.cli import wallet
from shoal.core import calls
from shoal.errors import MarketError
from shoal.settings import Settings
from shoal.testing.court import DRAW_BLOCKS
from shoal.testing.market import VALIDATOR_STAKE

from ..roles.fakes import FakeKeys, FakeLedger


async def test_a_validator_leaves_and_its_stake_begins_to_come_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], autojump_clock: trio.testing.MockClock
) -> None:
    ledger, keys = FakeLedger(0), FakeKeys("validator")

    @asynccontextmanager
    async def opened(settings: Settings) -> AsyncIterator[Any]:
        yield SimpleNamespace(ledger=ledger.port(keys.address))

    monkeypatch.setattr(wallet, "open_wallet", opened)
    settings = Settings(contract_id="0.0.1001")
    ledger.run_call(keys.address, calls.Register(keys.signing_key, keys.recipient), VALIDATOR_STAKE)
    with pytest.raises(MarketError) as caught:
        await wallet.run_leave(settings, yes=True, as_json=True)
    assert caught.value.code == "SHOAL-T23"
    ledger.run_call(keys.address, calls.JoinValidators())
    await wallet.run_leave(settings, yes=True, as_json=True)
    shown = capsys.readouterr()
    record = json.loads(shown.out.splitlines()[-1])
    assert record["reserved_tinybar"] == VALIDATOR_STAKE and "again in 10 minutes" in shown.err.replace("\n", " ")
    with pytest.raises(MarketError) as early:
        await wallet.run_leave(settings, yes=True, as_json=True)
    assert early.value.code == "SHOAL-T25"
    ledger.skip(DRAW_BLOCKS + 5)
    await wallet.run_leave(settings, yes=True, as_json=True)
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record["reserved_tinybar"] == 0 and ledger.market.account(keys.address).unbonding == VALIDATOR_STAKE
    assert keys.address not in ledger.market.court.pool
