"""The official Python SDK, end to end: accounts, transfers, topics, files, contracts, paid queries."""

from __future__ import annotations

import secrets
import threading
from typing import Any

from eth_abi import decode, encode
from hiero_sdk_python import (
    AccountCreateTransaction,
    AccountId,
    AccountInfoQuery,
    AccountUpdateTransaction,
    ContractBytecodeQuery,
    ContractCallQuery,
    ContractCreateTransaction,
    ContractInfoQuery,
    CryptoGetAccountBalanceQuery,
    FileAppendTransaction,
    FileContentsQuery,
    FileCreateTransaction,
    FileDeleteTransaction,
    FileInfoQuery,
    MirrorNodeAccountBalanceQuery,
    PrivateKey,
    ResponseCode,
    TopicCreateTransaction,
    TopicDeleteTransaction,
    TopicInfoQuery,
    TopicMessageQuery,
    TopicMessageSubmitTransaction,
    TopicUpdateTransaction,
    TransactionRecordQuery,
    TransferTransaction,
)
from hiero_sdk_python.crypto.key_list import KeyList

from shoal.core.ids import keccak256

from .harness import HBAR, PROBE, Devnet, eventually, function


def balance(devnet: Devnet, account: Any) -> int:
    return int(CryptoGetAccountBalanceQuery(account).execute(devnet.client).hbars.to_tinybars())


def test_ed25519_and_ecdsa_accounts(devnet: Devnet) -> None:
    plain_key, alias_key = PrivateKey.generate_ed25519(), PrivateKey.generate_ecdsa()
    plain = devnet.account(plain_key, 5 * HBAR)
    aliased = devnet.account(alias_key, 7 * HBAR, alias=True)
    assert balance(devnet, plain) == 5 * HBAR and balance(devnet, aliased) == 7 * HBAR
    shown = devnet.get(f"/accounts/{plain}")
    assert shown["evm_address"] == "0x" + plain.num.to_bytes(20, "big").hex()
    assert shown["key"] == {"_type": "ED25519", "key": plain_key.public_key().to_string_raw()}
    address = "0x" + str(alias_key.public_key().to_evm_address()).removeprefix("0x")
    by_address = devnet.get(f"/accounts/{address}")
    assert by_address["account"] == str(aliased) and by_address["evm_address"] == address
    assert by_address["key"]["_type"] == "ECDSA_SECP256K1"

    owner = devnet.client_of(aliased, alias_key)
    sent = TransferTransaction().add_hbar_transfer(aliased, -HBAR).add_hbar_transfer(plain, HBAR)
    receipt = sent.execute(owner, validate_status=True)
    assert balance(devnet, plain) == 6 * HBAR
    record = TransactionRecordQuery().set_transaction_id(receipt.transaction_id).execute(devnet.client)
    assert balance(devnet, aliased) == 6 * HBAR - record.transaction_fee
    owner.close()


def test_key_rotation_needs_both_keys(devnet: Devnet) -> None:
    old, new = PrivateKey.generate_ed25519(), PrivateKey.generate_ecdsa()
    account = devnet.account(old, HBAR)
    update = AccountUpdateTransaction().set_account_id(account).set_key(new.public_key())
    assert update.execute(devnet.client).status == ResponseCode.INVALID_SIGNATURE
    update = AccountUpdateTransaction().set_account_id(account).set_key(new.public_key()).freeze_with(devnet.client)
    update.sign(old).sign(new).execute(devnet.client, validate_status=True)
    info = AccountInfoQuery(account).execute(devnet.client)
    assert info.key.to_bytes_raw() == new.public_key().to_bytes_raw()


def test_a_chunked_message_arrives_whole(devnet: Devnet) -> None:
    topic = TopicCreateTransaction(memo="log").execute(devnet.client, validate_status=True).topic_id
    text = secrets.token_hex(2500)
    arrived: list[Any] = []
    there = threading.Event()

    def on_message(message: Any) -> None:
        arrived.append(message)
        there.set()

    handle = TopicMessageQuery(topic_id=topic, start_time=None, chunking_enabled=True).subscribe(
        devnet.client, on_message
    )

    # the subscription begins when the server has it: probe until one message comes through, then send the real one
    def probed() -> bool:
        TopicMessageSubmitTransaction(topic, "probe").execute(devnet.client, validate_status=True)
        return there.wait(0.2)

    eventually(probed, "live subscription")
    TopicMessageSubmitTransaction(topic, text).execute(devnet.client, validate_status=True)
    eventually(lambda: arrived and arrived[-1].contents == text.encode(), "the chunked message")
    handle.cancel()
    info = TopicInfoQuery(topic).execute(devnet.client)
    rows = devnet.pages(f"/topics/{topic}/messages?limit=2", "messages")
    assert [row["sequence_number"] for row in rows] == list(range(1, info.sequence_number + 1))
    assert [row["chunk_info"]["number"] for row in rows[-5:]] == [1, 2, 3, 4, 5]
    assert devnet.get(f"/topics/{topic}")["memo"] == "log"


def test_file_deploy_call_record_and_local_call(devnet: Devnet) -> None:
    key = devnet.key.public_key()
    text = (PROBE * 2).hex().encode()  # longer than one transaction; the tail is never reached
    created = (
        FileCreateTransaction().set_keys(key).set_contents(text[:2000]).execute(devnet.client, validate_status=True)
    )
    file = created.file_id
    FileAppendTransaction(file_id=file, contents=text[2000:]).execute(devnet.client, validate_status=True)
    assert FileContentsQuery(file).execute(devnet.client) == text
    FileDeleteTransaction(file_id=file).execute(devnet.client, validate_status=True)

    file = (
        FileCreateTransaction().set_keys(key).set_contents(PROBE.hex()).execute(devnet.client, validate_status=True)
    ).file_id
    create = ContractCreateTransaction().set_bytecode_file_id(file).set_gas(2_000_000)
    contract = (
        create.set_constructor_parameters(encode(["uint256"], [7])).execute(devnet.client, validate_status=True)
    ).contract_id

    receipt = devnet.call(contract, function("deposit()"), tinybar=123)
    assert receipt.status == ResponseCode.SUCCESS
    record = TransactionRecordQuery().set_transaction_id(receipt.transaction_id).execute(devnet.client)
    log = record.call_result.log_info[0]
    assert log.topics[0] == keccak256(b"Deposited(address,uint256)")
    assert decode(["uint256"], log.data) == (123,)
    query = ContractCallQuery().set_contract_id(contract).set_gas(100_000)
    local = query.set_function_parameters(function("look()")).execute(devnet.client)
    sender, held, _, chain, value = decode(["address"] + ["uint256"] * 4, local.contract_call_result)
    assert (int(sender, 16), held, chain, value) == (2, 123, 298, 130)
    info = ContractInfoQuery().set_contract_id(contract).execute(devnet.client)
    assert info.balance == 123 and info.storage > 0
    assert len(ContractBytecodeQuery().set_contract_id(contract).execute(devnet.client)) > 1000
    assert FileInfoQuery().set_file_id(file).execute(devnet.client).size == 2 * len(PROBE)


def test_a_topic_changes_and_ends(devnet: Devnet) -> None:
    submit_key = PrivateKey.generate_ed25519()
    create = TopicCreateTransaction(admin_key=devnet.key.public_key(), submit_key=submit_key.public_key())
    topic = create.execute(devnet.client, validate_status=True).topic_id
    message = TopicMessageSubmitTransaction(topic, "one").execute(devnet.client)
    assert message.status == ResponseCode.INVALID_SIGNATURE
    signed = TopicMessageSubmitTransaction(topic, "one").freeze_with(devnet.client).sign(submit_key)
    assert signed.execute(devnet.client, validate_status=True).status == ResponseCode.SUCCESS
    TopicUpdateTransaction(topic_id=topic, memo="changed").execute(devnet.client, validate_status=True)
    assert TopicInfoQuery(topic).execute(devnet.client).memo == "changed"
    TopicDeleteTransaction(topic_id=topic).execute(devnet.client, validate_status=True)
    late = TopicMessageSubmitTransaction(topic, "two").freeze_with(devnet.client).sign(submit_key)
    assert late.execute(devnet.client).status == ResponseCode.INVALID_TOPIC_ID


def test_a_hollow_account_is_found_by_its_address_and_completed(devnet: Devnet) -> None:
    """The address is looked up through REST, which the SDK believes to be on the port of the mirror's gRPC."""
    key = PrivateKey.generate_ecdsa()
    address = AccountId.from_evm_address(str(key.public_key().to_evm_address()), 0, 0)
    operator = devnet.client.operator_account_id
    transfer = TransferTransaction().add_hbar_transfer(operator, -2 * HBAR).add_hbar_transfer(address, 2 * HBAR)
    transfer.execute(devnet.client, validate_status=True)
    number = address.populate_account_num(devnet.client).num
    hollow = AccountId(0, 0, number)
    shown = MirrorNodeAccountBalanceQuery().set_account_id(hollow).execute(devnet.client)
    assert shown.hbars.to_tinybars() == 2 * HBAR == balance(devnet, hollow)
    owner = devnet.client_of(hollow, key)
    back = TransferTransaction().add_hbar_transfer(hollow, -HBAR).add_hbar_transfer(operator, HBAR)
    back.execute(owner, validate_status=True)
    owner.close()
    assert AccountInfoQuery(hollow).execute(devnet.client).key.to_bytes_raw() == key.public_key().to_bytes_raw()


def test_two_of_three_keys(devnet: Devnet) -> None:
    keys = [PrivateKey.generate_ed25519() for _ in range(3)]
    tree = KeyList([key.public_key() for key in keys], threshold=2)
    create = AccountCreateTransaction().set_initial_balance(HBAR).set_key_without_alias(tree)
    shared = create.execute(devnet.client, validate_status=True).account_id
    for signers, status in ((keys[:1], ResponseCode.INVALID_SIGNATURE), (keys[1:], ResponseCode.SUCCESS)):
        transfer = TransferTransaction().add_hbar_transfer(shared, -1)
        transfer.add_hbar_transfer(devnet.client.operator_account_id, 1).freeze_with(devnet.client)
        for key in signers:
            transfer.sign(key)
        assert transfer.execute(devnet.client).status == status
