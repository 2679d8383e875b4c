"""The commands of `shoal wallet` and `shoal contract`, their options and help."""

from __future__ import annotations

from typing import Annotated

import typer

from shoal.cli import output
from shoal.cli.options import Dir, Json, Yes, settings_of

contract_app = typer.Typer(no_args_is_help=True, help="The market's contract on the ledger.")
wallet_app = typer.Typer(no_args_is_help=True, help="What an account holds, and what the contract holds for it.")


@contract_app.command("deploy")
def contract_deploy(
    again: Annotated[bool, typer.Option("--again", help="Make another one, where one is deployed already.")] = False,
    yes: Yes = False,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Deploy the contract; what was cut off goes on, and nothing is deployed twice."""
    from shoal.cli.contract import run_deploy

    output.run(
        lambda: run_deploy(settings_of(directory, as_json), again=again, yes=yes, as_json=as_json), as_json=as_json
    )


@contract_app.command("show")
def contract_show(directory: Dir = None, as_json: Json = False) -> None:
    """Compare the contract's code with this version's, and tell what it holds and owes."""
    from shoal.cli.contract import run_show

    output.run(lambda: run_show(settings_of(directory, as_json), as_json=as_json), as_json=as_json)


@wallet_app.command("show")
def wallet_show(directory: Dir = None, as_json: Json = False) -> None:
    """Balance, stake, what of it is reserved by seats, and what can be withdrawn; needs no key."""
    from shoal.cli.wallet import run_show

    output.run(lambda: run_show(settings_of(directory, as_json), as_json=as_json), as_json=as_json)


@wallet_app.command("deposit")
def wallet_deposit(
    amount: Annotated[str, typer.Argument(metavar="HBAR")],
    yes: Yes = False,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Pay more stake into the contract; cut off, the same command goes on, and pays once."""
    from shoal.cli.wallet import run_deposit

    output.run(lambda: run_deposit(settings_of(directory, as_json), amount, yes=yes, as_json=as_json), as_json=as_json)


@wallet_app.command("unstake")
def wallet_unstake(
    amount: Annotated[str | None, typer.Argument(metavar="[HBAR]", help="Without it: take what has unbonded.")] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Keep what is unbonding as stake.")] = False,
    yes: Yes = False,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Ask free stake back, which takes some days; then, without an amount, make it withdrawable."""
    from shoal.cli.wallet import run_unstake

    output.run(
        lambda: run_unstake(settings_of(directory, as_json), amount, cancel=cancel, yes=yes, as_json=as_json),
        as_json=as_json,
    )


@wallet_app.command("leave")
def wallet_leave(yes: Yes = False, directory: Dir = None, as_json: Json = False) -> None:
    """Leave the pool of validators, with its node stopped; 10 minutes later, the same again has the stake come back."""
    from shoal.cli.wallet import run_leave

    output.run(lambda: run_leave(settings_of(directory, as_json), yes=yes, as_json=as_json), as_json=as_json)


@wallet_app.command("withdraw")
def wallet_withdraw(yes: Yes = False, directory: Dir = None, as_json: Json = False) -> None:
    """Take what the contract holds for this account beside its stake."""
    from shoal.cli.wallet import run_withdraw

    output.run(lambda: run_withdraw(settings_of(directory, as_json), yes=yes, as_json=as_json), as_json=as_json)
