"""Holding a seat: one accepted trainer's work on one task, from its envelope to its pay.

Three loops run side by side. `work` trains and aggregates by the optimistic view. `verify` recomputes every
checkpoint of the log. `money` votes and claims by the log alone, and votes only for what `verify` has recomputed.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import trio

from shoal import seal
from shoal.core import calls, court, duties
from shoal.core.court import OpenUnit
from shoal.core.duties import GetReady, MakeCheckpoint, PostResult, TrainChunk
from shoal.core.ids import short
from shoal.core.money import Tinybar
from shoal.core.task import Checkpoint, Mark, Phase, State, Update, inputs_of
from shoal.errors import CryptoError, DataError, EngineError, ModelError, ShoalError
from shoal.ports import Engine, Ledger
from shoal.roles.closing import call
from shoal.roles.gate import Gate
from shoal.roles.objects import TaskObjects
from shoal.roles.tasklog import TaskLog

log = logging.getLogger("shoal.trainer")

TRAIN_TIMEOUT_S = 3600.0
AGGREGATE_TIMEOUT_S = 600.0
TRAIN_TRIES = 2
AWAY = "SHOAL-G10"
"""Why a chunk is handed over that this machine could train, but may not now."""
LEAVE_PATIENCE_S = 20.0
"""For the last update and the word that the seat is given back to be in the log."""
CHALLENGE_FEES = Tinybar(100_000_000)
"""What must be left of an account beside a bond: 1 HBAR for the fees of a challenge, and of what comes after it."""


class SeatHolder:
    """Does what the task's state asks of this trainer until it is paid or lost its seat.

    Args:
        tasklog: the running log of the task.
        engine: already holds the task's graph document and recipe.
        objects: the task's bytes: chunks, updates, checkpoints.
        gate: while it is closed nothing is trained: chunks are handed over. Votes and claims go on.
    """

    def __init__(
        self, tasklog: TaskLog, *, ledger: Ledger, engine: Engine, objects: TaskObjects, gate: Gate | None = None
    ) -> None:
        self._tasklog, self._ledger, self._engine, self._objects = tasklog, ledger, engine, objects
        self._gate = gate or Gate()
        self._training = trio.CancelScope()
        """Around the training of a chunk."""
        self._busy = False
        """Whether a chunk is being trained or delivered."""
        self._me = ledger.address
        self._made: dict[int, tuple[bytes, tuple[int, ...]]] = {}
        """Round -> weights and inputs of a checkpoint that this node posted itself."""
        self._right: dict[int, bool] = {}
        """Round -> whether the checkpoint of the log is what its updates give, once that is known."""
        self._failures: Counter[tuple[int, int]] = Counter()

    async def run(self) -> None:
        """Until nothing is owed to this trainer any more."""
        async with trio.open_nursery() as nursery:
            for loop in (self._work, self._verify, self._prefetch, self._open, self._cut_short):
                nursery.start_soon(self._forever, loop)
            await self._money()
            nursery.cancel_scope.cancel()

    async def _forever(self, step: Callable[[], Awaitable[bool]]) -> None:
        """Run a step whenever the task changes; an error costs a pause, never the seat's other duties."""
        pause = 0.5
        while True:
            change = self._tasklog.change
            try:
                if not await step():
                    await change.wait()
                pause = 0.5
            except ShoalError as error:
                log.warning("task %s: %s", short(self._tasklog.place.task), error)
                await trio.sleep(pause)
                pause = min(pause * 2, 10.0)
            except Exception:  # a fault of this program must not take the other duties of the seat with it
                log.exception("task %s: a duty failed", short(self._tasklog.place.task))
                await trio.sleep(10.0)

    # ------------------------------------------------------------ work

    async def _work(self) -> bool:
        """The most urgent duty of the view; True when there was one."""
        view = self._tasklog.view
        todo = duties.work(view, self._me)
        if not todo:
            return False
        if not self._gate.is_open and isinstance(todo[0], GetReady | TrainChunk):
            return await self._hand_over(view, [each for each in todo if isinstance(each, TrainChunk)])
        match todo[0]:
            case GetReady(envelope):
                if todo[0] not in duties.work(self._tasklog.log, self._me):
                    return False  # `ready` is money: what it answers has to be in the log
                await self._get_ready(envelope)
            case TrainChunk() as duty:
                self._busy = True
                try:
                    await self._train(view, duty)
                finally:
                    self._busy = False
            case MakeCheckpoint() as duty:
                await self._make_checkpoint(view, duty)
            case PostResult(mark):
                await self._post_result(view, mark)
        return True

    async def _get_ready(self, envelope: bytes) -> None:
        await self._objects.open_envelope(self._tasklog.view, envelope)
        await call(self._tasklog, self._ledger, calls.Ready(self._tasklog.place.task))

    async def _train(self, view: State, duty: TrainChunk) -> None:
        await self._ensure_open(view)
        base = await self._objects.checkpoint(view, duty.base)
        out = self._objects.own_update_name(duty.round, duty.chunk, duty.base.state)
        if not self._gate.is_open:
            return  # it has closed while the checkpoint was fetched
        try:
            with trio.CancelScope() as self._training:
                report = await self._objects.remembered(
                    out,
                    lambda: self._engine.train(
                        base=base,
                        chunk=self._objects.chunk(duty.chunk),
                        out=out,
                        seed=duties.unit_seed(view.place.task, duty.round, duty.chunk),
                        round=duty.round,
                        timeout_s=TRAIN_TIMEOUT_S,
                    ),
                )
        except (EngineError, ModelError, DataError) as error:
            await self._give_up(duty, error)
            return
        if self._training.cancelled_caught:
            return  # the gate has closed, and stayed so
        if not self._still_asked(duty.round, duty.base):
            return  # the view was rolled back, or went on without this update
        object_hash = await self._objects.deliver_update(view, duty.round, duty.chunk, out)
        body = {
            "round": duty.round,
            "chunk": duty.chunk,
            "base": duty.base.state,
            "object": object_hash,
            "state": bytes.fromhex(report["sha256"]),
            "loss": report["loss"],
            "metric": report["metric"],
            "seconds": report["seconds"],
            "chain": bytes.fromhex(report["chain"]),
        }
        await self._tasklog.post(self._me, "update", body)
        log.info(
            "task %s round %d chunk %d: loss %.4f in %.2f s",
            short(view.place.task),
            duty.round,
            duty.chunk,
            report["loss"],
            report["seconds"],
        )

    async def _cut_short(self) -> bool:
        """A gate that closes and stays closed ends the training of the present chunk."""
        await self._gate.closed()
        with trio.move_on_after(self._gate.grace_s):
            await self._gate.opened()
        if not self._gate.is_open:
            self._training.cancel()
            await self._gate.opened()
        return True

    async def _hand_over(self, view: State, chunks: Sequence[TrainChunk]) -> bool:
        """Say of chunks that they cannot be trained here now, so that their other holders need not wait."""
        for duty in chunks:
            if view.now_ns >= duties.hand_over_at(view, self._me, duty.chunk):
                body = {"round": duty.round, "chunk": duty.chunk, "base": duty.base.state, "reason": AWAY}
                await self._tasklog.post(self._me, "void", body)
                log.info("task %s round %d chunk %d: handed over", short(view.place.task), duty.round, duty.chunk)
                return True
        return False

    async def leave(self) -> None:
        """Give the seat back for good, where that leaves the task to somebody; after the present chunk.

        The gate must be closed. What was delivered is paid, and whoever runs this account later claims it.
        """
        with trio.move_on_after(self._gate.grace_s + LEAVE_PATIENCE_S):
            while self._busy:  # noqa: ASYNC110 - `_cut_short` bounds it
                await trio.sleep(0.05)
            if duties.may_leave(self._tasklog.view, self._me):
                await self._tasklog.post(self._me, "leave", {})
                log.info("task %s: the seat is given back", short(self._tasklog.place.task))
            await self._tasklog.wait_for(lambda t: not t.outbox)

    async def _give_up(self, duty: TrainChunk, error: ShoalError) -> None:
        """Say that a chunk cannot be trained, at once where a repetition would fail alike; else try again first.

        Only the code is told: a message could carry something of the data to a public topic.
        """
        self._failures[duty.round, duty.chunk] += 1
        certain = not isinstance(error, EngineError) or error.code == "SHOAL-E02"
        if not certain and self._failures[duty.round, duty.chunk] < TRAIN_TRIES:
            raise error
        log.warning("task %s round %d chunk %d: %s", short(self._tasklog.place.task), duty.round, duty.chunk, error)
        if self._still_asked(duty.round, duty.base):
            body = {"round": duty.round, "chunk": duty.chunk, "base": duty.base.state, "reason": error.code}
            await self._tasklog.post(self._me, "void", body)

    def _still_asked(self, round: int, base: Checkpoint) -> bool:
        view = self._tasklog.view
        return (view.round, view.base.state) == (round, base.state)

    async def _make_checkpoint(self, view: State, duty: MakeCheckpoint) -> None:
        await self._ensure_open(view)
        assert view.manifest is not None, "a running task has its manifest"
        patience = view.manifest.rules.aggregate_timeout_s / 2
        missing = await self._fetch_all(view, duty.updates, patience)
        report = await self._aggregate(view, duty.base, duty.updates, missing, duty.round)
        state = bytes.fromhex(report["sha256"])
        score = await self._score(self._objects.checkpoint_name(duty.round, state))
        object_hash = await self._objects.deliver_checkpoint(view, duty.round, state)
        if not self._still_asked(duty.round, duty.base):
            return
        rejected = [[int(chunk), str(reason)[:200]] for chunk, reason in sorted(report["rejected"].items())]
        body = {
            "round": duty.round,
            "state": state,
            "object": object_hash,
            "inputs": inputs_of(duty.updates),
            "included": list(report["included"]),
            "rejected": sorted([*rejected, *([chunk, "not in its slot"] for chunk in missing)]),
            "loss": score["loss"],
            "metric": score["metric"],
        }
        await self._tasklog.post(self._me, "checkpoint", body)
        self._made[duty.round] = (state, tuple(report["included"]))
        log.info("task %s round %d: checkpoint %s", short(view.place.task), duty.round, state.hex()[:12])

    async def _fetch_all(self, view: State, updates: tuple[Update, ...], timeout_s: float) -> list[int]:
        """Side by side, so that one author cannot use up the time of the others; the chunks whose update is missing."""
        missing: list[int] = []

        async def fetch(update: Update) -> None:
            if not await self._objects.fetch_update(view, update, timeout_s=timeout_s):
                missing.append(update.chunk)

        async with trio.open_nursery() as nursery:
            for update in updates:
                nursery.start_soon(fetch, update)
        return sorted(missing)

    async def _score(self, name: str) -> Mapping[str, Any]:
        try:
            return await self._engine.evaluate(
                state=name, chunk=self._objects.validation(), timeout_s=AGGREGATE_TIMEOUT_S
            )
        except EngineError as error:
            if error.code != "SHOAL-E02":
                raise
            return {"loss": None, "metric": None}

    async def _post_result(self, view: State, mark: Mark) -> None:
        await self._ensure_open(view)
        note = await self._objects.deliver_result(view, mark)
        await self._tasklog.post(
            self._me, "result", {"round": mark.round, "object": note.object, "envelope": note.envelope}
        )

    async def _ensure_open(self, view: State) -> None:
        """After a restart the bundle is opened again from the log."""
        if not self._objects.is_open:
            await self._objects.open_envelope(view, view.envelopes[self._me])

    async def _aggregate(
        self, view: State, base: Checkpoint, updates: tuple[Update, ...], missing: list[int], round: int
    ) -> dict[str, Any]:
        """Aggregate what is there, into a file named by its hash."""
        base_name = await self._objects.checkpoint(view, base)
        rows = [
            {"path": self._objects.update_name(update), "samples": update.samples, "chunk": update.chunk}
            for update in updates
            if update.chunk not in missing
        ]
        if not rows:
            raise EngineError(f"round {round}: none of the updates can be had", code="SHOAL-E03")
        out = f"aggregate-{round}.safetensors"
        report = dict(
            await self._engine.aggregate(
                base=base_name, updates=rows, out=out, max_norm=None, timeout_s=AGGREGATE_TIMEOUT_S
            )
        )
        self._objects.keep_checkpoint(out, round, bytes.fromhex(report["sha256"]))
        return report

    # ------------------------------------------------------------ audits

    async def _open(self) -> bool:
        """Open the next unit that an auditor or a jury asks for; True when one was opened."""
        log = self._tasklog.log
        for duty in court.openings(log, self._me):
            if not self._is_opened(duty):
                await self._ensure_open(log)
                content = await self._objects.opening(log, duty.unit)
                body: dict[str, object] = {
                    "round": duty.unit.round,
                    "chunk": duty.unit.chunk,
                    "dispute": duty.dispute,
                    "sealed": _sealed(content, [log.members[who].recipient for who in duty.to]),
                }
                body |= {} if duty.dispute else {"to": duty.to[0]}
                await self._tasklog.post(self._me, "open", body)
                return True
        return False

    def _is_opened(self, duty: OpenUnit) -> bool:
        """Whether it is on its way to the log already."""
        wanted = (duty.unit.round, duty.unit.chunk, duty.dispute, None if duty.dispute else duty.to[0])
        return any(
            entry.kind == "open" and tuple(entry.body.get(key) for key in ("round", "chunk", "dispute", "to")) == wanted
            for entry in self._tasklog.outbox
        )

    # ------------------------------------------------------------ verify

    async def _prefetch(self) -> bool:
        """Fetch updates of the present round while others still train; True when one was fetched."""
        view = self._tasklog.view
        if view.phase is not Phase.RUNNING or not self._objects.is_open:
            return False
        for update in view.updates.values():
            if not self._objects.has_update(update):
                return await self._objects.fetch_update(view, update, timeout_s=5.0)
        return False

    async def _verify(self) -> bool:
        """Recompute the next checkpoint of the log that nobody here has recomputed yet."""
        state = self._tasklog.log
        seat = state.seat_of(self._me)
        if seat is None or not seat.ready or state.phase not in (Phase.RUNNING, Phase.FINISHED):
            return False
        await self._ensure_open(state)
        for checkpoint in state.checkpoints[1:]:
            if checkpoint.round not in self._right:
                said = (checkpoint.state, checkpoint.included)
                # One of its own, made ahead of the log, may not be what the log took: then it is made again.
                own = self._made.get(checkpoint.round) == said
                self._right[checkpoint.round] = own or await self._recompute(state, checkpoint) == said
                if not self._right[checkpoint.round]:
                    log.error("task %s round %d: the checkpoint is WRONG", short(state.place.task), checkpoint.round)
                return True
        return False

    async def _recompute(self, state: State, checkpoint: Checkpoint) -> tuple[bytes, tuple[int, ...]]:
        base = state.checkpoints[checkpoint.round - 1]
        absent = [chunk for chunk, reason in checkpoint.rejected if reason == "not in its slot"]
        wanted = tuple(update for update in checkpoint.updates if update.chunk not in absent)
        for update in wanted:
            if not await self._objects.fetch_update(state, update, timeout_s=60.0):
                raise ShoalError(f"round {checkpoint.round}: the update of chunk {update.chunk} cannot be had")
        report = await self._aggregate(state, base, wanted, [], checkpoint.round)
        return bytes.fromhex(report["sha256"]), tuple(report["included"])

    def _verified_up_to(self, state: State, round: int) -> bool:
        return all(self._right.get(checkpoint.round, False) for checkpoint in state.checkpoints[1 : round + 1])

    # ------------------------------------------------------------ money

    async def _money(self) -> None:
        pause = 0.5
        while True:
            change, state = self._tasklog.change, self._tasklog.log
            if state.phase.over and self._me in state.claims:
                return
            try:
                if not await self._vote(state) and not await self._challenge(state):
                    for due in duties.payments(state, self._me):
                        await call(self._tasklog, self._ledger, due)
                pause = 0.5
            except ShoalError as error:
                log.warning("task %s: %s", short(state.place.task), error)
                await trio.sleep(pause)
                pause = min(pause * 2, 10.0)
            except Exception:
                log.exception("task %s: a payment failed", short(state.place.task))
                await trio.sleep(10.0)
            if self._tasklog.log is state:
                await change.wait()

    async def _challenge(self, state: State) -> bool:
        """Object to a result that does not follow from the log, where the account can pay the bond."""
        for challenge in court.challenges(state, self._me):
            bond = court.bond_of(state, challenge)
            if await self._ledger.balance() < bond + CHALLENGE_FEES:
                log.error("task %s: the result is WRONG, and there is no bond to challenge it", short(state.place.task))
                return False
            log.error("task %s: the result is WRONG, and is challenged", short(state.place.task))
            await call(self._tasklog, self._ledger, challenge, value=bond)
            return True
        return False

    async def _vote(self, state: State) -> bool:
        seat = state.seat_of(self._me)
        if seat is None or not seat.ready:
            return False  # who lost its seat has a vote still: the quorum counts all that accepted
        for mark in state.marks:
            if mark.round == 0 or not self._verified_up_to(state, mark.round):
                continue
            # The final mark too: else a client that lets no result be stored would owe nothing.
            if vote := duties.checkpoint_vote(state, self._me, mark):
                await call(self._tasklog, self._ledger, vote)
                return True
        if state.final and state.result and self._verified_up_to(state, state.final.round):
            ballot = duties.result_vote(state, self._me)
            if ballot and await self._objects.check_result(state, state.final, state.result):
                await call(self._tasklog, self._ledger, ballot)
                return True
        return False


def _sealed(content: bytes, recipients: Sequence[bytes]) -> bytes:
    """To all whose key is one: a juror that registered nonsense must not make an accused look silent."""
    usable = []
    for recipient in recipients:
        try:
            seal.seal(b"", [recipient])
            usable.append(recipient)
        except CryptoError as error:
            log.warning("a validator's key is of no use: %s", error)
    return seal.seal(content, usable) if usable else b"no usable key"
