"""`shoal verify` on a real ledger, by somebody who has nothing but the address of a mirror node."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import Demo
from .harness import last_json, settings_file, shoal

pytestmark = pytest.mark.e2e


def stranger(demo: Demo) -> dict[str, str]:
    """What anyone may know: no account, no key, no directory of the client's."""
    known = settings_file(demo.client)
    return {"SHOAL_MIRROR_REST": known["mirror_rest"], "SHOAL_CONTRACT_ID": known["contract_id"]}


def test_a_stranger_verifies_a_task_without_any_key(demo: Demo, tmp_path: Path) -> None:
    task = demo.report["task_id"]
    done = shoal("verify", task, "--json", cwd=tmp_path, SHOAL_DIR=str(tmp_path / "new"), **stranger(demo))
    assert done.returncode == 0, done.stdout + done.stderr
    found = last_json(done.stdout)
    assert found["holds"] and found["task_id"] == task
    rows = {check["check"]: check for check in found["checks"]}
    assert [name for name, check in rows.items() if check["verdict"] == "unknown"] == ["price", "training", "weights"]
    assert all(
        rows[name]["verdict"] == "ok" for name in ("escrow", "entries", "progress", "result", "payments", "state")
    )
    assert "what was paid in" in rows["escrow"]["found"], "by the ledger's own transfers"
    assert not (tmp_path / "new").exists(), "it leaves nothing behind"


def test_people_get_a_table(demo: Demo, tmp_path: Path) -> None:
    done = shoal("verify", demo.report["task_id"][:12], cwd=tmp_path, SHOAL_DIR=str(tmp_path), **stranger(demo))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"payments +the plan and the credits of the log +ok", done.stdout), done.stdout
    assert "as the ledger had it at" in done.stderr


def test_there_must_be_such_a_task(demo: Demo, tmp_path: Path) -> None:
    done = shoal("verify", "ffff", "--json", cwd=tmp_path, SHOAL_DIR=str(tmp_path), **stranger(demo))
    assert done.returncode == 9 and last_json(done.stdout)["error"]["code"] == "SHOAL-T08"
