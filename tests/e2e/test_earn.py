"""`shoal earn` on a network of its own: benchmark, register, win a seat, pause, resume, be paid; and its books."""

from __future__ import annotations

import csv
import io
import json
import signal
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from shoal.client.examples import example
from shoal.core.codec import CodecError
from shoal.core.entries import Entry, parse
from shoal.core.events import Claimed
from shoal.core.ids import TaskId
from shoal.core.money import TINYBAR_PER_HBAR
from shoal.node import open_ledger, place_of
from shoal.ports import Message
from shoal.roles.seat import AWAY
from shoal.roles.tasklog import TaskLog, find_task
from shoal.settings import Settings, write_toml

from .harness import Running, gone, last_json, settings_file, shoal
from .test_up import asking, events

pytestmark = pytest.mark.e2e
ROUNDS, STEPS = 10, 6_000
"""Rounds so long that a command between two of them is in time."""
HBAR = 20


@dataclass
class Town:
    """A network with two trainers, and the directory of somebody who wants to earn."""

    running: Running
    where: dict[str, Any]
    home: Path
    gamer: Path
    account: str

    def shoal(self, *arguments: str) -> Any:
        return shoal(*arguments, "--dir", str(self.gamer), cwd=self.home)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    home = tmp_path_factory.mktemp("earn")
    listen = ["--listen", "127.0.0.1:0", "--command-listen", "127.0.0.1:0", "--trainers", "2"]
    running = Running(["up", "--dir", str(home / "network"), "--json", *listen], home)
    where = running.until(lambda: next((value for value in running.json() if value.get("event") == "up"), None))
    gamer = home / "gamer"
    gamer.mkdir(mode=0o700)
    yield Town(running, where, home, gamer, newcomer(Path(where["client_dir"]), gamer))
    processes = running.tree()
    running.end(signal.SIGTERM)
    assert gone(processes) == []


def newcomer(client: Path, gamer: Path) -> str:
    """An account with money, and the settings of the same network."""

    async def make() -> tuple[str, str]:
        async with open_ledger(Settings.load(flags={"dir": client})) as ledger:
            key = ledger.new_key()
            return await ledger.create_account(HBAR * TINYBAR_PER_HBAR, key), key

    account, key = trio.run(make)
    values = tomllib.loads((client / "shoal.toml").read_text())
    values = {name: value for name, value in values.items() if not name.startswith("s3_")}
    mine = {"operator_id": account, "operator_key": key, "api_listen": "127.0.0.1:0", "earn_min_memory_mib": 100}
    write_toml(gamer / "shoal.toml", {**values, **mine, "earn_min_disk_mib": 100})
    return account


def archive() -> bytes:
    """The bundled example, with more to train in every round."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        for path in example("breast_cancer").glob("*.*"):
            text = path.read_text()
            if path.name == "recipe.json":
                text = json.dumps({**json.loads(text), "local_steps": STEPS})
            made.writestr(path.name, text)
    return data.getvalue()


def buy(api: httpx.Client) -> str:
    form = {"name": "cancer", "rounds": str(ROUNDS), "bid_s": "30", "trainers": "3"}
    quote = api.post("/api/v1/quotes", files={"archive": ("task.zip", archive())}, data=form)
    assert quote.status_code == 201, quote.text
    created = api.post("/api/v1/tasks", json={"quote_id": quote.json()["quote_id"], "confirm": True})
    assert created.status_code == 201, created.text
    return str(created.json()["task_id"])


def states(earn: Running) -> list[str]:
    return [each["state"] for each in earn.json() if each.get("event") == "state"]


@pytest.mark.timeout(600)
def test_an_idle_machine_earns_is_paused_and_resumed_and_its_history_is_the_ledgers(town: Town) -> None:
    refused = town.shoal("earn", "--json")
    assert refused.returncode == 2 and last_json(refused.stdout)["error"]["code"] == "SHOAL-U07", "it asks before money"
    assert last_json(town.shoal("earn", "pause", "--json").stdout)["error"]["code"] == "SHOAL-G02"

    earn = Running(["earn", "--yes", "--json", "--beside-me", "--watts", "50", "--usd-per-kwh", "0.3", "--dir",
                    str(town.gamer)], town.home)  # fmt: skip
    try:
        about = earn.until(lambda: next((each for each in earn.json() if each.get("event") == "earning"), None))
        said = {each["event"]: each for each in earn.json()}
        assert said["benchmark"]["step_s"] > 0 and said["price"]["floor_hbar_per_hour"] > 0
        earn.until(lambda: "run" in states(earn))
        with asking(town.where) as api:
            task = buy(api)
            story = events(api, task)
            next(number for number, kind in story if kind == "round")
            assert town.shoal("earn", "pause", "2h").returncode == 0
            earn.until(lambda: states(earn)[-1] == "pause")
            next(number for number, kind in story if kind == "void")
            assert town.shoal("earn", "resume").returncode == 0
            earn.until(lambda: states(earn)[-1] == "run")
            assert list(story)[-1][1] == "end"
            state = api.get(f"/api/v1/tasks/{task}").json()
            assert (state["phase"], state["round"]) == ("settled", ROUNDS)
            [seat] = [each for each in state["seats"] if each["name"] == town.account]
            assert not seat["lost"] and 0 < seat["units_done"] < ROUNDS and seat["paid_tinybar"] > 0
        check_page(about, seat["paid_tinybar"])
        assert town.shoal("earn", "stop").returncode == 0
        assert earn.end(None) == 0, earn.story()
        assert states(earn)[-1] == "stopped" and earn.json()[-1]["event"] == "stopped"
    finally:
        earn.end(signal.SIGKILL)
    check_history(town, task, seat["paid_tinybar"], seat["units_done"])


@pytest.mark.timeout(200)
def test_the_doctor_finds_nothing_and_then_a_store_that_has_stopped(town: Town) -> None:
    client = town.where["client_dir"]
    well = shoal("doctor", "--json", "--dir", client, cwd=town.home)
    found = last_json(well.stdout)
    assert well.returncode == 0 and found["ok"], well.stdout
    grades = {each["check"]: each["grade"] for each in found["checks"]}
    asked = ("ledger", "clock", "contract", "account", "peers", "storage", "sandbox", "keys", "disk", "python")
    assert {grades[name] for name in asked} == {"ok"} and "fail" not in grades.values()
    store = [each for each in town.running.tree() if each.name() == "weed"]
    assert store, "the store runs"
    for process in store:
        process.suspend()
    try:
        ill = shoal("doctor", "--json", "--dir", client, cwd=town.home)
    finally:
        for process in store:
            process.resume()
    report, error = (json.loads(line) for line in ill.stdout.splitlines())
    assert ill.returncode == 13 and error["error"]["code"] == "SHOAL-G07" and "storage" in error["error"]["message"]
    assert [each["check"] for each in report["checks"] if each["grade"] == "fail"] == ["storage"]
    assert report["checks"][0]["check"] == "storage", "the gravest first"
    assert "secret_key" not in ill.stdout and settings_file(Path(client))["s3_secret_key"] not in ill.stdout


def check_page(about: dict[str, Any], paid: int) -> None:
    """What the web page is given; nothing without the token."""
    assert httpx.get(f"{about['url']}/api/v1/earnings").status_code == 401
    with asking(about) as page:
        earnings = page.get("/api/v1/earnings").json()
        assert earnings["state"]["state"] == "run" and earnings["today"]["earned_tinybar"] == paid
        assert page.post("/api/v1/earn/pause", json={"seconds": 60}).json()["paused"] is True
        assert page.post("/api/v1/earn/resume").json() == {"paused": False, "paused_until": None}


def check_history(town: Town, task: str, paid: int, units: int) -> None:
    """Line by line, against what the ledger says without us."""
    told = [json.loads(line) for line in town.shoal("earn", "history", "--json").stdout.splitlines()]
    lines, totals = told[:-1], told[-1]
    table = list(csv.DictReader(io.StringIO(town.shoal("earn", "history", "--csv").stdout)))
    assert [row["transaction"] for row in table] == [line["transaction"] for line in lines]

    async def ask() -> tuple[int, int, int, dict[str, int], list[str]]:
        settings = Settings.load(flags={"dir": town.gamer})
        async with open_ledger(settings) as ledger:
            until = await ledger.watermark()
            created = await find_task(ledger, task)
            assert created is not None
            tasklog = TaskLog(created, place_of(settings, TaskId(bytes.fromhex(task))), ledger=ledger)
            await tasklog.catch_up()
            claims = [each.event for each in await ledger.events(after_ns=0, until_ns=until)
                      if isinstance(each.event, Claimed) and each.event.trainer == ledger.address]  # fmt: skip
            moved = await ledger.movements(after_ns=0, until_ns=until, account=ledger.account)
            fees = sum(each.fee_tinybar for each in moved if each.payer == ledger.account)
            ids = {each.transaction: each.time_ns for each in moved}
            voids = reasons(await ledger.messages(tasklog.log.topic, after_ns=0, until_ns=until))
            return sum(each.paid for each in claims), fees, int(await ledger.balance()), ids, voids

    claimed, fees, balance, ids, voids = trio.run(ask)
    assert AWAY in voids
    assert claimed == paid == totals["today"]["earned_tinybar"] == sum(line["earned_tinybar"] for line in lines)
    assert fees == totals["days_30"]["fees_tinybar"] == sum(line["fee_tinybar"] for line in lines)
    assert totals["days_7"]["profit_tinybar"] == paid - fees
    assert sum(line["net_tinybar"] for line in lines) == balance
    assert all(abs(ids[line["transaction"]] / 1e9 - line["at"]) < 1e-3 for line in lines if line["net_tinybar"])
    counted = [line for line in lines if line["kind"] == "work" and "counts at" in line["what"]]
    assert len(counted) == units and all(line["task_id"] == task for line in counted)
    kinds = {line["kind"] for line in lines}
    assert kinds >= {"work", "payment", "stake", "withdrawal", "fee"}


def reasons(messages: Sequence[Message]) -> list[str]:
    """Why chunks were called void."""
    found = []
    for message in messages:
        with suppress(CodecError):
            entry = parse(message.data)
            if isinstance(entry, Entry) and entry.kind == "void":
                found.append(str(entry.body["reason"]))
    return found
