"""Data sets for training: from whatever file or folder the ML user has, to arrays that a model can be trained on.

Nothing is scaled, encoded or filled in silently: those are choices of the model's author. What cannot be used as it is
raises a DataError that names the file, column and row.
"""

from __future__ import annotations

from pathlib import Path

from shoal.errors import DataError
from shoal.learn.dataset import Dataset, Description, Part, Split, Target, describe, split

__all__ = ["Dataset", "Description", "Part", "Split", "describe", "load_any", "split"]

_KINDS = "a .csv, .parquet or .npz file, a folder of images by class, or a folder with a data.py"
_NAME_IT = f"name the data set after the model: {_KINDS}"


def load_any(where: Path, label: str | None, *, target: Target) -> Dataset:
    """Load a data set of any kind that is known.

    Args:
        where: a `.csv`, `.parquet` or `.npz` file; a folder with one subfolder of images for each class; or a folder
            with the author's own `data.py`, which is run.
        label: the label column, or the array of targets of an NPZ file; by default one with a usual name.
        target: what the loss compares with.

    Raises:
        DataError: SHOAL-D01 to SHOAL-D19, what is wrong, where, and what to do.
    """
    # Readers of other kinds are heavy to import; each is loaded only when it is asked for.
    try:
        if where.is_dir():
            return _load_folder(where, label, target)
        if not where.is_file():
            raise DataError(
                f"there is no data set at {where}",
                code="SHOAL-D01",
                hint=_NAME_IT,
            )
        kind = where.suffix.lower()
        if kind == ".csv":
            from shoal.learn.tables import load_csv

            return load_csv(where, label, target)
        if kind == ".parquet":
            from shoal.learn.tables import load_parquet

            return load_parquet(where, label, target)
        if kind == ".npz":
            from shoal.learn.arrays import load_npz

            return load_npz(where, label, target)
    except OSError as error:
        raise DataError(
            f"{where} cannot be read: {error.strerror or error}", code="SHOAL-D04", hint="check its permissions"
        ) from error
    raise DataError(f"{where.name} is of no known kind", code="SHOAL-D02", hint=_NAME_IT)


def _load_folder(folder: Path, label: str | None, target: Target) -> Dataset:
    from shoal.learn.arrays import load_author_data
    from shoal.learn.images import is_image_folder, load_images

    code = folder / "data.py"
    if not code.is_file() and not is_image_folder(folder):
        raise DataError(
            f"{folder} has neither a data.py nor subfolders of images",
            code="SHOAL-D02",
            hint=_NAME_IT,
        )
    if label is not None:
        raise DataError(
            f"{folder.name} is a folder, which has no column {label[:40]!r}",
            code="SHOAL-D05",
            hint="leave out --label: data.py says itself what the label is, and images are labelled by their folder",
        )
    return load_author_data(code, target) if code.is_file() else load_images(folder, target)
