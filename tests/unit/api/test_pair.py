"""`shoal pair` asks the running node of a directory for a code, and says so where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
import trio

from shoal.api.server import URL_FILE
from shoal.cli.pair import pair
from shoal.errors import ConfigError, UsageError

from .desk import Served


def test_the_code_of_a_running_node_opens_a_session(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    directory = served.desk.settings.dir
    assert (directory / URL_FILE).read_text().strip() == served.url
    trio.run(lambda: pair(directory, as_json=True))
    shown = json.loads(capsys.readouterr().out)
    assert shown["url"] == f"{served.url}/#pair={shown['code']}"
    answer = httpx.post(f"{served.url}/api/v1/session", json={"code": shown["code"]})
    assert (answer.status_code, answer.json()["role"]) == (201, "operator")
    trio.run(lambda: pair(directory, as_json=False))
    told = capsys.readouterr()
    assert "#pair=" in told.err and not told.out and served.token not in told.err


def test_a_token_of_before_is_refused_by_name(served: Served) -> None:
    directory = served.desk.settings.dir
    (directory / "api-token").write_text("x" * 43)
    with pytest.raises(UsageError) as caught:
        trio.run(lambda: pair(directory, as_json=True))
    assert caught.value.code == "SHOAL-U50"


def test_a_node_that_is_not_there_is_named(tmp_path: Path) -> None:
    for left_behind in (False, True):
        if left_behind:
            (tmp_path / URL_FILE).write_text("http://127.0.0.1:9")
            (tmp_path / "api-token").write_text("x" * 43)
        with pytest.raises(ConfigError) as caught:
            trio.run(lambda: pair(tmp_path, as_json=True))
        assert caught.value.code == "SHOAL-C40" and str(tmp_path) in caught.value.message
