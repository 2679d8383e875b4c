"""Ready models for users without Python: each made for the shape of their data, with a recipe that suits it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shoal.errors import UsageError
from shoal.learn import export, update
from shoal.learn.interpreter import GraphModel
from shoal.learn.recipe import Recipe

CLASSES, FEATURES, HIDDEN = 1_000, 3 * 256 * 256, 1_024
"""Most of each."""
_EXAMPLES = 4
_POOLED = 2
"""What is left of an image's side after two poolings, at least."""


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of model."""

    name: str
    title: str
    about: str
    ranks: tuple[int, ...]
    """How many dimensions one row may have."""
    build: Callable[[Sequence[int], int, int], nn.Module]
    recipe: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """A model of the zoo, ready to be trained."""

    document: bytes
    weights: bytes
    """Initial state, in the layout that trainers read."""
    recipe: Recipe


def _linear(shape: Sequence[int], outputs: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), outputs))


def _mlp(shape: Sequence[int], outputs: int, hidden: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape), hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
    )


class _Cnn(nn.Module):
    """Two convolutions with BatchNorm; `[height, width]` is one channel, `[channels, height, width]` several."""

    def __init__(self, shape: Sequence[int], outputs: int, hidden: int) -> None:
        super().__init__()
        channels, height, width = shape if len(shape) == 3 else (1, *shape)
        self.is_flat = len(shape) == 2
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        inside = 32 * (height // 4) * (width // 4)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(inside, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.features(x.unsqueeze(1) if self.is_flat else x))
        return result


_RECIPE = {"optimizer": {"name": "adam", "lr": 0.002}, "batch_size": 32, "local_steps": 40, "rounds": 10, "seed": 1}
TEMPLATES = {
    each.name: each
    for each in (
        Template(
            "linear", "Linear model", "One layer: logistic regression for classes, linear regression for values. "
            "Scale the columns first.", (1, 2, 3), _linear,
            {**_RECIPE, "optimizer": {"name": "adam", "lr": 0.02}},
        ),
        Template(
            "mlp", "Neural network", "Three layers, for tables and small images.", (1, 2, 3), _mlp, _RECIPE,
        ),
        Template(
            "cnn", "Image network", "Two convolutions with BatchNorm, for images of 8 x 8 pixels or more.", (2, 3),
            _Cnn, _RECIPE,
        ),
    )
}  # fmt: skip
"""By name."""


def make(name: str, shape: Sequence[int], classes: int, *, hidden: int = 64, seed: int = 1) -> Made:
    """A model for rows of a shape.

    >>> made = make("mlp", (30,), classes=2)
    >>> made.recipe.loss
    'cross_entropy'

    Args:
        shape: of one row, which is float32.
        classes: how many; 0 for one number to predict (a regression).
        hidden: width of the inner layers.
        seed: of the initial weights, and of the training.

    Raises:
        UsageError: SHOAL-U91, there is no such template, or none for this shape.
    """
    template = TEMPLATES.get(name)
    if template is None:
        raise _unfit(f"there is no template {name!r}; there are {', '.join(TEMPLATES)}")
    if len(shape) not in template.ranks or min(shape, default=0) < 1 or math.prod(shape) > FEATURES:
        raise _unfit(f"{name} takes no rows of the shape {list(shape)}")
    if classes == 1 or not 0 <= classes <= CLASSES or not 1 <= hidden <= HIDDEN:
        raise _unfit(f"classes is 0 or 2 to {CLASSES}, hidden 1 to {HIDDEN}")
    if name == "cnn" and min(shape[-2:]) < 4 * _POOLED:
        raise _unfit(f"cnn needs images of {4 * _POOLED} x {4 * _POOLED} pixels or more, not {list(shape[-2:])}")
    loss = {"loss": "cross_entropy", "metric": "accuracy"} if classes else {"loss": "mse", "metric": "mae"}
    recipe = Recipe.from_dict({**template.recipe, **loss, "seed": seed})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = template.build(tuple(shape), classes or 1, hidden)
        x = torch.randn(_EXAMPLES, *shape)
        y = torch.arange(_EXAMPLES) % classes if classes else torch.randn(_EXAMPLES, 1)
        exported = export.export_model(module, (x,), recipe, y)
    state = GraphModel.from_bytes(exported.document, exported.weights).state()
    return Made(exported.document, update.dump_state(state), recipe)


def _unfit(what: str) -> UsageError:
    return UsageError(what, code="SHOAL-U91", hint="GET /api/v1/zoo tells what there is")
