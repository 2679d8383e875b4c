"""Money is conserved under any sequence of calls, the events alone account for all of it, and nothing is ever stuck."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from .harness import FUNDS, UNBONDING_S, Event, Plan, Reverted
from .scene import KEY, RECIPIENT, Credit, Scene

TRAINERS = 5
SEATS = 3
REASONABLE = 10_000
PHASES = ["None", "Created", "Awarded", "Running", "Settling", "Settled", "Cancelled", "Expired", "Lapsed"]

people = st.sampled_from(["client", "stranger", *[str(i) for i in range(TRAINERS)]])
trainers = st.integers(0, TRAINERS - 1)
stages = st.sampled_from([0, 1, 2, 3, 4, 4, 5, 5, 6, 6])
amounts = st.integers(0, 2 * REASONABLE)


class Books:
    """What everybody owns, told by the events alone."""

    def __init__(self) -> None:
        self.stake: defaultdict[bytes, int] = defaultdict(int)
        self.locked: defaultdict[bytes, int] = defaultdict(int)
        self.balance: defaultdict[bytes, int] = defaultdict(int)
        self.unbonding: defaultdict[bytes, int] = defaultdict(int)
        self.escrow = 0
        self.client = b""

    def record(self, event: Event, seat_stake: int) -> None:
        args = event.args
        match event.name:
            case "Registered":
                self.stake[args["account"]] += args["stake"]
            case "StakeDeposited":
                self.stake[args["account"]] += args["amount"]
            case "UnstakeRequested":
                self.stake[args["account"]] -= args["amount"]
                self.unbonding[args["account"]] += args["amount"]
            case "UnstakeCancelled":
                self.unbonding[args["account"]] -= args["amount"]
                self.stake[args["account"]] += args["amount"]
            case "Unstaked":
                self.unbonding[args["account"]] -= args["amount"]
                self.balance[args["account"]] += args["amount"]
            case "Withdrawn":
                self.balance[args["account"]] -= args["amount"]
            case "TaskCreated":
                self.client = args["client"]
                self.escrow += args["escrow"]
            case "Accepted":
                self.locked[args["trainer"]] += seat_stake
            case "Settled" | "Cancelled" | "Expired":
                self._from_escrow(self.client, args["refunded"])
            case "Claimed":
                self._from_escrow(args["trainer"], args["paid"])
                self._unlock(args["trainer"], args["stakeReturned"], args["penalty"])
            case "Released":
                self._from_escrow(args["trainer"], args["compensation"])
                self._unlock(args["trainer"], args["stakeReturned"], 0)

    def _from_escrow(self, to: bytes, amount: int) -> None:
        self.escrow -= amount
        self.balance[to] += amount

    def _unlock(self, trainer: bytes, returned: int, penalty: int) -> None:
        self.locked[trainer] -= returned + penalty
        self.stake[trainer] -= penalty
        self.balance[self.client] += penalty


class Lives(RuleBasedStateMachine):
    """Anybody calls anything at any time; a refused call must change nothing, an accepted one conserve money."""

    def __init__(self) -> None:
        super().__init__()
        plan = Plan(seats=SEATS, max_unit_price=101, aggregate_price=53, compensation=300)
        self.scene = Scene(plan, trainers=TRAINERS, primaries=SEATS)
        self.scene.credits = {
            trainer: Credit(units, aggregates, no_show)
            for trainer, units, aggregates, no_show in zip(
                self.scene.trainers, (9, 7, 4, 2, 2), (1, 1, 1, 0, 0), (False, False, True, False, True), strict=True
            )
        }
        self.books = Books()
        self.surplus = 1  # deployed with
        self.everyone = [self.scene.client, self.scene.stranger, *self.scene.trainers]
        self.minted = len(self.everyone) * FUNDS

    def person(self, name: str) -> bytes:
        return self.scene.trainers[int(name)] if name.isdigit() else getattr(self.scene, name)

    def attempt(self, sender: bytes, function: str, *args: Any, value: int = 0) -> None:
        scene = self.scene
        before = self.snapshot()
        try:
            receipt = scene.market(sender, function, *args, value=value)
        except Reverted as refused:
            assert not refused.name.startswith("0x"), f"{function}: a panic or a bare revert, {refused.name}"
            assert self.snapshot() == before
            return
        assert receipt.events
        for said in receipt.events:
            self.books.record(said, scene.plan.stake_per_seat)

    def phase(self) -> str:
        try:
            return PHASES[int(self.scene.get("phase"))]
        except Reverted:
            return PHASES[0]

    def snapshot(self) -> tuple[Any, ...]:
        market = self.scene.market
        holdings = [self.scene.chain.balance(who) for who in (*self.everyone, market.address)]
        return (market.view("liabilities"), *holdings)

    @initialize(
        stage=st.sampled_from([0, 1, 2, 3, 4, 4, 5, 5, 6, 6]),
        ready=st.sampled_from([1, 2, 3, 3]),
        units=st.sampled_from([20, 24]),
    )
    def honest_beginning(self, stage: int, ready: int, units: int) -> None:
        """What honest people do first, up to some stage: chance alone would seldom get past the bids."""
        scene = self.scene
        for i in range(TRAINERS):
            self.register(str(i), REASONABLE)
        if stage >= 1:
            self.create()
        if stage >= 2:
            scene.at(scene.plan.bid_until + 1)
            self.award(100, SEATS)
        if stage >= 3:
            for i in range(SEATS):
                self.accept(i)
            for i in range(ready):
                self.ready(i)
        if stage >= 4:
            self.move("client", "start")
        if stage >= 5:
            self.checkpoint("0", 1, 20)
            self.checkpoint("1", 1, 20)
        if stage >= 6:
            self.result("0", "publishResult", units)
            self.result("1", "confirmResult", units)
            scene.chain.now_s += scene.plan.window

    # rules: single calls, by anyone, at any time

    @rule(step_s=st.sampled_from([0, 1, 50, 120, 400, 4_500, 31 * 24 * 3600]))
    def time_passes(self, step_s: int) -> None:
        self.scene.chain.now_s += step_s

    @rule(who=people, stake=amounts)
    def register(self, who: str, stake: int) -> None:
        self.attempt(self.person(who), "register", KEY, RECIPIENT, value=stake)

    @rule(who=people, stake=amounts)
    def deposit(self, who: str, stake: int) -> None:
        self.attempt(self.person(who), "depositStake", value=stake)

    @rule(who=people, amount=amounts)
    def unstake(self, who: str, amount: int) -> None:
        self.attempt(self.person(who), "requestUnstake", amount)

    @rule(who=people, function=st.sampled_from(["cancelUnstake", "completeUnstake"]))
    def end_unstake(self, who: str, function: str) -> None:
        self.attempt(self.person(who), function)

    @rule(who=people)
    def withdraw(self, who: str) -> None:
        self.attempt(self.person(who), "withdraw")

    @rule()
    def create(self) -> None:
        plan = self.scene.plan
        args = (b"m" * 32, 77, KEY, RECIPIENT, plan.values())
        self.attempt(self.scene.client, "createTask", *args, value=plan.escrow)

    @rule(price=st.integers(90, 102), primaries=st.integers(1, 4))
    def award(self, price: int, primaries: int) -> None:
        scene = self.scene
        self.attempt(scene.client, "award", scene.task, scene.awards.root, price, primaries)

    @rule(i=trainers)
    def accept(self, i: int) -> None:
        scene = self.scene
        proof = scene.awards.proof(scene.award_leaf(i))
        self.attempt(scene.trainers[i], "accept", scene.task, 6, scene.ranks[i], proof)

    @rule(i=trainers)
    def ready(self, i: int) -> None:
        self.attempt(self.scene.trainers[i], "ready", self.scene.task)

    @rule(who=people, function=st.sampled_from(["start", "cancel", "settle", "expire"]))
    def move(self, who: str, function: str) -> None:
        self.attempt(self.person(who), function, self.scene.task)

    @rule(who=people, round=st.integers(1, 3), units=st.sampled_from([0, 20, 24, 25]))
    def checkpoint(self, who: str, round: int, units: int) -> None:
        args = self.scene.checkpoint_args(round, units=units, aggregates=round)
        self.attempt(self.person(who), "confirmCheckpoint", *args)

    @rule(who=people, function=st.sampled_from(["publishResult", "confirmResult"]), units=st.sampled_from([5, 24]))
    def result(self, who: str, function: str, units: int) -> None:
        self.attempt(self.person(who), function, *self.scene.result_args(units=units))

    @rule(i=trainers)
    def claim(self, i: int) -> None:
        scene, trainer = self.scene, self.scene.trainers[i]
        credit = scene.credits[trainer]
        proof = scene.credits_tree.proof(scene.credit_leaf(trainer))
        args = (scene.task, trainer, credit.units, credit.aggregates, credit.no_show, proof)
        self.attempt(scene.stranger, "claim", *args)

    @rule(i=trainers)
    def release(self, i: int) -> None:
        self.attempt(self.scene.stranger, "release", self.scene.task, self.scene.trainers[i])

    @rule(amount=st.integers(1, 99))
    def native_transfer(self, amount: int) -> None:
        """Hedera moves value to a contract without running it."""
        state, market = self.scene.chain.state, self.scene.market.address
        state.set_balance(self.scene.stranger, state.get_balance(self.scene.stranger) - amount)
        state.set_balance(market, state.get_balance(market) + amount)
        self.surplus += amount

    # what holds after every rule

    @invariant()
    def money_is_conserved(self) -> None:
        scene = self.scene
        held = scene.chain.balance(scene.market.address)
        assert held == scene.market.liabilities() + self.surplus
        assert held + sum(scene.chain.balance(who) for who in self.everyone) == self.minted + 1

    @invariant()
    def events_account_for_everything(self) -> None:
        market, books = self.scene.market, self.books
        totals = market.view("liabilities")
        assert totals["escrow"] == books.escrow
        assert totals["stake"] == sum(books.stake.values()) + sum(books.unbonding.values())
        assert totals["balances"] == sum(books.balance.values())
        for who in self.everyone:
            account = market.view("getAccount", who)
            assert account["stake"] == books.stake[who]
            assert account["locked"] == books.locked[who] <= account["stake"]
            assert account["balance"] == books.balance[who]
            assert account["unbonding"] == books.unbonding[who]

    def teardown(self) -> None:
        """However it went, strangers and time bring the task to an end, and everybody gets all that is theirs."""
        scene = self.scene
        event(f"before the end: {self.phase()}")
        for _ in range(3):
            scene.chain.now_s += 121 * 24 * 3600
            self.move("stranger", "settle")
            self.move("stranger", "expire")
        event(f"at the end: {self.phase()}")
        for i in range(TRAINERS):
            self.release(i)
        for who in self.everyone:
            account = scene.account(who)
            assert account["locked"] == 0
            self.attempt(who, "requestUnstake", account["stake"])
            scene.chain.now_s += UNBONDING_S
            self.attempt(who, "completeUnstake")
            self.attempt(who, "withdraw")
        self.money_is_conserved()
        assert scene.market.liabilities() == 0


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
