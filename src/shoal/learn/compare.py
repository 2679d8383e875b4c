"""Does the exported graph train like the author's module? Outputs, loss, gradients and buffers, side by side."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shoal.errors import ModelError
from shoal.learn import document as doc
from shoal.learn.interpreter import GraphModel
from shoal.learn.objective import loss_of
from shoal.learn.recipe import Recipe

TOLERANCE = 1e-5
"""Largest difference from eager, relative to the largest value compared."""
_QUIET_GRADIENT = 1e-2
"""Gradients this far below the largest are compared on that scale: that of a bias before BatchNorm is pure noise."""
_PROBE_SEED = 20_260_101


def compare(module: nn.Module, graph: GraphModel, x: Tensor, y: Tensor, recipe: Recipe) -> tuple[float, int]:
    """Train and evaluate both on three batches of different sizes; returns the worst difference and the count."""
    generator = torch.Generator().manual_seed(_PROBE_SEED)
    sizes = (len(x), len(x) + 3, max(2, len(x) // 2))
    worst = 0.0
    for mode in doc.MODES:
        module.train(mode == "train")
        graph.train(mode == "train")
        for index, size in enumerate(sizes):
            rows = torch.randint(len(x), (size,), generator=generator)
            seed = _PROBE_SEED + index
            try:
                with quiet():
                    theirs = _probe(module, x[rows], y[rows], recipe, seed)
            except ModelError:
                raise
            except Exception as error:  # the author's own forward or backward
                raise ModelError(f"the model does not train: {error}", code="SHOAL-M01") from error
            ours = _probe(graph, x[rows], y[rows], recipe, seed)
            worst = max(worst, _difference(theirs, ours, f"in {mode} mode, batch of {size}"))
    return worst, 2 * len(sizes)


@dataclass(frozen=True)
class _Probe:
    output: Tensor
    loss: Tensor
    gradients: dict[str, Tensor]
    state: dict[str, Tensor]


def _probe(model: nn.Module, x: Tensor, y: Tensor, recipe: Recipe, seed: int) -> _Probe:
    model.zero_grad(set_to_none=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        output = model(x)
        loss = loss_of(recipe, output, y)
        if not torch.isfinite(loss):
            raise ModelError(
                f"the loss of the untrained model on {len(x)} rows is {loss.item()}",
                code="SHOAL-M04",
                hint="look for missing values or unscaled columns in the data, or for a division by 0 in the model",
            )
        torch.autograd.backward(loss)
    live = model.named_state() if isinstance(model, GraphModel) else model.state_dict(keep_vars=True)
    gradients = {name: tensor.grad for name, tensor in live.items() if tensor.grad is not None}
    return _Probe(output.detach(), loss.detach(), gradients, {n: t.detach() for n, t in live.items()})


def _difference(theirs: _Probe, ours: _Probe, where: str) -> float:
    names = {name for name in theirs.gradients if name in ours.state}  # one of each set of tied names
    if names != set(ours.gradients):
        odd = sorted(names ^ set(ours.gradients))[0]
        raise _differs(f"the gradient of {odd}", where, "one of them has none")
    loudest = max((_scale(theirs.gradients[name]) for name in names), default=0.0)
    pairs = [("the output", theirs.output, ours.output, 0.0), ("the loss", theirs.loss, ours.loss, 0.0)]
    pairs += [
        (f"the gradient of {name}", theirs.gradients[name], ours.gradients[name], loudest * _QUIET_GRADIENT)
        for name in sorted(names)
    ]
    pairs += [(f"{name}", theirs.state[name], tensor, 0.0) for name, tensor in ours.state.items()]
    worst = 0.0
    for what, expected, found, floor in pairs:
        if expected.shape != found.shape or expected.dtype != found.dtype:
            raise _differs(what, where, f"{found.dtype} {list(found.shape)}")
        gap = _scale(expected.double() - found.double())
        scale = max(_scale(expected), floor)
        relative = gap / scale if scale else gap
        if not relative <= TOLERANCE:
            raise _differs(what, where, f"{relative:.2g} of its scale")
        worst = max(worst, relative)
    return worst


def _scale(tensor: Tensor) -> float:
    return tensor.double().abs().max().item() if tensor.numel() else 0.0


def _differs(what: str, where: str, how: str) -> ModelError:
    return ModelError(
        f"the exported model trains differently from the original: {what} differs {where} ({how})",
        code="SHOAL-M02",
        hint="common causes: a custom autograd.Function, Python's or numpy's random numbers in forward, "
        "state kept outside parameters and buffers",
    )


@contextmanager
def quiet() -> Iterator[None]:
    """torch.export and an author's code may warn of what does not matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
