"""`GET /metrics`: what a node counts, with what it sees of its peers, in Prometheus's text format."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version

import trio
from fastapi import APIRouter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shoal import meters
from shoal.api.guard import SecurityHeaders
from shoal.core.limits import PEERS
from shoal.errors import ShoalError
from shoal.ports import LedgerView, Network

log = logging.getLogger("shoal.api")

FEES_S = 30.0
"""How often the mirror is asked for this account's fees."""
READY_S = 5.0
"""How long a ledger may take to answer before the node says that it is not ready."""


class PeerCollector(Collector):
    """Looks at the peer network when it is asked."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def collect(self) -> Iterator[Metric]:
        peers, status = self._network.peers()[:PEERS], self._network.status()
        connected = [peer for peer in peers if peer.connected]
        counts = {"connected": float(len(connected)), "known": float(len(peers)), "cut_off": float(len(status.cut_off))}
        yield meters.gauge("shoal_peers", "Peers of this node.", counts, "state")
        roles = Counter(role for peer in connected for role in peer.roles)
        named = {role: float(roles[role]) for role in ("bootstrap", "client", "trainer", "validator")}
        yield meters.gauge("shoal_peers_by_role", "Connected peers by the role that they claim.", named, "role")
        moved = {
            "received": float(sum(peer.received_bytes for peer in connected)),
            "sent": float(sum(peer.sent_bytes for peer in connected)),
        }
        text = "Bytes over the connections that are open now."
        yield meters.gauge("shoal_peer_connection_bytes", text, moved, "direction")
        rebuilds = GaugeMetricFamily("shoal_network_rebuilds", "How often the peer network was started anew.")
        rebuilds.add_metric([], float(status.rebuilds))
        yield rebuilds
        reach = {each: float(each == status.reachability) for each in ("unknown", "direct", "relayed", "outbound")}
        yield meters.gauge("shoal_reachability", "1 for how others reach this node.", reach, "how")


def render(network: Network) -> bytes:
    """Everything, as text."""
    seen = CollectorRegistry()
    seen.register(PeerCollector(network))
    return generate_latest(meters.REGISTRY) + generate_latest(seen)


def router(network: Network) -> APIRouter:
    """`/metrics` beside the API; it needs no token and tells no secret."""
    routes = APIRouter(tags=["health"])

    @routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def get_metrics() -> Response:
        """For Prometheus."""
        return _response(network)

    return routes


def metrics_app(network: Network, ledger: LedgerView | None) -> Starlette:
    """`/metrics`, `/healthz` and `/readyz` of a node that serves nothing else.

    Args:
        ledger: None for a bootstrap node, which is ready as soon as it answers.
    """

    async def get_metrics(request: Request) -> Response:
        return _response(network)

    async def get_health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def get_readiness(request: Request) -> Response:
        checks = {} if ledger is None else {"ledger": await answers(ledger)}
        ready = all(checks.values())
        return JSONResponse({"status": "ok" if ready else "not ready", "checks": checks}, 200 if ready else 503)

    routes = [Route("/metrics", get_metrics), Route("/healthz", get_health), Route("/readyz", get_readiness)]
    app = Starlette(routes=routes)
    app.add_middleware(SecurityHeaders)
    return app


async def answers(ledger: LedgerView) -> bool:
    """Whether a ledger answers in time."""
    with trio.move_on_after(READY_S):
        try:
            await ledger.watermark()
            return True
        except ShoalError:
            pass
    return False


def begin(role: str) -> None:
    """Count from now on, as this role."""
    meters.BUILD.labels(version("shoal"), role).set(1)
    meters.count_errors()


async def watch_fees(ledger: LedgerView) -> None:
    """Count what the network charges this account from now on, for whatever it does, as the mirror tells it."""
    after: int | None = None
    while True:
        try:
            until = await ledger.watermark()
            if after is not None and until > after:
                rows = await ledger.movements(after_ns=after, until_ns=until, account=ledger.account)
                meters.LEDGER_FEES.inc(sum(int(row.fee_tinybar) for row in rows if row.payer == ledger.account))
            after = until
        except ShoalError as error:
            log.info("fees are not counted at present: %s", error)
        await trio.sleep(FEES_S)


def _response(network: Network) -> Response:
    return Response(render(network), media_type=CONTENT_TYPE_PLAIN_0_0_4)
