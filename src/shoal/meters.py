"""What a node counts of itself, for Prometheus: each meter once, with its unit in its name."""

from __future__ import annotations

import logging
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from shoal.core.ids import short
from shoal.core.task import Phase, State
from shoal.errors import ShoalError

disable_created_metrics()  # type: ignore[no-untyped-call] # they double the series, and a restart is seen in process_start_time_seconds
REGISTRY = CollectorRegistry()
"""Of this process. Libraries that count in prometheus_client's own registry are not told with it."""

BUILD = Gauge("shoal_build_info", "Always 1; version and role are labels.", ["version", "role"], registry=REGISTRY)
LEDGER_TRANSACTIONS = Counter(
    "shoal_ledger_transactions",
    "Transactions sent to Hedera: a call's function, topic, message or account; ok, or the kind of the error.",
    ["kind", "outcome"],
    registry=REGISTRY,
)
LEDGER_FEES = Counter(
    "shoal_ledger_fees_tinybar", "Fees that the network charged this node's account, by the mirror.", registry=REGISTRY
)
ROUNDS = Counter("shoal_rounds", "Rounds that ended in tasks that this node follows.", registry=REGISTRY)
TASKS_ENDED = Counter(
    "shoal_tasks_ended", "Tasks that ended while this node followed them.", ["phase"], registry=REGISTRY
)
TRANSFERRED = Counter(
    "shoal_transfer_bytes", "Bytes moved to and from object storage, tries included.", ["direction"], registry=REGISTRY
)
ENGINE_STARTS = Counter("shoal_engine_starts", "Training processes that were started.", registry=REGISTRY)
ENGINE_RESTARTS = Counter(
    "shoal_engine_restarts", "Training processes that had died and were started again.", registry=REGISTRY
)
ERRORS = Counter(
    "shoal_errors", "Errors in this node's log and in its API's answers, by code.", ["code"], registry=REGISTRY
)
LATEST_ROUND = Gauge("shoal_task_round", "Rounds done of a followed task.", ["task"], registry=REGISTRY)
TASK_LOSS = Gauge("shoal_task_loss", "Loss on the validation rows after the last round.", ["task"], registry=REGISTRY)
TASKS = Gauge("shoal_tasks", "Tasks that are followed now, by phase.", ["phase"], registry=REGISTRY)
ProcessCollector(registry=REGISTRY)
for _phase in Phase:
    TASKS.labels(_phase)  # a phase without tasks is told as 0
for _direction in ("received", "sent"):
    TRANSFERRED.labels(_direction)


def gauge(name: str, text: str, rows: dict[str, float], label: str) -> Metric:
    """A gauge that is looked up when it is asked for."""
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in rows.items():
        family.add_metric([value], number)
    return family


class TaskMeter:
    """One followed task, as it is counted. What had happened before it was followed is not counted as happening now."""

    def __init__(self, state: State) -> None:
        self._task, self._phase = short(state.place.task), state.phase
        self._rounds = max(0, len(state.checkpoints) - 1)
        TASKS.labels(self._phase).inc()
        self._set(state)

    def see(self, state: State, *, live: bool) -> None:
        """Where the task is now; `live` unless its log is being read for the first time."""
        rounds = max(0, len(state.checkpoints) - 1)
        if live and rounds > self._rounds:
            ROUNDS.inc(rounds - self._rounds)
        if state.phase is not self._phase:
            TASKS.labels(self._phase).dec()
            TASKS.labels(state.phase).inc()
            if live and state.phase.over and not self._phase.over:
                TASKS_ENDED.labels(state.phase).inc()
        self._phase, self._rounds = state.phase, rounds
        self._set(state)

    def close(self) -> None:
        """It is not followed any more."""
        TASKS.labels(self._phase).dec()
        for each in (LATEST_ROUND, TASK_LOSS):
            with suppress(KeyError):
                each.remove(self._task)

    def _set(self, state: State) -> None:
        LATEST_ROUND.labels(self._task).set(self._rounds)
        if self._rounds:
            TASK_LOSS.labels(self._task).set(state.checkpoints[-1].loss)


class ErrorCounter(logging.Handler):
    """Counts errors with a code that pass through the log: all that a node goes on after are told there.

    >>> logging.getLogger("shoal").addHandler(ErrorCounter())
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else (record.args,)
        found = [each for each in arguments if isinstance(each, ShoalError)]
        if not found and record.exc_info and isinstance(record.exc_info[1], ShoalError):
            found = [record.exc_info[1]]
        for error in found:
            ERRORS.labels(error.code).inc()


def count_errors() -> None:
    """From now on, once a process."""
    log = logging.getLogger("shoal")
    if not any(isinstance(each, ErrorCounter) for each in log.handlers):
        log.addHandler(ErrorCounter())
