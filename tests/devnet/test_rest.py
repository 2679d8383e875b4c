"""The mirror's REST API: pages that lose and double nothing, shapes that readers rely on, 400 for what is malformed."""

from __future__ import annotations

import time

import httpx
import pytest
from hiero_sdk_python import PrivateKey, ResponseCode, TransferTransaction

from .harness import HBAR, Devnet, eventually, function

TAG = bytes(range(32))


def log_key(log: dict[str, object]) -> tuple[object, object]:
    return log["timestamp"], log["index"]


def test_logs_are_paged_without_loss(devnet: Devnet) -> None:
    contract = devnet.deploy()
    for count in (3, 5, 1, 0, 7):
        assert devnet.call(contract, function("number(uint256,bytes32)", count, TAG)).status == ResponseCode.SUCCESS
    path = f"/contracts/{contract}/results/logs"
    whole = devnet.get(path, limit=100, order="asc")["logs"]
    assert len(whole) == 16
    for limit in (1, 2, 3, 5, 16):
        up = devnet.pages(f"{path}?limit={limit}&order=asc", "logs")
        down = devnet.pages(f"{path}?limit={limit}", "logs")
        assert up == whole and down == whole[::-1]
    first, last = whole[0]["timestamp"], whole[-1]["timestamp"]
    within = devnet.pages(f"{path}?limit=2&order=asc&timestamp=gt:{first}&timestamp=lte:{last}", "logs")
    assert within == [log for log in whole if log["timestamp"] > first]
    before = devnet.pages(f"{path}?limit=2&timestamp=gte:{first}&timestamp=lt:{last}", "logs")
    assert before == [log for log in whole[::-1] if log["timestamp"] < last]
    wanted = "0x" + (2).to_bytes(32, "big").hex()
    span = f"timestamp=gte:{first}&timestamp=lte:{last}"
    filtered = devnet.pages(f"{path}?limit=1&order=asc&{span}&topic1={wanted}", "logs")
    assert filtered == [log for log in whole if log["topics"][1] == wanted] and len(filtered) == 3
    assert all(log["topics"][2] == "0x" + TAG.hex() for log in whole)


def test_a_revert_shows_its_reason(devnet: Devnet) -> None:
    contract = devnet.deploy()
    receipt = devnet.call(contract, function("fail(uint256)", 9), tinybar=5)
    assert receipt.status == ResponseCode.CONTRACT_REVERT_EXECUTED
    identity = str(receipt.transaction_id).replace("@", "-")
    account, seconds, nanos = identity.rsplit("-", 1)[0], *identity.rsplit("-", 1)[1].split(".")
    identity = f"{account}-{seconds}-{nanos.zfill(9)}"
    result = devnet.get(f"/contracts/results/{identity}")
    assert result["error_message"] == "0x" + function("Refused(uint256)", 9).hex()
    assert result["result"] == "CONTRACT_REVERT_EXECUTED" and result["status"] == "0x0" and result["gas_used"] > 21_000
    assert devnet.get(f"/contracts/results/{result['hash']}") == result
    (transaction,) = devnet.get(f"/transactions/{identity}")["transactions"]
    assert transaction["result"] == "CONTRACT_REVERT_EXECUTED" and transaction["entity_id"] == str(contract)
    assert sum(entry["amount"] for entry in transaction["transfers"]) == 0


def test_simulated_calls(devnet: Devnet) -> None:
    contract = devnet.deploy(value=41, tinybar=6)
    answer = devnet.view(contract, function("value()"))
    assert int(answer.json()["result"], 16) == 41
    assert int(devnet.view(contract, function("value()"), estimate=True).json()["result"], 16) > 21_000
    refused = devnet.view(contract, function("failText()"))
    (message,) = refused.json()["_status"]["messages"]
    assert refused.status_code == 400
    assert (message["message"], message["detail"]) == ("CONTRACT_REVERT_EXECUTED", "no such luck")
    assert devnet.view(contract, function("deposit()"), value=5).status_code == 200
    assert int(devnet.view(contract, function("value()")).json()["result"], 16) == 41, "nothing was kept"


def test_transactions_of_an_account(devnet: Devnet) -> None:
    key = PrivateKey.generate_ed25519()
    account = devnet.account(key, 10 * HBAR)
    owner = devnet.client_of(account, key)
    for amount in (1, 2, 3):
        transfer = TransferTransaction().add_hbar_transfer(account, -amount)
        transfer.add_hbar_transfer(devnet.client.operator_account_id, amount).execute(owner, validate_status=True)
    owner.close()
    found = devnet.pages(f"/transactions?account.id={account}&limit=1&order=asc", "transactions")
    assert [row["name"] for row in found] == ["CRYPTOCREATEACCOUNT", *["CRYPTOTRANSFER"] * 3]
    assert all(sum(entry["amount"] for entry in row["transfers"]) == 0 for row in found)
    changes = [entry["amount"] for row in found for entry in row["transfers"] if entry["account"] == str(account)]
    (shown,) = devnet.get("/balances", **{"account.id": str(account)})["balances"]
    assert shown["balance"] == sum(changes)
    everything = devnet.pages("/transactions?limit=100&order=asc", "transactions")
    newest_first = devnet.pages("/transactions?limit=100", "transactions")
    assert everything == newest_first[::-1]
    assert len({(row["transaction_id"], row["nonce"]) for row in everything}) == len(everything)


def test_the_newest_block_moves_while_nothing_happens(devnet: Devnet) -> None:
    def newest() -> dict[str, object]:
        (block,) = devnet.get("/blocks", limit=1, order="desc")["blocks"]
        assert isinstance(block, dict)
        return block

    # A ledger that has just begun has not closed three blocks yet: the last page below needs them.
    eventually(lambda: len(devnet.get("/blocks", limit=3)["blocks"]) == 3, "three closed blocks")
    first = newest()
    moved = eventually(lambda: (block := newest())["number"] > first["number"] and block, "the next block")
    span = moved["timestamp"]
    number = int(moved["number"])
    assert (span["from"], span["to"]) == (f"{2 * number}.000000000", f"{2 * number + 1}.999999999")
    assert float(span["to"]) < time.time(), "it is closed"
    two = devnet.get("/blocks", limit=2)
    numbers = [block["number"] for block in two["blocks"]]
    (following, *_) = devnet.http.get(two["links"]["next"]).json()["blocks"]
    assert numbers[0] - 1 == numbers[1] == following["number"] + 1


def test_network(devnet: Devnet) -> None:
    assert devnet.get("/network/exchangerate")["current_rate"]["cent_equivalent"] == 12
    (node,) = devnet.get("/network/nodes")["nodes"]
    assert node["node_account_id"] == "0.0.3"
    assert devnet.supply() == 50_000_000_000 * HBAR


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/0.0.x",
        "/accounts/1.2.3",
        "/accounts/0.0.2?limit=0",
        "/accounts/0.0.2?limit=-1",
        "/accounts/0.0.2?limit=x",
        "/accounts/0.0.2?limit=1&limit=2",
        "/accounts/0.0.2?nonsense=1",
        "/balances?account.id=zz",
        "/blocks?order=up",
        "/blocks?block.number=ne:1",
        "/contracts/results/zz",
        "/topics/0.0.abc/messages",
        "/topics/%00/messages",
        "/transactions?timestamp=1.2.3",
        "/transactions?timestamp=gt:99999999999999999999",
        "/transactions?timestamp=foo:1",
        "/transactions?account.id=0.0.99999999999999999999",
        "/transactions/0.0.2@1.1",
        "/transactions?%ff=1",
    ],
)
def test_what_is_malformed_is_400(devnet: Devnet, path: str) -> None:
    response = devnet.http.get("/api/v1" + path)
    assert response.status_code == 400, response.text
    assert response.json()["_status"]["messages"][0]["message"]


def test_malformed_log_and_message_queries_are_400(devnet: Devnet) -> None:
    logs = f"/api/v1/contracts/{devnet.deploy()}/results/logs"
    for query in ("index=gt:1", "topic0=xyz", "topic0=0x01", "timestamp=gt:1&topic0=0x01", "index=lt:1&timestamp=gt:5"):
        assert devnet.http.get(f"{logs}?{query}").status_code == 400, query
    for body in (b"", b"[]", b"{}", b'{"to":"0x12"}', b'{"to":"0x' + b"0" * 40 + b'","gas":-1}', b"x" * 30_000):
        answer = devnet.http.post("/api/v1/contracts/call", content=body)
        assert answer.status_code == 400, body[:40]


@pytest.mark.parametrize("path", ["/accounts/0.0.999999", "/topics/0.0.2", "/contracts/0.0.2", "/nothing/here", "/x"])
def test_what_is_missing_is_404(devnet: Devnet, path: str) -> None:
    response = devnet.http.get("/api/v1" + path)
    assert response.status_code == 404
    assert response.json() == {"_status": {"messages": [{"message": "Not found"}]}}


def test_browsers_may_read(devnet: Devnet) -> None:
    origin = {"origin": "http://localhost:5173"}
    answer = devnet.http.get("/api/v1/network/supply", headers=origin)
    assert answer.headers["access-control-allow-origin"] == "*"
    asked = {**origin, "access-control-request-method": "POST", "access-control-request-headers": "x-grpc-web"}
    assert devnet.http.options("/proto.CryptoService/cryptoTransfer", headers=asked).status_code == 200
    bad: list[httpx.Response] = [
        devnet.http.post("/proto.CryptoService/cryptoTransfer", content=b"junk"),
        devnet.http.post("/proto.CryptoService/nothing", content=bytes(5)),
    ]
    assert [answer.headers["grpc-status"] for answer in bad] == ["3", "12"]
