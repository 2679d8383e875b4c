"""What people read of `shoal earn`: one line that says state, why, and what would change it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from shoal.cli import earn, output
from shoal.cli.earn import Wish, _Screens, limits_of, line_of
from shoal.core.schedule import ALWAYS, parse
from shoal.errors import MachineError
from shoal.settings import Settings

STATE: dict[str, Any] = {
    "event": "state", "state": "run", "why": "nothing stands in the way", "until": "pauses when you touch it",
    "seats": 2, "since": 0.0, "at": 60.0, "changed": True,
}  # fmt: skip
WISH = Wish(None, None, None, False, None, True)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "earning for 1 min, 2 seats; pauses when you touch it"),
        ({"state": "pause", "why": "on battery", "until": "goes on when it is plugged in"},
         "paused for 1 min, 2 seats kept: on battery; goes on when it is plugged in"),
        ({"state": "pause", "seats": 0, "why": "w", "until": "u"}, "paused for 1 min: w; u"),
        ({"state": "stop", "seats": 1}, "stopping, 1 seat to give back"),
        ({"state": "stopped"}, "stopped"),
    ],
)  # fmt: skip
def test_a_state_is_one_line(changes: dict[str, Any], line: str) -> None:
    assert line_of({**STATE, **changes}) == line


def shown(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, records: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    monkeypatch.setattr(output, "stderr", Console(file=text, force_terminal=terminal, width=100, highlight=False))
    with _Screens(as_json=False) as screen:
        for record in records:
            screen.show(record)
    return text.getvalue()


def test_on_a_terminal_the_line_is_renewed_and_elsewhere_only_changes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [STATE, {**STATE, "at": 120.0, "changed": False}, {**STATE, "state": "stopped"}]
    told = shown(monkeypatch, terminal=False, records=records)
    assert told.splitlines() == ["earning for 1 min, 2 seats; pauses when you touch it", "stopped"]
    live = shown(monkeypatch, terminal=True, records=records)
    assert "earning for 2 min" in live and "\x1b[2K" in live, "one line, written over"


def test_json_tells_changes_as_records(capsys: pytest.CaptureFixture[str]) -> None:
    with _Screens(as_json=True) as screen:
        screen.show(STATE)
        screen.show({**STATE, "changed": False})
    (line,) = capsys.readouterr().out.splitlines()
    assert '"state": "run"' in line and "changed" not in line


def test_flags_win_over_settings() -> None:
    settings = Settings(earn_schedule="sat", earn_idle_s=60)
    assert limits_of(settings, WISH).schedule == parse("sat") and limits_of(settings, WISH).idle_s == 60
    asked = Wish(None, None, None, True, "22:00-08:00", True)
    assert limits_of(settings, asked).schedule == parse("22:00-08:00") and limits_of(settings, asked).idle_s == 0
    assert limits_of(Settings(), WISH).schedule == ALWAYS
    with pytest.raises(MachineError, match="schedule") as caught:
        limits_of(settings, Wish(None, None, None, False, "at night", True))
    assert caught.value.code == "SHOAL-G01"


@pytest.mark.parametrize(
    ("typed", "value"),
    [("95\n", 95.0), ("0,31\n", 0.31), ("\n", None), ("much\n", None), ("-3\n", None), ("inf\n", None)],
)
def test_a_number_is_asked_for_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, typed: str, value: float | None
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(earn.sys, "stdin", Terminal(typed))
    assert earn._ask("what a kWh costs") == value
    monkeypatch.setattr(earn.sys, "stdin", io.StringIO(typed))
    assert earn._ask("what a kWh costs") is None
