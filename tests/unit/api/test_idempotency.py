"""A POST with a key takes effect once, whatever is repeated, restarted or cut off."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shoal.api.idempotency import ANSWER_BYTES, KEPT, KEPT_S, TABLE, Idempotency

from ..roles.fakes import MemoryStore


class Counter:
    """An application that counts how often it is asked, and answers with what it was sent."""

    def __init__(self) -> None:
        self.calls = 0
        self.statuses: list[int] = []
        self.size = 0

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        self.calls += 1
        await trio.sleep(0.2)
        status = self.statuses.pop(0) if self.statuses else 201
        answer = {"call": self.calls, "bytes": len(body), "more": "x" * self.size}
        return JSONResponse(answer, status, headers={"Location": "/here"})


class Scene:
    def __init__(self) -> None:
        self.counter, self.store, self.now_s = Counter(), MemoryStore(), 1000.0

    def client(self) -> httpx.AsyncClient:
        """As after a restart: a new application over the same store."""
        routes = [Route(path, self.counter.answer, methods=["POST"]) for path in ("/a", "/b")]
        app = Idempotency(Starlette(routes=routes), self.store, clock=lambda: self.now_s)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x", timeout=None)

    async def post(self, body: Any = b"one", *, path: str = "/a", key: str | None = "k", **more: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key is not None else {}
        async with self.client() as client:
            if isinstance(body, bytes):
                more["content"] = body
            return await client.post(path, headers=headers, **more)


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_the_same_request_gets_the_first_answer_also_after_a_restart(scene: Scene) -> None:
    first, again = await scene.post(), await scene.post()
    assert (again.status_code, again.json(), again.headers["location"]) == (201, first.json(), "/here")
    assert "idempotent-replayed" not in first.headers and again.headers["idempotent-replayed"] == "true"
    assert scene.counter.calls == 1


async def test_without_a_key_and_with_another_one_it_is_done_again(scene: Scene) -> None:
    for key in (None, None, "a", "b"):
        await scene.post(key=key)
    assert scene.counter.calls == 4


@pytest.mark.parametrize("change", [{"body": b"two"}, {"path": "/b"}, {"params": {"q": "1"}}])
async def test_another_request_under_the_same_key_is_refused(scene: Scene, change: dict[str, Any]) -> None:
    await scene.post()
    answer = await scene.post(**change)
    assert (answer.status_code, answer.json()["code"]) == (409, "SHOAL-U53")
    assert scene.counter.calls == 1


async def test_a_form_sent_again_has_another_boundary_and_is_the_same(scene: Scene) -> None:
    bytes_of_it = b"\r\n--".join([b"PK\x03\x04" * 40_000] * 3)
    for _ in range(2):
        answer = await scene.post(None, files={"archive": ("a.zip", bytes_of_it)}, data={"rounds": "3"})
        assert answer.status_code == 201
    assert scene.counter.calls == 1
    other = await scene.post(None, files={"archive": ("a.zip", bytes_of_it + b"!")}, data={"rounds": "3"})
    assert other.status_code == 409


async def test_two_at_once_are_one(scene: Scene) -> None:
    answers: list[httpx.Response] = []

    async def one(client: httpx.AsyncClient) -> None:
        answers.append(await client.post("/a", content=b"one", headers={"Idempotency-Key": "k"}))

    async with scene.client() as client, trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(one, client)
    assert scene.counter.calls == 1 and len({answer.text for answer in answers}) == 1


@pytest.mark.parametrize("status", [500, 503, 401, 429])
async def test_what_failed_on_our_side_may_be_tried_again(scene: Scene, status: int) -> None:
    scene.counter.statuses = [status]
    assert [(await scene.post()).status_code for _ in range(3)] == [status, 201, 201]
    assert scene.counter.calls == 2


async def test_a_refusal_is_an_answer(scene: Scene) -> None:
    scene.counter.statuses = [422]
    assert [(await scene.post()).status_code for _ in range(2)] == [422, 422]


async def test_a_long_answer_is_passed_on_and_not_kept(scene: Scene) -> None:
    scene.counter.size = ANSWER_BYTES
    assert len((await scene.post()).content) > ANSWER_BYTES
    assert scene.store.items(TABLE) == []


async def test_after_a_day_a_key_is_new_and_old_answers_go(scene: Scene) -> None:
    await scene.post()
    scene.now_s += KEPT_S + 1
    await scene.post(key="another")
    assert len(scene.store.items(TABLE)) == 1
    await scene.post(b"two")
    assert scene.counter.calls == 3


async def test_no_more_than_so_many_answers_are_kept(scene: Scene) -> None:
    for index in range(KEPT):
        scene.store.put(TABLE, f"{index:04d}", b'{"at": %d}' % index)
    scene.now_s = float(KEPT)
    await scene.post()
    kept = [key for key, _ in scene.store.items(TABLE)]
    assert len(kept) == KEPT and "0000" not in kept and "0001" in kept


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é"])
async def test_a_key_that_is_none_is_refused(scene: Scene, key: str) -> None:
    async with scene.client() as client:
        answer = await client.post("/a", headers=[(b"Idempotency-Key", key.encode())])
    assert (answer.status_code, answer.json()["code"]) == (422, "SHOAL-U54")
    assert scene.counter.calls == 0
