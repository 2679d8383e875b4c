"""Runs a graph document as an `nn.Module`: one table look-up per node, nothing generated, nothing imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shoal.errors import ModelError
from shoal.learn import document as doc
from shoal.learn import operators, update
from shoal.learn.document import Graph, GraphDocument, Ref, Special

DTYPES = {name: getattr(torch, name) for name in doc.ITEM_BYTES}
_MEMORY = {name: getattr(torch, name) for name in doc.MEMORY_FORMATS}


@dataclass(frozen=True, slots=True)
class _Step:
    where: str
    function: Callable[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    grad: bool
    last_uses: tuple[int, ...]
    """Slots that no later step reads: let go, so that memory is what eager would need."""


class GraphModel(nn.Module):
    """A model from its document; `train()` and `eval()` choose the graph.

    >>> model = GraphModel.from_bytes(exported.document, exported.weights)
    >>> logits = model.eval()(x)

    Raises:
        ModelError: SHOAL-M11 when `tensors` are not exactly the document's; SHOAL-M07 from `forward`, naming the node,
            when an operator refuses its arguments.
    """

    def __init__(
        self, document: GraphDocument, tensors: Mapping[str, Tensor], device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        self.document = document
        self.device = torch.device(device)
        update.check_state(tensors, document)
        trainable = set(document.trainable)
        # Modules refuse dots in names: tensors are registered by position.
        self._keys: dict[str, str] = {}
        for index, name in enumerate(document.state_specs()):
            self._keys[name] = key = f"t{index}"
            tensor = tensors[name].detach().to(self.device, copy=True)
            if name in document.parameters:
                self.register_parameter(key, nn.Parameter(tensor, requires_grad=name in trainable))
            else:
                self.register_buffer(key, tensor)
        self._constants: dict[str, Tensor] = {}
        self._reset_constants()
        self._programs = {mode: _compile(graph, mode, self.device) for mode, graph in document.graphs.items()}

    @classmethod
    def from_bytes(cls, document: bytes, weights: bytes, device: torch.device | str = "cpu") -> GraphModel:
        """From a document and a state as safetensors."""
        parsed = doc.parse(document)
        return cls(parsed, update.parse_state(weights, parsed), device)

    def forward(self, x: Tensor) -> Tensor:
        mode = "train" if self.training else "eval"
        graph = self.document.graphs[mode]
        values: list[Any] = [self._input(kind, name, x) for kind, name in graph.inputs]
        for step in self._programs[mode]:
            try:
                args = [_fill(item, values) for item in step.args]
                kwargs = {keyword: _fill(item, values) for keyword, item in step.kwargs.items()}
                if step.grad:
                    result = step.function(*args, **kwargs)
                else:
                    with torch.no_grad():
                        result = step.function(*args, **kwargs)
            except ModelError:
                raise
            except Exception as error:  # whatever a stranger's arguments make torch raise
                raise ModelError(f"{step.where} does not run: {_first_line(error)}", code="SHOAL-M07") from error
            values.append(result)
            for slot in step.last_uses:
                values[slot] = None
        output = values[graph.output]
        if not isinstance(output, Tensor):
            raise ModelError("the model's output is not a tensor", code="SHOAL-M07")
        return output

    def state(self) -> dict[str, Tensor]:
        """Copies of parameters and buffers on the CPU, in the document's fixed order."""
        return {name: self._tensor(name).detach().to("cpu", copy=True) for name in self._keys}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over a state, and forget gradients.

        Raises:
            ModelError: SHOAL-M11, a name, shape or dtype is not the document's.
        """
        update.check_state(state, self.document)
        with torch.no_grad():
            for name in self._keys:
                self._tensor(name).copy_(state[name])
        self.zero_grad(set_to_none=True)
        self._reset_constants()

    def trainable_parameters(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def named_state(self) -> dict[str, Tensor]:
        """The live tensors by the names of the author's model."""
        return {name: self._tensor(name) for name in self._keys}

    def _reset_constants(self) -> None:
        """A graph may write into its constants; a unit of work must not depend on the one before."""
        for name, constant in self.document.constants.items():
            tensor = update.tensor_from_bytes(constant.data, constant.spec)
            self._constants[name] = tensor.to(self.device)

    def _tensor(self, name: str) -> Tensor:
        tensor = getattr(self, self._keys[name])
        assert isinstance(tensor, Tensor)
        return tensor

    def _input(self, kind: str, name: str, x: Tensor) -> Tensor:
        if kind == "x":
            return x
        return self._tensor(name) if kind == "state" else self._constants[name]


def _compile(graph: Graph, mode: str, device: torch.device) -> list[_Step]:
    first = len(graph.inputs)
    last_use: dict[int, int] = {}
    for index, node in enumerate(graph.nodes):
        last_use[first + index] = index  # a result that nothing reads
        for slot in _slots([*node.args, *node.kwargs.values()]):
            last_use[slot] = index
    last_use.pop(graph.output, None)
    uses: dict[int, list[int]] = {}
    for slot, index in last_use.items():
        uses.setdefault(index, []).append(slot)
    return [
        _Step(
            where=f"{mode} node {index} ({node.operator})",
            function=operators.function(node.operator),
            args=[_bind(item, device) for item in node.args],
            kwargs={keyword: _bind(item, device) for keyword, item in node.kwargs.items()},
            grad=node.grad,
            last_uses=tuple(uses.get(index, ())),
        )
        for index, node in enumerate(graph.nodes)
    ]


def _slots(value: Any) -> list[int]:
    if isinstance(value, Ref):
        return [value.slot]
    return [slot for item in value for slot in _slots(item)] if isinstance(value, list) else []


def _bind(value: Any, device: torch.device) -> Any:
    """Replace what has no JSON form by torch's own values; references stay."""
    match value:
        case Special("dtype", name):
            return DTYPES[name]
        case Special("memory", name):
            return _MEMORY[name]
        case Special("device"):
            return device
        case Special("layout"):
            return torch.strided
        case list():
            return [_bind(item, device) for item in value]
    return value


def _fill(value: Any, values: list[Any]) -> Any:
    if type(value) is Ref:
        return values[value.slot]
    if type(value) is list:
        return [_fill(item, values) for item in value]
    return value


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
