"""The fold's rules for signed entries: what each kind may say, when, and who may say it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from shoal.core import fold_audits, limits
from shoal.core.codec import CodecError
from shoal.core.entries import Entry, LogEntry
from shoal.core.ids import Address, Digest
from shoal.core.loglines import admits
from shoal.core.manifest import Manifest
from shoal.core.merkle import AwardLeaf, CreditLeaf, root
from shoal.core.task import (
    LEFT,
    Checkpoint,
    Holders,
    Mark,
    Phase,
    ResultNote,
    Seat,
    State,
    Statement,
    Update,
    inputs_of,
)


def take(state: State, entry: Entry) -> State:
    """Check the author's chain, then the rule of the kind. A refused body still counts in the chain."""
    author = state.authors.get(entry.author)
    if author is None or entry.place != state.place or not entry.signed_by(author.signing_key):
        return state
    if entry.sequence != author.sequence or entry.previous != author.head:
        if entry.sequence == author.sequence - 1 and entry.hash != author.head:
            return _with_author(state, entry.author, equivocated=True)
        return state
    size = len(entry.data())
    if author.entries >= limits.AUTHOR_ENTRIES or author.size_bytes + size > limits.AUTHOR_BYTES:
        return state
    state = _with_author(
        state,
        entry.author,
        sequence=author.sequence + 1,
        head=entry.hash,
        entries=author.entries + 1,
        size_bytes=author.size_bytes + size,
    )
    after = _apply(state, entry.kind, entry.author, entry.body)
    return hear_early(after) if after is not state else _keep_early(state, entry)


def take_log(state: State, entry: LogEntry) -> State:
    """Count a batch of log lines; nothing is ever decided by what they say."""
    author = state.authors.get(entry.author)
    if author is None or not admits(entry, following=author.log_next, taken=author.log_entries):
        return state
    if entry.place != state.place or not entry.signed_by(author.signing_key):
        return state
    return _with_author(state, entry.author, log_next=entry.sequence + 1, log_entries=author.log_entries + 1)


def hear_early(state: State) -> State:
    """Let statements that came too early speak, now that something has changed, and forget those of past rounds."""
    progress = bool(state.early)
    while progress:
        progress = False
        for each in state.early:
            after = _apply(state, each.kind, each.author, each.body)
            if after is not state:
                state = replace(after, early=tuple(other for other in after.early if other is not each))
                progress = True
                break
    done = state.phase not in (Phase.RUNNING, Phase.FINISHED)
    still = tuple(each for each in state.early if not done and each.round >= state.round - (each.kind == "result"))
    return replace(state, early=still) if len(still) < len(state.early) else state


def _apply(state: State, kind: str, author: Address, body: Mapping[str, Any]) -> State:
    """The very same state if this says nothing: it breaks a rule, comes too early, or is not of its kind's shape."""
    try:
        return _RULES[kind](state, author, body)
    except (KeyError, TypeError, ValueError, IndexError):
        return state


def _keep_early(state: State, entry: Entry) -> State:
    """A statement about a round that the log has not reached, or that waits for others of its round."""
    if state.phase is not Phase.RUNNING or entry.kind not in _EARLY_KINDS:
        return state
    round = entry.body.get("round")
    if isinstance(round, bool) or not isinstance(round, int):
        return state
    if not state.round <= round + (entry.kind == "result") <= state.round + limits.EARLY_ROUNDS:
        return state
    if sum(each.author == entry.author for each in state.early) >= limits.EARLY_STATEMENTS:
        return state
    return replace(state, early=(*state.early, Statement(entry.author, entry.kind, round, entry.body)))


def follows(state: State, entry: Entry) -> bool:
    """Whether this is the next entry of its author's chain, rightly signed."""
    author = state.authors.get(entry.author)
    return (
        author is not None
        and entry.place == state.place
        and entry.sequence == author.sequence
        and entry.previous == author.head
        and entry.signed_by(author.signing_key)
    )


def finish(state: State) -> State:
    """No more rounds: what was reached is what will be settled; the initial weights, if that is nothing."""
    last = state.base
    if state.mark_of(last.round) is None:
        state = replace(state, marks=(*state.marks, _mark(state, last)))
    return close(replace(state, phase=Phase.FINISHED, turn_ns=state.now_ns, result=None))


def close(state: State) -> State:
    """Say what everybody is owed, once the last audits are done: from then on it does not change."""
    if state.phase is not Phase.FINISHED or state.final is not None or fold_audits.waits(state):
        return state
    final = _mark(state, state.base) if fold_audits.rules_of(state) else state.marks[-1]
    return replace(state, final=final, turn_ns=state.now_ns)


def end_if_nothing_left(state: State) -> State:
    """A task whose every chunk has lapsed, or is void, ends with the checkpoint it has."""
    if state.phase is Phase.RUNNING and not state.updates and not state.waiting_for():
        return finish(state)
    return state


def _manifest(state: State, author: Address, body: Mapping[str, Any]) -> State:
    if author != state.client or state.manifest is not None:
        return state
    try:
        manifest = Manifest.from_bytes(_bytes(body["manifest"]))
    except CodecError:
        return state
    fits = (
        manifest.hash == state.manifest_hash
        and len(manifest.chunks) == state.plan.chunks
        and (manifest.network, manifest.contract) == (state.place.network, state.place.contract)
    )
    return replace(state, manifest=manifest) if fits else state


def _award(state: State, author: Address, body: Mapping[str, Any]) -> State:
    if author != state.client or state.phase is not Phase.AWARDED or state.award:
        return state
    leaves = tuple(
        AwardLeaf(Address(_bytes(who, 20)), _whole(units), _whole(rank)) for who, units, rank in body["leaves"]
    )
    if root([leaf.hash(state.place.task) for leaf in leaves]) != state.award_root:
        return state
    return replace(state, award=leaves)


def _assign(state: State, author: Address, body: Mapping[str, Any]) -> State:
    if author != state.client or state.phase is not Phase.AWARDED or state.holders:
        return state
    holders = tuple(Holders(_seat(state, primary), _seat(state, backup)) for primary, backup in body["holders"])
    if len(holders) != state.plan.chunks or any(
        h.primary is None or h.primary == h.backup for h in holders if h.backup is not None
    ):
        return state
    for index, seat in enumerate(state.seats):
        primaries, backups = (sum(each == index for each in side) for side in zip(*map(_sides, holders), strict=True))
        if max(primaries, backups) > seat.units:
            return state
    return replace(state, holders=holders)


def _envelope(state: State, author: Address, body: Mapping[str, Any]) -> State:
    if author != state.client or state.phase is not Phase.AWARDED:
        return state
    to, sealed = Address(_bytes(body["to"], 20)), _bytes(body["sealed"])
    if state.seat_of(to) is None or to in state.envelopes or len(sealed) > limits.ENVELOPE_BYTES:
        return state
    return replace(state, envelopes={**state.envelopes, to: sealed})


def _update(state: State, author: Address, body: Mapping[str, Any]) -> State:
    manifest, chunk = state.manifest, _whole(body["chunk"])
    if state.phase is not Phase.RUNNING or manifest is None or chunk >= len(manifest.chunks):
        return state
    update = Update(
        author=author,
        round=_whole(body["round"]),
        chunk=chunk,
        object=Digest(_bytes(body["object"], 32)),
        state=Digest(_bytes(body["state"], 32)),
        samples=manifest.chunks[chunk].rows,
        loss=_number(body["loss"]),
        metric=_number(body["metric"]),
        seconds=_number(body["seconds"]),
        chain=Digest(_bytes(body["chain"], 32)),
    )
    if update.round != state.round or _bytes(body["base"], 32) != state.base.state:
        return state
    if chunk >= len(state.holders) or chunk in state.updates:
        return state
    holder = state.holder(update.chunk)
    if holder is None or author != holder.trainer:
        return state
    state = replace(state, updates={**state.updates, update.chunk: update})
    return state if state.waiting_for() else replace(state, turn_ns=state.now_ns)


def _void(state: State, author: Address, body: Mapping[str, Any]) -> State:
    """A holder says that its chunk cannot be trained from this checkpoint: the other holder tries, then it is void."""
    if state.phase is not Phase.RUNNING or _whole(body["round"]) != state.round:
        return state
    chunk = _whole(body["chunk"])
    if _bytes(body["base"], 32) != state.base.state or chunk >= len(state.holders) or chunk in state.updates:
        return state
    holder = state.holder(chunk)
    if holder is None or author != holder.trainer:
        return state
    state = replace(state, voids={**state.voids, (chunk, author): _text(body["reason"])}, turn_ns=state.now_ns)
    return end_if_nothing_left(state)


def _checkpoint(state: State, author: Address, body: Mapping[str, Any]) -> State:
    aggregator = state.aggregator()
    if state.phase is not Phase.RUNNING or aggregator is None or author != aggregator.trainer:
        return state
    if _whole(body["round"]) != state.round or state.waiting_for() or not state.updates:
        return state
    included = tuple(_whole(chunk) for chunk in body["included"])
    rejected = tuple((_whole(chunk), _text(reason)) for chunk, reason in body["rejected"])
    # An aggregate that leaves out a delivered update is invalid.
    if sorted([*included, *(chunk for chunk, _ in rejected)]) != sorted(state.updates) or not included:
        return state
    # Made from gossip, it may be of other updates than those that the log came to hold.
    if _bytes(body["inputs"], 32) != inputs_of(tuple(state.updates[chunk] for chunk in sorted(state.updates))):
        return state
    checkpoint = Checkpoint(
        round=state.round,
        state=Digest(_bytes(body["state"], 32)),
        object=Digest(_bytes(body["object"], 32)),
        author=author,
        included=included,
        rejected=rejected,
        loss=_score(body["loss"]),
        metric=_score(body["metric"]),
        updates=tuple(state.updates[chunk] for chunk in sorted(state.updates)),
        started_ns=state.base.time_ns,
        time_ns=state.now_ns,
    )
    units = dict(state.units)
    for chunk in included:
        trainer = state.updates[chunk].author
        units[trainer] = units.get(trainer, 0) + 1
    aggregates = {**state.aggregates, author: state.aggregates.get(author, 0) + 1}
    state = replace(
        state,
        checkpoints=(*state.checkpoints, checkpoint),
        updates={},
        voids={},
        units=units,
        aggregates=aggregates,
        turn_ns=state.now_ns,
    )
    assert state.manifest is not None, "a task does not start without its manifest"
    if checkpoint.round % state.manifest.rules.confirm_every == 0 or checkpoint.round == state.plan.rounds:
        state = replace(state, marks=(*state.marks, _mark(state, checkpoint)))
    done = checkpoint.round == state.plan.rounds or not state.waiting_for()
    return finish(state) if done else state


def _result(state: State, author: Address, body: Mapping[str, Any]) -> State:
    publisher = state.aggregator()
    if state.phase is not Phase.FINISHED or state.final is None or state.result is not None:
        return state
    if publisher is None or author != publisher.trainer or _whole(body["round"]) != state.final.round:
        return state
    envelope = _bytes(body["envelope"])
    if len(envelope) > limits.ENVELOPE_BYTES:
        return state
    note = ResultNote(author, Digest(_bytes(body["object"], 32)), envelope)
    return replace(state, result=note, notes={**state.notes, note.object: note}, turn_ns=state.now_ns)


def _leave(state: State, author: Address, body: Mapping[str, Any]) -> State:
    """A trainer gives its seat back: who holds its chunks beside it takes over at once, and nobody waits for it.

    It costs no penalty, as a chunk that it calls void in every round would cost none: what it delivered is paid, and
    its vote stays. Once the rounds are over there is nothing left to leave.
    """
    seat = state.seat_of(author)
    if body or seat is None or seat.lost or state.phase not in (Phase.AWARDED, Phase.RUNNING):
        return state
    seats = tuple(replace(each, lost=LEFT) if each is seat else each for each in state.seats)
    return end_if_nothing_left(replace(state, seats=seats, turn_ns=state.now_ns))


def _pin(state: State, author: Address, body: Mapping[str, Any]) -> State:
    """Only noted: nothing in a task depends on IPFS, and whoever fetches compares with the hashes on chain."""
    what, cid = _text(body["what"]), _text(body["cid"])
    if author != state.client or what not in PINNED or what in state.pins:
        return state
    if not 0 < len(cid) <= limits.CID_CHARACTERS or not cid.isascii() or not cid.isalnum():
        return state
    return replace(state, pins={**state.pins, what: cid})


PINNED = ("graph", "manifest", "result")
_EARLY_KINDS = ("update", "void", "checkpoint", "result")
_RULES: dict[str, Callable[[State, Address, Mapping[str, Any]], State]] = {
    "manifest": _manifest,
    "award": _award,
    "assign": _assign,
    "envelope": _envelope,
    "update": _update,
    "void": _void,
    "checkpoint": _checkpoint,
    "result": _result,
    "open": fold_audits.take_open,
    "verdict": lambda state, author, body: _settled_seats(fold_audits.take_verdict(state, author, body)),
    "leave": _leave,
    "pin": _pin,
}


def _settled_seats(state: State) -> State:
    """A seat may have been lost, or the last audit have ended."""
    return close(end_if_nothing_left(state))


def expire_audits(state: State) -> State:
    """Audits whose time has come."""
    return hear_early(_settled_seats(fold_audits.expire(state)))


def _mark(state: State, checkpoint: Checkpoint) -> Mark:
    return Mark(
        round=checkpoint.round,
        checkpoint=checkpoint.state,
        log_position=checkpoint.time_ns,
        credits=tuple(_credit(state, seat) for seat in state.seats),
        audit_credits=fold_audits.credits_of(state),
    )


def _credit(state: State, seat: Seat) -> CreditLeaf:
    # Who left had said so.
    # Never ready is no absence: nobody can tell a lazy trainer from one whose envelope the client has spoilt, and the
    # penalty goes to the client.
    units, aggregates = state.units.get(seat.trainer, 0), state.aggregates.get(seat.trainer, 0)
    return CreditLeaf(seat.trainer, units, aggregates, seat.lost not in ("", LEFT))


def _with_author(state: State, address: Address, **changes: Any) -> State:
    return replace(state, authors={**state.authors, address: replace(state.authors[address], **changes)})


def _bytes(value: Any, size: int | None = None) -> bytes:
    if not isinstance(value, bytes) or (size is not None and len(value) != size):
        raise ValueError("expected bytes")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError("expected a whole number")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("expected a finite number")
    return float(value)


def _sides(holders: Holders) -> tuple[int | None, int | None]:
    return holders.primary, holders.backup


def _score(value: Any) -> float:
    """A checkpoint is valid whatever it scores; None tells that the score is not finite."""
    return math.inf if value is None else _number(value)


def _seat(state: State, value: Any) -> int | None:
    if value is None:
        return None
    if _whole(value) >= len(state.seats):
        raise ValueError("no such seat")
    return _whole(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise ValueError("expected a short text")
    return value
