"""Chunks share out every row once and evenly, and a stranger's chunk is read only if it is one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from shoal.errors import DataError
from shoal.learn.chunks import cut, read_chunk, write_chunk
from shoal.learn.dataset import Part

MAX = 1_000_000


def _part(labels: list[int]) -> Part:
    """Rows that can be told apart by their x."""
    x = np.arange(len(labels), dtype=np.float32)[:, None]
    return Part(x, np.array(labels, dtype=np.int64))


@st.composite
def _cuts(draw: st.DrawFn) -> tuple[list[int], int]:
    labels = draw(st.lists(st.integers(0, 4), min_size=2, max_size=120))
    return labels, draw(st.integers(1, len(labels) // 2))


@given(_cuts(), st.integers(0, 2**63 - 1))
def test_every_row_is_in_one_piece_and_pieces_and_classes_are_equal_within_one(case, seed):
    labels, chunks = case
    pieces = cut(_part(labels), chunks, seed=seed)
    assert len(pieces) == chunks
    rows = np.concatenate([piece.x[:, 0] for piece in pieces])
    assert sorted(rows.tolist()) == list(range(len(labels)))
    assert all(labels[int(row)] == y for piece in pieces for row, y in zip(piece.x[:, 0], piece.y, strict=True))
    sizes = [len(piece.x) for piece in pieces]
    assert max(sizes) - min(sizes) <= 1
    for label in set(labels):
        counts = [int((piece.y == label).sum()) for piece in pieces]
        assert max(counts) - min(counts) <= 1


@given(st.integers(2, 60), st.data())
def test_targets_without_classes_are_shared_out_as_evenly(rows, data):
    chunks = data.draw(st.integers(1, rows // 2))
    y = np.linspace(0, 1, rows, dtype=np.float32)
    pieces = cut(Part(np.arange(rows, dtype=np.float32)[:, None], y), chunks, seed=3)
    assert sorted(np.concatenate([piece.y for piece in pieces]).tolist()) == y.tolist()
    assert {len(piece.x) for piece in pieces} <= {rows // chunks, -(-rows // chunks)}


def test_the_seed_decides_the_cut():
    part = _part([0, 1] * 30)
    first, again, other = (cut(part, 3, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a.x, b.x) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a.x, b.x) for a, b in zip(first, other, strict=True))


def test_rows_of_a_piece_are_not_sorted_by_class():
    [piece] = cut(_part([0] * 30 + [1] * 30), 1, seed=1)
    assert not (np.diff(piece.y) >= 0).all()


@pytest.mark.parametrize(("rows", "chunks", "most"), [(3, 4, 1), (7, 4, 3), (1, 1, 0)])
def test_too_few_rows_for_the_chunks_says_how_many_would_do(rows, chunks, most):
    with pytest.raises(DataError, match=f"{rows} rows for training are too few for {chunks} chunks") as caught:
        cut(_part([0] * rows), chunks, seed=1)
    assert caught.value.code == "SHOAL-D21"
    assert f"at most {most} chunks" in caught.value.hint


@pytest.mark.parametrize("x_type", [np.float32, np.int64])
@pytest.mark.parametrize("y_type", [np.float32, np.int64])
def test_a_chunk_comes_back_as_it_was_written(x_type, y_type, tmp_path: Path):
    x = np.arange(24).reshape(4, 2, 3).astype(x_type).transpose(0, 2, 1)
    y = np.arange(4).astype(y_type)
    write_chunk(tmp_path / "chunk", x, y)
    got_x, got_y = read_chunk(tmp_path / "chunk", max_bytes=MAX)
    assert np.array_equal(got_x, x) and got_x.dtype == x.dtype and got_x.flags.writeable
    assert np.array_equal(got_y, y) and got_y.dtype == y.dtype


def _ones(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.ones(shape, dtype=dtype)


@pytest.mark.parametrize(
    "tensors",
    [
        {"x": _ones(3, 2)},
        {"x": _ones(3, 2), "y": _ones(3), "z": _ones(1)},
        {"x": _ones(3, 2), "Y": _ones(3)},
        {"x": _ones(3, 2, dtype=np.float64), "y": _ones(3)},
        {"x": _ones(3, 2), "y": _ones(3, dtype=np.int32)},
        {"x": _ones(3, 2, dtype=np.uint8), "y": _ones(3)},
        {"x": _ones(3, 2), "y": _ones(4)},
        {"x": _ones(0, 2), "y": _ones(0)},
        {"x": _ones(3, 0), "y": _ones(3)},
        {"x": _ones(), "y": _ones()},
        {"x": _ones(3, *[1] * 8), "y": _ones(3)},
    ],
)
def test_other_tensors_are_no_chunk(tensors, tmp_path: Path):
    save_file(tensors, tmp_path / "chunk")
    with pytest.raises(DataError) as caught:
        read_chunk(tmp_path / "chunk", max_bytes=MAX)
    assert caught.value.code == "SHOAL-D24"


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([[1.0], [np.nan]], np.array([0, 1])),
        ([[1.0], [np.inf]], np.array([0, 1])),
        ([[1.0], [2.0]], np.array([0.0, np.nan], dtype=np.float32)),
        ([[1.0], [2.0]], np.array([0, -1])),
    ],
)
def test_numbers_that_cannot_be_trained_on_are_refused(x, y, tmp_path: Path):
    write_chunk(tmp_path / "chunk", np.array(x, dtype=np.float32), y)
    with pytest.raises(DataError) as caught:
        read_chunk(tmp_path / "chunk", max_bytes=MAX)
    assert caught.value.code == "SHOAL-D25"


def test_a_chunk_larger_than_agreed_is_not_opened(tmp_path: Path):
    write_chunk(tmp_path / "chunk", _ones(100, 10), _ones(100))
    size = (tmp_path / "chunk").stat().st_size
    read_chunk(tmp_path / "chunk", max_bytes=size)
    with pytest.raises(DataError) as caught:
        read_chunk(tmp_path / "chunk", max_bytes=size - 1)
    assert caught.value.code == "SHOAL-D22"


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"PK\3\4" * 20, b"\xff" * 64, b"\x80\x04pickle."])
def test_bytes_of_another_kind_are_refused(content, tmp_path: Path):
    (tmp_path / "chunk").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_chunk(tmp_path / "chunk", max_bytes=MAX)
    assert caught.value.code == "SHOAL-D23"


def test_a_missing_or_truncated_chunk_is_refused(tmp_path: Path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(DataError) as caught:
            read_chunk(path, max_bytes=MAX)
        assert caught.value.code == "SHOAL-D23"
    write_chunk(tmp_path / "chunk", _ones(100, 10), _ones(100))
    whole = (tmp_path / "chunk").read_bytes()
    for cut_at in (10, 100, len(whole) - 1):
        (tmp_path / "part").write_bytes(whole[:cut_at])
        with pytest.raises(DataError) as caught:
            read_chunk(tmp_path / "part", max_bytes=MAX)
        assert caught.value.code == "SHOAL-D23"
    (tmp_path / "more").write_bytes(whole + b"\0")
    with pytest.raises(DataError) as caught:
        read_chunk(tmp_path / "more", max_bytes=MAX)
    assert caught.value.code == "SHOAL-D23"


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "chunk")
        path.write_bytes(content)
        with pytest.raises(DataError):
            read_chunk(path, max_bytes=MAX)
