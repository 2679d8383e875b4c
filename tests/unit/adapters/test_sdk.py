"""When the SDK gives a node up: a client that would refuse to try is replaced, and nobody believes that it was sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from hiero_sdk_python.account.account_id import AccountId
from hiero_sdk_python.client.client import Client
from hiero_sdk_python.exceptions import MaxAttemptsError
from hiero_sdk_python.query.account_balance_query import CryptoGetAccountBalanceQuery

from shoal.adapters.hedera.sdk import Nodes, Unanswered
from shoal.adapters.hedera.settings import LedgerSettings

SETTINGS = LedgerSettings("custom", node="127.0.0.1:9", mirror_rest="http://x", operator_id="0.0.2", operator_key="k")


class Error(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


def two_nodes(made: list[Any]) -> Callable[[Any], Any]:
    def make(nodes: Nodes) -> Any:
        client = Client.for_network({"127.0.0.1:9": AccountId(0, 0, 3), "127.0.0.1:10": AccountId(0, 0, 4)})
        client.logger.set_silent(True)
        client.set_max_attempts(1).set_min_backoff(0).set_max_backoff(0)
        made.append(client)
        return client

    return make


async def test_a_transaction_whose_nodes_are_held_out_gets_a_new_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another node is well, but the transaction is not signed for it: without a new client it would wait for long."""
    made: list[Any] = []
    monkeypatch.setattr(Nodes, "_make", two_nodes(made))
    async with Nodes.open(SETTINGS, None) as nodes:
        await nodes.run(lambda client: None)
        third = next(node for node in made[0].network.nodes if node._account_id == AccountId(0, 0, 3))
        made[0].network._increase_backoff(third)
        query = CryptoGetAccountBalanceQuery(AccountId(0, 0, 2)).set_node_account_ids([AccountId(0, 0, 3)])
        with pytest.raises(Unanswered) as caught:
            await nodes.run(query.execute)
        assert caught.value.held_out and not caught.value.sent and "unhealthy" in str(caught.value)
        await nodes.run(lambda client: None)
        assert len(made) == 2 and all(node.is_healthy() for node in made[1].network.nodes)


async def test_a_client_with_a_node_that_is_well_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(Nodes, "_make", two_nodes(made))

    def fails(client: Any) -> None:
        raise MaxAttemptsError("no", AccountId(0, 0, 3), Error(grpc.StatusCode.UNAVAILABLE, "Socket closed"))

    async with Nodes.open(SETTINGS, None) as nodes:
        with pytest.raises(Unanswered) as caught:
            await nodes.run(fails)
        assert caught.value.sent and not caught.value.held_out
        await nodes.run(lambda client: None)
        assert len(made) == 1


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (Error(grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses; last error: refused"), False),
        (Error(grpc.StatusCode.UNAVAILABLE, "DNS resolution failed"), False),
        (Error(grpc.StatusCode.UNAVAILABLE, "Socket closed"), True),
        (Error(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"), True),
        (Error(grpc.StatusCode.INTERNAL, "Received RST_STREAM"), True),
        (RuntimeError("All nodes are unhealthy"), False),
        (RuntimeError("No node found for node_account_id: 0.0.3"), False),
        (ValueError("an answer that cannot be read"), True),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_only_what_certainly_stayed_here_was_not_sent(
    monkeypatch: pytest.MonkeyPatch, error: Exception, sent: bool
) -> None:
    monkeypatch.setattr(Nodes, "_make", two_nodes([]))

    def fails(client: Any) -> None:
        raise error

    async with Nodes.open(SETTINGS, None) as nodes:
        with pytest.raises(Unanswered) as caught:
            await nodes.run(fails)
    assert caught.value.sent is sent
