"""`shoal ipfs` as people run it: processes with arguments and standard streams, against the test double."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from shoal.adapters.ipfs.cid import Cid
from shoal.settings import VARIABLES

from .ipfs_double import JWT, KEY, SECRET, Double, serving
from .ipfs_stores import MemoryStore

MIB = 1024 * 1024


@dataclass
class Done:
    status: int
    out: bytes
    talk: str

    def json(self) -> Any:
        """The last line of stdout."""
        return json.loads(self.out.splitlines()[-1])


@dataclass
class Shell:
    """A directory to run commands in, with a `.env` that names the double."""

    double: Double
    cwd: Path

    async def run(self, *arguments: str, stdin: bytes = b"", status: int = 0, **env: str) -> Done:
        clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        clean = {name: value for name, value in clean.items() if not name.startswith("SHOAL_")}
        with trio.fail_after(60):
            done = await trio.run_process(
                [sys.executable, "-m", "shoal", "ipfs", *arguments],
                stdin=stdin, capture_stdout=True, capture_stderr=True, check=False, cwd=self.cwd,
                env={**clean, "SHOAL_DIR": str(self.cwd / "home"), **env},
            )  # fmt: skip
        result = Done(done.returncode, done.stdout, done.stderr.decode())
        assert result.status == status, result
        for secret in (JWT, KEY, SECRET):
            assert secret not in result.talk and secret.encode() not in result.out
        return result

    def env(self, **values: str) -> None:
        places = ("SHOAL_PINATA_API_URL", "SHOAL_PINATA_UPLOADS_URL", "SHOAL_IPFS_GATEWAYS")
        lines = {**dict.fromkeys(places, self.double.url), **values}
        (self.cwd / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        (self.cwd / ".env").chmod(0o600)


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    async with serving(Double(MemoryStore())) as double:
        made = Shell(double, tmp_path)
        made.env(JWT_TOKEN=JWT, PINATA_GATEWAY=double.url)
        yield made


async def test_add_get_ls_unpin(shell: Shell) -> None:
    (shell.cwd / "model.json").write_text("{}")
    added = await shell.run("add", "model.json")
    cid = added.out.decode().strip()
    assert str(Cid.parse(cid)) == cid and "never be taken back" in added.talk
    listed = await shell.run("ls")
    assert cid in listed.out.decode() and "model.json" in listed.out.decode()
    got = await shell.run("get", cid, "-o", "copy.json")
    assert got.out == b"copy.json\n" and (shell.cwd / "copy.json").read_text() == "{}"
    await shell.run("unpin", cid)
    assert json.loads((await shell.run("ls", "--json")).out) == []
    assert (await shell.run("unpin", cid, "--json", status=7)).json()["error"]["code"] == "SHOAL-S27"


async def test_add_text_and_stdin_as_json(shell: Shell) -> None:
    text = (await shell.run("add", "--text", "grüße", "--name", "greeting", "--json")).json()
    assert text["name"] == "greeting" and text["size_bytes"] == 7 and text["public"] is True
    assert text["cid"] == str(Cid.of("grüße".encode()))
    piped = (await shell.run("add", "-", "--json", stdin=b"\x00\xff" * 1_000)).json()
    assert piped["cid"] == str(Cid.of(b"\x00\xff" * 1_000)) and piped["name"] == "stdin"
    assert (await shell.run("get", piped["cid"], "-o", "-")).out == b"\x00\xff" * 1_000
    fetched = (await shell.run("get", piped["cid"], "--json")).json()
    assert Path(fetched["path"]) == shell.cwd / piped["cid"] and fetched["verified"] is True


async def test_progress_of_large_files_is_told(shell: Shell) -> None:
    (shell.cwd / "large").write_bytes(os.urandom(20 * MIB))
    lines = [json.loads(line) for line in (await shell.run("add", "large", "--json")).out.splitlines()]
    told = [line["bytes"] for line in lines if line.get("event") == "progress"]
    assert told == sorted(told) and told[-1] == 20 * MIB and 5 < len(told) < 30
    lines = [json.loads(line) for line in (await shell.run("get", lines[-1]["cid"], "--json")).out.splitlines()]
    told = [line["bytes"] for line in lines if line.get("event") == "progress"]
    assert told == sorted(told) and told[-1] == 20 * MIB


async def test_private_files(shell: Shell) -> None:
    added = await shell.run("add", "--text", "private", "--private", "--json")
    assert added.json()["public"] is False and "never" not in added.talk
    assert (await shell.run("ls", "--json")).json() == []
    assert [row["cid"] for row in (await shell.run("ls", "--private", "--json")).json()] == [added.json()["cid"]]
    assert (await shell.run("get", added.json()["cid"], "--private", "-o", "-")).out == b"private"
    assert any(asked.startswith("GET /files/") for asked in shell.double.asked)


async def test_by_key_and_secret(shell: Shell) -> None:
    shell.env(API_KEY=KEY, API_SECRET=SECRET, PINATA_GATEWAY=shell.double.url)
    cid = (await shell.run("add", "--text", "hello", "--json")).json()["cid"]
    assert "POST /pinning/pinFileToIPFS" in shell.double.asked
    await shell.run("unpin", cid)
    await shell.run("pin", cid, "--name", "again")
    assert [row["name"] for row in (await shell.run("ls", "--json")).json()] == ["again"]
    assert (await shell.run("add", "--text", "x", "--private", "--json", status=3)).json()["error"][
        "code"
    ] == "SHOAL-C01"


async def test_a_node_of_ones_own(shell: Shell) -> None:
    shell.env(SHOAL_KUBO_RPC=shell.double.url)
    cid = (await shell.run("add", "--text", "hello", "--json")).json()["cid"]
    assert "POST /api/v0/add" in shell.double.asked
    assert (await shell.run("get", cid, "-o", "-")).out == b"hello"
    assert [row["cid"] for row in (await shell.run("ls", "--json")).json()] == [cid]
    refused = await shell.run("add", "--text", "secret", "--private", "--json", status=3)
    assert refused.json()["error"]["code"] == "SHOAL-C01", "what is meant to be private is never published"


async def test_fetching_needs_no_key(shell: Shell) -> None:
    (shell.cwd / ".env").write_text(f"SHOAL_IPFS_GATEWAYS={shell.double.url}\n")
    cid = shell.double.store.add(b"hello")
    assert (await shell.run("get", str(cid), "-o", "-")).out == b"hello"
    assert (await shell.run("ls", "--json", status=3)).json()["error"]["code"] == "SHOAL-C01"
    assert (await shell.run("add", "--text", "x", "--json", status=3)).json()["error"]["code"] == "SHOAL-C01"


async def test_wrong_bytes(shell: Shell) -> None:
    cid = shell.double.store.add(b"hello")
    shell.double.wrong_bytes = True
    for out in ("-", "copy"):
        done = await shell.run("get", str(cid), "-o", out, status=10)
        assert done.out == b"" and "SHOAL-K20" in done.talk
    assert not (shell.cwd / "copy").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["add"], 2, "SHOAL-U23"),
        (["add", "x", "--text", "x"], 2, "SHOAL-U23"),
        (["add", "."], 2, "SHOAL-U21"),
        (["add", "none"], 7, "SHOAL-S11"),
        (["get", "hello"], 2, "SHOAL-U20"),
        (["get", "../../x"], 2, "SHOAL-U20"),
        (["unpin", "hello"], 2, "SHOAL-U20"),
        (["pin", "hello"], 2, "SHOAL-U20"),
        (["get", str(Cid.of(b"nobody has this"))], 7, "SHOAL-S23"),
        (["get", str(Cid.of(b"x")), "-o", "-"], 2, "SHOAL-U23"),
    ],
)
async def test_mistakes(shell: Shell, arguments: list[str], status: int, code: str) -> None:
    error = (await shell.run(*arguments, "--json", status=status)).json()["error"]
    assert error["code"] == code and error["hint"] and error["exit_status"] == status


async def test_too_large(shell: Shell) -> None:
    cid = shell.double.store.add(bytes(100))
    error = (await shell.run("get", str(cid), "--max-bytes", "99", "--json", status=7)).json()["error"]
    assert error["code"] == "SHOAL-S24"


async def test_a_wrong_key(shell: Shell) -> None:
    shell.env(JWT_TOKEN="wrong-canary")
    done = await shell.run("ls", "--json", status=7)
    assert done.json()["error"]["code"] == "SHOAL-S21"
    assert "wrong-canary" not in done.talk + done.out.decode()
