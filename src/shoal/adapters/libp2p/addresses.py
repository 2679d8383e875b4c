"""Which addresses are worth a dial: TCP over IP or a name, direct or through a relay."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any

from shoal.adapters.libp2p import bounds

PEER_ID = re.compile(r"12D3KooW[1-9A-HJ-NP-Za-km-z]{44}\Z")
CIRCUIT = "/p2p-circuit"
_ADDRESS = re.compile(
    r"/(ip4|ip6|dns4|dns6|dns)/([0-9A-Za-z.:-]{1,100})/tcp/([1-9][0-9]{0,4})"
    r"(/p2p/12D3KooW[1-9A-HJ-NP-Za-km-z]{44}/p2p-circuit)?\Z"
)


def valid_address(text: Any, seen_ip: str | None = None) -> str | None:
    """A dialable TCP multiaddr without peer id, or None. "Any interface" becomes the address the peer is seen at.

    >>> valid_address("/ip4/0.0.0.0/tcp/4001", "192.0.2.7")
    '/ip4/192.0.2.7/tcp/4001'
    """
    if not isinstance(text, str) or len(text) > bounds.ADDRESS_CHARACTERS:
        return None
    match = _ADDRESS.match(text)
    if match is None or int(match[3]) > 65_535:
        return None
    family, host, circuit = match[1], match[2], match[4] or ""
    if family in ("ip4", "ip6"):
        try:
            ip = ipaddress.ip_address(host)
            if ip.is_unspecified and seen_ip is not None and not circuit:
                ip = ipaddress.ip_address(seen_ip)
        except ValueError:
            return None
        if ip.is_unspecified or ip.is_multicast:
            return None
        family, host = f"ip{ip.version}", str(ip)
    return f"/{family}/{host}/tcp/{match[3]}{circuit}"


def valid_addresses(addresses: Iterable[Any], seen_ip: str | None = None) -> tuple[str, ...]:
    """The first few, checked, each once."""
    found = [valid_address(each, seen_ip) for each in list(addresses)[: bounds.ADDRESSES]]
    return tuple(dict.fromkeys(each for each in found if each is not None))


def split_address(text: str) -> tuple[str, str] | None:
    """An address with `/p2p/<peer id>` as (address, peer id), or None if it cannot be dialled.

    >>> split_address("/ip4/192.0.2.7/tcp/4001") is None
    True
    """
    bare, _, peer_id = text.rpartition("/p2p/")
    address = valid_address(bare)
    return (address, peer_id) if address is not None and PEER_ID.match(peer_id) else None


def is_circuit(address: str) -> bool:
    """Whether an address leads through a relay.

    >>> is_circuit("/ip4/192.0.2.7/tcp/4001")
    False
    """
    return address.endswith(CIRCUIT)


def ip_and_port(address: str) -> tuple[str, int] | None:
    """Of a direct address over IP; None for others."""
    family, host, _, port, *rest = address.strip("/").split("/")
    return (host, int(port)) if family in ("ip4", "ip6") and not rest else None


def is_loopback(address: str) -> bool:
    """Whether only this machine can use an address."""
    found = ip_and_port(address)
    return found is not None and ipaddress.ip_address(found[0]).is_loopback
