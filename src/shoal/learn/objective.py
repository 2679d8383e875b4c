"""Loss and metric of a recipe, on one output and its targets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from shoal.errors import ModelError
from shoal.learn.document import TensorSpec
from shoal.learn.recipe import Recipe


def loss_of(recipe: Recipe, output: Tensor, y: Tensor) -> Tensor:
    """Mean loss over a batch, a scalar.

    Args:
        output: `[rows, classes]` (or `[rows, ..., classes]`) for cross_entropy; else as many values as `y`.
        y: int64 class ids `[rows]` (or `[rows, ...]`), or floats.

    Raises:
        ModelError: SHOAL-M07, output and targets do not fit each other.
    """
    output, y = _fit(recipe, output, y)
    if recipe.loss == "cross_entropy":
        try:
            return F.cross_entropy(output, y)
        except IndexError as error:
            raise ModelError(
                f"a class id is outside the model's {output.shape[-1]} classes: {error}",
                code="SHOAL-M07",
                hint="the last layer needs one output for each class",
            ) from error
    if recipe.loss == "mse":
        return F.mse_loss(output, y)
    return F.binary_cross_entropy_with_logits(output, y)


def metric_of(recipe: Recipe, output: Tensor, y: Tensor) -> Tensor:
    """Mean accuracy (0 to 1) or mean absolute error over a batch, a float64 scalar."""
    output, y = _fit(recipe, output.detach(), y)
    if recipe.metric == "mae":
        return (output.double() - y.double()).abs().mean()
    if recipe.loss == "cross_entropy":
        return (output.argmax(-1) == y).double().mean()
    return ((output > 0) == (y > 0.5)).double().mean()


def blank_targets(recipe: Recipe, output: TensorSpec, rows: int) -> Tensor:
    """Zeros in the form of the targets that fit an output; `output` is the spec of one row."""
    if recipe.loss == "cross_entropy":
        return torch.zeros((rows, *output.shape[:-1]), dtype=torch.int64)
    return torch.zeros((rows, *output.shape), dtype=torch.float32)


def _fit(recipe: Recipe, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if recipe.loss == "cross_entropy":
        if y.dtype != torch.int64 or output.ndim < 2 or output.shape[:-1] != y.shape:
            raise _misfit(recipe, output, y, "class ids, one for each row of scores")
        return output.flatten(0, -2), y.flatten()
    # [rows, 1] against [rows] would broadcast to [rows, rows] and train on nonsense.
    if not y.dtype.is_floating_point or output.numel() != y.numel() or output.shape[:1] != y.shape[:1]:
        raise _misfit(recipe, output, y, "as many floats as the model puts out")
    return output.reshape(y.shape), y.to(output.dtype)


def _misfit(recipe: Recipe, output: Tensor, y: Tensor, wanted: str) -> ModelError:
    return ModelError(
        f"loss {recipe.loss!r} needs {wanted}: the output is {output.dtype} {list(output.shape)}, "
        f"the targets are {y.dtype} {list(y.shape)}",
        code="SHOAL-M07",
        hint="change the model's last layer, the loss, or the label column",
    )
