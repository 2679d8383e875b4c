"""Putting the committed contract on a ledger, step by step, such that a deployment that was cut off goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode

from shoal.adapters.hedera import transactions as tx
from shoal.adapters.hedera.mirror import Mirror
from shoal.adapters.hedera.submit import Landed
from shoal.core import fees
from shoal.core.ids import entity_number
from shoal.core.money import Tinybar
from shoal.errors import ConfigError, LedgerError

GAS = 13_000_000
"""Nearly half as much again as a deployment was measured to take; what is not used is not charged (HIP-1249)."""
INITIAL_TINYBAR = 1
"""Proves to the constructor that `msg.value` counts tinybar."""

Step = Callable[..., Awaitable[Landed]]


@dataclass(frozen=True, slots=True)
class Deployment:
    """A contract that is on the ledger, and is the artefact's."""

    contract_id: str
    address: str
    fee_tinybar: Tinybar
    """What Hedera charged for all steps, those before an interruption included."""


def cost_tinycents(artefact: Mapping[str, Any]) -> int:
    """What a deployment costs, by the fee schedule and the gas that was measured."""
    parts = _parts(creation_code(artefact, 0, 1, 1))
    return sum(fees.file_part(len(part)) for part in parts) + fees.create_contract(fees.GAS["deploy"])


def creation_code(
    artefact: Mapping[str, Any], unbonding_s: int, validator_stake_tinybar: int, min_dispute_s: int
) -> bytes:
    """The code that creates a contract, with its constructor's arguments."""
    arguments = encode(["uint64"] * 3, [unbonding_s, validator_stake_tinybar, min_dispute_s])
    return bytes.fromhex(artefact["bytecode"]) + bytes(arguments)


async def deploy(artefact: Mapping[str, Any], code: bytes, *, send: Step, mirror: Mirror, key: Any) -> Deployment:
    """Upload the bytecode into a file, make the contract from it, and compare what the mirror shows with the artefact.

    Args:
        code: as `creation_code` gives it.
        send: `send(make, kind, step, gas=0)` sends one transaction, once for each name of a step, whatever happens in
            between; so this may be called again and again.
        key: controls the file, which nobody needs afterwards. The contract has no admin key.

    Raises:
        LedgerError: SHOAL-L07, what the mirror shows is not the artefact.
    """
    first, *rest = _parts(code)
    landed = [await send(tx.create_file(first, [key.public_key()]), "file", "file")]
    file = landed[0].entity
    assert file is not None, "a file was created"
    for number, part in enumerate(rest, 1):
        landed.append(await send(tx.append_file(file, part), "file", f"part-{number}"))
    landed.append(await send(tx.create_contract(file, GAS, INITIAL_TINYBAR), "contract", "contract", gas=GAS))
    await mirror.eventually(f"/contracts/0.0.{landed[-1].entity}")
    address = await check(artefact, mirror, f"0.0.{landed[-1].entity}")
    rows = [await mirror.consensus(each.transaction) for each in landed]
    fee = sum(int(row["charged_tx_fee"]) for row in rows if row)
    return Deployment(f"0.0.{landed[-1].entity}", address, Tinybar(fee))


async def check(artefact: Mapping[str, Any], mirror: Mirror, contract_id: str) -> str:
    """Compare the code of a contract, and of the court that it runs, with the artefact's; the contract's address.

    Raises:
        ConfigError: SHOAL-C12, there is no such contract.
        LedgerError: SHOAL-L07, its code is another.
    """
    entity_number(contract_id)
    row = await mirror.get(f"/contracts/{contract_id}")
    if row is None:
        raise ConfigError(
            f"there is no contract {contract_id} on this network",
            code="SHOAL-C12",
            hint="check contract_id and network",
        )
    court = _court_of(artefact, _runtime(row))
    found = None if court is None else await mirror.get(f"/contracts/0x{court.hex()}")
    if found is None or _runtime(found) != artefact["court_runtime"]:
        raise LedgerError(
            f"the code of {contract_id} is not that of this version's contract",
            code="SHOAL-L07",
            hint="take the contract that was deployed by this version of shoal, or deploy one",
            money="send nothing to this contract",
        )
    return str(row["evm_address"])


def _runtime(row: Mapping[str, Any]) -> str:
    return str(row.get("runtime_bytecode") or "").removeprefix("0x")


def _court_of(artefact: Mapping[str, Any], runtime: str) -> bytes | None:
    """The court's address, which creation wrote into a market's code; None where the rest is not the artefact's."""
    expected, places = str(artefact["runtime"]), [2 * place for place in artefact["court_places"]]
    if len(runtime) != len(expected):
        return None
    words = {runtime[place : place + 64] for place in places}
    for place in places:
        runtime = runtime[:place] + expected[place : place + 64] + runtime[place + 64 :]
    return bytes.fromhex(words.pop()[24:]) if runtime == expected and len(words) == 1 else None


def _parts(code: bytes) -> list[bytes]:
    """The creation code as hex text, as a file of Hedera holds it, in pieces that fit a transaction."""
    text = code.hex().encode()
    return [text[start : start + tx.FILE_PART_BYTES] for start in range(0, len(text), tx.FILE_PART_BYTES)]
