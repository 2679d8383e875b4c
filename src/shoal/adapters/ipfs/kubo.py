"""Kubo: one's own IPFS node, through its RPC, which must be reachable by nobody else.

Source: docs.ipfs.tech/reference/kubo/rpc.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shoal.adapters.ipfs import files
from shoal.adapters.ipfs.assemble import Assembler
from shoal.adapters.ipfs.blocks import Blocks, CarBlocks
from shoal.adapters.ipfs.bodies import form, safe_name
from shoal.adapters.ipfs.cid import Cid
from shoal.adapters.ipfs.http import Answer, Service, deadline
from shoal.adapters.ipfs.pinata_files import cid_in
from shoal.adapters.ipfs.refusals import bad_bytes, missing, not_pinned, odd_answer
from shoal.core.limits import IPFS_ANSWER_BYTES, IPFS_BLOCK_BYTES, IPFS_PINS
from shoal.errors import StorageError
from shoal.ports import Pin, Progress

_API_TIMEOUT_S = 300.0
_FAILED = frozenset({500})
"""How Kubo says that it could not do something, whatever it was; its message is in the body."""
_LAYOUT = {"cid-version": "1", "raw-leaves": "true", "chunker": "size-1048576"}


class KuboRpc:
    """The `ContentStore` port over one's own node. What it keeps is public: any peer may ask it for it.

    >>> async with KuboRpc("http://127.0.0.1:5001") as kubo:  # doctest: +SKIP
    ...     pin = await kubo.add_bytes(b"hello", name="hello.txt")

    Args:
        url: of the RPC.
        timeout_s: most that one upload or fetch may take.
    """

    def __init__(self, url: str, *, timeout_s: float = 3_600.0) -> None:
        self._rpc = Service(url, headers={})
        self._timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"KuboRpc({self._rpc.name!r})"

    async def __aenter__(self) -> Self:
        await self._rpc.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._rpc.__aexit__(kind, error, trace)

    # ------------------------------------------------------------ keeping

    async def add_file(self, path: Path, *, name: str = "", progress: Progress | None = None) -> Pin:
        """Add and pin a file; its CID is recomputed here.

        Raises:
            UsageError: SHOAL-U21, it is not one file, or too large.
            StorageError: SHOAL-S20 to S26; S11, the local file.
            CryptoError: SHOAL-K20, the CID is another file's.
        """
        size = files.upload_size(path)
        name = name or path.name
        params = {**_LAYOUT, "pin": "true", "progress": "false", "pin-name": safe_name(name)}
        with deadline(self._timeout_s, self._rpc.name):
            body = form(path, size, {}, name, progress)
            answer = await self._rpc.call("POST", "/api/v0/add", params=params, body=body)
            cid = cid_in(self._rpc.name, (_lines(self._rpc.name, answer) or [{}])[-1].get("Hash"))
            if not await files.is_file_of(path, Cid.parse(cid)):
                raise bad_bytes(self._rpc.name, cid)
        return Pin(cid, name, size)

    async def add_bytes(self, data: bytes, *, name: str) -> Pin:
        """As `add_file`."""
        with files.as_file(data) as path:
            return await self.add_file(path, name=name)

    async def pins(self, *, limit: int = IPFS_PINS) -> Sequence[Pin]:
        """The roots that are pinned; names only where the node is of 2024 or newer. Raises StorageError."""
        params = {"type": "recursive", "stream": "true", "names": "true"}
        with deadline(_API_TIMEOUT_S, self._rpc.name):
            answer = await self._rpc.call("POST", "/api/v0/pin/ls", params=params, most=IPFS_ANSWER_BYTES)
        found = [
            Pin(str(line["Cid"]), str(line.get("Name") or ""))
            for line in _lines(self._rpc.name, answer)
            if line.get("Cid")
        ]
        return found[: min(limit, IPFS_PINS)]

    async def pin(self, cid: str, *, name: str = "") -> None:
        """Have the node fetch it and keep it; returns when it has. Raises UsageError SHOAL-U20; StorageError."""
        wanted = files.cid_of(cid)
        params = {"arg": str(wanted), "recursive": "true", "progress": "true"}  # so that it is heard while it searches
        params |= {"name": safe_name(name)} if name else {}
        with deadline(self._timeout_s, self._rpc.name):
            answer = await self._rpc.call("POST", "/api/v0/pin/add", params=params, accept=_FAILED)
            if answer.status in _FAILED or not any("Pins" in line for line in _lines(self._rpc.name, answer)):
                raise missing(self._rpc.name, str(wanted))

    async def unpin(self, cid: str) -> None:
        """Raises UsageError SHOAL-U20; StorageError SHOAL-S20 to S27."""
        wanted = files.cid_of(cid)
        with deadline(_API_TIMEOUT_S, self._rpc.name):
            answer = await self._rpc.call("POST", "/api/v0/pin/rm", params={"arg": str(wanted)}, accept=_FAILED)
            if answer.status in _FAILED:
                if "not pinned" in str(answer.json(self._rpc.name).get("Message")):
                    raise not_pinned(self._rpc.name, str(wanted))
                raise odd_answer(self._rpc.name, "it could not remove the pin")

    # ------------------------------------------------------------ fetching

    async def fetch(self, cid: str, out: Path, *, max_bytes: int, progress: Progress | None = None) -> int:
        """Fetch a file as a CAR, each block of which is checked.

        Raises:
            UsageError: SHOAL-U20, it is no CID.
            StorageError: SHOAL-S20 to S28; S11, the local file.
            CryptoError: SHOAL-K20, the node sent other bytes.
        """
        wanted = files.cid_of(cid)
        with deadline(self._timeout_s, self._rpc.name):
            async with files.arriving(out) as file, self._blocks(wanted) as blocks:
                return await Assembler(blocks, file, max_bytes=max_bytes, progress=progress).run(wanted)
        raise AssertionError("a deadline that passes raises")

    @asynccontextmanager
    async def _blocks(self, root: Cid) -> AsyncIterator[Blocks]:
        async def ask(cid: Cid) -> bytes:
            answer = await self._rpc.call(
                "POST", "/api/v0/block/get", params={"arg": str(cid)}, accept=_FAILED, most=IPFS_BLOCK_BYTES
            )
            if answer.status in _FAILED:
                raise missing(self._rpc.name, str(root))
            return answer.body

        async with AsyncExitStack() as stack:
            params = {"arg": str(root), "progress": "false"}
            try:
                response = await stack.enter_async_context(
                    self._rpc.stream("POST", "/api/v0/dag/export", params=params, headers={}, about=str(root))
                )
            except StorageError as error:
                # The node has not got it: Kubo's word for this is 500.
                raise missing(self._rpc.name, str(root)) if error.code == "SHOAL-S25" else error from None
            pieces = self._rpc.pieces(response)
            stack.push_async_callback(pieces.aclose)
            yield CarBlocks(self._rpc.name, pieces, ask)


def _lines(name: str, answer: Answer) -> list[dict[str, Any]]:
    """A JSON object on each line. Raises StorageError SHOAL-S25."""
    try:
        found = [json.loads(line) for line in answer.body.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        raise odd_answer(name, "what it answers is not the JSON that was expected") from None
    return [each for each in found if isinstance(each, dict)]
