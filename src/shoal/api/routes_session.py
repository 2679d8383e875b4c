"""`/api/v1/info`, and sessions: a page is paired with its node, or a wallet signs in."""

from __future__ import annotations

import base64
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from shoal.api import models_client as m
from shoal.api.access import PAIRING_S, Access, Caller, Session, caller_of
from shoal.api.problems import documented
from shoal.api.routes_tasks import TOKEN
from shoal.api.service import Service
from shoal.api.signin import SignIn
from shoal.api.uploads import PART_BYTES
from shoal.core import limits
from shoal.core.ids import address_text
from shoal.errors import UsageError
from shoal.roles.client import OPENING_GRACE_S

OPEN = frozenset({"/api/v1/session", "/api/v1/sign-in/nonce", "/api/v1/sign-in"})
"""Where anyone may POST."""


def need_caller(request: Request) -> Caller:
    """Whoever asks; the guard has let it in."""
    caller = caller_of(request.scope)
    if caller is None:
        raise UsageError("this needs the node's token, or a session", code="SHOAL-U50")
    return caller


def some_caller(request: Request) -> Caller | None:
    """Whoever asks, if it has said so."""
    return caller_of(request.scope)


Somebody = Annotated[Caller, Depends(need_caller)]
Anybody = Annotated[Caller | None, Depends(some_caller)]


def router(service: Service, access: Access, sign_in: SignIn) -> APIRouter:
    """All routes of sessions."""
    routes = APIRouter(prefix="/api/v1", tags=["session"])

    @routes.get("/info", responses=documented(502, 503))
    async def get_info() -> m.InfoRecord:
        """What this node is, and which servers a page may use beside it."""
        return await _info(service)

    @routes.post("/session", status_code=201, responses=documented(401, 422, 429))
    async def pair(wish: m.Pair) -> m.OpenedSession:
        """Exchange a pairing code, which `shoal up` and `shoal pair` show, for a session of the operator."""
        return _opened(access.pair(wish.code))

    @routes.get("/session", responses=documented(401), openapi_extra=TOKEN)
    async def get_session(caller: Somebody) -> m.SessionRecord:
        return m.SessionRecord(role=caller.role, account=caller.account, address=address_text(caller.address))

    @routes.post("/pairing", status_code=201, responses=documented(401, 403), openapi_extra=TOKEN)
    async def make_code(caller: Somebody) -> m.CodeRecord:
        """A code for a page of the operator's; the one before it ends."""
        return m.CodeRecord(code=access.new_code(), expires_in_s=PAIRING_S)

    @routes.post("/sign-in/nonce", status_code=201, responses=documented(403, 422, 429))
    async def make_nonce(wish: m.NonceWish, request: Request) -> m.NonceRecord:
        """A message for the wallet to sign: it names this node and is good once, for five minutes."""
        made = sign_in.challenge(wish.account, request.headers.get("host", ""))
        return m.NonceRecord(account=made.account, nonce=made.nonce, message=made.message, expires_at=made.expires_s)

    @routes.post("/sign-in", status_code=201, responses=documented(401, 422, 429, 502, 503))
    async def open_session(wish: m.SignInWish) -> m.OpenedSession:
        """Exchange the signed message for a session of the account."""
        if (wish.signature is None) == (wish.signature_map_b64 is None):
            raise UsageError("give one of signature and signature_map_b64", code="SHOAL-U54")
        map_ = None if wish.signature_map_b64 is None else decoded(wish.signature_map_b64)
        return _opened(await sign_in.session(wish.account, wish.nonce, signature=wish.signature, map_=map_))

    @routes.post("/sign-out", responses=documented(401), openapi_extra=TOKEN)
    async def close_session(request: Request, caller: Somebody) -> m.SignedOut:
        """End this session."""
        return m.SignedOut(closed=access.close(request.headers.get("authorization")))

    return routes


def decoded(text: str) -> bytes:
    """Base64 of a request. Raises UsageError SHOAL-U54."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise UsageError("this is not base64", code="SHOAL-U54") from error


def quotas(service: Service) -> m.QuotaRecord | None:
    quota = service.uploads.quota
    if quota is None:
        return None
    return m.QuotaRecord(
        bytes_per_day=quota.bytes_per_day,
        bytes_kept=quota.bytes_kept,
        objects=quota.objects,
        upload_life_s=quota.upload_life_s,
    )


async def _info(service: Service) -> m.InfoRecord:
    desk = service.desk
    settings, rate = desk.settings, await desk.ledger.rate()
    place = service.endpoints
    asks = settings.gateway and settings.storage_fee > 0
    return m.InfoRecord(
        version=version("shoal"),
        network=settings.network,
        contract_id=settings.contract_id,
        contract_address=address_text(await desk.ledger.address_of(settings.contract_id)),
        account=desk.ledger.account,
        chain_time=await desk.ledger.watermark() / 10**9,
        mirror=m.MirrorRecord(rest=place.mirror_rest, grpc_web=place.grpc_web or None),
        node={"grpc_web": place.grpc_web or None, "account": settings.ledger_node_account},
        peer_id=desk.network.peer_id,
        signing_key=desk.keys.signing_key.hex(),
        roles=["client"],
        gateway=settings.gateway,
        walletconnect_project_id=settings.walletconnect_project_id or None,
        limits={
            "chunk_bytes": limits.CHUNK_BYTES,
            "cipher_bytes": limits.CHUNK_BYTES + limits.MIB,
            "document_bytes": limits.DOCUMENT_BYTES,
            "weights_bytes": limits.WEIGHTS_BYTES,
            "chunks": limits.CHUNKS,
            "rounds": limits.ROUNDS,
            "seats": limits.SEATS,
            "log_entry_bytes": limits.LOG_ENTRY_BYTES,
            "topic_message_bytes": limits.TOPIC_MESSAGE_BYTES,
            "upload_part_bytes": PART_BYTES,
            "bundle_bytes": limits.BUNDLE_BYTES,
            "envelope_bytes": limits.ENVELOPE_BYTES,
        },
        quotas=quotas(service),
        storage=m.StorageTerms(
            account=desk.ledger.account if asks else None,
            fee_tinybar_per_gib=settings.storage_fee if asks else 0,
        ),
        rate={"cents": rate.cents, "hbars": rate.hbars},
        opening_grace_s=OPENING_GRACE_S,
    )


def _opened(session: Session) -> m.OpenedSession:
    caller = session.caller
    return m.OpenedSession(
        role=caller.role,
        account=caller.account,
        address=address_text(caller.address),
        token=session.token,
        expires_at=session.expires_s,
    )
