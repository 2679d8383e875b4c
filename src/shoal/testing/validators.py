"""Validators of a simulated task, honest and not, and the trainers that they are there for."""

from __future__ import annotations

from shoal.core import calls, court, duties
from shoal.core.audits import Unit
from shoal.core.codec import digest
from shoal.core.court import AuditUnit, JudgeUnit, Vote
from shoal.core.duties import TrainChunk
from shoal.core.ids import Digest
from shoal.core.money import Tinybar
from shoal.core.task import State
from shoal.testing import actors, learning
from shoal.testing.actors import Trainer
from shoal.testing.follower import Follower
from shoal.testing.market import VALIDATOR_STAKE
from shoal.testing.world import World


class Validator(Follower):
    """Joins the pool, trains drawn units again, says what it finds, accuses, judges, and claims.

    Args:
        purse: what it holds beside its stake, for bonds.
    """

    def __init__(self, world: World, name: str, purse: int) -> None:
        super().__init__(world, name)
        world.wallets[self.address] = Tinybar(VALIDATOR_STAKE + purse)

    def _forget(self) -> None:
        super()._forget()
        self._working = False

    def begin(self) -> None:
        if not self.world.market.account(self.address).signing_key:
            self.call(calls.Register(self.signing_key, self.recipient), VALIDATOR_STAKE)
        super().begin()

    def act(self) -> None:
        log = self.log
        assert log is not None
        if self.address not in self.world.market.court.pool and not log.phase.over:
            self.call(calls.JoinValidators())
            return
        todo = [] if self._working else [each for each in court.work(log, self.address) if not self._said(each)]
        if todo:
            self._working = True
            self.later(0.2, 2.0, lambda: self._finish(todo[0]))
        for accusation in court.accusations(log, self.address):
            self.call(accusation, log.plan.bond)
        for due in duties.payments(log, self.address):
            self.call(due)

    def _said(self, duty: court.Work) -> bool:
        """A verdict is signed once: what has been said is on its way to the log."""
        if not isinstance(duty, AuditUnit):
            return False
        unit = duty.audit.unit
        return any((entry.body["round"], entry.body["chunk"]) == (unit.round, unit.chunk) for entry in self.outbox)

    def _finish(self, duty: court.Work) -> None:
        self._working = False
        if self.log is None or duty not in court.work(self.log, self.address):
            return
        match duty:
            case AuditUnit(audit):
                found = self.train(self.log, audit.unit)
                right = self.finds_right(self.log, audit.unit)
                usable = audit.sealed == actors.OPENED
                finding = ("ok" if right else "wrong") if usable else "unusable"
                unit = audit.unit
                self.post("verdict", {"round": unit.round, "chunk": unit.chunk, "finding": finding, "state": found})
            case JudgeUnit(dispute_id, unit, sealed):
                right = sealed == actors.OPENED and self.finds_right(self.log, unit)
                self.call(calls.Judge(dispute_id, not right))
            case Vote(call):
                self.call(call)

    def train(self, log: State, unit: Unit) -> Digest:
        base = log.checkpoints[unit.round - 1].state
        state = learning.train(log.place.task, unit.round, unit.chunk, base)["state"]
        assert isinstance(state, bytes)
        return Digest(state)

    def finds_right(self, log: State, unit: Unit) -> bool:
        return self.train(log, unit) == court.update_of(log, unit).state


class FalseAccuser(Validator):
    """Finds everything wrong."""

    def finds_right(self, log: State, unit: Unit) -> bool:
        return False


class SleepingValidator(Validator):
    """Joins the pool, and that is all."""

    def act(self) -> None:
        assert self.log is not None
        if self.address not in self.world.market.court.pool and not self.log.phase.over:
            self.call(calls.JoinValidators())


class Cheat(Trainer):
    """Delivers garbage, and opens it when it is asked to."""

    def train_chunk(self, view: State, duty: TrainChunk) -> None:
        garbage = digest(b"garbage" + duty.chunk.to_bytes(4, "big") + duty.round.to_bytes(4, "big"))
        body = learning.train(view.place.task, duty.round, duty.chunk, duty.base.state)
        self.post("update", body | {"state": garbage, "object": learning.sealed(garbage)})


class Withholder(Cheat):
    """Delivers garbage, and lets nobody see it."""

    def _open(self, log: State) -> None:
        pass


class Obscurer(Cheat):
    """Delivers garbage, and opens it with a key that does not fit."""

    opened = b"nonsense"
