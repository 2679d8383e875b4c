"""A run: all of its story, then its report or why there is none; left once its trainers do without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import trio
import trio.testing
from tests.unit.roles.world import World
from torch import nn

from shoal.client.prepare import examine
from shoal.client.source import Source
from shoal.core import calls
from shoal.core.task import Phase, State
from shoal.errors import StorageError, UsageError
from shoal.learn import update
from shoal.sdk.run import Run, read_weights

from .desks import FakeDesk, opened, report_of

Clock = trio.testing.MockClock


async def give(state: State) -> Any:
    return report_of(state)


async def fail(state: State) -> Any:
    raise StorageError("gone", code="SHOAL-S05")


async def never(state: State) -> Any:
    raise AssertionError("there is nothing to fetch")


def settled(tmp_path: Path) -> World:
    w = World(tmp_path).settled()
    for index in range(3):
        w.claim(index)
    return w


async def test_all_is_told_and_then_the_report_is_there(tmp_path: Path, autojump_clock: Clock) -> None:
    w = settled(tmp_path)
    run = Run(FakeDesk(w), w.created, give)
    with pytest.raises(AssertionError):
        _ = run.phase  # before its log
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.drive)
        await run.began.wait()
        told = [event.kind async for event in run.watch()]
    assert told[0] == "created" and told.count("round") == w.plan.rounds and told.count("paid") == 3
    assert await run.wait() == run.report == report_of(w.state())
    assert (run.phase, run.round, run.rounds, run.task_id) == ("settled", 2, 2, w.task.hex())
    assert run.history == [{"round": n, "loss": 0.5, "metric": 0.5} for n in (1, 2)]
    assert run.money["refunded_tinybar"] + run.money["paid_tinybar"] == run.money["escrow_tinybar"]
    assert [event.kind for event in run.events] == told
    assert [event.kind async for event in run.watch(len(told) - 1)] == ["paid"]


async def test_what_went_wrong_is_told_to_everyone_who_waits(tmp_path: Path, autojump_clock: Clock) -> None:
    w = settled(tmp_path)
    run = Run(FakeDesk(w), w.created, fail)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.drive)
        kinds = []
        with pytest.raises(StorageError):
            async for event in run.watch():
                kinds.append(event.kind)
        assert kinds.count("paid") == 3
        for ask in (run.wait, run.weights, run.detach):
            with pytest.raises(StorageError):
                await ask()
        with pytest.raises(StorageError):
            _ = run.report


async def test_the_client_goes_on_where_it_was_and_may_leave_after_the_start(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).enveloped()
    run = Run(FakeDesk(w), w.created, never)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.drive)
        await run.began.wait()
        with pytest.raises(UsageError) as early:
            _ = run.report
        assert early.value.code == "SHOAL-U40"
        with trio.move_on_after(5) as patience:
            await run.detach()
        assert patience.cancelled_caught, "nobody is ready: without the client it would never start"
        w.ready()
        await run.detach()
    assert w.state().phase is Phase.RUNNING and len(w.ledger.calls_of(calls.Start)) == 1
    assert [event.kind async for event in run.watch()][-1] == "started"
    with pytest.raises(UsageError) as left:
        await run.wait()
    assert left.value.code == "SHOAL-U40" and "left" in left.value.message


async def test_a_network_that_closes_ends_its_runs(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).enveloped()
    async with opened(FakeDesk(w)) as net:
        run = await net.get(w.task.hex())
    with pytest.raises(UsageError) as closed:
        await run.wait()
    assert closed.value.code == "SHOAL-U41"
    with pytest.raises(UsageError):
        _ = [event async for event in run.watch()]


async def test_the_log_of_another_account_is_only_read(tmp_path: Path, autojump_clock: Clock) -> None:
    w = settled(tmp_path)
    before = len(w.ledger.calls)
    run = Run(FakeDesk(w, "trainer-1"), w.created, never)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.drive)
        assert [event.kind async for event in run.watch()].count("paid") == 3
    with pytest.raises(UsageError) as error:
        await run.wait()
    assert error.value.code == "SHOAL-U08"
    assert len(w.ledger.calls) == before


async def test_one_run_for_each_task_until_it_is_left(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).enveloped()
    async with opened(FakeDesk(w)) as net:
        run = await net.get(w.task.hex()[:10])
        assert await net.get(w.task.hex()) is run
        w.ready()
        await run.detach()
        again = await net.get(w.task.hex())
        assert again is not run and again.phase == "running"


def test_weights_fit_the_module_again_tied_ones_too(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(torch.relu(self.first(x)))

    module, x = Tied(), torch.randn(60, 4)
    examined = examine(Source(module, (x, x[:, 0] > 0)), {})
    (tmp_path / "graph.json").write_bytes(examined.exported.document)
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    update.write_state(tmp_path / "w.safetensors", {n: t for n, t in state.items() if n != "second.weight"})
    with torch.no_grad():
        module.first.weight.zero_()
    module.load_state_dict(read_weights(tmp_path / "w.safetensors", tmp_path / "graph.json"))
    assert torch.equal(module.first.weight, state["first.weight"])
