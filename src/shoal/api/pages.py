"""Long lists, a page at a time: an opaque cursor says where the next page begins, however much was added since."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import TypeVar

from shoal.errors import UsageError

LIMIT = 50
MOST = 200
_MOST_NUMBER = 2**63

T = TypeVar("T")
Key = tuple[int, int]
"""Consensus time (ns), and a number that orders what has the same."""


def cursor_of(time_ns: int, index: int) -> str:
    """A place in a list, as text that callers do not take apart.

    >>> position_of(cursor_of(17, 2))
    (17, 2)
    """
    return base64.urlsafe_b64encode(f"{time_ns}.{index}".encode()).decode().rstrip("=")


def position_of(cursor: str) -> Key:
    """The inverse of `cursor_of`.

    Raises:
        UsageError: SHOAL-U54, it is none of ours.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        time_ns, index = (int(part) for part in text.split("."))
    except ValueError as error:  # binascii's and unicode's are of this kind
        raise _not_ours(cursor) from error
    if not (0 <= time_ns < _MOST_NUMBER and 0 <= index < _MOST_NUMBER):
        raise _not_ours(cursor)
    return time_ns, index


def cut(
    rows: Sequence[T], key: Callable[[T], Key], *, cursor: str | None, limit: int, newest_first: bool = False
) -> tuple[Sequence[T], str | None]:
    """One page of rows that are in the order of their keys, oldest first; and the cursor of the next."""
    after = position_of(cursor) if cursor is not None else None
    left = [row for row in rows if after is None or (key(row) < after if newest_first else key(row) > after)]
    if newest_first:
        left.reverse()
    page = left[:limit]
    return page, cursor_of(*key(page[-1])) if len(left) > len(page) else None


def _not_ours(cursor: str) -> UsageError:
    return UsageError(
        f"{cursor[:60]!r} is no cursor of this list", code="SHOAL-U54", hint="take `next` of the page before, unchanged"
    )
