"""What the trainers of a task logged on its topic, for people and programs to read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from shoal.core.codec import CodecError
from shoal.core.entries import LogEntry, parse
from shoal.core.ids import account_text
from shoal.core.loglines import LogReader, unpack
from shoal.core.task import State
from shoal.ports import Message


@dataclass(frozen=True, slots=True)
class Told:
    """One line, and where it stands."""

    time_ns: int
    """Consensus time of the message that holds it."""
    number: int
    """Its place within that message."""
    trainer: str
    at_s: float
    """Its author's clock, in Unix time."""
    level: str
    text: str

    def as_dict(self) -> dict[str, Any]:
        return {"at": self.at_s, "trainer": self.trainer, "level": self.level, "text": self.text}


class TopicLog:
    """Reads a task's messages in consensus order, and gives the log lines of participants among them.

    >>> topic = TopicLog()  # doctest: +SKIP
    >>> [line.text for line in topic.read(messages, state)]
    ['task 4960be108c74 round 1 chunk 0: loss 0.4312 in 0.20 s']
    """

    def __init__(self) -> None:
        self._reader = LogReader()

    def read(self, messages: Sequence[Message], state: State) -> list[Told]:
        """Lines of the messages that follow those of the last time.

        Args:
            state: of the task, at least as late as the messages.
        """
        lines: list[Told] = []
        for message in messages:
            with suppress(CodecError):  # anyone may write on a topic
                entry = parse(message.data)
                if isinstance(entry, LogEntry):
                    lines += self._lines(entry, message, state)
        return lines

    def _lines(self, entry: LogEntry, message: Message, state: State) -> list[Told]:
        author = state.authors.get(entry.author)
        if author is None or entry.place != state.place or not entry.signed_by(author.signing_key):
            return []
        if not self._reader.take(entry):
            return []
        name = "client" if entry.author == state.client else account_text(entry.author)
        return [
            Told(message.time_ns, number, name, line.time_ms / 1000, line.level, line.text)
            for number, line in enumerate(unpack(entry.lines))
        ]
