"""The runner: the gate follows the machine and its owner, every change is told, and stopping leaves first."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from shoal.core.idle import Facts, Limits
from shoal.earn.control import ORDERS, Control
from shoal.earn.runner import LOOK_S, Earner
from shoal.roles.gate import Gate

from ..roles.conftest import alone_with_the_clock as alone_with_the_clock

Clock = trio.testing.MockClock
FREE = Facts(now_s=1e9, minute=0, idle_s=1e6, memory_mib=9_999, disk_mib=9_999)


class Machine:
    """Senses and a trainer, and what happened to them."""

    def __init__(self) -> None:
        self.facts: Facts | Exception = FREE
        self.source = "X11"
        self.seats = 0
        self.happened: list[str] = []
        self.told: list[dict[str, Any]] = []

    def look(self) -> Facts:
        if isinstance(self.facts, Exception):
            raise self.facts
        return self.facts

    async def run(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.happened.append("ended")

    async def leave(self) -> None:
        self.happened.append("left")

    def tell(self, record: dict[str, Any]) -> None:
        if record["changed"]:
            self.told.append(record)

    def states(self) -> list[str]:
        return [each["state"] for each in self.told]


@pytest.fixture
def machine() -> Machine:
    return Machine()


def earner(machine: Machine, gate: Gate, directory: Path, limits: Limits | None = None) -> Earner:
    control = Control(directory)
    return Earner(
        machine, gate, senses=machine, control=control, limits=limits or Limits(), tell=machine.tell
    )  # fmt: skip


async def test_the_gate_follows_the_machine_and_its_owner(
    tmp_path: Path, machine: Machine, autojump_clock: Clock
) -> None:
    gate, control = Gate(open=False), Control(tmp_path)
    it = earner(machine, gate, tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(it.run)
        await trio.sleep(LOOK_S)
        assert gate.is_open and machine.states() == ["run"]
        machine.facts = replace(FREE, idle_s=1.0)
        await trio.sleep(2 * LOOK_S)
        assert not gate.is_open and machine.told[-1]["obstacles"][0]["name"] == "idle"
        machine.facts = FREE
        control.pause(math.inf)
        await trio.sleep(2 * LOOK_S)
        assert not gate.is_open and machine.told[-1]["why"] == "you said pause"
        control.resume()
        await trio.sleep(2 * LOOK_S)
        assert gate.is_open and machine.states() == ["run", "pause", "pause", "run"]
        state = control.state()
        assert state is not None and state["state"] == "run" and state["until"]
        control.stop()
    assert machine.happened == ["left", "ended"], "its seats are given back while it still runs"
    assert machine.states()[-2:] == ["stop", "stopped"]
    assert control.state()["state"] == "stopped"  # type: ignore[index]


async def test_a_signal_stops_it_as_the_order_does(tmp_path: Path, machine: Machine, autojump_clock: Clock) -> None:
    it = earner(machine, Gate(open=False), tmp_path)
    Control(tmp_path).stop()  # of a run before
    async with trio.open_nursery() as nursery:
        nursery.start_soon(it.run)
        await trio.sleep(5)
        assert machine.states() == ["run"]
        it.stop()
    assert machine.happened == ["left", "ended"]


async def test_a_machine_that_cannot_be_looked_at_and_orders_that_cannot_be_read_let_nothing_run(
    tmp_path: Path, machine: Machine, autojump_clock: Clock
) -> None:
    gate = Gate(open=False)
    it = earner(machine, gate, tmp_path, Limits(idle_s=0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(it.run)
        await trio.sleep(LOOK_S)
        assert gate.is_open
        machine.facts = OSError("the driver is gone")
        await trio.sleep(2 * LOOK_S)
        assert not gate.is_open and machine.told[-1]["obstacles"][0]["name"] == "sight"
        machine.facts = FREE
        (tmp_path / ORDERS).write_text("{")
        await trio.sleep(2 * LOOK_S)
        assert not gate.is_open and machine.told[-1]["obstacles"][0]["name"] == "paused"
        Control(tmp_path).resume()
        await trio.sleep(2 * LOOK_S)
        assert gate.is_open
        it.stop()


async def test_what_changes_is_told_once(tmp_path: Path, machine: Machine, autojump_clock: Clock) -> None:
    it = earner(machine, Gate(open=False), tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(it.run)
        await trio.sleep(60)
        assert len(machine.told) == 1
        machine.seats = 1
        await trio.sleep(60)
        assert [each["seats"] for each in machine.told] == [0, 1]
        it.stop()
