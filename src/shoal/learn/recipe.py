"""The recipe: how a model is trained, as declarative data that holds no code and needs no torch to be read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal.core import limits
from shoal.errors import ModelError

LOSSES = {"cross_entropy": ("accuracy",), "bce_with_logits": ("accuracy",), "mse": ("mae",)}
"""Each loss with the metrics that make sense beside it, the default first."""
SCHEDULES = ("constant", "cosine")
BATCH_ROWS = 65_536
LOCAL_STEPS = 100_000
DEFAULT_ROUNDS = 10

_OPTIONS: dict[str, tuple[str, ...]] = {
    "sgd": ("momentum", "nesterov", "weight_decay"),
    "adam": ("betas", "eps", "weight_decay"),
    "adamw": ("betas", "eps", "weight_decay"),
}


@dataclass(frozen=True, slots=True)
class Optimizer:
    """One of torch's optimisers and its options; an option that is absent keeps torch's default."""

    name: str
    lr: float
    options: dict[str, float | bool | tuple[float, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in self.options.items()}
        return {"name": self.name, "lr": self.lr, **plain}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Loss, optimiser, batch, local steps and metric of a task.

    >>> Recipe.from_dict({"loss": "mse", "optimizer": {"name": "sgd", "lr": 0.1}, "batch_size": 32,
    ...                   "local_steps": 20}).metric
    'mae'
    """

    loss: str
    optimizer: Optimizer
    batch_size: int
    """Rows of one step; a chunk with fewer is one batch."""
    local_steps: int
    """Steps on one chunk in one round."""
    metric: str
    schedule: str = "constant"
    """`cosine` falls to 0 over the steps of all rounds."""
    seed: int = 0
    grad_clip: float | None = None
    """Largest L2 norm of all gradients together."""
    rounds: int = DEFAULT_ROUNDS
    trainers: int | None = None
    """How many trainers the author suggests."""
    auditors: int | None = None
    """Validators in a committee and in a jury, odd: the author wants audits."""
    audits: int | None = None
    """How many work units are trained again, at most."""

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Recipe:
        """Parse the content of a `recipe.json`, or a stranger's recipe.

        Raises:
            ModelError: SHOAL-M10, naming the field.
        """
        if not isinstance(value, Mapping):
            raise _wrong("the recipe", "must be a table")
        _refuse_unknown(value, tuple(cls.__dataclass_fields__), "the recipe")
        loss = _choice(_need(value, "loss"), tuple(LOSSES), "loss")
        clip, trainers = value.get("grad_clip"), value.get("trainers")
        auditors, audits = value.get("auditors"), value.get("audits")
        return cls(
            loss=loss,
            optimizer=_optimizer(_need(value, "optimizer")),
            batch_size=_whole(_need(value, "batch_size"), 1, BATCH_ROWS, "batch_size"),
            local_steps=_whole(_need(value, "local_steps"), 1, LOCAL_STEPS, "local_steps"),
            metric=_choice(value.get("metric", LOSSES[loss][0]), LOSSES[loss], f"metric with loss {loss!r}"),
            schedule=_choice(value.get("schedule", "constant"), SCHEDULES, "schedule"),
            seed=_whole(value.get("seed", 0), 0, 2**63 - 1, "seed"),
            grad_clip=None if clip is None else _positive(clip, 1e6, "grad_clip"),
            rounds=_whole(value.get("rounds", DEFAULT_ROUNDS), 1, limits.ROUNDS, "rounds"),
            trainers=None if trainers is None else _whole(trainers, 1, limits.SEATS, "trainers"),
            auditors=None if auditors is None else _whole(auditors, 0, limits.AUDITORS, "auditors"),
            audits=None if audits is None else _whole(audits, 1, limits.CHUNKS * limits.ROUNDS, "audits"),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, such that `Recipe.from_dict(recipe.as_dict()) == recipe`."""
        plain = {
            "loss": self.loss,
            "optimizer": self.optimizer.as_dict(),
            "batch_size": self.batch_size,
            "local_steps": self.local_steps,
            "metric": self.metric,
            "schedule": self.schedule,
            "seed": self.seed,
            "rounds": self.rounds,
        }
        optional = {
            "grad_clip": self.grad_clip,
            "trainers": self.trainers,
            "auditors": self.auditors,
            "audits": self.audits,
        }
        return plain | {key: value for key, value in optional.items() if value is not None}

    def lr_at(self, step: int, total_steps: int) -> float:
        """Learning rate of a step, counted from 0 over all rounds."""
        if self.schedule == "constant":
            return self.optimizer.lr
        done = min(step / total_steps, 1.0)
        return self.optimizer.lr * 0.5 * (1.0 + math.cos(math.pi * done))


def _optimizer(value: Any) -> Optimizer:
    if not isinstance(value, Mapping):
        raise _wrong("optimizer", 'must be a table such as {"name": "adamw", "lr": 0.001}')
    name = _choice(_need(value, "name", "optimizer."), tuple(_OPTIONS), "optimizer.name")
    _refuse_unknown(value, ("name", "lr", *_OPTIONS[name]), f"optimizer {name!r}")
    lr = _positive(_need(value, "lr", "optimizer."), 1_000.0, "optimizer.lr")
    options = {key: _option(key, value[key]) for key in _OPTIONS[name] if key in value}
    if options.get("nesterov") and not options.get("momentum"):
        raise _wrong("optimizer.nesterov", "needs a momentum above 0")
    return Optimizer(name, lr, options)


def _option(key: str, value: Any) -> float | bool | tuple[float, float]:
    name = f"optimizer.{key}"
    if key == "nesterov":
        if not isinstance(value, bool):
            raise _wrong(name, "must be true or false")
        return value
    if key == "betas":
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise _wrong(name, "must be two numbers")
        first, second = (_fraction(item, name) for item in value)
        return first, second
    if key == "eps":
        return _positive(value, 1.0, name)
    return _fraction(value, name)


def _need(value: Mapping[str, Any], key: str, prefix: str = "") -> Any:
    if key not in value:
        raise _wrong(f"{prefix}{key}", "is missing")
    return value[key]


def _refuse_unknown(value: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in value:
        if key not in known:
            raise _wrong(where, f"has no field {str(key)[:80]!r}; it knows {', '.join(known)}")


def _choice(value: Any, known: tuple[str, ...], name: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise _wrong(name, f"must be one of {', '.join(known)}")
    return value


def _whole(value: Any, low: int, high: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _wrong(name, f"must be a whole number from {low} to {high}")
    return value


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e300:
        raise _wrong(name, "must be a finite number")
    return float(value)


def _positive(value: Any, high: float, name: str) -> float:
    number = _number(value, name)
    if not 0.0 < number <= high:
        raise _wrong(name, f"must be above 0 and at most {high:g}")
    return number


def _fraction(value: Any, name: str) -> float:
    number = _number(value, name)
    if not 0.0 <= number < 1.0:
        raise _wrong(name, "must be at least 0 and below 1")
    return number


def _wrong(name: str, what: str) -> ModelError:
    return ModelError(f"recipe: {name} {what}", code="SHOAL-M10", hint="correct recipe.json")
