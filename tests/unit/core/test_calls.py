"""The escrow is the worst case: nothing that a task can cost is more."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shoal.core.money import Tinybar
from shoal.testing import simulate

PLAN = simulate(0, 2, 2, 1).begin.plan


@given(st.data(), st.integers(1, 256), st.integers(1, 100), st.integers(0, 10**9), st.integers(0, 10**9))
def test_no_credits_within_the_bounds_cost_more(
    data: st.DataObject, chunks: int, rounds: int, price: int, aggregate: int
) -> None:
    plan = replace(
        PLAN, chunks=chunks, rounds=rounds, max_unit_price=Tinybar(price), aggregate_price=Tinybar(aggregate)
    )
    units = data.draw(st.integers(0, chunks * rounds))
    aggregates = data.draw(st.integers(0, rounds))
    paid = data.draw(st.integers(0, price))
    assert units * paid + aggregates * aggregate <= plan.escrow()
