"""Topics that were joined by name, and the last messages of each, within bounds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from shoal.adapters.libp2p import bounds
from shoal.ports import Received


class Kept:
    """The last messages of one topic; the oldest go first.

    >>> kept = Kept()
    >>> kept.put("peer", b"a")
    >>> kept.put("peer", b"b")
    >>> [(each.number, each.data) for each in kept.after(1)]
    [(2, b'b')]
    """

    def __init__(self) -> None:
        self._messages: deque[Received] = deque()
        self._bytes = 0
        self._number = 0

    def put(self, author: str, data: bytes) -> None:
        self._number += 1
        self._messages.append(Received(self._number, time.time(), author, data))
        self._bytes += len(data)
        while len(self._messages) > bounds.KEPT_MESSAGES or self._bytes > bounds.KEPT_BYTES:
            self._bytes -= len(self._messages.popleft().data)

    def after(self, number: int) -> Sequence[Received]:
        """Messages with a greater number, oldest first."""
        return tuple(each for each in self._messages if each.number > number)
