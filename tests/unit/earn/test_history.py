"""The history: every transaction of the account once, with its id, and nothing added up but lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core import events as ev
from shoal.core.earnings import Kind, Line, total
from shoal.core.entries import Place
from shoal.core.fees import Rate
from shoal.core.ids import Address, TaskId
from shoal.core.money import ZERO, Tinybar
from shoal.earn import history, market, report
from shoal.earn.market import Paid
from shoal.ports import AccountState, LoggedEvent, Message, Movement

from ..core.scene import PRICE, Scene

ME, OTHER = Address(b"m" * 20), Address(b"o" * 20)
ACCOUNT, CONTRACT = "0.0.7", "0.0.9"
DAY_NS = 86_400 * 10**9
NOW_NS = 20_000 * DAY_NS
TASK = TaskId(bytes(32))


@dataclass
class Ledger:
    """What the mirror node of a test shows."""

    logged: list[LoggedEvent] = field(default_factory=list)
    moved: list[Movement] = field(default_factory=list)
    written: list[Message] = field(default_factory=list)
    account: str = ACCOUNT
    address: Address = ME
    contract: str = CONTRACT

    async def watermark(self) -> int:
        return NOW_NS

    async def events(self, *, after_ns: int, until_ns: int, task: Any = None) -> Sequence[LoggedEvent]:
        mine = [each for each in self.logged if task is None or getattr(each.event, "task_id", None) == task]
        return [each for each in mine if after_ns < each.time_ns <= until_ns]

    async def messages(self, topic: int, *, after_ns: int, until_ns: int) -> Sequence[Message]:
        return [each for each in self.written if after_ns < each.time_ns <= until_ns]

    async def movements(self, *, after_ns: int, until_ns: int, account: str | None = None) -> Sequence[Movement]:
        def touches(each: Movement) -> bool:
            return account is None or account in (who for who, _ in each.transfers)

        return [each for each in self.moved if after_ns < each.time_ns <= until_ns and touches(each)]

    async def account_state(self, address: Address) -> AccountState:
        return AccountState(True, bytes(32), bytes(32), Tinybar(5), ZERO, Tinybar(3))

    async def rate(self) -> Rate:
        return Rate(cents=12, hbars=1)

    def happen(self, time_ns: int, event: Any, index: int = 0) -> None:
        self.logged.append(LoggedEvent(time_ns, index, event, f"hash-{time_ns}"))

    def move(
        self,
        time_ns: int,
        net: int,
        fee: int,
        *,
        payer: str = ACCOUNT,
        result: str = "SUCCESS",
        name: str = "CONTRACTCALL",
    ) -> None:
        transfers = ((ACCOUNT, net), (CONTRACT, -net - fee), ("0.0.98", fee))
        self.moved.append(Movement(time_ns, f"{payer}-{time_ns}", name, result, transfers, payer, Tinybar(fee)))


async def read(ledger: Ledger, days: float = 30) -> history.History:
    return await history.read(ledger, lambda task: Place("devnet", CONTRACT, task), days=days)  # type: ignore[arg-type]


async def test_a_line_tells_what_its_transaction_did() -> None:
    ledger, t = Ledger(), NOW_NS - DAY_NS
    ledger.move(t + 1, -505, 5)
    ledger.happen(t + 1, ev.Registered(ME, bytes(32), bytes(32), Tinybar(500)))
    ledger.move(t + 2, -4, 4, result="CONTRACT_REVERT_EXECUTED")
    ledger.move(t + 3, -6, 6)
    ledger.happen(t + 3, ev.Claimed(TASK, ME, 3, 1, Tinybar(90), Tinybar(50), Tinybar(7), Tinybar(2), ZERO))
    ledger.move(t + 4, 80, 10)
    ledger.happen(t + 4, ev.Withdrawn(ME, Tinybar(90)))
    ledger.moved.append(
        Movement(t + 5, "0.0.8-5", "CONTRACTCALL", "SUCCESS", (("0.0.8", -3), ("0.0.98", 3)), "0.0.8", Tinybar(3))
    )
    ledger.happen(t + 5, ev.Released(TASK, ME, Tinybar(50), Tinybar(11)))  # by its client
    ledger.happen(t + 6, ev.Claimed(TASK, OTHER, 9, 0, Tinybar(999), ZERO, ZERO, ZERO, ZERO))
    ledger.move(t + 7, 25, 0, payer="0.0.8", name="CRYPTOTRANSFER")
    found = await read(ledger)
    told = [(line.kind, line.earned, line.penalty, line.fee, line.net, line.transaction) for line in found.lines]
    assert told == [
        (Kind.STAKE, 0, 0, 5, -505, f"{ACCOUNT}-{t + 1}"),
        (Kind.FEE, 0, 0, 4, -4, f"{ACCOUNT}-{t + 2}"),
        (Kind.PAYMENT, 90, 9, 6, -6, f"{ACCOUNT}-{t + 3}"),
        (Kind.WITHDRAWAL, 0, 0, 10, 80, f"{ACCOUNT}-{t + 4}"),
        (Kind.PAYMENT, 11, 0, 0, 0, "0.0.8-5"),
        (Kind.FEE, 0, 0, 0, 25, f"0.0.8-{t + 7}"),
    ]
    assert "CONTRACT_REVERT_EXECUTED" in found.lines[1].what and found.lines[2].task == TASK.hex()
    assert found.total(2 * 86_400).profit == 101 - 9 - 25 and found.total(3_600).lines == 0


async def test_what_is_older_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger()
    for days in (40, 20, 2):
        ledger.move(NOW_NS - days * DAY_NS, -1, 1)
    found = await read(ledger, 30)
    assert [line.time_ns for line in found.lines] == [NOW_NS - 20 * DAY_NS, NOW_NS - 2 * DAY_NS]
    assert len(found.last(7)) == 1
    record = await report.earnings(ledger, found, days=7, now_s=NOW_NS / 10**9)  # type: ignore[arg-type]
    assert len(record["items"]) == 1 and record["days_30"]["fees_tinybar"] == 2
    assert (record["stake_tinybar"], record["withdrawable_tinybar"]) == (5, 3)


async def test_work_is_told_with_what_became_of_it() -> None:
    """A real log: updates that counted, one of a round that is not over, a void chunk, an aggregate."""
    scene = Scene()
    ledger = Ledger(address=scene.trainers[0])
    ledger.happen(scene.start_ns, ev.TaskCreated(
        scene.place.task, scene.client, 7, scene.manifest.hash, scene.key(scene.client), bytes(32), scene.state.plan,
        scene.state.plan.escrow(),
    ))  # fmt: skip
    taken = scene.take

    def note(what: Any) -> None:
        taken(what)
        if hasattr(what, "data"):
            ledger.written.append(Message(scene.state.now_ns, len(ledger.written), "0.0.5", what.data()))
            if what.author == ledger.address:
                ledger.move(scene.state.now_ns, -1, 1, name="CONSENSUSSUBMITMESSAGE")
        else:
            ledger.happen(scene.state.now_ns, what)

    scene.take = note  # type: ignore[method-assign]
    scene.running()
    scene.round()
    mine = scene.state.holder(0)
    assert mine is not None
    scene.say(mine.trainer, "void", scene.void(0))
    scene.train(*[chunk for chunk in scene.state.waiting_for() if scene.state.holder(chunk).trainer == ledger.address])  # type: ignore[union-attr]
    ledger.watermark = lambda: _now(scene.state.now_ns)  # type: ignore[method-assign]
    found = await history.read(ledger, lambda task: scene.place, days=30)  # type: ignore[arg-type]
    words = [line.what for line in found.lines if line.kind is Kind.WORK]
    counted = sum(update.author == ledger.address for update in scene.state.checkpoints[1].updates)
    assert sum(f"counts at {PRICE} tinybar" in each for each in words) == counted > 0
    assert sum("delivered" in each for each in words) == sum(
        u.author == ledger.address for u in scene.state.updates.values()
    )
    assert all(line.task == scene.place.task.hex() for line in found.lines if line.kind is Kind.WORK)
    assert len(found.lines) == len(ledger.moved) + sum(
        history._concerns(ledger.address, e.event) for e in ledger.logged
    )


async def _now(time_ns: int) -> int:
    return time_ns


amounts = st.integers(0, 10**12).map(Tinybar)
lines = st.lists(
    st.builds(
        Line, st.integers(0, 1_000), st.uuids().map(str), st.sampled_from(Kind), st.text(max_size=20), st.just(""),
        amounts, amounts, amounts, st.integers(-(10**12), 10**12),
    )
)  # fmt: skip


@given(lines, st.integers(0, 1_000))
def test_a_total_is_the_total_of_its_parts(some: list[Line], since_ns: int) -> None:
    early, late = total(line for line in some if line.time_ns < since_ns), total(some, since_ns=since_ns)
    whole = total(some)
    assert whole.profit == early.profit + late.profit and whole.net == early.net + late.net
    assert whole.lines == early.lines + late.lines == len(some)


@given(lines)
def test_the_table_holds_every_line_as_it_is(some: list[Line]) -> None:
    rows = list(csv.DictReader(io.StringIO(report.as_csv(some), newline="")))
    assert [int(row["net_tinybar"]) for row in rows] == [line.net for line in some]
    assert [row["transaction"] for row in rows] == [line.transaction for line in some]
    assert all(row["consensus_time"].count(".") == 1 for row in rows)


def test_today_begins_at_midnight() -> None:
    now = NOW_NS / 10**9
    began = report.midnight(now)
    assert 0 <= now - began < 25 * 3600 and report.midnight(began) == began


# ---------------------------------------------------------------- what others are paid


def paid(price: int, fees: int, units: int, seconds: float) -> Paid:
    return Paid(TASK, 1, "t", Tinybar(price), Tinybar(fees), units, seconds)


def test_an_hour_is_what_was_paid_for_all_of_it_after_fees() -> None:
    assert market.per_hour([]) is None and market.per_hour([paid(5, 0, 3, 0.0)]) is None
    assert market.per_hour([paid(200_000, 100_000, 10, 36.0)]) == pytest.approx(1.0)
    long, short = paid(200_000, 100_000, 1_000, 3_600.0), paid(10**7, 0, 1, 0.01)
    both = market.per_hour([long, short])
    assert both is not None and 1.0 < both < 1.2, "a moment's work at any price does not speak for an hour"
    assert market.per_hour([paid(5, 9, 10, 1.0)]) == 0.0


async def test_recent_awards_are_read_with_what_was_trained_for_them() -> None:
    scene, ledger = Scene(), Ledger()
    ledger.happen(scene.start_ns, ev.TaskCreated(
        scene.place.task, scene.client, 7, scene.manifest.hash, scene.key(scene.client), bytes(32), scene.state.plan,
        scene.state.plan.escrow(),
    ))  # fmt: skip
    taken = scene.take

    def note(what: Any) -> None:
        taken(what)
        if hasattr(what, "data"):
            ledger.written.append(Message(scene.state.now_ns, len(ledger.written), "0.0.5", what.data()))
        else:
            ledger.happen(scene.state.now_ns, what)

    scene.take = note  # type: ignore[method-assign]
    scene.running()
    scene.round()
    ledger.watermark = lambda: _now(scene.state.now_ns)  # type: ignore[method-assign]
    (found,) = await market.recent(ledger, lambda task: scene.place)  # type: ignore[arg-type]
    assert (found.task, found.unit_price, found.units) == (scene.place.task, PRICE, 6)
    assert found.seconds == pytest.approx(sum(update.seconds for update in scene.state.checkpoints[1].updates))
    assert found.fees > 0
