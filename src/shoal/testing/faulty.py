"""Parties that break the rules: each is an honest actor with one method replaced."""

from __future__ import annotations

from shoal.core import calls
from shoal.core.codec import digest, encode
from shoal.core.duties import MakeCheckpoint, PostResult, TrainChunk
from shoal.core.entries import KINDS, Place, make_bid_commitment, make_entry
from shoal.core.ids import ZERO_DIGEST, Address, Digest
from shoal.core.manifest import Manifest
from shoal.core.task import Phase, State
from shoal.testing import learning
from shoal.testing.actors import Client, Trainer
from shoal.testing.follower import Follower
from shoal.testing.world import World

JUNK_ENTRIES = 12


class SilentAggregator(Trainer):
    """Trains, but neither aggregates nor publishes."""

    def make_checkpoint(self, duty: MakeCheckpoint) -> None:
        pass

    def post_result(self, duty: PostResult) -> None:
        pass


class Lazy(Trainer):
    """Says of every chunk that it cannot be trained."""

    def train_chunk(self, view: State, duty: TrainChunk) -> None:
        self.post("void", learning.void(duty))


class Leaver(Trainer):
    """Trains its first chunk, then gives its seat back and trains no more."""

    def train_chunk(self, view: State, duty: TrainChunk) -> None:
        super().train_chunk(view, duty)
        self.post("leave", {})


class NeverReady(Trainer):
    """Takes a seat and never says that it is ready."""

    def get_ready(self, view: State) -> None:
        pass


class BadAggregator(Trainer):
    """Posts garbage for an aggregate."""

    def make_checkpoint(self, duty: MakeCheckpoint) -> None:
        self.post("checkpoint", self.checkpoint_body(duty, digest(b"garbage")))


class Equivocator(Trainer):
    """Shows every second peer another statement under the same sequence number, and sends both to consensus."""

    def post(self, kind: str, body: dict[str, object]) -> None:
        one = self.sign(kind, body)
        lie: dict[str, object] = {"metric": 0.25, "envelope": b"another"}
        if kind == "update":
            lie |= {"state": digest(b"another"), "object": digest(b"another")}
        other = self.sign(kind, {**body, **lie})
        peers = sorted(self.world.mailboxes)
        first, second = (one, other) if self.world.random.random() < 0.5 else (other, one)
        self.pending[one.hash] = one
        self._rebuild()
        self.world.gossip(self.address, one, peers[::2])
        self.world.gossip(self.address, other, peers[1::2])
        self.world.submit(first.data())
        self.world.submit(second.data())

    def chain(self) -> tuple[int, Digest]:
        """Go on after whichever of its statements counted."""
        assert self.view is not None
        author = self.view.authors[self.address]
        return author.sequence, author.head


class Spammer(Trainer):
    """Fills its own chain with statements that say nothing, beside its honest work."""

    def begin(self) -> None:
        super().begin()
        for _ in range(JUNK_ENTRIES):
            self.later(30.0, 90.0, self._spam)

    def _spam(self) -> None:
        if self.log is None or self.address not in self.log.authors:
            return
        kind = self.world.random.choice(KINDS)
        self.post(kind, {"round": self.log.round, "chunk": self.world.random.randint(0, 9), "junk": b"x" * 300})


class Stranger(Follower):
    """Has no part in the task and says something all the same."""

    def act(self) -> None:
        if self.log is None or self.world.random.random() < 0.7:
            return
        state, random = self.log, self.world.random
        victim = random.choice([state.client, *(seat.trainer for seat in state.seats), self.address])
        match random.randint(0, 5):
            case 0:
                self.world.submit(random.randbytes(random.randint(0, 600)))
            case 1:
                self.world.submit(encode([random.randbytes(40), random.randbytes(64)]))
            case 2:
                self.world.submit(self._forged(state, victim, state.place))
            case 3:
                self.world.submit(self._forged(state, victim, Place("elsewhere", "0.0.1", state.place.task)))
            case 4:
                bid = make_bid_commitment(self.signer, state.place.task, self.address, digest(b"no bid"))
                self.world.submit(bid.data())
            case _:
                self._call_nonsense(state, victim)

    def _forged(self, state: State, author: Address, place: Place) -> bytes:
        """An entry in somebody's name, at the very place where its next would stand."""
        known = state.authors.get(author)
        sequence, head = (known.sequence, known.head) if known else (0, ZERO_DIGEST)
        kind = self.world.random.choice(KINDS)
        entry = make_entry(
            self.signer, place, author=author, sequence=sequence, previous=head, kind=kind, body={"round": state.round}
        )
        return entry.data()

    def _call_nonsense(self, state: State, victim: Address) -> None:
        task, root = state.place.task, digest(b"no root")
        nonsense: list[calls.Call] = [
            calls.Award(task, root, state.plan.max_unit_price, state.plan.min_trainers),
            calls.Accept(task, 1, 0, ()),
            calls.Ready(task),
            calls.Start(task),
            calls.Cancel(task),
            calls.Expire(task),
            calls.Settle(task),
            calls.ConfirmCheckpoint(task, 1, digest(b"x"), 1, 1, 0, root),
            calls.PublishResult(task, digest(b"x"), 1, 1, 1, 1, 0, root),
            calls.Claim(task, victim, 1, 1, True, ()),
            calls.Release(task, victim),
            calls.Withdraw(),
        ]
        self.call(self.world.random.choice(nonsense))


class LeavingClient(Client):
    """Goes away for good before the start, at a random moment, or as soon as the task runs."""

    def __init__(self, world: World, plan: calls.Plan, manifest: Manifest, *, before_start: bool) -> None:
        super().__init__(world, plan, manifest)
        self._before_start = before_start

    def act(self) -> None:
        assert self.log is not None
        if not self._before_start and self.log.phase not in (Phase.OPEN, Phase.AWARDED):
            self.crash()
        else:
            super().act()

    def start(self, log: State) -> None:
        if self._before_start:
            self.crash()
        else:
            super().start(log)
