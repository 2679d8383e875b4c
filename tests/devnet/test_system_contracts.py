"""0x168 and 0x169 as Solidity calls them, by a contract, by HAPI and by a simulated call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_abi import decode
from hiero_sdk_python.hapi.services import query_pb2

from shoal.adapters.devnet.context import status_name
from shoal.adapters.devnet.fees import EXCHANGE_RATE_GAS, PRNG_GAS, VIEW_GAS
from shoal.adapters.devnet.queries import Queries

from .direct import Direct, transfer_body
from .harness import SUPPLY, Devnet, function
from .test_ledger import call, deploy

RATE, PRNG = bytes(18) + b"\x01\x68", bytes(18) + b"\x01\x69"
SEED = function("getPseudorandomSeed()")


@pytest.fixture
def direct(tmp_path: Path) -> Iterator[Direct]:
    made = Direct(tmp_path)
    yield made
    made.store.close()


def drawn(direct: Direct, contract: int) -> bytes:
    """A seed; the same when it is drawn again in the same transaction, and what PREVRANDAO tells."""
    status, record = call(direct, contract, function("draw()"))
    first, second, randao = decode(["bytes32", "bytes32", "uint256"], record.contractCallResult.contractCallResult)
    assert status == "SUCCESS" and first == second == randao.to_bytes(32, "big")
    assert record.contractCallResult.gasUsed > 2 * PRNG_GAS
    return bytes(first)


def test_each_transaction_draws_another_seed(direct: Direct) -> None:
    contract = deploy(direct)
    seeds = [drawn(direct, contract) for _ in range(6)]
    assert len(set(seeds)) == 6


def test_the_seed_is_the_running_hash_three_records_back(direct: Direct, tmp_path: Path) -> None:
    contract = deploy(direct)
    for amount in (1, 2, 3):
        assert direct.submit(transfer_body({2: -amount, 98: amount})) == "SUCCESS"
    hashes = [row[0] for row in direct.store.all("select running_hash from tx order by time_ns")]
    assert drawn(direct, contract) == hashes[-3][:32]
    expected = direct.ledger.seed
    direct.store.close()
    again = Direct(tmp_path)
    assert again.ledger.seed == expected, "a restart does not draw anew"
    again.store.close()


def test_two_ledgers_draw_differently(direct: Direct, tmp_path: Path) -> None:
    other = Direct(tmp_path / "other")
    assert drawn(other, deploy(other)) != drawn(direct, deploy(direct))
    other.store.close()


def test_a_view_sees_the_seed_of_the_next_transaction_for_less_gas(direct: Direct) -> None:
    contract = deploy(direct)
    data = function("peek()")
    done = direct.queries.simulate(sender=bytes(19) + b"\x02", to=contract.to_bytes(20, "big"), data=data, gas=100_000)
    assert done.output == direct.ledger.seed[:32] and VIEW_GAS < done.gas_used < PRNG_GAS + 21_000


def test_rates(direct: Direct) -> None:
    contract = deploy(direct)
    for amount, tinybars in ((0, 0), (11, 0), (12, 1), (10**10, 833_333_333)):
        status, record = call(direct, contract, function("convert(uint256)", amount))
        got = decode(["uint256", "uint256"], record.contractCallResult.contractCallResult)
        assert status == "SUCCESS" and got == (tinybars, 12 * amount)


def halted(direct: Direct, contract: int, system: bytes, data: bytes, *, amount: int = 0) -> bool:
    status, record = call(direct, contract, function("misuse(address,bytes)", "0x" + system.hex(), data), amount=amount)
    (ok,) = decode(["bool"], record.contractCallResult.contractCallResult)
    assert status == "SUCCESS" and (ok or record.contractCallResult.gasUsed > 50_000), "a failure uses up its gas"
    return not ok


@pytest.mark.parametrize(
    ("system", "data"),
    [
        (PRNG, b""),
        (PRNG, b"\x01\x02\x03\x04"),
        (RATE, b""),
        (RATE, function("tinycentsToTinybars(uint256)", 5)[:-1]),
        (RATE, b"\x01\x02\x03\x04" + bytes(32)),
        (RATE, function("tinybarsToTinycents(uint256)", 2**256 - 1)),
    ],
)
def test_what_is_no_call_of_theirs_fails(direct: Direct, system: bytes, data: bytes) -> None:
    assert halted(direct, deploy(direct), system, data)


def test_no_value_goes_to_a_system_contract(direct: Direct) -> None:
    contract = deploy(direct)
    assert not halted(direct, contract, PRNG, SEED)
    assert halted(direct, contract, PRNG, SEED, amount=1)
    assert direct.balance(contract) == 1 and direct.supply() == SUPPLY


def test_hapi_and_mirror_reach_them_directly(direct: Direct, devnet: Devnet) -> None:
    status, record = call(direct, 360, function("tinybarsToTinycents(uint256)", 5))
    result = record.contractCallResult
    assert status == "SUCCESS" and int.from_bytes(result.contractCallResult, "big") == 60
    assert 21_000 + EXCHANGE_RATE_GAS < result.gasUsed < 22_000
    query = query_pb2.Query()
    query.contractCallLocal.contractID.contractNum = 361
    query.contractCallLocal.gas = 60_000
    query.contractCallLocal.functionParameters = SEED
    local = paid(direct.queries, query, direct)
    assert len(local.functionResult.contractCallResult) == 32
    answer = devnet.http.post(
        "/api/v1/contracts/call", json={"to": "0x" + RATE.hex(), "data": "0x2e3cff6a" + (100).to_bytes(32, "big").hex()}
    )
    assert int(answer.json()["result"], 16) == 8


def paid(queries: Queries, query: Any, direct: Direct) -> Any:
    """The answer to a query that the operator pays for."""
    kind = query.WhichOneof("query")
    asked = getattr(query, kind)
    asked.header.responseType = 2
    cost = getattr(queries.answer(query), kind).header.cost
    asked.header.responseType = 0
    asked.header.payment.CopyFrom(direct.sign(transfer_body({2: -cost, 3: cost})))
    answer = getattr(queries.answer(query), kind)
    assert status_name(answer.header.nodeTransactionPrecheckCode) == "OK"
    return answer
