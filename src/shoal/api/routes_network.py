"""What is around a node: peers, trainers with their stakes, movements of money, and whether it is well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse

from shoal.api import models as m
from shoal.api import pages, views
from shoal.api.access import caller_of
from shoal.api.metrics import answers
from shoal.api.problems import documented
from shoal.api.routes_tasks import Cursor, Limit
from shoal.api.service import Service
from shoal.core.events import Registered
from shoal.ports import Peer

Account = Annotated[str | None, Query(pattern=r"^0\.0\.[0-9]{1,18}$", description="only this account's")]


def router(service: Service, peer_id_of: Callable[[bytes], str]) -> APIRouter:
    """All routes of the market around a node."""
    routes, desk = APIRouter(prefix="/api/v1"), service.desk

    @routes.get("/peers", tags=["network"])
    async def list_peers() -> m.PeerList:
        """Peers that introduced themselves; roles are their own claim."""
        return m.PeerList(items=[_peer(each) for each in desk.network.peers()])

    @routes.get("/mesh", tags=["network"])
    async def get_mesh() -> m.MeshRecord:
        """This node in the network, in one record."""
        peers = desk.network.peers()
        connected = [peer for peer in peers if peer.connected]
        return m.MeshRecord(
            peer_id=desk.network.peer_id,
            addresses=desk.network.addresses(),
            connected=len(connected),
            known=len(peers),
            roles=dict(Counter(role for peer in connected for role in peer.roles)),
        )

    @routes.get("/trainers", responses=documented(422, 502, 503), tags=["network"])
    async def list_trainers(cursor: Cursor = None, limit: Limit = pages.LIMIT) -> m.TrainerPage:
        """Who has registered, the first first, with what the contract holds of each."""
        registered = await service.market.registered()
        page, after = pages.cut(registered, lambda each: (each.time_ns, each.index), cursor=cursor, limit=limit)
        seen = {peer.peer_id for peer in desk.network.peers() if peer.connected}
        rows = []
        for logged in page:
            assert isinstance(logged.event, Registered), "only these are kept"
            account = await desk.ledger.account_state(logged.event.account)
            peer_id = peer_id_of(account.signing_key)
            rows.append(views.trainer(logged, account, peer_id, connected=peer_id in seen))
        return m.TrainerPage(items=rows, next=after)

    @routes.get("/ledger/movements", responses=documented(422, 502, 503), tags=["ledger"])
    async def list_movements(
        request: Request, account: Account = None, cursor: Cursor = None, limit: Limit = pages.LIMIT
    ) -> m.MovementPage:
        """Transactions that moved money, the oldest first: of whoever asks, of the node's account, or of another."""
        ledger, caller = desk.ledger, caller_of(request.scope)
        account = account or (caller.account if caller is not None else None)
        after = pages.position_of(cursor)[0] if cursor is not None else 0
        rows = await ledger.movements(
            after_ns=after, until_ns=await ledger.watermark(), account=account or ledger.account
        )
        page, following = pages.cut(rows, lambda each: (each.time_ns, 0), cursor=cursor, limit=limit)
        return m.MovementPage(items=[views.movement(each) for each in page], next=following)

    return routes


def liveness() -> APIRouter:
    """For whoever keeps the process running: whether it answers."""
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz")
    async def get_health() -> m.Health:
        """The process answers."""
        return m.Health(status="ok")

    return routes


def health(service: Service) -> APIRouter:
    """As `liveness`, and whether it can do its work."""
    routes = liveness()

    @routes.get("/readyz", tags=["health"], responses={503: {"model": m.Readiness}})
    async def get_readiness() -> JSONResponse:
        """The ledger answers, and the tasks of before are driven again."""
        checks = {"ledger": await answers(service.desk.ledger), "tasks": service.resumed.is_set()}
        ready = all(checks.values())
        body = m.Readiness(status="ok" if ready else "not ready", checks=checks)
        return JSONResponse(body.model_dump(), 200 if ready else 503)

    return routes


def _peer(peer: Peer) -> m.PeerRecord:
    return m.PeerRecord(
        peer_id=peer.peer_id, addresses=list(peer.addresses), roles=list(peer.roles), connected=peer.connected
    )
