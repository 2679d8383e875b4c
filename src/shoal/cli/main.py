"""`shoal`: every command, its options and its help."""

from __future__ import annotations

import sys
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from shoal.cli import ipfs, output
from shoal.errors import ShoalError, UsageError
from shoal.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train a model on other people's machines, or lend yours: federated learning for HBAR on Hedera.",
)
node_app = typer.Typer(no_args_is_help=True, help="Run a node.")
config_app = typer.Typer(no_args_is_help=True, help="Settings and where they come from.")
contract_app = typer.Typer(no_args_is_help=True, help="The market's contract on the ledger.")
wallet_app = typer.Typer(no_args_is_help=True, help="What an account holds, and what the contract holds for it.")
app.add_typer(node_app, name="node")
app.add_typer(config_app, name="config")
app.add_typer(contract_app, name="contract")
app.add_typer(wallet_app, name="wallet")
app.add_typer(ipfs.app, name="ipfs")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout; the last line is the result or the error.")]
Dir = Annotated[
    Path | None,
    typer.Option(
        "--dir", help="The node's directory: keys, shoal.toml, tasks.", envvar="SHOAL_DIR", show_default="~/.shoal"
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")]
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="A task id, a unique beginning of it, or its topic.")]


@app.command()
def demo(
    dataset: Annotated[str, typer.Option(help="breast_cancer, digits or fashion_mnist.")] = "breast_cancer",
    model: Annotated[Path | None, typer.Option(help="A model.py of your own (with --data).")] = None,
    data: Annotated[Path | None, typer.Option(help="A data set of your own (with --model).")] = None,
    trainers: Annotated[int, typer.Option(min=1, max=16)] = 4,
    rounds: Annotated[int | None, typer.Option(min=1, help="Default: the recipe's.")] = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Where everything is kept; default: a new one.")
    ] = None,
    validators: Annotated[int, typer.Option(min=0, max=16, help="How many validators to start, for --auditors.")] = 0,
    auditors: Annotated[int, typer.Option(min=0, help="Of a committee and of a jury: 3, 5 or 7.")] = 0,
    audits: Annotated[int | None, typer.Option(min=1, help="Work units that are trained again.")] = None,
    cheat: Annotated[bool, typer.Option("--cheat", help="One trainer delivers false updates.")] = False,
    keep: Annotated[bool, typer.Option(help="Leave everything running until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Start a whole network on this machine, train a model on it, pay for it, and show every tinybar."""
    from shoal.cli.demo import Court, Wish, run_demo

    court = Court(validators, auditors, audits, cheat)
    wish = Wish(dataset, model, data, trainers, rounds, directory, keep, court)
    output.run(lambda: run_demo(wish, as_json=as_json), as_json=as_json)


@app.command()
def up(
    directory: Annotated[Path, typer.Option("--dir", help="Where the network is kept.")] = Path(".shoal-network"),
    trainers: Annotated[int, typer.Option(min=1, max=16)] = 4,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Of the HTTP API.", show_default="127.0.0.1:8420")
    ] = None,
    command_listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Of POST /command.", show_default="127.0.0.1:9000")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
    as_json: Json = False,
) -> None:
    """Keep a whole local network running, with an HTTP API to train on it; the same directory again goes on."""
    from shoal.cli.up import run_up

    output.set_up_logs(verbose=verbose)
    output.run(
        lambda: run_up(directory, trainers=trainers, listen=listen, command_listen=command_listen, as_json=as_json),
        as_json=as_json,
    )


@app.command()
def devnet(
    directory: Annotated[Path, typer.Option("--dir", help="Where the ledger is kept.")] = Path(".shoal-devnet"),
    port_base: Annotated[int, typer.Option(help="First of three ports; 0 takes free ones.", min=0, max=65533)] = 50211,
    local_node: Annotated[bool, typer.Option("--local-node", help="Use the ports where SDKs look for one.")] = False,
    accounts: Annotated[int, typer.Option(help="Funded accounts to have, keys printed.", min=0, max=1000)] = 0,
    block_time: Annotated[
        float | None, typer.Option(help="Seconds between blocks, for a new ledger (2).", min=0.05, max=3600)
    ] = None,
    control: Annotated[bool, typer.Option("--control", help="Let tests move time: POST /control/clock.")] = False,
    as_json: Json = False,
) -> None:
    """Run a local Hedera network in the foreground: consensus node, mirror node and EVM."""
    from shoal.adapters.devnet import DevnetConfig, run
    from shoal.cli.devnet import announce

    config = DevnetConfig(directory, port_base, local_node, accounts, block_time, control)
    try:
        run(config, lambda endpoints: announce(endpoints, as_json=as_json))
    except ShoalError as error:
        output.show_error(error, as_json=as_json)
        raise SystemExit(error.exit_status) from None


@node_app.command("run")
def node_run(
    role: Annotated[str, typer.Option(help="bootstrap, client, trainer or validator; a client serves the HTTP API.")],
    directory: Dir = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Run a node in the foreground."""
    from shoal.cli.node import run_node

    output.set_up_logs(verbose=verbose)
    output.run(lambda: run_node(_settings(directory, as_json), role, yes=yes, as_json=as_json), as_json=as_json)


@app.command()
def train(
    model: Annotated[Path, typer.Argument(help="A folder in the shape of examples/, or a model.py.")],
    data: Annotated[Path | None, typer.Argument(help="CSV, Parquet, NPZ, or a folder of images by class.")] = None,
    label: Annotated[
        str | None, typer.Option(help="The label column; default: label, target, class, y or the last.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="Default: recipe.json beside the model.")] = None,
    rounds: Annotated[int | None, typer.Option(min=1)] = None,
    trainers: Annotated[int | None, typer.Option(min=1)] = None,
    chunks: Annotated[
        int | None, typer.Option(min=1, help="Default: one for each trainer; more where the data set is large.")
    ] = None,
    budget: Annotated[str | None, typer.Option(metavar="HBAR", help="All that may ever be spent on trainers.")] = None,
    round_timeout: Annotated[
        int, typer.Option(min=5, max=86_400, help="Seconds until a silent trainer loses its seat.")
    ] = 60,
    auditors: Annotated[
        int | None, typer.Option(min=0, help="Validators that check the work, and jury where they accuse: 3, 5 or 7.")
    ] = None,
    audits: Annotated[
        int | None, typer.Option(min=1, help="Work units that are trained again, at most; with --auditors.")
    ] = None,
    yes: Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, and show every cost; send nothing, need no key.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once training has started; `shoal get` fetches.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also train centrally on this machine, for comparison.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the weights go.")] = None,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Train a model on other people's machines: quote, pay into escrow, follow, fetch the weights."""
    from shoal.cli.offer import parse_budget
    from shoal.cli.train import Wish, run_train
    from shoal.client.purchase import Order
    from shoal.client.source import Source

    output.set_up_logs(verbose=False)

    async def run() -> None:
        source = Source(model, data, recipe, label)
        most = parse_budget(budget)
        order = Order(source, rounds, trainers, chunks, most, round_timeout, auditors=auditors, audits=audits)
        await run_train(settings, Wish(order, yes, dry_run, detach, compare, out), aftermath, as_json=as_json)

    settings, aftermath = _settings(directory, as_json), output.Aftermath()
    output.run(run, as_json=as_json, aftermath=aftermath)


@app.command("ps")
def list_tasks(
    everyone: Annotated[bool, typer.Option("--all", help="Not only this account's tasks.")] = False,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """List tasks."""
    from shoal.cli.tasks import run_ps

    output.run(lambda: run_ps(_settings(directory, as_json), everyone=everyone, as_json=as_json), as_json=as_json)


@app.command()
def watch(task: TaskArgument, directory: Dir = None, as_json: Json = False) -> None:
    """Tell what happened in a task, and follow it until it is over."""
    from shoal.cli.tasks import run_watch

    output.run(lambda: run_watch(_settings(directory, as_json), task, as_json=as_json), as_json=as_json)


@app.command()
def get(
    task: TaskArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Default: <task>.safetensors.")] = None,
    wait: Annotated[bool, typer.Option(help="Follow a task that is not over to its end.")] = True,
    yes: Yes = False,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Come back to a task: go on where its client was interrupted, settle it, fetch and verify the weights."""
    from shoal.cli.tasks import run_get

    output.set_up_logs(verbose=False)
    output.run(
        lambda: run_get(_settings(directory, as_json), task, out, wait=wait, yes=yes, as_json=as_json), as_json=as_json
    )


@contract_app.command("deploy")
def contract_deploy(
    again: Annotated[bool, typer.Option("--again", help="Make another one, where one is deployed already.")] = False,
    yes: Yes = False,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Deploy the contract; what was cut off goes on, and nothing is deployed twice."""
    from shoal.cli.contract import run_deploy

    output.set_up_logs(verbose=False)
    output.run(
        lambda: run_deploy(_settings(directory, as_json), again=again, yes=yes, as_json=as_json), as_json=as_json
    )


@contract_app.command("show")
def contract_show(directory: Dir = None, as_json: Json = False) -> None:
    """Compare the contract's code with this version's, and tell what it holds and owes."""
    from shoal.cli.contract import run_show

    output.run(lambda: run_show(_settings(directory, as_json), as_json=as_json), as_json=as_json)


@wallet_app.command("show")
def wallet_show(directory: Dir = None, as_json: Json = False) -> None:
    """Balance, stake, what of it is reserved by seats, and what can be withdrawn; needs no key."""
    from shoal.cli.wallet import run_show

    output.run(lambda: run_show(_settings(directory, as_json), as_json=as_json), as_json=as_json)


@wallet_app.command("deposit")
def wallet_deposit(
    amount: Annotated[str, typer.Argument(metavar="HBAR")],
    yes: Yes = False,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Pay more stake into the contract; cut off, the same command goes on, and pays once."""
    from shoal.cli.wallet import run_deposit

    output.set_up_logs(verbose=False)
    output.run(lambda: run_deposit(_settings(directory, as_json), amount, yes=yes, as_json=as_json), as_json=as_json)


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

    output.set_up_logs(verbose=False)
    output.run(
        lambda: run_unstake(_settings(directory, as_json), amount, cancel=cancel, yes=yes, as_json=as_json),
        as_json=as_json,
    )


@wallet_app.command("leave")
def wallet_leave(yes: Yes = False, directory: Dir = None, as_json: Json = False) -> None:
    """Leave the pool of validators; its stake takes some days to come back. Stop the validator's node first."""
    from shoal.cli.wallet import run_leave

    output.set_up_logs(verbose=False)
    output.run(lambda: run_leave(_settings(directory, as_json), yes=yes, as_json=as_json), as_json=as_json)


@wallet_app.command("withdraw")
def wallet_withdraw(yes: Yes = False, directory: Dir = None, as_json: Json = False) -> None:
    """Take what the contract holds for this account beside its stake."""
    from shoal.cli.wallet import run_withdraw

    output.set_up_logs(verbose=False)
    output.run(lambda: run_withdraw(_settings(directory, as_json), yes=yes, as_json=as_json), as_json=as_json)


@config_app.command("show")
def config_show(directory: Dir = None, as_json: Json = False) -> None:
    """Every setting, its value, and where it came from; secrets are masked."""
    from shoal.cli.config import show

    try:
        show(directory, as_json=as_json)
    except ShoalError as error:
        output.show_error(error, as_json=as_json)
        raise SystemExit(error.exit_status) from None


@app.command()
def version(as_json: Json = False) -> None:
    """Print the version."""
    number = package_version("shoal")
    if as_json:
        output.print_json({"version": number})
    else:
        output.stdout.print(f"shoal {number}")


def _settings(directory: Path | None, as_json: bool) -> Settings:
    try:
        return Settings.load(flags={"dir": directory})
    except ShoalError as error:
        output.show_error(error, as_json=as_json)
        raise SystemExit(error.exit_status) from None


def main() -> None:
    """The console script. What cannot be parsed is told like any other error, under `--json` too."""
    if sys.argv[1:] == ["--version"]:
        sys.argv[1:] = ["version"]
    if "--json" not in sys.argv:
        app()
        return
    try:
        app(standalone_mode=False)
    except TyperException as error:
        shown = UsageError(error.format_message(), code="SHOAL-U24", hint="--help lists what there is")
        output.show_error(shown, as_json=True)
        raise SystemExit(shown.exit_status) from None
