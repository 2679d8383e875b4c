"""A devnet process, and an account on it with the market's contract."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import trio

from shoal.adapters.hedera import HederaLedger, LedgerSettings

HBAR = 10**8


class Devnet:
    """A devnet process that can be killed and started again on the same ports."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for _ in range(5):  # another test may have taken a port in between
            self._base = _free_base()
            if self._came_up():
                return
        raise AssertionError("no devnet came up")

    def start(self) -> None:
        assert self._came_up(), "the devnet did not come up again"

    def _came_up(self) -> bool:
        command = [sys.executable, "-m", "shoal.adapters.devnet", "--dir", str(self._directory)]
        command += ["--port-base", str(self._base), "--json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.kill()
            return False
        self.endpoints = json.loads(line)
        return True

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def settings(self, **changes: str) -> LedgerSettings:
        names = ("node", "node_account", "mirror_grpc", "mirror_rest", "operator_id", "operator_key")
        return LedgerSettings("devnet", **{**{name: self.endpoints[name] for name in names}, **changes})


def _free_base() -> int:
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            base = int(first.getsockname()[1])
        if base < 65_000:
            return base


def provision(devnet: Devnet) -> LedgerSettings:
    """An account of its own on a ledger with the contract."""

    async def make() -> LedgerSettings:
        async with HederaLedger.open(devnet.settings()) as operator:
            key = operator.new_key()
            account = await operator.create_account(100 * HBAR, key)
            contract = (await operator.deploy("market", min_dispute_s=1)).contract_id
            return devnet.settings(operator_id=account, operator_key=key, contract_id=contract)

    return trio.run(make)
