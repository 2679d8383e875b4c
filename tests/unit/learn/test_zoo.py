"""Models of the zoo train, on what they say that they take; what none is made for is refused."""

from __future__ import annotations

import pytest
import torch

from shoal.errors import UsageError
from shoal.learn import document, train, update, zoo
from shoal.learn.interpreter import GraphModel
from shoal.learn.objective import blank_targets


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [("linear", (5,), 3), ("linear", (5,), 0), ("mlp", (4, 4), 2), ("cnn", (8, 8), 10), ("cnn", (3, 9, 12), 2)],
)
def test_a_model_trains_and_its_weights_are_in_the_layout_of_trainers(
    name: str, shape: tuple[int, ...], classes: int
) -> None:
    made = zoo.make(name, shape, classes, hidden=8)
    parsed = document.parse(made.document)
    assert parsed.input.shape == shape and parsed.output.shape == (classes or 1,)
    state = update.parse_state(made.weights, parsed)
    model = GraphModel(parsed, state)
    x = torch.randn(40, *shape)
    y = torch.arange(40) % classes if classes else x.reshape(40, -1).sum(1)
    assert y.shape == blank_targets(made.recipe, parsed.output, 40).reshape(40, -1)[:, 0].shape
    before = train.evaluate(model, state, x, y, made.recipe)
    trained = train.train_central(model, state, x, y, made.recipe, steps=60, seed=1)
    assert train.evaluate(model, trained, x, y, made.recipe).loss < before.loss


def test_the_same_wish_is_the_same_model() -> None:
    assert zoo.make("mlp", (3,), 2, seed=4) == zoo.make("mlp", (3,), 2, seed=4)
    assert zoo.make("mlp", (3,), 2, seed=4).weights != zoo.make("mlp", (3,), 2, seed=5).weights


@pytest.mark.parametrize(
    ("name", "shape", "classes", "hidden"),
    [
        ("gpt", (4,), 2, 64), ("cnn", (4,), 2, 64), ("cnn", (7, 8), 2, 64), ("mlp", (), 2, 64), ("mlp", (0,), 2, 64),
        ("mlp", (10**9,), 2, 64), ("mlp", (4,), 1, 64), ("mlp", (4,), 10**6, 64), ("mlp", (4,), 2, 10**6),
    ],
)  # fmt: skip
def test_what_none_is_made_for_is_refused(name: str, shape: tuple[int, ...], classes: int, hidden: int) -> None:
    with pytest.raises(UsageError) as caught:
        zoo.make(name, shape, classes, hidden=hidden)
    assert caught.value.code == "SHOAL-U91"
