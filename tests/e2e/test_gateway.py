"""A gateway and its users: each a tab with a wallet and no node, one of them through a whole task, for money."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import trio
from hiero_sdk_python import AccountId, TransferTransaction
from hiero_sdk_python.crypto.private_key import PrivateKey
from hiero_sdk_python.hapi.services.basic_types_pb2 import SignatureMap, SignaturePair

from shoal.adapters.hedera import HederaLedger
from shoal.core.signatures import prefixed
from shoal.node import open_ledger
from shoal.settings import Settings, write_toml

from .harness import Running, settings_file
from .tab import Tab
from .test_up import up

pytestmark = pytest.mark.e2e
FEE_PER_GIB = 10 * 10**8


def keys() -> dict[str, str]:
    """Of both kinds, as `operator_key` takes them."""
    return {
        "ed25519": f"ed25519:{PrivateKey.generate_ed25519().to_string_raw()}",
        "ecdsa": f"ecdsa:{PrivateKey.generate_ecdsa().to_string_raw()}",
    }


async def accounts(client_dir: Path, *, hbar: dict[str, tuple[str, int]]) -> dict[str, dict[str, str]]:
    """New accounts, paid by the local network's client: name -> operator_id and operator_key."""
    settings = Settings.model_validate({**settings_file(client_dir), "dir": client_dir})
    made = {}
    async with open_ledger(settings) as ledger:
        for name, (key, amount) in hbar.items():
            account = await ledger.create_account(amount * 10**8, key)
            made[name] = {"operator_id": account, "operator_key": key}
    return made


@contextlib.contextmanager
def gateway(home: Path, client_dir: Path, account: dict[str, str]) -> Iterator[dict[str, Any]]:
    """A node of its own, beside the network that `shoal up` keeps."""
    directory = home / "gateway"
    directory.mkdir(mode=0o700)
    values = {**settings_file(client_dir), **account, "storage_fee": FEE_PER_GIB, "gateway_objects": 40}
    values |= {"api_listen": "127.0.0.1:0", "command_listen": "127.0.0.1:0"}
    write_toml(directory / "shoal.toml", values)
    arguments = ["node", "run", "--role", "client", "--gateway", "--dir", str(directory), "--json"]
    running = Running(arguments, home)
    try:
        where = running.until(lambda: next((each for each in running.json() if "url" in each), None))
        yield {**where, "dir": directory, "running": running}
    finally:
        running.end()


async def sign_in(api: httpx.AsyncClient, account: dict[str, str], *, as_map: bool) -> None:
    """As a wallet does: the prefixed message, signed by the account's key."""
    challenge = (await api.post("/api/v1/sign-in/nonce", json={"account": account["operator_id"]})).json()
    kind, _, raw = account["operator_key"].partition(":")
    key = PrivateKey.from_string_ed25519(raw) if kind == "ed25519" else PrivateKey.from_string_ecdsa(raw)
    signature = key.sign(prefixed(challenge["message"]))
    wish = {"account": account["operator_id"], "nonce": challenge["nonce"]}
    if as_map:
        field = {"ed25519": "ed25519", "ecdsa": "ECDSA_secp256k1"}[kind]
        pair = SignaturePair(pubKeyPrefix=key.public_key().to_bytes_raw(), **{field: signature})
        wish["signature_map_b64"] = base64.b64encode(SignatureMap(sigPair=[pair]).SerializeToString()).decode()
    else:
        wish["signature"] = signature.hex()
    answer = await api.post("/api/v1/sign-in", json=wish)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["role"], answer.json()["account"]) == ("user", account["operator_id"])
    api.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    assert (await api.post("/api/v1/sign-in", json=wish)).status_code == 401, "a challenge is good once"


async def pay(wallet: HederaLedger, to: str, tinybar: int) -> None:
    """A plain transfer, as any wallet sends it."""
    payer = AccountId.from_string(wallet.account)

    def make() -> Any:
        transfer = TransferTransaction().add_hbar_transfer(payer, -tinybar)
        return transfer.add_hbar_transfer(AccountId.from_string(to), tinybar)

    await wallet._send_once(make, "transfer", f"fee/{time.time_ns()}")


@pytest.mark.timeout(560)
def test_a_user_without_a_node_trains_by_wallet_alone_and_others_see_nothing_of_it(tmp_path: Path) -> None:
    running, where = up(tmp_path)
    try:
        trio.run(_whole, tmp_path, Path(where["client_dir"]))
    finally:
        running.end()


async def _whole(home: Path, client_dir: Path) -> None:
    given = keys()
    made = await accounts(
        client_dir,
        hbar={"gateway": (given["ed25519"], 5), "alice": (given["ecdsa"], 30), "bob": (keys()["ed25519"], 2)},
    )
    with gateway(home, client_dir, made["gateway"]) as served:
        common = {name: value for name, value in settings_file(client_dir).items() if not name.startswith("s3_")}
        settings = {
            name: Settings.model_validate({**common, **made[name], "dir": home / name}) for name in ("alice", "bob")
        }
        async with (
            open_ledger(settings["alice"]) as wallet,
            httpx.AsyncClient(base_url=served["url"], timeout=180, trust_env=False) as alice,
            httpx.AsyncClient(base_url=served["url"], timeout=180, trust_env=False) as bob,
        ):
            await sign_in(alice, made["alice"], as_map=True)
            await sign_in(bob, made["bob"], as_map=False)
            tab = Tab(alice, wallet, "devnet", common["contract_id"])
            await _buys(tab, bob, home)
            await _is_left_alone(tab, bob)
        books = home / "gateway" / "node.db"
        assert tab.secret not in books.read_bytes() and tab.identity.encode() not in books.read_bytes()


async def _buys(tab: Tab, bob: httpx.AsyncClient, home: Path) -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 400).astype(np.int64)
    x = (rng.normal(size=(400, 6)) + 2.0 * y[:, None]).astype(np.float32)
    wish = {"chunks": 4, "trainers": 2, "rounds": 3, "bid_s": 25, "upload_bytes": 60_000}
    quote = await tab.prepare(x, y, classes=2, **wish)
    assert tab.info["gateway"] and quote["storage_fee_tinybar"] > 0 and quote["unit_s"] > 0
    fee = tab.taken["storage_fee_tinybar"]
    assert fee > 0 and tab.taken["storage_credit_tinybar"] == 0
    await pay(tab.wallet, tab.taken["storage_account"], fee)  # type: ignore[arg-type]
    await tab.create()
    assert (await bob.post(f"/api/v1/tasks/{tab.task}/announce")).status_code == 403
    await tab.award()
    bids = (await bob.get(f"/api/v1/tasks/{tab.task}/bids")).json()
    assert bids["sealed"] and bids["opened"] is None
    await tab.seat_and_start()
    sha256 = await tab.result(home / "result.safetensors")
    task = await tab.get(f"/tasks/{tab.task}")
    assert task["mine"] and task["result_sha256"] == sha256
    assert task["money"]["paid_tinybar"] + task["money"]["refunded_tinybar"] == task["money"]["escrow_tinybar"]
    assert task["checkpoints"][-1]["metric"] > 0.8
    storage = await tab.get("/storage")
    assert storage["credit_tinybar"] == 0, "the fee was paid, and spent once"


async def _is_left_alone(tab: Tab, bob: httpx.AsyncClient) -> None:
    """What one user cannot do with another's things, or with the node's."""
    api = "/api/v1"
    [upload, *_] = tab.objects.values()
    assert (await bob.get(f"{api}/chunks/{upload}")).status_code == 404
    assert (await bob.delete(f"{api}/chunks/{upload}")).status_code == 404
    assert (await bob.get(f"{api}/chunks")).json()["items"] == []
    assert (await bob.post(f"{api}/slots", json={"task_id": tab.task, "seat": 0})).status_code == 403
    assert (await bob.get(f"{api}/tasks")).json()["items"] == []
    assert [row["task_id"] for row in (await tab.get("/tasks"))["items"]] == [tab.task]
    assert (await bob.post(f"{api}/tasks/{tab.task}/cancel")).status_code == 403
    for path in ("tasks", "quotes", "pairing"):
        answer = await tab.api.post(f"{api}/{path}", json={})
        assert (answer.status_code, answer.json()["code"]) == (403, "SHOAL-U86"), path
    assert (await tab.api.get(f"{api}/tasks/{tab.task}/result")).status_code == 403
    assert (await bob.post(f"{api}/sign-out")).json() == {"closed": True}
    assert (await bob.get(f"{api}/chunks")).status_code == 401
