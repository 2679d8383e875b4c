"""The HTTP applications of a node: the resource API, and the door for commands beside it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import Body, FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse

from shoal.api import (
    metrics,
    problems,
    routes_client,
    routes_earn,
    routes_models,
    routes_network,
    routes_session,
    routes_tasks,
    routes_uploads,
    web,
)
from shoal.api.access import Access
from shoal.api.guard import Buckets, Guard, Rules, SecurityHeaders
from shoal.api.idempotency import Idempotency
from shoal.api.routes_tasks import TOKEN, IdempotencyKey
from shoal.api.service import Service
from shoal.api.signin import SignIn
from shoal.client.desk import Desk
from shoal.core import limits
from shoal.core.limits import MIB
from shoal.errors import ShoalError
from shoal.ports import Store
from shoal.settings import Settings
from shoal.shell.commands import Shell

_PRIVATE = ("/api/v1/chunks", "/api/v1/zoo/")
_SHARED = (
    "/api/v1/chunks", "/api/v1/documents", "/api/v1/manifests", "/api/v1/quotes/graph", "/api/v1/session",
    "/api/v1/sign-out", "/api/v1/slots", "/api/v1/storage", "/api/v1/zoo/",
)  # fmt: skip
_SECRET = ("/api/v1/chunks", "/api/v1/pairing", "/api/v1/session", "/api/v1/sign-", "/api/v1/slots")
_CORS_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID")
_EXPOSED = ("ETag", "Idempotent-Replayed", "Location", "Repr-Digest", "Retry-After")


def resource_app(service: Service, access: Access, *, peer_id_of: Callable[[bytes], str]) -> FastAPI:
    """`/api/v1`, `/healthz`, `/readyz`, `/metrics`, and the web app.

    Args:
        peer_id_of: the peer id that belongs to a signing key.
    """
    desk, settings = service.desk, service.desk.settings
    app = _app("shoal", __doc__ or "", docs="/api/v1")
    sign_in = SignIn(desk, access, anyone=settings.gateway)
    app.include_router(routes_session.router(service, access, sign_in))
    app.include_router(routes_models.router(service))  # before the quotes, whose paths would take its own
    app.include_router(routes_tasks.router(service))
    app.include_router(routes_client.router(service))
    app.include_router(routes_uploads.router(service))
    app.include_router(routes_network.router(service, peer_id_of))
    app.include_router(routes_network.health(service))
    app.include_router(metrics.router(desk.network))
    place = service.endpoints
    connect = [place.mirror_rest, place.grpc_web, settings.s3_endpoint]
    app.include_router(web.router(connect=connect, wallets=bool(settings.walletconnect_project_id)))
    _wrap(app, settings, desk.store, _rules(settings, access))
    return app


def trainer_app(desk: Desk, access: Access) -> FastAPI:
    """`/api/v1/earnings` and `/api/v1/earn` of a trainer, and `/healthz`."""
    app = _app("shoal earn", routes_earn.__doc__ or "", docs="/api/v1")
    app.include_router(routes_earn.router(desk))
    app.include_router(routes_network.liveness())
    _wrap(app, desk.settings, desk.store, _operator_only(desk.settings, access, private=routes_earn.is_private))
    return app


class Line(BaseModel):
    """A command and its arguments."""

    model_config = ConfigDict(extra="forbid")

    cmd: str = Field(min_length=1, max_length=64)
    args: list[Annotated[str, Field(max_length=64 * 1024)]] = Field(default_factory=list, max_length=64)


def command_app(shell: Shell, access: Access) -> FastAPI:
    """`POST /command` and `GET /status` of a node of any role: everything there needs the token."""
    app = _app("shoal commands", "One command a request, as the interactive shell takes them.", docs="")

    @app.post("/command", openapi_extra=TOKEN, tags=["commands"])
    async def command(line: Annotated[Line, Body()], idempotency_key: IdempotencyKey = None) -> JSONResponse:
        return await _run(shell, line.cmd, line.args)

    @app.get("/status", openapi_extra=TOKEN, tags=["commands"])
    async def status() -> JSONResponse:
        return await _run(shell, "status", [])

    station = shell.station
    rules = _operator_only(station.settings, access, private=lambda path: True)
    _wrap(app, station.settings, station.store, rules)
    return app


async def _run(shell: Shell, name: str, arguments: list[str]) -> JSONResponse:
    try:
        return JSONResponse({"status": "ok", **await shell.run(name, arguments)})
    except ShoalError as error:
        return problems.respond(error)


def _app(title: str, description: str, *, docs: str) -> FastAPI:
    app = FastAPI(
        title=title,
        description=description,
        version=version("shoal"),
        openapi_url=f"{docs}/openapi.json",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
    )
    app.add_exception_handler(RequestValidationError, problems.on_invalid)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_exception_handler(ShoalError, problems.on_error)
    app.add_exception_handler(Exception, problems.on_error)
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {"type": "http", "scheme": "bearer", "description": "the file api-token of the node"}
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _rules(settings: Settings, access: Access) -> Rules:
    return Rules(
        caller=access.caller,
        hosts=_hosts(settings),
        requests_per_minute=settings.api_requests_per_minute,
        upload_bytes=settings.api_upload_mib * MIB,
        uploads=frozenset({routes_tasks.UPLOADS}),
        sizes={routes_models.DOCUMENTS: limits.DOCUMENT_BYTES},
        private=_is_private,
        open=lambda path: path in routes_session.OPEN,
        shared=_is_shared,
    )


def _operator_only(settings: Settings, access: Access, *, private: Callable[[str], bool]) -> Rules:
    """For what has nothing to do with the users of a gateway."""
    return Rules(
        caller=lambda header: caller if (caller := access.caller(header)) and caller.is_operator else None,
        hosts=_hosts(settings),
        requests_per_minute=settings.api_requests_per_minute,
        private=private,
    )


def _hosts(settings: Settings) -> frozenset[str]:
    return frozenset(name.lower() for name in settings.api_hosts)


def _is_private(path: str) -> bool:
    """Whether a GET needs somebody: what is there is not public, or takes work."""
    return path.startswith(_PRIVATE) or path in ("/api/v1/session", "/api/v1/storage") or routes_tasks.is_private(path)


def _is_shared(path: str) -> bool:
    """What a user who has signed in may do: each of these looks at who it is."""
    return path.startswith(_SHARED) or (
        path.startswith("/api/v1/tasks/") and path.rpartition("/")[2] in ("announce", "entries")
    )


def _is_secret(path: str) -> bool:
    """Whose answers hold tokens or URLs that are as good as one."""
    return path.startswith(_SECRET)


def _wrap(app: FastAPI, settings: Settings, store: Store, rules: Rules) -> None:
    """The last that is added is the first that a request meets."""
    app.add_middleware(Idempotency, store=store, secret=_is_secret)
    app.add_middleware(Guard, rules=rules, buckets=Buckets(rules.requests_per_minute))
    if settings.api_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.api_origins),
            allow_methods=["DELETE", "GET", "POST"],
            allow_headers=list(_CORS_HEADERS),
            expose_headers=list(_EXPOSED),
        )
    app.add_middleware(SecurityHeaders)


__all__ = ["command_app", "resource_app", "trainer_app"]
