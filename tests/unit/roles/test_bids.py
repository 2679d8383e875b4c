"""Bids at the client: forged ones shut nobody out, and only what was sealed in time and is its trainer's own counts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shoal.core import calls
from shoal.core.auction import Bid
from shoal.core.codec import digest
from shoal.core.entries import make_bid_commitment
from shoal.core.ids import Address
from shoal.core.money import Tinybar
from shoal.core.task import SECOND_NS
from shoal.errors import CallReverted, MarketError
from shoal.ports import AccountState
from shoal.roles.client import Client, Secrets
from shoal.roles.closing import withdraw
from shoal.roles.trainer import opening
from shoal.testing.follower import identity

from ..core.scene import Scene

STAKE = Tinybar(10**9)


class World:
    """An open task just after its bidding deadline, its client, and a ledger that knows three trainers' keys."""

    def __init__(self, tmp_path: Path) -> None:
        self.scene = Scene()
        self.scene.say(self.scene.client, "manifest", {"manifest": self.scene.manifest.to_bytes()})
        late = self.scene.state.plan.bid_until * SECOND_NS + 1
        self.tasklog: Any = SimpleNamespace(
            log=replace(self.scene.state, now_ns=late), place=self.scene.place, bids={}, outbox=[]
        )
        self.handlers: dict[str, Callable[[str, bytes], Awaitable[bytes]]] = {}
        network = SimpleNamespace(serve=self.handlers.__setitem__, provide=lambda sha256, path: None)
        self.asked: list[Address] = []
        self.client = Client(
            self.tasklog,
            ledger=SimpleNamespace(address=self.scene.client, account_state=self.account),  # type: ignore[arg-type]
            network=network,  # type: ignore[arg-type]
            blobs=None,  # type: ignore[arg-type]
            keys=None,  # type: ignore[arg-type]
            store=SimpleNamespace(get=lambda table, key: None),  # type: ignore[arg-type]
            manifest=self.scene.manifest,
            secrets=Secrets("tasks/x", bytes(32), (), ""),
            document=tmp_path / "graph.json",
            dir=tmp_path / "bundles",
        )

    async def account(self, address: Address) -> AccountState:
        self.asked.append(address)
        return AccountState(True, self.scene.key(address), bytes(32), STAKE, Tinybar(0), Tinybar(0))

    def bid(self, index: int, price: int = 500) -> Bid:
        return Bid(self.scene.trainers[index], Tinybar(price), 6, 0.5, 2**40, bytes([index]) * 32)

    def seal(self, bid: Bid, *, by: str | None = None) -> None:
        name = by or self.scene.names[bid.trainer]
        signer = identity(name)[1]
        commitment = bid.commitment(self.scene.place.task)
        sealed = make_bid_commitment(signer, self.scene.place.task, bid.trainer, commitment)
        self.tasklog.bids.setdefault(bid.trainer, []).append(sealed)

    async def open(self, bid: Bid) -> bytes:
        return await self.handlers["opening"]("peer", opening(self.scene.place.task, bid))


async def test_a_forged_bid_before_the_real_one_shuts_nobody_out(tmp_path: Path) -> None:
    w = World(tmp_path)
    w.seal(w.bid(0, price=999), by="stranger")
    for index in range(3):
        w.seal(w.bid(index))
    for index in range(3):
        assert await w.open(w.bid(index)) == b"seen"
    award = await w.client._clear(w.tasklog.log)
    assert award is not None and {leaf.trainer for leaf in award.leaves} == set(w.scene.trainers)
    with pytest.raises(MarketError):
        await w.open(w.bid(0, price=999))


async def test_what_was_not_sealed_costs_no_question_of_the_ledger(tmp_path: Path) -> None:
    w = World(tmp_path)
    w.seal(w.bid(0))
    for wrong in (w.bid(1), w.bid(0, price=400)):
        with pytest.raises(MarketError):
            await w.open(wrong)
    assert w.asked == []


async def test_of_two_bids_of_one_trainer_the_first_counts(tmp_path: Path) -> None:
    w = World(tmp_path)
    w.seal(w.bid(0, price=800))
    w.seal(w.bid(0, price=300))
    with pytest.raises(MarketError):
        await w.open(w.bid(0, price=300))
    assert await w.open(w.bid(0, price=800)) == b"seen"


async def test_an_opening_before_the_deadline_is_not_looked_at(tmp_path: Path) -> None:
    w = World(tmp_path)
    w.seal(w.bid(0))
    w.tasklog.log = replace(w.tasklog.log, now_ns=w.tasklog.log.plan.bid_until * SECOND_NS)
    with pytest.raises(MarketError, match="too early"):
        await w.open(w.bid(0))
    other = World(tmp_path)
    with pytest.raises(MarketError):
        await w.handlers["opening"]("peer", opening(digest(b"another task"), other.bid(0)))  # type: ignore[arg-type]


async def test_an_opening_that_comes_while_the_auction_clears_does_not_break_it(tmp_path: Path) -> None:
    w = World(tmp_path)
    for index in range(3):
        w.seal(w.bid(index))
    for index in range(2):
        await w.open(w.bid(index))
    plain = w.client._ledger.account_state

    async def slow(address: Address) -> AccountState:
        w.client._opened.bids.setdefault(w.scene.trainers[2], w.bid(2))
        return await plain(address)

    w.client._ledger.account_state = slow  # type: ignore[method-assign]
    assert await w.client._clear(w.tasklog.log) is not None


async def test_a_second_withdrawal_is_no_error() -> None:
    made: list[calls.Call] = []

    class Ledger:
        address = Address(b"a" * 20)

        async def account_state(self, address: Address) -> AccountState:
            return AccountState(True, b"", b"", STAKE, Tinybar(0), Tinybar(7))

        async def call(self, call: calls.Call, *, value: int = 0) -> None:
            made.append(call)
            raise CallReverted("no", reason="NothingToWithdraw" if len(made) < 2 else "WithdrawFailed")

    ledger: Any = Ledger()
    await withdraw(ledger)
    with pytest.raises(CallReverted):
        await withdraw(ledger)
