"""Tables as a data set: CSV and Parquet, one label column and features that are all numbers."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from shoal.errors import DataError
from shoal.learn.dataset import BYTES, COLUMNS, LISTED, Array, Dataset, Target, check_size, checked
from shoal.learn.labels import encode, rank

_LABELS = ("label", "target", "class", "y")
_DELIMITERS = ",;\t"
_PANDAS_INDEX = "__index_level_"
_TEXT = 40
_PIECE_BYTES = 1 << 20


def load_csv(path: Path, label: str | None, target: Target) -> Dataset:
    """A CSV file whose first line names the columns, which commas, semicolons or tabs separate.

    Empty cells and the likes of `NA` and `null` are missing. Rows in errors are counted from 1 below the first line.

    Raises: as `load_table`, and DataError: SHOAL-D04 damaged; SHOAL-D06 empty.
    """
    ragged: list[Any] = []

    def refuse(row: Any) -> str:
        ragged.append(row)
        return "error"

    check_size(0, path.stat().st_size, path.name)
    try:
        _check_utf8(path)
        with path.open("rb") as file:
            first = file.readline(BYTES).decode("utf-8-sig")
        if not first.strip():
            raise DataError(f"{path.name} is empty", code="SHOAL-D06", hint="its first line must name the columns")
        table = pa.csv.read_csv(
            path,
            read_options=pa.csv.ReadOptions(use_threads=False),  # with threads pyarrow knows no row numbers
            parse_options=pa.csv.ParseOptions(delimiter=max(_DELIMITERS, key=first.count), invalid_row_handler=refuse),
            convert_options=pa.csv.ConvertOptions(strings_can_be_null=True),
        )
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        what = str(error)
        if ragged:
            row = ragged[0]
            what = f"row {row.number - 1} has {row.actual_columns} cells, the first line {row.expected_columns}"
        raise DataError(
            f"{path.name} cannot be read as CSV: {what[:200]}",
            code="SHOAL-D04",
            hint="save it as CSV in UTF-8, the names of the columns in the first line and as many cells in every row",
        ) from error
    _check_header(table.column_names, path)
    return load_table(table, label, target, path.name)


def _check_utf8(path: Path) -> None:
    """pyarrow takes what is no UTF-8 for bytes, and says so of the column only.

    Raises:
        DataError: SHOAL-D04, with the encoding that it looks like, the line, and what converts it.
    """
    decoder, lines = codecs.getincrementaldecoder("utf-8")(), 1
    with path.open("rb") as file:
        start = file.read(4)
        looks = _wide(start)
        file.seek(0)
        try:
            while not looks and (piece := file.read(_PIECE_BYTES)):
                decoder.decode(piece)
                lines += piece.count(b"\n")
            if not looks:
                decoder.decode(b"", final=True)
                return
        except UnicodeDecodeError as error:
            lines += error.object[: error.start].count(b"\n")
            looks = "Windows-1252 (Latin-1), as older spreadsheets write it"
    line = "" if _wide(start) else f" (the first letter that is not UTF-8 is in line {lines})"
    name = looks.split()[0]
    raise DataError(
        f"{path.name} is not in UTF-8{line}; it looks like {looks}",
        code="SHOAL-D04",
        hint=f"save it as UTF-8: in a spreadsheet choose 'CSV UTF-8', in pandas df.to_csv(path, index=False), or run "
        f"iconv -f {name} -t UTF-8 {path.name} > utf8.csv",
    )


def _wide(start: bytes) -> str:
    """UTF-16 by its mark, or by the zeros between ASCII letters."""
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "UTF-16"
    return "UTF-16LE" if start[1:2] == b"\0" else "UTF-16BE" if start[:1] == b"\0" else ""


def load_parquet(path: Path, label: str | None, target: Target) -> Dataset:
    """A Parquet file; an index that pandas saved with it is left out.

    Raises: as `load_table`, and DataError: SHOAL-D04 damaged.
    """
    try:
        with pa.parquet.ParquetFile(path) as file:
            metadata = file.metadata
            check_size(metadata.num_rows, metadata.num_rows * metadata.num_columns * 4, path.name)
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path.name} cannot be read as Parquet: {str(error)[:200]}",
            code="SHOAL-D04",
            hint="is it another kind of file, or only half copied?",
        ) from error
    return load_table(
        table.select([i for i, name in enumerate(table.column_names) if not name.startswith(_PANDAS_INDEX)]),
        label,
        target,
        path.name,
    )


def load_table(table: Any, label: str | None, target: Target, source: str) -> Dataset:
    """A pyarrow table as float32 features `[rows, columns]` and targets.

    Args:
        label: name of the label column; by default one called label, target, class or y, else the last.

    Raises:
        DataError: SHOAL-D03 a cell is missing; SHOAL-D05 no such label; SHOAL-D06 nothing in it; SHOAL-D07 a feature is
            not a number; SHOAL-D10 nameless columns; SHOAL-D13 too large; and as `encode` and `checked`.
    """
    names = [str(name) for name in table.column_names]
    _check_names(names, source)
    at = names.index(label_name(names, label, source))
    rows, features = table.num_rows, [index for index in range(len(names)) if index != at]
    if rows == 0 or not features:
        raise DataError(
            f"{source} has {rows} rows and {len(features)} columns beside the label {names[at]!r}",
            code="SHOAL-D06",
            hint="a data set needs rows, and features beside the label",
        )
    if len(features) > COLUMNS:
        raise DataError(
            f"{source} has {len(features):,} columns, at most {COLUMNS:,} are accepted",
            code="SHOAL-D13",
            hint="save wide data, such as images, as NPZ or as a folder of images",
        )
    check_size(rows, rows * len(features) * 4, source)
    x = np.empty((rows, len(features)), dtype=np.float32)
    for place, index in enumerate(features):
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused as such
            x[:, place] = _numbers(table.column(index), names[index], source)
        _check_column(x[:, place], names[index], source)
    y, classes = _targets(table.column(at), names[at], target, source)
    return checked(Dataset(x, y, classes, names[at], tuple(names[index] for index in features), source))


def label_name(names: list[str], label: str | None, source: str) -> str:
    """The label column among some names. Raises DataError SHOAL-D05 or SHOAL-D06."""
    if not names:
        raise DataError(f"{source} has no columns", code="SHOAL-D06", hint="a data set needs features and a label")
    if label is None:
        lowered = [name.lower() for name in names]
        return next((names[lowered.index(name)] for name in _LABELS if name in lowered), names[-1])
    if label not in names:
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        listed = ", ".join(repr(name[:_TEXT]) for name in names[:LISTED])
        raise DataError(
            f"{source} has no column {label[:_TEXT]!r}; it has {listed}{more}",
            code="SHOAL-D05",
            hint="give one of them with --label",
        )
    return label


def _targets(column: Any, name: str, target: Target, source: str) -> tuple[Array, tuple[str, ...] | None]:
    column = _plain(column, name, source)
    where, kind = f"{source}: column {name!r}", column.type
    if target == "classes" and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        texts = column.dictionary_encode().combine_chunks()
        return rank(texts.dictionary.to_pylist(), texts.indices.to_numpy(), where)
    if target == "values":
        return encode(_numbers(column, name, source, label=True), target, where)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DataError(
            f"{where}, row 1 is {str(column[0].as_py())[:_TEXT]!r}, of type {kind}",
            code="SHOAL-D09",
            hint="a class is a whole number or a name: save the label as integers or as text in UTF-8",
        )
    return encode(column.to_numpy(), target, where)


def _numbers(column: Any, name: str, source: str, *, label: bool = False) -> Array:
    """A column as numbers. Raises DataError SHOAL-D03 or SHOAL-D07 (SHOAL-D09 for the label), naming the row."""
    column = _plain(column, name, source)
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return np.asarray(column.to_numpy())
    if pa.types.is_decimal(kind):
        return np.asarray(column.cast(pa.float64()).to_numpy())
    found = np.empty(len(column), dtype=np.float64)
    for row, cell in enumerate(column):
        number = _parse(cell.as_py())
        if number is None:
            raise DataError(
                f"{source}: column {name!r}, row {row + 1} is {str(cell.as_py())[:_TEXT]!r}, not a number",
                code="SHOAL-D09" if label else "SHOAL-D07",
                hint='for classes take the loss "cross_entropy" in recipe.json'
                if label
                else "write the feature as numbers (one column of 0 and 1 for each of a few names), or drop the column",
            )
        found[row] = number
    return found


def _parse(cell: object) -> float | None:
    """A number from text, as `float` reads it but for underscores; pyarrow takes `1` for text where another row is."""
    if not isinstance(cell, str) or "_" in cell:
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _plain(column: Any, name: str, source: str) -> Any:
    """The column itself, categories written out. Raises DataError SHOAL-D03, naming the row."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy())) + 1
        raise DataError(
            f"{source}: column {name!r}, row {row} is missing ({column.null_count} missing in this column)",
            code="SHOAL-D03",
            hint="fill in the cells that are empty, NA or null, or drop their rows",
        )
    return column


def _check_column(values: Array, name: str, source: str) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        row = int(np.argmin(finite))
        raise DataError(
            f"{source}: column {name!r}, row {row + 1} is {values[row]}",
            code="SHOAL-D08",
            hint="fill or drop rows with NaN, infinite numbers, or numbers too large for float32",
        )


def _check_names(names: list[str], source: str) -> None:
    for index, name in enumerate(names):
        if not name.strip() or name in names[:index]:
            raise DataError(
                f"{source}: column {index + 1} has {'no name' if not name.strip() else f'the name {name!r} again'}",
                code="SHOAL-D10",
                hint="name every column once; pandas saves its row numbers as a nameless column unless index=False",
            )


def _check_header(names: list[str], path: Path) -> None:
    """A file that starts with data would lose its first row; pandas' own names 0, 1, 2... are names."""
    numbers = [_parse(name) for name in names]
    all_are = all(number is not None for number in numbers) and numbers != list(range(len(names)))
    fractions = sum(number is not None and not float(number).is_integer() for number in numbers)
    if all_are or 2 * fractions > len(names):
        raise DataError(
            f"{path.name}: the first line holds numbers ({', '.join(names)[:_TEXT]})",
            code="SHOAL-D10",
            hint="put a first line above it that names the columns",
        )
