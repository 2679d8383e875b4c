"""The preflight sees memory before it is taken and times a real step."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from shoal.errors import ModelError
from shoal.learn.document import parse
from shoal.learn.preflight import estimate_bytes, preflight

from .families import FAMILIES, recipe


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_passes_and_is_timed(name, exported):
    document = parse(exported(name).document)
    found = preflight(document, FAMILIES[name].recipe)
    assert found.step_s > 0
    assert found.parameters == exported(name).report.parameters
    assert found.peak_bytes > 2 * document.state_bytes


def test_memory_grows_with_the_batch_by_the_activations(exported):
    document = parse(exported("cnn").document)
    sizes = [estimate_bytes(document, replace(FAMILIES["cnn"].recipe, batch_size=n)) for n in (1000, 2000, 3000)]
    per_row = (sizes[1] - sizes[0]) / 1000
    assert sizes[2] - sizes[1] == pytest.approx(sizes[1] - sizes[0], rel=0.01)
    # At the least the input (64 floats), the convolution's output (144) and the normalised output (144) are alive.
    assert 4 * (64 + 144 + 144) <= per_row <= 4 * (64 + 144) * 20


def test_adam_needs_more_than_sgd(exported):
    document = parse(exported("resnet").document)
    sgd, adam = (
        estimate_bytes(document, recipe(optimizer={"name": name, "lr": 0.1, **more}))
        for name, more in (("sgd", {"momentum": 0.9}), ("adam", {}))
    )
    assert adam - sgd == 4 * exported("resnet").report.trainable


def test_a_step_above_the_limit_is_refused(exported):
    document = parse(exported("cnn").document)
    needed = estimate_bytes(document, FAMILIES["cnn"].recipe)
    assert preflight(document, FAMILIES["cnn"].recipe, max_bytes=needed).peak_bytes == needed
    with pytest.raises(ModelError) as caught:
        preflight(document, FAMILIES["cnn"].recipe, max_bytes=needed - 1)
    assert caught.value.code == "SHOAL-M09"


def test_weights_alone_above_the_limit_are_refused_without_being_made(exported):
    value = json.loads(exported("logreg").document)
    value["parameters"][0][2] = [2**14, 2**15]
    document = parse(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
    with pytest.raises(ModelError) as caught:
        preflight(document, FAMILIES["logreg"].recipe, max_bytes=2**30)
    assert caught.value.code == "SHOAL-M09"


def test_an_output_other_than_promised_is_refused(exported):
    value = json.loads(exported("logreg").document)
    value["output"] = ["float32", [4]]
    document = parse(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
    with pytest.raises(ModelError, match="not what the document says"):
        preflight(document, FAMILIES["logreg"].recipe)
