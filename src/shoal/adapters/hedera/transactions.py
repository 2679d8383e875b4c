"""The transactions that shoal sends, as the SDK builds them: unsigned, without an id, fee or node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hiero_sdk_python.account.account_create_transaction import AccountCreateTransaction
from hiero_sdk_python.consensus.topic_create_transaction import TopicCreateTransaction
from hiero_sdk_python.consensus.topic_id import TopicId
from hiero_sdk_python.consensus.topic_message_submit_transaction import TopicMessageSubmitTransaction
from hiero_sdk_python.contract.contract_create_transaction import ContractCreateTransaction
from hiero_sdk_python.contract.contract_execute_transaction import ContractExecuteTransaction
from hiero_sdk_python.contract.contract_id import ContractId
from hiero_sdk_python.file.file_append_transaction import FileAppendTransaction
from hiero_sdk_python.file.file_create_transaction import FileCreateTransaction
from hiero_sdk_python.file.file_id import FileId
from hiero_sdk_python.hapi.services.consensus_submit_message_pb2 import ConsensusMessageChunkInfo

Make = Callable[[], Any]
FILE_PART_BYTES = 4_096


class _Chunk(TopicMessageSubmitTransaction):  # type: ignore[misc]
    """One chunk of a message as a transaction of its own, so that each is sent with the same care as any other.

    The SDK's own chunking sends all of them in one blocking call and forgets which of them arrived.
    """

    def __init__(self, topic: Any, part: bytes, info: Any) -> None:
        super().__init__(topic, part)
        self._info = info

    def build_transaction_body(self) -> Any:
        body = super().build_transaction_body()
        body.consensusSubmitMessage.chunkInfo.CopyFrom(self._info)
        return body


def create_account(tinybar: int, key: Any) -> Make:
    """An ECDSA key also becomes the account's EVM address, as wallets expect; that needs its signature."""

    def make() -> Any:
        made = AccountCreateTransaction().set_initial_balance(tinybar)
        public = key.public_key()
        return made.set_key_with_alias(public) if key.is_ecdsa() else made.set_key_without_alias(public)

    return make


def create_topic(memo: str) -> Make:
    return lambda: TopicCreateTransaction().set_memo(memo)


def message(topic: int, data: bytes) -> Make:
    return lambda: TopicMessageSubmitTransaction(TopicId(0, 0, topic), data)


def message_chunk(topic: int, part: bytes, *, number: int, total: int, initial: Any) -> Make:
    """Chunk `number` of `total`, from 1; `initial` is the transaction id of the first."""
    info = ConsensusMessageChunkInfo(initialTransactionID=initial._to_proto(), total=total, number=number)
    return lambda: _Chunk(TopicId(0, 0, topic), part, info)


def create_file(part: bytes, keys: Sequence[Any]) -> Make:
    return lambda: FileCreateTransaction().set_keys(list(keys)).set_contents(part)


def append_file(file: int, part: bytes) -> Make:
    def make() -> Any:
        made = FileAppendTransaction().set_file_id(FileId(0, 0, file)).set_contents(part)
        return made.set_chunk_size(FILE_PART_BYTES)

    return make


def create_contract(file: int, gas: int, tinybar: int) -> Make:
    def make() -> Any:
        made = ContractCreateTransaction().set_bytecode_file_id(FileId(0, 0, file))
        return made.set_gas(gas).set_initial_balance(tinybar)

    return make


def call_contract(contract: int, data: bytes, gas: int, tinybar: int) -> Make:
    def make() -> Any:
        made = ContractExecuteTransaction().set_contract_id(ContractId(0, 0, contract)).set_gas(gas)
        return made.set_payable_amount(tinybar).set_function_parameters(data)

    return make
