"""What each kind of entry may say, when, and who may say it; and that nothing anyone signs can break the fold."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core import events as ev
from shoal.core import fold, limits
from shoal.core.codec import digest
from shoal.core.entries import KINDS, Entry, Place, parse
from shoal.core.fold import Item
from shoal.core.ids import Address
from shoal.core.task import LEFT, Phase, State

from .scene import ROUND_S, Scene
from .test_codec import VALUES


def same_but_for_the_chain(before: State, after: State) -> bool:
    return replace(after, authors=before.authors, now_ns=before.now_ns, early=before.early) == before


def refused(scene: Scene, who: Address, kind: str, body: dict[str, Any]) -> bool:
    """Whether a body says nothing; its entry has its place in the author's chain all the same."""
    before = scene.state
    scene.say(who, kind, body)
    assert scene.state.authors[who].sequence == before.authors[who].sequence + 1
    return same_but_for_the_chain(before, scene.state)


# ---------------------------------------------------------------- the chain


def test_what_is_not_signed_by_a_participant_in_its_place_changes_nothing() -> None:
    scene = Scene().running()
    me = scene.trainers[0]
    body = scene.update(0)
    stranger = Address(b"s" * 20)
    scene.names[stranger] = "stranger"
    wrong = [
        scene.entry(me, "update", body, by=scene.trainers[1]),
        scene.entry(me, "update", body, place=Place("elsewhere", scene.place.contract, scene.place.task)),
        scene.entry(me, "update", body, sequence=1),
        scene.entry(me, "update", body, previous=digest(b"other")),
        scene.entry(me, "update", body, author=stranger, by=stranger),
    ]
    before = scene.state
    for entry in wrong:
        scene.take(entry)
    assert replace(scene.state, now_ns=before.now_ns) == before
    scene.take(scene.entry(me, "update", body))
    assert list(scene.state.updates) == [0]


def test_a_repeated_entry_changes_nothing() -> None:
    scene = Scene().running()
    entry = scene.entry(scene.trainers[0], "update", scene.update(0))
    scene.take(entry)
    before = scene.state
    scene.take(entry)
    assert replace(scene.state, now_ns=before.now_ns) == before


def test_of_two_entries_with_one_number_the_first_counts_and_the_pair_is_noted() -> None:
    scene = Scene().running()
    me = scene.trainers[0]
    first = scene.entry(me, "update", scene.update(0))
    second = scene.entry(me, "update", scene.update(0, state=digest(b"other")))
    scene.take(first)
    before = scene.state
    scene.take(second)
    assert scene.state.authors[me] == replace(before.authors[me], equivocated=True)
    assert same_but_for_the_chain(before, scene.state)


def test_an_author_has_so_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AUTHOR_ENTRIES", 5)
    scene = Scene().running()
    me = scene.trainers[0]
    for _ in range(9):
        scene.say(me, "update", {"junk": 1})
    assert scene.state.authors[me].entries == 5
    before = scene.state
    scene.say(me, "update", scene.update(0))
    assert replace(scene.state, now_ns=before.now_ns) == before
    scene.say(scene.trainers[1], "update", scene.update(1))
    assert list(scene.state.updates) == [1], "another's share is not touched"


def test_an_author_has_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AUTHOR_BYTES", 3_000)
    scene = Scene().running()
    me = scene.trainers[0]
    for _ in range(9):
        scene.say(me, "update", {"junk": b"x" * 900})
    assert scene.state.authors[me].size_bytes <= 3_000
    assert scene.state.authors[me].entries == 2


# ---------------------------------------------------------------- before the start


def test_the_manifest_is_the_clients_and_has_the_hash_of_the_contract() -> None:
    scene = Scene()
    other = replace(scene.manifest, nonce=b"n" * 16)
    assert refused(scene, scene.client, "manifest", {"manifest": other.to_bytes()})
    assert refused(scene, scene.client, "manifest", {"manifest": b"junk"})
    scene.say(scene.client, "manifest", {"manifest": scene.manifest.to_bytes()})
    assert scene.state.manifest == scene.manifest


def test_the_award_must_have_the_root_of_the_contract() -> None:
    scene = Scene().awarded()
    leaves = [[leaf.trainer, leaf.units, leaf.rank] for leaf in scene.award.leaves]
    assert refused(scene, scene.client, "award", {"leaves": leaves[::-1]})
    assert refused(scene, scene.client, "award", {"leaves": [[*leaves[0][:2], 1], *leaves[1:]]})
    scene.say(scene.client, "award", {"leaves": leaves})
    assert scene.state.award == scene.award.leaves


@pytest.mark.parametrize(
    "holders",
    [
        [[0, 1]] * 5,
        [[0, 1]] * 7,
        [[0, 0]] + [[0, 1]] * 5,
        [[None, 1]] + [[0, 1]] * 5,
        [[3, None]] + [[0, 1]] * 5,
        [[True, None]] + [[0, 1]] * 5,
        [[0]] * 6,
        "abcdef",
    ],
)
def test_a_wrong_assignment_is_refused(holders: Any) -> None:
    scene = Scene().accepted()
    assert refused(scene, scene.client, "assign", {"holders": holders})


def test_nobody_is_assigned_more_than_it_bid_for() -> None:
    scene = Scene()
    scene.awarded()
    for trainer, units in zip(scene.trainers, (1, 1, 6), strict=True):
        scene.take(ev.Accepted(scene.place.task, trainer, scene.key(trainer), bytes(32), units, 0))
    assert refused(scene, scene.client, "assign", {"holders": [[0, 1], [0, 1], [1, 0], [2, 1], [2, 1], [2, 1]]})
    assert refused(scene, scene.client, "assign", {"holders": [[0, 1], [1, 0], [2, 1], [2, 1], [2, 1], [None, None]]})
    scene.say(scene.client, "assign", {"holders": [[0, 2], [1, 0], [2, 1], [2, None], [2, None], [None, None]]})
    assert len(scene.state.holders) == 6


def test_only_the_client_assembles() -> None:
    scene = Scene().accepted()
    body = {"holders": [[0, 1]] * 6}
    assert refused(scene, scene.trainers[0], "assign", body)
    assert refused(scene, scene.trainers[0], "envelope", {"to": scene.trainers[1], "sealed": b"x"})
    assert refused(scene, scene.client, "envelope", {"to": b"n" * 20, "sealed": b"x"})
    assert refused(
        scene, scene.client, "envelope", {"to": scene.trainers[1], "sealed": b"x" * (limits.ENVELOPE_BYTES + 1)}
    )
    scene.say(scene.client, "envelope", {"to": scene.trainers[1], "sealed": b"x"})
    assert refused(scene, scene.client, "envelope", {"to": scene.trainers[1], "sealed": b"another"})
    assert scene.state.envelopes == {scene.trainers[1]: b"x"}


# ---------------------------------------------------------------- rounds


def test_only_the_holder_of_a_chunk_delivers_it_for_this_round_and_base() -> None:
    scene = Scene().running()
    me = scene.trainers[0]
    assert refused(scene, scene.trainers[1], "update", scene.update(0))
    assert refused(scene, me, "update", scene.update(0, round=2))
    assert refused(scene, me, "update", scene.update(0, base=digest(b"other")))
    assert refused(scene, me, "update", scene.update(99))
    assert refused(scene, me, "update", scene.update(0, loss=float("nan")))
    assert refused(scene, me, "update", scene.update(6))
    scene.train(0)
    assert refused(scene, me, "update", scene.update(0, state=digest(b"again")))


def test_a_void_chunk_goes_to_its_backup_and_then_counts_for_nothing_in_this_round() -> None:
    scene = Scene().running()
    holders = scene.state.holders[0]
    assert holders.primary is not None and holders.backup is not None
    primary, backup = scene.state.seats[holders.primary].trainer, scene.state.seats[holders.backup].trainer
    assert refused(scene, primary, "void", scene.void(0) | {"base": digest(b"other")})
    assert refused(scene, primary, "void", scene.void(0) | {"chunk": 6})
    assert not scene.state.voids
    scene.say(primary, "void", scene.void(0))
    assert scene.state.holder(0) == scene.state.seat_of(backup)
    assert refused(scene, primary, "update", scene.update(0))
    scene.say(backup, "void", scene.void(0))
    assert scene.state.holder(0) is None and 0 not in scene.state.waiting_for()
    scene.train()
    scene.say(scene.aggregator(), "checkpoint", scene.checkpoint())
    assert scene.state.round == 2 and 0 in scene.state.waiting_for()
    assert sum(scene.state.units.values()) == 5 and not any(seat.lost for seat in scene.state.seats)


def test_who_leaves_is_not_waited_for_and_has_missed_nothing() -> None:
    scene = Scene().running()
    leaver = scene.state.holder(0)
    assert leaver is not None
    scene.train(0)
    assert refused(scene, leaver.trainer, "leave", {"junk": 1})
    assert refused(scene, scene.client, "leave", {})
    scene.pass_time(ROUND_S - 1)
    scene.say(leaver.trainer, "leave", {})
    assert scene.state.seat_of(leaver.trainer).lost == LEFT  # type: ignore[union-attr]
    assert refused(scene, leaver.trainer, "leave", {})
    scene.pass_time(ROUND_S - 1)
    assert sum(bool(seat.lost) for seat in scene.state.seats) == 1, "the others have the whole time for its chunks"
    assert all(scene.state.holder(chunk) not in (None, leaver) for chunk in range(6))
    for _ in range(4):
        scene.round()
    (credit,) = [each for each in scene.state.marks[-1].credits if each.trainer == leaver.trainer]
    assert credit.units == 1 and not credit.no_show
    assert refused(scene, scene.trainers[0], "leave", {}), "there is nothing left to leave"


def test_who_leaves_before_the_start_trains_nothing() -> None:
    scene = Scene().assigned()
    scene.say(scene.trainers[1], "leave", {})
    for trainer in scene.trainers:
        scene.take(ev.TrainerReady(scene.place.task, trainer))
    scene.start()
    assert all(scene.state.holder(chunk).trainer != scene.trainers[1] for chunk in range(6))  # type: ignore[union-attr]


def test_a_task_that_everybody_leaves_ends_with_what_it_has() -> None:
    scene = Scene().running()
    scene.round()
    for trainer in scene.trainers:
        scene.say(trainer, "leave", {})
    assert scene.state.phase is Phase.FINISHED and scene.state.final is not None and scene.state.final.round == 1


def merged(streams: list[list[Entry]], data: st.DataObject) -> Iterator[Entry]:
    """Any order of entries in which each author's own order is kept."""
    streams = [list(stream) for stream in streams if stream]
    while streams:
        stream = data.draw(st.sampled_from(streams))
        yield stream.pop(0)
        streams = [each for each in streams if each]


@given(st.data())
def test_consensus_may_put_answers_before_their_questions(data: st.DataObject) -> None:
    """Three rounds by five trainers; one chunk is void for its primary and trained by its backup."""
    scene = Scene(trainers=5, chunks=7, rounds=3).running()
    begin, posted = scene.state, []
    say = scene.take
    scene.take = lambda what: (posted.append(what), say(what))[1]  # type: ignore[func-returns-value, method-assign]
    holder = scene.state.holder(2)
    assert holder is not None
    scene.say(holder.trainer, "void", scene.void(2))
    for _ in range(3):
        scene.round()
    publisher = scene.aggregator()
    scene.say(publisher, "result", scene.result())
    expected = scene.state
    assert expected.result is not None
    entries = [each for each in posted if isinstance(each, Entry)]
    streams = [[each for each in entries if each.author == author] for author in scene.trainers]
    state = begin
    for entry in merged(streams, data):
        state = fold.step(state, Item(state.now_ns + 1_000, entry))
    assert state.early == () and state.result == expected.result
    assert [each.state for each in state.checkpoints] == [each.state for each in expected.checkpoints]
    assert (state.units, state.aggregates, state.authors) == (expected.units, expected.aggregates, expected.authors)
    assert [mark.credits for mark in state.marks] == [mark.credits for mark in expected.marks]


def test_what_comes_early_is_bounded_and_forgotten() -> None:
    scene = Scene().running()
    me = scene.trainers[0]
    for number in range(limits.EARLY_STATEMENTS + 5):
        scene.say(me, "update", scene.update(0) | {"round": 2, "seconds": float(number)})
    assert len(scene.state.early) == limits.EARLY_STATEMENTS
    assert refused(scene, me, "update", scene.update(0) | {"round": 2 + limits.EARLY_ROUNDS})
    assert len(scene.state.early) == limits.EARLY_STATEMENTS
    scene.round()
    assert {each.round for each in scene.state.early} == {2}
    scene.round()
    assert scene.state.early == ()


def test_a_first_round_that_nobody_can_train_ends_with_the_initial_weights_and_no_pay() -> None:
    scene = Scene().running()
    while scene.state.phase is Phase.RUNNING:
        chunk = scene.state.waiting_for()[0]
        holder = scene.state.holder(chunk)
        assert holder is not None
        scene.say(holder.trainer, "void", scene.void(chunk))
    final = scene.state.final
    assert final is not None and (final.round, final.units, final.aggregates) == (0, 0, 0)
    assert final.checkpoint == scene.manifest.initial and not any(leaf.no_show for leaf in final.credits)


def test_a_checkpoint_waits_for_all_and_leaves_nothing_out() -> None:
    scene = Scene().running()
    scene.train(0, 1, 2, 3, 4)
    assert refused(scene, scene.aggregator(), "checkpoint", scene.checkpoint())
    scene.train(5)
    me = scene.aggregator()
    other = next(each for each in scene.trainers if each != me)
    assert refused(scene, other, "checkpoint", scene.checkpoint())
    assert refused(scene, me, "checkpoint", scene.checkpoint(included=[0, 1, 2, 3, 4]))
    assert refused(scene, me, "checkpoint", scene.checkpoint(included=[0, 1, 2, 3, 4, 4]))
    assert refused(scene, me, "checkpoint", scene.checkpoint(included=[0, 1, 2, 3, 4, 5, 5]))
    assert refused(scene, me, "checkpoint", scene.checkpoint(included=[], rejected=[[c, "no"] for c in range(6)]))
    assert refused(scene, me, "checkpoint", scene.checkpoint(round=2))
    assert refused(scene, me, "checkpoint", scene.checkpoint(inputs=digest(b"updates that the log does not hold")))
    scene.say(me, "checkpoint", scene.checkpoint(included=[0, 1, 2, 4, 5], rejected=[[3, "not finite"]]))
    assert scene.state.round == 2 and sum(scene.state.units.values()) == 5
    assert scene.state.aggregates == {me: 1}


def test_the_result_is_posted_by_the_publisher_once() -> None:
    scene = Scene().finished()
    assert scene.state.phase is Phase.FINISHED
    me = scene.aggregator()
    other = next(each for each in scene.trainers if each != me)
    assert refused(scene, other, "result", scene.result())
    assert refused(scene, me, "result", scene.result() | {"round": 3})
    assert refused(scene, me, "result", scene.result() | {"envelope": b"x" * (limits.ENVELOPE_BYTES + 1)})
    scene.say(me, "result", scene.result())
    assert scene.state.result is not None
    assert refused(scene, me, "result", scene.result() | {"object": digest(b"other")})


# ---------------------------------------------------------------- fuzz


def _stages() -> list[Scene]:
    scenes = [Scene(), Scene().awarded(), Scene().accepted(), Scene().assigned(), Scene().running(), Scene().finished()]
    trained = Scene().running()
    trained.train()
    opened = Scene(audits=12).audited()
    audit = next(iter(opened.state.audits.values()))
    opened.say(audit.unit.trainer, "open", opened.opening(audit))
    return [*scenes, trained, Scene(audits=12).audited(), opened]


STAGES = _stages()


def _good_bodies(scene: Scene) -> dict[str, dict[str, Any]]:
    running, audit = scene.state.checkpoints, next(iter(scene.state.audits.values()), None)
    return {
        "manifest": {"manifest": scene.manifest.to_bytes()},
        "award": {"leaves": [[leaf.trainer, leaf.units, leaf.rank] for leaf in scene.award.leaves]},
        "assign": {"holders": [[0, 1], [1, 2], [2, 0], [0, 1], [1, 2], [2, 0]]},
        "envelope": {"to": scene.trainers[0], "sealed": b"x"},
        "update": scene.update(0) if running else {"round": 1, "chunk": 0},
        "void": scene.void(0) if running else {"round": 1, "chunk": 0},
        "checkpoint": scene.checkpoint() if running else {"round": 1, "included": []},
        "result": scene.result() if scene.state.phase is Phase.FINISHED else {"round": 1, "object": bytes(32)},
        "open": scene.opening(audit) if audit else {"round": 1, "chunk": 0},
        "verdict": scene.verdict(audit) if audit else {"round": 1, "chunk": 0},
        "leave": {"nothing": 0},
        "pin": {"what": "graph", "cid": "bafk1"},
    }


@settings(max_examples=600)
@given(st.sampled_from(STAGES), st.sampled_from(KINDS), st.integers(0, 6), st.data())
def test_no_body_breaks_the_fold(scene: Scene, kind: str, who: int, data: st.DataObject) -> None:
    authors = list(scene.state.authors)
    author = authors[who % len(authors)]
    good = _good_bodies(scene)[kind]
    key = data.draw(st.sampled_from(sorted(good)))
    spoilt = data.draw(
        VALUES.map(lambda value: good | {key: value})
        | st.just({name: value for name, value in good.items() if name != key})
        | st.integers(-3, 300).map(lambda value: good | {key: value})
        | st.lists(st.lists(st.integers(-1, 7) | st.none() | st.text(max_size=3), max_size=3), max_size=7).map(
            lambda value: good | {key: value}
        )
        | st.dictionaries(st.sampled_from(sorted(good)), VALUES)
    )
    parsed = parse(scene.entry(author, kind, spoilt).data())
    before = scene.state
    after = fold.step(before, Item(before.now_ns + 1, parsed))  # type: ignore[arg-type]
    assert after.authors[author].sequence == before.authors[author].sequence + 1
    for chunk, update in after.updates.items():
        holder = before.holder(chunk)
        assert holder is not None and update.author == holder.trainer
    assert after.round in (before.round, before.round + 1)
    assert sum(after.units.values()) <= sum(before.units.values()) + after.plan.chunks
    assert set(after.envelopes) <= {seat.trainer for seat in after.seats}
    assert after.phase is before.phase or (before.phase, after.phase) == (Phase.RUNNING, Phase.FINISHED)
    fold.advance(after, after.plan.end_by * 10**9 + 10**9)


def test_pins_are_noted_as_the_client_says_them_and_change_nothing_else() -> None:
    s = Scene().running()
    before = s.state
    for who, what, cid in [
        (s.trainers[0], "graph", "bafk1"),
        (s.client, "weights", "bafk1"),
        (s.client, "graph", ""),
        (s.client, "graph", "b" * 101),
        (s.client, "graph", "bafk/../x"),
        (s.client, "graph", "bafké"),
        (s.client, "graph", b"bafk"),
        (s.client, ["graph"], "bafk"),
    ]:
        s.say(who, "pin", {"what": what, "cid": cid})
        assert s.state.pins == {}
    s.say(s.client, "pin", {"what": "graph", "cid": "bafk1"})
    s.say(s.client, "pin", {"what": "graph", "cid": "bafk2"})
    s.say(s.client, "pin", {"what": "result", "cid": "bafk3"})
    assert s.state.pins == {"graph": "bafk1", "result": "bafk3"}, "the first that is said stays"
    same = {"pins": before.pins, "authors": before.authors, "now_ns": before.now_ns}
    assert replace(s.state, **same) == before
