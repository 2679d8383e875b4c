"""Every example is a task as it stands, and trains apart as well as it does in one place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from shoal.core import limits
from shoal.errors import DataError
from shoal.learn import data, update
from shoal.learn.aggregate import UpdateFile, aggregate
from shoal.learn.chunks import cut, write_chunk
from shoal.learn.export import Exported, export_model, load_author_model
from shoal.learn.interpreter import GraphModel
from shoal.learn.recipe import Recipe
from shoal.learn.train import evaluate, train_central, train_unit

EXAMPLES = Path(__file__).parents[3] / "examples"
FASHION = Path("/usr/share/datasets/fashion-mnist")
NAMES = [
    "breast_cancer",
    "digits",
    pytest.param(
        "fashion_mnist", marks=pytest.mark.skipif(not FASHION.is_dir(), reason="apt install dataset-fashion-mnist")
    ),
]
ROWS = {"breast_cancer": 569, "digits": 1_797, "fashion_mnist": 12_000}
CLASSES = {"breast_cancer": 2, "digits": 10, "fashion_mnist": 10}
SHAPES = {"breast_cancer": (30,), "digits": (1, 8, 8), "fashion_mnist": (1, 28, 28)}


@dataclass(frozen=True)
class Example:
    recipe: Recipe
    dataset: data.Dataset
    split: data.Split
    exported: Exported

    def model(self) -> GraphModel:
        return GraphModel.from_bytes(self.exported.document, self.exported.weights)


def _open(name: str) -> Example:
    folder = EXAMPLES / name
    recipe = Recipe.from_dict(json.loads((folder / "recipe.json").read_text()))
    dataset = data.load_any(folder, None, target="classes")
    split = data.split(dataset, seed=recipe.seed)
    torch.manual_seed(recipe.seed)
    module = load_author_model(folder / "model.py")
    exported = export_model(module, (_tensor(split.train.x[:8]),), recipe, _tensor(split.train.y[:8]))
    return Example(recipe, dataset, split, exported)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_can_be_shipped_as_it_stands(name, tmp_path: Path):
    example = _open(name)
    assert example.recipe.trainers is not None
    description = data.describe(example.dataset)
    assert description.rows == ROWS[name] and description.shape == SHAPES[name]
    assert description.classes is not None and len(description.classes) == CLASSES[name]
    assert example.model().document.output.shape == (CLASSES[name],)
    for piece in cut(example.split.train, example.recipe.trainers, seed=example.recipe.seed):
        assert len(piece.x) >= example.recipe.batch_size
        write_chunk(tmp_path / "chunk", piece.x, piece.y)
        assert (tmp_path / "chunk").stat().st_size < limits.CHUNK_BYTES / 4


@pytest.mark.parametrize("name", NAMES[:2])
def test_four_trainers_reach_within_two_points_of_training_in_one_place(name, tmp_path: Path):
    example = _open(name)
    recipe, model = example.recipe, example.model()
    x, y = _tensor(example.split.test.x), _tensor(example.split.test.y)
    alone = train_central(
        model,
        model.state(),
        _tensor(example.split.train.x),
        _tensor(example.split.train.y),
        recipe,
        steps=4 * recipe.local_steps * recipe.rounds,
        seed=recipe.seed,
    )
    together = evaluate(model, _federate(example, tmp_path), x, y, recipe)
    assert together.metric >= evaluate(model, alone, x, y, recipe).metric - 0.02
    assert together.metric > 0.95


def _federate(example: Example, folder: Path) -> update.State:
    model, recipe = example.model(), example.recipe
    pieces = cut(example.split.train, 4, seed=recipe.seed)
    state, base = model.state(), folder / "0"
    update.write_state(base, state)
    for round in range(1, recipe.rounds + 1):
        updates = []
        for chunk, piece in enumerate(pieces):
            seed = 1_000 * round + chunk
            unit = train_unit(model, state, _tensor(piece.x), _tensor(piece.y), recipe, seed=seed, round=round)
            path = folder / f"{round}-{chunk}"
            update.write_state(path, update.difference(unit.state, state))
            updates.append(UpdateFile(path, unit.samples, chunk))
        made = aggregate(base, updates, folder / f"{round}", model.document, max_norm=None)
        assert made.included == [0, 1, 2, 3]
        base = folder / f"{round}"
        state = update.read_state(base, model.document)
    return state


def test_a_missing_package_is_named(tmp_path: Path):
    code = (EXAMPLES / "fashion_mnist" / "data.py").read_text()
    (tmp_path / "data.py").write_text(code.replace(str(FASHION), str(tmp_path / "none")))
    with pytest.raises(DataError, match="apt install dataset-fashion-mnist"):
        data.load_any(tmp_path, None, target="classes")


def test_examples_import_nothing_of_shoal():
    for path in EXAMPLES.glob("*/*.py"):
        assert "shoal" not in path.read_text(), path
