"""`/api/v1/documents`, `/zoo` and `/quotes/graph`: models as data, ready ones, and what their training costs."""

from __future__ import annotations

import math
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import FileResponse

from shoal.api import models_client as m
from shoal.api import views_client as views
from shoal.api.documents import Held
from shoal.api.graph_quotes import GraphWish, as_dict
from shoal.api.problems import documented
from shoal.api.routes_session import Somebody
from shoal.api.routes_tasks import TOKEN, IdempotencyKey
from shoal.api.service import Service
from shoal.errors import UsageError
from shoal.learn import update
from shoal.learn.recipe import Recipe
from shoal.learn.zoo import CLASSES, HIDDEN, TEMPLATES

DOCUMENTS = "/api/v1/documents"
_FOR_EVER = "public, max-age=31536000, immutable"
"""What is named by its hash never changes."""
_FILE: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}
_DOCUMENT_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}
Named = Annotated[str, Path(alias="sha256", pattern=r"^[0-9a-f]{64}$")]


def router(service: Service) -> APIRouter:
    """All routes of models."""
    routes = APIRouter(prefix="/api/v1", tags=["models"])
    _add_files(routes, service)
    _add_zoo(routes, service)
    _add_quotes(routes, service)
    return routes


def _add_files(routes: APIRouter, service: Service) -> None:
    documents = service.agency.documents

    @routes.post(
        "/documents", status_code=201, responses=documented(401, 413, 422), openapi_extra={**TOKEN, **_DOCUMENT_BODY}
    )
    async def add_document(
        request: Request, caller: Somebody, idempotency_key: IdempotencyKey = None
    ) -> m.DocumentRecord:
        """Give this node a graph document, which trainers will fetch from it. It is read under limits, and not run."""
        return _document(await documents.add(await request.body()))

    @routes.get("/documents/{sha256}", responses={**documented(404, 422), **_FILE}, response_class=FileResponse)
    async def get_document(sha256: Named) -> FileResponse:
        """A graph document: public, since bidders look at it."""
        held = await documents.get(sha256)
        return FileResponse(held.path, media_type="application/json", headers={"Cache-Control": _FOR_EVER})

    @routes.get("/weights/{sha256}", responses={**documented(404, 422), **_FILE}, response_class=FileResponse)
    async def get_weights(sha256: Named) -> FileResponse:
        """The initial weights of a ready model (safetensors), as they are before any training."""
        path = documents.weights(sha256)
        if path is None:
            raise UsageError("this node has no such weights", code="SHOAL-U92", hint="ask for the model again")
        return FileResponse(path, media_type="application/octet-stream", headers={"Cache-Control": _FOR_EVER})


def _add_zoo(routes: APIRouter, service: Service) -> None:
    documents = service.agency.documents

    @routes.get("/zoo")
    async def list_templates() -> m.TemplateList:
        """Ready models: what there is."""
        return m.TemplateList(
            items=[
                m.TemplateRecord(
                    name=each.name,
                    title=each.title,
                    about=each.about,
                    ranks=list(each.ranks),
                    recipe=dict(each.recipe),
                )
                for each in TEMPLATES.values()
            ]
        )

    @routes.get("/zoo/{name}", responses=documented(401, 422), openapi_extra=TOKEN)
    async def make_model(
        name: Annotated[str, Path(max_length=40)],
        caller: Somebody,
        shape: Annotated[
            str, Query(pattern=r"^[0-9]{1,7}(,[0-9]{1,7}){0,2}$", description="of one row: `30`, `3,32,32`")
        ],
        classes: Annotated[int, Query(ge=0, le=CLASSES, description="0: one number is predicted")],
        hidden: Annotated[int, Query(ge=1, le=HIDDEN)] = 64,
        seed: Annotated[int, Query(ge=0, le=2**31)] = 1,
    ) -> m.ReadyRecord:
        """A ready model for the shape of some data: document, initial weights, recipe."""
        sizes = [int(part) for part in shape.split(",")]
        made = await documents.make(name, sizes, classes, hidden=hidden, seed=seed)
        return m.ReadyRecord(
            **_document(made.held).model_dump(),
            weights_sha256=made.weights_sha256,
            weights_url=f"/api/v1/weights/{made.weights_sha256}",
            recipe=made.recipe.as_dict(),
        )


def _add_quotes(routes: APIRouter, service: Service) -> None:
    documents = service.agency.documents

    @routes.post(
        "/quotes/graph",
        responses=documented(401, 404, 409, 422, 502, 503),
        openapi_extra=TOKEN,
        tags=["quotes"],
    )
    async def quote_document(
        wish: m.GraphQuoteWish, caller: Somebody, idempotency_key: IdempotencyKey = None
    ) -> m.GraphQuoteRecord:
        """What the training of a graph document costs at most. Nothing is spent, and nothing kept."""
        held, desk = await documents.get(wish.document_sha256), service.desk
        asks = desk.settings.gateway and not caller.is_operator
        fields = wish.model_dump(exclude={"document_sha256", "recipe"})
        quote = await service.graph_quotes.make(
            held, GraphWish(recipe=Recipe.from_dict(wish.recipe), **fields), asks_storage=asks
        )
        in_sight = any(peer.connected and "trainer" in peer.roles for peer in desk.network.peers())
        record = as_dict(quote, trainer_in_sight=in_sight, storage_account=desk.ledger.account)
        return m.GraphQuoteRecord(plan=views.plan(quote.offer.plan), **record)


def _document(held: Held) -> m.DocumentRecord:
    parsed, specs = held.parsed, held.parsed.state_specs()
    return m.DocumentRecord(
        document_sha256=held.sha256,
        bytes=held.size_bytes,
        input={"dtype": parsed.input.dtype, "shape": list(parsed.input.shape)},
        output={"dtype": parsed.output.dtype, "shape": list(parsed.output.shape)},
        parameters=sum(math.prod(spec.shape) for spec in parsed.parameters.values()),
        weights_bytes=held.weights_bytes,
        slot_bytes=held.slot_bytes,
        tensors=[
            {"name": name, "dtype": specs[name].dtype, "shape": list(specs[name].shape)}
            for name in update.file_order(specs)
        ],
        url=f"{DOCUMENTS}/{held.sha256}",
    )
