"""`shoal`: every command, its options and its help."""

from __future__ import annotations

from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated

import typer

from shoal.cli import output
from shoal.errors import ShoalError
from shoal.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, help=__doc__)
node_app = typer.Typer(no_args_is_help=True, help="Run a node.")
config_app = typer.Typer(no_args_is_help=True, help="Settings and where they come from.")
app.add_typer(node_app, name="node")
app.add_typer(config_app, name="config")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout; the last line is the result or the error.")]
Dir = Annotated[
    Path | None,
    typer.Option(
        "--dir", help="The node's directory: keys, shoal.toml, tasks.", envvar="SHOAL_DIR", show_default="~/.shoal"
    ),
]
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
    keep: Annotated[bool, typer.Option(help="Leave everything running until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Start a whole network on this machine, train a model on it, pay for it, and show every tinybar."""
    from shoal.cli.demo import Wish, run_demo

    wish = Wish(dataset, model, data, trainers, rounds, directory, keep)
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
    port_base: Annotated[int, typer.Option(help="First of three ports; 0 takes free ones.", min=0, max=65532)] = 50211,
    as_json: Json = False,
) -> None:
    """Run a local Hedera network in the foreground: consensus node, mirror node and EVM."""
    from shoal.adapters.devnet import DevnetConfig, run
    from shoal.cli.devnet import announce

    try:
        run(DevnetConfig(dir=directory, port_base=port_base), lambda endpoints: announce(endpoints, as_json=as_json))
    except ShoalError as error:
        output.show_error(error, as_json=as_json)
        raise SystemExit(error.exit_status) from None


@node_app.command("run")
def node_run(
    role: Annotated[str, typer.Option(help="bootstrap, client or trainer; a client serves the HTTP API.")],
    directory: Dir = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
    as_json: Json = False,
) -> None:
    """Run a node in the foreground."""
    from shoal.cli.node import run_node

    output.set_up_logs(verbose=verbose)
    output.run(lambda: run_node(_settings(directory, as_json), role, as_json=as_json), as_json=as_json)


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
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and quote; upload and spend nothing.")] = False,
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
    from shoal.client.prepare import Source
    from shoal.client.purchase import Order

    output.set_up_logs(verbose=False)

    async def run() -> None:
        source = Source(model, data, recipe, label)
        order = Order(source, rounds, trainers, chunks, parse_budget(budget), round_timeout)
        await run_train(settings, Wish(order, yes, dry_run, detach, compare, out), as_json=as_json)

    settings = _settings(directory, as_json)
    output.run(run, as_json=as_json)


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
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Come back to a task: go on where its client was interrupted, settle it, fetch and verify the weights."""
    from shoal.cli.tasks import run_get

    output.set_up_logs(verbose=False)
    output.run(lambda: run_get(_settings(directory, as_json), task, out, wait=wait, as_json=as_json), as_json=as_json)


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
    """The console script."""
    app()
