"""Data sets that are in memory already: arrays and tensors, tables of any kind that Arrow can read, Hugging Face's."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from shoal.errors import DataError
from shoal.learn.arrays import from_arrays
from shoal.learn.dataset import Array, Dataset, Target, check_size
from shoal.learn.tables import label_name, load_table

_KINDS = (
    "give a pair (x, y) of arrays or tensors, a DataFrame or Arrow table with a label column, a datasets.Dataset, "
    "or a path"
)


def load_memory(value: Any, label: str | None, *, target: Target) -> Dataset:
    """A data set from objects.

    Args:
        value: `(x, y)` or `(x, y, class names)` of arrays, tensors or lists; a pandas DataFrame, whose index is left
            out; whatever else has Arrow's `__arrow_c_stream__`, such as polars; a `datasets.Dataset`.
        label: the label column of a table; by default one with a usual name, else the last.

    Raises:
        DataError: SHOAL-D02 of no known kind; SHOAL-D04 not a table; SHOAL-D05 a label without columns; and as
            `from_arrays` and `load_table`.

    >>> load_memory(([[0.0], [1.0]], ["no", "yes"]), None, target="classes").classes
    ('no', 'yes')
    """
    if isinstance(value, tuple | list) and len(value) in (2, 3):
        if label is not None:
            raise DataError(
                f"arrays have no column {label[:40]!r}", code="SHOAL-D05", hint="leave out label=: y is the label"
            )
        names = tuple(str(name) for name in value[2]) if len(value) == 3 and value[2] is not None else None
        return from_arrays(_array(value[0]), _array(value[1]), target, label="y", source="arrays", names=names)
    if _is_huggingface(value):
        return _huggingface(value, label, target)
    return load_table(_table(value), label, target, type(value).__name__)


def natural_target(value: Any, label: str | None) -> Target:
    """What labels are, where no recipe says it: floats are values, everything else names classes.

    Files are not looked into: theirs are classes.
    """
    if isinstance(value, tuple | list) and len(value) in (2, 3):
        return "values" if _array(value[1]).dtype.kind == "f" else "classes"
    if _is_huggingface(value):
        value = value.features.arrow_schema.empty_table()
    elif not _is_table(value):
        return "classes"
    table = _table(value)
    kind = table.schema.field(label_name([str(name) for name in table.column_names], label, "the table")).type
    return "values" if pa.types.is_floating(kind) or pa.types.is_decimal(kind) else "classes"


def _is_huggingface(value: Any) -> bool:
    library = sys.modules.get("datasets")
    return library is not None and isinstance(value, library.Dataset)


def _is_table(value: Any) -> bool:
    return hasattr(value, "__arrow_c_stream__")


def _table(value: Any) -> Any:
    pandas = sys.modules.get("pandas")
    try:
        if pandas is not None and isinstance(value, pandas.DataFrame):
            return pa.Table.from_pandas(value.rename(columns=str), preserve_index=False)
        if _is_table(value):
            return pa.table(value)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"this {type(value).__name__} cannot be read as a table: {str(error)[:200]}",
            code="SHOAL-D04",
            hint="every column must be of one type",
        ) from error
    raise DataError(f"a {type(value).__name__} is no data set of a known kind", code="SHOAL-D02", hint=_KINDS)


def _array(value: Any) -> Array:
    """Numbers or texts as an array; tensors may be on any device."""
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        return np.asarray((tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy())
    try:
        array = np.asarray(value)
    except ValueError as error:  # ragged lists
        raise DataError(
            f"this {type(value).__name__} is not an array: {str(error)[:200]}",
            code="SHOAL-D15",
            hint="every row must have the same shape",
        ) from error
    if array.dtype.kind == "O" and array.size and all(isinstance(item, str) for item in array.reshape(-1)):
        return array.astype(str)
    return array


def _huggingface(value: Any, label: str | None, target: Target) -> Dataset:
    """Columns of numbers are a table; one column of anything larger, such as images, is an array."""
    names = list(value.column_names)
    at = label_name(names, label, "the data set")
    others = [name for name in names if name != at]
    kinds = value.features.arrow_schema
    if len(others) == 1 and pa.types.is_nested(kinds.field(others[0]).type):
        found = value.with_format("numpy")
        check_size(len(value), len(value) * np.asarray(found[0][others[0]]).nbytes, "the data set")
        try:
            x = np.stack([np.asarray(row) for row in found[others[0]]])
        except ValueError as error:
            raise DataError(
                f"column {others[0]!r} has rows of several shapes", code="SHOAL-D17", hint="resize them to one shape"
            ) from error
        loaded = from_arrays(x, _array(found[at][:]), target, label=at, source="the data set")
    else:
        loaded = load_table(value.with_format("arrow")[:], at, target, "the data set")
    texts = getattr(value.features[at], "names", None)
    if loaded.classes is None or texts is None:
        return loaded
    return replace(loaded, classes=tuple(texts[int(name)] for name in loaded.classes))
