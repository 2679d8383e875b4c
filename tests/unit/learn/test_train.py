"""A unit of work is the same bits wherever its seed goes, and evaluation says what it should."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from shoal.errors import EngineError, ModelError
from shoal.learn.interpreter import GraphModel
from shoal.learn.train import batch_indices, evaluate, train_central, train_unit
from shoal.learn.update import hash_state, write_state

from .families import FAMILIES, recipe


def _model(made) -> GraphModel:
    return GraphModel.from_bytes(made.document, made.weights)


def _train(made, name: str, *, seed: int = 5, round: int = 1, **changes):
    family = FAMILIES[name]
    model = _model(made)
    return train_unit(
        model, model.state(), family.x, family.y, replace(family.recipe, **changes), seed=seed, round=round
    )


_CHILD = """
import json, sys
import torch
from pathlib import Path
from shoal.learn.interpreter import GraphModel
from shoal.learn.recipe import Recipe
from shoal.learn.train import train_unit
from shoal.learn.update import hash_state
from safetensors.torch import load_file
folder = Path(sys.argv[1])
model = GraphModel.from_bytes((folder / "graph.json").read_bytes(), (folder / "initial.safetensors").read_bytes())
data = load_file(folder / "data.safetensors")
recipe = Recipe.from_dict(json.loads((folder / "recipe.json").read_text()))
torch.rand(3)
unit = train_unit(model, model.state(), data["x"], data["y"], recipe, seed=5, round=2)
print(hash_state(unit.state).hex(), unit.chain.hex())
"""


@pytest.mark.parametrize("name", ["cnn", "gpt"])
def test_two_processes_train_to_the_same_bits(name, exported, tmp_path: Path):
    family, made = FAMILIES[name], exported(name)
    (tmp_path / "graph.json").write_bytes(made.document)
    (tmp_path / "initial.safetensors").write_bytes(made.weights)
    write_state(tmp_path / "data.safetensors", {"x": family.x, "y": family.y})
    (tmp_path / "recipe.json").write_text(json.dumps(family.recipe.as_dict()))
    ours = _train(made, name, round=2)
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tmp_path)], capture_output=True, text=True, timeout=120, check=True
    )
    assert child.stdout.split() == [hash_state(ours.state).hex(), ours.chain.hex()]


def test_a_unit_depends_on_its_arguments_alone(exported):
    """Not on what the model did before, nor on the caller's random numbers, which it leaves alone."""
    family, made = FAMILIES["cnn"], exported("cnn")
    model = _model(made)
    start = model.state()
    torch.manual_seed(1)
    first = train_unit(model, start, family.x, family.y, family.recipe, seed=5, round=1)
    drawn = torch.rand(1)
    train_unit(model, first.state, family.x, family.y, family.recipe, seed=6, round=2)
    again = train_unit(model, start, family.x, family.y, family.recipe, seed=5, round=1)
    assert (hash_state(first.state), first.chain) == (hash_state(again.state), again.chain)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)


@pytest.mark.parametrize("change", [{"seed": 6}, {"round": 2}, {"local_steps": 4}])
def test_the_chain_commits_to_the_whole_run(change, exported):
    assert _train(exported("cnn"), "cnn").chain != _train(exported("cnn"), "cnn", **change).chain


def test_a_unit_runs_exactly_its_steps_over_a_chunk_smaller_than_a_batch(exported):
    family, seen = FAMILIES["mlp"], []
    model = _model(exported("mlp"))
    unit = train_unit(
        model,
        model.state(),
        family.x[:3],
        family.y[:3],
        family.recipe,
        seed=1,
        round=1,
        progress=lambda done, steps, loss: seen.append((done, steps)),
    )
    assert seen == [(step, 5) for step in range(1, 6)]
    assert unit.samples == 3
    assert unit.state["net.1.num_batches_tracked"].item() == 5


def test_every_row_is_seen_once_an_epoch_and_no_batch_is_short():
    batches = batch_indices(12, 4, seed=3)
    epochs = [torch.cat([next(batches) for _ in range(3)]) for _ in range(2)]
    assert all(sorted(epoch.tolist()) == list(range(12)) for epoch in epochs)
    assert not torch.equal(*epochs)
    uneven = batch_indices(10, 4, seed=3)
    assert {len(next(uneven)) for _ in range(9)} == {4}


def test_a_loss_that_explodes_is_an_engine_error(exported):
    family = FAMILIES["autoencoder"]
    model = _model(exported("autoencoder"))
    x = family.x.clone()
    x[:, 0] = float("inf")
    with pytest.raises(EngineError) as caught:
        train_unit(model, model.state(), x, family.y, family.recipe, seed=1, round=1)
    assert caught.value.code == "SHOAL-E02"
    y = family.y * 1e30
    with pytest.raises(EngineError) as caught:
        train_unit(model, model.state(), family.x, y, family.recipe, seed=1, round=1)
    assert caught.value.code == "SHOAL-E02"


def test_weights_that_explode_at_the_last_step_are_an_engine_error(exported):
    """The loss is finite at every step; only the state that would be shipped is not."""
    family = FAMILIES["logreg"]
    model = _model(exported("logreg"))
    x = family.x * 1e30
    bad = recipe(optimizer={"name": "sgd", "lr": 1000.0}, local_steps=1, batch_size=24)
    with pytest.raises(EngineError) as caught:
        train_unit(model, model.state(), x * 1e7, family.y, bad, seed=1, round=1)
    assert caught.value.code == "SHOAL-E02"


def test_evaluation_is_the_mean_over_rows_whatever_the_batches(exported):
    family, model = FAMILIES["cnn"], _model(exported("cnn"))
    state = model.state()
    model.eval()
    with torch.no_grad():
        output = model(family.x)
    expected_loss = F.cross_entropy(output, family.y).item()
    expected_accuracy = (output.argmax(-1) == family.y).double().mean().item()
    for batch_size in (1, 7, 24, 100):
        found = evaluate(model, state, family.x, family.y, replace(family.recipe, batch_size=batch_size))
        assert found.loss == pytest.approx(expected_loss, rel=1e-5)
        assert found.metric == pytest.approx(expected_accuracy)
        assert found.samples == len(family.x)
    after = model.state()
    assert all(torch.equal(state[name], after[name]) for name in state), "evaluation must not touch running statistics"


def test_central_training_learns_and_keeps_its_optimizer(exported):
    family, model = FAMILIES["autoencoder"], _model(exported("autoencoder"))
    start = model.state()
    before = evaluate(model, start, family.x, family.y, family.recipe)
    trained = train_central(model, start, family.x, family.y, family.recipe, steps=60, seed=1)
    assert evaluate(model, trained, family.x, family.y, family.recipe).loss < before.loss
    unit = train_unit(model, start, family.x, family.y, family.recipe, seed=1, round=1)
    steps = family.recipe.local_steps
    same = train_central(model, start, family.x, family.y, family.recipe, steps=steps, seed=1)
    assert hash_state(same) == hash_state(unit.state), "one unit is central training of as many steps"


def test_states_and_targets_of_another_form_are_refused(exported):
    family, model = FAMILIES["logreg"], _model(exported("logreg"))
    state = model.state()
    for wrong in ({}, {**state, "extra": torch.zeros(1)}, {**state, "layer.bias": torch.zeros(4)},
                  {**state, "layer.bias": torch.zeros(3, dtype=torch.float64)}):  # fmt: skip
        with pytest.raises(ModelError) as caught:
            model.load_state(wrong)
        assert caught.value.code == "SHOAL-M11"
    for x, y in ((family.x, family.y[:-1]), (family.x[:0], family.y[:0]), (family.x, family.y.float()),
                 (family.x.double(), family.y), (family.x[:, :5], family.y), (family.x.long(), family.y)):  # fmt: skip
        with pytest.raises(ModelError) as caught:
            train_unit(model, state, x, y, family.recipe, seed=1, round=1)
        assert caught.value.code == "SHOAL-M07"
