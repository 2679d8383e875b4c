"""Federated averaging over memory-mapped updates, such that anyone recomputes a checkpoint bit for bit.

FedAvg: McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data",
arXiv:1602.05629: checkpoint = base + sum over k of (n_k / n) * update_k, with n_k the rows behind update k.

Only elementwise IEEE operations in float64 are used, in the order of chunk index, each product rounded before it is
added: neither vector width nor threads nor fused multiply-add can change a bit. Memory is one checkpoint and a block,
whatever the number of updates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from shoal.errors import ModelError
from shoal.learn.document import GraphDocument
from shoal.learn.update import State, get_tensor, open_state, write_state

BLOCK_ITEMS = 2**20
SAMPLES = 2**31


@dataclass(frozen=True, slots=True)
class UpdateFile:
    """One update on disk, with the rows it was trained on and its chunk's index."""

    path: Path
    samples: int
    chunk: int


@dataclass(frozen=True, slots=True)
class Aggregated:
    sha256: str
    """Of the checkpoint file, hex."""
    included: list[int]
    """Chunks, ascending."""
    rejected: dict[int, str]
    """Chunk to reason."""


@dataclass(frozen=True, slots=True)
class _Source:
    """An update that passed the gates, mapped into memory."""

    file: safe_open
    samples: int


def aggregate(
    base_path: Path,
    updates: Sequence[UpdateFile],
    out_path: Path,
    document: GraphDocument,
    *,
    max_norm: float | None,
) -> Aggregated:
    """Write base plus the weighted mean of all updates that pass the gates; with none, base unchanged.

    Args:
        updates: in any order; of two for one chunk the first counts.
        max_norm: largest L2 norm of an update's floats together, or None.

    Raises:
        ModelError: SHOAL-M11, the base is not the document's. A bad update never raises: it is rejected, with a reason.
    """
    rejected: dict[int, str] = {}
    sources: list[_Source] = []
    included: list[int] = []
    with ExitStack() as stack:
        base = stack.enter_context(open_state(base_path, document))
        for item in sorted(updates, key=lambda update: update.chunk):
            if item.chunk in included:
                continue
            try:
                file = stack.enter_context(open_state(item.path, document))
            except ModelError as error:
                rejected.setdefault(item.chunk, error.message)
                continue
            reason = gate(base, file, item.samples, document, max_norm=max_norm)
            if reason is not None:
                rejected.setdefault(item.chunk, reason)
                continue
            rejected.pop(item.chunk, None)
            sources.append(_Source(file, item.samples))
            included.append(item.chunk)
        sha256 = write_state(out_path, _average(base, sources, document))
    return Aggregated(sha256, included, rejected)


def gate(
    base: safe_open, update: safe_open, samples: int, document: GraphDocument, *, max_norm: float | None
) -> str | None:
    """Why an update must not be averaged, or None."""
    if not 1 <= samples <= SAMPLES:
        return f"{samples} samples"
    squares = 0.0
    for name, spec in document.state_specs().items():
        if not spec.is_float:
            continue
        changes, before = get_tensor(update, name).reshape(-1), get_tensor(base, name).reshape(-1)
        for start in range(0, len(changes), BLOCK_ITEMS):
            change = changes[start : start + BLOCK_ITEMS].double()
            # An average of states that are finite one by one is finite too.
            after = (before[start : start + BLOCK_ITEMS].double() + change).to(before.dtype)
            if not bool(torch.isfinite(after).all()):
                return f"{name} is not finite"
            squares += exact_order_sum(change * change)
    norm = math.sqrt(squares)
    if max_norm is not None and not norm <= max_norm:
        return f"norm {norm:.6g} is above {max_norm:.6g}"
    return None


def fedavg(updates: Sequence[Tensor], samples: Sequence[int]) -> Tensor:
    """Weighted mean of flat float tensors, in float64.

    Weights are applied before the one division: products of float32 and a row count below 2^29 are exact in float64, so
    equal updates average to exactly themselves.
    """
    total = torch.zeros(updates[0].shape, dtype=torch.float64)
    for update, count in zip(updates, samples, strict=True):
        weighted = update.double() * float(count)
        total = total + weighted
    return total / float(sum(samples))


def exact_order_sum(values: Tensor) -> float:
    """Sum of a flat float64 tensor as a binary tree: one fixed order, where that of `torch.sum` is the machine's."""
    if not len(values):
        return 0.0
    size = 1 << (len(values) - 1).bit_length()
    tree = torch.zeros(size, dtype=torch.float64)
    tree[: len(values)] = values
    while len(tree) > 1:
        half = len(tree) // 2
        tree = tree[:half] + tree[half:]
    return tree.item()


def _average(base: safe_open, sources: list[_Source], document: GraphDocument) -> State:
    state: State = {}
    samples = [source.samples for source in sources]
    for name, spec in document.state_specs().items():
        before = get_tensor(base, name)
        changes = [get_tensor(source.file, name).reshape(-1) for source in sources]
        if not changes:
            state[name] = before
        elif spec.is_float:
            state[name] = _average_floats(before.reshape(-1), changes, samples).reshape(before.shape)
        else:
            state[name] = _largest(before.reshape(-1), changes).reshape(before.shape)
    return state


def _average_floats(before: Tensor, changes: list[Tensor], samples: list[int]) -> Tensor:
    after = torch.empty_like(before)
    for start in range(0, len(before), BLOCK_ITEMS):
        block = slice(start, start + BLOCK_ITEMS)
        mean = fedavg([change[block] for change in changes], samples)
        after[block] = (before[block].double() + mean).to(before.dtype)
    return after


def _largest(before: Tensor, changes: list[Tensor]) -> Tensor:
    """Counters such as BatchNorm's have no mean: the largest counts; a boolean flips if any update flipped it."""
    largest = changes[0]
    for change in changes[1:]:
        largest = torch.maximum(largest, change)
    return before ^ largest if before.dtype == torch.bool else before + largest
