"""Earning: a trainer behind a gate that this machine's state opens and closes, until its owner says stop."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any, Protocol

import trio

from shoal.core.idle import Decision, Facts, Limits, Orders, Verdict, decide
from shoal.earn.control import Control
from shoal.earn.senses import minute_of
from shoal.errors import MachineError
from shoal.roles.gate import Gate

log = logging.getLogger("shoal.earn")

LOOK_S = 2.0
"""How often the machine is looked at."""
ORDERS_S = 0.5
"""How often it is looked whether its owner said something."""
LOOK_TIMEOUT_S = 15.0
WRITE_S = 10.0
"""How often a state that stays the same is written down."""
GRACE_S = 10.0
"""A chunk that is in training when the machine is needed has so long to come to its end."""

Tell = Callable[[dict[str, Any]], None]


class Works(Protocol):
    """What earns: `shoal.roles.trainer.Trainer`."""

    @property
    def seats(self) -> int: ...
    async def run(self) -> None: ...
    async def leave(self) -> None: ...


class Looks(Protocol):
    """What sees the machine: `shoal.earn.senses.Senses`."""

    source: str

    def look(self) -> Facts: ...


class Earner:
    """Runs a trainer when this machine is free.

    Args:
        gate: the trainer's own.
        tell: is given every change of the state, as one record.
    """

    def __init__(
        self, trainer: Works, gate: Gate, *, senses: Looks, control: Control, limits: Limits, tell: Tell
    ) -> None:
        self._trainer, self._gate = trainer, gate
        self._senses, self._control, self._limits, self._tell = senses, control, limits, tell
        self._stop = trio.Event()
        self._began_s = self._since_s = time.time()
        self._last: tuple[object, ...] = ()
        self._write_s = 0.0

    def stop(self) -> None:
        """As the order `stop`: leave all seats, then end."""
        self._stop.set()

    async def run(self) -> None:
        """Until told to stop; then nobody waits for this machine any more."""
        self._control.begin()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._trainer.run)
            decision = await self._watch()
            self._show(decision)
            await self._trainer.leave()
            self._show(decision, state="stopped")
            nursery.cancel_scope.cancel()

    async def _watch(self) -> Decision:
        """Turn the gate as the machine and its owner will; returns once it was said stop."""
        facts, next_look_s = await self._look(), trio.current_time() + LOOK_S
        while True:
            if trio.current_time() >= next_look_s:
                facts, next_look_s = await self._look(), trio.current_time() + LOOK_S
            decision = decide(facts, self._limits, self._orders(), running=self._gate.is_open)
            if decision.verdict is Verdict.STOP:
                return decision
            self._gate.turn(open=decision.verdict is Verdict.RUN)
            self._show(decision)
            with trio.move_on_after(ORDERS_S):
                await self._stop.wait()

    def _orders(self) -> Orders:
        if self._stop.is_set():
            return Orders(stop=True)
        try:
            return self._control.orders()
        except MachineError as error:
            log.warning("%s; pausing until `shoal earn resume`", error)
            return Orders(paused_until_s=float("inf"))

    async def _look(self) -> Facts:
        """A machine that cannot be looked at shows nothing, which lets nothing run but what needs no look."""
        with trio.move_on_after(LOOK_TIMEOUT_S):
            try:
                return await trio.to_thread.run_sync(self._senses.look, abandon_on_cancel=True)  # type: ignore[call-arg]
            except Exception:  # drivers and tools fail in ways of their own
                log.exception("this machine cannot be looked at")
        now_s = time.time()
        return Facts(now_s=now_s, minute=minute_of(time.localtime(now_s)), seen=False)

    def _show(self, decision: Decision, *, state: str = "") -> None:
        """Tell the state, and write it down where it is another one, or the last is old."""
        state = state or str(decision.verdict)
        names = tuple(each.name for each in decision.obstacles)
        if (state, names) != self._last[:2]:
            self._since_s = time.time()
        record = {
            "event": "state",
            "state": state,
            "why": decision.why,
            "until": decision.until,
            "obstacles": [{"name": each.name, "why": each.why, "until": each.until} for each in decision.obstacles],
            "seats": self._trainer.seats,
            "touch_seen_by": self._senses.source,
            "since": self._since_s,
            "at": time.time(),
            "began": self._began_s,
            "pid": os.getpid(),
        }
        now = (state, names, self._trainer.seats)
        changed, self._last = now != self._last, now
        if changed or trio.current_time() >= self._write_s:
            self._control.tell(record)
            self._write_s = trio.current_time() + WRITE_S
        self._tell({**record, "changed": changed})
