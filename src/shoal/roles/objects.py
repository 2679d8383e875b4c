"""A task's bytes at a trainer: its bundle, chunks, updates and checkpoints, fetched, verified and delivered.

Everything lies in the engine's job directory in clear, and beside it as ciphertext for others to fetch. Each object
is found by stream from its author first, from its slot in storage otherwise; its hash in the log decides.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import trio

from shoal import seal
from shoal.core import limits
from shoal.core.audits import Unit
from shoal.core.codec import CodecError, encode
from shoal.core.court import update_of
from shoal.core.ids import Address, Digest
from shoal.core.task import Checkpoint, Mark, ResultNote, State, Update
from shoal.errors import CryptoError, NetworkError, ShoalError, StorageError
from shoal.ports import Keys, Network, Transfer
from shoal.roles import bundle as b

log = logging.getLogger("shoal.objects")

DOWNLOAD_TIMEOUT_S = 600.0
OTHERS_TIMEOUT_S = 5.0


class TaskObjects:
    """Files of one task at one trainer.

    Args:
        me: this trainer's address.
        job_dir: the only directory that the sandboxed engine sees; plain bytes.
        sealed_dir: ciphertext, served to peers; the engine does not see it.
    """

    def __init__(
        self,
        me: Address,
        *,
        job_dir: Path,
        sealed_dir: Path,
        keys: Keys,
        network: Network,
        transfer: Transfer,
        peer_id_of: Callable[[bytes], str],
    ) -> None:
        self._me, self._job, self._sealed = me, job_dir, sealed_dir
        self._keys, self._network, self._transfer = keys, network, transfer
        self._peer_id_of = peer_id_of
        self._bundle: b.Bundle | None = None
        self._get: dict[str, str] = {}
        self._opening = trio.Lock()
        self._fetching: dict[bytes, trio.Lock] = {}
        sealed_dir.mkdir(parents=True, exist_ok=True)

    @property
    def is_open(self) -> bool:
        return self._bundle is not None

    # ------------------------------------------------------------ what comes before the first round

    async def open_envelope(self, state: State, envelope: bytes) -> None:
        """Fetch and verify everything this trainer needs to start.

        Raises:
            CryptoError, StorageError: the envelope, a bundle or a chunk is not what the log promises.
        """
        async with self._opening:
            if self._bundle is not None:
                return
            try:
                pointer = b.Pointer.from_bytes(self._keys.open(envelope))
                own = b.Bundle.from_bytes(self._keys.open(await self._small(pointer)))
                shared = await self._small(own.shared)
                plain = self._job / "shared.bin"
                cipher = self._sealed / "shared.bin"
                cipher.write_bytes(shared)
                await trio.to_thread.run_sync(seal.decrypt_deterministic, own.secret, b.SHARED_LABEL, cipher, plain)
                self._get = b.decode_shared(plain.read_bytes())
                plain.unlink()
            except CodecError as error:
                raise CryptoError(f"the client's envelope is of no use: {error}", code="SHOAL-K11") from error
            seat = self._seat(state)
            if not own.serves(state, seat) or not self._get.keys() >= set(b.slots_of(state, seat)):
                raise CryptoError("the client's envelope lacks a chunk or a slot", code="SHOAL-K11")
            await self._get_inputs(state, own)
            self._bundle = own

    async def _small(self, pointer: b.Pointer) -> bytes:
        out = self._sealed / f"{pointer.sha256.hex()}.bundle"
        await self._download(pointer.url, out, pointer.sha256, pointer.size_bytes)
        return out.read_bytes()

    async def _get_inputs(self, state: State, own: b.Bundle) -> None:
        manifest = state.manifest
        assert manifest is not None, "an envelope follows its manifest"
        seat = state.seat_index(self._me)
        for index, holders in enumerate(state.holders):
            if seat in (holders.primary, holders.backup):
                url, key = own.chunks[index]
                sha256, audited = manifest.chunks[index].blob.sha256, state.plan.auditors > 0
                await self._open_chunk(sha256, url, key, self.chunk(index), keep=audited)
        url, key = own.validation
        await self._open_chunk(manifest.validation.blob.sha256, url, key, self.validation(), keep=False)
        blob = manifest.initial_blob
        cipher = self._sealed / "initial"
        await self._download(own.initial, cipher, blob.sha256, blob.size_bytes)
        out = self._job / self.checkpoint_name(0, manifest.initial)
        await self._decrypt(own.secret, b.checkpoint_label(0), cipher, out, manifest.initial)

    async def _open_chunk(self, sha256: Digest, url: str, key: str, name: str, *, keep: bool) -> None:
        """Keep the ciphertext of what may be audited: an accused must not depend on the client's storage."""
        out = self._job / name
        if out.exists():
            return
        cipher = self._chunk_cipher(sha256)
        await self._download(url, cipher, sha256, limits.CHUNK_BYTES + limits.MIB)
        await trio.to_thread.run_sync(lambda: seal.open_file(cipher, out, key, max_bytes=limits.CHUNK_BYTES))
        if not keep:
            cipher.unlink()

    def _chunk_cipher(self, sha256: Digest) -> Path:
        return self._sealed / f"{sha256.hex()}.chunk"

    # ------------------------------------------------------------ names in the job directory

    def chunk(self, index: int) -> str:
        return f"chunk-{index}.safetensors"

    def validation(self) -> str:
        return "validation.safetensors"

    def checkpoint_name(self, round: int, state: bytes) -> str:
        return f"checkpoint-{round}-{state.hex()[:16]}.safetensors"

    def update_name(self, update: Update) -> str:
        return f"got-{update.round}-{update.chunk}-{update.state.hex()[:16]}.safetensors"

    def own_update_name(self, round: int, chunk: int, base: bytes) -> str:
        return f"update-{round}-{chunk}-{base.hex()[:16]}.safetensors"

    def has_update(self, update: Update) -> bool:
        return (self._job / self.update_name(update)).exists()

    def keep_checkpoint(self, name: str, round: int, state: bytes) -> None:
        """Give an aggregate, just made, its lasting name."""
        (self._job / name).replace(self._job / self.checkpoint_name(round, state))

    async def remembered(self, name: str, make: Callable[[], Awaitable[Mapping[str, Any]]]) -> Mapping[str, Any]:
        """The report on a file, made once: after a crash the file and its report are still there."""
        path, note = self._job / name, self._sealed / f"{name}.json"
        if path.exists() and note.exists():
            # A loss of power may leave a file's name without its bytes.
            with contextlib.suppress(ValueError):
                found = json.loads(note.read_bytes())
                if isinstance(found, dict):
                    return found
        report = dict(await make())
        partial = note.with_suffix(".part")
        partial.write_text(json.dumps(report))
        partial.replace(note)
        return report

    # ------------------------------------------------------------ delivering

    async def deliver_update(self, state: State, round: int, chunk: int, name: str) -> Digest:
        """Encrypt an update, put it into its slot, and offer it by stream; returns the object's hash."""
        slot = b.update_slot(round, chunk, self._seat(state))
        digest = await self._deliver(state, slot, b.update_label(round, chunk), self._job / name)
        return digest

    async def deliver_checkpoint(self, state: State, round: int, checkpoint: bytes) -> Digest:
        plain = self._job / self.checkpoint_name(round, checkpoint)
        slot = b.checkpoint_slot(round, self._seat(state))
        return await self._deliver(state, slot, b.checkpoint_label(round), plain)

    async def deliver_result(self, state: State, mark: Mark) -> ResultNote:
        """Encrypt the result, put it into this trainer's result slot, and make the ML user's envelope."""
        own = self._opened()
        name = await self.checkpoint(state, state.checkpoints[mark.round])
        slot = b.result_slot(self._seat(state))
        digest = await self._deliver(state, slot, b.RESULT_LABEL, self._job / name, must=True)
        key = seal.derive_key(own.secret, b.RESULT_LABEL)
        content = encode({"url": self._get[slot], "object": digest, "key": key, "state": mark.checkpoint})
        return ResultNote(self._me, digest, seal.seal(content, [state.client_recipient]))

    async def check_result(self, state: State, mark: Mark, note: ResultNote) -> bool:
        """Whether the posted result is this task's final checkpoint, and really lies in its slot."""
        name = await self.checkpoint(state, state.checkpoints[mark.round])
        expected = await self._encrypt(state, b.RESULT_LABEL, self._job / name)
        if expected[1] != note.object:
            log.error("the published result is WRONG")
            return False
        publisher = state.seat_index(note.author)
        assert publisher is not None, "only a seat publishes"
        out = self._sealed / "result.check"
        out.unlink(missing_ok=True)
        await self._download(self._get[b.result_slot(publisher)], out, note.object, self._slot_bytes(state))
        out.unlink()
        return True

    async def _deliver(self, state: State, slot: str, label: bytes, plain: Path, *, must: bool = False) -> Digest:
        """Offer an object by stream and put it into its slot.

        Args:
            must: whether a slot that does not take it is an error. It is not for what peers can fetch from here: the
                slots are the client's, and a client must not be able to silence a trainer by a bad one.
        """
        path, digest = await self._encrypt(state, label, plain)
        self._network.provide(digest, path)
        try:
            await self._transfer.upload(self._opened().put[slot], path, timeout_s=self._patience_s(state))
        except StorageError as error:
            if must:
                raise
            log.warning("%s is not in its slot, only here: %s", label.decode(), error)
        return digest

    def _patience_s(self, state: State) -> float:
        """For one transfer: a part of what the rules leave for a turn."""
        assert state.manifest is not None, "a running task has its manifest"
        rules = state.manifest.rules
        return max(2.0, min(rules.round_timeout_s, rules.aggregate_timeout_s) / 4)

    async def _encrypt(self, state: State, label: bytes, plain: Path) -> tuple[Path, Digest]:
        """The object of a slot: encrypted the same by everyone who has the same bytes, padded to the slot."""
        secret, size = self._opened().secret, self._slot_bytes(state)
        name = label.decode().replace("/", "-")

        def encrypt() -> tuple[Path, Digest]:
            cipher, padded = self._sealed / f"{name}.cipher", self._sealed / f"{name}.tmp"
            seal.encrypt_deterministic(secret, label, plain, cipher)
            seal.pad_to(cipher, padded, size)
            cipher.unlink()
            digest = Digest(seal.sha256_file(padded))
            path = self._sealed / digest.hex()
            padded.replace(path)
            return path, digest

        return await trio.to_thread.run_sync(encrypt)

    # ------------------------------------------------------------ opening

    async def opening(self, state: State, unit: Unit) -> bytes:
        """What an auditor needs to train a unit again; every object of it is served from here too, from now on.

        Raises:
            CryptoError, StorageError: this node does not have what it trained from any more.
        """
        own, manifest = self._opened(), state.manifest
        assert manifest is not None, "a running task has its manifest"
        base, update = state.checkpoints[unit.round - 1], update_of(state, unit)
        cipher = self._chunk_cipher(manifest.chunks[unit.chunk].blob.sha256)
        if cipher.exists():
            self._network.provide(manifest.chunks[unit.chunk].blob.sha256, cipher)
        author, seat = state.seat_index(base.author), self._seat(state)
        if author is None:
            url, initial = own.initial, self._sealed / "initial"
            if initial.exists():
                self._network.provide(base.object, initial)
        else:
            url = self._get[b.checkpoint_slot(base.round, author)]
            await self._serve(state, base.object, b.checkpoint_label(base.round), await self.checkpoint(state, base))
        mine = self._job / self.own_update_name(unit.round, unit.chunk, base.state)
        label = b.update_label(unit.round, unit.chunk)
        if mine.exists():
            await self._serve(state, update.object, label, mine.name)
        return b.Opening(
            chunk=own.chunks[unit.chunk],
            base=(url, seal.derive_key(own.secret, b.checkpoint_label(base.round))),
            update=(self._get[b.update_slot(unit.round, unit.chunk, seat)], seal.derive_key(own.secret, label)),
        ).to_bytes()

    async def _serve(self, state: State, object: Digest, label: bytes, name: str) -> None:
        """Offer an object by stream, made again where only its plain bytes are left."""
        path = self._sealed / object.hex()
        if not path.exists():
            path, _ = await self._encrypt(state, label, self._job / name)
        self._network.provide(object, path)

    # ------------------------------------------------------------ fetching

    async def checkpoint(self, state: State, checkpoint: Checkpoint) -> str:
        """The name of a checkpoint in the job directory, fetched when it is not there."""
        name = self.checkpoint_name(checkpoint.round, checkpoint.state)
        if not (self._job / name).exists():
            seat = state.seat_index(checkpoint.author)
            slot = "" if seat is None else b.checkpoint_slot(checkpoint.round, seat)
            await self._fetch(
                state, checkpoint.author, checkpoint.object, slot, b.checkpoint_label(checkpoint.round), name,
                checkpoint.state, self._patience_s(state),
            )  # fmt: skip
        return name

    async def fetch_update(self, state: State, update: Update, *, timeout_s: float) -> bool:
        """Get one update; False when neither its author nor its slot has the bytes that the log names."""
        name = self.update_name(update)
        if (self._job / name).exists():
            return True
        seat = state.seat_index(update.author)
        slot = "" if seat is None else b.update_slot(update.round, update.chunk, seat)
        label = b.update_label(update.round, update.chunk)
        try:
            await self._fetch(state, update.author, update.object, slot, label, name, update.state, timeout_s)
        except ShoalError as error:
            log.warning("update of chunk %d, round %d: %s", update.chunk, update.round, error)
            return False
        return True

    async def _fetch(
        self, state: State, author: Address, object: Digest, slot: str, label: bytes, name: str, plain: Digest,
        timeout_s: float,
    ) -> None:  # fmt: skip
        """By stream from the author, else from storage; then unpad, decrypt and compare."""
        lock = self._fetching.setdefault(object, trio.Lock())
        async with lock:
            if (self._job / name).exists():
                return
            path = self._sealed / object.hex()
            if not path.exists():
                await self._get_object(state, author, object, slot, path, timeout_s)
            self._network.provide(object, path)
            cipher = self._sealed / f"{object.hex()}.cipher"
            await trio.to_thread.run_sync(seal.unpad, path, cipher)
            try:
                await self._decrypt(self._opened().secret, label, cipher, self._job / name, plain)
            finally:
                cipher.unlink(missing_ok=True)

    async def _get_object(
        self, state: State, author: Address, object: Digest, slot: str, path: Path, timeout_s: float
    ) -> None:
        """From its author, from its slot, or from whoever else has it: an author may serve one peer and not another."""
        size = self._slot_bytes(state)
        others = [seat.trainer for seat in state.active() if seat.trainer not in (author, self._me)]
        failure: ShoalError | None = None
        for who, patience_s in [(author, timeout_s), *((other, OTHERS_TIMEOUT_S) for other in others)]:
            peer = self._peer_id_of(state.authors[who].signing_key)
            try:
                await self._network.fetch(peer, object, path, max_bytes=size, timeout_s=patience_s)
                return
            except (NetworkError, CryptoError) as error:
                failure = failure or error
            if who == author and slot in self._get:
                try:
                    await self._download(self._get[slot], path, object, size)
                    return
                except (StorageError, CryptoError) as error:
                    log.info("%s; asking the others", error)
        raise StorageError(
            f"neither its author, nor its slot, nor any trainer has the object {object.hex()[:12]}", code="SHOAL-S12"
        ) from failure

    async def _decrypt(self, secret: bytes, label: bytes, cipher: Path, out: Path, plain: Digest) -> None:
        partial = out.with_suffix(".part")
        found = await trio.to_thread.run_sync(seal.decrypt_deterministic, secret, label, cipher, partial)
        if found != plain:
            partial.unlink()
            raise CryptoError(f"{out.name} decrypts to other bytes than the log names")
        partial.replace(out)

    async def _download(self, url: str, out: Path, sha256: bytes, max_bytes: int) -> None:
        await self._transfer.download(url, out, sha256=sha256, max_bytes=max_bytes, timeout_s=DOWNLOAD_TIMEOUT_S)

    # ------------------------------------------------------------

    def _opened(self) -> b.Bundle:
        if self._bundle is None:
            raise CryptoError("the envelope of this task has not been opened yet")
        return self._bundle

    def _seat(self, state: State) -> int:
        seat = state.seat_index(self._me)
        assert seat is not None, "only a seat delivers"
        return seat

    def _slot_bytes(self, state: State) -> int:
        assert state.manifest is not None, "a running task has its manifest"
        return state.manifest.slot_bytes
