"""`shoal train`: examine, quote, ask, upload, create, follow, fetch, and say what it cost."""

from __future__ import annotations

import secrets
from pathlib import Path

import trio

from shoal.cli import output
from shoal.cli.dry_run import run_dry
from shoal.cli.offer import (
    Order,
    Purchase,
    ask,
    check_means,
    check_writable,
    describe,
    make_quote,
    parse_budget,
    show_quote,
)
from shoal.cli.session import client_of, following, home_of, own_way, told
from shoal.client import prepare
from shoal.client.prepare import Prepared
from shoal.client.result import fetch_result, goal_of
from shoal.core import calls
from shoal.core.events import TaskCreated
from shoal.core.ids import task_id
from shoal.core.manifest import Rules
from shoal.core.money import format_hbar
from shoal.core.quote import Quote, confirm_every_of
from shoal.core.task import Phase, State
from shoal.errors import CallReverted, MarketError
from shoal.node import open_node
from shoal.ports import LoggedEvent
from shoal.roles.closing import close
from shoal.roles.tasklog import find_task
from shoal.settings import Settings

_WHY = {
    Phase.CANCELLED: "no trainer bid below your ceiling, or too few did: raise --budget, or try again later",
    Phase.EXPIRED: "a deadline passed: too few trainers accepted or got ready, or too few were left for a quorum; "
    "`shoal watch` tells which; try again",
    Phase.SETTLED: "trainers were lost until too few were left for a quorum; what was confirmed is paid; try again",
}


async def run_train(settings: Settings, order: Order, *, as_json: bool) -> None:
    """The whole command."""
    budget = parse_budget(order.budget)
    check_writable(order.out or Path.cwd() / "weights")
    overrides = {"rounds": order.rounds} if order.rounds else {}
    examined = await trio.to_thread.run_sync(prepare.examine, order.source, overrides)
    describe(examined, as_json)
    if order.dry_run:
        await run_dry(settings, order, examined, as_json=as_json)
        return
    async with open_node(settings, roles=["client"]) as node:
        what = Purchase(node, order, examined, budget, await node.ledger.watermark(), as_json)
        offer = await make_quote(what)
        show_quote(offer, as_json)
        await check_means(node, offer)
        ask(offer, order.yes)
        prepared = await _prepare(what, offer)
        await _drive(what, await _create(what, prepared))


async def _prepare(what: Purchase, offer: Quote) -> Prepared:
    """Upload; then everything that a client needs to go on after a crash is on disk, before any money moves."""
    node, timeout_s = what.node, what.order.round_timeout_s

    def progress(what: str, done: int, total: int) -> None:
        if done == total:
            output.say(f"{total} {what} encrypted and uploaded")

    directory = node.settings.dir / "tasks" / f"new-{secrets.token_hex(8)}"
    prepared = await prepare.prepare(
        what.examined,
        chunks=offer.plan.chunks,
        blobs=node.blobs(),
        directory=directory,
        network=node.settings.network,
        contract=node.settings.contract_id,
        rules=Rules(timeout_s, timeout_s, confirm_every=confirm_every_of(offer.plan.rounds)),
        progress=progress,
    )
    task = task_id(node.ledger.address, prepared.manifest.hash)
    directory.rename(home_of(node.settings, task))
    node.store.put("secrets", task.hex(), prepared.secrets.to_bytes())
    node.store.put("manifests", task.hex(), prepared.manifest.to_bytes())
    return prepared


async def _create(what: Purchase, prepared: Prepared) -> LoggedEvent:
    """Topic, then task. The quote is made again, since its deadlines count from now."""
    node, offer = what.node, await make_quote(what)
    manifest = prepared.manifest
    task = task_id(node.ledger.address, manifest.hash)
    topic = await node.ledger.create_topic(f"shoal task {task.hex()[:16]}")
    call = calls.CreateTask(manifest.hash, topic, node.keys.signing_key, node.keys.recipient, offer.plan)
    try:
        outcome = await node.ledger.call(call, value=offer.escrow)
    except CallReverted as error:
        raise MarketError(
            f"the contract refused the task: {error.message}",
            code="SHOAL-T03",
            money="the escrow was not taken; only Hedera's fee was spent",
        ) from error
    with trio.move_on_after(60):
        while await node.ledger.watermark() < outcome.time_ns:  # noqa: ASYNC110 - another process changes it
            await trio.sleep(0.1)
    created = await find_task(node.ledger, task.hex())
    if created is None:
        raise MarketError(f"task {task.hex()} is not on the mirror node yet", code="SHOAL-T05", hint="shoal get later")
    return created


async def _drive(what: Purchase, created: LoggedEvent) -> None:
    node, order, as_json = what.node, what.order, what.as_json
    assert isinstance(created.event, TaskCreated), "find_task returns nothing else"
    task = created.event.task_id
    async with following(node, created, task) as tasklog:
        client = client_of(node, tasklog)
        assert client is not None, "just prepared here"
        await told(tasklog, client.run_until_started if order.detach else client.run, as_json=as_json)
        if tasklog.log.phase.over:
            await close(tasklog, node.ledger)
        state = tasklog.log
    if order.detach and not state.phase.over:
        output.say(f"training goes on without this program; `shoal get {task.hex()[:12]}` fetches the result")
        if as_json:
            output.print_json({"event": "detached", "task_id": task.hex(), "topic_id": f"0.0.{state.topic}"})
        return
    await _deliver(what, state)


async def _deliver(what: Purchase, state: State) -> None:
    node, order, examined = what.node, what.order, what.examined
    name = state.place.task.hex()[:12]
    fees = await _fees(what)
    out = order.out or Path(f"{name}.safetensors")
    goal = goal_of(state)
    if state.phase is not Phase.SETTLED or goal is None:
        raise MarketError(
            f"the task ended without a result ({state.phase})",
            code="SHOAL-T07",
            hint=_WHY[state.phase],
            money=f"{format_hbar(state.refunded)} of {format_hbar(state.plan.escrow())} came back to your account; "
            f"Hedera's fees were {format_hbar(fees)}",
        )
    reached = goal.round
    if reached == 0:
        raise MarketError(
            "no trainer could train the first round: with this recipe the loss becomes NaN or infinite, or the model "
            "does not run on a whole chunk",
            code="SHOAL-T09",
            hint="a smaller learning rate or a grad_clip in recipe.json usually helps; `shoal watch` tells the reasons",
            money=f"all of the escrow, {format_hbar(state.refunded)}, came back; "
            f"Hedera's fees were {format_hbar(fees)}",
        )
    if reached < state.plan.rounds:
        output.say(f"training ended early, after round {reached} of {state.plan.rounds}; what was not earned came back")
    way = own_way(node, state)
    sha256 = await fetch_result(state, keys=node.keys, transfer=node.transfer, out=out, own=way)
    test = home_of(node.settings, state.place.task) / prepare.TEST_SPLIT
    scored = await trio.to_thread.run_sync(prepare.evaluate, examined.exported.document, out, test, examined.recipe)
    central = None
    if order.compare:
        steps = examined.recipe.local_steps * sum(state.units.values())
        central = (await trio.to_thread.run_sync(lambda: prepare.train_centrally(examined, steps=steps))).metric
    paid = sum(int(claim.paid) for claim in state.claims.values())
    report = {
        "event": "result",
        "task_id": state.place.task.hex(),
        "weights": str(out.resolve()),
        "sha256": sha256,
        "rounds": reached,
        "metric": examined.recipe.metric,
        "test_metric": scored.metric,
        "test_loss": scored.loss,
        "central_metric": central,
        "paid_tinybar": paid,
        "refunded_tinybar": int(state.refunded),
        "fees_tinybar": fees,
    }
    if what.as_json:
        output.print_json(report)
        return
    output.say(
        f"paid {format_hbar(paid)} to trainers; {format_hbar(state.refunded)} of the escrow came back; "
        f"Hedera's fees were {format_hbar(fees)}"
    )
    output.say(f"{examined.recipe.metric} on the test split: {scored.metric:.4f} (loss {scored.loss:.4f})")
    if central is not None:
        output.say(f"trained centrally with as many steps: {central:.4f}")
    output.say(f"sha256 {sha256}, as confirmed on chain")
    output.stdout.print(str(out), soft_wrap=True)


async def _fees(what: Purchase) -> int:
    """What this account has paid to Hedera since the command began."""
    ledger = what.node.ledger
    movements = await ledger.movements(
        after_ns=what.begun_ns, until_ns=await ledger.watermark(), account=ledger.account
    )
    return sum(int(movement.fee_tinybar) for movement in movements if movement.payer == ledger.account)
