"""Token buckets: how fast a peer may talk to us, and how fast we talk to others."""

from __future__ import annotations

from collections.abc import Callable


class Bucket:
    """A token bucket that starts full.

    >>> bucket = Bucket(per_s=1.0, burst=2.0, now_s=lambda: 0.0)
    >>> bucket.take(1), bucket.take(1), bucket.take(1)
    (True, True, False)
    """

    __slots__ = ("_burst", "_level", "_now_s", "_per_s", "_then_s")

    def __init__(self, *, per_s: float, burst: float, now_s: Callable[[], float]) -> None:
        self._per_s, self._burst, self._now_s = per_s, burst, now_s
        self._level = burst
        self._then_s = now_s()

    def take(self, amount: float) -> bool:
        """Take `amount` tokens if they are there."""
        if self.wait_s(amount) > 0:
            return False
        self._level -= amount
        return True

    def wait_s(self, amount: float) -> float:
        """Seconds until `amount` tokens will be there."""
        return max(0.0, (amount - self.level()) / self._per_s)

    def level(self) -> float:
        """Tokens that are there now."""
        now_s = self._now_s()
        self._level = min(self._burst, self._level + (now_s - self._then_s) * self._per_s)
        self._then_s = now_s
        return self._level
