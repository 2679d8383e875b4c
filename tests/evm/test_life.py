"""The life of a task in the contract, to each of its ends: who is paid what, to the tinybar."""

from __future__ import annotations

import pytest
from eth_abi import encode

from shoal.core.ids import keccak256

from .harness import FUNDS, Plan, Reverted
from .scene import KEY, LOG_POSITION, MANIFEST, RECIPIENT, RESULT, TOPIC, UNITS_EACH, Scene

CREATED, RUNNING, SETTLING, LAPSED = 1, 3, 4, 8
NOT_AWARDED, TOO_FEW_ACCEPTED, NOT_STARTED, ENDED_ON_PROGRESS, NO_PROGRESS, CLAIMS_LAPSED = range(1, 7)
DEPLOYED_WITH = 1


def leave_no_money(scene: Scene) -> None:
    """Everybody takes out what is theirs; nothing of it may stay behind."""
    for who in (scene.client, scene.stranger, *scene.trainers):
        account = scene.account(who)
        assert account["locked"] == 0
        if account["stake"]:
            scene.unstake(who, account["stake"])
        if account["stake"] + account["balance"]:
            scene.market(who, "withdraw")
    assert scene.market.view("liabilities") == {"escrow": 0, "stake": 0, "balances": 0}
    assert scene.chain.balance(scene.market.address) == DEPLOYED_WITH


def gains(scene: Scene) -> list[int]:
    """What the client and each trainer have more or less than at first, after `leave_no_money`."""
    return [scene.chain.balance(who) - FUNDS for who in (scene.client, *scene.trainers)]


def test_happy_life() -> None:
    scene = Scene().created()
    plan, market, task = scene.plan, scene.market, scene.task
    assert market.view("liabilities") == {
        "escrow": plan.escrow,
        "stake": 4 * plan.stake_per_seat,
        "balances": 0,
    }
    scene.at(plan.bid_until + 1)
    assert scene.award().only("Awarded") == {
        "taskId": task,
        "root": scene.awards.root,
        "unitPrice": 900,
        "primaries": 4,
    }
    for i in range(4):
        assert scene.accept(i).only("Accepted") == {
            "taskId": task,
            "trainer": scene.trainers[i],
            "signingKey": KEY,
            "recipient": RECIPIENT,
            "units": UNITS_EACH,
            "rank": 0,
        }
        market(scene.trainers[i], "ready", task)
    started = market(scene.client, "start", task).only("Started")
    assert started == {"taskId": task, "accepted": 4, "ready": 4, "quorum": 3}
    for voter in (scene.client, *scene.trainers[:2]):
        receipt = market(voter, "confirmCheckpoint", *scene.checkpoint_args(1))
    assert receipt.only("CheckpointConfirmed")["round"] == 1
    published = market(scene.trainers[0], "publishResult", *scene.result_args())
    assert published.only("ResultPublished")["logPosition"] == LOG_POSITION
    voted = market(scene.trainers[1], "confirmResult", *scene.result_args()).only("ResultVoted")
    types = ["bytes32", "bytes32", "uint64", "uint32", "uint32", "uint32", "uint32", "bytes32"]
    assert voted["proposal"] == keccak256(encode(types, scene.result_args()))
    assert market.view("votesFor", task, voted["proposal"]) == 2
    receipt = market(scene.trainers[2], "confirmResult", *scene.result_args())
    assert receipt.only("ResultConfirmed")["result"] == RESULT
    assert receipt.only("ResultConfirmed")["settleAfter"] == scene.chain.now_s + plan.window

    scene.at(scene.get("settleAfter"))
    earned = 20 * 900 + 3 * 500
    settled = market(scene.stranger, "settle", task).only("Settled")
    assert settled == {"taskId": task, "reserved": earned, "refunded": plan.escrow - earned}
    for trainer in scene.trainers:
        claimed = scene.claim(trainer).only("Claimed")
    assert (claimed["paid"], claimed["stakeReturned"], claimed["penalty"]) == (1_800, 6_000, 4_000)
    assert scene.get("reserved") == 0
    leave_no_money(scene)
    assert gains(scene) == [-earned + 4_000, 5_900, 5_900, 5_900, 1_800 - 4_000]


def test_created_event_and_view_hold_the_whole_plan() -> None:
    scene = Scene()
    scene.register()
    event = scene.create().only("TaskCreated")
    assert event["taskId"] == scene.task
    assert (event["client"], event["topic"], event["manifestHash"]) == (scene.client, TOPIC, MANIFEST)
    assert (event["signingKey"], event["recipient"], event["escrow"]) == (KEY, RECIPIENT, scene.plan.escrow)
    assert tuple(event["plan"].values()) == scene.plan.values()
    assert tuple(scene.get("plan").values()) == scene.plan.values()
    assert scene.get("phase") == CREATED


def test_standbys_take_vacant_seats_by_rank() -> None:
    scene = Scene(trainers=6, primaries=3).awarded(0)
    scene.at(scene.plan.accept_until + 1)
    with pytest.raises(Reverted) as refused:  # a primary that comes too late
        scene.accept(1)
    assert refused.value.name == "TooLate"
    with pytest.raises(Reverted) as refused:  # two vacancies: ranks 1 and 2
        scene.accept(5)
    assert (refused.value.name, refused.value.arguments) == ("RankTooLow", {"vacancies": 2, "rank": 3})
    scene.accept(4)
    scene.accept(3)
    assert (scene.get("accepted"), scene.get("primariesAccepted")) == (3, 1)
    seat = scene.market.view("getSeat", scene.task, scene.trainers[4])
    assert seat == dict.fromkeys(("ready", "closed", "slashed"), False) | {
        "accepted": True,
        "units": UNITS_EACH,
        "rank": 2,
    }


def test_cancel_before_anyone_accepted_refunds_all() -> None:
    scene = Scene().awarded()
    event = scene.market(scene.client, "cancel", scene.task).only("Cancelled")
    assert (event["refunded"], event["compensation"]) == (scene.plan.escrow, 0)
    leave_no_money(scene)
    assert gains(scene) == [0, 0, 0, 0, 0]


def test_cancel_after_accepts_compensates_each() -> None:
    scene = Scene().awarded(0, 2)
    event = scene.market(scene.client, "cancel", scene.task).only("Cancelled")
    assert (event["refunded"], event["compensation"]) == (scene.plan.escrow - 600, 600)
    for i in (0, 2):
        released = scene.release(scene.trainers[i]).only("Released")
        assert (released["stakeReturned"], released["compensation"]) == (10_000, 300)
    leave_no_money(scene)
    assert gains(scene) == [-600, 300, 0, 300, 0]


def expired(scene: Scene) -> tuple[int, int, int]:
    event = scene.expire().only("Expired")
    return event["reason"], event["refunded"], event["compensation"]


def test_expires_when_not_awarded() -> None:
    scene = Scene().created()
    scene.at(scene.plan.award_until + 1)
    assert expired(scene) == (NOT_AWARDED, scene.plan.escrow, 0)
    leave_no_money(scene)


def test_expires_when_too_few_accepted() -> None:
    scene = Scene().awarded(0)
    scene.at(scene.plan.standby_until + 1)
    assert expired(scene) == (TOO_FEW_ACCEPTED, scene.plan.escrow, 0)
    assert scene.release(scene.trainers[0]).only("Released")["compensation"] == 0
    leave_no_money(scene)
    assert gains(scene) == [0, 0, 0, 0, 0]


def test_expires_with_compensation_when_the_client_does_not_start() -> None:
    scene = Scene().awarded(0, 1, 2)
    scene.at(scene.plan.start_until + 1)
    assert expired(scene) == (NOT_STARTED, scene.plan.escrow - 900, 900)
    for trainer in scene.trainers[:3]:
        scene.release(trainer)
    leave_no_money(scene)
    assert gains(scene) == [-900, 300, 300, 300, 0]


def test_ends_on_confirmed_progress_when_the_quorum_is_lost() -> None:
    scene = Scene().running()
    for trainer in scene.trainers[:3]:
        scene.market(trainer, "confirmCheckpoint", *scene.checkpoint_args(3))
    scene.at(scene.plan.end_by + 1)
    receipt = scene.expire()
    event = receipt.only("Expired")
    assert (event["reason"], event["refunded"], event["compensation"]) == (ENDED_ON_PROGRESS, 0, 0)
    earned = 20 * 900 + 3 * 500
    assert receipt.only("Settled")["refunded"] == scene.plan.escrow - earned
    with pytest.raises(Reverted, match="AlreadySettled"):
        scene.expire()
    for trainer in scene.trainers:
        scene.claim(trainer)
    leave_no_money(scene)
    assert gains(scene) == [-earned + 4_000, 5_900, 5_900, 5_900, 1_800 - 4_000]


def test_refunds_when_it_ends_without_progress() -> None:
    scene = Scene().running()
    scene.market(scene.trainers[0], "confirmCheckpoint", *scene.checkpoint_args(1))
    scene.at(scene.plan.end_by + 1)
    assert expired(scene) == (NO_PROGRESS, scene.plan.escrow, 0)
    for trainer in scene.trainers:
        scene.release(trainer)
    leave_no_money(scene)
    assert gains(scene) == [0, 0, 0, 0, 0]


def test_unclaimed_rest_lapses_to_the_client_and_frees_the_stakes() -> None:
    scene = Scene().settled()
    scene.claim(scene.trainers[0])
    with pytest.raises(Reverted, match="AlreadySettled"):
        scene.expire()
    with pytest.raises(Reverted, match="WrongPhase"):
        scene.release(scene.trainers[1])
    scene.at(scene.get("claimUntil") + 1)
    assert expired(scene) == (CLAIMS_LAPSED, 14 * 900 + 2 * 500, 0)
    assert scene.get("phase") == LAPSED
    with pytest.raises(Reverted, match="WrongPhase"):
        scene.claim(scene.trainers[1])
    for trainer in scene.trainers[1:]:
        assert scene.release(trainer).only("Released")["compensation"] == 0
    leave_no_money(scene)
    assert gains(scene) == [-5_900, 5_900, 0, 0, 0]


def test_faulty_credits_never_pay_more_than_was_confirmed() -> None:
    scene = Scene().running()
    promised = scene.result_args(units=scene.units - 1)
    scene.market(scene.trainers[0], "publishResult", *promised)
    for trainer in scene.trainers[1:3]:
        scene.market(trainer, "confirmResult", *promised)
    scene.at(scene.get("settleAfter"))
    scene.market(scene.client, "settle", scene.task)
    for trainer in scene.trainers[:3]:
        scene.claim(trainer)
    with pytest.raises(Reverted, match="CreditsExhausted"):
        scene.claim(scene.trainers[3])
    scene.at(scene.get("claimUntil") + 1)
    assert expired(scene) == (CLAIMS_LAPSED, 900, 0)
    scene.release(scene.trainers[3])
    leave_no_money(scene)


def test_a_task_without_stake_price_or_compensation_still_ends() -> None:
    free = Plan(max_unit_price=100, aggregate_price=0, stake_per_seat=0, compensation=0, no_show_penalty=0)
    scene = Scene(free).settled()
    assert scene.get("reserved") == 0
    for trainer in scene.trainers:
        scene.claim(trainer)
    leave_no_money(scene)
    assert gains(scene) == [0, 0, 0, 0, 0]


@pytest.mark.parametrize(("trainers", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4)], ids=lambda n: str(n))
def test_quorum_is_more_than_half_of_the_ready(trainers: int, quorum: int) -> None:
    plan = Plan(seats=trainers, min_trainers=min(2, trainers))
    scene = Scene(plan, trainers=trainers).running()
    assert scene.quorum == quorum
    for votes, trainer in enumerate(scene.trainers[:quorum], start=1):
        assert scene.get("progress")["round"] == 0
        scene.market(trainer, "confirmCheckpoint", *scene.checkpoint_args(1))
        assert (scene.get("progress")["round"] == 1) == (votes == quorum)


def test_the_client_is_one_more_voter() -> None:
    scene = Scene(trainers=2).running()
    scene.market(scene.client, "publishResult", *scene.result_args())
    assert scene.get("phase") == RUNNING
    scene.market(scene.trainers[1], "confirmResult", *scene.result_args())
    assert scene.get("phase") == SETTLING


def test_with_one_seat_the_trainer_confirms_and_the_client_cannot() -> None:
    scene = Scene(Plan(seats=1, min_trainers=1), trainers=1).running()
    with pytest.raises(Reverted, match="NotAVoter"):
        scene.market(scene.client, "publishResult", *scene.result_args(units=0))
    scene.market(scene.trainers[0], "publishResult", *scene.result_args())
    assert scene.get("phase") == SETTLING


def test_votes_for_different_proposals_do_not_add_up() -> None:
    scene = Scene().running()
    market = scene.market
    for i, trainer in enumerate(scene.trainers):
        market(trainer, "publishResult", *scene.result_args(units=scene.units + i))
    assert scene.get("phase") == RUNNING
    market(scene.trainers[1], "confirmResult", *scene.result_args())
    market(scene.trainers[2], "confirmResult", *scene.result_args())
    assert scene.get("result")["units"] == scene.units


def test_progress_moves_forward_only() -> None:
    scene = Scene().running()
    for round in (2, 1, 3):
        for trainer in scene.trainers:
            scene.market(trainer, "confirmCheckpoint", *scene.checkpoint_args(round))
        assert scene.get("progress")["round"] == max(round, 2)


def test_a_native_transfer_is_nobodys_money() -> None:
    scene = Scene().created()
    state = scene.chain.state
    state.set_balance(scene.market.address, state.get_balance(scene.market.address) + 999)
    scene.at(scene.plan.award_until + 1)
    scene.expire()
    assert scene.account(scene.client)["balance"] == scene.plan.escrow


def test_deadlines_are_inclusive() -> None:
    scene = Scene().created()
    plan = scene.plan
    scene.at(plan.bid_until)
    with pytest.raises(Reverted) as early:
        scene.award()
    assert early.value.arguments == {"notBefore": plan.bid_until + 1, "time": plan.bid_until}
    scene.at(plan.award_until)
    scene.award()
    scene.at(plan.accept_until)
    scene.accept(0)
    scene.accept(1)
    scene.at(plan.start_until)
    scene.market(scene.trainers[0], "ready", scene.task)
    scene.market(scene.trainers[1], "ready", scene.task)
    with pytest.raises(Reverted, match="TooEarly"):
        scene.expire()
    scene.market(scene.client, "start", scene.task)
    scene.at(plan.end_by)
    scene.market(scene.trainers[0], "publishResult", *scene.result_args())
    with pytest.raises(Reverted, match="TooEarly"):
        scene.expire()
