"""Identifiers: known vectors, and texts that only look like identifiers."""

import pytest
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.ids import Address, Digest, address_text, entity_number, keccak256, parse_address, task_id, word


def test_keccak_is_the_one_of_the_evm() -> None:
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@given(st.integers(0, 2**256 - 1), st.binary(min_size=20, max_size=20), st.binary(min_size=32, max_size=32))
def test_words_are_those_of_the_abi(number: int, address: bytes, digest: bytes) -> None:
    assert word(number) + word(address) + word(digest) == encode(
        ["uint256", "address", "bytes32"], [number, address, digest]
    )


def test_words_have_no_other_size() -> None:
    with pytest.raises(ValueError):
        word(b"short")
    with pytest.raises(OverflowError):
        word(2**256)


def test_task_ids_differ_by_client_and_manifest() -> None:
    a, b = Address(bytes(20)), Address(b"\1" * 20)
    m, n = Digest(bytes(32)), Digest(b"\1" * 32)
    assert len({task_id(a, m), task_id(a, n), task_id(b, m), task_id(b, n)}) == 4


@given(st.binary(min_size=20, max_size=20))
def test_addresses_read_back(raw: bytes) -> None:
    assert parse_address(address_text(raw)) == raw


@pytest.mark.parametrize(
    "text", ["", "0x", "0x" + "0" * 39, "0x" + "0" * 41, "0" * 40, "0x" + "00 " * 20, "0x" + "g" * 40]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError):
        parse_address(text)


@pytest.mark.parametrize("text", ["", "1001", "0.0.", "0.0.-1", "0.0.1 ", "0.0.1\n", "1.0.1", "0.0.١٢", "0.0.1-abcde"])
def test_what_is_no_entity(text: str) -> None:
    with pytest.raises(ValueError):
        entity_number(text)


def test_entity() -> None:
    assert entity_number("0.0.1001") == 1001
