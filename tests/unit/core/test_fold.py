"""The fold under time: looking more or less often changes nothing, and everyone whose deadline came loses its turn."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core import fold
from shoal.core.fold import PUBLISH_PATIENCE, Item
from shoal.core.task import SECOND_NS, Phase, State
from shoal.testing import Fault, Trace, simulate

from .scene import AGGREGATE_S, ROUND_S, Scene

RUNS: list[tuple[int, int, int, int, tuple[Fault, ...]]] = [
    (1, 4, 5, 3, ()),
    (2, 5, 6, 3, (Fault.CRASH, Fault.SILENT_AGGREGATOR, Fault.CLIENT_GONE_AFTER_START)),
    (3, 4, 5, 2, (Fault.EQUIVOCATE, Fault.GOSSIP_REORDER, Fault.NO_READY)),
    (4, 3, 4, 3, (Fault.BAD_CHECKPOINT, Fault.SPAM)),
    (5, 3, 3, 2, (Fault.CLIENT_GONE_BEFORE_START,)),
]
run = cache(simulate)


def fold_with_ticks(trace: Trace, ticks: Sequence[int]) -> State:
    """What a node computes that lets time pass at these moments besides."""
    state, waiting = trace.begin, sorted(ticks, reverse=True)
    for item in trace.items:
        while waiting and waiting[-1] <= item.time_ns:
            state = fold.advance(state, waiting.pop())
        state = fold.step(state, item)
    for tick in reversed(waiting):
        state = fold.advance(state, tick)
    return fold.advance(state, trace.end_ns)


@settings(max_examples=40)
@given(st.sampled_from(RUNS), st.data())
def test_when_a_node_looks_makes_no_difference(
    what: tuple[int, int, int, int, tuple[Fault, ...]], data: st.DataObject
) -> None:
    trace = run(*what)
    moments = st.integers(trace.begin.now_ns, trace.end_ns) | st.sampled_from([item.time_ns for item in trace.items])
    assert fold_with_ticks(trace, data.draw(st.lists(moments, max_size=200))) == trace.final


@pytest.mark.parametrize("what", RUNS)
def test_a_node_that_looks_every_second_ends_where_one_does_that_never_looked(
    what: tuple[int, int, int, int, tuple[Fault, ...]],
) -> None:
    trace = run(*what)
    every_second = range(trace.begin.now_ns, trace.begin.now_ns + 300 * SECOND_NS, SECOND_NS)
    assert fold_with_ticks(trace, every_second) == trace.final


@settings(max_examples=60)
@given(st.sampled_from(RUNS), st.data())
def test_time_passes_alike_in_one_step_or_in_two(
    what: tuple[int, int, int, int, tuple[Fault, ...]], data: st.DataObject
) -> None:
    trace = run(*what)
    state = trace.begin
    for item in trace.items[: data.draw(st.integers(0, len(trace.items)))]:
        state = fold.step(state, item)
    first = data.draw(st.integers(0, 200 * SECOND_NS))
    second = data.draw(st.integers(0, 200 * SECOND_NS))
    b = state.now_ns + first + second
    assert fold.advance(fold.advance(state, state.now_ns + first), b) == fold.advance(state, b)


def test_time_never_goes_back() -> None:
    scene = Scene().running()
    assert fold.advance(scene.state, 0) == scene.state


# ---------------------------------------------------------------- deadlines


def test_a_silent_holder_loses_its_seat_and_its_backup_takes_over() -> None:
    scene = Scene().running()
    scene.train(1, 2, 4, 5)
    scene.pass_time(ROUND_S - 1)
    assert not any(seat.lost for seat in scene.state.seats)
    scene.pass_time(1)
    assert [bool(seat.lost) for seat in scene.state.seats] == [True, False, False]
    holder = scene.state.holder(0)
    assert holder is not None and holder.trainer == scene.trainers[1]
    scene.train(0, 3)
    assert not scene.state.waiting_for()


def test_an_update_at_the_deadline_is_late() -> None:
    scene = Scene().running()
    scene.train(1, 2, 3, 4, 5)
    deadline = fold.next_deadline(scene.state)
    assert deadline is not None
    late = scene.entry(scene.trainers[0], "update", scene.update(0))
    assert 0 not in fold.step(scene.state, Item(deadline, late)).updates
    assert 0 in fold.step(scene.state, Item(deadline - 1, late)).updates


def test_a_chunk_whose_holders_are_gone_lapses() -> None:
    scene = Scene().running()
    scene.train(2, 5)
    scene.pass_time(ROUND_S)  # the holders of 0, 3 and of 1, 4; the backup of 1 and 4 is there
    assert scene.state.waiting_for() == (1, 4)
    scene.train()
    scene.say(scene.aggregator(), "checkpoint", scene.checkpoint())
    assert scene.state.round == 2 and scene.state.holder(0) is None
    assert scene.state.waiting_for() == (1, 2, 4, 5)


def test_a_silent_aggregator_is_followed_by_the_next() -> None:
    scene = Scene().running()
    scene.train()
    first = scene.aggregator()
    scene.pass_time(AGGREGATE_S)
    second = scene.aggregator()
    assert first != second
    lost = scene.state.seat_of(first)
    assert lost is not None and "no aggregate" in lost.lost
    assert len(scene.state.updates) == 6, "what was delivered stays"
    scene.say(second, "checkpoint", scene.checkpoint())
    assert scene.state.round == 2 and scene.state.units[first] == 2


def test_a_task_without_trainers_left_ends_with_what_it_has() -> None:
    scene = Scene().running()
    for _ in range(3):
        scene.round()
    scene.pass_time(3 * ROUND_S)
    assert scene.state.phase is Phase.FINISHED
    assert [mark.round for mark in scene.state.marks] == [2, 3]
    assert fold.next_deadline(scene.state) is None


def test_a_publisher_has_some_patience_for_its_confirmation() -> None:
    scene = Scene().finished()
    silent = scene.aggregator()
    scene.pass_time(AGGREGATE_S)
    publisher = scene.aggregator()
    assert publisher != silent
    scene.say(publisher, "result", scene.result())
    scene.pass_time(PUBLISH_PATIENCE * AGGREGATE_S - 1)
    assert scene.state.result is not None and scene.aggregator() == publisher
    scene.pass_time(1)
    assert scene.state.result is None and scene.aggregator() not in (publisher, silent)


def test_nothing_happens_by_time_alone_after_the_end_of_the_plan() -> None:
    scene = Scene().running()
    end_ns = scene.state.plan.end_by * SECOND_NS
    for slack_ns, lost in ((0, 3), (1, 0)):
        turn_ns = end_ns - ROUND_S * SECOND_NS + slack_ns
        late = fold.advance(replace(scene.state, now_ns=turn_ns, turn_ns=turn_ns), end_ns + 100 * SECOND_NS)
        assert sum(bool(seat.lost) for seat in late.seats) == lost


def test_credits_name_work_and_absence() -> None:
    scene = Scene().running(0, 1)  # the third never got ready
    for _ in range(2):
        scene.round()
    (mark,) = scene.state.marks
    assert [leaf.no_show for leaf in mark.credits] == [False, False, False], "the client may have spoilt its envelope"
    assert mark.units == sum(leaf.units for leaf in mark.credits) == 12
    assert mark.aggregates == 2
    assert mark.log_position == scene.state.checkpoints[2].time_ns


def test_who_falls_silent_in_a_round_is_a_no_show() -> None:
    scene = Scene().running()
    silent = scene.trainers[2]
    holders = [scene.state.holder(chunk) for chunk in range(6)]
    scene.train(*(chunk for chunk, seat in enumerate(holders) if seat is not None and seat.trainer != silent))
    scene.pass_time(ROUND_S + 1)
    for _ in range(2):
        scene.round()
    (mark,) = scene.state.marks
    assert [(leaf.trainer == silent, leaf.units, leaf.no_show) for leaf in mark.credits if leaf.no_show] == [
        (True, 0, True)
    ]
