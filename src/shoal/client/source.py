"""What an ML user brings: a model and a data set, as files or as objects in memory, and how they are loaded."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from shoal.errors import ModelError, UsageError
from shoal.learn import data, export, memory
from shoal.learn.dataset import Target
from shoal.learn.recipe import Recipe

DEFAULT_RECIPE: Mapping[str, Any] = {"optimizer": {"name": "adam", "lr": 0.001}, "batch_size": 32, "local_steps": 40}
"""For a module in memory, whose author has written no recipe.json; the loss follows from the labels."""
_LOSSES: Mapping[Target, str] = {"classes": "cross_entropy", "values": "mse"}


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A model, its data and its recipe.

    >>> Source(Path("examples/digits"))  # doctest: +SKIP
    >>> Source(nn.Linear(4, 3), (x, y), {"local_steps": 20})  # doctest: +SKIP
    """

    model: Path | nn.Module
    """A folder in the shape of `examples/`, a `model.py`, or a module, whose weights are the initial ones."""
    dataset: Any = None
    """A `Path` of CSV, Parquet, NPZ or a folder of images by class; or what `learn.memory` takes; None when the model's
    folder has a `data.py`."""
    recipe: Path | Mapping[str, Any] | None = None
    """A table changes single fields of the recipe.json beside the model, or of `DEFAULT_RECIPE`."""
    label: str | None = None

    @property
    def folder(self) -> Path | None:
        """Where the model's files are, if it has any."""
        if isinstance(self.model, nn.Module):
            return None
        return self.model if self.model.is_dir() else self.model.parent

    @property
    def name(self) -> str:
        """What the task is called; public."""
        where = self.folder if self.dataset is None else self.dataset
        if isinstance(where, Path):
            return where.stem
        return type(self.model).__name__ if isinstance(self.model, nn.Module) else self.model.stem


def recipe_of(source: Source, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe, with what was asked for in its place.

    Raises:
        UsageError: SHOAL-U04, U05, there is no recipe, or none that can be read.
        ModelError: SHOAL-M10, a field is wrong; SHOAL-M08, there is no model either.
    """
    given = source.recipe
    if isinstance(source.model, Path):
        export.check_author_file(_file(source.model))  # before its recipe is missed
    if isinstance(given, Path):
        base = _read(given)
    elif source.folder is not None and (given is None or (source.folder / "recipe.json").exists()):
        base = _read(source.folder / "recipe.json")
    else:
        base = {"loss": _LOSSES[memory.natural_target(source.dataset, source.label)], **DEFAULT_RECIPE}
    changes = given if isinstance(given, Mapping) else {}
    return Recipe.from_dict({**base, **changes, **overrides})


def load_data(source: Source, recipe: Recipe) -> data.Dataset:
    """All rows, checked.

    Raises:
        DataError: what is wrong, where, and what to do.
        UsageError: SHOAL-U11, a module without a data set.
    """
    target: Target = "classes" if recipe.loss == "cross_entropy" else "values"
    where = source.folder if source.dataset is None else source.dataset
    if where is None:
        raise UsageError(
            "a module needs a data set beside it",
            code="SHOAL-U11",
            hint="give (x, y), a DataFrame with a label column, or the path of a file",
        )
    if isinstance(where, Path):
        return data.load_any(where, source.label, target=target)
    return memory.load_memory(where, source.label, target=target)


def load_model(source: Source) -> nn.Module:
    """The author's module; one in memory is copied, so that nothing happens to it.

    Raises:
        ModelError: SHOAL-M01 it cannot be copied; SHOAL-M08 there is no usable model.py.
    """
    if not isinstance(source.model, nn.Module):
        return export.load_author_model(_file(source.model))
    try:
        return copy.deepcopy(source.model).to("cpu")
    except Exception as error:  # a module may hold anything
        raise ModelError(
            f"the module cannot be copied: {type(error).__name__}: {str(error)[:500]}",
            code="SHOAL-M01",
            hint="keep results of computations out of its attributes, or detach them",
        ) from error


def _file(model: Path) -> Path:
    return model / "model.py" if model.is_dir() else model


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no recipe at {path}",
            code="SHOAL-U04",
            hint="write a recipe.json beside the model, as in examples/breast_cancer, or give --recipe",
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"{path} is not a recipe: {error}", code="SHOAL-U05") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} must hold one JSON object", code="SHOAL-M10")
    return value
