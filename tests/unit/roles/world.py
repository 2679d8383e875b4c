"""One task on a fake ledger, brought to any stage at once by its puppets; then real services are put to work on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import trio

from shoal import seal
from shoal.core import calls, duties, fold
from shoal.core.assign import assign
from shoal.core.auction import Award, Bid
from shoal.core.calls import Plan
from shoal.core.codec import CodecError, digest
from shoal.core.entries import BidCommitment, Entry, LogEntry, Place, make_bid_commitment, make_entry, parse
from shoal.core.fold import Item
from shoal.core.ids import Address, Digest, TaskId, task_id
from shoal.core.manifest import AuditRules, Blob, ChunkInfo, Manifest, Rules
from shoal.core.merkle import AwardLeaf
from shoal.core.money import Tinybar
from shoal.core.task import Mark, State, inputs_of
from shoal.ports import Message
from shoal.roles import bundle as b
from shoal.roles.client import Client, Secrets
from shoal.roles.gate import Gate
from shoal.roles.objects import TaskObjects
from shoal.roles.seat import SeatHolder
from shoal.roles.shiplog import Shipping
from shoal.roles.tasklog import TaskLog, Witness
from shoal.roles.trainer import Offer, Trainer, opening
from shoal.roles.validator import Validator
from shoal.testing.follower import CONTRACT, NETWORK, identity
from shoal.testing.market import VALIDATOR_STAKE

from .fakes import (
    SECOND_NS,
    START_NS,
    Engines,
    FakeEngine,
    FakeKeys,
    FakeLedger,
    FakeNetwork,
    FakePeer,
    FakeStorage,
    LedgerPort,
    MemoryStore,
    averaged,
    trained,
)

TOPIC = 7
STAKE = Tinybar(1_000_000)
PRICE = Tinybar(9_000)
"""What the puppets' client awards."""
OFFER = Offer(1.0, 1_000, 8, int(STAKE), max_penalty_tinybar=50_000, covers_fees=False)
PREFIX = "tasks/x"
ROUND_TIMEOUT_S, AGGREGATE_TIMEOUT_S = 20, 10
OPEN_S, VERDICT_S = 20, 30


def peer_id_of(signing_key: bytes) -> str:
    return signing_key.hex()[:16]


@dataclass
class Seated:
    """A real seat at work, and what it works with."""

    me: Address
    tasklog: TaskLog
    objects: TaskObjects
    engine: FakeEngine
    port: LedgerPort
    peer: FakePeer
    holder: SeatHolder


class World:
    """A client and trainers who are all registered, and a task that has just been created.

    What a puppet does is there at once, as if it had been done long ago. Puppets and real services may share a task;
    a party is one or the other.
    """

    def __init__(
        self,
        dir: Path,
        *,
        trainers: int = 3,
        chunks: int = 3,
        rounds: int = 2,
        seed: int = 0,
        validators: int = 0,
        audits: int = 0,
        via: bytes = b"",
        **plan: Any,
    ) -> None:
        self.dir, self._via = dir, via
        self.ledger, self.network = FakeLedger(seed), FakeNetwork(seed)
        self.storage = FakeStorage(self.ledger.now_ns)
        self.names = ["client", *(f"trainer-{index}" for index in range(trainers))]
        bench = [f"validator-{index}" for index in range(validators)]
        self.keys = {name: FakeKeys(name) for name in [*self.names, *bench]}
        self.stores = {name: MemoryStore() for name in self.keys}
        self.client = self.keys["client"].address
        self.trainers = [self.keys[name].address for name in self.names[1:]]
        self.models: dict[bytes, bytes] = {}
        """Everything that was ever trained or averaged, by its hash."""
        (dir / "puppets").mkdir(parents=True)
        for name in self.names[1:]:
            keys = self.keys[name]
            self.ledger.run_call(keys.address, calls.Register(keys.signing_key, keys.recipient), STAKE)
        self.validators = [self.keys[name].address for name in bench]
        self.plan = _plan(trainers, chunks, rounds, (simulated_audits(audits) if audits else {}) | plan)
        self.secrets, self.manifest = self._prepare(chunks)
        self.task = task_id(self.client, self.manifest.hash)
        self.place = Place(NETWORK, CONTRACT, self.task)
        keys = self.keys["client"]
        create = calls.CreateTask(self.manifest.hash, TOPIC, keys.signing_key, keys.recipient, self.plan)
        self.ledger.run_call(self.client, create, self.plan.escrow())
        self.created = self.ledger.events[-1]
        self.award: Award | None = None
        self._state: State = fold.begin(self.place, self.created.event, self.created.time_ns)  # type: ignore[arg-type]
        self._read_to = self.created.time_ns

    # ------------------------------------------------------------ looking

    def state(self) -> State:
        """What follows from the ledger as it stands."""
        rows: list[tuple[int, int, Any]] = [
            (each.time_ns, each.index, each.event) for each in self.ledger.events if each.time_ns > self._read_to
        ]
        rows += [(message.time_ns, 0, entry) for message, entry in self._entries() if message.time_ns > self._read_to]
        for time_ns, _, what in sorted(rows, key=lambda row: row[:2]):
            self._state = fold.step(self._state, Item(time_ns, what))
            self._read_to = time_ns
        return fold.advance(self._state, max(self.ledger.now_ns(), self._read_to))

    def entries(self, kind: str, author: Address | None = None) -> list[Entry]:
        """The entries of a kind on the topic, each once however often it was sent."""
        found = {e.hash: e for _, e in self._entries() if e.kind == kind and author in (None, e.author)}
        return list(found.values())

    def bids(self, index: int) -> list[BidCommitment]:
        """Every sealed bid on the topic that says that it is this trainer's."""
        parsed = [_parsed(message.data) for message in self.ledger.log]
        return [bid for bid in parsed if isinstance(bid, BidCommitment) and bid.trainer == self.trainers[index]]

    def _entries(self) -> list[tuple[Message, Entry]]:
        rows = [(message, _parsed(message.data)) for message in self.ledger.log]
        return [(message, entry) for message, entry in rows if isinstance(entry, Entry)]

    def check_chains(self) -> None:
        """Nobody ever signed one number twice."""
        signed: dict[tuple[Address, int], bytes] = {}
        for _, entry in self._entries():
            assert signed.setdefault((entry.author, entry.sequence), entry.hash) == entry.hash

    async def until(self, condition: Callable[[State], object], timeout_s: float = 120.0) -> State:
        """Wait until the ledger says so."""
        with trio.fail_after(timeout_s):
            while not condition(state := self.state()):  # noqa: ASYNC110 - other tasks change it
                await trio.sleep(0.1)
        return state

    def seconds_to(self, time_s: int) -> float:
        """How long until a moment of consensus time."""
        return (time_s * SECOND_NS - self.ledger.now_ns()) / SECOND_NS

    async def sleep_to(self, time_s: float) -> None:
        await trio.sleep(max(0.0, (time_s * SECOND_NS - self.ledger.now_ns()) / SECOND_NS))

    def skip_to(self, time_s: float) -> None:
        self.ledger.skip(max(0.0, (time_s * SECOND_NS - self.ledger.now_ns()) / SECOND_NS))

    # ------------------------------------------------------------ puppets: from the manifest to the start

    def call(self, who: Address, call: calls.Call) -> None:
        self.ledger.run_call(who, call)

    def sign(self, who: Address, kind: str, body: dict[str, Any], *, by: str = "", **changes: Any) -> Entry:
        author = self.state().authors[who]
        given = {"author": who, "sequence": author.sequence, "previous": author.head, "kind": kind, "body": body}
        return make_entry(identity(by or self.name(who))[1], self.place, **(given | changes))

    def say(self, who: Address, kind: str, body: dict[str, Any]) -> Entry:
        entry = self.sign(who, kind, body)
        self.ledger.write(entry.data())
        return entry

    def name(self, who: Address) -> str:
        return next(name for name, keys in self.keys.items() if keys.address == who)

    def published(self) -> World:
        self.say(self.client, "manifest", {"manifest": self.manifest.to_bytes()})
        return self

    def bid(self, index: int, price: int = 5_000, *, by: str = "", **changes: Any) -> Bid:
        """A puppet's bid, sealed on the topic."""
        given = {"units": self.plan.chunks, "unit_s": 0.2, "expires": self.plan.start_until}
        bid = Bid(self.trainers[index], Tinybar(price), salt=bytes([index, len(by)]) * 16, **(given | changes))
        signer = identity(by or self.names[index + 1])[1]
        self.ledger.write(make_bid_commitment(signer, self.task, bid.trainer, bid.commitment(self.task)).data())
        return bid

    async def open_bid(self, bid: Bid, task: TaskId | None = None) -> bytes:
        """As its trainer does, over the network."""
        return await self.peer(self.name(bid.trainer)).request(
            self.peer("client").peer_id, "opening", opening(task or self.task, bid), timeout_s=5
        )

    def awarded(self, leaves: Sequence[AwardLeaf] | None = None, price: int = PRICE, *, told: bool = True) -> World:
        if self.state().manifest is None:
            self.published()
        self.skip_to(self.plan.bid_until + 2)
        each = leaves or [AwardLeaf(trainer, self.plan.chunks, 0) for trainer in self.trainers]
        self.award = Award(tuple(each), Tinybar(price))
        self.call(self.client, calls.Award(self.task, self.award.root(self.task), Tinybar(price), self.award.primaries))
        if told:
            self.tell_award()
        return self

    def tell_award(self) -> None:
        assert self.award is not None
        leaves = [[leaf.trainer, leaf.units, leaf.rank] for leaf in self.award.leaves]
        self.say(self.client, "award", {"leaves": leaves})

    def accepted(self, *who: int) -> World:
        if self.award is None:
            self.awarded()
        assert self.award is not None
        for index in who or range(len(self.trainers)):
            found = self.award.proof(self.task, self.trainers[index])
            assert found is not None
            leaf, proof = found
            self.call(self.trainers[index], calls.Accept(self.task, leaf.units, leaf.rank, proof))
        return self

    def assigned(self) -> World:
        if not self.state().seats:
            self.accepted()
        holders = [[each.primary, each.backup] for each in assign(self.state().seats, self.plan.chunks)]
        self.say(self.client, "assign", {"holders": holders})
        return self

    def enveloped(self, *who: int) -> World:
        if not self.state().holders:
            self.assigned()
        for index in who or range(len(self.trainers)):
            self.say(self.client, "envelope", self.envelope(index))
        return self

    def ready(self, *who: int) -> World:
        if not self.state().envelopes:
            self.enveloped()
        for index in who or range(len(self.trainers)):
            self.call(self.trainers[index], calls.Ready(self.task))
        return self

    def running(self, *ready: int) -> World:
        self.ready(*ready)
        self.call(self.client, calls.Start(self.task))
        return self

    def envelope(self, trainer: int, **changes: Any) -> dict[str, Any]:
        """The body of a trainer's envelope entry; changes are made to its bundle."""
        address = self.trainers[trainer]
        recipient = self.keys[self.name(address)].recipient
        seat = self.state().seat_index(address)
        assert seat is not None
        bundle = b.Bundle(**(self.bundle_fields(seat) | changes))
        pointer = self._put(f"bundle-{seat}", seal.seal(bundle.to_bytes(), [recipient]))
        return {"to": address, "sealed": seal.seal(pointer.to_bytes(), [recipient])}

    def bundle_fields(self, seat: int) -> dict[str, Any]:
        """What an honest client puts into a seat's bundle."""
        state = self.state()
        slots = {slot for index in range(len(state.seats)) for slot in b.slots_of(state, index)}
        plain, cipher = self.dir / "puppets" / "shared", self.dir / "puppets" / "shared.cipher"
        plain.write_bytes(b.encode_shared({slot: self.get(f"slot/{slot}") for slot in slots}))
        seal.encrypt_deterministic(self.secrets.secret, b.SHARED_LABEL, plain, cipher)
        held = [chunk for chunk, each in enumerate(state.holders) if seat in (each.primary, each.backup)]
        return {
            "secret": self.secrets.secret,
            "chunks": {chunk: (self.get(f"chunk-{chunk}"), self.secrets.chunk_keys[chunk]) for chunk in held},
            "validation": (self.get("validation"), self.secrets.validation_key),
            "initial": self.get("initial"),
            "put": {slot: self._url("PUT", f"slot/{slot}") for slot in b.slots_of(state, seat)},
            "shared": self._put(f"shared-{seat}", cipher.read_bytes()),
        }

    def get(self, name: str) -> str:
        return self._url("GET", name)

    def _url(self, method: str, name: str) -> str:
        if method == "GET":
            return self.storage.presign_get(f"{PREFIX}/{name}", expires_s=3600)
        return self.storage.presign_put(f"{PREFIX}/{name}", size_bytes=self.manifest.slot_bytes, expires_s=3600)

    def _put(self, name: str, data: bytes) -> b.Pointer:
        self.storage.objects[f"{PREFIX}/{name}"] = data
        return b.Pointer(self.get(name), digest(data), len(data))

    # ------------------------------------------------------------ puppets: rounds

    def train(self, *chunks: int, keep: bool = False, **changes: Any) -> list[Entry]:
        """The holders of these chunks, or of all that are waited for, deliver them.

        Args:
            keep: to return the entries and not to write them on the topic.
        """
        state, entries = self.state(), []
        for chunk in chunks or state.waiting_for():
            holder = state.holder(chunk)
            assert holder is not None
            body = self.update(chunk, holder.trainer) | changes
            entries.append(self.sign(holder.trainer, "update", body))
            if not keep:
                self.ledger.write(entries[-1].data())
        return entries

    def update(self, chunk: int, trainer: Address, *, noise: bytes = b"") -> dict[str, Any]:
        """The body of an update whose object lies in its slot and at its author."""
        state = self.state()
        seed = duties.unit_seed(self.task, state.round, chunk)
        plain = trained(self.models[state.base.state], chunk_bytes(chunk), seed, state.round) + noise
        name = b.update_slot(state.round, chunk, state.seat_index(trainer) or 0)
        return {
            "round": state.round,
            "chunk": chunk,
            "base": state.base.state,
            "object": self.deliver(trainer, name, b.update_label(state.round, chunk), plain),
            "state": digest(plain),
            "loss": 0.5,
            "metric": 0.5,
            "seconds": 0.5,
            "chain": digest(b"steps"),
        }

    def deliver(self, who: Address, slot: str, label: bytes, plain: bytes, *, into_slot: bool = True) -> Digest:
        """Make the object of a slot; it lies there, and its author serves it."""
        self.models[digest(plain)] = plain
        path = self.sealed(label, plain)
        data = path.read_bytes()
        if into_slot:
            self.storage.objects[f"{PREFIX}/slot/{slot}"] = data
        self.peer(self.name(who)).provide(digest(data), path)
        return digest(data)

    def sealed(self, label: bytes, plain: bytes) -> Path:
        """The one object that everybody makes of these bytes under this label."""
        folder = self.dir / "puppets"
        source, cipher, padded = folder / "plain", folder / "cipher", folder / "padded"
        source.write_bytes(plain)
        seal.encrypt_deterministic(self.secrets.secret, label, source, cipher)
        seal.pad_to(cipher, padded, self.manifest.slot_bytes)
        return padded.rename(folder / digest(padded.read_bytes()).hex())

    def checkpoint(self, **changes: Any) -> dict[str, Any]:
        """The body of the right checkpoint of this round, at its aggregator."""
        state = self.state()
        updates = tuple(state.updates[chunk] for chunk in sorted(state.updates))
        plain = averaged(self.models[state.base.state], [(u.chunk, u.samples, self.models[u.state]) for u in updates])
        slot = b.checkpoint_slot(state.round, state.seat_index(self.aggregator()) or 0)
        return {
            "round": state.round,
            "state": digest(plain),
            "object": self.deliver(self.aggregator(), slot, b.checkpoint_label(state.round), plain),
            "inputs": inputs_of(updates),
            "included": [update.chunk for update in updates],
            "rejected": [],
            "loss": 0.5,
            "metric": 0.5,
        } | changes

    def aggregator(self) -> Address:
        seat = self.state().aggregator()
        assert seat is not None
        return seat.trainer

    def round(self, **changes: Any) -> None:
        """A whole round of the puppets; changes are made to the checkpoint."""
        self.train()
        self.say(self.aggregator(), "checkpoint", self.checkpoint(**changes))

    def finished(self, *ready: int) -> World:
        if not self.state().quorum:
            self.running(*ready)
        while not self.state().final:
            self.round()
        return self

    def publish(self) -> dict[str, Any]:
        """The body of the result entry of whoever's turn it is."""
        state = self.state()
        mark, seat = state.final, state.seat_index(self.aggregator())
        assert mark is not None and seat is not None
        data = self.deliver(self.aggregator(), b.result_slot(seat), b.RESULT_LABEL, self.models[mark.checkpoint])
        return {"round": mark.round, "object": data, "envelope": b"for the ML user"}

    def confirm(self, mark: Mark, *who: int) -> None:
        """Votes of puppets for a checkpoint."""
        for index in who:
            state = self.state()
            vote = duties.checkpoint_vote(state, self.trainers[index], mark)
            assert vote is not None
            self.call(self.trainers[index], vote)

    def settled(self, *voters: int) -> World:
        """The result is confirmed, and the books are closed."""
        self.finished()
        self.say(self.aggregator(), "result", self.publish())
        author = self.state().result
        assert author is not None
        first = self.trainers.index(author.author)
        for index in (first, *(index for index in range(len(self.trainers)) if index != first)):
            ballot = duties.result_vote(self.state(), self.trainers[index])
            if ballot is not None:
                self.call(self.trainers[index], ballot)
        self.ledger.skip(self.plan.window + 1)
        self.call(self.client, calls.Settle(self.task))
        return self

    def claim(self, index: int) -> None:
        call = duties.claim_for(self.state(), self.trainers[index])
        assert call is not None
        self.call(self.trainers[index], call)

    # ------------------------------------------------------------ real services

    def peer(self, name: str) -> FakePeer:
        return self.network.peer(peer_id_of(self.keys[name].signing_key))

    def tasklog(self, name: str, port: LedgerPort, *, witness: Witness | None = None) -> TaskLog:
        return TaskLog(
            self.created,
            self.place,
            ledger=port,  # type: ignore[arg-type]
            network=self.peer(name),
            keys=self.keys[name],
            store=self.stores[name],
            poll_s=0.4,
            witness=witness,
        )

    def objects(self, name: str) -> TaskObjects:
        home = self.dir / name
        (home / "job").mkdir(parents=True, exist_ok=True)
        return TaskObjects(
            self.keys[name].address,
            job_dir=home / "job",
            sealed_dir=home / "sealed",
            keys=self.keys[name],
            network=self.peer(name),
            transfer=self.storage,
            peer_id_of=peer_id_of,
        )

    @asynccontextmanager
    async def seat(self, index: int, port: LedgerPort | None = None, gate: Gate | None = None) -> AsyncIterator[Seated]:
        """A real seat; it may run on, or have ended, when the test is done with it."""
        name = self.names[index + 1]
        port = port or self.ledger.port(self.trainers[index])
        tasklog, objects = self.tasklog(name, port), self.objects(name)
        engine = FakeEngine(self.dir / name / "job", self.models)
        holder = SeatHolder(tasklog, ledger=port, engine=engine, objects=objects, gate=gate)  # type: ignore[arg-type]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tasklog.run)
            await tasklog.wait_for(lambda t: t.log.now_ns > self.created.time_ns)
            nursery.start_soon(holder.run)
            yield Seated(self.trainers[index], tasklog, objects, engine, port, self.peer(name), holder)
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def trainer(
        self,
        index: int,
        *,
        offer: Offer = OFFER,
        engines: Engines | None = None,
        port: LedgerPort | None = None,
        shipping: Shipping | None = None,
        gate: Gate | None = None,
    ) -> AsyncIterator[Trainer]:
        """A real trainer, from its start to its end by `kill -9`."""
        name, engines = self.names[index + 1], engines or Engines()
        engines.models = self.models
        trainer = Trainer(
            ledger=port or self.ledger.port(self.trainers[index]),  # type: ignore[arg-type]
            network=self.peer(name),
            transfer=self.storage,
            keys=self.keys[name],
            store=self.stores[name],
            open_engine=engines,
            peer_id_of=peer_id_of,
            place_of=lambda task: Place(NETWORK, CONTRACT, task),
            dir=self.dir / name,
            offer=offer,
            poll_s=0.4,
            shipping=shipping,
            gate=gate,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trainer.run)
            yield trainer
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def validator(
        self, index: int, *, engines: Engines | None = None, port: LedgerPort | None = None
    ) -> AsyncIterator[Validator]:
        """A real validator that has joined the pool, until it is killed."""
        name, engines = f"validator-{index}", engines or Engines()
        engines.models = self.models
        validator = Validator(
            ledger=port or self.ledger.port(self.validators[index]),  # type: ignore[arg-type]
            network=self.peer(name),
            transfer=self.storage,
            keys=self.keys[name],
            store=self.stores[name],
            open_engine=engines,
            peer_id_of=peer_id_of,
            place_of=lambda task: Place(NETWORK, CONTRACT, task),
            dir=self.dir / name,
            max_stake=Tinybar(VALIDATOR_STAKE),
            poll_s=0.4,
        )
        await validator.join()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(validator.run)
            yield validator
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def run_client(
        self, what: Callable[[Client], Any] = Client.run, port: LedgerPort | None = None
    ) -> AsyncIterator[trio.Event]:
        """The real client, until it is killed; the event tells that it is done."""
        port = port or self.ledger.port(self.client)
        tasklog, done = self.tasklog("client", port), trio.Event()

        async def run() -> None:
            await tasklog.passed(await port.watermark())
            await what(self.make_client(tasklog, port))
            done.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tasklog.run)
            nursery.start_soon(run)
            yield done
            nursery.cancel_scope.cancel()

    def make_client(self, tasklog: TaskLog, port: LedgerPort) -> Client:
        return Client(
            tasklog,
            ledger=port,  # type: ignore[arg-type]
            network=self.peer("client"),
            blobs=self.storage,
            keys=self.keys["client"],
            store=self.stores["client"],
            manifest=self.manifest,
            secrets=self.secrets,
            document=self.dir / "puppets" / "document",
            dir=self.dir / "bundles",
        )

    # ------------------------------------------------------------

    def _prepare(self, chunks: int) -> tuple[Secrets, Manifest]:
        """As `client/prepare.py` does: every chunk under a key of its own, the initial weights under the secret."""
        folder = self.dir / "puppets"
        secret = digest(b"the secret of the task")
        keys, infos = [], []
        for name in [*(f"chunk-{index}" for index in range(chunks)), "validation"]:
            key, recipient = seal.new_identity()
            cipher = seal.seal(name.encode(), [recipient])
            self.storage.objects[f"{PREFIX}/{name}"] = cipher
            keys.append(key)
            infos.append(ChunkInfo(Blob(digest(cipher), len(cipher)), 100))
        initial = b"weights " + digest(b"initial")
        self.models[digest(initial)] = initial
        (folder / "initial").write_bytes(initial)
        _, cipher_hash, size = seal.encrypt_deterministic(
            secret, b.checkpoint_label(0), folder / "initial", folder / "initial.cipher"
        )
        self.storage.objects[f"{PREFIX}/initial"] = (folder / "initial.cipher").read_bytes()
        document = b"a graph document"
        (folder / "document").write_bytes(document)
        self.peer("client").provide(digest(document), folder / "document")
        manifest = Manifest(
            nonce=bytes(16),
            network=NETWORK,
            contract=CONTRACT,
            document=Blob(digest(document), len(document)),
            via=self._via,
            initial=digest(initial),
            initial_blob=Blob(Digest(cipher_hash), size),
            recipe={"loss": "none", "local_steps": 4},
            chunks=tuple(infos[:-1]),
            validation=infos[-1],
            slot_bytes=seal.slot_bytes(len(initial)),
            rules=Rules(ROUND_TIMEOUT_S, AGGREGATE_TIMEOUT_S, confirm_every=1),
            summary={"name": "a task of puppets"},
            audit=AuditRules(OPEN_S, VERDICT_S, 10_000) if self.plan.audits else None,
        )
        return Secrets(PREFIX, secret, tuple(keys[:-1]), keys[-1]), manifest


@lru_cache(maxsize=4_096)
def _parsed(data: bytes) -> Entry | BidCommitment | LogEntry | None:
    try:
        return parse(data)
    except CodecError:
        return None  # anyone may write on a topic


def chunk_bytes(chunk: int) -> bytes:
    return f"chunk-{chunk}".encode()


def simulated_audits(audits: int) -> dict[str, Any]:
    """Committees and juries of three."""
    return {
        "auditors": 3,
        "audit_price": Tinybar(40),
        "audits": audits,
        "bond": Tinybar(400),
        "slash": Tinybar(300_000),
        "finder_share": 5_000,
        "dispute_time": 60,
    }


def _plan(trainers: int, chunks: int, rounds: int, changes: dict[str, Any]) -> Plan:
    start_s = START_NS // SECOND_NS
    given = {
        "chunks": chunks,
        "rounds": rounds,
        "seats": trainers,
        "min_trainers": trainers // 2 + 1 if trainers > 1 else 1,
        "max_unit_price": Tinybar(10_000),
        "aggregate_price": Tinybar(77),
        "stake_per_seat": Tinybar(500_000),
        "compensation": Tinybar(11),
        "no_show_penalty": Tinybar(50_000),
        "bid_until": start_s + 15,
        "award_until": start_s + 60,
        "accept_until": start_s + 75,
        "standby_until": start_s + 85,
        "start_until": start_s + 145,
        "end_by": start_s + 600,
        "window": 5,
    }
    return Plan(**(given | changes))
