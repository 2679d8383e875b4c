"""The market as a trio program sees it: `connect` or `local`, then quote, train, and find tasks again."""

from __future__ import annotations

import inspect
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import trio
from torch import nn

from shoal.client import prepare
from shoal.client.desk import Desk
from shoal.client.openings import Openings
from shoal.client.pins import fetch_pinned
from shoal.client.purchase import DEFAULT_TRAINERS, Order, Purchase, collect, describe_quote, quoted
from shoal.client.result import Goal
from shoal.client.session import home_of
from shoal.client.source import Source
from shoal.client.tasks import list_tasks, must_find, summary
from shoal.client.verify import Verification, verify_task
from shoal.content import open_source
from shoal.core.money import Tinybar, parse_hbar
from shoal.core.quote import Quote
from shoal.core.task import State
from shoal.errors import UsageError, first_error
from shoal.localnet.stack import local_stack
from shoal.node import open_node
from shoal.ports import LoggedEvent
from shoal.sdk.run import RESULT, Finish, Run
from shoal.settings import Settings
from shoal.track import check as check_trackers

log = logging.getLogger("shoal")

T = TypeVar("T")

Budget = str | float | Decimal | Tinybar
"""`"5 hbar"`, `5.0` and `Decimal(5)` are HBAR; an integer is tinybar, the only unit of money in code."""


def budget_of(budget: Budget | None) -> Tinybar | None:
    """An amount as a user writes it.

    >>> budget_of("5 hbar") == budget_of(5.0) == budget_of(500_000_000)
    True

    Raises:
        UsageError: SHOAL-U02, it is not an amount.
    """
    try:
        if budget is None:
            return None
        if isinstance(budget, str | float | Decimal):
            return parse_hbar(str(budget))
        if type(budget) is not int or budget < 0:
            raise ValueError(f"{budget!r} is not an amount")
        return Tinybar(budget)
    except ValueError as error:
        raise UsageError(str(error), code="SHOAL-U02", hint='for example budget="2.5 hbar"') from error


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """What a training would cost at most, and what was found in model and data. Nothing is spent, nothing has left.

    >>> offer = await net.quote(model, (x, y), rounds=10)  # doctest: +SKIP
    >>> print(offer)
    >>> run = await offer.accept()
    """

    quote: Quote
    examined: prepare.Examined = field(repr=False)
    _buy: Callable[[Offer], Awaitable[Run]] = field(repr=False)

    @property
    def escrow_tinybar(self) -> Tinybar:
        """The worst case: what is locked until the end."""
        return self.quote.escrow

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The name of each class id, as the model's output counts them."""
        return self.examined.classes

    def as_dict(self) -> dict[str, Any]:
        """The quote, what was found in the data, and the recipe, as plain values."""
        found, recipe = self.examined.description.as_dict(), self.examined.recipe.as_dict()
        return {**quoted(self.quote), "name": self.examined.name, "data": found, "recipe": recipe}

    def __str__(self) -> str:
        return describe_quote(self.quote)

    async def accept(self) -> Run:
        """Buy it: the escrow is paid, and the run goes on in the background.

        Raises:
            MarketError: SHOAL-T02, the account has too little; T03, the contract refused.
            NetworkError: SHOAL-N09, no bootstrap node can be reached.
        """
        return await self._buy(self)


class Net:
    """An ML user's place on a network.

    Args:
        trainers: how many there are at most, where that is known.
    """

    def __init__(self, desk: Desk, nursery: trio.Nursery, *, trainers: int | None = None) -> None:
        self._desk, self._nursery, self._trainers = desk, nursery, trainers
        self._openings = Openings(desk)
        self._runs: dict[bytes, Run] = {}
        self._finding = trio.Lock()

    @property
    def settings(self) -> Settings:
        return self._desk.settings

    async def quote(
        self,
        model: nn.Module | str | Path,
        dataset: Any = None,
        *,
        label: str | None = None,
        recipe: Mapping[str, Any] | str | Path | None = None,
        rounds: int | None = None,
        trainers: int | None = None,
        chunks: int | None = None,
        budget: Budget | None = None,
        round_timeout_s: int = 60,
        compare: bool = False,
        auditors: int | None = None,
        audits: int | None = None,
    ) -> Offer:
        """Check that model and data fit each other and train alike elsewhere, and say what it costs at most.

        Args:
            model: a module, trained from the weights that it has, and left as it is; a folder in the shape of
                `examples/`; or a `model.py`.
            dataset: `(x, y)` or `(x, y, class names)` of arrays, tensors or lists; a DataFrame or other table; a
                `datasets.Dataset`; the path of a CSV, Parquet or NPZ file or of a folder of images; None where the
                model's folder has a data.py.
            label: the label column of a table.
            recipe: the path of a recipe.json; or fields that differ from the one beside the model or, for a module,
                from Adam with lr 0.001, batches of 32, 40 local steps, and cross entropy (mse where labels are floats).
            rounds, trainers, chunks: by default the recipe's, and a chunk for each trainer.
            budget: all that may ever be spent on trainers: `"5 hbar"`, 5.0 HBAR, or an integer in tinybar.
            round_timeout_s: after how long a silent trainer loses its seat.
            compare: after the training, also train centrally on this machine for as many steps.
            auditors: validators that check the work, and jury where they accuse: 3, 5 or 7; 0 for none; by default the
                recipe's.
            audits: work units that are trained again, at most.

        Raises:
            DataError, ModelError, UsageError: what is wrong, where, and what to do.
            MarketError: SHOAL-T01, the budget is too small.
        """
        source, most = Source(_path(model), _path(dataset), _path(recipe), label), budget_of(budget)
        overrides = {"rounds": rounds} if rounds else {}
        examined = await trio.to_thread.run_sync(prepare.examine, source, overrides)
        if trainers is None and self._trainers is not None:
            trainers = min(self._trainers, examined.recipe.trainers or DEFAULT_TRAINERS)
        order = Order(source, rounds, trainers, chunks, most, round_timeout_s, auditors=auditors, audits=audits)
        purchase = await Purchase.begin(self._desk, order, examined)
        return Offer(await purchase.quote(), examined, partial(self._buy, purchase, compare))

    async def train(
        self,
        model: nn.Module | str | Path,
        dataset: Any = None,
        *,
        confirm: Callable[[Offer], object] | None = None,
        budget: Budget | None = None,
        **options: Any,
    ) -> Run:
        """Quote, ask, buy; the run goes on in the background.

        Args:
            confirm: is shown the offer, and buys by returning something true; may be async. Nothing is spent without a
                `budget` or a `confirm`.
            options: as of `quote`, and all the rest too.

        Raises:
            UsageError: SHOAL-U07, it was not confirmed; and as `quote` and `Offer.accept`.
        """
        need_consent(budget, confirm)
        offer = await self.quote(model, dataset, budget=budget, **options)
        if confirm is not None:
            answer = confirm(offer)
            check_consent(await answer if inspect.isawaitable(answer) else answer)
        return await offer.accept()

    async def get(self, task_id: str) -> Run:
        """A task by its id, a unique beginning of it, or its topic. One of ours is driven on from where it is.

        Raises:
            MarketError: SHOAL-T08, there is none.
        """
        created, _ = await must_find(self._desk.ledger, task_id)
        return await self._follow(created, None)

    async def tasks(self, *, everyone: bool = False) -> list[dict[str, Any]]:
        """This account's tasks, or everyone's, the newest first."""
        states = await list_tasks(self._desk.ledger, self._desk.place, everyone=everyone)
        return [summary(state) for state in states]

    async def verify(self, task_id: str) -> Verification:
        """Check a task, ours or another's, from public data alone: log, votes, hashes and every payment.

        >>> found = await net.verify(run.task_id)  # doctest: +SKIP
        >>> found.holds, [check.name for check in found.wrong]
        (True, [])

        Raises:
            MarketError: SHOAL-T08, there is no such task.
        """
        created, task = await must_find(self._desk.ledger, task_id)
        return await verify_task(self._desk.ledger, created, self._desk.place(task))

    async def _buy(self, purchase: Purchase, compare: bool, offer: Offer) -> Run:
        if not await purchase.check(offer.quote):
            log.warning("no trainer is in sight yet; the task is on the ledger's list, where any trainer finds it")
        created = await purchase.create(await purchase.prepare(offer.quote, _progress))

        def finish(state: Any) -> Awaitable[Any]:
            out = home_of(self.settings, state.place.task) / RESULT
            return purchase.fetch(state, out, compare=compare, pinned=self._pinned)

        return await self._follow(created, finish)

    async def _follow(self, created: LoggedEvent, finish: Finish | None) -> Run:
        """One run for each task: two clients would sign two entries with one number."""
        task = created.event.task_id  # type: ignore[union-attr]  # it is a TaskCreated
        async with self._finding:
            known = self._runs.get(task)
            if known is not None and (known.is_complete or not known.done.is_set()):
                return known
            desk = self._openings.desk_of(task)

            def collected(state: Any) -> Awaitable[Any]:
                out = home_of(self.settings, task) / RESULT
                return collect(self._desk, state, out, pinned=self._pinned)

            run = Run(desk, created, finish or collected)
            self._runs[task] = run
            self._nursery.start_soon(self._drive, run)
            await run.began.wait()
            return run

    async def _pinned(self, state: State, goal: Goal, out: Path) -> None:
        """From IPFS, where the slot of a result is gone."""
        await fetch_pinned(partial(open_source, self.settings), state, goal, out)

    async def _drive(self, run: Run) -> None:
        try:
            await run.drive()
        finally:
            self._openings.forget(run.task)


def need_consent(budget: Budget | None, confirm: object) -> None:
    """Raises UsageError SHOAL-U07 where nobody has said that money may be spent."""
    if budget is None and confirm is None:
        raise UsageError(
            "training costs money, and neither budget= nor confirm= was given",
            code="SHOAL-U07",
            hint='give budget="5 hbar", or confirm=, which is shown the offer; `quote` looks only',
            money="nothing was spent",
        )


def check_consent(answer: object) -> None:
    """Raises UsageError SHOAL-U07 where the answer is no."""
    if not answer:
        raise UsageError("not confirmed", code="SHOAL-U07", money="nothing was spent")


def _path(value: T | str) -> T | Path:
    return Path(value) if isinstance(value, str) else value


def _progress(what: str, done: int, total: int) -> None:
    if done == total:
        log.info("%d %s encrypted and uploaded", total, what)


# ---------------------------------------------------------------- opening


@contextmanager
def unwrapped() -> Iterator[None]:
    """Errors as users know them: nurseries wrap them in groups."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise first_error(group) from None


@asynccontextmanager
async def connect(
    dir: str | Path | None = None, *, settings: Settings | None = None, **values: Any
) -> AsyncIterator[Net]:
    """Join a network.

    Args:
        dir: keys, settings and tasks are there; default: `SHOAL_DIR`, else ~/.shoal.
        settings: whole; by default they are read as the command line reads them.
        values: single settings, which win over files and environment.

    Raises:
        ConfigError: a setting is missing or wrong.
        UsageError: SHOAL-U13, another program is at work with this directory.

    >>> async with shoal.trio.connect(network="testnet") as net:  # doctest: +SKIP
    ...     print(await net.tasks())
    """
    chosen = settings or Settings.load(flags={"dir": None if dir is None else Path(dir).expanduser(), **values})
    async with _joined(chosen, None) as net:
        yield net


@asynccontextmanager
async def _joined(settings: Settings, trainers: int | None) -> AsyncIterator[Net]:
    check_trackers(settings.trackers)
    with unwrapped():
        async with open_node(settings, roles=["client"]) as node, trio.open_nursery() as nursery:
            yield Net(node, nursery, trainers=trainers)
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def local(*, trainers: int = 4, dir: str | Path | None = None) -> AsyncIterator[Net]:
    """A whole network on this machine, each part a process of its own: ledger, storage, bootstrap node, trainers.

    All of it ends with the block. The HBAR is play money.

    Args:
        dir: where everything is kept; by default nowhere: save weights before the end.

    Raises:
        ProcessError: SHOAL-P01, a part did not come up, or died; P08, too few trainers are left.
        UsageError: SHOAL-U12, the directory is not empty.

    >>> async with shoal.trio.local(trainers=2) as net:  # doctest: +SKIP
    ...     run = await net.train("examples/digits", budget="5 hbar")
    """
    kept = None if dir is None else Path(dir).expanduser().resolve()
    if kept is not None and kept.exists() and any(kept.iterdir()):
        raise UsageError(f"{kept} is not empty", code="SHOAL-U12", hint="a local network begins anew: name a new dir")
    directory = kept or Path(tempfile.mkdtemp(prefix="shoal-"))
    try:
        with unwrapped():
            async with local_stack(directory, trainers=trainers, say=log.info) as stack:
                async with _joined(stack.client, trainers) as net:
                    yield net
    finally:
        if kept is None:
            shutil.rmtree(directory, ignore_errors=True)
