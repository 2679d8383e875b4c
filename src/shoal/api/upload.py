"""An uploaded model and data set: unpacked into a folder of their own, within limits, and found there."""

from __future__ import annotations

import re
import shutil
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from shoal.client.source import Source
from shoal.core.limits import MIB
from shoal.errors import UsageError

MEMBERS = 100_000
"""Files in one archive: a folder of images has many."""
DEPTH = 8
UNPACKED_FACTOR = 4
"""An archive may unpack to so many times the size that an upload may have."""
_TABLES = (".csv", ".parquet", ".npz")
_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_HINT = "send a zip as `archive`, or the files `model`, `recipe` and `data`; docs/api.md shows both"


@dataclass(frozen=True)
class Part:
    """One file of a form."""

    name: str
    file: IO[bytes]


@dataclass(frozen=True)
class Upload:
    """What a form may hold: an archive, or single files."""

    archive: Part | None = None
    model: Part | None = None
    recipe: Part | None = None
    data: Part | None = None


def safe_name(text: str, default: str) -> str:
    """The last part of a file's name, of harmless characters.

    >>> safe_name("../../My data!.csv", "data")
    'My-data-.csv'
    """
    last = PurePosixPath(text.replace("\\", "/")).name
    return _NAME.sub("-", last).strip(".-")[:60].strip(".") or default


def unpack(upload: Upload, folder: Path, *, max_bytes: int) -> None:
    """Write everything below `folder`, which is made.

    Raises:
        UsageError: SHOAL-U57, what was sent cannot be used; U52, it unpacks to too much.
    """
    folder.mkdir(parents=True, mode=0o700)
    if upload.archive is not None:
        if upload.model or upload.data:
            raise _unusable("an archive and single files at once")
        _unzip(upload.archive.file, folder, max_bytes * UNPACKED_FACTOR)
        _flatten(folder)
        return
    if upload.model is None or upload.recipe is None or upload.data is None:
        raise _unusable("model, recipe and data go together")
    name = safe_name(upload.data.name, "data.csv")
    if Path(name).suffix.lower() not in _TABLES:
        raise _unusable(f"{name} is none of {', '.join(_TABLES)}; a folder of images is sent in an archive")
    for target, part in (("model.py", upload.model), ("recipe.json", upload.recipe), (name, upload.data)):
        with (folder / target).open("xb") as out:
            shutil.copyfileobj(part.file, out, MIB)


def _flatten(folder: Path) -> None:
    """An archive of a folder is as good as one of its content."""
    inner = [path for path in folder.iterdir() if path.name != "__MACOSX"]
    if not (folder / "model.py").exists() and len(inner) == 1 and inner[0].is_dir():
        aside = inner[0].rename(folder.with_name(f".{folder.name}"))
        shutil.rmtree(folder)
        aside.rename(folder)


def source_of(folder: Path, label: str | None) -> Source:
    """The model and the data in an unpacked upload.

    Raises:
        UsageError: SHOAL-U57, there is not one of each.
    """
    if not (folder / "model.py").is_file():
        raise _unusable("there is no model.py at the top of it")
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in _TABLES)
    if (folder / "data.py").is_file():
        return Source(folder, None, None, label)
    if len(tables) == 1:
        return Source(folder, tables[0], None, label)
    if (folder / "data").is_dir():
        return Source(folder, folder / "data", None, label)
    raise _unusable("it needs a data.py, one table, or a folder `data` of images by class")


def _unzip(file: IO[bytes], folder: Path, most: int) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > MEMBERS:
                raise _unusable(f"an archive of {len(members)} files, at most {MEMBERS} are taken")
            left = most
            for member in members:
                left -= _extract(archive, member, folder, left, most)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise _unusable(f"the archive cannot be unpacked: {error}") from error
    except OSError as error:
        raise _unusable(f"the archive cannot be unpacked: {error.strerror}") from error


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, left: int, most: int) -> int:
    """Write one member; its size. What its header says of its size is not trusted."""
    path = PurePosixPath(member.filename)
    if path.is_absolute() or ".." in path.parts or len(path.parts) > DEPTH or "\\" in member.filename:
        raise _unusable(f"the archive names {member.filename[:80]!r}, which is outside of it or too deep")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _unusable(f"{member.filename[:80]!r} is no file")
    target = folder.joinpath(*path.parts)
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(member) as source, target.open("xb") as out:
        while piece := source.read(MIB):
            written += len(piece)
            if written > left:
                raise UsageError(
                    f"the archive unpacks to more than {most} bytes", code="SHOAL-U52", money="nothing was spent"
                )
            out.write(piece)
    return written


def _unusable(what: str) -> UsageError:
    return UsageError(what, code="SHOAL-U57", hint=_HINT, money="nothing was spent")
