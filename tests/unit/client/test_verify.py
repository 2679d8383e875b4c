"""Gathering what is public of a task: what a mirror node leaves out or makes up is told, unless it was only late."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio.testing
from tests.unit.roles.fakes import LedgerPort
from tests.unit.roles.world import World

from shoal.client.verify import PAUSE_S, TRIES, Verification, gather, verify_task
from shoal.core.events import Claimed, DrawRequested
from shoal.core.ids import Address
from shoal.core.verdicts import Verdict
from shoal.errors import VerificationError
from shoal.ports import LoggedEvent, Message, Movement

NOBODY = Address(bytes(20))
Clock = trio.testing.MockClock


def paid_out(tmp_path: Path) -> World:
    w = World(tmp_path).settled()
    for index in range(3):
        w.claim(index)
    w.ledger.skip(1)
    return w


class Mirror(LedgerPort):
    """A reader's mirror node, which may be behind, forget or invent."""

    def __init__(self, w: World) -> None:
        super().__init__(w.ledger, NOBODY)
        self.w = w
        self.forgets: type[Any] | None = None
        self.times = 0
        """How often it still forgets."""
        self.moved: int | None = None

    async def events(self, **which: Any) -> list[LoggedEvent]:  # type: ignore[override]
        found = list(await super().events(**which))
        if self.forgets is not None and self.times and found:
            self.times -= 1
            return [each for each in found if not isinstance(each.event, self.forgets)]
        return found

    async def movements(self, *, after_ns: int, until_ns: int, account: str | None = None) -> list[Movement]:
        if self.moved is None:
            return []
        transfers = (("0.0.9", -self.moved), (self.contract, self.moved))
        found = Movement(until_ns, "tx", "CONTRACTCALL", "SUCCESS", transfers, "0.0.9", 0)  # type: ignore[arg-type]
        return [found, replace(found, time_ns=until_ns - 1)]


async def verified(w: World, mirror: Mirror) -> Verification:
    return await verify_task(mirror, w.created, w.place)


async def test_a_settled_task_holds(tmp_path: Path, autojump_clock: Clock) -> None:
    w = paid_out(tmp_path)
    w.ledger.write(b"anyone may write here")
    w.bid(1)
    w.ledger.skip(1)
    found = await verified(w, Mirror(w))
    assert found.holds and found.wrong == ()
    found.raise_if_wrong()
    told = found.as_dict()
    assert told["holds"] and told["task_id"] == w.task.hex() and told["counts"]["wrong"] == 0
    rows = {check["check"]: check for check in told["checks"]}
    assert "1 unreadable" in rows["entries"]["found"]
    assert rows["state"]["verdict"] == "ok" and "3 seats closed" in rows["state"]["found"]
    assert len(told["checks"]) == sum(told["counts"].values()) > 10


@pytest.mark.parametrize("stage", ["published", "awarded", "accepted", "ready", "running", "finished"])
async def test_a_task_at_any_stage_holds(stage: str, tmp_path: Path, autojump_clock: Clock) -> None:
    w = getattr(World(tmp_path), stage)()
    w.ledger.skip(1)
    assert (await verified(w, Mirror(w))).wrong == ()


async def test_the_transfer_of_the_escrow_is_looked_up(tmp_path: Path, autojump_clock: Clock) -> None:
    w = paid_out(tmp_path)
    mirror = Mirror(w)
    mirror.moved = int(w.plan.escrow())
    assert (await gather(mirror, w.created, w.place)).paid_in == mirror.moved
    assert (await verified(w, mirror)).holds
    mirror.moved += 1
    assert [check.name for check in (await verified(w, mirror)).wrong] == ["escrow"]


async def test_what_a_mirror_left_out_once_is_read_again(tmp_path: Path, autojump_clock: Clock) -> None:
    w = paid_out(tmp_path)
    mirror = Mirror(w)
    mirror.forgets, mirror.times = Claimed, 1
    begun = trio.current_time()
    assert (await verified(w, mirror)).holds
    assert PAUSE_S < trio.current_time() - begun < 2 * PAUSE_S


async def test_what_a_mirror_leaves_out_for_good_is_told(tmp_path: Path, autojump_clock: Clock) -> None:
    w = paid_out(tmp_path)
    mirror = Mirror(w)
    mirror.forgets, mirror.times = Claimed, 10**9
    begun = trio.current_time()
    found = await verified(w, mirror)
    assert {check.name for check in found.wrong} == {"state"}
    assert trio.current_time() - begun > (TRIES - 1) * PAUSE_S
    with pytest.raises(VerificationError, match="state") as error:
        found.raise_if_wrong()
    assert (error.value.code, error.value.exit_status) == ("SHOAL-V01", 14)


async def test_an_event_that_was_made_up_is_told(tmp_path: Path, autojump_clock: Clock) -> None:
    w = paid_out(tmp_path)
    claim = next(each.event for each in w.ledger.events if isinstance(each.event, Claimed))
    w.ledger.happen(replace(claim, paid=claim.paid + 1))
    w.ledger.skip(1)
    names = {check.name for check in (await verified(w, Mirror(w))).wrong}
    assert "payments" in names and "state" in names


async def test_a_task_that_goes_on_is_compared_by_what_stays(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    w.ledger.skip(1)

    class Moving(Mirror):
        async def task(self, *which: Any) -> Any:  # type: ignore[override]
            told = await super().task(*which)
            w.ledger.happen(DrawRequested(w.task, 1))
            w.ledger.skip(1)
            return told

    evidence = await gather(Moving(w), w.created, w.place)
    assert evidence.moved_on
    state = next(check for check in (await verified(w, Moving(w))).checks if check.name == "state")
    assert state.verdict is Verdict.HOLDS and "went on" in state.found


async def test_messages_come_in_consensus_order(tmp_path: Path, autojump_clock: Clock) -> None:
    w = paid_out(tmp_path)
    evidence = await gather(Mirror(w), w.created, w.place)
    times = [item.time_ns for item in evidence.items]
    assert times == sorted(times) and len(times) > 20
    assert isinstance(w.ledger.log[0], Message)
