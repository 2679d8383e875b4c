"""A payment happens once, wherever the connection breaks, and wherever the process is killed: counted on the ledger."""

from __future__ import annotations

import dataclasses
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from shoal.adapters.hedera import HederaLedger, LedgerSettings
from shoal.adapters.hedera.sdk import Nodes
from shoal.adapters.store import SqliteStore
from shoal.core import calls
from shoal.core.events import StakeDeposited
from shoal.core.money import Tinybar

from .ledger import HBAR, Devnet, provision
from .wire import RECEIPT, SUBMIT, Cut, Wire, cutting

SPENDER = Path(__file__).with_name("spender.py")
AMOUNTS = itertools.count(1_001)
POINTS = [(method, cut) for method in (SUBMIT, RECEIPT) for cut in Cut]
NAMES = [f"{method.rpartition('/')[2]} {cut.value}" for method, cut in POINTS]


@pytest.fixture(scope="module")
def registered(devnet: Devnet) -> LedgerSettings:
    settings = provision(devnet)

    async def register() -> None:
        async with HederaLedger.open(settings) as ledger:
            await ledger.call(calls.Register(b"k" * 32, b"r" * 32), value=5 * HBAR)

    trio.run(register)
    return settings


@pytest.fixture
async def counter(registered: LedgerSettings) -> AsyncIterator[Any]:
    """How often an amount was deposited, by the contract's events; none of them can be missing from its balance."""
    async with HederaLedger.open(registered) as ledger:
        before, begin = await ledger.account_state(ledger.address), await ledger.watermark()

        async def count(amount: int) -> int:
            events = [each.event for each in await ledger.events(after_ns=begin, until_ns=await ledger.watermark())]
            gained = (await ledger.account_state(ledger.address)).stake_tinybar - before.stake_tinybar
            assert gained == sum(int(each.amount) for each in events if isinstance(each, StakeDeposited))
            return events.count(StakeDeposited(ledger.address, Tinybar(amount)))

        yield count


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(("method", "cut"), POINTS, ids=NAMES)
async def test_wherever_the_connection_breaks(
    registered: LedgerSettings, counter: Any, method: str, cut: Cut, times: int
) -> None:
    amount = next(AMOUNTS)
    async with cutting(Wire(method, cut, times), registered.node) as wire:
        async with HederaLedger.open(dataclasses.replace(registered, node=wire.address)) as ledger:
            await ledger.call(calls.DepositStake(), value=amount)
            assert wire.cuts >= 1, "the test cut nothing"
            assert wire.calls.count(SUBMIT) >= 1 + (method == SUBMIT and cut is Cut.BEFORE_REQUEST)
    assert await counter(amount) == 1


@pytest.mark.parametrize(("method", "cut"), POINTS, ids=NAMES)
async def test_wherever_the_process_is_killed(
    registered: LedgerSettings, counter: Any, tmp_path: Path, method: str, cut: Cut
) -> None:
    amount, store = next(AMOUNTS), tmp_path / "node.db"
    async with cutting(Wire(method, cut, stall=True), registered.node) as wire:
        child = _spender(dataclasses.replace(registered, node=wire.address), store, amount)
        try:
            with trio.fail_after(60):
                await wire.reached.wait()
            child.send_signal(signal.SIGKILL)
        finally:
            child.kill()
            printed, _ = await trio.to_thread.run_sync(child.communicate)
    assert not printed, "it was killed before it knew that it had paid"
    again = _spender(registered, store, amount)
    printed, problem = await trio.to_thread.run_sync(lambda: again.communicate(timeout=120))
    assert again.returncode == 0, problem
    assert await counter(amount) == 1
    with SqliteStore(store) as kept:
        assert not kept.items("transactions"), "it is over, and the next payment of this amount is another"


def _spender(settings: LedgerSettings, store: Path, amount: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(SPENDER), json.dumps(dataclasses.asdict(settings)), str(store), str(amount)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def test_who_did_not_take_note_of_a_payment_is_told_of_it(
    registered: LedgerSettings, counter: Any, tmp_path: Path
) -> None:
    """Killed between the ledger's answer and the caller's."""
    amount = next(AMOUNTS)
    with SqliteStore(tmp_path / "node.db") as store:
        async with HederaLedger.open(registered, store=store) as ledger:
            ledger._submitter.forget = lambda name: None  # type: ignore[method-assign]
            first = await ledger.call(calls.DepositStake(), value=amount)
        async with HederaLedger.open(registered, store=store) as ledger:
            assert await ledger.call(calls.DepositStake(), value=amount) == first
            assert await counter(amount) == 1
            assert await ledger.call(calls.DepositStake(), value=amount) != first
    assert await counter(amount) == 2


async def test_two_requests_for_the_same_at_once_are_two(
    registered: LedgerSettings, counter: Any, tmp_path: Path
) -> None:
    amount = next(AMOUNTS)
    with SqliteStore(tmp_path / "node.db") as store:
        async with HederaLedger.open(registered, store=store) as ledger:
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(lambda: ledger.call(calls.DepositStake(), value=amount))
    assert await counter(amount) == 2


async def test_a_client_whose_only_node_is_held_out_is_rebuilt(
    registered: LedgerSettings, counter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK would hold it out for 16 s after one broken connection, and answer 'all nodes are unhealthy'."""
    amount, made, make = next(AMOUNTS), [], Nodes._make

    def counted(nodes: Nodes) -> Any:
        made.append(nodes)
        return make(nodes)

    monkeypatch.setattr(Nodes, "_make", counted)
    async with cutting(Wire(SUBMIT, Cut.BEFORE_REQUEST), registered.node) as wire:
        async with HederaLedger.open(dataclasses.replace(registered, node=wire.address)) as ledger:
            await ledger.call(calls.DepositStake(), value=amount)
            assert (wire.cuts, len(made)) == (1, 2)
    assert await counter(amount) == 1
