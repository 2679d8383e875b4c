"""Pages put together are the list, and a cursor that is not ours is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.api.pages import cursor_of, cut, position_of
from shoal.errors import UsageError

KEYS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), unique=True).map(sorted)


@given(KEYS, st.integers(1, 7), st.booleans())
def test_pages_put_together_are_the_list(keys: list[tuple[int, int]], limit: int, newest_first: bool) -> None:
    found: list[tuple[int, int]] = []
    cursor, more = None, True
    while more:
        page, cursor = cut(keys, lambda each: each, cursor=cursor, limit=limit, newest_first=newest_first)
        found += page
        more = cursor is not None
    assert found == (keys[::-1] if newest_first else keys)


def test_what_comes_later_does_not_move_the_pages_of_before() -> None:
    rows = [(time, 0) for time in range(4)]
    first, cursor = cut(rows, lambda each: each, cursor=None, limit=2, newest_first=True)
    second, _ = cut([*rows, (9, 0)], lambda each: each, cursor=cursor, limit=2, newest_first=True)
    assert [*first, *second] == rows[::-1]


@given(st.text())
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        position = position_of(text)
    except UsageError as error:
        assert error.code == "SHOAL-U54"
    else:
        assert position_of(cursor_of(*position)) == position


@pytest.mark.parametrize("numbers", ["1", "1.2.3", "-1.0", "1.-1", f"{2**63}.0", "a.b", ""])
def test_numbers_that_are_no_place_are_refused(numbers: str) -> None:
    import base64

    with pytest.raises(UsageError):
        position_of(base64.urlsafe_b64encode(numbers.encode()).decode().rstrip("="))
