"""Audits in the fold: what is drawn, who may open and say what, and what passes with time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core import calls, court, duties, fold
from shoal.core import events as ev
from shoal.core.audits import Audit, Finding, Unit, draw
from shoal.core.codec import digest
from shoal.core.court import AuditUnit, JudgeUnit, OpenUnit, Vote
from shoal.core.fold import Item
from shoal.core.ids import Address, Digest
from shoal.core.merkle import AuditLeaf, verify
from shoal.core.money import Tinybar
from shoal.core.task import SECOND_NS, Phase, State
from shoal.testing.simulator import DISPUTE_S, OPEN_S, VERDICT_S

from .scene import Scene

ADDRESSES = st.integers(1, 6).map(lambda number: Address(bytes([number]) * 20))
UNITS = st.lists(
    st.builds(Unit, st.integers(1, 5), st.integers(0, 9), ADDRESSES), unique_by=lambda unit: (unit.round, unit.chunk)
)
COMMITTEES = st.lists(ADDRESSES, max_size=5, unique=True)


def first(scene: Scene) -> Audit:
    return next(iter(scene.state.audits.values()))


def now(scene: Scene, audit: Audit) -> Audit:
    return scene.state.audits[audit.unit.round, audit.unit.chunk]


def ignored(scene: Scene, who: Address, kind: str, body: dict[str, object]) -> bool:
    before = scene.state
    scene.say(who, kind, body)
    return scene.state.audits == before.audits and scene.state.disputes == before.disputes


# ---------------------------------------------------------------- the draw


@given(st.binary(min_size=32, max_size=32), UNITS, COMMITTEES, st.integers(-1, 60))
def test_a_draw_is_fair_bounded_and_everybody_s(
    seed: bytes, units: list[Unit], committee: list[Address], count: int
) -> None:
    drawn = draw(seed, units, committee, count)
    assert drawn == draw(seed, units[::-1], committee, count), "whatever the order that somebody has them in"
    assert len(drawn) == (min(max(count, 0), len(units)) if committee else 0)
    chosen = [unit for unit, _ in drawn]
    assert len(set(chosen)) == len(chosen) and set(chosen) <= set(units)
    offered, taken = Counter(unit.trainer for unit in units), Counter(unit.trainer for unit in chosen)
    for one in offered:
        for other in offered:
            assert taken[one] <= taken[other] + 1 or taken[other] == offered[other], "as often as the others"
    work = Counter(validator for _, validator in drawn)
    assert not work or max(work.values()) - min(work[each] for each in committee) <= 1


def test_another_seed_draws_other_units() -> None:
    units = [Unit(round, chunk, Address(bytes([chunk + 1]) * 20)) for round in range(1, 5) for chunk in range(4)]
    committee = [Address(b"v" * 20)]
    draws = {tuple(draw(digest(bytes([n])), units, committee, 4)) for n in range(20)}
    assert len(draws) > 15


def test_as_many_are_drawn_as_the_plan_pays_for_and_only_what_was_confirmed() -> None:
    scene = Scene(audits=12).audited()
    assert len(scene.state.audits) == 6 and {unit for unit, _ in scene.state.audits} == {1, 2}
    assert set(Counter(audit.unit.trainer for audit in scene.state.audits.values()).values()) == {2}
    scene.round()
    scene.round()
    assert scene.state.phase is Phase.FINISHED and scene.state.final is None, "the last audits are to come"
    scene.drawn(b"other")
    assert len(scene.state.audits) == 12 and {unit for unit, _ in list(scene.state.audits)[6:]} == {3, 4}


def test_a_task_without_audits_is_final_at_once() -> None:
    scene = Scene().finished()
    assert scene.state.final is scene.state.marks[-1]


# ---------------------------------------------------------------- openings and verdicts


def test_only_its_trainer_opens_a_unit_only_to_its_auditor_and_once() -> None:
    scene = Scene(audits=12).audited()
    audit = first(scene)
    other = next(each for each in scene.trainers if each != audit.unit.trainer)
    assert OpenUnit(audit.unit, (audit.validator,)) in court.openings(scene.state, audit.unit.trainer)
    assert ignored(scene, other, "open", scene.opening(audit))
    stranger = next(each for each in audit.committee if each != audit.validator)
    assert ignored(scene, audit.unit.trainer, "open", scene.opening(audit, to=stranger))
    assert ignored(scene, audit.unit.trainer, "open", scene.opening(audit, sealed=b"x" * 10_000))
    assert ignored(scene, audit.validator, "verdict", scene.verdict(audit)), "nothing to say before it is opened"
    scene.say(audit.unit.trainer, "open", scene.opening(audit))
    assert now(scene, audit).sealed == b"key"
    assert ignored(scene, audit.unit.trainer, "open", scene.opening(audit, sealed=b"another"))
    assert court.work(scene.state, audit.validator) == [AuditUnit(now(scene, audit))]


def test_only_its_auditor_says_what_it_found_and_once() -> None:
    scene = Scene(audits=12).audited()
    audit = first(scene)
    scene.say(audit.unit.trainer, "open", scene.opening(audit))
    for other in (each for each in audit.committee if each != audit.validator):
        assert ignored(scene, other, "verdict", scene.verdict(audit))
    assert ignored(scene, audit.validator, "verdict", scene.verdict(audit, "withheld")), "time decides that"
    assert ignored(scene, audit.validator, "verdict", scene.verdict(audit, state=b"short"))
    scene.say(audit.validator, "verdict", scene.verdict(audit))
    assert now(scene, audit).finding is Finding.OK
    assert ignored(scene, audit.validator, "verdict", scene.verdict(audit, "wrong"))
    scene.round()
    scene.round()
    assert scene.state.marks[-1].audit_credits == (AuditLeaf(audit.validator, 1),)


def test_a_unit_that_is_not_opened_costs_the_seat_and_is_no_fraud() -> None:
    scene = Scene(audits=12).audited()
    audit = first(scene)
    for each in list(scene.state.audits.values())[1:]:
        scene.say(each.unit.trainer, "open", scene.opening(each))
    scene.pass_time(OPEN_S + 1)
    seat = scene.state.seat_of(audit.unit.trainer)
    assert seat is not None and "did not open" in seat.lost and not seat.slashed
    assert now(scene, audit).finding is Finding.WITHHELD
    assert not any(other.lost for other in scene.state.seats if other is not seat)
    assert duties.work(scene.state, seat.trainer) == []


def test_an_auditor_that_says_nothing_is_not_paid_and_holds_up_nobody() -> None:
    scene = Scene(audits=12).audited()
    for audit in list(scene.state.audits.values()):
        scene.say(audit.unit.trainer, "open", scene.opening(audit))
    scene.round()
    scene.pass_time(1)
    last = max(audit.place for audit in scene.state.audits.values())
    due_ns = max(a.opened_ns + VERDICT_S * (a.place + 1) * SECOND_NS for a in scene.state.audits.values())
    assert last == 1 and fold.next_deadline(scene.state) is not None
    scene.state = fold.advance(scene.state, due_ns)
    assert {audit.finding for audit in scene.state.audits.values()} == {Finding.LAPSED}


def test_what_most_of_a_committee_cannot_use_was_not_opened() -> None:
    scene = Scene(audits=12).audited()
    audit = first(scene)
    asked = []
    for _ in range(2):
        audit = now(scene, audit)
        asked.append(audit.validator)
        scene.say(audit.unit.trainer, "open", scene.opening(audit))
        scene.say(audit.validator, "verdict", scene.verdict(audit, "unusable"))
    assert len(set(asked)) == 2 and now(scene, audit).finding is Finding.WITHHELD
    seat = scene.state.seat_of(audit.unit.trainer)
    assert seat is not None and seat.lost and not seat.slashed


def test_one_word_that_it_was_of_no_use_costs_the_trainer_nothing() -> None:
    scene = Scene(audits=12).audited()
    audit = first(scene)
    scene.say(audit.unit.trainer, "open", scene.opening(audit))
    scene.say(audit.validator, "verdict", scene.verdict(audit, "unusable"))
    again = now(scene, audit)
    assert again.finding is None and again.validator != audit.validator and not again.sealed
    scene.say(audit.unit.trainer, "open", scene.opening(again))
    scene.say(again.validator, "verdict", scene.verdict(again))
    assert now(scene, audit).finding is Finding.OK and not any(seat.lost for seat in scene.state.seats)


def test_the_last_draw_is_not_waited_for_without_end() -> None:
    scene = Scene(audits=12).finished()
    assert scene.state.final is None
    scene.pass_time(OPEN_S + court.SEED_S + 1)
    assert scene.state.final is not None and scene.state.final.audits == 0


def test_the_result_waits_for_the_last_audits_and_pays_them() -> None:
    scene = Scene(audits=4).finished()
    scene.drawn()
    audits = list(scene.state.audits.values())
    assert len(audits) == 4 and scene.state.final is None
    for audit in audits:
        scene.say(audit.unit.trainer, "open", scene.opening(audit))
        scene.say(audit.validator, "verdict", scene.verdict(audit))
    final = scene.state.final
    assert final is not None and final.audits == 4 and final.units == scene.state.marks[-1].units
    assert final.audit_credits == tuple(
        AuditLeaf(who, count) for who, count in sorted(Counter(audit.validator for audit in audits).items())
    )


# ---------------------------------------------------------------- disputes


def accused() -> tuple[Scene, Audit, bytes]:
    scene = Scene(audits=12).audited()
    audit = first(scene)
    scene.say(audit.unit.trainer, "open", scene.opening(audit))
    scene.say(audit.validator, "verdict", scene.verdict(audit, "wrong"))
    task, unit = scene.place.task, audit.unit
    (owed,) = court.accusations(scene.state, audit.validator)
    assert owed == calls.Accuse(task, unit.trainer, court.evidence(scene.state, unit))
    assert court.bond_of(scene.state, owed) == scene.state.plan.bond
    return scene, audit, scene.accuse(audit)


def test_an_accusation_names_the_unit_and_is_made_once() -> None:
    scene, audit, dispute = accused()
    assert scene.state.disputes[dispute].unit == audit.unit
    assert court.accusations(scene.state, audit.validator) == []
    scene.take(ev.DisputeClosed(scene.place.task, dispute, 3, audit.unit.trainer, Tinybar(1)))
    assert court.accusations(scene.state, audit.validator) == [], "not again for the same unit"


def test_jurors_train_what_was_opened_to_them() -> None:
    scene, audit, dispute = accused()
    scene.pass_time(court.SEED_S + 1)
    assert calls.DrawJury(dispute) in court.court_calls(scene.state, audit.validator)
    scene.jury(dispute, 2, 3, 4)
    jury = scene.state.disputes[dispute].jury
    assert court.openings(scene.state, audit.unit.trainer)[0] == OpenUnit(audit.unit, jury, dispute)
    assert [duty for duty in court.work(scene.state, jury[0]) if not isinstance(duty, AuditUnit)] == []
    scene.say(audit.unit.trainer, "open", scene.opening(audit, dispute=dispute, sealed=b"to all of you"))
    assert court.work(scene.state, jury[1])[0] == JudgeUnit(dispute, audit.unit, b"to all of you")
    for juror in jury:
        scene.take(ev.Judged(scene.place.task, dispute, juror, True))
        assert not any(isinstance(duty, JudgeUnit | Vote) for duty in court.work(scene.state, juror))
    scene.pass_time(2)
    assert calls.Resolve(dispute) in court.court_calls(scene.state, audit.validator)


def test_jurors_judge_against_an_accused_that_stays_silent() -> None:
    scene, _, dispute = accused()
    scene.jury(dispute, 3, 4, 2)
    scene.pass_time(min(OPEN_S, DISPUTE_S // 2) + 1)
    assert court.work(scene.state, scene.validators[3])[0] == Vote(calls.Judge(dispute, True))
    scene.pass_time(DISPUTE_S)
    assert court.work(scene.state, scene.validators[3]) == [], "too late, and not to be called in vain"


def test_an_accusation_that_names_no_unit_of_the_accused_is_rejected() -> None:
    scene = Scene(audits=12).audited()
    name, trainer, bond = digest(b"d"), scene.trainers[0], scene.state.plan.bond
    scene.take(ev.DisputeOpened(scene.place.task, name, 0, scene.validators[4], trainer, digest(b"nothing"), bond))
    scene.jury(name, 0, 1, 3)
    assert court.work(scene.state, scene.validators[3])[0] == Vote(calls.Judge(name, False))
    assert not any(duty.dispute for duty in court.openings(scene.state, trainer)), "and there is nothing to open"


def test_who_found_a_fraud_is_paid_for_the_audit_once_a_jury_says_so() -> None:
    scene, audit, dispute = accused()
    task, trainer = scene.place.task, audit.unit.trainer
    scene.take(ev.DisputeClosed(task, dispute, 2, audit.validator, Tinybar(280)))
    scene.take(ev.Slashed(task, trainer, Tinybar(150), Tinybar(150)))
    seat = scene.state.seat_of(trainer)
    assert seat is not None and seat.slashed and seat.lost
    assert scene.state.gains == {audit.validator: 430, scene.client: 150}
    scene.round()
    scene.round()
    assert AuditLeaf(audit.validator, 1) in scene.state.marks[-1].audit_credits


def confirmed(scene: Scene, **lies: Any) -> ev.ResultConfirmed:
    """A quorum's word on the result: the log's, but for the lies."""
    right = court.true_result(scene.state)
    assert right is not None
    said = replace(right, **lies)
    counts = (said.round, said.units, said.aggregates, said.audits)
    until = scene.state.now_ns // SECOND_NS + 60
    return ev.ResultConfirmed(scene.place.task, said.result, said.log_position, *counts, said.credits_root, until)


def published() -> Scene:
    """Every audit is done with, and the result is posted."""
    scene = Scene(audits=4).finished()
    scene.pass_time(OPEN_S + court.SEED_S + 1)
    scene.state = replace(scene.state, plan=replace(scene.state.plan, window=60))
    scene.say(scene.aggregator(), "result", scene.result())
    return scene


@pytest.mark.parametrize("lie", [{"units": 9}, {"credits_root": digest(b"ours")}, {"result": Digest(digest(b"else"))}])
def test_a_result_that_does_not_follow_from_the_log_is_challenged_once_and_the_jury_sees_it(
    lie: dict[str, Any],
) -> None:
    scene = published()
    scene.take(confirmed(scene, **lie))
    scene.pass_time(4 * court.TURN_S)
    right = court.true_result(scene.state)
    assert right is not None
    challenge = calls.ChallengeResult(scene.place.task, right)
    assert all(court.challenges(scene.state, who) == [challenge] for who in scene.trainers)
    assert court.challenges(scene.state, scene.validators[0]) == [], "who has no part in it takes no part in it"
    nobody, name = Address(bytes(20)), digest(b"dispute")
    bond = scene.state.plan.bond
    scene.take(ev.DisputeOpened(scene.place.task, name, 1, scene.trainers[0], nobody, digest(b"p"), bond))
    scene.take(ev.ReplacementProposed(scene.place.task, name, right))
    assert not any(court.challenges(scene.state, who) for who in scene.trainers)
    scene.jury(name, 0, 1, 2)
    assert court.work(scene.state, scene.validators[0])[0] == Vote(calls.Judge(name, True))


def test_a_right_result_is_challenged_by_nobody_and_a_false_challenge_is_rejected() -> None:
    scene = published()
    scene.take(confirmed(scene))
    scene.pass_time(4 * court.TURN_S)
    assert not any(court.challenges(scene.state, who) for who in scene.trainers)
    right = court.true_result(scene.state)
    assert right is not None
    name, bond = digest(b"dispute"), scene.state.plan.bond
    scene.take(ev.DisputeOpened(scene.place.task, name, 1, scene.trainers[0], Address(bytes(20)), digest(b"p"), bond))
    scene.take(ev.ReplacementProposed(scene.place.task, name, replace(right, units=1)))
    scene.jury(name, 0, 1, 2)
    assert court.work(scene.state, scene.validators[0])[0] == Vote(calls.Judge(name, False))


# ---------------------------------------------------------------- calls, by turns


def test_draws_are_asked_for_and_made_by_one_after_the_other() -> None:
    scene = Scene(audits=12).running()
    scene.round()
    scene.round()
    everyone = [scene.client, *scene.trainers]
    assert not any(court.court_calls(scene.state, who) for who in everyone), "nothing is confirmed yet"
    scene.confirm()
    scene.pass_time(0.5)
    request = calls.RequestDraw(scene.place.task)
    assert [court.court_calls(scene.state, who) for who in everyone] == [[request], [], [], []]
    scene.pass_time(court.TURN_S)
    assert [court.court_calls(scene.state, who) for who in everyone] == [[request], [request], [], []]
    scene.take(ev.DrawRequested(scene.place.task, 2))
    assert not any(court.court_calls(scene.state, who) for who in everyone), "its seed is not known yet"
    scene.pass_time(court.SEED_S + 0.5)
    assert court.court_calls(scene.state, scene.client) == [calls.Draw(scene.place.task)]
    assert court.court_calls(scene.state, Address(b"s" * 20)) == []


def test_a_validator_claims_what_the_settled_root_says() -> None:
    scene = Scene(audits=4).finished()
    scene.drawn()
    for audit in list(scene.state.audits.values()):
        scene.say(audit.unit.trainer, "open", scene.opening(audit))
        scene.say(audit.validator, "verdict", scene.verdict(audit))
    final = scene.state.final
    assert final is not None
    task, counts = scene.place.task, (final.round, final.units, final.aggregates, final.audits)
    root = final.root(scene.place)
    scene.take(ev.ResultConfirmed(task, digest(b"r"), final.log_position, *counts, root, settle_after=1))
    scene.take(ev.Settled(task, Tinybar(1), Tinybar(1)))
    leaf = final.audit_credits[0]
    (claim,) = [each for each in duties.payments(scene.state, leaf.validator) if isinstance(each, calls.ClaimAudits)]
    assert verify(leaf.hash(task), claim.proof, root) and claim.audits == leaf.audits
    scene.take(ev.AuditsClaimed(task, leaf.validator, leaf.audits, Tinybar(80)))
    assert not any(isinstance(each, calls.ClaimAudits) for each in duties.payments(scene.state, leaf.validator))
    scene.pass_time(duties.PATIENCE_S + 1)
    others = [each for each in duties.payments(scene.state, scene.client) if isinstance(each, calls.ClaimAudits)]
    assert {each.validator for each in others} == {each.validator for each in final.audit_credits[1:]}


# ---------------------------------------------------------------- time


def items() -> tuple[State, list[Item], int]:
    """A task with everything in it: an audit of each end, and a dispute."""
    scene, log = Scene(audits=12), []
    take = scene.take

    def noted(what: object) -> None:
        log.append(Item(scene.state.now_ns + 1_000_000, what))  # type: ignore[arg-type]
        take(what)  # type: ignore[arg-type]

    scene.take = noted  # type: ignore[method-assign]
    begin = scene.state
    scene.audited()
    audits = list(scene.state.audits.values())
    for audit in audits[1:]:
        scene.say(audit.unit.trainer, "open", scene.opening(audit))
    scene.say(audits[1].validator, "verdict", scene.verdict(audits[1]))
    scene.say(audits[2].validator, "verdict", scene.verdict(audits[2], "unusable"))
    scene.say(audits[3].validator, "verdict", scene.verdict(audits[3], "wrong"))
    scene.jury(scene.accuse(audits[3]), 2, 3, 4)
    scene.pass_time(OPEN_S - 2)
    scene.round()
    return begin, log, scene.state.now_ns + 100 * SECOND_NS


BEGIN, ITEMS, END_NS = items()


@given(st.lists(st.floats(0, 1), max_size=12))
def test_when_a_node_looks_makes_no_difference(looks: list[float]) -> None:
    whole = BEGIN
    for item in ITEMS:
        whole = fold.step(whole, item)
    whole = fold.advance(whole, END_NS)
    state, times = BEGIN, sorted(int(BEGIN.now_ns + look * (END_NS - BEGIN.now_ns)) for look in looks)
    for item in ITEMS:
        while times and times[0] < item.time_ns:
            state = fold.advance(state, times.pop(0))
        state = fold.step(state, item)
    for time_ns in times:
        state = fold.advance(state, time_ns)
    assert fold.advance(state, END_NS) == whole
    assert Finding.WITHHELD in {audit.finding for audit in whole.audits.values()}
