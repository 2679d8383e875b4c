"""What may be in an upload, and where it may end up."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.api.upload import DEPTH, UNPACKED_FACTOR, Part, Upload, safe_name, source_of, unpack
from shoal.errors import UsageError

MOST = 10_000


def zipped(*members: tuple[str, bytes], mode: int = 0) -> Upload:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            made.writestr(info, content)
    data.seek(0)
    return Upload(archive=Part("a.zip", data))


def part(name: str, content: bytes = b"x") -> Part:
    return Part(name, io.BytesIO(content))


def refused(upload: Upload, folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        unpack(upload, folder, max_bytes=MOST)
        source_of(folder, None)
    return caught.value.code


@pytest.mark.parametrize(
    "name",
    ["../model.py", "/etc/model.py", "a/../../model.py", "..\\model.py", "/".join("a" * (DEPTH + 1))],
)
def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    before = set(tmp_path.rglob("*"))
    folder = tmp_path / "in" / "it"
    assert refused(zipped((name, b"evil")), folder) == "SHOAL-U57"
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_link_is_no_file(tmp_path: Path) -> None:
    link = zipped(("model.py", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777)
    assert refused(link, tmp_path / "it") == "SHOAL-U57"


def test_an_archive_that_unpacks_to_too_much_is_cut_off(tmp_path: Path) -> None:
    bomb = zipped(("model.py", b"0" * (MOST * UNPACKED_FACTOR + 1)))
    assert refused(bomb, tmp_path / "it") == "SHOAL-U52"
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= MOST * UNPACKED_FACTOR


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = zipped(("model.py", b"1"), ("model.py", b"2"))
    assert refused(twice, tmp_path / "it") == "SHOAL-U57"


@given(st.binary(max_size=300))
def test_any_bytes_are_an_archive_or_refused(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        assert refused(Upload(archive=Part("a.zip", io.BytesIO(data))), Path(folder) / "it") == "SHOAL-U57"


@pytest.mark.parametrize("prefix", ["", "mine/"])
@pytest.mark.parametrize("data", ["rows.csv", "data.py", "data/cat/1.png"])
def test_a_folder_is_as_good_as_its_content(tmp_path: Path, prefix: str, data: str) -> None:
    folder = tmp_path / "name"
    unpack(zipped((f"{prefix}model.py", b"m"), (f"{prefix}{data}", b"d")), folder, max_bytes=MOST)
    source = source_of(folder, None)
    assert source.model == folder and (folder / data).is_file()
    expected = {"rows.csv": folder / "rows.csv", "data.py": None, "data/cat/1.png": folder / "data"}
    assert source.dataset == expected[data]


def test_single_files_go_together(tmp_path: Path) -> None:
    whole = Upload(model=part("x.py"), recipe=part("r"), data=part("C:\\My rows.csv"))
    unpack(whole, tmp_path / "it", max_bytes=MOST)
    assert source_of(tmp_path / "it", "y").dataset == tmp_path / "it" / "My-rows.csv"


@pytest.mark.parametrize(
    "upload",
    [
        Upload(),
        Upload(model=part("model.py"), recipe=part("recipe.json")),
        Upload(model=part("model.py"), recipe=part("r"), data=part("rows.exe")),
        Upload(archive=part("a.zip"), model=part("model.py")),
    ],
)
def test_half_an_upload_is_refused(tmp_path: Path, upload: Upload) -> None:
    assert refused(upload, tmp_path / "it") == "SHOAL-U57"


@pytest.mark.parametrize("names", [["model.py"], ["rows.csv"], ["model.py", "a.csv", "b.csv"]])
def test_one_model_and_one_data_set(tmp_path: Path, names: list[str]) -> None:
    assert refused(zipped(*((name, b"x") for name in names)), tmp_path / "it") == "SHOAL-U57"


@given(st.text())
def test_a_name_is_harmless(text: str) -> None:
    name = safe_name(text, "data")
    assert name not in ("", ".", "..") and "/" not in name and "\0" not in name and len(name) <= 60
    assert not name.startswith((".", "-"))
