"""A data set in memory: what every loader must deliver, its description, and its split into three parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from shoal.core.limits import CHUNK_BYTES, MIB
from shoal.errors import DataError

Array = np.ndarray[Any, Any]
Target = Literal["classes", "values"]
"""What the loss compares with: a class for each row, or numbers."""

ROWS = 20_000_000
COLUMNS = 4_096
CLASSES = 65_536
BYTES = 4 * 1024 * MIB
"""Of x in memory, and of a file that is read."""
VALIDATION = 0.1
"""Share of the rows on which every aggregate is scored."""
TEST = 0.2
"""Share that never leaves the author's machine; training gets the remaining 0.7."""
PART_ROWS = 2
"""Fewest rows of a part or chunk: BatchNorm has no variance over one row."""
LISTED = 20
_BLOCK_ITEMS = 2**22


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows of a data set."""

    x: Array
    y: Array


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """All rows, checked: as many targets as rows, every number finite, more than one label."""

    x: Array
    """`[rows, ...]` float32, or int64 tokens."""
    y: Array
    """int64 class ids `[rows]` for target "classes", float32 for "values"; tokens and maps have ids `[rows, ...]`."""
    classes: tuple[str, ...] | None
    """Name of each class id."""
    label: str
    """The label column, or what stands for it."""
    columns: tuple[str, ...] | None
    """Names of the features, in order, of a table."""
    source: str


@dataclass(frozen=True, slots=True)
class Description:
    """What was found, shown before anything is paid."""

    rows: int
    shape: tuple[int, ...]
    """Of one row."""
    dtype: str
    minimum: float
    maximum: float
    label: str
    classes: tuple[tuple[str, int], ...] | None
    """Name and rows of each class."""
    values: tuple[float, float] | None
    """Least and greatest target, where there are no classes."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; of many classes the first 20 are listed, `class_count` counts all."""
        plain: dict[str, Any] = {
            "rows": self.rows,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "range": [self.minimum, self.maximum],
            "label": self.label,
        }
        if self.classes is None:
            return plain | {"values": list(self.values or ())}
        return plain | {"class_count": len(self.classes), "classes": dict(self.classes[:LISTED])}


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Three parts without a row in common: to train on, to score rounds with, and to judge the result."""

    train: Part
    validation: Part
    test: Part


def describe(dataset: Dataset) -> Description:
    """Rows, shape, range of x, and the classes with their counts."""
    x, y = dataset.x, dataset.y
    classes = values = None
    if dataset.classes is None:
        values = (float(y.min()), float(y.max()))
    else:
        counts = np.bincount(y, minlength=len(dataset.classes))
        classes = tuple(zip(dataset.classes, (int(count) for count in counts), strict=True))
    return Description(
        rows=len(x),
        shape=tuple(int(size) for size in x.shape[1:]),
        dtype=str(x.dtype),
        minimum=float(x.min()),
        maximum=float(x.max()),
        label=dataset.label,
        classes=classes,
        values=values,
    )


def split(dataset: Dataset, *, seed: int, validation: float = VALIDATION, test: float = TEST) -> Split:
    """Draw validation and test rows; the same seed draws the same rows.

    Where there are classes, each is divided in these shares, and one of three rows or more is in every part. Of a large
    data set less goes to validation, which is one chunk.

    Raises:
        DataError: SHOAL-D12, too few rows for two in each part.
    """
    assert validation > 0 and test > 0 and validation + test < 1
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(len(dataset.x))
    groups = [order] if dataset.classes is None else group_by_class(order, dataset.y)
    # Validation must fit into one chunk, with some room for rounding in every class.
    validation = min(validation, 0.9 * CHUNK_BYTES / (dataset.x.nbytes + dataset.y.nbytes))
    drawn: tuple[list[Array], list[Array], list[Array]] = ([], [], [])
    for group in groups:
        tests, validations = _shares(len(group), test, validation, floor=PART_ROWS if dataset.classes is None else 1)
        for part, rows in zip(drawn, np.split(group, [tests, tests + validations]), strict=True):
            part.append(rows)
    for_test, for_validation, for_train = (rng.permutation(np.concatenate(rows)) for rows in drawn)
    if min(len(for_test), len(for_validation), len(for_train)) < PART_ROWS:
        found = f"{len(order)} rows" + (f" in {len(groups)} classes" if dataset.classes else "")
        raise DataError(
            f"{dataset.source} has {found} (label {dataset.label!r}): too few for training, validation and test",
            code="SHOAL-D12",
            hint=f"each of the three needs at least {PART_ROWS} rows; 20 rows of every class are always enough",
        )
    return Split(*(Part(dataset.x[rows], dataset.y[rows]) for rows in (for_train, for_validation, for_test)))


def group_by_class(rows: Array, y: Array) -> list[Array]:
    """Row numbers in one array for each class, the order within a class kept."""
    labels = y[rows]
    ordered = rows[np.argsort(labels, kind="stable")]
    _, starts = np.unique(np.sort(labels), return_index=True)
    return np.split(ordered, starts[1:])


def _shares(rows: int, test: float, validation: float, *, floor: int) -> tuple[int, int]:
    """How many of a group's rows go to test and to validation; training gets what is rare first."""
    if rows < 3 * floor:
        return (0, 0)
    return max(floor, round(rows * test)), max(floor, round(rows * validation))


# ---------------------------------------------------------------- checks that all loaders share


def checked(dataset: Dataset) -> Dataset:
    """The data set itself, if it keeps what `Dataset` promises.

    Raises:
        DataError: SHOAL-D06 nothing in it; SHOAL-D08 not finite; SHOAL-D11 one label only; SHOAL-D13 too large;
            SHOAL-D16 not a target for each row.
    """
    x, y, source = dataset.x, dataset.y, dataset.source
    if x.ndim < 1 or y.ndim < 1 or len(x) != len(y):
        raise DataError(
            f"{source}: x has shape {list(x.shape)} and y {list(y.shape)}: their first sizes, the rows, must be equal",
            code="SHOAL-D16",
            hint="give one target for each row",
        )
    check_size(len(x), x.nbytes, source)
    if x.size == 0 or y.size == 0:
        raise DataError(
            f"{source} is empty: x has shape {list(x.shape)} and y {list(y.shape)}",
            code="SHOAL-D06",
            hint="a data set needs rows, and features beside the label",
        )
    check_finite(x, f"{source}: x")
    if y.min() == y.max():
        only = dataset.classes[int(y.flat[0])] if dataset.classes else f"{y.flat[0]}"
        raise DataError(
            f"{source}: the label {dataset.label!r} is {only[:40]!r} in every row: there is nothing to learn",
            code="SHOAL-D11",
            hint="choose another label with --label, or add rows of another label",
        )
    return dataset


def check_size(rows: int, size_bytes: int, source: str) -> None:
    """Refuse what would not fit into memory, best before it is read. Raises DataError SHOAL-D13."""
    if rows > ROWS or size_bytes > BYTES:
        raise DataError(
            f"{source} has {rows:,} rows and {size_bytes:,} bytes; at most {ROWS:,} rows and {BYTES:,} bytes fit",
            code="SHOAL-D13",
            hint="take a sample of the rows, or fewer or smaller features",
        )


def check_finite(values: Array, where: str) -> None:
    """Raises DataError SHOAL-D08, naming the first row with a NaN or an infinite number."""
    if values.dtype.kind != "f":
        return
    flat = values.reshape(len(values), -1)
    step = max(1, _BLOCK_ITEMS // max(1, flat.shape[1]))
    for start in range(0, len(flat), step):
        good = np.isfinite(flat[start : start + step])
        if not good.all():
            row, column = np.argwhere(~good)[0]
            raise DataError(
                f"{where}, row {start + row + 1} is {flat[start + row, column]}",
                code="SHOAL-D08",
                hint="fill or drop rows with NaN, infinite numbers, or numbers too large for float32",
            )
