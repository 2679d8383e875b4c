"""Funded accounts for whoever wants to begin at once: ECDSA with an alias and ED25519 in turn."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict, dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from hiero_sdk_python.hapi.services import basic_types_pb2 as basic
from hiero_sdk_python.hapi.services import transaction_contents_pb2, transaction_pb2

from shoal.adapters.devnet.clock import SECOND_NS
from shoal.adapters.devnet.context import NODE, account_id, timestamp
from shoal.adapters.devnet.keys import evm_address
from shoal.adapters.devnet.ledger import OPERATOR, Ledger
from shoal.core.ids import keccak256

FUNDS_TINYBAR = 10_000 * 10**8
_ED25519_DER = bytes.fromhex("302e020100300506032b657004220420")
_ECDSA_DER = bytes.fromhex("3030020100300706052b8104000a04220420")
_MAX_FEE_TINYBAR = 10 * 10**8


@dataclass(frozen=True, slots=True)
class FundedAccount:
    """One account: its id, the private key as DER in hex, and how the EVM sees it."""

    account: str
    key_type: str
    private_key: str
    evm_address: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


class _Key:
    """A private key, and what a transaction and its account need of it."""

    def __init__(self, raw: bytes, *, ecdsa: bool) -> None:
        self.raw, self.ecdsa = raw, ecdsa
        if ecdsa:
            self._ecdsa = ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256K1())
            point = serialization.PublicFormat.CompressedPoint
            self.public = self._ecdsa.public_key().public_bytes(serialization.Encoding.X962, point)
            self.proto = basic.Key(ECDSA_secp256k1=self.public)
        else:
            self._ed25519 = ed25519.Ed25519PrivateKey.from_private_bytes(raw)
            self.public = self._ed25519.public_key().public_bytes_raw()
            self.proto = basic.Key(ed25519=self.public)

    @property
    def der(self) -> str:
        return ((_ECDSA_DER if self.ecdsa else _ED25519_DER) + self.raw).hex()

    def sign(self, body: bytes) -> Any:
        """A proto.SignaturePair."""
        if not self.ecdsa:
            return basic.SignaturePair(pubKeyPrefix=self.public, ed25519=self._ed25519.sign(body))
        signature = self._ecdsa.sign(keccak256(body), ec.ECDSA(Prehashed(hashes.SHA256())))
        r, s = decode_dss_signature(signature)
        return basic.SignaturePair(
            pubKeyPrefix=self.public, ECDSA_secp256k1=r.to_bytes(32, "big") + s.to_bytes(32, "big")
        )


def funded_accounts(ledger: Ledger, operator_seed: bytes, count: int) -> list[FundedAccount]:
    """The first `count` accounts of this ledger; those that it does not have yet are created, paid by the operator.

    Keys are derived from a secret that the ledger keeps, so that another directory has others.
    """
    with ledger.store.transaction():
        seed: bytes = ledger.store.meta("account_seed") or secrets.token_bytes(32)
        ledger.store.set_meta("account_seed", seed)
    operator = _Key(operator_seed, ecdsa=False)
    return [_funded(ledger, operator, seed, index) for index in range(count)]


def _funded(ledger: Ledger, operator: _Key, seed: bytes, index: int) -> FundedAccount:
    key = _Key(hashlib.sha256(seed + b"account" + index.to_bytes(4, "big")).digest(), ecdsa=index % 2 == 0)
    noted = f"funded_account_{index}"
    num = ledger.store.meta(noted)
    if num is None:
        # a crash may have come between the account and the note of it: look before creating another
        sql = "select num from entity where kind = 'account' and key = ?"
        row = ledger.store.one(sql, key.proto.SerializeToString())
        num = row[0] if row else _create(ledger, operator, key)
        ledger.store.set_meta(noted, num)
    entity = ledger.store.entity(num)
    assert entity is not None, "found or just created"
    kind = "ECDSA_SECP256K1" if key.ecdsa else "ED25519"
    return FundedAccount(f"0.0.{entity.num}", kind, key.der, "0x" + entity.evm_address.hex())


def _create(ledger: Ledger, operator: _Key, key: _Key) -> int:
    body = transaction_pb2.TransactionBody(transactionFee=_MAX_FEE_TINYBAR)
    body.transactionID.accountID.CopyFrom(account_id(OPERATOR))
    body.transactionID.transactionValidStart.CopyFrom(timestamp(ledger.clock.real_ns() - SECOND_NS))
    body.nodeAccountID.CopyFrom(account_id(NODE))
    body.transactionValidDuration.seconds = 120
    create = body.cryptoCreateAccount
    create.key.CopyFrom(key.proto)
    create.initialBalance = FUNDS_TINYBAR
    create.autoRenewPeriod.seconds = 7_776_000
    signers = [operator]
    if key.ecdsa:
        create.alias = evm_address(key.public)
        signers.append(key)
    raw = body.SerializeToString()
    pairs = basic.SignatureMap(sigPair=[signer.sign(raw) for signer in signers])
    signed = transaction_contents_pb2.SignedTransaction(bodyBytes=raw, sigMap=pairs)
    checked = ledger.check(transaction_pb2.Transaction(signedTransactionBytes=signed.SerializeToString()))
    return int(ledger.execute(checked).receipt.accountID.accountNum)
