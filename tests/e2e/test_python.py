"""`import shoal` over a whole network of real processes: plain, on asyncio, interrupted and killed."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch import nn

import shoal

from .conftest import Demo
from .harness import environment, gone

pytestmark = pytest.mark.e2e
RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 4)).astype(np.float32)
Y = np.where(X[:, 0] + X[:, 1] > 0, "above", "below")
RECIPE = {"optimizer": {"name": "adam", "lr": 0.01}, "local_steps": 30}
HOLDS = """
import shoal, sys
with shoal.local(trainers=1) as net:
    print("up", flush=True)
    net.train(sys.argv[1], rounds=200, budget="50 hbar").wait()
"""


def net_of(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))


def accuracy(module: nn.Module, classes: tuple[str, ...]) -> float:
    with torch.no_grad():
        guessed = module(torch.from_numpy(X)).argmax(1).numpy()
    return float((np.array(classes)[guessed] == Y).mean())


def test_a_plain_program_trains_two_models_at_once(tmp_path: Path) -> None:
    shown: list[shoal.Offer] = []
    before = psutil.Process().children(recursive=True)
    with shoal.local(trainers=2) as net:
        module, other = net_of(8), net_of(6)
        first = net.train(module, (X, Y), recipe=RECIPE, rounds=3, budget="5 hbar", compare=True)
        table = torch.utils.data.TensorDataset  # a data set of no known kind
        with pytest.raises(shoal.DataError) as unknown:
            net.quote(other, table(torch.from_numpy(X)))
        assert unknown.value.code == "SHOAL-D02"
        second = net.train(
            other, (torch.from_numpy(X), Y), recipe=RECIPE, rounds=2,
            confirm=lambda offer: shown.append(offer) or True,
        )  # fmt: skip
        kinds = [event.kind for event in first.watch()]
        assert kinds[0] == "created" and kinds.count("round") == 3 and "settled" in kinds
        report = first.report
        assert report.test_metric >= 0.9 and report.central_metric is not None
        assert report.test_metric >= report.central_metric - 0.05
        assert [row["round"] for row in first.history] == [1, 2, 3]
        assert report.paid_tinybar + report.refunded_tinybar == first.money["escrow_tinybar"]
        saved = first.save(tmp_path / "first.safetensors")
        assert hashlib.sha256(saved.read_bytes()).hexdigest() == report.sha256
        module.load_state_dict(first.weights())
        assert second.wait().rounds == 2
        other.load_state_dict(second.weights())
        [offer] = shown
        assert offer.classes == ("above", "below")
        assert accuracy(module, offer.classes) >= 0.9 and accuracy(other, offer.classes) >= 0.7
        assert {row["task_id"] for row in net.tasks()} == {first.task_id, second.task_id}
        assert "<svg" in first._repr_html_()
        started = [each for each in psutil.Process().children(recursive=True) if each not in before]
        assert len(started) >= 5
    assert gone(started) == []


def test_an_asyncio_program_leaves_a_run_and_finds_it_again(demo: Demo) -> None:
    async def start() -> str:
        async with shoal.asyncio.connect(dir=demo.client) as net:
            run = await net.train(net_of(8), (X, Y), recipe=RECIPE, rounds=2, trainers=2, budget="5 hbar")
            await run.detach()
            assert run.phase not in ("open", "awarded")
            return run.task_id

    async def come_back(task_id: str) -> Any:
        async with shoal.asyncio.connect(dir=demo.client) as net:
            run = await net.get(task_id[:12])
            kinds = [event.kind async for event in run.watch()]
            assert kinds.count("round") == 2 and kinds.count("paid") == 2
            weights = await run.weights()
            net_of(8).load_state_dict(weights)
            return run.report

    task_id = asyncio.run(start())
    report = asyncio.run(come_back(task_id))
    assert report.task_id == task_id and report.test_metric > 0.7 and report.fees_tinybar > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_program(number: int, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.py").write_text(
        "from torch import nn\nclass Net(nn.Linear):\n    def __init__(self): super().__init__(4, 2)\n"
    )
    (folder / "data.py").write_text(
        "import numpy as np\ndef load():\n    x = np.random.default_rng(0).normal(size=(90, 4))\n"
        "    return x, (x[:, 0] > 0).astype(int)\n"
    )
    (folder / "recipe.json").write_text(
        '{"loss": "cross_entropy", "optimizer": {"name": "sgd", "lr": 0.1}, "batch_size": 8, "local_steps": 5}'
    )
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"up\n"
        time.sleep(1.0)  # somewhere between the quote and the bids
        started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) >= 4
        process.send_signal(number)
        said = process.stderr.read().decode()
        status = process.wait(60)
    assert status != 0 and gone(started) == [], said
    if number == signal.SIGINT:
        assert "KeyboardInterrupt" in said, said
