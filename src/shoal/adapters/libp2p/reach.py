"""Whether others can reach this node: ask them to dial it, else take a place at a relay.

Request `reach`: canonical CBOR `{addresses}` of the asker; the reply is `{ip, open}`: where the asker is seen at, and
which of its addresses at that very IP answered as libp2p. Nobody is made to dial anyone but the asker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import trio

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.addresses import ip_and_port, is_loopback, valid_address
from shoal.adapters.libp2p.gates import Gate
from shoal.adapters.libp2p.host import PeerHost
from shoal.adapters.libp2p.peerbook import PeerBook
from shoal.adapters.libp2p.relay import Places
from shoal.adapters.libp2p.requests import Requests, request
from shoal.core import codec, limits
from shoal.errors import NetworkError
from shoal.ports import Reachability

log = logging.getLogger(__name__)

REACH = "reach"
_HELLO = b"\x13/multistream/1.0.0\n"


class Reach:
    """Finds out, and keeps up, how this node is reached.

    Args:
        moved: called when the addresses to advertise are others than before.
    """

    def __init__(self, book: PeerBook, requests: Requests, places: Places, moved: Callable[[], None]) -> None:
        self._book, self._places, self._moved = book, places, moved
        self._direct: bool | None = None
        self._tried_relays = False
        self._seen_ip: str | None = None
        self._host: PeerHost | None = None
        self._gate = Gate(total=bounds.DIAL_BACKS, per_peer=1)
        requests.serve(REACH, self._dial_back)

    @property
    def state(self) -> Reachability:
        if self._direct:
            return "direct"
        if self._places.relays():
            return "relayed"
        return "outbound" if self._tried_relays else "unknown"

    def advertised(self, listen: Sequence[str]) -> list[str]:
        """Addresses to tell everyone: "any interface" becomes the one that a bootstrap peer sees."""
        found = [valid_address(each, self._seen_ip) for each in listen]
        return [each for each in found if each is not None] + self._places.addresses()

    async def run(self, host: PeerHost, listen: Sequence[str]) -> None:
        """Serve one host until cancelled."""
        self._host, self._direct, self._tried_relays = host, None, False
        while True:
            before, reached = self.advertised(listen), self.state
            self._direct = await self._ask(host, listen) if listen else False
            if self._direct is False:
                await self._take_places(host)
            if self.state != reached:
                log.info("this node is reached: %s", self.state)
            if self.advertised(listen) != before:
                self._moved()
            settled = self.state in ("direct", "relayed")
            await trio.sleep(bounds.REACH_EVERY_S if settled else bounds.REACH_RETRY_S)

    # ------------------------------------------------------------ asking

    async def _ask(self, host: PeerHost, listen: Sequence[str]) -> bool | None:
        """True if a peer could dial us, False if those asked could not, None if nobody could be asked."""
        peers = [peer_id for peer_id in host.connected() if not host.relayed(peer_id)]
        peers.sort(key=lambda each: each not in self._book.bootstrap)
        answered = None
        payload = codec.encode({"addresses": list(listen)[: bounds.ADDRESSES]})
        timeout_s = bounds.DIAL_BACK_TIMEOUT_S * 2
        for peer_id in peers[: bounds.ASKED_TO_DIAL_BACK]:
            try:
                reply = await request(host, peer_id, REACH, payload, timeout_s=timeout_s)
                fields = codec.decode(reply, max_bytes=limits.REQUEST_BYTES)
                ip, opened = fields["ip"], fields["open"]
                if not isinstance(opened, list):
                    raise TypeError("not a list")
            except (NetworkError, ValueError, TypeError, KeyError) as error:
                log.debug("%s does not dial back: %r", peer_id, error)
                continue
            if peer_id in self._book.bootstrap and isinstance(ip, str):
                self._seen_ip = ip
            if opened:
                return True
            answered = False
        return answered

    async def _take_places(self, host: PeerHost) -> None:
        tried = False
        for peer_id in sorted(host.connected(), key=lambda each: each not in self._places.relays()):
            if "bootstrap" not in self._book.roles_of(peer_id) or host.relayed(peer_id):
                continue
            try:
                await self._places.reserve(host, peer_id, self._book.direct_addresses_of(peer_id))
            except NetworkError as error:
                log.info("%s", error)
            tried = True
            if len(self._places.relays()) >= bounds.RELAYS:
                break
        self._tried_relays = self._tried_relays or tried

    # ------------------------------------------------------------ answering

    async def _dial_back(self, peer_id: str, payload: bytes) -> bytes:
        try:
            addresses = list(codec.decode(payload, max_bytes=limits.REQUEST_BYTES)["addresses"])
        except (ValueError, TypeError, KeyError) as error:
            raise NetworkError("a malformed question", code="SHOAL-N05") from error
        ip = self._host.remote_ip(peer_id) if self._host is not None else None
        if ip is None:
            raise NetworkError("only who is connected directly is dialled", code="SHOAL-N07")
        with self._gate.enter(peer_id) as admitted:
            if not admitted:
                raise NetworkError("busy", code="SHOAL-N06")
            valid = [valid_address(each, ip) for each in addresses[: bounds.ADDRESSES]]
            opened = [each for each in dict.fromkeys(valid) if each is not None and await _answers(each, ip)]
        return codec.encode({"ip": ip, "open": opened})


async def _answers(address: str, ip: str) -> bool:
    """Whether something speaks libp2p at an address, if it is at that IP."""
    found = ip_and_port(address)
    if found is None or found[0] != ip:
        return False
    try:
        with trio.fail_after(bounds.DIAL_BACK_TIMEOUT_S):
            async with await trio.open_tcp_stream(*found) as stream:
                await stream.send_all(_HELLO)
                return await stream.receive_some(len(_HELLO)) == _HELLO
    except (OSError, trio.TooSlowError, trio.BrokenResourceError):
        return False


def on_loopback_only(listen: Sequence[str]) -> bool:
    """Whether no other machine could dial any of these addresses."""
    return all(is_loopback(each) for each in listen)
