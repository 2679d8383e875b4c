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

from shoal.adapters.devnet import control
from shoal.adapters.devnet.accounts import FUNDS_TINYBAR, FundedAccount, funded_accounts
from shoal.adapters.devnet.clock import SECOND_NS
from shoal.adapters.devnet.context import NODE
from shoal.adapters.devnet.front import Front
from shoal.adapters.devnet.grpc_web import GrpcWeb
from shoal.adapters.devnet.ledger import OPERATOR, Ledger
from shoal.adapters.devnet.mirror_grpc import Mirror
from shoal.adapters.devnet.mirror_network import HOST
from shoal.adapters.devnet.mirror_rest import application
from shoal.adapters.devnet.node_grpc import NodeService
from shoal.adapters.devnet.queries import Queries
from shoal.adapters.devnet.store import Store
from shoal.errors import ProcessError

OPERATOR_SEED = bytes.fromhex("91132178e72057a1d7528025956fe39b0b847f200ab59b2fdd367017f3087137")
"""The public developer key that Solo's networks use too. It protects nothing."""
_DER_PREFIX = "302e020100300506032b657004220420"
_MAX_CONCURRENT_RPCS = 1000
_STOP_S = 0.5
LOCAL_NODE_PORTS = (50211, 5600, 5551, 8080, 8084, 8545)
"""Where SDKs look for a local network: node, mirror gRPC, and REST under each of the ports that they know."""


@dataclass(frozen=True)
class DevnetConfig:
    """Where the ledger is kept and how it is reached.

    >>> DevnetConfig(Path(".shoal-devnet"), accounts=2)  # doctest: +SKIP

    Args:
        port_base: the first of three ports; 0 takes free ones.
        local_node: use `LOCAL_NODE_PORTS` instead.
        accounts: how many funded accounts to have.
        block_time_s: seconds between blocks, for a new ledger; None: 2, or what the ledger has.
        control: serve the control endpoint, by which tests move time.
    """

    dir: Path
    port_base: int = 50211
    local_node: bool = False
    accounts: int = 0
    block_time_s: float | None = None
    control: bool = False

    @property
    def ports(self) -> tuple[int, ...]:
        """Node, mirror (gRPC and REST), REST (and grpc-web), and more ports for REST."""
        base = self.port_base
        return LOCAL_NODE_PORTS if self.local_node else (base, base and base + 1, base and base + 2)


@dataclass(frozen=True)
class DevnetEndpoints:
    """What a client needs; `node` and `mirror_grpc` are host:port, `mirror_rest` a URL, keys are DER in hex."""

    node: str
    node_account: str
    mirror_grpc: str
    mirror_rest: str
    operator_id: str
    operator_key: str
    control: str | None = None
    """The URL of the control endpoint, if it was asked for."""
    accounts: tuple[FundedAccount, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """The same for people."""
        values = self.as_dict()
        accounts = values.pop("accounts")
        lines = [f"{name:13} {value}" for name, value in values.items() if value is not None]
        if accounts:
            lines += ["", f"{len(accounts)} accounts with {FUNDS_TINYBAR // 10**8:,} HBAR each:"]
        for account in accounts:
            lines.append("  ".join((f"{account['account']:9}", f"{account['key_type']:15}", account["evm_address"])))
            lines.append(f"           {account['private_key']}")
        return lines


def run(config: DevnetConfig, on_ready: Callable[[DevnetEndpoints], None]) -> None:
    """Serve in the foreground until SIGINT or SIGTERM; then stop cleanly and return.

    Raises:
        ProcessError: SHOAL-P02, a port is in use; SHOAL-P03, the directory is; SHOAL-P04, it cannot be opened.
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
        block_ns = round(config.block_time_s * SECOND_NS) if config.block_time_s else None
        ledger = Ledger(store, public.public_bytes_raw(), block_ns=block_ns)
        accounts = funded_accounts(ledger, OPERATOR_SEED, config.accounts)
        ports = await _start(ledger, config, cleanup, stop)
        rest = f"http://{HOST}:{ports[2]}"
        on_ready(
            DevnetEndpoints(
                node=f"{HOST}:{ports[0]}",
                node_account=f"0.0.{NODE}",
                mirror_grpc=f"{HOST}:{ports[1]}",
                mirror_rest=rest,
                operator_id=f"0.0.{OPERATOR}",
                operator_key=_DER_PREFIX + OPERATOR_SEED.hex(),
                control=rest + control.PATH if config.control else None,
                accounts=tuple(accounts),
            )
        )
        await stop.wait()


async def _start(
    ledger: Ledger, config: DevnetConfig, cleanup: AsyncExitStack, stop: asyncio.Event
) -> tuple[int, int, int]:
    """Start the servers; the ports of node, mirror and REST."""
    queries = Queries(ledger)
    node = NodeService(ledger, queries)
    wanted_node, wanted_mirror, *wanted_rest = config.ports
    node_port = await _grpc_server(node.handlers(), wanted_node, cleanup)
    mirror = Mirror(ledger, (HOST, node_port))
    inner_port = await _grpc_server(mirror.handlers(), 0, cleanup)
    listeners = [_listen(port, cleanup) for port in wanted_rest]
    rest_port: int = listeners[0].getsockname()[1]
    front = Front(HOST, inner_port, rest_port)
    front_listener = _listen(wanted_mirror, cleanup)
    mirror_port: int = front_listener.getsockname()[1]
    server = await front.serve(front_listener)
    cleanup.push_async_callback(front.close)
    cleanup.callback(server.close)
    more = control.routes(ledger) if config.control else []
    app = application(ledger, queries, GrpcWeb(node, mirror), (node_port, rest_port), more)
    http = asyncio.create_task(_http_server(app, [listener.detach() for listener in listeners], stop))
    cleanup.push_async_callback(_finish, http, stop)
    return node_port, mirror_port, rest_port


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


def _listen(port: int, cleanup: AsyncExitStack) -> socket.socket:
    """A listening socket that is closed at the end, unless it was detached."""
    listener = cleanup.enter_context(socket.socket())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError:
        raise _in_use(port) from None
    listener.setblocking(False)
    return listener


async def _http_server(app: Any, descriptors: list[int], stop: asyncio.Event) -> None:
    config = Config()
    config.bind = [f"fd://{descriptor}" for descriptor in descriptors]
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
