"""Does the author's model take this data at all? Told in words and with a place, before torch tells it in its own."""

from __future__ import annotations

import hashlib
import re
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from shoal.errors import ModelError

EXACT_INTEGERS = 2**24
"""Up to here every integer is a float32."""
_LINE = 300
_IN_MODEL = re.compile(r'File "([^"]+)", line (\d+), in \w+')
_INNER = re.compile(r"(?:got|raised|:) (?:\w*Error)\((['\"])(.+?)\1", re.DOTALL)


def check_input(module: nn.Module, x: Tensor) -> None:
    """Run the model once, as it was written.

    Raises:
        ModelError: SHOAL-M07, naming the layer, what it expects and what it gets; or the line of the model's file.
    """
    seen: list[tuple[str, nn.Module, Any]] = []
    try:
        with _watched(module, seen), _evaluating(module):
            module(x)
    except (RuntimeError, ValueError, IndexError) as error:  # what torch's own functions raise
        rows = f"rows of shape {_shape(x.shape[1:])}, {_type(x)}"
        where, what = _layer(seen) or (_line_of(error), useful_line(error))
        raise ModelError(
            f"the model does not take this data ({rows}): {where}{what}",
            code="SHOAL-M07",
            hint="make the first layer take what the data set has; `forward` gets all rows of a batch in one tensor",
        ) from error


def wants_floats(module: nn.Module, x: Tensor) -> bool:
    """Whether a model that gets whole numbers runs on the same as float32 only: an embedding wants them whole."""
    return not _runs(module, x) and _runs(module, x.to(torch.float32))


def as_floats(x: np.ndarray[Any, Any], source: str) -> np.ndarray[Any, Any]:
    """Whole numbers as float32, exactly.

    Raises:
        ModelError: SHOAL-M07, one of them is no float32.
    """
    if x.size and max(-int(x.min()), int(x.max())) > EXACT_INTEGERS:
        raise ModelError(
            f"the model takes float32, and {source} holds whole numbers beyond {EXACT_INTEGERS:,}, which are not exact "
            "as float32",
            code="SHOAL-M07",
            hint="scale the features, such as (x - x.mean(0)) / x.std(0), and save them as float32; or begin the model "
            "with an Embedding where they are ids",
        )
    return np.ascontiguousarray(x, dtype=np.float32)


def useful_line(error: BaseException) -> str:
    """What of a long message helps: the innermost error's first line.

    >>> useful_line(RuntimeError("mat1 and mat2 shapes cannot be multiplied (8x2 and 1x2)\\n\\nfrom user code: ..."))
    'mat1 and mat2 shapes cannot be multiplied (8x2 and 1x2)'
    """
    text = str(error).strip()
    inner = _INNER.search(text)
    line = (inner[2] if inner else text).strip().splitlines()
    return (line[0].strip() if line else type(error).__name__)[:_LINE]


def told_in_full(error: BaseException) -> str:
    """The line of the author's file, the useful line, and the file with the rest, where there is more."""
    text, line = str(error).strip(), useful_line(error)
    where = _line_of(error)
    if len(text) <= len(line):
        return f"{where}{line}"
    path = Path(tempfile.gettempdir()) / f"shoal-export-{hashlib.sha256(text.encode()).hexdigest()[:12]}.txt"
    try:
        path.write_text(text)
    except OSError:
        return f"{where}{line}"
    return f"{where}{line} (torch's whole message is in {path})"


def _runs(module: nn.Module, x: Tensor) -> bool:
    try:
        with _evaluating(module):
            module(x)
    except (RuntimeError, ValueError, IndexError, TypeError):
        return False
    return True


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(was_training)


@contextmanager
def _watched(module: nn.Module, seen: list[tuple[str, nn.Module, Any]]) -> Iterator[None]:
    """Keeps in `seen` the layers that were entered and not left."""

    def enter(name: str) -> Any:
        return lambda layer, inputs: seen.append((name, layer, inputs))

    def leave(layer: nn.Module, inputs: Any, output: Any) -> None:
        seen.pop()

    hooks = []
    for name, layer in module.named_modules():
        if not list(layer.children()) and layer is not module:
            hooks += [layer.register_forward_pre_hook(enter(name)), layer.register_forward_hook(leave)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _layer(seen: list[tuple[str, nn.Module, Any]]) -> tuple[str, str] | None:
    """The layer that failed, and what it expects; None where it is none whose expectation is known."""
    if not seen:
        return None
    name, layer, inputs = seen[-1]
    if not inputs or not isinstance(inputs[0], Tensor):
        return None
    given = inputs[0]
    wanted = _wanted(layer, given)
    if wanted is None:
        return None
    kind = type(layer).__name__
    return f"layer {name!r} ({kind}) ", f"expects {wanted}, and gets the shape {_batch(given)} of {_type(given)}"


def _wanted(layer: nn.Module, given: Tensor) -> str | None:
    if isinstance(layer, nn.Embedding):
        if given.is_floating_point():
            return "whole numbers (int64)"
        return f"ids from 0 to {layer.num_embeddings - 1}, of which the largest here is {int(given.max())}"
    if not given.is_floating_point():
        return "float32"
    if isinstance(layer, nn.Linear) and given.shape[-1] != layer.in_features:
        return f"{layer.in_features} numbers in the last dimension"
    if isinstance(layer, nn.RNNBase) and given.shape[-1] != layer.input_size:
        return f"{layer.input_size} numbers in the last dimension"
    if isinstance(layer, _ConvNd):
        dimensions = len(layer.kernel_size) + 2
        if given.ndim != dimensions or given.shape[1] != layer.in_channels:
            return f"{dimensions} dimensions with {layer.in_channels} channels in the second"
    if isinstance(layer, _BatchNorm) and (given.ndim < 2 or given.shape[1] != layer.num_features):
        return f"{layer.num_features} channels in the second dimension"
    if isinstance(layer, nn.LayerNorm) and tuple(given.shape[-len(layer.normalized_shape) :]) != layer.normalized_shape:
        return f"the last dimensions to be {_shape(layer.normalized_shape)}"
    return None


def _line_of(error: BaseException) -> str:
    """`model.py, line 9: ` where it is known: from the traceback, else from torch's account of the user's code."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_authors(frame.filename)]
    if frames:
        return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}: "
    places = [(path, line) for path, line in _IN_MODEL.findall(str(error)) if _is_authors(path)]
    return f"{Path(places[-1][0]).name}, line {places[-1][1]}: " if places else ""


def _is_authors(path: str) -> bool:
    return not path.startswith("<") and "site-packages" not in path and "/shoal/" not in path


def _shape(sizes: Any) -> str:
    return "[" + ", ".join(str(int(size)) for size in sizes) + "]"


def _batch(tensor: Tensor) -> str:
    return "[rows" + "".join(f", {int(size)}" for size in tensor.shape[1:]) + "]"


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
