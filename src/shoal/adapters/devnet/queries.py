"""Queries: free ones, and paid ones whose payment is a transaction of its own."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any

from hiero_sdk_python.hapi.services import query_header_pb2, response_pb2, transaction_record_pb2

from shoal.adapters.devnet import fees
from shoal.adapters.devnet.context import (
    NODE,
    Refused,
    callable_address,
    find_account,
    find_contract,
    timestamp,
    transaction_id,
)
from shoal.adapters.devnet.evm import MAX_GAS, Call, Execution, execute, intrinsic_gas
from shoal.adapters.devnet.ledger import FAIL_INVALID, SUCCESS, Checked, Ledger
from shoal.adapters.devnet.state import Accounts
from shoal.adapters.devnet.store import Entity

LEDGER_ID = b"\x03"
"""0, 1 and 2 are mainnet, testnet and previewnet."""
HAPI_VERSION = (0, 66, 0)
_EXPIRES_NS = 4_000_000_000 * 10**9
_PREFIX = {"contractGetBytecode": "contractGetBytecodeResponse"}


class Queries:
    """Answers proto.Query from the ledger.

    >>> Queries(ledger).answer(query).cryptogetAccountBalance.balance  # doctest: +SKIP
    5000000000000000000
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._store = ledger.store
        self._kinds: dict[str, Callable[[Any, Any, Entity | None], None]] = {
            "cryptogetAccountBalance": self._balance,
            "transactionGetReceipt": self._receipt,
            "transactionGetRecord": self._record,
            "cryptoGetInfo": self._account_info,
            "consensusGetTopicInfo": self._topic_info,
            "fileGetContents": self._file_contents,
            "fileGetInfo": self._file_info,
            "contractGetInfo": self._contract_info,
            "contractGetBytecode": self._bytecode,
            "contractCallLocal": self._call_local,
            "networkGetVersionInfo": self._version,
        }

    def answer(self, query: Any) -> Any:
        """The proto.Response; a failure is a status in its header."""
        response = response_pb2.Response()
        kind = query.WhichOneof("query")
        if kind not in self._kinds:
            known = kind is not None and kind in response.DESCRIPTOR.fields_by_name
            getattr(
                response, kind if known else "cryptogetAccountBalance"
            ).header.nodeTransactionPrecheckCode = Refused("NOT_SUPPORTED").code
            return response
        asked, out = getattr(query, kind), getattr(response, _PREFIX.get(kind, kind))
        try:
            self._answer(kind, asked, out)
        except Refused as refusal:
            out.header.nodeTransactionPrecheckCode = refusal.code
        except Exception:
            traceback.print_exc(file=sys.stderr)
            out.header.nodeTransactionPrecheckCode = FAIL_INVALID
        return response

    def _answer(self, kind: str, asked: Any, out: Any) -> None:
        gas = asked.gas if kind == "contractCallLocal" else 0
        if not 0 <= gas <= MAX_GAS:
            raise Refused("MAX_GAS_LIMIT_EXCEEDED")
        out.header.responseType = asked.header.responseType
        cost = fees.query_cost(kind, gas=gas)
        out.header.cost = cost
        if asked.header.responseType == query_header_pb2.COST_ANSWER:
            return
        if asked.header.responseType != query_header_pb2.ANSWER_ONLY:
            raise Refused("NOT_SUPPORTED")
        if cost == 0:
            self._kinds[kind](asked, out, None)
            return
        payment = self._check_payment(asked.header.payment, cost)
        self._kinds[kind](asked, out, payment.payer)
        paid = self._ledger.execute(payment)
        if paid.receipt.status != SUCCESS:
            out.Clear()
            out.header.nodeTransactionPrecheckCode = paid.receipt.status

    def _check_payment(self, transaction: Any, cost: int) -> Checked:
        """The payment must move the cost to this node."""
        if not transaction.signedTransactionBytes:
            raise Refused("INSUFFICIENT_TX_FEE", cost=cost)
        payment = self._ledger.check(transaction)
        if payment.kind != "cryptoTransfer":
            raise Refused("INSUFFICIENT_TX_FEE", cost=cost)
        amounts = payment.payload.transfers.accountAmounts
        if sum(entry.amount for entry in amounts if entry.accountID.accountNum == NODE) < cost:
            raise Refused("INSUFFICIENT_TX_FEE", cost=cost)
        return payment

    # ------------------------------------------------------------ network and transactions

    def _version(self, asked: Any, out: Any, payer: Entity | None) -> None:
        for version in (out.hapiProtoVersion, out.hederaServicesVersion):
            version.major, version.minor, version.patch = HAPI_VERSION

    def _receipt(self, asked: Any, out: Any, payer: Entity | None) -> None:
        out.receipt.CopyFrom(self._find(asked.transactionID, "RECEIPT_NOT_FOUND").receipt)
        if asked.include_child_receipts:
            out.child_transaction_receipts.extend(child.receipt for child in self._children(asked.transactionID))

    def _record(self, asked: Any, out: Any, payer: Entity | None) -> None:
        out.transactionRecord.CopyFrom(self._find(asked.transactionID, "RECORD_NOT_FOUND"))
        if asked.include_child_records:
            out.child_transaction_records.extend(self._children(asked.transactionID))

    def _children(self, identity: Any) -> list[Any]:
        raws = [] if identity.nonce else self._store.child_records(transaction_id(identity))
        return [transaction_record_pb2.TransactionRecord.FromString(raw) for raw in raws]

    def _find(self, identity: Any, missing: str) -> Any:
        raw = self._store.record(transaction_id(identity), identity.nonce)
        if raw is None:
            raise Refused(missing)
        return transaction_record_pb2.TransactionRecord.FromString(raw)

    # ------------------------------------------------------------ accounts, topics, files

    def _balance(self, asked: Any, out: Any, payer: Entity | None) -> None:
        if asked.WhichOneof("balanceSource") == "contractID":
            entity = find_contract(self._store, asked.contractID)
            missing = "INVALID_CONTRACT_ID"
        else:
            entity = find_account(self._store, asked.accountID)
            missing = "INVALID_ACCOUNT_ID"
        if entity is None:
            raise Refused(missing)
        out.accountID.accountNum = entity.num
        out.balance = self._store.balance(entity.evm_address)

    def _account_info(self, asked: Any, out: Any, payer: Entity | None) -> None:
        entity = find_account(self._store, asked.accountID)
        if entity is None:
            raise Refused("INVALID_ACCOUNT_ID")
        info = out.accountInfo
        info.accountID.accountNum = entity.num
        info.alias = entity.alias or b""
        info.receiverSigRequired = entity.receiver_signs
        self._fill_account(info, entity)
        info.key.ParseFromString(entity.key)

    def _contract_info(self, asked: Any, out: Any, payer: Entity | None) -> None:
        entity = find_contract(self._store, asked.contractID)
        if entity is None:
            raise Refused("INVALID_CONTRACT_ID")
        info = out.contractInfo
        info.contractID.contractNum = entity.num
        info.accountID.accountNum = entity.num
        self._fill_account(info, entity)
        info.adminKey.ParseFromString(entity.key)
        sql = "select count(*) from evm_storage where address = ?"
        row = self._store.one(sql, entity.evm_address)
        info.storage = 64 * (row[0] if row else 0)

    def _fill_account(self, info: Any, entity: Entity) -> None:
        info.contractAccountID = entity.evm_address.hex()
        info.balance = self._store.balance(entity.evm_address)
        self._fill_entity(info, entity)
        info.autoRenewPeriod.seconds = entity.auto_renew_s

    def _fill_entity(self, info: Any, entity: Entity) -> None:
        info.memo = entity.memo
        info.ledger_id = LEDGER_ID
        info.expirationTime.CopyFrom(timestamp(_EXPIRES_NS))

    def _topic_info(self, asked: Any, out: Any, payer: Entity | None) -> None:
        entity = self._store.entity(asked.topicID.topicNum, "topic")
        sql = "select submit_key, sequence, running_hash, auto_renew_account from topic where num = ?"
        row = self._store.one(sql, entity.num) if entity and not entity.deleted else None
        if entity is None or row is None:
            raise Refused("INVALID_TOPIC_ID")
        out.topicID.CopyFrom(asked.topicID)
        info = out.topicInfo
        self._fill_entity(info, entity)
        info.autoRenewPeriod.seconds = entity.auto_renew_s
        info.sequenceNumber, info.runningHash = row[1], row[2]
        if entity.key:
            info.adminKey.ParseFromString(entity.key)
        if row[0]:
            info.submitKey.ParseFromString(row[0])
        if row[3]:
            info.autoRenewAccount.accountNum = row[3]

    def _file(self, pb: Any) -> tuple[Entity, bytes]:
        entity = self._store.entity(pb.fileNum, "file")
        row = self._store.one("select contents from file where num = ?", pb.fileNum) if entity else None
        if entity is None or row is None:
            raise Refused("INVALID_FILE_ID")
        return entity, row[0]

    def _file_contents(self, asked: Any, out: Any, payer: Entity | None) -> None:
        entity, contents = self._file(asked.fileID)
        if entity.deleted:
            raise Refused("FILE_DELETED")
        out.fileContents.fileID.CopyFrom(asked.fileID)
        out.fileContents.contents = contents

    def _file_info(self, asked: Any, out: Any, payer: Entity | None) -> None:
        entity, contents = self._file(asked.fileID)
        info = out.fileInfo
        info.fileID.CopyFrom(asked.fileID)
        info.size, info.deleted = len(contents), entity.deleted
        self._fill_entity(info, entity)
        if entity.key:
            info.keys.CopyFrom(entity.key_tree.keyList)

    # ------------------------------------------------------------ contracts

    def _bytecode(self, asked: Any, out: Any, payer: Entity | None) -> None:
        entity = find_contract(self._store, asked.contractID)
        if entity is None:
            raise Refused("INVALID_CONTRACT_ID")
        out.bytecode = Accounts(self._store).get_code(entity.evm_address)

    def _call_local(self, asked: Any, out: Any, payer: Entity | None) -> None:
        address = callable_address(self._store, asked.contractID)
        if address is None:
            raise Refused("INVALID_CONTRACT_ID")
        sender = find_account(self._store, asked.sender_id) if asked.HasField("sender_id") else payer
        if sender is None:
            raise Refused("INVALID_ACCOUNT_ID")
        done = self.simulate(
            sender=sender.evm_address,
            to=address,
            data=asked.functionParameters,
            gas=asked.gas,
        )
        result = out.functionResult
        contract = self._store.by_address(address)
        result.contractID.contractNum = contract.num if contract else int.from_bytes(address, "big")
        result.gasUsed, result.gas = done.gas_used, asked.gas
        result.contractCallResult, result.errorMessage = done.output, done.error
        result.sender_id.accountNum = sender.num
        if done.error:
            status = "CONTRACT_REVERT_EXECUTED" if done.reverted else "CONTRACT_EXECUTION_EXCEPTION"
            out.header.nodeTransactionPrecheckCode = Refused(status).code

    def simulate(
        self, *, sender: bytes, to: bytes, data: bytes, gas: int, value_tinybar: int = 0, create: bool = False
    ) -> Execution:
        """Run a call whose changes are thrown away, with the sender's balance raised to the value if need be."""
        if gas < intrinsic_gas(data, create=create):
            raise Refused("INSUFFICIENT_GAS")
        accounts = Accounts(self._store)
        accounts.set_balance(sender, max(value_tinybar, accounts.get_balance(sender)))
        address = to or (b"\xff" * 20)
        create_at = address if create else None
        return execute(
            accounts, Call(sender, address, data, value_tinybar, gas, self._ledger.moment(), create_at=create_at)
        )
