"""Drives the ledger without a network: transactions built by hand, wrong in any way, at any time of day."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from hiero_sdk_python.hapi.services import (
    basic_types_pb2,
    duration_pb2,
    transaction_contents_pb2,
    transaction_pb2,
    transaction_record_pb2,
)

from shoal.adapters.devnet.context import account_id, status_name, timestamp, transaction_id
from shoal.adapters.devnet.ledger import Ledger
from shoal.adapters.devnet.queries import Queries
from shoal.adapters.devnet.server import OPERATOR_SEED
from shoal.adapters.devnet.store import Store
from shoal.errors import ProcessError

from .harness import HBAR

OPERATOR_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(OPERATOR_SEED)
START_NS = 1_800_000_000 * 10**9


def public(key: ed25519.Ed25519PrivateKey) -> Any:
    """A proto.Key."""
    return basic_types_pb2.Key(ed25519=key.public_key().public_bytes_raw())


def transfer_body(changes: dict[int, int]) -> Any:
    body = transaction_pb2.TransactionBody()
    for num, amount in changes.items():
        body.cryptoTransfer.transfers.accountAmounts.add(accountID=account_id(num), amount=amount)
    return body


class Direct:
    """A ledger on a directory whose clock moves one second with each transaction."""

    def __init__(self, directory: Path, block_ns: int | None = None) -> None:
        self.now_ns = START_NS
        self.store = Store(directory)
        try:
            operator = OPERATOR_KEY.public_key().public_bytes_raw()
            self.ledger = Ledger(self.store, operator, lambda: self.now_ns, block_ns)
        except ProcessError:
            self.store.close()
            raise
        self.queries = Queries(self.ledger)

    def sign(
        self,
        body: Any,
        *keys: ed25519.Ed25519PrivateKey,
        payer: int = 2,
        node: int = 3,
        fee: int = 100 * HBAR,
        start_ns: int | None = None,
        valid_s: int = 120,
    ) -> Any:
        """Complete a body (a `TransactionBody` with its data set) and sign it; by the operator if no key is given."""
        self.now_ns += 10**9
        body.transactionID.accountID.accountNum = payer
        body.transactionID.transactionValidStart.CopyFrom(timestamp(start_ns or self.now_ns))
        body.nodeAccountID.accountNum = node
        body.transactionFee = fee
        body.transactionValidDuration.CopyFrom(duration_pb2.Duration(seconds=valid_s))
        raw = body.SerializeToString()
        pairs = [
            basic_types_pb2.SignaturePair(pubKeyPrefix=key.public_key().public_bytes_raw(), ed25519=key.sign(raw))
            for key in keys or (OPERATOR_KEY,)
        ]
        signed = transaction_contents_pb2.SignedTransaction(
            bodyBytes=raw, sigMap=basic_types_pb2.SignatureMap(sigPair=pairs)
        )
        return transaction_pb2.Transaction(signedTransactionBytes=signed.SerializeToString())

    def submit(self, body: Any, *keys: ed25519.Ed25519PrivateKey, **frame: Any) -> str:
        """The precheck's status when it is not OK, else the receipt's."""
        code = self.ledger.submit(self.sign(body, *keys, **frame)).nodeTransactionPrecheckCode
        return status_name(code) if code else status_name(self.record(body).receipt.status)

    def record(self, body: Any) -> Any:
        raw = self.store.record(transaction_id(body.transactionID))
        assert raw is not None, "the transaction was not executed"
        return transaction_record_pb2.TransactionRecord.FromString(raw)

    def create(self, key: ed25519.Ed25519PrivateKey, tinybar: int) -> int:
        body = transaction_pb2.TransactionBody()
        body.cryptoCreateAccount.key.CopyFrom(public(key))
        body.cryptoCreateAccount.initialBalance = tinybar
        assert self.submit(body) == "SUCCESS"
        return int(self.record(body).receipt.accountID.accountNum)

    def balance(self, num: int) -> int:
        entity = self.store.entity(num)
        assert entity is not None
        return self.store.balance(entity.evm_address)

    def supply(self) -> int:
        return int(self.store.all("select sum(balance) from evm_account")[0][0])
