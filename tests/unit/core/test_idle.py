"""The decision to run: never against a limit, never silently, and its remedies are true."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.idle import COOLING_C, Facts, Limits, Orders, Verdict, decide, duration, parse_duration
from shoal.core.schedule import ALWAYS, WEEK, parse


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


facts = st.builds(
    Facts,
    now_s=st.floats(0, 4e9),
    minute=st.integers(0, WEEK - 1),
    idle_s=maybe(st.floats(0, 1e6)),
    on_battery=maybe(st.booleans()),
    full_screen=maybe(st.sampled_from(["", "a game"])),
    celsius=maybe(st.floats(0, 120)),
    memory_mib=maybe(st.integers(0, 10_000)),
    disk_mib=maybe(st.integers(0, 10_000)),
    seen=st.booleans(),
)
limits = st.builds(
    Limits,
    idle_s=st.sampled_from([0.0, 60.0, 300.0]),
    max_celsius=st.floats(40, 100),
    schedule=st.sampled_from([ALWAYS, parse("22:00-08:00 mon-fri"), parse("sat")]),
)
orders = st.builds(Orders, stop=st.booleans(), paused_until_s=st.sampled_from([0.0, 1e9, 3e9, math.inf]))
FINE = Facts(
    now_s=1e9, minute=0, idle_s=1e6, on_battery=False, full_screen="", celsius=40, memory_mib=9_999, disk_mib=9_999
)


@given(facts, limits, orders, st.booleans())
def test_it_runs_only_where_every_limit_is_kept(f: Facts, allowed: Limits, said: Orders, running: bool) -> None:
    decision = decide(f, allowed, said, running=running)
    assert (decision.verdict is Verdict.STOP) is said.stop
    if decision.verdict is not Verdict.RUN:
        return
    assert f.seen and not f.on_battery and not f.full_screen and said.paused_until_s <= f.now_s
    assert allowed.schedule.contains(f.minute)
    assert allowed.idle_s == 0 or (f.idle_s is not None and f.idle_s >= allowed.idle_s)
    assert f.celsius is None or f.celsius < allowed.max_celsius
    assert f.memory_mib is None or f.memory_mib >= allowed.min_memory_mib
    assert f.disk_mib is None or f.disk_mib >= allowed.min_disk_mib


@given(facts, limits, orders, st.booleans())
def test_it_always_says_why_and_what_would_change_it(f: Facts, allowed: Limits, said: Orders, running: bool) -> None:
    decision = decide(f, allowed, said, running=running)
    assert decision.why and decision.until
    assert (decision.obstacles == ()) is (decision.verdict is Verdict.RUN)
    names = [each.name for each in decision.obstacles]
    assert len(set(names)) == len(names) and all(each.why and each.until for each in decision.obstacles)


REMEDIES: dict[str, Any] = {
    "paused": lambda f, a, o: (f, a, replace(o, paused_until_s=0.0)),
    "schedule": lambda f, a, o: (replace(f, minute=(f.minute + a.schedule.next_change(f.minute)) % WEEK), a, o),
    "battery": lambda f, a, o: (replace(f, on_battery=False), a, o),
    "full screen": lambda f, a, o: (replace(f, full_screen=""), a, o),
    "idle": lambda f, a, o: (replace(f, idle_s=a.idle_s), a, o),
    "temperature": lambda f, a, o: (replace(f, celsius=a.max_celsius - COOLING_C - 0.01), a, o),
    "memory": lambda f, a, o: (replace(f, memory_mib=a.min_memory_mib), a, o),
    "disk": lambda f, a, o: (replace(f, disk_mib=a.min_disk_mib), a, o),
}


@given(facts, limits, orders, st.booleans())
def test_each_remedy_removes_its_obstacle_and_all_of_them_make_it_run(
    f: Facts, allowed: Limits, said: Orders, running: bool
) -> None:
    said, f = replace(said, stop=False), replace(f, seen=True)
    world = (f, allowed, said)
    decision = decide(*world, running=running)
    for obstacle in decision.obstacles:
        before = {each.name for each in decide(*world, running=running).obstacles}
        world = REMEDIES[obstacle.name](*world)
        assert {each.name for each in decide(*world, running=running).obstacles} == before - {obstacle.name}
    assert decide(*world, running=running).verdict is Verdict.RUN


@given(facts, limits, st.booleans())
def test_less_idle_or_more_heat_never_starts_it(f: Facts, allowed: Limits, running: bool) -> None:
    if decide(f, allowed, Orders(), running=running).verdict is Verdict.RUN:
        return
    worse = replace(f, idle_s=None if f.idle_s is None else f.idle_s / 2, on_battery=True)
    hotter = replace(f, celsius=None if f.celsius is None else f.celsius + 1)
    assert decide(worse, allowed, Orders(), running=running).verdict is Verdict.PAUSE
    assert decide(hotter, allowed, Orders(), running=running).verdict is Verdict.PAUSE


@given(facts, limits)
def test_a_machine_that_cannot_be_looked_at_does_not_run(f: Facts, allowed: Limits) -> None:
    decision = decide(replace(f, seen=False), allowed, Orders(), running=True)
    assert decision.verdict is Verdict.PAUSE and decision.obstacles[-1].name == "sight"


def test_a_hot_machine_cools_before_it_goes_on() -> None:
    allowed, warm = Limits(max_celsius=80), replace(FINE, celsius=75)
    assert decide(warm, allowed, Orders(), running=True).verdict is Verdict.RUN
    assert decide(warm, allowed, Orders(), running=False).verdict is Verdict.PAUSE
    assert decide(replace(FINE, celsius=69.9), allowed, Orders(), running=False).verdict is Verdict.RUN


def test_without_a_sign_of_the_keyboard_it_runs_only_beside_its_user() -> None:
    blind = replace(FINE, idle_s=None)
    assert decide(blind, Limits(), Orders(), running=False).obstacles[0].name == "idle"
    assert decide(blind, Limits(idle_s=0), Orders(), running=False).verdict is Verdict.RUN


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_599, "59 min 59 s"),
        (7_200, "2 h"),
        (90_000, "1 d 1 h"),
        (-3, "0 s"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.integers(1, 300 * 86_400))
def test_what_is_shown_can_be_said(seconds: int) -> None:
    assert 0 < parse_duration(duration(seconds)) <= seconds


@pytest.mark.parametrize("text", ["", "h", "2", "2x", "-1h", "0s", "1h2", "9999999999999d", "2 hours", "²h"])
def test_other_lengths_of_time_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="length of time"):
        parse_duration(text)
