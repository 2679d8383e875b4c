"""The trainer: finds tasks, judges them, bids, accepts what it wins, and holds its seats.

The contract's events are the list of record; gossip only makes a new task known sooner.
"""

from __future__ import annotations

import logging
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from shoal.core import calls, limits, pricing
from shoal.core.auction import Award, Bid
from shoal.core.codec import CodecError, decode, encode
from shoal.core.entries import Place, make_bid_commitment
from shoal.core.events import Accepted, TaskCreated
from shoal.core.ids import Address, TaskId, short
from shoal.core.manifest import Manifest
from shoal.core.merkle import AwardLeaf
from shoal.core.money import ZERO, Tinybar, format_hbar
from shoal.core.task import SECOND_NS, Phase, State
from shoal.errors import CallReverted, LedgerError, MarketError, NetworkError, ShoalError
from shoal.ports import Engine, Keys, Ledger, LoggedEvent, Network, Store, Transfer
from shoal.roles.closing import close
from shoal.roles.documents import get_document, node_key
from shoal.roles.feed import MarketFeed
from shoal.roles.gate import Gate
from shoal.roles.objects import TaskObjects
from shoal.roles.seat import SeatHolder
from shoal.roles.shiplog import Shipping, shipping_logs
from shoal.roles.tasklog import TaskLog
from shoal.roles.through import see_through

log = logging.getLogger("shoal.trainer")

UNFINISHED = "unfinished"
"""Table of tasks that this node is at work on: task id -> consensus time of its creation."""
OPENING = "opening"
"""The request by which a bid is opened to its client."""
PREFLIGHT_TIMEOUT_S = 120.0
HASTE = 3.0
"""A round has to leave this many times the measured training time of the chunks that are bid for."""
MIN_AGGREGATE_TIMEOUT_S = 5
MAX_LOCK_S = 2 * limits.TASK_LIFE_S
"""From a task's creation to the end of its last dispute: longer than that no stake is lent to a stranger's plan."""
MIN_OPEN_S = 5
MIN_TOLERANCE_PPM = 1_000
SLOT_SLACK_BYTES = limits.MIB
ANNOUNCEMENT_PAUSE_S = 0.2
ACCEPT_PATIENCE_S = 5.0
SANDBOXES = 4
"""How many tasks this machine bids for or works on at once: each takes a sandbox with torch in it, some 300 MiB."""

EngineOpener = Callable[[Path], AbstractAsyncContextManager[Engine]]


def market_topic(network: str, contract: str) -> str:
    """The gossip topic on which new tasks are announced."""
    return f"shoal/market/{network}/{contract}"


@dataclass(frozen=True, slots=True)
class Offer:
    """What this machine asks for its work, and how much it takes on."""

    hbar_per_hour: float
    """Asked for an hour of this machine's training."""
    min_unit_tinybar: int
    max_chunks: int
    """Per task; a machine that holds more chunks sees more of the data set."""
    stake_tinybar: int
    """Deposited at registration; every seat locks part of it."""
    max_penalty_tinybar: int
    """Most that a no-show may cost; a task that asks for more is left alone."""
    covers_fees: bool = True
    """Whether a bid also asks for what Hedera will charge."""


class Trainer:
    """A trio service; `run` until cancelled.

    Args:
        place_of: network and contract are the same for all tasks; this makes a task's place.
        open_engine: a sandboxed engine on a job directory.
        dir: where tasks keep their files.
        shipping: what of its logs goes to the topics of tasks; None for nothing.
        gate: while it is closed no bid is made, no seat taken, and nothing trained.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        network: Network,
        transfer: Transfer,
        keys: Keys,
        store: Store,
        open_engine: EngineOpener,
        peer_id_of: Callable[[bytes], str],
        place_of: Callable[[TaskId], Place],
        dir: Path,
        offer: Offer,
        poll_s: float = 0.5,
        shipping: Shipping | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._ledger, self._network, self._transfer = ledger, network, transfer
        self._keys, self._store, self._open_engine = keys, store, open_engine
        self._peer_id_of, self._place_of, self._dir = peer_id_of, place_of, dir
        self._offer, self._poll_s, self._shipping = offer, poll_s, shipping
        self._announced = trio.Event()
        self._known: dict[TaskId, LoggedEvent] = {}
        self._serving: set[TaskId] = set()
        self._unfinished = dict(store.items(UNFINISHED))
        self._sandboxes = trio.CapacityLimiter(SANDBOXES)
        self._gate = gate or Gate()
        self._holders: set[SeatHolder] = set()

    async def run(self) -> None:
        """Register once, then serve every task worth it, side by side, within the free stake."""
        await self._register()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hear_announcements)
            place = self._place_of(TaskId(bytes(32)))
            feed = MarketFeed(self._ledger, self._store, f"{place.network}/{place.contract}/{self._ledger.account}")
            while True:
                heard = self._announced
                try:
                    for created in [*await self._left_open(), *self._wanted(await feed.read(), feed.until_ns)]:
                        nursery.start_soon(self._guarded, created)
                    feed.commit()
                except LedgerError as error:
                    log.warning("%s; trying again", error)
                await trio.sleep(ANNOUNCEMENT_PAUSE_S)
                with trio.move_on_after(self._poll_s * 2):
                    await heard.wait()

    @property
    def seats(self) -> int:
        """How many seats are held now."""
        return len(self._holders)

    async def leave(self) -> None:
        """Close the gate and give every seat back, so that nobody waits for this machine; `run` may then be cancelled.

        A restart claims what was earned until then.
        """
        self._gate.turn(open=False)
        async with trio.open_nursery() as nursery:
            for holder in self._holders:
                nursery.start_soon(holder.leave)

    async def _register(self) -> None:
        state = await self._ledger.account_state(self._ledger.address)
        if not state.registered:
            call = calls.Register(self._keys.signing_key, self._keys.recipient)
            await self._ledger.call(call, value=self._offer.stake_tinybar)
            log.info("registered %s with %s of stake", self._ledger.account, format_hbar(self._offer.stake_tinybar))
        elif state.signing_key != self._keys.signing_key:
            raise MarketError(
                f"account {self._ledger.account} is registered with another node key",
                code="SHOAL-T06",
                hint="restore that node's key directory, or use another account",
            )

    async def _hear_announcements(self) -> None:
        place = self._place_of(TaskId(bytes(32)))
        async with self._network.subscribe(market_topic(place.network, place.contract)) as stream:
            async for _ in stream:
                self._announced.set()
                self._announced = trio.Event()

    async def _left_open(self) -> list[LoggedEvent]:
        """Tasks that this node was at work on when it stopped, by their place on the ledger."""
        found = []
        for name, place in list(self._unfinished.items()):
            time_ns = int(place)
            for logged in await self._ledger.events(after_ns=time_ns - 1, until_ns=time_ns):
                if isinstance(logged.event, TaskCreated) and logged.event.task_id.hex() == name:
                    found.append(logged)
        for logged in found:
            self._begin(logged)
        return found

    def _wanted(self, events: Sequence[LoggedEvent], until_ns: int) -> list[LoggedEvent]:
        """Tasks to look at: those that still take bids, or hold a bid of ours; and those with a seat of ours."""
        wanted: dict[TaskId, LoggedEvent] = {}
        for logged in events:
            event = logged.event
            if isinstance(event, TaskCreated):
                self._known[event.task_id] = logged
                bid = self._store.get("bids", event.task_id.hex()) is not None
                until_s = event.plan.standby_until if bid else event.plan.bid_until
                if until_s * SECOND_NS > until_ns:
                    wanted[event.task_id] = logged
            elif isinstance(event, Accepted) and event.trainer == self._ledger.address and event.task_id in self._known:
                wanted[event.task_id] = self._known[event.task_id]
        for task, logged in list(self._known.items()):
            assert isinstance(logged.event, TaskCreated), "nothing else is kept"
            if logged.event.plan.end_by * SECOND_NS < until_ns:
                del self._known[task]
        fresh = [logged for task, logged in wanted.items() if task not in self._serving]
        for logged in fresh:
            self._begin(logged)
        return fresh

    def _begin(self, created: LoggedEvent) -> None:
        """From here on a restart goes on with it."""
        assert isinstance(created.event, TaskCreated), "tasks begin with it"
        task = created.event.task_id
        self._serving.add(task)
        self._unfinished.pop(task.hex(), None)
        self._store.put(UNFINISHED, task.hex(), str(created.time_ns).encode())

    async def _guarded(self, created: LoggedEvent) -> None:
        assert isinstance(created.event, TaskCreated)
        task = created.event.task_id
        try:
            if await see_through(task, lambda: self._serve(created), log):
                self._store.delete(UNFINISHED, task.hex())
        finally:
            self._serving.discard(task)

    async def _serve(self, created: LoggedEvent) -> None:
        assert isinstance(created.event, TaskCreated)
        task = created.event.task_id
        tasklog = TaskLog(
            created,
            self._place_of(task),
            ledger=self._ledger,
            network=self._network,
            keys=self._keys,
            store=self._store,
            poll_s=self._poll_s,
        )
        directory = self._dir / task.hex()[:16]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tasklog.run)
            logs = shipping_logs(
                nursery, tasklog, self._shipping, ledger=self._ledger, keys=self._keys, store=self._store
            )
            async with logs, AsyncExitStack() as sandbox:
                await self._take_part(tasklog, directory, sandbox)
            nursery.cancel_scope.cancel()
        # Nothing of a task that is over, or went to others, stays here: least of all its data.
        await trio.to_thread.run_sync(lambda: shutil.rmtree(directory, ignore_errors=True))

    async def _take_part(self, tasklog: TaskLog, directory: Path, sandbox: AsyncExitStack) -> None:
        now_ns = await self._ledger.watermark()
        await tasklog.wait_for(lambda t: t.log.now_ns >= now_ns)
        engine = None
        if tasklog.log.seat_of(self._ledger.address) is None:
            engine = await self._compete(tasklog, directory, sandbox)
        if tasklog.log.seat_of(self._ledger.address) is not None:
            await self._hold_seat(tasklog, directory, sandbox, engine)

    async def _compete(self, tasklog: TaskLog, directory: Path, sandbox: AsyncExitStack) -> Engine | None:
        """Bid if the terms are worth it: cheap judgements before the sandbox, which then stays for the seat."""
        plan = tasklog.log.plan
        await tasklog.wait_for(lambda t: t.log.manifest is not None or t.log.now_ns > plan.bid_until * SECOND_NS)
        if tasklog.log.manifest is None or tasklog.log.phase.over:
            return None
        account = await self._ledger.account_state(self._ledger.address)
        if reason := unacceptable(tasklog.log, self._offer, account.free_stake_tinybar):
            log.info("task %s: no bid: %s", short(tasklog.place.task), reason)
            return None
        if not await self._ledger.is_unowned(tasklog.log.topic):
            # Its owner could shut others out in the middle of the work, and leave what they delivered out of the log.
            log.warning("task %s: no bid: somebody owns its topic", short(tasklog.place.task))
            return None
        if not await self._free(tasklog, plan.bid_until):
            log.info("task %s: no bid: this machine may not work now", short(tasklog.place.task))
            return None
        engine = await sandbox.enter_async_context(self._engine(tasklog, directory))
        bid = await self._bid(tasklog, engine)
        if bid is not None:
            await self._win(tasklog, bid)
        return engine

    async def _hold_seat(
        self, tasklog: TaskLog, directory: Path, sandbox: AsyncExitStack, engine: Engine | None
    ) -> None:
        """Work, and be paid; being paid needs neither the model nor the sandbox."""
        try:
            if not tasklog.log.phase.over:
                if engine is None:
                    engine = await sandbox.enter_async_context(self._engine(tasklog, directory))
                await self._work(tasklog, directory, engine)
        except* ShoalError as group:
            for error in group.exceptions:
                log.error("task %s: this machine cannot work on it: %s", short(tasklog.place.task), error)
        await close(tasklog, self._ledger)

    async def _work(self, tasklog: TaskLog, directory: Path, engine: Engine) -> None:
        objects = TaskObjects(
            self._ledger.address,
            job_dir=directory / "job",
            sealed_dir=directory / "sealed",
            keys=self._keys,
            network=self._network,
            transfer=self._transfer,
            peer_id_of=self._peer_id_of,
        )
        holder = SeatHolder(tasklog, ledger=self._ledger, engine=engine, objects=objects, gate=self._gate)
        self._holders.add(holder)
        try:
            await holder.run()
        finally:
            self._holders.discard(holder)

    @asynccontextmanager
    async def _engine(self, tasklog: TaskLog, directory: Path) -> AsyncIterator[Engine]:
        manifest = tasklog.log.manifest
        if manifest is None:
            raise MarketError("the task has no manifest", code="SHOAL-T10")
        (directory / "job").mkdir(parents=True, exist_ok=True)
        plan = tasklog.log.plan
        seated = tasklog.log.seat_of(self._ledger.address) is not None
        await get_document(
            tasklog,
            self._network,
            self._peer_id_of,
            manifest,
            directory / "job" / "graph.json",
            until_ns=(plan.end_by if seated else plan.bid_until) * SECOND_NS,
        )
        async with self._sandboxes, self._open_engine(directory / "job") as engine:
            await engine.load(directory / "job" / "graph.json", manifest.recipe)
            yield engine

    # ------------------------------------------------------------ bidding

    async def _bid(self, tasklog: TaskLog, engine: Engine) -> Bid | None:
        """The bid that is on the topic when this returns; the same one after a crash."""
        state = tasklog.log
        task, plan, manifest = tasklog.place.task, state.plan, state.manifest
        assert manifest is not None, "waited for"
        remembered = self._store.get("bids", task.hex())
        if remembered is not None:
            bid = parse_opening(remembered)[1]
        else:
            report = await engine.preflight(timeout_s=PREFLIGHT_TIMEOUT_S)
            unit_s = float(report["step_s"]) * int(manifest.recipe["local_steps"])
            fit = int(manifest.rules.round_timeout_s / (unit_s * HASTE))
            units = min(self._offer.max_chunks, plan.chunks, fit)
            price = await self._price(unit_s, plan, manifest)
            if units < 1 or price > plan.max_unit_price:
                what = "pays too little" if units else "leaves too little time for a round"
                log.info("task %s %s", short(task), what)
                return None
            bid = Bid(self._ledger.address, price, units, unit_s, plan.start_until, secrets.token_bytes(32))
            self._store.put("bids", task.hex(), opening(task, bid))
        sealed = make_bid_commitment(self._keys, task, self._ledger.address, bid.commitment(task))
        if all(each.commitment != sealed.commitment for each in tasklog.bids.get(self._ledger.address, ())):
            await self._ledger.submit(state.topic, sealed.data())
        log.info("task %s: bid %s a unit for up to %d chunks", short(task), format_hbar(bid.unit_price), bid.units)
        return bid

    async def _win(self, tasklog: TaskLog, bid: Bid) -> None:
        """Open the bid, and accept what it won; returns once it is clear whether there is a seat."""
        plan, me, task = tasklog.log.plan, self._ledger.address, tasklog.place.task
        await tasklog.wait_for(lambda t: t.log.now_ns > plan.bid_until * SECOND_NS or t.log.phase is not Phase.OPEN)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._open_bid, tasklog, bid)
            late_ns = (plan.standby_until + 1) * SECOND_NS
            await tasklog.wait_for(
                lambda t: bool(t.log.award) or t.log.phase not in (Phase.OPEN, Phase.AWARDED) or t.log.now_ns > late_ns
            )
            nursery.cancel_scope.cancel()
        award = Award(tasklog.log.award, tasklog.log.unit_price)
        found = award.proof(task, me)
        if found is None or tasklog.log.unit_price < bid.unit_price or found[0].units > bid.units:
            log.info("task %s went to others", short(task))
            return
        leaf, proof = found
        if leaf.rank and not await self._standby_turn(tasklog, leaf, award.primaries):
            return
        if not await self._free(tasklog, plan.standby_until if leaf.rank else plan.accept_until):
            log.info("task %s: not accepted: this machine may not work now", short(task))
            return
        await self._accept(tasklog, calls.Accept(task, leaf.units, leaf.rank, proof))

    async def _free(self, tasklog: TaskLog, until_s: int) -> bool:
        """Wait until this machine may work; False when that comes too late."""
        await tasklog.wait_for(lambda t: self._gate.is_open or t.log.now_ns > until_s * SECOND_NS)
        return self._gate.is_open

    async def _accept(self, tasklog: TaskLog, accept: calls.Accept) -> None:
        """Until the log shows the seat, or it is too late for it: a call without an answer may or may not count."""
        late_ns, me = (tasklog.log.plan.start_until + 1) * SECOND_NS, self._ledger.address
        while tasklog.log.seat_of(me) is None and tasklog.log.now_ns <= late_ns:
            try:
                await self._ledger.call(accept)
            except CallReverted as error:
                if error.reason != "AlreadyAccepted":
                    raise
            except LedgerError as error:
                log.warning("task %s: %s; the log will tell whether the seat is taken", short(accept.task_id), error)
            await tasklog.wait_for(
                lambda t: t.log.seat_of(me) is not None or t.log.now_ns > late_ns, timeout_s=ACCEPT_PATIENCE_S
            )

    async def _price(self, unit_s: float, plan: calls.Plan, manifest: Manifest) -> Tinybar:
        """For its time, and for Hedera's fees, which it pays itself whether the task is large or small."""
        fees = ZERO
        if self._offer.covers_fees:
            fees = pricing.fees_per_unit(
                rounds=plan.rounds,
                chunks=-(-plan.chunks // plan.seats),
                confirm_every=manifest.rules.confirm_every,
                rate=await self._ledger.rate(),
                audits=-(-plan.audits // plan.seats),
            )
        offer = self._offer
        return pricing.asked(
            unit_s=unit_s, hbar_per_hour=offer.hbar_per_hour, min_unit=offer.min_unit_tinybar, fees=fees
        )

    async def _open_bid(self, tasklog: TaskLog, bid: Bid) -> None:
        """Show the bid to the client, again and again until it says that it has it."""
        client = self._peer_id_of(node_key(tasklog.log))
        payload = opening(tasklog.place.task, bid)
        while True:
            try:
                await self._network.request(client, OPENING, payload, timeout_s=5)
                return
            except NetworkError as error:
                log.info("the client has not seen the bid yet: %s", error)
                await trio.sleep(1.0)

    async def _standby_turn(self, tasklog: TaskLog, leaf: AwardLeaf, primaries: int) -> bool:
        """Wait whether a seat is left over for this rank."""
        plan = tasklog.log.plan
        await tasklog.wait_for(
            lambda t: t.log.now_ns > (plan.accept_until + 1) * SECOND_NS or t.log.phase is not Phase.AWARDED
        )
        taken = sum(seat.rank == 0 for seat in tasklog.log.seats)
        return tasklog.log.phase is Phase.AWARDED and leaf.rank <= primaries - taken


def unacceptable(log: State, offer: Offer, free_stake_tinybar: int) -> str:
    """Why the terms of a task are not worth a look at its model; empty if they are.

    The client writes them, and whoever accepts is bound by them: what could only serve to cheat is left alone.
    """
    plan, manifest = log.plan, log.manifest
    assert manifest is not None, "the terms are known"
    rules, slot, initial = manifest.rules, manifest.slot_bytes, manifest.initial_blob.size_bytes
    if free_stake_tinybar < plan.stake_per_seat:
        return "not enough free stake for a seat"
    if plan.end_by + plan.window + 2 * plan.dispute_time > log.created_ns // SECOND_NS + MAX_LOCK_S:
        return "the stake could be locked for too long"
    if plan.no_show_penalty > offer.max_penalty_tinybar:
        return f"a no-show costs {format_hbar(plan.no_show_penalty)}"
    if rules.aggregate_timeout_s < MIN_AGGREGATE_TIMEOUT_S:
        return "too little time for an aggregate"
    if rules.confirm_every > max(1, -(-plan.rounds // 3)):
        return "progress is confirmed too seldom"
    if plan.auditors and (reason := _unacceptable_audits(log)):
        return reason
    if not initial <= slot <= initial + SLOT_SLACK_BYTES:
        return "the upload slots do not have the size of the weights"
    return ""


def _unacceptable_audits(log: State) -> str:
    """An honest trainer must be able to open its work in time, and not be slashed for how its processor rounds."""
    audit, plan = log.manifest.audit if log.manifest else None, log.plan
    if audit is None:
        return "auditors without rules for them"
    if audit.open_s < MIN_OPEN_S or plan.dispute_time < 2 * MIN_OPEN_S:
        return "too little time to open what is audited"
    if audit.tolerance_ppm < MIN_TOLERANCE_PPM:
        return "audits that forgive no rounding"
    return ""


def opening(task: TaskId, bid: Bid) -> bytes:
    """A bid as it is shown to the client after the deadline."""
    return encode([task, *bid.fields()])


def parse_opening(payload: bytes) -> tuple[TaskId, Bid]:
    """The inverse of `opening`.

    Raises:
        CodecError: anything else.
    """
    value: Any = decode(payload, max_bytes=limits.REQUEST_BYTES)
    match value:
        case [bytes(task), bytes(trainer), int(price), int(units), float(unit_s), int(expires), bytes(salt)] if (
            len(task) == 32 and len(trainer) == 20 and len(salt) == 32 and price > 0 and units > 0
        ):
            return TaskId(task), Bid(Address(trainer), Tinybar(price), units, unit_s, expires, salt)
    raise CodecError("not an opened bid")
