"""Commands that find a node running with their directory ask it, and nobody else."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from shoal.cli.net import ask_running, request_running
from shoal.cli.tasks import run_cancel
from shoal.errors import UsageError
from shoal.node import running_at

from .desk import Served


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """As by the process of a node."""
    with (directory / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_who_holds_the_lock_is_asked_and_nobody_gets_the_token_else(served: Served) -> None:
    settings = served.desk.settings
    assert running_at(settings) == {} and trio.run(ask_running, settings, "local") is None, "there is no lock"
    with locked(settings.dir):
        assert running_at(settings) == {"url": served.url, "command_url": served.command_url}
        answer = trio.run(ask_running, settings, "local")
        assert answer is not None and answer["account"] == "0.0.5"
        with pytest.raises(UsageError) as refused:
            trio.run(ask_running, settings, "dance")
        assert refused.value.code == "SHOAL-U59"
        (settings.dir / "serving.json").write_text("{")
        assert running_at(settings) == {}
    (settings.dir / "serving.json").write_text(json.dumps({"command_url": served.command_url}))
    assert trio.run(ask_running, settings, "local") is None, "it is not running any more"
    with locked(settings.dir):
        (settings.dir / "serving.json").write_text(json.dumps({"url": "http://127.0.0.1:9"}))
        assert trio.run(request_running, settings, "url", "GET", "/healthz") is None


def test_a_task_is_cancelled_by_the_node_that_drives_it(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    settings, task = served.desk.settings, served.desk.world.task.hex()
    with locked(settings.dir):
        with pytest.raises(UsageError) as refused:
            trio.run(partial(run_cancel, settings, task, yes=False, as_json=True))
        assert refused.value.code == "SHOAL-U07"
        trio.run(partial(run_cancel, settings, task, yes=True, as_json=True))
    row = json.loads(capsys.readouterr().out)
    assert row["phase"] == "cancelled" and row["refunded_tinybar"] == served.desk.world.plan.escrow()
