"""The same objects without trio: in a plain program and on asyncio, with a real thread between."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.unit.roles.fakes import START_NS, FakeLedger
from tests.unit.roles.world import World

from shoal.core.task import State
from shoal.errors import MarketError, ProcessError, UsageError
from shoal.sdk import aio, blocking
from shoal.sdk import net as inner

from .desks import FakeDesk, report_of
from .desks import opened as open_desk

Opener = Callable[[], AbstractAsyncContextManager[inner.Net]]


@pytest.fixture
def opener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opener:
    """A network on which one task is all but paid out."""

    async def collected(desk: Any, state: State, out: Path, **options: Any) -> Any:
        out.write_bytes(b"weights")
        return report_of(state, out)

    monkeypatch.setattr(inner, "collect", collected)
    began_s = time.monotonic()

    def now_ns(self: FakeLedger) -> int:
        """The world of fakes begins with its clock at zero; a real one is anywhere."""
        return START_NS + self._skipped_ns + int((time.monotonic() - began_s) * 10**9)

    monkeypatch.setattr(FakeLedger, "now_ns", now_ns)

    @asynccontextmanager
    async def opened() -> AsyncIterator[inner.Net]:
        w = World(Path(tempfile.mkdtemp(dir=tmp_path)) / "world").settled()
        for index in range(3):
            w.claim(index)
        async with open_desk(FakeDesk(w)) as net:
            yield net

    return opened


@asynccontextmanager
async def broken() -> AsyncIterator[inner.Net]:
    raise ProcessError("devnet died", code="SHOAL-P01")
    yield


def only_task(net: blocking.Net) -> str:
    [row] = net.tasks()
    return str(row["task_id"])


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name == "shoal"}


def test_a_plain_program(opener: Opener, tmp_path: Path) -> None:
    with blocking.Net(opener) as net:
        run = net.get(only_task(net))
        kinds = [event.kind for event in run.watch()]
        assert kinds[0] == "created" and kinds.count("paid") == 3
        assert run.wait() == run.report
        assert run.save(tmp_path / "mine.safetensors").read_bytes() == b"weights"
        assert run.phase == "settled" and "settled" in run._repr_html_() and "settled" in repr(run)
        with pytest.raises(UsageError) as error:
            run.save(tmp_path / "nowhere" / "w")
        assert error.value.code == "SHOAL-U15"
        with pytest.raises(MarketError):
            net.get("ff" * 32)
        with pytest.raises(UsageError) as consent:
            net.train(tmp_path)
        assert consent.value.code == "SHOAL-U07"
    assert threads() == set()
    net.close()  # again
    for late in (net.tasks, run.wait):
        with pytest.raises(UsageError) as closed:
            late()
        assert closed.value.code == "SHOAL-U41"
    assert run.report.test_metric == 0.9, "what is known stays known"


def test_a_network_that_does_not_open_leaves_no_thread() -> None:
    with pytest.raises(ProcessError):
        blocking.Net(broken)
    assert threads() == set()


def test_a_network_that_breaks_is_why_its_runs_end(opener: Opener) -> None:
    @asynccontextmanager
    async def breaking() -> AsyncIterator[inner.Net]:
        async def die() -> None:
            await trio.sleep(0.5)
            raise ProcessError("devnet died", code="SHOAL-P01")

        with inner.unwrapped():
            async with trio.open_nursery() as nursery, opener() as net:
                nursery.start_soon(die)
                yield net

    with pytest.raises(ProcessError):
        with blocking.Net(breaking) as net:
            run = net.get(only_task(net))
            run.event(10_000)
            threading.Event().wait(1)
            net.tasks()
    with pytest.raises(ZeroDivisionError):
        with blocking.Net(breaking) as net:
            threading.Event().wait(1)
            _ = 1 / 0
    assert threads() == set()


def test_ctrl_c_ends_the_waiting_and_the_work(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    async def endless(self: inner.Net, task_id: str) -> Any:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    with pytest.raises(KeyboardInterrupt):
        with blocking.Net(opener) as net:
            timer = threading.Timer(0.3, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
            timer.start()
            monkeypatch.setattr(inner.Net, "get", endless)
            net.get("anything")
    timer.join()
    assert ended.wait(5) and threads() == set()


def test_an_asyncio_program(opener: Opener, tmp_path: Path) -> None:
    async def main() -> None:
        async with aio._opened(opener) as net:
            [row] = await net.tasks()
            run = await net.get(row["task_id"])
            others = asyncio.create_task(asyncio.sleep(0.01))
            kinds = [event.kind async for event in run.watch()]
            assert others.done(), "the loop goes on meanwhile"
            assert kinds[0] == "created" and kinds.count("paid") == 3
            assert await run.wait() == run.report
            assert (await run.save(tmp_path / "w")).read_bytes() == b"weights"
            with pytest.raises(MarketError):
                await net.get("ff" * 32)
        with pytest.raises(UsageError) as closed:
            await net.tasks()
        assert closed.value.code == "SHOAL-U41"
        with pytest.raises(ProcessError):
            async with aio._opened(broken):
                pass
        with pytest.raises(ZeroDivisionError):
            async with aio._opened(opener_again):
                _ = 1 / 0

    @asynccontextmanager
    async def opener_again() -> AsyncIterator[inner.Net]:
        async with open_desk(FakeDesk(World(tmp_path / "again"))) as net:
            yield net

    asyncio.run(main())
    assert threads() == set()


def test_cancelling_on_asyncio_cancels_the_work(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    async def endless(self: inner.Net, task_id: str) -> Any:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async def main() -> None:
        async with aio._opened(opener) as net:
            monkeypatch.setattr(inner.Net, "get", endless)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(net.get("anything"), 0.3)
            assert await asyncio.to_thread(ended.wait, 5)
            assert await net.tasks()

    asyncio.run(main())
