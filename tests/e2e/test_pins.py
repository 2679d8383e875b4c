"""Pins and trackers of a real task: started and left, come back to, and fetched from IPFS when storage has lost it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
import trio
from botocore.config import Config

from ..contract.ipfs_double import JWT, Double, serving
from ..contract.ipfs_stores import MemoryStore
from .conftest import Demo
from .harness import environment, last_json, settings_file
from .test_errors import GOOD, TABLE, files

pytestmark = pytest.mark.e2e


async def run(*arguments: str, cwd: Path, **env: str) -> tuple[str, str]:
    """One command to its good end, while the double answers."""
    with trio.fail_after(240):
        done = await trio.run_process(
            [sys.executable, "-m", "shoal", *arguments],
            capture_stdout=True, capture_stderr=True, check=False, cwd=cwd, env=environment(**env), stdin=b"",
        )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


def lose_results(demo: Demo) -> int:
    """Delete every result object, as a store may after a while."""
    known = settings_file(demo.client)
    s3: Any = boto3.client(
        "s3",
        endpoint_url=known["s3_endpoint"],
        aws_access_key_id=known["s3_access_key"],
        aws_secret_access_key=known["s3_secret_key"],
        region_name=known.get("s3_region", "akave-network"),
        config=Config(s3={"addressing_style": "path"}),
    )
    bucket, lost = known.get("s3_bucket", "shoal"), 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for row in page.get("Contents", ()):
            if "/slot/r/" in row["Key"]:
                s3.delete_object(Bucket=bucket, Key=row["Key"])
                lost += 1
    return lost


async def test_a_pinned_task_from_start_to_a_lost_slot(demo: Demo, tmp_path: Path) -> None:
    files(tmp_path, GOOD, TABLE)
    async with serving(Double(MemoryStore())) as double:
        env = {
            "SHOAL_DIR": str(demo.client),
            "JWT_TOKEN": JWT,
            "PINATA_GATEWAY": double.url,
            "SHOAL_PINATA_API_URL": double.url,
            "SHOAL_PINATA_UPLOADS_URL": double.url,
            "SHOAL_IPFS_GATEWAYS": double.url,
        }
        pins = ("--pin-graph", "--pin-manifest", "--pin-result")
        out, talk = await run(
            "train", "model.py", "data.csv", "--rounds", "2", "--yes", "--json", "--no-follow", *pins,
            cwd=tmp_path, **env,
        )  # fmt: skip
        left = last_json(out)
        assert left["event"] == "detached"
        task = left["task_id"]
        assert f"shoal get {task[:12]}" in talk and "for ever" in talk
        track = ("--track", f"tensorboard:{tmp_path / 'runs'}")
        out, talk = await run("get", task, "--json", "-o", "w.safetensors", *track, cwd=tmp_path, **env)
        got = last_json(out)
        assert "the encrypted result is pinned as" in talk
        out, _ = await run("verify", task, "--json", cwd=tmp_path, **env)
        found = {check["check"]: check for check in last_json(out)["checks"]}
        assert all(f"{what} " in found["pins"]["found"] for what in ("graph", "manifest", "result"))
        assert "3 pin" in found["entries"]["found"]
        assert lose_results(demo) > 0
        out, _ = await run("get", task, "--json", "-o", "again.safetensors", cwd=tmp_path, **env)
        assert last_json(out)["sha256"] == got["sha256"]
        assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "w.safetensors").read_bytes()
    home = demo.client / "tasks" / task[:16]
    lines = [json.loads(line) for line in (home / "events.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines if line["event"] == "round"] == [1, 2]
    assert sum(line["event"] == "paid" for line in lines) > 0
    assert list((tmp_path / "runs" / task[:12]).iterdir())
