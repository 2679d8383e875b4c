"""The simulator's world: virtual time, consensus that orders everything, gossip that may lose or delay, and wallets."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable, Collection
from enum import StrEnum

from shoal.core.calls import Call
from shoal.core.codec import CodecError
from shoal.core.entries import BidCommitment, Entry, parse
from shoal.core.events import TaskCreated, Withdrawn
from shoal.core.fold import Item
from shoal.core.ids import Address
from shoal.core.task import SECOND_NS
from shoal.testing.market import Market
from shoal.testing.market_books import Reverted

START_S = 1_800_000_000


class Fault(StrEnum):
    """What may go wrong. Those about a trainer strike one each, drawn from the seed; name one twice to strike two."""

    CRASH = "crash"
    """Gone for ever, at a random moment."""
    CRASH_AND_RESTART = "crash-and-restart"
    """Gone for some seconds; then it replays the log and its own outbox."""
    SILENT_AGGREGATOR = "silent-aggregator"
    """Trains, but neither aggregates nor publishes."""
    NO_READY = "no-ready"
    """Accepts its seat and never says ready."""
    EQUIVOCATE = "equivocate"
    """Signs two entries with one sequence number, and shows them to different peers."""
    BAD_CHECKPOINT = "bad-checkpoint"
    """Posts garbage for an aggregate."""
    LAZY = "lazy"
    """Says of every chunk that it cannot be trained."""
    LEAVE = "leave"
    """Gives its seat back in the midst of the task, and trains and votes no more."""
    DIVERGE = "diverge"
    """The recipe diverges from some round on: no trainer can train any chunk."""
    SPAM = "spam"
    """A trainer and strangers fill the topic and call the contract with nonsense."""
    GOSSIP_LOSS = "gossip-loss"
    """Half of all gossip is lost."""
    GOSSIP_REORDER = "gossip-reorder"
    """Gossip takes up to some seconds, each message its own time."""
    CLIENT_GONE_BEFORE_START = "client-gone-before-start"
    CLIENT_GONE_AFTER_START = "client-gone-after-start"


class Misdeed(StrEnum):
    """What may go wrong where work is audited. The first three strike a trainer each, the others a validator each."""

    CHEAT = "cheat"
    """A trainer that delivers garbage for every chunk."""
    WITHHOLD = "withhold"
    """A trainer that delivers garbage, and opens nothing to anybody."""
    UNUSABLE = "unusable"
    """A trainer that delivers garbage, and opens units such that nobody can use it."""
    FALSE_ACCUSER = "false-accuser"
    """A validator that finds everything wrong, and accuses."""
    SLEEPING_VALIDATOR = "sleeping-validator"
    """A validator that joins the pool and never does anything."""


class World:
    """Everything outside the actors. Whatever happens is drawn from one seeded generator, in one order.

    Args:
        seed: fixes every delay and every choice.
        faults: of which only those of gossip matter here.
    """

    def __init__(self, seed: int, faults: Collection[Fault | Misdeed]) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a simulation, not a secret
        self.now_ns = START_S * SECOND_NS
        self.market = Market()
        self.diverges_at = self.random.randint(1, 3) if Fault.DIVERGE in faults else None
        """The first round that cannot be trained."""
        self.wallets: dict[Address, int] = {}
        """Tinybar outside the contract."""
        self.log: list[Item] = []
        """Entries and events in consensus order."""
        self.calls: list[tuple[int, Address, Call, int, str]] = []
        """Every call of the contract: consensus second, sender, call, value, and why it reverted, if it did."""
        self.bids: list[tuple[int, BidCommitment]] = []
        self.created: Item | None = None
        self.mailboxes: dict[Address, Callable[[Entry], None]] = {}
        """Who hears gossip."""
        self._faults = frozenset(faults)
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._last_ns = 0
        self._hash = hashlib.sha256()

    # ------------------------------------------------------------ time

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something later."""
        self._count += 1
        heapq.heappush(self._queue, (self.now_ns + int(seconds * SECOND_NS), self._count, what))

    def soon(self, low_s: float, high_s: float, what: Callable[[], None]) -> None:
        """Do something after a random delay."""
        self.after(self.random.uniform(low_s, high_s), what)

    def run(self, until_s: float, done: Callable[[], bool]) -> None:
        """Let things happen until a moment, or until `done()`."""
        until_ns = int(until_s * SECOND_NS)
        while self._queue and self._queue[0][0] <= until_ns and not done():
            self.now_ns, _, what = heapq.heappop(self._queue)
            what()

    def note(self, *what: object) -> None:
        """Put something into the trace's hash."""
        self._hash.update(repr((self.now_ns, what)).encode())

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()

    # ------------------------------------------------------------ consensus

    def submit(self, data: bytes, done: Callable[[], None] | None = None) -> None:
        """Put a message on the task's topic; `done` is called once it has consensus."""

        def arrive() -> None:
            self._order_message(data)
            if done is not None:
                done()

        self.soon(0.1, 1.5, arrive)

    def call(self, sender: Address, call: Call, value: int, done: Callable[[str], None]) -> None:
        """Call the contract; `done(reason)` is called at consensus, with an empty reason unless it reverted."""
        self.soon(0.1, 1.5, lambda: done(self.call_now(sender, call, value)))

    def call_now(self, sender: Address, call: Call, value: int = 0) -> str:
        """Call the contract at the next moment of consensus; the reason of the revert, or nothing."""
        time_ns = self._next_ns()
        if value > self.wallets.get(sender, 0):
            raise ValueError("a wallet is too small for the call")
        now_s = time_ns // SECOND_NS
        try:
            events = self.market.call(sender, call, value, now_s=now_s)
        except Reverted as error:
            self.note(sender, type(call).__name__, error.reason)
            self.calls.append((now_s, sender, call, value, error.reason))
            return error.reason
        self.calls.append((now_s, sender, call, value, ""))
        self.wallets[sender] = self.wallets.get(sender, 0) - value
        for event in events:
            item = Item(time_ns, event)
            self.note(event)
            if isinstance(event, TaskCreated):
                self.created = item
            elif isinstance(event, Withdrawn):
                self.wallets[sender] += event.amount
            self.log.append(item)
        self.market.check()
        return ""

    def _order_message(self, data: bytes) -> None:
        time_ns = self._next_ns()
        self.note(data)
        try:
            parsed = parse(data)
        except CodecError:
            return  # anyone may write on a topic
        if isinstance(parsed, BidCommitment):
            self.bids.append((time_ns, parsed))
        else:
            self.log.append(Item(time_ns, parsed))

    def _next_ns(self) -> int:
        self._last_ns = max(self.now_ns, self._last_ns + 1)
        return self._last_ns

    # ------------------------------------------------------------ gossip

    def gossip(self, sender: Address, entry: Entry, only: Collection[Address] | None = None) -> None:
        """Tell every other actor, or `only` some, as well as the network allows."""
        slowest_s = 8.0 if Fault.GOSSIP_REORDER in self._faults else 0.15
        for address, hear in self.mailboxes.items():
            if address == sender or (only is not None and address not in only):
                continue
            if Fault.GOSSIP_LOSS in self._faults and self.random.random() < 0.5:
                continue
            self.soon(0.01, slowest_s, lambda hear=hear: hear(entry))  # type: ignore[misc]
