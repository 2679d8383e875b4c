"""Who is cut off, and until when; kept over restarts."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shoal.adapters.libp2p import bounds

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Ban:
    until_s: float
    times: int


class Bans:
    """A ban list in Unix time. A peer that is banned again within a day of its last ban is banned for twice as long.

    >>> bans = Bans(None, now_s=lambda: 0.0)
    >>> bans.add("peer"), bans.add("peer"), "peer" in bans
    (60.0, 120.0, True)
    """

    def __init__(self, path: Path | None, *, now_s: Callable[[], float] = time.time) -> None:
        self._path, self._now_s = path, now_s
        self._bans: dict[str, _Ban] = {}
        self._load()

    def add(self, peer_id: str) -> float:
        """Ban a peer; for how many seconds. Beyond `bounds.BANS` the one that ends first is forgotten."""
        self._forget_old()
        times = self._bans[peer_id].times if peer_id in self._bans else 0
        length_s = min(bounds.BAN_MAX_S, bounds.BAN_MIN_S * 2.0 ** min(times, 30))
        self._bans[peer_id] = _Ban(self._now_s() + length_s, times + 1)
        if len(self._bans) > bounds.BANS:
            del self._bans[min(self._bans, key=lambda each: self._bans[each].until_s)]
        return length_s

    def __contains__(self, peer_id: str) -> bool:
        ban = self._bans.get(peer_id)
        return ban is not None and ban.until_s > self._now_s()

    def now(self) -> tuple[str, ...]:
        """Peers that are banned now."""
        return tuple(peer_id for peer_id in self._bans if peer_id in self)

    def save(self) -> None:
        """Write the file; blocks for a small file."""
        if self._path is None:
            return
        self._forget_old()
        rows = {peer_id: [ban.until_s, ban.times] for peer_id, ban in self._bans.items()}
        draft = self._path.with_name(f".{self._path.name}.new")
        try:
            draft.write_text(json.dumps(rows, indent=1))
            draft.replace(self._path)
        except OSError as error:
            log.warning("cannot remember bans in %s: %s", self._path, error)

    def _forget_old(self) -> None:
        now_s = self._now_s()
        self._bans = {peer: ban for peer, ban in self._bans.items() if ban.until_s + bounds.BAN_MAX_S > now_s}

    def _load(self) -> None:
        if self._path is None or not self._path.exists():
            return
        try:
            with self._path.open("rb") as file:
                rows = json.loads(file.read(bounds.PEERSTORE_BYTES))
            longest_s = self._now_s() + bounds.BAN_MAX_S
            for peer_id, (until_s, times) in list(rows.items())[: bounds.BANS]:
                self._bans[peer_id] = _Ban(min(float(until_s), longest_s), max(1, int(times)))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("%s cannot be read and is ignored: %r", self._path, error)
