"""Following one task: the fold of its log, the optimistic view over gossip, and this node's own entries.

`log` is the truth. `view` is `log` plus entries that were heard on the network, or signed by this node, and are
not in the log yet; it is derived from `log` at every change, so a rollback is nothing special.

The mirror node may be many machines, of which some are behind. What one of them left out is found when the same stretch
of the log is read a second time, some seconds later: then the log is folded anew. What the mirror does not show any
more stays, since a machine that is behind looks like that; only after minutes is the log folded without it, loudly.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, cast

import trio

from shoal.core import fold, limits
from shoal.core.codec import CodecError
from shoal.core.entries import BidCommitment, Entry, Place, make_entry, parse
from shoal.core.events import TaskCreated
from shoal.core.fold import Item
from shoal.core.ids import Address, TaskId, short
from shoal.core.task import SECOND_NS, State
from shoal.core.view import next_link, optimistic
from shoal.errors import LedgerError, ShoalError, UsageError
from shoal.meters import TaskMeter
from shoal.ports import Keys, Ledger, LedgerView, LoggedEvent, Message, Network, Store

log = logging.getLogger("shoal.task")

PENDING_ENTRIES = 2_048
AHEAD = 64
"""How far beyond the log an author's gossiped entries may run."""
LOST_S = 30.0
"""An own entry that has consensus and that the log does not show after this long is sent again."""
AUDIT_S = 15.0
"""How often what was read since the last time is read a second time."""
DOUBT_S = 120.0
"""After this long without a sign of something that the mirror once showed, it was no part of the ledger."""


def gossip_topic(task: TaskId) -> str:
    return f"shoal/task/{task.hex()}"


@dataclass(frozen=True, slots=True)
class _Bid:
    """A sealed bid in its place; the fold knows nothing of it."""

    time_ns: int
    what: BidCommitment


class Witness(Protocol):
    """Whoever wants to see every step of a log, and not only where it stands."""

    def stepped(self, old: State | None, new: State) -> None:
        """The state has changed; `old` is None where the log begins, or is read anew from its beginning."""
        ...

    def bid(self, count: int, time_ns: int) -> None:
        """A sealed bid is on the topic: the `count`-th."""
        ...


class TaskLog:
    """The log of one task, as this node sees it.

    Args:
        created: the `TaskCreated` event that began the task.
        network: None for a reader that only follows the ledger.
        keys, store: needed to post, with a whole `Ledger`; None for a reader.
        witness: is shown every step of the log.
    """

    def __init__(
        self,
        created: LoggedEvent,
        place: Place,
        *,
        ledger: LedgerView,
        network: Network | None = None,
        keys: Keys | None = None,
        store: Store | None = None,
        poll_s: float = 0.5,
        witness: Witness | None = None,
    ) -> None:
        if not isinstance(created.event, TaskCreated):
            raise ValueError("a task begins with its TaskCreated event")
        self.log = self.view = fold.begin(place, created.event, created.time_ns)
        self.bids: dict[Address, list[BidCommitment]] = {}
        """Sealed bids on the topic before the deadline, in order, by who they say that they are of: anyone may write
        anything, and a signature needs the key that the contract knows, so it is checked by whoever uses them."""
        self._bids_heard = 0
        self._meter: TaskMeter | None = None
        self._witness = witness
        if witness is not None:
            witness.stepped(None, self.log)
        self._ledger, self._network, self._keys, self._store = ledger, network, keys, store
        self._poll_s = poll_s
        self._pending: dict[bytes, Entry] = {}
        self._own: dict[int, Entry] = {}
        """The outbox: signed by this node, by sequence number. All of them stay until the task is over: a mirror that
        goes back must neither lose one nor make this node sign its number again, which would be equivocation."""
        self._sent: dict[int, float] = {}
        """When each of them reached consensus."""
        self._begun = self.log
        self._audited_ns = self._aged_ns = created.time_ns
        """Up to where the log was read twice; and where it ended at the last audit, up to where the next one goes."""
        self._read: set[_Place] = set()
        """What was read since then."""
        self._doubted_s: float | None = None
        """Since when some of it is not shown any more."""
        self._changed = trio.Event()
        self._posted = trio.Event()
        self._caught_up = trio.Event()
        self._resume_outbox()

    @property
    def place(self) -> Place:
        return self.log.place

    async def run(self) -> None:
        """Follow the log, hear gossip and send what was posted, until cancelled."""
        self._meter = TaskMeter(self.log)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow)
                if self._store is not None:
                    nursery.start_soon(self._send_outbox, cast(Ledger, self._ledger))
                if self._network is not None:
                    nursery.start_soon(self._listen, self._network)
        finally:
            self._meter.close()
            self._meter = None

    @property
    def change(self) -> trio.Event:
        """Set at the next change of the log or the view: take it before looking, wait for it after."""
        return self._changed

    @property
    def outbox(self) -> list[Entry]:
        """Entries that this node has signed, now or before a crash, and that are not in the log yet."""
        return [entry for entry in self._own.values() if not self._in_log(entry)]

    async def passed(self, time_ns: int) -> bool:
        """Wait until the log has been read up to a consensus time; False when that takes too long."""
        return await self.wait_for(lambda me: me.log.now_ns >= time_ns, timeout_s=60)

    async def wait_for(self, condition: Callable[[TaskLog], bool], *, timeout_s: float = float("inf")) -> bool:
        """Wait until `condition(self)`; False when it did not come true in time."""
        with trio.move_on_after(timeout_s):
            while not condition(self):
                await self._changed.wait()
        return condition(self)

    async def catch_up(self) -> None:
        """Read everything that the ledger has now, once."""
        until = await self._ledger.watermark()
        if until <= self.log.now_ns:
            return
        after = self.log.now_ns
        events, messages = await self._read_between(after, until)
        self._read |= _places(events, messages)
        self._take(events, messages, until)
        self._rebuild()
        self._caught_up.set()

    async def audit(self) -> bool:
        """Read a second time what is older than the last audit; fold anew if there is more. Whether all is well."""
        until, self._aged_ns = self._aged_ns, self.log.now_ns
        events, messages = await self._read_between(self._audited_ns, until)
        again, before = _places(events, messages), {place for place in self._read if place[1] <= until}
        missed, unseen = len(again - before), len(before - again)
        what = short(self.place.task)
        if missed:
            log.warning("task %s: the mirror node had left %d items out; the log is folded anew", what, missed)
            await self._fold_anew(doubting=False)
        elif not unseen:
            self._audited_ns, self._read, self._doubted_s = until, self._read - before, None
        elif self._doubted_s is None:
            self._doubted_s = trio.current_time()
        elif trio.current_time() - self._doubted_s >= DOUBT_S:
            log.error("task %s: %d items are gone from the mirror node; the log is folded without them", what, unseen)
            await self._fold_anew(doubting=True)
        else:
            log.warning("task %s: the mirror node does not show %d items that it showed before", what, unseen)
        return not missed and not unseen

    async def _fold_anew(self, *, doubting: bool) -> None:
        """From the beginning; unless doubted, what was read before must be there, or this machine is behind as well."""
        begin, until = self._begun.created_ns, self.log.now_ns
        events, messages = await self._read_between(begin, until)
        places = _places(events, messages)
        if self._read - places and not doubting:
            return
        self.bids, self._bids_heard, self.log = {}, 0, self._begun
        if self._witness is not None:
            self._witness.stepped(None, self.log)
        self._take(events, messages, until)
        self._audited_ns, self._aged_ns, self._read, self._doubted_s = begin, until, places, None
        self._rebuild()

    async def _read_between(self, after: int, until: int) -> tuple[Sequence[LoggedEvent], Sequence[Message]]:
        events = await self._ledger.events(after_ns=after, until_ns=until, task=self.place.task)
        messages = await self._ledger.messages(self.log.topic, after_ns=after, until_ns=until)
        return events, messages

    def _take(self, events: Sequence[LoggedEvent], messages: Sequence[Message], until: int) -> None:
        for item in self._merge(messages, events):
            if isinstance(item, _Bid):
                self._take_bid(item)
            else:
                self._step(fold.step(self.log, item))
        self._step(fold.advance(self.log, until))

    def _step(self, new: State) -> None:
        if self._witness is not None:
            self._witness.stepped(self.log, new)
        self.log = new

    def _take_bid(self, bid: _Bid) -> None:
        in_time = bid.time_ns <= self.log.plan.bid_until * SECOND_NS
        if bid.what.task == self.place.task and in_time and self._bids_heard < limits.BIDS:
            self._bids_heard += 1
            self.bids.setdefault(bid.what.trainer, []).append(bid.what)
            if self._witness is not None:
                self._witness.bid(self._bids_heard, bid.time_ns)

    async def post(self, author: Address, kind: str, body: dict[str, object]) -> Entry:
        """Sign an entry, remember it durably, gossip it, and put it on the topic in the background."""
        assert self._keys is not None and self._store is not None, "a reader does not post"
        sequence, previous = next_link(self.log, author, self._own.values())
        entry = make_entry(
            self._keys,
            self.place,
            author=author,
            sequence=sequence,
            previous=previous,
            kind=kind,
            body=body,
        )
        self._store.put("outbox", self._outbox_key(entry.sequence), entry.data())
        self._keep(entry)
        self._rebuild()
        if self._network is not None and len(entry.data()) <= limits.GOSSIP_BYTES:
            await self._network.publish(gossip_topic(self.place.task), entry.data())
        return entry

    # ------------------------------------------------------------ the log

    async def _follow(self) -> None:
        pause, audit_at_s = self._poll_s, trio.current_time() + AUDIT_S
        while True:
            try:
                await self.catch_up()
                if trio.current_time() >= audit_at_s:
                    await self.audit()
                    audit_at_s = trio.current_time() + AUDIT_S
                pause = self._poll_s
            except LedgerError as error:
                pause = min(pause * 2, 30.0)
                log.warning("task %s: %s; trying again in %.0f s", short(self.place.task), error, pause)
            await trio.sleep(pause)

    def _merge(self, messages: Sequence[Message], events: Sequence[LoggedEvent]) -> list[Item | _Bid]:
        """Everything in consensus order."""
        items: list[tuple[int, int, Item | _Bid]] = [
            (event.time_ns, event.index, Item(event.time_ns, event.event)) for event in events
        ]
        for message in messages:
            with suppress(CodecError):  # anyone may write on a topic
                parsed, at = parse(message.data), message.time_ns
                items.append((at, 0, _Bid(at, parsed) if isinstance(parsed, BidCommitment) else Item(at, parsed)))
        return [item for _, _, item in sorted(items, key=lambda each: each[:2])]

    def _rebuild(self) -> None:
        """Forget what the log has passed, and derive the view anew."""
        for key, entry in list(self._pending.items()):
            author = self.log.authors.get(entry.author)
            if author is None or entry.sequence < author.sequence:
                del self._pending[key]
        for sequence, entry in list(self._own.items()):
            if not self._in_log(entry):
                self._pending.setdefault(entry.hash, entry)
            elif self.log.phase.over:
                assert self._store is not None, "whoever signs has a store"
                self._store.delete("outbox", self._outbox_key(sequence))
                del self._own[sequence]
        self.view = optimistic(self.log, self._pending.values())
        if self._meter is not None:
            self._meter.see(self.log, live=self._caught_up.is_set())
        self._changed.set()
        self._changed = trio.Event()

    # ------------------------------------------------------------ gossip

    async def _listen(self, network: Network) -> None:
        async with network.subscribe(gossip_topic(self.place.task)) as stream:
            async for _, data in stream:
                try:
                    entry = parse(data)
                except CodecError:
                    continue
                if isinstance(entry, Entry) and self._plausible(entry):
                    self._pending[entry.hash] = entry
                    self._rebuild()

    def _plausible(self, entry: Entry) -> bool:
        author = self.log.authors.get(entry.author)
        return (
            author is not None
            and entry.place == self.place
            and author.sequence <= entry.sequence < author.sequence + AHEAD
            and entry.hash not in self._pending
            and len(self._pending) < PENDING_ENTRIES
            and sum(each.author == entry.author for each in self._pending.values()) < AHEAD
            and entry.signed_by(author.signing_key)
        )

    # ------------------------------------------------------------ own entries

    def _outbox_key(self, sequence: int) -> str:
        return f"{self.place.task.hex()}/{sequence:012d}"

    def _in_log(self, entry: Entry) -> bool:
        author = self.log.authors.get(entry.author)
        return author is not None and entry.sequence < author.sequence

    def _keep(self, entry: Entry) -> None:
        self._own[entry.sequence] = self._pending[entry.hash] = entry
        self._posted.set()

    def _resume_outbox(self) -> None:
        """Entries signed before a crash are sent again, never signed anew: that would be equivocation."""
        if self._store is None:
            return
        for key, data in self._store.items("outbox"):
            if key.startswith(self.place.task.hex()):
                entry = parse(data)
                assert isinstance(entry, Entry), "the outbox holds entries"
                self._keep(entry)

    async def _send_outbox(self, ledger: Ledger) -> None:
        """In order and each after the one before has consensus, since that is the order of the chain."""
        await self._caught_up.wait()  # what the log shows already is not sent a second time after a restart
        while True:
            self._posted = trio.Event()
            entry = self._next_unsent()
            if entry is None:
                with trio.move_on_after(LOST_S):
                    await self._posted.wait()
                continue
            try:
                await ledger.submit(self.log.topic, entry.data())
                self._sent[entry.sequence] = trio.current_time()
            except ShoalError as error:
                log.warning("task %s: an entry is not on the topic yet: %s", short(self.place.task), error)
                await trio.sleep(2.0)

    def _next_unsent(self) -> Entry | None:
        """The first entry of the outbox that was not sent, or was lost; then those after it are sent again too."""
        now_s = trio.current_time()
        for sequence in sorted(entry.sequence for entry in self.outbox):
            if now_s - self._sent.get(sequence, -LOST_S) >= LOST_S:
                for later in [each for each in self._sent if each >= sequence]:
                    del self._sent[later]
                return self._own[sequence]
        return None


_Place = tuple[str, int, int]


def _places(events: Sequence[LoggedEvent], messages: Sequence[Message]) -> set[_Place]:
    """What names an item of the ledger for good: its kind, its consensus time, and its number."""
    return {("event", each.time_ns, each.index) for each in events} | {
        ("message", each.time_ns, each.sequence_number) for each in messages
    }


async def find_task(ledger: LedgerView, wanted: str) -> LoggedEvent | None:
    """The `TaskCreated` event of a task, by its id, a unique beginning of it, or its topic `0.0.N`.

    Raises:
        UsageError: SHOAL-U03 when several tasks begin with `wanted`.
    """
    found = []
    for logged in await ledger.events(after_ns=0, until_ns=await ledger.watermark()):
        event = logged.event
        if isinstance(event, TaskCreated):
            prefix = wanted.lower().removeprefix("0x")
            if wanted == f"0.0.{event.topic}" or (prefix and event.task_id.hex().startswith(prefix)):
                found.append(logged)
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} tasks begin with {wanted!r}", code="SHOAL-U03", hint="give more digits of the task id"
        )
    return found[0] if found else None
