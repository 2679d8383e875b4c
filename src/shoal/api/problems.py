"""Errors over HTTP: RFC 9457 problem details with this project's codes, what it means for the money, and a hint."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Send

from shoal.errors import (
    ConfigError,
    CryptoError,
    DataError,
    EngineError,
    LedgerError,
    LedgerUnreachable,
    MachineError,
    MarketError,
    ModelError,
    NetworkError,
    ShoalError,
    StorageError,
    UsageError,
    first_error,
)
from shoal.meters import ERRORS

log = logging.getLogger("shoal.api")

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:shoal:error:"
"""Before a code: the type of a problem is a name, and its meaning stands in docs/errors.md."""

_BY_CODE = {
    "SHOAL-T02": 402,
    "SHOAL-T05": 503,
    "SHOAL-T08": 404,
    "SHOAL-U07": 409,
    "SHOAL-U08": 403,
    "SHOAL-U50": 401,
    "SHOAL-U51": 429,
    "SHOAL-U52": 413,
    "SHOAL-U53": 409,
    "SHOAL-U55": 404,
    "SHOAL-U56": 409,
    "SHOAL-U58": 409,
    "SHOAL-U59": 404,
    "SHOAL-U60": 421,
    "SHOAL-U61": 404,
    "SHOAL-U63": 409,
    "SHOAL-U80": 401,
    "SHOAL-U81": 401,
    "SHOAL-U82": 401,
    "SHOAL-U85": 403,
    "SHOAL-U86": 403,
    "SHOAL-U87": 429,
    "SHOAL-U88": 404,
    "SHOAL-U89": 409,
    "SHOAL-U90": 409,
    "SHOAL-U92": 404,
    "SHOAL-U95": 403,
    "SHOAL-U96": 402,
    "SHOAL-U97": 404,
    "SHOAL-U98": 409,
}
_BY_KIND: tuple[tuple[type[ShoalError], int], ...] = (
    (UsageError, 422),
    (ModelError, 422),
    (DataError, 422),
    (EngineError, 422),
    (MarketError, 409),
    (LedgerUnreachable, 503),
    (LedgerError, 502),
    (StorageError, 502),
    (NetworkError, 502),
    (CryptoError, 502),
    (ConfigError, 500),
    (MachineError, 409),
)


class Problem(BaseModel):
    """RFC 9457, with what every error of this project tells."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=[f"{TYPE}SHOAL-T08"])
    title: str
    status: int
    detail: str = Field(description="what happened, and where")
    error: str = Field(description="the same as `detail`, where programs that send commands look for it")
    code: str = Field(examples=["SHOAL-T08"])
    hint: str = Field("", description="what you can do now")
    money: str = Field("", description="what this means for your money; empty where none was involved")


class Refused(HTTPException):
    """A request that is refused while its body is still being read, where only this kind gets through FastAPI."""

    def __init__(self, error: ShoalError) -> None:
        super().__init__(status_of(error), error.message)
        self.error = error


def status_of(error: ShoalError) -> int:
    """The HTTP status of an error.

    >>> status_of(MarketError("there is no such task", code="SHOAL-T08"))
    404
    """
    return _BY_CODE.get(error.code) or next((status for kind, status in _BY_KIND if isinstance(error, kind)), 500)


def problem_of(error: ShoalError, *, status: int | None = None) -> dict[str, Any]:
    """The members of the problem document."""
    return Problem(
        type=f"{TYPE}{error.code}",
        title=_TITLES.get(error.code[:7], "Error"),
        status=status or status_of(error),
        detail=error.message,
        error=error.message,
        code=error.code,
        hint=error.hint,
        money=error.money,
    ).model_dump()


_TITLES = {
    f"SHOAL-{letter}": title
    for letter, title in {
        "C": "A setting of the node is wrong",
        "D": "The data set cannot be used",
        "E": "Training failed",
        "K": "Something does not match its hash or key",
        "L": "The ledger refused or cannot be reached",
        "M": "The model cannot be trained",
        "N": "Peers cannot be reached",
        "P": "A process of the local network failed",
        "S": "Storage refused or cannot be reached",
        "T": "The market says no",
        "U": "The request cannot be carried out",
        "V": "What was verified does not hold",
        "X": "A fault of the node",
    }.items()
}


def respond(error: ShoalError, *, headers: Mapping[str, str] | None = None, status: int | None = None) -> JSONResponse:
    """The response for an error."""
    ERRORS.labels(error.code).inc()
    problem = problem_of(error, status=status)
    more = dict(headers or {})
    if problem["status"] == 401:
        more["WWW-Authenticate"] = "Bearer"
    return JSONResponse(problem, problem["status"], headers=more, media_type=MEDIA_TYPE)


async def send_problem(send: Send, error: ShoalError, *, headers: Mapping[str, str] | None = None) -> None:
    """The same for middleware, which has no request."""
    response = respond(error, headers=headers)
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body})


# ---------------------------------------------------------------- FastAPI's handlers


async def on_error(request: Request, error: Exception) -> JSONResponse:
    """Ours, alone or in a nursery's group; anything else is a fault of the node, told to its log only."""
    found = first_error(error)
    if not isinstance(found, ShoalError):
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        found = ShoalError("the node failed at this request; its log tells how", code="SHOAL-X02")
    return respond(found)


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Starlette's own refusals: no such path, no such method, a body that cannot be read."""
    assert isinstance(error, HTTPException), "registered for these"
    if isinstance(error, Refused):
        return respond(error.error)
    code = "SHOAL-U61" if error.status_code in (404, 405) else "SHOAL-U54"
    refusal = UsageError(str(error.detail), code=code, hint="GET /api/v1/openapi.json describes every request")
    return respond(refusal, status=error.status_code, headers=error.headers)


async def on_invalid(request: Request, error: Exception) -> JSONResponse:
    """A request that does not fit its description; the values that were sent are not repeated."""
    assert isinstance(error, RequestValidationError), "registered for these"
    wrong = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()]
    refusal = UsageError(
        "; ".join(wrong[:10]) or "the request does not fit its description",
        code="SHOAL-U54",
        hint="GET /api/v1/openapi.json describes every request",
    )
    return respond(refusal)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: the errors that a request may end with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": "a problem", "model": Problem, "content": content} for status in statuses}


def parse_problem(body: bytes) -> Problem:
    """The inverse, for programs that call the API."""
    return Problem.model_validate(json.loads(body))
