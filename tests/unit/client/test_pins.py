"""Pins of a task: said in its log, once, whatever fails; and a way to the result when its slot is gone."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from tests.unit.roles.world import World
from tests.unit.sdk.desks import FakeDesk

from shoal.client import session
from shoal.client.pins import GRAPH, MANIFEST, RESULT, Pinner, beside, fetch_pinned
from shoal.client.result import fetch_result, goal_of
from shoal.core.task import State
from shoal.errors import CryptoError, StorageError
from shoal.ports import Pin, Progress

Clock = trio.testing.MockClock


class Service:
    """An IPFS service in memory; a CID is a hash here."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.added: list[str] = []
        self.trouble: Exception | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Service]:
        yield self

    async def add_file(self, path: Path, *, name: str = "", progress: Progress | None = None) -> Pin:
        return await self.add_bytes(path.read_bytes(), name=name)

    async def add_bytes(self, data: bytes, *, name: str) -> Pin:
        await trio.sleep(0.1)
        if self.trouble is not None:
            raise self.trouble
        cid = "bafk" + hashlib.sha256(data).hexdigest()
        self.held[cid] = data
        self.added.append(name)
        return Pin(cid, name)

    async def fetch(self, cid: str, out: Path, *, max_bytes: int, progress: Progress | None = None) -> int:
        if cid not in self.held:
            raise StorageError("the content is not there", code="SHOAL-S23")
        return out.write_bytes(self.held[cid])

    async def pins(self, *, limit: int = 10) -> Sequence[Pin]:
        return []

    async def pin(self, cid: str, *, name: str = "") -> None: ...

    async def unpin(self, cid: str) -> None: ...


def pinner_of(desk: FakeDesk, service: Service) -> Pinner:
    return Pinner(desk, service.open)  # type: ignore[arg-type]


async def until(tasklog: Any, condition: Any) -> State:
    assert await tasklog.wait_for(lambda me: condition(me.log), timeout_s=120)
    return tasklog.log  # type: ignore[no-any-return]


async def test_manifest_and_graph_are_pinned_and_said_in_the_log_once(tmp_path: Path, autojump_clock: Clock) -> None:
    w, service = World(tmp_path), Service()
    desk = FakeDesk(w)
    pinner = pinner_of(desk, service)
    document = tmp_path / "graph.json"
    document.write_bytes(b"{}")
    graph = await pinner.graph(document, "digits")
    pinner.wish(w.task, {GRAPH, MANIFEST, RESULT}, graph=graph)
    for _ in range(2):  # as after a crash
        async with session.following(desk, w.created, w.task) as tasklog:
            await tasklog.passed(await desk.ledger.watermark())
            await pinner.manifest_and_graph(tasklog)
            state = await until(tasklog, lambda state: len(state.pins) == 2)
    assert service.held[state.pins[GRAPH]] == b"{}"
    assert service.held[state.pins[MANIFEST]] == w.manifest.to_bytes()
    assert service.added == ["shoal graph digits", f"shoal manifest {w.task.hex()[:12]}"]
    assert pinner.wishes(state) == {RESULT}
    assert [entry.body["what"] for entry in w.entries("pin")] == [GRAPH, MANIFEST]


async def test_nothing_is_pinned_that_was_not_wanted(tmp_path: Path, autojump_clock: Clock) -> None:
    w, service = World(tmp_path), Service()
    desk = FakeDesk(w)
    async with session.following(desk, w.created, w.task) as tasklog:
        await pinner_of(desk, service).manifest_and_graph(tasklog)
    assert service.added == [] and w.entries("pin") == []


async def test_a_service_that_fails_after_the_escrow_is_paid_harms_nothing(
    tmp_path: Path, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    w, service = World(tmp_path), Service()
    desk = FakeDesk(w)
    pinner = pinner_of(desk, service)
    pinner.wish(w.task, {MANIFEST, RESULT})
    (tmp_path / "object").write_bytes(b"x")
    group = ExceptionGroup("nursery", [StorageError("busy", code="SHOAL-S22")])
    for trouble in (StorageError("no quota", code="SHOAL-S21"), group):
        service.trouble = trouble
        async with session.following(desk, w.created, w.task) as tasklog:
            with caplog.at_level(logging.WARNING):
                await pinner.manifest_and_graph(tasklog)
                assert await pinner.result(tasklog, tmp_path / "object") is None
    assert "is not pinned" in caplog.text and w.entries("pin") == []
    service.trouble = None
    async with session.following(desk, w.created, w.task) as tasklog:
        await pinner.manifest_and_graph(tasklog)
        await until(tasklog, lambda state: MANIFEST in state.pins)
    service.trouble = KeyError("a fault of ours")
    async with session.following(desk, w.created, w.task) as tasklog:
        with pytest.raises(KeyError):
            await pinner.result(tasklog, tmp_path / "object")


async def test_a_cid_that_a_crash_kept_from_the_log_is_said_without_pinning_again(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w, service = World(tmp_path), Service()
    desk = FakeDesk(w)
    pinner = pinner_of(desk, service)
    pinner.wish(w.task, {MANIFEST})
    pinner._note(w.task, MANIFEST, "bafkearlier")
    async with session.following(desk, w.created, w.task) as tasklog:
        await pinner.manifest_and_graph(tasklog)
        state = await until(tasklog, lambda state: state.pins)
    assert dict(state.pins) == {MANIFEST: "bafkearlier"} and service.added == []


async def test_what_is_beside_does_not_hold_up_the_work(autojump_clock: Clock) -> None:
    begun, worked = trio.current_time(), []

    async def work() -> None:
        await trio.sleep(1)
        worked.append(True)

    await beside(work, trio.sleep_forever)
    assert worked and trio.current_time() - begun < 60
    begun = trio.current_time()
    await beside(work, trio.lowlevel.checkpoint)
    assert trio.current_time() - begun < 2


# ---------------------------------------------------------------- the result


async def settled(tmp_path: Path) -> tuple[World, FakeDesk]:
    w = World(tmp_path).settled()
    w.ledger.skip(1)
    return w, FakeDesk(w)


async def test_a_result_whose_slot_is_gone_comes_from_ipfs(tmp_path: Path, autojump_clock: Clock) -> None:
    w, desk = await settled(tmp_path)
    service, out, kept = Service(), tmp_path / "weights", tmp_path / "object"
    pinner = pinner_of(desk, service)
    pinner.wish(w.task, {RESULT})
    own = session.own_way(desk, w.state())
    common: dict[str, Any] = {"keys": desk.keys, "transfer": desk.transfer, "out": out, "own": own}
    sha256 = await fetch_result(w.state(), **common, keep=kept)
    goal = goal_of(w.state())
    assert goal is not None and hashlib.sha256(kept.read_bytes()).digest() == goal.object
    async with session.following(desk, w.created, w.task) as tasklog:
        await tasklog.passed(await desk.ledger.watermark())
        cid = await pinner.result(tasklog, kept)
        state = tasklog.log
    assert state.pins == {RESULT: cid} and out.read_bytes() not in kept.read_bytes(), "only ciphertext is pinned"
    out.unlink()
    w.storage.objects.clear()

    async def pinned(*which: Any) -> None:
        await fetch_pinned(service.open, *which)  # type: ignore[arg-type]

    with pytest.raises(StorageError) as gone:
        await fetch_result(state, **common)
    assert await fetch_result(state, **common, pinned=pinned) == sha256 and out.exists()
    # What is pinned is compared like everything else; and where it is of no use, what the slot said is told.
    service.held[state.pins[RESULT]] = b"other bytes"
    out.unlink()
    with pytest.raises(StorageError) as told:
        await fetch_result(state, **common, pinned=pinned)
    assert told.value.code == gone.value.code
    with pytest.raises(CryptoError) as other:
        await fetch_pinned(service.open, state, goal, out)  # type: ignore[arg-type]
    assert other.value.code == "SHOAL-K02" and not out.exists()
