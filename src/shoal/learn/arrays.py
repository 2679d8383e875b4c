"""Arrays as a data set: an NPZ file, or what the author's own `data.py` returns."""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from shoal.errors import DataError
from shoal.learn.dataset import Array, Dataset, Target, check_size, checked
from shoal.learn.labels import encode

_X = ("x", "X")
_Y = ("y", "Y", "label", "labels", "target", "class")
_ENTRY = "shoal_author_data"
_LOAD = "it must define `load()` that returns two numpy arrays, x and y, and class names if there are any"


def load_npz(path: Path, label: str | None, target: Target) -> Dataset:
    """An NPZ file with one array of features and one of targets, each with a row for each example.

    Integers of 16 bits or more are taken for tokens and become int64, every other number float32. Nothing is scaled.

    Args:
        label: name of the array of targets; by default `y`, or what `_Y` lists.

    Raises:
        DataError: SHOAL-D04 damaged; SHOAL-D05 no such array; SHOAL-D15 not numbers; and as `encode` and `checked`.
    """
    shapes = _npz_table(path)
    y_name = label if label is not None else next((name for name in _Y if name in shapes), None)
    x_name = next((name for name in _X if name in shapes and name != y_name), None)
    others = [name for name in shapes if name != y_name]
    if x_name is None and len(others) == 1:
        [x_name] = others
    if y_name is None or y_name not in shapes or x_name is None:
        raise DataError(
            f"{path.name} has no array {'of features' if y_name in shapes else repr(y_name or 'y')}; "
            f"it has {', '.join(shapes)[:400] or 'none'}",
            code="SHOAL-D05",
            hint="save it with np.savez(path, x=features, y=targets), or name the targets with --label",
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            x, y = file[x_name], file[y_name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error
    return from_arrays(x, y, target, label=y_name, source=path.name)


def load_author_data(path: Path, target: Target) -> Dataset:
    """Run the author's own `data.py` and take what its `load()` returns. Never called on anyone else's file.

    Raises:
        DataError: SHOAL-D14 it raises, or returns something else; SHOAL-D15 not numbers; and as `encode` and `checked`.
    """
    spec = importlib.util.spec_from_file_location(_ENTRY, path)
    if spec is None or spec.loader is None:
        raise DataError(f"{path} is not a Python file", code="SHOAL-D14", hint=_LOAD)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    sys.path.insert(0, str(path.parent.resolve()))  # so that it can import its neighbours
    try:
        spec.loader.exec_module(loaded)
        result = loaded.load()
    except Exception as error:  # the author's code may raise anything
        hint = "install what data.py imports" if isinstance(error, ImportError) else _LOAD
        raise DataError(
            f"{path} cannot be used: {type(error).__name__}: {error}", code="SHOAL-D14", hint=hint
        ) from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
        sys.modules.pop(spec.name, None)
    x, y, names = _unpack(result, path)
    return from_arrays(x, y, target, label=path.name, source=path.name, names=names)


def _unpack(result: Any, path: Path) -> tuple[Array, Array, tuple[str, ...] | None]:
    if isinstance(result, tuple) and len(result) in (2, 3) and all(isinstance(a, np.ndarray) for a in result[:2]):
        if len(result) == 2 or result[2] is None:
            return result[0], result[1], None
        names = tuple(result[2]) if isinstance(result[2], list | tuple | np.ndarray) else ()
        if len(names) > 1 and all(isinstance(name, str) for name in names):
            return result[0], result[1], tuple(str(name) for name in names)
    raise DataError(f"{path}: load() returned something else than arrays x and y", code="SHOAL-D14", hint=_LOAD)


def from_arrays(
    x: Array, y: Array, target: Target, *, label: str, source: str, names: tuple[str, ...] | None = None
) -> Dataset:
    """Two arrays as a data set; `label` and `source` are what errors call them.

    Raises:
        DataError: SHOAL-D15 not numbers; and as `encode` and `checked`.
    """
    if x.ndim and y.ndim and len(x) == len(y):  # else `checked` says so
        check_size(len(x), x.nbytes, source)
        y, classes = encode(y, target, f"{source}: label {label!r}", None if target == "values" else names)
    else:
        classes = None
    return checked(Dataset(_features(x, source), y, classes, label=label, columns=None, source=source))


def _features(x: Array, source: str) -> Array:
    if x.dtype.kind == "f" or x.dtype.kind == "b" or (x.dtype.kind in "iu" and x.itemsize == 1):
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused as such
            return np.ascontiguousarray(x, dtype=np.float32)
    if x.dtype.kind in "iu" and not (x.dtype.kind == "u" and x.size and x.max() > np.iinfo(np.int64).max):
        return np.ascontiguousarray(x, dtype=np.int64)
    raise DataError(
        f"{source}: x holds {x.dtype}, which is neither floats nor integers of 63 bits",
        code="SHOAL-D15",
        hint="convert the features to numbers, such as x.astype('float32')",
    )


def _npz_table(path: Path) -> Mapping[str, tuple[int, ...]]:
    """Shapes of the arrays by name, from their headers alone: nothing is unpacked that is too large, or pickled."""
    table: dict[str, tuple[int, ...]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.filename.endswith(".npy"):
                    continue
                name = member.filename.removesuffix(".npy")
                with archive.open(member) as file:
                    version = np.lib.format.read_magic(file)
                    if version == (1, 0):
                        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                    else:
                        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
                if dtype.hasobject:
                    raise DataError(
                        f"{path.name}: array {name!r} holds Python objects, which only code could read",
                        code="SHOAL-D15",
                        hint="save arrays of numbers, or of texts of dtype str",
                    )
                check_size(shape[0] if shape else 0, max(member.file_size, _size_bytes(shape, dtype)), path.name)
                table[name] = shape
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise _damaged(path, error) from error
    return table


def _size_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    size = dtype.itemsize
    for length in shape:
        size *= length
    return size


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path.name} cannot be read as NPZ: {str(error)[:200]}",
        code="SHOAL-D04",
        hint="save it with np.savez(path, x=features, y=targets)",
    )
