"""Buying a training: quote, check, prepare, create, drive and fetch, one step after the other.

Nothing is spent before `create`. Whoever asks people (the command line, the HTTP API, a notebook) does so in between.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import trio

from shoal.client import prepare
from shoal.client.desk import Desk
from shoal.client.estimate import audit_rules_of, rules_of
from shoal.client.pins import GRAPH, Pinner
from shoal.client.prepare import Examined, Prepared
from shoal.client.result import Pinned, fetch_result, goal_of
from shoal.client.session import home_of, own_way
from shoal.client.source import Source
from shoal.core import calls, pricing
from shoal.core.fees import Rate
from shoal.core.ids import task_id
from shoal.core.money import Tinybar, format_hbar
from shoal.core.quote import LOCAL_TIMING, BudgetTooSmall, Quote, Timing, confirm_every_of, quote
from shoal.core.task import Phase, State
from shoal.errors import CallReverted, MarketError, NetworkError, UsageError
from shoal.learn.recipe import Recipe
from shoal.ports import LoggedEvent
from shoal.roles.pool import validators
from shoal.roles.tasklog import find_task

FEE_RESERVE = Tinybar(500_000_000)
"""What must be left for Hedera's fees: 5 HBAR, far more than a task needs."""
DEFAULT_TRAINERS = 4
BOOTSTRAP_TIMEOUT_S = 15.0
TRAINERS_TIMEOUT_S = 5.0
MIRROR_TIMEOUT_S = 60.0
MOST_BUSY = 5.0
"""Programs that want to run for each processor, beyond which no more time is given."""

_WHY = {
    Phase.CANCELLED: "too few trainers bid in time at your price: try again, or raise --budget; --dry-run tells what "
    "they will ask",
    Phase.EXPIRED: "a deadline passed: too few trainers accepted or got ready, or too few were left for a quorum; "
    "`shoal watch` tells which; try again",
    Phase.SETTLED: "trainers were lost until too few were left for a quorum; what was confirmed is paid; try again",
}


@dataclass(frozen=True, slots=True)
class Order:
    """What the ML user wants."""

    source: Source
    rounds: int | None = None
    """None takes the recipe's."""
    trainers: int | None = None
    chunks: int | None = None
    """None takes one for each trainer, more where the data set is large."""
    budget: Tinybar | None = None
    """All that may ever be spent on trainers."""
    round_timeout_s: int = 60
    bid_s: int | None = None
    """How long bids are taken; None takes what is usual on the network."""
    auditors: int | None = None
    """Validators in a committee and in a jury; None takes the recipe's, 0 is a task without audits."""
    audits: int | None = None
    """Work units that are trained again, at most; None takes the recipe's, else some for each trainer."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a training gave, and what it cost."""

    task_id: str
    weights: str
    sha256: str
    rounds: int
    metric: str
    test_metric: float
    test_loss: float
    central_metric: float | None
    """The same model and data trained in one place for as many steps, where that was asked for."""
    paid_tinybar: int
    refunded_tinybar: int
    fees_tinybar: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Purchase:
    """One training, from the moment that the ledger is there.

    >>> purchase = await Purchase.begin(desk, order, examined)  # doctest: +SKIP
    >>> offer = await purchase.quote()
    >>> await purchase.check(offer)
    >>> created = await purchase.create(await purchase.prepare(offer, print))
    """

    def __init__(self, desk: Desk, order: Order, examined: Examined, begun_ns: int) -> None:
        self._desk, self._order, self._examined = desk, order, examined
        self._begun_ns = begun_ns
        """Consensus time before anything was spent."""

    @classmethod
    async def begin(cls, desk: Desk, order: Order, examined: Examined) -> Self:
        return cls(desk, order, examined, await desk.ledger.watermark())

    async def quote(self) -> Quote:
        """The worst case, with deadlines that count from now.

        Raises:
            MarketError, UsageError: as `quote_of`.
        """
        now_s = await self._desk.ledger.watermark() // 10**9
        rate = await self._desk.ledger.rate()
        return quote_of(self._order, self._examined, network=self._desk.settings.network, rate=rate, now_s=now_s)

    async def check(self, offer: Quote) -> bool:
        """Find out what would make the task fail before anything is spent; whether a trainer is in sight.

        Raises:
            MarketError: SHOAL-T02, the account has too little.
            NetworkError: SHOAL-N09, no bootstrap node can be reached.
            LedgerError: the contract is not there.
        """
        desk = self._desk
        await desk.ledger.liabilities()  # the contract is there, and is one of ours
        balance, needed = await desk.ledger.balance(), offer.escrow + FEE_RESERVE
        if balance < needed:
            raise MarketError(
                f"account {desk.ledger.account} has {format_hbar(balance)}, the worst case needs "
                f"{format_hbar(needed)} with a reserve for fees",
                code="SHOAL-T02",
                hint="top the account up, or give a smaller --budget or fewer --rounds",
                money="nothing was spent",
            )
        if offer.plan.auditors:
            await self._check_pool(offer)
        if desk.settings.bootstrap and not await self._meets(lambda roles: True, BOOTSTRAP_TIMEOUT_S):
            raise NetworkError(
                f"no bootstrap node can be reached: {', '.join(desk.settings.bootstrap)}",
                code="SHOAL-N09",
                hint="is one running, and is the setting bootstrap right?",
                money="nothing was spent",
            )
        return await self._meets(lambda roles: "trainer" in roles, TRAINERS_TIMEOUT_S)

    async def _check_pool(self, offer: Quote) -> None:
        """A committee, and for a dispute a jury without the accuser, has to be had."""
        pool, wanted = await validators(self._desk.ledger), offer.plan.auditors
        if len(pool) > wanted:
            return
        raise MarketError(
            f"the pool has {len(pool)} validators; a jury of {wanted} beside whoever accuses needs {wanted + 1}",
            code="SHOAL-T20",
            hint="fewer --auditors, or wait until more validators have joined (`shoal node run --role validator`)",
            money="nothing was spent",
        )

    async def _meets(self, wanted: Callable[[tuple[str, ...]], bool], timeout_s: float) -> bool:
        """Whether a peer of some kind is connected; it takes a moment until peers are, and have told their roles."""
        with trio.move_on_after(timeout_s) as patience:
            while not any(peer.connected and wanted(peer.roles) for peer in self._desk.network.peers()):  # noqa: ASYNC110
                await trio.sleep(0.1)  # peers come and go
        return not patience.cancelled_caught

    async def prepare(
        self,
        offer: Quote,
        progress: Callable[[str, int, int], None],
        *,
        pinner: Pinner | None = None,
        pin: Collection[str] = (),
    ) -> Prepared:
        """Upload; then everything that a client needs to go on after a crash is on disk, before any money moves.

        Args:
            progress: called with (what, done, total).
            pin: what `pinner` is to pin to IPFS: the graph now, the rest in its time.
        """
        desk, graph_cid = self._desk, ""
        if pinner is not None and GRAPH in pin:
            with tempfile.TemporaryDirectory() as scratch:
                document = Path(scratch) / prepare.DOCUMENT
                document.write_bytes(self._examined.exported.document)
                graph_cid = await pinner.graph(document, self._examined.name)
        directory = desk.settings.dir / "tasks" / f"new-{secrets.token_hex(8)}"
        prepared = await prepare.prepare(
            self._examined,
            chunks=offer.plan.chunks,
            blobs=desk.blobs(),
            directory=directory,
            network=desk.settings.network,
            contract=desk.settings.contract_id,
            rules=rules_of(offer, self._order.round_timeout_s),
            audit=audit_rules_of(offer, self._order.round_timeout_s),
            progress=progress,
            graph_cid=graph_cid,
        )
        task = task_id(desk.ledger.address, prepared.manifest.hash)
        directory.rename(home_of(desk.settings, task))
        desk.store.put("secrets", task.hex(), prepared.secrets.to_bytes())
        desk.store.put("manifests", task.hex(), prepared.manifest.to_bytes())
        desk.store.put("begun", task.hex(), self._begun_ns.to_bytes(8, "big"))
        if pinner is not None and pin:
            pinner.wish(task, pin, graph=graph_cid)
        return prepared

    async def create(self, prepared: Prepared) -> LoggedEvent:
        """Topic, then task: the escrow is paid. The quote is made again, since its deadlines count from now.

        Raises:
            MarketError: SHOAL-T03, the contract refused; T05, the mirror node has not shown the task yet.
        """
        desk, offer, manifest = self._desk, await self.quote(), prepared.manifest
        task = task_id(desk.ledger.address, manifest.hash)
        topic = await desk.ledger.create_topic(f"shoal task {task.hex()[:16]}")
        call = calls.CreateTask(manifest.hash, topic, desk.keys.signing_key, desk.keys.recipient, offer.plan)
        try:
            outcome = await desk.ledger.call(call, value=offer.escrow)
        except CallReverted as error:
            raise MarketError(
                f"the contract refused the task: {error.message}",
                code="SHOAL-T03",
                money="the escrow was not taken; only Hedera's fee was spent",
            ) from error
        with trio.move_on_after(MIRROR_TIMEOUT_S):
            while await desk.ledger.watermark() < outcome.time_ns:  # noqa: ASYNC110 - another process changes it
                await trio.sleep(0.1)
        created = await find_task(desk.ledger, task.hex())
        if created is None:
            raise MarketError(
                f"task {task.hex()} is not on the mirror node yet", code="SHOAL-T05", hint="shoal get later"
            )
        return created

    async def fetch(
        self, state: State, out: Path, *, compare: bool = False, pinned: Pinned | None = None, keep: Path | None = None
    ) -> Report:
        """Fetch the weights of a task that is over, and score them on the test split, which never left this machine.

        Args:
            compare: also train centrally here, for as many steps.
            pinned, keep: as of `fetch_result`.

        Raises:
            MarketError: SHOAL-T07, the task ended without a result; T09, no round could be trained.
        """
        report = await collect(self._desk, state, out, begun_ns=self._begun_ns, pinned=pinned, keep=keep)
        if not compare:
            return report
        examined = self._examined
        steps = examined.recipe.local_steps * sum(state.units.values())
        central = await trio.to_thread.run_sync(lambda: prepare.train_centrally(examined, steps=steps))
        return replace(report, central_metric=central.metric)


async def collect(
    desk: Desk,
    state: State,
    out: Path,
    *,
    begun_ns: int | None = None,
    pinned: Pinned | None = None,
    keep: Path | None = None,
) -> Report:
    """Fetch the weights of a task of this directory that is over, and score them, by what the directory kept.

    Args:
        begun_ns: when what it cost began to be spent; None looks up when the purchase began.
        pinned, keep: as of `fetch_result`.

    Raises:
        MarketError: SHOAL-T07, the task ended without a result; T09, no round could be trained.
        UsageError: SHOAL-U08, another directory prepared the task.
    """
    fees = await fees_since(desk, _begun(desk, state) if begun_ns is None else begun_ns)
    goal = goal_of(state)
    if state.phase is not Phase.SETTLED or goal is None:
        raise MarketError(
            f"the task ended without a result ({state.phase})",
            code="SHOAL-T07",
            hint=_WHY[state.phase],
            money=f"{format_hbar(state.refunded)} of {format_hbar(state.plan.escrow())} came back to your "
            f"account; Hedera's fees were {format_hbar(fees)}",
        )
    if goal.round == 0:
        raise MarketError(
            "no trainer could train the first round: with this recipe the loss becomes NaN or infinite, or the "
            "model does not run on a whole chunk",
            code="SHOAL-T09",
            hint="a smaller learning rate or a grad_clip in recipe.json usually helps; `shoal watch` tells the reasons",
            money=f"all of the escrow, {format_hbar(state.refunded)}, came back; "
            f"Hedera's fees were {format_hbar(fees)}",
        )
    home = home_of(desk.settings, state.place.task)
    if state.manifest is None or not (home / prepare.TEST_SPLIT).is_file():
        raise UsageError(
            f"{desk.settings.dir} does not hold what task {state.place.task.hex()[:12]} was prepared with",
            code="SHOAL-U08",
            hint="use the directory that created it; `shoal get` fetches the weights alone",
        )
    recipe, document = Recipe.from_dict(state.manifest.recipe), (home / prepare.DOCUMENT).read_bytes()
    own = own_way(desk, state)
    sha256 = await fetch_result(
        state, keys=desk.keys, transfer=desk.transfer, out=out, own=own, pinned=pinned, keep=keep
    )
    scored = await trio.to_thread.run_sync(prepare.evaluate, document, out, home / prepare.TEST_SPLIT, recipe)
    return Report(
        task_id=state.place.task.hex(),
        weights=str(out.resolve()),
        sha256=sha256,
        rounds=goal.round,
        metric=recipe.metric,
        test_metric=scored.metric,
        test_loss=scored.loss,
        central_metric=None,
        paid_tinybar=sum(int(claim.paid) for claim in state.claims.values()),
        refunded_tinybar=int(state.refunded),
        fees_tinybar=fees,
    )


def _begun(desk: Desk, state: State) -> int:
    """When the purchase began; just before the task, where this directory does not know."""
    kept = desk.store.get("begun", state.place.task.hex())
    return state.created_ns - 1 if kept is None else int.from_bytes(kept, "big")


async def fees_since(desk: Desk, begun_ns: int) -> int:
    """What this account has paid to Hedera since then, for whatever it did, in tinybar."""
    ledger = desk.ledger
    movements = await ledger.movements(after_ns=begun_ns, until_ns=await ledger.watermark(), account=ledger.account)
    return sum(int(movement.fee_tinybar) for movement in movements if movement.payer == ledger.account)


def describe_quote(offer: Quote) -> str:
    """A quote for people.

    >>> describe_quote(offer)  # doctest: +SKIP
    "worst case 2.1 ℏ: 4 chunks x 10 rounds at 0.05 ℏ or less, 10 aggregates at 0.01 ℏ; Hedera's fees about $0.08. What
    is not earned comes back."
    """
    plan = offer.plan
    return (
        f"worst case {format_hbar(offer.escrow)}: {plan.chunks} chunks x {plan.rounds} rounds at "
        f"{format_hbar(plan.max_unit_price)} or less, {plan.rounds} aggregates at {format_hbar(plan.aggregate_price)}"
        f"{_audits_text(plan)}; "
        f"Hedera's fees about ${offer.fees_usd:.2f}. What is not earned comes back."
    )


def _audits_text(plan: calls.Plan) -> str:
    return f", {plan.audits} audits at {format_hbar(plan.audit_price)}" if plan.audits else ""


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
        **(
            {"auditors": plan.auditors, "audits": plan.audits, "audit_price_tinybar": int(plan.audit_price)}
            if plan.audits
            else {}
        ),
    }


def quote_of(order: Order, examined: Examined, *, network: str, rate: Rate, now_s: int) -> Quote:
    """The worst case of an order; nobody needs to be asked for it.

    Args:
        network: timing is shorter on a local one.
        rate: what HBAR is worth; trainers ask for their fees, which are in dollars.
        now_s: consensus time.

    Raises:
        MarketError: SHOAL-T01, the budget is too small.
        UsageError: SHOAL-U06, numbers out of bounds.
    """
    auditors = (examined.recipe.auditors or 0) if order.auditors is None else order.auditors
    wish = Wish(
        chunks=order.chunks,
        rounds=order.rounds or examined.recipe.rounds,
        trainers=order.trainers or examined.recipe.trainers,
        budget=order.budget,
        bid_s=order.bid_s,
        fewest_chunks=prepare.fewest_chunks(examined.split.train),
        auditors=auditors,
        audits=(order.audits or examined.recipe.audits) if auditors else order.audits,
    )
    return quote_wish(wish, network=network, rate=rate, now_s=now_s)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a price follows from; None takes what is usual."""

    chunks: int | None
    rounds: int
    trainers: int | None
    budget: Tinybar | None
    bid_s: int | None
    fewest_chunks: int = 1
    auditors: int = 0
    audits: int | None = None
    """None, and validators: what is usual."""


def quote_wish(wish: Wish, *, network: str, rate: Rate, now_s: int) -> Quote:
    """As `quote_of`, where the data and the model are elsewhere."""
    trainers, rounds = wish.trainers or DEFAULT_TRAINERS, wish.rounds
    chunks = wish.chunks or max(trainers, wish.fewest_chunks)
    timing = _local_timing() if network == "devnet" else Timing()
    timing = timing if wish.bid_s is None else replace(timing, bid_s=wish.bid_s)
    try:
        return quote(
            chunks=chunks,
            rounds=rounds,
            trainers=trainers,
            budget=wish.budget,
            trainer_fees=pricing.fees_per_unit(
                rounds=rounds,
                chunks=-(-chunks // trainers),
                confirm_every=confirm_every_of(rounds),
                rate=rate,
                audits=-(-(wish.audits or 0) // trainers),
            ),
            timing=timing,
            now_s=now_s,
            auditors=wish.auditors,
            audits=wish.audits,
        )
    except BudgetTooSmall as error:
        raise MarketError(
            f"a budget of {format_hbar(wish.budget or 0)} is too small for {chunks} chunks x {rounds} rounds",
            code="SHOAL-T01",
            hint=f"at least {format_hbar(error.needed)}; `shoal train --dry-run` tells what trainers will ask",
            money="nothing was spent",
        ) from error
    except ValueError as error:
        raise UsageError(
            str(error),
            code="SHOAL-U06",
            hint="no more trainers than chunks, at most 256; many rounds of many chunks are several tasks; 3, 5 or 7 "
            "auditors, and no more audits than work units",
            money="nothing was spent",
        ) from error


def _local_timing() -> Timing:
    """On one machine the trainers share its processors with each other and with whatever else runs there: to look at a
    model takes them longer then, and they have to bid in time."""
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    return replace(LOCAL_TIMING, bid_s=round(LOCAL_TIMING.bid_s * min(max(busy, 1.0), MOST_BUSY)))


def check_writable(out: Path) -> None:
    """Before anything is paid: the weights will have a place.

    Raises:
        UsageError: SHOAL-U15.
    """
    folder = out.parent
    if out.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"{out} cannot be written", code="SHOAL-U15", hint="name a file in a folder of yours with -o")
