"""`/api/v1/chunks`: ciphertext of pages, straight to storage by presigned URLs, and resumable."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from shoal.api import models_client as m
from shoal.api import pages
from shoal.api.problems import documented
from shoal.api.routes_session import Somebody, quotas
from shoal.api.routes_tasks import TOKEN, Cursor, IdempotencyKey, Limit
from shoal.api.service import Service
from shoal.api.uploads import Record, Shown

UploadId = Annotated[str, Path(alias="upload_id", pattern=r"^[0-9a-f]{32}$")]
_ERRORS = documented(401, 404, 409, 422, 429, 500, 502)


def router(service: Service) -> APIRouter:
    """All routes of uploads."""
    routes, uploads = APIRouter(prefix="/api/v1", tags=["uploads"]), service.uploads

    @routes.post("/chunks", status_code=201, responses=_ERRORS, openapi_extra=TOKEN)
    async def begin_upload(
        wish: m.UploadWish, response: Response, caller: Somebody, idempotency_key: IdempotencyKey = None
    ) -> m.UploadRecord:
        """Begin, or take up again, the upload of these bytes: named by their hash, so it is the same after a reload."""
        shown, is_new = await service.agency.upload(caller, wish.sha256, wish.bytes)
        response.status_code = 201 if is_new else 200
        response.headers["Location"] = f"/api/v1/chunks/{shown.record.id}"
        return _record(shown)

    @routes.get("/chunks", responses=documented(401, 422), openapi_extra=TOKEN)
    async def list_uploads(caller: Somebody, cursor: Cursor = None, limit: Limit = pages.LIMIT) -> m.UploadPage:
        """This caller's uploads, the oldest first."""
        page, after = pages.cut(uploads.all(caller), _key, cursor=cursor, limit=limit)
        return m.UploadPage(items=[_row(each) for each in page], next=after)

    @routes.get("/chunks/{upload_id}", responses=_ERRORS, openapi_extra=TOKEN)
    async def get_upload(upload_id: UploadId, caller: Somebody) -> m.UploadRecord:
        """What has arrived, asked of storage; and fresh URLs."""
        return _record(await uploads.get(caller, upload_id))

    @routes.post("/chunks/{upload_id}/complete", responses=_ERRORS, openapi_extra=TOKEN)
    async def complete_upload(
        upload_id: UploadId, caller: Somebody, idempotency_key: IdempotencyKey = None
    ) -> m.UploadRecord:
        """Put the parts together, or see that the one piece is there."""
        return _record(await uploads.complete(caller, upload_id))

    @routes.delete("/chunks/{upload_id}", status_code=204, responses=_ERRORS, openapi_extra=TOKEN)
    async def forget_upload(upload_id: UploadId, caller: Somebody) -> None:
        """Remove an upload that no task needs."""
        await uploads.forget(caller, upload_id)

    @routes.get("/storage", responses=documented(401, 502, 503), openapi_extra=TOKEN)
    async def get_storage(caller: Somebody) -> m.StorageRecord:
        """What this caller has stored, and paid for storage."""
        mine = uploads.all(caller)
        credit = 0 if caller.is_operator else int(await service.agency.fees.credit(caller.account))
        return m.StorageRecord(
            objects=len(mine),
            bytes_kept=sum(each.size_bytes for each in mine),
            credit_tinybar=credit,
            quotas=None if caller.is_operator else quotas(service),
        )

    return routes


def _key(record: Record) -> pages.Key:
    return int(record.made_s * 10**9), int(record.id[:12], 16)


def _row(record: Record) -> m.UploadRow:
    return m.UploadRow(
        upload_id=record.id,
        sha256=record.sha256,
        bytes=record.size_bytes,
        state="complete" if record.is_complete else "open",
        expires_at=record.keep_until_s,
    )


def _record(shown: Shown) -> m.UploadRecord:
    return m.UploadRecord(
        **_row(shown.record).model_dump(),
        put_url=shown.put_url or None,
        headers={},  # browsers send the length themselves, and it is all that is signed
        parts=[
            m.PartRecord(
                number=each.number,
                offset=each.offset,
                bytes=each.size_bytes,
                done=each.done,
                put_url=each.put_url or None,
            )
            for each in shown.pieces
        ],
        get_url=shown.get_url,
        urls_expire_at=shown.urls_expire_s,
    )
