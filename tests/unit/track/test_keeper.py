"""JSON lines that survive whatever is killed, and trackers that fail or hang without harm."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from shoal.errors import UsageError
from shoal.track import Keeper, RunFacts, check, keeper
from shoal.track.jsonl import NAME, Jsonl
from shoal.track.run import Record, scalars

Clock = trio.testing.MockClock
RECORDS: list[Record] = [
    {"event": "created", "at_s": 0.0, "time": 5.0, "text": "task"},
    {"event": "round", "at_s": 2.0, "time": 7.0, "text": "round 1", "round": 1, "loss": 0.5, "accuracy": 0.75,
     "wall_s": 2.0, "trainers": {"0.0.9": {"chunk": 3, "loss": 0.4, "accuracy": None, "seconds": 0.1}}},
    {"event": "paid", "at_s": 3.0, "time": 8.0, "text": "paid", "paid_tinybar": 5},
]  # fmt: skip


def facts(home: Path) -> RunFacts:
    home.mkdir(exist_ok=True)
    return RunFacts("ab" * 32, "digits", 5.0, {"rounds": 2, "recipe.optimizer.lr": 0.1}, home)


def lines(home: Path) -> list[Any]:
    return [json.loads(line) for line in (home / NAME).read_text().splitlines()]


def write(home: Path, records: list[Record]) -> None:
    it = Jsonl()
    it.begin(facts(home), "")
    for number, record in enumerate(records):
        it.tell(number, record)
    it.end(over=True)


# ---------------------------------------------------------------- JSON lines


def test_the_numbers_of_a_round_have_names_that_sort() -> None:
    assert scalars(RECORDS[0]) == scalars(RECORDS[2]) == {}
    assert scalars(RECORDS[1]) == {
        "global/loss": 0.5,
        "global/accuracy": 0.75,
        "global/wall_s": 2.0,
        "trainer/0.0.9/loss": 0.4,
        "trainer/0.0.9/seconds": 0.1,
    }
    assert scalars({"event": "result", "round": 2, "test_metric": 0.9, "metric": "mae", "time": 1.0}) == {
        "result/test_metric": 0.9
    }


def test_what_is_told_again_is_written_once(tmp_path: Path) -> None:
    write(tmp_path, RECORDS[:2])
    write(tmp_path, RECORDS)
    assert lines(tmp_path) == RECORDS
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", range(1, 40, 7))
def test_a_line_that_a_crash_has_cut_is_written_again(cut: int, tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-cut])
    write(tmp_path, RECORDS)
    assert lines(tmp_path) == RECORDS


def test_a_story_that_is_told_otherwise_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    other = [RECORDS[0], {**RECORDS[1], "loss": 0.25}]
    write(tmp_path, other)
    assert lines(tmp_path) == other


# ---------------------------------------------------------------- keeping trackers


class Listener:
    """A tracker that remembers; or fails, or hangs, where it is told to."""

    def __init__(self, trouble: str = "", with_: Exception | None = None) -> None:
        self.trouble, self.with_ = trouble, with_
        self.begun: list[str] = []
        self.heard: list[tuple[int, Record]] = []
        self.ended: list[bool] = []
        self.let_go = threading.Event()

    def _at(self, place: str) -> None:
        if self.trouble == place and self.with_ is not None:
            raise self.with_
        if self.trouble == place:
            self.let_go.wait(30)

    def begin(self, facts: RunFacts, run_id: str) -> str:
        self._at("begin")
        self.begun.append(run_id)
        return "run-7"

    def tell(self, number: int, record: Record) -> None:
        self._at("tell")
        self.heard.append((number, record))

    def end(self, *, over: bool) -> None:
        self._at("end")
        self.ended.append(over)


def keeping(monkeypatch: pytest.MonkeyPatch, home: Path, story: list[Record], **listeners: Listener) -> Keeper:
    monkeypatch.setattr(keeper, "make", lambda spec: listeners[spec])
    return Keeper(lambda: (1, story), facts(home), list(listeners))


async def test_each_is_told_everything_once_also_after_a_restart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one, story = Listener(), RECORDS[:1]
    kept = keeping(monkeypatch, tmp_path, story, one=one)
    await kept.catch_up()
    story.append(RECORDS[1])
    await kept.catch_up()
    await kept.end(over=False)
    assert (one.begun, one.ended) == ([""], [False])
    again = Listener()
    kept = keeping(monkeypatch, tmp_path, list(RECORDS), one=again)
    await kept.end(over=True)
    assert one.heard + again.heard == list(enumerate(RECORDS))
    assert (again.begun, again.ended) == (["run-7"], [True])
    assert lines(tmp_path) == RECORDS


@pytest.mark.parametrize("place", ["begin", "tell", "end"])
@pytest.mark.parametrize("error", [RuntimeError("no space"), SystemExit(3), KeyError("secret")])
async def test_one_that_fails_is_left_out_and_the_others_go_on(
    place: str,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad, good = Listener(place, error), Listener()
    kept = keeping(monkeypatch, tmp_path, list(RECORDS), bad=bad, good=good)
    with caplog.at_level(logging.WARNING):
        await kept.catch_up()
        await kept.end(over=True)
    assert good.heard == list(enumerate(RECORDS)) and good.ended == [True]
    assert kept.names == ["jsonl", "good"]
    assert caplog.text.count("tracker bad is left out") == 1
    assert lines(tmp_path) == RECORDS


async def test_one_that_hangs_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(keeper, "CALL_S", 0.1)
    bad, good = Listener("tell"), Listener()
    kept = keeping(monkeypatch, tmp_path, list(RECORDS), bad=bad, good=good)
    try:
        await kept.catch_up()
        assert "bad" not in kept.names and good.heard == list(enumerate(RECORDS))
        await kept.end(over=True)
        assert good.ended == [True]
    finally:
        bad.let_go.set()


async def test_a_command_that_ends_does_not_wait_for_one_that_hangs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keeper, "LAST_S", 0.1)
    bad = Listener("begin")
    kept = keeping(monkeypatch, tmp_path, list(RECORDS), bad=bad)
    try:
        with trio.fail_after(20):
            await kept.end(over=True)
    finally:
        bad.let_go.set()


async def test_a_damaged_note_of_positions_begins_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for text in ("", "[]", '{"one": {"told": "x"}}', "{"):
        (tmp_path / keeper.POSITIONS).write_text(text)
        one = Listener()
        kept = keeping(monkeypatch, tmp_path, list(RECORDS), one=one)
        await kept.end(over=True)
        assert one.begun == [""] and len(one.heard) == 3


# ---------------------------------------------------------------- which there are


@pytest.mark.parametrize("spec", ["tensorbord:x", "", "comet", "jsonl"])
def test_an_unknown_tracker_is_refused_before_anything_is_spent(spec: str) -> None:
    with pytest.raises(UsageError) as error:
        check([spec])
    assert error.value.code == "SHOAL-U70" and "tensorboard:DIR" in error.value.hint


def test_one_that_is_not_installed_is_refused_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.track.specs.find_spec", lambda name: None)
    with pytest.raises(UsageError) as error:
        check(["mlflow:sqlite:///x.db"])
    assert error.value.code == "SHOAL-U71" and "shoal[mlflow]" in error.value.hint
