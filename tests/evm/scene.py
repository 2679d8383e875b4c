"""One task and its people, brought to any phase in one call: what the tests of the contract start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shoal.core.ids import keccak256

from .harness import UNBONDING_S, Chain, Market, Plan, Receipt, Tree, audit_leaf, award_leaf, credit_leaf, task_id

KEY = b"k" * 32
RECIPIENT = b"r" * 32
MANIFEST = b"m" * 32
RESULT = b"R" * 32
TOPIC = 77
UNITS_EACH = 6
LOG_POSITION = 41


@dataclass(frozen=True)
class Credit:
    units: int
    aggregates: int = 0
    no_show: bool = False


class Scene:
    """A client and trainers with free stake; trainers past `primaries` are standbys 1, 2, ...

    `crowd` more leaves, of people who never call, make the Merkle trees as large as those of a larger task.
    """

    def __init__(
        self, plan: Plan | None = None, *, trainers: int = 4, primaries: int | None = None, crowd: int = 0
    ) -> None:
        self.chain = Chain()
        self.market = Market(self.chain)
        self.plan = plan or Plan()
        self.client = self.chain.account("client")
        self.stranger = self.chain.account("stranger")
        self.trainers = [self.chain.account(f"trainer {i}") for i in range(trainers)]
        self.primaries = min(trainers, self.plan.seats) if primaries is None else primaries
        self.unit_price = self.plan.max_unit_price - 100
        self.task = task_id(self.client, MANIFEST)
        self.ranks = [max(0, i + 1 - self.primaries) for i in range(trainers)]
        self.crowd = [keccak256(b"crowd %d" % i) for i in range(crowd)]
        self.awards = Tree([self.award_leaf(i) for i in range(trainers)] + self.crowd)
        self.credits = {trainer: Credit(UNITS_EACH, aggregates=1) for trainer in self.trainers[:3]}
        self.audit_credits: dict[bytes, int] = {}
        if trainers > 3:
            self.credits[self.trainers[3]] = Credit(2, no_show=True)

    # what people compute off chain

    def award_leaf(self, i: int) -> bytes:
        return award_leaf(self.task, self.trainers[i], UNITS_EACH, self.ranks[i])

    def credit_leaf(self, trainer: bytes) -> bytes:
        credit = self.credits[trainer]
        return credit_leaf(self.task, trainer, credit.units, credit.aggregates, credit.no_show)

    @property
    def credits_tree(self) -> Tree:
        audits = [audit_leaf(self.task, validator, count) for validator, count in self.audit_credits.items()]
        return Tree([self.credit_leaf(trainer) for trainer in self.credits] + audits + self.crowd)

    @property
    def units(self) -> int:
        return sum(credit.units for credit in self.credits.values())

    @property
    def aggregates(self) -> int:
        return sum(credit.aggregates for credit in self.credits.values())

    @property
    def audits(self) -> int:
        return sum(self.audit_credits.values())

    def result_args(self, **changes: Any) -> tuple[Any, ...]:
        args = {
            "task": self.task,
            "result": RESULT,
            "log_position": LOG_POSITION,
            "round": self.plan.rounds,
            "units": self.units,
            "aggregates": self.aggregates,
            "audits": self.audits,
            "root": self.credits_tree.root,
        }
        return tuple((args | changes).values())

    def checkpoint_args(self, round: int = 1, **changes: Any) -> tuple[Any, ...]:
        args = {
            "task": self.task,
            "round": round,
            "checkpoint": bytes([round]) * 32,
            "units": min(self.units, self.plan.chunks * round),
            "aggregates": min(self.aggregates, round),
            "audits": self.audits,
            "root": self.credits_tree.root,
        }
        return tuple((args | changes).values())

    # single steps

    def at(self, time_s: int) -> None:
        self.chain.now_s = time_s

    def register(self) -> None:
        for trainer in self.trainers:
            self.market(trainer, "register", KEY, RECIPIENT, value=self.plan.stake_per_seat)

    def create(self, **changes: int) -> Receipt:
        plan = self.plan.but(**changes)
        args = (MANIFEST, TOPIC, KEY, RECIPIENT, plan.values())
        return self.market(self.client, "createTask", *args, value=plan.escrow)

    def award(self) -> Receipt:
        return self.market(self.client, "award", self.task, self.awards.root, self.unit_price, self.primaries)

    def accept(self, i: int) -> Receipt:
        proof = self.awards.proof(self.award_leaf(i))
        return self.market(self.trainers[i], "accept", self.task, UNITS_EACH, self.ranks[i], proof)

    def claim(self, trainer: bytes, sender: bytes | None = None) -> Receipt:
        credit = self.credits[trainer]
        proof = self.credits_tree.proof(self.credit_leaf(trainer))
        args = (self.task, trainer, credit.units, credit.aggregates, credit.no_show, proof)
        return self.market(sender or self.stranger, "claim", *args)

    def expire(self) -> Receipt:
        return self.market(self.stranger, "expire", self.task)

    def release(self, trainer: bytes) -> Receipt:
        return self.market(self.stranger, "release", self.task, trainer)

    def unstake(self, who: bytes, amount: int) -> None:
        """Ask stake back and wait until it is there."""
        self.market(who, "requestUnstake", amount)
        self.chain.now_s += UNBONDING_S
        self.market(who, "completeUnstake")

    # whole phases

    def created(self) -> Scene:
        self.register()
        self.create()
        return self

    def awarded(self, *accepting: int) -> Scene:
        self.created()
        self.at(self.plan.bid_until + 1)
        self.award()
        for i in accepting:
            self.accept(i)
        return self

    def running(self) -> Scene:
        """All primaries accepted and ready, started."""
        self.awarded(*range(self.primaries))
        for trainer in self.trainers[: self.primaries]:
            self.market(trainer, "ready", self.task)
        self.market(self.client, "start", self.task)
        return self

    def settling(self) -> Scene:
        self.running()
        self.market(self.trainers[0], "publishResult", *self.result_args())
        for trainer in self.trainers[1 : self.quorum]:
            self.market(trainer, "confirmResult", *self.result_args())
        assert self.get("settleAfter") > 0
        return self

    def settled(self) -> Scene:
        self.settling()
        self.at(self.get("settleAfter"))
        self.market(self.stranger, "settle", self.task)
        return self

    # what the contract says

    @property
    def quorum(self) -> int:
        return int(self.get("quorum"))

    def get(self, field: str) -> Any:
        return self.market.view("getTask", self.task)[field]

    def account(self, address: bytes) -> dict[str, Any]:
        answer: dict[str, Any] = self.market.view("getAccount", address)
        return answer
