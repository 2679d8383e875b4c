"""Before any money moves: what was found, what it costs at most, and the question."""

from __future__ import annotations

from typing import Any

from shoal.cli import output
from shoal.cli.confirm import confirm
from shoal.client.prepare import Examined
from shoal.core.money import Tinybar, format_hbar, parse_hbar
from shoal.core.quote import Quote
from shoal.errors import UsageError


def parse_budget(text: str | None) -> Tinybar | None:
    try:
        return None if text is None else parse_hbar(text)
    except ValueError as error:
        raise UsageError(str(error), code="SHOAL-U02", hint="for example --budget 2.5") from error


def describe(examined: Examined, as_json: bool) -> None:
    """What was found in the data, before anything is paid."""
    facts = examined.description.as_dict()
    if as_json:
        output.print_json({"event": "examined", "name": examined.name, **facts})
    else:
        output.say(f"{examined.name}: " + ", ".join(f"{name} {value}" for name, value in facts.items()))


def quoted(offer: Quote) -> dict[str, Any]:
    """A quote as a plain record."""
    plan = offer.plan
    return {
        "escrow_tinybar": int(offer.escrow),
        "units": offer.units,
        "max_unit_price_tinybar": int(plan.max_unit_price),
        "aggregate_price_tinybar": int(plan.aggregate_price),
        "rounds": plan.rounds,
        "chunks": plan.chunks,
        "trainers": plan.seats,
        "fees_usd": round(offer.fees_usd, 4),
    }


def show_quote(offer: Quote, as_json: bool) -> None:
    plan = offer.plan
    if as_json:
        output.print_json({"event": "quoted", **quoted(offer)})
        return
    output.say(
        f"worst case {format_hbar(offer.escrow)}: {plan.chunks} chunks x {plan.rounds} rounds at "
        f"{format_hbar(plan.max_unit_price)} or less, {plan.rounds} aggregates at {format_hbar(plan.aggregate_price)}; "
        f"Hedera's fees about ${offer.fees_usd:.2f}. What is not earned comes back."
    )


def ask(offer: Quote, yes: bool) -> None:
    confirm(f"lock {format_hbar(offer.escrow)} in escrow", yes=yes, otherwise="--dry-run to look only")
