"""The graph document: a model as plain JSON, parsed from strangers under limits and never executed as code."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from shoal.core import limits
from shoal.errors import ModelError
from shoal.learn import operators

FORMAT = "shoal-graph/1"
NODES = 200_000
"""Of both graphs together."""
ARGUMENT_DEPTH = 8
TEXT_CHARS = 256
TENSORS = 20_000
DIMENSIONS = 8
SIZE = 2**40
CONSTANT_BYTES = 4 * limits.MIB
MODES = ("train", "eval")

ITEM_BYTES = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
MEMORY_FORMATS = ("contiguous_format", "preserve_format", "channels_last", "channels_last_3d")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*|_[A-Za-z0-9.\-][A-Za-z0-9_.\-]*")


@dataclass(frozen=True, slots=True)
class Ref:
    """A value computed before: a graph input or a node, by position."""

    slot: int


@dataclass(frozen=True, slots=True)
class Special:
    """A torch value without a JSON form: `dtype`, `device`, `layout` or `memory`."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """dtype and shape; for `input` and `output` of a document, the shape of one row."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]

    @property
    def is_float(self) -> bool:
        return "float" in self.dtype


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor that never changes and travels with the document, little-endian."""

    spec: TensorSpec
    data: bytes


@dataclass(frozen=True, slots=True)
class Node:
    operator: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    grad: bool
    """False inside `torch.no_grad()`."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Inputs take the first slots, `("x", "")`, `("state", name)` or `("constant", name)`; each node takes the next."""

    inputs: tuple[tuple[str, str], ...]
    nodes: tuple[Node, ...]
    output: int


@dataclass(frozen=True, slots=True)
class GraphDocument:
    """A parsed model. Only `parse` and the exporter make one, so what it says has been checked."""

    input: TensorSpec
    output: TensorSpec
    parameters: dict[str, TensorSpec]
    trainable: tuple[str, ...]
    buffers: dict[str, TensorSpec]
    tied: dict[str, str]
    """Other names of parameters, kept for people: graphs and files use one name only."""
    constants: dict[str, Constant]
    graphs: dict[str, Graph]

    def state_specs(self) -> dict[str, TensorSpec]:
        """Names of a state in their fixed order: parameters, float buffers, other buffers."""
        floats = {name: spec for name, spec in self.buffers.items() if spec.is_float}
        return {**self.parameters, **floats, **self.buffers}

    @property
    def state_bytes(self) -> int:
        return sum(spec.size_bytes for spec in self.state_specs().values())

    def to_bytes(self) -> bytes:
        """Canonical JSON: the same document is always the same bytes."""
        trainable = set(self.trainable)
        value = {
            "format": FORMAT,
            "input": _spec_json(self.input),
            "output": _spec_json(self.output),
            "parameters": [[name, *_spec_json(spec), name in trainable] for name, spec in self.parameters.items()],
            "buffers": [[name, *_spec_json(spec)] for name, spec in self.buffers.items()],
            "tied": self.tied,
            "constants": {
                name: [*_spec_json(constant.spec), base64.b64encode(constant.data).decode()]
                for name, constant in self.constants.items()
            },
            "graphs": {mode: _graph_json(graph) for mode, graph in self.graphs.items()},
        }
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def parse(data: bytes) -> GraphDocument:
    """Read a stranger's document.

    Raises:
        ModelError: SHOAL-M03, an operator outside our table; SHOAL-M05, too big; SHOAL-M06, else, with the field.
    """
    if len(data) > limits.DOCUMENT_BYTES:
        raise ModelError(
            f"the graph document has {len(data)} bytes, at most {limits.DOCUMENT_BYTES} are accepted", code="SHOAL-M05"
        )
    try:
        value = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # also bad UTF-8, and integers of thousands of digits
        raise ModelError("the graph document is not JSON within limits", code="SHOAL-M06") from error
    fields = ("format", "input", "output", "parameters", "buffers", "tied", "constants", "graphs")
    table = _table(value, "document", fields)
    if table["format"] != FORMAT:
        _wrong("format", f"is not {FORMAT}")
    document = _parse_tables(table)
    if document.to_bytes() != data:
        _wrong("document", "is not in canonical form")
    return document


def _parse_tables(table: Mapping[str, Any]) -> GraphDocument:
    parameters: dict[str, TensorSpec] = {}
    trainable: list[str] = []
    for row in _rows(table["parameters"], 4, "parameters"):
        name = _name(row[0], parameters, "parameters")
        parameters[name] = _spec(row[1], row[2], f"parameter {name}")
        if not isinstance(row[3], bool) or (row[3] and not parameters[name].is_float):
            _wrong(f"parameter {name}", "must say true or false for trainable, and only floats can be")
        trainable += [name] if row[3] else []
    if not trainable:
        _wrong("parameters", "hold nothing to train")
    buffers: dict[str, TensorSpec] = {}
    for row in _rows(table["buffers"], 3, "buffers"):
        name = _name(row[0], ChainMap(parameters, buffers), "buffers")
        buffers[name] = _spec(row[1], row[2], f"buffer {name}")
    tied: dict[str, str] = {}
    for alias, target in _small_table(table["tied"], "tied").items():
        _name(alias, ChainMap(parameters, buffers), "tied")
        if not isinstance(target, str) or target not in parameters:
            _wrong(f"tied {alias}", "names no parameter")
        tied[alias] = target
    constants = _parse_constants(_small_table(table["constants"], "constants"))
    total = sum(spec.size_bytes for spec in [*parameters.values(), *buffers.values()])
    if total > limits.WEIGHTS_BYTES:
        raise ModelError(
            f"the weights have {total} bytes, at most {limits.WEIGHTS_BYTES} are accepted",
            code="SHOAL-M05",
            hint="train a smaller model",
        )
    graphs_json = _table(table["graphs"], "graphs", MODES)
    budget = [NODES]
    known = {"state": frozenset(parameters) | frozenset(buffers), "constant": frozenset(constants)}
    graphs = {mode: _parse_graph(graphs_json[mode], f"graphs.{mode}", known, budget) for mode in MODES}
    return GraphDocument(
        input=_row_spec(table["input"], "input"),
        output=_row_spec(table["output"], "output"),
        parameters=parameters,
        trainable=tuple(trainable),
        buffers=buffers,
        tied=tied,
        constants=constants,
        graphs=graphs,
    )


def _parse_constants(table: Mapping[str, Any]) -> dict[str, Constant]:
    constants: dict[str, Constant] = {}
    total = 0
    for name, row in table.items():
        _name(name, constants, "constants")
        if not isinstance(row, list) or len(row) != 3 or not isinstance(row[2], str):
            _wrong(f"constant {name}", "must be [dtype, shape, base64]")
        spec = _spec(row[0], row[1], f"constant {name}")
        try:
            data = base64.b64decode(row[2], validate=True)
        except (binascii.Error, ValueError):
            _wrong(f"constant {name}", "is not base64")
        if len(data) != spec.size_bytes:
            _wrong(f"constant {name}", f"has {len(data)} bytes, not the {spec.size_bytes} of its shape")
        if spec.dtype == "bool" and data.strip(b"\0\1"):
            _wrong(f"constant {name}", "has booleans other than 0 and 1")
        total += len(data)
        constants[name] = Constant(spec, data)
    if total > CONSTANT_BYTES:
        raise ModelError(
            f"the model's constants have {total} bytes, at most {CONSTANT_BYTES} are accepted",
            code="SHOAL-M05",
            hint="compute large masks in forward, or register them as persistent buffers",
        )
    return constants


def _parse_graph(value: Any, where: str, known: Mapping[str, frozenset[str]], budget: list[int]) -> Graph:
    table = _table(value, where, ("inputs", "nodes", "output"))
    inputs: list[tuple[str, str]] = []
    for row in _rows(table["inputs"], 2, f"{where}.inputs"):
        kind, name = row
        if not isinstance(kind, str) or not isinstance(name, str):
            _wrong(f"{where}.inputs", "must be pairs of text")
        if (kind, name) != ("x", "") and name not in known.get(kind, ()):
            _wrong(f"{where}.inputs", f"has no such tensor: {_short(kind)} {_short(name)}")
        inputs.append((kind, name))
    if inputs.count(("x", "")) != 1:
        _wrong(f"{where}.inputs", "must hold x once")
    rows = table["nodes"]
    if not isinstance(rows, list) or len(rows) > budget[0]:
        raise ModelError(f"{where} has more nodes than {NODES} in all", code="SHOAL-M05")
    budget[0] -= len(rows)
    nodes: list[Node] = []
    for index, row in enumerate(rows):
        nodes.append(_parse_node(row, f"{where} node {index}", len(inputs) + index))
    output = table["output"]
    if isinstance(output, bool) or not isinstance(output, int) or not 0 <= output < len(inputs) + len(nodes):
        _wrong(f"{where}.output", "refers to nothing")
    return Graph(tuple(inputs), tuple(nodes), output)


def _parse_node(row: Any, where: str, slot: int) -> Node:
    if not isinstance(row, list) or len(row) != 4:
        _wrong(where, "must be [operator, args, kwargs, grad]")
    name, args, kwargs, grad = row
    if not isinstance(name, str) or name not in operators.NAMES:
        raise ModelError(
            f"{where}: operator {_short(name)} is not one that trainers run",
            code="SHOAL-M03",
            hint="write that part of the model with other operators",
        )
    where = f"{where} ({name})"
    if not isinstance(args, list) or not isinstance(kwargs, dict) or not isinstance(grad, bool):
        _wrong(where, "must have a list, a table and true or false")
    node = Node(
        name,
        tuple(_parse_value(item, where, slot, 0) for item in args),
        {keyword: _parse_value(item, where, slot, 0) for keyword, item in kwargs.items()},
        grad,
    )
    if name in operators.ATEN:
        _check_arguments(node, where)
    elif kwargs:
        _wrong(where, "takes no keywords")
    return node


def _check_arguments(node: Node, where: str) -> None:
    """No argument that the operator lacks, and a dtype where it takes a dtype, as for its like."""
    known = operators.ARGUMENTS[node.operator]
    if len(node.args) > len(known):
        _wrong(where, f"takes at most {len(known)} arguments")
    given = [*zip(known, node.args, strict=False), *node.kwargs.items()]
    for name, value in given:
        if name not in known:
            _wrong(where, f"has no argument {_short(name)}")
        kind = known[name]
        if value is not None and (value.kind if isinstance(value, Special) else None) != kind:
            _wrong(where, f"argument {name} must " + (f"be a {kind}" if kind else "not be a dtype or the like"))


def _parse_value(value: Any, where: str, slot: int, depth: int) -> Any:
    if depth > ARGUMENT_DEPTH:
        _wrong(where, "is nested too deeply")
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        if value.bit_length() > 63:
            _wrong(where, "has an integer beyond 64 bits")
        return value
    if isinstance(value, str):
        if len(value) > TEXT_CHARS:
            _wrong(where, f"has a text longer than {TEXT_CHARS}")
        return value
    if isinstance(value, list):
        return [_parse_value(item, where, slot, depth + 1) for item in value]
    if not isinstance(value, dict) or len(value) != 1:
        _wrong(where, "has an argument that is no value")
    [(kind, content)] = value.items()
    if kind == "ref" and isinstance(content, int) and not isinstance(content, bool) and 0 <= content < slot:
        return Ref(content)
    if kind == "ref":
        _wrong(where, f"refers to {_short(content)}, which is not computed before it")
    choices: dict[str, Any] = {
        "float": ("inf", "-inf", "nan"),
        "dtype": ITEM_BYTES,
        "memory": MEMORY_FORMATS,
        "device": ("own",),
        "layout": ("strided",),
    }
    if kind not in choices or not isinstance(content, str) or content not in choices[kind]:
        _wrong(where, f"has an unknown value {_short(kind)} {_short(content)}")
    return float(content) if kind == "float" else Special(kind, content)


def _spec(dtype: Any, shape: Any, where: str) -> TensorSpec:
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        _wrong(where, f"has an unknown dtype {_short(dtype)}")
    if not isinstance(shape, list) or len(shape) > DIMENSIONS:
        _wrong(where, f"must have at most {DIMENSIONS} dimensions")
    for size in shape:
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= SIZE:
            _wrong(where, "has a size that is no size")
    return TensorSpec(dtype, tuple(shape))


def _row_spec(value: Any, where: str) -> TensorSpec:
    if not isinstance(value, list) or len(value) != 2:
        _wrong(where, "must be [dtype, shape of one row]")
    return _spec(value[0], value[1], where)


def _rows(value: Any, width: int, where: str) -> list[list[Any]]:
    if not isinstance(value, list) or len(value) > TENSORS:
        _wrong(where, f"must be a list of at most {TENSORS}")
    for row in value:
        if not isinstance(row, list) or len(row) != width:
            _wrong(where, f"must hold lists of {width}")
    return value


def _name(value: Any, taken: Mapping[str, Any], where: str) -> str:
    if not isinstance(value, str) or len(value) > TEXT_CHARS or not _NAME.fullmatch(value):
        _wrong(where, f"has a name that is not allowed: {_short(value)}")
    if value in taken:
        _wrong(where, f"names {value} twice")
    return value


def _table(value: Any, where: str, fields: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(fields):
        _wrong(where, f"must be a table of {', '.join(fields)}")
    return value


def _small_table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > TENSORS:
        _wrong(where, f"must be a table of at most {TENSORS}")
    return value


def _spec_json(spec: TensorSpec) -> list[Any]:
    return [spec.dtype, list(spec.shape)]


def _graph_json(graph: Graph) -> dict[str, Any]:
    return {
        "inputs": [list(pair) for pair in graph.inputs],
        "nodes": [
            [
                node.operator,
                [_value_json(item) for item in node.args],
                {keyword: _value_json(item) for keyword, item in node.kwargs.items()},
                node.grad,
            ]
            for node in graph.nodes
        ],
        "output": graph.output,
    }


def _value_json(value: Any) -> Any:
    match value:
        case Ref(slot):
            return {"ref": slot}
        case Special(kind, name):
            return {kind: name}
        case list():
            return [_value_json(item) for item in value]
        case float() if not math.isfinite(value):
            return {"float": repr(value)}
    return value


def _short(value: Any) -> str:
    """A stranger's value in an error: never long, never nested."""
    return repr(value[:80]) if isinstance(value, str) else type(value).__name__


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _wrong(where: str, what: str) -> NoReturn:
    raise ModelError(f"graph document: {where} {what}", code="SHOAL-M06")
