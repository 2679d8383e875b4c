"""The model of the contract: what it refuses, and that no sequence of calls makes or loses a tinybar."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shoal.core import calls
from shoal.core.auction import Award
from shoal.core.codec import digest
from shoal.core.ids import Address, task_id
from shoal.core.merkle import AwardLeaf, CreditLeaf, proof, root
from shoal.core.money import Tinybar
from shoal.testing import Market, Reverted
from shoal.testing.market import UNBONDING_S
from shoal.testing.market_books import CLAIM_PERIOD_S, MarketPhase

CLIENT, STRANGER = Address(b"c" * 20), Address(b"s" * 20)
TRAINERS = [Address(bytes([i]) * 20) for i in range(1, 5)]
KEY = digest(b"key")
MANIFEST = digest(b"manifest")
TASK = task_id(CLIENT, MANIFEST)
STAKE = Tinybar(1_000)
PLAN = calls.Plan(
    chunks=4,
    rounds=3,
    seats=3,
    min_trainers=2,
    max_unit_price=Tinybar(100),
    aggregate_price=Tinybar(7),
    stake_per_seat=Tinybar(600),
    compensation=Tinybar(11),
    no_show_penalty=Tinybar(50),
    bid_until=10,
    award_until=20,
    accept_until=30,
    standby_until=40,
    start_until=50,
    end_by=100,
    window=5,
)
AWARD = Award(tuple(AwardLeaf(t, 2, rank) for t, rank in zip(TRAINERS, (0, 0, 0, 1), strict=True)), Tinybar(90))
CREDITS = [
    CreditLeaf(TRAINERS[0], 6, 2, False),
    CreditLeaf(TRAINERS[1], 3, 1, False),
    CreditLeaf(TRAINERS[2], 1, 0, True),
]
CREDITS_ROOT = root([leaf.hash(TASK) for leaf in CREDITS])
RESULT: tuple[Any, ...] = (TASK, digest(b"result"), 7, 3, 10, 3, 0, CREDITS_ROOT)
CHECKPOINT: tuple[Any, ...] = (TASK, 3, digest(b"checkpoint"), 10, 3, 0, CREDITS_ROOT)
CREATE = calls.CreateTask(MANIFEST, 9, KEY, KEY, PLAN)


def accept(trainer: Address) -> calls.Accept:
    found = AWARD.proof(TASK, trainer)
    assert found is not None
    return calls.Accept(TASK, found[0].units, found[0].rank, found[1])


def claim(index: int, **changes: Any) -> calls.Claim:
    leaf = CREDITS[index]
    path = proof([each.hash(TASK) for each in CREDITS], index)
    return replace(calls.Claim(TASK, leaf.trainer, leaf.units, leaf.aggregates, leaf.no_show, path), **changes)


class Play:
    """A market with registered trainers, and its clock."""

    def __init__(self) -> None:
        self.market, self.now_s = Market(), 1
        for trainer in TRAINERS:
            self(trainer, calls.Register(KEY, KEY), STAKE)

    def __call__(self, sender: Address, call: calls.Call, value: int = 0) -> list[Any]:
        events = self.market.call(sender, call, value, now_s=self.now_s)
        self.market.check()
        return list(events)

    def refuses(self, reason: str, sender: Address, call: calls.Call, value: int = 0) -> None:
        with pytest.raises(Reverted) as caught:
            self(sender, call, value)
        assert caught.value.reason == reason
        self.market.check()

    def accepted(self, *who: int) -> "Play":
        self(CLIENT, CREATE, PLAN.escrow())
        self.now_s = 11
        self(CLIENT, calls.Award(TASK, AWARD.root(TASK), AWARD.unit_price, AWARD.primaries))
        for index in who:
            self(TRAINERS[index], accept(TRAINERS[index]))
        return self

    def running(self) -> "Play":
        self.accepted(0, 1, 2)
        for index in (0, 1, 2):
            self(TRAINERS[index], calls.Ready(TASK))
        self(CLIENT, calls.Start(TASK))
        return self

    def balance(self, who: Address) -> int:
        return self.market.account(who).balance


def test_a_settled_task_pays_by_its_credits() -> None:
    play = Play().running()
    play(TRAINERS[0], calls.PublishResult(*RESULT))
    (_, confirmed) = play(TRAINERS[1], calls.ConfirmResult(*RESULT))
    assert confirmed.settle_after == play.now_s + PLAN.window
    play.refuses("TooEarly", STRANGER, calls.Settle(TASK))
    play.now_s = confirmed.settle_after
    (settled,) = play(STRANGER, calls.Settle(TASK))
    owed = 10 * 90 + 3 * 7
    assert (settled.reserved, settled.refunded) == (owed, PLAN.escrow() - owed)
    for index in range(3):
        play(STRANGER, claim(index))
    assert [play.balance(trainer) for trainer in TRAINERS] == [6 * 90 + 2 * 7, 3 * 90 + 7, 90, 0]
    assert play.balance(CLIENT) == PLAN.escrow() - owed + PLAN.no_show_penalty
    assert play.market.account(TRAINERS[2]).stake == STAKE - PLAN.no_show_penalty
    play.refuses("AlreadyClosed", STRANGER, claim(0))


def test_claims_need_their_very_leaf() -> None:
    play = Play().running()
    play(TRAINERS[0], calls.PublishResult(*RESULT))
    play(TRAINERS[1], calls.ConfirmResult(*RESULT))
    play.now_s += PLAN.window
    play(STRANGER, calls.Settle(TASK))
    for wrong in ({"units": 7}, {"aggregates": 3}, {"no_show": True}, {"proof": ()}):
        play.refuses("BadProof", TRAINERS[0], claim(0, **wrong))
    play.refuses("NotAccepted", TRAINERS[3], claim(0, trainer=TRAINERS[3]))


def test_standbys_take_vacant_seats_after_the_primaries() -> None:
    play = Play().accepted(0, 1)
    play.refuses("TooEarly", TRAINERS[3], accept(TRAINERS[3]))
    play.now_s = PLAN.accept_until + 1
    play.refuses("TooLate", TRAINERS[2], accept(TRAINERS[2]))
    play(TRAINERS[3], accept(TRAINERS[3]))
    assert play.market.account(TRAINERS[3]).locked == PLAN.stake_per_seat
    full = Play().accepted(0, 1, 2)
    full.now_s = PLAN.accept_until + 1
    full.refuses("NoFreeSeat", TRAINERS[3], accept(TRAINERS[3]))


def test_votes_count_once_each_and_progress_only_grows() -> None:
    play = Play().running()
    play.refuses("NotAVoter", STRANGER, calls.ConfirmCheckpoint(*CHECKPOINT))
    assert len(play(TRAINERS[0], calls.ConfirmCheckpoint(*CHECKPOINT))) == 1
    play.refuses("AlreadyVoted", TRAINERS[0], calls.ConfirmCheckpoint(*CHECKPOINT))
    assert len(play(CLIENT, calls.ConfirmCheckpoint(*CHECKPOINT))) == 2
    older = calls.ConfirmCheckpoint(TASK, 2, digest(b"older"), 8, 2, 0, CREDITS_ROOT)
    assert [len(play(who, older)) for who in TRAINERS[:2]] == [1, 1]
    assert play.market.tasks[TASK].progress.round == 3
    play.refuses("BelowProgress", TRAINERS[0], calls.PublishResult(*RESULT[:4], 9, *RESULT[5:]))
    play.refuses("NoSuchProposal", TRAINERS[0], calls.ConfirmResult(*RESULT))


def test_the_client_has_no_vote_where_one_is_a_quorum() -> None:
    play = Play()
    plan = replace(PLAN, seats=1, min_trainers=1)
    play(CLIENT, replace(CREATE, plan=plan), plan.escrow())
    play.now_s = 11
    play(CLIENT, calls.Award(TASK, AWARD.root(TASK), AWARD.unit_price, 1))
    play(TRAINERS[0], accept(TRAINERS[0]))
    play(TRAINERS[0], calls.Ready(TASK))
    play(CLIENT, calls.Start(TASK))
    play.refuses("NotAVoter", CLIENT, calls.PublishResult(*RESULT))
    play(TRAINERS[0], calls.PublishResult(*RESULT))
    assert play.market.tasks[TASK].phase is MarketPhase.SETTLING


@pytest.mark.parametrize(
    ("stage", "now_s", "early_s", "refunded", "compensation"),
    [
        ("created", PLAN.award_until + 1, PLAN.award_until, PLAN.escrow(), 0),
        ("one accepted", PLAN.standby_until + 1, PLAN.standby_until, PLAN.escrow(), 0),
        ("two accepted", PLAN.start_until + 1, PLAN.start_until, PLAN.escrow() - 22, 22),
        ("running", PLAN.end_by + 1, PLAN.end_by, PLAN.escrow(), 0),
    ],
)
def test_every_stage_expires_after_its_deadline(
    stage: str, now_s: int, early_s: int, refunded: int, compensation: int
) -> None:
    play = Play()
    seats = {"created": 0, "one accepted": 1, "two accepted": 2, "running": 3}[stage]
    if stage == "running":
        play.running()
    elif seats:
        play.accepted(*range(seats))
    else:
        play(CLIENT, CREATE, PLAN.escrow())
    play.now_s = early_s
    play.refuses("TooEarly", STRANGER, calls.Expire(TASK))
    play.now_s = now_s
    (expired,) = play(STRANGER, calls.Expire(TASK))
    assert (expired.refunded, expired.compensation) == (refunded, compensation)
    for index in range(seats):
        play(STRANGER, calls.Release(TASK, TRAINERS[index]))
        assert play.balance(TRAINERS[index]) * seats == compensation
    assert all(account.locked == 0 for account in play.market.accounts.values())
    play.refuses("AlreadyExpired", STRANGER, calls.Expire(TASK))


def test_what_nobody_claims_lapses_to_the_client() -> None:
    play = Play().running()
    for who in TRAINERS[:2]:
        play(who, calls.ConfirmCheckpoint(*CHECKPOINT))
    play.now_s = PLAN.end_by + 1
    play(STRANGER, calls.Expire(TASK))
    play(TRAINERS[0], claim(0))
    play.refuses("AlreadySettled", STRANGER, calls.Expire(TASK))
    play.now_s += CLAIM_PERIOD_S + 1
    play(STRANGER, calls.Expire(TASK))
    play.refuses("WrongPhase", TRAINERS[1], claim(1))
    for index in (1, 2):
        play(STRANGER, calls.Release(TASK, TRAINERS[index]))
    assert play.market.tasks[TASK].reserved == 0
    assert play.balance(CLIENT) == PLAN.escrow() - (6 * 90 + 2 * 7)


@pytest.mark.parametrize(
    "change",
    [
        {"rounds": 0},
        {"chunks": 2},
        {"seats": 0},
        {"min_trainers": 1},
        {"min_trainers": 4},
        {"no_show_penalty": 601},
        {"compensation": 10**6},
        {"bid_until": 1},
        {"accept_until": 20},
        {"end_by": 50},
        {"end_by": 90 * 24 * 3600 + 2},
        {"window": 31 * 24 * 3600},
        {"rounds": 2**29},
    ],
)
def test_a_plan_that_does_not_hold_together_is_refused(change: dict[str, int]) -> None:
    plan = replace(PLAN, **change)  # type: ignore[arg-type]
    Play().refuses("InvalidPlan", CLIENT, replace(CREATE, plan=plan), plan.escrow())


def test_value_is_taken_only_where_it_has_a_meaning() -> None:
    play = Play()
    play.refuses("WrongEscrow", CLIENT, CREATE, PLAN.escrow() - 1)
    play.refuses("WrongEscrow", CLIENT, CREATE, PLAN.escrow() + 1)
    play.refuses("", TRAINERS[0], calls.Withdraw(), 1)
    play.refuses("ZeroValue", TRAINERS[0], calls.DepositStake())


PEOPLE = st.sampled_from([CLIENT, STRANGER, *TRAINERS])
CALLS = st.sampled_from(
    [
        CREATE,
        calls.DepositStake(),
        calls.RequestUnstake(Tinybar(300)),
        calls.CancelUnstake(),
        calls.CompleteUnstake(),
        calls.Withdraw(),
        calls.Award(TASK, AWARD.root(TASK), AWARD.unit_price, AWARD.primaries),
        *map(accept, TRAINERS),
        calls.Ready(TASK),
        calls.Start(TASK),
        calls.ConfirmCheckpoint(*CHECKPOINT),
        calls.PublishResult(*RESULT),
        calls.ConfirmResult(*RESULT),
        calls.Settle(TASK),
        *(claim(index) for index in range(3)),
        calls.Expire(TASK),
        *(calls.Release(TASK, trainer) for trainer in TRAINERS),
        calls.Cancel(TASK),
    ]
)


class AnyCalls(RuleBasedStateMachine):
    """Anyone calls anything at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.play = Play()
        self.play(CLIENT, CREATE, PLAN.escrow())

    @rule(who=PEOPLE, call=CALLS, value=st.sampled_from([0, 0, 0, 5, PLAN.escrow()]))
    def call(self, who: Address, call: calls.Call, value: int) -> None:
        before = repr((self.play.market.accounts, self.play.market.tasks))
        try:
            self.play(who, call, value)
        except Reverted:
            assert repr((self.play.market.accounts, self.play.market.tasks)) == before, "a revert leaves no trace"

    @rule(stage=st.sampled_from(["accepted", "running", "settling"]))
    def jump(self, stage: str) -> None:
        """Play the next stages by the rules, since chance alone seldom gets there."""
        for who, call in _script()[: {"accepted": 4, "running": 7, "settling": 9}[stage]]:
            self.play.now_s = max(self.play.now_s, 11)
            try:
                self.play(who, call)
            except Reverted:
                continue

    @rule(seconds=st.sampled_from([1, 10, 60, CLAIM_PERIOD_S + 1]))
    def wait(self, seconds: int) -> None:
        self.play.now_s += seconds

    @invariant()
    def every_tinybar_is_accounted_for(self) -> None:
        self.play.market.check()


def _script() -> list[tuple[Address, calls.Call]]:
    return [
        (CLIENT, calls.Award(TASK, AWARD.root(TASK), AWARD.unit_price, AWARD.primaries)),
        *((trainer, accept(trainer)) for trainer in TRAINERS[:3]),
        *((trainer, calls.Ready(TASK)) for trainer in TRAINERS[:2]),
        (CLIENT, calls.Start(TASK)),
        (TRAINERS[0], calls.PublishResult(*RESULT)),
        (TRAINERS[1], calls.ConfirmResult(*RESULT)),
    ]


TestAnyCalls = AnyCalls.TestCase
TestAnyCalls.settings = settings(max_examples=60, stateful_step_count=40)


@given(st.integers(0, 2**64), st.integers(0, 2**64))
def test_stake_comes_back_to_the_tinybar(deposit: int, more: int) -> None:
    market, who = Market(), Address(b"w" * 20)
    try:
        market.call(who, calls.Register(KEY, KEY), deposit, now_s=1)
        market.call(who, calls.DepositStake(), more, now_s=1)
    except Reverted as error:
        assert error.reason in ("AmountOutOfRange", "ZeroValue")
        return
    market.call(who, calls.RequestUnstake(Tinybar(deposit + more)), now_s=1)
    market.check()
    with pytest.raises(Reverted):
        market.call(who, calls.CompleteUnstake(), now_s=UNBONDING_S)
    market.call(who, calls.CompleteUnstake(), now_s=UNBONDING_S + 1)
    (withdrawn,) = market.call(who, calls.Withdraw(), now_s=1)
    assert withdrawn.amount == deposit + more == market.withdrawn  # type: ignore[union-attr]
    market.check()
