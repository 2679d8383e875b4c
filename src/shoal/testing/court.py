"""The model of `Court.sol`: validators, draws, and disputes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shoal.core import calls
from shoal.core import events as ev
from shoal.core.events import Event
from shoal.core.ids import ZERO_DIGEST, Address, TaskId, keccak256, word
from shoal.core.money import Tinybar
from shoal.testing.market_books import (
    NOBODY,
    Dispute,
    DisputeKind,
    DisputeState,
    MarketPhase,
    MarketTask,
    Reverted,
    Validator,
    finder_part,
    open_seat,
    require,
    require_result,
    result_proposal,
)

if TYPE_CHECKING:
    from shoal.testing.market import Market

TRIES_PER_MEMBER = 16


def seed_at(now_s: int) -> bytes:
    """What the random system contract gives here: the hash of the time, so that a run can be repeated."""
    return keccak256(word(now_s))


class Court:
    """Validators and disputes of one market."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self.pool: list[Address] = []
        self.validators: dict[Address, Validator] = {}
        self.disputes: dict[bytes, Dispute] = {}
        self.rules: dict[type[Any], Callable[[Address, Any, int, int], list[Event]]] = {
            calls.JoinValidators: self._join,
            calls.LeaveValidators: self._leave,
            calls.RequestDraw: self._request_draw,
            calls.Draw: self._draw,
            calls.Accuse: self._accuse,
            calls.ChallengeResult: self._challenge,
            calls.Appeal: self._appeal,
            calls.DrawJury: self._draw_jury,
            calls.Judge: self._judge,
            calls.Resolve: self._resolve,
        }

    def validator(self, address: Address) -> Validator:
        """Its record; empty for one never seen."""
        return self.validators.get(address) or Validator()

    def bonds(self) -> int:
        """Tinybar that open disputes hold."""
        return sum(dispute.bond for dispute in self.disputes.values() if dispute.state is DisputeState.OPEN)

    # ------------------------------------------------------------ coming and going

    def _join(self, sender: Address, call: calls.JoinValidators, value: int, now_s: int) -> list[Event]:
        account = self._market.registered(sender)
        require(sender not in self.pool, "AlreadyValidator")
        missing = self._market.validator_stake - self.validator(sender).stake
        require(account.free >= missing, "InsufficientStake")
        account.locked += missing
        self.validators.setdefault(sender, Validator()).stake = self._market.validator_stake
        self.pool.append(sender)
        return [ev.ValidatorJoined(sender, Tinybar(missing))]

    def _leave(self, sender: Address, call: calls.LeaveValidators, value: int, now_s: int) -> list[Event]:
        validator, in_pool = self.validator(sender), sender in self.pool
        require(in_pool or validator.stake != 0, "NotAValidator")
        events = self._leave_pool(sender) if in_pool else []
        if validator.duties == 0:
            stake, validator.stake = validator.stake, 0
            self._market.books(sender).locked -= stake
            events.append(self._market.unbond(sender, stake, now_s))
        else:
            require(in_pool, "OnDuty")
        return events

    def _leave_pool(self, who: Address) -> list[Event]:
        """The last of the pool takes the place that becomes free."""
        place, last = self.pool.index(who), self.pool.pop()
        if last != who:
            self.pool[place] = last
        return [ev.ValidatorLeft(who)]

    # ------------------------------------------------------------ draws

    def _request_draw(self, sender: Address, call: calls.RequestDraw, value: int, now_s: int) -> list[Event]:
        task = self._market.task(call.task_id)
        require(task.draw_requested_s == 0, "AlreadyRequested")
        require(task.plan.auditors != 0, "NoDisputes")
        require(sender == task.client or sender in task.seats, "NotAVoter")
        reached = _reached(task)
        require(reached > task.drawn_round, "NothingToDraw")
        task.draw_requested_s = now_s
        return [ev.DrawRequested(call.task_id, reached)]

    def _draw(self, sender: Address, call: calls.Draw, value: int, now_s: int) -> list[Event]:
        task = self._market.task(call.task_id)
        require(task.draw_requested_s != 0, "NothingToDraw")
        require(now_s > task.draw_requested_s, "TooEarly")
        reached = _reached(task)
        seed = _mixed(now_s, keccak256(word(call.task_id) + word(reached)))
        committee = self._pick(task, seed, NOBODY)
        task.auditors |= set(committee)
        task.drawn_round, task.draw_requested_s = reached, 0
        return [ev.Drawn(call.task_id, reached, seed, self._members(committee))]

    def _pick(self, task: MarketTask, seed: bytes, challenger: Address) -> list[Address]:
        picked: list[Address] = []
        for attempt in range(task.plan.auditors * TRIES_PER_MEMBER if self.pool else 0):
            if len(picked) == task.plan.auditors:
                break
            number = int.from_bytes(keccak256(seed + word(attempt)), "big")
            one = self.pool[number % len(self.pool)]
            if one not in (task.client, challenger, *task.seats, *picked):
                picked.append(one)
        return picked

    def _members(self, who: list[Address]) -> tuple[ev.Member, ...]:
        accounts = [(each, self._market.account(each)) for each in who]
        return tuple(ev.Member(each, account.signing_key, account.recipient) for each, account in accounts)

    # ------------------------------------------------------------ opening

    def _accuse(self, sender: Address, call: calls.Accuse, value: int, now_s: int) -> list[Event]:
        task = self._disputable(sender, call.task_id)
        seat = open_seat(task, call.trainer)
        require(not seat.accused, "AlreadyDisputed")
        require(not seat.slashed, "AlreadySlashed")
        if task.phase is MarketPhase.RUNNING:
            require(now_s <= task.plan.end_by, "TooLate")
        else:
            _require_window(task, now_s)
        require(sender != call.trainer, "OwnWork")
        require(call.evidence != ZERO_DIGEST, "ZeroValue")
        _, event = self._open(call.task_id, DisputeKind.FRAUD, sender, call.trainer, call.evidence, value, now_s)
        seat.accused = True
        return [event]

    def _challenge(self, sender: Address, call: calls.ChallengeResult, value: int, now_s: int) -> list[Event]:
        task = self._disputable(sender, call.task_id)
        require(not task.result_disputed and not task.right_proposal, "AlreadyDisputed")
        _require_window(task, now_s)
        return self._open_result(call, DisputeKind.RESULT, sender, value, now_s)

    def _appeal(self, sender: Address, call: calls.Appeal, value: int, now_s: int) -> list[Event]:
        task = self._disputable(sender, call.task_id)
        require(not task.result_disputed, "AlreadyDisputed")
        require(task.phase is MarketPhase.RUNNING, "WrongPhase")
        require(now_s > task.plan.end_by, "TooEarly")
        require(now_s <= task.plan.end_by + task.plan.dispute_time, "TooLate")
        return self._open_result(call, DisputeKind.APPEAL, sender, value, now_s)

    def _disputable(self, sender: Address, task_id: TaskId) -> MarketTask:
        task = self._market.task(task_id)
        require(task.plan.auditors != 0, "NoDisputes")
        self._market.registered(sender)
        return task

    def _open_result(
        self, call: calls.ChallengeResult | calls.Appeal, kind: DisputeKind, sender: Address, value: int, now_s: int
    ) -> list[Event]:
        task = self._market.task(call.task_id)
        require_result(task, call.right)
        proposal = result_proposal(call.task_id, call.right)
        require(kind is DisputeKind.APPEAL or call.right != task.result, "SameResult")
        dispute_id, event = self._open(call.task_id, kind, sender, NOBODY, proposal, value, now_s)
        task.result_disputed = True
        self.disputes[dispute_id].replacement = call.right
        return [event, ev.ReplacementProposed(call.task_id, dispute_id, call.right)]

    def _open(
        self,
        task_id: TaskId,
        kind: DisputeKind,
        sender: Address,
        accused: Address,
        subject: bytes,
        value: int,
        now_s: int,
    ) -> tuple[bytes, Event]:
        task = self._market.task(task_id)
        bond = task.plan.bond
        require(value == bond, "WrongBond")
        task.disputes += 1
        task.open_disputes += 1
        dispute_id = keccak256(word(task_id) + word(task.disputes))
        self.disputes[dispute_id] = Dispute(task_id, kind, sender, accused, subject, bond, now_s)
        return dispute_id, ev.DisputeOpened(task_id, dispute_id, int(kind), sender, accused, subject, bond)

    # ------------------------------------------------------------ the jury

    def _draw_jury(self, sender: Address, call: calls.DrawJury, value: int, now_s: int) -> list[Event]:
        dispute = self._open_dispute(call.dispute_id)
        require(dispute.decide_by == 0, "AlreadyDrawn")
        task = self._market.task(dispute.task)
        require(now_s > dispute.opened_s, "TooEarly")
        require(now_s <= dispute.opened_s + task.plan.dispute_time, "TooLate")
        jury = self._pick(task, _mixed(now_s, call.dispute_id), dispute.challenger)
        if len(jury) < task.plan.auditors:
            return self._close(call.dispute_id, dispute, DisputeState.VOID, now_s)
        for juror in jury:
            dispute.ballots[juror] = None
            self.validators[juror].duties += 1
        dispute.decide_by = now_s + task.plan.dispute_time
        return [ev.JuryDrawn(dispute.task, call.dispute_id, self._members(jury), dispute.decide_by)]

    def _judge(self, sender: Address, call: calls.Judge, value: int, now_s: int) -> list[Event]:
        known = self.disputes.get(call.dispute_id)
        require(known is None or known.ballots.get(sender) is None, "AlreadyJudged")
        dispute = self._open_dispute(call.dispute_id)
        require(sender in dispute.ballots, "NotAJuror")
        require(now_s <= dispute.decide_by, "TooLate")
        dispute.ballots[sender] = call.upheld
        return [ev.Judged(dispute.task, call.dispute_id, sender, call.upheld)]

    def _resolve(self, sender: Address, call: calls.Resolve, value: int, now_s: int) -> list[Event]:
        dispute = self._open_dispute(call.dispute_id)
        votes = list(dispute.ballots.values())
        if not votes:
            require(now_s > dispute.opened_s + self._market.task(dispute.task).plan.dispute_time, "TooEarly")
        elif None in votes:
            require(now_s > dispute.decide_by, "TooEarly")
        outcome = DisputeState.VOID
        if votes.count(True) * 2 > len(votes):
            outcome = DisputeState.UPHELD
        elif votes.count(False) * 2 > len(votes):
            outcome = DisputeState.REJECTED
        return self._close(call.dispute_id, dispute, outcome, now_s)

    # ------------------------------------------------------------ the end

    def _open_dispute(self, dispute_id: bytes) -> Dispute:
        dispute = self.disputes.get(dispute_id)
        if dispute is None:
            raise Reverted("UnknownDispute")
        require(dispute.state is DisputeState.OPEN, "AlreadyResolved")
        return dispute

    def _close(self, dispute_id: bytes, dispute: Dispute, outcome: DisputeState, now_s: int) -> list[Event]:
        task = self._market.task(dispute.task)
        dispute.state = outcome
        task.open_disputes -= 1
        if dispute.kind is DisputeKind.FRAUD:
            task.seats[dispute.accused].accused = False
        else:
            task.result_disputed = False
        winner = task.client
        if outcome is DisputeState.UPHELD:
            winner = dispute.challenger
        elif outcome is DisputeState.REJECTED and dispute.kind is DisputeKind.FRAUD:
            winner = dispute.accused
        events = self._dismiss(dispute_id, dispute, outcome, winner)
        rest = dispute.bond - sum(event.amount for event in events if isinstance(event, ev.JurorPaid))
        bond_to = dispute.challenger if outcome is DisputeState.VOID else winner
        self._market.books(bond_to).balance += rest
        events.append(ev.DisputeClosed(dispute.task, dispute_id, int(outcome), bond_to, Tinybar(rest)))
        if outcome is DisputeState.UPHELD:
            events += self._punish(dispute_id, dispute, task, now_s)
        return events

    def _dismiss(self, dispute_id: bytes, dispute: Dispute, outcome: DisputeState, winner: Address) -> list[Event]:
        """Jurors that voted for the outcome are paid; those that voted against it, or not at all, are fined."""
        events: list[Event] = []
        price = self._market.task(dispute.task).plan.audit_price
        decided = outcome is not DisputeState.VOID
        for juror, ballot in dispute.ballots.items():
            self.validators[juror].duties -= 1
            if ballot is None or (decided and ballot != (outcome is DisputeState.UPHELD)):
                fine = Tinybar(min(price, self.validators[juror].stake))
                events += self._fine(juror, fine)
                self._market.books(winner).balance += fine
                events.append(ev.JurorFined(dispute.task, dispute_id, juror, winner, fine))
            elif decided:
                self._market.books(juror).balance += price
                events.append(ev.JurorPaid(dispute.task, dispute_id, juror, price))
        return events

    def _fine(self, who: Address, amount: int) -> list[Event]:
        """Who has lost half of the stake cannot go on as a validator."""
        self.validators[who].stake -= amount
        self._market.forfeit(who, amount)
        poor = self.validators[who].stake < self._market.validator_stake // 2
        return self._leave_pool(who) if poor and who in self.pool else []

    def _punish(self, dispute_id: bytes, dispute: Dispute, task: MarketTask, now_s: int) -> list[Event]:
        if dispute.kind is DisputeKind.FRAUD:
            task.seats[dispute.accused].slashed = True
            slash = task.plan.slash
            to_finder = finder_part(task.plan, slash)
            to_client = Tinybar(slash - to_finder)
            self._market.forfeit(dispute.accused, slash)
            self._market.books(dispute.challenger).balance += to_finder
            self._market.books(task.client).balance += to_client
            return [ev.Slashed(dispute.task, dispute.accused, to_finder, to_client)]
        if dispute.kind is DisputeKind.APPEAL:
            task.appealed = True
            task.phase = MarketPhase.SETTLING
            task.settle_after = now_s
        else:
            assert task.result is not None, "a result was challenged"
            task.wrong_proposal = result_proposal(dispute.task, task.result)
        task.right_proposal, task.finder, task.result = dispute.subject, dispute.challenger, dispute.replacement
        return [ev.ResultReplaced(dispute.task, dispute_id, task.result.result, task.settle_after)]


def _reached(task: MarketTask) -> int:
    if task.phase is MarketPhase.SETTLING:
        assert task.result is not None, "it is confirmed"
        return task.result.round
    require(task.phase is MarketPhase.RUNNING, "WrongPhase")
    return task.progress.round


def _mixed(now_s: int, purpose: bytes) -> bytes:
    return keccak256(seed_at(now_s) + word(purpose))


def _require_window(task: MarketTask, now_s: int) -> None:
    require(task.phase is MarketPhase.SETTLING, "WrongPhase")
    require(now_s < task.settle_after, "TooLate")
