"""Labels as targets: class ids with their names, or float32 values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoal.errors import DataError
from shoal.learn.dataset import CLASSES, Array, Target, check_finite

_CLASS_HINT = (
    'for numbers to predict take the loss "mse" in recipe.json; for classes, label rows with integers or names'
)
_VALUE_HINT = 'for classes take the loss "cross_entropy" in recipe.json; for "bce_with_logits", label rows 0 and 1'


def encode(
    labels: Array, target: Target, where: str, names: Sequence[str] | None = None
) -> tuple[Array, tuple[str, ...] | None]:
    """The targets of a data set, and the names of its classes.

    Class ids are the places of the sorted distinct labels, integers sorted as numbers. With `names` the labels are ids
    already. Labels of several dimensions, as for tokens, stay the ids that they are.

    Args:
        where: file and label, for errors.

    Raises:
        DataError: SHOAL-D08 not finite; SHOAL-D09 does not fit the target; SHOAL-D13 too many classes.

    >>> encode(np.array(["cat", "ant", "cat"]), "classes", "pets.csv")
    (array([1, 0, 1]), ('ant', 'cat'))
    """
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 and target == "classes" else labels
    if target == "values":
        return _values(labels, where), None
    if labels.dtype.kind in "OUS":
        return _named(labels, where, names)
    ids = _whole(labels, where)
    if ids.ndim == 1 and names is None:
        distinct, places = np.unique(ids, return_inverse=True)
        _check_count(len(distinct), where)
        if labels.dtype.kind == "b":
            return places.astype(np.int64), tuple("true" if value else "false" for value in distinct)
        return places.astype(np.int64), tuple(str(value) for value in distinct)
    high = CLASSES if names is None else len(names)
    if ((ids < 0) | (ids >= high)).any():
        bad = ids.reshape(-1)[np.argmax(((ids < 0) | (ids >= high)).reshape(-1))]
        raise _misfit(f"{where} has the class id {bad}, allowed are 0 to {high - 1}", _CLASS_HINT)
    return ids, None if names is None or ids.ndim > 1 else tuple(names)


def rank(distinct: Sequence[str], places: Array, where: str) -> tuple[Array, tuple[str, ...]]:
    """Class ids from distinct texts in any order and, for each row, its text's place among them."""
    _check_count(len(distinct), where)
    order = sorted(range(len(distinct)), key=lambda place: distinct[place])
    ids = np.empty(len(distinct), dtype=np.int64)
    ids[order] = np.arange(len(distinct))
    return ids[places], tuple(distinct[place] for place in order)


def _named(labels: Array, where: str, names: Sequence[str] | None) -> tuple[Array, tuple[str, ...]]:
    if names is not None or labels.ndim != 1 or labels.dtype.kind != "U":
        raise _misfit(f"{where} has labels of type {labels.dtype} and shape {list(labels.shape)}", _CLASS_HINT)
    distinct, places = np.unique(labels, return_inverse=True)
    return rank([str(text) for text in distinct], places, where)


def _whole(labels: Array, where: str) -> Array:
    """int64 ids from integers, booleans, or floats that hold whole numbers."""
    if labels.dtype.kind in "biu":
        if labels.dtype.kind == "u" and labels.size and labels.max() > np.iinfo(np.int64).max:
            raise _misfit(f"{where} has the label {labels.max()}, which is beyond 63 bits", _CLASS_HINT)
        return labels.astype(np.int64)
    if labels.dtype.kind != "f" or labels.ndim != 1:
        raise _misfit(f"{where} has labels of type {labels.dtype} and shape {list(labels.shape)}", _CLASS_HINT)
    check_finite(labels, where)
    if (fractional := (labels != np.floor(labels)) | (np.abs(labels) > 2**53)).any():
        row = int(np.argmax(fractional))
        raise _misfit(f"{where}, row {row + 1} is {labels[row]}: a class is a whole number or a name", _CLASS_HINT)
    return labels.astype(np.int64)


def _values(labels: Array, where: str) -> Array:
    if labels.dtype.kind not in "biuf":
        found = f"{labels.reshape(-1)[0]}"[:40] if labels.size else ""
        raise _misfit(f"{where}, row 1 is {found!r}: the loss needs numbers", _VALUE_HINT)
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused as such
        values = np.ascontiguousarray(labels, dtype=np.float32)
    check_finite(values, where)
    return values


def _check_count(count: int, where: str) -> None:
    if count > CLASSES:
        raise DataError(
            f"{where} has {count:,} different labels, at most {CLASSES:,} classes are accepted",
            code="SHOAL-D13",
            hint='is this the label column? Choose another with --label, or the loss "mse" for numbers',
        )


def _misfit(what: str, hint: str) -> DataError:
    return DataError(what, code="SHOAL-D09", hint=hint)
