"""The state of a task: what the fold of its log knows, as plain immutable values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shoal.core.audits import Audit, Dispute, Ruling
from shoal.core.calls import Plan, Result
from shoal.core.codec import digest, encode
from shoal.core.entries import Place
from shoal.core.events import Member, ResultConfirmed, Settled
from shoal.core.ids import ZERO_DIGEST, Address, Digest
from shoal.core.manifest import Manifest
from shoal.core.merkle import AuditLeaf, AwardLeaf, CreditLeaf, root
from shoal.core.money import ZERO, Tinybar

SECOND_NS = 1_000_000_000


LEFT = "left"
"""Why a seat is lost that its trainer gave back."""


class Phase(StrEnum):
    OPEN = "open"
    """Bids are taken until the bidding deadline, then the client awards."""
    AWARDED = "awarded"
    """Trainers accept, open their envelopes, verify their chunks and say ready."""
    RUNNING = "running"
    FINISHED = "finished"
    """The last round is in; the result is being published and confirmed."""
    SETTLING = "settling"
    """A quorum confirmed the result; the challenge window is open."""
    SETTLED = "settled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def over(self) -> bool:
        return self in (Phase.SETTLED, Phase.CANCELLED, Phase.EXPIRED)


@dataclass(frozen=True, slots=True)
class Seat:
    """An accepted trainer."""

    trainer: Address
    signing_key: bytes
    recipient: bytes
    units: int
    rank: int
    ready: bool = False
    lost: str = ""
    """Why it lost its seat; empty while it holds it."""
    slashed: bool = False
    """A jury found fraud: no vote, no pay, and a part of its stake is gone."""

    @property
    def active(self) -> bool:
        return self.ready and not self.lost


@dataclass(frozen=True, slots=True)
class Holders:
    """The seats (by index) that hold a chunk. One without a primary lapses at once, unpaid and refunded."""

    primary: int | None
    backup: int | None


@dataclass(frozen=True, slots=True)
class Update:
    """One delivered work unit: `object` names the ciphertext in its author's slot, `state` the plain bytes."""

    author: Address
    round: int
    chunk: int
    object: Digest
    state: Digest
    samples: int
    """Rows of the chunk, by the manifest: its weight in the average is not its author's to say."""
    loss: float
    metric: float
    seconds: float
    chain: Digest
    """Head of the hash chain over the local steps."""


def inputs_of(updates: Sequence[Update]) -> Digest:
    """One name for the updates, in the order of chunks, that a checkpoint was made of.

    An aggregator that works ahead of the log states it in its entry, so that an equivocator, which showed it one
    update and the log another, costs it a second try and not its good name.
    """
    return digest(encode([[each.chunk, each.author, each.state, each.object, each.samples] for each in updates]))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The weights after a round (round 0: the client's), and the updates they were made of."""

    round: int
    state: Digest
    object: Digest
    author: Address
    included: tuple[int, ...]
    rejected: tuple[tuple[int, str], ...]
    loss: float
    """As its author found it on the validation chunk, like `metric`; infinite where it is not finite."""
    metric: float
    updates: tuple[Update, ...]
    started_ns: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class Mark:
    """What a quorum confirms on chain: a checkpoint and everybody's credits up to it."""

    round: int
    checkpoint: Digest
    log_position: int
    """Consensus time (ns) of the checkpoint's entry."""
    credits: tuple[CreditLeaf, ...]
    audit_credits: tuple[AuditLeaf, ...] = ()

    @property
    def units(self) -> int:
        return sum(leaf.units for leaf in self.credits)

    @property
    def aggregates(self) -> int:
        return sum(leaf.aggregates for leaf in self.credits)

    @property
    def audits(self) -> int:
        return sum(leaf.audits for leaf in self.audit_credits)

    def leaves(self, place: Place) -> list[bytes]:
        """Of the tree of credits: the trainers', then the validators'."""
        trainers = [leaf.hash(place.task) for leaf in self.credits]
        return trainers + [leaf.hash(place.task) for leaf in self.audit_credits]

    def root(self, place: Place) -> bytes:
        return root(self.leaves(place))

    def subject(self, result: Digest = ZERO_DIGEST) -> Digest:
        """One name for everything that a vote is about."""
        rows = [[leaf.trainer, leaf.units, leaf.aggregates, leaf.no_show] for leaf in self.credits]
        audits = [[leaf.validator, leaf.audits] for leaf in self.audit_credits]
        return digest(encode([self.round, self.checkpoint, result, self.log_position, rows, audits]))


@dataclass(frozen=True, slots=True)
class ResultNote:
    """The publisher's entry: the encrypted result in its slot, and the envelope that opens it."""

    author: Address
    object: Digest
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """What an author said before the log held what it builds upon."""

    author: Address
    kind: str
    round: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Author:
    """Where a participant's chain of entries stands, and what it has used up."""

    signing_key: bytes
    sequence: int = 0
    head: Digest = ZERO_DIGEST
    entries: int = 0
    size_bytes: int = 0
    equivocated: bool = False
    log_next: int = 0
    """The number of its next batch of log lines, which are no entries of its chain."""
    log_entries: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    paid: Tinybar
    stake_returned: Tinybar
    penalty: Tinybar
    """Of the stake, for a no-show or a wrong vote; the finder's part included."""
    forfeited: Tinybar = ZERO
    """Pay of a slashed trainer, which goes to the client."""
    finder_fee: Tinybar = ZERO
    """Of the penalty, what goes to whoever found a wrong vote."""


@dataclass(frozen=True, slots=True)
class State:
    """Everything that follows from the log up to `now_ns`. Built by `fold.begin`, changed by `fold.step` only."""

    place: Place
    client: Address
    client_recipient: bytes
    topic: int
    manifest_hash: Digest
    plan: Plan
    created_ns: int
    now_ns: int
    phase: Phase = Phase.OPEN
    manifest: Manifest | None = None
    award_root: bytes = b""
    award: tuple[AwardLeaf, ...] = ()
    unit_price: Tinybar = ZERO
    seats: tuple[Seat, ...] = ()
    holders: tuple[Holders, ...] = ()
    envelopes: Mapping[Address, bytes] = field(default_factory=dict)
    quorum: int = 0
    started_ns: int = 0
    turn_ns: int = 0
    """When the present wait began: for updates, for the aggregate, or for the result."""
    updates: Mapping[int, Update] = field(default_factory=dict)
    """Delivered in the present round, by chunk."""
    voids: Mapping[tuple[int, Address], str] = field(default_factory=dict)
    """Who tried a chunk in the present round and could not train it, and why: unpaid, and no fault of its own."""
    early: tuple[Statement, ...] = ()
    """Waiting for what they build upon: peers act on gossip, and consensus may put an answer before its question."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """By round; the first is the client's initial weights."""
    units: Mapping[Address, int] = field(default_factory=dict)
    aggregates: Mapping[Address, int] = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()
    final: Mark | None = None
    """What the result settles: set once there is no more round to train and, where there are audits, these are done."""
    votes: frozenset[tuple[Address, bytes]] = frozenset()
    progress_round: int = 0
    progress_ns: int = 0
    """When it was confirmed."""
    progress_root: bytes = b""
    result: ResultNote | None = None
    """The one that is to be confirmed now."""
    notes: Mapping[Digest, ResultNote] = field(default_factory=dict)
    """Every result that was posted, by its object: a quorum may confirm one whose author's turn is over."""
    publishers: int = 0
    """How many have had their turn to publish and were not confirmed in time."""
    published: frozenset[bytes] = frozenset()
    """Result objects that somebody published on chain."""
    confirmed: ResultConfirmed | None = None
    settled: Settled | None = None
    settled_ns: int = 0
    claims: Mapping[Address, Claim] = field(default_factory=dict)
    refunded: Tinybar = ZERO
    compensation: Tinybar = ZERO
    draw_requested_ns: int = 0
    """When a draw was asked for that was not made yet."""
    drawn_round: int = 0
    """Up to which round the draws have gone."""
    members: Mapping[Address, Member] = field(default_factory=dict)
    """Every validator that was drawn, as auditor or juror."""
    audits: Mapping[tuple[int, int], Audit] = field(default_factory=dict)
    """By round and chunk, in the order of the draws."""
    disputes: Mapping[bytes, Dispute] = field(default_factory=dict)
    audit_claims: Mapping[Address, Tinybar] = field(default_factory=dict)
    gains: Mapping[Address, int] = field(default_factory=dict)
    """What the court gave to whom, beside pay: bonds, jurors' fees, fines, parts of a slashed stake. In tinybar."""
    replacements: Mapping[bytes, Result] = field(default_factory=dict)
    """What open or past disputes propose as the result, by dispute."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """What the client has pinned to IPFS, by its own word: `graph`, `manifest` or `result`, and the CID."""
    authors: Mapping[Address, Author] = field(default_factory=dict)

    @property
    def round(self) -> int:
        """The round being trained, from 1."""
        return len(self.checkpoints)

    @property
    def base(self) -> Checkpoint:
        """What the present round starts from."""
        return self.checkpoints[-1]

    def seat_of(self, trainer: Address) -> Seat | None:
        return next((seat for seat in self.seats if seat.trainer == trainer), None)

    def seat_index(self, trainer: Address) -> int | None:
        return next((index for index, seat in enumerate(self.seats) if seat.trainer == trainer), None)

    def active(self) -> tuple[Seat, ...]:
        return tuple(seat for seat in self.seats if seat.active)

    def holder(self, chunk: int) -> Seat | None:
        """Who trains a chunk now: its primary, else its backup, else nobody (the chunk has lapsed, or is void)."""
        holders = self.holders[chunk]
        for index in (holders.primary, holders.backup):
            if index is not None and self.seats[index].active and (chunk, self.seats[index].trainer) not in self.voids:
                return self.seats[index]
        return None

    def waiting_for(self) -> tuple[int, ...]:
        """Chunks of the present round that are not delivered though somebody holds them."""
        return tuple(
            chunk for chunk in range(len(self.holders)) if chunk not in self.updates and self.holder(chunk) is not None
        )

    def aggregator(self) -> Seat | None:
        """Whose duty the present aggregate, or the publication of the result, is: it rotates by rule."""
        active = self.active()
        return active[(self.round + self.publishers) % len(active)] if active else None

    def mark_of(self, round: int) -> Mark | None:
        return next((mark for mark in self.marks if mark.round == round), None)

    @property
    def open_disputes(self) -> int:
        return sum(dispute.ruling is Ruling.OPEN for dispute in self.disputes.values())

    def voted(self, voter: Address, subject: bytes) -> bool:
        return (voter, subject) in self.votes
