"""A model of `TrainingMarket.sol` in plain Python: the oracle of its tests, and the escrow of the simulator.

Every rule is checked in the order of the Solidity source, so that a refusal has the same name in both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shoal.core import calls
from shoal.core import events as ev
from shoal.core.events import Event
from shoal.core.ids import ZERO_DIGEST, Address, TaskId, task_id
from shoal.core.merkle import AuditLeaf, AwardLeaf, CreditLeaf, verify
from shoal.core.money import ZERO, Tinybar
from shoal.testing.court import Court
from shoal.testing.market_books import (
    CLAIM_PERIOD_S,
    ZERO_WORD,
    Account,
    ExpiryReason,
    MarketPhase,
    MarketTask,
    Reverted,
    TakenSeat,
    checkpoint_proposal,
    finder_part,
    open_seat,
    price,
    require,
    require_bounds,
    require_keys,
    require_plan,
    result_of,
    result_proposal,
    result_values,
)

UNBONDING_S = 7 * 24 * 3600
VALIDATOR_STAKE = 10_000_000_000
MIN_DISPUTE_S = 1
"""A simulated minute is as good as an hour."""


class Market:
    """The contract, with every account's books.

    >>> market = Market()
    >>> market.call(alice, calls.Register(key, recipient), 5, now_s=1)
    [Registered(account=..., stake=5)]
    """

    def __init__(
        self,
        *,
        unbonding: int = UNBONDING_S,
        validator_stake: int = VALIDATOR_STAKE,
        min_dispute_s: int = MIN_DISPUTE_S,
    ) -> None:
        self.unbonding, self.validator_stake, self.min_dispute_s = unbonding, validator_stake, min_dispute_s
        self.accounts: dict[Address, Account] = {}
        self.tasks: dict[TaskId, MarketTask] = {}
        self.received = 0
        """Tinybar that calls have brought in."""
        self.withdrawn = 0
        """Tinybar that left by `Withdraw`."""
        self.court = Court(self)
        self._rules: dict[type[Any], Callable[[Address, Any, int, int], list[Event]]] = {
            calls.Register: self._register,
            calls.DepositStake: self._deposit_stake,
            calls.RequestUnstake: self._request_unstake,
            calls.CancelUnstake: self._cancel_unstake,
            calls.CompleteUnstake: self._complete_unstake,
            calls.CreateTask: self._create_task,
            calls.Award: self._award,
            calls.Accept: self._accept,
            calls.Ready: self._ready,
            calls.Start: self._start,
            calls.ConfirmCheckpoint: self._confirm_checkpoint,
            calls.PublishResult: self._publish_result,
            calls.ConfirmResult: self._confirm_result,
            calls.Settle: self._settle,
            calls.Claim: self._claim,
            calls.ClaimAudits: self._claim_audits,
            calls.Cancel: self._cancel,
            calls.Expire: self._expire,
            calls.Release: self._release,
            calls.Withdraw: self._withdraw,
            **self.court.rules,
        }

    def call(self, sender: Address, call: calls.Call, value: int = 0, *, now_s: int) -> list[Event]:
        """Run a function as `sender` with `value` tinybar at consensus second `now_s`; the events it emits.

        Raises:
            Reverted: the contract refuses, and nothing has changed.
        """
        require(value == 0 or isinstance(call, calls.PAYABLE), "")
        events = self._rules[type(call)](sender, call, value, now_s)
        self.received += value
        return events

    def account(self, address: Address) -> Account:
        """The books of an account; empty for one never seen."""
        return self.accounts.get(address) or Account()

    def check(self) -> None:
        """Raise AssertionError unless every tinybar is accounted for and every locked stake has its open seat."""
        escrow = sum(task.reserved for task in self.tasks.values()) + self.court.bonds()
        held = sum(account.stake + account.unbonding + account.balance for account in self.accounts.values())
        assert self.received - self.withdrawn == escrow + held, (self.received, self.withdrawn, escrow, held)
        for address, account in self.accounts.items():
            locked = self.court.validator(address).stake + sum(
                task.plan.stake_per_seat - task.seats[address].slashed * task.plan.slash
                for task in self.tasks.values()
                if address in task.seats and not task.seats[address].closed
            )
            assert account.locked == locked <= account.stake, (address.hex(), account, locked)
            assert account.balance >= 0
        assert all(0 <= task.reserved <= task.escrow for task in self.tasks.values())

    # ------------------------------------------------------------ accounts

    def _register(self, sender: Address, call: calls.Register, value: int, now_s: int) -> list[Event]:
        require(not self.account(sender).signing_key, "AlreadyRegistered")
        require_keys(call.signing_key, call.recipient)
        require(value < 2**64, "AmountOutOfRange")
        account = self.books(sender)
        account.signing_key, account.recipient = call.signing_key, call.recipient
        account.stake += value
        return [ev.Registered(sender, call.signing_key, call.recipient, Tinybar(value))]

    def _deposit_stake(self, sender: Address, call: calls.DepositStake, value: int, now_s: int) -> list[Event]:
        account = self.registered(sender)
        require(value != 0, "ZeroValue")
        require(value < 2**64, "AmountOutOfRange")
        account.stake += value
        return [ev.StakeDeposited(sender, Tinybar(value))]

    def _request_unstake(self, sender: Address, call: calls.RequestUnstake, value: int, now_s: int) -> list[Event]:
        account = self.registered(sender)
        require(call.amount != 0, "ZeroValue")
        require(account.free >= call.amount, "InsufficientStake")
        return [self.unbond(sender, call.amount, now_s)]

    def _cancel_unstake(self, sender: Address, call: calls.CancelUnstake, value: int, now_s: int) -> list[Event]:
        amount = self.account(sender).unbonding
        require(amount != 0, "NothingToUnstake")
        account = self.books(sender)
        account.unbonding = 0
        account.stake += amount
        return [ev.UnstakeCancelled(sender, Tinybar(amount))]

    def _complete_unstake(self, sender: Address, call: calls.CompleteUnstake, value: int, now_s: int) -> list[Event]:
        amount = self.account(sender).unbonding
        require(amount != 0, "NothingToUnstake")
        account = self.books(sender)
        require(now_s >= account.unbond_at, "TooEarly")
        account.unbonding = 0
        account.balance += amount
        return [ev.Unstaked(sender, Tinybar(amount))]

    def _withdraw(self, sender: Address, call: calls.Withdraw, value: int, now_s: int) -> list[Event]:
        amount = self.account(sender).balance
        require(amount != 0, "NothingToWithdraw")
        self.books(sender).balance = 0
        self.withdrawn += amount
        return [ev.Withdrawn(sender, Tinybar(amount))]

    # ------------------------------------------------------------ before the start

    def _create_task(self, sender: Address, call: calls.CreateTask, value: int, now_s: int) -> list[Event]:
        task = task_id(sender, call.manifest_hash)
        require(task not in self.tasks, "TaskExists")
        require(call.manifest_hash != ZERO_DIGEST, "ZeroValue")
        require_keys(call.signing_key, call.recipient)
        require_plan(call.plan, self.validator_stake, self.min_dispute_s, now_s)
        escrow = call.plan.escrow()
        require(value == escrow, "WrongEscrow")
        require(escrow < 2**64, "AmountOutOfRange")
        self.tasks[task] = MarketTask(sender, call.plan, escrow, escrow)
        keys = (call.signing_key, call.recipient)
        return [ev.TaskCreated(task, sender, call.topic, call.manifest_hash, *keys, call.plan, escrow)]

    def _award(self, sender: Address, call: calls.Award, value: int, now_s: int) -> list[Event]:
        task = self._clients_task(sender, call.task_id)
        require(task.award_root == ZERO_WORD, "AlreadyAwarded")
        require(task.phase is MarketPhase.CREATED, "WrongPhase")
        require(now_s > task.plan.bid_until, "TooEarly")
        require(now_s <= task.plan.award_until, "TooLate")
        require(call.root != ZERO_WORD, "ZeroValue")
        require(call.unit_price <= task.plan.max_unit_price, "PriceTooHigh")
        require(task.plan.min_trainers <= call.primaries <= task.plan.seats, "PrimariesOutOfRange")
        task.phase = MarketPhase.AWARDED
        task.award_root, task.unit_price, task.primaries = call.root, call.unit_price, call.primaries
        return [ev.Awarded(call.task_id, call.root, call.unit_price, call.primaries)]

    def _accept(self, sender: Address, call: calls.Accept, value: int, now_s: int) -> list[Event]:
        task = self.task(call.task_id)
        plan = task.plan
        require(sender not in task.seats, "AlreadyAccepted")
        require(task.phase is MarketPhase.AWARDED, "WrongPhase")
        require(sender != task.client, "ClientCannotTrain")
        account = self.registered(sender)
        leaf = AwardLeaf(sender, call.units, call.rank).hash(call.task_id)
        require(verify(leaf, call.proof, task.award_root), "BadProof")
        require(len(task.seats) < task.primaries, "NoFreeSeat")
        if call.rank == 0:
            require(now_s <= plan.accept_until, "TooLate")
        else:
            require(now_s > plan.accept_until, "TooEarly")
            require(now_s <= plan.standby_until, "TooLate")
            require(call.rank <= task.primaries - task.primaries_accepted, "RankTooLow")
        require(account.stake - account.locked >= plan.stake_per_seat, "InsufficientStake")
        account.locked += plan.stake_per_seat
        task.primaries_accepted += call.rank == 0
        task.seats[sender] = TakenSeat(call.units, call.rank)
        return [ev.Accepted(call.task_id, sender, account.signing_key, account.recipient, call.units, call.rank)]

    def _ready(self, sender: Address, call: calls.Ready, value: int, now_s: int) -> list[Event]:
        task = self.task(call.task_id)
        seat = task.seats.get(sender)
        if seat is None:
            raise Reverted("NotAccepted")
        require(not seat.ready, "AlreadyReady")
        require(task.phase is MarketPhase.AWARDED, "WrongPhase")
        require(now_s <= task.plan.start_until, "TooLate")
        seat.ready = True
        return [ev.TrainerReady(call.task_id, sender)]

    def _start(self, sender: Address, call: calls.Start, value: int, now_s: int) -> list[Event]:
        task = self._clients_task(sender, call.task_id)
        require(task.quorum == 0, "AlreadyStarted")
        require(task.phase is MarketPhase.AWARDED, "WrongPhase")
        require(now_s <= task.plan.start_until, "TooLate")
        ready = sum(seat.ready for seat in task.seats.values())
        require(ready >= task.plan.min_trainers, "TooFewReady")
        task.quorum = 1 if task.plan.seats == 1 else ready // 2 + 1
        task.idle = len(task.seats) - ready
        task.phase = MarketPhase.RUNNING
        return [ev.Started(call.task_id, len(task.seats), ready, task.quorum)]

    def _cancel(self, sender: Address, call: calls.Cancel, value: int, now_s: int) -> list[Event]:
        task = self._clients_task(sender, call.task_id)
        require(task.phase is not MarketPhase.CANCELLED, "AlreadyCancelled")
        require(task.phase in (MarketPhase.CREATED, MarketPhase.AWARDED), "WrongPhase")
        refunded, owed = self._end(task, MarketPhase.CANCELLED, task.plan.compensation)
        return [ev.Cancelled(call.task_id, refunded, owed)]

    # ------------------------------------------------------------ progress and result

    def _confirm_checkpoint(
        self, sender: Address, call: calls.ConfirmCheckpoint, value: int, now_s: int
    ) -> list[Event]:
        claimed = calls.Result(
            0, call.round, call.units, call.aggregates, call.audits, call.checkpoint, call.credits_root
        )
        proposal = checkpoint_proposal(call.task_id, claimed)
        task = self._voters_task(sender, call.task_id, proposal, now_s)
        require(call.round != 0, "ZeroValue")
        require_bounds(task.plan, claimed)
        voters = task.votes.setdefault(proposal, [])
        voters.append(sender)
        what = (call.round, call.checkpoint, call.units, call.aggregates, call.audits, call.credits_root)
        events: list[Event] = [ev.CheckpointVoted(call.task_id, sender, *what)]
        if len(voters) >= task.quorum and call.round > task.progress.round:
            task.progress = claimed
            events.append(ev.CheckpointConfirmed(call.task_id, *what))
        return events

    def _publish_result(self, sender: Address, call: calls.PublishResult, value: int, now_s: int) -> list[Event]:
        proposed = result_of(call)
        proposal = result_proposal(call.task_id, proposed)
        task = self._voters_task(sender, call.task_id, proposal, now_s)
        require(proposal not in task.votes, "AlreadyPublished")
        require_bounds(task.plan, proposed)
        require(call.units >= task.progress.units, "BelowProgress")
        published = ev.ResultPublished(call.task_id, sender, *result_values(proposed))
        return [published, *self._vote_result(task, sender, call.task_id, proposed, now_s)]

    def _confirm_result(self, sender: Address, call: calls.ConfirmResult, value: int, now_s: int) -> list[Event]:
        proposed = result_of(call)
        proposal = result_proposal(call.task_id, proposed)
        task = self._voters_task(sender, call.task_id, proposal, now_s)
        require(proposal in task.votes, "NoSuchProposal")
        require(call.units >= task.progress.units, "BelowProgress")
        voted = ev.ResultVoted(call.task_id, sender, call.result, proposal)
        return [voted, *self._vote_result(task, sender, call.task_id, proposed, now_s)]

    def _vote_result(
        self, task: MarketTask, sender: Address, task_id: TaskId, proposed: calls.Result, now_s: int
    ) -> list[Event]:
        voters = task.votes.setdefault(result_proposal(task_id, proposed), [])
        voters.append(sender)
        if len(voters) < task.quorum:
            return []
        task.phase = MarketPhase.SETTLING
        task.settle_after = now_s + task.plan.window
        task.result = proposed
        return [ev.ResultConfirmed(task_id, *result_values(proposed), task.settle_after)]

    # ------------------------------------------------------------ ends

    def _settle(self, sender: Address, call: calls.Settle, value: int, now_s: int) -> list[Event]:
        task = self.task(call.task_id)
        require(task.claim_until == 0, "AlreadySettled")
        require(task.phase is MarketPhase.SETTLING, "WrongPhase")
        require(now_s >= task.settle_after, "TooEarly")
        require(task.open_disputes == 0, "DisputesOpen")
        return [self._close_books(call.task_id, task, now_s)]

    def _claim(self, sender: Address, call: calls.Claim, value: int, now_s: int) -> list[Event]:
        task = self.task(call.task_id)
        seat = open_seat(task, call.trainer)
        require(seat.ready, "NotReady")
        require(task.phase is MarketPhase.SETTLED, "WrongPhase")
        leaf = CreditLeaf(call.trainer, call.units, call.aggregates, call.no_show).hash(call.task_id)
        outcome = task.outcome
        require(verify(leaf, call.proof, outcome.credits_root), "BadProof")
        _count(task, call.units, call.aggregates, 0)
        seat.closed = True
        earned = price(task, call.units, call.aggregates, 0)
        self.from_escrow(task, task.client if seat.slashed else call.trainer, earned)
        penalty, finder_fee = _penalty(task, call.trainer, no_show=call.no_show)
        returned = self._unlock(task, call.trainer, penalty + finder_fee)
        self.books(task.client).balance += penalty
        self.books(task.finder).balance += finder_fee
        paid, forfeited = (ZERO, earned) if seat.slashed else (earned, ZERO)
        counts = (call.units, call.aggregates)
        return [ev.Claimed(call.task_id, call.trainer, *counts, paid, returned, penalty, finder_fee, forfeited)]

    def _claim_audits(self, sender: Address, call: calls.ClaimAudits, value: int, now_s: int) -> list[Event]:
        task = self.task(call.task_id)
        require(call.validator not in task.audits_claimed, "AlreadyClosed")
        require(call.validator in task.auditors, "NotAuditor")
        require(task.phase is MarketPhase.SETTLED, "WrongPhase")
        leaf = AuditLeaf(call.validator, call.audits).hash(call.task_id)
        require(verify(leaf, call.proof, task.outcome.credits_root), "BadProof")
        _count(task, 0, 0, call.audits)
        task.audits_claimed.add(call.validator)
        paid = price(task, 0, 0, call.audits)
        self.from_escrow(task, call.validator, paid)
        return [ev.AuditsClaimed(call.task_id, call.validator, call.audits, paid)]

    def _expire(self, sender: Address, call: calls.Expire, value: int, now_s: int) -> list[Event]:
        task = self.task(call.task_id)
        plan = task.plan
        require(task.phase not in (MarketPhase.EXPIRED, MarketPhase.LAPSED), "AlreadyExpired")
        if task.phase is MarketPhase.CREATED:
            require(now_s > plan.award_until, "TooEarly")
            return self._expire_unpaid(call.task_id, task, ExpiryReason.NOT_AWARDED, ZERO)
        if task.phase is MarketPhase.AWARDED:
            if len(task.seats) < plan.min_trainers:
                require(now_s > plan.standby_until, "TooEarly")
                return self._expire_unpaid(call.task_id, task, ExpiryReason.TOO_FEW_ACCEPTED, ZERO)
            require(now_s > plan.start_until, "TooEarly")
            return self._expire_unpaid(call.task_id, task, ExpiryReason.NOT_STARTED, plan.compensation)
        if task.phase is MarketPhase.RUNNING:
            require(now_s > plan.end_by + plan.dispute_time, "TooEarly")
            require(task.open_disputes == 0, "DisputesOpen")
            if task.progress.round == 0:
                return self._expire_unpaid(call.task_id, task, ExpiryReason.NO_PROGRESS, ZERO)
            expired = ev.Expired(call.task_id, ExpiryReason.ENDED_ON_PROGRESS, ZERO, ZERO)
            return [expired, self._close_books(call.task_id, task, now_s)]
        require(task.phase is MarketPhase.SETTLED, "WrongPhase")
        require(now_s > task.claim_until, "AlreadySettled")
        owed = Tinybar(task.idle_pay)
        refunded = Tinybar(task.reserved - owed)
        task.phase = MarketPhase.LAPSED
        self.from_escrow(task, task.client, refunded)
        return [ev.Expired(call.task_id, ExpiryReason.CLAIMS_LAPSED, refunded, owed)]

    def _release(self, sender: Address, call: calls.Release, value: int, now_s: int) -> list[Event]:
        task = self.task(call.task_id)
        seat = open_seat(task, call.trainer)
        idle = task.quorum != 0 and not seat.ready
        ended = task.phase in (MarketPhase.CANCELLED, MarketPhase.EXPIRED, MarketPhase.LAPSED)
        require(idle or ended, "WrongPhase")
        seat.closed = True
        task.idle -= idle
        compensation = Tinybar(task.plan.compensation if idle else task.compensation_due)
        self.from_escrow(task, call.trainer, compensation)
        return [ev.Released(call.task_id, call.trainer, self._unlock(task, call.trainer, 0), compensation)]

    # ------------------------------------------------------------ who and when

    def books(self, address: Address) -> Account:
        return self.accounts.setdefault(address, Account())

    def registered(self, address: Address) -> Account:
        require(bool(self.account(address).signing_key), "NotRegistered")
        return self.accounts[address]

    def task(self, task: TaskId) -> MarketTask:
        require(task in self.tasks, "UnknownTask")
        return self.tasks[task]

    def _clients_task(self, sender: Address, task_id: TaskId) -> MarketTask:
        task = self.task(task_id)
        require(sender == task.client, "NotClient")
        return task

    def _voters_task(self, sender: Address, task_id: TaskId, proposal: bytes, now_s: int) -> MarketTask:
        task = self.task(task_id)
        require(sender not in task.votes.get(proposal, ()), "AlreadyVoted")
        require(task.phase is MarketPhase.RUNNING, "WrongPhase")
        require(task.may_vote(sender), "NotAVoter")
        require(now_s <= task.plan.end_by, "TooLate")
        return task

    # ------------------------------------------------------------ money

    def from_escrow(self, task: MarketTask, to: Address, amount: int) -> None:
        task.reserved -= amount
        self.books(to).balance += amount

    def _unlock(self, task: MarketTask, trainer: Address, lost: int) -> Tinybar:
        """Unlock what is left of a seat's stake, less what it loses now."""
        left = task.plan.stake_per_seat - task.seats[trainer].slashed * task.plan.slash
        self.forfeit(trainer, lost)
        self.books(trainer).locked -= left - lost
        return Tinybar(left - lost)

    def forfeit(self, who: Address, amount: int) -> None:
        """Take locked stake for good; whoever calls this credits it to others."""
        account = self.books(who)
        account.locked -= amount
        account.stake -= amount

    def unbond(self, who: Address, amount: int, now_s: int) -> Event:
        account = self.books(who)
        account.stake -= amount
        account.unbonding += amount
        account.unbond_at = now_s + self.unbonding
        return ev.UnstakeRequested(who, Tinybar(amount), account.unbond_at)

    def _end(self, task: MarketTask, phase: MarketPhase, compensation: int) -> tuple[Tinybar, Tinybar]:
        """End without credits: what the client gets back, and what the trainers are owed together."""
        owed = len(task.seats) * compensation + task.idle_pay
        refunded = task.reserved - owed
        task.phase, task.compensation_due = phase, compensation
        self.from_escrow(task, task.client, refunded)
        return Tinybar(refunded), Tinybar(owed)

    def _expire_unpaid(
        self, task_id: TaskId, task: MarketTask, reason: ExpiryReason, compensation: Tinybar
    ) -> list[Event]:
        return [ev.Expired(task_id, reason, *self._end(task, MarketPhase.EXPIRED, compensation))]

    def _close_books(self, task_id: TaskId, task: MarketTask, now_s: int) -> Event:
        outcome = task.outcome
        owed = Tinybar(price(task, outcome.units, outcome.aggregates, outcome.audits) + task.idle_pay)
        refunded = Tinybar(task.reserved - owed)
        task.phase = MarketPhase.SETTLED
        task.claim_until = now_s + CLAIM_PERIOD_S
        self.from_escrow(task, task.client, refunded)
        return ev.Settled(task_id, owed, refunded)


def _count(task: MarketTask, units: int, aggregates: int, audits: int) -> None:
    """Only a faulty root can promise more than was confirmed; whoever comes last is then refused."""
    units, aggregates = task.claimed_units + units, task.claimed_aggregates + aggregates
    audits += task.claimed_audits
    outcome = task.outcome
    within = units <= outcome.units and aggregates <= outcome.aggregates and audits <= outcome.audits
    require(within, "CreditsExhausted")
    task.claimed_units, task.claimed_aggregates, task.claimed_audits = units, aggregates, audits


def _penalty(task: MarketTask, trainer: Address, *, no_show: bool) -> tuple[Tinybar, Tinybar]:
    """What a seat loses of its stake at its claim, to the client and to the finder: one thing at most, the gravest."""
    if task.seats[trainer].slashed:
        return ZERO, ZERO
    if task.wrong_proposal and trainer in task.votes.get(task.wrong_proposal, ()):
        lost = task.plan.slash
    elif task.appealed and trainer not in task.votes.get(task.right_proposal, ()):
        lost = task.plan.no_show_penalty
    else:
        return (task.plan.no_show_penalty if no_show else ZERO), ZERO
    to_finder = finder_part(task.plan, lost)
    return Tinybar(lost - to_finder), to_finder
