"""The `Engine` port: jobs behind the walls give exactly what the library gives, and no mishap ends the engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import trio
from torch import nn

from shoal.adapters.engine import SandboxedEngine, bubblewrap
from shoal.core.limits import MIB
from shoal.errors import DataError, EngineError, ModelError
from shoal.learn import aggregate, train, update
from shoal.learn.chunks import write_chunk
from shoal.learn.document import parse
from shoal.learn.export import Exported, export_model
from shoal.learn.interpreter import GraphModel
from shoal.learn.recipe import Recipe
from shoal.ports import Engine

ROWS = 24
RECIPE = {
    "loss": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    "batch_size": 8,
    "local_steps": 5,
    "rounds": 3,
}
SLOW = {**RECIPE, "local_steps": 100_000}
TRAIN = {"base": "base", "chunk": "chunk-0", "seed": 7, "round": 1}


class Net(nn.Module):
    """Dropout needs the seed, BatchNorm has buffers of both kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.25), nn.Linear(8, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


@cache
def exported() -> Exported:
    torch.manual_seed(0)
    x, y = data(0)
    return export_model(Net(), (torch.from_numpy(x),), Recipe.from_dict(RECIPE), torch.from_numpy(y))


def data(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((ROWS, 6), dtype=np.float32), rng.integers(3, size=ROWS)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job directory, as a trainer fills it."""
    directory = tmp_path / "task" / "job"
    directory.mkdir(parents=True)
    (directory / "graph.json").write_bytes(exported().document)
    (directory / "base").write_bytes(exported().weights)
    for index in range(3):
        write_chunk(directory / f"chunk-{index}", *data(index))
    return directory


@pytest.fixture(params=["bubblewrap", "alone"])
def either_wall(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With bubblewrap where it works, and without."""
    if request.param == "alone":
        without_bubblewrap(monkeypatch)
    elif not bubblewrap.prefix():
        pytest.skip("bubblewrap does not work here")
    return str(request.param)


def without_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "prefix", tuple)


def opened(job: Path):
    return SandboxedEngine.open(job, memory_limit_bytes=1024 * MIB, threads=1, walls="auto")


async def gone(condition: Callable[[], object]) -> None:
    with trio.fail_after(20):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.02)


_others: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def _processes_of_other_tests() -> None:
    _others.clear()
    _others.update(psutil.Process().children(recursive=True))


def descendants() -> list[psutil.Process]:
    return [process for process in psutil.Process().children(recursive=True) if process not in _others]


# ---------------------------------------------------------------- what it computes


async def test_a_round_is_bit_for_bit_that_of_the_library(job, tmp_path, either_wall):
    async with opened(job) as engine:
        port: Engine = engine
        await port.load(job / "graph.json", RECIPE)
        assert engine.wall.endswith("seccomp")
        assert engine.wall.startswith("bubblewrap + " if either_wall == "bubblewrap" else "landlock abi ")
        preflight = await port.preflight(timeout_s=60)
        reports = [
            await port.train(base="base", chunk=f"chunk-{i}", out=f"update-{i}", seed=i, round=2, timeout_s=60)
            for i in range(2)
        ]
        rows = [{"path": f"update-{i}", "samples": ROWS, "chunk": i} for i in (1, 0)]
        rows.append({"path": "chunk-2", "samples": ROWS, "chunk": 2})  # no update at all
        made = await port.aggregate(base="base", updates=rows, out="checkpoint", max_norm=None, timeout_s=60)
        score = await port.evaluate(state="checkpoint", chunk="chunk-2", timeout_s=60)
        same = await port.compare(mine="update-0", theirs="update-0", timeout_s=60)
        apart = await port.compare(mine="update-0", theirs="update-1", timeout_s=60)
        with pytest.raises(ModelError):
            await port.compare(mine="update-0", theirs="chunk-2", timeout_s=60)

    document, recipe = parse(exported().document), Recipe.from_dict(RECIPE)
    assert same == {"distance": 0.0}
    assert apart == {"distance": update.distance(job / "update-0", job / "update-1", document)} != same
    assert preflight.keys() == {"step_s", "peak_bytes", "parameters"}
    assert preflight["parameters"] == exported().report.parameters
    state = update.parse_state(exported().weights, document)
    model = GraphModel(document, state)
    for i, report in enumerate(reports):
        x, y = (torch.from_numpy(values) for values in data(i))
        unit = train.train_unit(model, state, x, y, recipe, seed=i, round=2)
        sha256 = update.write_state(tmp_path / f"update-{i}", update.difference(unit.state, state))
        assert (tmp_path / f"update-{i}").read_bytes() == (job / f"update-{i}").read_bytes()
        assert report.pop("seconds") > 0
        assert report == {
            "sha256": sha256, "samples": ROWS, "loss": unit.loss, "metric": unit.metric, "chain": unit.chain.hex()
        }  # fmt: skip
    files = [aggregate.UpdateFile(tmp_path / f"update-{i}", ROWS, i) for i in range(2)]
    expected = aggregate.aggregate(job / "base", files, tmp_path / "checkpoint", document, max_norm=None)
    assert (made["sha256"], made["included"]) == (expected.sha256, [0, 1])
    assert list(made["rejected"]) == [2] and "not a state of this model" in made["rejected"][2]
    x, y = (torch.from_numpy(values) for values in data(2))
    wanted = train.evaluate(model, update.read_state(tmp_path / "checkpoint", document), x, y, recipe)
    assert score == {"loss": wanted.loss, "metric": wanted.metric, "samples": ROWS}


async def test_nothing_is_left_behind_but_the_results(job):
    before = {path.name for path in job.iterdir()}
    async with opened(job) as engine:
        await engine.load(job / "graph.json", RECIPE)
        await engine.train(**TRAIN, out="update", timeout_s=60)
    assert {path.name for path in job.iterdir()} == {*before, "update"}
    assert [path.name for path in job.parent.iterdir()] == ["job"]
    assert not descendants()


async def test_a_model_can_be_changed_and_jobs_wait_for_each_other(job):
    async with opened(job) as engine:
        await engine.load(job / "graph.json", RECIPE)
        first = await engine.train(**TRAIN, out="first", timeout_s=60)
        await engine.load(job / "graph.json", {**RECIPE, "local_steps": 6})
        reports = {}

        async def run(name: str) -> None:
            reports[name] = await engine.train(**TRAIN, out=name, timeout_s=60)

        async with trio.open_nursery() as nursery:
            for name in ("second", "third"):
                nursery.start_soon(run, name)
    assert reports["second"]["sha256"] == reports["third"]["sha256"] != first["sha256"]


# ---------------------------------------------------------------- mishaps


async def test_a_slow_or_cancelled_job_is_killed_and_the_next_one_runs(job, either_wall):
    async with opened(job) as engine:
        await engine.load(job / "graph.json", SLOW)
        with pytest.raises(EngineError) as caught:
            await engine.train(**TRAIN, out="update", timeout_s=0.3)
        assert caught.value.code == "SHOAL-E04" and caught.value.hint and "train" in caught.value.message
        assert not descendants() and engine.pid is None
        # A fresh child has the model without being told again.
        assert (await engine.preflight(timeout_s=60))["step_s"] > 0
        with trio.move_on_after(0.3) as scope:
            await engine.train(**TRAIN, out="update", timeout_s=600)
        assert scope.cancelled_caught
        assert not descendants()
    assert not (job / "update").exists()


async def test_a_crash_raises_and_the_next_job_runs(job):
    async with opened(job) as engine:
        await engine.load(job / "graph.json", SLOW)
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def crash() -> None:
                await trio.sleep(0.3)
                os.kill(descendants()[-1].pid, signal.SIGKILL)

            with pytest.raises(EngineError) as caught:
                await engine.train(**TRAIN, out="update", timeout_s=60)
        assert caught.value.code == "SHOAL-E05" and "memory" in caught.value.hint
        assert "SIGKILL" in caught.value.message and "during train" in caught.value.message
        assert await engine.evaluate(state="base", chunk="chunk-0", timeout_s=60)
        os.kill(descendants()[-1].pid, signal.SIGKILL)
        await gone(lambda: engine.pid is None)
        assert await engine.evaluate(state="base", chunk="chunk-0", timeout_s=60), "a crash between jobs costs nothing"


async def test_errors_travel_with_their_code_and_hint(job):
    (job / "broken.json").write_text('{"format":"shoal-graph/1"}')
    async with opened(job) as engine:
        with pytest.raises(EngineError, match="no model is loaded"):
            await engine.preflight(timeout_s=60)
        with pytest.raises(ModelError) as caught:
            await engine.load(job / "broken.json", RECIPE)
        assert caught.value.code == "SHOAL-M06"
        with pytest.raises(ModelError) as caught:
            await engine.load(job / "graph.json", {**RECIPE, "loss": "hinge"})
        assert caught.value.code == "SHOAL-M10" and caught.value.hint == "correct recipe.json"
        await engine.load(job / "graph.json", {**RECIPE, "optimizer": {"name": "sgd", "lr": 1000.0}, "local_steps": 99})
        with pytest.raises(DataError) as data_error:
            await engine.train(**{**TRAIN, "chunk": "missing"}, out="update", timeout_s=60)
        assert data_error.value.code == "SHOAL-D23" and data_error.value.hint
        with pytest.raises(ModelError) as caught:
            await engine.evaluate(state="chunk-0", chunk="chunk-0", timeout_s=60)
        assert caught.value.code == "SHOAL-M11" and caught.value.hint
        with pytest.raises(EngineError) as diverged:
            await engine.train(**TRAIN, out="update", timeout_s=60)
        with pytest.raises(EngineError, match="the update missing is not") as absent:
            rows = [{"path": "missing", "samples": 1, "chunk": 0}]
            await engine.aggregate(base="base", updates=rows, out="checkpoint", max_norm=None, timeout_s=60)
        assert absent.value.code == "SHOAL-E09"
        assert diverged.value.code == "SHOAL-E02" and "grad_clip" in diverged.value.hint
        assert engine.pid is not None, "none of these costs the child"


async def test_a_model_that_does_not_fit_the_memory_limit_is_refused(job):
    async with SandboxedEngine.open(job, memory_limit_bytes=64 * MIB, threads=1, walls="none") as engine:
        await engine.load(job / "graph.json", RECIPE)
        assert engine.wall == "none"
        with pytest.raises(ModelError) as caught:
            await engine.preflight(timeout_s=60)
    assert caught.value.code == "SHOAL-M09" and "64 MiB" in caught.value.message


@pytest.mark.parametrize(
    "name", ["../base", "/etc/passwd", "a/b", "", ".", "..", ".engine", "a\0", "a\n", "x" * 300, 7]
)
async def test_only_plain_names_are_taken(job, name):
    engine = SandboxedEngine(job, None)  # type: ignore[arg-type]  # refused before anything is started
    jobs = [
        lambda: engine.train(**{**TRAIN, "base": name}, out="update", timeout_s=1),
        lambda: engine.train(**{**TRAIN, "chunk": name}, out="update", timeout_s=1),
        lambda: engine.train(**TRAIN, out=name, timeout_s=1),
        lambda: engine.evaluate(state=name, chunk="chunk-0", timeout_s=1),
        lambda: engine.aggregate(
            base="base", updates=[{"path": name, "samples": 1, "chunk": 0}], out="o", max_norm=None, timeout_s=1
        ),
    ]
    for run in jobs:
        with pytest.raises(EngineError) as caught:
            await run()
        assert caught.value.code == "SHOAL-E09"


async def test_a_document_elsewhere_is_refused(job, tmp_path):
    engine = SandboxedEngine(job, None)  # type: ignore[arg-type]
    for path in (tmp_path / "graph.json", job / ".." / "graph.json"):
        with pytest.raises(EngineError) as caught:
            await engine.load(path, RECIPE)
        assert caught.value.code == "SHOAL-E09"


async def test_trouble_with_the_disk_is_told(job):
    async with opened(job) as engine:
        await engine.load(job / "graph.json", RECIPE)
        (job / "update" / "occupied").mkdir(parents=True)
        with pytest.raises(EngineError, match="update cannot be kept: Is a directory") as caught:
            await engine.train(**TRAIN, out="update", timeout_s=60)
        assert engine.pid is not None
    assert caught.value.code == "SHOAL-E11" and caught.value.hint
    with pytest.raises(EngineError, match="Not a directory") as caught:
        async with opened(job / "base" / "job"):
            pass
    assert caught.value.code == "SHOAL-E11"


async def test_a_child_that_cannot_start_says_why(job):
    command = [sys.executable, "-c", "import no_such_module"]
    async with SandboxedEngine.open(job, memory_limit_bytes=MIB, threads=1, walls="none", command=command) as engine:
        with pytest.raises(EngineError, match="No module named 'no_such_module'") as caught:
            await engine.ready()
    assert caught.value.code == "SHOAL-E07"


# ---------------------------------------------------------------- the processes

PARENT = """
import sys, trio
from pathlib import Path
from shoal.adapters.engine import SandboxedEngine, bubblewrap
if sys.argv[2] == "alone":
    bubblewrap.prefix = tuple
async def main():
    async with SandboxedEngine.open(Path(sys.argv[1]), memory_limit_bytes=2**30, threads=1, walls="auto") as engine:
        await engine.load(Path(sys.argv[1], "graph.json"), RECIPE)
        print("torch" in sys.modules, flush=True)
        await engine.train(base="base", chunk="chunk-0", out="update", seed=1, round=1, timeout_s=600)
trio.run(main)
"""


async def test_the_child_dies_with_a_parent_that_is_killed_and_only_the_child_has_torch(job, either_wall):
    script = PARENT.replace("RECIPE", json.dumps(SLOW))
    command = [sys.executable, "-c", script, job, either_wall]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    try:
        assert parent.stdout is not None
        assert await trio.to_thread.run_sync(parent.stdout.readline) == "False\n"
        await trio.sleep(0.3)
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) == (3 if either_wall == "bubblewrap" else 1)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    await gone(lambda: not any(child.is_running() and child.status() != "zombie" for child in children))


def test_importing_the_engine_costs_little():
    code = "import sys; from shoal.adapters.engine import SandboxedEngine; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
