"""`shoal shell` as a process: on a terminal, from a file and from a pipe, with the real peer network."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import stat
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyte
import pytest

from .test_commands import environment

SHELL = [sys.executable, "-m", "shoal", "shell", "--role", "bootstrap"]
COLUMNS, ROWS = 100, 40
DEADLINE_S = 60.0


class Terminal:
    """A program on a pseudo-terminal, and the screen that a person would see."""

    def __init__(self, command: Sequence[str], cwd: Path) -> None:
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self.screen)
        self._lock = threading.Lock()
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._before = termios.tcgetattr(slave)
        self._master, self._slave = master, slave
        env = environment(HOME=str(cwd), TERM="xterm")
        self.process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65_536)
            except OSError:
                return
            with self._lock:
                self._stream.feed(data)
            if b"\x1b[6n" in data:  # where is the cursor? a terminal answers
                with self._lock:
                    cursor = self.screen.cursor
                os.write(self._master, f"\x1b[{cursor.y + 1};{cursor.x + 1}R".encode())

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def lines(self) -> list[str]:
        with self._lock:
            return [line.rstrip() for line in self.screen.display]

    def until(self, found: Callable[[list[str]], Any]) -> Any:
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            if value := found(self.lines()):
                return value
            time.sleep(0.05)
        raise AssertionError("\n".join(self.lines()))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)


@contextmanager
def terminal(command: Sequence[str], cwd: Path) -> Iterator[Terminal]:
    made = Terminal(command, cwd)
    try:
        yield made
    finally:
        made.close()


class Pipe:
    """A shell that is fed line by line, and answers each with one JSON object."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        self.process = subprocess.Popen(
            [*SHELL, "--json", *arguments],
            cwd=cwd,
            env=environment(HOME=str(cwd)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def say(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        value = json.loads(self.process.stdout.readline())
        assert isinstance(value, dict)
        return value

    def close(self) -> int:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        status = self.process.wait(DEADLINE_S)
        self.process.stdout.close()
        return status


def run(*arguments: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SHELL, *arguments],
        cwd=cwd,
        env=environment(HOME=str(cwd)),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# ---------------------------------------------------------------- a terminal


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Pipe]:
    """Another node of this network."""
    made = Pipe("--dir", str(tmp_path / "other"), cwd=tmp_path)
    yield made
    assert made.close() == 0


def test_what_is_printed_while_somebody_types_does_not_break_the_line(other: Pipe, tmp_path: Path) -> None:
    address = other.say("local")["addresses"][0]
    other.say("join news")
    home = tmp_path / "mine"
    with terminal([*SHELL, "--dir", str(home)], tmp_path) as me:
        me.until(lambda lines: any(line.startswith("bootstrap>") for line in lines))
        me.type(f"connect {address}\r")
        me.until(lambda lines: any("connected  yes" in line for line in lines))
        me.type("join news\r")
        me.until(lambda lines: any("joined  yes" in line for line in lines))
        me.type("publish news half a li")
        me.until(lambda lines: "bootstrap> publish news half a li" in lines)
        for _ in range(40):  # until gossip knows that we have joined
            other.say("publish news first\x1b[2Jword")
            if any("first" in line for line in me.lines()):
                break
            other.say("wait 0.5")
        for number in range(12):
            other.say(f"publish news message {number}")
        seen = me.until(lambda lines: any(line.endswith("message 11") for line in lines) and lines)
        assert seen.count("bootstrap> publish news half a li") == 1, "\n".join(seen)
        last = max(index for index, line in enumerate(seen) if "message 11" in line)
        assert seen.index("bootstrap> publish news half a li") > last, "the line moves below what was printed"
        heard = [line for line in seen if line.startswith("[news] ")]
        assert [line.split(": ")[1] for line in heard][-12:] == [f"message {number}" for number in range(12)]
        assert any("first\N{REPLACEMENT CHARACTER}[2Jword" in line for line in heard), "a stranger moves no cursor"
        me.type("ne\r")
        me.until(lambda lines: any(line.startswith("size_bytes") for line in lines))
        for _ in range(40):
            if found := other.say("read news")["messages"]:
                break
            other.say("wait 0.5")
        assert found[-1]["text"] == "half a line"
        me.type("pub")
        me.until(lambda lines: any("gossip a text to" in line for line in lines))
        me.type("\t")
        me.until(lambda lines: "bootstrap> publish" in lines)
        me.type("\x03")  # drops the line, not the node
        me.until(lambda lines: lines[me.screen.cursor.y] == "bootstrap>")
        me.type("\x04")
        assert me.process.wait(DEADLINE_S) == 0, "\n".join(me.lines())
        assert termios.tcgetattr(me._slave)[3] == me._before[3], "the terminal is as it was"
    history = home / "shell-history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600 and "+publish news half a line" in history.read_text()


def test_a_terminal_is_asked_for_the_role_and_given_back_when_the_node_is_ended(tmp_path: Path) -> None:
    with terminal([sys.executable, "-m", "shoal"], tmp_path) as me:
        me.until(lambda lines: any(line.startswith("role (bootstrap, ") for line in lines))
        me.type("miner\r")
        me.until(lambda lines: any(line.startswith("miner: ") for line in lines))
        me.type("bootstrap\r")
        me.until(lambda lines: any(line.startswith("bootstrap>") for line in lines))
        me.process.send_signal(signal.SIGTERM)
        assert me.process.wait(DEADLINE_S) == 130
        assert termios.tcgetattr(me._slave)[3] == me._before[3]


# ---------------------------------------------------------------- a file or a pipe


def test_a_script_stops_at_its_first_failure_with_its_status(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("# a comment\n\njoin news\nconnect nowhere\nlocal\nexit\nlocal\n")
    done = run("--dir", "home", "--json", "--script", "script", cwd=tmp_path)
    assert [row["command"] for row in rows(done.stdout)] == ["join", "connect"] and done.returncode == 8
    assert rows(done.stdout)[-1]["error"]["code"] == "SHOAL-N15"
    done = run("--dir", "home", "--json", "--script", "script", "--keep-going", cwd=tmp_path)
    assert [row["command"] for row in rows(done.stdout)] == ["join", "connect", "local"] and done.returncode == 8
    done = run("--dir", "home", "--json", cwd=tmp_path, stdin='join news\nread news\npublish news "open\n')
    assert [row["status"] for row in rows(done.stdout)] == ["ok", "ok", "error"] and done.returncode == 2
    assert run("--dir", "home", cwd=tmp_path, stdin="mesh\nexit\n").returncode == 0


@pytest.mark.parametrize("script", ["missing", "binary", "."])
def test_a_script_that_cannot_be_read(tmp_path: Path, script: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    done = run("--dir", "home", "--json", "--script", script, cwd=tmp_path)
    assert (done.returncode, rows(done.stdout)[-1]["error"]["code"]) == (2, "SHOAL-U64")


# ---------------------------------------------------------------- a node that runs


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shoal", *arguments],
        cwd=cwd,
        env=environment(HOME=str(cwd)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_peers_and_net_ask_the_node_that_runs_else_they_join_for_a_moment(tmp_path: Path) -> None:
    node = Pipe("--dir", str(tmp_path / "node"), "--command-listen", "127.0.0.1:0", cwd=tmp_path)
    local = node.say("local")
    note = json.loads((tmp_path / "node" / "serving.json").read_text())
    assert note["command_url"].startswith("http://127.0.0.1:")
    [own] = rows(command("net", "--json", "--dir", "node", cwd=tmp_path).stdout)
    assert [row["peer_id"] for row in own] == [local["peer_id"]], "the node was asked: nobody else has joined"
    assert command("peers", "--dir", "node", cwd=tmp_path).stderr.strip() == "no peers"
    second = command("shell", "--role", "bootstrap", "--dir", "node", "--json", cwd=tmp_path)
    assert rows(second.stdout)[-1]["error"]["code"] == "SHOAL-U13", "one process an identity"

    where = {"SHOAL_BOOTSTRAP": local["addresses"][0]}
    joined = subprocess.run(
        [sys.executable, "-m", "shoal", "net", "--json", "--dir", "elsewhere"],
        cwd=tmp_path,
        env=environment(HOME=str(tmp_path), **where),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    [found] = rows(joined.stdout)
    assert [row["peer_id"] for row in found] == [local["peer_id"]] and not (tmp_path / "elsewhere").exists()
    node.process.kill()
    node.close()
    alone = command("net", "--json", "--dir", "node", cwd=tmp_path)
    assert rows(alone.stdout)[-1]["error"]["code"] == "SHOAL-N09", "what is left of a killed node is not asked"


def test_a_node_of_any_role_serves_the_command_port_if_told_to(tmp_path: Path) -> None:
    listen = ["--command-listen", "127.0.0.1:0", "--json", "--dir", "node"]
    process = subprocess.Popen(
        [sys.executable, "-m", "shoal", "node", "run", "--role", "bootstrap", *listen],
        cwd=tmp_path,
        env=environment(HOME=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        said = json.loads(process.stdout.readline())
        token = (tmp_path / said["token_file"]).read_text().strip()
        with httpx.Client(base_url=said["command_url"], timeout=DEADLINE_S) as http:
            assert http.post("/command", json={"cmd": "mesh"}).status_code == 401
            http.headers["Authorization"] = f"Bearer {token}"
            answer = http.post("/command", json={"cmd": "mesh"}).json()
            assert answer["status"] == "ok" and answer["mesh"][0]["peer_id"] == said["peer_id"]
            assert http.get("/status").json()["role"] == "bootstrap"
            refused = http.post("/command", json={"cmd": "train", "args": ["news"]})
            assert refused.status_code == 409 and "cannot train" in refused.json()["error"]
            assert http.get("/api/v1/tasks").status_code == 404, "the resource API stays with clients"
    finally:
        process.send_signal(signal.SIGTERM)
        out, talk = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0 and token in talk and token not in out, "shown once, to people"
