"""Who may ask, for which host, how often and how much; and what browsers are told."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from trio.testing import MockClock

from shoal.api.guard import JSON_BYTES, SECURITY_HEADERS, Buckets
from shoal.api.routes_session import OPEN
from shoal.api.token import FILE, Token
from shoal.errors import ConfigError

from .desk import Desk, Served, api, served_in_a_thread


async def test_every_request_that_changes_something_and_every_private_one_needs_the_token(
    clock: MockClock, desk: Desk
) -> None:
    async with api(desk) as it:
        for app, client in ((it.app, it.http), (it.command_app, it.commands)):
            found = 0
            for path, methods in app.openapi()["paths"].items():
                for method, described in methods.items():
                    locked = bool(described.get("security"))
                    assert locked or method == "get" or path in OPEN, f"{method} {path} is open to all"
                    where = re.sub(r"\{.*?\}", "0" * 32, path)
                    for header in ({}, {"Authorization": "Bearer " + "x" * 43}, {"Authorization": f"Basic {it.token}"}):
                        if path.endswith("/events"):
                            continue
                        answer = await client.request(method, where, headers=header)
                        refused = answer.status_code == 401 and answer.json()["code"] == "SHOAL-U50"
                        assert refused == locked, (method, path, answer.text)
                        if locked:
                            found += 1
                            assert answer.headers["www-authenticate"] == "Bearer"
                            assert answer.json()["code"] == "SHOAL-U50"
            assert found >= 6


async def test_the_token_opens(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        answer = await it.http.get(f"/api/v1/quotes/{'0' * 32}", headers=it.authorised)
        assert (answer.status_code, answer.json()["code"]) == (404, "SHOAL-U55")


async def test_a_body_is_not_read_before_the_token_is_seen(clock: MockClock, desk: Desk) -> None:
    read = 0

    async def body() -> object:
        nonlocal read
        for _ in range(10):
            read += 1
            yield b"x" * 1000

    async with api(desk) as it:
        assert (await it.http.post("/api/v1/quotes", content=body())).status_code == 401  # type: ignore[arg-type]
    assert read == 0


def test_the_token_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    first, again = Token.load(tmp_path), Token.load(tmp_path)
    assert len(first.fresh) >= 43 and again.fresh == ""
    assert first.digest == again.digest and again.admits(f"Bearer {first.fresh}")
    assert not any(again.admits(header) for header in (None, "", "Bearer ", first.fresh, f"Basic {first.fresh}"))
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize(("mode", "text", "code"), [(0o644, "x" * 43, "SHOAL-C22"), (0o600, "short", "SHOAL-C27")])
def test_a_token_that_others_know_or_that_is_none_is_refused(tmp_path: Path, mode: int, text: str, code: str) -> None:
    (tmp_path / FILE).write_text(text)
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(ConfigError) as caught:
        Token.load(tmp_path)
    assert caught.value.code == code


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8420", "127.0.0.1.evil.example", "", "10.0.0.1", "["])
async def test_another_host_is_not_served(clock: MockClock, desk: Desk, host: str) -> None:
    async with api(desk) as it:
        answer = await it.http.get("/api/v1/tasks", headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (421, "SHOAL-U60")


async def test_loopback_names_and_those_of_the_settings_are_served(clock: MockClock, tmp_path: Path) -> None:
    async with api(Desk.make(tmp_path, api_hosts=("Node.example",))) as it:
        for host in ("localhost:1", "127.0.0.1", "[::1]:8420", "[::1]", "LOCALHOST", "node.example:443"):
            assert (await it.http.get("/healthz", headers={"Host": host})).status_code == 200, host


async def test_too_many_requests_are_told_when_to_come_back(clock: MockClock, tmp_path: Path) -> None:
    async with api(Desk.make(tmp_path, api_requests_per_minute=1)) as it:
        assert (await it.http.get("/healthz")).status_code == 200
        answer = await it.http.get("/healthz")
        assert (answer.status_code, answer.json()["code"]) == (429, "SHOAL-U51")
        assert 1 <= int(answer.headers["retry-after"]) <= 61


def test_a_bucket_fills_at_its_rate_and_each_address_has_its_own() -> None:
    now = 0.0
    buckets = Buckets(60, clock=lambda: now)
    assert [buckets.wait_s("a") for _ in range(60)] == [0.0] * 60
    assert buckets.wait_s("a") == pytest.approx(1.0)
    assert buckets.wait_s("b") == 0.0
    now = 1.0
    assert [buckets.wait_s("a") > 0 for _ in range(2)] == [False, True]


def test_a_large_request_is_refused_by_its_length_and_by_its_bytes(tmp_path: Path) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(JSON_BYTES // 1000 + 2):
            yield b" " * 1000

    with served_in_a_thread(tmp_path, api_upload_mib=1) as served:
        for path, content, key in (
            ("/api/v1/tasks", b"x" * (JSON_BYTES + 1), {}),
            ("/api/v1/tasks", body(), {}),
            ("/api/v1/tasks", body(), {"Idempotency-Key": "k"}),
            ("/api/v1/quotes", b"x" * (1024 * 1024 + 1), {}),
        ):
            headers = {"Content-Type": "application/json", **served.authorised, **key}
            answer = httpx.post(served.url + path, content=content, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (413, "SHOAL-U52"), path


async def test_only_listed_origins_may_read_from_a_page(clock: MockClock, tmp_path: Path) -> None:
    listed, other = "https://page.example", "https://evil.example"
    async with api(Desk.make(tmp_path, api_origins=(listed,))) as it:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        for origin, allowed in ((listed, True), (other, False)):
            answer = await it.http.get("/healthz", headers={"Origin": origin})
            assert (answer.headers.get("access-control-allow-origin") == origin) == allowed
            preflight = await it.http.options("/api/v1/tasks", headers={"Origin": origin, **asked})
            assert (preflight.status_code == 200) == allowed
        refused = await it.http.post("/api/v1/tasks", headers={"Origin": listed})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, listed)


async def test_without_a_list_no_origin_may(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        answer = await it.http.get("/healthz", headers={"Origin": "https://page.example"})
        assert "access-control-allow-origin" not in answer.headers


def test_every_answer_has_the_security_headers_and_none_the_token(served: Served) -> None:
    for path in ("/healthz", "/api/v1/tasks", "/api/nothing", "/api/v1/tasks/zz/result"):
        for headers in ({}, served.authorised):
            answer = httpx.get(served.url + path, headers=headers)
            assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS, path
            assert served.token not in answer.text and served.token not in str(answer.headers)
            assert "server" not in answer.headers
