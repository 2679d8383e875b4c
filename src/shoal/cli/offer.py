"""Before any money moves: what was found, what it costs at most, and the question."""

from __future__ import annotations

from shoal.cli import output
from shoal.cli.confirm import confirm
from shoal.client.prepare import Examined
from shoal.client.purchase import describe_quote, quoted
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
    if as_json:
        output.print_json({"event": "quoted", **quoted(offer)})
    else:
        output.say(describe_quote(offer))


def ask(offer: Quote, yes: bool) -> None:
    confirm(f"lock {format_hbar(offer.escrow)} in escrow", yes=yes, otherwise="--dry-run to look only")
