"""Audits are not bought where nobody could make them: found out before anything is spent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from shoal.client.purchase import Order, Purchase
from shoal.client.source import Source
from shoal.core.events import Event, ValidatorJoined, ValidatorLeft
from shoal.core.ids import Address
from shoal.core.money import Tinybar
from shoal.core.quote import LOCAL_TIMING, Quote, quote
from shoal.errors import MarketError
from shoal.ports import LoggedEvent, Peer
from shoal.roles.pool import validators

ALL = [Address(bytes([number]) * 20) for number in range(1, 6)]


class Ledger:
    """A market with a pool, and an account that can afford anything."""

    account = "0.0.5"

    def __init__(self, *happened: Event) -> None:
        self._happened = happened

    async def liabilities(self) -> None: ...

    async def balance(self) -> Tinybar:
        return Tinybar(10**15)

    async def watermark(self) -> int:
        return 9

    async def events(self, **_: Any) -> list[LoggedEvent]:
        return [LoggedEvent(index, 0, event, "tx") for index, event in enumerate(self._happened)]


def joined(*who: Address) -> list[Event]:
    return [ValidatorJoined(each, Tinybar(1)) for each in who]


def offer(auditors: int) -> Quote:
    return quote(chunks=4, rounds=4, trainers=2, budget=None, timing=LOCAL_TIMING, now_s=1, auditors=auditors)


async def check(ledger: Ledger, auditors: int) -> bool:
    network = SimpleNamespace(peers=lambda: [Peer("p", (), ("trainer",), True)])
    desk: Any = SimpleNamespace(ledger=ledger, network=network, settings=SimpleNamespace(bootstrap=()))
    nothing: Any = None
    return await Purchase(desk, Order(Source(nothing, None, None, None)), nothing, 0).check(offer(auditors))


async def test_the_pool_is_who_joined_and_has_not_left() -> None:
    ledger: Any = Ledger(*joined(*ALL[:3]), ValidatorLeft(ALL[0]), *joined(ALL[4], ALL[0]), ValidatorLeft(ALL[1]))
    assert await validators(ledger) == {ALL[0], ALL[2], ALL[4]}


async def test_a_jury_needs_one_more_than_the_committee() -> None:
    assert await check(Ledger(*joined(*ALL[:4])), 3)
    with pytest.raises(MarketError) as caught:
        await check(Ledger(*joined(*ALL[:3])), 3)
    assert caught.value.code == "SHOAL-T20"


async def test_without_audits_nobody_asks_for_validators() -> None:
    assert await check(Ledger(), 0)
