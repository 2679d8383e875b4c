"""Every entry of a task's log by its signature and its chain, walked again beside the fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from shoal.core import events as ev
from shoal.core import limits
from shoal.core.entries import Entry, Place
from shoal.core.fold import Item
from shoal.core.ids import ZERO_DIGEST, Address, Digest, account_text
from shoal.core.task import State


@dataclass(slots=True)
class _Chain:
    """Where one author stands, and what it signed under each number."""

    signing_key: bytes
    taken: list[Digest] = field(default_factory=list)
    size_bytes: int = 0
    ahead: dict[int, Entry] = field(default_factory=dict)
    """Rightly signed, of numbers that the chain has not reached."""


@dataclass(slots=True)
class Chains:
    """What all entries on the topic come to.

    >>> chains = Chains.walk(place, items)  # doctest: +SKIP
    >>> chains.taken, chains.faults
    (61, [])
    """

    place: Place
    _chains: dict[Address, _Chain] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    """Entries that are their author's next, by kind; the fold may still find that one breaks a rule."""
    ignored: Counter[str] = field(default_factory=Counter)
    """The rest, by why: on a topic anyone may write anything."""
    equivocations: list[tuple[Address, int, Digest, Digest]] = field(default_factory=list)
    """Author, number, the entry that counts, and another one that its author signed with the same number."""

    @classmethod
    def walk(cls, place: Place, items: Iterable[Item]) -> Chains:
        """Events tell who may write from when on, and with which key."""
        chains = cls(place)
        for item in items:
            match item.what:
                case Entry():
                    chains._take(item.what)
                case ev.TaskCreated():
                    chains._chains[item.what.client] = _Chain(item.what.signing_key)
                case ev.Accepted():
                    chains._chains[item.what.trainer] = _Chain(item.what.signing_key)
        return chains

    @property
    def taken(self) -> int:
        return self.kinds.total()

    def gaps(self) -> list[str]:
        """Chains that go on beyond an entry that is not there."""
        return [
            f"entry {len(chain.taken)} of {account_text(author)} is missing, its entry {min(chain.ahead)} is there"
            for author, chain in self._chains.items()
            if chain.ahead
        ]

    def unlike(self, state: State) -> list[str]:
        """Authors whose chain the fold sees otherwise."""
        mine = {who: (len(chain.taken), chain.taken[-1:]) for who, chain in self._chains.items()}
        folded = {who: (author.sequence, [author.head][: author.sequence]) for who, author in state.authors.items()}
        return [
            f"the chain of {account_text(who)} ends otherwise in the fold"
            for who in sorted({*mine, *folded})
            if mine.get(who) != folded.get(who)
        ]

    def _take(self, entry: Entry) -> None:
        chain = self._chains.get(entry.author)
        if chain is None:
            self.ignored["of no participant"] += 1
        elif entry.place != self.place:
            self.ignored["of another task"] += 1
        elif not entry.signed_by(chain.signing_key):
            self.ignored["forged"] += 1
        else:
            self._link(chain, entry)

    def _link(self, chain: _Chain, entry: Entry) -> None:
        number, size = entry.sequence, len(entry.data())
        expected = len(chain.taken)
        if number < expected:
            if entry.hash == chain.taken[number]:
                self.ignored["sent again"] += 1
            else:
                self.ignored["equivocation"] += 1
                self.equivocations.append((entry.author, number, chain.taken[number], entry.hash))
        elif number > expected or entry.previous != (chain.taken[-1] if chain.taken else ZERO_DIGEST):
            self.ignored["not the next of its author"] += 1
            chain.ahead[number] = entry
        elif expected >= limits.AUTHOR_ENTRIES or chain.size_bytes + size > limits.AUTHOR_BYTES:
            self.ignored["more than an author may write"] += 1
        else:
            chain.taken.append(entry.hash)
            chain.size_bytes += size
            chain.ahead.pop(number, None)
            self.kinds[entry.kind] += 1
