"""Opened bids of one task: taken from trainers after the deadline, each checked against what it sealed before."""

from __future__ import annotations

from shoal.core.auction import Bid
from shoal.core.codec import CodecError
from shoal.core.entries import BidCommitment, verify_signature
from shoal.core.ids import Address
from shoal.core.task import SECOND_NS
from shoal.errors import MarketError
from shoal.ports import LedgerView
from shoal.roles.tasklog import TaskLog
from shoal.roles.trainer import parse_opening


class OpenedBids:
    """What the trainers of a task have shown so far.

    Args:
        tasklog: running; its bids are the sealed ones.
    """

    def __init__(self, tasklog: TaskLog, ledger: LedgerView) -> None:
        self._tasklog, self._ledger = tasklog, ledger
        self.bids: dict[Address, Bid] = {}
        self._sealed: dict[Address, BidCommitment | None] = {}
        """Whose bid on the topic counts: the first that its trainer really signed; None where there is none."""

    @property
    def all_are_open(self) -> bool:
        """Whether everyone who sealed a bid has opened it."""
        return self._tasklog.bids.keys() <= self.bids.keys()

    async def take(self, payload: bytes) -> Bid:
        """A trainer opens its bid: the bid, once it is known to be the sealed one.

        Raises:
            MarketError: another task's, too early, or not what was sealed.
        """
        try:
            task, bid = parse_opening(payload)
        except CodecError as error:
            raise MarketError(str(error)) from error
        if task != self._tasklog.place.task:
            raise MarketError("another task's bid")
        if self._tasklog.log.now_ns <= self._tasklog.log.plan.bid_until * SECOND_NS:
            raise MarketError("too early: bids are opened after the deadline")
        commitment = bid.commitment(task)
        if all(each.commitment != commitment for each in self._tasklog.bids.get(bid.trainer, ())):
            raise MarketError("this is not a bid that was sealed")
        sealed = await self._sealed_bid(bid.trainer)
        if sealed is None or sealed.commitment != commitment:
            raise MarketError("this is not the bid that was sealed")
        self.bids[bid.trainer] = bid
        return bid

    async def _sealed_bid(self, trainer: Address) -> BidCommitment | None:
        """Asked for after the deadline, when the log takes no more bids."""
        if trainer not in self._sealed:
            key = (await self._ledger.account_state(trainer)).signing_key
            bids = self._tasklog.bids.get(trainer, ())
            signed = (bid for bid in bids if verify_signature(key, bid.payload, bid.signature))
            self._sealed[trainer] = next(signed, None)
        return self._sealed[trainer]
