"""The trainer's part of the HTTP API: state and earnings for who has the token, and orders that reach the process."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import trio
from trio.testing import MockClock

from shoal.api.app import trainer_app
from shoal.api.server import access_of, serving_trainer
from shoal.core.events import Claimed
from shoal.core.ids import TaskId
from shoal.core.money import ZERO, Tinybar
from shoal.earn.control import Control

from .desk import Desk


@asynccontextmanager
async def page(desk: Desk, *, token: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    access = access_of(desk.settings, desk.store, desk.ledger.account, desk.ledger.address)
    made = access.token
    text = made.fresh or made.path.read_text().strip()
    headers = {"Authorization": f"Bearer {text}"} if token else {}
    transport = httpx.ASGITransport(trainer_app(desk, access))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1:8420", headers=headers, timeout=None
    ) as client:
        yield client


async def test_nobody_without_the_token_learns_whether_somebody_is_there(desk: Desk, clock: MockClock) -> None:
    async with page(desk, token=False) as client:
        assert (await client.get("/api/v1/earnings")).status_code == 401
        assert (await client.post("/api/v1/earn/pause")).status_code == 401
        assert (await client.post("/api/v1/earn/resume")).status_code == 401
        assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert Control(desk.settings.dir).orders().paused_until_s == 0


async def test_earnings_are_the_ledgers(desk: Desk, clock: MockClock) -> None:
    Control(desk.settings.dir).tell({"state": "pause", "why": "on battery"})
    event = Claimed(TaskId(bytes(32)), desk.ledger.address, 2, 1, Tinybar(70), ZERO, Tinybar(9), ZERO, ZERO)
    desk.world.ledger.happen(event)
    await trio.sleep(1)
    async with page(desk) as client:
        answer = (await client.get("/api/v1/earnings")).json()
    assert answer["state"]["why"] == "on battery"
    assert (answer["days_30"]["earned_tinybar"], answer["days_30"]["penalties_tinybar"]) == (70, 9)
    (paid,) = [item for item in answer["items"] if item["kind"] == "payment"]
    assert (paid["earned_tinybar"], paid["task_id"]) == (70, bytes(32).hex())
    assert paid["transaction"] and paid["at"] > 0


async def test_orders_reach_the_file_that_the_process_reads(desk: Desk, clock: MockClock) -> None:
    control = Control(desk.settings.dir)
    async with page(desk) as client:
        answer = (await client.post("/api/v1/earn/pause", json={"seconds": 7_200})).json()
        assert answer["paused"] and answer["paused_until"] == control.orders().paused_until_s
        answer = (await client.post("/api/v1/earn/pause")).json()
        assert answer == {"paused": True, "paused_until": None} and math.isinf(control.orders().paused_until_s)
        assert (await client.post("/api/v1/earn/resume")).json() == {"paused": False, "paused_until": None}
        assert control.orders().paused_until_s == 0
        for body in ({"seconds": 0}, {"seconds": "soon"}, {"seconds": 10**9}):
            assert (await client.post("/api/v1/earn/pause", json=body)).status_code == 422


async def test_two_trainers_on_one_machine_are_both_served(desk: Desk, clock: MockClock) -> None:
    async with serving_trainer(desk) as (first, _), serving_trainer(desk) as (second, token):
        assert first != second
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{second}/healthz")).json() == {"status": "ok"}
    assert token.path.exists()
