"""Exported models train like eager ones, and models that would not are refused with the right code."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shoal.errors import ModelError
from shoal.learn import document
from shoal.learn.export import export_model, load_author_model
from shoal.learn.interpreter import GraphModel
from shoal.learn.objective import loss_of
from shoal.learn.train import batch_indices, train_unit

from .families import FAMILIES, Adapter, Gpt, LogisticRegression, Mlp, recipe


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_trains_as_in_eager_after_a_trip_through_bytes(name, exported):
    family = FAMILIES[name]
    made = exported(name)
    losses = []
    graph = GraphModel.from_bytes(made.document, made.weights)
    unit = train_unit(
        graph,
        graph.state(),
        family.x,
        family.y,
        family.recipe,
        seed=7,
        round=1,
        progress=lambda done, steps, loss: losses.append(loss),
    )

    torch.manual_seed(0)
    eager = family.build().train()
    parameters = [p for p in eager.parameters() if p.requires_grad]
    chosen = family.recipe.optimizer
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[chosen.name]
    optimizer = kind(parameters, lr=chosen.lr, **chosen.options)
    batches = batch_indices(len(family.x), family.recipe.batch_size, 7)
    expected = []
    torch.manual_seed(7)
    for step in range(family.recipe.local_steps):
        rows = next(batches)
        for group in optimizer.param_groups:
            group["lr"] = family.recipe.lr_at(step, family.recipe.rounds * family.recipe.local_steps)
        optimizer.zero_grad()
        loss = loss_of(family.recipe, eager(family.x[rows]), family.y[rows])
        loss.backward()
        if family.recipe.grad_clip:
            nn.utils.clip_grad_norm_(parameters, family.recipe.grad_clip)
        optimizer.step()
        expected.append(loss.item())

    assert losses == pytest.approx(expected, rel=1e-5)
    final = eager.state_dict()
    for tensor_name, tensor in unit.state.items():
        torch.testing.assert_close(tensor, final[tensor_name], rtol=1e-4, atol=1e-6)
    eager.eval()
    with torch.no_grad():
        torch.testing.assert_close(graph.eval()(family.x), eager(family.x), rtol=1e-4, atol=1e-5)
    assert losses[0] != losses[-1]


@pytest.mark.parametrize("name", FAMILIES)
def test_parsing_gives_back_the_same_bytes(name, exported):
    data = exported(name).document
    assert document.parse(data).to_bytes() == data


def test_tied_and_frozen_weights_are_kept_once_and_as_they_are(exported):
    gpt = GraphModel.from_bytes(exported("gpt").document, exported("gpt").weights)
    assert gpt.document.tied == {"head.weight": "tokens.weight"}
    assert len(list(gpt.parameters())) == len(list(Gpt().parameters()))

    adapter = FAMILIES["adapter"]
    graph = GraphModel.from_bytes(exported("adapter").document, exported("adapter").weights)
    before = graph.state()
    after = train_unit(graph, before, adapter.x, adapter.y, adapter.recipe, seed=1, round=1).state
    assert torch.equal(before["base.weight"], after["base.weight"])
    assert not torch.equal(before["up.weight"], after["up.weight"])


def test_export_leaves_the_authors_module_as_it_was():
    module = Mlp().eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    family = FAMILIES["mlp"]
    export_model(module, (family.x[:4],), family.recipe, family.y[:4])
    assert not module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


class _WrongBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 7


class OwnGradient(LogisticRegression):
    def forward(self, x: Tensor) -> Tensor:
        return _WrongBackward.apply(self.layer(x))


class PythonNoise(LogisticRegression):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * (1 + random.random())


class Branching(LogisticRegression):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if x.sum() > 0 else -self.layer(x)


class FixedBatch(LogisticRegression):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.reshape(6, 6))


class OddOperator(LogisticRegression):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.special.bessel_j0(x) + x)


class Strided(LogisticRegression):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.as_strided(x, (x.shape[0], 6), (6, 1)))


class Logarithm(LogisticRegression):
    def forward(self, x: Tensor) -> Tensor:
        return torch.log(self.layer(x) - 1e6)


class Pair(LogisticRegression):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x), x


class Summed(LogisticRegression):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).sum(0)


class LargeConstant(LogisticRegression):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.zeros(1200, 1200), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.mask.sum()


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (Branching, "SHOAL-M01"),
        (FixedBatch, "SHOAL-M01"),
        (Pair, "SHOAL-M01"),
        (Summed, "SHOAL-M01"),
        (OwnGradient, "SHOAL-M02"),
        (PythonNoise, "SHOAL-M02"),
        (OddOperator, "SHOAL-M03"),
        (Strided, "SHOAL-M03"),
        (Logarithm, "SHOAL-M04"),
        (LargeConstant, "SHOAL-M05"),
    ],
)
def test_a_model_that_would_not_train_right_is_refused(build, code):
    family = FAMILIES["logreg"]
    with pytest.raises(ModelError) as caught:
        export_model(build(), (family.x[:6],), family.recipe, family.y[:6])
    assert caught.value.code == code, caught.value.message


def test_class_ids_beyond_the_last_layer_are_refused():
    family = FAMILIES["logreg"]
    with pytest.raises(ModelError, match="outside the model's 3 classes") as caught:
        export_model(LogisticRegression(), (family.x[:6],), family.recipe, family.y[:6] + 3)
    assert caught.value.code == "SHOAL-M07"


def test_a_refused_operator_is_named_with_the_authors_line():
    family = FAMILIES["logreg"]
    with pytest.raises(ModelError, match=r"special_bessel_j0.*test_export\.py"):
        export_model(OddOperator(), (family.x[:6],), family.recipe, family.y[:6])


def test_what_a_graph_may_not_carry_over_is_compared_too():
    """A counter that is a plain attribute is frozen by export; only comparison can see it."""

    class Counting(Adapter):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return super().forward(x) * self.calls

    family = FAMILIES["logreg"]
    with pytest.raises(ModelError) as caught:
        export_model(Counting(), (family.x[:6],), family.recipe, family.y[:6])
    assert caught.value.code in ("SHOAL-M01", "SHOAL-M02")


@pytest.mark.parametrize("loss", ["mse", "bce_with_logits"])
def test_one_output_against_flat_targets_does_not_broadcast(loss):
    output, y = torch.tensor([[0.5], [2.0], [-1.0]]), torch.tensor([0.0, 1.0, 1.0])
    direct = F.mse_loss if loss == "mse" else F.binary_cross_entropy_with_logits
    assert loss_of(recipe(loss), output, y).item() == pytest.approx(direct(output[:, 0], y).item())


def test_the_authors_file_is_loaded_with_its_neighbours(tmp_path: Path):
    (tmp_path / "sizes_beside.py").write_text("WIDTH = 5\n")
    (tmp_path / "model.py").write_text(
        "from torch import nn\nfrom sizes_beside import WIDTH\n\n"
        "class Net(nn.Linear):\n    def __init__(self):\n        super().__init__(WIDTH, 2)\n"
    )
    assert load_author_model(tmp_path / "model.py").weight.shape == (2, 5)


@pytest.mark.parametrize("text", ["", "raise RuntimeError('no')", "class Net: pass", "syntax error", "Net = 3"])
def test_an_unusable_author_file_is_a_clear_error(tmp_path: Path, text: str):
    (tmp_path / "model.py").write_text(text)
    with pytest.raises(ModelError) as caught:
        load_author_model(tmp_path / "model.py")
    assert caught.value.code == "SHOAL-M08"
    with pytest.raises(ModelError, match="no model at"):
        load_author_model(tmp_path / "absent.py")
