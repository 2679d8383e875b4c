"""Quotes: an uploaded model and data set that were examined, with the price that was told and how long it holds."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import trio

from shoal.api.upload import Upload, safe_name, source_of, unpack
from shoal.client import prepare
from shoal.client.desk import Desk
from shoal.client.prepare import Examined
from shoal.client.purchase import Order, Purchase, quoted
from shoal.core.limits import MIB
from shoal.core.money import Tinybar
from shoal.errors import UsageError

TABLE = "api-quotes"
LIFE_S = 15 * 60
KEPT = 64
IN_MEMORY = 2
"""Examined data sets that are kept in memory; another one is examined again when its task is created."""
_ID = re.compile(r"[0-9a-f]{32}\Z")


@dataclass(frozen=True)
class Terms:
    """What may be chosen beside model and data; None takes the recipe's, or the usual."""

    name: str = "task"
    label: str | None = None
    rounds: int | None = None
    trainers: int | None = None
    chunks: int | None = None
    budget_tinybar: int | None = None
    round_timeout_s: int = 60
    bid_s: int | None = None


@dataclass(frozen=True)
class Quoted:
    """A quote as it is kept: everything but the upload, which lies in a folder of its own."""

    id: str
    terms: Terms
    made_s: float
    expires_s: float
    offer: dict[str, Any]
    examined: dict[str, Any]
    trainer_in_sight: bool
    task: str = ""
    """The task's id, from the moment that it may be on the ledger."""
    created: bool = False
    """Whether it is."""

    @property
    def escrow_tinybar(self) -> int:
        return int(self.offer["escrow_tinybar"])

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Quoted:
        value = json.loads(data)
        return cls(**{**value, "terms": Terms(**value["terms"])})


class Quotes:
    """Uploads and their quotes, in the node's directory and store."""

    def __init__(self, desk: Desk, *, clock: Callable[[], float]) -> None:
        self._desk, self._clock = desk, clock
        self._dir = desk.settings.dir / "uploads"
        self._examined: OrderedDict[str, Examined] = OrderedDict()
        self._one = trio.CapacityLimiter(1)
        """The user's code shares this process with the node: it is run in one thread at a time."""

    async def make(self, upload: Upload, terms: Terms) -> Quoted:
        """Unpack, examine (which runs the user's `model.py` and `data.py`), and price; nothing is spent.

        Raises:
            UsageError, DataError, ModelError: what was sent cannot be used.
            MarketError, NetworkError, LedgerError: as of `Purchase.quote` and `Purchase.check`.
        """
        self.sweep()
        quote_id, settings = secrets.token_hex(16), self._desk.settings
        name = safe_name(terms.name, "task")
        folder = self._dir / quote_id / name
        try:
            most = settings.api_upload_mib * MIB
            await trio.to_thread.run_sync(lambda: unpack(upload, folder, max_bytes=most))
            terms = replace(terms, name=name)
            examined = await self._examine(quote_id, terms)
            purchase = await Purchase.begin(self._desk, self.order(quote_id, terms), examined)
            offer = await purchase.quote()
            in_sight = await purchase.check(offer)
        except BaseException:
            self._discard(quote_id)
            raise
        now_s = self._clock()
        made = Quoted(
            id=quote_id,
            terms=terms,
            made_s=now_s,
            expires_s=now_s + LIFE_S,
            offer=quoted(offer),
            examined={"name": examined.name, "metric": examined.recipe.metric, **examined.description.as_dict()},
            trainer_in_sight=in_sight,
        )
        self.keep(made)
        return made

    def get(self, quote_id: str) -> Quoted:
        """A quote that holds, or whose task was created.

        Raises:
            UsageError: SHOAL-U55, there is none, or it has expired.
        """
        data = self._desk.store.get(TABLE, quote_id) if _ID.match(quote_id) else None
        found = Quoted.from_bytes(data) if data is not None else None
        if found is None or (not found.task and found.expires_s < self._clock()):
            raise UsageError(
                "there is no such quote, or it has expired",
                code="SHOAL-U55",
                hint=f"a quote holds for {LIFE_S // 60} minutes; ask for another",
                money="nothing was spent",
            )
        return found

    def all(self) -> list[Quoted]:
        return [Quoted.from_bytes(data) for _, data in self._desk.store.items(TABLE)]

    def keep(self, quote: Quoted) -> None:
        self._desk.store.put(TABLE, quote.id, quote.to_bytes())

    def finish(self, quote: Quoted) -> None:
        """Its task is on the ledger: the upload is not needed any more."""
        self.keep(replace(quote, created=True))
        self._discard(quote.id)

    async def examined(self, quote: Quoted) -> Examined:
        """What the upload was found to be; after a restart it is looked at again."""
        return self._examined.get(quote.id) or await self._examine(quote.id, quote.terms)

    def order(self, quote_id: str, terms: Terms) -> Order:
        budget = None if terms.budget_tinybar is None else Tinybar(terms.budget_tinybar)
        source = source_of(self._dir / quote_id / terms.name, terms.label)
        return Order(source, terms.rounds, terms.trainers, terms.chunks, budget, terms.round_timeout_s, terms.bid_s)

    def sweep(self) -> None:
        """Forget quotes that expired, and the oldest where there are too many.

        Raises:
            UsageError: SHOAL-U51, too many are being turned into tasks.
        """
        quotes = sorted(self.all(), key=lambda each: each.made_s)
        dated = [each for each in quotes if each.expires_s < self._clock() and (each.created or not each.task)]
        free = [each for each in quotes if not each.task and each not in dated]
        for each in dated + free[: max(0, len(quotes) - len(dated) - KEPT + 1)]:
            self._desk.store.delete(TABLE, each.id)
            self._discard(each.id)
        if len(self._desk.store.items(TABLE)) >= KEPT:
            raise UsageError(f"{KEPT} quotes are open", code="SHOAL-U51", hint="try again in some minutes")

    async def _examine(self, quote_id: str, terms: Terms) -> Examined:
        source = self.order(quote_id, terms).source
        overrides = {"rounds": terms.rounds} if terms.rounds else {}
        examined = await trio.to_thread.run_sync(prepare.examine, source, overrides, limiter=self._one)
        self._examined[quote_id] = examined
        while len(self._examined) > IN_MEMORY:
            self._examined.popitem(last=False)
        return examined

    def _discard(self, quote_id: str) -> None:
        self._examined.pop(quote_id, None)
        shutil.rmtree(self._dir / quote_id, ignore_errors=True)
