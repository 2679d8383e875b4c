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

from shoal.adapters.devnet import (
    mirror_accounts,
    mirror_calls,
    mirror_contracts,
    mirror_logs,
    mirror_network,
    mirror_topics,
    mirror_transactions,
)
from shoal.adapters.devnet.grpc_web import MAX_BODY_BYTES, GrpcWeb, limited_body
from shoal.adapters.devnet.ledger import Ledger
from shoal.adapters.devnet.mirror_params import BadRequest, NotFound, Params
from shoal.adapters.devnet.queries import Queries

Endpoint = Callable[[Request], Awaitable[Response]]
_PAGE = ("limit", "order")
_SELECTED = ("account.id", "account.balance", "account.publickey")
_LOGS = ("timestamp", "index", "topic0", "topic1", "topic2", "topic3")
_RESULTS = ("timestamp", "block.number", "from", "internal")
_OF_ACCOUNT = "/accounts/{name}"
_TABLE: tuple[tuple[Any, ...], ...] = (
    ("/accounts", mirror_accounts.accounts, *_PAGE, *_SELECTED, "balance"),
    (_OF_ACCOUNT, mirror_accounts.account, *_PAGE, "timestamp", "transactions", "transactiontype"),
    (_OF_ACCOUNT + "/tokens", mirror_accounts.without_tokens("tokens"), *_PAGE, "token.id"),
    (_OF_ACCOUNT + "/nfts", mirror_accounts.without_tokens("nfts"), *_PAGE, "token.id", "serialnumber", "spender.id"),
    (_OF_ACCOUNT + "/rewards", mirror_accounts.without_tokens("rewards"), *_PAGE, "timestamp"),
    (_OF_ACCOUNT + "/allowances/crypto", mirror_accounts.without_tokens("allowances"), *_PAGE, "spender.id"),
    (_OF_ACCOUNT + "/allowances/tokens", mirror_accounts.without_tokens("allowances"), *_PAGE, "spender.id"),
    ("/balances", mirror_accounts.balances, *_PAGE, *_SELECTED),
    ("/blocks", mirror_network.blocks, *_PAGE, "block.number", "timestamp"),
    ("/blocks/{name}", mirror_network.block),
    ("/contracts", mirror_contracts.contracts, *_PAGE, "contract.id"),
    ("/contracts/results", mirror_contracts.results, *_PAGE, *_RESULTS),
    ("/contracts/results/logs", mirror_logs.all_logs, *_PAGE, *_LOGS, "transaction.hash"),
    ("/contracts/results/{name}", mirror_contracts.result, "nonce"),
    ("/contracts/{name}", mirror_contracts.contract),
    ("/contracts/{name}/results", mirror_contracts.results, *_PAGE, *_RESULTS),
    ("/contracts/{name}/results/logs", mirror_logs.logs, *_PAGE, *_LOGS),
    ("/contracts/{name}/results/{time}", mirror_contracts.result_at),
    ("/contracts/{name}/state", mirror_contracts.state, *_PAGE, "slot"),
    ("/network/exchangerate", mirror_network.exchange_rate, "timestamp"),
    ("/network/fees", mirror_network.fees_in_gas, "order"),
    ("/network/supply", mirror_network.supply),
    ("/tokens", mirror_accounts.no_tokens, *_PAGE, "account.id", "token.id", "type", "name", "publickey"),
    ("/topics/messages/{time}", mirror_topics.message_at),
    ("/topics/{name}", mirror_topics.topic),
    ("/topics/{name}/messages", mirror_topics.messages, *_PAGE, "sequencenumber", "timestamp", "encoding"),
    ("/topics/{name}/messages/{sequence}", mirror_topics.message),
    (
        "/transactions",
        mirror_transactions.transactions,
        *_PAGE,
        "timestamp",
        "account.id",
        "result",
        "transactiontype",
        "type",
    ),
    ("/transactions/{name:path}", mirror_transactions.transaction, "nonce", "scheduled"),
)
"""Path below /api/v1, function, and the query parameters that it takes."""


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
        return JSONResponse(mirror_calls.call(queries, body))

    def nodes(ledger: Ledger, params: Params) -> dict[str, Any]:
        return mirror_network.nodes(ledger, params, *ports)

    routes = [
        *(get(*entry) for entry in _TABLE),
        get("/network/nodes", nodes, *_PAGE, "node.id", "file.id"),
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
    app = Starlette(routes=routes, middleware=[cors], exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


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
