"""The consensus nodes through the official SDK: its blocking calls in threads, its client renewed when it gives up."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc
import trio
from hiero_sdk_python.account.account_id import AccountId
from hiero_sdk_python.client.client import Client
from hiero_sdk_python.exceptions import MaxAttemptsError, PrecheckError, ReceiptStatusError

from shoal.adapters.hedera.settings import LedgerSettings

log = logging.getLogger("shoal.ledger")

T = TypeVar("T")
_THREADS = 8
_ATTEMPT_S = 10.0
_NEVER_SENT = ("failed to connect to all addresses", "DNS resolution failed", "no ready addresses")
_HELD_OUT = "unhealthy"
_NEVER_SENT_EITHER = (_HELD_OUT, "No node", "certificate")


class Unanswered(Exception):
    """A node gave no answer.

    `sent` is False only where the request has certainly not left this machine; `held_out` is True where the SDK did
    not try, since it holds all nodes out that the request is for.
    """

    def __init__(self, text: str, *, sent: bool, held_out: bool = False) -> None:
        super().__init__(text)
        self.sent, self.held_out = sent, held_out


class Refused(Exception):
    """A node answered with a status other than OK; a name of proto.ResponseCodeEnum.

    `receipt` is True where it is what a transaction's receipt says, and False where the node refused the request.
    """

    def __init__(self, status: str, *, receipt: bool) -> None:
        super().__init__(status)
        self.status, self.receipt = status, receipt


class _Lease:
    """A client, and how many threads are using it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.users = 0
        self.retired = False

    def close_if_idle(self) -> None:
        if self.retired and not self.users:
            self.client.close()


class Nodes:
    """Runs functions on an SDK client, one attempt each: the retries are ours, since only we may decide on them.

    A client that holds out every node, or every node that a transaction was signed for, is replaced. With one node
    that is so after a single dropped connection, and would stay so for 16 s.
    """

    def __init__(self, settings: LedgerSettings, key: Any) -> None:
        self._settings, self._key = settings, key
        self._limiter = trio.CapacityLimiter(_THREADS)
        self._making = trio.Lock()
        self._lease: _Lease | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: LedgerSettings, key: Any) -> AsyncIterator[Nodes]:
        nodes = cls(settings, key)
        try:
            yield nodes
        finally:
            nodes._retire()

    async def run(self, function: Callable[[Any], T]) -> T:
        """`function(client)` in a thread, which is not abandoned on cancellation: an attempt lasts 10 s at most.

        Raises:
            Unanswered: no answer.
            Refused: the node's answer is a refusal.
        """
        lease = await self._current()
        lease.users += 1
        try:
            return await trio.to_thread.run_sync(_classified, function, lease.client, limiter=self._limiter)
        except Unanswered as error:
            log.debug("consensus node: %s", error)
            healthy = any(node.is_healthy() for node in lease.client.network.nodes)
            if lease is self._lease and (error.held_out or not healthy):
                self._retire()
            raise
        finally:
            lease.users -= 1
            lease.close_if_idle()

    async def _current(self) -> _Lease:
        async with self._making:
            if self._lease is None:
                self._lease = _Lease(await trio.to_thread.run_sync(self._make, limiter=self._limiter))
            return self._lease

    def _retire(self) -> None:
        if self._lease is not None:
            self._lease.retired = True
            self._lease.close_if_idle()
            self._lease = None

    def _make(self) -> Any:
        settings = self._settings
        if settings.node:
            client = Client.for_network({settings.node: AccountId.from_string(settings.node_account)})
        else:
            client = Client.for_testnet() if settings.network == "testnet" else Client.for_mainnet()
        client.logger.set_silent(True)  # it writes to stdout, which belongs to the program's data
        if settings.mirror_grpc:
            client.network.mirror_address = settings.mirror_grpc
        client.set_operator(AccountId.from_string(settings.operator_id), self._key)
        client.set_max_attempts(1).set_grpc_deadline(_ATTEMPT_S)
        client.set_min_backoff(0).set_max_backoff(0)
        return client


def _classified(function: Callable[[Any], T], client: Any) -> T:
    """Turn the SDK's exceptions into our two."""
    try:
        return function(client)
    except (PrecheckError, ReceiptStatusError) as error:
        raise _refused(error) from error
    except MaxAttemptsError as error:
        last = error.last_error
        if isinstance(last, PrecheckError | ReceiptStatusError):
            raise _refused(last) from error
        raise _unanswered(last) from error
    except grpc.RpcError as error:
        raise _unanswered(error) from error
    except (RuntimeError, ValueError) as error:
        # Raised before anything is sent: no node is healthy, or its certificate cannot be had. Anything else may have
        # been raised while an answer was read.
        sent = not any(text in str(error) for text in _NEVER_SENT_EITHER)
        raise Unanswered(str(error), sent=sent, held_out=_HELD_OUT in str(error)) from error


def _refused(error: PrecheckError | ReceiptStatusError) -> Refused:
    return Refused(error.status.name, receipt=isinstance(error, ReceiptStatusError))


def _unanswered(error: BaseException | None) -> Unanswered:
    if not isinstance(error, grpc.RpcError):
        # No node was tried (all held out), or the SDK failed while it read an answer.
        return Unanswered(str(error or "no healthy node"), sent=error is not None)
    details = str(error.details() or "")
    sent = not (error.code() == grpc.StatusCode.UNAVAILABLE and any(text in details for text in _NEVER_SENT))
    return Unanswered(f"{error.code().name}: {details}", sent=sent)
