"""What an ML user's side needs of the world: every port of one node, and its settings."""

from __future__ import annotations

from typing import Protocol

from shoal.core.entries import Place
from shoal.core.ids import TaskId
from shoal.ports import Blobs, Keys, Ledger, Network, Store, Transfer
from shoal.settings import Settings


class Desk(Protocol):
    """A node, seen from here; `shoal.node.Node` is one."""

    @property
    def settings(self) -> Settings: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def network(self) -> Network: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def store(self) -> Store: ...
    @property
    def transfer(self) -> Transfer: ...

    def place(self, task: TaskId) -> Place:
        """Where a task's entries belong on this node's ledger."""
        ...

    def blobs(self) -> Blobs:
        """The bucket that this node has credentials for.

        Raises:
            ConfigError: SHOAL-C01, it has none.
        """
        ...
