"""`shoal pair` asks the running node of a directory for a code, and says so where there is none."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import trio

from shoal.cli.pair import pair
from shoal.errors import ConfigError, ShoalError
from shoal.settings import SERVING, Settings

from .desk import Served


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """As by the node that runs with it."""
    with (directory / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_the_code_of_a_running_node_opens_a_session(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    settings = served.desk.settings
    with locked(settings.dir):
        trio.run(lambda: pair(settings, as_json=True))
        shown = json.loads(capsys.readouterr().out)
        assert shown["url"] == f"{served.url}/#pair={shown['code']}"
        answer = httpx.post(f"{served.url}/api/v1/session", json={"code": shown["code"]})
        assert (answer.status_code, answer.json()["role"]) == (201, "operator")
        trio.run(lambda: pair(settings, as_json=False))
    told = capsys.readouterr()
    assert "#pair=" in told.err and not told.out and served.token not in told.err


def test_a_token_of_before_is_refused_by_name(served: Served) -> None:
    settings = served.desk.settings
    (settings.dir / "api-token").write_text("x" * 43)
    with locked(settings.dir), pytest.raises(ShoalError) as caught:
        trio.run(lambda: pair(settings, as_json=True))
    assert caught.value.code == "SHOAL-U50"


@pytest.mark.parametrize("left_behind", [False, True])
def test_a_node_that_is_not_there_is_named(tmp_path: Path, left_behind: bool) -> None:
    if left_behind:
        (tmp_path / SERVING).write_text('{"url": "http://127.0.0.1:9"}')
        (tmp_path / "api-token").write_text("x" * 43)
        (tmp_path / "lock").touch()
    with pytest.raises(ConfigError) as caught:
        trio.run(lambda: pair(Settings(dir=tmp_path), as_json=True))
    assert caught.value.code == "SHOAL-C40" and str(tmp_path) in caught.value.message
