"""Who is out there: what peers said of themselves, what others hinted, and when to dial whom."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.addresses import PEER_ID, is_circuit, split_address, valid_addresses
from shoal.core import limits
from shoal.errors import ConfigError

log = logging.getLogger(__name__)

_HINTS = 2
_ROLE = re.compile(r"[a-z]{1,16}\Z")


@dataclass(slots=True)
class _Known:
    addresses: tuple[str, ...] = ()
    """As the peer itself said over an authenticated connection."""
    hinted: tuple[str, ...] = ()
    """As others said: good for a dial, which proves who answers, and for nothing else."""
    roles: tuple[str, ...] = ()
    spoke: bool = False
    """Whether the peer itself ever said something, be it that it has no address."""
    failures: int = 0
    dial_at_s: float = 0.0

    def moved_to(self, addresses: tuple[str, ...]) -> None:
        """Take its own word for where it is; failures to dial it were of the places where it is no more."""
        if addresses != self.addresses and not set(addresses) <= set(self.hinted):
            self.failures = 0
        self.addresses = addresses


class PeerBook:
    """At most `limits.PEERS` peers; those we have met are kept before those we only heard of.

    Args:
        bootstrap: multiaddrs with `/p2p/`; never forgotten.
        path: where to remember peers over a restart.
    """

    def __init__(self, own_id: str, bootstrap: Sequence[str], path: Path | None, *, now_s: Callable[[], float]) -> None:
        self._own_id, self._path, self._now_s = own_id, path, now_s
        self._known: dict[str, _Known] = {}
        self._saved = b""
        self.bootstrap: dict[str, tuple[str, ...]] = {}
        for address in bootstrap:
            found = split_address(address)
            if found is None:
                raise ConfigError(
                    f"bootstrap address {address!r} cannot be used",
                    code="SHOAL-C07",
                    hint="write it as /ip4/ADDRESS/tcp/PORT/p2p/PEER-ID",
                )
            bare, peer_id = found
            self.bootstrap[peer_id] = (*self.bootstrap.get(peer_id, ()), bare)
            if peer_id != own_id:
                self._known[peer_id] = _Known()
        self._load()

    # ------------------------------------------------------------ learning

    def confirm(self, peer_id: str, addresses: Iterable[Any], roles: Iterable[Any], seen_ip: str | None) -> None:
        """Replace what is known of a peer by its own words, said over its own connection."""
        known = self._entry(peer_id)
        if known is None:
            return
        known.moved_to(valid_addresses(addresses, seen_ip))
        known.roles = _valid_roles(roles)
        known.hinted, known.spoke = (), True

    def confirm_signed(self, peer_id: str, addresses: Iterable[Any], roles: Iterable[Any]) -> None:
        """As `confirm`, by words that others passed on: an address that only we know, since we see it, is kept."""
        known = self._entry(peer_id)
        if known is not None:
            new = not known.spoke
            known.moved_to(valid_addresses(addresses) or known.addresses)
            known.roles, known.spoke = _valid_roles(roles), True
            if new:
                known.dial_at_s = max(known.dial_at_s, self._now_s() + self._courtesy_s(peer_id))

    def hint(self, peer_id: Any, addresses: Iterable[Any], now_s: float) -> None:
        """Note where somebody says that a peer can be found."""
        if not isinstance(peer_id, str) or not PEER_ID.match(peer_id):
            return
        found = valid_addresses(addresses)
        new = peer_id not in self._known
        known = self._entry(peer_id) if found else None
        if known is not None:
            # A few of each teller, so that one of them cannot crowd out the others.
            known.hinted = tuple(dict.fromkeys((*found[:_HINTS], *known.hinted)))[: bounds.ADDRESSES]
            if new:
                known.dial_at_s = now_s + self._courtesy_s(peer_id)

    def _courtesy_s(self, peer_id: str) -> float:
        """Two peers that hear of each other should not dial at once: the greater id lets the other go first."""
        return bounds.COURTESY_S if self._own_id > peer_id else 0.0

    def _entry(self, peer_id: str) -> _Known | None:
        if peer_id == self._own_id:
            return None
        if peer_id not in self._known:
            if len(self._known) >= limits.PEERS and not self._forget_one():
                return None
            self._known[peer_id] = _Known()
        return self._known[peer_id]

    def _forget_one(self) -> bool:
        """Make room: of those that are not bootstrap peers, the one only heard of, or failing most."""
        candidates = [peer_id for peer_id in self._known if peer_id not in self.bootstrap]
        if not candidates:
            return False
        worst = max(candidates, key=lambda each: (not self._known[each].spoke, self._known[each].failures))
        del self._known[worst]
        return True

    # ------------------------------------------------------------ asking

    def all(self) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        """Peers that spoke for themselves, as (peer id, addresses, roles)."""
        return [(peer_id, each.addresses, each.roles) for peer_id, each in self._known.items() if each.spoke]

    def sample(self, *, leave_out: str) -> list[tuple[str, tuple[str, ...]]]:
        """Some peers that spoke for themselves and answer, to tell others about."""
        good = [
            (peer_id, each.addresses)
            for peer_id, each in self._known.items()
            if each.addresses and not each.failures and peer_id != leave_out
        ]
        return random.sample(good, min(len(good), bounds.EXCHANGED_PEERS))

    def closest(self, target: str, *, leave_out: str) -> list[tuple[str, tuple[str, ...]]]:
        """Peers that spoke for themselves, or the target itself, nearest to `target` by Kademlia's distance."""
        rows = [
            (peer_id, each.addresses or each.hinted)
            for peer_id, each in self._known.items()
            if (each.spoke or peer_id == target) and (each.addresses or each.hinted) and peer_id != leave_out
        ]
        return sorted(rows, key=lambda row: distance(row[0], target))[: bounds.CLOSEST]

    def direct_addresses_of(self, peer_id: str) -> tuple[str, ...]:
        """Those that lead through no relay: the ones known beforehand, then the peer's own words."""
        known = self._known.get(peer_id, _Known())
        every = dict.fromkeys((*self.bootstrap.get(peer_id, ()), *known.addresses))
        return tuple(each for each in every if not is_circuit(each))

    def roles_of(self, peer_id: str) -> tuple[str, ...]:
        """A peer's own claim."""
        return self._known[peer_id].roles if peer_id in self._known else ()

    def introduced(self, peer_id: str) -> bool:
        """Whether a peer ever said something of itself."""
        return peer_id in self._known and self._known[peer_id].spoke

    def __len__(self) -> int:
        return len(self._known)

    def addresses_of(self, peer_id: str) -> tuple[str, ...]:
        """Everything worth dialling, best first."""
        known = self._known.get(peer_id, _Known())
        every = (*self.bootstrap.get(peer_id, ()), *known.addresses, *known.hinted)
        return tuple(sorted(dict.fromkeys(every), key=is_circuit))[: 2 * bounds.ADDRESSES]

    def due(self, connected: set[str], now_s: float) -> list[str]:
        """Peers to dial now, bootstrap peers first."""
        ready = [
            peer_id
            for peer_id, each in self._known.items()
            if peer_id not in connected and each.dial_at_s <= now_s and self.addresses_of(peer_id)
        ]
        random.shuffle(ready)
        return sorted(ready, key=lambda each: (each not in self.bootstrap, self._known[each].failures))

    # ------------------------------------------------------------ dialling

    def dialled(self, peer_id: str, now_s: float, *, reached: bool) -> None:
        """Note how a dial went; a peer that cannot be reached is tried ever more rarely, then forgotten."""
        known = self._known.get(peer_id)
        if known is None:
            return
        known.failures = 0 if reached else known.failures + 1
        pause_s = min(bounds.REDIAL_MAX_S, bounds.REDIAL_MIN_S * 2 ** min(known.failures, 10))
        known.dial_at_s = now_s + pause_s * _jitter()
        if known.failures >= bounds.DIAL_FAILURES and peer_id not in self.bootstrap:
            del self._known[peer_id]

    def hold_off(self, peer_id: str, until_s: float) -> None:
        """Do not dial a peer before a time."""
        if peer_id in self._known:
            self._known[peer_id].dial_at_s = max(self._known[peer_id].dial_at_s, until_s)

    def lost(self, peer_id: str, now_s: float) -> None:
        """A connection ended: try again soon."""
        if peer_id in self._known:
            known = self._known[peer_id]
            known.dial_at_s = max(known.dial_at_s, now_s + self._courtesy_s(peer_id) + bounds.REDIAL_MIN_S * _jitter())

    # ------------------------------------------------------------ remembering

    def save(self) -> None:
        """Write the file if anything changed; to be called in a thread."""
        if self._path is None:
            return
        rows = [{"peer_id": peer, "addresses": where, "roles": roles} for peer, where, roles in self.all() if where]
        data = json.dumps(rows, indent=1).encode()
        if data == self._saved:
            return
        draft = self._path.with_name(f".{self._path.name}.new")
        try:
            draft.write_bytes(data)
            draft.replace(self._path)
            self._saved = data
        except OSError as error:
            log.warning("cannot remember peers in %s: %s", self._path, error)

    def _load(self) -> None:
        if self._path is None or not self._path.exists():
            return
        try:
            with self._path.open("rb") as file:
                rows = json.loads(file.read(bounds.PEERSTORE_BYTES))
            for row in rows[: limits.PEERS]:
                self.hint(row["peer_id"], row["addresses"], 0.0)
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("%s cannot be read and is ignored: %r", self._path, error)


def distance(one: str, other: str) -> int:
    """Between two peer ids: the XOR of their SHA-256 (libp2p specs, `kad-dht`)."""
    first, second = (hashlib.sha256(each.encode()).digest() for each in (one, other))
    return int.from_bytes(first, "big") ^ int.from_bytes(second, "big")


def _jitter() -> float:
    return random.uniform(0.5, 1.0)  # noqa: S311 - only spreads load


def _valid_roles(roles: Iterable[Any]) -> tuple[str, ...]:
    return tuple(each for each in list(roles)[: bounds.ROLES] if isinstance(each, str) and _ROLE.match(each))
