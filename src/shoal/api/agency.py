"""What a node does for a client that is a browser: serves its document, announces, takes opened bids, gives slots.

It holds none of the client's keys. What it does for a task goes on after a restart, until the task is over.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

import trio

from shoal.api.access import Caller
from shoal.api.documents import Documents
from shoal.api.following import Followed, Following
from shoal.api.market import Market
from shoal.api.storage_fees import StorageFees
from shoal.api.uploads import RESULT_S, Record, Shown, Uploads
from shoal.client.desk import Desk
from shoal.core import limits
from shoal.core.auction import Bid
from shoal.core.codec import CodecError
from shoal.core.entries import Entry, parse
from shoal.core.events import TaskCreated
from shoal.core.ids import Address, TaskId, short, task_id
from shoal.core.manifest import Manifest
from shoal.core.money import Tinybar
from shoal.core.task import SECOND_NS, Phase, State
from shoal.errors import MarketError, ShoalError, UsageError
from shoal.learn.recipe import Recipe
from shoal.ports import LoggedEvent
from shoal.roles import bundle as b
from shoal.roles.client import URL_SLACK_S
from shoal.roles.opened import OpenedBids
from shoal.roles.tasklog import gossip_topic
from shoal.roles.trainer import SLOT_SLACK_BYTES, market_topic, opening

log = logging.getLogger("shoal.api")

MANIFESTS, TASKS = "agency-manifests", "agency-tasks"
ANNOUNCE_S = 2.0
PAUSE_S = 5.0
MANIFESTS_PER_OWNER = 200


@dataclass(frozen=True, slots=True)
class Errand:
    """A task that this node serves for somebody."""

    task: str
    owner: str
    account: str
    document: str
    prefix: str
    """Where its slots lie in the bucket."""
    end_s: int
    over: bool = False

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Errand:
        return cls(**json.loads(data))


@dataclass(frozen=True, slots=True)
class Taken:
    """A manifest that this node could serve."""

    manifest: Manifest
    task: TaskId
    stored_bytes: int
    fee_tinybar: Tinybar
    credit_tinybar: Tinybar


@dataclass(frozen=True, slots=True)
class Slots:
    """The presigned URLs of one seat."""

    slot_bytes: int
    put: dict[str, str]
    get: dict[str, str]
    expires_s: int


class Agency:
    """Everything of clients without a node.

    Args:
        nursery: its tasks live there.
    """

    def __init__(
        self,
        desk: Desk,
        nursery: trio.Nursery,
        *,
        market: Market,
        following: Following,
        uploads: Uploads,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._desk, self._nursery, self._clock = desk, nursery, clock
        self._market, self._following, self._uploads = market, following, uploads
        self.documents = Documents(desk.settings.dir / "documents", self._needed)
        self.fees = StorageFees(desk)
        self._opened: dict[TaskId, OpenedBids] = {}
        self._served: set[str] = set()

    async def upload(self, caller: Caller, sha256: str, size_bytes: int) -> tuple[Shown, bool]:
        """As `Uploads.begin`; what is uploaded while a task is served is kept for it: a bundle that an envelope names.

        A trainer that was started anew opens its envelope again, so a bundle must last as long as the task.
        """
        shown, is_new = await self._uploads.begin(caller, sha256, size_bytes)
        ends = [each.end_s for each in self._errands() if each.owner == caller.name and not each.over]
        if ends:
            self._uploads.bind(caller.name, [shown.record], max(ends) + RESULT_S)
        return shown, is_new

    # ------------------------------------------------------------ before the task is created

    async def take(self, caller: Caller, client: Address, data: bytes) -> Taken:
        """Check a manifest, and that this node has what it names.

        Raises:
            UsageError: SHOAL-U93, it cannot be served, and why; U92, no such document; U87, too many.
            ModelError: SHOAL-M10, its recipe.
        """
        manifest = self._checked(data)
        held = await self.documents.get(manifest.document.sha256.hex())
        recipe = Recipe.from_dict(manifest.recipe)
        if held.size_bytes != manifest.document.size_bytes or manifest.slot_bytes != held.slot_bytes:
            raise _unfit("the sizes of the document or of the slots are not those of this model")
        if not 0 <= manifest.slot_bytes - manifest.initial_blob.size_bytes <= SLOT_SLACK_BYTES:
            raise _unfit("the initial weights do not have the size of this model's")
        await self._objects(caller, manifest)
        table = f"{MANIFESTS}/{caller.name}"
        task = task_id(client, manifest.hash)
        kept = self._desk.store.items(table)
        if len(kept) >= MANIFESTS_PER_OWNER and self._desk.store.get(table, task.hex()) is None:
            self._desk.store.delete(table, kept[0][0])
        self._desk.store.put(table, task.hex(), data)
        stored = stored_bytes(manifest, recipe.rounds)
        credit = await self.fees.credit(caller.account) if self._asks_fee(caller) else Tinybar(0)
        return Taken(manifest, task, stored, self._fee(caller, stored), credit)

    def manifest_of(self, caller: Caller, task: TaskId) -> Manifest:
        """What `take` took. Raises UsageError SHOAL-U97, nothing."""
        data = self._desk.store.get(f"{MANIFESTS}/{caller.name}", task.hex())
        if data is None:
            raise UsageError(
                "you have given this node no manifest of this task",
                code="SHOAL-U97",
                hint="POST /api/v1/manifests first, with the same bytes as on chain",
            )
        return Manifest.from_bytes(data)

    # ------------------------------------------------------------ the task

    async def announce(self, caller: Caller, created: LoggedEvent, task: TaskId) -> Errand:
        """Serve a task from now on; again and again harmless.

        Raises:
            UsageError: SHOAL-U08, another account's; U87, a quota; U96, the storage fee is not paid; U97, no manifest.
        """
        event = created.event
        assert isinstance(event, TaskCreated), "a task begins with this event"
        if not caller.is_operator and event.client != caller.address:
            raise _not_yours(task)
        found = self.errand(task)
        if found is not None:
            if found.owner != caller.name:
                raise _not_yours(task)
            self._serve(found)
            return found
        manifest = self.manifest_of(caller, task)
        objects = await self._objects(caller, manifest)
        self._check_room(caller)
        stored = stored_bytes(manifest, event.plan.rounds)
        if self._asks_fee(caller):
            await self.fees.spend(caller.account, task, self._fee(caller, stored))
        self._uploads.charge(caller, stored - sum(each.size_bytes for each in objects))
        end_s = event.plan.end_by + event.plan.window
        self._uploads.bind(caller.name, objects, end_s + RESULT_S)
        prefix = f"tasks/{secrets.token_hex(16)}"
        made = Errand(task.hex(), caller.name, caller.account, manifest.document.sha256.hex(), prefix, end_s)
        self._desk.store.put(TASKS, made.task, made.to_bytes())
        self._serve(made)
        return made

    def errand(self, task: TaskId) -> Errand | None:
        """What this node does for a task."""
        data = self._desk.store.get(TASKS, task.hex())
        return None if data is None else Errand.from_bytes(data)

    def owned(self, caller: Caller, task: TaskId) -> Errand:
        """A task that this node serves for this caller.

        Raises:
            UsageError: SHOAL-U97, it serves none of this id; U08, another account's.
        """
        found = self.errand(task)
        if found is None:
            raise UsageError(
                "this node does not serve this task",
                code="SHOAL-U97",
                hint="POST /api/v1/tasks/{task}/announce first",
            )
        if found.owner != caller.name:
            raise _not_yours(task)
        return found

    def opened(self, caller: Caller | None, task: TaskId) -> Sequence[Bid] | None:
        """Opened bids, for the task's owner; None for everybody else."""
        found = self.errand(task)
        if caller is None or found is None or found.owner != caller.name:
            return None
        opened = self._opened.get(task)
        return [] if opened is None else list(opened.bids.values())

    async def say(self, caller: Caller, followed: Followed, data: bytes) -> Entry:
        """Gossip an entry of the task's client, so that nobody waits for consensus.

        Raises:
            UsageError: SHOAL-U94, it is no entry of this task, or not rightly signed; U08, another's.
        """
        try:
            entry = parse(data)
        except CodecError as error:
            raise _no_entry(str(error)) from error
        if not isinstance(entry, Entry) or entry.place != self._desk.place(followed.task):
            raise _no_entry("it belongs to another task, contract or network")
        if not caller.is_operator and entry.author != caller.address:
            raise _not_yours(followed.task)
        author = followed.state.authors.get(entry.author)
        if author is None or not entry.signed_by(author.signing_key):
            raise _no_entry("its author takes no part in the task, or did not sign it")
        if len(data) <= limits.GOSSIP_BYTES:
            await self._desk.network.publish(gossip_topic(followed.task), data)
        return entry

    async def slots(self, caller: Caller, followed: Followed, seat: int) -> Slots:
        """The URLs that one seat writes to, and all may read from.

        Raises:
            UsageError: SHOAL-U98, no assignment yet; U97, not served here; U08, another's; U54, no such seat.
        """
        errand, state = self.owned(caller, followed.task), followed.state
        if not state.holders or state.manifest is None:
            raise UsageError(
                "the log does not say yet who holds which chunk", code="SHOAL-U98", hint="post `assign` first, and wait"
            )
        if seat >= len(state.seats):
            raise UsageError(f"the task has {len(state.seats)} seats", code="SHOAL-U54", hint="they count from 0")
        blobs, size = await self._uploads.storage(), state.manifest.slot_bytes
        now_s = state.now_ns // SECOND_NS
        life_s = max(state.plan.end_by + state.plan.window - now_s, 0) + URL_SLACK_S

        put, get = {}, {}
        for name in b.slots_of(state, seat):
            key = f"{errand.prefix}/slot/{name}"
            put[name] = blobs.presign_put(key, size_bytes=size, expires_s=life_s)
            get[name] = blobs.presign_get(key, expires_s=life_s)
            await trio.lowlevel.checkpoint()  # each takes a fraction of a millisecond, and there may be thousands
        return Slots(size, put, get, now_s + min(life_s, limits.TASK_LIFE_S))

    # ------------------------------------------------------------ in the background

    def resume(self) -> None:
        """Go on with every task that is not over."""
        for errand in self._errands():
            self._serve(errand)

    async def sweep(self) -> None:
        """Remove the slots of tasks that were over long ago."""
        for errand in self._errands():
            name = errand.task
            if errand.over and errand.end_s + RESULT_S < self._clock():
                await (await self._uploads.storage()).remove(f"{errand.prefix}/")
                self._desk.store.delete(TASKS, name)
                for bid, _ in self._desk.store.items(f"opened-bids/{name}"):
                    self._desk.store.delete(f"opened-bids/{name}", bid)

    def _serve(self, errand: Errand) -> None:
        if errand.task not in self._served and not errand.over:
            self._served.add(errand.task)
            self._nursery.start_soon(self._keep_serving, errand)

    async def _keep_serving(self, errand: Errand) -> None:
        try:
            while True:
                try:
                    if await self._serve_once(errand):
                        self._desk.store.put(TASKS, errand.task, replace(errand, over=True).to_bytes())
                        return
                except ShoalError as error:
                    log.warning("task %s is not served at present: %s", errand.task[:12], error)
                await trio.sleep(PAUSE_S)
        finally:
            self._served.discard(errand.task)

    async def _serve_once(self, errand: Errand) -> bool:
        """Until the task is over (True), or somebody else follows its log."""
        created, task = await self._market.find(errand.task)
        followed = await self._following.get(created, task, always=True)
        held = await self.documents.get(errand.document)
        self._desk.network.provide(bytes.fromhex(held.sha256), held.path)
        opened = await self._take_bids(followed)
        place = self._desk.place(task)
        try:
            while not followed.state.phase.over and not followed.ended.is_set():
                change = followed.tasklog.change
                if followed.state.phase is Phase.OPEN:
                    await self._desk.network.publish(market_topic(place.network, place.contract), task)
                    await trio.sleep(ANNOUNCE_S)
                else:
                    with trio.move_on_after(ANNOUNCE_S):
                        await change.wait()
        finally:
            if self._opened.get(task) is opened:
                self._following.openings.forget(task)
        return followed.state.phase.over

    async def _take_bids(self, followed: Followed) -> OpenedBids:
        """Those that were opened before a restart, and all to come: a trainer shows its bid once."""
        task, store = followed.task, self._desk.store
        opened = OpenedBids(followed.tasklog, self._desk.ledger)
        table = f"opened-bids/{task.hex()}"
        for _, payload in store.items(table):
            with suppress(MarketError):  # the log may have been folded anew
                await opened.take(payload)

        async def take(peer_id: str, payload: bytes) -> bytes:
            bid = await opened.take(payload)
            store.put(table, bid.trainer.hex(), opening(task, bid))
            return b"seen"

        self._opened[task] = opened
        self._following.openings.hand_to(task, take)
        log.info("task %s is served for its client", short(task))
        return opened

    # ------------------------------------------------------------

    def _checked(self, data: bytes) -> Manifest:
        try:
            manifest = Manifest.from_bytes(data)
        except CodecError as error:
            raise _unfit(str(error)) from error
        settings = self._desk.settings
        here = self._desk.place(TaskId(bytes(32)))
        if (manifest.network, manifest.contract) != (here.network, here.contract):
            raise _unfit(f"it is for {manifest.network} {manifest.contract}, not {here.network} {settings.contract_id}")
        if manifest.via != self._desk.keys.signing_key:
            raise _unfit("`via` is not this node's signing key, so trainers would ask another for the document")
        return manifest

    async def _objects(self, caller: Caller, manifest: Manifest) -> list[Record]:
        """Every object that the manifest names, all of them in storage and this caller's own."""
        named = [*(each.blob for each in manifest.chunks), manifest.validation.blob, manifest.initial_blob]
        found = [await self._uploads.held(caller.name, each.sha256, each.size_bytes) for each in named]
        missing = [each.sha256.hex()[:12] for each, record in zip(named, found, strict=True) if record is None]
        if missing:
            raise _unfit(f"not in storage yet: {', '.join(missing[:5])}" + (" and more" if len(missing) > 5 else ""))
        return [each for each in found if each is not None]

    def _check_room(self, caller: Caller) -> None:
        most = self._desk.settings.gateway_tasks
        running = sum(each.owner == caller.name and not each.over for each in self._errands())
        if not caller.is_operator and running >= most:
            raise UsageError(
                f"this gateway serves {most} tasks of a user at once",
                code="SHOAL-U87",
                hint="try again when one of yours is over",
                money="the escrow is untouched; cancel the task, and all of it comes back",
            )

    def _asks_fee(self, caller: Caller) -> bool:
        return not caller.is_operator and self._desk.settings.gateway and self._desk.settings.storage_fee > 0

    def _fee(self, caller: Caller, stored: int) -> Tinybar:
        return self.fees.fee(stored) if self._asks_fee(caller) else Tinybar(0)

    def _needed(self) -> set[str]:
        return {each.document for each in self._errands() if not each.over}

    def _errands(self) -> list[Errand]:
        return [Errand.from_bytes(data) for _, data in self._desk.store.items(TASKS)]


def stored_bytes(manifest: Manifest, rounds: int) -> int:
    """All that a task stores at most: what is uploaded, and a slot for every update, checkpoint and the result."""
    blobs = [*(each.blob for each in manifest.chunks), manifest.validation.blob, manifest.initial_blob]
    slots = (len(manifest.chunks) + 1) * rounds + 1
    return sum(each.size_bytes for each in blobs) + slots * manifest.slot_bytes


def client_chain(state: State) -> tuple[int, bytes]:
    """The next number of the client's own entries, and the hash of its last."""
    author = state.authors[state.client]
    return author.sequence, author.head


def _unfit(why: str) -> UsageError:
    return UsageError(
        f"this manifest cannot be served: {why}",
        code="SHOAL-U93",
        hint="docs/browser-client.md tells what stands in it",
        money="nothing was spent",
    )


def _no_entry(why: str) -> UsageError:
    return UsageError(
        f"this is no entry of the task: {why}", code="SHOAL-U94", hint="docs/browser-client.md tells how one is signed"
    )


def _not_yours(task: TaskId) -> UsageError:
    return UsageError(
        f"task {short(task)} belongs to another account",
        code="SHOAL-U08",
        hint="sign in with the account that created it",
    )
