"""Uploads of ciphertext straight to storage: each resumable, by presigned URLs, within its owner's quotas.

An upload is named by its content, so whoever begins it again after a reload finds what has arrived already.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import trio

from shoal.api.access import Caller
from shoal.client.desk import Desk
from shoal.core import limits
from shoal.errors import UsageError
from shoal.ports import Blobs

PART_BYTES = 16 * limits.MIB
"""Larger objects come in parts of this size: what a broken connection costs at most."""
PUT_S = 3_600
GET_S = limits.TASK_LIFE_S
DAY_S = 86_400
RESULT_S = 7 * DAY_S
"""After a task's end its objects are kept for so long, for its result to be fetched."""
_OWNERS, _USAGE = "upload-owners", "upload-usage"


@dataclass(frozen=True, slots=True)
class Quota:
    """What one user of a gateway may store."""

    bytes_per_day: int
    bytes_kept: int
    objects: int
    upload_life_s: int


@dataclass(frozen=True, slots=True)
class Record:
    """One object of one owner."""

    id: str
    sha256: str
    size_bytes: int
    key: str
    """Where it lies in the bucket."""
    parts_id: str
    """Empty where it comes in one piece."""
    made_s: float
    keep_until_s: float
    is_complete: bool = False

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Record:
        return cls(**json.loads(data))

    def pieces(self) -> list[tuple[int, int, int]]:
        """(number, offset, bytes) of each part; empty where it comes in one piece."""
        if not self.parts_id:
            return []
        offsets = range(0, self.size_bytes, PART_BYTES)
        return [(n, at, min(PART_BYTES, self.size_bytes - at)) for n, at in enumerate(offsets, 1)]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part as its owner sees it."""

    number: int
    offset: int
    size_bytes: int
    done: bool
    put_url: str


@dataclass(frozen=True, slots=True)
class Shown:
    """An upload with its URLs, which are secrets for as long as they live."""

    record: Record
    put_url: str
    pieces: Sequence[Piece]
    get_url: str
    urls_expire_s: float


class Uploads:
    """Everybody's uploads on this node.

    Args:
        origins: of pages that may send to the store directly.
        quota: None for a node that serves its operator alone.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        origins: Sequence[str],
        quota: Quota | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._desk, self._origins, self._clock = desk, tuple(origins), clock
        self.quota = quota
        self._prepared = False
        self._lock = trio.Lock()

    # ------------------------------------------------------------ for owners

    async def begin(self, caller: Caller, sha256: str, size_bytes: int) -> tuple[Shown, bool]:
        """An upload of these bytes, and whether it is new.

        Raises:
            UsageError: SHOAL-U87, a quota is used up.
            ConfigError, StorageError: there is no storage, or it refuses.
        """
        name = hashlib.sha256(f"{sha256}/{size_bytes}".encode()).hexdigest()[:32]
        found = self._find(caller, name)
        if found is not None:
            return await self._show(found), False
        async with self._lock:  # quotas are counted before they are used up
            found = self._find(caller, name)
            if found is not None:
                return await self._show(found), False
            blobs = await self.storage()
            self.charge(caller, size_bytes, objects=1)
            key = f"uploads/{secrets.token_hex(16)}"
            parts_id = await blobs.begin_parts(key) if size_bytes > PART_BYTES else ""
            now_s = self._clock()
            life_s = self.quota.upload_life_s if self.quota else self._desk.settings.gateway_upload_hours * 3_600
            record = Record(name, sha256, size_bytes, key, parts_id, now_s, now_s + life_s)
            self._keep(caller.name, record)
        return await self._show(record), True

    async def get(self, caller: Caller, name: str) -> Shown:
        """How far an upload is, asked of storage, with fresh URLs. Raises UsageError SHOAL-U88, there is none."""
        return await self._show(await self._looked_at(caller.name, self._need(caller, name)))

    async def complete(self, caller: Caller, name: str) -> Shown:
        """Put the parts together, or see that the one piece is there.

        Raises:
            UsageError: SHOAL-U88, there is no such upload; U89, not all of it has arrived.
        """
        record = self._need(caller, name)
        blobs = await self.storage()
        if not record.is_complete and record.parts_id:
            arrived = await blobs.parts(record.key, record.parts_id)
            if all(arrived.get(number) == size for number, _, size in record.pieces()):
                await blobs.join_parts(record.key, record.parts_id)
        record = await self._looked_at(caller.name, record)
        if not record.is_complete:
            raise UsageError(
                f"upload {name} has not arrived in full",
                code="SHOAL-U89",
                hint="GET it: send what is not done, then complete it again",
            )
        return await self._show(record)

    def all(self, caller: Caller) -> Sequence[Record]:
        """This caller's uploads, the oldest first."""
        return sorted(self._of(caller.name), key=lambda each: each.made_s)

    async def forget(self, caller: Caller, name: str) -> None:
        """Remove an upload. Raises UsageError SHOAL-U88, there is none; U90, a task needs it."""
        record = self._need(caller, name)
        if self._is_bound(record):
            raise UsageError(
                f"upload {name} belongs to a task", code="SHOAL-U90", hint="it is removed when the task is over"
            )
        await self._remove(caller.name, record)

    # ------------------------------------------------------------ for the node

    async def storage(self) -> Blobs:
        """The bucket, made ready for pages.

        Raises:
            ConfigError, StorageError: there is none, or it refuses.
        """
        blobs = self._desk.blobs()
        if not self._prepared:
            await blobs.ensure_bucket()
            await blobs.allow_origins(self._origins)
            self._prepared = True
        return blobs

    async def held(self, owner: str, sha256: bytes, size_bytes: int) -> Record | None:
        """An owner's object of this hash and size, if all of it has arrived."""
        for record in self._of(owner):
            if record.sha256 == sha256.hex() and record.size_bytes == size_bytes:
                record = await self._looked_at(owner, record)
                return record if record.is_complete else None
        return None

    def bind(self, owner: str, records: Sequence[Record], until_s: float) -> None:
        """A task needs these until then."""
        for record in records:
            self._keep(owner, replace(record, keep_until_s=max(record.keep_until_s, until_s)))

    def charge(self, caller: Caller, size_bytes: int, *, objects: int = 0) -> None:
        """Count bytes that a user stores today.

        Raises:
            UsageError: SHOAL-U87, that would be more than its quota.
        """
        quota = self.quota
        if quota is None or caller.is_operator:
            return
        day = f"{caller.name}/{int(self._clock()) // DAY_S}"
        used = int.from_bytes(self._desk.store.get(_USAGE, day) or b"", "big")
        mine = self._of(caller.name)
        kept = sum(each.size_bytes for each in mine)
        for what, much, most in (
            ("bytes in a day", used + size_bytes, quota.bytes_per_day),
            ("bytes kept", kept + size_bytes if objects else 0, quota.bytes_kept),
            ("objects", len(mine) + objects, quota.objects),
        ):
            if much > most:
                raise UsageError(
                    f"this would be {much} {what}; this gateway keeps {most} for a user",
                    code="SHOAL-U87",
                    hint="remove uploads that you do not need, wait a day, or use a node of your own",
                    money="nothing was spent",
                )
        self._desk.store.put(_USAGE, day, (used + size_bytes).to_bytes(8, "big"))

    async def sweep(self) -> None:
        """Remove what nobody needs any more."""
        now_s = self._clock()
        for owner, _ in self._desk.store.items(_OWNERS):
            for record in self._of(owner):
                if record.keep_until_s < now_s:
                    await self._remove(owner, record)
            if not self._of(owner):
                self._desk.store.delete(_OWNERS, owner)
        for name, _ in self._desk.store.items(_USAGE):
            if int(name.rpartition("/")[2]) < int(now_s) // DAY_S - 1:
                self._desk.store.delete(_USAGE, name)

    # ------------------------------------------------------------

    def _of(self, owner: str) -> list[Record]:
        return [Record.from_bytes(data) for _, data in self._desk.store.items(f"uploads/{owner}")]

    def _find(self, caller: Caller, name: str) -> Record | None:
        data = self._desk.store.get(f"uploads/{caller.name}", name)
        return None if data is None else Record.from_bytes(data)

    def _need(self, caller: Caller, name: str) -> Record:
        found = self._find(caller, name)
        if found is None:
            raise UsageError(
                "you have no such upload here", code="SHOAL-U88", hint="GET /api/v1/chunks lists them; begin it again"
            )
        return found

    def _keep(self, owner: str, record: Record) -> None:
        self._desk.store.put(_OWNERS, owner, b"")
        self._desk.store.put(f"uploads/{owner}", record.id, record.to_bytes())

    def _is_bound(self, record: Record) -> bool:
        life_s = self.quota.upload_life_s if self.quota else self._desk.settings.gateway_upload_hours * 3_600
        return record.keep_until_s > max(record.made_s + life_s, self._clock())

    async def _looked_at(self, owner: str, record: Record) -> Record:
        if record.is_complete:
            return record
        size = await (await self.storage()).size_of(record.key)
        if size == record.size_bytes:
            record = replace(record, is_complete=True)
            self._keep(owner, record)
        return record

    async def _remove(self, owner: str, record: Record) -> None:
        blobs = await self.storage()
        if record.parts_id and not record.is_complete:
            await blobs.drop_parts(record.key, record.parts_id)
        await blobs.remove(record.key)
        self._desk.store.delete(f"uploads/{owner}", record.id)

    async def _show(self, record: Record) -> Shown:
        blobs, put_url, pieces = await self.storage(), "", list[Piece]()
        if not record.is_complete and record.parts_id:
            arrived = await blobs.parts(record.key, record.parts_id)
            for number, offset, size in record.pieces():
                done = arrived.get(number) == size
                url = "" if done else blobs.presign_part(
                    record.key, record.parts_id, number, size_bytes=size, expires_s=PUT_S
                )  # fmt: skip
                pieces.append(Piece(number, offset, size, done, url))
        elif not record.is_complete:
            put_url = blobs.presign_put(record.key, size_bytes=record.size_bytes, expires_s=PUT_S, again=True)
        get_url = blobs.presign_get(record.key, expires_s=GET_S)
        return Shown(record, put_url, pieces, get_url, self._clock() + PUT_S)
