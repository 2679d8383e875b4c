"""Pinata's files API, version 3, by JWT: public and private files, resumable uploads.

Source: docs.pinata.cloud/api-reference, and Pinata's own SDK for what that leaves out (the end of a tus upload).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import trio

from shoal.adapters.ipfs.bodies import form, safe_name
from shoal.adapters.ipfs.cid import Cid, CidError
from shoal.adapters.ipfs.http import Service
from shoal.adapters.ipfs.refusals import not_pinned, odd_answer
from shoal.adapters.ipfs.tus import PIECE_BYTES, TusUpload
from shoal.core.limits import MIB
from shoal.errors import UsageError
from shoal.ports import Pin, Progress

FORM_BYTES = 90 * MIB
"""Above this an upload is resumable, as in Pinata's SDK; above 100 MB it has to be."""
_PAGE = 100
_CID_TRIES = 60
LINK_LIFE_S = 600


class FilesApi:
    """One account's files on the public or on the private network."""

    def __init__(
        self,
        *,
        jwt: str,
        network: Literal["public", "private"],
        api_url: str,
        uploads_url: str,
        notes: Path | None,
        form_bytes: int = FORM_BYTES,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        headers = {"Authorization": f"Bearer {jwt}"}
        self._api, self._uploads = Service(api_url, headers=headers), Service(uploads_url, headers=headers)
        self._network, self._notes = network, notes
        self._form_bytes, self._piece_bytes = form_bytes, piece_bytes
        self.name = self._api.name
        self.private = network == "private"

    async def open(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self._api)
        await stack.enter_async_context(self._uploads)

    async def upload(self, path: Path, size: int, name: str, progress: Progress | None) -> Pin:
        if size > self._form_bytes:
            cid = await self._upload_resumably(path, size, name, progress)
            return Pin(cid, name, size)
        body = form(path, size, {"network": self._network, "name": safe_name(name)}, name, progress)
        answer = await self._uploads.call("POST", "/v3/files", body=body)
        data = _dict(self._uploads.name, answer.json(self._uploads.name), "data")
        return Pin(cid_in(self.name, data.get("cid")), name, size, str(data.get("created_at") or ""))

    async def _upload_resumably(self, path: Path, size: int, name: str, progress: Progress | None) -> str:
        metadata = {"filename": safe_name(name), "filetype": "application/octet-stream", "network": self._network}
        upload = TusUpload(
            self._uploads, "/v3/files", metadata, notes=self._notes, piece_bytes=self._piece_bytes
        )  # fmt: skip
        url, answer = await upload.send(path, size, progress)
        if answer is not None and (told := answer.headers.get("upload-cid")):
            return cid_in(self.name, told)
        # The last answer got lost, or does not tell: the file's id is in the URL of its upload.
        file_id = urlsplit(url).path.removeprefix("/v3/files/").split("/")[0]
        for _ in range(_CID_TRIES):
            answer = await self._api.call("GET", f"/v3/files/{self._network}/{file_id}", accept=frozenset({404}))
            cid = answer.json(self.name).get("data", {}).get("cid") if answer.status != 404 else "pending"
            if cid != "pending":
                return cid_in(self.name, cid)
            await trio.sleep(2.0)
        raise odd_answer(self.name, "it does not say which CID an upload got")

    async def list(self, limit: int, cid: str = "") -> Sequence[tuple[str, Pin]]:
        """Id and pin of each, the newest first."""
        found: list[tuple[str, Pin]] = []
        token = ""
        while len(found) < limit:
            params = {"limit": str(min(_PAGE, limit - len(found))), "order": "DESC"}
            params |= {"cid": cid} if cid else {}
            params |= {"pageToken": token} if token else {}
            answer = await self._api.call("GET", f"/v3/files/{self._network}", params=params)
            data = _dict(self.name, answer.json(self.name), "data")
            files = data.get("files")
            if not isinstance(files, list):  # Pinata says null for none
                break
            found += [(str(each["id"]), _pin(each)) for each in files if isinstance(each, dict) and each.get("id")]
            last, token = token, str(data.get("next_page_token") or "")
            if not token or token == last or not files:
                break
        return found[:limit]

    async def pin(self, cid: Cid, name: str) -> None:
        if self.private:
            raise UsageError(
                "only public content can be pinned by its CID",
                code="SHOAL-U22",
                hint="upload the file itself, or set pinata_network to public",
            )
        value = {"cid": str(cid), "name": safe_name(name or str(cid))}
        await self._api.call("POST", "/v3/files/public/pin_by_cid", value=value, about=str(cid))

    async def unpin(self, cid: Cid) -> None:
        """Delete every file of this CID: the same bytes may have been uploaded under two names."""
        found = await self.list(_PAGE, str(cid))
        if not found:
            raise not_pinned(self.name, str(cid))
        for file_id, _ in found:
            await self._api.call("DELETE", f"/v3/files/{self._network}/{file_id}", accept=frozenset({404}))

    async def link(self, url: str) -> str:
        """A link that opens a private file for some minutes; a secret."""
        value = {"url": url, "expires": LINK_LIFE_S, "date": int(time.time()), "method": "GET"}
        answer = await self._api.call("POST", "/v3/files/private/download_link", value=value)
        link = answer.json(self.name).get("data")
        if not isinstance(link, str):
            raise odd_answer(self.name, "it gives no link to a private file")
        return link


def cid_in(name: str, value: Any) -> str:
    """A CID that a service told, in its usual form. Raises StorageError SHOAL-S25."""
    try:
        return str(Cid.parse(value if isinstance(value, str) else ""))
    except CidError:
        raise odd_answer(name, "it does not say which CID an upload got") from None


def _dict(name: str, value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    if not isinstance(found, dict):
        raise odd_answer(name, "what it answers is not the JSON that was expected")
    return found


def _pin(value: dict[str, Any]) -> Pin:
    size = value.get("size")
    return Pin(
        str(value.get("cid") or ""),
        str(value.get("name") or ""),
        size if isinstance(size, int) else None,
        str(value.get("created_at") or ""),
    )
