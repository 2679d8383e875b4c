"""Data in memory: it gives what the same data in a file gives, and what cannot be used is said in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from shoal.errors import DataError
from shoal.learn.data import load_any
from shoal.learn.memory import load_memory, natural_target

X = [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]


@pytest.mark.parametrize(
    "y", [["b", "a", "b"], np.array(["b", "a", "b"]), np.array(["b", "a", "b"], dtype=object)], ids=["list", "U", "O"]
)
def test_arrays_with_named_labels(y: Any) -> None:
    loaded = load_memory((X, y), None, target="classes")
    assert (loaded.x.dtype, loaded.classes, loaded.y.tolist()) == (np.float32, ("a", "b"), [1, 0, 1])


def test_tensors_of_any_kind_are_arrays() -> None:
    x = torch.tensor(X, dtype=torch.bfloat16, requires_grad=True)
    loaded = load_memory((x, torch.tensor([5, 7, 5])), None, target="classes")
    assert loaded.x.tolist() == X and loaded.classes == ("5", "7")
    tokens = load_memory((torch.tensor([[1, 2], [3, 4]]), torch.tensor([0, 1]), ["no", "yes"]), None, target="classes")
    assert (tokens.x.dtype, tokens.classes) == (np.int64, ("no", "yes"))


def test_a_dataframe_is_the_csv_of_it(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2, 3], "label": ["x", "y", "x"], "b": [0.5, 1.5, 2.5]}, index=[9, 7, 5])
    frame.to_csv(tmp_path / "t.csv", index=False)
    ours, file = load_memory(frame, None, target="classes"), load_any(tmp_path / "t.csv", None, target="classes")
    assert (ours.columns, ours.classes, ours.label) == (file.columns, file.classes, file.label) == (
        ("a", "b"), ("x", "y"), "label",
    )  # fmt: skip
    assert np.array_equal(ours.x, file.x) and np.array_equal(ours.y, file.y)
    numbered = pandas.DataFrame([[0.0, 1], [1.0, 0], [2.0, 1]])
    assert load_memory(numbered, None, target="classes").label == "1"
    with pytest.raises(DataError) as missing:
        load_memory(frame.assign(a=[1.0, None, 3.0]), "label", target="classes")
    assert missing.value.code == "SHOAL-D03" and "row 2" in missing.value.message
    with pytest.raises(DataError) as mixed:
        load_memory(frame.assign(a=[1, "two", b"3"]), "label", target="classes")
    assert mixed.value.code == "SHOAL-D04"


def test_anything_that_arrow_reads_is_a_table() -> None:
    table = pa.table({"a": [1.0, 2.0], "price": [3.5, 4.5]})
    loaded = load_memory(table, "price", target="values")
    assert loaded.y.tolist() == [3.5, 4.5] and loaded.columns == ("a",)


def test_a_huggingface_data_set_of_numbers_or_of_images(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    labels = datasets.ClassLabel(names=["ham", "spam"])
    table = datasets.Dataset.from_dict(
        {"a": [1.0, 2.0, 3.0], "b": [3.0, 4.0, 5.0], "label": [1, 0, 1]},
        features=datasets.Features({"a": datasets.Value("float32"), "b": datasets.Value("float32"), "label": labels}),
    )
    loaded = load_memory(table, None, target="classes")
    assert (loaded.columns, loaded.classes, loaded.y.tolist()) == (("a", "b"), ("ham", "spam"), [1, 0, 1])
    images = datasets.Dataset.from_dict({"image": np.zeros((3, 4, 5)).tolist(), "label": [0, 1, 0]})
    assert load_memory(images, None, target="classes").x.shape == (3, 4, 5)
    ragged = datasets.Dataset.from_dict({"x": [[1.0], [1.0, 2.0]], "label": [0, 1]})
    with pytest.raises(DataError) as error:
        load_memory(ragged, None, target="classes")
    assert error.value.code == "SHOAL-D17"
    assert natural_target(images, None) == "classes" and natural_target(table, "a") == "values"


@pytest.mark.parametrize(
    ("value", "label", "code"),
    [
        (object(), None, "SHOAL-D02"),
        ({"x": X}, None, "SHOAL-D02"),
        ((X, [1, 2]), None, "SHOAL-D16"),
        ((X, [1, 2, 1]), "y", "SHOAL-D05"),
        (([[1.0], [1.0, 2.0]], [1, 2]), None, "SHOAL-D15"),
        ((np.array([["a"], ["b"]]), [1, 2]), None, "SHOAL-D15"),
        (pa.table({}), None, "SHOAL-D06"),
        (pa.table({"a": [1]}), "b", "SHOAL-D05"),
    ],
)
def test_what_is_no_data_set(value: Any, label: str | None, code: str) -> None:
    with pytest.raises(DataError) as error:
        load_memory(value, label, target="classes")
    assert error.value.code == code


@pytest.mark.parametrize(
    ("value", "label", "target"),
    [
        ((X, [0.5, 1.5, 2.0]), None, "values"),
        ((X, [0, 1, 2]), None, "classes"),
        ((X, ["a", "b", "a"]), None, "classes"),
        (pa.table({"a": [1], "y": [0.5]}), None, "values"),
        (pa.table({"a": [1], "y": [0.5]}), "a", "classes"),
        (Path("x.csv"), None, "classes"),
        (None, None, "classes"),
    ],
)
def test_what_labels_are_by_nature(value: Any, label: str | None, target: str) -> None:
    assert natural_target(value, label) == target
