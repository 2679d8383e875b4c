"""Training a unit again: fetch what its trainer opened, train it in the sandbox with the unit's seed, and compare."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from shoal import seal
from shoal.core import duties, limits
from shoal.core.audits import Unit
from shoal.core.codec import CodecError
from shoal.core.court import update_of
from shoal.core.ids import ZERO_DIGEST, Digest, short
from shoal.core.task import State
from shoal.errors import CryptoError, DataError, EngineError, ModelError, NetworkError, ShoalError, StorageError
from shoal.ports import Engine, Keys, Network, Transfer
from shoal.roles import bundle as b

log = logging.getLogger("shoal.validator")

FETCH_TIMEOUT_S = 60.0
STREAM_TIMEOUT_S = 20.0
TRAIN_TIMEOUT_S = 3600.0
COMPARE_TIMEOUT_S = 600.0
MILLION = 1_000_000


class Unusable(Exception):
    """What was opened does not lead to the unit: the trainer, not the validator, answers for that."""


@dataclass(frozen=True, slots=True)
class Found:
    """What training a unit again gave."""

    right: bool
    state: Digest
    """SHA-256 of the update; zeros where this unit cannot be trained."""


class Rechecker:
    """Trains units of one task again.

    Args:
        engine: holds the task's graph document and recipe.
        dir: where what was opened is kept while it is needed; nothing of it stays.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        keys: Keys,
        network: Network,
        transfer: Transfer,
        peer_id_of: Callable[[bytes], str],
        dir: Path,
    ) -> None:
        self._engine, self._keys, self._network, self._transfer = engine, keys, network, transfer
        self._peer_id_of, self._dir = peer_id_of, dir
        dir.mkdir(parents=True, exist_ok=True)

    async def recheck(self, state: State, unit: Unit, sealed: bytes) -> Found:
        """Whether a trainer's update is what its unit gives.

        Raises:
            Unusable: what it opened does not open, or cannot be had.
            EngineError: this machine cannot tell.
        """
        files = [f"{what}.safetensors" for what in ("chunk", "base", "theirs", "mine")]
        chunk, base, theirs, mine = files
        try:
            opened = await self._fetch_all(state, unit, sealed, chunk, base)
            found = await self._train(state, unit, chunk, base, mine)
            update = update_of(state, unit)
            if found is None:
                return Found(False, ZERO_DIGEST)
            if found == update.state:
                return Found(True, found)
            return Found(await self._is_near(state, unit, opened, theirs, mine), found)
        finally:
            for name in files:
                (self._engine.job_dir / name).unlink(missing_ok=True)

    async def _train(self, state: State, unit: Unit, chunk: str, base: str, out: str) -> Digest | None:
        """The update of this unit; None where it cannot be trained, by anyone."""
        try:
            report = await self._engine.train(
                base=base,
                chunk=chunk,
                out=out,
                seed=duties.unit_seed(state.place.task, unit.round, unit.chunk),
                round=unit.round,
                timeout_s=TRAIN_TIMEOUT_S,
            )
        except (ModelError, DataError, EngineError) as error:
            if isinstance(error, EngineError) and error.code != "SHOAL-E02":
                raise  # this machine's affair
            log.warning("round %d chunk %d cannot be trained: %s", unit.round, unit.chunk, error)
            return None
        return Digest(bytes.fromhex(report["sha256"]))

    async def _is_near(self, state: State, unit: Unit, opened: b.Opening, theirs: str, mine: str) -> bool:
        """Another processor adds up in another order: what is near enough by the manifest's rule was trained."""
        update, manifest = update_of(state, unit), state.manifest
        tolerance_ppm = manifest.audit.tolerance_ppm if manifest and manifest.audit else 0
        url, key = opened.update
        await self._get_object(state, unit, url, key, update.object, update.state, theirs)
        try:
            report = await self._engine.compare(mine=mine, theirs=theirs, timeout_s=COMPARE_TIMEOUT_S)
        except ModelError:
            return False  # not even an update of this model
        distance_ppm = float(report["distance"]) * MILLION
        log.info("round %d chunk %d: %.0f millionths apart", unit.round, unit.chunk, distance_ppm)
        return distance_ppm <= tolerance_ppm

    # ------------------------------------------------------------ fetching

    async def _fetch_all(self, state: State, unit: Unit, sealed: bytes, chunk: str, base: str) -> b.Opening:
        manifest, before = state.manifest, state.checkpoints[unit.round - 1]
        assert manifest is not None, "a running task has its manifest"
        try:
            opened = b.Opening.from_bytes(self._keys.open(sealed))
        except (CryptoError, CodecError) as error:
            raise Unusable(f"{short(unit.trainer)} opened nothing: {error}") from error
        url, key = opened.chunk
        await self._get_chunk(state, unit, url, key, manifest.chunks[unit.chunk].blob.sha256, chunk)
        url, key = opened.base
        await self._get_object(state, unit, url, key, before.object, before.state, base, padded=before.round > 0)
        return opened

    async def _get_chunk(self, state: State, unit: Unit, url: str, key: str, sha256: Digest, name: str) -> None:
        cipher, out = self._dir / "chunk.cipher", self._engine.job_dir / name
        try:
            await self._download(state, unit, url, cipher, sha256, limits.CHUNK_BYTES + limits.MIB)
            await trio.to_thread.run_sync(lambda: seal.open_file(cipher, out, key, max_bytes=limits.CHUNK_BYTES))
        except (CryptoError, ValueError) as error:
            raise Unusable(f"chunk {unit.chunk} does not open: {error}") from error
        finally:
            cipher.unlink(missing_ok=True)

    async def _get_object(
        self, state: State, unit: Unit, url: str, key: str, object: Digest, plain: Digest, name: str, *,
        padded: bool = True,
    ) -> None:  # fmt: skip
        """An object of a slot, down to the plain bytes that the log names."""
        assert state.manifest is not None, "a running task has its manifest"
        path, cipher, out = self._dir / "object", self._dir / "object.cipher", self._engine.job_dir / name
        size = max(state.manifest.slot_bytes, state.manifest.initial_blob.size_bytes)
        try:
            await self._download(state, unit, url, path, object, size)
            if padded:
                await trio.to_thread.run_sync(seal.unpad, path, cipher)
            await trio.to_thread.run_sync(seal.decrypt_with_key, key, cipher if padded else path, out)
            if seal.sha256_file(out) != plain:
                raise Unusable(f"{name} decrypts to other bytes than the log names")
        except (CryptoError, ValueError) as error:
            raise Unusable(f"{name} does not open: {error}") from error
        finally:
            path.unlink(missing_ok=True)
            cipher.unlink(missing_ok=True)

    async def _download(self, state: State, unit: Unit, url: str, out: Path, sha256: Digest, max_bytes: int) -> None:
        """By its URL, else by stream from the trainer, else from the others: the store is the client's."""
        try:
            await self._transfer.download(url, out, sha256=sha256, max_bytes=max_bytes, timeout_s=FETCH_TIMEOUT_S)
            return
        except ShoalError as error:
            failure = error
        others = [seat.trainer for seat in state.seats if seat.trainer != unit.trainer]
        for who in [unit.trainer, *others]:
            peer = self._peer_id_of(state.authors[who].signing_key)
            try:
                await self._network.fetch(peer, sha256, out, max_bytes=max_bytes, timeout_s=STREAM_TIMEOUT_S)
                return
            except (NetworkError, CryptoError, StorageError):
                continue
        raise Unusable(f"{sha256.hex()[:12]} is neither at its URL nor at any trainer: {failure}") from failure
