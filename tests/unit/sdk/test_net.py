"""Buying by the Python API: nothing is spent that nobody agreed to, and what is bought is one run."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
import trio.testing
from tests.unit.roles.world import World
from torch import nn

from shoal.core import calls
from shoal.core.money import Tinybar
from shoal.errors import MarketError, UsageError
from shoal.sdk.net import Offer, budget_of, unwrapped

from .desks import FakeDesk, FullPort, opened

Clock = trio.testing.MockClock
X = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
DATA = (X, (X[:, 0] > 0).astype(int), ["no", "yes"])


@pytest.mark.parametrize(
    ("budget", "tinybar"),
    [
        (None, None), ("5 hbar", 500_000_000), ("0.5", 50_000_000), (5.0, 500_000_000), (0.1, 10_000_000),
        (Decimal("2.5"), 250_000_000), (Tinybar(7), 7), (0, 0),
    ],
)  # fmt: skip
def test_budgets(budget: Any, tinybar: int | None) -> None:
    assert budget_of(budget) == tinybar


@pytest.mark.parametrize("budget", ["5 euro", "", -1, -1.0, True, float("nan"), float("inf"), 1e-9, [5], 1e12])
def test_what_is_no_budget(budget: Any) -> None:
    with pytest.raises(UsageError) as error:
        budget_of(budget)
    assert error.value.code == "SHOAL-U02"


def paid(w: World) -> int:
    return len(w.ledger.calls_of(calls.CreateTask)) - 1  # the world's own


async def test_a_quote_spends_nothing_and_tells_what_was_found(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path)
    async with opened(FakeDesk(w), trainers=2) as net:
        offer = await net.quote(nn.Linear(4, 2), DATA, rounds=3, budget="5 hbar")
        assert offer.classes == ("no", "yes") and offer.escrow_tinybar <= 500_000_000
        plain = offer.as_dict()
        assert (plain["rounds"], plain["chunks"], plain["trainers"], plain["name"]) == (3, 2, 2, "Linear")
        assert plain["data"]["class_count"] == 2 and plain["recipe"]["loss"] == "cross_entropy"
        assert str(offer).startswith("worst case 4.99")
        with pytest.raises(MarketError) as small:
            await net.quote(nn.Linear(4, 2), DATA, budget=5)
        assert small.value.code == "SHOAL-T01", "an integer is tinybar"
    assert paid(w) == 0 and not w.storage.objects.keys() - {*World(tmp_path / "other").storage.objects}


async def test_nothing_is_spent_without_consent(tmp_path: Path, autojump_clock: Clock) -> None:
    w, shown = World(tmp_path), []

    async def refuse(offer: Offer) -> bool:
        shown.append(offer.escrow_tinybar)
        return False

    async with opened(FakeDesk(w)) as net:
        for options in ({}, {"confirm": refuse}, {"confirm": lambda offer: None, "budget": "5 hbar"}):
            with pytest.raises(UsageError) as error:
                await net.train(nn.Linear(4, 2), DATA, **options)
            assert error.value.code == "SHOAL-U07" and error.value.money == "nothing was spent"
    assert paid(w) == 0 and len(shown) == 1


async def test_what_the_account_cannot_pay_is_not_bought(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path)
    desk = FakeDesk(w)
    desk.ledger.hbar = 1
    async with opened(desk) as net:
        with pytest.raises(MarketError) as error:
            await net.train(nn.Linear(4, 2), DATA, budget="5 hbar")
    assert error.value.code == "SHOAL-T02" and paid(w) == 0


async def test_a_training_that_nobody_bids_for_ends_with_its_money_back(
    tmp_path: Path, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    w = World(tmp_path)
    async with opened(FakeDesk(w)) as net:
        run = await net.train(nn.Linear(4, 2), DATA, confirm=lambda offer: offer.escrow_tinybar > 0)
        assert "no trainer is in sight" in caplog.text
        assert paid(w) == 1 and run.phase == "open"
        assert await net.get(run.task_id) is run
        assert {row["task_id"] for row in await net.tasks()} == {run.task_id, w.task.hex()}
        kinds = []
        with pytest.raises(MarketError) as error:
            async for event in run.watch():
                kinds.append(event.kind)
        assert kinds == ["created", "cancelled"]
        assert error.value.code == "SHOAL-T07" and "came back" in error.value.money
        assert any(error.value.hint in note for note in error.value.__notes__)
        assert run.money["refunded_tinybar"] == run.money["escrow_tinybar"]


async def test_there_is_no_such_task(tmp_path: Path, autojump_clock: Clock) -> None:
    async with opened(FakeDesk(World(tmp_path))) as net:
        with pytest.raises(MarketError) as error:
            await net.get("ff" * 32)
        assert error.value.code == "SHOAL-T08"


async def test_errors_come_out_of_nurseries_as_they_went_in() -> None:
    with pytest.raises(ZeroDivisionError):
        with unwrapped():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                _ = 1 / 0
    assert FullPort.hbar == 100


async def test_any_task_can_be_verified(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).settled()
    w.ledger.skip(1)
    async with opened(FakeDesk(w, "trainer-0")) as net:
        found = await net.verify(w.task.hex()[:12])
        assert found.holds and found.task == w.task
        with pytest.raises(MarketError) as missing:
            await net.verify("ffff")
        assert missing.value.code == "SHOAL-T08"
