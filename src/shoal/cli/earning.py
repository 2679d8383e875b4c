"""The commands of `shoal earn`, their options and help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from shoal.cli import output
from shoal.cli.options import Dir, Json, settings_of
from shoal.errors import ShoalError

app = typer.Typer(
    invoke_without_command=True, help="Train for others whenever this machine is free, and be paid for it."
)


@app.callback(invoke_without_command=True)
def earn(
    context: typer.Context,
    price: Annotated[
        float | None, typer.Option(min=1e-8, metavar="HBAR", help="Ask this for an hour, not what is suggested.")
    ] = None,
    watts: Annotated[float | None, typer.Option(min=0.1, help="What it draws while it trains.")] = None,
    usd_per_kwh: Annotated[
        float | None, typer.Option("--usd-per-kwh", min=0.0001, help="What power costs here.")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(metavar="WHEN", help='Only then: "22:00-08:00 mon-fri; sat,sun".')
    ] = None,
    beside_me: Annotated[
        bool, typer.Option("--beside-me", help="Also while keyboard and mouse are used, or where that cannot be told.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the stake is paid in.")] = False,
    directory: Dir = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
    as_json: Json = False,
) -> None:
    """Benchmark, suggest a price, register with a stake, then train for others whenever this machine is free."""
    if context.invoked_subcommand is not None:
        return
    from shoal.cli.earn import Wish, run_earn

    output.set_up_logs(verbose=verbose)
    wish = Wish(price, watts, usd_per_kwh, beside_me, schedule, yes)
    settings = settings_of(directory, as_json)
    output.run(lambda: run_earn(settings, wish, as_json=as_json), as_json=as_json)


@app.command()
def pause(
    length: Annotated[
        str | None, typer.Argument(metavar="[TIME]", help="2h, 30min; without it until `resume`.")
    ] = None,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Take no new work and train nothing; seats are kept, their chunks handed over, votes and claims go on."""
    from shoal.cli.earned import run_pause

    _do(lambda: run_pause(settings_of(directory, as_json), length, as_json=as_json), as_json)


@app.command()
def resume(directory: Dir = None, as_json: Json = False) -> None:
    """Go on after a pause."""
    from shoal.cli.earned import run_resume

    _do(lambda: run_resume(settings_of(directory, as_json), as_json=as_json), as_json)


@app.command()
def stop(directory: Dir = None, as_json: Json = False) -> None:
    """End it: the present chunk is finished or dropped, seats are given back, and what was delivered stays paid."""
    from shoal.cli.earned import run_stop

    output.run(lambda: run_stop(settings_of(directory, as_json), as_json=as_json), as_json=as_json)


@app.command()
def status(directory: Dir = None, as_json: Json = False) -> None:
    """What it does, why, what would change it, and what it has earned; needs no key."""
    from shoal.cli.earned import run_status

    output.run(lambda: run_status(settings_of(directory, as_json), as_json=as_json), as_json=as_json)


@app.command()
def history(
    days: Annotated[int, typer.Option(min=1, max=366, help="How far back.")] = 30,
    as_csv: Annotated[bool, typer.Option("--csv", help="As a table for other programs.")] = False,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Work, audits, payments and fees, each with its transaction and consensus time, read from the ledger."""
    from shoal.cli.earned import run_history

    output.run(
        lambda: run_history(settings_of(directory, as_json), days, as_csv=as_csv, as_json=as_json), as_json=as_json
    )


def _do(what: Callable[[], None], as_json: bool) -> None:
    try:
        what()
    except ShoalError as error:
        output.show_error(error, as_json=as_json)
        raise SystemExit(error.exit_status) from None
