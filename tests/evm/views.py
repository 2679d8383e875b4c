"""What the contract's views say, field by field, against the model's books."""

from __future__ import annotations

from typing import Any

from shoal.core import calls
from shoal.core.ids import Address, TaskId
from shoal.testing import Market as Model
from shoal.testing.market_books import NOTHING, MarketTask, TakenSeat

from .harness import Market

ZERO = bytes(32)


def same_task(market: Market, model: Model, task_id: TaskId) -> None:
    """`getTask`, `getSeat` of all that accepted, and `votesFor` every proposal."""
    ours, theirs = model.tasks[task_id], market.view("getTask", task_id)
    plan = theirs.pop("plan")
    assert list(plan.values()) == [getattr(ours.plan, name) for name in calls.Plan.__slots__]
    told = {name: theirs[name] for name in _task(ours)}
    assert told == _task(ours)
    for who in ours.seats:
        assert market.view("getSeat", task_id, who) == _seat(ours.seats[who])
    for proposal, voters in ours.votes.items():
        assert market.view("votesFor", task_id, proposal) == len(voters)


def same_dispute(market: Market, model: Model, dispute_id: bytes) -> None:
    """`getDispute`, with the ballots."""
    ours, answer = model.court.disputes[dispute_id], market.view("getDispute", dispute_id)
    theirs, ballots = answer["dispute"], answer["ballots"]
    votes = list(ours.ballots.values())
    assert theirs == {
        "taskId": ours.task,
        "kind": int(ours.kind),
        "state": int(ours.state),
        "upheld": votes.count(True),
        "rejected": votes.count(False),
        "bond": ours.bond,
        "openedAt": ours.opened_s,
        "drawBlock": ours.draw_block,
        "decideBy": ours.decide_by,
        "challenger": ours.challenger,
        "accused": ours.accused,
        "subject": ours.subject,
        "jury": theirs["jury"],
        "replacement": _result(ours.replacement),
    }
    assert [bytes.fromhex(each[2:]) if isinstance(each, str) else each for each in theirs["jury"]] == list(ours.ballots)
    assert list(ballots) == [{None: 1, True: 2, False: 3}[vote] for vote in votes]


def same_validator(market: Market, model: Model, who: Address) -> None:
    """`getValidator`."""
    ours, theirs = model.court.validator(who), market.view("getValidator", who)
    assert theirs["poolSize"] == len(model.court.pool)
    assert theirs["validator"] == {
        "stake": ours.stake,
        "place": ours.place,
        "duties": ours.duties,
        "leftBlock": ours.left_block,
    }


def _task(ours: MarketTask) -> dict[str, Any]:
    progress = _result(ours.progress)
    return {
        "client": ours.client,
        "phase": int(ours.phase),
        "quorum": ours.quorum,
        "escrow": ours.escrow,
        "reserved": ours.reserved,
        "unitPrice": ours.unit_price,
        "primaries": ours.primaries,
        "primariesAccepted": ours.primaries_accepted,
        "accepted": len(ours.seats),
        "ready": sum(seat.ready for seat in ours.seats.values()),
        "idle": ours.idle,
        "awardRoot": ours.award_root,
        "settleAfter": ours.settle_after,
        "claimUntil": ours.claim_until,
        "claimedUnits": ours.claimed_units,
        "claimedAggregates": ours.claimed_aggregates,
        "claimedAudits": ours.claimed_audits,
        "compensationDue": ours.compensation_due,
        "drawnRound": ours.drawn_round,
        "drawBlock": ours.draw_block,
        "openDisputes": ours.open_disputes,
        "disputes": ours.disputes,
        "appealed": ours.appealed,
        "wrongProposal": ours.wrong_proposal or ZERO,
        "rightProposal": ours.right_proposal or ZERO,
        "finder": ours.finder,
        "progress": {"checkpoint": progress["result"]}
        | {name: progress[name] for name in ("round", "units", "aggregates", "audits", "creditsRoot")},
        "result": _result(ours.result or NOTHING),
    }


def _seat(ours: TakenSeat) -> dict[str, Any]:
    flags = {"ready": ours.ready, "closed": ours.closed, "slashed": ours.slashed}
    return {"accepted": True, "units": ours.units, "rank": ours.rank} | flags


def _result(ours: calls.Result) -> dict[str, Any]:
    return {
        "logPosition": ours.log_position,
        "round": ours.round,
        "units": ours.units,
        "aggregates": ours.aggregates,
        "audits": ours.audits,
        "result": ours.result,
        "creditsRoot": ours.credits_root,
    }
