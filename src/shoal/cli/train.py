"""`shoal train`: examine, quote, ask, upload, create, follow, fetch, and say what it cost."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from shoal.cli import output
from shoal.cli.dry_run import run_dry
from shoal.cli.follow import telling
from shoal.cli.offer import ask, describe, show_quote
from shoal.client import prepare, session
from shoal.client.pins import RESULT, Pinner, beside
from shoal.client.purchase import Order, Purchase, Report, check_writable
from shoal.client.story import Story
from shoal.client.tracking import tracking
from shoal.content import is_public, open_store
from shoal.core.events import TaskCreated
from shoal.core.ids import short
from shoal.core.money import format_hbar
from shoal.core.task import State
from shoal.node import Node, open_node
from shoal.ports import LoggedEvent
from shoal.roles.closing import close
from shoal.settings import Settings
from shoal.track import check as check_trackers


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for on the command line."""

    order: Order
    yes: bool
    dry_run: bool
    detach: bool
    compare: bool
    out: Path | None
    pin: frozenset[str] = frozenset()
    """Of `graph`, `manifest` and `result`."""


async def run_train(settings: Settings, wish: Wish, aftermath: output.Aftermath, *, as_json: bool) -> None:
    """The whole command.

    Args:
        aftermath: is kept true, for whoever interrupts it.
    """
    aftermath.text = "nothing was spent"
    order = wish.order
    check_writable(wish.out or Path.cwd() / "weights")
    check_trackers(settings.trackers)
    if wish.pin and not wish.dry_run:
        open_store(settings)  # is there a service? before anything is spent
        if is_public(settings):
            output.say(
                "what is pinned can be read by anybody who has its CID, for ever: the result is encrypted to you"
            )
    overrides = {"rounds": order.rounds} if order.rounds else {}
    examined = await trio.to_thread.run_sync(prepare.examine, order.source, overrides)
    describe(examined, as_json)
    if wish.dry_run:
        await run_dry(settings, order, examined, as_json=as_json)
        return
    async with open_node(settings, roles=["client"]) as node:
        purchase = await Purchase.begin(node, order, examined)
        offer = await purchase.quote()
        show_quote(offer, as_json)
        if not await purchase.check(offer):
            output.say("no trainer is in sight yet; the task is on the ledger's list, where any trainer finds it")
        ask(offer, wish.yes)
        pinner = Pinner(node, partial(open_store, settings))
        prepared = await purchase.prepare(offer, _progress, pinner=pinner, pin=wish.pin)
        aftermath.text = f"{format_hbar(offer.escrow)} may be in escrow: `shoal ps` tells, `shoal get TASK` goes on"
        created = await purchase.create(prepared)
        aftermath.text = _held(created)
        story = Story()
        async with tracking(node, created, story) as tracked:
            state = await _drive(node, created, story, wish, pinner, as_json=as_json)
            aftermath.text = f"`shoal get {short(state.place.task)}` goes on"
            if wish.detach and not state.phase.over:
                _say_detached(state, as_json=as_json)
                return
            out = wish.out or Path(f"{state.place.task.hex()[:12]}.safetensors")
            report = await _fetch(node, created, purchase, pinner, state, out, wish)
            tracked.result(report.as_dict())
        _show(report, state, as_json=as_json)


async def _fetch(
    node: Node, created: LoggedEvent, purchase: Purchase, pinner: Pinner, state: State, out: Path, wish: Wish
) -> Report:
    """The weights; and what is in their slot, encrypted, to IPFS where that was wanted."""
    if RESULT not in pinner.wishes(state):
        return await purchase.fetch(state, out, compare=wish.compare)
    with tempfile.TemporaryDirectory(dir=session.home_of(node.settings, state.place.task)) as scratch:
        keep = Path(scratch) / "object"
        report = await purchase.fetch(state, out, compare=wish.compare, keep=keep)
        await pin_result(node, created, pinner, keep)
    return report


async def pin_result(node: Node, created: LoggedEvent, pinner: Pinner, padded: Path) -> None:
    """Pin an encrypted result, and wait until the log says so."""
    assert isinstance(created.event, TaskCreated), "a task begins with it"
    async with session.following(node, created, created.event.task_id) as tasklog:
        await tasklog.passed(await node.ledger.watermark())
        cid = await pinner.result(tasklog, padded)
    if cid is not None:
        output.say(f"the encrypted result is pinned as {cid}")


def _held(created: LoggedEvent) -> str:
    assert isinstance(created.event, TaskCreated), "just created here"
    task, escrow = short(created.event.task_id), format_hbar(created.event.plan.escrow())
    return f"{escrow} is in escrow for task {task}: `shoal get {task}` goes on, or takes back what was not earned"


def _progress(what: str, done: int, total: int) -> None:
    if done == total:
        output.say(f"{total} {what} encrypted and uploaded")


async def _drive(node: Node, created: LoggedEvent, story: Story, wish: Wish, pinner: Pinner, *, as_json: bool) -> State:
    """The client's part, to the end or until it may go; returns the state then."""
    assert isinstance(created.event, TaskCreated), "just created here"
    async with session.following(node, created, created.event.task_id, witness=story) as tasklog:
        client = session.client_of(node, tasklog)
        assert client is not None, "just prepared here"
        work = client.run_until_started if wish.detach else client.run
        await telling(story, partial(beside, work, partial(pinner.manifest_and_graph, tasklog)), as_json=as_json)
        if tasklog.log.phase.over:
            await close(tasklog, node.ledger)
        return tasklog.log


def _say_detached(state: State, *, as_json: bool) -> None:
    task = state.place.task.hex()
    output.say(
        f"training goes on without this program: `shoal watch {task[:12]}` follows it from anywhere, "
        f"`shoal get {task[:12]}` fetches the result with this directory's keys"
    )
    if as_json:
        output.print_json({"event": "detached", "task_id": task, "topic_id": f"0.0.{state.topic}"})


def _show(report: Report, state: State, *, as_json: bool) -> None:
    if report.rounds < state.plan.rounds:
        output.say(
            f"training ended early, after round {report.rounds} of {state.plan.rounds}; what was not earned came back"
        )
    if as_json:
        output.print_json({"event": "result", **report.as_dict()})
        return
    output.say(
        f"paid {format_hbar(report.paid_tinybar)} to trainers; {format_hbar(report.refunded_tinybar)} of the escrow "
        f"came back; Hedera's fees were {format_hbar(report.fees_tinybar)}"
    )
    output.say(f"{report.metric} on the test split: {report.test_metric:.4f} (loss {report.test_loss:.4f})")
    if report.central_metric is not None:
        output.say(f"trained centrally with as many steps: {report.central_metric:.4f}")
    output.say(f"sha256 {report.sha256}, as confirmed on chain")
    output.stdout.print(report.weights, soft_wrap=True)
