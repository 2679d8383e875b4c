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
    checkpoint_proposal,
    finder_part,
    open_seat,
    require,
    require_bounds,
    result_proposal,
)

if TYPE_CHECKING:
    from shoal.testing.market import Market

DRAW_BLOCKS = 257
MAX_TRIES = 256


def block_at(now_s: int) -> int:
    """A block is a second here."""
    return now_s


def hash_of(block: int) -> bytes:
    """What `blockhash` gives here: the hash of the number, so that a run can be repeated."""
    return keccak256(word(block))


class Court:
    """Validators and disputes of one market."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self.pool: list[Address] = []
        """The validators by their places, from 1."""
        self._past: list[tuple[int, list[Address]]] = [(0, [])]
        """What the pool was after each block that changed it."""
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
        self.pool.append(sender)
        validator = self.validators.setdefault(sender, Validator())
        validator.stake, validator.place = self._market.validator_stake, len(self.pool)
        self._remember(now_s)
        return [ev.ValidatorJoined(sender, Tinybar(missing))]

    def _leave(self, sender: Address, call: calls.LeaveValidators, value: int, now_s: int) -> list[Event]:
        validator = self.validator(sender)
        if sender in self.pool:
            return self._leave_pool(sender, now_s)
        require(validator.stake != 0, "NotAValidator")
        require(validator.duties == 0, "OnDuty")
        require(block_at(now_s) > validator.left_block + DRAW_BLOCKS, "StillDrawable")
        stake, validator.stake = validator.stake, 0
        self._market.books(sender).locked -= stake
        return [self._market.unbond(sender, stake, now_s)]

    def _leave_pool(self, who: Address, now_s: int) -> list[Event]:
        """The last of the pool takes the place that becomes free."""
        validator, last = self.validators[who], self.pool.pop()
        if last != who:
            self.pool[validator.place - 1] = last
            self.validators[last].place = validator.place
        validator.place, validator.left_block = 0, block_at(now_s)
        self._remember(now_s)
        return [ev.ValidatorLeft(who)]

    def _remember(self, now_s: int) -> None:
        self._past.append((block_at(now_s), list(self.pool)))

    def _pool_before(self, block: int) -> list[Address]:
        return next(pool for since, pool in reversed(self._past) if since < block)

    # ------------------------------------------------------------ draws

    def _request_draw(self, sender: Address, call: calls.RequestDraw, value: int, now_s: int) -> list[Event]:
        task = self._market.task(call.task_id)
        require(task.draw_block == 0, "AlreadyRequested")
        require(task.plan.auditors != 0, "NoDisputes")
        require(task.may_vote(sender), "NotAVoter")
        reached = _reached(task)
        require(reached > task.drawn_round, "NothingToDraw")
        task.draw_block = block_at(now_s)
        return [ev.DrawRequested(call.task_id, reached)]

    def _draw(self, sender: Address, call: calls.Draw, value: int, now_s: int) -> list[Event]:
        task = self._market.task(call.task_id)
        require(task.draw_block != 0, "NothingToDraw")
        reached = _reached(task)
        if _is_late(task.draw_block, now_s):
            task.draw_block = block_at(now_s)
            return [ev.DrawRequested(call.task_id, reached)]
        seed = _seed(task.draw_block, call.task_id, now_s)
        committee = self._pick(task, seed, task.draw_block, NOBODY)
        task.auditors |= set(committee)
        task.drawn_round, task.draw_block = reached, 0
        return [ev.Drawn(call.task_id, reached, seed, self._members(committee))]

    def _pick(self, task: MarketTask, seed: bytes, request_block: int, challenger: Address) -> list[Address]:
        """The first of a shuffled pool that have no part in the task."""
        pool, picked = list(self._pool_before(request_block)), list[Address]()
        for i in range(min(len(pool), MAX_TRIES)):
            if len(picked) == task.plan.auditors:
                break
            at = i + int.from_bytes(keccak256(seed + word(i)), "big") % (len(pool) - i)
            pool[i], pool[at] = pool[at], pool[i]
            if pool[i] not in (task.client, challenger, *task.seats):
                picked.append(pool[i])
        require(len(picked) == task.plan.auditors, "TooFewValidators")
        return picked

    def _members(self, who: list[Address]) -> tuple[ev.Member, ...]:
        accounts = [(each, self._market.account(each)) for each in who]
        return tuple(ev.Member(each, account.signing_key, account.recipient) for each, account in accounts)

    # ------------------------------------------------------------ opening

    def _accuse(self, sender: Address, call: calls.Accuse, value: int, now_s: int) -> list[Event]:
        task = self._disputable(sender, call.task_id)
        seat = open_seat(task, call.trainer)
        require(seat.ready, "NotReady")
        require(not seat.slashed, "AlreadySlashed")
        if task.phase is MarketPhase.RUNNING:
            require(now_s <= task.plan.end_by, "TooLate")
        else:
            _require_window(task, now_s)
        require(sender != call.trainer, "OwnWork")
        require(call.evidence != ZERO_DIGEST, "ZeroValue")
        _, event = self._open(call.task_id, DisputeKind.FRAUD, sender, call.trainer, call.evidence, value, now_s)
        return [event]

    def _challenge(self, sender: Address, call: calls.ChallengeResult, value: int, now_s: int) -> list[Event]:
        task = self._disputable(sender, call.task_id)
        require(not task.right_proposal, "AlreadyDisputed")
        _require_window(task, now_s)
        return self._open_result(call, DisputeKind.RESULT, sender, value, now_s)

    def _appeal(self, sender: Address, call: calls.Appeal, value: int, now_s: int) -> list[Event]:
        task = self._disputable(sender, call.task_id)
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
        require_bounds(task.plan, call.right)
        proposal = result_proposal(call.task_id, call.right)
        require(kind is DisputeKind.APPEAL or call.right != task.result, "SameResult")
        dispute_id, event = self._open(call.task_id, kind, sender, NOBODY, proposal, value, now_s)
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
        same = [each for each in self.disputes.values() if each.state is DisputeState.OPEN and each.task == task_id]
        require((accused, subject) not in [(each.accused, each.subject) for each in same], "AlreadyDisputed")
        bond = task.plan.bond
        require(value == bond, "WrongBond")
        task.disputes += 1
        task.open_disputes += 1
        dispute_id = keccak256(word(task_id) + word(task.disputes))
        self.disputes[dispute_id] = Dispute(task_id, kind, sender, accused, subject, bond, now_s, block_at(now_s))
        return dispute_id, ev.DisputeOpened(task_id, dispute_id, int(kind), sender, accused, subject, bond)

    # ------------------------------------------------------------ the jury

    def _draw_jury(self, sender: Address, call: calls.DrawJury, value: int, now_s: int) -> list[Event]:
        dispute = self._open_dispute(call.dispute_id)
        require(dispute.decide_by == 0, "AlreadyDrawn")
        task = self._market.task(dispute.task)
        require(now_s <= dispute.opened_s + task.plan.dispute_time, "TooLate")
        if _is_late(dispute.draw_block, now_s):
            dispute.draw_block = block_at(now_s)
            return [ev.JuryRequested(dispute.task, call.dispute_id)]
        seed = _seed(dispute.draw_block, call.dispute_id, now_s)
        jury = self._pick(task, seed, dispute.draw_block, dispute.challenger)
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
        fraud = dispute.kind is DisputeKind.FRAUD
        settled = task.seats[dispute.accused].slashed if fraud else bool(task.right_proposal)
        if outcome is DisputeState.UPHELD and settled:
            outcome = DisputeState.VOID
        dispute.state = outcome
        task.open_disputes -= 1
        returned = dispute.bond if outcome is DisputeState.VOID else 0
        events = self._dismiss(dispute_id, dispute, outcome, dispute.bond - returned, now_s)
        self._market.books(dispute.challenger).balance += returned
        closed = ev.DisputeClosed(dispute.task, dispute_id, int(outcome), dispute.challenger, Tinybar(returned))
        events.append(closed)
        if outcome is DisputeState.UPHELD:
            events += self._punish(dispute_id, dispute, task, now_s)
        return events

    def _dismiss(
        self, dispute_id: bytes, dispute: Dispute, outcome: DisputeState, paid: int, now_s: int
    ) -> list[Event]:
        """Jurors that voted for the outcome share what is paid and what the others lose; see `Court.sol`."""
        wanted = {DisputeState.UPHELD: (True,), DisputeState.REJECTED: (False,)}.get(outcome, (True, False))
        right = [juror for juror, ballot in dispute.ballots.items() if ballot in wanted]
        events: list[Event] = []
        for juror in dispute.ballots:
            self.validators[juror].duties -= 1
            if right and juror not in right:
                fine = min(self._market.task(dispute.task).plan.audit_price, self.validators[juror].stake)
                events += self._fine(juror, fine, now_s)
                events.append(ev.JurorFined(dispute.task, dispute_id, juror, Tinybar(fine)))
                paid += fine
        for juror in right:
            share = paid // len(right) + (paid % len(right) if juror == right[0] else 0)
            self._market.books(juror).balance += share
            events.append(ev.JurorPaid(dispute.task, dispute_id, juror, Tinybar(share)))
        return events

    def _fine(self, who: Address, amount: int, now_s: int) -> list[Event]:
        """Who has lost half of the stake cannot go on as a validator."""
        self.validators[who].stake -= amount
        self._market.forfeit(who, amount)
        poor = self.validators[who].stake < self._market.validator_stake // 2
        return self._leave_pool(who, now_s) if poor and who in self.pool else []

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
            # Work does not become less: a progress with more of it was wrong.
            if dispute.replacement.units < task.progress.units:
                task.wrong_proposal = checkpoint_proposal(dispute.task, task.progress)
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


def _is_late(request_block: int, now_s: int) -> bool:
    return block_at(now_s) > request_block + DRAW_BLOCKS


def _seed(request_block: int, purpose: bytes, now_s: int) -> bytes:
    require(block_at(now_s) > request_block + 1, "SeedNotYet")
    return keccak256(hash_of(request_block + 1) + word(purpose))


def _require_window(task: MarketTask, now_s: int) -> None:
    require(task.phase is MarketPhase.SETTLING, "WrongPhase")
    require(now_s < task.settle_after, "TooLate")
