"""Looking at tasks, following them, and ending them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
import pytest
from trio.testing import MockClock

from shoal.core.calls import Cancel
from shoal.core.entries import make_log_entry
from shoal.core.ids import address_text
from shoal.core.loglines import LogLine, pack
from shoal.core.task import SECOND_NS
from shoal.errors import ConfigError

from .desk import Api, Desk, Served, api


def events_of(text: str) -> list[tuple[int | None, str, dict[str, Any]]]:
    """(id, event, data) of a whole stream."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            number = int(fields["id"]) if "id" in fields else None
            found.append((number, fields["event"], json.loads(fields["data"])))
    return found


async def get(it: Api, path: str, status: int = 200, **more: Any) -> Any:
    answer = await it.http.get(f"/api/v1{path}", **more)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_settled_task_tells_everything_a_page_shows(clock: MockClock, desk: Desk) -> None:
    world = desk.world.settled()
    for index in range(3):
        world.claim(index)
    state = world.state()
    async with api(desk) as it:
        task = await get(it, f"/tasks/{world.task.hex()[:10]}")
        assert (task["phase"], task["round"], task["rounds"], task["mine"]) == ("settled", 2, 2, True)
        assert task["result_sha256"] == state.checkpoints[-1].state.hex()
        assert [each["round"] for each in task["checkpoints"]] == [1, 2]
        assert [len(each["updates"]) for each in task["checkpoints"]] == [3, 3]
        assert [seat["trainer"] for seat in task["seats"]] == [address_text(each) for each in world.trainers]
        assert sum(seat["units_done"] for seat in task["seats"]) == 6
        money = task["money"]
        assert money["escrow_tinybar"] == money["paid_tinybar"] + money["refunded_tinybar"]
        assert money["paid_tinybar"] == sum(seat["paid_tinybar"] for seat in task["seats"]) > 0
        assert all(deadline["passed"] == (deadline["name"] in ("bid", "settle")) for deadline in task["deadlines"])
        metrics = await get(it, f"/tasks/0.0.{state.topic}/metrics")
        assert metrics["checkpoints"] == task["checkpoints"]
        [row] = (await get(it, "/tasks"))["items"]
        assert row == {name: task[name] for name in row}


async def test_a_running_task_tells_its_round(clock: MockClock, desk: Desk) -> None:
    world = desk.world.running()
    world.train(0)
    async with api(desk) as it:
        task = await get(it, f"/tasks/{world.task.hex()}")
        current = task["current"]
        assert (current["round"], current["delivered"], current["waiting_for"]) == (1, [0], [1, 2])
        assert task["now"] > current["since"] > 1.8e9


async def test_events_have_their_number_and_go_on_after_the_last_one_seen(clock: MockClock, desk: Desk) -> None:
    world = desk.world.settled()
    for index in range(3):
        world.claim(index)
    async with api(desk) as it:
        path = f"/api/v1/tasks/{world.task.hex()}/events"
        everything = events_of((await it.http.get(path)).text)
        assert [number for number, _, _ in everything] == [*range(len(everything) - 1), None]
        kinds = [kind for _, kind, _ in everything]
        assert kinds[0] == "created" and kinds[-1] == "end" and kinds.count("round") == 2
        seen = kinds.index("started")
        rest = events_of((await it.http.get(path, headers={"Last-Event-ID": str(seen)})).text)
        assert rest == everything[seen + 1 :]
        for strange in ("x", "-1", "9" * 30):
            assert events_of((await it.http.get(path, headers={"Last-Event-ID": strange})).text) == everything
    async with api(desk) as it:  # another process tells the same
        assert events_of((await it.http.get(path)).text) == everything


def test_events_come_as_they_happen(served: Served) -> None:
    world = served.desk.world
    with httpx.Client(base_url=served.url, headers=served.authorised, timeout=30) as client:
        with client.stream("GET", f"/api/v1/tasks/{world.task.hex()}/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.iter_lines()
            assert next(line for line in lines if line.startswith("event: ")) == "event: created"
            cancelled = client.post(f"/api/v1/tasks/{world.task.hex()}/cancel").json()
            kinds = [line for line in lines if line.startswith("event: ")]
    assert kinds == ["event: cancelled", "event: end"]
    assert cancelled["refunded_tinybar"] == int(world.plan.escrow())


async def test_the_log_is_decoded_and_says_what_is_not_signed(clock: MockClock, desk: Desk) -> None:
    world = desk.world.published()
    world.ledger.write(b"anyone may write here")
    world.bid(0)
    state = world.state()
    forged = world.sign(world.client, "award", {"leaves": []}, by="trainer-0")
    world.ledger.write(forged.data())
    async with api(desk) as it:
        rows: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await get(it, f"/tasks/{world.task.hex()}/log?limit=1" + (f"&cursor={cursor}" if cursor else ""))
            rows += page["items"]
            cursor = page["next"]
        assert [row["kind"] for row in rows] == ["manifest", "unreadable", "bid", "award"]
        assert [row["signed"] for row in rows] == [True, None, None, False]
        assert rows[0]["body"]["manifest"]["nonce"] == world.manifest.nonce.hex()
        assert rows[0]["name"] == "client" and rows[2]["author"] == address_text(world.trainers[0])
        assert state.now_ns / SECOND_NS >= rows[0]["at"] > 1.8e9


@pytest.mark.parametrize(
    ("stage", "back"), [("published", "everything"), ("accepted", "all but compensations"), ("ready", "the same")]
)
async def test_cancel_before_the_start_says_what_comes_back(
    clock: MockClock, desk: Desk, stage: str, back: str
) -> None:
    world = getattr(desk.world, stage)()
    async with api(desk) as it:
        path = f"/api/v1/tasks/{world.task.hex()}/cancel"
        answer = (await it.http.post(path, headers=it.authorised)).json()
        plan = world.plan
        due = 0 if stage == "published" else 3 * int(plan.compensation)
        assert (answer["phase"], answer["refunded_tinybar"]) == ("cancelled", int(plan.escrow()) - due), back
        again = await it.http.post(path, headers=it.authorised)
        assert again.json() == answer
    [cancel] = world.ledger.calls_of(Cancel, world.client)[:1]
    assert cancel.task_id == world.task


@pytest.mark.parametrize("stage", ["running", "settled"])
async def test_after_the_start_it_is_too_late(clock: MockClock, desk: Desk, stage: str) -> None:
    world = getattr(desk.world, stage)()
    async with api(desk) as it:
        answer = await it.http.post(f"/api/v1/tasks/{world.task.hex()}/cancel", headers=it.authorised)
        assert (answer.status_code, answer.json()["code"]) == (409, "SHOAL-U58")


async def test_another_accounts_task_can_be_looked_at_and_no_more(clock: MockClock, desk: Desk) -> None:
    world = desk.world.settled()
    desk.ledger.address = world.trainers[0]
    async with api(desk) as it:
        assert (await get(it, "/tasks"))["items"] == []
        [row] = (await get(it, "/tasks?all=true"))["items"]
        assert row["mine"] is False
        assert (await get(it, f"/tasks/{world.task.hex()}"))["phase"] == "settled"
        for method, what in (("POST", "cancel"), ("GET", "result")):
            answer = await it.http.request(method, f"/api/v1/tasks/{world.task.hex()}/{what}", headers=it.authorised)
            assert (answer.status_code, answer.json()["code"]) == (403, "SHOAL-U08")


async def test_the_result_is_what_was_confirmed_and_is_fetched_once(clock: MockClock, desk: Desk) -> None:
    world = desk.world.settled()
    desk.store.put("secrets", world.task.hex(), world.secrets.to_bytes())
    async with api(desk) as it:
        path = f"/api/v1/tasks/{world.task.hex()}/result"
        answer = await it.http.get(path, headers=it.authorised)
        assert answer.status_code == 200, answer.text
        confirmed = world.state().checkpoints[-1].state
        assert hashlib.sha256(answer.content).digest() == confirmed
        assert answer.headers["etag"] == f'"{confirmed.hex()}"'
        gets = len(desk.transfer.gets)
        assert (await it.http.get(path, headers=it.authorised)).content == answer.content
        assert len(desk.transfer.gets) == gets
        envelope = await it.http.get(f"/api/v1/tasks/{world.task.hex()}/envelope")
        assert envelope.content == b"for the ML user"


async def test_there_is_no_result_before_there_is(clock: MockClock, desk: Desk) -> None:
    world = desk.world.running()
    async with api(desk) as it:
        for what in ("result", "envelope"):
            answer = await it.http.get(f"/api/v1/tasks/{world.task.hex()}/{what}", headers=it.authorised)
            assert (answer.status_code, answer.json()["code"]) == (409, "SHOAL-T04")


async def test_what_is_not_there_is_a_problem(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        problem = await get(it, f"/tasks/{'f' * 64}", 404)
        assert problem["type"] == "urn:shoal:error:SHOAL-T08" and problem["hint"] and problem["status"] == 404
        for path, status, code in (
            ("/nothing", 404, "SHOAL-U61"),
            ("/tasks?limit=0", 422, "SHOAL-U54"),
            ("/tasks?cursor=zzz", 422, "SHOAL-U54"),
            ("/ledger/movements?account=x", 422, "SHOAL-U54"),
        ):
            answer = await it.http.get(f"/api/v1{path}")
            assert (answer.status_code, answer.json()["code"]) == (status, code), path
            assert answer.headers["content-type"] == "application/problem+json"
        wrong = await it.http.put("/api/v1/tasks", headers=it.authorised)
        assert (wrong.status_code, wrong.json()["code"]) == (405, "SHOAL-U61")


async def test_what_a_fault_says_stays_in_the_log(clock: MockClock, desk: Desk) -> None:
    async def broken() -> None:
        raise ZeroDivisionError("a secret")

    async with api(desk) as it:
        it.app.add_api_route("/broken", broken)
        it.app.router.routes.insert(0, it.app.router.routes.pop())  # before the page of any path
        transport = httpx.ASGITransport(it.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.get("/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "SHOAL-X02")
    assert "secret" not in answer.text


async def test_the_market_around_it(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        trainers = (await get(it, "/trainers"))["items"]
        assert [row["address"] for row in trainers] == [address_text(each) for each in desk.world.trainers]
        assert all(row["stake_tinybar"] == row["free_tinybar"] == 1_000_000 for row in trainers)
        assert [row["connected"] for row in trainers] == [True, False, False]
        first = await get(it, "/trainers?limit=2")
        second = await get(it, f"/trainers?limit=2&cursor={first['next']}")
        assert first["items"] + second["items"] == trainers and second["next"] is None
        [peer] = (await get(it, "/peers"))["items"]
        assert peer["peer_id"] == trainers[0]["peer_id"]
        mesh = await get(it, "/mesh")
        assert (mesh["connected"], mesh["known"]) == (1, 1)
        rows: list[Any] = []
        cursor = ""
        while True:
            page = await get(it, f"/ledger/movements?limit=3{cursor}")
            rows += page["items"]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert len(rows) == 7 and rows[0]["transfers"] == {"0.0.5": -3, "0.0.98": 3}


async def test_ready_means_that_the_ledger_answers(
    clock: MockClock, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api(desk) as it:
        await it.service.resumed.wait()
        assert (await it.http.get("/readyz")).json() == {"status": "ok", "checks": {"ledger": True, "tasks": True}}

        async def away() -> int:
            raise ConfigError("away", code="SHOAL-C01")

        monkeypatch.setattr(desk.ledger, "watermark", away)
        answer = await it.http.get("/readyz")
        assert (answer.status_code, answer.json()["checks"]["ledger"]) == (503, False)
        assert (await it.http.get("/healthz")).status_code == 200


async def test_what_trainers_logged_is_read_in_pages_and_by_trainer(clock: MockClock, desk: Desk) -> None:
    world = desk.world.running()
    place, told = world.place, [[LogLine(n * 1000, "info", f"line {n}") for n in range(5)]] * 2
    for trainer, lines in zip(world.trainers, told, strict=False):
        keys = world.keys[world.name(trainer)]
        for sequence in (0, 0, 1):  # the second is a copy
            entry = make_log_entry(keys, place, author=trainer, sequence=sequence, lines=pack(lines, 500)[0])
            world.ledger.write(entry.data())
    stranger = world.keys[world.name(world.trainers[0])]
    forged = make_log_entry(stranger, place, author=world.trainers[2], sequence=0, lines=pack(told[0], 500)[0])
    world.ledger.write(forged.data())
    path = f"/tasks/{world.task.hex()}"
    async with api(desk) as it:
        page = await get(it, f"{path}/logs?limit=7")
        assert len(page["items"]) == 7 and page["items"][0]["text"] == "line 0" and page["items"][0]["at"] == 0
        rest = await get(it, f"{path}/logs?limit=100&cursor={page['next']}")
        everything = [*page["items"], *rest["items"]]
        assert len(everything) == 20 and rest["next"] is None
        name = everything[0]["trainer"]
        mine = (await get(it, f"{path}/logs?trainer={name}"))["items"]
        assert mine == [row for row in everything if row["trainer"] == name] and len(mine) == 10
        log = (await get(it, f"{path}/log?limit=200"))["items"]
        rows = [row for row in log if row["kind"] == "log"]
        assert [row["signed"] for row in rows].count(False) == 1
        assert rows[0]["body"]["lines"][4]["text"] == "line 4" and rows[0]["entry"] == 0


async def test_a_task_is_verified_for_whoever_asks(clock: MockClock, desk: Desk) -> None:
    world = desk.world.settled()
    for index in range(3):
        world.claim(index)
    async with api(desk) as it:
        path = f"/tasks/{world.task.hex()[:10]}/verification"
        found = await get(it, path)
        assert found["holds"] and found["task_id"] == world.task.hex() and found["counts"]["wrong"] == 0
        assert {"payments", "entries", "state"} <= {check["check"] for check in found["checks"]}
        assert await get(it, path) == found, "kept for some seconds"
        await get(it, "/tasks/ffff/verification", 404)
