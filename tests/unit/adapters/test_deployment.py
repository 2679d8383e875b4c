"""Which contract is trusted with money: one whose code, creation, arguments and keys leave nobody a way to it."""

from __future__ import annotations

from typing import Any

import pytest
from hiero_sdk_python.hapi.services.basic_types_pb2 import ContractID, Key, KeyList

from shoal.adapters.hedera import deployment
from shoal.adapters.hedera.market import artefact
from shoal.errors import ConfigError, LedgerError

COURT = bytes.fromhex("c0" * 20)
MARKET, HELD = "0.0.1001", "0.0.1002"


def key(**fields: Any) -> dict[str, str]:
    return {"_type": "ProtobufEncoded", "key": Key(**fields).SerializeToString().hex()}


def own(number: int) -> dict[str, str]:
    return key(contractID=ContractID(contractNum=number))


class Rows:
    """A mirror that has a market and its court."""

    def __init__(self, *, unbonding_s: int = 60, stake: int = 100, min_dispute_s: int = 60) -> None:
        code = str(artefact()["runtime"])
        for place in artefact()["court_places"]:
            code = code[: 2 * place] + COURT.hex().rjust(64, "0") + code[2 * place + 64 :]
        created = deployment.creation_code(artefact(), unbonding_s, stake, min_dispute_s).hex()
        self.market: dict[str, Any] = {
            "contract_id": MARKET,
            "evm_address": "0x" + "01" * 20,
            "runtime_bytecode": "0x" + code,
            "bytecode": "0x" + created,
            "admin_key": own(1001),
            "deleted": False,
        }
        self.court: dict[str, Any] = {
            "contract_id": HELD,
            "runtime_bytecode": "0x" + artefact()["court_runtime"],
            "bytecode": None,
            "admin_key": None,
            "deleted": False,
        }

    async def get(self, path: str) -> dict[str, Any] | None:
        return {f"/contracts/{MARKET}": self.market, f"/contracts/0x{COURT.hex()}": self.court}.get(path)


async def check(rows: Rows) -> str:
    return await deployment.check(artefact(), rows, MARKET, least_dispute_s=60)  # type: ignore[arg-type]


@pytest.mark.parametrize("admin_key", [None, own(1001), own(1002), key(keyList=KeyList())])
@pytest.mark.parametrize("part", ["market", "court"])
async def test_a_contract_without_owner_is_taken(part: str, admin_key: dict[str, str] | None) -> None:
    rows = Rows()
    getattr(rows, part)["admin_key"] = admin_key
    assert await check(rows) == rows.market["evm_address"]


@pytest.mark.parametrize(
    "admin_key",
    [
        {"_type": "ED25519", "key": "aa" * 32},
        key(ed25519=b"k" * 32),
        own(1003),
        key(keyList=KeyList(keys=[Key(ed25519=b"k" * 32)])),
        {"_type": "ProtobufEncoded", "key": "not hex"},
        {},
        "someone",
    ],
)
@pytest.mark.parametrize("part", ["market", "court"])
async def test_a_contract_that_somebody_has_a_key_to_is_not(part: str, admin_key: Any) -> None:
    """Its holder could delete it, and have all that it holds."""
    rows = Rows()
    getattr(rows, part)["admin_key"] = admin_key
    with pytest.raises(LedgerError) as refused:
        await check(rows)
    assert refused.value.code == "SHOAL-L07" and "key" in refused.value.message


@pytest.mark.parametrize("part", ["market", "court"])
async def test_a_deleted_contract_is_not(part: str) -> None:
    rows = Rows()
    getattr(rows, part)["deleted"] = True
    with pytest.raises(LedgerError):
        await check(rows)


@pytest.mark.parametrize("created", [None, "0x", "0x6000", "cut", "more"])
async def test_a_contract_that_other_code_has_created_is_not(created: str | None) -> None:
    """Code runs once at creation and may write into the books what it likes; what it leaves behind does not tell."""
    rows = Rows()
    whole = rows.market["bytecode"]
    rows.market["bytecode"] = {"cut": whole[:-64], "more": whole + "zz"}.get(str(created), created)
    with pytest.raises(LedgerError) as refused:
        await check(rows)
    assert refused.value.code == "SHOAL-L07" and "created" in refused.value.message


@pytest.mark.parametrize(
    "arguments",
    [
        {"unbonding_s": 2**64 - 1},
        {"unbonding_s": deployment.MAX_UNBONDING_S + 1},
        {"stake": 0},
        {"min_dispute_s": 59},
        {"min_dispute_s": deployment.MAX_DISPUTE_S + 1},
        {"stake": deployment.MAX_VALIDATOR_STAKE_TINYBAR + 1},
    ],
)
async def test_a_contract_that_would_keep_stake_is_not(arguments: dict[str, int]) -> None:
    with pytest.raises(LedgerError) as refused:
        await check(Rows(**arguments))
    assert refused.value.code == "SHOAL-L07" and refused.value.money


async def test_there_may_be_none() -> None:
    with pytest.raises(ConfigError):
        await deployment.check(artefact(), Rows(), "0.0.7")  # type: ignore[arg-type]
