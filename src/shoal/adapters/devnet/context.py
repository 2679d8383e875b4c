"""What the ledger hands to the handler of one kind of transaction: accounts, signatures, time, the record to fill."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hiero_sdk_python.hapi.services import basic_types_pb2 as basic
from hiero_sdk_python.hapi.services import response_code_pb2, timestamp_pb2

from shoal.adapters.devnet.clock import SECOND_NS, Moment
from shoal.adapters.devnet.evm import Log
from shoal.adapters.devnet.keys import Signatures, evm_address, is_empty, is_valid
from shoal.adapters.devnet.state import Accounts
from shoal.adapters.devnet.store import Entity, Store, long_zero
from shoal.adapters.devnet.system_contracts import CONTRACTS

NODE = 3
MAX_MEMO_BYTES = 100
EMPTY_KEY = basic.Key(keyList=basic.KeyList()).SerializeToString()


class Refused(Exception):
    """A transaction or query cannot be done. `status` is a name of proto.ResponseCodeEnum."""

    def __init__(self, status: str, *, cost: int = 0) -> None:
        super().__init__(status)
        self.status = status
        self.cost = cost

    @property
    def code(self) -> int:
        return int(response_code_pb2.ResponseCodeEnum.Value(self.status))


def status_name(code: int) -> str:
    return str(response_code_pb2.ResponseCodeEnum.Name(code))


def timestamp(time_ns: int) -> Any:
    """A proto.Timestamp."""
    return timestamp_pb2.Timestamp(seconds=time_ns // SECOND_NS, nanos=time_ns % SECOND_NS)


def nanoseconds(stamp: Any) -> int:
    return int(stamp.seconds * SECOND_NS + stamp.nanos)


def account_id(num: int) -> Any:
    return basic.AccountID(accountNum=num)


def transaction_id(pb: Any) -> str:
    """`0.0.x-seconds-nanos`, as the mirror node writes it."""
    start = pb.transactionValidStart
    return f"0.0.{pb.accountID.accountNum}-{start.seconds}-{start.nanos:09d}"


def find_account(store: Store, pb: Any) -> Entity | None:
    """The account that a proto.AccountID names, by number or alias (a key or an EVM address)."""
    if pb.shardNum or pb.realmNum:
        return None
    if pb.WhichOneof("account") != "alias":
        return store.entity(pb.accountNum, "account", "contract")
    alias = pb.alias
    if len(alias) == 20:
        return store.by_address(alias)
    return store.by_alias(alias) or store.by_address(alias_address(alias) or b"")


def find_contract(store: Store, pb: Any) -> Entity | None:
    """The contract that a proto.ContractID names, by number or EVM address."""
    if pb.WhichOneof("contract") == "evm_address":
        found = store.by_address(pb.evm_address) if len(pb.evm_address) == 20 else None
        return found if found and found.kind == "contract" else None
    return store.entity(pb.contractNum, "contract")


def callable_address(store: Store, pb: Any) -> bytes | None:
    """The EVM address of the contract, or system contract, that a proto.ContractID names."""
    if (found := find_contract(store, pb)) is not None:
        return found.evm_address
    address = bytes(pb.evm_address) if pb.WhichOneof("contract") == "evm_address" else None
    if address is None and not (pb.shardNum or pb.realmNum) and 0 < pb.contractNum < 2**63:
        address = long_zero(pb.contractNum)
    return address if address in CONTRACTS else None


def alias_address(alias: bytes) -> bytes | None:
    """The EVM address of an alias that is a serialized secp256k1 key (35 bytes), if it is one."""
    if len(alias) != 35 or alias[:2] != b"\x3a\x21":
        return None
    try:
        return evm_address(alias[2:])
    except ValueError:
        return None


def checked_key(key: Any) -> bytes:
    """Serialize a key that is to be stored."""
    if not is_valid(key):
        raise Refused("BAD_ENCODING" if key.WhichOneof("key") else "KEY_REQUIRED")
    return bytes(key.SerializeToString())


def checked_memo(memo: str) -> str:
    if len(memo.encode()) > MAX_MEMO_BYTES:
        raise Refused("MEMO_TOO_LONG")
    if "\0" in memo:
        raise Refused("INVALID_ZERO_BYTE_IN_STRING")
    return memo


@dataclass
class Context:
    """One transaction while it executes."""

    store: Store
    accounts: Accounts
    signatures: Signatures
    payer: Entity
    moment: Moment
    record: Any
    """A proto.TransactionRecord, receipt included."""
    gas_used: int = 0
    logs: list[tuple[int, Log]] = field(default_factory=list)
    """Each with the number of the contract that emitted it."""
    created: list[int] = field(default_factory=list)
    """Accounts that came to life because they were paid: each gets a record of its own."""
    entity: int | None = None
    """The entity that the transaction is about, for the mirror."""

    @property
    def now_ns(self) -> int:
        return self.moment.now_ns

    def require(self, key: Any) -> None:
        """The key must have signed."""
        if not self.signatures.satisfy(key):
            raise Refused("INVALID_SIGNATURE")

    def require_entity(self, entity: Entity) -> None:
        """An account's owner must have signed; a hollow account gets the key that has its address."""
        key = entity.key_tree
        if is_empty(key) and entity.address:
            found = self.signatures.key_of_address(entity.address)
            if found is None:
                raise Refused("INVALID_SIGNATURE")
            self.store.update_entity(entity.num, self.now_ns, key=found.SerializeToString())
            return
        self.require(key)
