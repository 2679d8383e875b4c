"""The schedule: what is written is what is open, and the next change is the next change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.schedule import ALWAYS, DAY, DAYS, WEEK, Schedule, minute, parse

minutes = st.integers(0, WEEK - 1)
windows = st.lists(st.tuples(minutes, st.integers(1, DAY)), min_size=1, max_size=6).map(lambda w: Schedule(tuple(w)))


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("22:00-08:00 mon-fri", [("mon", 22), ("tue", 7), ("sat", 7)], [("mon", 7), ("sat", 8), ("sat", 23)]),
        ("09:30-17:00", [("sun", 10), ("wed", 16)], [("sun", 9), ("wed", 17)]),
        ("sat,sun", [("sat", 0), ("sun", 23)], [("fri", 23), ("mon", 0)]),
        ("FRI-MON", [("fri", 0), ("mon", 23)], [("tue", 0), ("thu", 23)]),
        ("20:00-24:00 mon; 0:00-02:00 wed", [("mon", 23), ("wed", 1)], [("tue", 0), ("wed", 2)]),
        ("08:00-08:00 tue", [("tue", 8), ("wed", 7)], [("tue", 7), ("wed", 8)]),
    ],
)
def test_what_is_written_is_open(text: str, inside: list[tuple[str, int]], outside: list[tuple[str, int]]) -> None:
    schedule = parse(text)
    assert all(schedule.contains(minute(*when)) for when in inside)
    assert not any(schedule.contains(minute(*when)) for when in outside)


@pytest.mark.parametrize(
    "text",
    ["", ";", "22:00", "22-08", "25:00-08:00", "22:60-08:00", "24:00-08:00", "22:00-08:00 mo", "mon-", "-fri",
     "mon fri", "22:00-08:00 mon fri", "22:0-08:00", "٢٢:00-08:00", "; ".join(f"{hour}:00-9:30" for hour in range(10))],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@given(windows, minutes)
def test_the_next_change_is_the_first_one(schedule: Schedule, now: int) -> None:
    change, state = schedule.next_change(now), schedule.contains(now)
    if change is None:
        assert all(schedule.contains(each) is state for each in range(WEEK))
    else:
        assert schedule.contains(now + change) is not state
        assert all(schedule.contains(now + step) is state for step in range(change))


@given(st.sampled_from(DAYS), st.integers(0, DAY - 1), st.integers(0, DAY - 1), minutes)
def test_a_window_lasts_from_its_beginning_to_its_end(day: str, begin: int, end: int, now: int) -> None:
    schedule = parse(f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02} {day}")
    length = (end - begin) % DAY or DAY
    assert sum(schedule.contains(each) for each in range(WEEK)) == length
    assert schedule.contains(now) is ((now - minute(day) - begin) % WEEK < length)


def test_always_never_ends() -> None:
    assert ALWAYS.contains(0) and ALWAYS.next_change(17) is None
