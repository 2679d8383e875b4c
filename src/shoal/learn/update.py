"""States and updates as safetensors of one exact layout: the same tensors are always the same bytes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from shoal.errors import ModelError
from shoal.learn.document import GraphDocument, TensorSpec

State = dict[str, Tensor]
"""Every tensor of a model by name: a checkpoint, or an update (the difference of two)."""

_CODES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
_ALIGNMENT = 8


def spec_of(tensor: Tensor) -> TensorSpec:
    return TensorSpec(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))


def check_state(state: Mapping[str, Tensor], document: GraphDocument) -> None:
    """Names, shapes and dtypes must be exactly the document's.

    Raises:
        ModelError: SHOAL-M11, naming the first tensor that differs.
    """
    specs = document.state_specs()
    if odd := sorted(specs.keys() ^ state.keys()):
        raise ModelError(f"tensor {odd[0]!r} is missing or unknown to the model", code="SHOAL-M11")
    for name, spec in specs.items():
        if spec_of(state[name]) != spec:
            raise ModelError(f"tensor {name!r} is {spec_of(state[name])}, the model has {spec}", code="SHOAL-M11")


# ---------------------------------------------------------------- bytes


def header(specs: Mapping[str, TensorSpec]) -> bytes:
    """The one safetensors header of these tensors.

    safetensors leaves order and padding open and its library has changed them before; hashes here must not depend on a
    library's version. Larger items first keeps every tensor aligned; names break ties; no metadata.
    """
    offset = 0
    table: dict[str, object] = {}
    for name in file_order(specs):
        spec = specs[name]
        table[name] = {
            "dtype": _CODES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": [offset, offset + spec.size_bytes],
        }
        offset += spec.size_bytes
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def file_order(specs: Mapping[str, TensorSpec]) -> list[str]:
    return sorted(specs, key=lambda name: (-torch.empty((), dtype=_dtype(specs[name])).element_size(), name))


def dump_state(state: Mapping[str, Tensor]) -> bytes:
    """The safetensors bytes of a state."""
    return b"".join(_pieces(state))


def hash_state(state: Mapping[str, Tensor]) -> bytes:
    """SHA-256 of what `write_state` would write."""
    digest = hashlib.sha256()
    for piece in _pieces(state):
        digest.update(piece)
    return digest.digest()


def write_state(path: Path, state: Mapping[str, Tensor]) -> str:
    """Write a state whole or not at all; returns its SHA-256 in hex."""
    part = path.with_name(f".{path.name}.part")
    digest = hashlib.sha256()
    try:
        with part.open("wb") as file:
            for piece in _pieces(state):
                digest.update(piece)
                file.write(piece)
        os.replace(part, path)  # noqa: PTH105
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    return digest.hexdigest()


def read_state(path: Path, document: GraphDocument) -> State:
    """Read a state that must be exactly of the document's names, shapes and dtypes, in our layout.

    Raises:
        ModelError: SHOAL-M11, the file is another model's, damaged, or not safetensors.
    """
    with open_state(path, document) as file:
        return {name: get_tensor(file, name).clone() for name in document.state_specs()}


def open_state(path: Path, document: GraphDocument) -> safe_open:
    """Map a state into memory; tensors are read when they are asked for. Raises as `read_state`."""
    expected = header(document.state_specs())
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(len(expected))
    except OSError as error:
        raise ModelError(f"cannot read the weights {path.name}: {error.strerror}", code="SHOAL-M11") from error
    _check_layout(start, size, expected, document, path.name)
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path.name} is not safetensors: {error}", code="SHOAL-M11") from error


def get_tensor(file: safe_open, name: str) -> Tensor:
    """A tensor whose memory is the file's."""
    tensor = file.get_tensor(name)  # type: ignore[no-untyped-call]
    assert isinstance(tensor, Tensor)
    return tensor


def parse_state(data: bytes, document: GraphDocument) -> State:
    """`read_state` for bytes."""
    specs = document.state_specs()
    expected = header(specs)
    _check_layout(data[: len(expected)], len(data), expected, document, "these bytes")
    state: State = {}
    offset = len(expected)
    for name in file_order(specs):
        size = specs[name].size_bytes
        state[name] = tensor_from_bytes(data[offset : offset + size], specs[name])
        offset += size
    return {name: state[name] for name in specs}


def tensor_from_bytes(data: bytes, spec: TensorSpec) -> Tensor:
    """A tensor of its own memory from little-endian bytes of exactly its size."""
    raw = torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())
    if spec.dtype == "bool":
        raw = raw.ne(0).view(torch.uint8)
    return raw.view(_dtype(spec)).reshape(spec.shape)


def _check_layout(start: bytes, size: int, expected: bytes, document: GraphDocument, what: str) -> None:
    if start != expected or size != len(expected) + document.state_bytes:
        raise ModelError(
            f"{what}: not a state of this model",
            code="SHOAL-M11",
            hint="names, shapes, dtypes and their order in the file must be exactly those of the graph document",
        )


def _pieces(state: Mapping[str, Tensor]) -> Iterator[bytes]:
    specs = {name: spec_of(tensor) for name, tensor in state.items()}
    yield header(specs)
    for name in file_order(specs):
        flat = state[name].detach().to("cpu").contiguous().reshape(-1)
        yield flat.view(torch.uint8).numpy().tobytes()


def _dtype(spec: TensorSpec) -> torch.dtype:
    found = getattr(torch, spec.dtype)
    assert isinstance(found, torch.dtype)
    return found


# ---------------------------------------------------------------- differences


def difference(new: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> State:
    """The update that leads from `base` to `new`: subtraction; for booleans, what flipped."""
    return {
        name: new[name] ^ tensor if tensor.dtype == torch.bool else new[name] - tensor for name, tensor in base.items()
    }


def distance(mine: Path, theirs: Path, document: GraphDocument) -> float:
    """How far an update is from one's own, relative to the norm of one's own, over all tensors together.

    >>> distance(Path("mine"), Path("mine"), document)  # doctest: +SKIP
    0.0

    Returns:
        Infinity where the other is not finite, or where one's own is zero and the other is not.

    Raises:
        ModelError: SHOAL-M11, one of them is no update of this model.
    """
    apart = norm = 0.0
    with open_state(mine, document) as own, open_state(theirs, document) as other:
        for name in document.state_specs():
            ours = get_tensor(own, name).to(torch.float64)
            apart += float((get_tensor(other, name).to(torch.float64) - ours).square().sum())
            norm += float(ours.square().sum())
    if not math.isfinite(apart):
        return math.inf
    return math.sqrt(apart / norm) if norm else (math.inf if apart else 0.0)


def apply(base: Mapping[str, Tensor], update: Mapping[str, Tensor]) -> State:
    """`base` with an update, equal to the new state up to one rounding in floats."""
    return {
        name: tensor ^ update[name] if tensor.dtype == torch.bool else tensor + update[name]
        for name, tensor in base.items()
    }
