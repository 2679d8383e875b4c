"""Starts devnet processes and talks to them as any client would: with the official SDK and plain HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from eth_abi import encode
from hiero_sdk_python import (
    AccountCreateTransaction,
    AccountId,
    Client,
    ContractCreateTransaction,
    ContractExecuteTransaction,
    ContractId,
    PrivateKey,
)

from shoal.core.ids import keccak256

HBAR = 10**8
SUPPLY = 50_000_000_000 * HBAR
PROBE = bytes.fromhex("".join(Path(__file__).with_name("probe.hex").read_text().split()))
DEADLINE_S = 30.0


def eventually(check: Callable[[], Any], what: str = "condition") -> Any:
    """Poll until `check` gives something true; fails after the deadline."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if value := check():
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true in {DEADLINE_S} s")


def function(signature: str, *values: Any) -> bytes:
    """Call data: `function("number(uint256,bytes32)", 3, tag)`."""
    types = signature[signature.index("(") + 1 : -1]
    return keccak256(signature.encode())[:4] + encode(types.split(",") if types else [], values)


class Devnet:
    """One devnet process on a directory."""

    def __init__(self, directory: Path, *options: str) -> None:
        command = [sys.executable, "-m", "shoal.adapters.devnet", "--dir", str(directory), "--port-base", "0"]
        self.process = subprocess.Popen([*command, "--json", *options], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"devnet ended with {self.process.wait()}"
        self.endpoints: dict[str, Any] = json.loads(line)
        self.http = httpx.Client(base_url=self.endpoints["mirror_rest"], timeout=30, trust_env=False)
        self.key = PrivateKey.from_string_der(self.endpoints["operator_key"])
        self.client = self.client_of(AccountId.from_string(self.endpoints["operator_id"]), self.key)

    def client_of(self, account: AccountId, key: PrivateKey) -> Client:
        client = Client.for_network({self.endpoints["node"]: AccountId.from_string(self.endpoints["node_account"])})
        client.network.mirror_address = self.endpoints["mirror_grpc"]
        client.set_operator(account, key)
        return client

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a mirror endpoint, below /api/v1."""
        response = self.http.get("/api/v1" + path, params=query)
        assert response.status_code == 200, response.text
        return response.json()

    def pages(self, path: str, rows: str) -> list[Any]:
        """All rows, following links.next."""
        found: list[Any] = []
        link = "/api/v1" + path
        while link:
            response = self.http.get(link)
            assert response.status_code == 200, response.text
            body = response.json()
            assert len(found) < 100_000, "pages never end"
            found += body[rows]
            link = body["links"]["next"]
        return found

    def account(self, key: PrivateKey, tinybar: int, *, alias: bool = False) -> AccountId:
        """Create an account that the operator pays for."""
        transaction = AccountCreateTransaction().set_initial_balance(tinybar)
        if alias:
            transaction.set_key_with_alias(key)
            transaction.freeze_with(self.client).sign(key)
        else:
            transaction.set_key_without_alias(key)
        account: AccountId = transaction.execute(self.client, validate_status=True).account_id
        return account

    def deploy(self, value: int = 7, tinybar: int = 0) -> ContractId:
        """A new Probe contract, from init code."""
        transaction = ContractCreateTransaction().set_bytecode(PROBE + encode(["uint256"], [value]))
        transaction.set_gas(2_000_000).set_initial_balance(tinybar)
        contract: ContractId = transaction.execute(self.client, validate_status=True).contract_id
        return contract

    def call(self, contract: ContractId, data: bytes, *, tinybar: int = 0, client: Client | None = None) -> Any:
        """Call a contract; the receipt, whatever its status."""
        transaction = ContractExecuteTransaction().set_contract_id(contract).set_gas(1_000_000)
        transaction.set_payable_amount(tinybar).set_function_parameters(data)
        return transaction.execute(client or self.client)

    def view(self, contract: ContractId, data: bytes, **more: Any) -> httpx.Response:
        """POST /contracts/call."""
        address = self.get(f"/contracts/{contract}")["evm_address"]
        return self.http.post("/api/v1/contracts/call", json={"to": address, "data": "0x" + data.hex(), **more})

    def supply(self) -> int:
        return int(self.get("/network/supply")["total_supply"])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; returns the exit status."""
        self.client.close()
        self.http.close()
        os.kill(self.process.pid, number)
        assert self.process.stdout is not None
        status = self.process.wait(DEADLINE_S)
        self.process.stdout.close()
        return status
