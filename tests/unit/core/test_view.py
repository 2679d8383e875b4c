"""The optimistic view never depends on the order between authors, and nobody signs a number twice because of it."""

import random

from hypothesis import given
from hypothesis import strategies as st

from shoal.core.entries import Entry
from shoal.core.ids import ZERO_DIGEST
from shoal.core.view import next_link, optimistic

from .scene import Scene


def posted(scene: Scene) -> list[Entry]:
    """One round, said by everyone, of which the log of the scene's start holds nothing."""
    entries: list[Entry] = []
    say = scene.take
    scene.take = lambda what: (entries.append(what), say(what))[1]  # type: ignore[arg-type, func-returns-value, method-assign]
    scene.round()
    scene.train()
    return entries


@given(st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(rng: random.Random) -> None:
    scene = Scene().running()
    log = scene.state
    entries = posted(scene)
    shuffled = list(entries)
    rng.shuffle(shuffled)
    view = optimistic(log, shuffled)
    assert view.round == 2 and not view.waiting_for()
    assert view.authors == scene.state.authors
    assert view.base.state == scene.state.base.state
    assert set(view.updates) == set(scene.state.updates)


def test_an_entry_whose_predecessor_is_missing_waits() -> None:
    scene = Scene().running()
    log = scene.state
    entries = posted(scene)
    author = scene.trainers[0]
    own = [entry for entry in entries if entry.author == author]
    view = optimistic(log, own[1:])
    assert view.authors[author] == log.authors[author]


def test_the_next_number_follows_from_ones_own_entries_even_when_the_view_refused_them() -> None:
    scene = Scene().running()
    me = scene.trainers[0]
    assert next_link(scene.state, me, []) == (0, ZERO_DIGEST)
    nonsense = scene.entry(me, "update", {"round": 99})
    assert next_link(scene.state, me, [nonsense]) == (1, nonsense.hash)
    scene.take(nonsense)
    scene.say(me, "update", scene.update(0))
    # What the log holds beyond the outbox counts: rows are deleted once the log shows them.
    assert next_link(scene.state, me, [nonsense]) == (2, scene.state.authors[me].head)
    assert next_link(scene.state, me, []) == (2, scene.state.authors[me].head)
    assert next_link(scene.state, scene.client, [])[0] == scene.state.authors[scene.client].sequence
