"""`shoal train`: examine, quote, ask, upload, create, follow, fetch, and say what it cost."""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

import trio

from shoal.cli import output
from shoal.cli.session import client_of, following, home_of, told
from shoal.client import prepare
from shoal.client.prepare import Examined, Prepared, Source
from shoal.client.result import fetch_result
from shoal.core import calls
from shoal.core.events import TaskCreated
from shoal.core.ids import task_id
from shoal.core.manifest import Rules
from shoal.core.money import Tinybar, format_hbar, parse_hbar
from shoal.core.quote import LOCAL_TIMING, BudgetTooSmall, Quote, Timing, quote
from shoal.core.task import SECOND_NS, Phase, State
from shoal.errors import CallReverted, MarketError, NetworkError, UsageError
from shoal.node import Node, open_node
from shoal.ports import LoggedEvent
from shoal.roles.tasklog import find_task
from shoal.settings import Settings

FEE_RESERVE = Tinybar(500_000_000)
"""What must be left for Hedera's fees: 5 HBAR, far more than a task needs."""
DEFAULT_TRAINERS = 4
BOOTSTRAP_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asked for on the command line."""

    source: Source
    rounds: int | None
    trainers: int | None
    chunks: int | None
    budget: str | None
    round_timeout_s: int
    yes: bool
    dry_run: bool
    detach: bool
    compare: bool
    out: Path | None


async def run_train(settings: Settings, order: Order, *, as_json: bool) -> None:
    """The whole command."""
    budget = _budget(order.budget)
    overrides = {"rounds": order.rounds} if order.rounds else {}
    examined = await trio.to_thread.run_sync(prepare.examine, order.source, overrides)
    _describe(examined, as_json)
    async with open_node(settings, roles=["client"]) as node:
        offer = await _quote(node, order, examined, budget)
        _show_quote(offer, as_json)
        if order.dry_run:
            return
        await _check_means(node, offer)
        _ask(offer, order.yes)
        prepared = await _prepare(node, order, examined, offer)
        created = await _create(node, order, examined, prepared, budget)
        await _drive(node, order, examined, created, as_json)


def _budget(text: str | None) -> Tinybar | None:
    try:
        return None if text is None else parse_hbar(text)
    except ValueError as error:
        raise UsageError(str(error), code="SHOAL-U02", hint="for example --budget 2.5") from error


def _describe(examined: Examined, as_json: bool) -> None:
    """What was found in the data, before anything is paid."""
    facts = examined.description.as_dict()
    if as_json:
        output.print_json({"event": "examined", "name": examined.name, **facts})
    else:
        output.say(f"{examined.name}: " + ", ".join(f"{name} {value}" for name, value in facts.items()))


async def _quote(node: Node, order: Order, examined: Examined, budget: Tinybar | None) -> Quote:
    recipe = examined.recipe
    trainers = order.trainers or recipe.trainers or DEFAULT_TRAINERS
    chunks = order.chunks or trainers
    rounds = order.rounds or recipe.rounds
    timing = LOCAL_TIMING if node.settings.network == "devnet" else Timing()
    now_s = await node.ledger.watermark() // 10**9
    try:
        return quote(chunks=chunks, rounds=rounds, trainers=trainers, budget=budget, timing=timing, now_s=now_s)
    except BudgetTooSmall as error:
        raise MarketError(
            f"a budget of {order.budget} HBAR is too small for {chunks} chunks x {rounds} rounds",
            code="SHOAL-T01",
            hint=f"at least {format_hbar(error.needed)}; trainers like about 0.05 ℏ for each chunk and round",
            money="nothing was spent",
        ) from error
    except ValueError as error:
        raise UsageError(
            str(error), code="SHOAL-U06", hint="there can be no more trainers than chunks", money="nothing was spent"
        ) from error


def _show_quote(offer: Quote, as_json: bool) -> None:
    plan = offer.plan
    if as_json:
        output.print_json(
            {
                "event": "quoted",
                "escrow_tinybar": int(offer.escrow),
                "units": offer.units,
                "max_unit_price_tinybar": int(plan.max_unit_price),
                "aggregate_price_tinybar": int(plan.aggregate_price),
                "rounds": plan.rounds,
                "chunks": plan.chunks,
                "trainers": plan.seats,
                "fees_usd": round(offer.fees_usd, 4),
            }
        )
        return
    output.say(
        f"worst case {format_hbar(offer.escrow)}: {plan.chunks} chunks x {plan.rounds} rounds at "
        f"{format_hbar(plan.max_unit_price)} or less, {plan.rounds} aggregates at {format_hbar(plan.aggregate_price)}; "
        f"Hedera's fees about ${offer.fees_usd:.2f}. What is not earned comes back."
    )


async def _check_means(node: Node, offer: Quote) -> None:
    """What would make the task fail is found out before anything is spent."""
    balance = await node.ledger.balance()
    needed = offer.escrow + FEE_RESERVE
    if balance < needed:
        raise MarketError(
            f"account {node.ledger.account} has {format_hbar(balance)}, the worst case needs {format_hbar(needed)} "
            "with a reserve for fees",
            code="SHOAL-T02",
            hint="top the account up, or give a smaller --budget or fewer --rounds",
            money="nothing was spent",
        )
    if node.settings.bootstrap:
        try:
            await node.network.wait_for_peers(1, BOOTSTRAP_TIMEOUT_S)
        except NetworkError as error:
            raise NetworkError(
                f"no bootstrap node can be reached: {', '.join(node.settings.bootstrap)}",
                code="SHOAL-N09",
                hint="is one running, and is the setting bootstrap right?",
                money="nothing was spent",
            ) from error
    if not any("trainer" in peer.roles for peer in node.network.peers()):
        output.say("no trainer is in sight yet; the task is on the ledger's list, where any trainer finds it")


def _ask(offer: Quote, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            f"this would lock {format_hbar(offer.escrow)} in escrow",
            code="SHOAL-U07",
            hint="say --yes to spend without being asked, or --dry-run to look only",
            money="nothing was spent",
        )
    output.stderr.print(f"lock {format_hbar(offer.escrow)} in escrow? [y/N] ", end="")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("not confirmed", code="SHOAL-U07", money="nothing was spent")


async def _prepare(node: Node, order: Order, examined: Examined, offer: Quote) -> Prepared:
    """Upload; then everything that a client needs to go on after a crash is on disk, before any money moves."""

    def progress(what: str, done: int, total: int) -> None:
        if done == total:
            output.say(f"{total} {what} encrypted and uploaded")

    directory = node.settings.dir / "tasks" / f"new-{secrets.token_hex(8)}"
    prepared = await prepare.prepare(
        examined,
        chunks=offer.plan.chunks,
        blobs=node.blobs(),
        directory=directory,
        network=node.settings.network,
        contract=node.settings.contract_id,
        rules=Rules(order.round_timeout_s, order.round_timeout_s, confirm_every=max(1, offer.plan.rounds // 3)),
        progress=progress,
    )
    task = task_id(node.ledger.address, prepared.manifest.hash)
    directory.rename(home_of(node.settings, task))
    node.store.put("secrets", task.hex(), prepared.secrets.to_bytes())
    node.store.put("manifests", task.hex(), prepared.manifest.to_bytes())
    return prepared


async def _create(
    node: Node, order: Order, examined: Examined, prepared: Prepared, budget: Tinybar | None
) -> LoggedEvent:
    """Topic, then task. The quote is made again, since its deadlines count from now."""
    offer = await _quote(node, order, examined, budget)
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


async def _drive(node: Node, order: Order, examined: Examined, created: LoggedEvent, as_json: bool) -> None:
    assert isinstance(created.event, TaskCreated), "find_task returns nothing else"
    task = created.event.task_id
    async with following(node, created, task) as tasklog:
        client = client_of(node, tasklog)
        assert client is not None, "just prepared here"
        await told(tasklog, client.run_until_started if order.detach else client.run, as_json=as_json)
        state = tasklog.log
    if order.detach and not state.phase.over:
        output.say(f"training goes on without this program; `shoal get {task.hex()[:12]}` fetches the result")
        if as_json:
            output.print_json({"event": "detached", "task_id": task.hex(), "topic_id": f"0.0.{state.topic}"})
        return
    await _deliver(node, order, examined, state, as_json)


async def _deliver(node: Node, order: Order, examined: Examined, state: State, as_json: bool) -> None:
    name = state.place.task.hex()[:12]
    fees = await _fees(node, state)
    out = order.out or Path(f"{name}.safetensors")
    if state.phase is not Phase.SETTLED or state.confirmed is None:
        raise MarketError(
            f"the task ended without a result ({state.phase})",
            code="SHOAL-T07",
            hint="no trainer bid below your ceiling, or too few did: raise --budget, or try again later",
            money=f"{format_hbar(state.refunded)} of {format_hbar(state.plan.escrow())} came back to your account; "
            f"Hedera's fees were {format_hbar(fees)}",
        )
    reached = state.confirmed.round
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
    sha256 = await fetch_result(state, keys=node.keys, transfer=node.transfer, out=out)
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
    if as_json:
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


async def _fees(node: Node, state: State) -> int:
    """What this account paid to Hedera since shortly before the task, which is when its topic was made."""
    movements = await node.ledger.movements(
        after_ns=state.created_ns - 60 * SECOND_NS, until_ns=await node.ledger.watermark(), account=node.ledger.account
    )
    return sum(int(movement.fee_tinybar) for movement in movements if movement.payer == node.ledger.account)
