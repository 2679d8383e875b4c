"""The contract's events one after the other, across restarts and whatever machine of a mirror answers: each once."""

from __future__ import annotations

from collections.abc import Sequence

from shoal.core.codec import decode, encode
from shoal.core.task import SECOND_NS
from shoal.ports import LedgerView, LoggedEvent, Store

TABLE = "feed"
OVERLAP_NS = 60 * SECOND_NS
"""What is asked for again every time: a machine that is behind may have left out the newest events. One that is further
behind than this would hide some."""
_COMMIT_NS = 600 * SECOND_NS
"""Where nothing happens, the place is written down this often."""
_MAX_BYTES = 16 * 1024 * 1024


class MarketFeed:
    """All events of the market's contract from a point in time on.

    >>> feed = MarketFeed(ledger, store, "testnet/0.0.1001")  # doctest: +SKIP
    >>> for logged in await feed.read():  # doctest: +SKIP
    ...     act_on(logged)
    >>> feed.commit()  # doctest: +SKIP

    Who is killed between `read` and `commit` is given the same events again; nobody else is.
    """

    def __init__(self, ledger: LedgerView, store: Store, name: str) -> None:
        self._ledger, self._store, self._name = ledger, store, name
        kept = store.get(TABLE, name)
        until, seen = (0, []) if kept is None else decode(kept, max_bytes=_MAX_BYTES)
        self._until: int = until
        self._kept: int = until
        self._seen: set[tuple[int, int]] = {(time_ns, index) for time_ns, index in seen}
        """Of the overlap: what was given already."""
        self._fresh = False

    async def read(self) -> Sequence[LoggedEvent]:
        """What is new, in order.

        Raises:
            LedgerError: it cannot be read now; nothing is lost.
        """
        until = await self._ledger.watermark()
        if until <= self._until:
            return []  # this machine is behind the one that was asked before
        after = max(0, self._until - OVERLAP_NS)
        found = await self._ledger.events(after_ns=after, until_ns=until)
        fresh = [each for each in found if (each.time_ns, each.index) not in self._seen]
        self._until = until
        self._fresh = self._fresh or bool(fresh)
        self._seen |= {(each.time_ns, each.index) for each in fresh}
        self._seen = {place for place in self._seen if place[0] > until - OVERLAP_NS}
        return fresh

    def commit(self) -> None:
        """What was read is taken care of: it is not given again after a restart."""
        if not self._fresh and self._until - self._kept < _COMMIT_NS:
            return
        self._kept, self._fresh = self._until, False
        self._store.put(TABLE, self._name, encode([self._until, [list(place) for place in sorted(self._seen)]]))

    @property
    def until_ns(self) -> int:
        """Consensus time up to which events were given."""
        return self._until
