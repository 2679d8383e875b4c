"""Closing a task: whoever comes back makes the calls that are owed, waits for the rest, and leaves with its money."""

from __future__ import annotations

from collections import deque
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from shoal.core import calls, duties
from shoal.core.ids import Address
from shoal.core.merkle import AwardLeaf
from shoal.core.task import Phase
from shoal.errors import CallReverted, LedgerUnreachable
from shoal.roles.closing import call, close, withdraw
from shoal.roles.tasklog import TaskLog

from .fakes import LedgerPort
from .world import STAKE, World

pytestmark = pytest.mark.timeout(60)
Clock = trio.testing.MockClock


class Party:
    """One account with its log of the task, to be closed."""

    def __init__(self, w: World, name: str) -> None:
        self.w, self.me = w, w.keys[name].address
        self.port: LedgerPort = w.ledger.port(self.me)
        self.tasklog: TaskLog = w.tasklog(name, self.port)
        self.done = False

    async def close(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.tasklog.run)
            await close(self.tasklog, self.port)  # type: ignore[arg-type]
            self.done = True
            nursery.cancel_scope.cancel()


def books(w: World, who: Address) -> tuple[int, int]:
    """What an account has locked, and what it could withdraw."""
    account = w.ledger.market.account(who)
    return account.locked, account.balance


async def test_close_claims_withdraws_and_ends(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).settled()
    party = Party(w, "trainer-0")
    with trio.fail_after(30):
        await party.close()
    assert w.ledger.calls_of(calls.Claim, party.me) and books(w, party.me) == (0, 0)
    assert w.ledger.market.withdrawn == w.state().claims[party.me].paid
    made = len(w.ledger.calls)
    with trio.fail_after(30):
        await Party(w, "trainer-0").close()
    assert len(w.ledger.calls) == made, "a second time there is nothing to call"


async def test_close_waits_until_the_task_is_over(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    party = Party(w, "trainer-0")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(party.close)
        await trio.sleep(10)
        assert not party.done and not w.ledger.calls_of(calls.Withdraw)
        w.settled()
        with trio.fail_after(30):
            while not party.done:  # noqa: ASYNC110 - another task changes it
                await trio.sleep(0.5)
    assert books(w, party.me) == (0, 0)


async def test_close_ends_what_nobody_ended(tmp_path: Path, autojump_clock: Clock) -> None:
    """A running task without any progress: its deadline, and then its stake, are for whoever is there."""
    w = World(tmp_path).running()
    w.skip_to(w.plan.end_by + 60)
    party = Party(w, "trainer-2")
    with trio.fail_after(60):
        await party.close()
    assert w.state().phase is Phase.EXPIRED
    assert [type(each) for each in w.ledger.calls_of(object, party.me)][-2:] == [calls.Expire, calls.Release]
    assert books(w, party.me) == (0, 0) and w.ledger.market.account(party.me).stake == STAKE


async def test_close_settles_by_the_progress_that_was_confirmed(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    w.round()
    w.confirm(w.state().marks[0], 0, 1)
    w.skip_to(w.plan.end_by + 60)
    party = Party(w, "trainer-0")
    with trio.fail_after(60):
        await party.close()
    assert w.state().phase is Phase.SETTLED and w.ledger.market.withdrawn == w.state().unit_price


async def test_a_stake_that_no_proof_gets_back_is_waited_for(tmp_path: Path, autojump_clock: Clock) -> None:
    """A quorum may confirm credits that do not follow from the log: then only time gives the stake back."""
    w = World(tmp_path).finished()
    w.say(w.aggregator(), "result", w.publish())
    note = w.state().result
    assert note is not None
    ballot = duties.result_vote(w.state(), note.author)
    assert isinstance(ballot, calls.PublishResult)
    false = replace(ballot, credits_root=b"f" * 32)
    w.call(note.author, false)
    for voter in [trainer for trainer in w.trainers if trainer != note.author]:
        if w.state().confirmed is None:
            w.call(voter, calls.ConfirmResult(**{f.name: getattr(false, f.name) for f in fields(false)}))
    w.ledger.skip(w.plan.window + 1)
    w.call(w.client, calls.Settle(w.task))
    party = Party(w, "trainer-0")
    assert books(w, party.me)[0] > 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(party.close)
        await trio.sleep(60)
        assert not party.done, "or else nobody would come back for it"
        w.ledger.skip(duties.CLAIM_PERIOD_S)
        with trio.fail_after(120):
            while not party.done:  # noqa: ASYNC110 - another task changes it
                await trio.sleep(0.5)
    assert books(w, party.me) == (0, 0)


async def test_a_stranger_to_a_task_owes_it_nothing(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path, trainers=4, seats=3, chunks=3)
    w.awarded([AwardLeaf(trainer, 3, 0) for trainer in w.trainers[:3]]).accepted(0, 1, 2)
    w.call(w.client, calls.Cancel(w.task))
    before = len(w.ledger.calls)
    with trio.fail_after(30):
        await Party(w, "trainer-3").close()
    assert len(w.ledger.calls) == before


async def test_two_tasks_of_one_account_withdraw_at_once_and_neither_fails(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).settled()
    w.claim(0)
    port = w.ledger.port(w.trainers[0])
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(withdraw, port)
    reasons = [reason for _, _, what, reason in w.ledger.calls if isinstance(what, calls.Withdraw)]
    assert sorted(reasons) == ["", "NothingToWithdraw", "NothingToWithdraw"]
    await withdraw(port)  # type: ignore[arg-type]
    assert len(w.ledger.calls_of(calls.Withdraw)) == 3, "what is known to be nothing is not asked for"


async def test_any_other_refusal_of_a_withdrawal_is_told(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).settled()
    w.claim(0)
    port = w.ledger.port(w.trainers[0])
    port.troubles[calls.Withdraw] = deque([CallReverted("no", reason="WithdrawFailed"), LedgerUnreachable("away")])
    for kind in (CallReverted, LedgerUnreachable):
        with pytest.raises(kind):
            await withdraw(port)  # type: ignore[arg-type]
    await withdraw(port)  # type: ignore[arg-type]
    assert books(w, w.trainers[0]) == (0, 0)


async def test_a_call_is_over_when_the_log_shows_what_came_of_it(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).enveloped()
    party = Party(w, "trainer-0")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(party.tasklog.run)
        await call(party.tasklog, party.port, calls.Ready(w.task))  # type: ignore[arg-type]
        seat = party.tasklog.log.seat_of(party.me)
        assert seat is not None and seat.ready
        before = party.tasklog.log.now_ns
        await call(party.tasklog, party.port, calls.Ready(w.task))  # type: ignore[arg-type]
        assert party.tasklog.log.now_ns > before, "what is refused is not tried again from the same log"
        nursery.cancel_scope.cancel()
    assert [reason for _, _, what, reason in w.ledger.calls if isinstance(what, calls.Ready)] == ["", "AlreadyReady"]


async def test_what_another_has_done_first_does_not_keep_close_from_ending(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).settled()
    party, client = Party(w, "trainer-0"), Party(w, "client")
    plain = party.port.call

    async def late(what: calls.Call, *, value: int = 0) -> Any:
        if isinstance(what, calls.Claim):
            w.claim(0)
        return await plain(what, value=value)

    party.port.call = late  # type: ignore[method-assign]
    with trio.fail_after(60):
        await party.close()
        await client.close()
    assert books(w, party.me) == (0, 0)
    assert "AlreadyClosed" in [reason for *_, reason in w.ledger.calls]
