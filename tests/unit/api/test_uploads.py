"""Uploads: resumable, each its owner's own, within quotas, and removed when nobody needs them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from trio.testing import MockClock

from shoal.api.access import Caller
from shoal.api.uploads import DAY_S, PART_BYTES, Quota, Uploads
from shoal.core.ids import Address
from shoal.core.limits import MIB
from shoal.errors import UsageError

from ..roles.fakes import FakeStorage
from .desk import Api, Desk, api
from .users import User

ALICE, BOB = (Caller("user", f"0.0.{n}", Address(bytes([n]) * 20)) for n in (7, 8))


def wish(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def put(storage: FakeStorage, url: str, data: bytes) -> None:
    """As a browser does, whole or a part."""
    parts = urlsplit(url)
    fields = {name: value[0] for name, value in parse_qs(parts.query).items()}
    assert int(fields["size"]) == len(data)
    key = parts.path.removeprefix("/")
    if fields["method"] == "PUT":
        storage.objects[key] = data
    else:
        storage.under_way[key][int(fields["method"].removeprefix("PART"))] = data


def uploaded(desk: Desk) -> dict[str, bytes]:
    """What lies there beside the objects of the world's own task."""
    return {key: data for key, data in desk.world.storage.objects.items() if key.startswith("uploads/")}


async def ask(it: Api, header: dict[str, str], method: str, path: str, status: int, **body: Any) -> Any:
    more = {"json": body} if body else {}
    answer = await it.http.request(method, f"/api/v1{path}", headers=header, **more)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def test_one_piece_is_found_again_and_completed(clock: MockClock, desk: Desk) -> None:
    data = os.urandom(1_000)
    async with api(desk) as it:
        made = await ask(it, it.authorised, "POST", "/chunks", 201, **wish(data))
        assert made["state"] == "open" and made["parts"] == [] and desk.world.storage.origins
        missing = await ask(it, it.authorised, "POST", f"/chunks/{made['upload_id']}/complete", 409)
        assert missing["code"] == "SHOAL-U89"
    async with api(desk) as it:  # the page is loaded again, and the node was started anew
        again = await ask(it, it.authorised, "POST", "/chunks", 200, **wish(data))
        assert again["upload_id"] == made["upload_id"]
        put(desk.world.storage, again["put_url"], data)
        done = await ask(it, it.authorised, "POST", f"/chunks/{made['upload_id']}/complete", 200)
        assert done["state"] == "complete" and done["put_url"] is None
        assert [row["state"] for row in (await ask(it, it.authorised, "GET", "/chunks", 200))["items"]] == ["complete"]
        await ask(it, it.authorised, "DELETE", f"/chunks/{made['upload_id']}", 204)
        assert not uploaded(desk)
        await ask(it, it.authorised, "GET", f"/chunks/{made['upload_id']}", 404)


async def test_a_large_one_resumes_after_the_parts_that_have_arrived(clock: MockClock, desk: Desk) -> None:
    data = os.urandom(PART_BYTES + 5)
    async with api(desk) as it:
        made = await ask(it, it.authorised, "POST", "/chunks", 201, **wish(data))
        assert made["put_url"] is None and [part["bytes"] for part in made["parts"]] == [PART_BYTES, 5]
        put(desk.world.storage, made["parts"][1]["put_url"], data[PART_BYTES:])
        path = f"/chunks/{made['upload_id']}"
        seen = await ask(it, it.authorised, "GET", path, 200)
        assert [(part["done"], part["put_url"] is None) for part in seen["parts"]] == [(False, False), (True, True)]
        await ask(it, it.authorised, "POST", f"{path}/complete", 409)
        put(desk.world.storage, seen["parts"][0]["put_url"], data[:PART_BYTES])
        done = await ask(it, it.authorised, "POST", f"{path}/complete", 200)
        assert done["state"] == "complete" and list(uploaded(desk).values()) == [data]
        assert await ask(it, it.authorised, "POST", f"{path}/complete", 200)


async def test_each_users_uploads_are_its_own(clock: MockClock, tmp_path: Path) -> None:
    data = b"the same bytes"
    async with api(Desk.make(tmp_path, gateway=True)) as it:
        alice, bob = await User.make("0.0.7").sign_in(it), await User.make("0.0.8").sign_in(it)
        made = await ask(it, alice, "POST", "/chunks", 201, **wish(data))
        path = f"/chunks/{made['upload_id']}"
        for method, where in (("GET", path), ("POST", f"{path}/complete"), ("DELETE", path)):
            assert (await ask(it, bob, method, where, 404))["code"] == "SHOAL-U88"
        other = await ask(it, bob, "POST", "/chunks", 201, **wish(data))
        assert urlsplit(other["put_url"]).path != urlsplit(made["put_url"]).path, "no object is shared"
        await ask(it, bob, "DELETE", path, 204)
        await ask(it, alice, "GET", path, 200)
        assert (await ask(it, bob, "GET", "/chunks", 200))["items"] == []
        await ask(it, {}, "GET", "/chunks", 401)


async def test_quotas_are_each_users_and_a_day_passes(clock: MockClock, desk: Desk) -> None:
    now = [10.0 * DAY_S]
    quota = Quota(bytes_per_day=100, bytes_kept=150, objects=3, upload_life_s=10 * DAY_S)
    it = Uploads(desk, origins=(), quota=quota, clock=lambda: now[0])

    async def begin(caller: Caller, size: int, what: int = 0) -> str:
        try:
            return (await it.begin(caller, f"{what:064x}", size))[0].record.id
        except UsageError as error:
            return error.code

    first = await begin(ALICE, 60)
    assert await begin(ALICE, 60) == first, "the same again costs nothing"
    assert await begin(ALICE, 50) == "SHOAL-U87"
    assert len(await begin(BOB, 100)) == 32
    now[0] += DAY_S
    assert len(await begin(ALICE, 90)) == 32, "another day"
    now[0] += DAY_S
    assert await begin(ALICE, 1, what=1) == "SHOAL-U87", "all that is kept counts"
    await it.forget(ALICE, first)
    assert len(await begin(ALICE, 1, what=1)) == len(await begin(ALICE, 1, what=2)) == 32
    assert await begin(ALICE, 1, what=3) == "SHOAL-U87", "three objects"
    operator = Caller("operator", "0.0.5", Address(bytes(20)))
    assert len(await begin(operator, 5 * MIB)) == 32


async def test_what_nobody_needs_is_removed_and_what_a_task_needs_stays(clock: MockClock, desk: Desk) -> None:
    now = [1_000.0]
    quota = Quota(10**6, 10**6, 10, upload_life_s=100)
    it = Uploads(desk, origins=(), quota=quota, clock=lambda: now[0])
    storage = desk.world.storage
    for number in range(2):
        shown, _ = await it.begin(ALICE, f"{number:064x}", 3)
        put(storage, shown.put_url, b"abc")
    kept = await it.held(ALICE.name, bytes(31) + b"\x01", 3)
    assert kept is not None and await it.held(BOB.name, bytes(31) + b"\x01", 3) is None
    it.bind(ALICE.name, [kept], now[0] + 1_000)
    now[0] += 101
    await it.sweep()
    assert list(uploaded(desk)) == [kept.key]
    with pytest.raises(UsageError) as caught:
        await it.forget(ALICE, kept.id)
    assert caught.value.code == "SHOAL-U90"
    now[0] += 1_000
    await it.sweep()
    assert not uploaded(desk) and not it.all(ALICE)
