"""`shoal shell` against a whole network: peers, topics, the ledger, a training; and the small commands beside it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal.client.examples import example

from .conftest import Demo
from .harness import SHOAL, Running, environment, last_json, shoal

pytestmark = pytest.mark.e2e


class Piped:
    """A shell fed line by line; each line is answered by one JSON object."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        self.talk = (cwd / f"{arguments[1]}.talk").open("w+")
        self.process = subprocess.Popen(
            [*SHOAL, "shell", "--json", *arguments],
            cwd=cwd,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.talk,
            text=True,
        )

    def say(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, self.story()
        value = json.loads(answer)
        assert isinstance(value, dict) and value["command"] == line.split()[0]
        return value

    def ok(self, line: str) -> dict[str, Any]:
        value = self.say(line)
        assert value["status"] == "ok", value
        return value

    def story(self) -> str:
        self.talk.flush()
        self.talk.seek(0)
        return self.talk.read()

    def close(self) -> int:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        status = self.process.wait(60)
        self.process.stdout.close()
        self.talk.close()
        return status


def heard(shell: Piped, topic: str, wanted: str) -> dict[str, Any]:
    """The message of a topic that holds a text; gossip takes a moment."""
    for _ in range(60):
        for each in shell.ok(f"read {topic}")["messages"]:
            if wanted in each["text"]:
                return dict(each)
        shell.ok("wait 0.5")
    raise AssertionError(f"nobody heard {wanted!r} on {topic}")


@pytest.fixture
def shells(demo: Demo, tmp_path: Path) -> Iterator[tuple[Piped, Piped]]:
    """A client of the demo, and a node of another directory; gone afterwards, whatever happens."""
    other = Piped("--role", "bootstrap", "--dir", str(tmp_path / "other"), "--keep-going", cwd=tmp_path)
    client = Piped("--role", "client", "--dir", str(demo.client), "--yes", cwd=tmp_path)
    yield client, other
    for each in (client, other):
        if each.process.poll() is None:
            each.process.kill()
            each.close()


@pytest.mark.timeout(400)
def test_a_shell_does_what_people_do_on_a_network(demo: Demo, shells: tuple[Piped, Piped], tmp_path: Path) -> None:
    client, other = shells
    address = other.ok("local")["addresses"][0]
    assert client.ok(f"connect {address}")["peer_id"] == address.rpartition("/p2p/")[2]

    # two nodes, a topic, and an offer
    for shell in (client, other):
        shell.ok("join round-1")
    client.ok("wait 2")
    client.ok("publish round-1 hello there")
    assert heard(other, "round-1", "hello")["text"] == "hello there"
    other.ok("publish round-1 'and back'")
    assert heard(client, "round-1", "back")["peer_id"] == address.rpartition("/p2p/")[2]
    client.ok("advertize round-1")
    offers = other.ok("offers")["offers"]
    for _ in range(40):
        if offers := other.ok("offers")["offers"]:
            break
        other.ok("wait 0.5")
    assert offers == [{"peer_id": client.ok("local")["peer_id"], "topic": "round-1"}]

    # the mesh, as this node and the bootstrap node know it
    for _ in range(40):
        known = {role for row in client.ok("mesh")["mesh"] for role in row["roles"]}
        boot = {role for row in client.ok("bootmesh")["mesh"] for role in row["roles"]}
        if {"bootstrap", "client", "trainer"} <= known & boot:
            break
        client.ok("wait 0.5")
    assert {"bootstrap", "client", "trainer"} <= known & boot
    assert {"trainer", "bootstrap"} <= client.ok("roles")["roles"].keys()

    # the ledger
    topic = client.ok("create-hcs a topic")["topic_id"]
    client.ok("send-hcs hello ledger")
    for _ in range(20):
        if messages := client.ok("query")["messages"]:
            break
        client.ok("wait 0.5")
    assert [each["text"] for each in messages] == ["hello ledger"] and client.ok("query")["topic_id"] == topic
    assert other.say("create-hcs")["error"]["code"] == "SHOAL-U63"

    # a real training, of which the topic hears
    done = client.ok("train round-1 --rounds 2")
    assert done["rounds"] == 2 and done["test_metric"] > 0.7 and Path(done["weights"]).is_file()
    heard(other, "round-1", '"trained"')
    told = [json.loads(each["text"]) for each in other.ok("read round-1")["messages"] if each["text"].startswith("{")]
    assert {"training", "created", "round", "settled", "trained"} <= {each["event"] for each in told}
    assert {each["task_id"] for each in told} == {done["task_id"]}
    assert "worst case" in client.story(), "the quote was shown"
    assert client.close() == 0
    assert other.close() == 2, "a bootstrap node has no account"
    look_at(demo, tmp_path, done["task_id"])


def look_at(demo: Demo, cwd: Path, task: str) -> None:
    """The task's logs and numbers, from the ledger alone; and the network, by joining it for a moment."""

    def run(*arguments: str) -> list[Any]:
        result = shoal(*arguments, "--json", "--dir", str(demo.client), cwd=cwd)
        assert result.returncode == 0, result.stdout + result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    lines = run("logs", task[:12])
    trainers = {line["trainer"] for line in lines}
    assert len(trainers) >= 2 and {line["level"] for line in lines} <= {"info", "warning", "error"}
    assert any("round 2 chunk" in line["text"] and "loss" in line["text"] for line in lines)
    one = sorted(trainers)[0]
    assert run("logs", task, "--follow", "--trainer", one) == [line for line in lines if line["trainer"] == one]
    [metrics] = run("metrics", task)
    assert [row["round"] for row in metrics["rounds"]] == [1, 2] and len(metrics["rounds"][0]["updates"]) == 4
    [nodes] = run("net")
    assert {"bootstrap", "trainer"} <= {role for row in nodes for role in row["roles"]}
    [peers] = run("peers")
    assert any(peer["connected"] for peer in peers)


def test_a_task_is_cancelled_before_its_start_and_the_escrow_comes_back(demo: Demo, tmp_path: Path) -> None:
    source, where = str(example("breast_cancer")), ["--dir", str(demo.client)]
    running = Running(["train", source, "--yes", "--json", *where], tmp_path)
    made = running.until(lambda: next((row for row in running.json() if row.get("event") == "created"), None))
    task = made["task_id"]
    assert running.end(signal.SIGINT) == 130
    asked = shoal("cancel", task, "--json", *where, cwd=tmp_path)
    error = last_json(asked.stdout)["error"]
    assert error["code"] == "SHOAL-U07" and "of the escrow comes back" in error["message"]
    done = shoal("cancel", task, "--yes", "--json", *where, cwd=tmp_path)
    row = last_json(done.stdout)
    assert (row["phase"], row["refunded_tinybar"]) == ("cancelled", made["escrow_tinybar"]) and done.returncode == 0
    again = last_json(shoal("cancel", task, "--yes", "--json", *where, cwd=tmp_path).stdout)
    assert again == row, "nothing is left to do"
    over = shoal("cancel", demo.report["task_id"], "--yes", "--json", *where, cwd=tmp_path)
    assert last_json(over.stdout)["error"]["code"] == "SHOAL-U58" and over.returncode == 2
