"""What only a real ledger can tell: the unit of `msg.value`, and that one task runs on it from funding to payment.

As opt-in as a test can be: see `conftest.py`. A devnet is a real ledger too:

    shoal devnet --json --dir /tmp/devnet &
    NETWORK=custom SHOAL_LEDGER_NODE=127.0.0.1:50211 SHOAL_MIRROR_REST=http://127.0.0.1:50213 \
        OPERATOR_ID=0.0.2 OPERATOR_KEY=... pytest tests/live
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from shoal.adapters.hedera import HederaLedger
from shoal.client.examples import example
from shoal.core import calls
from shoal.localnet.stack import local_stack
from shoal.node import ledger_settings
from shoal.settings import Settings

HBAR = 10**8
TRAINERS, ROUNDS = 2, 2
VALUE = 123_456_789
"""No power of ten: a factor of 10^10 or a rounding would show."""


@pytest.mark.timeout(600)
async def test_value_is_counted_in_tinybar(ledger: Settings) -> None:
    """Hedera's documents contradict one another on it; the contract's constructor checks it, and so do the balances."""
    async with HederaLedger.open(ledger_settings(ledger)) as operator:
        deployed = await operator.deploy("unit of msg.value")
        assert await operator.balance(deployed.contract_id) == 1, "one tinybar was sent with the deployment"
        key = operator.new_key()
        account = await operator.create_account(5 * HBAR, key)
    own = ledger.model_copy(update={"operator_id": account, "contract_id": deployed.contract_id})
    async with HederaLedger.open(ledger_settings(own.model_copy(update={"operator_key": _secret(key)}))) as trainer:
        before = await trainer.balance()
        outcome = await trainer.call(calls.Register(b"k" * 32, b"r" * 32), value=VALUE)
        await _passed(trainer, outcome.time_ns)
        state = await trainer.account_state(trainer.address)
        assert state.stake_tinybar == VALUE, "what the contract saw"
        assert await trainer.balance() == before - VALUE - outcome.fee_tinybar, "what the account paid"
        [movement] = [
            each
            for each in await trainer.movements(
                after_ns=outcome.time_ns - 1, until_ns=outcome.time_ns, account=trainer.account
            )
            if each.name == "CONTRACTCALL"
        ]
        assert movement.net_tinybar(deployed.contract_id) == VALUE, "what the contract got"
        rate = await trainer.rate()
        assert outcome.fee_tinybar < 10 * HBAR and rate.cents > 0


async def _passed(ledger: HederaLedger, time_ns: int) -> None:
    with trio.fail_after(60):
        while await ledger.watermark() < time_ns:  # noqa: ASYNC110 - the ledger tells nobody
            await trio.sleep(0.5)


def _secret(key: str) -> Any:
    return type(Settings().operator_key)(key)


@pytest.mark.timeout(1_800)
async def test_one_task_from_funding_to_payment(ledger: Settings, tmp_path: Path) -> None:
    """Nodes and storage on this machine, everything else on the ledger, with the deadlines of a public network."""
    talk: list[str] = []
    async with local_stack(
        tmp_path / "net", trainers=TRAINERS, say=talk.append, ledger=ledger, trainer_hbar=8, client_hbar=12
    ) as stack:
        told = await trio.to_thread.run_sync(_train, stack.client.dir, tmp_path, abandon_on_cancel=True)
        result, estimated = told["result"], told["estimated"]
        assert result["rounds"] == ROUNDS and result["test_metric"] > 0.8
        assert result["paid_tinybar"] + result["refunded_tinybar"] == estimated["escrow_tinybar"]
        assert result["paid_tinybar"] > 0 and Path(result["weights"]).stat().st_size > 0
        assert estimated["fees_client_tinybar"] * 0.5 < result["fees_tinybar"]
        assert result["fees_tinybar"] < estimated["fees_client_at_worst_tinybar"] * 1.1
        async with HederaLedger.open(ledger_settings(stack.client)) as client:
            owed = await client.liabilities()
            assert owed.escrow_tinybar == 0 and owed.total_tinybar <= await client.balance(client.contract)


def _train(directory: Path, cwd: Path) -> dict[str, Any]:
    """Look at the costs, then pay; what both said."""
    command = [sys.executable, "-m", "shoal", "train", str(example("breast_cancer"))]
    command += [
        "--trainers",
        str(TRAINERS),
        "--rounds",
        str(ROUNDS),
        "--budget",
        "1",
        "--dir",
        str(directory),
        "--json",
    ]
    ours = ("SHOAL_", "OPERATOR_", "NETWORK", "CONTRACT_ID")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    found = {}
    for last in ("--dry-run", "--yes"):
        done = subprocess.run([*command, last], cwd=cwd, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
        for line in done.stdout.splitlines():
            event = json.loads(line)
            found[event.get("event")] = event
    return found
