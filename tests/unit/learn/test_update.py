"""One state has one sequence of bytes, and only the document's own states are read."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from shoal.errors import ModelError
from shoal.learn.document import parse
from shoal.learn.interpreter import GraphModel
from shoal.learn.update import (
    apply,
    difference,
    distance,
    dump_state,
    hash_state,
    parse_state,
    read_state,
    write_state,
)


def _state(made):
    return GraphModel.from_bytes(made.document, made.weights).state()


def test_the_same_tensors_are_the_same_bytes_whatever_their_order_and_memory(exported, tmp_path: Path):
    state = _state(exported("resnet"))
    document = parse(exported("resnet").document)
    strided = {name: torch.stack([t, t], dim=-1)[..., 0] for name, t in reversed(state.items())}
    first, second = (write_state(tmp_path / str(i), s) for i, s in enumerate((state, strided)))
    assert first == second == hash_state(state).hex()
    data = (tmp_path / "0").read_bytes()
    assert data == dump_state(state) == exported("resnet").weights
    assert hashlib.sha256(data).hexdigest() == first
    assert list(read_state(tmp_path / "0", document)) == list(state) == list(document.state_specs())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "1"], "no temporary file stays"


def test_other_people_read_it_with_the_ordinary_library(exported, tmp_path: Path):
    state = _state(exported("cnn"))
    write_state(tmp_path / "w.safetensors", state)
    theirs = load_file(tmp_path / "w.safetensors")
    assert theirs.keys() == state.keys()
    assert all(torch.equal(theirs[name], state[name]) for name in state)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.bool])
def test_every_dtype_survives(dtype, tmp_path: Path):
    state = {
        "b": torch.tensor([[0, 1, 1]], dtype=dtype),
        "a": torch.tensor(1, dtype=torch.int64),
        "c": torch.zeros(0, 3, dtype=dtype),
    }
    write_state(tmp_path / "w", state)
    theirs = load_file(tmp_path / "w")
    assert all(
        torch.equal(theirs[name], tensor) and theirs[name].dtype == tensor.dtype for name, tensor in state.items()
    )


def test_files_that_are_not_exactly_the_models_are_refused(exported, tmp_path: Path):
    made = exported("mlp")
    document, good = parse(made.document), made.weights
    state = _state(made)
    length = struct.unpack("<Q", good[:8])[0]
    save_file(state, tmp_path / "metadata", metadata={"note": "hidden"})
    (tmp_path / "pickle").write_bytes(b"\x80\x04.")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "short").write_bytes(good[:-1])
    (tmp_path / "long").write_bytes(good + b"\0")
    (tmp_path / "huge-header").write_bytes(struct.pack("<Q", 2**62) + good[8:])
    (tmp_path / "overlap").write_bytes(good[:8] + good[8 : 8 + length].replace(b"[0,8]", b"[8,0]") + good[8 + length :])
    write_state(tmp_path / "other-model", _state(exported("cnn")))
    write_state(tmp_path / "renamed", {f"x{name}": tensor for name, tensor in state.items()})
    write_state(tmp_path / "double", {name: tensor.double() for name, tensor in state.items()})
    for path in [*tmp_path.iterdir(), tmp_path / "absent"]:
        with pytest.raises(ModelError) as caught:
            read_state(path, document)
        assert caught.value.code == "SHOAL-M11", path.name
    with pytest.raises(ModelError):
        parse_state(good[:-1], document)
    assert hash_state(parse_state(good, document)) == hashlib.sha256(good).digest()


def test_a_difference_leads_from_base_to_new():
    base = {"w": torch.randn(50), "count": torch.tensor([3, 4]), "mask": torch.tensor([True, False, True])}
    new = {"w": base["w"] + 0.01, "count": torch.tensor([8, 4]), "mask": torch.tensor([False, False, True])}
    there = apply(base, difference(new, base))
    torch.testing.assert_close(there["w"], new["w"], rtol=1e-6, atol=1e-7)
    assert torch.equal(there["count"], new["count"])
    assert torch.equal(there["mask"], new["mask"])


def test_what_was_trained_elsewhere_is_near_and_what_was_not_is_far(exported, tmp_path: Path):
    document, state = parse(exported("cnn").document), _state(exported("cnn"))
    floats = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    zero = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    write_state(tmp_path / "mine", state)
    write_state(tmp_path / "rounded", state | {name: tensor * (1 + 1e-5) for name, tensor in floats.items()})
    write_state(tmp_path / "zero", zero)
    write_state(tmp_path / "nan", state | {name: tensor * float("nan") for name, tensor in floats.items()})
    mine = tmp_path / "mine"
    assert distance(mine, mine, document) == 0
    assert 0 < distance(mine, tmp_path / "rounded", document) < 2e-5
    assert distance(mine, tmp_path / "zero", document) == pytest.approx(1)
    assert distance(mine, tmp_path / "nan", document) == float("inf")
    assert distance(tmp_path / "zero", mine, document) == float("inf")
    assert distance(tmp_path / "zero", tmp_path / "zero", document) == 0
    (tmp_path / "short").write_bytes(mine.read_bytes()[:-1])
    with pytest.raises(ModelError):
        distance(mine, tmp_path / "short", document)
