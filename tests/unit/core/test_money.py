"""Amounts are read and written exactly, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.money import TINYBAR_PER_HBAR, TOTAL_SUPPLY, format_hbar, parse_hbar


@given(st.integers(0, TOTAL_SUPPLY))
def test_what_is_written_reads_back(tinybar: int) -> None:
    assert parse_hbar(format_hbar(tinybar).replace(",", "")) == tinybar


@given(st.integers(-TOTAL_SUPPLY, TOTAL_SUPPLY))
def test_the_sign_is_written(tinybar: int) -> None:
    assert format_hbar(tinybar).startswith("-") == (tinybar < 0)


@pytest.mark.parametrize(
    ("text", "tinybar"),
    [
        ("1.5", 150_000_000),
        (" 5 HBAR ", 500_000_000),
        ("0.00000001ℏ", 1),
        ("1e-8", 1),
        ("0", 0),
        ("1.500000000", 15 * 10**7),
    ],
)
def test_reads(text: str, tinybar: int) -> None:
    assert parse_hbar(text) == tinybar


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ten",
        "-1",
        "nan",
        "inf",
        "1,5",
        "0.000000001",
        "50000000000.00000001",
        "1e400",
        "1e-400",
        # more digits than a decimal context holds: rounding would hide them
        "0.1000000000000000000000000000000000001",
        "1.00000000000000000000000000000000000001",
    ],
)
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError):
        parse_hbar(text)


def test_all_hbar_fit() -> None:
    assert parse_hbar("50000000000") == TOTAL_SUPPLY == 50_000_000_000 * TINYBAR_PER_HBAR
