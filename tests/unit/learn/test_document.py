"""Hostile graph documents: every one is a ModelError, none does anything."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.core import limits
from shoal.errors import ModelError
from shoal.learn import document, operators
from shoal.learn.interpreter import GraphModel
from shoal.learn.preflight import estimate_bytes

from .families import FAMILIES, recipe


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _with_node(data: bytes, *node: object) -> bytes:
    """The document with one more node, as if it belonged there."""
    value = json.loads(data)
    value["graphs"]["train"]["nodes"].append(list(node))
    return _canonical(value)


@pytest.mark.parametrize(
    "name",
    [
        "aten.as_strided.default",
        "aten.from_file.default",
        "aten.resize_.default",
        "aten.set_.source_Storage",
        "aten.empty.memory_format",
        "aten.new_empty.default",
        "aten.add.out",
        "aten.item.default",
        "aten._local_scalar_dense.default",
        "_c10d_functional.all_reduce.default",
        "c10d.broadcast_.default",
        "inductor.accumulate_grad_.default",
        "torch.serialization.os.system",
        "py.__import__",
        "py.eval",
        "py.pow",
        "__class__",
        "aten.__class__.default",
        "os.system",
        "",
    ],
)
def test_an_operator_outside_the_table_is_refused_by_name(name, exported):
    with pytest.raises(ModelError) as caught:
        document.parse(_with_node(exported("mlp").document, name, [{"ref": 0}], {}, True))
    assert caught.value.code == "SHOAL-M03"
    assert repr(name) in caught.value.message


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([{"ref": 10_000}], {}),
        ([{"ref": -1}], {}),
        ([{"ref": True}], {}),
        ([{"ref": "0"}], {}),
        ([{"unknown": 1}], {}),
        ([{"dtype": "__class__"}], {}),
        ([{"device": "cuda:0"}], {}),
        ([{"float": "1e3"}], {}),
        ([{"dtype": "float32", "ref": 0}], {}),
        ([2**63], {}),
        (["x" * 300], {}),
        ([[[[[[[[[[[[1]]]]]]]]]]]], {}),
        ([{"ref": 0}], {"out": {"ref": 0}}),
        ([{"ref": 0}], {"__class__": 1}),
        ("args", {}),
        ([], []),
    ],
)
def test_arguments_of_other_forms_are_refused(args, kwargs, exported):
    with pytest.raises(ModelError) as caught:
        document.parse(_with_node(exported("mlp").document, "aten.relu.default", args, kwargs, True))
    assert caught.value.code == "SHOAL-M06"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"NaN",
        b"9" * 5_000,
        b'{"format":"shoal-graph/1"}',
        b" " * (limits.DOCUMENT_BYTES + 1),
    ],
)
def test_what_is_no_document_is_refused(data):
    with pytest.raises(ModelError):
        document.parse(data)


def test_the_same_model_has_one_encoding(exported):
    data = exported("mlp").document
    for other in (
        data + b" ",
        json.dumps(json.loads(data)).encode(),
        data.replace(b'"tied":{}', b'"tied":{},"tied":{}'),
    ):
        assert other != data
        with pytest.raises(ModelError):
            document.parse(other)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v["parameters"][0].__setitem__(0, "__metadata__"),
        lambda v: v["parameters"][0].__setitem__(0, "a/b"),
        lambda v: v["parameters"].append(v["parameters"][0]),
        lambda v: v["parameters"][0].__setitem__(2, [2**40, 2**40]),
        lambda v: v["parameters"][0].__setitem__(2, [-1]),
        lambda v: v["parameters"][0].__setitem__(1, "object"),
        lambda v: v["parameters"].clear(),
        lambda v: v["graphs"].pop("eval"),
        lambda v: v["graphs"]["train"].__setitem__("output", 10**6),
        lambda v: v["graphs"]["train"]["inputs"].append(["x", ""]),
        lambda v: v["graphs"]["train"]["inputs"].append(["state", "nobody"]),
        lambda v: v["graphs"]["train"]["inputs"].append(["__dict__", "x"]),
        lambda v: v["constants"].__setitem__("c", ["float32", [2], "AAAA"]),
        lambda v: v["constants"].__setitem__("c", ["bool", [1], "Ag=="]),
        lambda v: v["tied"].__setitem__("alias", "nobody"),
        lambda v: v.__setitem__("extra", 1),
    ],
)
def test_tables_that_lie_are_refused(change, exported):
    value = json.loads(exported("mlp").document)
    change(value)
    with pytest.raises(ModelError):
        document.parse(_canonical(value))


def test_python_arithmetic_cannot_be_made_to_explode(exported):
    """`[0] * 10**15` and repeated squaring would take the memory before any limit on tensors sees them."""
    data = exported("mlp").document
    state = GraphModel.from_bytes(data, exported("mlp").weights).state()
    for args in ([[0], 10**15], ["x", 10**15], [2**62, 2**62], [{"ref": 0}, 10**6]):
        parsed = document.parse(_with_node(data, "py.mul", args, {}, True))
        model = GraphModel(parsed, state)
        with pytest.raises(ModelError, match=r"py\.mul"):
            model(FAMILIES["mlp"].x)


def test_a_memory_bomb_is_refused_before_any_memory_is_taken(exported):
    bomb = _with_node(exported("mlp").document, "aten.zeros.default", [[10**6, 10**6]], {}, True)
    with pytest.raises(ModelError) as caught:
        estimate_bytes(document.parse(bomb), recipe())
    assert caught.value.code == "SHOAL-M09"


def test_no_operator_of_the_table_returns_uninitialised_or_foreign_memory():
    banned = ("empty", "as_strided", "from_file", "resize", "set_.", "storage", "data_ptr")
    for name, found in operators.ATEN.items():
        assert name.startswith("aten."), name
        assert not any(word in name for word in banned), name
        assert not any(argument.is_out for argument in found._schema.arguments), name


_leaf = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "x", "state", "float32", "aten.add.Tensor", "aten.view.default", "py.getitem", "__class__"]),
    st.builds(lambda slot: {"ref": slot}, st.integers(-2, 60)),
    st.just([]),
    st.just({}),
)


def _paths(value: object, path: tuple = ()) -> list[tuple]:
    if isinstance(value, dict):
        return [path, *(p for key in value for p in _paths(value[key], (*path, key)))]
    if isinstance(value, list):
        return [path, *(p for index, item in enumerate(value) for p in _paths(item, (*path, index)))]
    return [path]


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_mutated_document_never_raises_anything_but_a_model_error(exported, data):
    """Parsed, built and run with fake tensors: as far as a trainer goes before the sandbox."""
    name = data.draw(st.sampled_from(["mlp", "gpt", "lstm"]))
    value = json.loads(exported(name).document)
    for _ in range(data.draw(st.integers(1, 3))):
        paths = [path for path in _paths(value) if path]
        path = data.draw(st.sampled_from(paths))
        place = value
        for key in path[:-1]:
            place = place[key]
        if data.draw(st.booleans()) or isinstance(place, dict):
            place[path[-1]] = data.draw(_leaf)
        else:
            del place[path[-1]]
    try:
        estimate_bytes(document.parse(_canonical(value)), FAMILIES[name].recipe, max_bytes=2**28)
    except ModelError as error:
        assert error.code.startswith("SHOAL-M")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_flipped_bytes_never_raise_anything_but_a_model_error(exported, data):
    raw = bytearray(exported("cnn").document)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        GraphModel.from_bytes(bytes(raw), exported("cnn").weights)
    except ModelError as error:
        assert error.code.startswith("SHOAL-M")


def test_a_constant_that_a_graph_writes_into_is_fresh_for_every_unit(exported):
    """Else a unit of work would depend on the ones before it, and an audit would blame an honest trainer."""
    value = json.loads(exported("logreg").document)
    value["constants"]["counter"] = ["float32", [1], "AAAAAA=="]
    train = value["graphs"]["train"]
    shift = len(train["inputs"])
    train["inputs"].append(["constant", "counter"])
    assert len(train["nodes"]) == 1
    train["nodes"].append(["aten.add_.Scalar", [{"ref": shift}, 1.0], {}, False])
    train["nodes"].append(["aten.add.Tensor", [{"ref": shift + 1}, {"ref": shift + 2}], {}, True])
    train["output"] = shift + 3
    model = GraphModel.from_bytes(_canonical(value), exported("logreg").weights)
    x = FAMILIES["logreg"].x
    first = model(x)
    assert not torch.equal(model(x), first)
    model.load_state(model.state())
    assert torch.equal(model(x), first)


@pytest.mark.parametrize("number", [0, 6, 100, -1, 2**31])
def test_a_dtype_cannot_be_given_as_a_number(number, exported):
    """torch takes one, and reads past its tables when no dtype has it: found by fuzzing, a crash of the process."""
    for operator, args in (("aten.softmax.int", [{"ref": 0}, 0, number]), ("aten.to.dtype", [{"ref": 0}, number])):
        with pytest.raises(ModelError, match="must be a dtype"):
            document.parse(_with_node(exported("mlp").document, operator, args, {}, True))
    with pytest.raises(ModelError, match="must be a memory"):
        document.parse(
            _with_node(exported("mlp").document, "aten.clone.default", [{"ref": 0}], {"memory_format": number}, True)
        )


@pytest.mark.parametrize("shape", [[1, 2, 8, 1], [24, 5], [23, 6], [0, 6], [24, 6, 1]])
@pytest.mark.parametrize("index", [1, 2, 5, 8])
def test_recurrent_weights_of_another_shape_never_reach_the_kernel(shape, index, exported):
    """oneDNN believes their shapes: found by fuzzing, a crash of the process some steps later."""
    value = json.loads(exported("lstm").document)
    assert value["parameters"][index][0].startswith("lstm.")
    value["parameters"][index][2] = shape
    with pytest.raises(ModelError, match="weights of another shape"):
        estimate_bytes(document.parse(_canonical(value)), FAMILIES["lstm"].recipe)
