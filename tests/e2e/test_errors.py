"""Bad input gets an error that says what, where and what to do; it spends nothing, or says what was spent."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from shoal.client.examples import example
from shoal.core.money import format_hbar

from .conftest import Demo
from .harness import last_json, settings_file, shoal

pytestmark = pytest.mark.e2e
HEAD = "import torch\nfrom torch import nn\n\n"
NET = """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return {forward}
"""
GOOD = HEAD + NET.format(forward="self.layer(x)")
RECIPE = {"loss": "cross_entropy", "optimizer": {"name": "sgd", "lr": 0.1}, "batch_size": 8, "local_steps": 4}
ROWS = [f"{i / 40},{i % 5},{i % 2}" for i in range(80)]
TABLE = "a,b,label\n" + "\n".join(ROWS) + "\n"
LYING = (
    HEAD
    + """class Lie(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def backward(ctx, grad):
        return grad * 3.0

"""
    + NET.format(forward="Lie.apply(self.layer(x))")
)


@dataclass(frozen=True)
class Case:
    name: str
    code: str
    status: int
    says: str
    model: str = GOOD
    table: str = TABLE
    more: tuple[str, ...] = ()


BAD = [
    Case(
        "data-dependent",
        "SHOAL-M01",
        4,
        r"model\.py, line \d+: .*whole message is in /",
        HEAD + NET.format(forward="x if x.sum() > 0 else -x"),
    ),
    Case("other-gradients", "SHOAL-M02", 4, "gradient", LYING),
    Case("foreign-operator", "SHOAL-M03", 4, r"aten\.", HEAD + NET.format(forward="torch.special.i0(self.layer(x))")),
    Case("nan-loss", "SHOAL-M04", 4, "nan", HEAD + NET.format(forward="self.layer(x) / 0 * 0")),
    Case("no-class", "SHOAL-M08", 4, "Net", "x = 1\n"),
    Case(
        "wrong-shape",
        "SHOAL-M07",
        4,
        r"layer 'layer' \(Linear\) expects 2 numbers.*\[rows, 1\]",
        HEAD + NET.format(forward="self.layer(x[:, :1])"),
    ),
    Case("empty", "SHOAL-D", 5, r"data\.csv", table=""),
    Case("header-only", "SHOAL-D06", 5, r"data\.csv", table="a,b,label\n"),
    Case("missing-cell", "SHOAL-D03", 5, r"'?b'?.*row 3", table=TABLE.replace(ROWS[2], "0.05,,0", 1)),
    Case("not-a-number", "SHOAL-D07", 5, r"'?b'?.*row 3.*red", table=TABLE.replace(ROWS[2], "0.05,red,0", 1)),
    Case("fraction-label", "SHOAL-D09", 5, "0.5", table=TABLE.replace(ROWS[2], "0.05,2,0.5", 1)),
    Case("no-such-label", "SHOAL-D05", 5, "'a', 'b', 'label'", more=("--label", "price")),
    Case("bad-budget", "SHOAL-U02", 2, "plenty", more=("--budget", "plenty")),
]


@pytest.mark.parametrize("case", BAD, ids=[case.name for case in BAD])
def test_what_is_wrong_with_model_or_data_is_told_before_anything_else(case: Case, tmp_path: Path) -> None:
    files(tmp_path, case.model, case.table)
    command = ["train", "model.py", "data.csv", "--yes", "--json", *case.more]
    done = shoal(*command, cwd=tmp_path, SHOAL_DIR=str(tmp_path / "nowhere"))
    assert done.returncode == case.status, done.stdout + done.stderr
    error = last_json(done.stdout)["error"]
    assert error["code"].startswith(case.code), error
    assert error["exit_status"] == case.status
    assert re.search(case.says, error["message"], re.IGNORECASE), error
    assert error["hint"]
    assert "Traceback" not in done.stderr


def test_people_read_the_same_without_json(tmp_path: Path) -> None:
    files(tmp_path, GOOD, TABLE.replace(ROWS[2], "0.05,,0", 1))
    done = shoal("train", "model.py", "data.csv", cwd=tmp_path, SHOAL_DIR=str(tmp_path / "nowhere"))
    assert done.returncode == 5 and done.stdout == ""
    assert "SHOAL-D03" in done.stderr and "do:" in done.stderr


@pytest.mark.parametrize(("encoding", "says"), [("latin-1", "Windows-1252"), ("utf-16", "UTF-16")])
def test_a_table_in_another_encoding_is_told_with_what_converts_it(encoding: str, says: str, tmp_path: Path) -> None:
    files(tmp_path, GOOD, TABLE)
    (tmp_path / "data.csv").write_bytes(TABLE.replace("a,b", "größe,b").encode(encoding))
    done = shoal("train", "model.py", "data.csv", "--yes", "--json", cwd=tmp_path, SHOAL_DIR=str(tmp_path / "nowhere"))
    assert done.returncode == 5, done.stdout + done.stderr
    error = last_json(done.stdout)["error"]
    assert error["code"] == "SHOAL-D04" and says in error["message"] and "iconv" in error["hint"], error


def test_a_tracker_that_there_is_not_is_told_before_anything_else(tmp_path: Path) -> None:
    files(tmp_path, GOOD, TABLE)
    command = ["train", "model.py", "data.csv", "--yes", "--json", "--track", "comet:x"]
    done = shoal(*command, cwd=tmp_path, SHOAL_DIR=str(tmp_path / "nowhere"))
    assert done.returncode == 2 and last_json(done.stdout)["error"]["code"] == "SHOAL-U70", done.stdout
    command = ["train", "model.py", "data.csv", "--yes", "--json", "--pin-result"]
    done = shoal(*command, cwd=tmp_path, SHOAL_DIR=str(tmp_path / "nowhere"))
    assert done.returncode == 3 and last_json(done.stdout)["error"]["code"] == "SHOAL-C01", "no service is set"


def files(directory: Path, model: str, table: str, **recipe: object) -> None:
    (directory / "model.py").write_text(model)
    (directory / "recipe.json").write_text(json.dumps({**RECIPE, **recipe}))
    (directory / "data.csv").write_text(table)


def balance(demo: Demo) -> int:
    settings = settings_file(demo.client)
    url = f"{settings['mirror_rest']}/api/v1/accounts/{settings['operator_id']}"
    return int(httpx.get(url, trust_env=False).json()["balance"]["balance"])


SHORT = {"SHOAL_LEDGER_TIMEOUT_S": "3"}
STRANGER = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
UNREACHABLE = {
    "storage": ({"SHOAL_S3_ENDPOINT": "http://127.0.0.1:9"}, (), "SHOAL-S01", 7),
    "mirror": ({"SHOAL_MIRROR_REST": "http://127.0.0.1:9", **SHORT}, (), "SHOAL-L01", 6),
    "consensus node": ({"SHOAL_LEDGER_NODE": "127.0.0.1:9", **SHORT}, (), "SHOAL-L01", 6),
    "bootstrap": ({"SHOAL_BOOTSTRAP": f"/ip4/127.0.0.1/tcp/9/p2p/{STRANGER}"}, (), "SHOAL-N09", 8),
    "wrong storage key": ({"SHOAL_S3_SECRET_KEY": "wrong"}, (), "SHOAL-S02", 7),
    "wrong operator key": ({"SHOAL_OPERATOR_KEY": "ed25519:" + "11" * 32}, (), "SHOAL-C10", 3),
    "malformed operator key": ({"SHOAL_OPERATOR_KEY": "hush"}, (), "SHOAL-C02", 3),
    "no such contract": ({"SHOAL_CONTRACT_ID": "0.0.99999"}, (), "SHOAL-C12", 3),
    "budget": ({}, ("--budget", "0.00000001"), "SHOAL-T01", 9),
    "more than there is": ({}, ("--budget", "100000"), "SHOAL-T02", 9),
    "more chunks than rows": ({}, ("--chunks", "60"), "SHOAL-D21", 5),
    "more trainers than chunks": ({}, ("--chunks", "2"), "SHOAL-U06", 2),
}


@pytest.mark.parametrize("name", UNREACHABLE)
def test_what_is_wrong_outside_is_found_before_anything_is_spent(name: str, demo: Demo, tmp_path: Path) -> None:
    environment, more, code, status = UNREACHABLE[name]
    files(tmp_path, GOOD, TABLE)
    before = balance(demo)
    command = ["train", "model.py", "data.csv", "--rounds", "2", "--yes", "--json", *more]
    fresh = tmp_path / "client"  # without the peers that the demo's client remembers
    fresh.mkdir()
    shutil.copy(demo.client / "shoal.toml", fresh)
    done = shoal(*command, cwd=tmp_path, **{"SHOAL_DIR": str(fresh), **environment})
    assert done.returncode == status, done.stdout + done.stderr
    error = last_json(done.stdout)["error"]
    assert error["code"] == code, error
    assert error["hint"]
    assert balance(demo) == before
    for secret in (settings_file(demo.client)["operator_key"], settings_file(demo.client)["s3_secret_key"], "hush"):
        assert secret not in done.stdout + done.stderr


def test_a_task_that_nobody_bids_for_comes_back_to_the_tinybar(demo: Demo, tmp_path: Path) -> None:
    files(tmp_path, GOOD, TABLE)
    before = balance(demo)
    command = ["train", "model.py", "data.csv", "--rounds", "2", "--budget", "0.00001", "--yes", "--json"]
    done = shoal(*command, cwd=tmp_path, SHOAL_DIR=str(demo.client))
    assert done.returncode == 9, done.stdout + done.stderr
    error = last_json(done.stdout)["error"]
    assert error["code"] == "SHOAL-T07"
    escrow = next(json.loads(line) for line in done.stdout.splitlines() if '"quoted"' in line)["escrow_tinybar"]
    fees = before - balance(demo)
    assert f"{format_hbar(escrow)} of {format_hbar(escrow)} came back" in error["money"], error
    assert format_hbar(fees) in error["money"], error


def test_a_recipe_that_diverges_costs_fees_only(demo: Demo, tmp_path: Path) -> None:
    model = HEAD + NET.format(forward="self.layer(x * 1e6) ** 3")
    files(tmp_path, model, TABLE, optimizer={"name": "sgd", "lr": 100.0})
    before = balance(demo)
    command = ["train", "model.py", "data.csv", "--rounds", "2", "--yes", "--json"]
    done = shoal(*command, cwd=tmp_path, SHOAL_DIR=str(demo.client))
    assert done.returncode == 9, done.stdout + done.stderr
    error = last_json(done.stdout)["error"]
    assert error["code"] == "SHOAL-T09", error
    assert "lr" in error["hint"] or "learning rate" in error["hint"]
    fees = before - balance(demo)
    assert format_hbar(fees) in error["money"], error


def test_a_result_opens_with_the_ml_users_key_only(demo: Demo, tmp_path: Path) -> None:
    """The right account with another key directory: the envelope stays shut."""
    settings = settings_file(demo.client)
    (tmp_path / "other").mkdir()
    shutil.copy(demo.client / "shoal.toml", tmp_path / "other")
    done = shoal("get", demo.report["task_id"], "--json", cwd=tmp_path, SHOAL_DIR=str(tmp_path / "other"))
    assert done.returncode == 10, done.stdout + done.stderr
    assert last_json(done.stdout)["error"]["code"] == "SHOAL-K01"
    assert settings["operator_key"] not in done.stdout + done.stderr


def test_commands_say_what_is_missing(tmp_path: Path) -> None:
    done = shoal("ps", "--json", cwd=tmp_path, SHOAL_DIR=str(tmp_path))
    assert done.returncode == 3
    assert last_json(done.stdout)["error"]["code"] == "SHOAL-C01"
    assert shoal("demo", "--dataset", "nonsense", cwd=tmp_path).returncode == 2
    assert shoal("node", "run", "--role", "king", cwd=tmp_path, SHOAL_DIR=str(tmp_path)).returncode == 2


def test_settings_are_shown_with_their_origin_and_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "shoal.toml").write_text('poll_s = 2.5\ns3_secret_key = "hush hush"\n')
    (tmp_path / "shoal.toml").chmod(0o600)
    done = shoal("config", "show", "--json", cwd=tmp_path, SHOAL_DIR=str(tmp_path / "home"), OPERATOR_ID="0.0.5")
    assert done.returncode == 0, done.stderr
    shown = last_json(done.stdout)
    assert shown["poll_s"] == {"value": 2.5, "origin": "shoal.toml"}
    assert shown["operator_id"] == {"value": "0.0.5", "origin": "environment OPERATOR_ID"}
    assert "hush" not in done.stdout
    broken = shoal("config", "show", "--json", cwd=tmp_path, SHOAL_DIR=str(tmp_path), SHOAL_POLL_S="soon")
    assert broken.returncode == 3 and last_json(broken.stdout)["error"]["code"] == "SHOAL-C02"


def test_version(tmp_path: Path) -> None:
    assert shoal("version", cwd=tmp_path).stdout.startswith("shoal ")
    assert example("digits").is_dir()
