"""`/api/v1/earnings` and `/api/v1/earn`: what a trainer does and has earned, for the page of whoever owns it."""

from __future__ import annotations

import math
import time
from typing import Annotated, Any

import trio
from fastapi import APIRouter, Body, Query

from shoal.api import models as m
from shoal.api.problems import documented
from shoal.api.routes_tasks import TOKEN, IdempotencyKey
from shoal.client.desk import Desk
from shoal.core.idle import Orders
from shoal.earn import history, report
from shoal.earn.control import Control

PREFIX = "/api/v1/earn"
DAYS = 30
_FRESH_S = 5.0
"""A page that asks every second does not have the ledger read every second."""


class Ledgerbook:
    """The history of this account, read again when it is old."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._lock = desk, trio.Lock()
        self._read: dict[int, tuple[float, history.History]] = {}

    async def read(self, days: int) -> history.History:
        async with self._lock:
            at_s, found = self._read.get(days, (-math.inf, None))
            if found is None or trio.current_time() - at_s > _FRESH_S:
                found = await history.read(self._desk.ledger, self._desk.place, days=days)
                self._read = {days: (trio.current_time(), found)}
            return found


def router(desk: Desk) -> APIRouter:
    """The routes of a trainer; every one needs the token."""
    routes, control, book = APIRouter(tags=["earn"]), Control(desk.settings.dir), Ledgerbook(desk)

    @routes.get("/api/v1/earnings", responses=documented(401, 422, 502, 503), openapi_extra=TOKEN)
    async def get_earnings(
        days: Annotated[int, Query(ge=1, le=366, description="how far back the lines go")] = DAYS,
    ) -> m.Earnings:
        """State, totals, and every line with its transaction and consensus time."""
        found = await book.read(max(days, report.MONTH))
        record = await report.earnings(desk.ledger, found, days=days, now_s=time.time())
        return m.Earnings.model_validate({**record, "state": control.state()})

    @routes.post(f"{PREFIX}/pause", responses=documented(401, 422), openapi_extra=TOKEN)
    async def pause(
        wish: Annotated[m.Pause | None, Body()] = None, idempotency_key: IdempotencyKey = None
    ) -> m.EarnOrders:
        """No new work; seats are kept, their chunks handed over, votes and claims go on."""
        seconds = math.inf if wish is None or wish.seconds is None else wish.seconds
        return _orders(await trio.to_thread.run_sync(control.pause, time.time() + seconds))

    @routes.post(f"{PREFIX}/resume", responses=documented(401, 422), openapi_extra=TOKEN)
    async def resume(idempotency_key: IdempotencyKey = None) -> m.EarnOrders:
        """Go on, where nothing else stands in the way."""
        return _orders(await trio.to_thread.run_sync(control.resume))

    return routes


def is_private(path: str) -> bool:
    """Whether a GET needs the token: whether somebody sits at this machine is nobody else's business."""
    return path.startswith("/api/v1/earn")


def _orders(orders: Orders) -> m.EarnOrders:
    known: Any = orders.paused_until_s
    paused = orders.paused_until_s > time.time()
    return m.EarnOrders(paused=paused, paused_until=known if paused and math.isfinite(known) else None)
