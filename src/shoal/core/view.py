"""The optimistic view: the log's state, and what was heard or signed but has no place in the log yet."""

from __future__ import annotations

from collections.abc import Iterable

from shoal.core import fold
from shoal.core.entries import Entry
from shoal.core.fold import Item
from shoal.core.fold_entries import follows
from shoal.core.ids import ZERO_DIGEST, Address, Digest
from shoal.core.task import State


def optimistic(log: State, pending: Iterable[Entry]) -> State:
    """Take the pending entries in the order of arrival, each once those before it in its author's chain are taken.

    The order between authors does not matter much: the fold keeps what comes too early. Consensus may still decide
    otherwise, so this is derived anew at every change of the log and never kept.
    """
    view, waiting, progress = log, list(pending), True
    while progress:
        progress, late = False, []
        for entry in waiting:
            if follows(view, entry):
                view, progress = fold.step(view, Item(view.now_ns, entry)), True
            else:
                late.append(entry)
        waiting = late
    return view


def next_link(log: State, author: Address, own: Iterable[Entry]) -> tuple[int, Digest]:
    """Sequence number and previous hash of an author's next entry.

    Args:
        own: all entries that the author has signed and that may not be in the log. Only they tell: a view may have
            refused one of them, and to sign its number again would be equivocation.
    """
    last = max(own, key=lambda entry: entry.sequence, default=None)
    known = log.authors.get(author)
    if last is not None and (known is None or last.sequence >= known.sequence):
        return last.sequence + 1, last.hash
    return (known.sequence, known.head) if known else (0, ZERO_DIGEST)
