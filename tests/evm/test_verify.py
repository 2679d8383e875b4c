"""What a verifier makes of the contract's own events, with disputes to each of their ends: a forged one is found.

That it finds nothing in those that the contract really emits, every test with a `Twin` checks after every call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from shoal.core import calls
from shoal.core import events as ev
from shoal.core.codec import digest
from shoal.core.money import Tinybar

from .test_disputes import WRONG, settle_and_claim
from .twin import KEY, PLAN, Twin

BOND = int(PLAN.bond)


@cache
def fraud() -> Twin:
    twin = Twin().running()
    twin(twin.trainers[0], twin.checkpoint())
    twin(twin.trainers[1], twin.checkpoint())
    twin(twin.client, calls.RequestDraw(twin.task))
    twin.wait(2)
    twin(twin.client, calls.Draw(twin.task))
    twin(twin.trainers[0], twin.publish(twin.result()))
    twin(twin.trainers[1], twin.confirm(twin.result()))
    twin.judged(twin.accused(), True, True, False)
    settle_and_claim(twin, 0, 1, 2)
    drawn = next(event for event in twin.happened if isinstance(event, ev.Drawn))
    for i, leaf in enumerate(twin.audits):
        if leaf.validator in {member.validator for member in drawn.committee}:
            twin(twin.stranger, twin.claim_audits(i))
    return twin


@cache
def challenged() -> Twin:
    twin = Twin().settling()
    twin(twin.stranger, calls.Register(KEY, KEY))
    twin(twin.stranger, calls.ChallengeResult(twin.task, twin.result(**WRONG)), BOND)
    twin.judged(twin.dispute(), True, True, True)
    settle_and_claim(twin, 0, 1, 2)
    return twin


@cache
def void() -> Twin:
    """One juror of three voted."""
    twin = Twin().running()
    twin.judged(twin.accused(), True)
    return twin


@cache
def idle() -> Twin:
    """Trainer 2 accepted and was not ready; it takes what is its own while the others train, and they are paid."""
    twin = Twin().running(ready=2)
    twin(twin.trainers[2], calls.Release(twin.task, twin.trainers[2]))
    twin(twin.trainers[0], twin.publish(twin.result()))
    twin(twin.trainers[1], twin.confirm(twin.result()))
    twin(twin.stranger, calls.Register(KEY, KEY))
    for name in (b"one", b"two"):
        twin(twin.stranger, calls.ChallengeResult(twin.task, twin.result(result=digest(name))), BOND)
    for number in (1, 2):
        twin.judged(twin.dispute(number), False, False, False)
    twin(twin.stranger, calls.Accuse(twin.task, twin.trainers[0], digest(b"entry")), BOND)
    twin.judged(twin.dispute(3), False, False, True)
    settle_and_claim(twin, 0, 1)
    twin.wait(31 * 24 * 3600)
    twin(twin.stranger, calls.Expire(twin.task))
    return twin


@cache
def undercut() -> Twin:
    """A false progress was put right by an appeal."""
    twin = Twin().running()
    for cheat in twin.trainers[:2]:
        twin(cheat, replace(twin.checkpoint(2), units=12))
    twin.at(PLAN.end_by + 1)
    twin(twin.trainers[2], calls.Appeal(twin.task, twin.result()), BOND)
    twin.judged(twin.dispute(), True, True, True)
    settle_and_claim(twin, 0, 1, 2)
    return twin


def more(amount: int) -> int:
    return amount + 1


def other(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


def _second() -> ev.DisputeOpened:
    return [event for event in idle().happened if isinstance(event, ev.DisputeOpened)][1]


FORGED: list[tuple[str, Callable[[], Twin], type[Any], dict[str, Callable[[Any], Any]]]] = [
    ("a bond was", fraud, ev.DisputeOpened, {"bond": more}),
    ("without being due", fraud, ev.Judged, {"juror": other}),
    ("take part in the task, or too few", fraud, ev.JuryDrawn, {"jury": lambda jury: jury[:2]}),
    ("juror", fraud, ev.JurorPaid, {"amount": more}),
    ("fined more", fraud, ev.JurorFined, {"amount": more}),
    ("otherwise than its jury voted", fraud, ev.DisputeClosed, {"state": lambda state: 3}),
    ("a bond went to", fraud, ev.DisputeClosed, {"bond_to": other}),
    ("of a bond came back", fraud, ev.DisputeClosed, {"bond_returned": more}),
    ("other jurors were fined", fraud, ev.JurorFined, {"juror": other}),
    ("other jurors were paid", fraud, ev.JurorPaid, {"juror": other}),
    ("of a bond came back", void, ev.DisputeClosed, {"bond_returned": lambda bond: 0}),
    ("a bond went to", void, ev.DisputeClosed, {"bond_to": other}),
    ("juror", void, ev.JurorPaid, {"amount": more}),
    ("other jurors were fined", void, ev.JurorFined, {"juror": other}),
    ("was compensated with", idle, ev.Released, {"compensation": more}),
    ("got back of its stake", idle, ev.Released, {"stake_returned": more}),
    ("before the end", idle, ev.TrainerReady, {"trainer": lambda who: idle().trainers[2]}),
    ("was never ready", idle, ev.TrainerReady, {"trainer": other}),
    ("reserved for claims", idle, ev.Settled, {"reserved": more}),
    ("compensation in all", idle, ev.Expired, {"compensation": more}),
    ("accused and was never ready", idle, ev.TrainerReady, {"trainer": other}),
    ("opened beside one about the same", idle, ev.DisputeOpened, {"subject": lambda _: _second().subject}),
    ("lost of its stake", undercut, ev.CheckpointVoted, {"voter": other}),
    ("without a jury's word", fraud, ev.Slashed, {"trainer": other}),
    ("the finder got", fraud, ev.Slashed, {"to_finder": more}),
    ("the client got", fraud, ev.Slashed, {"to_client": more}),
    ("forfeited", fraud, ev.Claimed, {"forfeited": more}),
    ("for audits", fraud, ev.AuditsClaimed, {"paid": more}),
    ("the log does not credit", fraud, ev.AuditsClaimed, {"audits": more}),
    ("never drawn", fraud, ev.AuditsClaimed, {"validator": other}),
    ("about another result", challenged, ev.ReplacementProposed, {"result": lambda r: replace(r, units=r.units + 1)}),
    ("by another than a jury upheld", challenged, ev.ResultReplaced, {"result": lambda result: digest(b"mine")}),
    ("lost of its stake", challenged, ev.Claimed, {"penalty": more}),
    ("the finder got", challenged, ev.Claimed, {"finder_fee": more}),
    ("nobody opened", challenged, ev.DisputeClosed, {"dispute_id": other}),
]


@pytest.mark.parametrize(
    ("says", "scene", "kind", "changes"), FORGED, ids=[f"{c[0]}-{c[1].__name__}-{c[2].__name__}" for c in FORGED]
)
def test_a_forged_event_is_found(
    says: str, scene: Callable[[], Twin], kind: type[Any], changes: dict[str, Callable[[Any], Any]]
) -> None:
    twin = scene()
    assert twin.books(twin.happened).faults == []
    happened = list(twin.happened)
    place = next(index for index, event in enumerate(happened) if isinstance(event, kind))
    old: Any = happened[place]
    happened[place] = replace(old, **{name: change(getattr(old, name)) for name, change in changes.items()})
    found = [text for _, text in twin.books(happened).faults]
    assert any(says in text for text in found), found


def test_what_happens_twice_is_found() -> None:
    twin = fraud()
    for kind in (ev.Claimed, ev.AuditsClaimed, ev.Slashed, ev.Settled):
        again = next(event for event in twin.happened if isinstance(event, kind))
        assert any("twice" in text for _, text in twin.books([*twin.happened, again]).faults), kind


def test_a_slash_counts_without_the_pay_of_who_was_slashed() -> None:
    books = fraud().books(fraud().happened)
    assert (books.slashes, books.forfeited) == (int(PLAN.slash), 4 * 900)
    assert books.paid == 3 * 900 + 77 + 2 * 900
    assert books.penalties == Tinybar(int(PLAN.no_show_penalty))
