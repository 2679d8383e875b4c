"""Training one chunk for one round, evaluating, and the same training in one place for comparison."""

from __future__ import annotations

import hashlib
import math
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shoal.errors import EngineError, ModelError
from shoal.learn.interpreter import GraphModel
from shoal.learn.objective import loss_of, metric_of
from shoal.learn.recipe import Recipe
from shoal.learn.update import State, hash_state, spec_of

_OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
Progress = Callable[[int, int, float], None]
"""Called after each step with (steps done, steps in all, loss)."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One chunk trained for one round."""

    state: State
    samples: int
    """Rows of the chunk: its weight in FedAvg."""
    loss: float
    """Mean over the steps, as for `metric`."""
    metric: float
    seconds: float
    chain: bytes
    """SHA-256 over the losses of all steps and the final state: commits to the whole run (32 bytes)."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Means over all rows. Not finite when the model's outputs are not."""

    loss: float
    metric: float
    samples: int


def train_unit(
    model: GraphModel,
    state: Mapping[str, Tensor],
    x: Tensor,
    y: Tensor,
    recipe: Recipe,
    *,
    seed: int,
    round: int,
    progress: Progress | None = None,
    threads: int = 1,
) -> Unit:
    """Train exactly `recipe.local_steps` steps from `state` with a fresh optimiser.

    The same arguments give the same bits on the same build, instruction set and number of threads.

    Args:
        x: `[rows, ...]` float32, or int64 tokens.
        y: `[rows, ...]` int64 class ids, or floats.
        seed: of batch order and dropout.
        round: counted from 1; places the steps in the schedule.

    Raises:
        EngineError: SHOAL-E02, the loss or a weight became NaN or infinite.
        ModelError: the state, data and model do not fit each other.
    """
    started = time.perf_counter()
    _check_data(model, x, y)
    chain = hashlib.sha256(struct.pack("<QQ", seed, round)).digest()
    losses: list[float] = []
    metrics: list[float] = []
    with _reproducible(seed, threads, model.device):
        model.load_state(state)
        model.train()
        stepper = _Stepper(model, recipe, recipe.rounds * recipe.local_steps, (round - 1) * recipe.local_steps)
        batches = batch_indices(len(x), recipe.batch_size, seed)
        for done in range(1, recipe.local_steps + 1):
            rows = next(batches)
            loss, metric = stepper.step(x[rows], y[rows])
            chain = hashlib.sha256(chain + struct.pack("<d", loss)).digest()
            losses.append(loss)
            metrics.append(metric)
            if progress is not None:
                progress(done, recipe.local_steps, loss)
    final = model.state()
    if not all(bool(torch.isfinite(tensor).all()) for tensor in final.values() if tensor.is_floating_point()):
        raise _diverged("a weight is NaN or infinite after the last step")
    return Unit(
        state=final,
        samples=len(x),
        loss=math.fsum(losses) / len(losses),
        metric=math.fsum(metrics) / len(metrics),
        seconds=time.perf_counter() - started,
        chain=hashlib.sha256(chain + hash_state(final)).digest(),
    )


def train_central(
    model: GraphModel,
    state: Mapping[str, Tensor],
    x: Tensor,
    y: Tensor,
    recipe: Recipe,
    *,
    steps: int,
    seed: int,
    progress: Progress | None = None,
    threads: int = 1,
) -> State:
    """Ordinary training on all the data for `steps` steps, one optimiser throughout. Raises as `train_unit`."""
    _check_data(model, x, y)
    with _reproducible(seed, threads, model.device):
        model.load_state(state)
        model.train()
        stepper = _Stepper(model, recipe, steps, 0)
        batches = batch_indices(len(x), recipe.batch_size, seed)
        for done in range(1, steps + 1):
            rows = next(batches)
            loss, _ = stepper.step(x[rows], y[rows])
            if progress is not None:
                progress(done, steps, loss)
    return model.state()


def evaluate(
    model: GraphModel, state: Mapping[str, Tensor], x: Tensor, y: Tensor, recipe: Recipe, *, threads: int = 1
) -> Metrics:
    """Loss and metric in eval mode, in batches of the recipe's size. Raises ModelError as `train_unit`."""
    _check_data(model, x, y)
    losses: list[float] = []
    metrics: list[float] = []
    with _reproducible(0, threads, model.device), torch.no_grad():
        model.load_state(state)
        model.eval()
        for start in range(0, len(x), recipe.batch_size):
            part, target = (t[start : start + recipe.batch_size].to(model.device, copy=True) for t in (x, y))
            output = model(part)
            losses.append(loss_of(recipe, output, target).item() * len(part))
            metrics.append(metric_of(recipe, output, target).item() * len(part))
    return Metrics(sum(losses) / len(x), sum(metrics) / len(x), len(x))


def batch_indices(rows: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Row numbers of one batch after another, without end: epochs, each reshuffled, the incomplete last batch left out.

    Every step so costs the same, and BatchNorm never sees a batch of one left over.
    """
    generator = torch.Generator().manual_seed(seed)
    size = min(batch_size, rows)
    while True:
        order = torch.randperm(rows, generator=generator)
        for start in range(0, rows - size + 1, size):
            yield order[start : start + size]


def make_optimizer(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """torch's optimiser as the recipe says."""
    kind = _OPTIMIZERS[recipe.optimizer.name]
    options: dict[str, Any] = {"lr": recipe.optimizer.lr, **recipe.optimizer.options}
    return kind(parameters, **options)


class _Stepper:
    """One optimiser walking along a schedule."""

    def __init__(self, model: GraphModel, recipe: Recipe, total_steps: int, first_step: int) -> None:
        self._model = model
        self._recipe = recipe
        self._total_steps = total_steps
        self._step = first_step
        self._parameters = model.trainable_parameters()
        self._optimizer = make_optimizer(self._parameters, recipe)

    def step(self, x: Tensor, y: Tensor) -> tuple[float, float]:
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.lr_at(self._step, self._total_steps)
        x, y = x.to(self._model.device), y.to(self._model.device)
        self._optimizer.zero_grad(set_to_none=True)
        output = self._model(x)
        loss = loss_of(self._recipe, output, y)
        value = loss.item()
        if not math.isfinite(value):
            raise _diverged(f"the loss is {value} at step {self._step + 1}")
        try:
            torch.autograd.backward(loss)
        except Exception as error:  # a stranger's graph may, for one, overwrite what its gradient needs
            raise ModelError(f"the model has no gradient: {error}", code="SHOAL-M07") from error
        if self._recipe.grad_clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self._recipe.grad_clip)
        self._optimizer.step()
        self._step += 1
        return value, metric_of(self._recipe, output, y).item()


@contextmanager
def _reproducible(seed: int, threads: int, device: torch.device) -> Iterator[None]:
    """Own random numbers and thread count, the caller's restored afterwards.

    On a CPU with a fixed number of threads torch is deterministic by itself; elsewhere it has to be told.
    """
    before = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        if device.type != "cpu":
            torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.set_num_threads(before)
            torch.use_deterministic_algorithms(strict)


def _diverged(what: str) -> EngineError:
    return EngineError(what, code="SHOAL-E02", hint="a smaller lr or a grad_clip in recipe.json usually helps")


def _check_data(model: GraphModel, x: Tensor, y: Tensor) -> None:
    found = spec_of(x[:1])
    wanted = model.document.input
    if (found.dtype, found.shape[1:]) != (wanted.dtype, wanted.shape):
        raise ModelError(
            f"a row of data is {found.dtype} {list(found.shape[1:])}, "
            f"the model takes {wanted.dtype} {list(wanted.shape)}",
            code="SHOAL-M07",
            hint="the model's first layer must fit the data set",
        )
    if len(x) == 0 or len(x) != len(y):
        raise ModelError(f"{len(x)} rows of data and {len(y)} targets", code="SHOAL-M07")
