"""The story of a task: everything once, in order and with its time; then what is new, until the last claim."""

from __future__ import annotations

from pathlib import Path

import trio
import trio.testing
from tests.unit.roles.world import World

from shoal.client.story import CLAIMS_S, Story
from shoal.core.ids import account_text


async def test_a_late_reader_is_told_everything_once_and_with_its_time(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    w = World(tmp_path).published()
    for index in range(3):
        w.bid(index)
    w.settled()
    for index in range(3):
        w.claim(index)
    w.ledger.skip(1_000)
    story = Story()
    await w.tasklog("client", w.ledger.port(w.client), witness=story).catch_up()
    with trio.fail_after(1):
        told = [told async for told in story.follow()]
    kinds = [each.kind for each in told]
    assert kinds.count("created") == kinds.count("started") == kinds.count("settled") == 1
    assert kinds.count("bid") == 3 and kinds.count("round") == w.plan.rounds and kinds.count("paid") == 3
    order = [kinds.index(kind) for kind in ("created", "bid", "awarded", "started", "round", "settled", "paid")]
    assert order == sorted(order)
    times = [each.at_s for each in told]
    assert times == sorted(times) and times[0] == 0 and times[-1] < 900
    assert told[0].as_dict()["event"] == "created"


async def test_a_reader_that_comes_back_goes_on_where_it_was(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    w = World(tmp_path).settled()
    story = Story()
    tasklog = w.tasklog("client", w.ledger.port(w.client), witness=story)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tasklog.run)
        await tasklog.wait_for(lambda t: t.log.phase.over)
        known = len(story.told)
        w.claim(1)
        with trio.fail_after(CLAIMS_S + 10):  # two never claim
            new = [told async for told in story.follow(known)]
        assert [(told.kind, told.data["trainer"]) for told in new] == [("paid", account_text(w.trainers[1]))]
        nursery.cancel_scope.cancel()
