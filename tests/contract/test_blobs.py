"""The `Blobs` port against a real S3 server: what a URL allows, and nothing beyond it."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from shoal.adapters.s3 import S3Blobs
from shoal.adapters.transfer import HttpTransfer
from shoal.errors import ConfigError, StorageError

MIB = 1024 * 1024


@pytest.fixture
def key() -> str:
    return f"tasks/{secrets.token_hex(8)}/slot/u/1/0/3"


def file(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size))
    return path


async def answer(method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> int:
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=60) as client:
        response = await client.request(method, url, content=body or None, headers=headers)
        return response.status_code


async def refusal(blobs: S3Blobs) -> StorageError:
    with trio.fail_after(60), pytest.raises(StorageError) as caught:
        await blobs.ensure_bucket()
    assert caught.value.hint
    assert caught.value.money == "nothing was spent"
    return caught.value


# ---------------------------------------------------------------- put and get


@pytest.mark.parametrize("size", [1, 1_000, 9 * MIB])
async def test_put_then_get(blobs: S3Blobs, transfer: HttpTransfer, key: str, tmp_path: Path, size: int) -> None:
    source, out = file(tmp_path / "source", size), tmp_path / "out"
    await blobs.put(key, source)
    digest = hashlib.sha256(source.read_bytes()).digest()
    url = blobs.presign_get(key, expires_s=60)
    await transfer.download(url, out, sha256=digest, max_bytes=size, timeout_s=60)
    assert out.read_bytes() == source.read_bytes()


async def test_put_replaces_what_was_there(blobs: S3Blobs, key: str, tmp_path: Path) -> None:
    """A client that was killed uploads its bundle again."""
    await blobs.put(key, file(tmp_path / "one", 1_000))
    two = file(tmp_path / "two", 900)
    await blobs.put(key, two)
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=60) as client:
        assert (await client.get(blobs.presign_get(key, expires_s=60))).content == two.read_bytes()


async def test_what_is_deleted_is_gone_and_deleting_it_again_is_no_error(
    blobs: S3Blobs, key: str, tmp_path: Path
) -> None:
    await blobs.put(key, file(tmp_path / "one", 1_000))
    await blobs.delete(key)
    assert await answer("GET", blobs.presign_get(key, expires_s=60)) == 404
    await blobs.delete(key)


async def test_the_bucket_is_made_once_by_many(store: Any, transfer: HttpTransfer) -> None:
    makers = [store.blobs(transfer, bucket="raced") for _ in range(4)]
    async with trio.open_nursery() as nursery:
        for maker in makers:
            nursery.start_soon(maker.ensure_bucket)
    await makers[0].ensure_bucket()


# ---------------------------------------------------------------- what a slot takes


async def test_a_slot_takes_exactly_its_size(blobs: S3Blobs, key: str) -> None:
    url = blobs.presign_put(key, size_bytes=100, expires_s=60)
    header = {"If-None-Match": "*"}
    assert await answer("PUT", url, bytes(99), header) == 403
    assert await answer("PUT", url, bytes(101), header) == 403
    assert await answer("PUT", url, bytes(100), header) == 200


async def test_a_slot_takes_one_object_only(blobs: S3Blobs, transfer: HttpTransfer, key: str, tmp_path: Path) -> None:
    url = blobs.presign_put(key, size_bytes=100, expires_s=60)
    one, two = file(tmp_path / "one", 100), file(tmp_path / "two", 100)
    await transfer.upload(url, one, timeout_s=30)
    await transfer.upload(url, one, timeout_s=30)  # a retry is a success
    assert await answer("PUT", url, two.read_bytes(), {"If-None-Match": "*"}) == 412
    assert await answer("PUT", url, two.read_bytes()) == 403, "the condition cannot be left out"
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=60) as client:
        assert (await client.get(blobs.presign_get(key, expires_s=60))).content == one.read_bytes()


async def test_of_many_writers_at_once_one_wins(blobs: S3Blobs, key: str) -> None:
    url = blobs.presign_put(key, size_bytes=50_000, expires_s=60)
    answers: list[int] = []

    async def write() -> None:
        answers.append(await answer("PUT", url, os.urandom(50_000), {"If-None-Match": "*"}))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(write)
    assert answers.count(200) == 1
    assert set(answers) == {200, 412}


async def test_a_slot_of_a_store_without_conditions(
    store: Any, blobs: S3Blobs, transfer: HttpTransfer, key: str
) -> None:
    url = store.blobs(transfer, write_once=False).presign_put(key, size_bytes=3, expires_s=60)
    assert "if-none-match" not in url
    assert await answer("PUT", url, b"one") == 200
    assert await answer("PUT", url, b"two") == 200


async def test_a_url_serves_nothing_else(blobs: S3Blobs, transfer: HttpTransfer, key: str, tmp_path: Path) -> None:
    await blobs.put(key, file(tmp_path / "source", 100))
    get = blobs.presign_get(key, expires_s=60)
    put = blobs.presign_put(key, size_bytes=100, expires_s=60)
    tampered = {
        "signature": ("GET", re.sub(r"Signature=.{4}", "Signature=0000", get)),
        "expiry": ("GET", get.replace("X-Amz-Expires=60", "X-Amz-Expires=600")),
        "key": ("GET", get.replace("/slot/", "/slots/")),
        "method": ("PUT", get),
        "delete": ("DELETE", get),
        "read of a write": ("GET", put),
        "no signature": ("GET", get.split("?")[0]),
        "listing": ("GET", get.split("/tasks/")[0]),
    }
    for what, (method, url) in tampered.items():
        assert await answer(method, url) in (400, 403), what
    assert await answer("GET", get) == 200


async def test_a_url_expires(blobs: S3Blobs, transfer: HttpTransfer, key: str, tmp_path: Path) -> None:
    await blobs.put(key, file(tmp_path / "source", 100))
    url = blobs.presign_get(key, expires_s=1)
    put = blobs.presign_put(f"{key}-new", size_bytes=100, expires_s=1)
    await trio.sleep(2.1)
    with pytest.raises(StorageError) as caught:
        await transfer.download(url, tmp_path / "out", sha256=None, max_bytes=100, timeout_s=30)
    assert caught.value.code == "SHOAL-S03"
    with pytest.raises(StorageError) as caught:
        await transfer.upload(put, tmp_path / "source", timeout_s=30)
    assert caught.value.code == "SHOAL-S03"


async def test_no_url_lives_longer_than_a_week(blobs: S3Blobs, key: str, tmp_path: Path) -> None:
    await blobs.put(key, file(tmp_path / "source", 100))
    url = blobs.presign_get(key, expires_s=30 * 24 * 3600)
    assert "X-Amz-Expires=604800&" in url
    assert await answer("GET", url) == 200, "a store refuses more than a week"


# ---------------------------------------------------------------- presigning


def test_presigning_needs_no_network(store: Any) -> None:
    blobs = store.blobs(None, endpoint="https://o3.invalid")
    assert blobs.presign_get("tasks/a/chunk-0", expires_s=60).startswith("https://o3.invalid/contract/tasks/a/chunk-0?")


def test_what_a_slot_url_signs(store: Any) -> None:
    url = store.blobs(None).presign_put("k", size_bytes=1, expires_s=60)
    assert httpx.URL(url).params["X-Amz-SignedHeaders"] == "content-length;host;if-none-match"
    assert "checksum" not in url.lower(), "Akave refuses it"


@pytest.mark.parametrize("key", ["", "a b", "a\n", "ü", "a?b", "a%20b", "a#b"])
def test_keys_are_safe_characters(store: Any, key: str) -> None:
    with pytest.raises(ValueError, match="safe"):
        store.blobs(None).presign_get(key, expires_s=60)


def test_no_secret_is_shown(store: Any, caplog: pytest.LogCaptureFixture) -> None:
    blobs = store.blobs(None)
    with caplog.at_level(logging.DEBUG):
        url = blobs.presign_get("k", expires_s=60)
    signature = url.split("X-Amz-Signature=")[1]
    for text in (repr(blobs), caplog.text):
        assert store.secret_key not in text
        assert store.access_key not in text
        assert signature not in text


# ---------------------------------------------------------------- refusals


async def test_unreachable(store: Any, transfer: HttpTransfer) -> None:
    error = await refusal(store.blobs(transfer, endpoint="http://127.0.0.1:9"))
    assert error.code == "SHOAL-S01"


async def test_wrong_credentials(store: Any, transfer: HttpTransfer) -> None:
    assert (await refusal(store.blobs(transfer, secret_key="wrong"))).code == "SHOAL-S02"
    error = await refusal(store.blobs(transfer, access_key="NOBODY"))
    assert error.code == "SHOAL-S02"
    assert store.secret_key not in f"{error}{error.hint}"


async def test_a_bucket_that_cannot_be(store: Any, transfer: HttpTransfer) -> None:
    assert (await refusal(store.blobs(transfer, bucket="No_Good"))).code == "SHOAL-S04"


async def test_no_such_bucket(store: Any, transfer: HttpTransfer, key: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        await store.blobs(transfer, bucket="never-made").put(key, file(tmp_path / "source", 100))
    assert caught.value.code == "SHOAL-S04"
    assert caught.value.money == "", "whether anything was spent is not known here"


async def test_put_with_wrong_credentials(store: Any, transfer: HttpTransfer, key: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        await store.blobs(transfer, secret_key="wrong").put(key, file(tmp_path / "source", 100))
    assert caught.value.code == "SHOAL-S03"


async def test_an_endpoint_that_is_none(store: Any, transfer: HttpTransfer) -> None:
    with pytest.raises(ConfigError) as caught:
        await store.blobs(transfer, endpoint="o3.example").ensure_bucket()
    assert caught.value.code == "SHOAL-C02"
