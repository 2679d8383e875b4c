"""The author's side: turn a PyTorch module into a graph document and prove that both train alike."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from shoal.core import limits
from shoal.errors import ModelError
from shoal.learn import document as doc
from shoal.learn import update
from shoal.learn.compare import compare, quiet
from shoal.learn.convert import constant_of, to_graph
from shoal.learn.document import Constant, GraphDocument, TensorSpec
from shoal.learn.fit import check_input, told_in_full
from shoal.learn.interpreter import GraphModel
from shoal.learn.preflight import Preflight, preflight
from shoal.learn.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Report:
    """What the check saw."""

    parameters: int
    trainable: int
    operators: tuple[str, ...]
    batches: int
    worst_difference: float
    """Relative to scale, over outputs, loss, gradients and buffers."""
    preflight: Preflight
    """What trainers will measure before they bid."""


@dataclass(frozen=True, slots=True)
class Exported:
    document: bytes
    weights: bytes
    """Initial state, safetensors."""
    report: Report


def export_model(module: nn.Module, example: tuple[Tensor, ...], recipe: Recipe, target: Tensor) -> Exported:
    """Export `module` and compare it with itself in eager mode, in training and in evaluation.

    Args:
        module: its `forward` takes one tensor `[rows, ...]` and returns one tensor `[rows, ...]`; its state and mode
            are the same afterwards.
        example: one tensor of at least 2 rows of real data.
        recipe: its loss is compared.
        target: of the example's rows.

    Raises:
        ModelError: SHOAL-M01 does not export; SHOAL-M02 trains differently; SHOAL-M03 operator not in the table;
            SHOAL-M04 loss is NaN or infinite; SHOAL-M05 too big; SHOAL-M07 input, output and targets do not fit;
            SHOAL-M09 one step needs too much memory.
    """
    if len(example) != 1 or len(example[0]) < 2 or len(target) != len(example[0]):
        raise ModelError("the example must be one tensor of two rows or more, with its targets", code="SHOAL-M07")
    x = example[0]
    initial = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    was_training = module.training
    try:
        weights, size = _state_of(module), _state_size(module)
        if size > limits.WEIGHTS_BYTES:
            raise ModelError(
                f"the weights have {size} bytes, at most {limits.WEIGHTS_BYTES} are accepted", code="SHOAL-M05"
            )
        check_input(module, x)
        document = _make_document(module, x, weights)
        # Through bytes, as trainers will get it: whatever parsing would refuse must be refused here.
        parsed = doc.parse(document.to_bytes())
        module.load_state_dict(initial)
        trial = preflight(parsed, recipe)
        worst, batches = compare(module, GraphModel(parsed, weights), x, target, recipe)
    finally:
        module.load_state_dict(initial)
        module.zero_grad(set_to_none=True)
        module.train(was_training)
    report = Report(
        parameters=sum(tensor.numel() for name, tensor in weights.items() if name in parsed.parameters),
        trainable=sum(weights[name].numel() for name in parsed.trainable),
        operators=tuple(sorted({node.operator for graph in parsed.graphs.values() for node in graph.nodes})),
        batches=batches,
        worst_difference=worst,
        preflight=trial,
    )
    return Exported(document.to_bytes(), update.dump_state(weights), report)


def check_author_file(path: Path) -> None:
    """Whether there is a file to import a model from.

    Raises:
        ModelError: SHOAL-M08.
    """
    if not path.is_file():
        raise ModelError(
            f"there is no model at {path}", code="SHOAL-M08", hint="name a model.py, or a folder with one in it"
        )


def load_author_model(path: Path, class_name: str = "Net") -> nn.Module:
    """Import the author's own `model.py` and build its model. Never called on anyone else's file.

    Raises:
        ModelError: SHOAL-M08, the file is missing or raises, or has no such module in it.
    """
    hint = f"the file must define `class {class_name}(torch.nn.Module)` that needs no arguments"
    check_author_file(path)
    spec = importlib.util.spec_from_file_location("shoal_author_model", path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} is not a Python file", code="SHOAL-M08", hint=hint)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    sys.path.insert(0, str(path.parent.resolve()))  # so that it can import its neighbours
    try:
        spec.loader.exec_module(loaded)
        model = getattr(loaded, class_name)()
    except Exception as error:  # the author's code may raise anything
        raise ModelError(
            f"{path.name} cannot be used: {type(error).__name__}: {error}", code="SHOAL-M08", hint=hint
        ) from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    if not isinstance(model, nn.Module):
        raise ModelError(f"{class_name} in {path.name} is not a torch.nn.Module", code="SHOAL-M08", hint=hint)
    return model


def _canonical_names(module: nn.Module) -> dict[str, str]:
    """For every name in the state, the first name of the same tensor: tied weights have several."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in module.state_dict(keep_vars=True).items()}


def _state_of(module: nn.Module) -> dict[str, Tensor]:
    """The initial state in the document's order, each tensor once."""
    names = _canonical_names(module)
    live = {name: tensor for name, tensor in module.state_dict().items() if names[name] == name}
    parameters = {id(parameter) for parameter in module.parameters()}
    kept = module.state_dict(keep_vars=True)
    order = sorted(live, key=lambda name: 0 if id(kept[name]) in parameters else 2 - live[name].is_floating_point())
    return {name: live[name].detach().to("cpu").contiguous().clone() for name in order}


def _state_size(module: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def _make_document(module: nn.Module, x: Tensor, weights: dict[str, Tensor]) -> GraphDocument:
    names = _canonical_names(module)
    kept = module.state_dict(keep_vars=True)
    parameters = {id(parameter): parameter for parameter in module.parameters()}
    constants: dict[str, Constant] = {}
    graphs = {}
    outputs: list[TensorSpec] = []
    for mode in doc.MODES:
        module.train(mode == "train")
        program = _export(module, x)
        places: dict[str, str] = {}
        for name, value in program.constants.items():
            if isinstance(value, Tensor) and name not in names:
                places[name] = _add_constant(constants, mode, name, constant_of(value))
        graphs[mode] = to_graph(program, names, places)
        outputs.append(_row_spec_of_output(program))
    if outputs[0] != outputs[1]:
        raise ModelError(f"the model returns {outputs[0]} in training, {outputs[1]} in evaluation", code="SHOAL-M01")
    specs = {name: update.spec_of(tensor) for name, tensor in weights.items()}
    return GraphDocument(
        input=_row_spec(x),
        output=outputs[0],
        parameters={name: spec for name, spec in specs.items() if id(kept[name]) in parameters},
        trainable=tuple(n for n in specs if id(kept[n]) in parameters and parameters[id(kept[n])].requires_grad),
        buffers={name: spec for name, spec in specs.items() if id(kept[name]) not in parameters},
        tied={name: first for name, first in sorted(names.items()) if name != first},
        constants=dict(sorted(constants.items())),
        graphs=graphs,
    )


def _export(module: nn.Module, x: Tensor) -> ExportedProgram:
    try:
        with quiet():
            return torch.export.export(module, (x,), dynamic_shapes=({0: Dim("rows")},))
    except Exception as error:  # export runs the author's forward, and has a dozen exception types of its own
        raise ModelError(
            f"the model does not export: {told_in_full(error)}",
            code="SHOAL-M01",
            hint="forward must not branch on values of tensors, and must work for any number of rows",
        ) from error


def _add_constant(constants: dict[str, Constant], mode: str, name: str, constant: Constant) -> str:
    """Both graphs share a constant that is the same in both."""
    place = name if constants.get(name, constant) == constant else f"{mode}.{name}"
    constants[place] = constant
    return place


def _row_spec_of_output(program: ExportedProgram) -> TensorSpec:
    [node] = [node for node in program.graph.nodes if node.op == "output"]
    values = node.args[0]
    value = values[0].meta.get("val") if len(values) == 1 and isinstance(values[0], torch.fx.Node) else None
    if not isinstance(value, Tensor) or value.ndim < 1:
        raise ModelError("the model must return one tensor with a row for each row of its input", code="SHOAL-M01")
    sizes: list[object] = list(value.shape)
    if not isinstance(sizes[0], torch.SymInt) or any(isinstance(size, torch.SymInt) for size in sizes[1:]):
        raise ModelError(
            f"the model's output is {sizes}: its first size alone must follow the number of rows",
            code="SHOAL-M01",
        )
    return _row_spec(value)


def _row_spec(tensor: Tensor) -> TensorSpec:
    return TensorSpec(str(tensor.dtype).removeprefix("torch."), tuple(int(size) for size in tensor.shape[1:]))
