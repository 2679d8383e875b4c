"""A recipe says what is wrong with it, and needs no torch to be read."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.codec import decode, encode
from shoal.errors import ModelError
from shoal.learn.recipe import Recipe
from shoal.learn.train import make_optimizer

GOOD = {"loss": "cross_entropy", "optimizer": {"name": "sgd", "lr": 0.1}, "batch_size": 32, "local_steps": 20}


def test_defaults_follow_the_loss():
    parsed = Recipe.from_dict(GOOD)
    assert (parsed.metric, parsed.schedule, parsed.rounds, parsed.trainers) == ("accuracy", "constant", 10, None)
    assert Recipe.from_dict(GOOD | {"loss": "mse"}).metric == "mae"


@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        {"name": "adam", "lr": 1e-3, "betas": [0.8, 0.99], "eps": 1e-7},
        {"name": "adamw", "lr": 1, "weight_decay": 0.1},
    ],
)
def test_every_field_survives_the_manifests_encoding_and_reaches_torch(optimizer):
    value = GOOD | {
        "optimizer": optimizer,
        "schedule": "cosine",
        "seed": 7,
        "grad_clip": 1.5,
        "rounds": 3,
        "trainers": 2,
        "auditors": 3,
        "audits": 9,
    }
    parsed = Recipe.from_dict(value)
    data = encode(parsed.as_dict())
    assert Recipe.from_dict(decode(data, max_bytes=10_000)) == parsed
    [group] = make_optimizer([torch.nn.Parameter(torch.zeros(1))], parsed).param_groups
    for key, expected in optimizer.items():
        if key != "name":
            assert group[key] == (tuple(expected) if isinstance(expected, list) else expected)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"loss": "hinge"}, "loss"),
        ({"loss": ["mse"]}, "loss"),
        ({"metric": "mae"}, "metric"),
        ({"auditors": 9}, "auditors"),
        ({"audits": 0}, "audits"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 32.0}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"local_steps": 10**9}, "local_steps"),
        ({"rounds": 0}, "rounds"),
        ({"trainers": 0}, "trainers"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"schedule": "eval"}, "schedule"),
        ({"grad_clip": float("nan")}, "grad_clip"),
        ({"grad_clip": 0}, "grad_clip"),
        ({"optimizer": "sgd"}, "optimizer"),
        ({"optimizer": {"name": "lbfgs", "lr": 1}}, "optimizer.name"),
        ({"optimizer": {"name": "sgd"}}, "optimizer.lr"),
        ({"optimizer": {"name": "sgd", "lr": float("inf")}}, "optimizer.lr"),
        ({"optimizer": {"name": "sgd", "lr": "0.1"}}, "optimizer.lr"),
        ({"optimizer": {"name": "sgd", "lr": 0.1, "betas": [0.9, 0.9]}}, "betas"),
        ({"optimizer": {"name": "sgd", "lr": 0.1, "nesterov": True}}, "nesterov"),
        ({"optimizer": {"name": "adam", "lr": 0.1, "betas": [0.9, 1.0]}}, "betas"),
        ({"optimizer": {"name": "adam", "lr": 0.1, "capturable": True}}, "capturable"),
        ({"callback": "os.system"}, "callback"),
    ],
)
def test_a_wrong_field_is_named(change, field):
    with pytest.raises(ModelError) as caught:
        Recipe.from_dict(GOOD | change)
    assert caught.value.code == "SHOAL-M10"
    assert field in caught.value.message


@pytest.mark.parametrize("field", GOOD)
def test_a_missing_field_is_named(field):
    with pytest.raises(ModelError, match=field):
        Recipe.from_dict({key: value for key, value in GOOD.items() if key != field})


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([*Recipe.__dataclass_fields__]), _json)
def test_no_value_raises_anything_but_a_model_error(field, value):
    try:
        parsed = Recipe.from_dict(GOOD | {field: value})
    except ModelError:
        return
    assert Recipe.from_dict(parsed.as_dict()) == parsed


def test_cosine_falls_from_lr_to_nothing():
    cosine = Recipe.from_dict(GOOD | {"schedule": "cosine"})
    rates = [cosine.lr_at(step, 200) for step in range(201)]
    assert rates[0] == 0.1
    assert rates[100] == pytest.approx(0.05)
    assert rates[200] == pytest.approx(0.0, abs=1e-12)
    assert rates == sorted(rates, reverse=True)
    assert Recipe.from_dict(GOOD).lr_at(150, 200) == 0.1


def test_reading_a_recipe_does_not_load_torch():
    code = "import sys, shoal.learn.recipe; assert not {'torch', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
