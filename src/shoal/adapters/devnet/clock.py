"""Consensus time and blocks: real time, which tests may move forward, and which never runs backwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from shoal.adapters.devnet.store import Store, cannot_open

SECOND_NS = 1_000_000_000
DEFAULT_BLOCK_NS = 2 * SECOND_NS
MAX_CHILDREN = 50
"""As the real network: so many records of what a transaction caused; each takes a nanosecond."""
_MAX_OFFSET_NS = 100 * 365 * 86_400 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Moment:
    """When and in which block code runs, the seed for what it draws (48 bytes; see `Ledger.seed`), and the hashes of
    the blocks before."""

    now_ns: int
    block: int
    seed: bytes
    hash_of: Callable[[int], bytes]


class Clock:
    """The ledger's clock.

    Args:
        real: the machine's time in ns. Clients stamp their transactions by it, so validity is checked by it.
        block_ns: the length of a block; None keeps the ledger's own (2 s at first).

    Raises:
        ProcessError: SHOAL-P04, this ledger's blocks have another length: their numbers would jump.
    """

    def __init__(self, store: Store, real: Callable[[], int] = time.time_ns, block_ns: int | None = None) -> None:
        self._store = store
        self.real_ns = real
        kept = store.meta("block_ns")
        if kept is not None and block_ns not in (None, kept):
            raise cannot_open(store.directory, f"its blocks take {kept / SECOND_NS:g} s; leave --block-time out")
        self.block_ns: int = kept or block_ns or DEFAULT_BLOCK_NS
        if kept is None:
            store.set_meta("block_ns", self.block_ns)
        self.offset_ns: int = store.meta("clock_offset_ns") or 0
        last = store.one("select max(time_ns) from tx") or (None,)
        self._seen_ns: int = last[0] or store.meta("genesis_ns") or 0

    def now_ns(self) -> int:
        """The present: no transaction will ever get a consensus time at or before a time that this returned."""
        self._seen_ns = max(self._seen_ns, self.real_ns() + self.offset_ns)
        return self._seen_ns

    def next_ns(self) -> int:
        """A consensus time after every one that was told or given, with room for children before it."""
        self._seen_ns = max(self.real_ns() + self.offset_ns, self._seen_ns + 1 + MAX_CHILDREN)
        return self._seen_ns

    def advance(self, by_ns: int) -> None:
        """Move consensus time forward, for good: a restart does not take it back.

        Raises:
            ValueError: it is backwards, or more than 100 years in all.
        """
        if by_ns < 0 or self.offset_ns + by_ns > _MAX_OFFSET_NS:
            raise ValueError("time can be moved forward only, and by 100 years in all")
        self._store.set_meta("clock_offset_ns", self.offset_ns + by_ns)
        self.offset_ns += by_ns

    def block_of(self, time_ns: int) -> int:
        """The number of the block that a time is in; blocks follow one another, empty or not."""
        return time_ns // self.block_ns
