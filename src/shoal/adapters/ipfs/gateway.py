"""Fetching from gateways that need not be trusted: blocks or CARs, each block checked, any gateway of a list.

Source: the Trustless Gateway specification (specs.ipfs.tech/http-gateways/trustless-gateway).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from shoal.adapters.ipfs.assemble import Assembler
from shoal.adapters.ipfs.blocks import Blocks, CarBlocks, SingleBlocks
from shoal.adapters.ipfs.cid import Cid
from shoal.adapters.ipfs.files import arriving, cid_of
from shoal.adapters.ipfs.http import Service, deadline
from shoal.core.limits import IPFS_BLOCK_BYTES
from shoal.errors import ConfigError, CryptoError, StorageError
from shoal.ports import Progress

CAR, RAW_BLOCK = "application/vnd.ipld.car", "application/vnd.ipld.raw"
_CAR_QUERY = {"format": "car", "dag-scope": "entity", "car-version": "1", "car-order": "dfs", "car-dups": "y"}
"""In this order every block comes when it is needed. Gateways may ignore it, which costs time only."""
_NO_SUCH_FORMAT = ("SHOAL-S21", "SHOAL-S25")
"""How gateways answer that know blocks but no CARs: 400, 403, 406, 501."""

OF_CONTENT = ("SHOAL-S11", "SHOAL-S24", "SHOAL-S28")
"""Errors of the content or of this machine: another gateway would not help."""


class TrustlessGateway:
    """Fetch only, by CID, from the first gateway that has it. The `ContentSource` port.

    >>> async with TrustlessGateway(["https://trustless-gateway.link"]) as gateway:  # doctest: +SKIP
    ...     await gateway.fetch("bafkrei...", Path("hello.txt"), max_bytes=2**20)

    Args:
        urls: asked in this order.
        headers: sent to all of them, such as an access token.
        timeout_s: most that a fetch may take.
    """

    def __init__(
        self, urls: Sequence[str], *, headers: dict[str, str] | None = None, timeout_s: float = 3_600.0
    ) -> None:
        if not urls:
            raise ConfigError("no IPFS gateway is set", code="SHOAL-C01", hint="set SHOAL_IPFS_GATEWAYS")
        self.services = [Service(url, headers=headers or {}) for url in urls]
        self._timeout_s = timeout_s
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for service in self.services:
            await self._stack.enter_async_context(service)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def fetch(self, cid: str, out: Path, *, max_bytes: int, progress: Progress | None = None) -> int:
        """Fetch a file into `out`, which appears only when all of it is there; returns its size.

        Raises:
            UsageError: SHOAL-U20, it is no CID.
            StorageError: SHOAL-S20 to S26, of the last gateway; S24, S28, too large or no file; S11, the local file.
            CryptoError: SHOAL-K20, a gateway sent other bytes, and no other one had them.
        """
        wanted = cid_of(cid)
        failure: CryptoError | StorageError | None = None
        with deadline(self._timeout_s, self.services[0].name):
            for service in self.services:
                try:
                    return await self._fetch(service, wanted, out, max_bytes, progress)
                except CryptoError as error:
                    failure = error
                except StorageError as error:
                    if error.code in OF_CONTENT:
                        raise
                    failure = failure if isinstance(failure, CryptoError) else error
        assert failure is not None, "each gateway that returned nothing raised"
        raise failure

    async def _fetch(self, service: Service, cid: Cid, out: Path, max_bytes: int, progress: Progress | None) -> int:
        """From one gateway, again where its connection broke."""
        for last in (False, False, True):
            try:
                async with arriving(out) as file, _blocks(service, cid) as blocks:
                    return await Assembler(blocks, file, max_bytes=max_bytes, progress=progress).run(cid)
            except StorageError as error:
                if error.code != "SHOAL-S26" or last:
                    raise
        raise AssertionError("the last try returns or raises")


@asynccontextmanager
async def _blocks(service: Service, root: Cid) -> AsyncIterator[Blocks]:
    """A CAR if the gateway makes them, else its blocks one by one."""

    async def ask(cid: Cid) -> bytes:
        answer = await service.call(
            "GET",
            f"/ipfs/{cid}",
            params={"format": "raw"},
            headers={"Accept": RAW_BLOCK},
            about=str(root),
            most=IPFS_BLOCK_BYTES,
        )
        return answer.body

    async with AsyncExitStack() as stack:
        headers = {"Accept": f"{CAR}; version=1; order=dfs; dups=y"}
        try:
            response = await stack.enter_async_context(
                service.stream("GET", f"/ipfs/{root}", params=_CAR_QUERY, headers=headers, about=str(root))
            )
        except StorageError as error:
            if error.code not in _NO_SUCH_FORMAT:
                raise
            yield SingleBlocks(service.name, ask)
            return
        if not response.headers.get("content-type", "").startswith(CAR):
            await stack.aclose()
            yield SingleBlocks(service.name, ask)
            return
        pieces = service.pieces(response)
        stack.push_async_callback(pieces.aclose)
        yield CarBlocks(service.name, pieces, ask)
