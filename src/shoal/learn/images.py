"""A folder of images as a data set: one subfolder for each class, every image of one size and mode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from shoal.errors import DataError
from shoal.learn.dataset import Array, Dataset, Target, check_size, checked

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
FORMATS = ("PNG", "JPEG", "BMP")
PIXELS = 4_096 * 4_096
"""Of one image: a file of a few kilobytes may unpack to gigabytes."""

_MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA", "I;16": "I;16"}
_TOP = {"I;16": 65_535.0}


def is_image_folder(folder: Path) -> bool:
    return any(not entry.name.startswith(".") and entry.is_dir() for entry in folder.iterdir())


def load_images(folder: Path, target: Target) -> Dataset:
    """`folder/<class>/<any name>.png` and the like as float32 `[rows, channels, height, width]` from 0 to 1.

    Classes are the subfolders in the order of their names, rows the files in the order of theirs; names that start with
    a dot are passed over. Palettes become RGB, black and white becomes gray.

    Raises:
        DataError: SHOAL-D04 damaged; SHOAL-D09 values asked for; SHOAL-D13 too large; SHOAL-D17 images differ;
            SHOAL-D18 a class has no image, or something else in it; SHOAL-D19 a link leads out; and as `checked`.
    """
    if target == "values":
        raise DataError(
            f"{folder.name}: folders of images name classes, the loss needs numbers",
            code="SHOAL-D09",
            hint='take the loss "cross_entropy" in recipe.json, or save images and numbers as NPZ',
        )
    classes, files, ids = _list(folder)
    first = _read(files[0], folder)
    check_size(len(files), len(files) * first.nbytes, folder.name)
    x = np.empty((len(files), *first.shape), dtype=np.float32)
    for row, file in enumerate(files):
        image = _read(file, folder)
        if image.shape != first.shape:
            raise DataError(
                f"{file.relative_to(folder)} is {_form(image)}, {files[0].relative_to(folder)} is {_form(first)}",
                code="SHOAL-D17",
                hint="bring all images to one size and mode",
            )
        x[row] = image
    return checked(Dataset(x, np.array(ids, dtype=np.int64), classes, "folder", None, folder.name))


def _list(folder: Path) -> tuple[tuple[str, ...], list[Path], list[int]]:
    """Names of the classes, all image files, and each one's class id."""
    root = folder.resolve()
    classes = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_dir())
    files: list[Path] = []
    ids: list[int] = []
    for index, name in enumerate(classes):
        _refuse_link(folder / name, root)
        found = sorted(entry for entry in (folder / name).iterdir() if not entry.name.startswith("."))
        for entry in found:
            _refuse_link(entry, root)
            if entry.suffix.lower() not in SUFFIXES or not entry.is_file():
                raise DataError(
                    f"{folder.name}/{name} has {entry.name!r} in it, which is not an image",
                    code="SHOAL-D18",
                    hint=f"a class's folder may hold only files ending in {', '.join(SUFFIXES)}",
                )
        if not found:
            raise DataError(
                f"{folder.name}/{name} has no images", code="SHOAL-D18", hint="add images, or remove the folder"
            )
        files += found
        ids += [index] * len(found)
    return tuple(classes), files, ids


def _refuse_link(path: Path, root: Path) -> None:
    """What lies elsewhere was perhaps never meant to be sent to trainers."""
    if not path.resolve().is_relative_to(root):
        raise DataError(
            f"{path} is a link to {path.resolve()}, outside the data set",
            code="SHOAL-D19",
            hint="copy the files into the folder",
        )


def _read(path: Path, folder: Path) -> Array:
    """One image as float32 `[channels, height, width]` from 0 to 1."""
    name = path.relative_to(folder)
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > PIXELS:
                raise _too_large(f"{name} has {image.width} x {image.height} pixels")
            if image.mode not in _MODES:
                raise DataError(
                    f"{name} has mode {image.mode!r}; known are {', '.join(_MODES)}",
                    code="SHOAL-D17",
                    hint="save it as gray or RGB with 8 bits",
                )
            mode = _MODES[image.mode]
            # By way of RGBA, for Pillow warns of transparency in palettes else.
            plain = image.convert("RGBA") if image.mode == "P" else image
            pixels = np.asarray(plain if plain.mode == mode else plain.convert(mode), dtype=np.float32)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(f"{name}: {error}") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(
            f"{name} cannot be read as an image: {str(error)[:200]}",
            code="SHOAL-D04",
            hint="save it as PNG, JPEG or BMP, or remove it",
        ) from error
    scaled = pixels / np.float32(_TOP.get(mode, 255.0))
    return scaled[None] if scaled.ndim == 2 else np.ascontiguousarray(scaled.transpose(2, 0, 1))


def _form(image: Array) -> str:
    channels, height, width = image.shape
    return f"{width} x {height} pixels with {channels} channel{'s' if channels > 1 else ''}"


def _too_large(what: str) -> DataError:
    return DataError(
        f"{what}; at most {PIXELS:,} pixels are accepted", code="SHOAL-D13", hint="scale the image down, or remove it"
    )
