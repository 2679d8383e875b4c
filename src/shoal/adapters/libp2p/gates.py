"""Admission: how many handlers may run at once, for one peer and in total."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Counts who is inside; never makes anyone wait.

    >>> gate = Gate(total=1, per_peer=1)
    >>> with gate.enter("a") as first, gate.enter("b") as second:
    ...     first, second
    (True, False)
    """

    def __init__(self, *, total: int, per_peer: int) -> None:
        self._total, self._per_peer = total, per_peer
        self._inside: Counter[str] = Counter()

    @contextmanager
    def enter(self, peer_id: str) -> Iterator[bool]:
        """True if there was room."""
        if self._inside.total() >= self._total or self._inside[peer_id] >= self._per_peer:
            yield False
            return
        self._inside[peer_id] += 1
        try:
            yield True
        finally:
            self._inside[peer_id] -= 1
            if not self._inside[peer_id]:
                del self._inside[peer_id]
