"""The control endpoint, for tests only: read and move consensus time. Off unless it is asked for."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shoal.adapters.devnet.clock import SECOND_NS
from shoal.adapters.devnet.grpc_web import limited_body
from shoal.adapters.devnet.ledger import Ledger
from shoal.adapters.devnet.mirror_params import timestamp_text

PATH = "/control/clock"


def routes(ledger: Ledger) -> list[Route]:
    """GET tells the time; POST `{"advance_s": 3600}` moves it forward and tells the new one."""

    async def clock(request: Request) -> Response:
        if "origin" in request.headers:  # a web page: whoever visits one has not asked for this
            return JSONResponse({"error": "not for browsers"}, status_code=403)
        if request.method == "POST":
            try:
                ledger.advance(_nanoseconds(json.loads(await limited_body(request))))
            except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
                return JSONResponse({"error": str(error) or "malformed"}, status_code=400)
        offset_s = ledger.clock.offset_ns / SECOND_NS
        return JSONResponse({"now": timestamp_text(ledger.now_ns()), "offset_s": offset_s})

    return [Route(PATH, clock, methods=["GET", "POST"])]


def _nanoseconds(body: Any) -> int:
    seconds = body["advance_s"]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError("advance_s must be a number of seconds")
    return int(seconds * SECOND_NS)
