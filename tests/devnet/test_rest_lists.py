"""The mirror's lists, which wallets and explorers page through: no row lost or doubled, and filters hold."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import pytest
from hiero_sdk_python import (
    AccountId,
    PrivateKey,
    TopicCreateTransaction,
    TopicMessageSubmitTransaction,
    TransferTransaction,
)

from .harness import HBAR, Devnet, eventually, function

TAG = bytes(32)


def numbers(rows: list[Any], name: str) -> list[int]:
    return [int(row[name].rsplit(".", 1)[1]) for row in rows]


def test_accounts(devnet: Devnet) -> None:
    keys = [PrivateKey.generate_ed25519(), PrivateKey.generate_ecdsa()]
    made = [devnet.account(keys[0], 3 * HBAR), devnet.account(keys[1], 4 * HBAR, alias=True)]
    whole = devnet.pages("/accounts?limit=100", "accounts")
    assert numbers(whole, "account") == sorted(numbers(whole, "account"))
    assert numbers(devnet.pages("/accounts?limit=3", "accounts"), "account") == numbers(whole, "account")
    down = devnet.pages("/accounts?limit=2&order=desc", "accounts")
    assert numbers(down, "account") == numbers(whole, "account")[::-1]
    for key, account in zip(keys, made, strict=True):
        text = key.public_key().to_string_raw()
        (found,) = devnet.get("/accounts", **{"account.publickey": text})["accounts"]
        assert found["account"] == str(account) and found["balance"]["balance"] in (3 * HBAR, 4 * HBAR)
    near = devnet.get("/accounts", **{"account.id": f"gte:{made[0]}", "account.balance": f"gt:{3 * HBAR}"})["accounts"]
    assert str(made[1]) in [row["account"] for row in near] and str(made[0]) not in [row["account"] for row in near]
    (bare,) = devnet.get("/accounts", **{"account.id": str(made[0]), "balance": "false"})["accounts"]
    assert bare["balance"] is None
    alias = devnet.get(f"/accounts/{made[1]}")["alias"]
    assert devnet.get(f"/accounts/{alias}")["account"] == str(made[1])
    assert devnet.http.get("/api/v1/accounts/" + "A" * 32).status_code == 404


def test_an_account_without_tokens(devnet: Devnet) -> None:
    for path, rows in (
        ("tokens", "tokens"),
        ("nfts", "nfts"),
        ("allowances/crypto", "allowances"),
        ("rewards", "rewards"),
    ):
        assert devnet.get(f"/accounts/0.0.2/{path}") == {rows: [], "links": {"next": None}}
        assert devnet.http.get(f"/api/v1/accounts/0.0.999999/{path}").status_code == 404
    assert devnet.get("/tokens")["tokens"] == []


def test_transactions_by_kind_and_direction(devnet: Devnet) -> None:
    key = PrivateKey.generate_ed25519()
    account = devnet.account(key, 10 * HBAR)
    owner = devnet.client_of(account, key)
    operator = devnet.client.operator_account_id
    TransferTransaction().add_hbar_transfer(account, -1).add_hbar_transfer(operator, 1).execute(owner)
    receipt = TopicCreateTransaction().execute(owner, validate_status=True)
    owner.close()

    def names(**query: Any) -> list[str]:
        query["account.id"] = str(account)
        return [row["name"] for row in devnet.get("/transactions", order="asc", **query)["transactions"]]

    assert names() == ["CRYPTOCREATEACCOUNT", "CRYPTOTRANSFER", "CONSENSUSCREATETOPIC"]
    assert names(type="credit") == ["CRYPTOCREATEACCOUNT"]
    assert names(type="debit") == ["CRYPTOTRANSFER", "CONSENSUSCREATETOPIC"]
    assert names(transactiontype=["cryptotransfer", "CONSENSUSCREATETOPIC"]) == [
        "CRYPTOTRANSFER",
        "CONSENSUSCREATETOPIC",
    ]
    of_account = devnet.get(f"/accounts/{account}", transactiontype="cryptotransfer", limit=5)["transactions"]
    assert [row["name"] for row in of_account] == ["CRYPTOTRANSFER"]
    assert devnet.http.get("/api/v1/transactions?type=credit").status_code == 400
    newest = devnet.get("/transactions", limit=1, **{"account.id": str(account)})["transactions"][0]
    raw = base64.b64decode(newest["transaction_hash"])
    for name in (newest["transaction_id"], raw.hex(), quote(newest["transaction_hash"], safe="")):
        assert devnet.get(f"/transactions/{name}")["transactions"] == [newest]
    assert newest["entity_id"] == str(receipt.topic_id)
    assert devnet.http.get(f"/api/v1/transactions/{newest['transaction_id']}?nonce=1").status_code == 404


def test_a_range_of_accounts_names_each_transaction_once(devnet: Devnet) -> None:
    devnet.account(PrivateKey.generate_ed25519(), HBAR)
    rows = devnet.pages("/transactions?account.id=gte:0.0.1&limit=7", "transactions")
    assert len({(row["transaction_id"], row["nonce"]) for row in rows}) == len(rows)
    assert rows == devnet.pages("/transactions?limit=100", "transactions")


def test_a_message_by_its_time(devnet: Devnet) -> None:
    topic = TopicCreateTransaction().execute(devnet.client, validate_status=True).topic_id
    TopicMessageSubmitTransaction(topic, "one").execute(devnet.client, validate_status=True)
    (row,) = devnet.get(f"/topics/{topic}/messages")["messages"]
    assert devnet.get(f"/topics/messages/{row['consensus_timestamp']}") == row
    assert devnet.http.get("/api/v1/topics/messages/1.000000001").status_code == 404
    assert devnet.http.get("/api/v1/topics/messages/x").status_code == 400


def test_contracts_and_their_storage(devnet: Devnet) -> None:
    first, second = devnet.deploy(value=5), devnet.deploy(value=6)
    shown = devnet.get("/contracts", limit=2)["contracts"]
    assert [row["contract_id"] for row in shown] == [str(second), str(first)]
    (only,) = devnet.get("/contracts", **{"contract.id": str(first)})["contracts"]
    assert "runtime_bytecode" not in only and len(devnet.get(f"/contracts/{first}")["runtime_bytecode"]) > 1000
    whole = devnet.pages("/contracts?limit=100&order=asc", "contracts")
    assert devnet.pages("/contracts?limit=1&order=asc", "contracts") == whole
    (slot,) = devnet.get(f"/contracts/{first}/state")["state"]
    assert int(slot["slot"], 16) == 0 and int(slot["value"], 16) == 5
    assert devnet.get(f"/contracts/{first}/state", slot="gt:0x0")["state"] == []


def test_results(devnet: Devnet) -> None:
    key = PrivateKey.generate_ecdsa()
    caller = devnet.account(key, 100 * HBAR, alias=True)
    owner = devnet.client_of(caller, key)
    contract = devnet.deploy()
    for count in (2, 0, 1):
        devnet.call(contract, function("number(uint256,bytes32)", count, TAG), client=owner)
    devnet.call(contract, function("failText()"))
    owner.close()
    path = f"/contracts/{contract}/results"
    whole = devnet.get(path, order="asc")["results"]
    assert [row["result"] for row in whole] == ["SUCCESS"] * 4 + ["CONTRACT_REVERT_EXECUTED"]
    assert devnet.pages(f"{path}?limit=2&order=asc", "results") == whole
    assert devnet.pages(f"{path}?limit=1", "results") == whole[::-1]
    address = devnet.get(f"/accounts/{caller}")["evm_address"]
    mine = devnet.get(path, order="asc", **{"from": address})["results"]
    assert mine == whole[1:4] and all(row["from"] == address for row in mine)
    one = devnet.get(f"{path}/{whole[1]['timestamp']}")
    assert len(one["logs"]) == 2 and {**one, **whole[1]} == one
    assert one == devnet.get(f"/contracts/results/{one['hash']}")
    assert set(whole[1]) == set(one) - {"logs", "state_changes", "failed_initcode"}
    within = devnet.get("/contracts/results", **{"block.number": f"gte:{one['block_number']}", "limit": 100})["results"]
    assert [row for row in within if row["contract_id"] == str(contract)][:4] == whole[1:][::-1]
    logs = devnet.get("/contracts/results/logs", **{"transaction.hash": one["hash"]}, order="asc")["logs"]
    assert [log["index"] for log in logs] == [0, 1] and logs == one["logs"]
    everything = devnet.pages("/contracts/results/logs?limit=3", "logs")
    assert [log for log in everything if log["contract_id"] == str(contract)][-2:] == logs[::-1]
    assert devnet.http.get(f"/api/v1{path}/1.000000001").status_code == 404


def test_blocks_by_number_hash_and_time(devnet: Devnet) -> None:
    block = eventually(lambda: devnet.get("/blocks", limit=2)["blocks"][1:], "two closed blocks")[0]
    number, digest = block["number"], block["hash"]
    for name in (number, digest, digest[2:], digest[:66]):
        assert devnet.get(f"/blocks/{name}") == block
    begin = block["timestamp"]["from"]
    assert devnet.get("/blocks", timestamp=begin)["blocks"] == [block]
    after = devnet.get("/blocks", timestamp=f"gt:{begin}", order="asc")["blocks"]
    assert after[0]["number"] == number + 1 and after[0]["previous_hash"] == digest
    before = devnet.get("/blocks", timestamp=f"lt:{block['timestamp']['to']}", limit=1)["blocks"]
    assert before == [block]
    for name, status in ((number + 10**6, 404), ("0x" + "ab" * 48, 404), ("0x" + "ab" * 32, 404), ("x", 400)):
        assert devnet.http.get(f"/api/v1/blocks/{name}").status_code == status


def test_nodes_and_fees(devnet: Devnet) -> None:
    page = devnet.get("/network/nodes", limit=1)
    assert devnet.http.get(page["links"]["next"]).json()["nodes"] == []
    assert devnet.get("/network/nodes", **{"node.id": "gt:0"})["nodes"] == []
    assert devnet.http.get("/api/v1/network/nodes?file.id=0.0.5").status_code == 400
    prices = {row["transaction_type"]: row["gas"] for row in devnet.get("/network/fees")["fees"]}
    assert prices["ContractCall"] == 71, "852 tinycent at 12 cents an HBAR"


@pytest.mark.parametrize("account", [AccountId(0, 0, 2), AccountId(0, 0, 98)])
def test_an_account_by_number_and_by_address(devnet: Devnet, account: AccountId) -> None:
    by_address = devnet.get(f"/accounts/0x{account.num:040x}", transactions="false")
    assert by_address["account"] == str(account) and by_address["transactions"] == []
