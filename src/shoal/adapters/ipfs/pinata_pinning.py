"""Pinata's older pinning API, by key and secret: public content only, uploads in one piece.

What is uploaded by one of Pinata's two APIs is not listed by the other.
Source: docs.pinata.cloud/api-reference/endpoint/ipfs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from shoal.adapters.ipfs.bodies import form, safe_name
from shoal.adapters.ipfs.cid import Cid
from shoal.adapters.ipfs.http import Service
from shoal.adapters.ipfs.pinata_files import FORM_BYTES, cid_in
from shoal.adapters.ipfs.refusals import not_pinned, odd_answer
from shoal.ports import Pin, Progress

_PAGE = 1_000
_NOT_PINNED = frozenset({400, 404})


class PinningApi:
    """One account's pins."""

    private = False

    def __init__(self, *, api_key: str, api_secret: str, api_url: str) -> None:
        self._api = Service(api_url, headers={"pinata_api_key": api_key, "pinata_secret_api_key": api_secret})
        self.name = self._api.name

    async def open(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self._api)

    async def upload(self, path: Path, size: int, name: str, progress: Progress | None) -> Pin:
        fields = {
            "pinataOptions": json.dumps({"cidVersion": 1}),
            "pinataMetadata": json.dumps({"name": safe_name(name)}),
        }
        body = form(path, size, fields, name, progress)
        answer = await self._api.call("POST", "/pinning/pinFileToIPFS", body=body, repeat=size <= FORM_BYTES)
        value = answer.json(self.name)
        return Pin(cid_in(self.name, value.get("IpfsHash")), name, size, str(value.get("Timestamp") or ""))

    async def list(self, limit: int, cid: str = "") -> Sequence[tuple[str, Pin]]:
        """CID and pin of each."""
        found: list[tuple[str, Pin]] = []
        while len(found) < limit:
            params = {"status": "pinned", "includeCount": "false", "pageLimit": str(min(_PAGE, limit - len(found)))}
            params |= {"pageOffset": str(len(found)), **({"cid": cid} if cid else {})}
            rows = (await self._api.call("GET", "/data/pinList", params=params)).json(self.name).get("rows")
            if not isinstance(rows, list):
                raise odd_answer(self.name, "what it answers is not the JSON that was expected")
            pins = [_pin(each) for each in rows if isinstance(each, dict)]
            found += [(pin.cid, pin) for pin in pins]
            if len(rows) < int(params["pageLimit"]) or not pins:
                break
        return found

    async def pin(self, cid: Cid, name: str) -> None:
        value = {"hashToPin": str(cid), "pinataMetadata": {"name": safe_name(name or str(cid))}}
        await self._api.call("POST", "/pinning/pinByHash", value=value, about=str(cid))

    async def unpin(self, cid: Cid) -> None:
        answer = await self._api.call("DELETE", f"/pinning/unpin/{cid}", accept=_NOT_PINNED)
        if answer.status in _NOT_PINNED:
            raise not_pinned(self.name, str(cid))


def _pin(value: dict[str, Any]) -> Pin:
    metadata, size = value.get("metadata"), value.get("size")
    return Pin(
        str(value.get("ipfs_pin_hash") or ""),
        str(metadata.get("name") or "") if isinstance(metadata, dict) else "",
        size if isinstance(size, int) else None,
        str(value.get("date_pinned") or ""),
    )
