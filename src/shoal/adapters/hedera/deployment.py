"""Putting the committed contract on a ledger, step by step, such that a deployment that was cut off goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shoal.adapters.hedera import transactions as tx
from shoal.adapters.hedera.mirror import Mirror
from shoal.adapters.hedera.submit import Landed
from shoal.core import fees
from shoal.core.ids import entity_number
from shoal.core.money import Tinybar
from shoal.errors import ConfigError, LedgerError

GAS = 6_000_000
"""A third more than a deployment was measured to take; what is not used is not charged (HIP-1249)."""
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
    return sum(fees.file_part(len(part)) for part in _parts(artefact)) + fees.create_contract(fees.GAS["deploy"])


async def deploy(artefact: Mapping[str, Any], *, send: Step, mirror: Mirror, key: Any) -> Deployment:
    """Upload the bytecode into a file, make the contract from it, and compare what the mirror shows with the artefact.

    Args:
        send: `send(make, kind, step, gas=0)` sends one transaction, once for each name of a step, whatever happens in
            between; so this may be called again and again.
        key: controls the file, which nobody needs afterwards. The contract has no admin key.

    Raises:
        LedgerError: SHOAL-L07, what the mirror shows is not the artefact.
    """
    first, *rest = _parts(artefact)
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
    """Compare the code of a contract with the artefact's; the contract's address.

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
    runtime = str(row.get("runtime_bytecode") or "").removeprefix("0x")
    if not runtime or runtime not in str(artefact["bytecode"]):
        raise LedgerError(
            f"the code of {contract_id} is not that of this version's contract",
            code="SHOAL-L07",
            hint="take the contract that was deployed by this version of shoal, or deploy one",
            money="send nothing to this contract",
        )
    return str(row["evm_address"])


def _parts(artefact: Mapping[str, Any]) -> list[bytes]:
    """The creation code as hex text, as a file of Hedera holds it, in pieces that fit a transaction."""
    text = str(artefact["bytecode"]).removeprefix("0x").encode()
    return [text[start : start + tx.FILE_PART_BYTES] for start in range(0, len(text), tx.FILE_PART_BYTES)]
