"""What `shoal devnet` is told at the start: accounts, block time, control of the clock; and the mirror's one port."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import httpx
import pytest
from hiero_sdk_python import AccountId, PrivateKey, TopicCreateTransaction, TransferTransaction

from shoal.adapters.devnet.server import LOCAL_NODE_PORTS, DevnetConfig
from shoal.errors import ProcessError

from .direct import Direct
from .harness import HBAR, SUPPLY, Devnet, function

DAY_S = 86_400


def seconds(text: str) -> float:
    return float(text)


def test_accounts_are_funded_and_the_same_at_each_start(tmp_path: Path) -> None:
    net = Devnet(tmp_path, "--accounts", "3")
    first = net.endpoints["accounts"]
    assert [account["key_type"] for account in first] == ["ECDSA_SECP256K1", "ED25519", "ECDSA_SECP256K1"]
    for account in first:
        key = PrivateKey.from_string_der(account["private_key"])
        shown = net.get(f"/accounts/{account['evm_address']}")
        assert shown["account"] == account["account"] and shown["balance"]["balance"] == 10_000 * HBAR
        assert shown["key"]["key"] == key.public_key().to_string_raw()
        owner = net.client_of(AccountId.from_string(account["account"]), key)
        transfer = TransferTransaction().add_hbar_transfer(owner.operator_account_id, -1)
        transfer.add_hbar_transfer(AccountId(0, 0, 2), 1).execute(owner, validate_status=True)
        owner.close()
    assert net.stop() == 0
    again = Devnet(tmp_path, "--accounts", "5")
    assert again.endpoints["accounts"][:3] == first and len(again.endpoints["accounts"]) == 5
    assert again.supply() == SUPPLY and again.stop() == 0
    other = Devnet(tmp_path / "other", "--accounts", "1")
    assert other.endpoints["accounts"][0]["private_key"] != first[0]["private_key"]
    assert other.stop() == 0


def test_the_clock_moves_forward_and_stays_there(tmp_path: Path) -> None:
    net = Devnet(tmp_path, "--control", "--block-time", "0.5")
    url = net.endpoints["control"]
    contract = net.deploy()
    before = httpx.get(url, trust_env=False).json()
    moved = httpx.post(url, json={"advance_s": DAY_S}, trust_env=False).json()
    assert seconds(moved["now"]) - seconds(before["now"]) >= DAY_S and moved["offset_s"] == DAY_S
    topic = TopicCreateTransaction().execute(net.client, validate_status=True).topic_id
    created = seconds(net.get(f"/topics/{topic}")["created_timestamp"])
    assert created > seconds(before["now"]) + DAY_S, "and the SDK's transactions, stamped now, are still valid"
    seen = int(net.view(contract, function("look()")).json()["result"][2 + 128 : 2 + 192], 16)
    assert seen >= seconds(before["now"]) + DAY_S - 1, "block.timestamp"
    (block,) = net.get("/blocks", limit=1)["blocks"]
    span = seconds(block["timestamp"]["to"]) - seconds(block["timestamp"]["from"])
    assert 0.49 < span <= 0.5 and block["number"] == int(seconds(block["timestamp"]["from"]) * 2)
    for bad in ({"advance_s": -1}, {"advance_s": "1"}, {"advance_s": True}, {}, [], {"advance_s": 1e300}):
        assert httpx.post(url, content=json.dumps(bad), trust_env=False).status_code == 400
    page = {"origin": "http://localhost:3000"}
    assert httpx.post(url, json={"advance_s": 1}, headers=page, trust_env=False).status_code == 403
    assert net.stop() == 0
    again = Devnet(tmp_path)
    assert again.endpoints["control"] is None and again.http.get("/control/clock").status_code == 405
    later = TopicCreateTransaction().execute(again.client, validate_status=True).topic_id
    assert seconds(again.get(f"/topics/{later}")["created_timestamp"]) > created
    assert again.stop() == 0


def test_a_ledger_keeps_its_block_time(tmp_path: Path) -> None:
    direct = Direct(tmp_path, block_ns=10**9)
    direct.store.close()
    direct = Direct(tmp_path)
    assert direct.ledger.clock.block_of(5 * 10**9) == 5
    direct.store.close()
    with pytest.raises(ProcessError, match="its blocks take 1 s") as caught:
        Direct(tmp_path, block_ns=2 * 10**9)
    assert caught.value.code == "SHOAL-P04"


def test_moving_time_ends_a_wait_for_it(tmp_path: Path) -> None:
    direct = Direct(tmp_path)
    woken: list[int] = []
    direct.ledger.on_change(lambda: woken.append(direct.ledger.now_ns()))
    before = direct.ledger.now_ns()
    direct.ledger.advance(10**9)
    assert woken == [before + 10**9]
    for wrong in (-1, 10**20):
        with pytest.raises(ValueError, match="forward only"):
            direct.ledger.advance(wrong)
    direct.store.close()


def test_the_mirrors_port_speaks_both_protocols(devnet: Devnet) -> None:
    address = devnet.endpoints["mirror_grpc"]
    shown = httpx.get(f"http://{address}/api/v1/network/nodes", trust_env=False).json()
    assert shown == devnet.get("/network/nodes")
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=30) as slow:
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0":  # the preface, then empty settings
            slow.sendall(bytes([byte]))
        assert slow.recv(9)[3] == 4, "the server's settings: it is the gRPC server that answers"
    for broken in (b"", b"PRI * HTTP/2.0\r\n"):
        with socket.create_connection((host, int(port)), timeout=30) as gone:
            gone.sendall(broken)
            gone.shutdown(socket.SHUT_WR)
            assert gone.recv(1) == b""


def test_ports() -> None:
    assert DevnetConfig(Path(), port_base=7000).ports == (7000, 7001, 7002)
    assert DevnetConfig(Path(), port_base=0).ports == (0, 0, 0)
    assert DevnetConfig(Path(), local_node=True).ports == LOCAL_NODE_PORTS
