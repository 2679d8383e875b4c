"""`shoal wallet`: what an account holds, what the contract holds for it, and moving HBAR between the two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shoal.cli import output
from shoal.cli.confirm import confirm
from shoal.core import calls
from shoal.core.money import Tinybar, format_hbar, parse_hbar
from shoal.errors import CallReverted, MarketError, UsageError
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


async def run_unstake(settings: Settings, amount: str | None, *, cancel: bool, yes: bool, as_json: bool) -> None:
    """Ask free stake back; or, without an amount, take what has unbonded, or keep it as stake after all.

    Raises:
        UsageError: SHOAL-U02, no amount; U07, not confirmed.
        MarketError: SHOAL-T11, not registered; T12, nothing unbonds; T13, it has not unbonded yet, or is reserved.
    """
    value = None if amount is None else _amount(amount)
    settings.need("contract_id")
    async with open_wallet(settings) as wallet:
        ledger = wallet.ledger
        state = await ledger.account_state(ledger.address)
        if value is None:
            call, what = _end_of_unbonding(state, cancel=cancel, now_s=await ledger.watermark() // 10**9)
        else:
            _need_registered(state, ledger.account)
            _need_free(state, value)
            call, what = calls.RequestUnstake(value), f"ask {format_hbar(value)} of stake back"
        confirm(f"{what}, for Hedera's fee", yes=yes)
        outcome = await ledger.call(call)
        output.say(f"done in {outcome.transaction}; fee {format_hbar(outcome.fee_tinybar)}")
        _print(await _record(ledger), as_json=as_json)


def _end_of_unbonding(state: AccountState, *, cancel: bool, now_s: int) -> tuple[calls.Call, str]:
    unbonding = format_hbar(state.unbonding_tinybar)
    if not state.unbonding_tinybar:
        raise MarketError(
            "no stake is on its way back",
            code="SHOAL-T12",
            hint="`shoal wallet unstake HBAR` asks for some",
            money="nothing was spent",
        )
    if cancel:
        return calls.CancelUnstake(), f"keep {unbonding} as stake"
    if now_s < state.unbond_at:
        raise MarketError(
            f"{unbonding} can be had from {_time(state.unbond_at)}",
            code="SHOAL-T13",
            hint="come back then, or --cancel",
            money="nothing was spent",
        )
    return calls.CompleteUnstake(), f"move {unbonding} of stake to what can be withdrawn"


def _need_free(state: AccountState, value: Tinybar) -> None:
    if value > state.free_stake_tinybar:
        raise MarketError(
            f"{format_hbar(state.free_stake_tinybar)} of the stake is free, the rest is reserved by seats",
            code="SHOAL-T13",
            hint="seats give their stake back when their task is claimed",
            money="nothing was spent",
        )


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat().replace("+00:00", "Z")


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
                hint="stake is not part of it: `shoal wallet unstake HBAR` asks for some",
                money="nothing was spent",
            )
        confirm(f"withdraw {format_hbar(held)} to {ledger.account}, for Hedera's fee", yes=yes)
        outcome = await ledger.call(calls.Withdraw())
        output.say(f"withdrew {format_hbar(held)} in {outcome.transaction}; fee {format_hbar(outcome.fee_tinybar)}")
        _print(await _record(ledger), as_json=as_json)


async def run_leave(settings: Settings, *, yes: bool, as_json: bool) -> None:
    """Leave the pool of validators; called again some minutes later, have the stake begin to come back.

    Raises:
        UsageError: SHOAL-U07, not confirmed.
        MarketError: SHOAL-T23, the account is no validator; T24, a jury waits for its vote; T25, it is too early.
    """
    settings.need("contract_id")
    async with open_wallet(settings) as wallet:
        ledger = wallet.ledger
        confirm("leave the pool of validators, for Hedera's fee", yes=yes)
        try:
            outcome = await ledger.call(calls.LeaveValidators())
        except CallReverted as error:
            if error.reason not in _STAYS:
                raise
            code, message, hint = _STAYS[error.reason]
            raise MarketError(message, code=code, hint=hint, money="nothing of the stake was lost") from error
        output.say(f"done in {outcome.transaction}; fee {format_hbar(outcome.fee_tinybar)}")
        record = await _record(ledger)
        if record["reserved_tinybar"]:
            output.say(
                "a draw that was asked for before may still name this account: call this again in 10 minutes, and"
            )
            output.say("the stake begins to come back")
        _print(record, as_json=as_json)


_STAYS = {
    "NotAValidator": ("SHOAL-T23", "this account is no validator", "`shoal node run --role validator` makes it one"),
    "StillDrawable": (
        "SHOAL-T25",
        "a draw that was asked for before this account left the pool may still name it",
        "try again in 10 minutes, and do not start its node meanwhile: that would enter the pool again",
    ),
    "OnDuty": ("SHOAL-T24", "a jury waits for this account's vote", "let the validator's node vote, and try again"),
}


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
        "unbonding_tinybar": int(state.unbonding_tinybar),
        "unbond_at": _time(state.unbond_at) if state.unbonding_tinybar else None,
        "withdrawable_tinybar": int(state.balance_tinybar),
        "registered": state.registered,
    }


def _print(record: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.print_json(record)
        return
    for key, value in record.items():
        if value is None:
            continue
        text = format_hbar(value) if key.endswith("_tinybar") else str(value)
        output.stdout.print(f"{key.removesuffix('_tinybar'):14} {text}", soft_wrap=True)
