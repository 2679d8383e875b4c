"""A model of `TrainingMarket.sol` in plain Python: the oracle of its tests, and the escrow of the simulator.

Every rule is checked in the order of the Solidity source, so that a refusal has the same name in both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from shoal.core import calls
from shoal.core import events as ev
from shoal.core.calls import Plan
from shoal.core.events import Event
from shoal.core.ids import ZERO_DIGEST, Address, Digest, TaskId, keccak256, task_id, word
from shoal.core.merkle import AwardLeaf, CreditLeaf, verify
from shoal.core.money import ZERO, Tinybar

CLAIM_PERIOD_S = 30 * 24 * 3600
MAX_LIFE_S = 90 * 24 * 3600
MAX_WINDOW_S = 30 * 24 * 3600
MAX_UNITS = 2**31 - 1
_ZERO_WORD = bytes(32)


class Reverted(Exception):
    """The contract refused a call and changed nothing. `reason` is the name of its custom error.

    A value sent with a call that takes none is refused without a name: then `reason` is empty.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason or "reverted without a reason")
        self.reason = reason


class MarketPhase(IntEnum):
    """As in Solidity; a task that does not exist is None there and absent here."""

    CREATED = 1
    AWARDED = 2
    RUNNING = 3
    SETTLING = 4
    SETTLED = 5
    CANCELLED = 6
    EXPIRED = 7
    LAPSED = 8


class ExpiryReason(IntEnum):
    """Why a task expired, as in the event `Expired`."""

    NOT_AWARDED = 1
    TOO_FEW_ACCEPTED = 2
    NOT_STARTED = 3
    ENDED_ON_PROGRESS = 4
    NO_PROGRESS = 5
    CLAIMS_LAPSED = 6


@dataclass(slots=True)
class Account:
    """Amounts in tinybar; `stake` includes `locked`."""

    signing_key: bytes = b""
    recipient: bytes = b""
    stake: int = 0
    locked: int = 0
    balance: int = 0


@dataclass(slots=True)
class TakenSeat:
    units: int
    rank: int
    ready: bool = False
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What trainers claim by: the confirmed result, or the last confirmed checkpoint."""

    round: int = 0
    units: int = 0
    aggregates: int = 0
    credits_root: bytes = _ZERO_WORD


@dataclass(slots=True)
class MarketTask:
    client: Address
    plan: Plan
    escrow: int
    reserved: int
    phase: MarketPhase = MarketPhase.CREATED
    award_root: bytes = _ZERO_WORD
    unit_price: int = 0
    primaries: int = 0
    primaries_accepted: int = 0
    quorum: int = 0
    settle_after: int = 0
    claim_until: int = 0
    claimed_units: int = 0
    claimed_aggregates: int = 0
    compensation_due: int = 0
    progress: Outcome = field(default_factory=Outcome)
    result: Outcome | None = None
    seats: dict[Address, TakenSeat] = field(default_factory=dict)
    votes: dict[bytes, list[Address]] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        return self.result or self.progress


class Market:
    """The contract, with every account's books.

    >>> market = Market()
    >>> market.call(alice, calls.Register(key, recipient), 5, now_s=1)
    [Registered(account=..., stake=5)]
    """

    def __init__(self) -> None:
        self.accounts: dict[Address, Account] = {}
        self.tasks: dict[TaskId, MarketTask] = {}
        self.received = 0
        """Tinybar that calls have brought in."""
        self.withdrawn = 0
        """Tinybar that left by `Withdraw`."""
        self._rules: dict[type[Any], Callable[[Address, Any, int, int], list[Event]]] = {
            calls.Register: self._register,
            calls.DepositStake: self._deposit_stake,
            calls.Unstake: self._unstake,
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
            calls.Cancel: self._cancel,
            calls.Expire: self._expire,
            calls.Release: self._release,
            calls.Withdraw: self._withdraw,
        }

    def call(self, sender: Address, call: calls.Call, value: int = 0, *, now_s: int) -> list[Event]:
        """Run a function as `sender` with `value` tinybar at consensus second `now_s`; the events it emits.

        Raises:
            Reverted: the contract refuses, and nothing has changed.
        """
        _require(value == 0 or isinstance(call, calls.Register | calls.DepositStake | calls.CreateTask), "")
        events = self._rules[type(call)](sender, call, value, now_s)
        self.received += value
        return events

    def account(self, address: Address) -> Account:
        """The books of an account; empty for one never seen."""
        return self.accounts.get(address) or Account()

    def check(self) -> None:
        """Raise AssertionError unless every tinybar is accounted for and every locked stake has its open seat."""
        escrow = sum(task.reserved for task in self.tasks.values())
        held = sum(account.stake + account.balance for account in self.accounts.values())
        assert self.received - self.withdrawn == escrow + held, (self.received, self.withdrawn, escrow, held)
        for address, account in self.accounts.items():
            locked = sum(
                task.plan.stake_per_seat
                for task in self.tasks.values()
                if address in task.seats and not task.seats[address].closed
            )
            assert account.locked == locked <= account.stake, (address.hex(), account, locked)
            assert account.balance >= 0
        assert all(0 <= task.reserved <= task.escrow for task in self.tasks.values())

    # ------------------------------------------------------------ accounts

    def _register(self, sender: Address, call: calls.Register, value: int, now_s: int) -> list[Event]:
        _require(not self.account(sender).signing_key, "AlreadyRegistered")
        _require_keys(call.signing_key, call.recipient)
        _require(value < 2**64, "AmountOutOfRange")
        account = self._books(sender)
        account.signing_key, account.recipient = call.signing_key, call.recipient
        account.stake += value
        return [ev.Registered(sender, call.signing_key, call.recipient, Tinybar(value))]

    def _deposit_stake(self, sender: Address, call: calls.DepositStake, value: int, now_s: int) -> list[Event]:
        account = self._registered(sender)
        _require(value != 0, "ZeroValue")
        _require(value < 2**64, "AmountOutOfRange")
        account.stake += value
        return [ev.StakeDeposited(sender, Tinybar(value))]

    def _unstake(self, sender: Address, call: calls.Unstake, value: int, now_s: int) -> list[Event]:
        account = self._registered(sender)
        _require(call.amount != 0, "ZeroValue")
        _require(account.stake - account.locked >= call.amount, "InsufficientStake")
        account.stake -= call.amount
        account.balance += call.amount
        return [ev.Unstaked(sender, call.amount)]

    def _withdraw(self, sender: Address, call: calls.Withdraw, value: int, now_s: int) -> list[Event]:
        amount = self.account(sender).balance
        _require(amount != 0, "NothingToWithdraw")
        self._books(sender).balance = 0
        self.withdrawn += amount
        return [ev.Withdrawn(sender, Tinybar(amount))]

    # ------------------------------------------------------------ before the start

    def _create_task(self, sender: Address, call: calls.CreateTask, value: int, now_s: int) -> list[Event]:
        task = task_id(sender, call.manifest_hash)
        _require(task not in self.tasks, "TaskExists")
        _require(call.manifest_hash != ZERO_DIGEST, "ZeroValue")
        _require_keys(call.signing_key, call.recipient)
        _require_plan(call.plan, now_s)
        escrow = call.plan.escrow()
        _require(value == escrow, "WrongEscrow")
        _require(escrow < 2**64, "AmountOutOfRange")
        self.tasks[task] = MarketTask(sender, call.plan, escrow, escrow)
        keys = (call.signing_key, call.recipient)
        return [ev.TaskCreated(task, sender, call.topic, call.manifest_hash, *keys, call.plan, escrow)]

    def _award(self, sender: Address, call: calls.Award, value: int, now_s: int) -> list[Event]:
        task = self._clients_task(sender, call.task_id)
        _require(task.award_root == _ZERO_WORD, "AlreadyAwarded")
        _require(task.phase is MarketPhase.CREATED, "WrongPhase")
        _require(now_s > task.plan.bid_until, "TooEarly")
        _require(now_s <= task.plan.award_until, "TooLate")
        _require(call.root != _ZERO_WORD, "ZeroValue")
        _require(call.unit_price <= task.plan.max_unit_price, "PriceTooHigh")
        _require(task.plan.min_trainers <= call.primaries <= task.plan.seats, "PrimariesOutOfRange")
        task.phase = MarketPhase.AWARDED
        task.award_root, task.unit_price, task.primaries = call.root, call.unit_price, call.primaries
        return [ev.Awarded(call.task_id, call.root, call.unit_price, call.primaries)]

    def _accept(self, sender: Address, call: calls.Accept, value: int, now_s: int) -> list[Event]:
        task = self._task(call.task_id)
        plan = task.plan
        _require(sender not in task.seats, "AlreadyAccepted")
        _require(task.phase is MarketPhase.AWARDED, "WrongPhase")
        _require(sender != task.client, "ClientCannotTrain")
        account = self._registered(sender)
        leaf = AwardLeaf(sender, call.units, call.rank).hash(call.task_id)
        _require(verify(leaf, call.proof, task.award_root), "BadProof")
        _require(len(task.seats) < task.primaries, "NoFreeSeat")
        if call.rank == 0:
            _require(now_s <= plan.accept_until, "TooLate")
        else:
            _require(now_s > plan.accept_until, "TooEarly")
            _require(now_s <= plan.standby_until, "TooLate")
            _require(call.rank <= task.primaries - task.primaries_accepted, "RankTooLow")
        _require(account.stake - account.locked >= plan.stake_per_seat, "InsufficientStake")
        account.locked += plan.stake_per_seat
        task.primaries_accepted += call.rank == 0
        task.seats[sender] = TakenSeat(call.units, call.rank)
        return [ev.Accepted(call.task_id, sender, account.signing_key, account.recipient, call.units, call.rank)]

    def _ready(self, sender: Address, call: calls.Ready, value: int, now_s: int) -> list[Event]:
        task = self._task(call.task_id)
        seat = task.seats.get(sender)
        if seat is None:
            raise Reverted("NotAccepted")
        _require(not seat.ready, "AlreadyReady")
        _require(task.phase is MarketPhase.AWARDED, "WrongPhase")
        _require(now_s <= task.plan.start_until, "TooLate")
        seat.ready = True
        return [ev.TrainerReady(call.task_id, sender)]

    def _start(self, sender: Address, call: calls.Start, value: int, now_s: int) -> list[Event]:
        task = self._clients_task(sender, call.task_id)
        _require(task.quorum == 0, "AlreadyStarted")
        _require(task.phase is MarketPhase.AWARDED, "WrongPhase")
        _require(now_s <= task.plan.start_until, "TooLate")
        ready = sum(seat.ready for seat in task.seats.values())
        _require(ready >= task.plan.min_trainers, "TooFewReady")
        task.quorum = 1 if task.plan.seats == 1 else len(task.seats) // 2 + 1
        task.phase = MarketPhase.RUNNING
        return [ev.Started(call.task_id, len(task.seats), ready, task.quorum)]

    def _cancel(self, sender: Address, call: calls.Cancel, value: int, now_s: int) -> list[Event]:
        task = self._clients_task(sender, call.task_id)
        _require(task.phase is not MarketPhase.CANCELLED, "AlreadyCancelled")
        _require(task.phase in (MarketPhase.CREATED, MarketPhase.AWARDED), "WrongPhase")
        refunded, owed = self._end(task, MarketPhase.CANCELLED, task.plan.compensation)
        return [ev.Cancelled(call.task_id, refunded, owed)]

    # ------------------------------------------------------------ progress and result

    def _confirm_checkpoint(
        self, sender: Address, call: calls.ConfirmCheckpoint, value: int, now_s: int
    ) -> list[Event]:
        proposal = checkpoint_proposal(call)
        task = self._voters_task(sender, call.task_id, proposal, now_s)
        _require(call.round != 0, "ZeroValue")
        _require(call.checkpoint != ZERO_DIGEST, "ZeroValue")
        _require_bounds(task.plan, call)
        voters = task.votes.setdefault(proposal, [])
        voters.append(sender)
        what = (call.round, call.checkpoint, call.units, call.aggregates, call.credits_root)
        events: list[Event] = [ev.CheckpointVoted(call.task_id, sender, *what)]
        if len(voters) >= task.quorum and call.round > task.progress.round:
            task.progress = Outcome(call.round, call.units, call.aggregates, call.credits_root)
            events.append(ev.CheckpointConfirmed(call.task_id, *what))
        return events

    def _publish_result(self, sender: Address, call: calls.PublishResult, value: int, now_s: int) -> list[Event]:
        proposal = result_proposal(call)
        task = self._voters_task(sender, call.task_id, proposal, now_s)
        _require(proposal not in task.votes, "AlreadyPublished")
        _require(call.result != ZERO_DIGEST, "ZeroValue")
        _require_bounds(task.plan, call)
        _require(call.units >= task.progress.units, "BelowProgress")
        published = ev.ResultPublished(call.task_id, sender, *_result_fields(call))
        return [published, *self._vote_result(task, sender, call, proposal, now_s)]

    def _confirm_result(self, sender: Address, call: calls.ConfirmResult, value: int, now_s: int) -> list[Event]:
        proposal = result_proposal(call)
        task = self._voters_task(sender, call.task_id, proposal, now_s)
        _require(proposal in task.votes, "NoSuchProposal")
        _require(call.units >= task.progress.units, "BelowProgress")
        voted = ev.ResultVoted(call.task_id, sender, call.result, proposal)
        return [voted, *self._vote_result(task, sender, call, proposal, now_s)]

    def _vote_result(
        self,
        task: MarketTask,
        sender: Address,
        call: calls.PublishResult | calls.ConfirmResult,
        proposal: bytes,
        now_s: int,
    ) -> list[Event]:
        voters = task.votes.setdefault(proposal, [])
        voters.append(sender)
        if len(voters) < task.quorum:
            return []
        task.phase = MarketPhase.SETTLING
        task.settle_after = now_s + task.plan.window
        task.result = Outcome(call.round, call.units, call.aggregates, call.credits_root)
        return [ev.ResultConfirmed(call.task_id, *_result_fields(call), task.settle_after)]

    # ------------------------------------------------------------ ends

    def _settle(self, sender: Address, call: calls.Settle, value: int, now_s: int) -> list[Event]:
        task = self._task(call.task_id)
        _require(task.claim_until == 0, "AlreadySettled")
        _require(task.phase is MarketPhase.SETTLING, "WrongPhase")
        _require(now_s >= task.settle_after, "TooEarly")
        return [self._close_books(call.task_id, task, now_s)]

    def _claim(self, sender: Address, call: calls.Claim, value: int, now_s: int) -> list[Event]:
        task = self._task(call.task_id)
        seat = _open_seat(task, call.trainer)
        _require(task.phase is MarketPhase.SETTLED, "WrongPhase")
        leaf = CreditLeaf(call.trainer, call.units, call.aggregates, call.no_show).hash(call.task_id)
        outcome = task.outcome
        _require(verify(leaf, call.proof, outcome.credits_root), "BadProof")
        units, aggregates = task.claimed_units + call.units, task.claimed_aggregates + call.aggregates
        _require(units <= outcome.units and aggregates <= outcome.aggregates, "CreditsExhausted")
        task.claimed_units, task.claimed_aggregates = units, aggregates
        seat.closed = True
        paid = _price(task, call.units, call.aggregates)
        self._from_escrow(task, call.trainer, paid)
        penalty = task.plan.no_show_penalty if call.no_show else ZERO
        returned = self._unlock(task, call.trainer, penalty)
        return [ev.Claimed(call.task_id, call.trainer, call.units, call.aggregates, paid, returned, penalty)]

    def _expire(self, sender: Address, call: calls.Expire, value: int, now_s: int) -> list[Event]:
        task = self._task(call.task_id)
        plan = task.plan
        _require(task.phase not in (MarketPhase.EXPIRED, MarketPhase.LAPSED), "AlreadyExpired")
        if task.phase is MarketPhase.CREATED:
            _require(now_s > plan.award_until, "TooEarly")
            return self._expire_unpaid(call.task_id, task, ExpiryReason.NOT_AWARDED, ZERO)
        if task.phase is MarketPhase.AWARDED:
            if len(task.seats) < plan.min_trainers:
                _require(now_s > plan.standby_until, "TooEarly")
                return self._expire_unpaid(call.task_id, task, ExpiryReason.TOO_FEW_ACCEPTED, ZERO)
            _require(now_s > plan.start_until, "TooEarly")
            return self._expire_unpaid(call.task_id, task, ExpiryReason.NOT_STARTED, plan.compensation)
        if task.phase is MarketPhase.RUNNING:
            _require(now_s > plan.end_by, "TooEarly")
            if task.progress.round == 0:
                return self._expire_unpaid(call.task_id, task, ExpiryReason.NO_PROGRESS, ZERO)
            expired = ev.Expired(call.task_id, ExpiryReason.ENDED_ON_PROGRESS, ZERO, ZERO)
            return [expired, self._close_books(call.task_id, task, now_s)]
        _require(task.phase is MarketPhase.SETTLED, "WrongPhase")
        _require(now_s > task.claim_until, "AlreadySettled")
        refunded = Tinybar(task.reserved)
        task.phase = MarketPhase.LAPSED
        self._from_escrow(task, task.client, refunded)
        return [ev.Expired(call.task_id, ExpiryReason.CLAIMS_LAPSED, refunded, ZERO)]

    def _release(self, sender: Address, call: calls.Release, value: int, now_s: int) -> list[Event]:
        task = self._task(call.task_id)
        seat = _open_seat(task, call.trainer)
        _require(task.phase in (MarketPhase.CANCELLED, MarketPhase.EXPIRED, MarketPhase.LAPSED), "WrongPhase")
        seat.closed = True
        compensation = Tinybar(task.compensation_due)
        self._from_escrow(task, call.trainer, compensation)
        return [ev.Released(call.task_id, call.trainer, self._unlock(task, call.trainer, ZERO), compensation)]

    # ------------------------------------------------------------ who and when

    def _books(self, address: Address) -> Account:
        return self.accounts.setdefault(address, Account())

    def _registered(self, address: Address) -> Account:
        _require(bool(self.account(address).signing_key), "NotRegistered")
        return self.accounts[address]

    def _task(self, task: TaskId) -> MarketTask:
        _require(task in self.tasks, "UnknownTask")
        return self.tasks[task]

    def _clients_task(self, sender: Address, task_id: TaskId) -> MarketTask:
        task = self._task(task_id)
        _require(sender == task.client, "NotClient")
        return task

    def _voters_task(self, sender: Address, task_id: TaskId, proposal: bytes, now_s: int) -> MarketTask:
        task = self._task(task_id)
        _require(sender not in task.votes.get(proposal, ()), "AlreadyVoted")
        _require(task.phase is MarketPhase.RUNNING, "WrongPhase")
        _require(task.quorum > 1 if sender == task.client else sender in task.seats, "NotAVoter")
        _require(now_s <= task.plan.end_by, "TooLate")
        return task

    # ------------------------------------------------------------ money

    def _from_escrow(self, task: MarketTask, to: Address, amount: int) -> None:
        task.reserved -= amount
        self._books(to).balance += amount

    def _unlock(self, task: MarketTask, trainer: Address, penalty: int) -> Tinybar:
        account = self._books(trainer)
        account.locked -= task.plan.stake_per_seat
        account.stake -= penalty
        self._books(task.client).balance += penalty
        return Tinybar(task.plan.stake_per_seat - penalty)

    def _end(self, task: MarketTask, phase: MarketPhase, compensation: int) -> tuple[Tinybar, Tinybar]:
        """End without credits: what the client gets back, and what the trainers are owed together."""
        owed = len(task.seats) * compensation
        refunded = task.escrow - owed
        task.phase, task.compensation_due = phase, compensation
        self._from_escrow(task, task.client, refunded)
        return Tinybar(refunded), Tinybar(owed)

    def _expire_unpaid(
        self, task_id: TaskId, task: MarketTask, reason: ExpiryReason, compensation: Tinybar
    ) -> list[Event]:
        return [ev.Expired(task_id, reason, *self._end(task, MarketPhase.EXPIRED, compensation))]

    def _close_books(self, task_id: TaskId, task: MarketTask, now_s: int) -> Event:
        owed = _price(task, task.outcome.units, task.outcome.aggregates)
        refunded = Tinybar(task.escrow - owed)
        task.phase = MarketPhase.SETTLED
        task.claim_until = now_s + CLAIM_PERIOD_S
        self._from_escrow(task, task.client, refunded)
        return ev.Settled(task_id, owed, refunded)


def checkpoint_proposal(call: calls.ConfirmCheckpoint) -> bytes:
    """keccak256(abi.encode(all arguments)): what votes for a checkpoint are counted by."""
    numbers = (call.units, call.aggregates, call.credits_root)
    return _proposal(call.task_id, call.round, call.checkpoint, *numbers)


def result_proposal(call: calls.PublishResult | calls.ConfirmResult) -> bytes:
    """keccak256(abi.encode(all arguments)): what votes for a result are counted by."""
    return _proposal(call.task_id, *_result_fields(call))


def _proposal(*fields: int | bytes) -> bytes:
    return keccak256(b"".join(map(word, fields)))


def _result_fields(
    call: calls.PublishResult | calls.ConfirmResult,
) -> tuple[Digest, int, int, int, int, bytes]:
    return call.result, call.log_position, call.round, call.units, call.aggregates, call.credits_root


def _price(task: MarketTask, units: int, aggregates: int) -> Tinybar:
    return Tinybar(units * task.unit_price + aggregates * task.plan.aggregate_price)


def _open_seat(task: MarketTask, trainer: Address) -> TakenSeat:
    seat = task.seats.get(trainer)
    if seat is None:
        raise Reverted("NotAccepted")
    _require(not seat.closed, "AlreadyClosed")
    return seat


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise Reverted(reason)


def _require_keys(signing_key: bytes, recipient: bytes) -> None:
    _require(signing_key != _ZERO_WORD, "ZeroValue")
    _require(recipient != _ZERO_WORD, "ZeroValue")


def _require_bounds(plan: Plan, call: calls.ConfirmCheckpoint | calls.PublishResult) -> None:
    _require(call.round <= plan.rounds, "OutOfBounds")
    _require(call.units <= plan.chunks * plan.rounds, "OutOfBounds")
    _require(call.aggregates <= plan.rounds, "OutOfBounds")
    _require(call.credits_root != _ZERO_WORD, "ZeroValue")


def _require_plan(plan: Plan, now_s: int) -> None:
    """`PlanRules.worstCase`."""
    times = (now_s, plan.bid_until, plan.award_until, plan.accept_until, plan.standby_until, plan.start_until)
    valid = (
        plan.rounds > 0
        and plan.chunks * plan.rounds <= MAX_UNITS
        and 0 < plan.seats <= plan.chunks
        and (2 if plan.seats > 1 else 1) <= plan.min_trainers <= plan.seats
        and plan.no_show_penalty <= plan.stake_per_seat
        and all(earlier < later for earlier, later in zip(times, (*times[1:], plan.end_by), strict=True))
        and plan.end_by <= now_s + MAX_LIFE_S
        and plan.window <= MAX_WINDOW_S
        and plan.seats * plan.compensation <= plan.escrow()
    )
    _require(valid, "InvalidPlan")
