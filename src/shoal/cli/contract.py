"""`shoal contract`: put the market's contract on a ledger, and look at the one that is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shoal.cli import output
from shoal.cli.confirm import confirm
from shoal.core.codec import decode, encode
from shoal.core.money import format_hbar
from shoal.core.quote import LOCAL_TIMING, Timing
from shoal.errors import MarketError
from shoal.node import Wallet, open_reader, open_wallet
from shoal.ports import Store
from shoal.settings import Settings

TABLE = "deployments"


@dataclass(frozen=True, slots=True)
class _Request:
    """The latest deployment that was asked for from this directory; `contract_id` is empty until it is done."""

    number: int
    contract_id: str

    def save(self, store: Store, name: str) -> None:
        store.put(TABLE, name, encode([self.number, self.contract_id]))

    @classmethod
    def load(cls, store: Store, name: str) -> _Request:
        kept = store.get(TABLE, name)
        return cls(1, "") if kept is None else cls(*decode(kept, max_bytes=len(kept)))


async def run_deploy(settings: Settings, *, again: bool, yes: bool, as_json: bool) -> None:
    """Deploy the contract once: a deployment that was cut off goes on, one that is done is shown.

    Args:
        again: make another one where one is done.

    Raises:
        MarketError: SHOAL-T02, the account has too little.
        LedgerError: SHOAL-L07, what the mirror node shows is not this version's contract.
    """
    async with open_wallet(settings) as wallet:
        ledger = wallet.ledger
        name = f"{settings.network}/{ledger.account}/{ledger.code_sha256}"
        request = _Request.load(wallet.store, name)
        if request.contract_id and again:
            request = _Request(request.number + 1, "")
        known = bool(request.contract_id)
        if not known:
            await _ask(wallet, yes=yes)
            request.save(wallet.store, name)
        timing = LOCAL_TIMING if settings.network == "devnet" else Timing()
        made = await ledger.deploy(f"{ledger.code_sha256}/{request.number}", min_dispute_s=timing.challenge_s)
        _Request(request.number, made.contract_id).save(wallet.store, name)
    record = {
        "contract_id": made.contract_id,
        "address": made.address,
        "network": settings.network,
        "fee_tinybar": int(made.fee_tinybar),
        "deployed_before": known,
    }
    if as_json:
        output.print_json(record)
        return
    what = "was deployed before; --again makes another" if known else "is deployed, and is this version's code"
    output.say(f"contract {made.contract_id} {what}; it cost {format_hbar(made.fee_tinybar)} in fees")
    output.say(f"put it into your configuration: CONTRACT_ID={made.contract_id} in .env or the environment,")
    output.say(f'or contract_id = "{made.contract_id}" in {settings.dir / "shoal.toml"}')
    output.stdout.print(made.contract_id)


async def _ask(wallet: Wallet, *, yes: bool) -> None:
    ledger = wallet.ledger
    cost, balance = await ledger.deployment_cost(), await ledger.balance()
    if balance < cost:
        raise MarketError(
            f"account {ledger.account} has {format_hbar(balance)}, a deployment costs about {format_hbar(cost)}",
            code="SHOAL-T02",
            hint="top the account up",
            money="nothing was spent",
        )
    confirm(f"deploy the contract on {wallet.settings.network} for about {format_hbar(cost)}", yes=yes)


async def run_show(settings: Settings, *, as_json: bool) -> None:
    """Print what the contract is and owes; needs no key.

    Raises:
        ConfigError: SHOAL-C01, no contract is set; C12, it does not exist.
        LedgerError: SHOAL-L07, it is not this version's.
    """
    settings.need("contract_id")
    async with open_reader(settings) as ledger:
        address = await ledger.check_contract(settings.contract_id)
        owed, balance = await ledger.liabilities(), await ledger.balance(settings.contract_id)
    record: dict[str, Any] = {
        "contract_id": settings.contract_id,
        "address": address,
        "network": settings.network,
        "code_is_this_versions": True,
        "balance_tinybar": int(balance),
        "escrow_tinybar": int(owed.escrow_tinybar),
        "stake_tinybar": int(owed.stake_tinybar),
        "balances_tinybar": int(owed.balances_tinybar),
    }
    if as_json:
        output.print_json(record)
        return
    for key, value in record.items():
        text = format_hbar(value) if key.endswith("_tinybar") else str(value)
        output.stdout.print(f"{key.removesuffix('_tinybar'):22} {text}", soft_wrap=True)
