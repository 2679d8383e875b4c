"""The node that commands act on, whatever its role; and one command as somebody gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import trio

from shoal.client.desk import Desk
from shoal.client.story import Told
from shoal.core.ids import TaskId
from shoal.core.task import State
from shoal.errors import UsageError
from shoal.ports import LoggedEvent, Network, Store
from shoal.settings import Settings
from shoal.shell.offers import Offer, Offers

Answer = dict[str, Any]
News = Callable[[str, Answer], None]
"""Told of something that happened: a line for people, and the same as a record."""


class Driven(Protocol):
    """A task of ours whose client's part somebody does; `shoal.api.following.Followed` is one."""

    @property
    def state(self) -> State: ...

    async def told(self, index: int, *, patience_s: float) -> Told | None:
        """The `index`-th happening, counted from 0; None if there is none within the time, or none is to come."""
        ...

    def is_told(self, index: int) -> bool:
        """Whether there will be no happening of this number."""
        ...


Drive = Callable[[LoggedEvent, TaskId], Awaitable[Driven]]


@dataclass
class Station:
    """A node, as its commands see it.

    Args:
        desk: its side of the market; None for a bootstrap node, which has no account.
        drive: does the client's part of a task; None where the node is no client.
        nursery: where what takes long goes on.
    """

    role: str
    settings: Settings
    network: Network
    store: Store
    nursery: trio.Nursery
    offers: Offers
    desk: Desk | None = None
    drive: Drive | None = None
    listeners: list[News] = field(default_factory=list)
    """Told of everything that no command has asked for: offers of others, and tasks that go on."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        role: str,
        settings: Settings,
        network: Network,
        store: Store,
        *,
        desk: Desk | None = None,
        drive: Drive | None = None,
    ) -> AsyncIterator[Self]:
        """With its own nursery, and hearing what others offer, until the block ends."""
        async with trio.open_nursery() as nursery:
            offers = Offers(network, settings.network)
            station = cls(role, settings, network, store, nursery, offers, desk, drive)
            offers.on_new = station._heard
            nursery.start_soon(offers.run)
            yield station
            nursery.cancel_scope.cancel()

    def tell(self, text: str, record: Answer) -> None:
        for each in self.listeners:
            each(text, record)

    def need_desk(self, what: str) -> Desk:
        """The market's side of the node.

        Raises:
            UsageError: SHOAL-U63, a bootstrap node has none.
        """
        if self.desk is None:
            raise self._cannot(what, "it has no account on the ledger", "any other role")
        return self.desk

    def need_drive(self, what: str) -> tuple[Desk, Drive]:
        """What it takes to buy a training.

        Raises:
            UsageError: SHOAL-U63, only clients can.
        """
        desk = self.need_desk(what)
        if self.drive is None:
            raise self._cannot(what, "only clients buy training", "the role client")
        return desk, self.drive

    def _cannot(self, what: str, why: str, who: str) -> UsageError:
        return UsageError(
            f"a {self.role} node cannot {what}: {why}",
            code="SHOAL-U63",
            hint=f"ask a node of {who}",
            money="nothing was spent",
        )

    def _heard(self, offer: Offer) -> None:
        self.tell(
            f"{offer.peer_id[-8:]} offers a training round on {offer.topic}: `join {offer.topic}`",
            {"event": "offer", **offer.as_dict()},
        )


async def _never(what: str) -> bool:
    return False


def _silent(text: str, record: Answer) -> None:
    """For whoever reads answers only."""


@dataclass(frozen=True)
class Call:
    """One command, as somebody gives it.

    Args:
        ask: answers whether to do what costs money; where nobody can be asked, no.
        tell: is told what happens on the way to the answer.
        waits: whether the answer is waited for until all is over; else it comes once the work goes on by itself.
    """

    station: Station
    ask: Callable[[str], Awaitable[bool]] = _never
    tell: News = _silent
    waits: bool = False


def wrong(what: str) -> UsageError:
    """A command's arguments are none that it takes."""
    return UsageError(what, code="SHOAL-U62", hint="`help` shows what a command takes", money="nothing was spent")
