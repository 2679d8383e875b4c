"""From torch's ExportedProgram to a graph of the document; runs on the author's machine only."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from shoal.errors import ModelError
from shoal.learn import document as doc
from shoal.learn import operators
from shoal.learn.document import Graph, Node, Ref, Special

_ASSERTIONS = frozenset(
    {
        "aten._assert_async.msg",
        "aten._assert_scalar.default",
        "aten._assert_tensor_metadata.default",
        "aten.sym_constrain_range.default",
        "aten.sym_constrain_range_for_size.default",
    }
)
"""Checks that export adds for its own guards; they compute nothing."""
_SIZES = frozenset(operators.SCALAR) | {"aten.sym_size.int", "aten.sym_numel.default"}
"""What remains of such checks when nothing reads it, and is dropped."""
_NO_GRAD = "wrap_with_set_grad_enabled"


@dataclass
class _Draft:
    """A graph being written, in names; positions are given out once it is known what is kept."""

    inputs: dict[str, tuple[str, str]] = field(default_factory=dict)
    nodes: list[tuple[str, Node]] = field(default_factory=list)


@dataclass(frozen=True)
class _Named:
    name: str


def to_graph(program: ExportedProgram, names: Mapping[str, str], constants: Mapping[str, str]) -> Graph:
    """Convert one exported graph.

    Args:
        names: for every name in the program's state, the one name kept for that tensor.
        constants: for every constant of the program, its name in the document.

    Raises:
        ModelError: SHOAL-M03, an operator that is not in the table; SHOAL-M01, a form of graph that has no document.
    """
    draft = _Draft()
    signature = program.graph_signature
    state = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    lifted = signature.inputs_to_lifted_tensor_constants
    values: dict[fx.Node, Any] = {}
    for node in program.graph_module.graph.nodes:
        if node.op != "placeholder":
            continue
        values[node] = _Named(node.name)
        if node.name in state and state[node.name] in names:
            draft.inputs[node.name] = ("state", names[state[node.name]])
        elif node.name in state or node.name in lifted:
            draft.inputs[node.name] = ("constant", constants[state.get(node.name) or lifted[node.name]])
        else:
            draft.inputs[node.name] = ("x", "")
    outputs = _walk(program.graph_module, values, draft, "", True)
    if len(outputs) != 1 or not isinstance(outputs[0], _Named):
        raise _unsupported("forward must return one tensor, not several, a table or a number")
    return _number(draft, outputs[0])


def _walk(module: fx.GraphModule, values: dict[fx.Node, Any], draft: _Draft, prefix: str, grad: bool) -> list[Any]:
    """Append a graph's nodes to the draft; blocks of `no_grad` are flattened into it. Returns the outputs."""
    for node in module.graph.nodes:
        if node.op == "get_attr":
            values[node] = getattr(module, str(node.target))
        elif node.op == "output":
            outputs = node.args[0]
            return [_encode(item, values) for item in (outputs if isinstance(outputs, tuple | list) else [outputs])]
        elif node.op != "placeholder":
            values[node] = _call(node, values, draft, prefix, grad)
    raise AssertionError("an exported graph has an output")


def _call(node: fx.Node, values: dict[fx.Node, Any], draft: _Draft, prefix: str, grad: bool) -> Any:
    name = _operator_name(node.target)
    if name in _ASSERTIONS:
        return None
    if name == _NO_GRAD:
        enabled, block, *inputs = node.args
        inner = values[block] if isinstance(block, fx.Node) else None
        if not isinstance(inner, fx.GraphModule):
            raise _unsupported(name)
        placeholders = [item for item in inner.graph.nodes if item.op == "placeholder"]
        bound = {place: _encode(item, values) for place, item in zip(placeholders, inputs, strict=True)}
        return _walk(inner, bound, draft, f"{prefix}{node.name}.", grad and bool(enabled))
    if name == "py.getitem" and isinstance(source := values[node.args[0]], list):  # type: ignore[index]
        return source[node.args[1]]  # type: ignore[index]
    if name not in operators.NAMES:
        raise ModelError(
            f"operator {name} is not one that trainers run{_author_line(node)}",
            code="SHOAL-M03",
            hint="write that part of the model with other operators",
        )
    arguments = tuple(_encode(item, values) for item in node.args)
    keywords = {keyword: _encode(item, values) for keyword, item in node.kwargs.items()}
    label = f"{prefix}{node.name}"
    draft.nodes.append((label, Node(name, arguments, keywords, grad)))
    return _Named(label)


def _author_line(node: fx.Node) -> str:
    """Where an operator comes from: the innermost line of code that is not torch's own."""
    frames = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
    own = [(Path(path).name, line) for path, line in frames if "/torch/" not in Path(path).as_posix()]
    return f" ({own[-1][0]}, line {own[-1][1]})" if own else ""


def _operator_name(target: Any) -> str:
    if isinstance(target, torch._ops.OpOverload):
        return str(target)
    if isinstance(target, torch._ops.HigherOrderOperator):
        return str(target.name())  # type: ignore[no-untyped-call]
    module = inspect.getmodule(target)
    if module is not None and module.__name__ in ("_operator", "operator"):
        return f"py.{target.__name__}"
    return f"{getattr(target, '__module__', '?')}.{getattr(target, '__name__', target)}"


def _encode(value: Any, values: Mapping[fx.Node, Any]) -> Any:
    if isinstance(value, fx.Node):
        return values[value]
    if value is None or isinstance(value, bool | int | float | str | _Named):
        return value
    if isinstance(value, list | tuple):
        return [_encode(item, values) for item in value]
    if isinstance(value, torch.dtype):
        return Special("dtype", str(value).removeprefix("torch."))
    if isinstance(value, torch.device):
        return Special("device", "own")
    if isinstance(value, torch.layout) and value is torch.strided:
        return Special("layout", "strided")
    if isinstance(value, torch.memory_format):
        return Special("memory", str(value).removeprefix("torch."))
    raise _unsupported(f"an argument of type {type(value).__name__}")


def _number(draft: _Draft, output: _Named) -> Graph:
    """Drop sizes and inputs that nothing reads, and replace names by positions."""
    live = {output.name}
    kept: list[tuple[str, Node]] = []
    for label, node in reversed(draft.nodes):
        if label in live or node.operator not in _SIZES:
            kept.append((label, node))
            live |= _names([*node.args, *node.kwargs.values()])
    kept.reverse()
    inputs = {label: source for label, source in draft.inputs.items() if label in live or source == ("x", "")}
    slots = {label: index for index, label in enumerate([*inputs, *(label for label, _ in kept)])}
    nodes = tuple(
        Node(
            node.operator,
            tuple(_place(item, slots) for item in node.args),
            {keyword: _place(item, slots) for keyword, item in node.kwargs.items()},
            node.grad,
        )
        for _, node in kept
    )
    return Graph(tuple(inputs.values()), nodes, slots[output.name])


def _names(value: Any) -> set[str]:
    if isinstance(value, _Named):
        return {value.name}
    return set().union(*map(_names, value)) if isinstance(value, list) else set()


def _place(value: Any, slots: Mapping[str, int]) -> Any:
    if isinstance(value, _Named):
        return Ref(slots[value.name])
    return [_place(item, slots) for item in value] if isinstance(value, list) else value


def constant_of(tensor: Tensor) -> doc.Constant:
    """A constant's little-endian bytes."""
    flat = tensor.detach().to("cpu").contiguous().reshape(-1)
    spec = doc.TensorSpec(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
    return doc.Constant(spec, flat.view(torch.uint8).numpy().tobytes())


def _unsupported(what: str) -> ModelError:
    return ModelError(
        f"the model does not export: {what}", code="SHOAL-M01", hint="write that part of the model with plain tensors"
    )
