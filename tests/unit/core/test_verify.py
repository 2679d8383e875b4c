"""Verification: what is true of whole simulated tasks holds, and each claim that is broken is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from shoal.core import events as ev
from shoal.core.entries import Entry
from shoal.core.fold import Item
from shoal.core.money import Tinybar
from shoal.core.verdicts import Check, Verdict
from shoal.core.verify import Evidence, folded, verify
from shoal.testing import Fault, Trace, simulate
from shoal.testing.standing import standing

run = cache(simulate)


def evidence_of(trace: Trace) -> Evidence:
    task = trace.begin.place.task
    items = tuple(
        item for item in trace.items if isinstance(item.what, Entry) or getattr(item.what, "task_id", None) == task
    )
    created = next(item.what for item in items if isinstance(item.what, ev.TaskCreated))
    begin = next(index for index, item in enumerate(items) if item.what is created)
    told = standing(trace.market, task, topic=created.topic, manifest_hash=created.manifest_hash)
    return Evidence(trace.begin.place, items[begin:], trace.end_ns, paid_in=int(created.escrow), standing=told)


def whole() -> Evidence:
    return evidence_of(run(7, 4, 4, 4))


def wrong(evidence: Evidence) -> dict[str, str]:
    return {check.name: check.found for check in verify(evidence) if check.verdict is Verdict.WRONG}


def row(evidence: Evidence, name: str) -> Check:
    (found,) = (check for check in verify(evidence) if check.name == name)
    return found


# ---------------------------------------------------------------- what is true holds


def test_a_task_without_faults_holds_in_every_row() -> None:
    checks = verify(whole())
    assert [check.name for check in checks if check.verdict is Verdict.UNKNOWN] == ["price", "training", "weights"]
    assert {check.verdict for check in checks} == {Verdict.HOLDS, Verdict.UNKNOWN}
    names = [check.name for check in checks]
    assert len(set(names)) == len(names)
    assert {"entries", "manifest", "award", "seats", "checkpoints", "progress", "result"} <= set(names)
    assert {"end", "payments", "escrow in = out", "state"} <= set(names)
    assert all(check.found and check.by for check in checks)


@pytest.mark.parametrize("fault", list(Fault), ids=str)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_task_in_which_something_went_wrong_holds_all_the_same(fault: Fault, seed: int) -> None:
    evidence = evidence_of(run(seed, 4, 5, 3, (fault,)))
    assert wrong(evidence) == {}


def test_the_log_may_be_looked_at_at_any_time() -> None:
    evidence = whole()
    for count in range(1, len(evidence.items) + 1, 3):
        items = evidence.items[:count]
        part = replace(evidence, items=items, until_ns=items[-1].time_ns, standing=None)
        assert wrong(part) == {}, count


def test_the_same_evidence_says_the_same() -> None:
    assert verify(whole()) == verify(whole())


# ---------------------------------------------------------------- each claim broken once


def with_event(kind: type[Any], number: int = -1, **changes: Any) -> Evidence:
    """The log with one event forged: `changes` are values, or functions of the one that was."""
    evidence = whole()
    places = [index for index, item in enumerate(evidence.items) if isinstance(item.what, kind)]
    items = list(evidence.items)
    place = places[number]
    old = items[place].what
    new = {name: value(getattr(old, name)) if callable(value) else value for name, value in changes.items()}
    items[place] = Item(items[place].time_ns, replace(old, **new))  # type: ignore[type-var]
    return replace(evidence, items=tuple(items))


def more(amount: int) -> Tinybar:
    return Tinybar(amount + 1)


def other(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


FORGED: dict[str, tuple[str, str, Callable[[], Evidence]]] = {
    "escrow said": ("escrow", "worst case", lambda: with_event(ev.TaskCreated, escrow=more)),
    "award root": ("award", "unknown", lambda: with_event(ev.Awarded, root=other)),
    "unit price": ("award", "ceiling", lambda: with_event(ev.Awarded, unit_price=Tinybar(10**9))),
    "seat's units": ("seats", "not awarded", lambda: with_event(ev.Accepted, units=lambda units: units + 1)),
    "quorum": ("seats", "quorum", lambda: with_event(ev.Started, quorum=1)),
    "confirmed checkpoint": (
        "progress",
        "another checkpoint",
        lambda: with_event(ev.CheckpointConfirmed, checkpoint=other),
    ),
    "confirmed units": ("progress", "units", lambda: with_event(ev.CheckpointConfirmed, units=more)),
    "confirmed credits": (
        "progress",
        "root of credits",
        lambda: with_event(ev.CheckpointConfirmed, credits_root=other),
    ),
    "confirmed result": (
        "result",
        "no result that the log names",
        lambda: with_event(ev.ResultConfirmed, result=other),
    ),
    "credits of the result": ("result", "root of credits", lambda: with_event(ev.ResultConfirmed, credits_root=other)),
    "place in the log": ("result", "another place", lambda: with_event(ev.ResultConfirmed, log_position=more)),
    "window": ("result", "window", lambda: with_event(ev.ResultConfirmed, settle_after=more)),
    "reserved": ("end", "reserved for claims", lambda: with_event(ev.Settled, reserved=more)),
    "refund": ("end", "given back", lambda: with_event(ev.Settled, refunded=more)),
    "pay": ("payments", "was paid", lambda: with_event(ev.Claimed, paid=more)),
    "paid units": (
        "payments",
        "the log credits it with",
        lambda: with_event(ev.Claimed, units=lambda units: units + 1),
    ),
    "stake back": ("payments", "got back of its stake", lambda: with_event(ev.Claimed, stake_returned=more)),
    "penalty": ("payments", "lost of its stake", lambda: with_event(ev.Claimed, penalty=more)),
    "finder's fee": ("payments", "finder", lambda: with_event(ev.Claimed, finder_fee=more)),
    "forfeited": ("payments", "forfeited", lambda: with_event(ev.Claimed, forfeited=more)),
    "who was paid": ("payments", "never had a seat", lambda: with_event(ev.Claimed, trainer=other)),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_event_is_found(name: str) -> None:
    check, says, forge = FORGED[name]
    evidence = forge()
    if says == "unknown":
        # The client's entry no longer fits: whom it awarded is not shown, and the contract is of another mind.
        assert row(evidence, check).verdict is Verdict.UNKNOWN
        check, says = "state", "award"
    found = wrong(evidence)
    assert says in found.get(check, ""), found


def without(kind: type[Any], number: int = -1) -> Evidence:
    evidence = whole()
    places = [index for index, item in enumerate(evidence.items) if isinstance(item.what, kind)]
    items = [item for index, item in enumerate(evidence.items) if index != places[number]]
    return replace(evidence, items=tuple(items))


def test_a_confirmation_without_its_votes_is_found() -> None:
    evidence = whole()
    items = tuple(item for item in evidence.items if not isinstance(item.what, ev.CheckpointVoted))
    assert "0 votes" in wrong(replace(evidence, items=items))["progress"]
    items = tuple(item for item in evidence.items if not isinstance(item.what, ev.ResultVoted))
    assert "1 votes" in wrong(replace(evidence, items=items))["result"]


def test_an_event_that_the_mirror_left_out_is_found_by_the_contract() -> None:
    assert "closed seats" in wrong(without(ev.Claimed))["state"]
    assert "quorum" in wrong(without(ev.Started))["state"]
    assert "phase" in wrong(without(ev.Settled))["state"]


def test_a_second_payment_to_one_trainer_is_found() -> None:
    evidence = whole()
    again = next(item for item in evidence.items if isinstance(item.what, ev.Claimed))
    found = wrong(replace(evidence, items=(*evidence.items, Item(evidence.until_ns, again.what))))
    assert "paid twice" in found["payments"]


def test_more_out_than_in_is_found() -> None:
    found = wrong(with_event(ev.Settled, refunded=Tinybar(10**12)))
    assert "more left the escrow" in found["escrow in = out"]
    assert "went nowhere" in wrong(with_event(ev.Claimed, paid=Tinybar(0)))["escrow in = out"]


def test_an_escrow_that_was_not_paid_in_is_found() -> None:
    assert "went into the contract" in wrong(replace(whole(), paid_in=1))["escrow"]


def test_an_entry_that_was_changed_or_left_out_breaks_its_chain() -> None:
    evidence = whole()
    places = [
        index
        for index, item in enumerate(evidence.items)
        if isinstance(item.what, Entry) and item.what.kind == "update"
    ]
    items = list(evidence.items)
    victim = items[places[0]].what
    assert isinstance(victim, Entry)
    items[places[0]] = Item(items[places[0]].time_ns, replace(victim, signature=other(victim.signature)))
    found = wrong(replace(evidence, items=tuple(items)))
    assert "is missing" in found["entries"]
    del items[places[0]]
    assert "is missing" in wrong(replace(evidence, items=tuple(items)))["entries"]


def test_a_log_without_its_manifest_leaves_the_rest_unknown() -> None:
    evidence = whole()
    items = tuple(
        item for item in evidence.items if not (isinstance(item.what, Entry) and item.what.kind == "manifest")
    )
    assert row(replace(evidence, items=items), "manifest").verdict is Verdict.UNKNOWN


def test_another_manifest_than_the_one_on_chain_is_none() -> None:
    evidence = with_event(ev.TaskCreated, manifest_hash=other)
    assert "its id" in wrong(evidence)["task id"]
    assert row(evidence, "manifest").verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("field", ["quorum", "reserved_tinybar", "accepted", "ready", "phase", "unit_price"])
def test_a_contract_of_another_mind_is_found(field: str) -> None:
    evidence = whole()
    assert evidence.standing is not None
    told = replace(evidence.standing, **{field: getattr(evidence.standing, field) + 1})
    assert "contract" in wrong(replace(evidence, standing=told))["state"]


def test_of_a_task_that_goes_on_only_what_stays_is_compared() -> None:
    evidence = whole()
    assert evidence.standing is not None
    told = replace(evidence.standing, reserved_tinybar=Tinybar(5), phase=1)
    moving = replace(evidence, standing=told, moved_on=True)
    assert "state" not in wrong(moving)
    assert "plan" in wrong(replace(moving, standing=replace(told, plan=replace(told.plan, rounds=9))))["state"]


def test_equivocation_is_listed_with_its_proof() -> None:
    for seed in range(1, 9):
        evidence = evidence_of(run(seed, 4, 5, 3, (Fault.EQUIVOCATE,)))
        found = row(evidence, "equivocation")
        if found.verdict is Verdict.NOTED:
            assert "signed two entries of number" in found.found
            assert any(author.equivocated for author in folded(evidence).authors.values())
            return
    raise AssertionError("no seed has an equivocator that was seated")


def test_what_strangers_write_is_counted_and_harms_nothing() -> None:
    counted = ""
    for seed in range(1, 6):
        counted += row(evidence_of(run(seed, 3, 3, 3, (Fault.SPAM,))), "entries").found
    assert "forged" in counted and "of another task" in counted


def test_evidence_begins_with_the_task() -> None:
    with pytest.raises(ValueError, match="TaskCreated"):
        verify(replace(whole(), items=whole().items[1:]))
