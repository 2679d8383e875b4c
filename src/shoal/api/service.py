"""The ML user's tasks as a service: quoted, created, driven to their end, cancelled and fetched, several at once."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Self

import trio

from shoal.api.access import Caller
from shoal.api.agency import Agency
from shoal.api.following import Followed, Following
from shoal.api.graph_quotes import GraphQuotes
from shoal.api.market import Market, task_of
from shoal.api.quotes import Quoted, Quotes
from shoal.api.uploads import Quota, Uploads
from shoal.client import session
from shoal.client.cancel import check_cancellable, too_late
from shoal.client.desk import Desk
from shoal.client.pins import fetch_pinned
from shoal.client.prepare import Prepared
from shoal.client.purchase import Purchase
from shoal.client.result import fetch_result, goal_of
from shoal.client.verify import Verification, verify_task
from shoal.content import open_source
from shoal.core import calls, duties
from shoal.core.events import TaskCreated
from shoal.core.ids import TaskId, short, task_id
from shoal.core.limits import MIB
from shoal.core.manifest import Manifest
from shoal.core.money import format_hbar
from shoal.core.task import Phase, State
from shoal.errors import CallReverted, MarketError, ShoalError, UsageError
from shoal.ports import LoggedEvent
from shoal.roles.client import Secrets
from shoal.roles.closing import withdraw
from shoal.settings import Settings

log = logging.getLogger("shoal.api")

RESULT = "result.safetensors"
RESUME_PAUSE_S = 5.0
VERIFIED, VERIFIED_S = 64, 15.0
"""Verifications kept in memory, and how long each is told again before it is made anew."""
SWEEP_S = 600.0


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Servers beside this node that a page talks to, and where the pages are."""

    mirror_rest: str = ""
    grpc_web: str = ""
    origins: tuple[str, ...] = ()
    """Of pages that may reach storage directly."""


def quota_of(settings: Settings) -> Quota | None:
    """What a gateway keeps for each user; None for a node that serves its operator alone."""
    if not settings.gateway:
        return None
    return Quota(
        bytes_per_day=settings.gateway_daily_mib * MIB,
        bytes_kept=settings.gateway_kept_mib * MIB,
        objects=settings.gateway_objects,
        upload_life_s=settings.gateway_upload_hours * 3_600,
    )


@dataclass
class _Job:
    """A creation under way: whoever asks for it waits for the same one."""

    done: trio.Event = field(default_factory=trio.Event)
    followed: Followed | None = None
    error: BaseException | None = None


@dataclass(frozen=True)
class Result:
    """A decrypted result on this machine's disk."""

    path: Path
    sha256: str


class Service:
    """Everything the API does for an ML user.

    >>> async with Service.open(desk) as service:  # doctest: +SKIP
    ...     quote = await service.quotes.make(upload, Terms())
    ...     followed = await service.create(quote.id, confirm=True)
    """

    def __init__(
        self,
        desk: Desk,
        nursery: trio.Nursery,
        *,
        endpoints: Endpoints,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.desk, self.endpoints = desk, endpoints
        settings = desk.settings
        self.market = Market(desk.ledger)
        self.quotes = Quotes(desk, clock=clock)
        self.following = Following(desk, nursery)
        self.uploads = Uploads(desk, origins=endpoints.origins, quota=quota_of(settings), clock=clock)
        self.agency = Agency(
            desk, nursery, market=self.market, following=self.following, uploads=self.uploads, clock=clock
        )
        self.graph_quotes = GraphQuotes(desk, self.agency.fees, runs_strangers=not settings.gateway)
        self.resumed = trio.Event()
        """Set once the tasks of before are driven again."""
        self._nursery = nursery
        self._jobs: dict[str, _Job] = {}
        self._fetching: dict[TaskId, trio.Lock] = {}
        self._verifying = trio.Lock()
        self._verified: dict[TaskId, tuple[float, Verification]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, desk: Desk, *, endpoints: Endpoints | None = None) -> AsyncIterator[Self]:
        """Its tasks live in a nursery of their own, which ends with this block."""
        async with trio.open_nursery() as nursery:
            service = cls(desk, nursery, endpoints=endpoints or Endpoints())
            nursery.start_soon(service.resume)
            nursery.start_soon(service.sweep)
            nursery.start_soon(service.open_storage)
            yield service
            nursery.cancel_scope.cancel()

    # ------------------------------------------------------------ looking

    async def find(self, wanted: str) -> Followed:
        """A task by its id, the beginning of it, or its topic, with its log read.

        Raises:
            MarketError: SHOAL-T08, there is none.
        """
        created, task = await self.market.find(wanted)
        return await self.following.get(created, task)

    async def verification(self, wanted: str) -> Verification:
        """What anyone finds who verifies a task. It reads all of its log, so one at a time, and not again at once.

        Raises:
            MarketError: SHOAL-T08, there is no such task.
        """
        created, task = await self.market.find(wanted)
        async with self._verifying:
            kept = self._verified.get(task)
            if kept is None or trio.current_time() - kept[0] > VERIFIED_S:
                found = await verify_task(self.desk.ledger, created, self.desk.place(task))
                kept = self._verified[task] = (trio.current_time(), found)
                while len(self._verified) > VERIFIED:
                    del self._verified[next(iter(self._verified))]
            return kept[1]

    async def state_of(self, created: LoggedEvent, task: TaskId) -> State:
        """A task as it stands now, for a list: one that is not followed is read once, and not followed for it."""
        return await self.following.look(created, task)

    def is_mine(self, created: LoggedEvent) -> bool:
        assert isinstance(created.event, TaskCreated), "a task begins with this event"
        return created.event.client == self.desk.ledger.address

    def belongs(self, created: LoggedEvent, caller: Caller | None) -> bool:
        """Whether a task is the caller's: of its account, or served for it. Without a caller: the node's own."""
        if caller is not None and not caller.is_operator:
            assert isinstance(created.event, TaskCreated), "a task begins with this event"
            return created.event.client == caller.address
        errand = self.agency.errand(task_of(created))
        return self.is_mine(created) or (errand is not None and errand.owner == "operator")

    # ------------------------------------------------------------ creating

    def need_python(self) -> None:
        """Whether this node runs what it is sent.

        Raises:
            UsageError: SHOAL-U95, it is a gateway: a stranger's `model.py` would run with its rights.
        """
        if self.desk.settings.gateway:
            raise UsageError(
                "a gateway takes no model.py, which would run on it: graph documents only",
                code="SHOAL-U95",
                hint="take a ready model (GET /api/v1/zoo), send a graph document, or use a node of your own",
            )

    async def create(self, quote_id: str, *, confirm: bool) -> Followed:
        """Pay the escrow of a quote; a quote makes one task, however often it is asked for and whatever crashes.

        It goes on when whoever asked has hung up.

        Raises:
            UsageError: SHOAL-U55, no such quote; U56, not confirmed, or the price has changed.
            MarketError, StorageError, LedgerError: as of `Purchase`.
        """
        quote = self.quotes.get(quote_id)
        if not confirm:
            raise UsageError(
                f"this would lock {format_hbar(quote.escrow_tinybar)} in escrow",
                code="SHOAL-U56",
                hint='send "confirm": true to spend it',
                money="nothing was spent",
            )
        job = self._jobs.get(quote_id)
        if job is None:
            job = self._jobs[quote_id] = _Job()
            self._nursery.start_soon(self._run_job, quote, job)
        await job.done.wait()
        if job.error is not None:
            raise job.error
        assert job.followed is not None, "done without an error"
        return job.followed

    async def _run_job(self, quote: Quoted, job: _Job) -> None:
        try:
            job.followed = await self._create(quote)
        except Exception as error:
            job.error = error
        finally:
            del self._jobs[quote.id]
            job.done.set()

    async def _create(self, quote: Quoted) -> Followed:
        if quote.task:  # it may be there from before a crash
            try:
                created, task = await self.market.find(quote.task)
            except MarketError:
                log.info("quote %s was prepared, its task is not on the ledger", quote.id)
            else:
                return await self._begin(quote, created, task)
        desk, examined = self.desk, await self.quotes.examined(quote)
        purchase = await Purchase.begin(desk, self.quotes.order(quote.id, quote.terms), examined)
        offer = await purchase.quote()
        if int(offer.escrow) != quote.escrow_tinybar:
            raise UsageError(
                f"the price is {format_hbar(offer.escrow)} now, {format_hbar(quote.escrow_tinybar)} was quoted",
                code="SHOAL-U56",
                hint="ask for another quote",
                money="nothing was spent",
            )
        await purchase.check(offer)
        if quote.task:
            task = TaskId(bytes.fromhex(quote.task))
            prepared = _kept(desk, task)
        else:
            prepared = await purchase.prepare(offer, _say)
            task = task_id(desk.ledger.address, prepared.manifest.hash)
            quote = replace(quote, task=task.hex())
            self.quotes.keep(quote)  # from here on it may be on the ledger
        try:
            created = await purchase.create(prepared)
        except MarketError as error:
            # A call of before a crash may have reached the contract, which takes no task twice.
            with suppress(MarketError):
                created, _ = await self.market.find(task.hex())
                return await self._begin(quote, created, task)
            raise error
        return await self._begin(quote, created, task)

    async def _begin(self, quote: Quoted, created: LoggedEvent, task: TaskId) -> Followed:
        followed = await self.following.drive(created, task)
        self.quotes.finish(quote)
        log.info("task %s is created", short(task))
        return followed

    # ------------------------------------------------------------ after a restart

    async def resume(self) -> None:
        """Go on with every task of this account that is not over, or still owes something, as `shoal get` does."""
        while True:
            try:
                await self._resume()
                self.resumed.set()
                return
            except ShoalError as error:
                log.warning("the tasks of before are not found yet: %s", error)
                await trio.sleep(RESUME_PAUSE_S)

    async def open_storage(self) -> None:
        """Let pages read results by URL, also if nothing is uploaded in this process's life."""
        if self.endpoints.origins and self.desk.settings.s3_endpoint:
            try:
                await self.uploads.storage()
            except ShoalError as error:
                log.warning("pages cannot reach storage yet: %s", error)

    async def sweep(self) -> None:
        """Now and then remove what nobody needs any more."""
        while True:
            await trio.sleep(SWEEP_S)
            try:
                await self.uploads.sweep()
                await self.agency.sweep()
            except ShoalError as error:
                log.warning("old objects could not be removed: %s", error)

    async def _resume(self) -> None:
        self.agency.resume()
        me = self.desk.ledger.address
        for created in await self.market.tasks():
            if not self.is_mine(created):
                continue
            task = task_of(created)
            state = await self.following.look(created, task)
            if not state.phase.over or duties.payments(state, me):
                await self.following.drive(created, task)
                log.info("task %s goes on", short(task))
        for quote in self.quotes.all():
            if quote.task and not quote.created and self.following.known(TaskId(bytes.fromhex(quote.task))):
                self.quotes.finish(quote)
        await withdraw(self.desk.ledger)

    # ------------------------------------------------------------ ending

    async def cancel(self, followed: Followed) -> State:
        """End a task of ours before its start: all of the escrow comes back, but what trainers that accepted are due.

        Raises:
            UsageError: SHOAL-U08, another account's; U58, it has started or ended already.
        """
        state, ledger = followed.state, self.desk.ledger
        check_cancellable(state, ledger.address)
        if state.phase is Phase.CANCELLED:
            return state
        try:
            outcome = await ledger.call(calls.Cancel(followed.task))
        except CallReverted as error:
            state = await self.following.passed(followed, await ledger.watermark())
            if state.phase is not Phase.CANCELLED:
                raise too_late(state) from error
            return state
        return await self.following.passed(followed, outcome.time_ns)

    async def result(self, followed: Followed) -> Result:
        """The weights, decrypted and equal to what was confirmed on chain; fetched once, then kept.

        Raises:
            UsageError: SHOAL-U08, another account's.
            MarketError: SHOAL-T04, there is no result, or not yet.
            CryptoError, StorageError: as of `fetch_result`.
        """
        self._need_mine(followed)
        task, state, desk = followed.task, followed.state, self.desk
        home = session.home_of(desk.settings, task)
        path = home / RESULT
        async with self._fetching.setdefault(task, trio.Lock()):
            goal = goal_of(state)
            if goal is not None and path.is_file():
                kept = desk.store.get("api-results", task.hex())
                if kept == goal.checkpoint:
                    return Result(path, goal.checkpoint.hex())
            own = session.own_way(desk, state)
            pinned = partial(fetch_pinned, partial(open_source, desk.settings))
            sha256 = await fetch_result(state, keys=desk.keys, transfer=desk.transfer, out=path, own=own, pinned=pinned)
            desk.store.put("api-results", task.hex(), bytes.fromhex(sha256))
            return Result(path, sha256)

    def envelope(self, followed: Followed) -> bytes:
        """The sealed envelope of the result: ciphertext, which whoever holds the ML user's age key opens.

        Raises:
            MarketError: SHOAL-T04, there is none.
        """
        goal = goal_of(followed.state)
        if goal is None or goal.envelope is None:
            raise MarketError(
                f"this task has no confirmed result: it is {followed.state.phase}",
                code="SHOAL-T04",
                hint="try again when it is settled",
            )
        return goal.envelope

    def _need_mine(self, followed: Followed) -> None:
        if not self.is_mine(followed.created):
            raise UsageError(
                f"task {short(followed.task)} belongs to another account",
                code="SHOAL-U08",
                hint="use the node of the account that created it",
            )


def _kept(desk: Desk, task: TaskId) -> Prepared:
    """What `Purchase.prepare` put on disk before a crash."""
    manifest, secrets = desk.store.get("manifests", task.hex()), desk.store.get("secrets", task.hex())
    assert manifest is not None and secrets is not None, "kept before the quote names its task"
    return Prepared(Manifest.from_bytes(manifest), Secrets.from_bytes(secrets))


def _say(what: str, done: int, total: int) -> None:
    if done == total:
        log.info("%d %s encrypted and uploaded", total, what)
