"""A task's story on its way to the trackers: all of it, with consensus time, whatever the trackers do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import trio.testing
from tests.unit.roles.world import World
from tests.unit.sdk.desks import FakeDesk, report_of
from tests.unit.track.test_keeper import Listener

from shoal.client.session import home_of
from shoal.client.story import Story
from shoal.client.tracking import facts_of, tracking
from shoal.track import keeper
from shoal.track.jsonl import NAME

Clock = trio.testing.MockClock


@pytest.fixture
def clock() -> Clock:
    """It begins at 0, as consensus time does here, and does not jump while a thread is at work."""
    return Clock(rate=20)


def lines(desk: FakeDesk) -> list[Any]:
    return [json.loads(line) for line in (home_of(desk.settings, desk.w.task) / NAME).read_text().splitlines()]


async def until_told(desk: FakeDesk, count: int) -> None:
    """Until so many lines are there; a thread writes them."""
    path = home_of(desk.settings, desk.w.task) / NAME
    with trio.fail_after(200):
        while not path.exists() or len(lines(desk)) < count:  # noqa: ASYNC110
            await trio.sleep(0.1)


def told(story: Story) -> list[Any]:
    return json.loads(json.dumps([each.as_dict() for each in story.told]))  # as plain values


def without_time(rows: list[Any]) -> list[Any]:
    return [{name: value for name, value in row.items() if name != "time"} for row in rows]


async def test_every_happening_is_there_with_its_consensus_time(tmp_path: Path, clock: Clock) -> None:
    w = World(tmp_path).settled()
    desk, story = FakeDesk(w), Story()
    async with tracking(desk, w.created, story) as tracked:
        await w.tasklog("client", desk.ledger, witness=story).catch_up()
        tracked.result(report_of(w.state()).as_dict())
    rows = lines(desk)
    assert without_time(rows[:-1]) == told(story) and len(rows) > 10
    assert {row["event"] for row in rows} >= {"created", "awarded", "round", "result_confirmed", "settled"}
    begun_s = w.created.time_ns / 1e9
    assert all(abs(row["time"] - row["at_s"] - begun_s) < 0.01 for row in rows)
    assert (rows[-1]["event"], rows[-1]["test_metric"], rows[-1]["round"]) == ("result", 0.9, 2)


async def test_it_is_told_while_it_happens(tmp_path: Path, clock: Clock) -> None:
    w = World(tmp_path).running()
    desk, story = FakeDesk(w), Story()
    tasklog = w.tasklog("client", desk.ledger, witness=story)
    async with tracking(desk, w.created, story):
        await tasklog.catch_up()
        await until_told(desk, len(story.told))
        before = len(lines(desk))
        w.round()
        w.ledger.skip(1)
        await tasklog.catch_up()
        await until_told(desk, before + 1)
        assert any(row["event"] == "round" for row in lines(desk))


async def test_a_story_that_begins_anew_is_compared_from_its_beginning(tmp_path: Path, clock: Clock) -> None:
    w = World(tmp_path).settled()
    desk, story = FakeDesk(w), Story()
    async with tracking(desk, w.created, story):
        tasklog = w.tasklog("client", desk.ledger, witness=story)
        await tasklog.catch_up()
        await until_told(desk, len(story.told))
        story.stepped(None, tasklog._begun)  # as after a mirror node that had left something out
        story.stepped(tasklog._begun, tasklog.log)
    assert without_time(lines(desk)) == told(story)


async def test_a_tracker_of_the_settings_is_told_too_and_may_fail(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = World(tmp_path).settled()
    good, bad = Listener(), Listener("tell", RuntimeError("no space"))
    monkeypatch.setattr(keeper, "make", {"tensorboard:a": good, "wandb:b": bad}.__getitem__)
    desk, story = FakeDesk(w), Story()
    desk.settings = desk.settings.model_copy(update={"trackers": ("tensorboard:a", "wandb:b")})
    async with tracking(desk, w.created, story):
        await w.tasklog("client", desk.ledger, witness=story).catch_up()
    assert without_time([record for _, record in good.heard]) == told(story)
    assert without_time(lines(desk)) == told(story)


async def test_a_task_that_cannot_be_tracked_goes_on(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    w = World(tmp_path).settled()
    desk, story = FakeDesk(w), Story()
    desk.store.put("manifests", w.task.hex(), b"damaged")
    async with tracking(desk, w.created, story) as tracked:
        await w.tasklog("client", desk.ledger, witness=story).catch_up()
        tracked.result(report_of(w.state()).as_dict())
    assert "is not tracked" in caplog.text and story.told


async def test_one_that_is_cancelled_at_its_beginning_is_begun_again(tmp_path: Path, clock: Clock) -> None:
    w = World(tmp_path).settled()
    for _ in range(5):  # wherever the cancellation comes
        desk, story = FakeDesk(w), Story()
        await w.tasklog("client", desk.ledger, witness=story).catch_up()
        async with tracking(desk, w.created, story):
            await trio.lowlevel.checkpoint()
        assert without_time(lines(desk)) == told(story)
        shutil.rmtree(home_of(desk.settings, w.task))


async def test_the_facts_of_a_run_are_flat_and_hold_no_secret(tmp_path: Path, clock: Clock) -> None:
    w = World(tmp_path)
    desk = FakeDesk(w)
    facts = facts_of(desk, w.created)
    assert facts.params["rounds"] == w.plan.rounds and facts.params["escrow_tinybar"] == int(w.plan.escrow())
    assert all(isinstance(value, str | int | float | bool) for value in facts.params.values())
    assert any(name.startswith("recipe.") for name in facts.params)
    text = json.dumps(dict(facts.params))
    assert w.secrets.secret.hex() not in text and w.secrets.prefix not in text
