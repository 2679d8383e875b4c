"""Wires the devnet: one store, one ledger, three ports, until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypercorn.asyncio import serve as serve_http
from hypercorn.config import Config

from shoal.adapters.devnet.context import NODE
from shoal.adapters.devnet.grpc_web import GrpcWeb
from shoal.adapters.devnet.ledger import OPERATOR, Ledger
from shoal.adapters.devnet.mirror_grpc import Subscriptions
from shoal.adapters.devnet.mirror_rest import application
from shoal.adapters.devnet.node_grpc import NodeService
from shoal.adapters.devnet.queries import Queries
from shoal.adapters.devnet.store import Store
from shoal.errors import ProcessError

HOST = "127.0.0.1"
OPERATOR_SEED = bytes.fromhex("91132178e72057a1d7528025956fe39b0b847f200ab59b2fdd367017f3087137")
"""The public developer key that Solo's networks use too. It protects nothing."""
_DER_PREFIX = "302e020100300506032b657004220420"
_MAX_CONCURRENT_RPCS = 1000
_STOP_S = 0.5


@dataclass(frozen=True)
class DevnetConfig:
    """Where the ledger is kept, and the first of three ports (0: free ones).

    >>> DevnetConfig(Path(".shoal-devnet"))  # doctest: +ELLIPSIS
    DevnetConfig(dir=...Path('.shoal-devnet'), port_base=50211)
    """

    dir: Path
    port_base: int = 50211


@dataclass(frozen=True)
class DevnetEndpoints:
    """What a client needs; `node` and `mirror_grpc` are host:port, `mirror_rest` a URL, the key is DER in hex."""

    node: str
    node_account: str
    mirror_grpc: str
    mirror_rest: str
    operator_id: str
    operator_key: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def run(config: DevnetConfig, on_ready: Callable[[DevnetEndpoints], None]) -> None:
    """Serve in the foreground until SIGINT or SIGTERM; then stop cleanly and return.

    Raises:
        ProcessError: SHOAL-P02, a port is in use; SHOAL-P03, the directory is.
    """
    asyncio.run(_serve(config, on_ready))


async def _serve(config: DevnetConfig, on_ready: Callable[[DevnetEndpoints], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as cleanup:
        store = Store(config.dir)
        cleanup.callback(store.close)
        public = ed25519.Ed25519PrivateKey.from_private_bytes(OPERATOR_SEED).public_key()
        ledger = Ledger(store, public.public_bytes_raw())
        queries = Queries(ledger)
        node = NodeService(ledger, queries)
        base = config.port_base
        node_port = await _grpc_server(node.handlers(), base, cleanup)
        mirror_port = await _grpc_server([Subscriptions(ledger).handler()], base and base + 1, cleanup)
        listener = _listen(base and base + 2)
        rest_port = listener.getsockname()[1]
        app = application(ledger, queries, GrpcWeb(node), (node_port, rest_port))
        http = asyncio.create_task(_http_server(app, listener.detach(), stop))
        cleanup.push_async_callback(_finish, http, stop)
        on_ready(
            DevnetEndpoints(
                node=f"{HOST}:{node_port}",
                node_account=f"0.0.{NODE}",
                mirror_grpc=f"{HOST}:{mirror_port}",
                mirror_rest=f"http://{HOST}:{rest_port}",
                operator_id=f"0.0.{OPERATOR}",
                operator_key=_DER_PREFIX + OPERATOR_SEED.hex(),
            )
        )
        await stop.wait()


async def _finish(http: asyncio.Task[None], stop: asyncio.Event) -> None:
    stop.set()
    await http


async def _grpc_server(handlers: list[Any], port: int, cleanup: AsyncExitStack) -> int:
    """Start a server; its port. The cleanup stack also keeps it referenced: one that is collected stops silently."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)], maximum_concurrent_rpcs=_MAX_CONCURRENT_RPCS)
    server.add_generic_rpc_handlers(tuple(handlers))
    try:
        bound: int = server.add_insecure_port(f"{HOST}:{port}")
    except RuntimeError:
        raise _in_use(port) from None
    await server.start()
    cleanup.push_async_callback(server.stop, _STOP_S)
    return bound


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise _in_use(port) from None
    listener.setblocking(False)
    return listener


async def _http_server(app: Any, descriptor: int, stop: asyncio.Event) -> None:
    config = Config()
    config.bind = [f"fd://{descriptor}"]
    config.accesslog = None
    config.loglevel = "WARNING"
    config.graceful_timeout = _STOP_S
    config.keep_alive_timeout = 60
    config.include_server_header = False

    async def stopped() -> None:
        await stop.wait()

    await serve_http(app, config, shutdown_trigger=stopped)


def _in_use(port: int) -> ProcessError:
    return ProcessError(
        f"port {port} is in use",
        code="SHOAL-P02",
        hint="stop what uses it, or choose another --port-base (0 takes free ports)",
    )
