"""`shoal demo`: a whole network on this machine, one task trained and paid on it, and the books of every tinybar."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio
from rich.table import Table

from shoal.cli import output
from shoal.client.books import Books, Row, audit
from shoal.client.examples import example
from shoal.client.narrate import slowest_trainer_s
from shoal.core.duties import settled_mark
from shoal.core.events import Claimed, Settled
from shoal.core.ids import TaskId
from shoal.core.money import format_hbar
from shoal.core.task import SECOND_NS, State
from shoal.errors import ProcessError, ShoalError, UsageError, revive
from shoal.localnet.process import Child
from shoal.localnet.stack import LocalStack, local_stack
from shoal.node import open_ledger, place_of
from shoal.ports import Ledger
from shoal.roles.tasklog import TaskLog, find_task

TRAIN_TIMEOUT_S = 3_600.0
CLOSE_TIMEOUT_S = 60.0
_STYLES = {
    "round": "bold",
    "paid": "green",
    "audits_paid": "green",
    "result_confirmed": "bold green",
    "lost": "bold red",
    "accused": "bold yellow",
    "slashed": "bold red",
}


@dataclass(frozen=True, slots=True)
class Court:
    """Who checks the work, and whether there is something to find."""

    validators: int = 0
    auditors: int = 0
    audits: int | None = None
    cheat: bool = False

    def arguments(self) -> list[str]:
        """Of `shoal train`."""
        given = ["--auditors", str(self.auditors)] if self.auditors else []
        return given + (["--audits", str(self.audits)] if self.audits else [])


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line."""

    dataset: str
    model: Path | None
    data: Path | None
    trainers: int
    rounds: int | None
    directory: Path | None
    keep: bool
    court: Court = Court()

    def source(self) -> list[str]:
        """The arguments of `shoal train` that name model and data.

        Raises:
            UsageError: SHOAL-U09, U11.
        """
        if self.model is None and self.data is None:
            return [str(example(self.dataset))]
        if self.model is None or self.data is None:
            raise UsageError("--model and --data go together", code="SHOAL-U11", hint="give both, or --dataset")
        return [str(self.model.resolve()), str(self.data.resolve())]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo found when the task was over, all of it read from the ledger."""

    state: State
    books: Books
    seconds: dict[str, float]


async def run_demo(wish: Wish, *, as_json: bool) -> None:
    """Start everything, train, close the books; end everything, unless `--keep`."""
    began_s = trio.current_time()
    source, directory = wish.source(), _directory(wish.directory)
    output.say(f"everything of this demo is kept in {directory}")
    court = wish.court
    async with local_stack(
        directory, trainers=wish.trainers, say=output.say, validators=court.validators, cheats=int(court.cheat)
    ) as stack:
        startup_s = trio.current_time() - began_s
        result = await _train(stack, source, wish)
        outcome = await _close(stack, result["task_id"])
        outcome.seconds["startup"] = startup_s
        outcome.seconds["total"] = trio.current_time() - began_s
        report = _report(wish, result, outcome, stack)
        if as_json:
            output.print_json(report)
        else:
            _show(report, outcome, stack)
        if not outcome.books.conserved:
            broken = [law for law, holds in outcome.books.checks.items() if not holds]
            raise ShoalError(f"the ledger contradicts the books: {', '.join(broken)}", code="SHOAL-X01")
        if wish.keep:
            _say_how_to_look(stack)
            await trio.sleep_forever()


def _directory(wanted: Path | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="shoal-demo-"))
    if wanted.exists() and any(wanted.iterdir()):
        raise UsageError(
            f"{wanted} is not empty", code="SHOAL-U12", hint="a demo begins anew: name a new directory with --dir"
        )
    return wanted.resolve()


# ---------------------------------------------------------------- training


async def _train(stack: LocalStack, source: list[str], wish: Wish) -> dict[str, Any]:
    """Run the client as a process of its own and tell its story; returns its report."""
    weights = stack.directory / "weights.safetensors"
    arguments = ["shoal", "train", *source, "--trainers", str(wish.trainers), "--yes", "--json", "--compare"]
    arguments += ["--dir", str(stack.directory / "client"), "--out", str(weights)]
    arguments += ["--rounds", str(wish.rounds)] if wish.rounds else []
    arguments += wish.court.arguments()
    log = stack.directory / "logs" / "client.log"
    client = Child.start("client", arguments, directory=stack.directory / "client", log=log)
    stack.children["client"] = client
    error: ShoalError | None = None
    while True:
        try:
            event = await client.line(timeout_s=TRAIN_TIMEOUT_S)
        except ProcessError as died:
            raise error or _client_died(died) from died
        if "error" in event:
            error = revive(event["error"])
        elif event.get("event") == "result":
            return event
        else:
            _tell(event, stack.names)


def _client_died(error: ProcessError) -> ProcessError:
    return ProcessError(
        error.message,
        code="SHOAL-P07",
        hint="after the start a task goes on without its client: on a network that stays, `shoal get TASK` fetches",
        money="on the local devnet no real money is involved; elsewhere the escrow stays in the contract, which pays "
        "what was earned and returns the rest",
    )


def _tell(event: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """One line of the story, with the accounts' names as the table at the end has them."""
    kind, text = str(event.get("event")), event.get("text")
    if text is None:
        return
    text = re.sub(r"0\.0\.\d+", lambda found: names.get(found[0], found[0]), str(text))
    since = f"{event['at_s']:7.1f} s" if "at_s" in event else " " * 9
    output.stderr.print(f"[dim]{since}[/]  ", end="")
    output.stderr.print(str(text), style=_STYLES.get(kind, ""), markup=False, soft_wrap=True)


# ---------------------------------------------------------------- the end


async def _close(stack: LocalStack, task_id: str) -> Outcome:
    """Wait until everyone alive has claimed and withdrawn, then read what the ledger says of it all."""
    async with open_ledger(stack.settings) as ledger:
        created = await find_task(ledger, task_id)
        assert created is not None, "the client followed it to its end"
        tasklog = TaskLog(created, place_of(stack.settings, TaskId(bytes.fromhex(task_id))), ledger=ledger)
        with trio.move_on_after(CLOSE_TIMEOUT_S):
            while not await _is_quiet(stack, ledger, tasklog):  # noqa: ASYNC110 - other processes change it
                await trio.sleep(0.2)
        state = tasklog.log
        books = await audit(
            ledger,
            state,
            names=stack.names,
            before=stack.opening,
            supply_before=stack.supply,
            after_ns=stack.opened_ns,
        )
        seconds = await _seconds(ledger, state)
    return Outcome(state, books, seconds)


async def _is_quiet(stack: LocalStack, ledger: Ledger, tasklog: TaskLog) -> bool:
    """Whether every seat is closed, and nobody that is alive has anything left to withdraw."""
    await tasklog.catch_up()
    state = tasklog.log
    mark = settled_mark(state) if state.phase.over else None
    if not state.phase.over or any(seat.trainer not in state.claims for seat in state.seats):
        return False
    if mark is not None and any(leaf.validator not in state.audit_claims for leaf in mark.audit_credits):
        return False
    alive = {child.name for child in stack.workers()}
    for account, name in stack.names.items():
        if name in alive and (await ledger.account_state(await ledger.address_of(account))).balance_tinybar:
            return False
    return True


async def _seconds(ledger: Ledger, state: State) -> dict[str, float]:
    """How long each phase took, by consensus time."""
    after, until = state.created_ns - 1, await ledger.watermark()
    ends = [
        logged.time_ns
        for logged in await ledger.events(after_ns=after, until_ns=until, task=state.place.task)
        if isinstance(logged.event, Settled | Claimed)
    ]
    trained = state.checkpoints[-1].time_ns if state.checkpoints else state.now_ns
    started = state.started_ns or state.now_ns
    return {
        "bidding": (started - state.created_ns) / SECOND_NS,
        "training": (trained - started) / SECOND_NS,
        "settle": (max(ends, default=trained) - trained) / SECOND_NS,
    }


def _report(wish: Wish, result: Mapping[str, Any], outcome: Outcome, stack: LocalStack) -> dict[str, Any]:
    state = outcome.state
    return {
        "task_id": state.place.task.hex(),
        "dataset": wish.dataset if wish.data is None else wish.data.name,
        "trainers": wish.trainers,
        "rounds": len(state.checkpoints) - 1,
        "metric": result["metric"],
        "accuracy": result["test_metric"],
        "central_accuracy": result["central_metric"],
        **outcome.books.as_dict(),
        "weights": result["weights"],
        "sha256": result["sha256"],
        "topic_id": f"0.0.{state.topic}",
        "contract_id": stack.settings.contract_id,
        "dir": str(stack.directory),
        "seconds": {name: round(value, 3) for name, value in outcome.seconds.items()},
        "round_overhead_s": [
            round((each.time_ns - each.started_ns) / SECOND_NS - slowest_trainer_s(each), 3)
            for each in state.checkpoints[1:]
        ],
    }


# ---------------------------------------------------------------- telling people


def _show(report: Mapping[str, Any], outcome: Outcome, stack: LocalStack) -> None:
    output.stdout.print(_ledger_table(outcome.books))
    for law, holds in outcome.books.checks.items():
        output.stdout.print(f"[green]✓[/] {law}" if holds else f"[bold red]✗ {law}[/]")
    books = outcome.books
    output.stdout.print(
        f"\nescrow {format_hbar(books.escrow)} = pay {format_hbar(sum(books.paid.values()))} "
        f"+ refund {format_hbar(books.refunded)}"
        + (f" + pay that a cheat lost {format_hbar(books.forfeited)}" if books.forfeited else "")
    )
    for account, amount in books.slashed.items():
        output.stdout.print(f"[bold red]{stack.names.get(account, account)} was slashed: {format_hbar(amount)}[/]")
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in report["seconds"].items())
    output.stdout.print(f"seconds: {seconds}")
    output.stdout.print(
        f"{report['metric']} on the test split: [bold]{report['accuracy']:.4f}[/]; "
        f"trained centrally with as many steps: {report['central_accuracy']:.4f}"
    )
    output.stdout.print(f"weights {report['weights']}\nsha256  {report['sha256']}", soft_wrap=True, highlight=False)


def _ledger_table(books: Books) -> Table:
    table = Table(title="the ledger, in HBAR", title_justify="left")
    table.add_column("account", overflow="fold")
    for name in ("before", "to contract", "from contract", "fees", "after", "held in contract"):
        table.add_column(name, justify="right", overflow="fold")

    def add(row: Row, *numbers: int | None) -> None:
        texts = ("" if number is None else format_hbar(number).removesuffix(" ℏ") for number in numbers)
        table.add_row(f"{row.name} {row.account}", *texts)

    for row in books.rows:
        add(row, row.before, -row.sent, row.received, -row.fees, row.after, row.held)
    table.add_section()
    add(books.contract, books.contract.before, None, None, None, books.contract.after)
    return table


def _say_how_to_look(stack: LocalStack) -> None:
    client = stack.directory / "client"
    lines = (
        "",
        "everything keeps running until Ctrl-C. From another terminal:",
        f"  export SHOAL_DIR={client}",
        "  shoal ps                       # tasks",
        "  shoal watch TASK               # the story of one, from the ledger alone",
        "  shoal train examples/digits    # train something else on the same network",
        "  shoal get TASK                 # fetch a result again",
        f"mirror node  {stack.settings.mirror_rest}/api/v1/transactions",
        f"consensus    {stack.settings.ledger_node}",
        f"logs         {stack.directory / 'logs'}",
    )
    output.say("\n".join(lines))
