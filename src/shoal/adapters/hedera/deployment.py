"""Putting the committed contract on a ledger, step by step, such that a deployment that was cut off goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from google.protobuf.message import DecodeError
from hiero_sdk_python.hapi.services.basic_types_pb2 import Key

from shoal.adapters.hedera import transactions as tx
from shoal.adapters.hedera.mirror import Mirror
from shoal.adapters.hedera.submit import Landed
from shoal.core import fees
from shoal.core.ids import entity_number
from shoal.core.money import Tinybar
from shoal.errors import ConfigError, LedgerError

GAS = 13_000_000
"""Nearly half as much again as a deployment was measured to take; what is not used is not charged (HIP-1249)."""
MIN_DISPUTE_S, MAX_DISPUTE_S = 3600, 30 * 24 * 3600
"""What plans on a public network have to give jurors and challengers, at least; and what that may be at most."""
MAX_UNBONDING_S = 60 * 24 * 3600
MAX_VALIDATOR_STAKE_TINYBAR = 10**13
"""100,000 HBAR."""
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


async def check(artefact: Mapping[str, Any], mirror: Mirror, contract_id: str, *, least_dispute_s: int = 1) -> str:
    """See that a contract is the artefact's and that nobody can change that: its own code, that of the court which it
    runs, the code that created both, the arguments that it was created with, and its admin key; the contract's address.

    The code that a contract has tells nothing of what its creation wrote into its books.

    Args:
        least_dispute_s: what its plans have to give jurors, at least.

    Raises:
        ConfigError: SHOAL-C12, there is no such contract.
        LedgerError: SHOAL-L07, it is another, or not out of everybody's reach.
    """
    entity_number(contract_id)
    row = await mirror.get(f"/contracts/{contract_id}")
    if row is None:
        raise ConfigError(
            f"there is no contract {contract_id} on this network",
            code="SHOAL-C12",
            hint="check contract_id and network",
        )
    court = _court_of(artefact, _code(row, "runtime_bytecode"))
    found = None if court is None else await mirror.get(f"/contracts/0x{court.hex()}")
    if found is None or _code(found, "runtime_bytecode") != artefact["court_runtime"]:
        raise _unfit(contract_id, "its code is not that of this version's contract")
    if why := _creation_fault(artefact, _code(row, "bytecode"), least_dispute_s):
        raise _unfit(contract_id, why)
    own = {entity_number(str(each["contract_id"])) for each in (row, found)}
    for each in (row, found):
        if each.get("deleted") or not _is_ownerless(each, own):
            raise _unfit(contract_id, "somebody holds a key to it, or has deleted it")
    return str(row["evm_address"])


def _unfit(contract_id: str, why: str) -> LedgerError:
    return LedgerError(
        f"{contract_id} is not to be trusted with money: {why}",
        code="SHOAL-L07",
        hint="take the contract that was deployed by this version of shoal, or deploy one",
        money="send nothing to this contract",
    )


def _code(row: Mapping[str, Any], name: str) -> str:
    return str(row.get(name) or "").removeprefix("0x")


def _creation_fault(artefact: Mapping[str, Any], code: str, least_dispute_s: int) -> str:
    """What is wrong with the code that created a contract, in hexadecimal; empty if nothing is."""
    if not code:
        return "the mirror node does not show the code that created it"
    expected = str(artefact["bytecode"])
    if not code.startswith(expected):
        return "the code that created it is not this version's"
    try:
        unbonding_s, stake, min_dispute_s = decode(["uint64"] * 3, bytes.fromhex(code[len(expected) :]))
    except (DecodingError, ValueError):
        return "it was created with arguments that cannot be read"
    if not unbonding_s <= MAX_UNBONDING_S:
        return f"stake would take {unbonding_s} s to come back"
    if not least_dispute_s <= min_dispute_s <= MAX_DISPUTE_S:
        return f"jurors might have {min_dispute_s} s only, or have to be waited for as long"
    if not 0 < stake <= MAX_VALIDATOR_STAKE_TINYBAR:
        return f"a validator would lock {stake} tinybar"
    return ""


def _is_ownerless(row: Mapping[str, Any], own: set[int]) -> bool:
    """Whether nobody can change or delete a contract: it has no admin key, or one of those by which the network shows
    that: an empty list, or the id of a contract, here its own, whose code never uses it."""
    key = row.get("admin_key")
    if key is None:
        return True
    try:
        found = Key.FromString(bytes.fromhex(str(key["key"])))
    except (KeyError, TypeError, ValueError, DecodeError):
        return False
    if found.WhichOneof("key") == "keyList":
        return not found.keyList.keys
    return bool(found.WhichOneof("key") == "contractID" and found.contractID.contractNum in own)


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
