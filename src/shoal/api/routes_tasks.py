"""`/api/v1/quotes` and `/api/v1/tasks`: what an ML user does, from the upload to the weights."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Header, Path, Query, Request, UploadFile
from starlette.responses import FileResponse, Response

from shoal.api import events, pages, views
from shoal.api import models as m
from shoal.api.access import caller_of
from shoal.api.following import Followed
from shoal.api.market import task_of
from shoal.api.problems import documented
from shoal.api.quotes import Terms
from shoal.api.service import Service
from shoal.api.upload import Part, Upload
from shoal.client.loglines import TopicLog
from shoal.client.story import name_in
from shoal.core import limits
from shoal.ports import LoggedEvent

TOKEN: dict[str, Any] = {"security": [{"token": []}]}
"""For OpenAPI; the guard enforces it."""
UPLOADS = "/api/v1/quotes"

Wanted = Annotated[
    str,
    Path(alias="task", min_length=1, max_length=80, description="a task id, a unique beginning of it, or its topic"),
]
Cursor = Annotated[str | None, Query(max_length=120, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=pages.MOST)]
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=255, description="the same key and body get the first time's answer"),
]


def router(service: Service) -> APIRouter:
    """All routes of tasks."""
    routes = APIRouter(prefix="/api/v1")
    _add_quotes(routes, service)
    _add_tasks(routes, service)
    _add_task(routes, service)
    _add_logs(routes, service)
    _add_result(routes, service)
    return routes


def is_private(path: str) -> bool:
    """Whether a GET of a path needs the token: it decrypts and stores, or tells what only the owner knows."""
    return path.startswith(f"{UPLOADS}/") or path.rstrip("/").endswith("/result")


def _add_quotes(routes: APIRouter, service: Service) -> None:
    @routes.post(
        "/quotes",
        status_code=201,
        responses=documented(401, 402, 403, 409, 413, 422, 429),
        openapi_extra=TOKEN,
        tags=["quotes"],
    )
    async def make_quote(
        archive: Annotated[UploadFile | None, File(description="a zip of model.py, recipe.json and the data")] = None,
        model: Annotated[UploadFile | None, File(description="model.py, without an archive")] = None,
        recipe: Annotated[UploadFile | None, File(description="recipe.json, without an archive")] = None,
        data: Annotated[UploadFile | None, File(description="a .csv, .parquet or .npz, without an archive")] = None,
        name: Annotated[str, Form(max_length=60)] = "task",
        label: Annotated[str | None, Form(max_length=200)] = None,
        rounds: Annotated[int | None, Form(ge=1, le=limits.ROUNDS)] = None,
        trainers: Annotated[int | None, Form(ge=1, le=limits.SEATS)] = None,
        chunks: Annotated[int | None, Form(ge=1, le=limits.CHUNKS)] = None,
        budget_tinybar: Annotated[int | None, Form(ge=1, le=5 * 10**18)] = None,
        round_timeout_s: Annotated[int, Form(ge=5, le=86_400)] = 60,
        bid_s: Annotated[int | None, Form(ge=5, le=86_400, description="how long bids are taken")] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> m.QuoteRecord:
        """Examine an upload and price it. **This runs `model.py` and `data.py` on this node.** Nothing is spent."""
        service.need_python()
        parts = {"archive": archive, "model": model, "recipe": recipe, "data": data}
        upload = Upload(**{key: Part(each.filename or "", each.file) for key, each in parts.items() if each})
        terms = Terms(name, label, rounds, trainers, chunks, budget_tinybar, round_timeout_s, bid_s)
        return views.quote(await service.quotes.make(upload, terms))

    @routes.get("/quotes/{quote_id}", responses=documented(401, 404), openapi_extra=TOKEN, tags=["quotes"])
    async def get_quote(quote_id: Annotated[str, Path(max_length=64)]) -> m.QuoteRecord:
        return views.quote(service.quotes.get(quote_id))


def _add_tasks(routes: APIRouter, service: Service) -> None:
    @routes.post(
        "/tasks",
        status_code=201,
        responses=documented(401, 402, 404, 409, 422, 429, 502, 503),
        openapi_extra=TOKEN,
        tags=["tasks"],
    )
    async def create_task(
        wish: m.CreateTask, response: Response, idempotency_key: IdempotencyKey = None
    ) -> m.TaskRecord:
        """Lock the escrow of a quote and begin. A quote makes one task: asked for again, it is the same."""
        followed = await service.create(wish.quote_id, confirm=wish.confirm)
        response.headers["Location"] = f"/api/v1/tasks/{followed.task.hex()}"
        return views.task(followed, mine=True)

    @routes.get("/tasks", responses=documented(422), tags=["tasks"])
    async def list_tasks(
        request: Request,
        all: Annotated[bool, Query(description="not only this account's")] = False,
        cursor: Cursor = None,
        limit: Limit = pages.LIMIT,
    ) -> m.TaskPage:
        """The newest first: those of whoever asks, or of the node's account where it is not said who asks."""
        caller = caller_of(request.scope)
        created = [each for each in await service.market.tasks() if all or service.belongs(each, caller)]
        page, after = pages.cut(created, _key, cursor=cursor, limit=limit, newest_first=True)
        states = [await service.state_of(each, task_of(each)) for each in page]
        rows = [views.row(state, mine=service.belongs(each, caller)) for each, state in zip(page, states, strict=True)]
        return m.TaskPage(items=rows, next=after)


def _add_task(routes: APIRouter, service: Service) -> None:
    streams = events.Streams()

    @routes.get("/tasks/{task}", responses=documented(404, 422), tags=["tasks"])
    async def get_task(wanted: Wanted, request: Request) -> m.TaskRecord:
        """Everything that a live page shows."""
        followed = await service.find(wanted)
        return views.task(followed, mine=service.belongs(followed.created, caller_of(request.scope)))

    @routes.get(
        "/tasks/{task}/events",
        responses={**documented(404, 422, 429), 200: {"content": {"text/event-stream": {}}}},
        response_class=Response,
        tags=["tasks"],
    )
    async def follow_events(
        wanted: Wanted, last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=40)] = None
    ) -> Response:
        """Server-Sent Events from the beginning, or after `Last-Event-ID`; `end` is the last."""
        start = events.last_event_id(last_event_id)
        return events.response(service.following, await service.find(wanted), start, streams)

    @routes.get("/tasks/{task}/metrics", responses=documented(404, 422), tags=["tasks"])
    async def get_metrics(wanted: Wanted) -> m.MetricsRecord:
        """Loss and metric of every round, and of each trainer in it."""
        state = (await service.find(wanted)).state
        return m.MetricsRecord(
            task_id=state.place.task.hex(),
            metric=views.metric_of(state),
            checkpoints=views.checkpoints(state, name_in(state)),
        )

    @routes.get("/tasks/{task}/verification", responses=documented(404, 422, 429, 502, 503), tags=["tasks"])
    async def get_verification(wanted: Wanted) -> m.VerificationRecord:
        """The task checked from public data alone: log, votes, hashes and every payment. Kept for some seconds."""
        return views.verification(await service.verification(wanted))

    @routes.post(
        "/tasks/{task}/cancel",
        responses=documented(401, 403, 404, 409, 422, 502, 503),
        openapi_extra=TOKEN,
        tags=["tasks"],
    )
    async def cancel_task(wanted: Wanted, idempotency_key: IdempotencyKey = None) -> m.CancelRecord:
        """Before the start only. What comes back stands in the answer."""
        return views.cancelled(await service.cancel(await service.find(wanted)))


def _add_logs(routes: APIRouter, service: Service) -> None:
    @routes.get("/tasks/{task}/log", responses=documented(404, 422), tags=["tasks"])
    async def get_log(wanted: Wanted, cursor: Cursor = None, limit: Limit = pages.LIMIT) -> m.LogPage:
        """The messages of the task's topic, decoded; anyone may write there, so look at `signed`."""
        state = (await service.find(wanted)).state
        after = pages.position_of(cursor)[0] if cursor is not None else state.created_ns - 1
        messages = await service.desk.ledger.messages(state.topic, after_ns=after, until_ns=state.now_ns)
        page, following = pages.cut(
            messages, lambda each: (each.time_ns, each.sequence_number), cursor=cursor, limit=limit
        )
        name = name_in(state)
        return m.LogPage(items=[views.log_entry(each, state, name) for each in page], next=following)

    @routes.get("/tasks/{task}/logs", responses=documented(404, 422), tags=["tasks"])
    async def get_logs(
        wanted: Wanted,
        cursor: Cursor = None,
        limit: Limit = pages.LIMIT,
        trainer: Annotated[str | None, Query(max_length=64, description="only this one's, by its account")] = None,
    ) -> m.LogLinePage:
        """What the trainers logged on the topic; none of it decides anything."""
        state = (await service.find(wanted)).state
        messages = await service.desk.ledger.messages(state.topic, after_ns=state.created_ns - 1, until_ns=state.now_ns)
        lines = [each for each in TopicLog().read(messages, state) if trainer in (None, each.trainer)]
        page, following = pages.cut(lines, lambda each: (each.time_ns, each.number), cursor=cursor, limit=limit)
        return m.LogLinePage(items=[views.told_line(each) for each in page], next=following)


def _add_result(routes: APIRouter, service: Service) -> None:
    @routes.get(
        "/tasks/{task}/result",
        responses={**documented(401, 403, 404, 409, 422, 502), 200: {"content": {"application/octet-stream": {}}}},
        response_class=FileResponse,
        openapi_extra=TOKEN,
        tags=["result"],
    )
    async def get_result(wanted: Wanted) -> FileResponse:
        """The decrypted weights (safetensors), equal to what was confirmed on chain; their SHA-256 is the ETag."""
        followed = await service.find(wanted)
        result = await service.result(followed)
        return FileResponse(
            result.path,
            media_type="application/octet-stream",
            filename=f"{_short(followed)}.safetensors",
            headers={"ETag": f'"{result.sha256}"', "Repr-Digest": views.digest_field(result.sha256)},
        )

    @routes.get(
        "/tasks/{task}/envelope",
        responses={**documented(404, 409, 422), 200: {"content": {"application/octet-stream": {}}}},
        response_class=Response,
        tags=["result"],
    )
    async def get_envelope(wanted: Wanted) -> Response:
        """The envelope of the result as it stands in the log: an age file for the ML user's key."""
        followed = await service.find(wanted)
        headers = {"Content-Disposition": f'attachment; filename="{_short(followed)}.age"'}
        return Response(service.envelope(followed), media_type="application/octet-stream", headers=headers)


def _key(logged: LoggedEvent) -> pages.Key:
    return logged.time_ns, logged.index


def _short(followed: Followed) -> str:
    return followed.task.hex()[:12]
