"""How each peer behaves: budgets of messages, bytes and reads, and a score that misconduct lowers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import trio

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.budget import Bucket


@dataclass(frozen=True, slots=True)
class _Account:
    messages: Bucket
    volume: Bucket
    reads: Bucket
    points: Bucket


def _new_account() -> _Account:
    def bucket(per_s: float, burst: float) -> Bucket:
        return Bucket(per_s=per_s, burst=burst, now_s=trio.current_time)

    return _Account(
        bucket(bounds.PEER_MESSAGES_PER_S, bounds.PEER_MESSAGES_BURST),
        bucket(bounds.PEER_BYTES_PER_S, bounds.PEER_BYTES_BURST),
        bucket(bounds.PEER_READS_PER_S, bounds.PEER_READS_BURST),
        bucket(bounds.POINTS_BACK_PER_S, bounds.POINTS),
    )


class Conduct:
    """Accounts of peers, the least recently active forgotten first.

    Args:
        on_spent: called with the id of a peer that has no points left.
    """

    def __init__(self, on_spent: Callable[[str], None]) -> None:
        self._on_spent = on_spent
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._authors: OrderedDict[str, Bucket] = OrderedDict()

    def admit(self, peer_id: str, size_bytes: int) -> bool:
        """Whether a message that a peer sends or forwards is within its budget; if not, it counts against it."""
        account = self._account(peer_id)
        if account.messages.take(1) and account.volume.take(size_bytes):
            return True
        self.strike(peer_id, bounds.STRIKE_OVER_BUDGET)
        return False

    def admit_author(self, author: str) -> bool:
        """Whether an author's message is within the author's budget. Nobody is blamed: it may have been held up."""
        if author not in self._authors:
            while len(self._authors) >= bounds.AUTHORS:
                self._authors.popitem(last=False)
            self._authors[author] = Bucket(
                per_s=bounds.AUTHOR_MESSAGES_PER_S, burst=bounds.AUTHOR_MESSAGES_BURST, now_s=trio.current_time
            )
        self._authors.move_to_end(author)
        return self._authors[author].take(1)

    def pause_s(self, peer_id: str) -> float:
        """Count one read of a peer's stream; how long to wait before the next."""
        reads = self._account(peer_id).reads
        return 0.0 if reads.take(1) else reads.wait_s(1)

    def strike(self, peer_id: str, points: float) -> None:
        """Take points of a peer; they come back with time."""
        if not self._account(peer_id).points.take(points):
            del self._accounts[peer_id]
            self._on_spent(peer_id)

    def score(self, peer_id: str) -> float:
        """100 for a peer without misconduct."""
        account = self._accounts.get(peer_id)
        return bounds.POINTS if account is None else account.points.level()

    def _account(self, peer_id: str) -> _Account:
        if peer_id not in self._accounts:
            while len(self._accounts) >= 2 * bounds.CONNECTIONS:
                self._accounts.popitem(last=False)
            self._accounts[peer_id] = _new_account()
        self._accounts.move_to_end(peer_id)
        return self._accounts[peer_id]
