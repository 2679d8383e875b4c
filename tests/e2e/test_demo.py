"""The demo as a newcomer runs it: every claim of its report is checked again, by the mirror node and by the weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from shoal.client import prepare
from shoal.client.examples import example
from shoal.core.events import Claimed, Settled, TaskCreated
from shoal.core.task import Phase, State
from shoal.learn.recipe import Recipe
from shoal.node import open_ledger, place_of
from shoal.roles.tasklog import TaskLog, find_task
from shoal.settings import Settings

from .conftest import Demo
from .harness import last_json, settings_file, shoal

pytestmark = pytest.mark.e2e
KEYS = {
    "task_id", "dataset", "trainers", "rounds", "accuracy", "central_accuracy", "escrow_tinybar", "paid_tinybar",
    "refunded_tinybar", "stakes_returned_tinybar", "fees_tinybar", "conserved", "weights", "sha256", "topic_id",
    "contract_id", "seconds", "round_overhead_s",
}  # fmt: skip


def test_the_report_has_every_field(demo: Demo) -> None:
    report = demo.report
    assert set(report) >= KEYS
    assert (report["dataset"], report["trainers"], report["conserved"]) == ("breast_cancer", 4, True)
    assert set(report["seconds"]) == {"total", "startup", "bidding", "training", "settle"}
    assert len(report["round_overhead_s"]) == report["rounds"] == 10


def test_federated_is_within_two_points_of_central(demo: Demo) -> None:
    assert demo.report["accuracy"] >= demo.report["central_accuracy"] - 0.02


def test_the_weights_are_those_that_the_log_names_and_score_what_the_report_says(demo: Demo) -> None:
    weights = Path(demo.report["weights"])
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == demo.report["sha256"]
    state = trio.run(folded, demo)
    assert state.checkpoints[-1].state.hex() == demo.report["sha256"]
    home = demo.client / "tasks" / demo.report["task_id"][:16]
    recipe = Recipe.from_dict(json.loads((example("breast_cancer") / "recipe.json").read_text()))
    document = (home / prepare.DOCUMENT).read_bytes()
    scored = prepare.evaluate(document, weights, home / prepare.TEST_SPLIT, recipe)
    assert scored.metric == demo.report["accuracy"]


def test_the_mirror_node_tells_the_same_story_of_the_money(demo: Demo) -> None:
    """By plain HTTP, with nothing of ours between."""
    report, rest = demo.report, settings_file(demo.client)["mirror_rest"]
    with httpx.Client(base_url=f"{rest}/api/v1", trust_env=False) as http:
        accounts = {name: settings_file(demo.directory / name)["operator_id"] for name in nodes(demo)}
        balances = {name: http.get(f"/accounts/{id}").json()["balance"]["balance"] for name, id in accounts.items()}
        transfers = {name: received_from(http, report["contract_id"], id) for name, id in accounts.items()}
        logs = list(pages(http, f"/contracts/{report['contract_id']}/results/logs", "logs"))
    assert sum(report["paid_tinybar"].values()) + report["refunded_tinybar"] == report["escrow_tinybar"]
    for name, account in accounts.items():
        if name != "client":
            assert transfers[name] == report["paid_tinybar"].get(account, 0)
    assert transfers["client"] == report["refunded_tinybar"]
    assert all(balance > 0 for balance in balances.values())
    assert len([log for log in logs if report["task_id"] in log["topics"][1]]) > 20


def nodes(demo: Demo) -> list[str]:
    return ["client", *(f"trainer-{number}" for number in range(1, demo.report["trainers"] + 1))]


def pages(http: httpx.Client, path: str, name: str) -> Any:
    link: str | None = f"{path}?limit=100&order=asc"
    while link:
        body = http.get(link.removeprefix("/api/v1")).json()
        yield from body[name]
        link = body["links"]["next"]


def received_from(http: httpx.Client, contract: str, account: str) -> int:
    """What came to an account out of the contract, by the transfer lists of its transactions."""
    total = 0
    for row in pages(http, "/transactions", "transactions"):
        amounts = {part["account"]: part["amount"] for part in row["transfers"]}
        payer = row["transaction_id"].split("-")[0]
        if amounts.get(contract, 0) < 0 and payer == account:
            total += amounts[account] + row["charged_tx_fee"]
    return total


async def folded(demo: Demo) -> State:
    """What anyone computes from the task id alone."""
    settings = Settings.load(flags={"dir": demo.client})
    async with open_ledger(settings) as ledger:
        created = await find_task(ledger, demo.report["task_id"])
        assert created is not None and isinstance(created.event, TaskCreated)
        tasklog = TaskLog(created, place_of(settings, created.event.task_id), ledger=ledger)
        await tasklog.catch_up()
        return tasklog.log


def test_a_node_that_comes_late_reaches_the_same_state_in_steps_of_any_size(demo: Demo) -> None:
    whole = trio.run(folded, demo)
    assert whole.phase is Phase.SETTLED

    async def in_steps(step_ns: int) -> State:
        settings = Settings.load(flags={"dir": demo.client})
        async with open_ledger(settings) as ledger:
            created = await find_task(ledger, demo.report["task_id"])
            assert created is not None and isinstance(created.event, TaskCreated)
            task = created.event.task_id
            tasklog, reached = TaskLog(created, place_of(settings, task), ledger=ledger), created.time_ns

            async def watermark() -> int:
                return reached

            ledger.watermark = watermark  # type: ignore[method-assign]
            while reached < whole.now_ns:
                reached = min(reached + step_ns, whole.now_ns)
                await tasklog.catch_up()
            return tasklog.log

    assert trio.run(in_steps, 700_000_000) == whole
    assert trio.run(in_steps, 5_100_000_000) == whole


def test_every_trainer_of_the_task_was_settled_on_chain(demo: Demo) -> None:
    state = trio.run(folded, demo)
    assert set(state.claims) == {seat.trainer for seat in state.seats}

    async def events() -> list[type]:
        settings = Settings.load(flags={"dir": demo.client})
        async with open_ledger(settings) as ledger:
            found = await ledger.events(after_ns=0, until_ns=await ledger.watermark(), task=state.place.task)
            return [type(each.event) for each in found]

    kinds = trio.run(events)
    assert (kinds.count(Settled), kinds.count(Claimed)) == (1, len(state.seats))


# ---------------------------------------------------------------- from another terminal, on the same network


def test_tasks_are_listed_and_told(demo: Demo, tmp_path: Path) -> None:
    listed = shoal("ps", "--json", cwd=tmp_path, SHOAL_DIR=str(demo.client))
    assert listed.returncode == 0, listed.stderr
    [row] = [row for row in json.loads(listed.stdout) if row["task_id"] == demo.report["task_id"]]
    assert row["phase"] == "settled"
    told = shoal("watch", demo.report["task_id"][:10], "--json", cwd=tmp_path, SHOAL_DIR=str(demo.client))
    assert told.returncode == 0, told.stderr
    kinds = [json.loads(line)["event"] for line in told.stdout.splitlines()]
    assert kinds.count("round") == demo.report["rounds"]
    assert kinds[0] in ("created", "bids") and "settled" in kinds


def test_the_result_can_be_fetched_again_by_its_owner_only(demo: Demo, tmp_path: Path) -> None:
    task = demo.report["task_id"]
    again = shoal("get", task, "--json", "-o", "again.safetensors", cwd=tmp_path, SHOAL_DIR=str(demo.client))
    assert again.returncode == 0, again.stderr
    assert last_json(again.stdout)["sha256"] == demo.report["sha256"]
    assert (tmp_path / "again.safetensors").read_bytes() == Path(demo.report["weights"]).read_bytes()
    busy = shoal("get", task, "--json", cwd=tmp_path, SHOAL_DIR=str(demo.directory / "trainer-1"))
    assert (busy.returncode, last_json(busy.stdout)["error"]["code"]) == (2, "SHOAL-U13"), "a node is running there"
    (tmp_path / "other").mkdir()
    shutil.copy(demo.directory / "trainer-1" / "shoal.toml", tmp_path / "other")
    stranger = shoal("get", task, "--json", cwd=tmp_path, SHOAL_DIR=str(tmp_path / "other"))
    assert (stranger.returncode, last_json(stranger.stdout)["error"]["code"]) == (2, "SHOAL-U08")


def test_digits_too_is_within_two_points_of_central(demo: Demo, tmp_path: Path) -> None:
    """A CNN with BatchNorm and dropout, on the network that the demo left."""
    folder = str(example("digits"))
    done = shoal("train", folder, "--yes", "--json", "--compare", cwd=tmp_path, SHOAL_DIR=str(demo.client))
    assert done.returncode == 0, done.stderr + done.stdout
    report = last_json(done.stdout)
    assert report["test_metric"] >= report["central_metric"] - 0.02, report


def test_a_table_of_ones_own_is_trained(demo: Demo, tmp_path: Path) -> None:
    """MODEL DATA --label; what is found is told before anything is paid; the client goes away after the start."""
    (tmp_path / "model.py").write_text((example("breast_cancer") / "model.py").read_text().replace("(30,", "(3,"))
    (tmp_path / "recipe.json").write_text((example("breast_cancer") / "recipe.json").read_text())
    rows = [f"{i % 7 / 7},{i % 5 / 5},{i % 3},{'yes' if i % 7 > 3 else 'no'}" for i in range(400)]
    (tmp_path / "data.csv").write_text("a,b,c,bought\n" + "\n".join(rows) + "\n")
    command = ["train", "model.py", "data.csv", "--label", "bought", "--rounds", "2", "--budget", "3", "--detach"]
    left = shoal(*command, "--yes", "--json", cwd=tmp_path, SHOAL_DIR=str(demo.client))
    assert left.returncode == 0, left.stderr + left.stdout
    events = [json.loads(line) for line in left.stdout.splitlines()]
    assert events[0]["event"] == "examined" and events[0]["label"] == "bought"
    assert events[1]["event"] == "quoted" and events[1]["escrow_tinybar"] <= 300_000_000
    task = events[-1]["task_id"]
    back = shoal("get", task, "--json", "-o", "w.safetensors", cwd=tmp_path, SHOAL_DIR=str(demo.client))
    assert back.returncode == 0, back.stderr
    report = last_json(back.stdout)
    assert report["phase"] == "settled"
    assert hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest() == report["sha256"]
