"""The commands that deal with the ledger, as processes: deployed once, asked first, and no key ever shown."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from shoal.adapters.hedera import HederaLedger, LedgerSettings
from shoal.core import calls
from shoal.core.codec import digest
from shoal.core.ids import task_id
from shoal.core.quote import LOCAL_TIMING, quote
from shoal.settings import write_toml

from .ledger import HBAR, Devnet
from .wire import Cut, Wire, cutting

SHOAL = [sys.executable, "-m", "shoal"]
RAW = "c0ffee5eed" + "9d3b7a61f04e8c2d" * 3 + "a5f1c7"
DER = "302e020100300506032b657004220420" + RAW
FILES, CONTRACTS = "/proto.FileService/", "/proto.SmartContractService/"


def environment(**more: str) -> dict[str, str]:
    ours = ("SHOAL_", "OPERATOR_", "NETWORK", "CONTRACT_ID")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | more


def where(settings: LedgerSettings, **changes: str) -> dict[str, str]:
    """The network, as people set it in the environment; it is their own, and neither preset."""
    return {
        "NETWORK": "custom",
        "SHOAL_LEDGER_NODE": settings.node,
        "SHOAL_MIRROR_REST": settings.mirror_rest,
        "OPERATOR_ID": settings.operator_id,
        "OPERATOR_KEY": settings.operator_key,
        **changes,
    }


def shoal(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SHOAL, *arguments],
        cwd=cwd,
        env=environment(HOME=str(cwd), **env),
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def last(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    value = json.loads(done.stdout.strip().splitlines()[-1])
    assert isinstance(value, dict)
    return value


def code(done: subprocess.CompletedProcess[str]) -> str:
    return str(last(done)["error"]["code"])


@pytest.fixture
def operator(devnet: Devnet) -> LedgerSettings:
    """A funded account whose key is the canary."""
    return canary_account(devnet, 500)


def canary_account(devnet: Devnet, hbar: int) -> LedgerSettings:
    async def make() -> LedgerSettings:
        async with HederaLedger.open(devnet.settings()) as ledger:
            account = await ledger.create_account(hbar * HBAR, f"ed25519:{RAW}")
            return devnet.settings(operator_id=account, operator_key=RAW)

    return trio.run(make)


# ---------------------------------------------------------------- deploying


@pytest.mark.parametrize(
    "method", [FILES + "createFile", FILES + "appendContent", CONTRACTS + "createContract"], ids=lambda text: text[7:]
)
@pytest.mark.parametrize("cut", [Cut.BEFORE_REQUEST, Cut.AFTER_REQUEST, Cut.BEFORE_ANSWER])
async def test_a_deployment_that_is_killed_goes_on_and_makes_one_contract(
    devnet: Devnet, tmp_path: Path, method: str, cut: Cut
) -> None:
    settings = await trio.to_thread.run_sync(canary_account, devnet, 500)
    command = [*SHOAL, "contract", "deploy", "--yes", "--json"]
    async with cutting(Wire(method, cut, stall=True), settings.node) as wire:
        env = environment(HOME=str(tmp_path), **where(settings, SHOAL_LEDGER_NODE=wire.address))
        child = _started(command, tmp_path, env)
        try:
            with trio.fail_after(60):
                await wire.reached.wait()
            child.send_signal(signal.SIGKILL)
        finally:
            child.kill()
            await trio.to_thread.run_sync(child.communicate)
    again = await trio.to_thread.run_sync(
        lambda: shoal("contract", "deploy", "--yes", "--json", cwd=tmp_path, **where(settings))
    )
    assert again.returncode == 0, again.stdout + again.stderr
    async with HederaLedger.open(settings) as ledger:
        found = await ledger.movements(after_ns=0, until_ns=await ledger.watermark(), account=ledger.account)
        made = [movement for movement in found if movement.payer == ledger.account]
        names = [movement.name for movement in made]
        assert names.count("CONTRACTCREATEINSTANCE") == names.count("FILECREATE") == 1
        assert sum(movement.fee_tinybar for movement in made) == last(again)["fee_tinybar"]
        await ledger.check_contract(last(again)["contract_id"])


def _started(command: list[str], cwd: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_deploying_asks_first_and_once(operator: LedgerSettings, tmp_path: Path) -> None:
    env = where(operator)
    asked = shoal("contract", "deploy", "--json", cwd=tmp_path, **env)
    assert code(asked) == "SHOAL-U07" and "ℏ" in last(asked)["error"]["message"]
    first = shoal("contract", "deploy", "--yes", cwd=tmp_path, **env)
    contract = first.stdout.strip()
    assert f"CONTRACT_ID={contract}" in first.stderr, "how to put it into the configuration"
    second = last(shoal("contract", "deploy", "--json", cwd=tmp_path, **env))
    assert (second["contract_id"], second["deployed_before"]) == (contract, True)
    third = last(shoal("contract", "deploy", "--again", "--yes", "--json", cwd=tmp_path, **env))
    assert third["contract_id"] != contract and not third["deployed_before"]
    reader = {name: value for name, value in env.items() if not name.startswith("OPERATOR")}
    shown = last(shoal("contract", "show", "--json", cwd=tmp_path, CONTRACT_ID=contract, **reader))
    assert shown["code_is_this_versions"] and shown["balance_tinybar"] == 1
    assert json.loads(shoal("ps", "--all", "--json", cwd=tmp_path, CONTRACT_ID=contract, **reader).stdout) == []


def test_who_cannot_pay_is_told_before_anything_is_sent(devnet: Devnet, tmp_path: Path) -> None:
    poor = canary_account(devnet, 5)
    done = shoal("contract", "deploy", "--yes", "--json", cwd=tmp_path, **where(poor))
    assert code(done) == "SHOAL-T02" and last(done)["error"]["money"] == "nothing was spent"


@pytest.mark.parametrize(
    "command", [["node", "run", "--role", "trainer"], ["get", "abcd"], ["contract", "deploy"]], ids=lambda c: c[0]
)
def test_on_mainnet_whatever_spends_asks(operator: LedgerSettings, tmp_path: Path, command: list[str]) -> None:
    """The settings say mainnet, the addresses say devnet."""
    env = where(operator, NETWORK="mainnet", CONTRACT_ID="0.0.5")
    done = shoal(*command, "--json", cwd=tmp_path, **env)
    assert code(done) == "SHOAL-U07" and last(done)["error"]["money"] == "nothing was spent"


def test_a_dry_run_needs_no_key_and_leaves_nothing(operator: LedgerSettings, tmp_path: Path) -> None:
    env = {name: value for name, value in where(operator).items() if not name.startswith("OPERATOR")}
    example = Path(__file__).resolve().parents[2] / "examples" / "breast_cancer"
    done = shoal("train", str(example), "--dry-run", "--json", cwd=tmp_path, **env)
    told = last(done)
    assert told["event"] == "estimated" and told["balance_tinybar"] is None
    assert told["expected_paid_tinybar"] + told["expected_back_tinybar"] == told["escrow_tinybar"]
    client = [row for row in told["fees"] if row["payer"] == "client"]
    assert {"createTopic", "createTask", "award", "start", "settle", "withdraw", "envelopes"} <= {
        row["what"] for row in client
    }
    assert abs(sum(row["tinybar"] for row in client) - told["fees_client_tinybar"]) <= len(client)
    assert told["upload_bytes"] > 10_000 and told["stored_bytes"] > told["upload_bytes"]
    assert list(tmp_path.rglob("*")) == []


# ---------------------------------------------------------------- the wallet


def test_the_wallet_tells_and_moves_what_is_there(operator: LedgerSettings, tmp_path: Path) -> None:
    env = where(operator)
    env["CONTRACT_ID"] = shoal("contract", "deploy", "--yes", cwd=tmp_path, **env).stdout.strip()

    def wallet(*arguments: str) -> subprocess.CompletedProcess[str]:
        return shoal("wallet", *arguments, "--json", cwd=tmp_path, **env)

    assert code(wallet("deposit", "1", "--yes")) == "SHOAL-T11"

    async def register() -> None:
        settings = dataclasses.replace(operator, contract_id=env["CONTRACT_ID"])
        async with HederaLedger.open(settings) as ledger:
            await ledger.call(calls.Register(b"k" * 32, b"r" * 32), value=2 * HBAR)

    trio.run(register)
    assert code(wallet("deposit", "1")) == "SHOAL-U07"
    assert code(wallet("deposit", "no", "--yes")) == code(wallet("deposit", "0", "--yes")) == "SHOAL-U02"
    assert code(wallet("deposit", "4000", "--yes")) == "SHOAL-T02"
    before = last(wallet("show"))
    assert (before["stake_tinybar"], before["reserved_tinybar"], before["registered"]) == (2 * HBAR, 0, True)
    after = last(wallet("deposit", "1.5", "--yes"))
    assert after["stake_tinybar"] == after["free_stake_tinybar"] == 3.5 * HBAR
    assert 1.5 * HBAR < before["balance_tinybar"] - after["balance_tinybar"] < 1.6 * HBAR
    assert code(wallet("withdraw", "--yes")) == "SHOAL-T12"

    async def be_refunded() -> int:
        settings = dataclasses.replace(operator, contract_id=env["CONTRACT_ID"])
        async with HederaLedger.open(settings) as ledger:
            now_s = await ledger.watermark() // 10**9
            plan = quote(chunks=1, rounds=1, trainers=1, budget=None, timing=LOCAL_TIMING, now_s=now_s).plan
            manifest = digest(b"manifest")
            await ledger.call(calls.CreateTask(manifest, 1, b"k" * 32, b"r" * 32, plan), value=plan.escrow())
            await ledger.call(calls.Cancel(task_id(ledger.address, manifest)))
            return plan.escrow()

    escrow = trio.run(be_refunded)
    assert code(wallet("withdraw")) == "SHOAL-U07"
    before = last(wallet("show"))
    assert before["withdrawable_tinybar"] == escrow > 0
    after = last(wallet("withdraw", "--yes"))
    assert after["withdrawable_tinybar"] == 0 and after["stake_tinybar"] == 3.5 * HBAR
    assert 0 < before["balance_tinybar"] + escrow - after["balance_tinybar"] < 0.1 * HBAR

    assert code(wallet("unstake", "--yes")) == "SHOAL-T12"
    assert code(wallet("unstake", "4", "--yes")) == "SHOAL-T13"
    assert code(wallet("unstake", "1")) == "SHOAL-U07"
    asked = last(wallet("unstake", "1", "--yes"))
    assert (asked["stake_tinybar"], asked["unbonding_tinybar"]) == (2.5 * HBAR, HBAR) and asked["unbond_at"]
    assert code(wallet("unstake", "--yes")) == "SHOAL-T13", "it takes days"
    kept = last(wallet("unstake", "--cancel", "--yes"))
    assert (kept["stake_tinybar"], kept["unbonding_tinybar"], kept["unbond_at"]) == (3.5 * HBAR, 0, None)


# ---------------------------------------------------------------- the canary


def forms() -> list[bytes]:
    """How a key may leak: as bytes, in hexadecimal, in base64; whole, or the half that an error might quote."""
    found: list[bytes] = []
    for text in (RAW, DER):
        data = bytes.fromhex(text)
        found += [data, text.encode(), text.upper().encode(), base64.b64encode(data), base64.urlsafe_b64encode(data)]
    half = bytes.fromhex(RAW)[:12]
    return [*found, RAW[:20].encode(), RAW[-20:].encode(), half, base64.b64encode(half)]


@dataclass(frozen=True)
class Leak:
    """A way to hold the canary, which most commands then fail with."""

    name: str
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    mode: int = 0o600


BAD = DER[:-1]
LEAKS = [
    Leak("environment", {"OPERATOR_KEY": DER}),
    Leak("of another account", {"OPERATOR_KEY": f"ed25519:{RAW}", "OPERATOR_ID": "0.0.2"}),
    Leak("of no account", {"OPERATOR_KEY": RAW, "OPERATOR_ID": "0.0.99999999"}),
    Leak("of a malformed account", {"OPERATOR_KEY": RAW, "OPERATOR_ID": RAW}),
    Leak("malformed", {"OPERATOR_KEY": BAD}),
    Leak("of a wrong type", {"OPERATOR_KEY": f"ecdsa:{RAW}"}),
    Leak("base64", {"OPERATOR_KEY": base64.b64encode(bytes.fromhex(DER)).decode()}),
    Leak("no mirror", {"OPERATOR_KEY": DER, "SHOAL_MIRROR_REST": "http://127.0.0.1:9", "SHOAL_LEDGER_TIMEOUT_S": "1"}),
    Leak("no node", {"OPERATOR_KEY": DER, "SHOAL_LEDGER_NODE": "127.0.0.1:9", "SHOAL_LEDGER_TIMEOUT_S": "1"}),
    Leak("another setting is wrong", {"OPERATOR_KEY": DER, "SHOAL_POLL_S": "never"}),
    Leak("in the place of another setting", {"OPERATOR_KEY": DER, "SHOAL_LEDGER_NODE": "x"}),
    Leak("file", {"SHOAL_OPERATOR_KEY_FILE": "key"}, {"key": f"ed25519:{RAW}\n"}),
    Leak("file that others read", {"SHOAL_OPERATOR_KEY_FILE": "key"}, {"key": DER}, mode=0o644),
    Leak("file of something else", {"SHOAL_OPERATOR_KEY_FILE": "key"}, {"key": f"key={BAD}\n"}),
    Leak("settings that others read", {}, {"shoal.toml": f'operator_key = "{DER}"\n'}, mode=0o644),
    Leak("settings that are no TOML", {}, {"shoal.toml": f"operator_key = {DER}\n"}),
    Leak("settings of a wrong type", {}, {"shoal.toml": f'operator_key = ["{DER}"]\n'}),
    Leak("settings under a wrong name", {}, {"shoal.toml": f'operatorkey = "{DER}"\n'}),
    Leak(".env", {}, {".env": f"OPERATOR_KEY={DER}\n"}),
    Leak(".env that others read", {}, {".env": f"OPERATOR_KEY={DER}\n"}, mode=0o640),
    Leak(".env that is none", {}, {".env": f"OPERATOR_KEY\n={DER}\n: {RAW}"}),
]
COMMANDS = [
    ["config", "show", "--json"],
    ["contract", "deploy", "--yes"],
    ["node", "run", "--role", "trainer", "-v"],
]
MORE = [["config", "show"], ["contract", "show"], ["get", "abcd", "--yes", "--json"], ["ps"], ["watch", "abcd"]]
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def funded(devnet: Devnet) -> Iterator[LedgerSettings]:
    yield canary_account(devnet, 1)


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name)
def test_no_key_in_any_output_or_file(funded: LedgerSettings, tmp_path: Path, leak: Leak) -> None:
    env = {**where(funded, OPERATOR_KEY="", CONTRACT_ID="0.0.999999", SHOAL_DIR="home"), **leak.env}
    failures = 0
    for command in [*COMMANDS, *(MORE if leak is LEAKS[0] else ())]:
        place = tmp_path / f"{next(NUMBERS)}"
        place.mkdir()
        for name, text in leak.files.items():
            path = place / name
            path.write_text(text)
            path.chmod(leak.mode)
        done = shoal(*command, cwd=place, **env)
        failures += done.returncode != 0
        texts = {"output": (done.stdout + done.stderr).encode()}
        for path in place.rglob("*"):
            if path.is_file() and path.name not in leak.files:
                texts[str(path)] = path.read_bytes()
        for where_found, text in texts.items():
            for form in forms():
                assert form not in text, f"{leak.name}: {' '.join(command)}: {where_found}"
        assert "Traceback" not in done.stderr, done.stderr
    assert failures >= 2, "most of these cannot work"


def test_the_canary_would_be_found(tmp_path: Path) -> None:
    write_toml(tmp_path / "shoal.toml", {"operator_key": DER})
    assert any(form in (tmp_path / "shoal.toml").read_bytes() for form in forms())
    assert len(bytes.fromhex(RAW)) == 32


def test_keys_in_files_and_environment_work(devnet: Devnet, tmp_path: Path) -> None:
    """The same key each way: deploying fails only for lack of money."""
    poor = canary_account(devnet, 1)
    key = tmp_path / "key"
    key.write_text(DER + "\n")
    key.chmod(0o600)
    ways: list[dict[str, str]] = [
        {"OPERATOR_KEY": RAW},
        {"OPERATOR_KEY": "0x" + RAW},
        {"OPERATOR_KEY": DER},
        {"OPERATOR_KEY": "", "SHOAL_OPERATOR_KEY_FILE": str(key)},
    ]
    for way in ways:
        assert code(shoal("contract", "deploy", "--json", cwd=tmp_path, **{**where(poor), **way})) == "SHOAL-T02"
    nothing = shoal("contract", "deploy", "--json", cwd=tmp_path, **where(poor, OPERATOR_KEY=""))
    assert code(nothing) == "SHOAL-C01"
