"""What a trainer asks: never less than it will pay the ledger, and the default ceiling leaves room for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shoal.core import costs
from shoal.core.costs import Payer
from shoal.core.fees import Rate
from shoal.core.pricing import asked, fees_per_unit, hourly, power_floor, suggested
from shoal.core.quote import LOCAL_TIMING, confirm_every_of, quote

rates = st.builds(Rate, cents=st.integers(1, 1_000), hbars=st.integers(1, 1_000))


@given(st.integers(1, 200), st.integers(1, 6), st.integers(1, 4), rates)
def test_trainers_that_are_paid_what_they_ask_lose_nothing_to_the_ledger(
    rounds: int, trainers: int, each: int, rate: Rate
) -> None:
    """By the list of fees that a client is shown, less checkpoints and result, which are paid for apart."""
    chunks, confirm_every = trainers * each, confirm_every_of(rounds)
    plan = quote(chunks=chunks, rounds=rounds, trainers=trainers, budget=None, timing=LOCAL_TIMING, now_s=1).plan
    lines = costs.lines(plan, manifest_bytes=900, confirm_every=confirm_every)
    mine = [each for each in lines if each.payer is Payer.TRAINERS and "checkpoints" not in each.what]
    mine = [each for each in mine if "result, as" not in each.what and each.what != "publishResult"]
    claims = [each for each in lines if each.what == "claim"]
    charged = rate.tinybar(costs.total([*mine, *claims], Payer.TRAINERS, Payer.CLIENT_AT_WORST))
    fees = fees_per_unit(rounds=rounds, chunks=each, confirm_every=confirm_every, rate=rate)
    assert fees * chunks * rounds >= charged


def test_the_price_of_time_and_fees() -> None:
    assert asked(unit_s=3.6, hbar_per_hour=1.0, min_unit=1_000, fees=500) == 100_500
    assert asked(unit_s=0.001, hbar_per_hour=1.0, min_unit=1_000, fees=500) == 1_500
    assert asked(unit_s=0.0, hbar_per_hour=1.0, min_unit=0, fees=0) == 1


@given(st.integers(1, 200), st.integers(1, 6), rates)
def test_the_default_ceiling_leaves_room_for_the_fees(rounds: int, trainers: int, rate: Rate) -> None:
    fees = fees_per_unit(rounds=rounds, chunks=1, confirm_every=confirm_every_of(rounds), rate=rate)
    wanted = {"chunks": trainers, "rounds": rounds, "trainers": trainers, "timing": LOCAL_TIMING, "now_s": 1}
    offer = quote(**wanted, budget=None, trainer_fees=fees)  # type: ignore[arg-type]
    assert offer.plan.max_unit_price >= asked(unit_s=60, hbar_per_hour=1.0, min_unit=1_000, fees=fees)


@given(st.floats(1, 1_000), st.floats(0.01, 2), rates)
def test_the_floor_pays_the_power(watts: float, usd_per_kwh: float, rate: Rate) -> None:
    floor = power_floor(watts=watts, usd_per_kwh=usd_per_kwh, rate=rate)
    usd = floor * rate.cents / rate.hbars / 100
    assert abs(usd - watts / 1000 * usd_per_kwh) <= 1e-9 * max(1, usd)


@given(st.none() | st.floats(0, 100), st.none() | st.floats(0, 100), st.floats(0.01, 10))
def test_what_is_suggested_is_never_below_the_floor_and_follows_the_market(
    floor: float | None, market: float | None, default: float
) -> None:
    asked = suggested(floor=floor, market=market, default=default)
    assert asked >= (floor or 0) and asked in (floor, market, default)


@given(st.integers(1, 10**9), st.floats(0.001, 1_000))
def test_the_hour_of_a_price_asks_that_price(price: int, unit_s: float) -> None:
    again = asked(unit_s=unit_s, hbar_per_hour=hourly(unit_price=price, unit_s=unit_s), min_unit=1, fees=0)
    assert abs(again - price) <= 1 + price * 1e-9
