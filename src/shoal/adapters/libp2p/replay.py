"""Old gossip said again: the library forgets a message after two minutes, and would then take it as new."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from shoal.adapters.libp2p import bounds

_CLOCK_NS = range(10**18, 5 * 10**18)
"""Sequence numbers that look like Unix time in nanoseconds, as ours are; others' are random."""
_SEQUENCE_BYTES = 8


@dataclass(slots=True)
class _Author:
    epoch: int
    highest: int = 0
    """The highest number heard in this epoch or before,"""
    before: int = 0
    """before this epoch,"""
    settled: int = 0
    """and before the last one: what is not above this is at least an epoch old, and at two epochs all is."""
    counts: bool = True
    """Whether all its numbers so far looked like a clock's: only then do they grow."""


class ReplayGuard:
    """Refuses what an author whose numbers grow said two epochs ago; what comes late by less than one passes.

    >>> now = [0.0]
    >>> guard = ReplayGuard(now_s=lambda: now[0])
    >>> number = (2 * 10**18).to_bytes(8, "big")
    >>> guard.note("author", number)
    >>> now[0] = 1_000.0
    >>> guard.is_old("author", number)
    True
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._authors: OrderedDict[str, _Author] = OrderedDict()

    def is_old(self, author: str, sequence: bytes) -> bool:
        """Whether a message that the library does not remember was heard long ago."""
        known = self._authors.get(author)
        if known is None or not known.counts:
            return False
        self._turn(known)
        return int.from_bytes(sequence[:_SEQUENCE_BYTES], "big") <= known.settled

    def note(self, author: str, sequence: bytes) -> None:
        """Remember a message whose signature was verified."""
        number = int.from_bytes(sequence[:_SEQUENCE_BYTES], "big")
        known = self._authors.get(author)
        if known is None:
            while len(self._authors) >= bounds.AUTHORS:
                self._authors.popitem(last=False)
            known = self._authors[author] = _Author(self._epoch())
        self._authors.move_to_end(author)
        known.counts = known.counts and number in _CLOCK_NS
        self._turn(known)
        known.highest = max(known.highest, number)

    def _turn(self, author: _Author) -> None:
        turns = self._epoch() - author.epoch
        if turns > 0:
            author.settled = author.before if turns == 1 else author.highest
            author.before, author.epoch = author.highest, author.epoch + turns

    def _epoch(self) -> int:
        return int(self._now_s() // bounds.REPLAY_S)
