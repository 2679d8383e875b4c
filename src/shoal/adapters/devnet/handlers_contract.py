"""Contracts: deploy and call on the EVM, and what a call leaves behind: logs, new contracts, new accounts."""

from __future__ import annotations

from typing import Any

from hiero_sdk_python.hapi.services import basic_types_pb2 as basic

from shoal.adapters.devnet.clock import MAX_CHILDREN
from shoal.adapters.devnet.context import EMPTY_KEY, Context, Refused, callable_address, checked_key, checked_memo
from shoal.adapters.devnet.evm import Call, blooms, execute, intrinsic_gas, is_contract
from shoal.adapters.devnet.keys import is_empty
from shoal.adapters.devnet.store import long_zero


def create_contract(context: Context, payload: Any) -> None:
    """ContractCreate, from init code or from a file of hex text; the address is `0x00..num`."""
    code = _init_code(context, payload) + payload.constructorParameters
    admin = b""
    if payload.HasField("adminKey") and not is_empty(payload.adminKey):
        admin = checked_key(payload.adminKey)
        if payload.adminKey.WhichOneof("key") != "contractID":
            context.require(payload.adminKey)
    num = context.store.add_entity("contract", admin, now_ns=context.now_ns, memo=checked_memo(payload.memo))
    if not admin:  # the network's own rule: a contract without admin key is its own key, and so immutable
        key = basic.Key(contractID=basic.ContractID(contractNum=num)).SerializeToString()
        context.store.update_entity(num, context.now_ns, key=key)
    context.store.run("insert into contract(num, initcode) values(?, ?)", num, code)
    address = long_zero(num)
    result = context.record.contractCreateResult
    call = Call(
        sender=context.payer.evm_address,
        to=address,
        data=code,
        value_tinybar=payload.initialBalance,
        gas=payload.gas,
        moment=context.moment,
        create_at=address,
    )
    _run(context, call, result)
    context.entity = num
    result.contractID.contractNum = num
    result.evm_address.value = address
    result.contractCallResult = context.accounts.get_code(address)
    context.record.receipt.contractID.contractNum = num


def call_contract(context: Context, payload: Any) -> None:
    address = callable_address(context.store, payload.contractID)
    if address is None:
        raise Refused("INVALID_CONTRACT_ID")
    contract = context.store.by_address(address)
    num = contract.num if contract else int.from_bytes(address, "big")
    context.entity = num
    call = Call(
        sender=context.payer.evm_address,
        to=address,
        data=payload.functionParameters,
        value_tinybar=payload.amount,
        gas=payload.gas,
        moment=context.moment,
    )
    context.record.receipt.contractID.contractNum = num
    result = context.record.contractCallResult
    result.contractID.contractNum = num
    _run(context, call, result)


def _init_code(context: Context, payload: Any) -> bytes:
    if payload.WhichOneof("initcodeSource") == "initcode":
        return bytes(payload.initcode)
    file = context.store.entity(payload.fileID.fileNum, "file")
    if file is None:
        raise Refused("INVALID_FILE_ID")
    if file.deleted:
        raise Refused("FILE_DELETED")
    row = context.store.one("select contents from file where num = ?", file.num)
    assert row is not None, "every file has its row"
    try:
        code = bytes.fromhex(row[0].decode("ascii").strip().removeprefix("0x"))
    except ValueError:
        raise Refused("ERROR_DECODING_BYTESTRING") from None
    if not code:
        raise Refused("CONTRACT_FILE_EMPTY")
    return code


def _run(context: Context, call: Call, result: Any) -> None:
    """Run the call, fill the function result, and raise Refused when the EVM failed; gas is owed either way."""
    creating = call.create_at is not None
    if call.gas < intrinsic_gas(call.data, create=creating):
        raise Refused("INSUFFICIENT_GAS")
    if context.accounts.get_balance(call.sender) < call.value_tinybar:
        raise Refused("INSUFFICIENT_PAYER_BALANCE")
    done = execute(context.accounts, call)
    context.gas_used = done.gas_used
    result.gasUsed = done.gas_used
    result.gas = call.gas
    result.amount = call.value_tinybar
    result.functionParameters = b"" if creating else call.data
    result.sender_id.accountNum = context.payer.num
    result.contractCallResult = done.output
    if done.error:
        result.errorMessage = done.error
        if done.reverted:
            raise Refused("CONTRACT_REVERT_EXECUTED")
        status = "INSUFFICIENT_GAS" if done.error == "INSUFFICIENT_GAS" else "CONTRACT_EXECUTION_EXCEPTION"
        raise Refused(status)
    _adopt(context, result)
    result.bloom = blooms(done.logs)
    for log in done.logs:
        # a contract that was made and destroyed by this very call has no number: its logs go to the one called
        emitter = context.store.by_address(log.address) or context.store.by_address(call.to)
        assert emitter is not None, "the contract called has its number"
        emitted = basic.ContractID(contractNum=emitter.num)
        result.logInfo.add(contractID=emitted, bloom=log.bloom, topic=log.topics, data=log.data)
        context.logs.append((emitter.num, log))


def _adopt(context: Context, result: Any) -> None:
    """Addresses that the EVM made: contracts get an entity, others that were paid become hollow accounts."""
    for address in context.accounts.touched():
        known = context.store.by_address(address)
        if known is not None and (known.kind == "contract" or not is_contract(context.accounts, address)):
            continue
        if known is not None:  # HBAR was sent to the address before CREATE2 put a contract there
            context.store.update_entity(known.num, context.now_ns, kind="contract")
            result.createdContractIDs.add(contractNum=known.num)
        elif is_contract(context.accounts, address):
            child = context.store.add_entity("contract", EMPTY_KEY, now_ns=context.now_ns, address=address)
            result.createdContractIDs.add(contractNum=child)
        elif context.accounts.get_balance(address):
            if address[:12] == bytes(12):  # 0x00..num of no account: the real network has nothing to pay there
                result.errorMessage = "INVALID_SOLIDITY_ADDRESS"
                del result.createdContractIDs[:]
                raise Refused("INVALID_SOLIDITY_ADDRESS")
            num = context.store.add_entity(
                "account", EMPTY_KEY, now_ns=context.now_ns, address=address, memo="lazy-created account"
            )
            context.created.append(num)
            if len(context.created) > MAX_CHILDREN:
                result.errorMessage = "MAX_CHILD_RECORDS_EXCEEDED"
                del result.createdContractIDs[:]
                raise Refused("MAX_CHILD_RECORDS_EXCEEDED")
