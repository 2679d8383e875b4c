"""A client writes the terms, and whoever accepts is bound by them: what could only serve to cheat is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shoal.core.manifest import AuditRules, Manifest
from shoal.core.money import Tinybar
from shoal.core.task import State
from shoal.roles.trainer import SLOT_SLACK_BYTES, Offer, opening, parse_opening, unacceptable

from ..core.scene import Scene

OFFER = Offer(1.0, 1_000, 8, 500_000_000, max_penalty_tinybar=50_000)


def task(**changes: object) -> State:
    """An open task; changes of the manifest's rules, of the manifest, or of the plan, by name."""
    scene = Scene()
    scene.say(scene.client, "manifest", {"manifest": scene.manifest.to_bytes()})
    state = scene.state
    manifest, plan = state.manifest, state.plan
    assert isinstance(manifest, Manifest)
    for name, value in changes.items():
        if hasattr(manifest.rules, name):
            manifest = replace(manifest, rules=replace(manifest.rules, **{name: value}))
        elif hasattr(manifest, name):
            manifest = replace(manifest, **{name: value})
        else:
            plan = replace(plan, **{name: value})
    return replace(state, manifest=manifest, plan=plan)


def test_honest_terms_are_taken() -> None:
    assert unacceptable(task(), OFFER, 10**9) == ""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"no_show_penalty": Tinybar(50_001)}, "no-show"),
        ({"aggregate_timeout_s": 1}, "time"),
        ({"confirm_every": 10_000}, "seldom"),
        ({"confirm_every": 3}, "seldom"),
        ({"window": 30 * 24 * 3600}, "locked"),
        ({"dispute_time": 7 * 24 * 3600}, "locked"),
        ({"slot_bytes": 999}, "slots"),
        ({"slot_bytes": 1_000 + SLOT_SLACK_BYTES + 1}, "slots"),
        ({"stake_per_seat": Tinybar(10**9 + 1)}, "stake"),
    ],
)
def test_each_bad_term_is_found(changes: dict[str, object], says: str) -> None:
    assert says in unacceptable(task(**changes), OFFER, 10**9)


@pytest.mark.parametrize(
    ("audit", "says"),
    [
        (None, "rules"),
        (AuditRules(4, 60, 10_000), "time"),
        (AuditRules(60, 60, 999), "rounding"),
        (AuditRules(60, 60, 10_000), ""),
    ],
)
def test_audits_that_an_honest_trainer_cannot_stand_are_left_alone(audit: AuditRules | None, says: str) -> None:
    found = unacceptable(task(auditors=3, audits=4, dispute_time=60, audit=audit), OFFER, 10**9)
    assert says in found and bool(found) == bool(says)
    assert "time" in unacceptable(task(auditors=3, dispute_time=9, audit=AuditRules(60, 60, 10_000)), OFFER, 10**9)


def test_an_opening_reads_back_and_nothing_else_does() -> None:
    from shoal.core.auction import Bid
    from shoal.core.codec import CodecError
    from shoal.core.ids import Address, TaskId

    bid = Bid(Address(b"a" * 20), Tinybar(5), 2, 0.25, 99, b"s" * 32)
    payload = opening(TaskId(b"t" * 32), bid)
    assert parse_opening(payload) == (TaskId(b"t" * 32), bid)
    for spoilt in (payload[:-1], payload + b"x", b"", opening(TaskId(b"t" * 32), replace(bid, units=0))):
        with pytest.raises(CodecError):
            parse_opening(spoilt)
