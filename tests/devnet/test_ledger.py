"""The ledger: what a node refuses, that failures pay, that HBAR is neither made nor lost, that a failure is whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hiero_sdk_python import PrivateKey
from hiero_sdk_python.hapi.services import basic_types_pb2 as basic
from hiero_sdk_python.hapi.services import query_pb2, transaction_contents_pb2, transaction_pb2, transaction_record_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.adapters import devnet as devnet_package
from shoal.adapters.devnet.context import Refused, status_name, transaction_id
from shoal.adapters.devnet.fees import GAS_PRICE_TINYBAR, supported
from shoal.adapters.devnet.handlers import HANDLERS
from shoal.adapters.devnet.state import Accounts
from shoal.errors import ProcessError

from .direct import OPERATOR_KEY, START_NS, Direct, public, transfer_body
from .harness import HBAR, PROBE, SUPPLY, function

SECOND = 10**9
ALICE = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
BOB = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32)


@pytest.fixture
def direct(tmp_path: Path) -> Iterator[Direct]:
    made = Direct(tmp_path)
    yield made
    made.store.close()


def pay(amount: int = 5) -> Any:
    return transfer_body({2: -amount, 98: amount})


def test_what_a_node_refuses_costs_nothing(direct: Direct) -> None:
    poor = direct.create(ALICE, 0)
    before = direct.balance(2)
    oversize = transaction_pb2.TransactionBody()
    oversize.fileCreate.contents = bytes(6200)
    gas = transaction_pb2.TransactionBody()
    gas.contractCall.contractID.contractNum = 5
    gas.contractCall.gas = 15_000_001
    memo = pay()
    memo.memo = "é" * 51
    zero = pay()
    zero.memo = "a\0b"
    unknown = transaction_pb2.TransactionBody()
    unknown.tokenCreation.name = "x"
    now = direct.now_ns
    starved = transaction_pb2.TransactionBody()
    starved.contractCall.contractID.contractNum = 360
    starved.contractCall.gas = 20_000
    assert direct.submit(starved) == "INSUFFICIENT_GAS"
    negative = transaction_pb2.TransactionBody()
    negative.contractCall.contractID.contractNum = 360
    negative.contractCall.gas, negative.contractCall.amount = 30_000, -1
    assert direct.submit(negative) == "CONTRACT_NEGATIVE_VALUE"
    silent = transaction_pb2.TransactionBody()
    silent.consensusSubmitMessage.topicID.topicNum = 5
    assert direct.submit(silent) == "INVALID_TOPIC_MESSAGE"
    assert direct.submit(transfer_body({2: -2, 98: 1})) == "INVALID_ACCOUNT_AMOUNTS"
    twice = transfer_body({2: -1, 98: 1})
    twice.cryptoTransfer.transfers.accountAmounts.add(accountID=basic.AccountID(accountNum=98), amount=0)
    assert direct.submit(twice) == "ACCOUNT_REPEATED_IN_ACCOUNT_AMOUNTS"
    keyless = transaction_pb2.TransactionBody()
    keyless.cryptoCreateAccount.initialBalance = 1
    assert direct.submit(keyless) == "KEY_REQUIRED"
    assert direct.submit(oversize) == "TRANSACTION_OVERSIZE"
    assert direct.submit(gas) == "MAX_GAS_LIMIT_EXCEEDED"
    assert direct.submit(memo) == "MEMO_TOO_LONG"
    assert direct.submit(zero) == "INVALID_ZERO_BYTE_IN_STRING"
    assert direct.submit(unknown) == "NOT_SUPPORTED"
    assert direct.submit(transaction_pb2.TransactionBody()) == "INVALID_TRANSACTION_BODY"
    assert direct.submit(pay(), node=4) == "INVALID_NODE_ACCOUNT"
    assert direct.submit(pay(), start_ns=now + 3600 * SECOND) == "INVALID_TRANSACTION_START"
    assert direct.submit(pay(), start_ns=now - 200 * SECOND) == "TRANSACTION_EXPIRED"
    assert direct.submit(pay(), start_ns=direct.now_ns + SECOND - 110 * SECOND) == "TRANSACTION_EXPIRED", "the buffer"
    assert direct.submit(pay(), valid_s=181) == "INVALID_TRANSACTION_DURATION"
    assert direct.submit(pay(), payer=999) == "PAYER_ACCOUNT_NOT_FOUND"
    assert direct.submit(pay(), ALICE) == "INVALID_SIGNATURE"
    assert direct.submit(pay(), fee=10) == "INSUFFICIENT_TX_FEE"
    assert direct.submit(transfer_body({poor: -1, 98: 1}), ALICE, payer=poor) == "INSUFFICIENT_PAYER_BALANCE"
    assert direct.balance(2) == before
    transaction = direct.sign(pay())
    assert direct.ledger.submit(transaction).nodeTransactionPrecheckCode == 0
    again = direct.ledger.submit(transaction).nodeTransactionPrecheckCode
    assert status_name(again) == "DUPLICATE_TRANSACTION"


def test_garbage_is_refused(direct: Direct) -> None:
    for raw in (b"", b"\xff" * 50, b"\x0a\x03\xff\xff\xff"):
        code = direct.ledger.submit(transaction_pb2.Transaction(signedTransactionBytes=raw))
        assert status_name(code.nodeTransactionPrecheckCode) in ("INVALID_TRANSACTION", "INVALID_TRANSACTION_BODY")


def test_what_fails_still_pays_and_sums_to_zero(direct: Direct) -> None:
    alice = direct.create(ALICE, 10 * HBAR)
    bob = direct.create(BOB, 0)
    unsigned = transfer_body({bob: -1, alice: 1})
    assert direct.submit(unsigned, ALICE, payer=alice) == "INVALID_SIGNATURE"
    record = direct.record(unsigned)
    assert record.transactionFee > 0 and direct.balance(alice) == 10 * HBAR - record.transactionFee
    assert sum(entry.amount for entry in record.transferList.accountAmounts) == 0
    too_much = transfer_body({alice: -11 * HBAR, bob: 11 * HBAR})
    assert direct.submit(too_much, ALICE, payer=alice) == "INSUFFICIENT_ACCOUNT_BALANCE"
    assert direct.balance(bob) == 0
    assert direct.supply() == SUPPLY


def test_threshold_keys(direct: Direct) -> None:
    tree = basic.Key()
    tree.thresholdKey.threshold = 2
    tree.thresholdKey.keys.keys.extend([public(ALICE), public(BOB), public(OPERATOR_KEY)])
    body = transaction_pb2.TransactionBody()
    body.cryptoCreateAccount.key.CopyFrom(tree)
    body.cryptoCreateAccount.initialBalance = HBAR
    assert direct.submit(body) == "SUCCESS"
    shared = direct.record(body).receipt.accountID.accountNum
    assert direct.submit(transfer_body({shared: -1, 2: 1})) == "INVALID_SIGNATURE"
    assert direct.submit(transfer_body({shared: -1, 2: 1}), OPERATOR_KEY, BOB) == "SUCCESS"
    impossible = transaction_pb2.TransactionBody()
    impossible.cryptoCreateAccount.key.thresholdKey.threshold = 2
    impossible.cryptoCreateAccount.key.thresholdKey.keys.keys.append(public(BOB))
    assert direct.submit(impossible) == "BAD_ENCODING"


def deploy(direct: Direct, tinybar: int = 0) -> int:
    body = transaction_pb2.TransactionBody()
    body.contractCreateInstance.initcode = PROBE + bytes(31) + b"\x07"
    body.contractCreateInstance.gas = 2_000_000
    body.contractCreateInstance.initialBalance = tinybar
    assert direct.submit(body) == "SUCCESS"
    return int(direct.record(body).receipt.contractID.contractNum)


def call(direct: Direct, contract: int, data: bytes, *, amount: int = 0, gas: int = 500_000) -> tuple[str, Any]:
    body = transaction_pb2.TransactionBody()
    body.contractCall.contractID.contractNum = contract
    body.contractCall.gas, body.contractCall.amount = gas, amount
    body.contractCall.functionParameters = data
    status = direct.submit(body)
    return status, direct.record(body)


def test_gas_is_charged_as_used(direct: Direct) -> None:
    contract = deploy(direct, 1000)
    before = direct.balance(2)
    status, record = call(direct, contract, function("deposit()"), amount=11)
    used = record.contractCallResult.gasUsed
    assert status == "SUCCESS" and direct.balance(2) == before - 11 - used * GAS_PRICE_TINYBAR
    assert direct.balance(contract) == 1011
    before = direct.balance(2)
    status, record = call(direct, contract, function("fail(uint256)", 9), amount=11)
    used = record.contractCallResult.gasUsed
    assert status == "CONTRACT_REVERT_EXECUTED" and 21_000 < used < 100_000
    assert record.contractCallResult.errorMessage == "0x" + function("Refused(uint256)", 9).hex()
    assert direct.balance(2) == before - used * GAS_PRICE_TINYBAR and direct.balance(contract) == 1011
    status, record = call(direct, contract, function("spin()"), gas=60_000)
    assert status == "INSUFFICIENT_GAS" and record.contractCallResult.gasUsed == 60_000
    assert direct.supply() == SUPPLY


def test_contracts_pay_accounts_and_make_contracts(direct: Direct) -> None:
    contract = deploy(direct, 1000)
    alice = direct.create(ALICE, 0)
    send = "send(address,uint256)"
    status, record = call(direct, contract, function(send, "0x" + alice.to_bytes(20, "big").hex(), 10))
    amounts = {entry.accountID.accountNum: entry.amount for entry in record.transferList.accountAmounts}
    assert status == "SUCCESS" and amounts[alice] == 10 and amounts[contract] == -10 and sum(amounts.values()) == 0
    status, _ = call(direct, contract, function(send, "0x" + "ab" * 20, 10))
    hollow = direct.store.by_address(b"\xab" * 20)
    assert status == "SUCCESS" and hollow is not None and direct.balance(hollow.num) == 10
    status, _ = call(direct, contract, function(send, "0x" + (10**6).to_bytes(20, "big").hex(), 10))
    assert status == "INVALID_SOLIDITY_ADDRESS", "0x00..num of no account"
    status, record = call(direct, contract, function("make(uint256)", 5), amount=3)
    child = record.contractCallResult.createdContractIDs[0].contractNum
    assert status == "SUCCESS" and direct.balance(child) == 3
    assert direct.supply() == SUPPLY


def test_an_alias_and_its_long_zero_address_are_one_account(direct: Direct) -> None:
    alias = bytes.fromhex("cd" * 20)
    body = transaction_pb2.TransactionBody()
    body.cryptoTransfer.transfers.accountAmounts.add(accountID=basic.AccountID(accountNum=2), amount=-8)
    body.cryptoTransfer.transfers.accountAmounts.add(accountID=basic.AccountID(alias=alias), amount=8)
    assert direct.submit(body) == "SUCCESS"
    found = direct.store.by_address(alias)
    assert found is not None
    contract = deploy(direct, 1000)
    long_zero = "0x" + found.num.to_bytes(20, "big").hex()
    status, _ = call(direct, contract, function("send(address,uint256)", long_zero, 10))
    assert status == "SUCCESS" and direct.balance(found.num) == 18 and direct.supply() == SUPPLY


def test_a_hollow_account_is_completed_by_the_key_of_its_address(direct: Direct) -> None:
    key = PrivateKey.generate_ecdsa()
    address = bytes.fromhex(str(key.public_key().to_evm_address()).removeprefix("0x"))
    body = transaction_pb2.TransactionBody()
    body.cryptoTransfer.transfers.accountAmounts.add(accountID=basic.AccountID(accountNum=2), amount=-HBAR)
    body.cryptoTransfer.transfers.accountAmounts.add(accountID=basic.AccountID(alias=address), amount=HBAR)
    assert direct.submit(body) == "SUCCESS"
    hollow = direct.store.by_address(address)
    assert hollow is not None
    assert direct.submit(transfer_body({hollow.num: -1, 2: 1}), ALICE, payer=hollow.num) == "INVALID_SIGNATURE"
    body = transfer_body({hollow.num: -1, 2: 1})
    raw = direct.sign(body, payer=hollow.num)
    signed = transaction_contents_pb2.SignedTransaction.FromString(raw.signedTransactionBytes)
    pair = signed.sigMap.sigPair[0]
    pair.Clear()
    pair.pubKeyPrefix = key.public_key().to_bytes_raw()
    pair.ECDSA_secp256k1 = key.sign(signed.bodyBytes)
    raw.signedTransactionBytes = signed.SerializeToString()
    assert direct.ledger.submit(raw).nodeTransactionPrecheckCode == 0
    completed = direct.store.entity(hollow.num)
    assert completed is not None and completed.key_tree.ECDSA_secp256k1 == pair.pubKeyPrefix


def test_a_paid_query_without_payment_is_refused(direct: Direct) -> None:
    query = query_pb2.Query()
    query.cryptoGetInfo.accountID.accountNum = 2
    assert direct.queries.answer(query).cryptoGetInfo.header.nodeTransactionPrecheckCode == 9
    query.cryptoGetInfo.header.responseType = 2
    cost = direct.queries.answer(query).cryptoGetInfo.header.cost
    assert cost > 0
    query.cryptoGetInfo.header.responseType = 0
    query.cryptoGetInfo.header.payment.CopyFrom(direct.sign(transfer_body({2: -cost + 1, 3: cost - 1})))
    assert direct.queries.answer(query).cryptoGetInfo.header.nodeTransactionPrecheckCode == 9
    node = direct.balance(3)
    query.cryptoGetInfo.header.payment.CopyFrom(direct.sign(transfer_body({2: -cost, 3: cost})))
    answer = direct.queries.answer(query).cryptoGetInfo
    assert answer.header.nodeTransactionPrecheckCode == 0 and answer.accountInfo.balance > 0
    assert direct.balance(3) >= node + cost


def test_an_unexpected_failure_leaves_nothing(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    before = direct.balance(2), direct.store.one("select count(*) from tx")

    def broken(accounts: Accounts) -> None:
        raise OSError("disk full")

    body = pay()
    transaction = direct.sign(body)
    with monkeypatch.context() as patch:
        patch.setattr(Accounts, "flush", broken)
        assert direct.ledger.submit(transaction).nodeTransactionPrecheckCode == 5
    assert (direct.balance(2), direct.store.one("select count(*) from tx")) == before
    assert direct.ledger.submit(transaction).nodeTransactionPrecheckCode == 0, "the same id can be sent again"


def test_consensus_time_never_runs_backwards(direct: Direct) -> None:
    seen = direct.ledger.now_ns()
    direct.now_ns = START_NS + 5 * SECOND
    body = pay()
    assert direct.submit(body) == "SUCCESS"
    direct.now_ns -= 3 * SECOND
    assert direct.ledger.now_ns() >= seen
    promised = direct.ledger.now_ns()
    late = pay(6)
    assert direct.submit(late, start_ns=direct.now_ns) == "SUCCESS"
    stamp = direct.record(late).consensusTimestamp
    assert stamp.seconds * SECOND + stamp.nanos > promised


def test_a_directory_is_opened_once_and_goes_on(direct: Direct, tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="another devnet"):
        Direct(tmp_path)
    alice = direct.create(ALICE, 77)
    direct.store.close()
    reopened = Direct(tmp_path)
    reopened.now_ns = direct.now_ns
    assert reopened.balance(alice) == 77 and reopened.supply() == SUPPLY
    assert reopened.create(BOB, 1) == alice + 1
    reopened.store.close()


STEP = st.tuples(
    st.sampled_from(["transfer", "deposit", "fail", "send", "make", "create"]),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3 * HBAR),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, max_size=12))
def test_the_supply_is_exact_after_anything(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    direct = Direct(tmp_path_factory.mktemp("supply"))
    nums = [2, direct.create(ALICE, 2 * HBAR), direct.create(BOB, HBAR), deploy(direct, 500)]
    contract = nums[3]
    for what, source, target, amount in steps:
        if what == "transfer" and source != target:
            direct.submit(transfer_body({nums[source]: -amount, nums[target]: amount}), OPERATOR_KEY, ALICE)
        elif what == "deposit":
            call(direct, contract, function("deposit()"), amount=amount)
        elif what == "fail":
            call(direct, contract, function("fail(uint256)", amount), amount=amount)
        elif what == "send":
            to = nums[target].to_bytes(20, "big") if target else amount.to_bytes(4, "big") * 5
            call(direct, contract, function("send(address,uint256)", "0x" + to.hex(), amount))
        elif what == "make":
            call(direct, contract, function("make(uint256)", source), amount=amount)
        elif what == "create":
            direct.create(ALICE, amount)
        assert direct.supply() == SUPPLY
    for (raw,) in direct.store.all("select record from tx"):
        record = transaction_record_pb2.TransactionRecord.FromString(raw)
        assert sum(entry.amount for entry in record.transferList.accountAmounts) == 0
    direct.store.close()


def test_every_kind_has_a_fee_and_a_handler() -> None:
    assert all(supported(kind) for kind in HANDLERS)


def test_every_status_that_the_source_names_exists() -> None:
    source = Path(devnet_package.__file__).parent
    named = {name for path in source.glob("*.py") for name in re.findall(r'Refused\(\s*"(\w+)"', path.read_text())}
    assert len(named) > 30
    for name in named:
        assert status_name(Refused(name).code) == name


def test_a_query_of_an_unknown_kind_is_not_supported(direct: Direct) -> None:
    for query in (query_pb2.Query(), query_pb2.Query(tokenGetInfo={}), query_pb2.Query(getByKey={})):
        answer = direct.queries.answer(query)
        header = getattr(answer, answer.WhichOneof("response")).header
        assert status_name(header.nodeTransactionPrecheckCode) == "NOT_SUPPORTED"


def test_a_directory_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_text("not a database, but long enough to be read as one" * 50)
    with pytest.raises(ProcessError, match="cannot open") as caught:
        Direct(tmp_path)
    assert caught.value.code == "SHOAL-P04"
    with pytest.raises(ProcessError, match="cannot open"):
        Direct(tmp_path / "ledger.sqlite" / "below")


def deploy_raw(direct: Direct, initcode: str, tinybar: int = 0) -> tuple[str, Any]:
    body = transaction_pb2.TransactionBody()
    body.contractCreateInstance.initcode = bytes.fromhex(initcode)
    body.contractCreateInstance.gas = 1_000_000
    body.contractCreateInstance.initialBalance = tinybar
    return direct.submit(body), direct.record(body)


@pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode:DeprecationWarning")  # py-evm says that it may go one day
def test_no_hbar_goes_with_a_contract_that_destroys_itself(direct: Direct) -> None:
    status, record = deploy_raw(direct, "30ff", 5)  # ADDRESS SELFDESTRUCT
    assert (status, record.contractCreateResult.errorMessage) == (
        "CONTRACT_EXECUTION_EXCEPTION",
        "SELF_DESTRUCT_TO_SELF",
    )
    assert not record.receipt.HasField("contractID") and direct.supply() == SUPPLY


@pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode:DeprecationWarning")  # py-evm says that it may go one day
def test_a_child_that_logs_and_is_gone_leaves_its_log_to_the_caller(direct: Direct) -> None:
    # CREATE of: LOG0 of nothing, CALLER SELFDESTRUCT
    runtime = "6660006000a033ff600052600760196000f000"
    size = f"{len(runtime) // 2:02x}"
    status, record = deploy_raw(direct, f"60{size}600c60003960{size}6000f3{runtime}")
    contract = record.receipt.contractID.contractNum
    assert status == "SUCCESS"
    status, record = call(direct, contract, b"")
    (log,) = record.contractCallResult.logInfo
    assert status == "SUCCESS" and log.contractID.contractNum == contract
    assert not record.contractCallResult.createdContractIDs


def test_deep_recursion_ends_by_gas(direct: Direct) -> None:
    runtime = "60006000600060006000305af100"  # CALL itself with all the gas that is left
    size = f"{len(runtime) // 2:02x}"
    _, record = deploy_raw(direct, f"60{size}600c60003960{size}6000f3{runtime}")
    status, record = call(direct, record.receipt.contractID.contractNum, b"", gas=15_000_000)
    assert status == "SUCCESS" and record.contractCallResult.gasUsed > 70_000


def test_accounts_that_come_to_life_have_records_of_their_own(direct: Direct) -> None:
    body = transfer_body({2: -30})
    for byte in (0xA1, 0xA2):
        body.cryptoTransfer.transfers.accountAmounts.add(accountID=basic.AccountID(alias=bytes([byte]) * 20), amount=15)
    assert direct.submit(body) == "SUCCESS"
    query = query_pb2.Query()
    query.transactionGetReceipt.transactionID.CopyFrom(body.transactionID)
    query.transactionGetReceipt.include_child_receipts = True
    children = direct.queries.answer(query).transactionGetReceipt.child_transaction_receipts
    nums = [child.accountID.accountNum for child in children]
    assert [direct.balance(num) for num in nums] == [15, 15]
    parent = direct.record(body)
    raws = direct.store.child_records(transaction_id(body.transactionID))
    records = [transaction_record_pb2.TransactionRecord.FromString(raw) for raw in raws]
    assert [record.transactionID.nonce for record in records] == [1, 2]
    assert [record.evm_address for record in records] == [b"\xa1" * 20, b"\xa2" * 20]
    times = [record.consensusTimestamp for record in (*records, parent)]
    assert [1_000_000_000 * time.seconds + time.nanos for time in times] == [
        1_000_000_000 * times[2].seconds + times[2].nanos - before for before in (2, 1, 0)
    ]
    query.transactionGetReceipt.transactionID.nonce = 2
    assert direct.queries.answer(query).transactionGetReceipt.receipt.accountID.accountNum == nums[1]
    contract = deploy(direct, 1000)
    call(direct, contract, function("send(address,uint256)", "0x" + "a3" * 20, 10))
    (kind, nonce), *_ = direct.store.all("select kind, nonce from tx order by time_ns desc limit 1 offset 1")
    assert (kind, nonce) == ("cryptoCreateAccount", 1)


def test_a_transfer_that_fails_brings_no_account_to_life(direct: Direct) -> None:
    poor = direct.create(ALICE, HBAR)
    body = transfer_body({poor: -2 * HBAR})
    body.cryptoTransfer.transfers.accountAmounts.add(accountID=basic.AccountID(alias=b"\xa4" * 20), amount=2 * HBAR)
    assert direct.submit(body, OPERATOR_KEY, ALICE) == "INSUFFICIENT_ACCOUNT_BALANCE"
    assert direct.store.by_address(b"\xa4" * 20) is None
    assert direct.store.child_records(transaction_id(body.transactionID)) == []
