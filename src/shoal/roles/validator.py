"""The validator: locks its stake, waits to be drawn, and then audits and judges, as a service.

Whom it checks, and when, is not its own choice: the contract draws committees and juries from all validators.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from shoal.core import calls
from shoal.core.entries import Place
from shoal.core.events import Drawn, JuryDrawn, TaskCreated
from shoal.core.ids import TaskId, short
from shoal.core.money import Tinybar, format_hbar
from shoal.core.task import SECOND_NS
from shoal.errors import CallReverted, LedgerError, MarketError
from shoal.ports import Keys, Ledger, LoggedEvent, Network, Store, Transfer
from shoal.roles.bench import Bench
from shoal.roles.documents import get_document
from shoal.roles.feed import MarketFeed
from shoal.roles.pool import validators
from shoal.roles.recheck import Rechecker
from shoal.roles.tasklog import TaskLog
from shoal.roles.through import see_through
from shoal.roles.trainer import EngineOpener

log = logging.getLogger("shoal.validator")

AUDITING = "auditing"
"""Table of tasks that this node was drawn for and is not done with."""
SANDBOXES = 2
"""How many tasks are trained again at once: each takes a sandbox with torch in it, some 300 MiB."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Where a validator stands once it is in the pool."""

    stake: Tinybar
    """Locked for as long as it is a validator; fines are taken from it."""
    pool: int
    """How many validators there are."""


class Validator:
    """A trio service; `join`, then `run` until cancelled.

    Args:
        place_of: network and contract are the same for all tasks; this makes a task's place.
        open_engine: a sandboxed engine on a job directory.
        dir: where tasks keep their files.
        max_stake: most that is locked.
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
        max_stake: Tinybar,
        poll_s: float = 0.5,
    ) -> None:
        self._ledger, self._network, self._transfer = ledger, network, transfer
        self._keys, self._store, self._open_engine = keys, store, open_engine
        self._peer_id_of, self._place_of, self._dir = peer_id_of, place_of, dir
        self._max_stake, self._poll_s = max_stake, poll_s
        self._serving: set[TaskId] = set()
        self._sandboxes = trio.CapacityLimiter(SANDBOXES)

    # ------------------------------------------------------------ the pool

    async def join(self) -> Joined:
        """Register, lock the stake and enter the pool; whatever of it is done already is not done again.

        Raises:
            MarketError: SHOAL-T06, the account is another node's; T21, the contract asks for more stake than allowed.
            LedgerError: it cannot be done now.
        """
        stake = await self._ledger.validator_stake()
        if stake > self._max_stake:
            raise MarketError(
                f"the contract locks {format_hbar(stake)} of each validator, this node allows "
                f"{format_hbar(self._max_stake)}",
                code="SHOAL-T21",
                hint="raise the setting validator_stake_tinybar if you want to lock so much",
                money="nothing was locked",
            )
        if self._ledger.address not in await validators(self._ledger):
            await self._deposit(stake)
            try:
                outcome = await self._ledger.call(calls.JoinValidators())
                log.info("in the pool of validators, with %s locked", format_hbar(stake))
                while await self._ledger.watermark() < outcome.time_ns:  # noqa: ASYNC110 - other machines change it
                    await trio.sleep(self._poll_s)
            except CallReverted as error:
                if error.reason != "AlreadyValidator":
                    raise
        return Joined(stake, len(await validators(self._ledger)))

    async def _deposit(self, stake: Tinybar) -> None:
        account = await self._ledger.account_state(self._ledger.address)
        if not account.registered:
            await self._ledger.call(calls.Register(self._keys.signing_key, self._keys.recipient), value=stake)
            log.info("registered %s with %s of stake", self._ledger.account, format_hbar(stake))
            return
        if account.signing_key != self._keys.signing_key:
            raise MarketError(
                f"account {self._ledger.account} is registered with another node key",
                code="SHOAL-T06",
                hint="restore that node's key directory, or use another account",
            )
        if account.free_stake_tinybar < stake:
            await self._ledger.call(calls.DepositStake(), value=stake - account.free_stake_tinybar)

    # ------------------------------------------------------------ tasks

    async def run(self) -> None:
        """Serve every task that this validator is drawn for, side by side."""
        place = self._place_of(TaskId(bytes(32)))
        name = f"{place.network}/{place.contract}/{self._ledger.account}/validator"
        feed = MarketFeed(self._ledger, self._store, name)
        async with trio.open_nursery() as nursery:
            for key, _ in self._store.items(AUDITING):
                self._begin(TaskId(bytes.fromhex(key)), nursery)
            while True:
                try:
                    for logged in await feed.read():
                        if (task := self._drawn_for(logged)) is not None:
                            self._store.put(AUDITING, task.hex(), b"")
                            self._begin(task, nursery)
                    feed.commit()
                except LedgerError as error:
                    log.warning("%s; trying again", error)
                await trio.sleep(self._poll_s * 2)

    def _drawn_for(self, logged: LoggedEvent) -> TaskId | None:
        event = logged.event
        if isinstance(event, Drawn):
            members = event.committee
        elif isinstance(event, JuryDrawn):
            members = event.jury
        else:
            return None
        drawn = any(member.validator == self._ledger.address for member in members)
        return event.task_id if drawn else None

    def _begin(self, task: TaskId, nursery: trio.Nursery) -> None:
        if task not in self._serving:
            self._serving.add(task)
            nursery.start_soon(self._guarded, task)

    async def _guarded(self, task: TaskId) -> None:
        try:
            if await see_through(task, lambda: self._serve(task), log):
                self._store.delete(AUDITING, task.hex())
        finally:
            self._serving.discard(task)

    async def _serve(self, task: TaskId) -> None:
        found = await self._ledger.events(after_ns=0, until_ns=await self._ledger.watermark(), task=task)
        created = next(logged for logged in found if isinstance(logged.event, TaskCreated))
        tasklog = TaskLog(
            created,
            self._place_of(task),
            ledger=self._ledger,
            network=self._network,
            keys=self._keys,
            store=self._store,
            poll_s=self._poll_s,
        )
        directory = self._dir / f"audit-{task.hex()[:16]}"
        log.info("task %s: drawn", short(task))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tasklog.run)
            await tasklog.passed(await self._ledger.watermark())
            bench = Bench(tasklog, ledger=self._ledger, open_rechecker=lambda: self._open_rechecker(tasklog, directory))
            await bench.run()
            nursery.cancel_scope.cancel()
        # Nothing of other people's data stays here.
        await trio.to_thread.run_sync(lambda: shutil.rmtree(directory, ignore_errors=True))

    @asynccontextmanager
    async def _open_rechecker(self, tasklog: TaskLog, directory: Path) -> AsyncIterator[Rechecker]:
        manifest = tasklog.log.manifest
        if manifest is None:
            raise MarketError("the task has no manifest", code="SHOAL-T10")
        job = directory / "job"
        job.mkdir(parents=True, exist_ok=True)
        until_ns = tasklog.log.plan.end_by * SECOND_NS
        await get_document(tasklog, self._network, self._peer_id_of, manifest, job / "graph.json", until_ns=until_ns)
        async with self._sandboxes, self._open_engine(job) as engine:
            await engine.load(job / "graph.json", manifest.recipe)
            yield Rechecker(
                engine=engine,
                keys=self._keys,
                network=self._network,
                transfer=self._transfer,
                peer_id_of=self._peer_id_of,
                dir=directory / "sealed",
            )
