"""The client: publishes a task, awards it, hands out envelopes, starts it, and may then go away.

Everything it does follows from the log, so a client that was killed goes on where it was, as long as it is back
before the deadlines that the contract enforces.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from shoal import seal
from shoal.core import calls, duties
from shoal.core.assign import assign
from shoal.core.auction import Award, clear
from shoal.core.codec import decode, digest, encode
from shoal.core.ids import Address, short
from shoal.core.manifest import Manifest
from shoal.core.merkle import AwardLeaf
from shoal.core.money import Tinybar
from shoal.core.task import SECOND_NS, Phase, State
from shoal.errors import CryptoError, LedgerError, NetworkError, StorageError
from shoal.ports import Blobs, Keys, Ledger, Network, Store
from shoal.roles import bundle as b
from shoal.roles.closing import call, withdraw
from shoal.roles.opened import OpenedBids
from shoal.roles.tasklog import TaskLog
from shoal.roles.trainer import OPENING, market_topic

log = logging.getLogger("shoal.client")

OPENING_GRACE_S = 20
"""How long after the bidding deadline the client waits for bids that were sealed but not yet opened."""
URL_SLACK_S = 3_600


@dataclass(frozen=True, slots=True)
class Secrets:
    """What only the client knows of a task until it shares it: kept on disk, never on a topic in clear."""

    prefix: str
    """Where the task's objects lie in the bucket."""
    secret: bytes
    """32 bytes; updates, checkpoints and the result are encrypted under keys derived from it."""
    chunk_keys: tuple[str, ...]
    """An age identity per chunk."""
    validation_key: str

    def to_bytes(self) -> bytes:
        return encode([self.prefix, self.secret, list(self.chunk_keys), self.validation_key])

    @classmethod
    def from_bytes(cls, data: bytes) -> Secrets:
        prefix, secret, chunk_keys, validation_key = decode(data, max_bytes=len(data))
        return cls(prefix, secret, tuple(chunk_keys), validation_key)


class Client:
    """Drives one task from its creation to its settlement.

    Args:
        tasklog: running.
        document: the graph document, served to bidders.
        dir: scratch space for bundles.
    """

    def __init__(
        self,
        tasklog: TaskLog,
        *,
        ledger: Ledger,
        network: Network,
        blobs: Blobs,
        keys: Keys,
        store: Store,
        manifest: Manifest,
        secrets: Secrets,
        document: Path,
        dir: Path,
    ) -> None:
        self._tasklog, self._ledger, self._network, self._blobs = tasklog, ledger, network, blobs
        self._keys, self._store = keys, store
        self._manifest, self._secrets, self._dir = manifest, secrets, dir
        self._me = ledger.address
        self._opened = OpenedBids(tasklog, ledger)
        self._posted = {_name(entry.kind, entry.body) for entry in tasklog.outbox}
        network.serve(OPENING, self._take_opening)
        network.provide(manifest.document.sha256, document)
        dir.mkdir(parents=True, exist_ok=True)

    async def run(self) -> None:
        """Until the task is over and nothing is owed to the client any more."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._announce)
            await self._drive(self._is_closed)
            nursery.cancel_scope.cancel()
        await withdraw(self._ledger)

    def _is_closed(self, state: State) -> bool:
        """Whether all is paid: the client waits for the others' claims, and makes those that do not come."""
        if not state.phase.over or duties.payments(state, self._me):
            return False
        mark = duties.settled_mark(state) if state.phase is Phase.SETTLED else None
        if mark is None:
            return True
        audited = {leaf.validator for leaf in mark.audit_credits}
        return state.claims.keys() >= {seat.trainer for seat in state.seats} and state.audit_claims.keys() >= audited

    async def run_until_started(self) -> None:
        """Until the client may go offline, or the task is over."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._announce)
            await self._drive(lambda state: state.phase not in (Phase.OPEN, Phase.AWARDED))
            nursery.cancel_scope.cancel()

    async def _drive(self, done: Callable[[State], bool]) -> None:
        pause = 0.5
        while True:
            change, state = self._tasklog.change, self._tasklog.log
            if done(state):
                return
            try:
                acted = await self._step(state)
                pause = 0.5
            except (LedgerError, NetworkError, StorageError) as error:
                log.warning("task %s: %s", short(self._tasklog.place.task), error)
                await trio.sleep(pause)
                pause = min(pause * 2, 10.0)
                continue
            if not acted and self._tasklog.log is state:
                await change.wait()

    async def _step(self, state: State) -> bool:
        """The next thing that the log asks of the client; True when something was done."""
        for payment in duties.payments(state, self._me):
            await call(self._tasklog, self._ledger, payment)
            return True
        match state.phase:
            case Phase.OPEN:
                return await self._open(state)
            case Phase.AWARDED:
                return await self._assemble(state)
            case Phase.FINISHED:
                return await self._vote(state)
        return False

    # ------------------------------------------------------------ bidding

    async def _announce(self) -> None:
        """Tell the mesh; a trainer that misses it finds the task in the contract's events."""
        place = self._tasklog.place
        topic = market_topic(place.network, place.contract)
        while self._tasklog.log.phase is Phase.OPEN:
            await self._network.publish(topic, place.task)
            await trio.sleep(2.0)

    async def _take_opening(self, peer_id: str, payload: bytes) -> bytes:
        """A trainer opens its bid. Whether it was sealed in time is looked up in the log at the award."""
        await self._opened.take(payload)
        return b"seen"

    async def _open(self, state: State) -> bool:
        if _name("manifest", {}) not in self._posted and state.manifest is None:
            await self._post_once("manifest", {"manifest": self._manifest.to_bytes()})
            return True
        deadline = state.plan.bid_until * SECOND_NS
        if state.now_ns <= deadline:
            return False
        if not self._opened.all_are_open and state.now_ns <= deadline + OPENING_GRACE_S * SECOND_NS:
            return False
        award = await self._clear(state)
        if award is None:
            heard, shown = len(self._tasklog.bids), len(self._opened.bids)
            log.warning("sealed in time: %d bids, opened: %d; too few at this price", heard, shown)
            await call(self._tasklog, self._ledger, calls.Cancel(state.place.task))
            return True
        self._store.put("awards", state.place.task.hex(), _encode_award(award))
        root = award.root(state.place.task)
        await call(self._tasklog, self._ledger, calls.Award(state.place.task, root, award.unit_price, award.primaries))
        return True

    async def _clear(self, state: State) -> Award | None:
        """The auction over all bids that were sealed in time by registered trainers with enough stake."""
        remembered = self._store.get("awards", state.place.task.hex())
        if remembered is not None:
            return _decode_award(remembered)
        good = []
        for trainer, bid in list(self._opened.bids.items()):
            account = await self._ledger.account_state(trainer)
            if account.free_stake_tinybar < state.plan.stake_per_seat:
                log.warning("a bid without enough free stake is left out")
            else:
                good.append(bid)
        plan = state.plan
        return clear(
            good,
            task=state.place.task,
            chunks=plan.chunks,
            seats=plan.seats,
            min_trainers=plan.min_trainers,
            ceiling=plan.max_unit_price,
            now_s=state.now_ns // SECOND_NS,
        )

    # ------------------------------------------------------------ assembling

    async def _assemble(self, state: State) -> bool:
        plan, now_s = state.plan, state.now_ns // SECOND_NS
        if not state.award:
            remembered = self._store.get("awards", state.place.task.hex())
            if remembered is None or _name("award", {}) in self._posted:
                return False
            leaves = [[leaf.trainer, leaf.units, leaf.rank] for leaf in _decode_award(remembered).leaves]
            await self._post_once("award", {"leaves": leaves})
            return True
        if not state.holders:
            wanted = sum(leaf.rank == 0 for leaf in state.award)
            standbys = len(state.award) > wanted
            settled = now_s > (plan.standby_until if standbys else plan.accept_until)
            if (len(state.seats) >= wanted or settled) and len(state.seats) >= plan.min_trainers:
                holders = [[each.primary, each.backup] for each in assign(state.seats, plan.chunks)]
                await self._post_once("assign", {"holders": holders})
            return False
        if await self._send_envelopes(state):
            return True
        busy = {index for each in state.holders for index in (each.primary, each.backup)}
        expected = [seat for index, seat in enumerate(state.seats) if index in busy]
        ready = sum(seat.ready for seat in expected)
        late = now_s > (plan.standby_until + plan.start_until) // 2
        if ready == len(expected) or (late and ready >= plan.min_trainers):
            await call(self._tasklog, self._ledger, calls.Start(state.place.task))
            return True
        return False

    async def _send_envelopes(self, state: State) -> bool:
        todo = [
            index
            for index, seat in enumerate(state.seats)
            if seat.trainer not in state.envelopes and _name("envelope", {"to": seat.trainer}) not in self._posted
        ]
        if not todo:
            return False
        life_s = state.plan.end_by + state.plan.window + URL_SLACK_S - state.now_ns // SECOND_NS
        shared = await self._shared_bundle(state, life_s)
        for index in todo:
            seat = state.seats[index]
            own = self._own_bundle(state, index, shared, life_s)
            try:
                bundle = seal.seal(own.to_bytes(), [seat.recipient])
            except CryptoError as error:
                log.warning("trainer %s gets no envelope: %s", short(seat.trainer), error)
                self._posted.add(_name("envelope", {"to": seat.trainer}))
                continue
            pointer = await self._upload(bundle, life_s)
            sealed = seal.seal(pointer.to_bytes(), [seat.recipient])
            await self._post_once("envelope", {"to": seat.trainer, "sealed": sealed})
        return True

    async def _shared_bundle(self, state: State, life_s: int) -> b.Pointer:
        slots = {slot for index in range(len(state.seats)) for slot in b.slots_of(state, index)}
        get = {slot: self._blobs.presign_get(self._key(f"slot/{slot}"), expires_s=life_s) for slot in sorted(slots)}
        plain, cipher = self._dir / "shared.bin", self._dir / "shared.cipher"
        plain.write_bytes(b.encode_shared(get))
        await trio.to_thread.run_sync(seal.encrypt_deterministic, self._secrets.secret, b.SHARED_LABEL, plain, cipher)
        return await self._upload(cipher.read_bytes(), life_s)

    def _own_bundle(self, state: State, index: int, shared: b.Pointer, life_s: int) -> b.Bundle:
        def get(name: str) -> str:
            return self._blobs.presign_get(self._key(name), expires_s=life_s)

        slot_bytes = self._manifest.slot_bytes
        return b.Bundle(
            secret=self._secrets.secret,
            chunks={
                chunk: (get(f"chunk-{chunk}"), self._secrets.chunk_keys[chunk])
                for chunk, holders in enumerate(state.holders)
                if index in (holders.primary, holders.backup)
            },
            validation=(get("validation"), self._secrets.validation_key),
            initial=get("initial"),
            put={
                slot: self._blobs.presign_put(self._key(f"slot/{slot}"), size_bytes=slot_bytes, expires_s=life_s)
                for slot in b.slots_of(state, index)
            },
            shared=shared,
        )

    async def _upload(self, bundle: bytes, life_s: int) -> b.Pointer:
        """Named by its hash: a bundle made anew after a crash must not replace what an envelope points to already."""
        sha256 = digest(bundle)
        key, path = self._key(f"bundle-{sha256.hex()}"), self._dir / "bundle"
        path.write_bytes(bundle)
        await self._blobs.put(key, path)
        return b.Pointer(self._blobs.presign_get(key, expires_s=life_s), sha256, len(bundle))

    def _key(self, name: str) -> str:
        return f"{self._secrets.prefix}/{name}"

    # ------------------------------------------------------------ the end

    async def _vote(self, state: State) -> bool:
        """The client votes when the trainers that are left are fewer than the quorum."""
        if len(state.active()) >= state.quorum:
            return False
        ballot = duties.result_vote(state, self._me)
        if ballot is None:
            return False
        await call(self._tasklog, self._ledger, ballot)
        return True

    async def _post_once(self, kind: str, body: dict[str, object]) -> None:
        name = _name(kind, body)
        if name not in self._posted:
            self._posted.add(name)
            await self._tasklog.post(self._me, kind, body)


def _name(kind: str, body: Mapping[str, object]) -> tuple[str, object]:
    """What there is one of: an entry of each kind, and an envelope for each trainer."""
    return kind, body.get("to")


def _encode_award(award: Award) -> bytes:
    return encode([[[leaf.trainer, leaf.units, leaf.rank] for leaf in award.leaves], int(award.unit_price)])


def _decode_award(data: bytes) -> Award:
    leaves, price = decode(data, max_bytes=len(data))
    return Award(tuple(AwardLeaf(Address(who), units, rank) for who, units, rank in leaves), Tinybar(price))
