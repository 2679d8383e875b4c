"""The process: restarts, two at once, and kill -9 under load."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hiero_sdk_python import (
    AccountId,
    ContractExecuteTransaction,
    ContractId,
    TopicCreateTransaction,
    TopicId,
    TopicMessageSubmitTransaction,
    TransferTransaction,
)

from .harness import SUPPLY, Devnet, eventually, function


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    first = Devnet(tmp_path)
    contract = first.deploy(value=5)
    first.call(contract, function("deposit()"), tinybar=4)
    topic = TopicCreateTransaction().execute(first.client, validate_status=True).topic_id
    TopicMessageSubmitTransaction(topic, "one").execute(first.client, validate_status=True)
    assert first.stop() == 0
    second = Devnet(tmp_path)
    assert int(second.view(contract, function("value()")).json()["result"], 16) == 9
    receipt = TopicMessageSubmitTransaction(topic, "two").execute(second.client, validate_status=True)
    assert receipt.status == 22
    assert [row["sequence_number"] for row in second.pages(f"/topics/{topic}/messages", "messages")] == [1, 2]
    assert second.deploy().contract == topic.num + 1 and second.supply() == SUPPLY
    assert second.stop(signal.SIGINT) == 0


def test_a_second_one_says_what_is_wrong(devnet: Devnet, tmp_path: Path) -> None:
    net = Devnet(tmp_path)
    base = [sys.executable, "-m", "shoal.adapters.devnet"]
    port = net.endpoints["node"].rsplit(":", 1)[1]
    locked = [*base, "--dir", str(tmp_path), "--port-base", "0"]
    taken = [*base, "--dir", str(tmp_path / "other"), "--port-base", port]
    for command, text in ((locked, "SHOAL-P03 another devnet"), (taken, f"SHOAL-P02 port {port} is in use")):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 12 and text in done.stderr and "Traceback" not in done.stderr and not done.stdout
    net.stop()


class Load:
    """A thread each of transfers, calls and messages, until the devnet is gone; keeps what was acknowledged."""

    def __init__(self, net: Devnet, target: AccountId, contract: ContractId, topic: TopicId) -> None:
        self.acknowledged: set[str] = set()
        self._net = net
        self._threads = [
            threading.Thread(target=self._run, args=(make,))
            for make in (
                lambda: TransferTransaction().add_hbar_transfer(AccountId(0, 0, 2), -1).add_hbar_transfer(target, 1),
                lambda: ContractExecuteTransaction(contract, 100_000, 1).set_function_parameters(function("deposit()")),
                lambda: TopicMessageSubmitTransaction(topic, "x" * 900),
            )
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, make: Callable[[], Any]) -> None:
        net = self._net
        client = net.client_of(AccountId(0, 0, 2), net.key)
        client.max_attempts = 1
        while net.process.poll() is None:
            try:
                answer = make().execute(client, wait_for_receipt=False)
            except Exception:  # whatever the SDK makes of a server that dies under it: not acknowledged
                continue
            self.acknowledged.add(mirror_id(str(answer.transaction_id)))
        client.close()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def mirror_id(text: str) -> str:
    """`0.0.2@1.5` as the mirror writes it: `0.0.2-1-000000005`."""
    account, start = text.split("@")
    seconds, nanos = start.split(".")
    return f"{account}-{seconds}-{nanos.zfill(9)}"


def test_kill_loses_nothing_that_was_acknowledged(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    net = Devnet(tmp_path)
    target, contract = net.account(net.key, 0), net.deploy(value=0)
    topic = TopicCreateTransaction().execute(net.client, validate_status=True).topic_id
    acknowledged: set[str] = set()
    for _ in range(request.config.getoption("--kill-rounds", default=3)):
        load = Load(net, target, contract, topic)
        eventually(lambda load=load: len(load.acknowledged) >= 60, "load")
        net.stop(signal.SIGKILL)
        load.join()
        acknowledged |= load.acknowledged
        net = Devnet(tmp_path)
        rows = net.pages("/transactions?limit=100&order=asc&result=success", "transactions")
        assert acknowledged <= {row["transaction_id"] for row in rows}, "an acknowledged transaction is missing"
        done = Counter(row["name"] for row in rows)
        (shown,) = net.get("/balances", **{"account.id": str(target)})["balances"]
        assert shown["balance"] == done["CRYPTOTRANSFER"]
        assert int(net.view(contract, function("value()")).json()["result"], 16) == done["CONTRACTCALL"]
        messages = net.pages(f"/topics/{topic}/messages?limit=100", "messages")
        assert [row["sequence_number"] for row in messages] == list(range(1, done["CONSENSUSSUBMITMESSAGE"] + 1))
        logs = net.pages(f"/contracts/{contract}/results/logs?limit=100", "logs")
        assert len(logs) == done["CONTRACTCALL"] and net.supply() == SUPPLY
    assert net.stop() == 0
