"""What a task costs in fees, compared with what a demo was charged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core import costs, fees, limits
from shoal.core.costs import Payer
from shoal.core.fees import Rate
from shoal.core.quote import LOCAL_TIMING, quote


def lines(chunks: int, rounds: int, trainers: int) -> tuple[costs.Line, ...]:
    plan = quote(chunks=chunks, rounds=rounds, trainers=trainers, budget=None, timing=LOCAL_TIMING, now_s=1).plan
    return costs.lines(plan, manifest_bytes=costs.manifest_estimate(chunks), confirm_every=max(1, rounds // 3))


def test_a_demo_was_charged_what_is_told() -> None:
    """Four trainers, ten rounds, on a ledger with a fee schedule of its own: messages, calls, and US dollars."""
    told = lines(4, 10, 4)
    client = [line for line in told if line.payer is Payer.CLIENT]
    messages = [line for line in client if line.what not in fees.GAS and line.what != "createTopic"]
    assert sum(line.count for line in messages) == 7
    assert sum(line.tinycents for line in messages) / fees.TINYCENTS_PER_USD == pytest.approx(0.00879, rel=0.02)
    calls = [line for line in client if line.what in fees.GAS]
    assert sum(line.count for line in calls) == 5
    # A call is told at its dearest; the demo's votes and claims were made by trainers.
    assert sum(line.tinycents for line in calls) / fees.TINYCENTS_PER_USD == pytest.approx(0.03918, rel=0.05)
    updates = next(line for line in told if line.what == "updates")
    assert updates.count == 40


@given(st.integers(1, 64), st.integers(1, 60), st.integers(1, 64))
def test_costs_grow_with_work_and_with_nothing_else(chunks: int, rounds: int, trainers: int) -> None:
    trainers = min(trainers, chunks)
    one, more = lines(chunks, rounds, trainers), lines(chunks, rounds + 3, trainers)
    assert costs.total(one, Payer.CLIENT) == costs.total(more, Payer.CLIENT), "the client's do not depend on rounds"
    assert costs.total(one, Payer.TRAINERS) < costs.total(more, Payer.TRAINERS)
    assert all(line.count >= 0 and line.tinycents >= 0 for line in one)
    everyone = costs.total(one, *Payer)
    assert everyone == sum(line.tinycents for line in one)


@given(st.integers(1, 64), st.integers(1, 10_000))
def test_logs_on_the_topic_are_a_line_of_the_trainers_and_bounded(trainers: int, rounds: int) -> None:
    few = min(rounds, 100)
    plan = quote(chunks=trainers, rounds=few, trainers=trainers, budget=None, timing=LOCAL_TIMING, now_s=1).plan
    plain, told = (costs.lines(plan, manifest_bytes=900, confirm_every=1, logs=logs) for logs in (False, True))
    [line] = [each for each in told if each not in plain]
    assert line.payer is Payer.TRAINERS and line.count == trainers * costs.log_messages(plan.rounds)
    assert line.tinycents == line.count * fees.message(limits.TOPIC_MESSAGE_BYTES)
    assert costs.log_messages(rounds) <= limits.AUTHOR_LOG_ENTRIES, "the fold counts no more"


def test_audits_are_told_to_those_who_pay_for_them() -> None:
    """What is paid for validators' work stands in the escrow; these are Hedera's fees."""
    plan = quote(chunks=4, rounds=10, trainers=4, budget=None, timing=LOCAL_TIMING, now_s=1, auditors=3, audits=8).plan
    told = {line.what: line for line in costs.lines(plan, manifest_bytes=950, confirm_every=3)}
    plain = {line.what for line in lines(4, 10, 4)}
    more = {what: (line.count, line.payer) for what, line in told.items() if what not in plain}
    assert more == {
        "requestDraw": (3, Payer.CLIENT),
        "draw": (3, Payer.CLIENT),
        "openings": (16, Payer.TRAINERS),
        "verdicts": (8, Payer.VALIDATORS),
        "claimAudits": (3, Payer.VALIDATORS),
        "withdraw, by validators": (3, Payer.VALIDATORS),
    }
    dispute = costs.dispute_lines(plan)
    finder = plan.slash * plan.finder_share // 10_000 - plan.auditors * plan.audit_price
    assert finder > Rate(cents=12, hbars=1).tinybar(costs.total(dispute, Payer.ACCUSER)), "to find a fraud pays"


def test_fees_are_those_of_the_schedule() -> None:
    """HIP-1261, in US dollars."""
    dollars = [
        (fees.create_topic(), 0.01),
        (fees.message(100), 0.0008),
        (fees.message(1_024), 0.00142832),
        (fees.create_account(), 0.05),
        (fees.create_contract(0), 1.0),
        (fees.call(1_000_000), 0.0852),
    ]
    for tinycents, usd in dollars:
        assert tinycents / fees.TINYCENTS_PER_USD == pytest.approx(usd, rel=1e-3)


@given(st.integers(0, 10**15), st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_sum_in_tinybar_is_never_rounded_down(tinycents: int, cents: int, hbars: int) -> None:
    tinybar = Rate(cents, hbars).tinybar(tinycents)
    assert (tinybar - 1) * cents < tinycents * hbars <= tinybar * cents
