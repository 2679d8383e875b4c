"""What an ML user brings: objects take the same way as files, and nothing happens to what is in memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from shoal.client.prepare import examine, initial_state
from shoal.client.source import DEFAULT_RECIPE, Source, recipe_of
from shoal.errors import ModelError, UsageError

X = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
MODEL = "from torch import nn\nclass Net(nn.Linear):\n    def __init__(self): super().__init__(4, 2)\n"
RECIPE = {"loss": "cross_entropy", "optimizer": {"name": "sgd", "lr": 0.1}, "batch_size": 8, "local_steps": 5}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE))
    np.savez(tmp_path / "rows.npz", x=X, y=Y)
    return tmp_path


def test_a_module_is_exported_as_it_is_and_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)).eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module[0].weight.grad = torch.ones_like(module[0].weight)
    random = torch.get_rng_state()
    examined = examine(Source(module, (X, Y)), {"rounds": 3})
    assert torch.equal(torch.get_rng_state(), random)
    assert not module.training and module[0].weight.grad is not None
    initial = initial_state(examined)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert torch.equal(initial[name], tensor)
    assert (examined.name, examined.recipe.loss, examined.recipe.rounds) == ("Sequential", "cross_entropy", 3)
    assert examined.recipe.local_steps == DEFAULT_RECIPE["local_steps"]


def test_objects_and_files_give_the_same(folder: Path) -> None:
    files = examine(Source(folder, folder / "rows.npz"), {})
    mixed = examine(Source(folder / "model.py", (X, Y)), {})
    assert mixed.exported.document == files.exported.document
    assert mixed.exported.weights == files.exported.weights
    assert np.array_equal(mixed.split.test.x, files.split.test.x)


def test_a_table_changes_single_fields_of_the_recipe(folder: Path) -> None:
    recipe = recipe_of(Source(folder, None, {"local_steps": 9}), {"rounds": 2})
    assert (recipe.local_steps, recipe.rounds, recipe.optimizer.name) == (9, 2, "sgd")
    (folder / "recipe.json").unlink()
    with pytest.raises(UsageError) as error:
        recipe_of(Source(folder), {})
    assert error.value.code == "SHOAL-U04"
    assert recipe_of(Source(folder, None, RECIPE), {}).batch_size == 8
    with pytest.raises(ModelError) as wrong:
        recipe_of(Source(nn.Linear(1, 1), (X, Y), {"speed": 3}), {})
    assert wrong.value.code == "SHOAL-M10"


def test_numbers_to_predict_are_compared_as_numbers() -> None:
    examined = examine(Source(nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), (X, X[:, 0])), {})
    assert (examined.recipe.loss, examined.classes) == ("mse", None)


def test_a_module_alone_or_that_cannot_be_copied() -> None:
    with pytest.raises(UsageError) as alone:
        examine(Source(nn.Linear(4, 2)), {})
    assert alone.value.code == "SHOAL-U11"
    module = nn.Linear(4, 2)
    module.kept = module(torch.zeros(1, 4))  # not a leaf: torch refuses to copy it
    with pytest.raises(ModelError) as stuck:
        examine(Source(module, (X, Y)), {})
    assert stuck.value.code == "SHOAL-M01"
