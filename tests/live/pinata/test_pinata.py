"""Pinata itself, for whoever has an account there: runs when JWT_TOKEN, or API_KEY and API_SECRET, are set.

It publishes three texts under the account, fetches them back, and unpins them. Settings may lead it to another server
of the same routes, such as the test double: SHOAL_PINATA_API_URL, SHOAL_PINATA_UPLOADS_URL, PINATA_GATEWAY.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from shoal.adapters.ipfs.cid import Cid
from shoal.adapters.ipfs.files import matches
from shoal.content import open_store
from shoal.errors import StorageError
from shoal.ports import ContentStore
from shoal.settings import Settings

WAIT_S = 120.0
"""Until a new upload can be fetched and is listed."""


@pytest.fixture
async def store(capsys: pytest.CaptureFixture[str]) -> AsyncIterator[ContentStore]:
    settings = Settings.load(flags={"ipfs_store": "pinata"})
    keys = (settings.pinata_jwt, settings.pinata_api_key)
    if not any(key.get_secret_value() for key in keys):
        why = "no account at Pinata: set JWT_TOKEN, or API_KEY and API_SECRET, and PINATA_GATEWAY"
        with capsys.disabled():
            print(f"\nskipped {__name__}: {why}")
        pytest.skip(why)
    async with open_store(settings) as opened:
        yield opened


@pytest.mark.timeout(900)
@pytest.mark.parametrize("size", [100, 3_000_000, 110_000_000])
async def test_a_file_goes_there_and_comes_back(store: ContentStore, tmp_path: Path, size: int) -> None:
    """As text, since Pinata takes binary files only by agreement. The last one is resumable, by a JWT."""
    path, out = tmp_path / f"shoal-live-{secrets.token_hex(4)}.txt", tmp_path / "out"
    path.write_text(secrets.token_hex(size // 2))
    pin = await store.add_file(path)
    try:
        with path.open("rb") as file:
            print(f"{size} bytes: {pin.cid}; recomputed here: {matches(file, Cid.parse(pin.cid))}")
        with trio.fail_after(WAIT_S):
            await _soon(lambda: store.fetch(pin.cid, out, max_bytes=size))
            assert out.read_bytes() == path.read_bytes()
            while pin.cid not in [each.cid for each in await store.pins(limit=20)]:  # noqa: ASYNC110 - nothing tells
                await trio.sleep(2.0)
    finally:
        await store.unpin(pin.cid)
    with pytest.raises(StorageError) as caught:
        await store.unpin(pin.cid)
    assert caught.value.code == "SHOAL-S27"


async def _soon(act) -> None:  # type: ignore[no-untyped-def]
    """A gateway may not know a file at once."""
    while True:
        try:
            await act()
            return
        except StorageError as error:
            if error.code not in ("SHOAL-S21", "SHOAL-S23"):
                raise
        await trio.sleep(2.0)
