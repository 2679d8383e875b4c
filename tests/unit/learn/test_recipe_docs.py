"""docs/recipe.md names every field of a recipe, with the bounds and defaults that the parser really has."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from shoal.core import limits
from shoal.errors import ModelError
from shoal.learn.recipe import _OPTIONS, BATCH_ROWS, LOCAL_STEPS, LOSSES, SCHEDULES, Optimizer, Recipe

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "recipe.md").read_text()
GOOD: dict[str, Any] = {
    "loss": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.1},
    "batch_size": 8,
    "local_steps": 4,
}


def rows(part: str) -> dict[str, list[str]]:
    """Field -> the other cells of its row."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| `")
    ]
    return {row[0].strip("`"): row[1:] for row in cells}


FIELDS, OPTIONS = (rows(part) for part in TEXT.split("## optimizer"))


def takes(name: str, value: Any) -> bool:
    try:
        Recipe.from_dict({**GOOD, name: value})
    except ModelError:
        return False
    return True


def takes_option(kind: str, name: str, value: Any) -> bool:
    momentum = {"momentum": 0.5} if name == "nesterov" else {}
    return takes("optimizer", {"name": kind, "lr": 0.1, **momentum, name: value})


def test_all_fields_are_named_and_no_other() -> None:
    assert list(FIELDS) != [] and set(FIELDS) == {field.name for field in dataclasses.fields(Recipe)}
    assert set(OPTIONS) == {"name", "lr", *(option for options in _OPTIONS.values() for option in options)}


def test_choices_are_those_that_there_are() -> None:
    def words(text: str) -> set[str]:
        return set(re.findall(r"`([a-z_]+)`", text))

    assert words(FIELDS["loss"][0]) == set(LOSSES)
    assert words(FIELDS["schedule"][0]) == set(SCHEDULES)
    assert words(FIELDS["metric"][0]) == {metric for metrics in LOSSES.values() for metric in metrics} | set(LOSSES)
    assert words(OPTIONS["name"][0]) == set(_OPTIONS)
    for option, row in OPTIONS.items():
        if option not in ("name", "lr"):
            told = set(_OPTIONS) if row[2] == "all" else words(row[2])
            assert told == {kind for kind, options in _OPTIONS.items() if option in options}, option


@pytest.mark.parametrize("name", ["batch_size", "local_steps", "seed", "rounds", "trainers", "audits"])
def test_whole_numbers_have_the_bounds_that_are_told(name: str) -> None:
    low, high = (int(number) for number in FIELDS[name][0].split(" to "))
    assert takes(name, low) and takes(name, high) and not takes(name, low - 1) and not takes(name, high + 1)
    known = {"batch_size": BATCH_ROWS, "local_steps": LOCAL_STEPS, "rounds": limits.ROUNDS, "trainers": limits.SEATS}
    known["audits"] = limits.CHUNKS * limits.ROUNDS
    assert high == known.get(name, 2**63 - 1)


def test_other_numbers_have_the_bounds_that_are_told() -> None:
    assert "above 0, at most 1000000" in FIELDS["grad_clip"][0]
    assert takes("grad_clip", 1e6) and not takes("grad_clip", 1.1e6) and not takes("grad_clip", 0)
    assert "at most 1000" in OPTIONS["lr"][0]
    for lr, good in ((1_000.0, True), (1_000.1, False), (0, False)):
        assert takes("optimizer", {"name": "sgd", "lr": lr}) is good
    for name in ("momentum", "weight_decay"):
        assert OPTIONS[name][0] == "0 or more, below 1"
        assert takes_option("sgd", name, 0) and takes_option("sgd", name, 0.999) and not takes_option("sgd", name, 1)
    assert takes_option("adam", "betas", [0, 0.999]) and not takes_option("adam", "betas", [0.9, 1])
    assert (
        takes_option("adam", "eps", 1) and not takes_option("adam", "eps", 0) and not takes_option("adam", "eps", 1.1)
    )
    assert not takes("optimizer", {"name": "sgd", "lr": 0.1, "nesterov": True}), "it needs a momentum"
    assert takes_option("sgd", "nesterov", True)


def test_defaults_are_those_that_are_told() -> None:
    made = Recipe.from_dict(GOOD)
    for field in dataclasses.fields(Recipe):
        told = FIELDS[field.name][1]
        if field.name in GOOD:
            assert told == "required" and not takes_without(field.name)
        elif field.name == "metric":
            assert "the loss has" in told and made.metric == LOSSES["cross_entropy"][0]
        else:
            value = getattr(made, field.name)
            assert told.split(":")[0].strip("`") == ("none" if value is None else str(value)), field.name


def takes_without(name: str) -> bool:
    try:
        Recipe.from_dict({key: value for key, value in GOOD.items() if key != name})
    except ModelError:
        return False
    return True


def test_options_have_torchs_own_defaults() -> None:
    classes = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    assert Optimizer("sgd", 0.1).options == {}, "what is left out is torch's to say"
    for kind, options in _OPTIONS.items():
        signature = inspect.signature(classes[kind]).parameters
        for option in options:
            default, told = signature[option].default, OPTIONS[option][1]
            shown = ", ".join(map(str, default)) if isinstance(default, tuple) else str(default).lower()
            special = re.search(rf"`{kind}` ([0-9.e-]+)", told)
            assert (special[1] if special else told.split(";")[0].strip("`")) == shown, (kind, option)
