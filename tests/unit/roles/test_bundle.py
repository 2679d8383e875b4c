"""Bundles come from a client that may be hostile: of any bytes they are right, or refused, and nothing else."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.codec import CodecError, encode
from shoal.roles import bundle as b

from ..core.scene import Scene
from ..core.test_codec import VALUES

POINTER = b.Pointer("https://store/x", b"h" * 32, 100)


def good() -> b.Bundle:
    state = Scene().running().state
    return b.Bundle(
        secret=b"s" * 32,
        chunks={chunk: (f"https://store/{chunk}", "AGE") for chunk in range(6)},
        validation=("https://store/v", "AGE"),
        initial="https://store/i",
        put=dict.fromkeys(b.slots_of(state, 0), "https://store/put"),
        shared=POINTER,
    )


def plain(bundle: b.Bundle) -> dict[str, Any]:
    return {
        "secret": bundle.secret,
        "chunks": [[chunk, *pair] for chunk, pair in bundle.chunks.items()],
        "validation": list(bundle.validation),
        "initial": bundle.initial,
        "put": dict(bundle.put),
        "shared": bundle.shared.fields(),
    }


def test_a_bundle_reads_back() -> None:
    assert b.Bundle.from_bytes(good().to_bytes()) == good()
    assert b.Pointer.from_bytes(POINTER.to_bytes()) == POINTER


@pytest.mark.parametrize(
    "change",
    [
        {"secret": b"short"},
        {"validation": [1, 2]},
        {"initial": 5},
        {"chunks": [["a", "url", "key"]]},
        {"chunks": [[0, 7, "key"]]},
        {"put": {"u/1/0/0": 5}},
        {"shared": ["url", b"h" * 32, 0]},
    ],
)
def test_a_field_of_another_type_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CodecError):
        b.Bundle.from_bytes(encode(plain(good()) | change))


@settings(max_examples=300)
@given(st.sampled_from(sorted(plain(good()))), VALUES)
def test_no_value_breaks_the_parser(key: str, value: Any) -> None:
    with suppress(CodecError):
        parsed = b.Bundle.from_bytes(encode(plain(good()) | {key: value}))
        assert all(isinstance(text, str) for text in (parsed.initial, *parsed.validation, *parsed.put.values()))


def test_a_bundle_that_lacks_what_a_seat_will_need_does_not_serve_it() -> None:
    state, bundle = Scene().running().state, good()
    assert bundle.serves(state, 0) and not bundle.serves(state, 1)
    for lacking in ("put", "chunks"):
        part = dict(getattr(bundle, lacking))
        part.pop(next(iter(part)))
        assert not b.Bundle(**{**_fields(bundle), lacking: part}).serves(state, 0)


def _fields(bundle: b.Bundle) -> dict[str, Any]:
    return {name: getattr(bundle, name) for name in bundle.__dataclass_fields__}
