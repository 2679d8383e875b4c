"""Before a bid: does the model run within memory, found with fake tensors, and how long does a real step take?"""

from __future__ import annotations

import logging
import statistics
import time
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from shoal.core import limits
from shoal.errors import ModelError
from shoal.learn.document import GraphDocument, TensorSpec
from shoal.learn.interpreter import DTYPES, GraphModel
from shoal.learn.objective import blank_targets, loss_of
from shoal.learn.recipe import Recipe
from shoal.learn.train import make_optimizer
from shoal.learn.update import State

MEMORY_BYTES = 8 * 1024 * limits.MIB
"""Default limit of one step's tensors."""
TIMED_STEPS = 3
_SEED = 1
# torch logs a traceback for each operator that refuses its fake arguments: a stranger could fill a log with them.
logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)
_MOMENTS = {"sgd": 1, "adam": 2, "adamw": 2}
"""Tensors the size of a parameter that an optimiser keeps, at most."""


@dataclass(frozen=True, slots=True)
class Preflight:
    step_s: float
    """Median of three real steps: forward, backward and optimiser."""
    peak_bytes: int
    """Estimate of all tensors alive at once, weights, gradients and optimiser included."""
    parameters: int


def preflight(
    document: GraphDocument,
    recipe: Recipe,
    *,
    max_bytes: int = MEMORY_BYTES,
    device: torch.device | str = "cpu",
    threads: int = 1,
) -> Preflight:
    """Run a stranger's document first without memory, then for real on made-up weights and data.

    Raises:
        ModelError: SHOAL-M09 needs more than `max_bytes`; SHOAL-M07 does not run, with the node that fails.
    """
    peak = estimate_bytes(document, recipe, max_bytes=max_bytes)
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        torch.set_num_threads(threads)
        try:
            step_s = _time_steps(document, recipe, device)
        finally:
            torch.set_num_threads(before)
    parameters = sum(spec.size_bytes // DTYPES[spec.dtype].itemsize for spec in document.parameters.values())
    return Preflight(step_s, peak, parameters)


def estimate_bytes(document: GraphDocument, recipe: Recipe, *, max_bytes: int = MEMORY_BYTES) -> int:
    """Peak of tensor memory over one training step and one evaluation, by fake tensors: nothing is computed.

    Raises:
        ModelError: as `preflight`.
    """
    trained = sum(document.parameters[name].size_bytes for name in document.trainable)
    moments = _MOMENTS[recipe.optimizer.name] * trained
    # Building a model holds its tensors twice.
    _check_memory(2 * document.state_bytes + moments, max_bytes)
    watch = _Watch(max_bytes - moments)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.random.fork_rng(devices=[]):
            model = GraphModel(document, _blank_state(document))
            x = _blank_input(document.input, recipe.batch_size)
            y = blank_targets(recipe, document.output, recipe.batch_size)
            with watch:
                watch.add([*model.parameters(), *model.buffers(), x, y])
                for mode in ("train", "eval"):
                    _fake_pass(model, x, y, recipe, mode)
        del fake
    except ModelError:
        raise
    except Exception as error:  # whatever a stranger's graph makes torch raise
        raise ModelError(f"the model does not run: {_short(error)}", code="SHOAL-M07") from error
    return watch.peak_bytes + moments


def _fake_pass(model: GraphModel, x: Tensor, y: Tensor, recipe: Recipe, mode: str) -> None:
    model.train(mode == "train")
    output = model(x)
    spec = model.document.output
    if output.dtype != DTYPES[spec.dtype] or tuple(output.shape) != (len(x), *spec.shape):
        raise ModelError(
            f"the {mode} graph puts out {output.dtype} {list(output.shape)}, not what the document says",
            code="SHOAL-M07",
        )
    loss = loss_of(recipe, output, y)
    if mode == "train":
        torch.autograd.backward(loss)


def _time_steps(document: GraphDocument, recipe: Recipe, device: torch.device | str) -> float:
    model = GraphModel(document, _blank_state(document), device)
    model.train()
    optimizer = make_optimizer(model.trainable_parameters(), recipe)
    x = _blank_input(document.input, recipe.batch_size).to(model.device)
    y = blank_targets(recipe, document.output, recipe.batch_size).to(model.device)
    times: list[float] = []
    for _ in range(1 + TIMED_STEPS):  # the first warms up caches and allocator
        started = time.perf_counter()
        try:
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(recipe, model(x), y)
            torch.autograd.backward(loss)
            optimizer.step()
            loss.item()
        except ModelError:
            raise
        except Exception as error:  # as above
            raise ModelError(f"the model does not train: {_short(error)}", code="SHOAL-M07") from error
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def _blank_state(document: GraphDocument) -> State:
    """Made-up weights of the size that initialisers give; the real ones are sealed until the task starts."""
    return {name: _blank(spec, name in document.parameters) for name, spec in document.state_specs().items()}


def _blank(spec: TensorSpec, parameter: bool) -> Tensor:
    dtype = DTYPES[spec.dtype]
    if not spec.is_float:
        return torch.zeros(spec.shape, dtype=dtype)
    return torch.randn(spec.shape, dtype=dtype) * 0.02 if parameter else torch.ones(spec.shape, dtype=dtype)


def _blank_input(spec: TensorSpec, rows: int) -> Tensor:
    """Noise; zeros for whole numbers, which are an index of any table."""
    dtype = DTYPES[spec.dtype]
    shape = (rows, *spec.shape)
    return torch.randn(shape, dtype=dtype) if spec.is_float else torch.zeros(shape, dtype=dtype)


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages alive, and stops a run at its first tensor too many."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self._max_bytes = max_bytes
        self._live_bytes = 0
        self._seen: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.add(tree_leaves(result))
        return result

    def add(self, values: list[Any]) -> None:
        for value in values:
            if isinstance(value, Tensor):
                self._add_storage(value.untyped_storage())

    def _add_storage(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._seen:
            return
        size = storage.nbytes()

        def gone(_: object) -> None:
            self._seen.pop(key, None)
            self._live_bytes -= size

        self._seen[key] = weakref.ref(storage, gone)
        self._live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self._live_bytes)
        _check_memory(self._live_bytes, self._max_bytes)


def _check_memory(size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise ModelError(
            f"one step needs more than {max_bytes / limits.MIB:,.1f} MiB of memory",
            code="SHOAL-M09",
            hint="a smaller batch_size in recipe.json usually helps",
        )


def _short(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
