"""Chunks: cutting a data set into equal pieces, and one piece as a file that strangers exchange."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from shoal.errors import DataError
from shoal.learn.dataset import PART_ROWS, Array, Part

_DTYPES = {"x": ("F32", "I64"), "y": ("I64", "F32")}
_RANK = 8
"""Most dimensions of a tensor."""


class Rows(Protocol):
    """What can be cut: a `Part` of a data set, or a whole one."""

    @property
    def x(self) -> Array: ...
    @property
    def y(self) -> Array: ...


def cut(part: Rows, chunks: int, *, seed: int) -> list[Part]:
    """Cut rows into `chunks` pieces of equal size within one, every row in exactly one, shuffled.

    Where `y` is class ids, every class is spread over the pieces equally within one too. The same seed makes the same
    cut.

    Raises:
        DataError: SHOAL-D21, fewer than two rows for each chunk.
    """
    assert chunks >= 1
    rows = len(part.x)
    if rows < chunks * PART_ROWS:
        most = rows // PART_ROWS
        raise DataError(
            f"{rows} rows for training are too few for {chunks} chunks of at least {PART_ROWS}",
            code="SHOAL-D21",
            hint=f"take at most {most} chunks and as many trainers (--chunks, --trainers), or add rows",
        )
    rng = np.random.default_rng([seed, 2])
    order = rng.permutation(rows)
    if part.y.ndim == 1 and part.y.dtype == np.int64:
        order = order[np.argsort(part.y[order], kind="stable")]
    # Dealt like cards: any run of rows, and so every class, lands on the pieces equally within one.
    hands = (rng.permutation(order[start::chunks]) for start in range(chunks))
    return [Part(part.x[hand], part.y[hand]) for hand in hands]


def write_chunk(path: Path, x: Array, y: Array) -> None:
    """Write one safetensors file with the tensors `x` and `y`, and nothing else.

    Args:
        x: `[rows, ...]` float32 or int64.
        y: `[rows, ...]` int64 or float32.
    """
    assert {x.dtype, y.dtype} <= {np.dtype(np.float32), np.dtype(np.int64)}
    assert len(x) == len(y) >= 1
    save_file({"x": np.ascontiguousarray(x), "y": np.ascontiguousarray(y)}, path)


def read_chunk(path: Path, *, max_bytes: int) -> tuple[Array, Array]:
    """Read a chunk that may be a stranger's.

    Raises:
        DataError: SHOAL-D22 too large; SHOAL-D23 missing or not safetensors; SHOAL-D24 not the two tensors of a chunk;
            SHOAL-D25 a number that cannot be trained on.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise DataError(
                f"{path.name} has {size} bytes, at most {max_bytes} are accepted",
                code="SHOAL-D22",
                hint="the author must cut the data set into more chunks",
            )
        with safe_open(path, framework="numpy") as file:
            _check_tensors(file, path.name)
            x, y = file.get_tensor("x"), file.get_tensor("y")
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{path.name} cannot be read as a chunk: {str(error)[:200]}",
            code="SHOAL-D23",
            hint="the file is missing or damaged; fetch it again",
        ) from error
    for name, values in (("x", x), ("y", y)):
        if not np.isfinite(values).all() or (name == "y" and values.dtype == np.int64 and values.min() < 0):
            raise DataError(
                f"{path.name}: {name} has a number that is NaN, infinite, or no class id",
                code="SHOAL-D25",
                hint="the author's data is unfit for training; leave the task",
            )
    return x, y


def _check_tensors(file: Any, name: str) -> None:
    """From the header alone, before a byte of a tensor is copied."""
    keys = sorted(file.keys())
    if keys != ["x", "y"]:
        raise _not_a_chunk(name, f"has the tensors {', '.join(keys)[:80]}")
    shapes = {}
    for key, allowed in _DTYPES.items():
        view = file.get_slice(key)
        shapes[key] = view.get_shape()
        if view.get_dtype() not in allowed:
            raise _not_a_chunk(name, f"has {view.get_dtype()} in {key}")
        if not 1 <= len(shapes[key]) <= _RANK or min(shapes[key]) < 1:
            raise _not_a_chunk(name, f"has the shape {shapes[key]} of {key}")
    if shapes["x"][0] != shapes["y"][0]:
        raise _not_a_chunk(name, f"has {shapes['x'][0]} rows and {shapes['y'][0]} targets")


def _not_a_chunk(name: str, what: str) -> DataError:
    return DataError(
        f"{name} {what}: a chunk has x and y, float32 or int64, with as many rows each",
        code="SHOAL-D24",
        hint="the author must prepare the task again with a current shoal",
    )
