"""Before any money moves: what was found, what it costs at most, and the question."""

from __future__ import annotations

import sys

from shoal.cli import output
from shoal.client.prepare import Examined
from shoal.client.purchase import quoted
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
