"""Checks that torch's kernels leave out, found by fuzzing: without them a stranger's graph can crash the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

Guard = Callable[..., None]


def _recurrent(gates: int) -> Guard:
    """oneDNN's recurrent kernels believe the shapes of weights and states: a weight of another shape is a wild read.

    Weights of `torch.nn.LSTM` and its kin: for each layer and direction `[gates * hidden, inputs]`,
    `[gates * hidden, hidden]` and, with biases, twice `[gates * hidden]`. Projections (`proj_size`) are not taken.
    """

    def check(
        x: Tensor,
        hidden: Tensor | Sequence[Tensor],
        weights: Sequence[Tensor],
        has_biases: bool,
        layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> None:
        del dropout, train
        states = [hidden] if isinstance(hidden, Tensor) else list(hidden)
        each = 4 if has_biases else 2
        directions = 2 if bidirectional else 1
        _require(x.dim() == 3, "takes [rows, length, values]")
        _require(len(states) == (2 if gates == 4 else 1), "has another number of states")
        _require(len(weights) == each * directions * layers, "has another number of weights")
        _require(layers >= 1 and states[0].dim() == 3, "has states of another shape")
        size = states[0].shape[2]
        rows = x.shape[0] if batch_first else x.shape[1]
        _require(min(size, *x.shape) > 0, "has nothing to run over")
        for state in states:
            _require(tuple(state.shape) == (directions * layers, rows, size), "has states of another shape")
        for index in range(directions * layers):
            inputs = x.shape[2] if index < directions else directions * size
            shapes = [(gates * size, inputs), (gates * size, size), (gates * size,), (gates * size,)]
            for weight, shape in zip(weights[each * index : each * (index + 1)], shapes, strict=False):
                _require(tuple(weight.shape) == shape, "has weights of another shape")
        for tensor in [*states, *weights]:
            _require(tensor.dtype == x.dtype, "mixes dtypes")

    return check


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


GUARDS: dict[str, Guard] = {
    "aten.gru.input": _recurrent(3),
    "aten.lstm.input": _recurrent(4),
    "aten.rnn_relu.input": _recurrent(1),
    "aten.rnn_tanh.input": _recurrent(1),
}


def guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """An operator with its guard before it, if it has one."""
    guard = GUARDS.get(name)
    if guard is None:
        return function

    def checked(*args: Any, **kwargs: Any) -> Any:
        guard(*args, **kwargs)
        return function(*args, **kwargs)

    return checked
