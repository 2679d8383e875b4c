"""MLflow: one run a task, with recipe and plan as parameters and a metric's value at every round."""

from __future__ import annotations

from typing import Any

from shoal.track.run import Record, RunFacts, scalars

EXPERIMENT = "shoal"
_MOST_TEXT = 500
"""MLflow's limit for a parameter is higher; stores of other people's may be stricter."""


class MLflow:
    """`--track mlflow:URI`, as MLflow writes it: `sqlite:///runs.db`, `http://host:5000`.

    Args:
        where: the URI; empty takes `MLFLOW_TRACKING_URI`, else MLflow's own default.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._client: Any = None
        self._run = ""

    def begin(self, facts: RunFacts, run_id: str) -> str:
        from mlflow import MlflowClient
        from mlflow.entities import Param, RunTag

        run_id = run_id or self._run
        self._client = MlflowClient(tracking_uri=self._where or None)
        if run_id:
            self._client.update_run(run_id, status="RUNNING")
            self._run = run_id
            return run_id
        found = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = self._client.create_experiment(EXPERIMENT) if found is None else found.experiment_id
        begun_ms = int(facts.begun_s * 1000)
        name = f"{facts.name} {facts.task_id[:12]}"
        self._run = str(self._client.create_run(experiment, start_time=begun_ms, run_name=name).info.run_id)
        params = [Param(key, str(value)[:_MOST_TEXT]) for key, value in facts.params.items()]
        self._client.log_batch(self._run, params=params, tags=[RunTag("shoal.task_id", facts.task_id)])
        return self._run

    def tell(self, number: int, record: Record) -> None:
        from mlflow.entities import Metric

        at_ms = int(float(record["time"]) * 1000)
        metrics = [Metric(name, value, at_ms, int(record["round"])) for name, value in scalars(record).items()]
        if metrics:
            self._client.log_batch(self._run, metrics=metrics)

    def end(self, *, over: bool) -> None:
        if self._client is not None and self._run and over:
            self._client.set_terminated(self._run, "FINISHED")
