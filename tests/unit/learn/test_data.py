"""Data sets of every kind load as they are meant, and what cannot be used says where it is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shoal.errors import DataError
from shoal.learn import dataset, labels, tables
from shoal.learn.data import Dataset, describe, load_any, split

FLOWERS = "width,species,height\n1,rose,0.5\n2.5,lily,-3\n3,rose,1e2\n"


def _csv(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text)
    return path


def _npz(folder: Path, **found: Any) -> Path:
    np.savez(folder / "arrays.npz", **found)
    return folder / "arrays.npz"


def _code(folder: Path, text: str) -> Path:
    (folder / "data.py").write_text(text)
    return folder


def _images(folder: Path, **classes: list[Image.Image]) -> Path:
    for name, pictures in classes.items():
        (folder / name).mkdir(parents=True)
        for index, picture in enumerate(pictures):
            picture.save(folder / name / f"{index}.png")
    return folder


def _refused(code: str, where: Path, label: str | None = None, target: Any = "classes") -> DataError:
    with pytest.raises(DataError) as caught:
        load_any(where, label, target=target)
    assert caught.value.code == code, caught.value.message
    assert caught.value.hint
    return caught.value


# ---------------------------------------------------------------- tables


def test_a_table_with_names_for_labels(tmp_path: Path):
    found = load_any(_csv(tmp_path, FLOWERS), "species", target="classes")
    assert found.x.dtype == np.float32
    assert found.x.tolist() == [[1, 0.5], [2.5, -3], [3, 100]]
    assert found.y.dtype == np.int64
    assert (found.y.tolist(), found.classes) == ([1, 0, 1], ("lily", "rose"))
    assert (found.columns, found.label, found.source) == (("width", "height"), "species", "table.csv")


@pytest.mark.parametrize(
    ("header", "label"),
    [("a,Label,z", "Label"), ("y,a,Target", "Target"), ("a,CLASS,y", "CLASS"), ("Y,b,c", "Y"), ("a,b,c", "c")],
)
def test_the_label_has_a_usual_name_or_is_last(header, label, tmp_path: Path):
    assert load_any(_csv(tmp_path, f"{header}\n1,2,3\n4,5,6\n"), None, target="values").label == label


def test_whole_numbers_are_sorted_as_numbers(tmp_path: Path):
    found = load_any(_csv(tmp_path, "a,y\n1,10\n2,9\n3,10\n4,-1\n"), None, target="classes")
    assert (found.y.tolist(), found.classes) == ([2, 1, 2, 0], ("-1", "9", "10"))
    found = load_any(_csv(tmp_path, "a,y\n1,10.0\n2,9.0\n"), None, target="classes")
    assert (found.y.tolist(), found.classes) == ([1, 0], ("9", "10"))
    found = load_any(_csv(tmp_path, "a,y\n1,true\n2,false\n"), None, target="classes")
    assert (found.y.tolist(), found.classes) == ([1, 0], ("false", "true"))


def test_values_to_predict(tmp_path: Path):
    found = load_any(_csv(tmp_path, "price,a\n0.5,1\n2,2\n"), "price", target="values")
    assert found.y.dtype == np.float32
    assert (found.y.tolist(), found.classes) == ([0.5, 2], None)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_commas_semicolons_and_tabs_separate(delimiter, tmp_path: Path):
    text = "\ufeffa,b,y\r\n1,2,x\r\n3,4,z\r\n".replace(",", delimiter)
    found = load_any(_csv(tmp_path, text), None, target="classes")
    assert (found.columns, found.x.tolist()) == (("a", "b"), [[1, 2], [3, 4]])


def test_parquet_of_every_kind_of_number(tmp_path: Path):
    table = pa.table(
        {
            "i": pa.array([1, 2, 3], pa.int8()),
            "d": pa.array([1, 2, 3], pa.decimal128(5, 2)),
            "b": pa.array([True, False, True]),
            "t": pa.array([" 1.5", "2", "3"]),
            "h": pa.array([1, 2, 3], pa.float16()),
            "label": pa.array(["u", "v", "u"]).dictionary_encode(),
            "__index_level_0__": pa.array([7, 8, 9]),
        }
    )
    pa.parquet.write_table(table, tmp_path / "table.parquet")
    found = load_any(tmp_path / "table.parquet", None, target="classes")
    assert found.x.tolist() == [[1, 1, 1, 1.5, 1], [2, 2, 0, 2, 2], [3, 3, 1, 3, 3]]
    assert (found.y.tolist(), found.classes) == ([0, 1, 0], ("u", "v"))


def test_text_in_several_pieces_of_a_table_is_one_set_of_classes():
    table = pa.concat_tables([pa.table({"a": [1, 2], "y": ["q", "p"]}), pa.table({"a": [3, 4], "y": ["r", "p"]})])
    found = tables.load_table(table, None, "classes", "table")
    assert (found.y.tolist(), found.classes) == ([1, 0, 2, 0], ("p", "q", "r"))


@pytest.mark.parametrize(
    ("code", "text", "where"),
    [
        ("SHOAL-D03", "a,y\n1,0\n,1\n", "column 'a', row 2 is missing"),
        ("SHOAL-D03", "a,y\n1,u\n2,v\n3,\n", "column 'y', row 3 is missing"),
        ("SHOAL-D03", "a,y\nNA,0\n2,1\n", "column 'a', row 1 is missing"),
        ("SHOAL-D04", "a,y\n1,0\n2\n", "row 2 has 1 cells, the first line 2"),
        ("SHOAL-D04", "a,y\n1,0\n2,1,5\n", "row 2 has 3 cells, the first line 2"),
        ("SHOAL-D06", "", "is empty"),
        ("SHOAL-D06", "a,y\n", "0 rows"),
        ("SHOAL-D06", "y\n1\n2\n", "0 columns beside the label 'y'"),
        ("SHOAL-D07", "a,y\n1,0\n2,1\nblue,1\n", "column 'a', row 3 is 'blue'"),
        ("SHOAL-D07", "a,y\n1,0\n1_000,1\n", "column 'a', row 2 is '1_000'"),
        ("SHOAL-D07", "a,y\n2020-01-02,0\n2020-01-03,1\n", "column 'a', row 1 is '2020-01-02'"),
        ("SHOAL-D07", f"a,y\n{'q' * 99},0\n2,1\n", f"row 1 is '{'q' * 40}',"),
        ("SHOAL-D08", "a,y\n1,0\ninf,1\n", "column 'a', row 2 is inf"),
        ("SHOAL-D08", "a,y\n1e39,0\n2,1\n", "column 'a', row 1 is inf"),
        ("SHOAL-D09", "a,y\n1,0\n2,1.5\n", "column 'y', row 2 is 1.5"),
        ("SHOAL-D09", "a,y\n1,2020-01-02\n2,2020-01-03\n", "column 'y', row 1 is '2020-01-02'"),
        ("SHOAL-D10", "5.1,3.5,0\n4.9,3.0,1\n", "the first line holds numbers"),
        ("SHOAL-D10", ",a,y\n0,1,0\n1,2,1\n", "column 1 has no name"),
        ("SHOAL-D10", "a,a,y\n0,1,0\n1,2,1\n", "column 2 has the name 'a' again"),
        ("SHOAL-D11", "a,y\n1,cat\n2,cat\n", "the label 'y' is 'cat' in every row"),
        ("SHOAL-D11", "a,y\n1,3\n2,3\n", "the label 'y' is '3' in every row"),
    ],
)
def test_what_is_wrong_in_a_csv_and_where(code, text, where, tmp_path: Path):
    assert where in _refused(code, _csv(tmp_path, text)).message


def test_the_first_bad_cell_is_found_far_down(tmp_path: Path):
    """pyarrow guesses types from the first megabyte."""
    text = "a,y\n" + "1,0\n2,1\n" * 150_000 + "oops,1\n"
    assert "row 300001 is 'oops'" in _refused("SHOAL-D07", _csv(tmp_path, text)).message


def test_names_of_pandas_for_nameless_columns_are_names(tmp_path: Path):
    assert load_any(_csv(tmp_path, "0,1,2\n5,6,0\n7,8,1\n"), None, target="classes").label == "2"


def test_a_label_that_is_not_there_lists_the_columns(tmp_path: Path):
    error = _refused("SHOAL-D05", _csv(tmp_path, FLOWERS), "colour")
    assert "no column 'colour'; it has 'width', 'species', 'height'" in error.message
    wide = ",".join(f"c{index}" for index in range(30))
    assert "and 10 more" in _refused("SHOAL-D05", _csv(tmp_path, f"{wide}\n{wide}\n"), "colour").message


def test_names_are_not_values(tmp_path: Path):
    error = _refused("SHOAL-D09", _csv(tmp_path, FLOWERS), "species", "values")
    assert "column 'species', row 1 is 'rose'" in error.message
    assert "cross_entropy" in error.hint


def test_not_a_number_in_parquet(tmp_path: Path):
    path = tmp_path / "table.parquet"
    pa.parquet.write_table(pa.table({"a": [1.0, float("nan")], "y": [0, 1]}), path)
    assert "column 'a', row 2 is nan" in _refused("SHOAL-D08", path).message
    pa.parquet.write_table(pa.table({"a": [1, 2], "y": [0, None]}), path)
    assert "column 'y', row 2 is missing" in _refused("SHOAL-D03", path).message
    pa.parquet.write_table(pa.table({"a": [[1], [2]], "y": [0, 1]}), path)
    assert "column 'a', row 1 is '[1]'" in _refused("SHOAL-D07", path).message


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
@pytest.mark.parametrize("content", [b"\xff\xfe\0\1" * 9, b"PAR1" * 3, b"PK\3\4" * 9])
def test_bytes_of_another_kind_are_refused(suffix, content, tmp_path: Path):
    path = tmp_path / f"data.{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError):
        load_any(path, None, target="classes")


def test_too_much_is_refused_before_it_fills_memory(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tables, "COLUMNS", 1)
    assert "2 columns" in _refused("SHOAL-D13", _csv(tmp_path, FLOWERS)).message
    monkeypatch.setattr(dataset, "ROWS", 2)
    for path in (_csv(tmp_path, "a,y\n1,0\n2,1\n3,1\n"), _npz(tmp_path, x=np.ones((3, 1)), y=np.arange(3))):
        assert "3 rows" in _refused("SHOAL-D13", path).message
    monkeypatch.setattr(dataset, "BYTES", 20)
    _refused("SHOAL-D13", _csv(tmp_path, "a,y\n1000000000000000,0\n2,1\n"))
    monkeypatch.setattr(labels, "CLASSES", 1)
    _refused("SHOAL-D13", _csv(tmp_path, "a,y\n1,u\n2,v\n"))


# ---------------------------------------------------------------- arrays


@pytest.mark.parametrize(
    ("names", "label"), [(("x", "y"), None), (("X", "y"), None), (("x", "price"), "price"), (("rows", "labels"), None)]
)
def test_arrays_by_their_usual_names(names, label, tmp_path: Path):
    x, y = np.random.default_rng(0).normal(size=(4, 2, 3)), np.array([3, 5, 3, 5])
    found = load_any(_npz(tmp_path, **dict(zip(names, (x, y), strict=True))), label, target="classes")
    assert np.array_equal(found.x, x.astype(np.float32))
    assert (found.y.tolist(), found.classes, found.label) == ([0, 1, 0, 1], ("3", "5"), names[1])


@pytest.mark.parametrize(
    ("kind", "becomes"),
    [("u1", "f4"), ("?", "f4"), ("f2", "f4"), ("f8", "f4"), ("i4", "i8"), ("i8", "i8"), ("u2", "i8"), (">i4", "i8")],
)
def test_wide_integers_are_tokens_and_other_numbers_floats(kind, becomes, tmp_path: Path):
    path = _npz(tmp_path, x=np.ones((2, 3), dtype=kind), y=np.array([0, 1]))
    assert load_any(path, None, target="classes").x.dtype == np.dtype(becomes)


def test_tokens_have_a_label_each(tmp_path: Path):
    y = np.array([[1, 7, 2], [0, 1, 1]], dtype=np.int32)
    found = load_any(_npz(tmp_path, x=np.zeros((2, 3), dtype=np.int64), y=y), None, target="classes")
    assert found.y.dtype == np.int64
    assert (found.y.tolist(), found.classes) == (y.tolist(), None)
    assert describe(found).as_dict()["values"] == [0.0, 7.0]


def test_a_column_of_labels_is_flat_for_classes_and_stays_for_values(tmp_path: Path):
    path = _npz(tmp_path, x=np.ones((2, 3)), y=np.array([[0], [1]]))
    assert load_any(path, None, target="classes").y.shape == (2,)
    assert load_any(path, None, target="values").y.shape == (2, 1)


def test_arrays_of_text_are_names_of_classes(tmp_path: Path):
    path = _npz(tmp_path, x=np.ones((3, 1)), y=np.array(["b", "a", "b"]))
    assert load_any(path, None, target="classes").classes == ("a", "b")
    assert "'b'" in _refused("SHOAL-D09", path, target="values").message


X, Y = np.ones((3, 2)), np.array([0, 1, 0])


@pytest.mark.parametrize(
    ("code", "found", "where"),
    [
        ("SHOAL-D05", {"x": X, "z": Y}, "no array 'y'; it has x, z"),
        ("SHOAL-D05", {"p": X, "q": X, "y": Y}, "no array of features; it has p, q, y"),
        ("SHOAL-D05", {}, "it has none"),
        ("SHOAL-D06", {"x": X[:0], "y": Y[:0]}, "is empty"),
        ("SHOAL-D06", {"x": X[:, :0], "y": Y}, "is empty"),
        ("SHOAL-D08", {"x": np.where(Y == 1, np.nan, 1.0), "y": Y}, "x, row 2 is nan"),
        ("SHOAL-D08", {"x": X, "y": np.array([0, 1, np.inf])}, "label 'y', row 3 is inf"),
        ("SHOAL-D09", {"x": X, "y": Y + 0.5}, "row 1 is 0.5"),
        ("SHOAL-D09", {"x": X, "y": np.array([[0, 1], [1, -1], [0, 0]])}, "the class id -1"),
        ("SHOAL-D09", {"x": X, "y": np.eye(3)}, "labels of type float64 and shape [3, 3]"),
        ("SHOAL-D09", {"x": X, "y": np.array([0, 2**63, 1], dtype=np.uint64)}, "beyond 63 bits"),
        ("SHOAL-D11", {"x": X, "y": Y * 0}, "'0' in every row"),
        ("SHOAL-D15", {"x": X, "y": np.array(["a", 1, None], dtype=object)}, "array 'y' holds Python objects"),
        ("SHOAL-D15", {"x": X.astype(complex), "y": Y}, "complex128"),
        ("SHOAL-D15", {"x": np.array([["a"], ["b"], ["c"]]), "y": Y}, "x holds <U1"),
        ("SHOAL-D16", {"x": X, "y": Y[:2]}, "x has shape [3, 2] and y [2]"),
        ("SHOAL-D16", {"x": X, "y": np.array(1)}, "y []"),
    ],
)
def test_what_is_wrong_in_arrays_and_where(code, found, where, tmp_path: Path):
    assert where in _refused(code, _npz(tmp_path, **found)).message


def test_an_archive_that_would_unpack_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((1_000, 1_000)), y=np.arange(1_000) % 2)
    monkeypatch.setattr(dataset, "BYTES", 1_000_000)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was opened"))
    assert "8,000,128 bytes" in _refused("SHOAL-D13", tmp_path / "bomb.npz").message


# ---------------------------------------------------------------- the author's own code

_LOAD = "import numpy as np\ndef load():\n    return np.eye(4), np.array({y}){names}\n"


def test_code_of_the_author(tmp_path: Path):
    (tmp_path / "neighbour.py").write_text("NAMES = ['no', 'yes', 'maybe']\n")
    text = "from neighbour import NAMES\n" + _LOAD.format(y=[0, 1, 0, 1], names=", NAMES")
    found = load_any(_code(tmp_path, text), None, target="classes")
    assert (found.x.dtype, found.y.tolist(), found.classes) == (np.float32, [0, 1, 0, 1], ("no", "yes", "maybe"))
    assert found.label == "data.py"
    values = load_any(_code(tmp_path, _LOAD.format(y=[0, 1, 0, 1], names="")), None, target="values")
    assert (values.y.dtype, values.classes) == (np.float32, None)


@pytest.mark.parametrize(
    ("code", "text", "where"),
    [
        ("SHOAL-D14", "def load(:", "SyntaxError"),
        ("SHOAL-D14", "import no_such_package_at_all", "No module named"),
        ("SHOAL-D14", "def lode(): ...", "AttributeError"),
        ("SHOAL-D14", "def load(): raise FileNotFoundError('apt install it')", "FileNotFoundError: apt install it"),
        ("SHOAL-D14", "def load(): return [1], [2]", "something else than arrays"),
        ("SHOAL-D14", _LOAD.format(y=[0, 1, 0, 1], names=", 5"), "something else than arrays"),
        ("SHOAL-D14", _LOAD.format(y=[0, 1, 0, 1], names=", ['one']"), "something else than arrays"),
        ("SHOAL-D09", _LOAD.format(y=[0, 1, 0, 2], names=", ['a', 'b']"), "the class id 2, allowed are 0 to 1"),
        ("SHOAL-D09", _LOAD.format(y=["a", "b", "a", "b"], names=", ['a', 'b']"), "labels of type <U1"),
        ("SHOAL-D16", _LOAD.format(y=[0, 1, 0], names=""), "y [3]"),
    ],
)
def test_what_is_wrong_with_the_code(code, text, where, tmp_path: Path):
    error = _refused(code, _code(tmp_path, text))
    assert where in error.message and "data.py" in error.message


def test_a_label_for_a_folder_is_refused(tmp_path: Path):
    _refused("SHOAL-D05", _code(tmp_path, _LOAD.format(y=[0, 1, 0, 1], names="")), "species")


# ---------------------------------------------------------------- images


def _image(value: Any, mode: str = "RGB", size: tuple[int, int] = (5, 3)) -> Image.Image:
    return Image.new(mode, size, value)


def test_images_are_scaled_and_their_folders_are_classes(tmp_path: Path):
    _images(tmp_path, cat=[_image((255, 0, 51))], ant=[_image((0, 0, 0)), _image((0, 255, 0))])
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "cat" / ".DS_Store").write_text("")
    found = load_any(tmp_path, None, target="classes")
    assert (found.x.dtype, found.x.shape) == (np.float32, (3, 3, 3, 5))
    assert (found.y.tolist(), found.classes) == ([0, 0, 1], ("ant", "cat"))
    assert found.x[2, :, 0, 0].tolist() == pytest.approx([1.0, 0.0, 0.2])


@pytest.mark.parametrize(
    ("mode", "value", "channels", "scaled"),
    [("L", 51, 1, 0.2), ("1", 1, 1, 1.0), ("RGBA", (51, 0, 0, 0), 4, 0.2), ("I;16", 13_107, 1, 0.2)],
)
def test_images_of_other_modes(mode, value, channels, scaled, tmp_path: Path):
    _images(tmp_path, a=[_image(value, mode)], b=[_image(0, mode)])
    found = load_any(tmp_path, None, target="classes")
    assert found.x.shape == (2, channels, 3, 5)
    assert float(found.x[0, 0, 0, 0]) == pytest.approx(scaled)


def test_a_palette_becomes_its_colours(tmp_path: Path):
    _images(tmp_path, a=[_image((0, 0, 255)).convert("P")], b=[_image((0, 0, 0))])
    (tmp_path / "a" / "1.png").write_bytes((tmp_path / "a" / "0.png").read_bytes())
    with Image.open(tmp_path / "a" / "0.png") as picture:
        picture.save(tmp_path / "a" / "1.png", transparency=b"\0" * 256)
    assert load_any(tmp_path, None, target="classes").x[1, :, 0, 0].tolist() == [0, 0, 1]


def test_jpeg_and_bmp(tmp_path: Path):
    for name, suffix in (("a", "JPG"), ("b", "bmp")):
        (tmp_path / name).mkdir()
        _image(100, "L").save(tmp_path / name / f"0.{suffix}")
    assert load_any(tmp_path, None, target="classes").x.shape == (2, 1, 3, 5)


def test_images_that_differ(tmp_path: Path):
    _images(tmp_path, a=[_image(0, "L")], b=[_image(0, "L", (4, 3))])
    assert "b/0.png is 4 x 3 pixels with 1 channel, a/0.png is 5 x 3" in _refused("SHOAL-D17", tmp_path).message
    _images(tmp_path / "modes", a=[_image(0, "L")], b=[_image(0, "RGB")])
    assert "with 3 channels" in _refused("SHOAL-D17", tmp_path / "modes").message
    (tmp_path / "cmyk" / "a").mkdir(parents=True)
    _image(0, "CMYK").save(tmp_path / "cmyk" / "a" / "0.jpg")
    assert "mode 'CMYK'" in _refused("SHOAL-D17", tmp_path / "cmyk").message


def test_class_folders_hold_images_alone(tmp_path: Path):
    _images(tmp_path, a=[_image(0)], b=[])
    assert "/b has no images" in _refused("SHOAL-D18", tmp_path).message
    (tmp_path / "b" / "notes.txt").write_text("")
    assert "'notes.txt'" in _refused("SHOAL-D18", tmp_path).message
    (tmp_path / "b" / "notes.txt").rename(tmp_path / "b" / "0.png")
    assert "b/0.png" in _refused("SHOAL-D04", tmp_path).message
    whole = (tmp_path / "a" / "0.png").read_bytes()
    (tmp_path / "b" / "0.png").write_bytes(whole[:-30])
    assert "b/0.png" in _refused("SHOAL-D04", tmp_path).message


def test_one_folder_is_one_class(tmp_path: Path):
    _images(tmp_path, a=[_image(0), _image(1)])
    assert "'a' in every row" in _refused("SHOAL-D11", tmp_path).message
    _refused("SHOAL-D09", tmp_path, target="values")


def test_links_out_of_the_folder_are_refused(tmp_path: Path):
    secret = _images(tmp_path / "elsewhere", a=[_image(0)]) / "a"
    inside = _images(tmp_path / "data", a=[_image(0)], b=[])
    (inside / "b" / "0.png").symlink_to(inside / "a" / "0.png")
    assert len(load_any(inside, None, target="classes").x) == 2
    (inside / "b" / "1.png").symlink_to(secret / "0.png")
    assert "outside the data set" in _refused("SHOAL-D19", inside).message
    (inside / "b" / "1.png").unlink()
    (inside / "c").symlink_to(secret)
    _refused("SHOAL-D19", inside)


def test_an_image_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch):
    _images(tmp_path, a=[_image(0, "1", (9_000, 9_000))], b=[_image(0, "1")])
    assert (tmp_path / "a" / "0.png").stat().st_size < 100_000
    assert "9000 x 9000 pixels" in _refused("SHOAL-D13", tmp_path).message
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    assert "decompression bomb" in _refused("SHOAL-D13", tmp_path).message


# ---------------------------------------------------------------- kinds


def test_what_is_no_data_set(tmp_path: Path):
    assert "no data set at" in _refused("SHOAL-D01", tmp_path / "none.csv").message
    (tmp_path / "table.xlsx").write_text("")
    assert ".parquet" in _refused("SHOAL-D02", tmp_path / "table.xlsx").hint
    _refused("SHOAL-D02", tmp_path)


def test_pickles_are_never_opened(tmp_path: Path):
    (tmp_path / "x.npz").write_bytes(b"\x80\x04cos\nsystem\n")
    _refused("SHOAL-D04", tmp_path / "x.npz")


# ---------------------------------------------------------------- description and split


def test_a_description_is_what_was_found(tmp_path: Path):
    found = describe(load_any(_csv(tmp_path, FLOWERS), "species", target="classes"))
    assert found.as_dict() == json.loads(json.dumps(found.as_dict()))
    assert found.as_dict() == {
        "rows": 3,
        "shape": [2],
        "dtype": "float32",
        "range": [-3.0, 100.0],
        "label": "species",
        "class_count": 2,
        "classes": {"lily": 1, "rose": 2},
    }


def test_of_many_classes_a_few_are_listed():
    found = describe(_dataset([index % 50 for index in range(200)])).as_dict()
    assert (found["class_count"], len(found["classes"])) == (50, 20)


def _dataset(ids: list[int], count: int | None = None) -> Dataset:
    """Rows that can be told apart by their x; without a count of classes, as values."""
    x = np.arange(len(ids), dtype=np.float32)[:, None]
    names = tuple(str(index) for index in range(count or max(ids) + 1))
    return Dataset(x, np.array(ids, dtype=np.int64), names, "y", None, "made")


def _rows(*parts: dataset.Part) -> list[float]:
    return [float(row) for part in parts for row in part.x[:, 0]]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=150), st.integers(0, 2**63 - 1))
def test_a_split_shares_out_every_row_once_and_every_class(ids, seed):
    try:
        found = split(_dataset(ids, 4), seed=seed)
    except DataError as error:
        assert error.code == "SHOAL-D12"
        assert all(ids.count(label) < 20 for label in range(4))
        return
    parts = (found.train, found.validation, found.test)
    assert sorted(_rows(*parts)) == list(range(len(ids)))
    assert all(ids[int(row)] == y for part in parts for row, y in zip(part.x[:, 0], part.y, strict=True))
    assert all(len(part.x) >= 2 for part in parts)
    for label in range(4):
        wanted = [(found.validation, 0.1), (found.test, 0.2), (found.train, 0.7)]
        for part, share in wanted if ids.count(label) >= 3 else []:
            count = int((part.y == label).sum())
            assert count >= 1
            assert abs(count - share * ids.count(label)) <= 1.5


@given(st.integers(2, 200))
def test_values_are_split_in_the_same_shares(rows):
    x = np.arange(rows, dtype=np.float32)[:, None]
    made = Dataset(x, x[:, 0] / 2, None, "y", ("x",), "made")
    if rows < 6:
        with pytest.raises(DataError, match=f"{rows} rows"):
            split(made, seed=1)
        return
    found = split(made, seed=1)
    assert sorted(_rows(found.train, found.validation, found.test)) == list(range(rows))
    assert len(found.test.x) == max(2, round(0.2 * rows))
    assert len(found.validation.x) == max(2, round(0.1 * rows))
    assert np.array_equal(found.train.x[:, 0] / 2, found.train.y)


def test_the_seed_decides_the_split():
    made = _dataset([0, 1] * 50)
    assert _rows(split(made, seed=5).test) == _rows(split(made, seed=5).test)
    assert sorted(_rows(split(made, seed=5).test)) != sorted(_rows(split(made, seed=6).test))


def test_an_identifier_for_a_label_cannot_be_split():
    with pytest.raises(DataError, match="50 rows in 50 classes") as caught:
        split(_dataset(list(range(50))), seed=1)
    assert caught.value.code == "SHOAL-D12"


def test_validation_fits_into_one_chunk(monkeypatch):
    monkeypatch.setattr(dataset, "CHUNK_BYTES", 120)  # of 12 bytes a row
    assert len(split(_dataset([0, 1] * 100), seed=1).validation.x) < 10


def test_reading_chunks_needs_no_reader_of_other_files():
    """It happens inside the sandbox, where every library more is one more that a stranger's bytes may meet."""
    code = (
        "import sys, shoal.learn.chunks; sys.exit(bool({'pyarrow', 'PIL', 'zipfile'} & (sys.modules.keys() - before)))"
    )
    code = "import sys, numpy, safetensors.numpy; before = set(sys.modules); " + code
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
