"""The benchmark: the bundled model, trained in the sandbox that strangers' models are trained in, timed and weighed."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import trio

from shoal.earn import bundled, power
from shoal.errors import MachineError
from shoal.ports import Engine

EXPORT_TIMEOUT_S = 180.0
TRAIN_TIMEOUT_S = 180.0
IDLE_S = 1.0
"""How long the power of a resting processor is measured."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What was measured.

    Args:
        step_s: one step of the bundled CNN: 32 images forward, backward, and the optimiser.
        watts: of the processor while it trained, by its own counters; None where they cannot be read.
        idle_watts: at rest, just before.
        gpu: the one that torch could use; empty if none.
        gpus: those that the driver names.
    """

    processor: str
    threads: int
    torch: str
    step_s: float
    rows_per_s: float
    watts: float | None
    idle_watts: float | None
    gpu: str
    gpus: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


async def measure(
    directory: Path,
    open_engine: Callable[[Path], AbstractAsyncContextManager[Engine]],
    *,
    threads: int,
    root: Path = Path("/"),
) -> Benchmark:
    """Train the bundled model once, for some seconds.

    Args:
        directory: for its files; removed afterwards.

    Raises:
        MachineError: SHOAL-G03, torch or the bundled model cannot be used here.
        EngineError: the sandbox does not stand, or does not train.
    """
    job = directory / "job"
    shutil.rmtree(directory, ignore_errors=True)
    job.mkdir(parents=True)
    try:
        about = await _export(job)
        recipe = json.loads((job / bundled.RECIPE).read_text())
        before = await trio.to_thread.run_sync(power.read, root)
        await trio.sleep(IDLE_S)
        idle = power.watts(before, await trio.to_thread.run_sync(power.read, root))
        async with open_engine(job) as engine:
            await engine.load(job / bundled.DOCUMENT, recipe)
            start = await trio.to_thread.run_sync(power.read, root)
            report = await engine.train(
                base=bundled.BASE, chunk=bundled.CHUNK, out="update", seed=1, round=1, timeout_s=TRAIN_TIMEOUT_S
            )
            drawn = power.watts(start, await trio.to_thread.run_sync(power.read, root))
        cards = await trio.to_thread.run_sync(power.gpus)
    finally:
        await trio.to_thread.run_sync(lambda: shutil.rmtree(directory, ignore_errors=True))
    step_s = float(report["seconds"]) / bundled.STEPS
    return Benchmark(
        processor=processor(root),
        threads=threads,
        torch=str(about["torch"]),
        step_s=step_s,
        rows_per_s=int(recipe["batch_size"]) / step_s,
        watts=drawn,
        idle_watts=idle,
        gpu=str(about["gpu"]),
        gpus=tuple(card.name for card in cards),
    )


async def _export(job: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "shoal.earn.bundled", str(job)]
    with trio.move_on_after(EXPORT_TIMEOUT_S):
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        if done.returncode == 0:
            about: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            return about
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise _failed(said[-1] if said else f"it ended with status {done.returncode}")
    raise _failed(f"it was not ready after {EXPORT_TIMEOUT_S:.0f} s")


def _failed(why: str) -> MachineError:
    return MachineError(
        f"the bundled model cannot be prepared on this machine: {why}",
        code="SHOAL-G03",
        hint="`shoal doctor` tells what is missing",
    )


def processor(root: Path = Path("/")) -> str:
    """The name of the processor, as Linux tells it; empty where it does not."""
    try:
        lines = (root / "proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
