"""Peers on the same local network, by mDNS (libp2p specs, `discovery/mdns.md`).

zeroconf by itself; the library's wrapper of it changes the peerstore and calls back from zeroconf's own thread.
"""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Callable, Sequence
from typing import Any

import trio
from zeroconf import InterfaceChoice, ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.addresses import ip_and_port, split_address

log = logging.getLogger(__name__)

SERVICE = "_p2p._udp.local."
_KEY = b"dnsaddr="
_TXT_BYTES = 255
_WAITING = 64
_ASK_MS = 3_000


def txt_record(addresses: Sequence[str], peer_id: str) -> bytes:
    """The TXT record of a node: strings `dnsaddr=<multiaddr>/p2p/<peer id>`, each with its length in a byte.

    >>> txt_record(["/ip4/192.0.2.1/tcp/1"], "12D3KooWx")[1:9]
    b'dnsaddr='
    """
    rows = [_KEY + f"{address}/p2p/{peer_id}".encode() for address in addresses[: bounds.ADDRESSES]]
    return b"".join(bytes([len(row)]) + row for row in rows if len(row) <= _TXT_BYTES)


def read_txt(text: bytes) -> list[tuple[str, str]]:
    """The addresses in a TXT record, as (address, peer id); what is malformed is left out."""
    found: list[tuple[str, str]] = []
    rest = text
    while rest and len(found) < bounds.ADDRESSES:
        row, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
        if row.startswith(_KEY):
            pair = split_address(row.removeprefix(_KEY).decode("ascii", "replace"))
            if pair is not None:
                found.append(pair)
    return found


async def run_lan(
    peer_id: str,
    addresses: Sequence[str],
    found: Callable[[str, list[str]], None],
    *,
    interfaces: Any = InterfaceChoice.All,
) -> None:
    """Announce this node and report others, for ever; without a network to do so on, say so and return.

    Args:
        addresses: own addresses with a concrete IP, without `/p2p/`.
        found: called with each other's peer id and addresses: hints, which a dial then proves or not.
    """
    try:
        zeroconf = await trio.to_thread.run_sync(lambda: Zeroconf(interfaces=interfaces))
    except OSError as error:
        log.warning("no peers by mDNS: %s", error)
        return
    try:
        await _serve(zeroconf, peer_id, addresses, found)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(zeroconf.close)


async def _serve(
    zeroconf: Zeroconf, peer_id: str, addresses: Sequence[str], found: Callable[[str, list[str]], None]
) -> None:
    send, receive = trio.open_memory_channel[str](_WAITING)
    token = trio.lowlevel.current_trio_token()

    def note(name: str) -> None:
        try:
            send.send_nowait(name)
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("an mDNS answer was dropped")

    def on_change(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is not ServiceStateChange.Removed:
            token.run_sync_soon(note, name)

    own = f"{secrets.token_hex(16)}.{SERVICE}"  # the specs want a name that tells nothing
    await trio.to_thread.run_sync(zeroconf.register_service, _info(own, peer_id, addresses))
    browser = await trio.to_thread.run_sync(lambda: ServiceBrowser(zeroconf, SERVICE, handlers=[on_change]))
    try:
        async for name in receive:
            if name == own:
                continue
            info = await trio.to_thread.run_sync(zeroconf.get_service_info, SERVICE, name, _ASK_MS)
            for address, other in read_txt(info.text or b"") if info is not None else ():
                if other != peer_id:
                    found(other, [address])
    finally:
        browser.cancel()


def _info(name: str, peer_id: str, addresses: Sequence[str]) -> ServiceInfo:
    pairs = [pair for pair in map(ip_and_port, addresses) if pair is not None]
    ips = [socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip) for ip, _ in pairs]
    return ServiceInfo(
        SERVICE,
        name,
        port=pairs[0][1] if pairs else 0,
        properties=txt_record(addresses, peer_id),
        server=f"{name.partition('.')[0]}.local.",
        addresses=ips,
    )
