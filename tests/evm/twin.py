"""The contract and its model side by side: every call is made on both, and they have to agree on all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shoal.adapters.hedera.market import MarketAbi
from shoal.core import calls
from shoal.core.auction import Award
from shoal.core.codec import digest
from shoal.core.events import Event
from shoal.core.ids import Address, Digest, address_text, keccak256, task_id, word
from shoal.core.merkle import AuditLeaf, AwardLeaf, CreditLeaf, proof, root
from shoal.core.money import Tinybar
from shoal.core.task import Mark
from shoal.core.verify_money import Books
from shoal.testing import Market as Model
from shoal.testing import Reverted
from shoal.testing.court import DRAW_BLOCKS
from shoal.testing.market_books import Account
from shoal.testing.standing import standing

from . import views
from .harness import FUNDS, MIN_DISPUTE_S, START_S, UNBONDING_S, VALIDATOR_STAKE, Chain, Market

ABI = MarketAbi()
KEY = digest(b"key")
MANIFEST = digest(b"manifest")
TOPIC = 9
SEAT_STAKE = 10_000
PLAN = calls.Plan(
    chunks=6,
    rounds=2,
    seats=3,
    min_trainers=2,
    max_unit_price=Tinybar(1_000),
    aggregate_price=Tinybar(77),
    stake_per_seat=Tinybar(SEAT_STAKE),
    compensation=Tinybar(300),
    no_show_penalty=Tinybar(4_000),
    bid_until=START_S + 100,
    award_until=START_S + 200,
    accept_until=START_S + 300,
    standby_until=START_S + 400,
    start_until=START_S + 500,
    end_by=START_S + 5_000,
    window=60,
    auditors=3,
    audit_price=Tinybar(901),
    audits=4,
    bond=Tinybar(3_001),
    slash=Tinybar(9_001),
    finder_share=3_339,
    dispute_time=50,
)


class Twin:
    """A client, trainers and validators with stake, and a task with juries that is not created yet."""

    def __init__(self, plan: calls.Plan = PLAN, *, trainers: int = 4, validators: int = 4) -> None:
        self.chain = Chain()
        self.market = Market(self.chain)
        self.model = Model(unbonding=UNBONDING_S, validator_stake=VALIDATOR_STAKE, min_dispute_s=MIN_DISPUTE_S)
        self.plan = plan
        self.client, self.stranger = self._person("client"), self._person("stranger")
        self.trainers = [self._person(f"trainer {i}") for i in range(trainers)]
        self.validators = [self._person(f"validator {i}") for i in range(validators)]
        self.everyone = [self.client, self.stranger, *self.trainers, *self.validators]
        self.task = task_id(self.client, MANIFEST)
        ranks = [max(0, i + 1 - plan.seats) for i in range(trainers)]
        leaves = tuple(AwardLeaf(who, 4, rank) for who, rank in zip(self.trainers, ranks, strict=True))
        self.award = Award(leaves, Tinybar(900))
        self.credits = [
            CreditLeaf(who, units, i % 2, i == 2)
            for i, (who, units) in enumerate(zip(self.trainers[: plan.seats], (4, 3, 2), strict=False))
        ]
        self.audits = [AuditLeaf(who, 1 + i % 2) for i, who in enumerate(self.validators[:2])]
        self._manifest = MANIFEST
        self._others: list[bytes] = []
        self.checks = True
        self.happened: list[Event] = []

    def _person(self, name: str) -> Address:
        return Address(self.chain.account(name))

    def crowd(self, count: int) -> None:
        """Make the trees and the pool as large as those of a market with `count` trainers and validators."""
        others = [Address(keccak256(b"other %d" % i)[12:]) for i in range(count)]
        more = tuple(AwardLeaf(who, 4, 0) for who in others[len(self.trainers) :])
        self.award = Award((*self.award.leaves, *more), self.award.unit_price)
        self._others = [keccak256(b"leaf %d" % i) for i in range(count - len(self.credits) - len(self.audits))]
        self.checks = False  # of hundreds of accounts after every call
        for who in others[len(self.validators) :]:
            self.chain.state.set_balance(who, FUNDS)
            self(who, calls.Register(KEY, KEY), VALIDATOR_STAKE)
            self(who, calls.JoinValidators())

    def again(self) -> None:
        """The next task is another one."""
        self._manifest = digest(self._manifest)
        self.task = task_id(self.client, self._manifest)

    def at(self, time_s: int) -> None:
        self.chain.now_s = time_s

    def wait(self, seconds: int) -> None:
        self.chain.now_s += seconds

    # ------------------------------------------------------------ one call on both

    def try_call(self, sender: Address, call: calls.Call, value: int = 0) -> list[Event] | str:
        """The events, or the name of the error; both sides have to give the same, and the same books."""
        theirs = self._on_chain(sender, call, value)
        before = self._state() if self.checks and isinstance(theirs, str) else b""
        try:
            ours: list[Event] | str = self.model.call(sender, call, value, now_s=self.chain.now_s)
        except Reverted as error:
            ours = error.reason
            assert not before or self._state() == before, f"{call}: refused with {ours}, and yet something has changed"
        assert theirs == ours, f"{call}: the contract says {theirs}, the model {ours}"
        self.happened += [] if isinstance(ours, str) else ours
        return ours

    def __call__(self, sender: Address, call: calls.Call, value: int = 0) -> list[Event]:
        done = self.try_call(sender, call, value)
        assert not isinstance(done, str), f"{call} was refused: {done}"
        if self.checks:
            self.check()
        return done

    def refused(self, sender: Address, call: calls.Call, value: int = 0) -> str:
        done = self.try_call(sender, call, value)
        assert isinstance(done, str), f"{call} was accepted: {done}"
        return done

    def _on_chain(self, sender: Address, call: calls.Call, value: int) -> list[Event] | str:
        done, gas = self.chain.transact(sender, self.market.address, ABI.encode(call), value=value)
        self.gas = gas
        if done.is_error:
            name, _ = ABI.decode_error(done.output)
            return name if done.output else ""
        found = []
        for _, topics, data in done.get_log_entries():
            event = ABI.decode_event([topic.to_bytes(32, "big") for topic in topics], data)
            assert event is not None, "every event of the contract is known"
            found.append(event)
        return found

    def _state(self) -> bytes:
        """All that the model keeps, but for empty books of accounts that were looked at."""
        model, court = self.model, self.model.court
        accounts = {who: books for who, books in model.accounts.items() if books != Account()}
        whole = (accounts, model.tasks, model.received, model.withdrawn, court.pool, court.validators, court.disputes)
        return repr(whole).encode()

    def check(self) -> None:
        """Both have the same books, tasks, seats, votes, disputes and pool, the contract holds what it owes, and a
        verifier finds its events in order."""
        self.model.check()
        if self.task in self.model.tasks:
            books = self.books(self.happened)
            assert (books.faults, books.held) == ([], self.model.tasks[self.task].reserved)
            told = standing(self.model, self.task, topic=TOPIC, manifest_hash=self._manifest)
            seats = [(who, self._view("getSeat", self.task, address_text(who))) for who in self.trainers]
            closed = frozenset(who for who, seat in seats if ABI.is_closed(seat))
            assert replace(ABI.task(self._view("getTask", self.task)), closed=closed) == told
        for task in self.model.tasks:
            views.same_task(self.market, self.model, task)
        for dispute in self.model.court.disputes:
            views.same_dispute(self.market, self.model, dispute)
        for who in self.validators:
            views.same_validator(self.market, self.model, who)
        for who in self.everyone:
            ours = self.model.account(who)
            theirs = ABI.account_state(self._view("getAccount", address_text(who)))
            assert (theirs.stake_tinybar, theirs.locked_tinybar, theirs.balance_tinybar) == (
                ours.stake,
                ours.locked,
                ours.balance,
            )
            assert (theirs.unbonding_tinybar, theirs.unbond_at) == (ours.unbonding, ours.unbond_at)
        owed = ABI.liabilities(self._view("liabilities"))
        held = self.chain.balance(self.market.address)
        assert held == owed.total_tinybar + 1, "and the tinybar that it was deployed with"
        assert owed.total_tinybar == self.model.received - self.model.withdrawn
        assert held + sum(self.chain.balance(who) for who in self.everyone) == len(self.everyone) * FUNDS + 1

    def books(self, happened: Sequence[Event]) -> Books:
        """The task's money as a verifier counts it, from events and the credits of the log."""
        mark = Mark(self.plan.rounds, digest(b"result"), 41, tuple(self.credits), tuple(self.audits))
        books = Books(self.task, self.client, self.plan, lambda round, root: mark)
        books.take(event for event in happened if getattr(event, "task_id", None) == self.task)
        return books

    def _view(self, name: str, *arguments: object) -> bytes:
        done, _ = self.chain.transact(bytes(20), self.market.address, ABI.encode_view(name, *arguments))
        done.raise_if_error()
        return bytes(done.output)

    # ------------------------------------------------------------ what people compute

    def tree(self) -> list[bytes]:
        own = [each.hash(self.task) for each in self.credits] + [each.hash(self.task) for each in self.audits]
        return own + self._others

    def result(self, **changes: object) -> calls.Result:
        counts = (
            sum(each.units for each in self.credits),
            sum(each.aggregates for each in self.credits),
            sum(each.audits for each in self.audits),
        )
        right = calls.Result(41, self.plan.rounds, *counts, digest(b"result"), root(self.tree()))
        return replace(right, **changes)  # type: ignore[arg-type]

    def publish(self, result: calls.Result) -> calls.PublishResult:
        counts = (result.log_position, result.round, result.units, result.aggregates, result.audits)
        return calls.PublishResult(self.task, result.result, *counts, result.credits_root)

    def confirm(self, result: calls.Result) -> calls.ConfirmResult:
        counts = (result.log_position, result.round, result.units, result.aggregates, result.audits)
        return calls.ConfirmResult(self.task, result.result, *counts, result.credits_root)

    def checkpoint(self, round: int = 1) -> calls.ConfirmCheckpoint:
        return calls.ConfirmCheckpoint(self.task, round, digest(b"%d" % round), 3, 1, 0, root(self.tree()))

    def create(self) -> calls.CreateTask:
        return calls.CreateTask(self._manifest, TOPIC, KEY, KEY, self.plan)

    def accept(self, i: int) -> calls.Accept:
        found = self.award.proof(self.task, self.trainers[i])
        assert found is not None
        return calls.Accept(self.task, found[0].units, found[0].rank, found[1])

    def claim(self, i: int) -> calls.Claim:
        leaf = self.credits[i]
        path = proof(self.tree(), i)
        return calls.Claim(self.task, leaf.trainer, leaf.units, leaf.aggregates, leaf.no_show, path)

    def claim_audits(self, i: int) -> calls.ClaimAudits:
        leaf = self.audits[i]
        return calls.ClaimAudits(self.task, leaf.validator, leaf.audits, proof(self.tree(), len(self.credits) + i))

    def dispute(self, number: int = 1) -> bytes:
        return keccak256(word(self.task) + word(number))

    # ------------------------------------------------------------ whole phases

    def registered(self) -> Twin:
        for who in self.trainers:
            self(who, calls.Register(KEY, KEY), SEAT_STAKE)
        for who in self.validators:
            self(who, calls.Register(KEY, KEY), VALIDATOR_STAKE)
            self(who, calls.JoinValidators())
        return self

    def running(self, accepting: Sequence[int] = (0, 1, 2), *, ready: int | None = None) -> Twin:
        """Started by the first `ready` of those that accept; all of them, if not told."""
        self.registered()
        self(self.client, self.create(), self.plan.escrow())
        self.at(self.plan.bid_until + 1)
        root_, price = self.award.root(self.task), self.award.unit_price
        self(self.client, calls.Award(self.task, root_, price, self.plan.seats))
        for i in accepting:
            self(self.trainers[i], self.accept(i))
        for i in accepting[:ready]:
            self(self.trainers[i], calls.Ready(self.task))
        self(self.client, calls.Start(self.task))
        return self

    def settling(self, result: calls.Result | None = None) -> Twin:
        """Trainers 0 and 1 confirmed it, a quorum of the three."""
        self.running()
        result = result or self.result()
        self(self.trainers[0], self.publish(result))
        self(self.trainers[1], self.confirm(result))
        return self

    def accused(self, i: int = 0) -> bytes:
        """The stranger, who has to be registered, accuses a trainer; the dispute."""
        self(self.stranger, calls.Register(KEY, KEY))
        self(self.stranger, calls.Accuse(self.task, self.trainers[i], digest(b"entry")), int(self.plan.bond))
        return self.dispute()

    def jury(self, dispute: bytes) -> list[Address]:
        self.wait(2)
        (drawn,) = self(self.stranger, calls.DrawJury(dispute))
        return [member.validator for member in drawn.jury]  # type: ignore[union-attr]

    def judged(self, dispute: bytes, *votes: bool) -> list[Event]:
        """The jury votes, the dispute is resolved; its last events."""
        for juror, vote in zip(self.jury(dispute), votes, strict=False):
            self(juror, calls.Judge(dispute, vote))
        if len(votes) < self.plan.auditors:
            self.wait(self.plan.dispute_time + 1)
        return self(self.stranger, calls.Resolve(dispute))

    def leave_no_money(self) -> None:
        """Everybody takes out what is theirs; nothing of it may stay behind."""
        for who in self.everyone:
            if who in self.model.court.pool:
                self(who, calls.LeaveValidators())
        self.wait(DRAW_BLOCKS + 1)
        for who in self.everyone:
            if self.model.court.validator(who).stake:
                self(who, calls.LeaveValidators())
            account = self.model.account(who)
            assert account.locked == 0
            if account.free:
                self(who, calls.RequestUnstake(Tinybar(account.free)))
        self.wait(UNBONDING_S)
        for who in self.everyone:
            if self.model.account(who).unbonding:
                self(who, calls.CompleteUnstake())
            if self.model.account(who).balance:
                self(who, calls.Withdraw())
        assert self.model.received == self.model.withdrawn

    def gain(self, who: Address) -> int:
        """What somebody has more, or less, than at first, once nothing of it is in the contract."""
        return self.chain.balance(who) - FUNDS


EVIDENCE = Digest(digest(b"entry"))
