"""FedAvg by its formula, bit for bit the same for everyone, and never brought down by a bad update."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import ModelError
from shoal.learn import aggregate as module
from shoal.learn.aggregate import Aggregated, UpdateFile, aggregate, exact_order_sum, fedavg
from shoal.learn.document import GraphDocument, parse
from shoal.learn.update import State, parse_state, read_state, write_state


class Round:
    """A base and some updates on disk."""

    def __init__(self, made, folder: Path, count: int = 3) -> None:
        self.document: GraphDocument = parse(made.document)
        self.base: State = parse_state(made.weights, self.document)
        self.folder = folder
        self.updates = [self._random(seed) for seed in range(count)]
        self.samples = [10 * (index + 1) for index in range(count)]
        write_state(folder / "base", self.base)

    def _random(self, seed: int) -> State:
        draw = torch.Generator().manual_seed(seed)
        return {
            name: torch.randn(t.shape, generator=draw).to(t.dtype) * 0.1
            if t.is_floating_point()
            else torch.full_like(t, seed + 1)
            for name, t in self.base.items()
        }

    def files(self) -> list[UpdateFile]:
        for chunk, update in enumerate(self.updates):
            write_state(self.folder / f"u{chunk}", update)
        return [UpdateFile(self.folder / f"u{chunk}", n, chunk) for chunk, n in enumerate(self.samples)]

    def run(self, files: list[UpdateFile] | None = None, max_norm: float | None = None) -> tuple[Aggregated, State]:
        found = aggregate(
            self.folder / "base", files or self.files(), self.folder / "out", self.document, max_norm=max_norm
        )
        return found, read_state(self.folder / "out", self.document)


@pytest.fixture
def mlp(exported, tmp_path: Path) -> Round:
    """Has float buffers (running statistics) and an integer one."""
    return Round(exported("mlp"), tmp_path)


def test_the_checkpoint_is_the_weighted_mean_of_the_formula(mlp: Round):
    found, out = mlp.run()
    total = sum(mlp.samples)
    assert found.included == [0, 1, 2]
    assert found.rejected == {}
    for name, base in mlp.base.items():
        if base.is_floating_point():
            mean = sum(n / total * u[name].double() for n, u in zip(mlp.samples, mlp.updates, strict=True))
            torch.testing.assert_close(out[name], (base.double() + mean).float(), rtol=1e-6, atol=1e-7)
        else:
            assert torch.equal(out[name], base + 3), "the largest count"
    assert write_state(mlp.folder / "again", out) == found.sha256


def test_order_of_arrival_blocks_and_threads_change_no_bit(mlp: Round, monkeypatch: pytest.MonkeyPatch):
    expected = mlp.run(max_norm=100.0)[0]
    files = mlp.files()
    assert mlp.run([files[2], files[0], files[1]])[0] == expected
    monkeypatch.setattr(module, "BLOCK_ITEMS", 7)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert mlp.run()[0] == expected
    finally:
        torch.set_num_threads(before)


def test_bad_updates_are_rejected_with_a_reason_and_the_rest_counts(mlp: Round):
    good, _ = mlp.run()
    files = mlp.files()
    nan = {name: t.clone() for name, t in mlp.updates[0].items()}
    nan["net.0.weight"][0, 0] = float("nan")
    write_state(mlp.folder / "nan", nan)
    endless = {**mlp.updates[0], "net.0.weight": torch.full_like(mlp.base["net.0.weight"], float("-inf"))}
    write_state(mlp.folder / "endless", endless)
    write_state(mlp.folder / "shape", {**mlp.updates[0], "net.0.bias": torch.zeros(9)})
    (mlp.folder / "garbage").write_bytes(b"\x80\x04pickle")
    names = ["nan", "endless", "shape", "garbage", "absent"]
    bad = [UpdateFile(mlp.folder / name, 5, 10 + index) for index, name in enumerate(names)]
    bad += [UpdateFile(files[0].path, samples, 20 + samples % 7) for samples in (0, -3, 2**40)]
    found, _ = mlp.run([*bad, *files])
    assert found.sha256 == good.sha256
    assert found.included == [0, 1, 2]
    assert found.rejected.keys() == {item.chunk for item in bad}
    assert "net.0.weight is not finite" in found.rejected[10]
    assert all(found.rejected.values())


def test_an_update_that_is_finite_but_overflows_the_checkpoint_is_rejected(mlp: Round):
    write_state(mlp.folder / "base", {n: torch.full_like(t, 3e38) if t.is_floating_point() else t
                                      for n, t in mlp.base.items()})  # fmt: skip
    big = {n: torch.full_like(t, 3e38) if t.is_floating_point() else t for n, t in mlp.base.items()}
    write_state(mlp.folder / "big", big)
    found, out = mlp.run([UpdateFile(mlp.folder / "big", 1, 0), *mlp.files()[1:]])
    assert found.included == [1, 2]
    assert all(torch.isfinite(t).all() for t in out.values() if t.is_floating_point())


def test_an_update_beyond_the_norm_is_rejected(mlp: Round):
    mlp.updates[1] = {name: t * 1000 if t.is_floating_point() else t for name, t in mlp.updates[1].items()}
    found, _ = mlp.run(max_norm=50.0)
    assert found.included == [0, 2]
    assert "norm" in found.rejected[1]


def test_without_any_good_update_the_checkpoint_is_the_base(mlp: Round):
    found, out = mlp.run([UpdateFile(mlp.folder / "absent", 1, 0)])
    assert found.included == []
    assert all(torch.equal(out[name], tensor) for name, tensor in mlp.base.items())


def test_of_two_updates_for_a_chunk_one_counts(mlp: Round):
    files = mlp.files()
    assert mlp.run([*files, UpdateFile(files[2].path, 999, 0)])[0] == mlp.run(files)[0]


def test_a_base_that_is_another_models_is_an_error(mlp: Round):
    (mlp.folder / "base").write_bytes(b"x")
    with pytest.raises(ModelError):
        mlp.run()


_floats = st.floats(-1e6, 1e6, width=32)
_vector = st.lists(_floats, min_size=1, max_size=20)


@settings(deadline=None)
@given(_vector, st.lists(st.integers(1, 10**6), min_size=1, max_size=8))
def test_equal_updates_average_to_exactly_themselves(values, samples):
    update = torch.tensor(values, dtype=torch.float32)
    assert torch.equal(fedavg([update] * len(samples), samples).float(), update)


@settings(deadline=None)
@given(st.lists(st.tuples(_floats, st.integers(1, 10**6)), min_size=1, max_size=8))
def test_the_average_is_within_the_updates_and_its_samples_are_weights(pairs):
    updates = [torch.tensor([value], dtype=torch.float32) for value, _ in pairs]
    mean = fedavg(updates, [n for _, n in pairs]).item()
    expected = sum(u.item() * n for u, (_, n) in zip(updates, pairs, strict=True)) / sum(n for _, n in pairs)
    largest = max(abs(u.item()) for u in updates)
    assert mean == pytest.approx(expected, rel=1e-12, abs=largest * 1e-12)
    # Twice the samples is the same as being there twice.
    doubled = fedavg([*updates, updates[0]], [*(n for _, n in pairs), pairs[0][1]]).item()
    weighted = fedavg(updates, [2 * pairs[0][1], *(n for _, n in pairs[1:])]).item()
    assert doubled == pytest.approx(weighted, rel=1e-12, abs=largest * 1e-12)


@settings(deadline=None)
@given(st.lists(st.floats(-1e100, 1e100), max_size=50))
def test_the_sum_has_one_order(values):
    tensor = torch.tensor(values, dtype=torch.float64)
    rows = torch.stack([tensor, tensor], dim=-1)[..., 0]
    assert exact_order_sum(tensor) == exact_order_sum(rows)
    assert exact_order_sum(tensor) == _tree(values)


def _tree(values: list[float]) -> float:
    size = 1
    while size < len(values):
        size *= 2
    row = [*values, *[0.0] * (size - len(values))]
    while len(row) > 1:
        half = len(row) // 2
        row = [a + b for a, b in zip(row[:half], row[half:], strict=True)]
    return row[0]
