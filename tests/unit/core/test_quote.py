"""The quote never exceeds the budget, and its plan is one that the contract takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core import calls
from shoal.core.codec import digest
from shoal.core.ids import Address
from shoal.core.money import Tinybar
from shoal.core.quote import LOCAL_TIMING, BudgetTooSmall, Timing, TooLarge, quote
from shoal.testing import Market

CLIENT = Address(b"c" * 20)


@given(
    st.integers(1, 256),
    st.integers(1, 200),
    st.integers(1, 256),
    st.none() | st.integers(0, 10**12),
    st.sampled_from([Timing(), LOCAL_TIMING]),
    st.sampled_from([0, 1, 3, 5, 7]),
    st.none() | st.integers(0, 10**4),
)
def test_the_contract_takes_every_quote(
    chunks: int, rounds: int, trainers: int, budget: int | None, timing: Timing, auditors: int, audits: int | None
) -> None:
    trainers = min(trainers, chunks)
    audits = None if audits is None or not auditors else audits % (chunks * rounds) + 1
    wanted = None if budget is None else Tinybar(budget)
    try:
        quoted = quote(
            chunks=chunks,
            rounds=rounds,
            trainers=trainers,
            budget=wanted,
            timing=timing,
            now_s=1_000,
            auditors=auditors,
            audits=audits,
        )
    except BudgetTooSmall as error:
        assert budget is not None and budget < error.needed
        return
    except TooLarge:
        assert chunks * rounds > 1_000
        return
    assert budget is None or quoted.escrow <= budget
    plan = quoted.plan
    assert plan.auditors == auditors and bool(plan.audits) == bool(auditors)
    if auditors:
        finder = plan.slash * plan.finder_share // 10_000
        assert finder >= 2 * plan.auditors * plan.audit_price - 1, "whoever finds a fraud is not out of pocket"
        assert plan.bond >= 2 * plan.auditors * plan.audit_price and plan.audits <= chunks * rounds
    call = calls.CreateTask(digest(b"m"), 1, bytes(31) + b"k", bytes(31) + b"r", quoted.plan)
    Market().call(CLIENT, call, quoted.escrow, now_s=1_000)


@pytest.mark.parametrize(
    ("chunks", "rounds", "trainers"), [(1, 1, 2), (4, 0, 1), (4, 1, 0), (257, 1, 1), (4, 10_001, 1)]
)
def test_refuses_what_is_out_of_bounds(chunks: int, rounds: int, trainers: int) -> None:
    with pytest.raises(ValueError):
        quote(chunks=chunks, rounds=rounds, trainers=trainers, budget=None, timing=LOCAL_TIMING, now_s=1)
