"""The mirror node's REST API and gRPC-web, as one ASGI application."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shoal.adapters.devnet import mirror_contracts, mirror_entities, mirror_network, mirror_transactions
from shoal.adapters.devnet.grpc_web import MAX_BODY_BYTES, GrpcWeb, limited_body
from shoal.adapters.devnet.ledger import Ledger
from shoal.adapters.devnet.mirror_params import BadRequest, NotFound, Params
from shoal.adapters.devnet.queries import Queries

Endpoint = Callable[[Request], Awaitable[Response]]
_PAGE = ("limit", "order")


def application(
    ledger: Ledger, queries: Queries, web: GrpcWeb, ports: tuple[int, int], more: Sequence[Route] = ()
) -> Starlette:
    """The app to be served on the mirror's REST port; `ports` are the node's and that one."""

    def get(path: str, function: Callable[..., dict[str, Any]], *known: str) -> Route:
        async def endpoint(request: Request) -> Response:
            params = Params(request.url.path, request.url.query, known)
            return JSONResponse(function(ledger, params, *request.path_params.values()))

        return Route("/api/v1" + path, endpoint, methods=["GET"])

    async def call(request: Request) -> Response:
        body = await limited_body(request)
        if len(body) > MAX_BODY_BYTES:
            raise BadRequest("Payload too large")
        return JSONResponse(mirror_contracts.call(queries, body))

    def nodes(ledger: Ledger, params: Params) -> dict[str, Any]:
        return mirror_network.nodes(ledger, params, *ports)

    topics = ("topic0", "topic1", "topic2", "topic3")
    routes = [
        get("/accounts/{name}", mirror_entities.account, *_PAGE, "timestamp", "transactions"),
        get("/balances", mirror_entities.balances, *_PAGE, "account.id"),
        get("/blocks", mirror_network.blocks, *_PAGE, "block.number"),
        get("/contracts/results/{name}", mirror_contracts.result),
        get("/contracts/{name}", mirror_entities.contract),
        get("/contracts/{name}/results/logs", mirror_contracts.logs, *_PAGE, "timestamp", "index", *topics),
        get("/network/exchangerate", mirror_network.exchange_rate),
        get("/network/nodes", nodes, *_PAGE),
        get("/network/supply", mirror_network.supply),
        get("/topics/{name}", mirror_entities.topic),
        get("/topics/{name}/messages", mirror_entities.messages, *_PAGE, "sequencenumber", "timestamp", "encoding"),
        get("/topics/{name}/messages/{sequence}", mirror_entities.message),
        get(
            "/transactions",
            mirror_transactions.transactions,
            *_PAGE,
            "timestamp",
            "account.id",
            "result",
            "transactiontype",
        ),
        get("/transactions/{name}", mirror_transactions.transaction),
        Route("/api/v1/contracts/call", call, methods=["POST"]),
        *more,
        Route("/", web.health, methods=["POST"]),
        Route("/{service}/{method}", web.call, methods=["POST"]),
    ]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=["grpc-status", "grpc-message"],
    )
    handlers: Any = {BadRequest: _bad_request, NotFound: _not_found, HTTPException: _http, Exception: _failure}
    return Starlette(routes=routes, middleware=[cors], exception_handlers=handlers)


def _status(code: int, *messages: dict[str, str]) -> Response:
    return JSONResponse({"_status": {"messages": list(messages)}}, status_code=code)


async def _bad_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadRequest), "registered for it"
    return _status(400, error.body)


async def _not_found(request: Request, error: Exception) -> Response:
    return _status(404, {"message": "Not found"})


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for it"
    message = "Not found" if error.status_code == 404 else error.detail
    return _status(error.status_code, {"message": message})


async def _failure(request: Request, error: Exception) -> Response:
    traceback.print_exception(error, file=sys.stderr)
    return _status(500, {"message": "Internal error"})
