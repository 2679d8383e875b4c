"""What each tracker wrote, read back with that tracker's own reader; and that it goes on after a restart."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from shoal.track import EXTRAS, Keeper, make
from shoal.track.run import Record

from .test_keeper import RECORDS, facts

SECOND: Record = {**RECORDS[1], "round": 2, "time": 9.5, "at_s": 4.5, "loss": 0.25}
RESULT: Record = {"event": "result", "round": 2, "time": 10.0, "at_s": 5.0, "test_metric": 0.875, "text": "done"}
STORY = [*RECORDS, SECOND, RESULT]
LOSS = [(1, 7.0, 0.5), (2, 9.5, 0.25)]
"""Round, consensus time, value."""


async def told_in_two_lives(home: Path, spec: str) -> None:
    """The process is gone after the first round, and another one goes on."""
    first = Keeper(lambda: (1, STORY[:3]), facts(home), [spec])
    await first.end(over=False)
    assert first.names == ["jsonl", spec], "it is still at work"
    ended_s = int(time.time())
    while int(time.time()) == ended_s:  # noqa: ASYNC110 - W&B names its files by the second
        await trio.sleep(0.02)
    second = Keeper(lambda: (1, STORY), facts(home), [spec])
    await second.end(over=True)
    assert second.names == ["jsonl", spec]


def test_nothing_is_imported_for_what_is_not_wanted() -> None:
    import subprocess
    import sys

    code = (
        "import sys, shoal.track; print([m for m in ('tensorboard', 'mlflow', 'wandb', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert set(EXTRAS) == {"tensorboard", "mlflow", "wandb"}
    for kind in EXTRAS:
        make(f"{kind}:somewhere")


async def test_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    await told_in_two_lives(tmp_path / "home", f"tensorboard:{tmp_path / 'runs'}")
    [run] = (tmp_path / "runs").iterdir()
    assert run.name == facts(tmp_path / "home").task_id[:12]
    found = EventAccumulator(str(run)).Reload()
    assert [(e.step, e.wall_time, e.value) for e in found.Scalars("global/loss")] == LOSS
    assert [e.value for e in found.Scalars("result/test_metric")] == [0.875]
    assert len(found.Scalars("trainer/0.0.9/loss")) == 2
    assert b"recipe.optimizer.lr" in found.Tensors("task/text_summary")[0].tensor_proto.string_val[0]
    texts = [e.tensor_proto.string_val[0].decode() for e in found.Tensors("story/text_summary")]
    assert texts == [str(record["text"]) for record in STORY]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of SQLAlchemy, by MLflow
async def test_mlflow(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'runs.db'}"
    await told_in_two_lives(tmp_path / "home", f"mlflow:{uri}")
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("shoal")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.info.start_time == 5_000
    assert run.data.params == {"rounds": "2", "recipe.optimizer.lr": "0.1"}
    assert run.data.tags["shoal.task_id"] == facts(tmp_path / "home").task_id
    history = client.get_metric_history(run.info.run_id, "global/loss")
    assert [(each.step, each.timestamp / 1000, each.value) for each in history] == LOSS
    assert run.data.metrics["result/test_metric"] == 0.875


async def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    for name in ("WANDB_DIR", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    await told_in_two_lives(tmp_path / "home", "wandb:fish")
    files = sorted((tmp_path).rglob("*.wandb"))
    assert files, "one for each life"
    history, config = [], {}
    for path in files:
        for record in read_wandb(path):
            if record.HasField("run"):
                assert (record.run.project, record.run.run_id) == ("fish", facts(tmp_path / "home").task_id[:16])
                config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            if record.HasField("history"):
                row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                history.append(row)
    assert config["recipe.optimizer.lr"] == 0.1
    assert [
        (row["round"], row["consensus_time"], row["global/loss"]) for row in history if "global/loss" in row
    ] == LOSS
    assert [row["result/test_metric"] for row in history if "result/test_metric" in row] == [0.875]


BLOCK, HEADER = 32 * 1024, 7


def read_wandb(path: Path) -> list[Any]:
    """The records of an offline run's file: a LevelDB log of W&B's own messages. Its own reader is a Go program."""
    from wandb.proto import wandb_internal_pb2

    data, found, whole = path.read_bytes(), [], b""
    assert data[:4] == b":W&B"
    place = HEADER
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK  # too little left for another piece
            continue
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        whole += data[place + HEADER : place + HEADER + size]
        place += HEADER + size
        if kind in (1, 4):  # whole, or the last piece
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            found.append(record)
            whole = b""
    return found
