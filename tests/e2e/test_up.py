"""`shoal up`: from an upload to the weights over HTTP, with everything killed in the middle."""

from __future__ import annotations

import hashlib
import io
import json
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from shoal.client.examples import example
from shoal.client.result import goal_of
from shoal.client.tasks import must_find
from shoal.core.events import ResultConfirmed
from shoal.node import open_ledger, place_of
from shoal.roles.tasklog import TaskLog
from shoal.settings import Settings

from .harness import Running, gone

pytestmark = pytest.mark.e2e
ROUNDS = 12


def up(home: Path) -> tuple[Running, dict[str, Any]]:
    """Start it, or start it again."""
    listen = ["--listen", "127.0.0.1:0", "--command-listen", "127.0.0.1:0"]
    running = Running(["up", "--dir", str(home / "network"), "--json", *listen], home)
    where = running.until(lambda: next((value for value in running.json() if value.get("event") == "up"), None))
    return running, where


def asking(where: dict[str, Any], url: str = "url") -> httpx.Client:
    token = Path(where["token_file"]).read_text().strip()
    return httpx.Client(base_url=where[url], headers={"Authorization": f"Bearer {token}"}, timeout=180)


def archive() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        for path in example("breast_cancer").glob("*.*"):
            made.write(path, path.name)
    return data.getvalue()


def events(api: httpx.Client, task: str, after: int = -1) -> Iterator[tuple[int, str]]:
    """(number, kind) until the story ends."""
    with api.stream("GET", f"/api/v1/tasks/{task}/events", headers={"Last-Event-ID": str(after)}) as stream:
        number = after
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = int(value)
            elif name == "event":
                yield number, value


def buy(api: httpx.Client) -> str:
    """Upload, quote, create; the same request once more makes no second task."""
    form = {"name": "cancer", "rounds": str(ROUNDS), "bid_s": "45"}
    quote = api.post("/api/v1/quotes", files={"archive": ("task.zip", archive())}, data=form)
    assert quote.status_code == 201, quote.text
    wish = {"json": {"quote_id": quote.json()["quote_id"], "confirm": True}, "headers": {"Idempotency-Key": "one"}}
    created, again = api.post("/api/v1/tasks", **wish), api.post("/api/v1/tasks", **wish)
    assert created.status_code == 201, created.text
    assert again.json() == created.json() and again.headers["idempotent-replayed"] == "true"
    task: str = created.json()["task_id"]
    return task


@pytest.mark.timeout(600)
def test_a_task_from_upload_to_weights_though_all_is_killed_in_the_middle(tmp_path: Path) -> None:
    running, where = up(tmp_path)
    token = Path(where["token_file"]).read_text().strip()
    assert token in "".join(running.talk), "shown once"
    with asking(where) as api:
        task = buy(api)
        seen = next(number for number, kind in events(api, task) if kind == "round")
    processes = running.tree()
    running.end(signal.SIGKILL)
    assert gone(processes, timeout_s=30) == []

    running, where = up(tmp_path)
    try:
        with asking(where) as api:
            rest = list(events(api, task, seen))
            assert rest[0][0] == seen + 1 and rest[-1][1] == "end"
            kinds = [kind for _, kind in rest]
            assert kinds.count("round") == ROUNDS - 1 and "result_confirmed" in kinds
            state = api.get(f"/api/v1/tasks/{task}").json()
            assert (state["phase"], state["round"]) == ("settled", ROUNDS)
            answer = api.get(f"/api/v1/tasks/{task}/result")
            assert hashlib.sha256(answer.content).hexdigest() == state["result_sha256"]
            assert api.get(f"/api/v1/tasks/{task}/envelope").content.startswith(b"age-encryption.org/v1\n")
            assert [row["task_id"] for row in api.get("/api/v1/tasks").json()["items"]] == [task]
            money = state["money"]
            assert money["escrow_tinybar"] == money["paid_tinybar"] + money["refunded_tinybar"]
            check_on_chain(where, task, answer.content)
        with asking(where, "command_url") as commands:
            topic = commands.post("/command", json={"cmd": "create-hcs", "args": ["a", "topic"]}).json()["topic_id"]
            sent = commands.post("/command", json={"cmd": "send-hcs", "args": [topic, "hello"]})
            assert sent.json()["status"] == "ok"
            status = commands.get("/status").json()
            assert status["status"] == "ok" and status["peers_connected"] >= 1
    finally:
        processes = running.tree()
        assert running.end(signal.SIGTERM) == 0, running.story()
    assert gone(processes) == []
    written = [path.read_text(errors="replace") for path in (tmp_path / "network" / "logs").iterdir()]
    assert not any(token in text for text in [*written, "".join(running.talk), json.dumps(running.json())])


def check_on_chain(where: dict[str, Any], task: str, weights: bytes) -> None:
    """What the ledger says, asked without the API: the confirmed object is the one that decrypts to these weights."""

    async def ask() -> None:
        settings = Settings.load(flags={"dir": Path(where["client_dir"])})
        async with open_ledger(settings) as ledger:
            created, found = await must_find(ledger, task)
            tasklog = TaskLog(created, place_of(settings, found), ledger=ledger)
            await tasklog.catch_up()
            [confirmed] = [
                each.event
                for each in await ledger.events(after_ns=0, until_ns=await ledger.watermark(), task=found)
                if isinstance(each.event, ResultConfirmed)
            ]
            goal = goal_of(tasklog.log)
            assert goal is not None
            assert (goal.object, goal.checkpoint) == (confirmed.result, hashlib.sha256(weights).digest())

    trio.run(ask)
