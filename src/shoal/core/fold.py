"""The fold: one task's state after each item of its log, the same in every node that reads it.

    begin(place, created, time_ns) -> State
    step(state, item) -> State
    advance(state, time_ns) -> State

Time enters only as consensus time. `advance` applies every deadline that has passed, in order, and every
`step` advances to its item's time first; so it makes no difference when or how often a node looks:
`advance(advance(s, a), b) == advance(s, b)` for a <= b.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from shoal.core import fold_audits, fold_entries, fold_events
from shoal.core.entries import Entry, LogEntry, Place
from shoal.core.events import Event, TaskCreated
from shoal.core.task import SECOND_NS, Author, Phase, State

PUBLISH_PATIENCE = 3
"""A published result has this many aggregate timeouts to be confirmed before another trainer publishes."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that has its place in consensus order."""

    time_ns: int
    what: Entry | Event | LogEntry


def begin(place: Place, created: TaskCreated, time_ns: int) -> State:
    """The state right after `createTask`."""
    return State(
        place=place,
        client=created.client,
        client_recipient=created.recipient,
        topic=created.topic,
        manifest_hash=created.manifest_hash,
        plan=created.plan,
        created_ns=time_ns,
        now_ns=time_ns,
        authors={created.client: Author(created.signing_key)},
    )


def step(state: State, item: Item) -> State:
    """Take one item. What breaks a rule changes nothing but its author's place in its own chain."""
    state = advance(state, item.time_ns)
    if isinstance(item.what, Entry):
        return fold_entries.take(state, item.what)
    if isinstance(item.what, LogEntry):
        return fold_entries.take_log(state, item.what)
    return fold_events.take(state, item.what)


def advance(state: State, time_ns: int) -> State:
    """Let consensus time pass: everyone whose deadline came loses its seat or its turn."""
    while (due := next_deadline(state)) is not None and due <= time_ns:
        expire = fold_entries.expire_audits if due == fold_audits.next_due(state) else _expire_turn
        state = expire(replace(state, now_ns=max(due, state.now_ns)))
    return replace(state, now_ns=time_ns) if time_ns > state.now_ns else state


def next_deadline(state: State) -> int | None:
    """When the fold will next change by time alone (ns), if nothing else happens."""
    dues = [due for due in (_turn_due(state), fold_audits.next_due(state)) if due is not None]
    return min(dues, default=None)


def _turn_due(state: State) -> int | None:
    """When whoever is waited for loses its seat or its turn."""
    if state.manifest is None or not state.active():
        return None
    rules = state.manifest.rules
    if state.phase is Phase.RUNNING:
        wait_s = rules.round_timeout_s if state.waiting_for() else rules.aggregate_timeout_s
    elif state.phase is Phase.FINISHED and state.final:
        wait_s = rules.aggregate_timeout_s * (PUBLISH_PATIENCE if state.result else 1)
    else:
        return None
    due = state.turn_ns + wait_s * SECOND_NS
    return due if due <= state.plan.end_by * SECOND_NS else None


def _expire_turn(state: State) -> State:
    """Whoever was waited for has lost its seat, or its turn to publish; the wait starts anew for whoever comes next."""
    if state.phase is Phase.FINISHED:
        # The credits stand already, and nobody is missed: a seat lost now would only be missing in the quorum.
        return replace(state, publishers=state.publishers + 1, turn_ns=state.now_ns, result=None)
    if missing := state.waiting_for():
        late = {seat.trainer for chunk in missing if (seat := state.holder(chunk))}
        reason = f"no update in round {state.round}"
    else:
        aggregator = state.aggregator()
        late = {aggregator.trainer} if aggregator else set()
        reason = f"no aggregate in round {state.round}"
    seats = tuple(replace(seat, lost=reason) if seat.trainer in late else seat for seat in state.seats)
    state = replace(state, seats=seats, turn_ns=state.now_ns)
    return fold_entries.hear_early(fold_entries.end_if_nothing_left(state))
