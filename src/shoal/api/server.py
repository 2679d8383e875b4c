"""Serving the applications with Hypercorn, in the nursery that the node's services live in."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as serve_http

from shoal.api.access import Access, Caller
from shoal.api.app import command_app, resource_app
from shoal.api.service import Endpoints, Service
from shoal.api.token import Token
from shoal.client.desk import Desk
from shoal.errors import ConfigError, ProcessError
from shoal.settings import Settings
from shoal.shell.commands import Shell

URL_FILE = "api-url"
"""In a node's directory: where it is, or was last, served."""
STOP_S = 1.0
_PUBLIC_MIRRORS = {
    "solo": "http://localhost:38081",
    "testnet": "https://testnet.mirrornode.hedera.com",
    "mainnet": "https://mainnet-public.mirrornode.hedera.com",
}
_BACKLOG = 128


@dataclass(frozen=True)
class Serving:
    """Where a node is served, and with which token."""

    url: str
    command_url: str
    token: Token
    access: Access
    service: Service


@asynccontextmanager
async def serving(desk: Desk, *, peer_id_of: Callable[[bytes], str]) -> AsyncIterator[Serving]:
    """Serve a client node until the block ends.

    Raises:
        ProcessError: SHOAL-P02, a port is in use.
        ConfigError: SHOAL-C22, C27, the token's file; C26, an address cannot be bound.
    """
    settings = desk.settings
    token = Token.load(settings.dir)
    with _listening(settings.api_listen) as api, _listening(settings.command_listen) as commands:
        operator = Caller("operator", desk.ledger.account, desk.ledger.address)
        access, places = Access(token, desk.store, operator), endpoints_of(settings, _url(api))
        async with Service.open(desk, endpoints=places) as service, trio.open_nursery() as nursery:
            stop, shell = trio.Event(), Shell(desk)
            served = Serving(_url(api), _url(commands), token, access, service)
            nursery.start_soon(_serve, resource_app(service, access, peer_id_of=peer_id_of), api, stop)
            nursery.start_soon(_serve, command_app(service, shell, access), commands, stop)
            (settings.dir / URL_FILE).write_text(served.url + "\n")
            try:
                yield served
            finally:
                stop.set()
            with trio.move_on_after(STOP_S):
                await trio.sleep(STOP_S / 10)
            nursery.cancel_scope.cancel()


def endpoints_of(settings: Settings, url: str) -> Endpoints:
    """Where pages are, and what they talk to beside the node served at `url`."""
    port = urlsplit(url).port
    own = [url, f"http://127.0.0.1:{port}", f"http://localhost:{port}"]
    named = [f"{scheme}://{host}" for host in settings.api_hosts for scheme in ("http", "https")]
    mirror = settings.mirror_rest or _PUBLIC_MIRRORS.get(settings.network, "")
    # The devnet's mirror speaks gRPC-web as well; elsewhere the SDKs know the public proxies.
    grpc_web = settings.grpc_web or (mirror if settings.network == "devnet" else "")
    return Endpoints(mirror, grpc_web, tuple(dict.fromkeys([*own, *named, *settings.api_origins])))


async def _serve(app: Any, listener: socket.socket, stop: trio.Event) -> None:
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]  # Hypercorn closes it
    config.accesslog = None  # of a line a request nobody would read, and none can hold what it should not
    config.errorlog = logging.getLogger("shoal.http")
    config.graceful_timeout = STOP_S
    config.keep_alive_timeout = 60
    config.h11_max_incomplete_size = 16 * 1024
    config.include_server_header = False
    await serve_http(app, config, shutdown_trigger=partial(_set, stop), mode="asgi")


async def _set(stop: trio.Event) -> None:
    await stop.wait()


def _listening(address: str) -> socket.socket:
    """A bound socket, so that port 0 is known before anything is served."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise _unusable(address, str(error)) from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(place)
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        if getattr(error, "errno", 0) != 98:
            raise _unusable(address, str(error)) from error
        raise ProcessError(
            f"port {port} of {host} is in use",
            code="SHOAL-P02",
            hint="stop what uses it, or choose another with api_listen or command_listen (port 0 takes a free one)",
        ) from error
    listener.setblocking(False)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _unusable(address: str, why: str) -> ConfigError:
    return ConfigError(f"cannot listen on {address}: {why}", code="SHOAL-C26", hint="give an address of this machine")
