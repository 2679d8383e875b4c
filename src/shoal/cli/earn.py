"""`shoal earn`: benchmark, price, stake, then work whenever this machine is free; and what is said to it meanwhile."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio
from rich.live import Live
from rich.text import Text

from shoal import node as composition
from shoal.api.server import serving_trainer
from shoal.cli import output
from shoal.cli.confirm import confirm
from shoal.core import fees, pricing, schedule
from shoal.core.idle import Limits, duration
from shoal.core.money import format_hbar
from shoal.earn import benchmark, market
from shoal.earn.benchmark import Benchmark
from shoal.earn.control import Control
from shoal.earn.runner import GRACE_S, Earner
from shoal.earn.senses import Senses
from shoal.errors import MachineError, MarketError
from shoal.node import Node
from shoal.roles.gate import Gate
from shoal.settings import Settings


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line, over the settings."""

    hbar_per_hour: float | None
    watts: float | None
    usd_per_kwh: float | None
    beside_me: bool
    schedule: str | None
    yes: bool


@dataclass(frozen=True, slots=True)
class Price:
    """What is asked for an hour, and what it follows from; HBAR."""

    asked: float
    floor: float | None
    """What an hour costs in power; None where nobody knows."""
    market: float | None
    """What an hour brought others of late; None where nothing was trained."""
    awards: int
    watts: float | None
    usd_per_kwh: float | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "asked_hbar_per_hour": self.asked,
            "floor_hbar_per_hour": self.floor,
            "market_hbar_per_hour": self.market,
            "recent_awards": self.awards,
            "watts": self.watts,
            "usd_per_kwh": self.usd_per_kwh,
        }


# ---------------------------------------------------------------- earning


async def run_earn(settings: Settings, wish: Wish, *, as_json: bool) -> None:
    """Until stopped: by `shoal earn stop`, Ctrl-C or SIGTERM, all of which give its seats back first.

    Raises:
        MachineError: SHOAL-G01 a schedule that cannot be read; G03 no benchmark.
        MarketError: SHOAL-T02, too little for the stake.
        UsageError: SHOAL-U07, it was not confirmed.
    """
    limits = limits_of(settings, wish)
    async with composition.open_node(settings, roles=["trainer"]) as node:
        bench = await _benchmark(node, as_json)
        price = await _price(node, wish, bench)
        _show_price(price, as_json)
        await _register(node, price, yes=wish.yes)
        gate = Gate(open=False, grace_s=GRACE_S)
        trainer = composition.trainer(node, gate=gate, hbar_per_hour=price.asked)
        senses, control = Senses(settings.dir), Control(settings.dir)
        async with serving_trainer(node) as (url, token):
            _announce(node, url, str(token.path), as_json)
            with _Screens(as_json) as screen:
                earner = Earner(trainer, gate, senses=senses, control=control, limits=limits, tell=screen.show)
                async with _stops(earner):
                    await earner.run()
        senses.close()
        await _farewell(node, as_json)


def limits_of(settings: Settings, wish: Wish) -> Limits:
    """What the owner allows.

    Raises:
        MachineError: SHOAL-G01, a schedule that cannot be read.
    """
    text = settings.earn_schedule if wish.schedule is None else wish.schedule
    return Limits(
        idle_s=0.0 if wish.beside_me else settings.earn_idle_s,
        max_celsius=settings.earn_max_celsius,
        min_memory_mib=settings.earn_min_memory_mib,
        min_disk_mib=settings.earn_min_disk_mib,
        schedule=_parsed_schedule(text) if text else schedule.ALWAYS,
    )


def _parsed_schedule(text: str) -> schedule.Schedule:
    try:
        return schedule.parse(text)
    except ValueError as error:
        raise MachineError(
            f"the schedule cannot be read: {error}", code="SHOAL-G01", hint='for example "22:00-08:00 mon-fri; sat,sun"'
        ) from error


async def _benchmark(node: Node, as_json: bool) -> Benchmark:
    output.say("benchmark: the bundled model is trained in the sandbox for a moment")
    settings = node.settings
    open_engine = composition.engine_opener(settings)
    bench = await benchmark.measure(settings.dir / "earn-benchmark", open_engine, threads=settings.engine_threads)
    if as_json:
        output.print_json({"event": "benchmark", **bench.as_dict()})
        return bench
    output.say(
        f"{bench.processor or 'this processor'}, {bench.threads} thread(s): {1000 * bench.step_s:.2f} ms a step, "
        f"{bench.rows_per_s:,.0f} images a second (torch {bench.torch})"
    )
    if cards := ", ".join([*bench.gpus, *([bench.gpu] if bench.gpu and bench.gpu not in bench.gpus else [])]):
        output.say(f"{cards}: there, and not used: this version trains on the processor only")
    else:
        output.say("this version trains on the processor only; no graphics card is seen")
    if bench.watts is not None:
        rest = "" if bench.idle_watts is None else f", {bench.idle_watts:.0f} W at rest"
        output.say(f"the processor drew {bench.watts:.0f} W{rest}, by its own counters")
    return bench


async def _price(node: Node, wish: Wish, bench: Benchmark) -> Price:
    """What to ask for an hour: what was said, else what follows from power and market."""
    settings = node.settings
    paid = await market.recent(node.ledger, node.place)
    watts = wish.watts or settings.earn_watts or bench.watts or _ask("what it draws while it trains, in watts")
    usd = wish.usd_per_kwh or settings.earn_usd_per_kwh or (_ask("what a kWh costs here, in US$") if watts else None)
    floor = None
    if watts and usd:
        floor = pricing.power_floor(watts=watts, usd_per_kwh=usd, rate=await node.ledger.rate())
    others = market.per_hour(paid)
    asked = wish.hbar_per_hour or pricing.suggested(floor=floor, market=others, default=settings.hbar_per_hour)
    return Price(asked, floor, others, len(paid), watts, usd)


def _ask(what: str) -> float | None:
    """A number from the terminal; None where nobody sits there, or nothing is said."""
    if not sys.stdin.isatty():
        return None
    output.stderr.print(f"{what} (Enter: unknown): ", end="", markup=False)
    text = sys.stdin.readline().strip().replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def _show_price(price: Price, as_json: bool) -> None:
    if as_json:
        output.print_json({"event": "price", **price.as_dict()})
        return
    if price.floor is None:
        output.say("power: unknown, so no floor; --watts and --usd-per-kwh tell")
    else:
        output.say(
            f"power: {price.watts:.0f} W at US$ {price.usd_per_kwh} a kWh is {price.floor:.4f} ℏ an hour: the floor"
        )
    if price.market is None:
        output.say("market: nothing was trained on this ledger in the last 30 days")
    else:
        output.say(
            f"market: {price.awards} recent award(s) brought {price.market:.4f} ℏ an hour of training, fees apart"
        )
    output.say(f"asking {price.asked:.4f} ℏ an hour; Hedera's fees are added to every bid (cover_fees)")
    if price.floor is not None and price.asked < price.floor:
        output.say("that is LESS than the power costs")


async def _register(node: Node, price: Price, *, yes: bool) -> None:
    """Ask before the stake is paid in; the trainer then registers.

    Raises:
        MarketError: SHOAL-T02, the account has too little.
    """
    ledger, stake = node.ledger, node.settings.stake_tinybar
    if (await ledger.account_state(ledger.address)).registered:
        return
    fee = (await ledger.rate()).tinybar(fees.call(fees.GAS["register"]))
    balance = await ledger.balance()
    if balance < stake + fee:
        raise MarketError(
            f"account {ledger.account} has {format_hbar(balance)}",
            code="SHOAL-T02",
            hint=f"the stake is {format_hbar(stake)} (stake_tinybar), and fees come on top",
            money="nothing was spent",
        )
    confirm(
        f"register {ledger.account} on {node.settings.network} with {format_hbar(stake)} of its {format_hbar(balance)} "
        f"as stake, which stays yours (`shoal wallet unstake`), for a fee of about {format_hbar(fee)}; and then pay "
        f"Hedera's fees of every task, asked back in each bid at {price.asked:.4f} ℏ an hour",
        yes=yes,
    )


@asynccontextmanager
async def _stops(earner: Earner) -> AsyncIterator[None]:
    """The first signal stops as `shoal earn stop` does, the second at once."""
    async with trio.open_nursery() as nursery:

        async def listen() -> None:
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async for _ in signals:
                    output.say("stopping: the present chunk is finished or handed over; once more ends at once")
                    earner.stop()
                    break
                async for _ in signals:
                    raise KeyboardInterrupt

        nursery.start_soon(listen)
        yield
        nursery.cancel_scope.cancel()


def _announce(node: Node, url: str, token_file: str, as_json: bool) -> None:
    if as_json:
        output.print_json(
            {
                "event": "earning",
                "account": node.ledger.account,
                "peer_id": node.network.peer_id,
                "addresses": node.network.addresses(),
                "url": url,
                "token_file": token_file,
            }
        )
    else:
        output.say(f"{node.ledger.account} is in the market; its page is served at {url} (token in {token_file})")
        output.say("`shoal earn pause 2h`, `resume`, `stop`, `status` and `history` from another terminal")


async def _farewell(node: Node, as_json: bool) -> None:
    """What lies where, at the end."""
    account = await node.ledger.account_state(node.ledger.address)
    if as_json:
        record = {"stake_tinybar": int(account.stake_tinybar), "withdrawable_tinybar": int(account.balance_tinybar)}
        output.print_json({"event": "stopped", **record})
    else:
        output.say(
            f"stopped; {format_hbar(account.stake_tinybar)} of stake are in the contract: `shoal wallet unstake`"
        )
        output.say("what running tasks still owe is claimed at the next `shoal earn`, or by their clients")


# ---------------------------------------------------------------- telling


class Screen:
    """One line that says what happens: renewed on a terminal, a new one for each change elsewhere."""

    def __init__(self, live: Live | None, *, as_json: bool) -> None:
        self._live, self._as_json = live, as_json

    def show(self, record: dict[str, Any]) -> None:
        if self._live is not None:
            self._live.update(Text(line_of(record)), refresh=True)
        elif record["changed"]:
            if self._as_json:
                output.print_json({name: value for name, value in record.items() if name != "changed"})
            else:
                output.say(line_of(record))


class _Screens:
    """Opens the screen, and closes it whatever happens."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._live = None
        if not as_json and output.stderr.is_terminal:
            self._live = Live(Text(""), console=output.stderr, auto_refresh=False)

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return Screen(self._live, as_json=self._as_json)

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()


def line_of(record: dict[str, Any]) -> str:
    """A state as one line.

    >>> line_of({"state": "run", "why": "-", "until": "pauses when you touch it", "seats": 1, "since": 0, "at": 60})
    'earning for 1 min, 1 seat; pauses when you touch it'
    """
    since = duration(float(record["at"]) - float(record["since"]))
    seats = f"{record['seats']} seat{'' if record['seats'] == 1 else 's'}"
    match record["state"]:
        case "run":
            return f"earning for {since}, {seats}; {record['until']}"
        case "pause":
            kept = f", {seats} kept" if record["seats"] else ""
            return f"paused for {since}{kept}: {record['why']}; {record['until']}"
        case "stop":
            return f"stopping, {seats} to give back"
    return "stopped"
