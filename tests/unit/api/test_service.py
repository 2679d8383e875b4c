"""From an upload to a task that runs: quoted, confirmed, created once, gone on with after a restart, beside others."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from shoal.api.quotes import LIFE_S, Quotes, Terms
from shoal.core import calls
from shoal.core.ids import TaskId
from shoal.core.task import Phase
from shoal.errors import MarketError, StorageError, UsageError
from shoal.roles.trainer import opening

from .desk import Api, Desk, api, archive


async def create(it: Api, quote: dict[str, Any], **more: Any) -> Any:
    return await it.http.post(
        "/api/v1/tasks", json={"quote_id": quote["quote_id"], "confirm": True} | more, headers=it.authorised
    )


def created(desk: Desk) -> int:
    """Tasks of this account that the contract was asked for, the world's own left out."""
    return len(desk.world.ledger.calls_of(calls.CreateTask, desk.world.client)) - 1


async def test_a_quote_prices_what_was_found_and_spends_nothing(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        quote = await it.quote(name="my task", trainers=2, chunks=4, budget_tinybar=1_000_000)
        assert quote["examined"]["rows"] == 60 and quote["examined"]["name"] == "rows"
        assert (quote["chunks"], quote["rounds"], quote["units"]) == (4, 2, 8)
        assert 0 < quote["escrow_tinybar"] <= 1_000_000
        same = await it.http.get(f"/api/v1/quotes/{quote['quote_id']}", headers=it.authorised)
        assert same.json() == quote
    assert created(desk) == 0 and desk.ledger.topics == [] and desk.world.storage.puts == []


async def test_nothing_is_spent_without_confirm(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        quote = await it.quote()
        answer = await create(it, quote, confirm=False)
        assert (answer.status_code, answer.json()["code"]) == (409, "SHOAL-U56")
        assert answer.json()["money"] == "nothing was spent"
    assert created(desk) == 0


async def test_a_quote_makes_one_task_however_often_it_is_asked_for(clock: MockClock, desk: Desk) -> None:
    answers: list[Any] = []

    async with api(desk) as it:
        quote = await it.quote()

        async def ask() -> None:
            answers.append(await create(it, quote))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
        answers.append(await create(it, quote))
        assert {answer.status_code for answer in answers} == {201}, answers[0].text
        [task] = {answer.json()["task_id"] for answer in answers}
        assert answers[0].headers["location"] == f"/api/v1/tasks/{task}"
        seen = await it.http.get(f"/api/v1/quotes/{quote['quote_id']}", headers=it.authorised)
        assert seen.json()["task_id"] == task
        assert not any((desk.settings.dir / "uploads").iterdir())
    assert created(desk) == 1 and len(desk.ledger.topics) == 1


async def test_an_answer_that_was_lost_in_a_crash_is_found_on_the_ledger(clock: MockClock, desk: Desk) -> None:
    """The contract has the task; the process dies before it hears so."""
    async with api(desk) as it:
        quote = await it.quote()
        desk.ledger.answers_lost = {calls.CreateTask}
        assert (await create(it, quote)).status_code == 503
        assert created(desk) == 1
    async with api(desk) as it:
        answer = await create(it, quote)
        assert answer.status_code == 201, answer.text
        assert answer.json()["following"]
    assert created(desk) == 1


async def test_a_crash_before_the_call_costs_nothing(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        quote = await it.quote()
        desk.ledger.troubles[calls.CreateTask] = deque([StorageError("cut")])
        assert (await create(it, quote)).status_code == 502
    assert created(desk) == 0
    async with api(desk) as it:
        puts = len(desk.world.storage.objects)
        assert (await create(it, quote)).status_code == 201
        assert len(desk.world.storage.objects) == puts, "what was uploaded is used"
    assert created(desk) == 1


async def test_it_goes_on_when_whoever_asked_has_hung_up(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        quote = await it.quote()
        with trio.move_on_after(0.5):
            await create(it, quote)
        with trio.fail_after(60):
            while created(desk) == 0:  # noqa: ASYNC110 - the task does it
                await trio.sleep(0.5)


async def test_tasks_of_before_go_on_after_a_restart_each_with_a_failure_of_its_own(
    clock: MockClock, desk: Desk
) -> None:
    async with api(desk) as it:
        first, second = await it.quote(name="one"), await it.quote(name="two")
        tasks = [(await create(it, quote)).json()["task_id"] for quote in (first, second)]
    assert len(set(tasks)) == 2
    desk.store.put("manifests", tasks[0], b"damaged")
    async with api(desk) as it:
        with trio.fail_after(400):
            await it.service.resumed.wait()
            states = {}
            while not states or states[tasks[1]]["phase"] == "open":
                await trio.sleep(1)
                for task in tasks:
                    states[task] = (await it.http.get(f"/api/v1/tasks/{task}")).json()
        assert states[tasks[1]]["phase"] == "cancelled" and states[tasks[1]]["trouble"] is None, "nobody bid"
        assert states[tasks[0]]["phase"] == "open" and states[tasks[0]]["trouble"]["code"] == "SHOAL-X02"
        assert states[tasks[0]]["following"]


async def test_a_failure_that_passes_is_got_over(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        task = (await create(it, await it.quote())).json()["task_id"]
    desk.storage_is_away = StorageError("away", code="SHOAL-S01")
    async with api(desk) as it:
        with trio.fail_after(60):
            while not (state := (await it.http.get(f"/api/v1/tasks/{task}")).json())["trouble"]:  # noqa: ASYNC110
                await trio.sleep(0.5)
        assert state["trouble"]["code"] == "SHOAL-S01"
        desk.storage_is_away = None
        followed = await it.service.find(task)
        with trio.fail_after(400):
            while followed.state.phase is not Phase.CANCELLED:  # noqa: ASYNC110 - the task does it
                await trio.sleep(1)
            while not followed.ended.is_set():  # noqa: ASYNC110 - the task does it
                await trio.sleep(0.5)
        assert followed.error is None


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"model.py": "raise RuntimeError('no')"}, "SHOAL-M08"),
        ({"rows.csv": "a,label\n1,\n2,x\n"}, "SHOAL-D03"),
        ({"recipe.json": "{"}, "SHOAL-U05"),
    ],
)
async def test_what_is_wrong_with_an_upload_is_told_and_nothing_of_it_is_kept(
    clock: MockClock, desk: Desk, files: dict[str, str], code: str
) -> None:
    async with api(desk) as it:
        answer = await it.http.post(
            "/api/v1/quotes", files={"archive": ("a.zip", archive(**files))}, headers=it.authorised
        )
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
        assert not any((desk.settings.dir / "uploads").iterdir())


async def test_an_account_without_money_is_told_before(clock: MockClock, desk: Desk) -> None:
    desk.ledger.held = type(desk.ledger.held)(1)
    async with api(desk) as it:
        answer = await it.http.post("/api/v1/quotes", files={"archive": ("a.zip", archive())}, headers=it.authorised)
        assert (answer.status_code, answer.json()["code"]) == (402, "SHOAL-T02")


async def test_a_quote_expires_and_its_upload_goes(clock: MockClock, desk: Desk, tmp_path: Path) -> None:
    now_s = 0.0
    quotes = Quotes(desk, clock=lambda: now_s)
    async with api(desk) as it:
        made = await it.quote()
        kept = it.service.quotes.get(made["quote_id"])
        quotes.keep(type(kept)(**{**vars(kept), "terms": Terms(name="x"), "made_s": 0.0, "expires_s": LIFE_S}))
        assert quotes.get(kept.id).id == kept.id
        now_s = LIFE_S + 1.0
        with pytest.raises(UsageError) as caught:
            quotes.get(kept.id)
        assert caught.value.code == "SHOAL-U55"
        quotes.sweep()
        assert desk.store.items("api-quotes") == [] and not any((desk.settings.dir / "uploads").iterdir())


async def test_an_opened_bid_goes_to_its_own_task(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        for name in ("one", "two"):
            assert (await create(it, await it.quote(name=name, bid_s=3600))).status_code == 201
        handler = desk.network.handlers["opening"]
        bid = desk.world.bid(0)
        with pytest.raises(MarketError, match="no task of this node"):
            await handler("peer", opening(TaskId(b"x" * 32), bid))
        tasks = [each.event.task_id for each in await it.service.market.tasks()][1:]
        for task in tasks:
            with pytest.raises(MarketError, match="too early"):
                await handler("peer", opening(task, bid))
