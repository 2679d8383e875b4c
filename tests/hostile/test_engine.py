"""A child under a stranger's control: it lies, floods, stalls or grows, and costs the node one job at most."""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import trio
from torch import nn

from shoal.adapters.engine import SandboxedEngine, replies
from shoal.core.limits import MIB, WEIGHTS_BYTES
from shoal.errors import DataError, EngineError, ModelError
from shoal.learn.chunks import write_chunk
from shoal.learn.export import Exported, export_model
from shoal.learn.recipe import Recipe

# What a child knows of the protocol, without a line of ours; `LIE` is what it does when asked to train.
LIAR = """
import json, os, struct, sys, time
setup = json.loads(sys.argv[1])
scratch = setup["scratch"]
RIGHT = {"sha256": "SHA", "samples": 5, "loss": 1.0, "metric": 0.5, "seconds": 0.1, "chain": "00" * 32}
def raw(data):
    while data: data = data[os.write(1, data):]
def frame(body):
    raw(struct.pack(">I", len(body)) + body)
def say(value):
    frame(json.dumps(value).encode())
def report(**changes):
    say({"report": {**RIGHT, **changes}})
def hear():
    size = struct.unpack(">I", sys.stdin.buffer.read(4))[0]
    return json.loads(sys.stdin.buffer.read(size))
def result(data=b"weights", name="update"):
    with open(os.path.join(scratch, name), "wb") as file: file.write(data)
say({"wall": "", "breaches": []})
while True:
    request = hear()
    if request["do"] == "load":
        say({"report": {}})
        continue
    if os.path.exists(os.path.join(setup["job_dir"], "honest")):
        result(); report(); continue
    LIE
"""
TRAIN = {"base": "base", "chunk": "chunk-0", "out": "update", "seed": 1, "round": 1}

LIES = {
    "nothing": "sys.exit(0)",
    "a closed pipe": "os.close(1); time.sleep(60)",
    "noise": "raw(os.urandom(10_000)); time.sleep(60)",
    "no length": "raw(bytes(4)); time.sleep(60)",
    "a length beyond measure": "raw(b'\\xff' * 4 + b'x' * 100_000); time.sleep(60)",
    "not JSON": "frame(b'{')",
    "not text": "frame(b'\\xff\\xfe')",
    "a number": "say(7)",
    "a list": "say([])",
    "depth": "frame(b'[' * 200_000)",
    "an integer of 200,000 digits": "frame(b'9' * 200_000)",
    "no report": "say({})",
    "two answers": "say({'report': RIGHT, 'error': {}})",
    "an empty report": "say({'report': {}})",
    "one field more": "report(more=1)",
    "a loss that is NaN": "result(); report(loss=float('nan'))",
    "a loss that is infinite": "result(); report(loss=float('inf'))",
    "a loss beyond floats": "result(); frame(json.dumps({'report': RIGHT}).replace('1.0', '1e999').encode())",
    "a loss larger than floats": "result(); report(loss=10**400)",
    "a loss that is true": "result(); report(loss=True)",
    "a loss that is text": "result(); report(loss='1.0')",
    "no samples": "result(); report(samples=0)",
    "samples beyond measure": "result(); report(samples=2**40)",
    "samples in parts": "result(); report(samples=1.5)",
    "negative time": "result(); report(seconds=-1.0)",
    "a short chain": "result(); report(chain='00')",
    "a chain in capitals": "result(); report(chain='AA' * 32)",
    "another hash": "result(b'other weights'); report()",
    "no file": "report()",
    "a link for a file": "os.symlink('/etc/hostname', os.path.join(scratch, 'update')); report()",
    "a pipe for a file": "os.mkfifo(os.path.join(scratch, 'update')); report()",
    "a directory for a file": "os.mkdir(os.path.join(scratch, 'update')); report()",
    "a file beyond measure": "result(); os.truncate(os.path.join(scratch, 'update'), TOO_LARGE); report()",
    "an unknown code": "say({'error': {'code': 'SHOAL-K01', 'message': '', 'hint': ''}})",
    "a code with a tail": "say({'error': {'code': 'SHOAL-E01\\n', 'message': '', 'hint': ''}})",
    "half an error": "say({'error': {'code': 'SHOAL-E01'}})",
}
DEATHS = ("nothing", "a closed pipe")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    directory = tmp_path / "job"
    directory.mkdir()
    for name in ("graph.json", "base", "chunk-0"):
        (directory / name).write_text("{}")
    return directory


@asynccontextmanager
async def liar(job: Path, lie: str):
    code = LIAR.replace("LIE", lie).replace("TOO_LARGE", str(WEIGHTS_BYTES + 2 * MIB))
    code = code.replace("SHA", hashlib.sha256(b"weights").hexdigest())
    command = [sys.executable, "-S", "-c", code]
    others = set(psutil.Process().children(recursive=True))
    async with SandboxedEngine.open(job, memory_limit_bytes=MIB, threads=1, walls="none", command=command) as engine:
        await engine.load(job / "graph.json", {})
        with trio.fail_after(30):
            yield engine
    assert set(psutil.Process().children(recursive=True)) <= others
    assert sorted(path.name for path in job.parent.iterdir()) == ["job"]


@pytest.mark.parametrize("what", LIES)
async def test_a_lie_is_found_out_and_the_next_child_may_be_honest(job, what):
    async with liar(job, LIES[what]) as engine:
        with pytest.raises(EngineError) as caught:
            await engine.train(**TRAIN, timeout_s=20)
        assert caught.value.code == ("SHOAL-E05" if what in DEATHS else "SHOAL-E08")
        assert caught.value.hint
        assert engine.pid is None, "a liar is not asked again"
        assert not (job / "update").exists()
        (job / "honest").touch()
        assert (await engine.train(**TRAIN, timeout_s=20))["samples"] == 5
        assert (job / "update").read_bytes() == b"weights"


@pytest.mark.parametrize(
    "stall",
    [
        "time.sleep(60)",
        "raw(b'\\0\\0\\1\\0half'); time.sleep(60)",
        "[raw(b'\\0') or time.sleep(0.01) for _ in iter(int, 1)]",
        "[os.write(2, b'x' * 65536) for _ in iter(int, 1)]",
        "import signal; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]; time.sleep(60)",
    ],
)
async def test_a_child_that_stalls_is_killed_in_time_and_takes_no_memory(job, stall):
    async with liar(job, stall) as engine:
        before = psutil.Process().memory_info().rss
        started = trio.current_time()
        with pytest.raises(EngineError) as caught:
            await engine.train(**TRAIN, timeout_s=1.0)
        assert caught.value.code in ("SHOAL-E04", "SHOAL-E08")
        assert trio.current_time() - started < 5
        assert psutil.Process().memory_info().rss - before < 30 * MIB


async def test_a_child_that_floods_its_reply_takes_no_memory(job):
    async with liar(job, "raw(b'\\0\\3\\xff\\xff'); [raw(b'x' * 65536) for _ in iter(int, 1)]") as engine:
        before = psutil.Process().memory_info().rss
        with pytest.raises(EngineError) as caught:
            await engine.train(**TRAIN, timeout_s=20)
        assert caught.value.code == "SHOAL-E08"
        assert psutil.Process().memory_info().rss - before < 30 * MIB


async def test_a_child_that_does_not_listen_is_killed_in_time(job):
    rows = [{"path": f"update-{index}", "samples": 1, "chunk": index} for index in range(10_000)]
    async with liar(job, "") as engine:
        ask = {"base": "base", "out": "checkpoint", "max_norm": None}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 0)
            # More than a pipe holds, to one that never reads it.
            psutil.Process(engine.pid).suspend()
            with pytest.raises(EngineError) as caught:
                await engine.aggregate(**ask, updates=rows, timeout_s=1.0)
        assert caught.value.code == "SHOAL-E04"
        with pytest.raises(EngineError) as caught:
            await engine.aggregate(**ask, updates=rows * 10, timeout_s=1.0)
        assert caught.value.code == "SHOAL-E09", "longer than any request"


async def test_what_a_child_says_of_its_errors_is_made_harmless(job):
    error = {"code": "SHOAL-D23", "message": "\x1b[2Jbad\n" + "x" * 9_000, "hint": "\x07" + "y" * 9_000}
    async with liar(job, f"say({{'error': {error!r}}})") as engine:
        with pytest.raises(DataError) as caught:
            await engine.train(**TRAIN, timeout_s=20)
    assert caught.value.message.startswith("[2Jbad xxx") and len(caught.value.message) <= 1000
    assert caught.value.message.isprintable() and caught.value.hint.isprintable() and len(caught.value.hint) <= 500


async def test_what_a_dying_child_prints_is_made_harmless(job):
    async with liar(job, "os.write(2, b'first\\n\\x1b[31m' + b'z' * 100_000 + b'\\xff'); os.abort()") as engine:
        with pytest.raises(EngineError) as caught:
            await engine.train(**TRAIN, timeout_s=20)
    assert "SIGABRT" in caught.value.message and "zzz" in caught.value.message
    assert caught.value.message.isprintable() and len(caught.value.message) < 500


async def test_a_child_that_lies_about_its_walls_is_refused(job):
    for hello in ({"wall": 7, "breaches": []}, {"wall": "\x1b", "breaches": []}, {"wall": "x", "breaches": [1] * 99}):
        code = LIAR.replace('{"wall": "", "breaches": []}', repr(hello))
        async with SandboxedEngine.open(
            job, memory_limit_bytes=MIB, threads=1, walls="none", command=[sys.executable, "-S", "-c", code]
        ) as engine:
            with pytest.raises(EngineError) as caught:
                await engine.ready()
        assert caught.value.code == "SHOAL-E08"


@pytest.mark.parametrize(
    ("included", "rejected"),
    [
        ([0], {}),
        ([0, 1], {"1": "both in and out"}),
        ([1, 0], {}),
        ([0, 0, 1], {}),
        ([0, 1, 2], {}),
        ([0], {"2": "not asked for"}),
        ([0], {"1": "", "01": ""}),
        ([0], {"x": ""}),
        ([False, True], {}),
        ("01", {}),
        ([0, 1], []),
    ],
)
def test_an_aggregate_must_account_for_every_update(included, rejected):
    with pytest.raises(EngineError) as caught:
        replies.aggregate({"sha256": "00" * 32, "included": included, "rejected": rejected}, {0, 1})
    assert caught.value.code == "SHOAL-E08"


def test_an_aggregate_that_does_is_taken():
    report = {"sha256": "00" * 32, "included": [1], "rejected": {"10": "\x1bnorm" + "x" * 999, "2": 7}}
    found = replies.aggregate(report, {1, 2, 10})
    assert (found["included"], list(found["rejected"])) == ([1], [2, 10])
    assert found["rejected"][10].startswith("norm") and len(found["rejected"][10]) <= 200


# ---------------------------------------------------------------- a stranger's graph in the real child


@cache
def exported() -> Exported:
    torch.manual_seed(0)
    recipe = Recipe.from_dict(RECIPE)
    return export_model(nn.Linear(6, 3), (torch.randn(8, 6),), recipe, torch.zeros(8, dtype=torch.int64))


RECIPE = {"loss": "cross_entropy", "optimizer": {"name": "sgd", "lr": 0.1}, "batch_size": 8, "local_steps": 2}
BOMB = ["aten.full.default", [[2**18, 2**12], 1.0], {}, True]
"""A tensor of 4 GiB."""


async def test_a_memory_bomb_costs_an_error_and_not_the_child(job):
    document = json.loads(exported().document)
    for graph in document["graphs"].values():
        graph["nodes"].append(BOMB)
    (job / "graph.json").write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
    (job / "base").write_bytes(exported().weights)
    rng = np.random.default_rng(0)
    write_chunk(job / "chunk-0", rng.standard_normal((8, 6), dtype=np.float32), np.zeros(8, dtype=np.int64))
    async with SandboxedEngine.open(job, memory_limit_bytes=1024 * MIB, threads=1, walls="auto") as engine:
        await engine.load(job / "graph.json", RECIPE)
        with pytest.raises(ModelError) as refused:
            await engine.preflight(timeout_s=60)
        assert refused.value.code == "SHOAL-M09"
        with pytest.raises(EngineError) as caught:
            await engine.train(**TRAIN, timeout_s=60)
        assert caught.value.code == "SHOAL-E10" and "engine_memory_mib" in caught.value.hint
        assert engine.pid is not None
        with pytest.raises(ModelError):
            await engine.evaluate(state="chunk-0", chunk="chunk-0", timeout_s=60)
