"""Several clients on one node: an opened bid goes to the task that it is for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from shoal.client.desk import Desk
from shoal.core.codec import CodecError
from shoal.core.entries import Place
from shoal.core.ids import TaskId
from shoal.errors import MarketError
from shoal.ports import Blobs, Keys, Ledger, Network, Store, Transfer
from shoal.roles.trainer import OPENING, parse_opening
from shoal.settings import Settings

Handler = Callable[[str, bytes], Awaitable[bytes]]


class Openings:
    """A node answers a name of request once; this hands openings on to the client of each task.

    >>> openings = Openings(desk)  # doctest: +SKIP
    >>> client = client_of(openings.desk_of(task), tasklog)
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._handlers: dict[TaskId, Handler] = {}
        desk.network.serve(OPENING, self._take)

    def desk_of(self, task: TaskId) -> Desk:
        """The node as the client of one task sees it."""
        return _TaskDesk(self._desk, _TaskNetwork(self._desk.network, lambda handler: self.hand_to(task, handler)))

    def forget(self, task: TaskId) -> None:
        self._handlers.pop(task, None)

    def hand_to(self, task: TaskId, handler: Handler) -> None:
        """Who takes the opened bids of a task."""
        self._handlers[task] = handler

    async def _take(self, peer_id: str, payload: bytes) -> bytes:
        try:
            task, _ = parse_opening(payload)
        except CodecError as error:
            raise MarketError(str(error)) from error
        handler = self._handlers.get(task)
        if handler is None:
            raise MarketError("no task of this node takes bids under this id")
        return await handler(peer_id, payload)


class _TaskNetwork:
    """The node's network, but for `serve`."""

    def __init__(self, network: Network, serve_opening: Callable[[Handler], None]) -> None:
        self._network, self._serve_opening = network, serve_opening

    def serve(self, name: str, handler: Handler) -> None:
        if name == OPENING:
            self._serve_opening(handler)
        else:
            self._network.serve(name, handler)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)


class _TaskDesk:
    """A desk with another network."""

    def __init__(self, desk: Desk, network: Any) -> None:
        self._desk = desk
        self.network: Network = network
        self.settings: Settings = desk.settings
        self.ledger: Ledger = desk.ledger
        self.keys: Keys = desk.keys
        self.store: Store = desk.store
        self.transfer: Transfer = desk.transfer

    def place(self, task: TaskId) -> Place:
        return self._desk.place(task)

    def blobs(self) -> Blobs:
        return self._desk.blobs()
