"""TensorBoard: scalars of every round and trainer, in an event file under DIR/<task>; times are those of consensus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shoal.track.run import Record, RunFacts, scalars


class TensorBoard:
    """`--track tensorboard:DIR`, then `tensorboard --logdir DIR`.

    Args:
        where: DIR; empty puts it beside the task.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._writer: Any = None

    def begin(self, facts: RunFacts, run_id: str) -> str:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.end(over=False)
        base = Path(self._where).expanduser() if self._where else facts.home / "tensorboard"
        self._writer = SummaryWriter(str(base / facts.task_id[:12]))
        if not run_id:
            text = json.dumps(dict(facts.params), indent=2)
            self._writer.add_text("task", f"    {text}".replace("\n", "\n    "), 0, walltime=facts.begun_s)
        return facts.task_id

    def tell(self, number: int, record: Record) -> None:
        found = scalars(record)
        for name, value in found.items():
            self._writer.add_scalar(name, value, int(record["round"]), walltime=float(record["time"]))
        self._writer.add_text("story", str(record.get("text", "")), number, walltime=float(record["time"]))
        if found:
            self._writer.flush()

    def end(self, *, over: bool) -> None:
        if self._writer is not None:
            self._writer.close()
