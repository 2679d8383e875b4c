"""`shoal train --dry-run`: what all of it would cost. Reads the mirror node; sends nothing, and needs no key."""

from __future__ import annotations

import trio
from rich.table import Table

from shoal.cli import output
from shoal.cli.offer import show_quote
from shoal.client.estimate import Estimate, estimate, rules_of
from shoal.client.prepare import Examined
from shoal.client.purchase import Order, quote_of
from shoal.core import costs, fees
from shoal.core.costs import Payer
from shoal.core.money import format_hbar
from shoal.node import open_reader
from shoal.settings import Settings

_WHO = {
    Payer.CLIENT: "you",
    Payer.CLIENT_AT_WORST: "you, if trainers do not",
    Payer.TRAINERS: "trainers",
    Payer.VALIDATORS: "validators",
}


async def run_dry(settings: Settings, order: Order, examined: Examined, *, as_json: bool) -> None:
    """Print the quote and every cost.

    Raises:
        MarketError, UsageError: what would be wrong with the order.
        LedgerUnreachable: the mirror node does not tell time and exchange rate.
    """
    async with open_reader(settings) as ledger:
        now_s = await ledger.watermark() // 10**9
        rate = await ledger.rate()
        offer = quote_of(order, examined, network=settings.network, rate=rate, now_s=now_s)
        balance = await ledger.balance() if settings.operator_id else None
    show_quote(offer, as_json)
    rules = rules_of(offer, order.round_timeout_s)
    found = await trio.to_thread.run_sync(
        lambda: estimate(
            examined,
            offer,
            rate=rate,
            rules=rules,
            hbar_per_hour=settings.hbar_per_hour,
            min_unit_tinybar=settings.min_unit_tinybar,
            covers_fees=settings.cover_fees,
            balance=balance,
            logs=settings.topic_log_level is not None,
        )
    )
    if as_json:
        output.print_json({"event": "estimated", **found.as_dict()})
    else:
        _show(found)


def _show(found: Estimate) -> None:
    plan, offer = found.offer.plan, found.offer
    table = Table("what", "times", "who pays", "US$", "ℏ", title="Hedera's fees", title_justify="left", box=None)
    for line in found.lines:
        tinybar = found.rate.tinybar(line.tinycents)
        dollars = f"{line.tinycents / fees.TINYCENTS_PER_USD:.5f}"
        table.add_row(line.what, str(line.count), _WHO[line.payer], dollars, format_hbar(tinybar).removesuffix(" ℏ"))
    output.stdout.print(table)
    say = output.stdout.print
    say(
        f"escrow, the worst case   {format_hbar(offer.escrow)} = {offer.units} work units at "
        f"{format_hbar(plan.max_unit_price)} + {plan.rounds} aggregates at {format_hbar(plan.aggregate_price)}"
        + (f" + {plan.audits} audits at {format_hbar(plan.audit_price)}" if plan.audits else "")
    )
    say(
        f"likely paid to trainers  {format_hbar(found.expected_paid)}, if they ask what this machine would: "
        f"{format_hbar(found.expected_unit_price)} for the {found.unit_s:.3f} s of a work unit, with its fees"
    )
    say(f"likely coming back       {format_hbar(found.expected_back)}")
    at_worst = found.fees_of(Payer.CLIENT, Payer.CLIENT_AT_WORST)
    say(f"your fees                {format_hbar(found.fees_of(Payer.CLIENT))}, at worst {format_hbar(at_worst)}")
    say(f"trainers' fees           {format_hbar(found.fees_of(Payer.TRAINERS))}, which they pay themselves")
    if plan.audits:
        bill = costs.dispute_lines(plan)
        accuser = format_hbar(found.rate.tinybar(costs.total(bill, Payer.ACCUSER)))
        say(f"a dispute, on top        {accuser} of fees and a bond of {format_hbar(plan.bond)} for whoever accuses")
    say(f"storage                  {found.upload_bytes:,} bytes to upload, {found.stored_bytes:,} in the end")
    needed = f"your account needs       {format_hbar(found.needed)}"
    say(needed if found.balance is None else f"{needed}, and has {format_hbar(found.balance)}")
    if not found.pays_enough:
        output.say("the ceiling is below what a machine like this one would ask: perhaps nobody bids")
