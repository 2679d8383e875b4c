"""`shoal wallet`: what an account holds, what the contract holds for it, and moving HBAR between the two."""

from __future__ import annotations

from typing import Any

from shoal.cli import output
from shoal.cli.confirm import confirm
from shoal.core import calls
from shoal.core.money import Tinybar, format_hbar, parse_hbar
from shoal.errors import MarketError, UsageError
from shoal.node import open_reader, open_wallet
from shoal.ports import AccountState, LedgerView
from shoal.settings import Settings


async def run_show(settings: Settings, *, as_json: bool) -> None:
    """Print the balances; needs no key."""
    settings.need("operator_id", "contract_id")
    async with open_reader(settings) as ledger:
        _print(await _record(ledger), as_json=as_json)


async def run_deposit(settings: Settings, amount: str, *, yes: bool, as_json: bool) -> None:
    """Pay more stake into the contract.

    Raises:
        UsageError: SHOAL-U02, no amount; U07, not confirmed.
        MarketError: SHOAL-T02, the account has too little; T11, it is not registered.
    """
    value = _amount(amount)
    settings.need("contract_id")
    async with open_wallet(settings) as wallet:
        ledger = wallet.ledger
        _need_registered(await ledger.account_state(ledger.address), ledger.account)
        balance = await ledger.balance()
        if balance <= value:
            raise MarketError(
                f"account {ledger.account} has {format_hbar(balance)}",
                code="SHOAL-T02",
                hint="top the account up, or deposit less; fees come on top",
                money="nothing was spent",
            )
        confirm(f"deposit {format_hbar(value)} of stake on {settings.network}", yes=yes)
        outcome = await ledger.call(calls.DepositStake(), value=value)
        output.say(f"deposited {format_hbar(value)} in {outcome.transaction}; fee {format_hbar(outcome.fee_tinybar)}")
        _print(await _record(ledger), as_json=as_json)


async def run_withdraw(settings: Settings, *, yes: bool, as_json: bool) -> None:
    """Take all that the contract holds for this account beside its stake.

    Raises:
        UsageError: SHOAL-U07, not confirmed.
        MarketError: SHOAL-T12, there is nothing.
    """
    settings.need("contract_id")
    async with open_wallet(settings) as wallet:
        ledger = wallet.ledger
        held = (await ledger.account_state(ledger.address)).balance_tinybar
        if not held:
            raise MarketError(
                f"the contract holds nothing for {ledger.account} to withdraw",
                code="SHOAL-T12",
                hint="stake is not part of it",
                money="nothing was spent",
            )
        confirm(f"withdraw {format_hbar(held)} to {ledger.account}, for Hedera's fee", yes=yes)
        outcome = await ledger.call(calls.Withdraw())
        output.say(f"withdrew {format_hbar(held)} in {outcome.transaction}; fee {format_hbar(outcome.fee_tinybar)}")
        _print(await _record(ledger), as_json=as_json)


def _amount(text: str) -> Tinybar:
    try:
        value = parse_hbar(text)
    except ValueError as error:
        raise UsageError(str(error), code="SHOAL-U02", hint="for example 2.5") from error
    if not value:
        raise UsageError("nothing is no amount", code="SHOAL-U02", hint="for example 2.5")
    return value


def _need_registered(state: AccountState, account: str) -> None:
    if not state.registered:
        raise MarketError(
            f"{account} is not registered as a trainer",
            code="SHOAL-T11",
            hint="`shoal node run --role trainer` registers, with a first stake",
            money="nothing was spent",
        )


async def _record(ledger: LedgerView) -> dict[str, Any]:
    state = await ledger.account_state(ledger.address)
    return {
        "account": ledger.account,
        "balance_tinybar": int(await ledger.balance()),
        "stake_tinybar": int(state.stake_tinybar),
        "reserved_tinybar": int(state.locked_tinybar),
        "free_stake_tinybar": state.free_stake_tinybar,
        "withdrawable_tinybar": int(state.balance_tinybar),
        "registered": state.registered,
    }


def _print(record: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.print_json(record)
        return
    for key, value in record.items():
        text = format_hbar(value) if key.endswith("_tinybar") else str(value)
        output.stdout.print(f"{key.removesuffix('_tinybar'):14} {text}", soft_wrap=True)
