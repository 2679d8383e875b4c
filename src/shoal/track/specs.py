"""Which trackers are wanted: `tensorboard:DIR`, `mlflow:URI`, `wandb:PROJECT`, each installed by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec

from shoal.errors import UsageError
from shoal.track.mlflow import MLflow
from shoal.track.run import Tracker
from shoal.track.tensorboard import TensorBoard
from shoal.track.wandb import Wandb

EXTRAS: Mapping[str, tuple[str, Callable[[str], Tracker]]] = {
    "tensorboard": ("tensorboard", TensorBoard),
    "mlflow": ("mlflow", MLflow),
    "wandb": ("wandb", Wandb),
}
"""Kind -> the module that it needs, and what makes one; `pip install 'shoal[KIND]'` brings the module."""


def check(specs: Sequence[str]) -> None:
    """Before anything is spent: each is one that there is, and is installed.

    >>> check(["tensorboard:runs"])  # doctest: +SKIP

    Raises:
        UsageError: SHOAL-U70, there is no such tracker; U71, it is not installed.
    """
    for spec in specs:
        kind = spec.partition(":")[0]
        if kind not in EXTRAS:
            raise UsageError(
                f"there is no tracker {kind!r}",
                code="SHOAL-U70",
                hint="tensorboard:DIR, mlflow:URI or wandb:PROJECT; events.jsonl is always kept",
            )
        if find_spec(EXTRAS[kind][0]) is None:
            raise UsageError(
                f"the tracker {kind} is not installed", code="SHOAL-U71", hint=f"pip install 'shoal[{kind}]'"
            )


def make(spec: str) -> Tracker:
    """A tracker that `check` let pass; nothing of it is imported before it begins."""
    kind, _, where = spec.partition(":")
    return EXTRAS[kind][1](where)
