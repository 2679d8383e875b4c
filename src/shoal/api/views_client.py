"""From plans, states and events to the records for clients that are pages."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from shoal.api import models_client as m
from shoal.api.following import Followed
from shoal.api.models import BidRecord
from shoal.api.views import plain, seconds
from shoal.core.auction import Bid
from shoal.core.calls import Plan
from shoal.core.ids import address_text
from shoal.core.money import format_hbar
from shoal.core.task import SECOND_NS, Phase, State
from shoal.ports import LoggedEvent, Message
from shoal.roles.trainer import opening

_ADDRESS_BYTES = 20


def plan(value: Plan) -> dict[str, int]:
    """As Solidity's struct has it, names and order."""
    return {_camel(each.name): int(getattr(value, each.name)) for each in fields(value)}


def bids(followed: Followed, opened: Sequence[Bid] | None) -> m.BidsRecord:
    state = followed.state
    sealed = [bid for each in followed.tasklog.bids.values() for bid in each]
    return m.BidsRecord(
        task_id=followed.task.hex(),
        bid_until=state.plan.bid_until,
        closed=state.now_ns > state.plan.bid_until * SECOND_NS,
        sealed=[BidRecord(trainer=address_text(bid.trainer), commitment=bid.commitment.hex()) for bid in sealed],
        opened=None
        if opened is None
        else [
            m.OpenedBid(
                trainer=address_text(bid.trainer),
                unit_price_tinybar=int(bid.unit_price),
                units=bid.units,
                unit_s=bid.unit_s,
                expires=bid.expires,
                salt=bid.salt.hex(),
                commitment=bid.commitment(followed.task).hex(),
                opening_b64=base64.b64encode(opening(followed.task, bid)).decode(),
            )
            for bid in opened
        ],
    )


def client(state: State) -> m.ClientView:
    author = state.authors[state.client]
    posted = {
        "manifest": state.manifest is not None,
        "award": bool(state.award),
        "assign": bool(state.holders),
        "envelope": bool(state.envelopes),
    }
    return m.ClientView(
        task_id=state.place.task.hex(),
        now=seconds(state.now_ns),
        phase=str(state.phase),
        topic_id=f"0.0.{state.topic}",
        sequence=author.sequence,
        head=author.head.hex(),
        posted=[kind for kind, is_there in posted.items() if is_there],
        seats=[
            m.ClientSeat(
                trainer=address_text(seat.trainer),
                signing_key=seat.signing_key.hex(),
                recipient=seat.recipient.hex(),
                units=seat.units,
                rank=seat.rank,
                ready=seat.ready,
                enveloped=seat.trainer in state.envelopes,
            )
            for seat in state.seats
        ],
        holders=[[each.primary, each.backup] for each in state.holders],
        award=[{"trainer": address_text(leaf.trainer), "units": leaf.units, "rank": leaf.rank} for leaf in state.award],
        award_root=state.award_root.hex(),
        unit_price_tinybar=int(state.unit_price),
        plan=plan(state.plan),
    )


def cancellation(state: State) -> m.CancellationRecord:
    """By the contract's rule: before the start, each trainer that has accepted gets the compensation."""
    possible = state.phase in (Phase.OPEN, Phase.AWARDED) and not state.started_ns
    each = int(state.plan.compensation) if possible else 0
    back = int(state.plan.escrow()) - each * len(state.seats) if possible else 0
    told = (
        f"{format_hbar(back)} would come back to your account; each of the {len(state.seats)} trainers that have "
        f"accepted would get {format_hbar(each)}"
        if possible
        else f"the task is {state.phase}: it cannot be cancelled any more, and what is not earned comes back at its end"
    )
    return m.CancellationRecord(
        task_id=state.place.task.hex(),
        possible=possible,
        phase=str(state.phase),
        refunded_tinybar=back,
        compensation_tinybar=each,
        trainers=len(state.seats),
        money=told,
    )


def contract_event(logged: LoggedEvent) -> m.ContractEventRecord:
    event = logged.event
    task = getattr(event, "task_id", None)
    return m.ContractEventRecord(
        at=seconds(logged.time_ns),
        index=logged.index,
        transaction=logged.transaction,
        name=type(event).__name__,
        task_id=None if task is None else task.hex(),
        fields={each.name: _shown(getattr(event, each.name)) for each in fields(event) if each.name != "task_id"},
    )


def message(each: Message) -> m.MessageRecord:
    return m.MessageRecord(
        sequence_number=each.sequence_number,
        at=seconds(each.time_ns),
        payer=each.payer,
        size_bytes=len(each.data),
        data_b64=base64.b64encode(each.data).decode(),
    )


def _shown(value: Any) -> Any:
    if isinstance(value, bytes) and len(value) == _ADDRESS_BYTES:
        return address_text(value)
    if isinstance(value, Plan):
        return plan(value)
    if hasattr(value, "__dataclass_fields__"):
        return {each.name: _shown(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, list | tuple):
        return [_shown(each) for each in value]
    return plain(value)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
