"""`shoal ps`, `watch` and `get`: looking at tasks, and fetching results later."""

from __future__ import annotations

from pathlib import Path

import trio
from rich.table import Table

from shoal.cli import output
from shoal.cli.confirm import confirm_on_mainnet
from shoal.cli.follow import Teller
from shoal.cli.session import client_of, following, own_way, told
from shoal.client.result import fetch_result
from shoal.core.events import TaskCreated
from shoal.core.ids import TaskId, short
from shoal.core.money import format_hbar
from shoal.errors import MarketError, UsageError
from shoal.node import Node, open_node, open_reader, place_of
from shoal.ports import LedgerView, LoggedEvent
from shoal.roles.closing import close
from shoal.roles.tasklog import TaskLog, find_task
from shoal.settings import Settings


async def run_ps(settings: Settings, *, everyone: bool, as_json: bool) -> None:
    """One row a task, the newest first."""
    settings.need("contract_id", *(() if everyone else ("operator_id",)))
    rows = []
    async with open_reader(settings) as ledger:
        for logged in await ledger.events(after_ns=0, until_ns=await ledger.watermark()):
            if isinstance(logged.event, TaskCreated) and (everyone or logged.event.client == ledger.address):
                tasklog = TaskLog(logged, place_of(settings, logged.event.task_id), ledger=ledger)
                await tasklog.catch_up()
                rows.append(tasklog.log)
    records = [
        {
            "task_id": state.place.task.hex(),
            "phase": str(state.phase),
            "round": max(0, state.round - 1),
            "rounds": state.plan.rounds,
            "trainers": len(state.seats),
            "escrow_tinybar": int(state.plan.escrow()),
            "topic_id": f"0.0.{state.topic}",
        }
        for state in reversed(rows)
    ]
    if as_json:
        output.print_json(records)
        return
    table = Table("task", "phase", "round", "trainers", "escrow", "topic", box=None)
    for record in records:
        table.add_row(
            str(record["task_id"])[:12],
            str(record["phase"]),
            f"{record['round']}/{record['rounds']}",
            str(record["trainers"]),
            format_hbar(int(str(record["escrow_tinybar"]))),
            str(record["topic_id"]),
        )
    output.stdout.print(table)


async def run_watch(settings: Settings, wanted: str, *, as_json: bool) -> None:
    """From the ledger alone: needs no keys of the task."""
    settings.need("contract_id")
    async with open_reader(settings) as ledger:
        created = await must_find(ledger, wanted)
        tasklog = TaskLog(created, place_of(settings, _id(created)), ledger=ledger, poll_s=settings.poll_s)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tasklog.run)
            nursery.start_soon(Teller(tasklog, as_json=as_json).run)
            await tasklog.wait_for(lambda t: t.log.phase.over)
            nursery.cancel_scope.cancel()


async def run_get(settings: Settings, wanted: str, out: Path | None, *, wait: bool, yes: bool, as_json: bool) -> None:
    """Fetch what a quorum has confirmed. On the way: go on with a task whose client was interrupted, and settle it."""
    if wait:
        confirm_on_mainnet(settings, "go on with the task where that is needed, and pay Hedera's fees for it", yes=yes)
    async with open_node(settings, roles=["client"]) as node:
        created = await must_find(node.ledger, wanted)
        task = _id(created)
        async with following(node, created, task) as tasklog:
            await tasklog.passed(await node.ledger.watermark())
            if tasklog.log.client != node.ledger.address:
                raise UsageError(
                    f"task {short(task)} belongs to another account",
                    code="SHOAL-U08",
                    hint="use the account and key directory that created it",
                )
            if wait:
                await _to_its_end(node, tasklog, as_json=as_json)
            state = tasklog.log
        path = out or Path(f"{short(task)}.safetensors")
        own = own_way(node, state)
        sha256 = await fetch_result(state, keys=node.keys, transfer=node.transfer, out=path, own=own)
    if as_json:
        output.print_json(
            {"task_id": task.hex(), "weights": str(path.resolve()), "sha256": sha256, "phase": str(state.phase)}
        )
    else:
        output.say(f"sha256 {sha256}, as confirmed on chain")
        output.stdout.print(str(path), soft_wrap=True)


async def _to_its_end(node: Node, tasklog: TaskLog, *, as_json: bool) -> None:
    """Do what is the client's part, as it was interrupted or left; only the result's own key is needed beyond that."""
    if tasklog.log.phase.over:
        await close(tasklog, node.ledger)
        return
    client = client_of(node, tasklog)

    async def finish() -> None:
        await close(tasklog, node.ledger)

    await told(tasklog, finish if client is None else client.run, as_json=as_json)


async def must_find(ledger: LedgerView, wanted: str) -> LoggedEvent:
    """The task that the user means.

    Raises:
        MarketError: SHOAL-T08, there is none.
    """
    created = await find_task(ledger, wanted)
    if created is None:
        raise MarketError(
            f"there is no task {wanted!r} on this ledger", code="SHOAL-T08", hint="`shoal ps --all` lists them"
        )
    return created


def _id(created: LoggedEvent) -> TaskId:
    assert isinstance(created.event, TaskCreated), "find_task returns nothing else"
    return created.event.task_id
