"""One value, one encoding; and hostile bytes end in CodecError, nothing else."""

import math
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.codec import CodecError, decode, encode

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=40)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_values_read_back(value: Any) -> None:
    data = encode(value)
    assert decode(data, max_bytes=len(data)) == value


@given(VALUES)
def test_the_order_of_keys_does_not_matter(value: Any) -> None:
    def backwards(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: backwards(value[key]) for key in reversed(value)}
        return [backwards(item) for item in value] if isinstance(value, list) else value

    assert encode(backwards(value)) == encode(value)


@given(st.binary(max_size=60))
def test_any_bytes_decode_to_what_encodes_to_them_or_are_refused(data: bytes) -> None:
    try:
        value = decode(data, max_bytes=60)
    except CodecError:
        return
    assert encode(value) == data


@given(VALUES, st.data())
def test_changed_bytes_never_read_as_the_same_value(value: Any, data: st.DataObject) -> None:
    good = encode(value)
    index = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[index] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(bad), max_bytes=len(bad))
    except CodecError:
        return
    assert encode(other) != good


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\x01",  # trailing bytes
        b"\x18\x01",  # 1 in two bytes
        b"\xa2\x61b\x01\x61a\x02",  # keys out of order
        b"\xa2\x61a\x01\x61a\x02",  # a key twice
        b"\xa1\x01\x02",  # a key that is no text
        b"\x9f\x01\xff",  # indefinite length
        b"\xc2\x41\x01",  # a bignum
        b"\xc1\x00",  # a date
        b"\xfb\x3f\xf0" + bytes(6),  # 1.0 in eight bytes
        b"\xf7",  # undefined
        b"\x62\xff\xff",  # not UTF-8
        b"\x9b\x7f" + b"\xff" * 7,  # a list of 2**63 items
        b"\x81" * 17 + b"\x01",  # nested too deeply
        b"\x81" * 100_000,
        cbor2.dumps({1, 2}),
    ],
)
def test_refuses(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode(data, max_bytes=200_000)


def test_refuses_what_is_too_long() -> None:
    with pytest.raises(CodecError):
        decode(encode(b"x" * 100), max_bytes=100)


@pytest.mark.parametrize("value", [{1: 2}, 2**64, -(2**63) - 1, {1, 2}, object(), [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]])
def test_does_not_encode(value: Any) -> None:
    with pytest.raises(CodecError):
        encode(value)


def test_not_a_number_has_one_encoding() -> None:
    assert math.isnan(decode(b"\xf9\x7e\x00", max_bytes=3))
    with pytest.raises(CodecError):
        decode(b"\xf9\x7e\x01", max_bytes=3)
