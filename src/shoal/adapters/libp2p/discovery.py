"""Meeting peers: dial, introduce, ask for others, notice who is gone, and dial again.

Request `peers`: canonical CBOR `{addresses, roles}` of the asker; the reply adds `others`, a list of
`{peer, addresses}`. Both sides speak for themselves only; `others` are hints, which a dial then proves or not.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import trio

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.frames import closing, network_errors, read_exactly
from shoal.adapters.libp2p.host import PeerHost
from shoal.adapters.libp2p.peerbook import PeerBook
from shoal.adapters.libp2p.requests import Requests, request
from shoal.core import codec, limits
from shoal.errors import NetworkError

log = logging.getLogger(__name__)

PEERS = "peers"
PING = "/ipfs/ping/1.0.0"
_PING_BYTES = 32
_ROUND_S = 0.5
_SAVE_EVERY = 8
_DIALS_AT_ONCE = 8


class Discovery:
    """Keeps a node connected; its memory outlives any one host."""

    def __init__(self, book: PeerBook, roles: Sequence[str], requests: Requests, changed: Callable[[], None]) -> None:
        self._book, self._roles, self._changed = book, list(roles), changed
        self._banned: dict[str, float] = {}
        self._host: PeerHost | None = None
        self._dialling: dict[str, trio.Event] = {}
        self._watched: set[str] = set()
        requests.serve(PEERS, self._introduce)

    async def run(self, host: PeerHost) -> None:
        """Serve one host until cancelled."""
        self._host, self._dialling, self._watched = host, {}, set()
        rounds = 0
        async with trio.open_nursery() as nursery:
            while True:
                now_s = trio.current_time()
                self._banned = {peer: until_s for peer, until_s in self._banned.items() if until_s > now_s}
                connected = host.connected()
                host.mend_gossip()
                for peer_id in connected:
                    if peer_id in self._banned or host.buffered_bytes(peer_id) > bounds.BUFFERED_BYTES:
                        nursery.start_soon(host.drop, peer_id)
                    elif peer_id not in self._watched:
                        self._watched.add(peer_id)
                        nursery.start_soon(self._watch, host, peer_id)
                room = min(bounds.DIALED - len(connected), _DIALS_AT_ONCE) - len(self._dialling)
                for peer_id in self._book.due(connected | self._dialling.keys(), now_s)[: max(0, room)]:
                    nursery.start_soon(self.connect, host, peer_id)
                rounds += 1
                if rounds % _SAVE_EVERY == 0:
                    await trio.to_thread.run_sync(self._book.save)
                await trio.sleep(_ROUND_S)

    def ban(self, peer_id: str) -> None:
        """Cut a peer off for a while."""
        log.warning("peer %s misbehaves: cut off for %.0f s", peer_id, bounds.BAN_S)
        self._banned[peer_id] = trio.current_time() + bounds.BAN_S
        self._book.hold_off(peer_id, self._banned[peer_id])

    async def connect(self, host: PeerHost, peer_id: str) -> bool:
        """Try the peer's addresses in turn; True once connected. Simultaneous calls share one attempt."""
        if peer_id in self._dialling:
            await self._dialling[peer_id].wait()
            return peer_id in host.connected()
        if peer_id in host.connected():
            return True
        done = self._dialling[peer_id] = trio.Event()
        reached = False
        try:
            for address in self._book.addresses_of(peer_id):
                try:
                    await host.dial(peer_id, address)
                    reached = True
                    break
                except NetworkError as error:
                    log.debug("%s: %r", error, error.__cause__)
            self._book.dialled(peer_id, trio.current_time(), reached=reached)
        finally:
            done.set()
            self._dialling.pop(peer_id, None)
        return reached

    # ------------------------------------------------------------ introductions

    async def _introduce(self, peer_id: str, payload: bytes) -> bytes:
        self._learn(peer_id, payload)
        others = [
            {"peer": other, "addresses": list(addresses)} for other, addresses in self._book.sample(leave_out=peer_id)
        ]
        return codec.encode({**self._own_record(), "others": others})

    def _own_record(self) -> dict[str, Any]:
        addresses = self._host.addresses() if self._host is not None else []
        return {"addresses": [each.partition("/p2p/")[0] for each in addresses], "roles": self._roles}

    def _learn(self, peer_id: str, payload: bytes) -> None:
        try:
            record = codec.decode(payload, max_bytes=limits.REQUEST_BYTES)
            addresses, roles = list(record["addresses"]), list(record["roles"])
            others = [(each["peer"], list(each["addresses"])) for each in record.get("others", ())]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise NetworkError("a malformed introduction", code="SHOAL-N05") from error
        seen_ip = self._host.remote_ip(peer_id) if self._host is not None else None
        self._book.confirm(peer_id, addresses, roles, seen_ip)
        for other, hinted in others[: bounds.EXCHANGED_PEERS]:
            self._book.hint(other, hinted, trio.current_time())
        self._changed()

    # ------------------------------------------------------------ one connected peer

    async def _watch(self, host: PeerHost, peer_id: str) -> None:
        """Introduce ourselves, then ping: a peer that is stopped or cut off does not close its connection."""
        try:
            await self._exchange(host, peer_id)
            with network_errors(f"pinging {peer_id}"):
                async with closing(await self._open_ping(host, peer_id)) as stream:
                    rounds = 0
                    while peer_id in host.connected():
                        await self._ping(stream)
                        rounds += 1
                        if rounds % bounds.EXCHANGE_EVERY == 0:
                            await self._exchange(host, peer_id)
                        await trio.sleep(bounds.PING_INTERVAL_S)
        except NetworkError as error:
            if peer_id in host.connected():
                log.info("lost %s: %s", peer_id, error)
                await host.drop(peer_id)
        finally:
            self._watched.discard(peer_id)
            self._book.lost(peer_id, trio.current_time())
            self._changed()

    async def _exchange(self, host: PeerHost, peer_id: str) -> None:
        try:
            payload = codec.encode(self._own_record())
            reply = await request(host, peer_id, PEERS, payload, timeout_s=bounds.PING_TIMEOUT_S)
            self._learn(peer_id, reply)
        except NetworkError as error:
            log.debug("no introduction from %s: %s", peer_id, error)  # whether it lives, the ping decides

    async def _open_ping(self, host: PeerHost, peer_id: str) -> Any:
        with trio.fail_after(bounds.PING_TIMEOUT_S):
            return await host.open_stream(peer_id, PING)

    async def _ping(self, stream: Any) -> None:
        nonce = secrets.token_bytes(_PING_BYTES)
        with trio.fail_after(bounds.PING_TIMEOUT_S):
            await stream.write(nonce)
            if await read_exactly(stream, _PING_BYTES) != nonce:
                raise NetworkError("the answer to a ping is wrong", code="SHOAL-N05")
