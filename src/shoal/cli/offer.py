"""Before any money moves: what was found, what it costs at most, whether it can work, and the question."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from shoal.cli import output
from shoal.cli.confirm import confirm
from shoal.client.prepare import Examined, Source
from shoal.core.money import Tinybar, format_hbar, parse_hbar
from shoal.core.quote import LOCAL_TIMING, BudgetTooSmall, Quote, Timing, quote
from shoal.errors import MarketError, NetworkError, UsageError
from shoal.node import Node

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


@dataclass(frozen=True, slots=True)
class Purchase:
    """One run of the command, from the moment that the ledger is there."""

    node: Node
    order: Order
    examined: Examined
    budget: Tinybar | None
    begun_ns: int
    """Consensus time before anything was spent."""
    as_json: bool


def parse_budget(text: str | None) -> Tinybar | None:
    try:
        return None if text is None else parse_hbar(text)
    except ValueError as error:
        raise UsageError(str(error), code="SHOAL-U02", hint="for example --budget 2.5") from error


def check_writable(out: Path) -> None:
    """Before anything is paid: the weights will have a place."""
    folder = out.parent
    if out.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"{out} cannot be written", code="SHOAL-U15", hint="name a file in a folder of yours with -o")


def describe(examined: Examined, as_json: bool) -> None:
    """What was found in the data, before anything is paid."""
    facts = examined.description.as_dict()
    if as_json:
        output.print_json({"event": "examined", "name": examined.name, **facts})
    else:
        output.say(f"{examined.name}: " + ", ".join(f"{name} {value}" for name, value in facts.items()))


async def make_quote(what: Purchase) -> Quote:
    """The worst case, with deadlines that count from now."""
    now_s = await what.node.ledger.watermark() // 10**9
    return quote_of(what.order, what.examined, what.budget, network=what.node.settings.network, now_s=now_s)


def quote_of(order: Order, examined: Examined, budget: Tinybar | None, *, network: str, now_s: int) -> Quote:
    """The worst case of an order.

    Raises:
        MarketError: SHOAL-T01, the budget is too small.
        UsageError: SHOAL-U06, numbers out of bounds.
    """
    recipe = examined.recipe
    trainers = order.trainers or recipe.trainers or DEFAULT_TRAINERS
    chunks = order.chunks or trainers
    rounds = order.rounds or recipe.rounds
    timing = LOCAL_TIMING if network == "devnet" else Timing()
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
            str(error),
            code="SHOAL-U06",
            hint="no more trainers than chunks, at most 256; many rounds of many chunks are several tasks",
            money="nothing was spent",
        ) from error


def show_quote(offer: Quote, as_json: bool) -> None:
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


async def check_means(node: Node, offer: Quote) -> None:
    """What would make the task fail is found out before anything is spent."""
    await node.ledger.liabilities()  # the contract is there, and is one of ours
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


def ask(offer: Quote, yes: bool) -> None:
    confirm(f"lock {format_hbar(offer.escrow)} in escrow", yes=yes, otherwise="--dry-run to look only")
