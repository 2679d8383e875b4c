"""Signed entries: what is made parses back, what is forged or malformed does not pass."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core import limits
from shoal.core.codec import CodecError, encode
from shoal.core.entries import KINDS, BidCommitment, Entry, Place, make_bid_commitment, make_entry, parse
from shoal.core.ids import ZERO_DIGEST, Address, Digest, TaskId
from shoal.testing.follower import identity

ME, SIGNER = identity("me")
KEY = SIGNER.public_key().public_bytes_raw()
PLACE = Place("net", "0.0.1", TaskId(b"t" * 32))
FIELDS = ["shoal/entry/1", "net", "0.0.1", PLACE.task, ME, 0, ZERO_DIGEST, "update", {}]


def made(body: dict[str, Any] | None = None, **changes: Any) -> Entry:
    given = {"author": ME, "sequence": 0, "previous": ZERO_DIGEST, "kind": "update", "body": body or {}} | changes
    return make_entry(SIGNER, PLACE, **given)


@given(
    st.sampled_from(KINDS),
    st.integers(0, 2**63),
    st.dictionaries(st.text("abc", max_size=3), st.integers(0, 9) | st.binary(max_size=9), max_size=4),
)
def test_what_is_made_parses_back(kind: str, sequence: int, body: dict[str, Any]) -> None:
    entry = made(body, kind=kind, sequence=sequence, previous=Digest(b"p" * 32))
    assert parse(entry.data()) == entry
    assert entry.signed_by(KEY)


@given(st.data())
def test_any_changed_byte_breaks_the_signature_or_the_form(data: st.DataObject) -> None:
    entry = made({"round": 1})
    bad = bytearray(entry.data())
    bad[data.draw(st.integers(0, len(bad) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        parsed = parse(bytes(bad))
    except CodecError:
        return
    assert isinstance(parsed, Entry) and not parsed.signed_by(KEY)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        parse(data)


@pytest.mark.parametrize(
    "change",
    [
        {0: "shoal/entry/2"},
        {3: b"short"},
        {4: bytes(32)},
        {5: -1},
        {5: True},
        {5: 1.0},
        {6: b""},
        {7: "unknown"},
        {7: b"update"},
        {8: []},
        {1: 7},
    ],
)
def test_malformed_fields_are_refused(change: dict[int, Any]) -> None:
    payload = encode([change.get(index, field) for index, field in enumerate(FIELDS)])
    with pytest.raises(CodecError):
        parse(encode([payload, SIGNER.sign(payload)]))


@pytest.mark.parametrize(
    "value", [[], [b"x"], [b"x", b"s" * 63], [b"x", b"s" * 64, 1], {"a": 1}, [encode([]), b"s" * 64]]
)
def test_what_is_no_signed_entry(value: Any) -> None:
    with pytest.raises(CodecError):
        parse(encode(value))


def test_entries_have_a_largest_size_and_known_kinds() -> None:
    assert len(made({"x": b"x" * (limits.LOG_ENTRY_BYTES - 300)}).data()) <= limits.LOG_ENTRY_BYTES
    with pytest.raises(CodecError):
        made({"x": b"x" * limits.LOG_ENTRY_BYTES})
    with pytest.raises(CodecError):
        made(kind="gossip")
    with pytest.raises(CodecError):
        parse(bytes(limits.LOG_ENTRY_BYTES + 1))


def test_a_signature_holds_for_one_place_only() -> None:
    here = made()
    there = make_entry(
        SIGNER, Place("net", "0.0.2", PLACE.task), author=ME, sequence=0, previous=ZERO_DIGEST, kind="update", body={}
    )
    assert here.hash != there.hash
    assert isinstance(parse(encode([here.payload, there.signature])), Entry)
    assert not parse(encode([here.payload, there.signature])).signed_by(KEY)  # type: ignore[union-attr]


def test_bids_parse_back() -> None:
    sealed = make_bid_commitment(SIGNER, PLACE.task, ME, Digest(b"c" * 32))
    assert parse(sealed.data()) == sealed
    assert isinstance(sealed, BidCommitment)
    bad = encode(["shoal/bid-commitment/1", PLACE.task, Address(b"short"), b"c" * 32])
    with pytest.raises(CodecError):
        parse(encode([bad, SIGNER.sign(bad)]))


def test_a_wrong_key_is_no_error() -> None:
    assert not made().signed_by(b"no key")
    assert not made().signed_by(bytes(32))
