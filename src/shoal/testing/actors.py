"""The honest parties of a simulated task: a client and trainers that do what `core.duties` asks of them."""

from __future__ import annotations

from shoal.core import calls, court, duties
from shoal.core.assign import assign
from shoal.core.auction import Award, Bid, clear
from shoal.core.codec import digest
from shoal.core.duties import GetReady, MakeCheckpoint, PostResult, TrainChunk, Work
from shoal.core.entries import BidCommitment, make_bid_commitment
from shoal.core.ids import Address
from shoal.core.manifest import Manifest
from shoal.core.money import Tinybar
from shoal.core.task import SECOND_NS, Phase, State, inputs_of
from shoal.testing import learning
from shoal.testing.follower import Follower
from shoal.testing.world import World

OPENED = b"url, key"
"""Stands for a unit that was opened such that it can be trained again."""
OPENING_S = 5
"""How long after the bidding deadline the client waits for openings."""


class Trainer(Follower):
    """Bids, accepts, trains, aggregates, recomputes, votes, opens what is audited, and claims."""

    opened = OPENED

    def __init__(self, world: World, name: str, client: Client, stake: Tinybar) -> None:
        super().__init__(world, name)
        self.client, self.stake = client, stake
        world.wallets[self.address] = stake
        self.bid: Bid | None = None
        """On disk, since a bid is sealed once."""
        self._opened = False

    def _forget(self) -> None:
        super()._forget()
        self._working = False
        self._verified: dict[int, bool] = {0: True}

    def begin(self) -> None:
        if not self.world.market.account(self.address).signing_key:
            self.call(calls.Register(self.signing_key, self.recipient), self.stake)
        super().begin()

    def act(self) -> None:
        assert self.log is not None and self.view is not None
        if self.log.phase is Phase.OPEN:
            self._bid(self.log)
        elif self.log.phase is Phase.AWARDED and self.log.seat_of(self.address) is None:
            self._accept(self.log)
        self._open(self.log)
        todo = [] if self._working else duties.work(self.view, self.address)
        if todo:
            self._working = True
            self.later(0.2, 1.5, lambda: self._finish(todo[0]))
        if not self._vote(self.log):
            for due in duties.payments(self.log, self.address):
                self.call(due)

    # ------------------------------------------------------------ bidding

    def _bid(self, log: State) -> None:
        plan, task = log.plan, log.place.task
        if self.bid is None and log.manifest is not None and log.now_ns < plan.bid_until * SECOND_NS:
            random = self.world.random
            price = Tinybar(random.randint(plan.max_unit_price // 3, plan.max_unit_price))
            units = random.randint(-(-plan.chunks // plan.seats), plan.chunks)
            self.bid = Bid(self.address, price, units, 0.5, plan.start_until, random.randbytes(32))
            sealed = make_bid_commitment(self.signer, task, self.address, self.bid.commitment(task))
            self.world.submit(sealed.data())
        if self.bid is not None and not self._opened and log.now_ns > plan.bid_until * SECOND_NS:
            self._opened, bid = True, self.bid
            self.world.soon(0.05, 1.0, lambda: self.client.take_opening(bid))

    def _accept(self, log: State) -> None:
        award = Award(log.award, log.unit_price)
        found = award.proof(log.place.task, self.address) if self.bid else None
        if found is None or self.bid is None or log.unit_price < self.bid.unit_price:
            return
        leaf, proof = found
        if leaf.rank:
            taken = sum(seat.rank == 0 for seat in log.seats)
            turn = log.now_ns > (log.plan.accept_until + 1) * SECOND_NS
            if not turn or leaf.rank > award.primaries - taken:
                return
        if log.now_ns <= log.plan.standby_until * SECOND_NS:
            self.call(calls.Accept(log.place.task, leaf.units, leaf.rank, proof))

    # ------------------------------------------------------------ work

    def _finish(self, duty: Work) -> None:
        """The work took its time; it counts if it is still asked for."""
        self._working = False
        if self.view is None or duty not in duties.work(self.view, self.address):
            return
        match duty:
            case GetReady():
                self.get_ready(self.view)
            case TrainChunk():
                self.train_chunk(self.view, duty)
            case MakeCheckpoint():
                self.make_checkpoint(duty)
            case PostResult():
                self.post_result(duty)
        self.act()

    def get_ready(self, view: State) -> None:
        self.call(calls.Ready(view.place.task))

    def train_chunk(self, view: State, duty: TrainChunk) -> None:
        if self.world.diverges_at is not None and duty.round >= self.world.diverges_at:
            self.post("void", learning.void(duty))
        else:
            self.post("update", learning.train(view.place.task, duty.round, duty.chunk, duty.base.state))

    def make_checkpoint(self, duty: MakeCheckpoint) -> None:
        state = learning.aggregate(duty.base.state, duty.updates)
        self.post("checkpoint", self.checkpoint_body(duty, state))

    def checkpoint_body(self, duty: MakeCheckpoint, state: bytes) -> dict[str, object]:
        return {
            "round": duty.round,
            "state": state,
            "object": digest(b"sealed" + state),
            "inputs": inputs_of(duty.updates),
            "included": [update.chunk for update in duty.updates],
            "rejected": [],
            "loss": 0.5,
            "metric": 0.5,
        }

    def post_result(self, duty: PostResult) -> None:
        body = {"round": duty.mark.round, "object": learning.sealed(duty.mark.checkpoint), "envelope": b"result key"}
        self.post("result", body)

    def _open(self, log: State) -> None:
        """What auditors and juries ask for; once each, across restarts."""
        for duty in court.openings(log, self.address):
            body = {"round": duty.unit.round, "chunk": duty.unit.chunk, "dispute": duty.dispute, "sealed": self.opened}
            body |= {} if duty.dispute else {"to": duty.to[0]}
            if all(entry.kind != "open" or entry.body != body for entry in self.outbox):
                self.post("open", body)

    # ------------------------------------------------------------ votes

    def _vote(self, log: State) -> bool:
        """Vote by the log alone, and only for what was recomputed here; True when there was something to vote for."""
        seat = log.seat_of(self.address)
        if seat is None or not seat.active or not log.checkpoints:
            return False
        for base, checkpoint in zip(log.checkpoints, log.checkpoints[1:], strict=False):
            if checkpoint.round not in self._verified:
                self._verified[checkpoint.round] = learning.is_right(base, checkpoint)
        for mark in log.marks:
            right = all(self._verified[round] for round in range(mark.round + 1))
            if mark is log.final or not right:
                continue
            if vote := duties.checkpoint_vote(log, self.address, mark):
                self.call(vote)
                return True
        final, note = log.final, log.result
        if final is None or note is None or not all(self._verified.values()):
            return False
        ballot = duties.result_vote(log, self.address)
        if ballot is None or note.object != learning.sealed(final.checkpoint):
            return False
        self.call(ballot)
        return True


class Client(Follower):
    """Creates the task, awards it, hands out envelopes, starts it, votes when it is needed, and settles."""

    def __init__(self, world: World, plan: calls.Plan, manifest: Manifest) -> None:
        super().__init__(world, "client")
        self.plan, self.manifest = plan, manifest
        self.openings: dict[Address, Bid] = {}
        self.chosen: Award | None = None
        """On disk: the award that was made."""
        self._posted: set[object] = set()
        world.wallets[self.address] = plan.escrow()

    def begin(self) -> None:
        if self.world.created is None:
            keys = (self.signing_key, self.recipient)
            self.call(calls.CreateTask(self.manifest.hash, 2002, *keys, self.plan), self.plan.escrow())
        super().begin()

    def act(self) -> None:
        assert self.log is not None
        due = duties.payments(self.log, self.address)
        if due:
            self.call(due[0])
        elif self.log.phase is Phase.OPEN:
            self._open(self.log)
        elif self.log.phase is Phase.AWARDED:
            self._assemble(self.log)
        elif self.log.phase is Phase.FINISHED:
            self._vote(self.log)

    def take_opening(self, bid: Bid) -> None:
        """A trainer shows its bid; it counts if this is the bid that was sealed in time."""
        if not self.alive or self.log is None or self.log.now_ns < (self.plan.bid_until - 2) * SECOND_NS:
            return
        sealed = self._sealed().get(bid.trainer)
        if sealed is not None and sealed.commitment == bid.commitment(self.log.place.task):
            self.openings[bid.trainer] = bid

    def _sealed(self) -> dict[Address, BidCommitment]:
        found: dict[Address, BidCommitment] = {}
        for time_ns, sealed in self.world.bids:
            if time_ns <= self.plan.bid_until * SECOND_NS:
                found.setdefault(sealed.trainer, sealed)
        return found

    def _open(self, log: State) -> None:
        self._post_once("manifest", "manifest", {"manifest": self.manifest.to_bytes()})
        if log.now_ns <= (self.plan.bid_until + OPENING_S) * SECOND_NS:
            return
        if self.chosen is None:
            self.chosen = self._clear(log)
        if self.chosen is None:
            self.call(calls.Cancel(log.place.task))
            return
        root = self.chosen.root(log.place.task)
        self.call(calls.Award(log.place.task, root, self.chosen.unit_price, self.chosen.primaries))

    def _clear(self, log: State) -> Award | None:
        plan = self.plan
        return clear(
            list(self.openings.values()),
            task=log.place.task,
            chunks=plan.chunks,
            seats=plan.seats,
            min_trainers=plan.min_trainers,
            ceiling=plan.max_unit_price,
            now_s=log.now_ns // SECOND_NS,
        )

    def _assemble(self, log: State) -> None:
        plan, now_s = self.plan, log.now_ns // SECOND_NS
        if self.chosen is None:
            return
        leaves = [[leaf.trainer, leaf.units, leaf.rank] for leaf in self.chosen.leaves]
        self._post_once("award", "award", {"leaves": leaves})
        if not log.holders:
            full = len(log.seats) >= self.chosen.primaries
            if (full or now_s > plan.standby_until) and len(log.seats) >= plan.min_trainers:
                holders = [[each.primary, each.backup] for each in assign(log.seats, plan.chunks)]
                self._post_once("assign", "assign", {"holders": holders})
            return
        for seat in log.seats:
            sealed = digest(b"envelope to " + seat.trainer)
            self._post_once(seat.trainer, "envelope", {"to": seat.trainer, "sealed": sealed})
        ready = sum(seat.ready for seat in log.seats)
        late = now_s > (plan.standby_until + plan.start_until) // 2
        if ready == len(log.seats) or (late and ready >= plan.min_trainers):
            self.start(log)

    def start(self, log: State) -> None:
        self.call(calls.Start(log.place.task))

    def _vote(self, log: State) -> None:
        """Only where the trainers that are left are too few."""
        ballot = duties.result_vote(log, self.address)
        bases = zip(log.checkpoints, log.checkpoints[1:], strict=False)
        right = all(learning.is_right(base, checkpoint) for base, checkpoint in bases)
        if ballot is not None and right and len(log.active()) < log.quorum:
            self.call(ballot)

    def _post_once(self, what: object, kind: str, body: dict[str, object]) -> None:
        if what not in self._posted:
            self._posted.add(what)
            self.post(kind, body)
