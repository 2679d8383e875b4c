"""Sending a transaction so that it happens once, whatever is lost on the way."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import trio
from hiero_sdk_python.account.account_id import AccountId
from hiero_sdk_python.hapi.services.timestamp_pb2 import Timestamp
from hiero_sdk_python.query.transaction_get_receipt_query import TransactionGetReceiptQuery
from hiero_sdk_python.transaction.transaction import Transaction
from hiero_sdk_python.transaction.transaction_id import TransactionId

from shoal.adapters.hedera.journal import Journal, Record
from shoal.adapters.hedera.mirror import SECOND_NS, Mirror, time_text
from shoal.adapters.hedera.sdk import Nodes, Refused, Unanswered
from shoal.adapters.hedera.transactions import Make
from shoal.core.ids import entity_number
from shoal.errors import LedgerError, LedgerUnreachable

log = logging.getLogger("shoal.ledger")

VALID_S = 120
_BACKDATE_NS, _JITTER_NS = 5 * SECOND_NS, 3 * SECOND_NS
_NODES_PER_TRANSACTION = 5
_FINAL_S = 60.0
"""When even the mirror could not tell this long after the end of a transaction that may have been sent."""
_LAG_NS = 10 * SECOND_NS
_DENIALS, _DENIAL_PAUSE_S = 3, 1.0
"""A mirror may be several machines, of which the one that answers may be behind the one that was asked before. That a
transaction never happened is believed when the mirror is this far past its end, and denies it this often."""
_ASK_FOR_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_BURNT_TRIES = 5
_BUSY = frozenset({"BUSY", "PLATFORM_TRANSACTION_NOT_CREATED", "PLATFORM_NOT_ACTIVE", "THROTTLED_AT_CONSENSUS"})
_BURNT = frozenset({"THROTTLED_AT_CONSENSUS", "CONSENSUS_GAS_EXHAUSTED"})
_PENDING = frozenset({"RECEIPT_NOT_FOUND", "RECORD_NOT_FOUND", "UNKNOWN", "OK", "BUSY", "PLATFORM_NOT_ACTIVE"})


@dataclass(frozen=True, slots=True)
class Landed:
    """A transaction that has consensus and succeeded."""

    transaction: str
    """`0.0.x-seconds-nanoseconds`, as the mirror writes it."""
    entity: int | None
    """The number of what it created."""


class Failed(Exception):
    """A transaction that did not happen: refused by a node, or failed at consensus (then its fee is spent)."""

    def __init__(self, status: str, transaction: str, *, at_consensus: bool) -> None:
        super().__init__(f"{transaction}: {status}")
        self.status, self.transaction, self.at_consensus = status, transaction, at_consensus


class _NeverHappened(LedgerUnreachable):
    """It was not sent, or its time is over without it: it will not happen any more."""


class _Busy(LedgerError):
    """The network refused to take it."""


class _IdTaken(Exception):
    """Someone else who uses this account drew the same transaction id."""


class Ids:
    """Transaction ids of one account: never the same twice here, and hardly ever the same as another process's."""

    def __init__(self, account: str) -> None:
        self._account = AccountId.from_string(account)
        self._last_ns = 0

    def take(self, count: int = 1) -> list[Any]:
        """Ids with consecutive valid starts, backdated since clocks differ and a start must not be in the future."""
        drawn_ns = time.time_ns() - _BACKDATE_NS - secrets.randbelow(_JITTER_NS)
        start_ns = max(drawn_ns, self._last_ns + 1)
        self._last_ns = start_ns + count - 1
        return [TransactionId(self._account, _stamp(start_ns + offset)) for offset in range(count)]


def _stamp(time_ns: int) -> Any:
    return Timestamp(seconds=time_ns // SECOND_NS, nanos=time_ns % SECOND_NS)


def _start_ns(identity: Any) -> int:
    return int(identity.valid_start.seconds * SECOND_NS + identity.valid_start.nanos)


def mirror_id(identity: Any) -> str:
    """A transaction id as the mirror writes it."""
    return f"{identity.account_id}-{time_text(_start_ns(identity)).replace('.', '-')}"


class Submitter:
    """Sends transactions of one account.

    A transaction gets its id once. After a lost answer its receipt is asked for, of a node and then of the mirror,
    before the very same signed bytes are sent again: the network executes an id once. A new id is taken only after the
    first has certainly failed. Where nobody answers, the outcome is awaited until the mirror has passed the end of the
    120 s in which the transaction is valid: then it has happened or never will.

    What is sent under a name is in the journal before it leaves: a later process that asks for the same begins with
    what became of it.
    """

    def __init__(self, nodes: Nodes, mirror: Mirror, account: str, *, journal: Journal, unsent_s: float) -> None:
        self._nodes, self._mirror, self.ids = nodes, mirror, Ids(account)
        self._journal, self._unsent_s = journal, unsent_s

    async def run(
        self,
        make: Make,
        *,
        cap_tinybar: int,
        identity: Any = None,
        redraw: bool = True,
        signers: Sequence[Any] = (),
        name: str = "",
    ) -> Landed:
        """Send until it has consensus.

        Args:
            cap_tinybar: the fee that the network may charge at most, gas included.
            identity: the transaction id to begin with; one is drawn where it is None.
            redraw: whether another id may be taken where the first cannot be used any more.
            signers: private keys that sign beside the operator.
            name: of the request, where it must not happen twice even across restarts; kept until `forget`.

        Raises:
            Failed: it did not happen, for a reason that a repetition would not change.
            LedgerUnreachable: it did not happen since the network could not be reached; or (its `money` says so) its
                outcome could not be learnt.
            LedgerError: SHOAL-L05, the network stayed busy, or an id is used up that may not be exchanged.
        """
        earlier = await self.resume(name) if name else None
        if earlier is not None:
            return earlier
        status = "BUSY"
        for attempt in range(_BURNT_TRIES if redraw else 1):
            (given,) = [identity] if identity is not None and attempt == 0 else self.ids.take()
            try:
                return await self._once(make, given, cap_tinybar, signers, name)
            except _IdTaken:
                log.info("transaction id %s is taken; another is drawn", mirror_id(given))
            except Failed as error:
                if error.status not in _BURNT:
                    raise
                status = error.status
                await trio.sleep(random.uniform(0.5, 1.0) * 2**attempt)  # noqa: S311 - spreads load
        raise _busy(status)

    async def resume(self, name: str) -> Landed | None:
        """What became of the transaction that was sent under a name before; None if there is none, or it failed.

        While it may still happen, its bytes are sent again.

        Raises:
            LedgerUnreachable: its outcome cannot be learnt now.
        """
        record = self._journal.get(name)
        if record is None:
            return None
        if record.landed:
            return Landed(record.transaction, record.entity)
        log.warning("%s was under way when this node stopped; asking what became of it", record.transaction)
        signed = await trio.to_thread.run_sync(Transaction.from_bytes, record.signed)
        try:
            return await self._finish(signed, signed.transaction_id, name, maybe_sent=True)
        except Failed as error:
            log.warning("it failed: %s", error)
        except _NeverHappened:
            log.warning("%s did not happen", record.transaction)
        return None

    def forget(self, name: str) -> None:
        """The caller has taken note of what happened: the next request of this name is a new one."""
        self._journal.drop(name)

    async def _once(self, make: Make, identity: Any, cap_tinybar: int, signers: Sequence[Any], name: str) -> Landed:
        """One id to its end."""

        def prepare(client: Any) -> Any:
            made = make()
            made.set_transaction_id(identity)
            made.transaction_fee = cap_tinybar
            known = [node._account_id for node in client.network.nodes]
            made.set_node_account_ids(random.sample(known, min(_NODES_PER_TRANSACTION, len(known))))
            made.freeze_with(client).sign_with_operator(client)
            for key in signers:
                made.sign(key)
            return made

        signed = await self._nodes.run(prepare)
        if name:
            self._journal.put(name, Record(mirror_id(identity), signed.to_bytes()))
        return await self._finish(signed, identity, name)

    async def _finish(self, signed: Any, identity: Any, name: str, *, maybe_sent: bool = False) -> Landed:
        """To the end of it; the journal keeps what is still open, and what has happened."""
        sending = _Sending(self._nodes, self._mirror, signed, identity, self._unsent_s, maybe_sent=maybe_sent)
        try:
            landed = await sending.finish()
        except (Failed, _Busy, _IdTaken, _NeverHappened):
            if name:
                self._journal.drop(name)
            raise
        if name:
            self._journal.put(name, Record(landed.transaction, b"", landed=True, entity=landed.entity))
        return landed


class _Sending:
    """The life of one signed transaction."""

    def __init__(
        self, nodes: Nodes, mirror: Mirror, signed: Any, identity: Any, unsent_s: float, *, maybe_sent: bool
    ) -> None:
        self._nodes, self._mirror, self._signed, self._id = nodes, mirror, signed, identity
        self._unsent_s = unsent_s
        self._name = mirror_id(identity)
        self._ends_ns = _start_ns(identity) + VALID_S * SECOND_NS
        self._begun_s = trio.current_time()
        # By this machine's clock, which may be wrong: the last word has the mirror's.
        self._over_s = self._begun_s + max(0, self._ends_ns - time.time_ns()) / SECOND_NS
        self._maybe_sent = maybe_sent
        self._denials = 0
        self._problem = "no answer"
        self._refusal: Failed | None = None

    async def finish(self) -> Landed:
        pause_s, send_at_s = _FIRST_PAUSE_S, self._begun_s
        if self._maybe_sent and (landed := await self._ask()):
            return landed
        while True:
            now_s = trio.current_time()
            if now_s >= send_at_s and self._refusal is None and not (self._maybe_sent and now_s > self._over_s):
                await self._send()
                send_at_s = trio.current_time() + (_ASK_FOR_S if self._maybe_sent else 0)
            if self._maybe_sent:
                landed = await self._ask()
                if landed is not None:
                    return landed
            if landed := await self._last_word():
                return landed
            await trio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)

    async def _send(self) -> None:
        """One attempt. Sets what is known after it."""
        try:
            await self._nodes.run(lambda client: self._signed.execute(client, wait_for_receipt=False))
            self._maybe_sent = True
        except Unanswered as error:
            self._problem = str(error)
            self._maybe_sent = self._maybe_sent or error.sent
        except Refused as error:
            self._problem = error.status
            if error.status in _BUSY:
                return
            if error.status == "DUPLICATE_TRANSACTION":
                if not self._maybe_sent:
                    raise _IdTaken from error
                return
            failed = Failed(error.status, self._name, at_consensus=False)
            if not self._maybe_sent:
                raise failed from error
            # An earlier attempt may still have consensus: this one's refusal is not the last word.
            self._refusal = failed

    async def _ask(self) -> Landed | None:
        """What became of it; None while nobody knows."""
        query = TransactionGetReceiptQuery(self._id, validate_status=True)
        try:
            return _landed(self._name, await self._nodes.run(query.execute))
        except Refused as error:
            if error.receipt and error.status not in _PENDING:
                raise Failed(error.status, self._name, at_consensus=True) from error
            self._problem = error.status
            if error.receipt or error.status in _PENDING:
                return None
            # This node does not answer the question: that says nothing about the transaction.
        except Unanswered as error:
            self._problem = str(error)
        return await self._ask_mirror()

    async def _ask_mirror(self) -> Landed | None:
        try:
            row = await self._mirror.transaction(self._name)
        except LedgerUnreachable as error:
            self._problem = error.message
            return None
        if row is None:
            return None
        if row["result"] != "SUCCESS":
            raise Failed(row["result"], self._name, at_consensus=True)
        return Landed(self._name, entity_number(row["entity_id"]) if row.get("entity_id") else None)

    async def _last_word(self) -> Landed | None:
        """None while it may still be learnt what happened; raises once nothing happened, or nobody can tell."""
        now_s = trio.current_time()
        if not self._maybe_sent:
            if now_s - self._begun_s > self._unsent_s:
                if self._problem in _BUSY:
                    raise _busy(self._problem)
                raise _NeverHappened(**_unreachable(self._problem, "nothing was sent"))
            return None
        if now_s <= self._over_s:
            return None
        try:
            passed = await self._mirror.watermark() > self._ends_ns + _LAG_NS
        except LedgerUnreachable as error:
            self._problem, passed = error.message, False
        if passed:
            # Asked after the watermark: the mirror has all that could have happened by now.
            if landed := await self._ask_mirror():
                return landed
            self._denials += 1
            if self._denials < _DENIALS:
                await trio.sleep(_DENIAL_PAUSE_S)
                return None
            never = "the transaction did not happen and never will"
            raise self._refusal or _NeverHappened(**_unreachable(self._problem, never))
        if now_s > self._over_s + _FINAL_S:
            unknown = f"whether {self._name} happened is not known: the same command asks for it before anything else"
            raise LedgerUnreachable(**_unreachable(self._problem, unknown))
        return None


def _busy(status: str) -> _Busy:
    return _Busy(
        f"the network is too busy: {status}",
        code="SHOAL-L05",
        hint="try again in a minute",
        money="the transaction did not happen; at most its fee was spent",
    )


def _unreachable(problem: str, money: str) -> dict[str, str]:
    return {
        "message": f"no consensus node answers: {problem}",
        "hint": "check the network connection and the settings network and ledger_node",
        "money": money,
    }


def _landed(name: str, receipt: Any) -> Landed:
    created = (receipt.account_id, receipt.topic_id, receipt.file_id, receipt.contract_id)
    for entity in created:
        if entity is not None:
            return Landed(name, entity_number(str(entity)))
    return Landed(name, None)
