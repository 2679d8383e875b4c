"""Fetching a result: open the envelope, download, decrypt, and compare with what the quorum confirmed on chain."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Awaitable, Callable
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
from shoal.roles import bundle as b

log = logging.getLogger("shoal.client")

DOWNLOAD_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Way:
    """Where a result lies and what opens it."""

    url: str
    key: str


@dataclass(frozen=True, slots=True)
class Goal:
    """What there is to fetch: an object in storage, and the weights that it decrypts to."""

    round: int
    object: Digest
    checkpoint: Digest
    slot: str
    label: bytes
    envelope: bytes | None
    """Of the publisher, to the ML user; None for a checkpoint, which only its preparer can open."""


def goal_of(state: State) -> Goal | None:
    """The confirmed result; or, where the task was settled on its progress, the checkpoint that was paid for."""
    if state.confirmed is not None:
        note, mark = state.notes.get(state.confirmed.result), state.mark_of(state.confirmed.round)
        seat = state.seat_index(note.author) if note else None
        if note is None or mark is None or seat is None:
            return None
        return Goal(mark.round, note.object, mark.checkpoint, b.result_slot(seat), b.RESULT_LABEL, note.envelope)
    if state.phase is not Phase.SETTLED or not 0 < state.progress_round < len(state.checkpoints):
        return None
    paid = state.checkpoints[state.progress_round]
    seat = state.seat_index(paid.author)
    slot = "" if seat is None else b.checkpoint_slot(paid.round, seat)
    return Goal(paid.round, paid.object, paid.state, slot, b.checkpoint_label(paid.round), None)


Pinned = Callable[[State, Goal, Path], Awaitable[None]]
"""Fetches the encrypted result from IPFS, verified."""


async def fetch_result(
    state: State,
    *,
    keys: Keys,
    transfer: Transfer,
    out: Path,
    own: Way | None = None,
    pinned: Pinned | None = None,
    keep: Path | None = None,
) -> str:
    """Write the decrypted weights (safetensors) to `out`; returns their SHA-256.

    Args:
        own: the way that whoever prepared the task knows by itself; used where there is no envelope, or one of no use.
        pinned: another way to the encrypted object, where its slot gives it no more and the log says that it is pinned.
        keep: where the encrypted object is left.

    Raises:
        MarketError: SHOAL-T04, there is no confirmed result yet, or never will be.
        CryptoError: SHOAL-K05, the bytes are not those confirmed; SHOAL-K01, the envelope is another user's.
    """
    goal = goal_of(state)
    if goal is None or (goal.envelope is None and own is None):
        over = state.phase in (Phase.CANCELLED, Phase.EXPIRED, Phase.SETTLED)
        raise MarketError(
            f"this task has no confirmed result: it is {state.phase}, round {max(state.round - 1, 0)} "
            f"of {state.plan.rounds} is done",
            code="SHOAL-T04",
            hint="it ended early; `shoal watch` shows how" if over else "try again when it is settled",
            money="what was not earned comes back to the client's balance" if over else "",
        )
    job = _Job(state, goal, transfer, out, keep)
    ways: list[Callable[[], Way]] = []
    if goal.envelope is not None:
        envelope = goal.envelope
        ways.append(lambda: _open(keys, envelope))
    if own is not None:
        ways.append(lambda: own)
    tries: list[tuple[Callable[[], Way], Pinned | None]] = [(way, None) for way in ways]
    if pinned is not None and "result" in state.pins:
        tries += [(way, pinned) for way in ways]
    problem: CryptoError | StorageError | None = None
    for way, source in tries:
        try:
            return await job.run(way(), source)
        except (CryptoError, StorageError) as error:
            # What the slot said is what helps; what IPFS said beside it is told in the log.
            problem = error if source is None else problem
            if source is not None:
                log.warning("the pinned result is of no use: %s", error)
    assert problem is not None, "there is a way, else there was no goal"
    raise problem


def _open(keys: Keys, envelope: bytes) -> Way:
    try:
        opened = decode(keys.open(envelope), max_bytes=limits.ENVELOPE_BYTES)
        url, key = opened["url"], opened["key"]
    except (CodecError, KeyError, TypeError) as error:
        raise CryptoError("the result's envelope is malformed", code="SHOAL-K06") from error
    if not isinstance(url, str) or not isinstance(key, str):
        raise CryptoError("the result's envelope is malformed", code="SHOAL-K06")
    return Way(url, key)


@dataclass(frozen=True, slots=True)
class _Job:
    """One result on its way to a file."""

    state: State
    goal: Goal
    transfer: Transfer
    out: Path
    keep: Path | None

    async def run(self, way: Way, pinned: Pinned | None) -> str:
        """Download, decrypt and compare; nothing is left behind but the weights, and what was to be kept."""
        goal, out = self.goal, self.out
        out.parent.mkdir(parents=True, exist_ok=True)
        padded, cipher, plain = (out.with_name(f".{out.name}.{end}") for end in ("object", "cipher", "part"))
        try:
            await self._download(way, pinned, padded)
            await trio.to_thread.run_sync(seal.unpad, padded, cipher)
            await trio.to_thread.run_sync(seal.decrypt_with_key, way.key, cipher, plain)
            if seal.sha256_file(plain) != goal.checkpoint:
                raise CryptoError("the result decrypts to other weights than the log names", code="SHOAL-K05")
            os.replace(plain, out)  # noqa: PTH105
            if self.keep is not None:
                await trio.to_thread.run_sync(shutil.move, padded, self.keep)
        finally:
            for path in (padded, cipher, plain):
                path.unlink(missing_ok=True)
        return goal.checkpoint.hex()

    async def _download(self, way: Way, pinned: Pinned | None, padded: Path) -> None:
        if pinned is not None:
            await pinned(self.state, self.goal, padded)
            return
        size = self.state.manifest.slot_bytes if self.state.manifest else limits.WEIGHTS_BYTES
        sha256, timeout_s = self.goal.object, DOWNLOAD_TIMEOUT_S
        await self.transfer.download(way.url, padded, sha256=sha256, max_bytes=size, timeout_s=timeout_s)
