"""Pinata: uploads whose CIDs are verified, fetching through a gateway, listing, pinning and unpinning."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self
from urllib.parse import urlsplit

import trio

from shoal.adapters.ipfs import files
from shoal.adapters.ipfs.cid import Cid
from shoal.adapters.ipfs.gateway import OF_CONTENT, TrustlessGateway
from shoal.adapters.ipfs.http import BrokenOff, Service, deadline
from shoal.adapters.ipfs.pinata_files import FORM_BYTES, FilesApi
from shoal.adapters.ipfs.pinata_pinning import PinningApi
from shoal.adapters.ipfs.refusals import bad_bytes, broken_off, too_large, unverified
from shoal.adapters.ipfs.tus import PIECE_BYTES
from shoal.core.limits import IPFS_PINS
from shoal.errors import ConfigError, CryptoError, StorageError
from shoal.ports import Pin, Progress
from shoal.seal import sha256_file

API_URL, UPLOADS_URL = "https://api.pinata.cloud", "https://uploads.pinata.cloud"
PUBLIC_GATEWAY = "https://gateway.pinata.cloud"
"""For trials only: 200 requests a minute. An account has a gateway of its own."""
_API_TIMEOUT_S = 300.0


class Pinata:
    """The `ContentStore` port over one Pinata account.

    >>> async with Pinata(jwt="...", gateway="fun-llama-300.mypinata.cloud") as pinata:  # doctest: +SKIP
    ...     pin = await pinata.add_file(Path("model.json"))
    ...     await pinata.fetch(pin.cid, Path("copy.json"), max_bytes=2**20)

    Args:
        jwt: the account's token; opens the files API (version 3).
        api_key, api_secret: instead of it; open the older pinning API, which knows public content only.
        gateway: the account's gateway, a host or URL; without one, Pinata's public gateway.
        gateway_key: for a gateway that asks for one.
        network: where uploads go, and what is listed. What is public can never be taken back.
        others: trustless gateways, for public content that Pinata's own gateway does not give, or not as blocks.
        notes: a directory where unfinished uploads are noted, to be gone on with.
        timeout_s: most that one upload or fetch may take.
    """

    def __init__(
        self,
        *,
        jwt: str = "",
        api_key: str = "",
        api_secret: str = "",
        gateway: str = "",
        gateway_key: str = "",
        network: Literal["public", "private"] = "public",
        others: Sequence[str] = (),
        notes: Path | None = None,
        timeout_s: float = 3_600.0,
        api_url: str = API_URL,
        uploads_url: str = UPLOADS_URL,
        form_bytes: int = FORM_BYTES,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        self._api: FilesApi | PinningApi
        if jwt:
            self._api = FilesApi(
                jwt=jwt,
                network=network,
                api_url=api_url,
                uploads_url=uploads_url,
                notes=notes,
                form_bytes=form_bytes,
                piece_bytes=piece_bytes,
            )
        else:
            _check_keys(api_key, api_secret, network)
            self._api = PinningApi(api_key=api_key, api_secret=api_secret, api_url=api_url)
        token = {"x-pinata-gateway-token": gateway_key} if gateway_key else {}
        self._gateway = Service(gateway or PUBLIC_GATEWAY, headers=token)
        self._blocks = TrustlessGateway([self._gateway.url], headers=token, timeout_s=timeout_s)
        self._others = None if network == "private" or not others else TrustlessGateway(others, timeout_s=timeout_s)
        self._timeout_s = timeout_s
        self._stack = AsyncExitStack()

    def __repr__(self) -> str:
        return f"Pinata({self._api.name!r})"

    async def __aenter__(self) -> Self:
        await self._api.open(self._stack)
        for each in (self._gateway, self._blocks, self._others):
            if each is not None:
                await self._stack.enter_async_context(each)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    # ------------------------------------------------------------ keeping

    async def add_file(self, path: Path, *, name: str = "", progress: Progress | None = None) -> Pin:
        """Upload a file; the CID that Pinata gives it is recomputed from the bytes here, or else its blocks are
        fetched and compared.

        Raises:
            UsageError: SHOAL-U21, it is not one file, or too large.
            StorageError: SHOAL-S20 to S26; S11, the local file.
            CryptoError: SHOAL-K20, Pinata keeps other bytes; K21, which bytes it keeps could not be found out.
        """
        size = files.upload_size(path)
        with deadline(self._timeout_s, self._api.name):
            pin = await self._api.upload(path, size, name or path.name, progress)
            await self._verify(path, size, Cid.parse(pin.cid))
        return pin

    async def add_bytes(self, data: bytes, *, name: str) -> Pin:
        """As `add_file`, for some bytes or a text's UTF-8."""
        with files.as_file(data) as path:
            return await self.add_file(path, name=name)

    async def pins(self, *, limit: int = IPFS_PINS) -> Sequence[Pin]:
        """Of this account's network and API, the newest first. Raises StorageError SHOAL-S20 to S26."""
        with deadline(_API_TIMEOUT_S, self._api.name):
            return [pin for _, pin in await self._api.list(min(limit, IPFS_PINS))]

    async def pin(self, cid: str, *, name: str = "") -> None:
        """Have Pinata look for public content and keep it; it is queued, and may take a day.

        Raises UsageError SHOAL-U20, U22; StorageError SHOAL-S20 to S26.
        """
        wanted = files.cid_of(cid)
        with deadline(_API_TIMEOUT_S, self._api.name):
            await self._api.pin(wanted, name)

    async def unpin(self, cid: str) -> None:
        """Raises UsageError SHOAL-U20; StorageError SHOAL-S20 to S27."""
        wanted = files.cid_of(cid)
        with deadline(_API_TIMEOUT_S, self._api.name):
            await self._api.unpin(wanted)

    # ------------------------------------------------------------ fetching

    async def fetch(self, cid: str, out: Path, *, max_bytes: int, progress: Progress | None = None) -> int:
        """Fetch through the gateway as a file, and recompute its CID; where that is in no known layout, by blocks.

        Raises:
            UsageError: SHOAL-U20, it is no CID.
            StorageError: SHOAL-S20 to S28; S11, the local file.
            CryptoError: SHOAL-K20, these are other bytes; K21, it could not be found out.
        """
        wanted = files.cid_of(cid)
        with deadline(self._timeout_s, self._gateway.name):
            for last in (False, False, True):
                try:
                    return await self._fetch_file(wanted, out, max_bytes, progress)
                except CryptoError:
                    break
                except StorageError as error:
                    if error.code != "SHOAL-S26" or last:
                        return await self._fetch_elsewhere(wanted, out, max_bytes, progress, error)
            return await self._fetch_blocks(wanted, out, max_bytes, progress)
        raise AssertionError("a deadline that passes raises")

    async def _fetch_elsewhere(
        self, cid: Cid, out: Path, max_bytes: int, progress: Progress | None, why: StorageError
    ) -> int:
        """From the other gateways: an account's own gives what the account keeps, and nothing else."""
        if self._others is None or why.code in OF_CONTENT:
            raise why
        try:
            return await self._others.fetch(str(cid), out, max_bytes=max_bytes, progress=progress)
        except StorageError as error:
            raise (error if error.code in OF_CONTENT else why) from None

    async def _fetch_file(self, cid: Cid, out: Path, max_bytes: int, progress: Progress | None) -> int:
        async with files.arriving(out) as file:
            size = await self._download(cid, file, max_bytes, progress)
            if not await trio.to_thread.run_sync(files.matches, file, cid):
                raise unverified(self._gateway.name, str(cid))
            return size

    async def _download(self, cid: Cid, file: BinaryIO, max_bytes: int, progress: Progress | None) -> int:
        async with self._gateway.stream(
            "GET", await self._path(cid), params={}, headers={"Accept": "*/*"}, about=str(cid)
        ) as response:
            announced = response.headers.get("content-length", "")
            total = int(announced) if announced.isdigit() and len(announced) < 20 else 0
            if total > max_bytes:
                raise too_large(str(cid), max_bytes)
            async with aclosing(self._gateway.pieces(response)) as pieces:
                try:
                    return await files.save(pieces, file, str(cid), max_bytes, progress, total)
                except BrokenOff as error:
                    raise broken_off(self._gateway.name, f"broke off ({error})") from None

    async def _path(self, cid: Cid) -> str:
        """Public content stands below /ipfs, private content behind a link that is signed for some minutes."""
        if not (isinstance(self._api, FilesApi) and self._api.private):
            return f"/ipfs/{cid}"
        link = await self._api.link(f"{self._gateway.url}/files/{cid}")
        parts, gateway = urlsplit(link), urlsplit(self._gateway.url)
        if parts.netloc != gateway.netloc:
            raise broken_off(self._api.name, "cannot begin: the link to a private file leads to another host")
        return link

    async def _fetch_blocks(self, cid: Cid, out: Path, max_bytes: int, progress: Progress | None) -> int:
        for gateway in (self._blocks, self._others):
            if gateway is None or self._api.private:
                continue
            try:
                return await gateway.fetch(str(cid), out, max_bytes=max_bytes, progress=progress)
            except StorageError as error:
                if error.code in OF_CONTENT:
                    raise
        raise unverified(self._gateway.name, str(cid))

    async def _verify(self, path: Path, size: int, cid: Cid) -> None:
        """Whether Pinata's CID names the bytes of this file."""
        if await files.is_file_of(path, cid):
            return
        with files.as_file(b"") as copy:
            beside = copy.with_name(f"{copy.name}-blocks")
            try:
                await self._fetch_blocks(cid, beside, size, None)
                if sha256_file(beside) != sha256_file(path):
                    raise bad_bytes(self._api.name, str(cid))
            except StorageError as error:
                if error.code in ("SHOAL-S24", "SHOAL-S28"):
                    raise bad_bytes(self._api.name, str(cid)) from None
                raise
            finally:
                beside.unlink(missing_ok=True)


def _check_keys(api_key: str, api_secret: str, network: str) -> None:
    if not api_key or not api_secret:
        raise ConfigError(
            "there is no key for Pinata", code="SHOAL-C01", hint="set JWT_TOKEN, or API_KEY and API_SECRET, in .env"
        )
    if network == "private":
        raise ConfigError(
            "private files need a JWT",
            code="SHOAL-C01",
            hint="set JWT_TOKEN; a key and secret open public content only",
        )
