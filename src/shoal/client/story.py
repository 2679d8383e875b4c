"""The story of a task as its log grows: what happened, when, in words and as plain records."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

import trio

from shoal.client.narrate import Happening, counted, happenings
from shoal.core.duties import settled_mark
from shoal.core.ids import Address, account_text
from shoal.core.task import SECOND_NS, Phase, State

CLAIMS_S = 30


@dataclass(frozen=True, slots=True)
class Told:
    """One happening, with its time since the task was created."""

    at_s: float
    kind: str
    text: str
    data: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.at_s:7.1f} s  {self.text}"

    def as_dict(self) -> dict[str, Any]:
        return {"event": self.kind, "at_s": round(self.at_s, 3), "text": self.text, **self.data}


def name_in(state: State) -> Callable[[Address], str]:
    """What participants are called: the client, and trainers by their accounts."""
    return lambda address: "client" if address == state.client else account_text(address)


class Story:
    """Everything that happened in a task, in order: the witness of its log.

    >>> story = Story()  # doctest: +SKIP
    >>> tasklog = TaskLog(created, place, ledger=ledger, witness=story)
    >>> async for told in story.follow():
    ...     print(told.text)
    """

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.tellings = 0
        """How often it has begun; more than once where a mirror node had left something out."""
        self._state: State | None = None
        self._changed = trio.Event()

    def stepped(self, old: State | None, new: State) -> None:
        self._state = new
        if old is None:
            self.tellings += 1
            self.told.clear()  # what a mirror node had left out changes the story from there on
        for each in happenings(old, new, name_in(new)):
            self._add(new.now_ns, each)
        self._wake()

    def bid(self, count: int, time_ns: int) -> None:
        self._add(time_ns, Happening("bid", counted(count, "sealed bid"), {"bids": count}))
        self._wake()

    @property
    def is_over(self) -> bool:
        """Whether everything is told that will be."""
        return self._state is not None and _is_ended(self._state)

    @property
    def change(self) -> trio.Event:
        """Set when something more has happened: take it before looking, wait for it after."""
        return self._changed

    async def follow(self, start: int = 0) -> AsyncGenerator[Told, None]:
        """From the `start`-th happening on, until the task is over and its trainers are paid."""
        while True:
            changed = self._changed
            while start < len(self.told):
                yield self.told[start]
                start += 1
            if self.is_over:
                return
            await changed.wait()

    def _add(self, time_ns: int, what: Happening) -> None:
        assert self._state is not None, "a log begins with its first state"
        at_s = (time_ns - self._state.created_ns) / SECOND_NS
        self.told.append(Told(at_s, what.kind, what.text, what.data))

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def _is_ended(state: State) -> bool:
    """Whether no more is to come: a trainer that never claims is not waited for."""
    mark = settled_mark(state)
    audited = {leaf.validator for leaf in mark.audit_credits} if mark else set()
    paid = state.claims.keys() >= {seat.trainer for seat in state.seats} and state.audit_claims.keys() >= audited
    late = state.now_ns > state.settled_ns + CLAIMS_S * SECOND_NS
    return state.phase.over and (state.phase is not Phase.SETTLED or paid or late)
