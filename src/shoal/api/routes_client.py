"""What a client without a node needs of one: manifests, announcements, bids, slots, gossip; docs/browser-client.md."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from shoal.api import models_client as m
from shoal.api import pages
from shoal.api import views_client as views
from shoal.api.problems import documented
from shoal.api.routes_session import Anybody, Somebody, decoded
from shoal.api.routes_tasks import TOKEN, Cursor, IdempotencyKey, Limit, Wanted
from shoal.api.service import Service
from shoal.core.events import TaskCreated
from shoal.core.ids import parse_address
from shoal.ports import LoggedEvent

_ERRORS = documented(401, 402, 403, 404, 409, 422, 429, 500, 502, 503)
Topic = Annotated[str, Path(alias="topic", pattern=r"^0\.0\.[0-9]{1,18}$")]


def router(service: Service) -> APIRouter:
    """All of these routes."""
    routes = APIRouter(prefix="/api/v1")
    _add_client(routes, service)
    _add_task(routes, service)
    _add_ledger(routes, service)
    return routes


def _add_client(routes: APIRouter, service: Service) -> None:
    agency = service.agency
    more: dict[str, Any] = {"responses": _ERRORS, "openapi_extra": TOKEN, "tags": ["client"]}

    @routes.post("/manifests", status_code=201, **more)
    async def take_manifest(
        wish: m.ManifestWish, caller: Somebody, idempotency_key: IdempotencyKey = None
    ) -> m.ManifestTaken:
        """Check a manifest, and that all it names is here; what the node needs before it serves the task."""
        client = parse_address(wish.client) if wish.client and caller.is_operator else caller.address
        taken = await agency.take(caller, client, decoded(wish.manifest_b64))
        return m.ManifestTaken(
            manifest_hash=taken.manifest.hash.hex(),
            task_id=taken.task.hex(),
            stored_bytes=taken.stored_bytes,
            storage_fee_tinybar=int(taken.fee_tinybar),
            storage_credit_tinybar=int(taken.credit_tinybar),
            storage_account=service.desk.ledger.account,
            storage_memo=f"shoal storage {taken.task.hex()[:16]}",
        )

    @routes.post("/tasks/{task}/announce", status_code=202, **more)
    async def announce_task(wanted: Wanted, caller: Somebody, idempotency_key: IdempotencyKey = None) -> m.Announced:
        """Serve a task from now on: its document, its announcement, its opened bids. Again and again harmless."""
        created, task = await service.market.find(wanted)
        await agency.announce(caller, created, task)
        event = created.event
        assert isinstance(event, TaskCreated), "a task begins with this event"
        return m.Announced(task_id=task.hex(), peer_id=service.desk.network.peer_id, bids_until=event.plan.bid_until)

    @routes.post("/tasks/{task}/entries", status_code=202, **more)
    async def say_entry(
        wanted: Wanted, wish: m.EntryWish, caller: Somebody, idempotency_key: IdempotencyKey = None
    ) -> m.EntryTaken:
        """Gossip a signed entry of the client's; the log is written by its wallet."""
        entry = await agency.say(caller, await service.find(wanted), decoded(wish.data_b64))
        return m.EntryTaken(hash=entry.hash.hex(), kind=entry.kind, sequence=entry.sequence)

    @routes.post("/slots", **more)
    async def make_slots(wish: m.SlotsWish, caller: Somebody, idempotency_key: IdempotencyKey = None) -> m.SlotsRecord:
        """The presigned URLs of one seat, once the log says who holds what."""
        made = await agency.slots(caller, await service.find(wish.task_id), wish.seat)
        return m.SlotsRecord(
            seat=wish.seat, slot_bytes=made.slot_bytes, put=made.put, get=made.get, expires_at=made.expires_s
        )


def _add_task(routes: APIRouter, service: Service) -> None:
    @routes.get("/tasks/{task}/bids", responses=documented(404, 422), tags=["tasks"])
    async def get_bids(wanted: Wanted, caller: Anybody) -> m.BidsRecord:
        """Sealed bids; and for the owner of a task that this node serves, the opened ones."""
        followed = await service.find(wanted)
        return views.bids(followed, service.agency.opened(caller, followed.task))

    @routes.get("/tasks/{task}/client", responses=documented(404, 422), tags=["tasks"])
    async def get_client_view(wanted: Wanted) -> m.ClientView:
        """How far the client's part of a task is, by the log."""
        return views.client((await service.find(wanted)).state)

    @routes.get("/tasks/{task}/cancellation", responses=documented(404, 422), tags=["tasks"])
    async def preview_cancellation(wanted: Wanted) -> m.CancellationRecord:
        """What would come back if the task were cancelled now."""
        return views.cancellation((await service.find(wanted)).state)


def _add_ledger(routes: APIRouter, service: Service) -> None:
    ledger = service.desk.ledger

    @routes.get("/ledger/contract-events", responses=documented(404, 422, 502, 503), tags=["ledger"])
    async def list_contract_events(
        task: Annotated[str | None, Query(min_length=1, max_length=80, description="only this task's")] = None,
        cursor: Cursor = None,
        limit: Limit = pages.LIMIT,
    ) -> m.ContractEventPage:
        """The contract's events, the oldest first."""
        created, only = (None, None) if task is None else await service.market.find(task)
        after = 0 if created is None else created.time_ns - 1
        if cursor is not None:
            after = max(after, pages.position_of(cursor)[0] - 1)
        rows = await ledger.events(after_ns=after, until_ns=await ledger.watermark(), task=only)
        page, following = pages.cut(rows, _place, cursor=cursor, limit=limit)
        return m.ContractEventPage(items=[views.contract_event(each) for each in page], next=following)

    @routes.get("/topics/{topic}/messages", responses=documented(422, 502, 503), tags=["ledger"])
    async def list_messages(topic: Topic, cursor: Cursor = None, limit: Limit = pages.LIMIT) -> m.MessagePage:
        """The whole messages of any topic, the oldest first, as they are."""
        after = max(0, pages.position_of(cursor)[0] - 1) if cursor is not None else 0
        until = await ledger.watermark()
        rows = await ledger.messages(int(topic.rpartition(".")[2]), after_ns=after, until_ns=until)
        page, following = pages.cut(rows, lambda each: (each.time_ns, each.sequence_number), cursor=cursor, limit=limit)
        return m.MessagePage(items=[views.message(each) for each in page], next=following)


def _place(logged: LoggedEvent) -> pages.Key:
    return logged.time_ns, logged.index
