"""Bundles come from a client that may be hostile: of any bytes they are right, or refused, and nothing else."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core import limits
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


# ---------------------------------------------------------------- pointers, shared bundles and slots

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=200)
@given(VALUES | st.tuples(TEXTS, st.binary(max_size=40), st.integers(-(2**63), 2**64 - 1)).map(list))
def test_no_value_breaks_a_pointer(value: Any) -> None:
    with suppress(CodecError):
        pointer = b.Pointer.from_bytes(encode(value))
        assert isinstance(pointer.url, str) and len(pointer.sha256) == 32
        assert 0 < pointer.size_bytes <= limits.BUNDLE_BYTES
        assert pointer.to_bytes() == encode(value)


@settings(max_examples=200)
@given(VALUES | st.dictionaries(TEXTS, TEXTS, max_size=4))
def test_a_shared_bundle_is_a_table_of_texts_or_refused(value: Any) -> None:
    right = isinstance(value, dict) and all(isinstance(url, str) for url in value.values())
    if right:
        assert b.decode_shared(encode(value)) == value
    else:
        with pytest.raises(CodecError):
            b.decode_shared(encode(value))


@settings(max_examples=200)
@given(VALUES)
def test_no_value_is_a_whole_bundle(value: Any) -> None:
    with pytest.raises(CodecError):
        b.Bundle.from_bytes(encode(value))


@settings(max_examples=200)
@given(st.sampled_from([b.Pointer.from_bytes, b.Bundle.from_bytes, b.decode_shared]), st.binary(max_size=100))
def test_no_bytes_break_a_parser(parse: Any, data: bytes) -> None:
    with suppress(CodecError):
        parse(data)


@settings(max_examples=200)
@given(st.data())
def test_a_bundle_with_a_byte_changed_is_refused_or_another_bundle(data: st.DataObject) -> None:
    right = good()
    changed = bytearray(right.to_bytes())
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(CodecError):
        assert b.Bundle.from_bytes(bytes(changed)) != right


@pytest.mark.parametrize("name", sorted(plain(good())))
def test_a_field_less_is_refused(name: str) -> None:
    fields = plain(good())
    del fields[name]
    with pytest.raises(CodecError):
        b.Bundle.from_bytes(encode(fields))


def test_what_is_larger_than_it_may_be_is_refused() -> None:
    large = b.Pointer("https://store/" + "x" * limits.ENVELOPE_BYTES, b"h" * 32, 100)
    with pytest.raises(CodecError):
        b.Pointer.from_bytes(large.to_bytes())
    for size, right in ((limits.BUNDLE_BYTES, True), (limits.BUNDLE_BYTES + 1, False), (0, False), (-1, False)):
        if right:
            assert b.Pointer.parse(["url", b"h" * 32, size]).size_bytes == size
        else:
            with pytest.raises(CodecError):
                b.Pointer.parse(["url", b"h" * 32, size])


def test_no_two_seats_write_into_one_slot() -> None:
    state = Scene().running().state
    slots = [slot for seat in range(3) for slot in b.slots_of(state, seat)]
    assert len(slots) == len(set(slots))
    assert b.slots_of(state, 0).count(b.result_slot(0)) == 1
    assert {b.update_slot(4, chunk, 0) for chunk in (0, 3)} <= set(b.slots_of(state, 0))
    assert sum(slot.startswith("c/") for slot in b.slots_of(state, 0)) == state.plan.rounds
