"""Following a task on the terminal: one line, or one JSON record, for everything that happens."""

from __future__ import annotations

from collections.abc import Callable

from shoal.cli import output
from shoal.client.narrate import happenings
from shoal.core.ids import Address, address_text
from shoal.core.task import SECOND_NS, State
from shoal.roles.tasklog import TaskLog


def seat_names(state: State) -> Callable[[Address], str]:
    """People's names for participants: the client, and trainers by the order of the award."""
    order = [leaf.trainer for leaf in state.award] or [seat.trainer for seat in state.seats]

    def name(address: Address) -> str:
        if address == state.client:
            return "client"
        if address in order:
            return f"trainer {order.index(address) + 1}"
        return address_text(address)[:10]

    return name


class Teller:
    """Tells a task's story as its log grows.

    Args:
        names: how participants are called; None names them by their place in the award.
    """

    def __init__(self, tasklog: TaskLog, *, as_json: bool, names: Callable[[Address], str] | None = None) -> None:
        self._tasklog, self._as_json, self._names = tasklog, as_json, names
        self._told: State | None = None
        self._bids = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            change = self._tasklog.change
            self.finish()
            await change.wait()

    def finish(self) -> None:
        """Tell what has happened since the last look."""
        state = self._tasklog.log
        since = (state.now_ns - state.created_ns) / SECOND_NS
        if len(self._tasklog.bids) > self._bids:
            self._bids = len(self._tasklog.bids)
            self._tell(since, "bids", f"{self._bids} sealed bids", {"bids": self._bids})
        if self._told is state:
            return
        for each in happenings(self._told, state, self._names or seat_names(state)):
            self._tell(since, each.kind, each.text, each.data)
        self._told = state

    def _tell(self, since_s: float, kind: str, text: str, data: dict[str, object]) -> None:
        if self._as_json:
            output.print_json({"event": kind, "at_s": round(since_s, 3), "text": text, **data})
        else:
            output.stderr.print(f"[dim]{since_s:7.1f} s[/]  ", end="")
            output.stderr.print(text, markup=False, soft_wrap=True)
