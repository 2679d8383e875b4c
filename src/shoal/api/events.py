"""A task's story as Server-Sent Events: an event's id is its number, so that a reader can go on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.responses import StreamingResponse

from shoal.api.following import LOOK_S, Followed, Following
from shoal.api.views import plain
from shoal.errors import UsageError

STREAMS = 64
"""Read at once."""
KEEPALIVE_S = 15.0
RETRY_MS = 2_000


class Streams:
    """How many streams are open; each holds a connection for as long as its task lasts."""

    def __init__(self, most: int = STREAMS) -> None:
        self._left = most

    def check(self) -> None:
        """Refuse another one.

        Raises:
            UsageError: SHOAL-U51, too many are open.
        """
        if self._left < 1:
            raise UsageError("too many event streams are open", code="SHOAL-U51", hint="close some, or try again later")

    @contextmanager
    def one(self) -> Iterator[None]:
        self._left -= 1
        try:
            yield
        finally:
            self._left += 1


def last_event_id(text: str | None) -> int:
    """Where to begin: after the event that the reader saw last. What is no number of ours begins at the start.

    >>> last_event_id("4"), last_event_id(None)
    (5, 0)
    """
    return int(text) + 1 if text and text.isascii() and text.isdigit() and len(text) < 10 else 0


async def lines(following: Following, followed: Followed, start: int, streams: Streams) -> AsyncIterator[str]:
    """The stream's text: every happening, a comment where nothing happens, and `end` once all is told."""
    index, silent_s = start, 0.0
    with streams.one():
        yield f"retry: {RETRY_MS}\n\n"
        while True:
            told = await followed.told(index, patience_s=LOOK_S)
            if told is not None:
                yield f"id: {index}\nevent: {told.kind}\ndata: {json.dumps(plain(told.as_dict()))}\n\n"
                index, silent_s = index + 1, 0.0
            elif (other := following.current(followed)) is not followed:
                followed = other  # its story is the same, from the beginning
            elif followed.is_told(index):
                if followed.state.phase.over:
                    yield f"event: end\ndata: {json.dumps({'phase': str(followed.state.phase)})}\n\n"
                return
            elif (silent_s := silent_s + LOOK_S) >= KEEPALIVE_S:
                yield ": nothing new\n\n"
                silent_s = 0.0


def response(following: Following, followed: Followed, start: int, streams: Streams) -> StreamingResponse:
    """The stream from the `start`-th happening on.

    Raises:
        UsageError: SHOAL-U51, too many streams are open.
    """
    streams.check()
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(
        lines(following, followed, start, streams), media_type="text/event-stream", headers=headers
    )
