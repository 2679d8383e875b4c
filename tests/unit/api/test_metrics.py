"""`/metrics`: read with Prometheus's own parser, with what a node counts and sees."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock

from shoal import meters
from shoal.api import metrics
from shoal.api.server import serving_metrics
from shoal.core.money import Tinybar
from shoal.errors import ConfigError, DataError, LedgerUnreachable, ProcessError
from shoal.ports import Movement, NetworkStatus, Peer

from .desk import Desk, api


class Peers:
    """A peer network of two."""

    def peers(self) -> list[Peer]:
        one = Peer("a", (), ("trainer",), connected=True, received_bytes=7, sent_bytes=11)
        return [one, Peer("b", (), ("client",), connected=False)]

    def status(self) -> NetworkStatus:
        return NetworkStatus("direct", 1, (), ("c",), 2)


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Sample name and labels -> value."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    return read(text).get((name, tuple(sorted(labels.items()))), 0.0)


async def test_a_client_node_serves_them_without_a_token(clock: MockClock, desk: Desk) -> None:
    world = desk.world.running()
    async with api(desk) as it:
        before = (await it.http.get("/metrics")).text
        assert value(before, "shoal_tasks", phase="running") == 0
        assert (await it.http.get(f"/api/v1/tasks/{world.task.hex()}")).status_code == 200
        with trio.fail_after(60):
            while value((await it.http.get("/metrics")).text, "shoal_tasks", phase="running") != 1:  # noqa: ASYNC110
                await trio.sleep(0.1)
        rounds = value(before, "shoal_rounds_total")
        world.round()
        with trio.fail_after(60):
            while value((await it.http.get("/metrics")).text, "shoal_rounds_total") != rounds + 1:  # noqa: ASYNC110
                await trio.sleep(0.1)
        missing = errors("SHOAL-T08")
        assert (await it.http.get("/api/v1/tasks/ffff")).status_code == 404
        assert errors("SHOAL-T08") == missing + 1
        answer = await it.http.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert value(answer.text, "shoal_task_round", task=world.task.hex()[:12]) == 1
    assert value(metrics.render(Peers()).decode(), "shoal_tasks", phase="running") == 0, "it is not followed any more"  # type: ignore[arg-type]


def test_peers_are_counted_when_they_are_asked_for() -> None:
    text = metrics.render(Peers()).decode()  # type: ignore[arg-type]
    assert value(text, "shoal_peers", state="connected") == 1
    assert value(text, "shoal_peers", state="known") == 2
    assert value(text, "shoal_peers", state="cut_off") == 1
    assert value(text, "shoal_peers_by_role", role="trainer") == 1
    assert value(text, "shoal_peers_by_role", role="client") == 0
    assert value(text, "shoal_peer_connection_bytes", direction="sent") == 11
    assert value(text, "shoal_network_rebuilds") == 2
    assert value(text, "shoal_reachability", how="direct") == 1
    assert value(text, "process_resident_memory_bytes") > 10**6


def test_every_meter_is_ours_and_says_what_it_is() -> None:
    for family in text_string_to_metric_families(metrics.render(Peers()).decode()):  # type: ignore[arg-type]
        assert family.name.startswith(("shoal_", "process_")) and family.documentation.endswith((".", "s"))


def errors(code: str) -> float:
    return value(metrics.render(Peers()).decode(), "shoal_errors_total", code=code)  # type: ignore[arg-type]


@pytest.fixture
def counted() -> Iterator[None]:
    meters.count_errors()
    meters.count_errors()  # once all the same
    yield
    log = logging.getLogger("shoal")
    for each in [each for each in log.handlers if isinstance(each, meters.ErrorCounter)]:
        log.removeHandler(each)


def test_errors_in_the_log_are_counted_by_code(counted: None) -> None:
    before, log = errors("SHOAL-D03"), logging.getLogger("shoal.task")
    error = DataError("row 3 is empty", code="SHOAL-D03")
    log.warning("task %s: %s", "ab", error)
    log.warning("%s", error)
    log.error("it failed", exc_info=error)
    log.info("not told: %s", error)
    log.warning("nothing here: %s", 5)
    log.warning("nor here: %(a)s", {"a": 1})
    assert errors("SHOAL-D03") == before + 3


def fees() -> float:
    return value(metrics.render(Peers()).decode(), "shoal_ledger_fees_tinybar_total")  # type: ignore[arg-type]


async def test_fees_are_those_that_this_account_paid(autojump_clock: MockClock) -> None:
    class Mirror:
        account, asked = "0.0.5", 0

        async def watermark(self) -> int:
            self.asked += 1
            if self.asked == 2:
                raise LedgerUnreachable("away")
            return self.asked * 100

        async def movements(self, *, after_ns: int, until_ns: int, account: str) -> list[Movement]:
            assert account == self.account and after_ns < until_ns
            row: Any = (after_ns + 1, "tx", "CALL", "SUCCESS", (), "0.0.5", Tinybar(7))
            return [Movement(*row), Movement(*row[:5], "0.0.6", Tinybar(1_000))]

    before = fees()
    with trio.move_on_after(3.5 * metrics.FEES_S):
        await metrics.watch_fees(Mirror())  # type: ignore[arg-type]
    assert fees() == before + 14, "of the third and fourth look, the second found nobody"


# ---------------------------------------------------------------- nodes without an API


class Away:
    account = ""

    async def watermark(self) -> int:
        raise LedgerUnreachable("away")


async def test_other_nodes_serve_them_where_they_are_told_to() -> None:
    network: Any = Peers()
    async with serving_metrics("127.0.0.1:0", "bootstrap", network=network, ledger=None) as url:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            answer = await http.get("/metrics")
            assert value(answer.text, "shoal_peers", state="known") == 2
            assert any(name == "shoal_build_info" for name, _ in read(answer.text))
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert (await http.get("/healthz")).json() == {"status": "ok"}
            assert (await http.get("/readyz")).status_code == 200
            assert (await http.get("/")).status_code == 404
            assert (await http.post("/metrics")).status_code == 405
    async with serving_metrics("127.0.0.1:0", "trainer", network=network, ledger=Away()) as url:  # type: ignore[arg-type]
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            answer = await http.get("/readyz")
            assert (answer.status_code, answer.json()["checks"]) == (503, {"ledger": False})


async def test_a_place_that_cannot_be_had_is_told() -> None:
    network: Any = Peers()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ProcessError) as used:
            async with serving_metrics(f"127.0.0.1:{port}", "trainer", network=network, ledger=None):
                pass
        assert used.value.code == "SHOAL-P02" and "metrics_listen" in used.value.hint
    with pytest.raises(ConfigError) as unusable:
        async with serving_metrics("192.0.2.1:0", "trainer", network=network, ledger=None):
            pass
    assert unusable.value.code == "SHOAL-C26"
