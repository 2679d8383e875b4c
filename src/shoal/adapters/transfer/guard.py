"""Where a stranger's URL may lead: public addresses only, checked on the very address that is connected to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

import httpcore
import trio

from shoal.errors import StorageError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LEAST_CONNECT_S = 2.0


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet at large.

    Not so: loopback, private, link-local (cloud metadata), shared, reserved, multicast; nor an IPv6 address that only
    wraps such an IPv4 address.

    >>> is_public("93.184.216.34"), is_public("169.254.169.254"), is_public("::ffff:10.0.0.1")
    (True, False, False)
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


class PublicOnly(httpcore.AsyncNetworkBackend):
    """Opens TCP connections, to public addresses only.

    A name is resolved here, once, and the connection goes to one of the addresses that were checked: a name server
    that answers differently the second time (DNS rebinding) gains nothing. TLS still verifies the name.
    """

    def __init__(self) -> None:
        self._inner = httpcore.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            with trio.fail_after(timeout if timeout is not None else float("inf")):
                found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except trio.TooSlowError:
            raise httpcore.ConnectTimeout(f"the name {host} was not resolved in time") from None
        except OSError as error:
            raise httpcore.ConnectError(f"the name {host} cannot be resolved: {error.strerror}") from None
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if not addresses or not all(is_public(address) for address in addresses):
            raise StorageError(
                f"{host} is an address inside a private network, where no task's data can lie",
                code="SHOAL-S08",
                hint="if you run the task: use a store that trainers can reach from the internet; where your whole "
                "market is on one local network, let every node set private_urls",
            )
        each_s = None if timeout is None else max(timeout / len(addresses), _LEAST_CONNECT_S)
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, each_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(addresses[-1], port, each_s, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)
