"""Quotes for graph documents: plan, escrow, fees and storage, from the document, the recipe and the wish alone."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import trio

from shoal.api.documents import Held
from shoal.api.storage_fees import StorageFees
from shoal.client.desk import Desk
from shoal.client.purchase import Wish, quote_wish
from shoal.core import costs, pricing
from shoal.core.costs import Payer
from shoal.core.fees import Rate
from shoal.core.money import Tinybar
from shoal.core.quote import Quote, confirm_every_of
from shoal.errors import DataError
from shoal.learn.dataset import PART_ROWS
from shoal.learn.preflight import preflight
from shoal.learn.recipe import Recipe

TIMED = 256
"""Models whose step was timed, kept in memory."""


@dataclass(frozen=True, slots=True)
class GraphWish:
    """What a page asks the price of."""

    recipe: Recipe
    rows: int
    """For training."""
    upload_bytes: int
    """Of chunks, validation split and initial weights, encrypted."""
    rounds: int | None = None
    trainers: int | None = None
    chunks: int | None = None
    budget_tinybar: int | None = None
    round_timeout_s: int = 60
    bid_s: int | None = None
    auditors: int = 0
    audits: int | None = None


@dataclass(frozen=True, slots=True)
class GraphQuote:
    """All that a page shows before money moves, and what `createTask` takes."""

    offer: Quote
    recipe: Recipe
    rules: tuple[int, int, int]
    slot_bytes: int
    now_s: int
    rate: Rate
    lines: tuple[costs.Line, ...]
    stored_bytes: int
    unit_s: float | None
    """Seconds that this machine takes for one chunk in one round; None where it does not run the model."""
    unit_price: Tinybar | None
    """What a machine like this one would ask for that."""
    storage_fee: Tinybar


class GraphQuotes:
    """Prices of graph documents.

    Args:
        runs_strangers: whether a document that is not of our zoo is run here, to time it.
    """

    def __init__(self, desk: Desk, fees: StorageFees, *, runs_strangers: bool) -> None:
        self._desk, self._fees, self._runs_strangers = desk, fees, runs_strangers
        self._timed: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._one = trio.CapacityLimiter(1)

    async def make(self, held: Held, wish: GraphWish, *, asks_storage: bool) -> GraphQuote:
        """Price a wish; nothing is spent or kept, and only the deadlines move when it is asked again.

        Raises:
            MarketError: SHOAL-T01, the budget is too small.
            UsageError: SHOAL-U06, numbers out of bounds.
            DataError: SHOAL-D21, too few rows for so many chunks.
            ModelError: the model does not run.
        """
        settings, ledger = self._desk.settings, self._desk.ledger
        now_s, rate = await ledger.watermark() // 10**9, await ledger.rate()
        recipe = _with_rounds(wish.recipe, wish.rounds)
        budget = None if wish.budget_tinybar is None else Tinybar(wish.budget_tinybar)
        wanted = Wish(
            chunks=wish.chunks, rounds=recipe.rounds, trainers=wish.trainers or recipe.trainers, budget=budget,
            bid_s=wish.bid_s, auditors=wish.auditors, audits=wish.audits,
        )  # fmt: skip
        offer = quote_wish(wanted, network=settings.network, rate=rate, now_s=now_s)
        plan = offer.plan
        if wish.rows < plan.chunks * PART_ROWS:
            raise DataError(
                f"{wish.rows} rows for training are too few for {plan.chunks} chunks of at least {PART_ROWS}",
                code="SHOAL-D21",
                hint="take fewer chunks and as many trainers, or add rows",
            )
        confirm_every = confirm_every_of(plan.rounds)
        lines = costs.lines(plan, manifest_bytes=costs.manifest_estimate(plan.chunks), confirm_every=confirm_every)
        stored = wish.upload_bytes + (offer.units + plan.rounds + 1) * held.slot_bytes
        unit_s = await self._unit_s(held, recipe)
        return GraphQuote(
            offer=offer,
            recipe=recipe,
            rules=(wish.round_timeout_s, wish.round_timeout_s, confirm_every),
            slot_bytes=held.slot_bytes,
            now_s=now_s,
            rate=rate,
            lines=lines,
            stored_bytes=stored,
            unit_s=unit_s,
            unit_price=None if unit_s is None else self._asked(offer, unit_s, rate),
            storage_fee=self._fees.fee(stored) if asks_storage else Tinybar(0),
        )

    def _asked(self, offer: Quote, unit_s: float, rate: Rate) -> Tinybar:
        settings, plan = self._desk.settings, offer.plan
        fees = pricing.fees_per_unit(
            rounds=plan.rounds,
            chunks=-(-plan.chunks // plan.seats),
            confirm_every=confirm_every_of(plan.rounds),
            rate=rate,
        )
        return pricing.asked(
            unit_s=unit_s,
            hbar_per_hour=settings.hbar_per_hour,
            min_unit=settings.min_unit_tinybar,
            fees=fees if settings.cover_fees else 0,
        )

    async def _unit_s(self, held: Held, recipe: Recipe) -> float | None:
        if not held.is_ours and not self._runs_strangers:
            return None
        key = held.sha256, f"{recipe.loss}/{recipe.optimizer.name}/{recipe.batch_size}"
        if key not in self._timed:
            report = await trio.to_thread.run_sync(preflight, held.parsed, recipe, limiter=self._one)
            self._timed[key] = report.step_s
            while len(self._timed) > TIMED:
                self._timed.popitem(last=False)
        return self._timed[key] * recipe.local_steps


def as_dict(quote: GraphQuote, *, trainer_in_sight: bool, storage_account: str) -> dict[str, Any]:
    """The record of the API."""
    offer, plan, rate = quote.offer, quote.offer.plan, quote.rate
    unit = None if quote.unit_price is None else min(quote.unit_price, plan.max_unit_price)
    paid = None if unit is None else offer.units * unit + plan.rounds * plan.aggregate_price
    return {
        "escrow_tinybar": int(offer.escrow),
        "units": offer.units,
        "rules": list(quote.rules),
        "slot_bytes": quote.slot_bytes,
        "recipe": quote.recipe.as_dict(),
        "now": quote.now_s,
        "fees_usd": round(offer.fees_usd, 4),
        "fees_tinybar": rate.tinybar(costs.total(quote.lines, Payer.CLIENT)),
        "fees_at_worst_tinybar": rate.tinybar(costs.total(quote.lines, Payer.CLIENT, Payer.CLIENT_AT_WORST)),
        "fees": [
            {
                "what": line.what,
                "count": line.count,
                "payer": str(line.payer),
                "tinybar": rate.tinybar(line.tinycents),
            }
            for line in quote.lines
        ],
        "unit_s": quote.unit_s,
        "expected_unit_price_tinybar": None if quote.unit_price is None else int(quote.unit_price),
        "expected_paid_tinybar": paid,
        "expected_back_tinybar": None if paid is None else int(offer.escrow) - paid,
        "pays_enough": None if quote.unit_price is None else quote.unit_price <= plan.max_unit_price,
        "stored_bytes": quote.stored_bytes,
        "storage_fee_tinybar": int(quote.storage_fee),
        "storage_account": storage_account,
        "trainer_in_sight": trainer_in_sight,
    }


def _with_rounds(recipe: Recipe, rounds: int | None) -> Recipe:
    return recipe if rounds is None else Recipe.from_dict({**recipe.as_dict(), "rounds": rounds})
