"""The ledger: checks a transaction as a node does, executes it at once, commits it, and only then answers."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from hiero_sdk_python.hapi.services import basic_types_pb2 as basic
from hiero_sdk_python.hapi.services import (
    exchange_rate_pb2,
    timestamp_pb2,
    transaction_contents_pb2,
    transaction_pb2,
    transaction_record_pb2,
    transaction_response_pb2,
)

from shoal.adapters.devnet import fees
from shoal.adapters.devnet.clock import SECOND_NS, Clock, Moment
from shoal.adapters.devnet.context import (
    NODE,
    Context,
    Refused,
    account_id,
    checked_memo,
    nanoseconds,
    timestamp,
    transaction_id,
)
from shoal.adapters.devnet.evm import FEE_COLLECTOR
from shoal.adapters.devnet.handlers import HANDLERS
from shoal.adapters.devnet.keys import Signatures, is_empty
from shoal.adapters.devnet.pure_checks import pure_check
from shoal.adapters.devnet.state import Accounts
from shoal.adapters.devnet.store import Entity, Store, long_zero

TOTAL_SUPPLY_TINYBAR = 50_000_000_000 * 10**8
OPERATOR = 2
MAX_TRANSACTION_BYTES = 6144
MIN_VALID_S, MAX_VALID_S, VALID_BUFFER_S = 15, 180, 10
"""A node refuses what would expire within the buffer: it could be too late when consensus is reached."""
OK, SUCCESS, FAIL_INVALID = 0, 22, 5
_SEED_DISTANCE = 3


@dataclass(frozen=True, slots=True)
class Checked:
    """A transaction that passed the node's checks."""

    body: Any
    kind: str
    payload: Any
    signatures: Signatures
    payer: Entity
    payer_key: bytes
    fee: fees.Fee
    gas: int
    hash: bytes
    id: str


class Ledger:
    """The one writer of the store. Everything is synchronous: a call returns when its outcome is committed.

    Args:
        real: the machine's time in ns.
        block_ns: the length of a block; see `Clock`.
    """

    def __init__(
        self,
        store: Store,
        operator_key: bytes,
        real: Callable[[], int] = time.time_ns,
        block_ns: int | None = None,
    ) -> None:
        self.store = store
        self.clock = Clock(store, real, block_ns)
        self._listeners: list[Callable[[], None]] = []
        if store.meta("genesis_ns") is None:
            self._genesis(operator_key)
        if store.meta("block_secret") is None:
            store.set_meta("block_secret", secrets.token_bytes(32))
        self._block_secret = bytes(store.meta("block_secret") or b"")
        newest = store.all("select running_hash from tx order by time_ns desc limit ?", (_SEED_DISTANCE,))
        hashes = [store.meta("running_hash") or b""]
        while len(hashes) < _SEED_DISTANCE:  # before the first record; each other, so that no two seeds are alike
            hashes.append(hashlib.sha384(hashes[-1]).digest())
        hashes += [row[0] for row in newest[::-1]]
        self._running_hashes: deque[bytes] = deque(hashes, _SEED_DISTANCE)

    def _genesis(self, operator_key: bytes) -> None:
        now_ns = self.clock.now_ns()
        key = basic.Key(ed25519=operator_key).SerializeToString()
        with self.store.transaction():
            for num in (OPERATOR, NODE, FEE_COLLECTOR):
                self.store.add_entity("account", key, now_ns=now_ns, num=num)
            accounts = Accounts(self.store)
            accounts.set_balance(long_zero(OPERATOR), TOTAL_SUPPLY_TINYBAR)
            accounts.flush()
            self.store.set_meta("genesis_ns", now_ns)
            self.store.set_meta("running_hash", secrets.token_bytes(48))

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call back after every commit, and after time was moved."""
        self._listeners.append(listener)

    def now_ns(self) -> int:
        """Consensus time; see `Clock.now_ns`."""
        return self.clock.now_ns()

    def moment(self) -> Moment:
        """Now, for a call that is only simulated."""
        now_ns = self.now_ns()
        return Moment(now_ns, self.clock.block_of(now_ns), self.seed, self.block_hash)

    def advance(self, by_ns: int) -> None:
        """Move time forward; see `Clock.advance`."""
        self.clock.advance(by_ns)
        self._changed()

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()

    def block_hash(self, number: int) -> bytes:
        """48 bytes, as Hedera's block hashes are; the EVM sees the first 32. The last eight are the number.

        It depends on every record up to the end of the block, which has to be over, and on a secret of this ledger:
        else the hash of an empty block would be known before it.
        """
        end_ns = (number + 1) * self.clock.block_ns
        row = self.store.one("select running_hash from tx where time_ns < ? order by time_ns desc limit 1", end_ns)
        held: bytes = row[0] if row else self.store.meta("running_hash") or b""
        digest = hmac.digest(self._block_secret, number.to_bytes(8, "big") + held, "sha384")
        return digest[:40] + number.to_bytes(8, "big")

    @property
    def seed(self) -> bytes:
        """What HIP-351 calls the n-3 running hash: over all records but the last two, 48 bytes."""
        return self._running_hashes[0]

    def submit(self, transaction: Any) -> Any:
        """Check and execute a proto.Transaction; the proto.TransactionResponse says what the check found."""
        response = transaction_response_pb2.TransactionResponse()
        try:
            self.execute(self.check(transaction))
        except Refused as refusal:
            response.nodeTransactionPrecheckCode = refusal.code
            response.cost = refusal.cost
        except Exception:
            traceback.print_exc(file=sys.stderr)
            response.nodeTransactionPrecheckCode = FAIL_INVALID
        return response

    # ------------------------------------------------------------ the node's checks

    def check(self, transaction: Any) -> Checked:
        """What a node refuses without charging anything.

        Raises:
            Refused: with the status that a real node answers.
        """
        raw = transaction.signedTransactionBytes
        if transaction.ByteSize() > MAX_TRANSACTION_BYTES:
            raise Refused("TRANSACTION_OVERSIZE")
        try:
            signed = transaction_contents_pb2.SignedTransaction.FromString(raw)
            body = transaction_pb2.TransactionBody.FromString(signed.bodyBytes)
        except DecodeError:
            raise Refused("INVALID_TRANSACTION") from None
        kind = body.WhichOneof("data")
        if not raw or not signed.bodyBytes or kind is None:
            raise Refused("INVALID_TRANSACTION_BODY")
        self._check_frame(body)
        payer = self.store.entity(body.transactionID.accountID.accountNum, "account")
        if payer is None:
            raise Refused("PAYER_ACCOUNT_NOT_FOUND")
        signatures = Signatures(signed.sigMap.sigPair, signed.bodyBytes)
        payer_key = _payer_key(payer, signatures)
        if not fees.supported(kind):
            raise Refused("NOT_SUPPORTED")
        payload = getattr(body, kind)
        pure_check(kind, payload)
        gas = payload.gas if kind in ("contractCall", "contractCreateInstance") else 0
        fee = fees.transaction_fee(kind, payload, signatures=len(signatures), size_bytes=transaction.ByteSize())
        worst = fee.total + gas * fees.GAS_PRICE_TINYBAR
        if body.transactionFee < worst:
            raise Refused("INSUFFICIENT_TX_FEE", cost=worst)
        if self.store.balance(payer.evm_address) < worst:
            raise Refused("INSUFFICIENT_PAYER_BALANCE", cost=worst)
        digest = hashlib.sha384(raw).digest()
        name = transaction_id(body.transactionID)
        return Checked(body, kind, payload, signatures, payer, payer_key, fee, gas, digest, name)

    def _check_frame(self, body: Any) -> None:
        """Node, time window, memo, identity."""
        node = body.nodeAccountID
        if node.shardNum or node.realmNum or node.accountNum != NODE:
            raise Refused("INVALID_NODE_ACCOUNT")
        checked_memo(body.memo)
        valid_s = body.transactionValidDuration.seconds
        if not MIN_VALID_S <= valid_s <= MAX_VALID_S:
            raise Refused("INVALID_TRANSACTION_DURATION")
        identity = body.transactionID
        if not identity.HasField("accountID") or identity.scheduled or identity.nonce:
            raise Refused("INVALID_TRANSACTION_ID")
        if identity.accountID.shardNum or identity.accountID.realmNum:
            raise Refused("PAYER_ACCOUNT_NOT_FOUND")
        start = identity.transactionValidStart
        if not (0 <= start.nanos < SECOND_NS and 0 <= start.seconds < 2**33):
            raise Refused("INVALID_TRANSACTION_START")
        now_ns, start_ns = self.clock.real_ns(), nanoseconds(start)
        if start_ns > now_ns:
            raise Refused("INVALID_TRANSACTION_START")
        if now_ns >= start_ns + (valid_s - VALID_BUFFER_S) * SECOND_NS:
            raise Refused("TRANSACTION_EXPIRED")
        if self.store.record(transaction_id(identity)) is not None:
            raise Refused("DUPLICATE_TRANSACTION")

    # ------------------------------------------------------------ execution

    def execute(self, checked: Checked) -> Any:
        """Execute and commit; returns the proto.TransactionRecord. What fails still pays."""
        now_ns = self.clock.next_ns()
        with self.store.transaction():
            record, running_hashes = self._execute(checked, now_ns)
        self._running_hashes.extend(running_hashes)
        self._changed()
        return record

    def _execute(self, checked: Checked, now_ns: int) -> tuple[Any, list[bytes]]:
        record = _new_record(checked, now_ns)
        accounts = Accounts(self.store)
        moment = Moment(now_ns, self.clock.block_of(now_ns), self.seed, self.block_hash)
        context = Context(self.store, accounts, checked.signatures, checked.payer, moment, record)
        payer = checked.payer.evm_address
        if checked.payer_key != checked.payer.key:
            self.store.update_entity(checked.payer.num, now_ns, key=checked.payer_key)
        gas_tinybar = checked.gas * fees.GAS_PRICE_TINYBAR
        accounts.set_balance(payer, accounts.get_balance(payer) - checked.fee.total - gas_tinybar)
        mark = accounts.record()
        self.store.run("savepoint handler")
        try:
            HANDLERS[checked.kind](context, checked.payload)
            record.receipt.status = SUCCESS
        except Refused as refusal:
            accounts.discard(mark)
            self.store.run("rollback to handler")
            record.receipt.status = refusal.code
            context.logs.clear()
            context.created.clear()
        self.store.run("release handler")
        self._settle(checked, context, gas_tinybar)
        return record, self._write(checked, context)

    def _settle(self, checked: Checked, context: Context, gas_tinybar: int) -> None:
        """Refund unused gas, pay the node and the collector, and list who gained and lost what."""
        accounts, record = context.accounts, context.record
        used_tinybar = context.gas_used * fees.GAS_PRICE_TINYBAR
        assert used_tinybar <= gas_tinybar, "the EVM cannot use more than it was given"
        fee = checked.fee
        gains = (
            (checked.payer.evm_address, gas_tinybar - used_tinybar),
            (long_zero(NODE), fee.node),
            (long_zero(FEE_COLLECTOR), fee.network + used_tinybar),
        )
        for address, tinybar in gains:
            accounts.set_balance(address, accounts.get_balance(address) + tinybar)
        record.transactionFee = fee.total + used_tinybar
        amounts: dict[int, int] = {}
        for address, change in accounts.deltas().items():
            entity = self.store.by_address(address)
            assert entity is not None, "handlers create the accounts that they pay"
            amounts[entity.num] = change
        assert sum(amounts.values()) == 0, f"transaction {checked.id} makes or burns HBAR"
        for num, change in sorted(amounts.items()):
            record.transferList.accountAmounts.add(accountID=account_id(num), amount=change)

    def _write(self, checked: Checked, context: Context) -> list[bytes]:
        """The transaction's rows, in the SQL transaction that is open; returns the records' running hashes."""
        record, now_ns, store = context.record, context.now_ns, self.store
        context.accounts.flush()
        running_hashes = [self._running_hashes[-1]]
        for nonce, num in enumerate(context.created, 1):
            child = self._child_record(checked, num, nonce, now_ns - len(context.created) + nonce - 1)
            self._write_record(checked, child, running_hashes, kind="cryptoCreateAccount", entity=num)
        self._write_record(
            checked, record, running_hashes, kind=checked.kind, entity=context.entity, gas_used=context.gas_used
        )
        for index, (emitter, log) in enumerate(context.logs):
            topics = (*log.topics, None, None, None, None)[:4]
            values = (now_ns, index, emitter, log.address, log.bloom, *topics, log.data)
            store.run("insert into log values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *values)
        return running_hashes[1:]

    def _child_record(self, checked: Checked, num: int, nonce: int, time_ns: int) -> Any:
        """The record of an account that came to life: before its parent's, under the same id with a nonce (HIP-583)."""
        record = _new_record(checked, time_ns)
        record.transactionHash = hashlib.sha384(checked.hash + nonce.to_bytes(4, "big")).digest()
        record.transactionID.nonce = nonce
        entity = self.store.entity(num)
        assert entity is not None, "the handler created it"
        record.memo, record.alias = entity.memo, entity.alias or b""
        record.evm_address = entity.evm_address
        record.receipt.status = SUCCESS
        record.receipt.accountID.accountNum = num
        return record

    def _write_record(
        self,
        checked: Checked,
        record: Any,
        running_hashes: list[bytes],
        *,
        kind: str,
        entity: int | None,
        gas_used: int = 0,
    ) -> None:
        """One record, of the transaction or of a child; appends to the running hashes."""
        raw, time_ns = record.SerializeToString(), nanoseconds(record.consensusTimestamp)
        running_hashes.append(hashlib.sha384(running_hashes[-1] + hashlib.sha384(raw).digest()).digest())
        self.store.run(
            "insert into tx values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            time_ns,
            checked.id,
            record.transactionID.nonce,
            kind,
            checked.payer.num,
            record.receipt.status,
            record.transactionHash,
            raw,
            entity,
            min(checked.body.transactionFee, 2**63 - 1),
            checked.body.transactionValidDuration.seconds,
            gas_used,
            running_hashes[-1],
        )
        amounts = {entry.accountID.accountNum: entry.amount for entry in record.transferList.accountAmounts}
        for num, amount in ({checked.payer.num: 0} | amounts).items():
            self.store.run("insert into tx_account values(?, ?, ?)", num, time_ns, amount)


def _payer_key(payer: Entity, signatures: Signatures) -> bytes:
    """The payer's key, which must have signed; a hollow account is completed by the key of its address."""
    key = payer.key_tree
    if is_empty(key):
        key = signatures.key_of_address(payer.evm_address)
    if key is None or not signatures.satisfy(key):
        raise Refused("INVALID_SIGNATURE")
    return bytes(key.SerializeToString())


def _new_record(checked: Checked, now_ns: int) -> Any:
    record = transaction_record_pb2.TransactionRecord(
        transactionHash=checked.hash,
        consensusTimestamp=timestamp(now_ns),
        transactionID=checked.body.transactionID,
        memo=checked.body.memo,
    )
    expires = timestamp_pb2.TimestampSeconds(seconds=(now_ns // SECOND_NS // 3600 + 1) * 3600)
    rate = exchange_rate_pb2.ExchangeRate(hbarEquiv=fees.HBARS, centEquiv=fees.CENTS, expirationTime=expires)
    record.receipt.exchangeRate.currentRate.CopyFrom(rate)
    record.receipt.exchangeRate.nextRate.CopyFrom(rate)
    return record
