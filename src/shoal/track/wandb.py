"""Weights & Biases: one run a task, online or offline as its own settings and `WANDB_MODE` say."""

from __future__ import annotations

from typing import Any

from shoal.track.run import Record, RunFacts, scalars


class Wandb:
    """`--track wandb:PROJECT`; with `WANDB_MODE=offline` nothing leaves the machine until `wandb sync`.

    Args:
        where: the project; empty is `shoal`.
    """

    def __init__(self, where: str) -> None:
        self._project = where or "shoal"
        self._run: Any = None

    def begin(self, facts: RunFacts, run_id: str) -> str:
        import wandb

        self.end(over=False)
        self._run = wandb.init(
            project=self._project,
            id=run_id or facts.task_id[:16],
            name=f"{facts.name} {facts.task_id[:12]}",
            resume="allow",
            dir=str(facts.home),
            config=dict(facts.params),
            reinit="create_new",
            # Of this machine nothing is told but what the task is: no console, no code, no hardware.
            settings=wandb.Settings(
                console="off", disable_git=True, save_code=False, x_disable_stats=True, silent=True
            ),
        )
        self._run.define_metric("*", step_metric="round")
        return str(self._run.id)

    def tell(self, number: int, record: Record) -> None:
        found = scalars(record)
        if found:
            self._run.log({"round": int(record["round"]), "consensus_time": float(record["time"]), **found})

    def end(self, *, over: bool) -> None:
        if self._run is not None:
            self._run.finish()
