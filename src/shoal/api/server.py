"""Serving the applications with Hypercorn, in the nursery that the node's services live in."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as serve_http

from shoal.api import metrics
from shoal.api.access import Access, Caller
from shoal.api.app import command_app, resource_app, trainer_app
from shoal.api.service import Endpoints, Service
from shoal.api.token import Token
from shoal.client.desk import Desk
from shoal.core.ids import Address
from shoal.errors import ConfigError, ProcessError
from shoal.ports import LedgerView, Network, Store
from shoal.seal.files import whole_file
from shoal.settings import SERVING, Settings
from shoal.shell.commands import Shell
from shoal.shell.station import Station
from shoal.track import check as check_trackers

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
    access: Access
    service: Service

    @property
    def token(self) -> Token:
        return self.access.token


@asynccontextmanager
async def serving(desk: Desk, *, peer_id_of: Callable[[bytes], str]) -> AsyncIterator[Serving]:
    """Serve a client node until the block ends.

    Raises:
        ProcessError: SHOAL-P02, a port is in use.
        ConfigError: SHOAL-C22, C27, the token's file; C26, an address cannot be bound.
        UsageError: SHOAL-U70, U71, a tracker cannot be had.
    """
    settings = desk.settings
    check_trackers(settings.trackers)
    access = access_of(settings, desk.store, desk.ledger.account, desk.ledger.address)
    with _listening(settings.api_listen) as api, _listening(settings.command_listen) as commands:
        places = endpoints_of(settings, _url(api))
        async with Service.open(desk, endpoints=places) as service, station_of(service) as station:
            served = Serving(_url(api), _url(commands), access, service)
            metrics.begin("client")
            resources = resource_app(service, access, peer_id_of=peer_id_of)
            apps = [(resources, api), (command_app(Shell(station), access), commands)]
            async with _serving(apps, desk.ledger):
                _note(settings.dir, url=served.url, command_url=served.command_url)
                yield served


def station_of(service: Service) -> AbstractAsyncContextManager[Station]:
    """A client node as its commands see it: `train` hands its tasks to the service."""
    desk = service.desk
    drive = service.following.drive
    return Station.open("client", desk.settings, desk.network, desk.store, desk=desk, drive=drive)


def access_of(settings: Settings, store: Store, account: str = "", address: Address | None = None) -> Access:
    """Who may do what at a node: its token is made at its first start.

    Args:
        account, address: the node's own; a bootstrap node has none.
    """
    operator = Caller("operator", account, address or Address(bytes(20)))
    return Access(Token.load(settings.dir), store, operator)


@dataclass(frozen=True)
class CommandServing:
    """Where a node takes commands, and with which token."""

    command_url: str
    token: Token


@asynccontextmanager
async def serving_commands(station: Station) -> AsyncIterator[CommandServing]:
    """Serve the command port alone, of a node of any role, until the block ends. Raises as `serving`."""
    access = access_of(station.settings, station.store)
    with _listening(station.settings.command_listen) as listener:
        served = CommandServing(_url(listener), access.token)
        async with _serving([(command_app(Shell(station), access), listener)]):
            _note(station.settings.dir, command_url=served.command_url)
            yield served


def _note(directory: Path, **urls: str) -> None:
    """For commands of the same directory, which ask the node that runs instead of being one."""
    with whole_file(directory / SERVING) as file:
        file.write(json.dumps(urls).encode())


@asynccontextmanager
async def _serving(apps: Sequence[tuple[Any, socket.socket]], watched: LedgerView | None = None) -> AsyncIterator[None]:
    """Serve until the block ends.

    Args:
        watched: the ledger whose fees are counted meanwhile.
    """
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        if watched is not None:
            nursery.start_soon(metrics.watch_fees, watched)
        for app, listener in apps:
            nursery.start_soon(_serve, app, listener, stop)
        try:
            yield
        finally:
            stop.set()
        with trio.move_on_after(STOP_S):
            await trio.sleep(STOP_S / 10)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def serving_trainer(desk: Desk) -> AsyncIterator[tuple[str, Token]]:
    """Serve what a trainer has to tell until the block ends; where, and with which token.

    Its port is `api_listen`; where that is taken, as by a client node on the same machine, any free one.

    Raises:
        ConfigError: SHOAL-C22, C27, the token's file; C26, an address cannot be bound.
    """
    access = access_of(desk.settings, desk.store, desk.ledger.account, desk.ledger.address)
    address = desk.settings.api_listen
    try:
        listener = _listening(address)
    except ProcessError:
        listener = _listening(f"{address.rpartition(':')[0]}:0")
    with listener:
        url = _url(listener)
        async with _serving([(trainer_app(desk, access), listener)]):
            yield url, access.token


@asynccontextmanager
async def serving_metrics(
    address: str, role: str, *, network: Network, ledger: LedgerView | None
) -> AsyncIterator[str]:
    """Serve `/metrics`, `/healthz` and `/readyz` of a node without an API until the block ends; where.

    Args:
        address: host:port.

    Raises:
        ProcessError: SHOAL-P02, the port is in use.
        ConfigError: SHOAL-C26, the address cannot be bound.
    """
    with _listening(address, "metrics_listen") as listener:
        metrics.begin(role)
        url = _url(listener)
        async with _serving([(metrics.metrics_app(network, ledger), listener)], ledger):
            yield url


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


def _listening(address: str, setting: str = "api_listen or command_listen") -> socket.socket:
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
            hint=f"stop what uses it, or choose another with {setting} (port 0 takes a free one)",
        ) from error
    listener.setblocking(False)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _unusable(address: str, why: str) -> ConfigError:
    return ConfigError(f"cannot listen on {address}: {why}", code="SHOAL-C26", hint="give an address of this machine")
