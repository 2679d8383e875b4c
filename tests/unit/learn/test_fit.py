"""A model that does not take its data: which layer, what it expects, what it gets; and long messages cut short."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoal.client.prepare import examine
from shoal.client.source import Source
from shoal.errors import DataError, ModelError
from shoal.learn import data
from shoal.learn.export import export_model
from shoal.learn.fit import as_floats, check_input, told_in_full, useful_line

from .families import recipe


class Wrapped(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)  # type: ignore[no-any-return]


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0][:, -1]  # type: ignore[no-any-return]


class ByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w


FLOATS = torch.zeros(8, 5)
LINEAR = Wrapped(nn.Linear(5, 4), nn.Linear(3, 2))
IMAGES = torch.zeros(8, 1, 9, 9)
MISFITS = {
    "linear": (LINEAR, FLOATS, r"'body\.1' \(Linear\) expects 3 numbers.*\[rows, 4\]"),
    "conv": (Wrapped(nn.Conv2d(3, 4, 3)), IMAGES, r"Conv2d.* 4 dimensions with 3 channels.*\[rows, 1, 9, 9\]"),
    "flat images": (Wrapped(nn.Conv2d(1, 4, 3)), FLOATS, r"Conv2d.* 4 dimensions.*\[rows, 5\]"),
    "batch norm": (Wrapped(nn.BatchNorm1d(6)), FLOATS, r"BatchNorm1d.* 6 channels.*\[rows, 5\]"),
    "layer norm": (Wrapped(nn.LayerNorm(6)), FLOATS, r"LayerNorm.*\[6\].*\[rows, 5\]"),
    "lstm": (Lstm(), torch.zeros(8, 7, 2), r"'lstm' \(LSTM\) expects 3 numbers.*\[rows, 7, 2\]"),
    "ids": (Wrapped(nn.Embedding(4, 2)), torch.tensor([[1], [9]]), r"ids from 0 to 3, of which the largest here is 9"),
    "whole": (Wrapped(nn.Embedding(4, 2)), FLOATS, r"Embedding.* whole numbers"),
    "floats": (Wrapped(nn.Linear(1, 2)), torch.ones(8, 1, dtype=torch.int64), r"Linear.* expects float32.* int64"),
    "by hand": (ByHand(), FLOATS, r"test_fit\.py, line \d+: mat1 and mat2 shapes cannot be multiplied \(8x5 and 3x2\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_told_with_its_place(name: str) -> None:
    module, x, says = MISFITS[name]
    module.train()
    with pytest.raises(ModelError) as error:
        check_input(module, x)
    assert error.value.code == "SHOAL-M07" and re.search(says, error.value.message), error.value.message
    assert "rows of shape" in error.value.message and "\n" not in error.value.message
    assert module.training and all(not layer._forward_hooks for layer in module.modules())


def test_what_fits_is_not_refused_nor_changed() -> None:
    module = Wrapped(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    check_input(module, FLOATS + 1)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_model_is_refused_before_it_is_exported() -> None:
    with pytest.raises(ModelError) as error:
        export_model(MISFITS["linear"][0], (FLOATS,), recipe(), torch.zeros(8, dtype=torch.int64))
    assert error.value.code == "SHOAL-M07" and "body.1" in error.value.message


# ---------------------------------------------------------------- long messages


def test_a_long_message_is_cut_to_its_useful_line_and_kept_in_a_file() -> None:
    long = (
        "Dynamo failed to run FX node with fake tensors: call_function <built-in>(*(FakeTensor(...),), **{}): got "
        "RuntimeError('shapes do not match')\n\nfrom user code:\n   File \"/home/me/model.py\", line 9, in forward\n"
        "    return x @ self.w\n" + "noise\n" * 500
    )
    told = told_in_full(RuntimeError(long))
    assert told.startswith("model.py, line 9: shapes do not match (torch's whole message is in ")
    path = Path(told.rsplit(" in ", 1)[1].rstrip(")"))
    assert path.read_text() == long.strip()
    assert told_in_full(RuntimeError(long)) == told, "the same message, the same file"
    path.unlink()
    assert told_in_full(ValueError("short")) == "short"
    assert useful_line(ValueError("")) == "ValueError"
    assert len(useful_line(ValueError("x" * 10_000))) == 300


# ---------------------------------------------------------------- whole numbers


def npz(directory: Path, x: np.ndarray, name: str = "d.npz") -> Path:
    path = directory / name
    np.savez(path, x=x, y=np.arange(len(x)) % 2)
    return path


RECIPE = {"loss": "cross_entropy", "optimizer": {"name": "sgd", "lr": 0.1}, "batch_size": 8, "local_steps": 2}


def test_whole_numbers_become_float32_for_a_model_that_takes_those(tmp_path: Path) -> None:
    x = np.arange(400).reshape(100, 4)
    examined = examine(Source(nn.Linear(4, 2), npz(tmp_path, x), RECIPE), {})
    assert examined.split.train.x.dtype == np.float32
    assert {int(value) for part in (examined.split.train, examined.split.test) for value in part.x.ravel()} <= set(
        range(400)
    )


def test_whole_numbers_stay_whole_for_an_embedding(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Embedding(10, 3), nn.Flatten(), nn.Linear(12, 2))
    examined = examine(Source(model, npz(tmp_path, np.arange(400).reshape(100, 4) % 10), RECIPE), {})
    assert examined.split.train.x.dtype == np.int64


def test_whole_numbers_that_are_no_float32_are_refused_with_what_to_do(tmp_path: Path) -> None:
    x = np.arange(400).reshape(100, 4)
    x[5, 2] = 2**24 + 1
    with pytest.raises(ModelError) as error:
        examine(Source(nn.Linear(4, 2), npz(tmp_path, x), RECIPE), {})
    assert error.value.code == "SHOAL-M07" and "16,777,216" in error.value.message and "scale" in error.value.hint
    exact = np.array([[2**24, -(2**24)]])
    assert np.array_equal(as_floats(exact, "x").astype(np.int64), exact)


# ---------------------------------------------------------------- encodings

ROWS = "höhe,label\n" + "".join(f"{i},{'süß' if i % 2 else 'sauer'}\n" for i in range(20))


@pytest.mark.parametrize(
    ("encoding", "looks"),
    [("latin-1", r"line 1.*Windows-1252"), ("utf-16", "UTF-16"), ("utf-16-le", "UTF-16LE"), ("utf-16-be", "UTF-16BE")],
)
def test_another_encoding_is_named_with_what_converts_it(encoding: str, looks: str, tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(ROWS.encode(encoding))
    with pytest.raises(DataError) as error:
        data.load_any(path, None, target="classes")
    found = error.value
    assert found.code == "SHOAL-D04" and re.search(looks, found.message), found.message
    assert "iconv -f" in found.hint and "CSV UTF-8" in found.hint


def test_the_line_of_a_letter_far_down_is_told(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    head = "a,label\n" + "1,x\n" * 400_000
    path.write_bytes(head.encode() + "2,süß\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"line 400002\)"):
        data.load_any(path, None, target="classes")


def test_utf8_with_and_without_a_mark_is_read(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig"):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes(ROWS.encode(encoding))
        assert data.load_any(path, None, target="classes").classes == ("sauer", "süß")
