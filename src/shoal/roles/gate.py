"""The gate: whether this machine may work for others now. It opens and closes; whoever works behind it looks."""

from __future__ import annotations

import trio


class Gate:
    """Open, unless it is closed.

    >>> gate = Gate(open=False)
    >>> gate.is_open
    False

    Args:
        grace_s: a chunk in training when the gate closes has so long to come to its end.
    """

    def __init__(self, *, open: bool = True, grace_s: float = 0.0) -> None:
        self.grace_s = grace_s
        self._opened, self._closed = trio.Event(), trio.Event()
        (self._opened if open else self._closed).set()

    @property
    def is_open(self) -> bool:
        return self._opened.is_set()

    def turn(self, *, open: bool) -> None:
        """Open or close it; nothing if it is so already."""
        if open is self.is_open:
            return
        if open:
            self._closed = trio.Event()
            self._opened.set()
        else:
            self._opened = trio.Event()
            self._closed.set()

    async def opened(self) -> None:
        """Until it is open."""
        await self._opened.wait()

    async def closed(self) -> None:
        """Until it is closed."""
        await self._closed.wait()
