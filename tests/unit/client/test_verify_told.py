"""What does not hold is told whole before the command ends with its error; people and programs get the same."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from shoal.cli import tasks
from shoal.client.verify import Verification
from shoal.core.ids import TaskId
from shoal.core.verdicts import SHOWN, Check, Verdict, judged
from shoal.errors import VerificationError
from shoal.settings import Settings

TASK = TaskId(b"\xab" * 32)
CHECKS = (
    Check("task id", "client", Verdict.HOLDS, "it is"),
    judged("payments", "the plan", ["0.0.9 was paid 3 ℏ where 2 ℏ is right"], "all"),
    Check("price", "the bids", Verdict.UNKNOWN, "[sealed]"),
)


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def reader(settings: Settings) -> AsyncIterator[None]:
        yield

    async def find(ledger: Any, wanted: str) -> tuple[None, TaskId]:
        return None, TASK

    async def verified(*which: Any) -> Verification:
        return Verification(TASK, 1_800_000_000 * 10**9, CHECKS)

    monkeypatch.setattr(tasks, "open_reader", reader)
    monkeypatch.setattr(tasks, "must_find", find)
    monkeypatch.setattr(tasks, "verify_task", verified)


@pytest.mark.parametrize("as_json", [True, False])
async def test_the_table_comes_before_the_error(
    as_json: bool, wrong: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(dir=tmp_path, contract_id="0.0.1001")
    with pytest.raises(VerificationError, match="payments") as error:
        await tasks.run_verify(settings, "abab", as_json=as_json)
    assert (error.value.code, error.value.exit_status) == ("SHOAL-V01", 14)
    if as_json:
        told = json.loads(capsys.readouterr().out)
        assert (told["holds"], told["counts"]) == (False, {"ok": 1, "noted": 0, "wrong": 1, "unknown": 1})
        assert told["checks"][1]["found"].startswith("0.0.9 was paid 3")


def test_many_faults_are_counted_and_the_first_are_told() -> None:
    check = judged("entries", "chains", [f"fault {n}" for n in range(SHOWN + 4)], "none")
    assert check.verdict is Verdict.WRONG and check.found.endswith("and 4 more") and "fault 4" in check.found
    assert judged("entries", "chains", [], "none").verdict is Verdict.HOLDS
