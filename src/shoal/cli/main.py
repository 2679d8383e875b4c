"""`shoal`: every command, its options and its help."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]
from typer.exceptions import TyperException

from shoal.cli import earning, holdings, ipfs, logs, output
from shoal.cli.options import Dir, Json, Yes, settings_of
from shoal.errors import ShoalError, UsageError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train a model on other people's machines, or lend yours: federated learning for HBAR on Hedera.",
)
node_app = typer.Typer(no_args_is_help=True, help="Run a node.")
config_app = typer.Typer(no_args_is_help=True, help="Settings and where they come from.")
keys_app = typer.Typer(no_args_is_help=True, help="Encrypted copies of a node's keys.")
app.add_typer(node_app, name="node")
app.add_typer(config_app, name="config")
app.add_typer(holdings.contract_app, name="contract")
app.add_typer(holdings.wallet_app, name="wallet")
app.add_typer(keys_app, name="keys")
app.add_typer(ipfs.app, name="ipfs")
app.add_typer(earning.app, name="earn")

Track = Annotated[
    list[str] | None,
    typer.Option("--track", help="Also track the run: tensorboard:DIR, mlflow:URI or wandb:PROJECT; repeatable."),
]
LogLevel = Annotated[
    str | None,
    typer.Option(
        "--log-level", metavar="LEVEL[,LOGGER=LEVEL...]", help="debug to critical; may stand anywhere.",
        envvar="SHOAL_LOG", show_default="info",
    ),
]  # fmt: skip
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="A task id, a unique beginning of it, or its topic.")]


@app.callback()
def every_command(log_level: LogLevel = None) -> None:
    """Set up what all commands share: their logs."""
    try:
        logs.set_up(log_level or "info")
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--log-level") from None
    logs.asked_for = log_level is not None


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
    command_listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Serve POST /command there, whatever the role.", show_default="off"),
    ] = None,
    metrics_listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Serve /metrics here; a client's is its API's.")
    ] = None,
    directory: Dir = None,
    gateway: Annotated[
        bool, typer.Option("--gateway", help="A client for everyone who signs in with a wallet.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Run a node in the foreground."""
    from shoal.cli.node import run_node

    output.set_up_logs(verbose=verbose)
    settings = settings_of(directory, as_json, command_listen=command_listen, metrics_listen=metrics_listen)
    settings = settings.model_copy(update={"gateway": True}) if gateway else settings
    output.run(
        lambda: run_node(settings, role, commands=command_listen is not None, yes=yes, as_json=as_json),
        as_json=as_json,
    )


@app.command()
def shell(
    role: Annotated[
        str | None, typer.Option(help="bootstrap, client, trainer or validator; without it you are asked.")
    ] = None,
    script: Annotated[Path | None, typer.Option(help="A file with a command a line, instead of a terminal.")] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Go on after a command that fails.")] = False,
    command_listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Also serve POST /command there.", show_default="off")
    ] = None,
    yes: Yes = False,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Open a node in this process and command it: type `help`. Commands may come from a file or a pipe, too."""
    from shoal.cli.shell import Wish, run_shell

    settings = settings_of(directory, as_json, command_listen=command_listen)
    wish = Wish(role, script, keep_going, command_listen is not None, yes)
    raise SystemExit(output.run(lambda: run_shell(settings, wish, as_json=as_json), as_json=as_json))


@app.command()
def pair(directory: Dir = None, as_json: Json = False) -> None:
    """Show a code by which the web app of a running node of yours lets you in."""
    from shoal.cli.pair import pair as run_pair

    settings, local = settings_of(directory, as_json), Path(".shoal-network/client")
    if directory is None and not (settings.dir / "api-token").exists() and local.is_dir():
        settings = settings.model_copy(update={"dir": local})  # of `shoal up`, in this directory
    output.run(lambda: run_pair(settings, as_json=as_json), as_json=as_json)


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
    follow: Annotated[
        bool,
        typer.Option("--follow/--no-follow", help="Stay until the weights are here, or only until it has started."),
    ] = True,
    detach: Annotated[bool, typer.Option("--detach", help="The same as --no-follow.")] = False,
    pin_graph: Annotated[
        bool, typer.Option("--pin-graph", help="Pin the model's graph to IPFS; its CID is in the manifest.")
    ] = False,
    pin_manifest: Annotated[bool, typer.Option("--pin-manifest", help="Pin the manifest to IPFS.")] = False,
    pin_result: Annotated[
        bool, typer.Option("--pin-result", help="Pin the result, encrypted to you, to IPFS.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also train centrally on this machine, for comparison.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the weights go.")] = None,
    track: Track = None,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Train a model on other people's machines: quote, pay into escrow, follow, fetch the weights."""
    from shoal.cli.offer import parse_budget
    from shoal.cli.train import Wish, run_train
    from shoal.client.purchase import Order
    from shoal.client.source import Source

    async def run() -> None:
        source = Source(model, data, recipe, label)
        most = parse_budget(budget)
        order = Order(source, rounds, trainers, chunks, most, round_timeout, auditors=auditors, audits=audits)
        wish = Wish(order, yes, dry_run, detach or not follow, compare, out, pin)
        await run_train(settings, wish, aftermath, as_json=as_json)

    pins = {"graph": pin_graph, "manifest": pin_manifest, "result": pin_result}
    pin = frozenset(what for what, wanted in pins.items() if wanted)
    settings, aftermath = settings_of(directory, as_json, trackers=track), output.Aftermath()
    output.run(run, as_json=as_json, aftermath=aftermath)


@app.command("ps")
def list_tasks(
    everyone: Annotated[bool, typer.Option("--all", help="Not only this account's tasks.")] = False,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """List tasks."""
    from shoal.cli.tasks import run_ps

    output.run(lambda: run_ps(settings_of(directory, as_json), everyone=everyone, as_json=as_json), as_json=as_json)


@app.command()
def watch(task: TaskArgument, directory: Dir = None, as_json: Json = False) -> None:
    """Tell what happened in a task, and follow it until it is over."""
    from shoal.cli.tasks import run_watch

    output.run(lambda: run_watch(settings_of(directory, as_json), task, as_json=as_json), as_json=as_json)


@app.command("logs")
def show_logs(
    task: TaskArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the task is over.")] = False,
    trainer: Annotated[str | None, typer.Option(metavar="0.0.N", help="Only this one's.")] = None,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """What a task's trainers logged, from its topic on the ledger."""
    from shoal.cli.tasks import run_logs

    output.run(
        lambda: run_logs(settings_of(directory, as_json), task, trainer=trainer, follow=follow, as_json=as_json),
        as_json=as_json,
    )


@app.command()
def metrics(task: TaskArgument, directory: Dir = None, as_json: Json = False) -> None:
    """Loss and metric of every round and trainer of a task, from the ledger alone."""
    from shoal.cli.tasks import run_metrics

    output.run(lambda: run_metrics(settings_of(directory, as_json), task, as_json=as_json), as_json=as_json)


@app.command()
def cancel(task: TaskArgument, yes: Yes = False, directory: Dir = None, as_json: Json = False) -> None:
    """End a task of yours before its start, and say what comes back."""
    from shoal.cli.tasks import run_cancel

    output.run(lambda: run_cancel(settings_of(directory, as_json), task, yes=yes, as_json=as_json), as_json=as_json)


@app.command()
def peers(directory: Dir = None, as_json: Json = False) -> None:
    """Peers of the node that runs with this directory, or that one meets who joins for a moment."""
    from shoal.cli.net import run_peers

    output.run(lambda: run_peers(settings_of(directory, as_json), as_json=as_json), as_json=as_json)


@app.command()
def net(directory: Dir = None, as_json: Json = False) -> None:
    """All nodes of the network, as they describe themselves."""
    from shoal.cli.net import run_net

    output.run(lambda: run_net(settings_of(directory, as_json), as_json=as_json), as_json=as_json)


@app.command()
def verify(task: TaskArgument, directory: Dir = None, as_json: Json = False) -> None:
    """Check a task from public data alone: log, votes, hashes and every payment; needs no key."""
    from shoal.cli.tasks import run_verify

    output.run(lambda: run_verify(settings_of(directory, as_json), task, as_json=as_json), as_json=as_json)


@app.command()
def get(
    task: TaskArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Default: <task>.safetensors.")] = None,
    wait: Annotated[bool, typer.Option(help="Follow a task that is not over to its end.")] = True,
    pin_result: Annotated[
        bool, typer.Option("--pin-result", help="Pin the result, encrypted to you, to IPFS.")
    ] = False,
    track: Track = None,
    yes: Yes = False,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Come back to a task: go on where its client was interrupted, settle it, fetch and verify the weights."""
    from shoal.cli.tasks import run_get

    output.run(
        lambda: run_get(
            settings_of(directory, as_json, trackers=track),
            task,
            out,
            wait=wait,
            pin=pin_result,
            yes=yes,
            as_json=as_json,
        ),
        as_json=as_json,
    )


@config_app.command("show")
def config_show(directory: Dir = None, as_json: Json = False) -> None:
    """Every setting, its value, and where it came from; secrets are masked."""
    from shoal.cli.config import show

    _at_once(lambda: show(directory, as_json=as_json), as_json)


@config_app.command("set")
def config_set(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    value: Annotated[
        str | None, typer.Argument(metavar="[VALUE]", help="Not for secrets: they come by standard input.")
    ] = None,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Write a setting into the shoal.toml of the node's directory."""
    from shoal.cli.config import change

    _at_once(lambda: change(directory, name, value, as_json=as_json), as_json)


Recipient = Annotated[
    str | None, typer.Option("--to", metavar="age1...", help="Encrypt to this age recipient, not to a passphrase.")
]


@keys_app.command("backup")
def keys_backup(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    to: Recipient = None,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Write the node's keys, encrypted, to a file."""
    from shoal.cli.keys import backup

    settings = settings_of(directory, as_json)
    _at_once(lambda: backup(settings, out, to, as_json=as_json), as_json)


@keys_app.command("export")
def keys_export(to: Recipient = None, directory: Dir = None, as_json: Json = False) -> None:
    """Write the node's keys, encrypted, to standard output, as text."""
    from shoal.cli.keys import export

    settings = settings_of(directory, as_json)
    _at_once(lambda: export(settings, to, as_json=as_json), as_json)


@keys_app.command("import")
def keys_import(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="What backup or export wrote.")],
    identity: Annotated[Path | None, typer.Option(help="A file with the age identity that it is sealed to.")] = None,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Put keys back where there are none; what is there is never overwritten."""
    from shoal.cli.keys import restore

    settings = settings_of(directory, as_json)
    _at_once(lambda: restore(settings, source, identity, as_json=as_json), as_json)


@app.command()
def completion(
    shell_name: Annotated[Literal["bash", "zsh", "fish", "powershell"], typer.Argument(metavar="SHELL")] = "bash",
) -> None:
    """Print a script that completes shoal's commands: eval "$(shoal completion bash)"."""
    sys.stdout.write(get_completion_script(prog_name="shoal", complete_var="_SHOAL_COMPLETE", shell=shell_name) + "\n")


def _at_once(work: Callable[[], None], as_json: bool) -> None:
    """A command that waits for nobody, and so needs no trio."""
    try:
        work()
    except ShoalError as error:
        output.show_error(error, as_json=as_json)
        raise SystemExit(error.exit_status) from None


@app.command()
def doctor(directory: Dir = None, as_json: Json = False) -> None:
    """Check this machine and all that a node needs of the world; say what each finding means, and what to do."""
    from shoal.cli.doctor import run_doctor

    output.run(lambda: run_doctor({"dir": directory}, as_json=as_json), as_json=as_json)


@app.command()
def version(as_json: Json = False) -> None:
    """Print the version."""
    number = package_version("shoal")
    if as_json:
        output.print_json({"version": number})
    else:
        output.stdout.print(f"shoal {number}")


def main() -> None:
    """The console script. What cannot be parsed is told like any other error, under `--json` too."""
    if sys.argv[1:] == ["--version"]:
        sys.argv[1:] = ["version"]
    sys.argv[1:] = _first(sys.argv[1:], "--log-level")
    if not sys.argv[1:] and sys.stdin.isatty() and sys.stdout.isatty():
        sys.argv[1:] = ["shell"]
    if "--json" not in sys.argv:
        app()
        return
    try:
        app(standalone_mode=False)
    except TyperException as error:
        shown = UsageError(error.format_message(), code="SHOAL-U24", hint="--help lists what there is")
        output.show_error(shown, as_json=True)
        raise SystemExit(shown.exit_status) from None


def _first(words: Sequence[str], option: str) -> list[str]:
    """An option of all commands may stand anywhere; before `--`, that is.

    >>> _first(["ps", "--log-level", "debug", "--all"], "--log-level")
    ['--log-level', 'debug', 'ps', '--all']
    """
    found, rest, todo = list[str](), list[str](), list(words)
    while todo and todo[0] != "--":
        word = todo.pop(0)
        if word == option and todo:
            found += [word, todo.pop(0)]
        elif word.startswith(f"{option}="):
            found.append(word)
        else:
            rest.append(word)
    return [*found, *rest, *todo]
