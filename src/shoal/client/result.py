"""Fetching a result: open the envelope, download, decrypt, and compare with what the quorum confirmed on chain."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import trio

from shoal import seal
from shoal.core import limits
from shoal.core.codec import CodecError, decode
from shoal.core.ids import Digest
from shoal.core.task import Phase, State
from shoal.errors import CryptoError, MarketError, StorageError
from shoal.ports import Keys, Transfer

DOWNLOAD_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Way:
    """Where a result lies and what opens it."""

    url: str
    key: str


async def fetch_result(state: State, *, keys: Keys, transfer: Transfer, out: Path, own: Way | None = None) -> str:
    """Write the decrypted weights (safetensors) to `out`; returns their SHA-256.

    Args:
        own: the way that whoever prepared the task knows by itself; used where the publisher's envelope is of no use.

    Raises:
        MarketError: SHOAL-T04, there is no confirmed result yet, or never will be.
        CryptoError: SHOAL-K01, the envelope is another user's; K05, the bytes are not those confirmed; K06, the
            envelope is malformed.
    """
    note, confirmed = state.result, state.confirmed
    if note is None or confirmed is None:
        over = state.phase in (Phase.CANCELLED, Phase.EXPIRED, Phase.SETTLED)
        raise MarketError(
            f"this task has no confirmed result: it is {state.phase}, round {max(state.round - 1, 0)} "
            f"of {state.plan.rounds} is done",
            code="SHOAL-T04",
            hint="it ended early; `shoal watch` shows how" if over else "try again when it is settled",
            money="what was not earned comes back to the client's balance" if over else "",
        )
    if note.object != confirmed.result:
        raise CryptoError("the posted result is not the one that was confirmed on chain", code="SHOAL-K05")
    mark = state.mark_of(confirmed.round)
    if mark is None:
        raise CryptoError("a quorum confirmed a result that does not follow from the log", code="SHOAL-K05")
    try:
        return await _fetch(state, _open(keys, note.envelope), note.object, mark.checkpoint, transfer, out)
    except (CryptoError, StorageError):
        if own is None:
            raise
    return await _fetch(state, own, note.object, mark.checkpoint, transfer, out)


def _open(keys: Keys, envelope: bytes) -> Way:
    try:
        opened = decode(keys.open(envelope), max_bytes=limits.ENVELOPE_BYTES)
        url, key = opened["url"], opened["key"]
    except (CodecError, KeyError, TypeError) as error:
        raise CryptoError("the result's envelope is malformed", code="SHOAL-K06") from error
    if not isinstance(url, str) or not isinstance(key, str):
        raise CryptoError("the result's envelope is malformed", code="SHOAL-K06")
    return Way(url, key)


async def _fetch(state: State, way: Way, object: Digest, checkpoint: Digest, transfer: Transfer, out: Path) -> str:
    """Download, decrypt and compare; nothing is left behind but the weights."""
    out.parent.mkdir(parents=True, exist_ok=True)
    padded, cipher, plain = (out.with_name(f".{out.name}.{end}") for end in ("object", "cipher", "part"))
    size = state.manifest.slot_bytes if state.manifest else limits.WEIGHTS_BYTES
    try:
        await transfer.download(way.url, padded, sha256=object, max_bytes=size, timeout_s=DOWNLOAD_TIMEOUT_S)
        await trio.to_thread.run_sync(seal.unpad, padded, cipher)
        await trio.to_thread.run_sync(seal.decrypt_with_key, way.key, cipher, plain)
        if seal.sha256_file(plain) != checkpoint:
            raise CryptoError("the result decrypts to other weights than the log names", code="SHOAL-K05")
        os.replace(plain, out)  # noqa: PTH105
    finally:
        for path in (padded, cipher, plain):
            path.unlink(missing_ok=True)
    return checkpoint.hex()
