"""Chunks are dealt within what each bid for, and a backup is never the primary."""

from hypothesis import given
from hypothesis import strategies as st

from shoal.core.assign import assign
from shoal.core.ids import Address
from shoal.core.task import Holders, Seat


@given(st.lists(st.integers(0, 6), min_size=1, max_size=8), st.integers(1, 30))
def test_every_deal_is_sound(units: list[int], chunks: int) -> None:
    seats = [Seat(Address(bytes([i]) * 20), b"", b"", room, 0) for i, room in enumerate(units)]
    holders = assign(seats, chunks)
    assert len(holders) == chunks
    for index, room in enumerate(units):
        assert sum(each.primary == index for each in holders) <= room
        assert sum(each.backup == index for each in holders) <= room
    assert sum(each.primary is not None for each in holders) == min(chunks, sum(units))
    for each in holders:
        assert each == Holders(None, None) or each.primary != each.backup
        assert each.primary is not None or each.backup is None


@given(st.integers(1, 6), st.integers(2, 8))
def test_equal_seats_all_have_backups(each: int, count: int) -> None:
    seats = [Seat(Address(bytes([i]) * 20), b"", b"", each, 0) for i in range(count)]
    assert all(holders.backup is not None for holders in assign(seats, each * count))
