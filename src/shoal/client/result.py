"""Fetching a result: open the envelope, download, decrypt, and compare with what the quorum confirmed on chain."""

from __future__ import annotations

import os
from pathlib import Path

import trio

from shoal import seal
from shoal.core import limits
from shoal.core.codec import CodecError, decode
from shoal.core.task import Phase, State
from shoal.errors import CryptoError, MarketError
from shoal.ports import Keys, Transfer

DOWNLOAD_TIMEOUT_S = 600.0


async def fetch_result(state: State, *, keys: Keys, transfer: Transfer, out: Path) -> str:
    """Write the decrypted weights (safetensors) to `out`; returns their SHA-256.

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
    try:
        opened = decode(keys.open(note.envelope), max_bytes=limits.ENVELOPE_BYTES)
        url, key, promised = opened["url"], opened["key"], opened["state"]
    except (CodecError, KeyError, TypeError) as error:
        raise CryptoError("the result's envelope is malformed", code="SHOAL-K06") from error
    mark = state.mark_of(confirmed.round)
    if mark is None or promised != mark.checkpoint:
        raise CryptoError("the envelope promises other weights than the log", code="SHOAL-K05")
    out.parent.mkdir(parents=True, exist_ok=True)
    padded, cipher, plain = (out.with_name(f".{out.name}.{end}") for end in ("object", "cipher", "part"))
    size = state.manifest.slot_bytes if state.manifest else limits.WEIGHTS_BYTES
    try:
        await transfer.download(url, padded, sha256=note.object, max_bytes=size, timeout_s=DOWNLOAD_TIMEOUT_S)
        await trio.to_thread.run_sync(seal.unpad, padded, cipher)
        await trio.to_thread.run_sync(seal.decrypt_with_key, key, cipher, plain)
        if seal.sha256_file(plain) != mark.checkpoint:
            raise CryptoError("the result decrypts to other weights than the log names", code="SHOAL-K05")
        os.replace(plain, out)  # noqa: PTH105
    finally:
        for path in (padded, cipher, plain):
            path.unlink(missing_ok=True)
    return mark.checkpoint.hex()
