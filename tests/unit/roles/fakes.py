"""A ledger, a network, a store and an engine in memory, for services that run on trio's mock clock.

The ledger runs the model of the contract, so a call has its real effects and events. The engine's weights are hashes
of what they were made from, which anyone can recompute. Delays and losses are seeded.
"""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trio
import trio.lowlevel

from shoal import seal
from shoal.core import calls
from shoal.core.codec import digest, encode
from shoal.core.events import TaskCreated
from shoal.core.fees import Rate
from shoal.core.ids import Address, TaskId
from shoal.core.money import Tinybar
from shoal.core.standing import TaskView
from shoal.errors import CallReverted, CryptoError, LedgerUnreachable, NetworkError, ShoalError, StorageError
from shoal.ports import (
    AccountState,
    LoggedEvent,
    Message,
    Movement,
    NetworkStatus,
    NodeSummary,
    Outcome,
    Peer,
    Received,
    Topic,
)
from shoal.seal.identity import identity_text, public_key
from shoal.testing import Market, Reverted
from shoal.testing.follower import identity
from shoal.testing.standing import standing

START_NS = 1_800_000_000 * 10**9
SECOND_NS = 10**9


# ---------------------------------------------------------------- ledger


class FakeLedger:
    """One topic and the contract's events in consensus order; every node has its own view of it through `port`."""

    def __init__(self, seed: int, *, lost: float = 0.0, unreachable: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.log: list[Message] = []
        self.events: list[LoggedEvent] = []
        self.lost, self.unreachable = lost, unreachable
        self.submitted = 0
        self.topic_is_unowned = True
        self.market = Market()
        self.calls: list[tuple[int, Address, calls.Call, str]] = []
        """Every call: consensus time (ns), sender, call, and why it reverted, if it did."""
        self._skipped_ns = 0

    def now_ns(self) -> int:
        return START_NS + self._skipped_ns + int(trio.current_time() * 10**9)

    def skip(self, seconds: float) -> None:
        """Let consensus time pass at once: what a test begins with took no time of its own."""
        self._skipped_ns += int(seconds * SECOND_NS)

    def created(self, event: TaskCreated) -> LoggedEvent:
        logged = LoggedEvent(self.now_ns(), 0, event, "tx")
        self.events.append(logged)
        return logged

    def happen(self, event: object) -> None:
        """An event of the contract takes place now."""
        self.events.append(LoggedEvent(self._next_ns(), 0, event, "tx"))  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        """A message has consensus now."""
        self.log.append(Message(self._next_ns(), len(self.log) + 1, "0.0.5", data))

    def run_call(self, sender: Address, call: calls.Call, value: int = 0) -> int:
        """The contract runs a call now; returns its consensus time."""
        time_ns = self._next_ns()
        try:
            happened = self.market.call(sender, call, value, now_s=time_ns // SECOND_NS)
        except Reverted as error:
            self.calls.append((time_ns, sender, call, error.reason))
            raise CallReverted(error.reason, reason=error.reason) from error
        self.calls.append((time_ns, sender, call, ""))
        self.events += [LoggedEvent(time_ns, index, event, "tx") for index, event in enumerate(happened)]
        self.market.check()
        return time_ns

    def calls_of(self, kind: type[Any], sender: Address | None = None) -> list[Any]:
        """The calls of one function, refused ones included."""
        return [c for _, who, c, _ in self.calls if isinstance(c, kind) and sender in (None, who)]

    def _next_ns(self) -> int:
        newest = max([m.time_ns for m in self.log[-1:]] + [e.time_ns for e in self.events[-1:]], default=0)
        return max(self.now_ns(), newest + 1)

    async def submit(self, topic: int, data: bytes) -> None:
        await trio.sleep(self.random.uniform(0.05, 3.0))
        if self.random.random() < self.unreachable:
            raise LedgerUnreachable("away")
        self.submitted += 1
        if self.random.random() >= self.lost:
            self.write(data)
        await trio.sleep(self.random.uniform(0.0, 0.5))

    async def watermark(self) -> int:
        await trio.sleep(self.random.uniform(0.0, 0.2))
        return self.now_ns() - 10**8

    async def messages(self, topic: int, *, after_ns: int, until_ns: int) -> Sequence[Message]:
        await trio.sleep(0.01)
        return _between(self.log, after_ns, until_ns)

    async def events_of(self, *, after_ns: int, until_ns: int) -> Sequence[LoggedEvent]:
        await trio.sleep(0.01)
        return _between(self.events, after_ns, until_ns)

    def port(self, address: Address) -> LedgerPort:
        return LedgerPort(self, address)


def _between(rows: Sequence[Any], after_ns: int, until_ns: int) -> list[Any]:
    return [row for row in rows if after_ns < row.time_ns <= until_ns]


class LedgerPort:
    """What one account sees and does."""

    account, contract = "0.0.5", "0.0.1001"

    def __init__(self, ledger: FakeLedger, address: Address) -> None:
        self._ledger, self.address = ledger, address
        self.submits = True
        """Whether a message of this account gets through."""
        self.answers_lost: set[type[Any]] = set()
        """Functions whose next call takes effect, and whose caller does not hear of it."""
        self.troubles: dict[type[Any], deque[Exception]] = {}
        """What the next calls of a function end with, before they have any effect."""

    async def submit(self, topic: int, data: bytes) -> None:
        if not self.submits:
            await trio.sleep(1.0)
            raise LedgerUnreachable("away")
        await self._ledger.submit(topic, data)

    async def call(self, call: calls.Call, *, value: int = 0) -> Outcome:
        await trio.sleep(self._ledger.random.uniform(0.05, 1.0))
        if self.troubles.get(type(call)):
            raise self.troubles[type(call)].popleft()
        time_ns = self._ledger.run_call(self.address, call, value)
        await trio.sleep(self._ledger.random.uniform(0.05, 0.5))
        if type(call) in self.answers_lost:
            self.answers_lost.remove(type(call))
            raise LedgerUnreachable("no answer in time")
        return Outcome("tx", time_ns, Tinybar(0))

    async def account_state(self, address: Address) -> AccountState:
        await trio.sleep(0.05)
        found = self._ledger.market.account(address)
        amounts = (Tinybar(found.stake), Tinybar(found.locked), Tinybar(found.balance))
        return AccountState(bool(found.signing_key), found.signing_key, found.recipient, *amounts)

    async def is_unowned(self, topic: int) -> bool:
        return self._ledger.topic_is_unowned

    async def balance(self, account: str | None = None) -> Tinybar:
        return Tinybar(10**12)

    async def validator_stake(self) -> Tinybar:
        return Tinybar(self._ledger.market.validator_stake)

    async def task(self, task: TaskId, trainers: Sequence[Address] = ()) -> TaskView:
        events = (each.event for each in self._ledger.events)
        created = next(each for each in events if isinstance(each, TaskCreated) and each.task_id == task)
        told = standing(self._ledger.market, task, topic=created.topic, manifest_hash=created.manifest_hash)
        return replace(told, closed=told.closed & frozenset(trainers))

    async def movements(self, *, after_ns: int, until_ns: int, account: str | None = None) -> Sequence[Movement]:
        return []

    async def rate(self) -> Rate:
        return Rate(cents=12, hbars=1)

    async def watermark(self) -> int:
        return await self._ledger.watermark()

    async def messages(self, topic: int, *, after_ns: int, until_ns: int) -> Sequence[Message]:
        return await self._ledger.messages(topic, after_ns=after_ns, until_ns=until_ns)

    async def events(self, *, after_ns: int, until_ns: int, task: object = None) -> Sequence[LoggedEvent]:
        found = await self._ledger.events_of(after_ns=after_ns, until_ns=until_ns)
        return [each for each in found if task is None or getattr(each.event, "task_id", None) == task]


# ---------------------------------------------------------------- peers


class FakeNetwork:
    """Gossip between the nodes of one test, and the peers that answer requests."""

    def __init__(self, seed: int, *, loss: float = 0.0) -> None:
        self.random, self.loss = random.Random(seed), loss
        self.inboxes: list[tuple[str, str, trio.MemorySendChannel[tuple[str, bytes]]]] = []
        self.peers: dict[str, FakePeer] = {}
        self.gossiped: list[bytes] = []
        self.peer_id = "self"

    async def publish(self, topic: str, data: bytes, author: str = "peer") -> None:
        self.gossiped.append(data)
        for _, wanted, inbox in self.inboxes:
            if wanted == topic and self.random.random() >= self.loss:
                inbox.send_nowait((author, data))
        await trio.lowlevel.checkpoint()

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[AsyncIterator[tuple[str, bytes]]]:
        send, receive = trio.open_memory_channel[tuple[str, bytes]](10_000)
        row = ("peer", topic, send)
        self.inboxes.append(row)
        try:
            yield receive
        finally:
            self.inboxes.remove(row)
            receive.close()
            send.close()

    def peer(self, peer_id: str) -> FakePeer:
        return self.peers.setdefault(peer_id, FakePeer(self, peer_id))


class FakePeer:
    """The `Network` port of one node."""

    def __init__(self, network: FakeNetwork, peer_id: str) -> None:
        self._network, self.peer_id = network, peer_id
        self.online = True
        self.roles: tuple[str, ...] = ()
        self.files: dict[bytes, Path] = {}
        self.lies: dict[bytes, bytes] = {}
        """By hash: other bytes than that."""
        self.handlers: dict[str, Callable[[str, bytes], Awaitable[bytes]]] = {}
        self.fetched: list[tuple[str, bytes]] = []
        """Whom this node asked for which object."""
        self.trouble: Exception | None = None
        """What every fetch of this node ends with."""

        self.joined: dict[str, list[Received]] = {}

    def addresses(self) -> list[str]:
        return []

    def status(self) -> NetworkStatus:
        return NetworkStatus("direct", len(self.peers()), (), (), 0)

    def mesh(self) -> Sequence[NodeSummary]:
        return [
            NodeSummary(each.peer_id, each.roles, (), tuple(each.joined), 0.5, "0.1.0", "direct", 1, None, 1.0, 2.0)
            for each in [self, *(other for other in self._network.peers.values() if other is not self)]
        ]

    async def ask_mesh(self, peer_id: str, *, timeout_s: float) -> Sequence[NodeSummary]:
        return self._other(peer_id).mesh()

    async def connect(self, address: str, *, timeout_s: float) -> str:
        return self._other(address.rpartition("/p2p/")[2]).peer_id

    async def join(self, topic: str) -> None:
        self.joined.setdefault(topic, [])

    async def leave(self, topic: str) -> None:
        self.joined.pop(topic, None)

    def read(self, topic: str, *, after: int = 0) -> Sequence[Received]:
        if topic not in self.joined:
            raise NetworkError("not joined", code="SHOAL-N14")
        return [each for each in self.joined[topic] if each.number > after]

    def topics(self) -> Sequence[Topic]:
        names = sorted({name for peer in self._network.peers.values() for name in peer.joined})
        return [Topic(name, name in self.joined, ()) for name in names]

    def peers(self) -> list[Peer]:
        others = [peer for peer in self._network.peers.values() if peer is not self and peer.online]
        return [Peer(peer.peer_id, (), peer.roles, True) for peer in others]

    async def publish(self, topic: str, data: bytes) -> None:
        for each in self._network.peers.values():
            if each is not self and topic in each.joined:
                kept = each.joined[topic]
                kept.append(Received(len(kept) + 1, 0.0, self.peer_id, data))
        await self._network.publish(topic, data, self.peer_id)

    def subscribe(self, topic: str) -> Any:
        return self._network.subscribe(topic)

    def serve(self, name: str, handler: Callable[[str, bytes], Awaitable[bytes]]) -> None:
        self.handlers[name] = handler

    def provide(self, sha256: bytes, path: Path) -> None:
        self.files[sha256] = path

    async def request(self, peer_id: str, name: str, payload: bytes, *, timeout_s: float) -> bytes:
        await trio.sleep(0.02)
        handler = self._other(peer_id).handlers.get(name)
        if handler is None:
            raise NetworkError("nobody answers this")
        try:
            with trio.fail_after(timeout_s):
                return await handler(self.peer_id, payload)
        except (ShoalError, trio.TooSlowError) as error:
            raise NetworkError(f"refused: {error}") from error

    async def fetch(self, peer_id: str, sha256: bytes, out: Path, *, max_bytes: int, timeout_s: float) -> None:
        self.fetched.append((peer_id, sha256))
        await trio.sleep(0.02)
        if self.trouble is not None:
            raise self.trouble
        other = self._other(peer_id)
        path = other.files.get(sha256)
        if sha256 in other.lies:
            data = other.lies[sha256]
        elif path is not None and path.exists():
            data = path.read_bytes()
        else:
            raise NetworkError("it does not have this")
        if len(data) > max_bytes:
            raise NetworkError("too large")
        if digest(data) != sha256:
            raise CryptoError("other bytes than promised")
        out.write_bytes(data)

    def _other(self, peer_id: str) -> FakePeer:
        found = self._network.peers.get(peer_id)
        if found is None or not found.online:
            raise NetworkError("unreachable")
        return found


# ---------------------------------------------------------------- keys and store


class FakeKeys:
    """Keys that follow from a name."""

    def __init__(self, name: str) -> None:
        self.address, self._key = identity(name)
        self.signing_key = self._key.public_key().public_bytes_raw()
        secret = digest(b"age key of " + name.encode())
        self._identity, self.recipient = identity_text(secret), public_key(secret)

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)

    def open(self, envelope: bytes) -> bytes:
        return seal.open_(envelope, self._identity)


class MemoryStore:
    """Survives a node's crash, like a disk."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], bytes] = {}

    def put(self, table: str, key: str, value: bytes) -> None:
        self.rows[table, key] = value

    def get(self, table: str, key: str) -> bytes | None:
        return self.rows.get((table, key))

    def items(self, table: str) -> Sequence[tuple[str, bytes]]:
        return [(key, value) for (name, key), value in sorted(self.rows.items()) if name == table]

    def delete(self, table: str, key: str) -> None:
        self.rows.pop((table, key), None)


# ---------------------------------------------------------------- storage


class FakeStorage:
    """A bucket: what its owner puts there, and what strangers put and get by URL.

    As with real presigned URLs, the same object has another URL every second; and a slot keeps the first object.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self.objects: dict[str, bytes] = {}
        self.under_way: dict[str, dict[int, bytes]] = {}
        """Parts of objects that are not whole, by key."""
        self.origins: tuple[str, ...] = ()
        self.refuses: Callable[[str, str], bool] = lambda method, key: False
        self.puts: list[str] = []
        self.gets: list[str] = []

    # for the owner

    async def ensure_bucket(self) -> None:
        await trio.lowlevel.checkpoint()

    async def put(self, key: str, path: Path) -> None:
        await trio.sleep(0.05)
        if self.refuses("PUT", key):
            raise StorageError(f"{key} is refused", code="SHOAL-S03")
        self.objects[key] = path.read_bytes()

    async def delete(self, key: str) -> None:
        await trio.sleep(0.05)
        self.objects.pop(key, None)

    def presign_get(self, key: str, *, expires_s: int) -> str:
        return self._url("GET", key, expires_s, 0)

    def presign_put(self, key: str, *, size_bytes: int, expires_s: int, again: bool = False) -> str:
        return self._url("PUT", key, expires_s, size_bytes)

    async def size_of(self, key: str) -> int | None:
        await trio.lowlevel.checkpoint()
        return len(self.objects[key]) if key in self.objects else None

    async def remove(self, prefix: str) -> None:
        await trio.lowlevel.checkpoint()
        for key in [key for key in self.objects if key.startswith(prefix)]:
            del self.objects[key]

    async def allow_origins(self, origins: Sequence[str]) -> None:
        await trio.lowlevel.checkpoint()
        self.origins = tuple(origins)

    async def begin_parts(self, key: str) -> str:
        await trio.lowlevel.checkpoint()
        self.under_way[key] = {}
        return f"parts-of-{key}"

    def presign_part(self, key: str, parts_id: str, number: int, *, size_bytes: int, expires_s: int) -> str:
        return self._url(f"PART{number}", key, expires_s, size_bytes)

    async def parts(self, key: str, parts_id: str) -> Mapping[int, int]:
        await trio.lowlevel.checkpoint()
        return {number: len(data) for number, data in self.under_way.get(key, {}).items()}

    async def join_parts(self, key: str, parts_id: str) -> None:
        await trio.lowlevel.checkpoint()
        self.objects[key] = b"".join(data for _, data in sorted(self.under_way.pop(key).items()))

    async def drop_parts(self, key: str, parts_id: str) -> None:
        await trio.lowlevel.checkpoint()
        self.under_way.pop(key, None)

    def _url(self, method: str, key: str, expires_s: int, size: int) -> str:
        until_s = self._now_ns() // SECOND_NS + expires_s
        return f"https://store/{key}?method={method}&until={until_s}&size={size}"

    # for whoever has a URL

    async def download(self, url: str, out: Path, *, sha256: bytes | None, max_bytes: int, timeout_s: float) -> None:
        key = self._key(url, "GET")
        self.gets.append(key)
        await trio.sleep(0.05)
        if key not in self.objects or self.refuses("GET", key):
            raise StorageError(f"{key} is not there", code="SHOAL-S05")
        data = self.objects[key]
        if len(data) > max_bytes:
            raise StorageError(f"{key} is too large", code="SHOAL-S06")
        if sha256 is not None and digest(data) != sha256:
            raise CryptoError(f"{key} has other bytes than promised", code="SHOAL-K02")
        out.write_bytes(data)

    async def upload(self, url: str, path: Path, *, timeout_s: float) -> None:
        key = self._key(url, "PUT")
        await trio.sleep(0.05)
        size = parse_qs(urlsplit(url).query)["size"]
        if self.refuses("PUT", key) or size != [str(path.stat().st_size)]:
            raise StorageError(f"{key} is refused", code="SHOAL-S03")
        self.puts.append(key)
        self.objects.setdefault(key, path.read_bytes())

    def _key(self, url: str, method: str) -> str:
        parts = urlsplit(url)
        if (parts.netloc, parse_qs(parts.query).get("method")) != ("store", [method]):
            raise StorageError("not a usable URL", code="SHOAL-S08")
        return parts.path.removeprefix("/")


# ---------------------------------------------------------------- engine


def trained(base: bytes, chunk: bytes, seed: int, round: int) -> bytes:
    """The 'weights' of a work unit."""
    return b"update  " + digest(encode([base, chunk, seed, round]))


def averaged(base: bytes, updates: Iterable[tuple[int, int, bytes]]) -> bytes:
    """The next 'weights', from (chunk, samples, update)."""
    return b"weights " + digest(encode([base, [list(update) for update in updates]]))


class FakeEngine:
    """The `Engine` port over files of its job directory; one job at a time, like the real one."""

    def __init__(self, job_dir: Path, models: dict[bytes, bytes] | None = None) -> None:
        self.job_dir = job_dir
        self._models = {} if models is None else models
        """Where all that was ever made is found by its hash."""
        self.jobs: list[tuple[str, dict[str, Any]]] = []
        self.faults: dict[str, deque[Exception]] = {}
        """What the next jobs of a name end with."""
        self.always: dict[str, Exception] = {}
        """What every job of a name ends with."""
        self.spoils = False
        """Whether an aggregate comes out wrong."""
        self.takes_s = {"train": 0.5, "aggregate": 0.2, "evaluate": 0.1}
        self.step_s = 0.05
        self._lock = trio.Lock()

    async def load(self, document: Path, recipe: Mapping[str, Any]) -> None:
        await self._do("load", {"document": document.read_bytes(), "recipe": recipe})

    async def preflight(self, *, timeout_s: float) -> Mapping[str, Any]:
        await self._do("preflight", {})
        return {"step_s": self.step_s, "peak_bytes": 1, "parameters": 1}

    async def train(
        self, *, base: str, chunk: str, out: str, seed: int, round: int, timeout_s: float
    ) -> Mapping[str, Any]:
        await self._do("train", {"base": base, "chunk": chunk, "seed": seed, "round": round})
        data = trained(self._read(base), self._read(chunk), seed, round)
        chain = hashlib.sha256(data).hexdigest()
        return {"sha256": self._write(out, data), "loss": 0.5, "metric": 0.5, "seconds": 0.5, "chain": chain}

    async def aggregate(
        self, *, base: str, updates: Sequence[Mapping[str, Any]], out: str, max_norm: float | None, timeout_s: float
    ) -> Mapping[str, Any]:
        await self._do("aggregate", {"base": base, "updates": updates})
        rows = [(row["chunk"], row["samples"], self._read(row["path"])) for row in updates]
        data = averaged(self._read(base), rows) + b"spoilt" * self.spoils
        return {"sha256": self._write(out, data), "included": [row[0] for row in rows], "rejected": {}}

    async def evaluate(self, *, state: str, chunk: str, timeout_s: float) -> Mapping[str, Any]:
        await self._do("evaluate", {"state": state, "chunk": chunk})
        self._read(state), self._read(chunk)
        return {"loss": 0.5, "metric": 0.5, "samples": 10}

    async def compare(self, *, mine: str, theirs: str, timeout_s: float) -> Mapping[str, Any]:
        """Those that differ only by noise at the end are near each other."""
        await self._do("compare", {"mine": mine, "theirs": theirs})
        ours, other = self._read(mine), self._read(theirs)
        return {"distance": 0.0 if ours == other else 0.001 if other.startswith(ours) else 1.0}

    def count(self, job: str, **arguments: object) -> int:
        """How often a job was asked for with these arguments."""
        return sum(name == job and arguments.items() <= given.items() for name, given in self.jobs)

    async def _do(self, job: str, arguments: dict[str, Any]) -> None:
        self.jobs.append((job, arguments))
        async with self._lock:
            await trio.sleep(self.takes_s.get(job, 0.05))
            if self.faults.get(job):
                raise self.faults[job].popleft()
            if job in self.always:
                raise self.always[job]

    def _read(self, name: str) -> bytes:
        return (self.job_dir / name).read_bytes()

    def _write(self, name: str, data: bytes) -> str:
        (self.job_dir / name).write_bytes(data)
        self._models[digest(data)] = data
        return hashlib.sha256(data).hexdigest()


class Engines:
    """How a trainer opens its engine: on a machine that may be unable to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.step_s = 0.05
        self.models: dict[bytes, bytes] = {}
        self.opened: list[FakeEngine] = []
        self.open = 0

    @asynccontextmanager
    async def __call__(self, job_dir: Path) -> AsyncIterator[FakeEngine]:
        if self.error is not None:
            raise self.error
        engine = FakeEngine(job_dir, self.models)
        engine.step_s = self.step_s
        self.opened.append(engine)
        self.open += 1
        try:
            yield engine
        finally:
            self.open -= 1
