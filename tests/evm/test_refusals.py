"""Every reason for which the contract refuses a call, each provoked at least once and leaving nothing behind."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .harness import FUNDS, START_S, Chain, Market, Plan, Reverted
from .scene import KEY, MANIFEST, RECIPIENT, TOPIC, Scene

ZERO = bytes(32)
DAY_S = 24 * 3600
OPENZEPPELIN = {
    "OwnableInvalidOwner",
    "ExpectedPause",
    "CheckpointUnorderedInsertion",
}  # none can cost anybody anything
ELSEWHERE = {"WithdrawFailed", "ReentrancyGuardReentrantCall", "NotTinybar"}  # test_withdraw.py, and below


@dataclass(frozen=True)
class Case:
    """After `arrange`, `act` is refused with `error`; `arguments` names those of them worth checking."""

    error: str
    arrange: Callable[[], Scene]
    act: Callable[[Scene], Any]
    arguments: dict[str, Any] | None = None
    label: str = ""


def by(who: str, function: str, *args: Any, value: int = 0) -> Callable[[Scene], Any]:
    """Call a function of the task: `client`, `stranger` or the number of a trainer."""

    def act(scene: Scene) -> Any:
        sender = scene.trainers[int(who)] if who.isdigit() else getattr(scene, who)
        return scene.market(sender, function, scene.task, *args, value=value)

    return act


def account_call(function: str, *args: Any, value: int = 0, who: str = "0") -> Callable[[Scene], Any]:
    def act(scene: Scene) -> Any:
        sender = scene.trainers[int(who)] if who.isdigit() else getattr(scene, who)
        return scene.market(sender, function, *args, value=value)

    return act


def create(
    value: int | None = None, *, manifest: bytes = MANIFEST, key: bytes = KEY, plan: Plan | None = None
) -> Callable[[Scene], Any]:
    """Create the task; pays the escrow of the plan unless told another value."""

    def act(scene: Scene) -> Any:
        used = plan or scene.plan
        args = (manifest, TOPIC, key, RECIPIENT, used.values())
        paid = min(used.escrow, FUNDS) if value is None else value
        return scene.market(scene.client, "createTask", *args, value=paid)

    return act


def award(**changes: Any) -> Callable[[Scene], Any]:
    def act(scene: Scene) -> Any:
        args = {"root": scene.awards.root, "unit_price": scene.unit_price, "primaries": 4} | changes
        return scene.market(scene.client, "award", scene.task, *args.values())

    return act


def vote(function: str, who: str, **changes: Any) -> Callable[[Scene], Any]:
    def act(scene: Scene) -> Any:
        of_checkpoint = function == "confirmCheckpoint"
        args = scene.checkpoint_args(**changes) if of_checkpoint else scene.result_args(**changes)
        sender = scene.trainers[int(who)] if who.isdigit() else getattr(scene, who)
        return scene.market(sender, function, *args)

    return act


def then(arrange: Callable[[], Scene], *acts: Callable[[Scene], Any], at: int | None = None) -> Any:
    """Arrange, set the time, and do what is allowed."""

    def arranged() -> Scene:
        scene = arrange()
        if at is not None:
            scene.at(at)
        for act in acts:
            act(scene)
        return scene

    return arranged


def registered() -> Scene:
    scene = Scene()
    scene.register()
    return scene


def created() -> Scene:
    return Scene().created()


def bidding_over() -> Scene:
    scene = created()
    scene.at(scene.plan.bid_until + 1)
    return scene


def awarded(*accepting: int) -> Callable[[], Scene]:
    return lambda: Scene().awarded(*accepting)


def running() -> Scene:
    return Scene().running()


def settling() -> Scene:
    return Scene().settling()


def settled() -> Scene:
    return Scene().settled()


def two_for_two_seats() -> Scene:
    """Three accepted trainers were named primaries although two were asked for: the root is at fault."""
    scene = Scene(trainers=3)
    scene.primaries = 2
    return scene.awarded(0, 1)


def standbys() -> Scene:
    """Two primaries, of whom one accepted, and two standbys."""
    return Scene(primaries=2).awarded(0)


def poor_trainer() -> Scene:
    scene = awarded()()
    scene.market(scene.trainers[0], "requestUnstake", 1)
    return scene


def trainer_client() -> Scene:
    scene = awarded()()
    scene.market(scene.client, "register", KEY, RECIPIENT, value=10**6)
    return scene


def with_progress() -> Scene:
    scene = running()
    for trainer in scene.trainers[:3]:
        scene.market(trainer, "confirmCheckpoint", *scene.checkpoint_args(3))
    return scene


def overtaken_result() -> Scene:
    """A result is published, then a checkpoint with more units is confirmed."""
    scene = running()
    scene.market(scene.trainers[0], "publishResult", *scene.result_args(units=3))
    for trainer in scene.trainers[:3]:
        scene.market(trainer, "confirmCheckpoint", *scene.checkpoint_args(3))
    return scene


def wrong_credit(scene: Scene) -> Any:
    trainer = scene.trainers[0]
    proof = scene.credits_tree.proof(scene.credit_leaf(trainer))
    return scene.market(trainer, "claim", scene.task, trainer, 7, 1, False, proof)


def wrong_units(scene: Scene) -> Any:
    proof = scene.awards.proof(scene.award_leaf(0))
    return scene.market(scene.trainers[0], "accept", scene.task, 99, 0, proof)


def with_registered_stranger() -> Scene:
    scene = awarded()()
    scene.market(scene.stranger, "register", KEY, RECIPIENT, value=10**6)
    return scene


def someone_elses_seat(scene: Scene) -> Any:
    proof = scene.awards.proof(scene.award_leaf(0))
    return scene.market(scene.stranger, "accept", scene.task, 6, 0, proof)


def plan_case(field: str, **changes: int) -> Case:
    named = {"field": field.encode().ljust(32, b"\0")}
    return Case("InvalidPlan", registered, create(plan=Plan().but(**changes)), named, f"plan {changes}")


def zero(argument: str, arrange: Callable[[], Scene], act: Callable[[Scene], Any]) -> Case:
    return Case("ZeroValue", arrange, act, {"argument": argument.encode().ljust(32, b"\0")}, argument)


PLAN = Plan()
CASES = [
    # accounts
    Case("AlreadyRegistered", registered, account_call("register", KEY, RECIPIENT)),
    Case("NotRegistered", registered, account_call("depositStake", value=1, who="stranger")),
    Case("NotRegistered", registered, account_call("requestUnstake", 1, who="stranger"), label="unstake"),
    Case("InsufficientStake", registered, account_call("requestUnstake", 10_001), {"needed": 10_001, "free": 10_000}),
    Case("InsufficientStake", awarded(0), account_call("requestUnstake", 1), {"free": 0}, "locked"),
    Case("NothingToWithdraw", registered, account_call("withdraw")),
    zero("signingKey", registered, account_call("register", ZERO, RECIPIENT, who="stranger")),
    zero("recipient", registered, account_call("register", KEY, ZERO, who="stranger")),
    zero("value", registered, account_call("depositStake")),
    zero("amount", registered, account_call("requestUnstake", 0)),
    # createTask
    Case("TaskExists", created, create()),
    Case("TaskExists", then(created, by("client", "cancel")), create(), label="again after its end"),
    Case("WrongEscrow", registered, create(26_099), {"expected": 26_100, "given": 26_099}),
    Case("WrongEscrow", registered, create(26_101), {"expected": 26_100, "given": 26_101}, "more"),
    zero("manifestHash", registered, create(manifest=ZERO)),
    zero("signingKey", registered, create(key=ZERO)),
    plan_case("rounds", rounds=0),
    plan_case("chunks", chunks=2**31, rounds=1),
    plan_case("chunks", chunks=2**32 - 1, rounds=2**32 - 1),
    plan_case("seats", seats=0),
    plan_case("seats", seats=9),
    plan_case("minTrainers", min_trainers=0),
    plan_case("minTrainers", min_trainers=1),
    plan_case("minTrainers", min_trainers=5),
    plan_case("noShowPenalty", no_show_penalty=10_001),
    plan_case("compensation", compensation=12_751),
    plan_case("bidUntil", bid_until=START_S),
    plan_case("awardUntil", award_until=PLAN.bid_until),
    plan_case("acceptUntil", accept_until=PLAN.award_until),
    plan_case("standbyUntil", standby_until=PLAN.accept_until),
    plan_case("startUntil", start_until=PLAN.standby_until),
    plan_case("endBy", end_by=PLAN.start_until),
    plan_case("endBy", end_by=START_S + 90 * DAY_S + 1),
    plan_case("window", window=30 * DAY_S + 1),
    # award
    Case("UnknownTask", registered, by("client", "cancel")),
    Case("NotClient", bidding_over, by("0", "award", KEY, 1, 4)),
    Case("AlreadyAwarded", awarded(), award()),
    Case("TooEarly", created, award(), {"notBefore": PLAN.bid_until + 1}),
    Case("TooLate", then(created, at=PLAN.award_until + 1), award(), {"until": PLAN.award_until}),
    Case("PriceTooHigh", bidding_over, award(unit_price=1_001), {"maximum": 1_000, "given": 1_001}),
    Case("PrimariesOutOfRange", bidding_over, award(primaries=1), {"minimum": 2, "maximum": 4, "given": 1}),
    Case("PrimariesOutOfRange", bidding_over, award(primaries=5), {"given": 5}, "too many"),
    Case("WrongPhase", then(created, by("client", "cancel"), at=PLAN.bid_until + 1), award()),
    zero("root", bidding_over, award(root=ZERO)),
    # accept
    Case("AlreadyAccepted", awarded(0), lambda scene: scene.accept(0)),
    Case("WrongPhase", created, by("0", "accept", 6, 0, []), {"phase": 1}, "accept"),
    Case("WrongPhase", then(lambda: Scene(trainers=5, primaries=4).running()), lambda s: s.accept(4), {"phase": 3}),
    Case("ClientCannotTrain", trainer_client, by("client", "accept", 6, 0, [])),
    Case("BadProof", awarded(), wrong_units),
    Case("BadProof", with_registered_stranger, someone_elses_seat, label="someone else's seat"),
    Case("NotRegistered", awarded(), by("stranger", "accept", 6, 0, []), label="accept"),
    Case("NoFreeSeat", two_for_two_seats, lambda scene: scene.accept(2)),
    Case("InsufficientStake", poor_trainer, lambda scene: scene.accept(0), {"needed": 10_000, "free": 9_999}),
    Case("TooLate", then(awarded(), at=PLAN.accept_until + 1), lambda scene: scene.accept(0), label="accept"),
    Case("TooEarly", standbys, lambda scene: scene.accept(2), {"notBefore": PLAN.accept_until + 1}),
    Case(
        "RankTooLow",
        then(standbys, at=PLAN.accept_until + 1),
        lambda scene: scene.accept(3),
        {"vacancies": 1, "rank": 2},
    ),
    Case("TooLate", then(standbys, at=PLAN.standby_until + 1), lambda scene: scene.accept(2), label="standby"),
    # ready, start, cancel
    Case("NotAccepted", awarded(0), by("1", "ready")),
    Case("AlreadyReady", then(awarded(0), by("0", "ready")), by("0", "ready")),
    Case("AlreadyReady", running, by("0", "ready"), label="after the start"),
    Case("TooLate", then(awarded(0), at=PLAN.start_until + 1), by("0", "ready"), label="ready"),
    Case("NotClient", running, by("0", "start"), label="start"),
    Case("AlreadyStarted", settled, by("client", "start")),
    Case("TooFewReady", then(awarded(0, 1), by("0", "ready")), by("client", "start"), {"needed": 2, "ready": 1}),
    Case("TooLate", then(awarded(0, 1), at=PLAN.start_until + 1), by("client", "start"), label="start"),
    Case("NotClient", created, by("0", "cancel"), label="cancel"),
    Case("WrongPhase", running, by("client", "cancel"), {"phase": 3}, "cancel after the start"),
    Case("AlreadyCancelled", then(created, by("client", "cancel")), by("client", "cancel")),
    # votes
    Case("WrongPhase", awarded(0, 1), vote("confirmCheckpoint", "0"), {"phase": 2}, "vote before the start"),
    Case("NotAVoter", running, vote("confirmCheckpoint", "stranger")),
    Case("NotAVoter", running, vote("publishResult", "stranger"), label="result"),
    Case("TooLate", then(running, at=PLAN.end_by + 1), vote("confirmCheckpoint", "0"), label="vote"),
    Case("AlreadyVoted", then(running, vote("confirmCheckpoint", "0")), vote("confirmCheckpoint", "0")),
    Case("AlreadyVoted", then(running, vote("publishResult", "0")), vote("confirmResult", "0"), label="result"),
    Case("AlreadyVoted", settled, vote("publishResult", "0"), label="after the end"),
    Case("AlreadyPublished", then(running, vote("publishResult", "0")), vote("publishResult", "1")),
    Case("NoSuchProposal", then(running, vote("publishResult", "0")), vote("confirmResult", "1", units=19)),
    Case("OutOfBounds", running, vote("confirmCheckpoint", "0", units=9), {"maximum": 8, "given": 9}),
    Case("OutOfBounds", running, vote("publishResult", "0", aggregates=4), {"maximum": 3, "given": 4}, "result"),
    Case("OutOfBounds", running, vote("confirmCheckpoint", "0", round=4), {"maximum": 3, "given": 4}, "round"),
    Case("BelowProgress", with_progress, vote("publishResult", "0", units=19), {"confirmedUnits": 20, "given": 19}),
    Case("BelowProgress", overtaken_result, vote("confirmResult", "1", units=3), {"given": 3}, "overtaken"),
    zero("round", running, vote("confirmCheckpoint", "0", round=0)),
    zero("hash", running, vote("confirmCheckpoint", "0", checkpoint=ZERO)),
    zero("hash", running, vote("publishResult", "0", result=ZERO)),
    zero("creditsRoot", running, vote("publishResult", "0", root=ZERO)),
    Case("WrongPhase", settling, vote("publishResult", "3", units=21), {"phase": 4}, "second result"),
    # ends
    Case("TooEarly", settling, by("stranger", "settle"), {"notBefore": START_S + 101 + 60}, "settle"),
    Case("WrongPhase", running, by("stranger", "settle"), label="settle"),
    Case("AlreadySettled", settled, by("stranger", "settle")),
    Case("WrongPhase", settling, by("stranger", "expire"), label="expire while settling"),
    Case("AlreadyExpired", then(created, by("0", "expire"), at=PLAN.award_until + 1), by("1", "expire")),
    Case("TooEarly", running, by("stranger", "expire"), {"notBefore": PLAN.end_by + 1}, "expire"),
    Case("TooEarly", awarded(0), by("0", "expire"), {"notBefore": PLAN.standby_until + 1}, "too few accepted"),
    Case("TooEarly", awarded(0, 1), by("0", "expire"), {"notBefore": PLAN.start_until + 1}, "not started"),
    Case("WrongPhase", settling, lambda scene: scene.claim(scene.trainers[0]), label="claim in the window"),
    Case("NotAccepted", settled, by("stranger", "release", bytes(20)), label="release"),
    Case("BadProof", settled, wrong_credit, label="claim"),
    Case(
        "AlreadyClosed",
        then(settled, lambda scene: scene.claim(scene.trainers[0])),
        lambda scene: scene.claim(scene.trainers[0]),
    ),
    Case(
        "AlreadyClosed",
        then(awarded(0), by("client", "cancel"), lambda scene: scene.release(scene.trainers[0])),
        lambda scene: scene.release(scene.trainers[0]),
        label="release",
    ),
    Case("WrongPhase", running, lambda scene: scene.release(scene.trainers[0]), label="release"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.error} {case.label}".strip())
def test_refused(case: Case) -> None:
    scene = case.arrange()
    before = scene.market.view("liabilities"), scene.chain.balance(scene.market.address)
    with pytest.raises(Reverted) as refused:
        case.act(scene)
    assert refused.value.name == case.error
    for name, value in (case.arguments or {}).items():
        assert refused.value.arguments[name] == value
    assert (scene.market.view("liabilities"), scene.chain.balance(scene.market.address)) == before


def test_amounts_beyond_64_bits_are_refused() -> None:
    scene = registered()
    rich = scene.chain.account("rich", 2**70)
    with pytest.raises(Reverted) as refused:
        scene.market(rich, "register", KEY, RECIPIENT, value=2**64)
    assert (refused.value.name, refused.value.arguments) == ("AmountOutOfRange", {"given": 2**64})


def test_credits_beyond_what_was_confirmed_are_refused() -> None:
    scene = running()
    args = scene.result_args(aggregates=2)
    scene.market(scene.trainers[0], "publishResult", *args)
    scene.market(scene.trainers[1], "confirmResult", *args)
    scene.market(scene.trainers[2], "confirmResult", *args)
    scene.at(scene.get("settleAfter"))
    scene.market(scene.client, "settle", scene.task)
    scene.claim(scene.trainers[0])
    scene.claim(scene.trainers[1])
    with pytest.raises(Reverted, match="CreditsExhausted"):
        scene.claim(scene.trainers[2])


def test_deploying_where_value_is_not_tinybar_is_refused() -> None:
    chain = Chain()
    market = Market(chain)
    _, done, gas = chain.deploy(chain.account("deployer"), market.code, value=10**10)
    refused = market.reverted(done.output, gas)
    assert (refused.name, refused.arguments) == ("NotTinybar", {"given": 10**10})


@pytest.mark.parametrize(
    ("arguments", "error", "argument"),
    [
        ((7 * DAY_S, 0, 60), "ZeroValue", b"validatorStake"),
        ((7 * DAY_S, 1, 0), "ZeroValue", b"minDisputeTime"),
        ((7 * DAY_S, 1, 30 * DAY_S + 1), "OutOfBounds", b"minDisputeTime"),
        ((90 * DAY_S + 1, 1, 60), "OutOfBounds", b"unbonding"),
        ((2**64 - 1, 1, 60), "OutOfBounds", b"unbonding"),
    ],
)
def test_a_market_that_could_keep_a_stake_or_fine_at_once_is_not_deployed(
    arguments: tuple[int, int, int], error: str, argument: bytes
) -> None:
    chain = Chain()
    market = Market(chain)
    code = market.code[:-96] + b"".join(number.to_bytes(32, "big") for number in arguments)
    _, done, gas = chain.deploy(chain.account("deployer"), code)
    refused = market.reverted(done.output, gas)
    assert (refused.name, refused.arguments["argument"]) == (error, argument.ljust(32, b"\0"))


@pytest.mark.parametrize("data", [b"", bytes.fromhex("deadbeef"), bytes(64)])
def test_a_value_without_a_function_is_refused(data: bytes) -> None:
    scene = registered()
    done, gas = scene.chain.transact(scene.client, scene.market.address, data, value=5)
    assert done.is_error
    assert data or scene.market.reverted(done.output, gas).name == "NoFunction"
    assert scene.chain.balance(scene.market.address) == scene.market.liabilities() + 1


def test_the_code_of_disputes_holds_nothing_and_refuses_who_calls_it_directly() -> None:
    scene = registered()
    court = scene.market.view("COURT")
    assert scene.chain.state.get_code(court)
    for function, args, name, value in (
        ("joinValidators", (), "NotRegistered", 0),
        ("accuse", (scene.task, scene.trainers[0], KEY), "UnknownTask", 5),
        ("resolve", (KEY,), "UnknownDispute", 0),
        ("draw", (scene.task,), "UnknownTask", 0),
    ):
        data = scene.market.encode(function, *args)
        done, gas = scene.chain.transact(scene.trainers[0], court, data, value=value)
        assert scene.market.reverted(done.output, gas).name == name
    assert scene.chain.balance(court) == 0


def test_every_error_of_the_contract_is_provoked_here() -> None:
    market = Market(Chain())
    named = {item["name"] for item in market.abi if item["type"] == "error"}
    singly = {"AmountOutOfRange", "CreditsExhausted", "NoFunction"}
    here = Path(__file__)
    texts = "".join(here.with_name(name).read_text() for name in ("test_disputes.py", "test_attacks.py"))
    of_disputes = set(re.findall(r'"([A-Z]\w+)"|match="(\w+)"', texts))
    elsewhere = ELSEWHERE | {name for pair in of_disputes for name in pair}
    assert named - {case.error for case in CASES} - singly - elsewhere == OPENZEPPELIN
