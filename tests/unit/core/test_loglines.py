"""Log lines on a topic: they fit a message, hostile ones are refused, and the fold decides nothing by them."""

from __future__ import annotations

import zlib
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core import fold, limits
from shoal.core.codec import CodecError, encode
from shoal.core.entries import LogEntry, Place, make_log_entry, parse, room_for_lines
from shoal.core.fold import Item
from shoal.core.ids import TaskId
from shoal.core.loglines import LEVELS, LogLine, LogReader, pack, unpack
from shoal.core.task import State
from shoal.testing import Fault, Trace, simulate
from shoal.testing.follower import identity

RUNS: list[tuple[int, int, int, int, tuple[Fault, ...]]] = [
    (1, 4, 5, 3, ()),
    (2, 5, 6, 3, (Fault.CRASH, Fault.SILENT_AGGREGATOR, Fault.CLIENT_GONE_AFTER_START)),
    (3, 4, 5, 2, (Fault.EQUIVOCATE, Fault.GOSSIP_REORDER, Fault.NO_READY)),
    (4, 3, 4, 3, (Fault.BAD_CHECKPOINT, Fault.SPAM)),
]
run = cache(simulate)
PLACE = Place("mainnet", "0.0.123456789", TaskId(b"t" * 32))
LINE = st.builds(
    LogLine,
    st.integers(0, 2**45),
    st.sampled_from(LEVELS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
)


def log_entry(place: Place, name: str, sequence: int, lines: bytes | None = None) -> LogEntry:
    address, key = identity(name)
    packed = pack([LogLine(1, "info", f"line {sequence} of {name}")], 500)[0] if lines is None else lines
    return make_log_entry(key, place, author=address, sequence=sequence, lines=packed)


def without_logs(state: State) -> State:
    authors = {who: replace(author, log_next=0, log_entries=0) for who, author in state.authors.items()}
    return replace(state, authors=authors)


@settings(max_examples=60)
@given(st.sampled_from(RUNS), st.data())
def test_the_fold_decides_nothing_by_log_lines(
    what: tuple[int, int, int, int, tuple[Fault, ...]], data: st.DataObject
) -> None:
    trace: Trace = run(*what)
    names = st.sampled_from(["client", *(f"trainer-{index}" for index in range(4)), "nobody"])
    place = st.sampled_from([trace.begin.place, replace(trace.begin.place, network="elsewhere")])
    entries = st.builds(log_entry, place, names, st.integers(0, 6))
    moments = st.sampled_from([item.time_ns for item in trace.items])
    logs = data.draw(st.lists(st.tuples(moments, entries), max_size=40))
    items = sorted(
        [*trace.items, *(Item(time_ns, entry) for time_ns, entry in logs)],
        key=lambda item: (item.time_ns, not isinstance(item.what, LogEntry)),
    )
    state = trace.begin
    for item in items:
        before, state = state, fold.step(state, item)
        if isinstance(item.what, LogEntry):
            assert without_logs(state) == without_logs(fold.advance(before, item.time_ns))
    final = fold.advance(state, trace.end_ns)
    assert without_logs(final) == trace.final
    counted = {who: author.log_entries for who, author in final.authors.items() if author.log_entries}
    reader, shown = LogReader(), dict[bytes, int]()
    state = trace.begin
    for item in items:
        state = fold.step(state, item)
        if isinstance(item.what, LogEntry):
            author = state.authors.get(item.what.author)
            if author is not None and item.what.place == state.place and reader.take(item.what):
                shown[item.what.author] = shown.get(item.what.author, 0) + 1
    assert shown == counted, "who shows them takes the same ones"


def test_batches_count_once_in_order_and_no_more_than_the_cap() -> None:
    trace = run(*RUNS[0])
    state = next(s for s in states(trace) if len(s.authors) > 2)
    me = identity("client")[0]

    def take(state: State, *sequences: int) -> State:
        for sequence in sequences:
            state = fold.step(state, Item(state.now_ns, log_entry(state.place, "client", sequence)))
        return state

    assert take(state, 0, 1, 1, 0, 5, 4).authors[me].log_entries == 3, "gaps are lost batches; none counts twice"
    forged = replace(log_entry(state.place, "client", 0), author=me, signature=bytes(64))
    assert fold.step(state, Item(state.now_ns, forged)) == state
    full = replace(state.authors[me], log_entries=limits.AUTHOR_LOG_ENTRIES)
    state = replace(state, authors={**state.authors, me: full})
    assert take(state, 7) == state
    assert fold.step(state, Item(state.now_ns, log_entry(state.place, "client", limits.LOG_SEQUENCES))) == state


def states(trace: Trace) -> list[State]:
    found = [trace.begin]
    for item in trace.items:
        found.append(fold.step(found[-1], item))
    return found


# ---------------------------------------------------------------- their form


@given(st.lists(LINE, max_size=60), st.integers(40, 900))
def test_as_many_lines_as_fit_come_back(lines: list[LogLine], room: int) -> None:
    blob, count = pack(lines, room)
    if count:
        assert len(blob) <= room and unpack(blob) == tuple(lines[:count])
    if count < len(lines):
        more = zlib.compress(encode([[each.time_ms, each.level, each.text] for each in lines[: count + 1]]), 9)
        assert len(more) > room


def test_lines_as_trainers_write_them_take_few_messages() -> None:
    text = "task 4960be108c74 round {} chunk {}: loss 0.{} in 0.2 s"
    times = range(1_800_000_000_000, 1_800_000_070_000, 700)
    lines = [LogLine(at, "info", text.format(n, n % 4, 4000 - n)) for n, at in enumerate(times)]
    messages = 0
    while lines:
        _, count = pack(lines, room_for_lines(PLACE))
        lines = lines[count:]
        messages += 1
    assert messages <= 3


def test_the_largest_batch_fits_one_transaction() -> None:
    entry = log_entry(PLACE, "client", limits.LOG_SEQUENCES - 1, bytes(room_for_lines(PLACE)))
    assert limits.TOPIC_MESSAGE_BYTES - 40 <= len(entry.data()) <= limits.TOPIC_MESSAGE_BYTES
    assert parse(entry.data()) == entry
    with pytest.raises(CodecError):
        log_entry(PLACE, "client", 0, bytes(limits.TOPIC_MESSAGE_BYTES))


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"nonsense",
        zlib.compress(bytes(10_000_000)),
        zlib.compress(encode([[1, "info", "x"]]))[:-1],
        zlib.compress(encode([[1, "info", "x"]])) + b"more",
        zlib.compress(encode({"a": 1})),
        zlib.compress(encode([[1, "loud", "x"]])),
        zlib.compress(encode([[-1, "info", "x"]])),
        zlib.compress(encode([[True, "info", "x"]])),
        zlib.compress(encode([[1, "info", "x" * (limits.LOG_LINE_CHARS + 1)]])),
        zlib.compress(encode([[1, "info"]])),
        zlib.compress(encode([[1, "info", ""]] * (limits.LOG_LINES + 1))),
    ],
)
def test_what_is_no_batch_is_refused(blob: bytes) -> None:
    with pytest.raises(CodecError):
        unpack(blob)


@given(st.binary(max_size=200))
def test_any_bytes_are_lines_or_an_error(blob: bytes) -> None:
    for data in (blob, zlib.compress(blob)):
        try:
            unpack(data)
        except CodecError:
            continue
