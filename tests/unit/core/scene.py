"""A task brought to any moment by hand, one item at a time: what the tests of the fold's rules start from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shoal.core import court, fold
from shoal.core import events as ev
from shoal.core.assign import assign
from shoal.core.auction import Award
from shoal.core.audits import Audit
from shoal.core.codec import digest
from shoal.core.entries import Entry, Place, make_entry
from shoal.core.fold import Item
from shoal.core.ids import Address, Digest, task_id
from shoal.core.manifest import AuditRules, Manifest
from shoal.core.merkle import AwardLeaf
from shoal.core.money import Tinybar
from shoal.core.task import SECOND_NS, State, inputs_of
from shoal.testing import learning, simulate, simulator
from shoal.testing.follower import identity
from shoal.testing.simulator import OPEN_S, VERDICT_S

_MODEL = simulate(0, 3, 6, 4)
ROUND_S, AGGREGATE_S = 20, 10
PRICE = Tinybar(900)


class Scene:
    """Three trainers with two chunks each (unless told otherwise), four rounds, a mark every second round."""

    def __init__(self, trainers: int = 3, chunks: int = 6, rounds: int = 4, audits: int = 0) -> None:
        self.client = identity("client")[0]
        self.trainers = [identity(f"trainer-{index}")[0] for index in range(trainers)]
        self.validators = [identity(f"validator-{index}")[0] for index in range(5)]
        self.names = {self.client: "client"} | {each: f"trainer-{i}" for i, each in enumerate(self.trainers)}
        self.names |= {each: f"validator-{i}" for i, each in enumerate(self.validators)}
        assert _MODEL.begin.manifest is None and _MODEL.final.manifest is not None
        manifest = _MODEL.final.manifest
        infos = (manifest.chunks * chunks)[:chunks]
        self.manifest: Manifest = replace(manifest, chunks=infos)
        plan = replace(_MODEL.begin.plan, chunks=chunks, rounds=rounds, seats=trainers, min_trainers=trainers // 2 + 1)
        if audits:
            self.manifest = replace(self.manifest, audit=AuditRules(OPEN_S, VERDICT_S, 10_000))
            plan = simulator.with_audits(plan, 3, audits)
        task = task_id(self.client, self.manifest.hash)
        self.place = Place(manifest.network, manifest.contract, task)
        self.start_ns = _MODEL.begin.created_ns
        created = ev.TaskCreated(
            task, self.client, 7, self.manifest.hash, self.key(self.client), bytes(32), plan, plan.escrow()
        )
        self.state: State = fold.begin(self.place, created, self.start_ns)
        self.award = Award(tuple(AwardLeaf(each, chunks, 0) for each in self.trainers), PRICE)

    def key(self, who: Address) -> bytes:
        return identity(self.names.get(who, "nobody"))[1].public_key().public_bytes_raw()

    # single items

    def pass_time(self, seconds: float) -> None:
        self.state = fold.advance(self.state, self.state.now_ns + int(seconds * SECOND_NS))

    def take(self, what: Entry | ev.Event) -> None:
        self.state = fold.step(self.state, Item(self.state.now_ns + 1_000_000, what))

    def entry(
        self, who: Address, kind: str, body: dict[str, Any], *, by: Address | None = None, **changes: Any
    ) -> Entry:
        author = self.state.authors[who]
        given = {"author": who, "sequence": author.sequence, "previous": author.head, "kind": kind, "body": body}
        place = changes.pop("place", self.place)
        return make_entry(identity(self.names.get(by or who, "nobody"))[1], place, **(given | changes))

    def say(self, who: Address, kind: str, body: dict[str, Any]) -> None:
        self.take(self.entry(who, kind, body))

    # whole stages

    def awarded(self) -> Scene:
        self.say(self.client, "manifest", {"manifest": self.manifest.to_bytes()})
        self.take(ev.Awarded(self.place.task, self.award.root(self.place.task), PRICE, self.award.primaries))
        return self

    def accepted(self, *who: int) -> Scene:
        self.awarded()
        for index in who or range(len(self.trainers)):
            trainer = self.trainers[index]
            self.take(ev.Accepted(self.place.task, trainer, self.key(trainer), bytes(32), self.state.plan.chunks, 0))
        return self

    def assigned(self) -> Scene:
        self.accepted()
        holders = [[each.primary, each.backup] for each in assign(self.state.seats, self.state.plan.chunks)]
        self.say(self.client, "assign", {"holders": holders})
        return self

    def running(self, *ready: int) -> Scene:
        """All of the trainers ready, unless some are named."""
        self.assigned()
        for index in ready or range(len(self.trainers)):
            self.take(ev.TrainerReady(self.place.task, self.trainers[index]))
        self.start()
        return self

    def start(self) -> None:
        count = len(self.state.seats)
        ready = sum(seat.ready for seat in self.state.seats)
        self.take(ev.Started(self.place.task, count, ready, 1 if self.state.plan.seats == 1 else count // 2 + 1))

    def update(self, chunk: int, **changes: Any) -> dict[str, Any]:
        state = self.state
        return learning.train(self.place.task, state.round, chunk, state.base.state) | changes

    def void(self, chunk: int) -> dict[str, Any]:
        return {"round": self.state.round, "chunk": chunk, "base": self.state.base.state, "reason": "the loss is NaN"}

    def train(self, *chunks: int) -> None:
        for chunk in chunks or self.state.waiting_for():
            holder = self.state.holder(chunk)
            assert holder is not None
            self.say(holder.trainer, "update", self.update(chunk))

    def checkpoint(self, **changes: Any) -> dict[str, Any]:
        updates = tuple(self.state.updates[chunk] for chunk in sorted(self.state.updates))
        state = learning.aggregate(self.state.base.state, updates)
        return {
            "round": self.state.round,
            "state": state,
            "object": digest(b"sealed" + state),
            "inputs": inputs_of(updates),
            "included": [update.chunk for update in updates],
            "rejected": [],
            "loss": 0.5,
            "metric": 0.5,
        } | changes

    def aggregator(self) -> Address:
        seat = self.state.aggregator()
        assert seat is not None
        return seat.trainer

    def round(self) -> None:
        self.train()
        self.say(self.aggregator(), "checkpoint", self.checkpoint())

    def finished(self) -> Scene:
        self.running()
        for _ in range(self.state.plan.rounds):
            self.round()
        return self

    # audits and disputes

    def confirm(self) -> None:
        """A quorum has confirmed the last mark."""
        mark = self.state.marks[-1]
        counts = (mark.units, mark.aggregates, mark.audits, mark.root(self.place))
        self.take(ev.CheckpointConfirmed(self.place.task, mark.round, mark.checkpoint, *counts))

    def members(self, *who: int) -> tuple[ev.Member, ...]:
        chosen = [self.validators[index] for index in who]
        return tuple(ev.Member(each, self.key(each), bytes(32)) for each in chosen)

    def drawn(self, seed: bytes = b"seed") -> Scene:
        """What was confirmed last is drawn from, with the first three validators."""
        self.confirm()
        self.take(ev.DrawRequested(self.place.task, self.state.progress_round))
        self.take(ev.Drawn(self.place.task, self.state.progress_round, digest(seed), self.members(0, 1, 2)))
        return self

    def audited(self) -> Scene:
        """Two rounds are done and drawn from."""
        self.running()
        self.round()
        self.round()
        return self.drawn()

    def opening(self, audit: Audit, **changes: Any) -> dict[str, Any]:
        unit = audit.unit
        body = {"round": unit.round, "chunk": unit.chunk, "dispute": b"", "sealed": b"key", "to": audit.validator}
        return body | changes

    def verdict(self, audit: Audit, finding: str = "ok", **changes: Any) -> dict[str, Any]:
        unit = audit.unit
        return {"round": unit.round, "chunk": unit.chunk, "finding": finding, "state": bytes(32)} | changes

    def accuse(self, audit: Audit, name: bytes = b"dispute") -> bytes:
        """Its validator accuses the trainer of a unit; the dispute's id."""
        subject, unit = court.evidence(self.state, audit.unit), audit.unit
        bond = self.state.plan.bond
        self.take(ev.DisputeOpened(self.place.task, digest(name), 0, audit.validator, unit.trainer, subject, bond))
        return digest(name)

    def jury(self, dispute: bytes, *who: int) -> None:
        until_s = self.state.now_ns // SECOND_NS + self.state.plan.dispute_time
        self.take(ev.JuryDrawn(self.place.task, dispute, self.members(*who), until_s))

    def result(self) -> dict[str, Any]:
        final = self.state.final
        assert final is not None
        return {"round": final.round, "object": learning.sealed(Digest(final.checkpoint)), "envelope": b"key"}
