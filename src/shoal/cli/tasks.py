"""`shoal ps`, `watch`, `logs`, `metrics`, `cancel` and `get`: looking at tasks, ending them, and fetching results."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import trio
from rich.markup import escape
from rich.table import Table

from shoal.api import views
from shoal.cli import output
from shoal.cli.confirm import confirm, confirm_on_mainnet
from shoal.cli.follow import tell, telling
from shoal.cli.net import request_running
from shoal.cli.show import plain, printable
from shoal.cli.train import pin_result
from shoal.client import session
from shoal.client.cancel import cancel_task, check_cancellable
from shoal.client.loglines import Told as LogLine
from shoal.client.loglines import TopicLog
from shoal.client.pins import Pinner, beside, fetch_pinned
from shoal.client.purchase import check_writable
from shoal.client.result import fetch_result
from shoal.client.story import CLAIMS_S, Story, name_in
from shoal.client.tasks import list_tasks, must_find, summary
from shoal.client.tracking import tracking
from shoal.client.verify import verify_task
from shoal.content import open_source, open_store
from shoal.core.entries import Place
from shoal.core.ids import TaskId, short
from shoal.core.money import format_hbar
from shoal.core.task import SECOND_NS, Phase, State
from shoal.core.verdicts import Verdict
from shoal.errors import UsageError
from shoal.node import Node, open_node, open_reader, open_wallet, place_of
from shoal.ports import LoggedEvent
from shoal.roles.closing import close, withdraw
from shoal.roles.tasklog import TaskLog
from shoal.settings import Settings
from shoal.track import check as check_trackers

_COLOURS = {Verdict.HOLDS: "green", Verdict.NOTED: "yellow", Verdict.WRONG: "bold red", Verdict.UNKNOWN: "dim"}

AFTERWARDS_S = CLAIMS_S


async def run_ps(settings: Settings, *, everyone: bool, as_json: bool) -> None:
    """One row a task, the newest first."""
    settings.need("contract_id", *(() if everyone else ("operator_id",)))

    def place(task: TaskId) -> Place:
        return place_of(settings, task)

    async with open_reader(settings) as ledger:
        rows = [summary(state) for state in await list_tasks(ledger, place, everyone=everyone)]
    if as_json:
        output.print_json(rows)
        return
    table = Table("task", "phase", "round", "trainers", "escrow", "topic", box=None)
    for row in rows:
        escrow = format_hbar(row["escrow_tinybar"])
        progress = f"{row['round']}/{row['rounds']}"
        table.add_row(row["task_id"][:12], row["phase"], progress, str(row["trainers"]), escrow, row["topic_id"])
    output.stdout.print(table)


async def run_watch(settings: Settings, wanted: str, *, as_json: bool) -> None:
    """From the ledger alone: needs no keys of the task."""
    settings.need("contract_id")
    async with open_reader(settings) as ledger:
        created, task = await must_find(ledger, wanted)
        story = Story()
        tasklog = TaskLog(created, place_of(settings, task), ledger=ledger, poll_s=settings.poll_s, witness=story)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tasklog.run)
            async for told in story.follow():
                tell(told, as_json=as_json)
            nursery.cancel_scope.cancel()


async def run_logs(settings: Settings, wanted: str, *, trainer: str | None, follow: bool, as_json: bool) -> None:
    """What the trainers logged on the task's topic; with `follow`, until the task is over."""
    settings.need("contract_id")
    async with open_reader(settings) as ledger, trio.open_nursery() as nursery:
        created, task = await must_find(ledger, wanted)
        tasklog = TaskLog(created, place_of(settings, task), ledger=ledger, poll_s=settings.poll_s)
        await tasklog.catch_up()
        if follow:
            nursery.start_soon(tasklog.run)
        topic, read_ns = TopicLog(), tasklog.log.created_ns - 1
        while True:
            change, state = tasklog.change, tasklog.log
            messages = await ledger.messages(state.topic, after_ns=read_ns, until_ns=state.now_ns)
            for line in topic.read(messages, state):
                if trainer in (None, line.trainer):
                    _show_line(line, as_json=as_json)
            read_ns = state.now_ns
            # The last lines come after the end, when what a trainer was doing is done.
            if not follow or (state.phase.over and state.now_ns > over_ns(state) + AFTERWARDS_S * SECOND_NS):
                break
            await change.wait()
        nursery.cancel_scope.cancel()


def over_ns(state: State) -> int:
    """When a task ended, or about: its deadline, where no settlement tells."""
    return state.settled_ns or min(state.now_ns, state.plan.end_by * SECOND_NS)


def _show_line(line: LogLine, *, as_json: bool) -> None:
    if as_json:
        output.print_json(line.as_dict())
    else:
        at = datetime.fromtimestamp(line.at_s, UTC).strftime("%H:%M:%S")
        text = printable(line.text)
        output.stdout.print(f"{at} {line.trainer} {line.level:<7} {text}", markup=False, soft_wrap=True)


async def run_metrics(settings: Settings, wanted: str, *, as_json: bool) -> None:
    """Loss and metric of every round, and of every trainer in it."""
    settings.need("contract_id")
    async with open_reader(settings) as ledger:
        created, task = await must_find(ledger, wanted)
        tasklog = TaskLog(created, place_of(settings, task), ledger=ledger)
        await tasklog.catch_up()
        state = tasklog.log
    metric, name = views.metric_of(state), name_in(state)
    rounds = [each.model_dump() for each in views.checkpoints(state, name)]
    if as_json:
        output.print_json({"task_id": task.hex(), "metric": metric, "rounds": rounds})
        return
    trainers = list(dict.fromkeys(update["name"] for row in rounds for update in row["updates"]))
    table = Table("round", "loss", metric, "aggregated by", *(f"{each} loss/{metric}" for each in trainers), box=None)
    for row in rounds:
        cells = {
            each: ", ".join(
                f"{plain('', update['loss'])}/{plain('', update['metric'])}"
                for update in row["updates"]
                if update["name"] == each
            )
            for each in trainers
        }
        scores = (plain("", row["loss"]), plain("", row["metric"]))
        table.add_row(str(row["round"]), *scores, row["name"], *(cells[each] or "-" for each in trainers))
    output.stdout.print(table)


async def run_cancel(settings: Settings, wanted: str, *, yes: bool, as_json: bool) -> None:
    """End a task of this account before its start, and say what comes back; by the node that runs, if one does."""
    path = f"/api/v1/tasks/{wanted}"
    if (row := await request_running(settings, "url", "GET", path)) is not None:
        confirm(f"end task {row['task_id'][:12]}: what is not due to trainers comes back", yes=yes)
        answer = await request_running(settings, "url", "POST", f"{path}/cancel")
        if answer is not None:
            _show_cancelled(answer, as_json=as_json)
            return
    async with open_wallet(settings) as wallet:
        ledger = wallet.ledger
        created, task = await must_find(ledger, wanted)
        tasklog = TaskLog(created, place_of(settings, task), ledger=ledger)
        await tasklog.catch_up()
        state = tasklog.log
        check_cancellable(state, ledger.address)
        if state.phase is not Phase.CANCELLED:
            due = state.plan.compensation * len(state.seats)
            back = format_hbar(state.plan.escrow() - due)
            paid = f", {format_hbar(due)} goes to the {len(state.seats)} trainers that accepted" if due else ""
            confirm(f"end task {short(task)}: {back} of the escrow comes back{paid}", yes=yes)
            state = await cancel_task(tasklog, ledger)
        await withdraw(ledger)
    _show_cancelled(views.cancelled(state).model_dump(), as_json=as_json)


def _show_cancelled(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.print_json(row)
    else:
        output.stdout.print(row["money"])


async def run_verify(settings: Settings, wanted: str, *, as_json: bool) -> None:
    """From public data alone: needs no key and no node.

    Raises:
        VerificationError: SHOAL-V01, something does not hold; told after the table.
    """
    settings.need("contract_id")
    async with open_reader(settings) as ledger:
        created, task = await must_find(ledger, wanted)
        found = await verify_task(ledger, created, place_of(settings, task))
    if as_json:
        output.print_json(found.as_dict())
    else:
        table = Table("checked", "by", "verdict", "found", box=None)
        for check in found.checks:
            table.add_row(check.name, check.by, f"[{_COLOURS[check.verdict]}]{check.verdict}[/]", escape(check.found))
        output.stdout.print(table)
        when = datetime.fromtimestamp(found.until_ns / 1e9, UTC).isoformat(timespec="seconds")
        output.say(f"task {short(task)} as the ledger had it at {when}")
    found.raise_if_wrong()


async def run_get(
    settings: Settings, wanted: str, out: Path | None, *, wait: bool, pin: bool, yes: bool, as_json: bool
) -> None:
    """Fetch what a quorum has confirmed. On the way: go on with a task whose client was interrupted, and settle it.

    Args:
        pin: also pin the encrypted result; what `shoal train` was asked to pin is pinned in any case.
    """
    check_writable(out or Path.cwd() / "weights")
    check_trackers(settings.trackers)
    if pin:
        open_store(settings)  # is there a service?
    if wait:
        confirm_on_mainnet(settings, "go on with the task where that is needed, and pay Hedera's fees for it", yes=yes)
    async with open_node(settings, roles=["client"]) as node:
        created, task = await must_find(node.ledger, wanted)
        story = Story()
        async with session.following(node, created, task, witness=story) as tasklog:
            await tasklog.passed(await node.ledger.watermark())
            if tasklog.log.client != node.ledger.address:
                raise UsageError(
                    f"task {short(task)} belongs to another account",
                    code="SHOAL-U08",
                    hint="use the account and key directory that created it",
                )
            if wait:
                async with tracking(node, created, story):
                    await _to_its_end(node, tasklog, story, as_json=as_json)
            state = tasklog.log
        path = out or Path(f"{short(task)}.safetensors")
        check_writable(path)
        sha256 = await _fetch(node, created, state, path, pin=pin)
    if as_json:
        output.print_json(
            {"task_id": task.hex(), "weights": str(path.resolve()), "sha256": sha256, "phase": str(state.phase)}
        )
    else:
        output.say(f"sha256 {sha256}, as confirmed on chain")
        output.stdout.print(str(path), soft_wrap=True)


async def _fetch(node: Node, created: LoggedEvent, state: State, path: Path, *, pin: bool) -> str:
    """From its slot, else from IPFS; and to IPFS, where that is wanted and was not done yet."""
    pinner = Pinner(node, partial(open_store, node.settings))
    home = session.home_of(node.settings, state.place.task)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    wanted = "result" not in state.pins and (pin or "result" in pinner.wishes(state))
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        keep = Path(scratch) / "object"
        sha256 = await fetch_result(
            state,
            keys=node.keys,
            transfer=node.transfer,
            out=path,
            own=session.own_way(node, state),
            pinned=partial(fetch_pinned, partial(open_source, node.settings)),
            keep=keep if wanted else None,
        )
        if wanted:
            await pin_result(node, created, pinner, keep)
    return sha256


async def _to_its_end(node: Node, tasklog: TaskLog, story: Story, *, as_json: bool) -> None:
    """Do what is the client's part, as it was interrupted or left; only the result's own key is needed beyond that."""
    if tasklog.log.phase.over:
        await close(tasklog, node.ledger)
        return
    client = session.client_of(node, tasklog)
    pinner = Pinner(node, partial(open_store, node.settings))

    async def finish() -> None:
        await close(tasklog, node.ledger)

    work = finish if client is None else client.run
    await telling(story, partial(beside, work, partial(pinner.manifest_and_graph, tasklog)), as_json=as_json)
