"""From a task's state to the records of the API."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from shoal.api import models as m
from shoal.api.following import Followed
from shoal.api.quotes import Quoted
from shoal.client.loglines import Told
from shoal.client.narrate import slowest_trainer_s
from shoal.client.story import name_in
from shoal.client.verify import Verification
from shoal.core import limits
from shoal.core.codec import CodecError, decode
from shoal.core.entries import BidCommitment, Entry, LogEntry, parse
from shoal.core.ids import Address, address_text
from shoal.core.loglines import unpack
from shoal.core.money import format_hbar
from shoal.core.task import SECOND_NS, Checkpoint, Phase, State, Update
from shoal.ports import AccountState, LoggedEvent, Message, Movement

Name = Callable[[Address], str]


def seconds(time_ns: int) -> float:
    return round(time_ns / SECOND_NS, 3)


def quote(quoted: Quoted) -> m.QuoteRecord:
    return m.QuoteRecord(
        quote_id=quoted.id,
        expires_at=quoted.expires_s,
        trainer_in_sight=quoted.trainer_in_sight,
        examined=plain(quoted.examined),
        task_id=quoted.task if quoted.created else None,
        **quoted.offer,
    )


def row(state: State, *, mine: bool) -> m.TaskRow:
    return m.TaskRow(
        task_id=state.place.task.hex(),
        phase=str(state.phase),
        round=max(0, state.round - 1),
        rounds=state.plan.rounds,
        trainers=len(state.seats),
        escrow_tinybar=int(state.plan.escrow()),
        topic_id=f"0.0.{state.topic}",
        created_at=seconds(state.created_ns),
        mine=mine,
    )


def task(followed: Followed, *, mine: bool) -> m.TaskRecord:
    state = followed.state
    name, summary = name_in(state), state.manifest.summary if state.manifest else {}
    bids = [bid for each in followed.tasklog.bids.values() for bid in each]
    return m.TaskRecord(
        **row(state, mine=mine).model_dump(),
        client=address_text(state.client),
        name=str(summary.get("name", "")),
        metric=metric_of(state),
        now=seconds(state.now_ns),
        started_at=seconds(state.started_ns) if state.started_ns else None,
        deadlines=_deadlines(state),
        current=_current(state) if state.phase is Phase.RUNNING else None,
        checkpoints=checkpoints(state, name),
        bids=[m.BidRecord(trainer=address_text(bid.trainer), commitment=bid.commitment.hex()) for bid in bids],
        award=[{"trainer": address_text(leaf.trainer), "units": leaf.units, "rank": leaf.rank} for leaf in state.award],
        seats=_seats(state, name),
        quorum=state.quorum,
        confirmed_round=state.progress_round,
        result_sha256=_result_of(state),
        money=_money(state),
        events=len(followed.story.told),
        following=followed.driven and not followed.ended.is_set(),
        trouble=followed.error.as_dict() if followed.error is not None and not state.phase.over else None,
    )


def metric_of(state: State) -> str:
    return str(state.manifest.summary.get("metric", "metric")) if state.manifest else "metric"


def checkpoints(state: State, name: Name) -> list[m.CheckpointRecord]:
    """The rounds that are done; what they began with is no round."""
    return [_checkpoint(each, name) for each in state.checkpoints[1:]]


def verification(found: Verification) -> m.VerificationRecord:
    told = found.as_dict()
    until = seconds(told.pop("verified_until_ns"))
    return m.VerificationRecord(verified_until=until, **told)


def cancelled(state: State) -> m.CancelRecord:
    return m.CancelRecord(
        task_id=state.place.task.hex(),
        phase=str(state.phase),
        refunded_tinybar=int(state.refunded),
        compensation_tinybar=int(state.compensation),
        money=f"{format_hbar(state.refunded)} of {format_hbar(state.plan.escrow())} comes back to your account; each "
        f"of the {len(state.seats)} trainers that had accepted gets {format_hbar(state.compensation)}",
    )


def log_entry(message: Message, state: State, name: Name) -> m.LogRecord:
    """One message of a topic, on which anyone may write anything."""
    parsed: Entry | BidCommitment | LogEntry | None
    try:
        parsed = parse(message.data)
    except CodecError:
        parsed = None
    author, kind, hash_, number, signed, body = None, "unreadable", None, None, None, None
    if isinstance(parsed, Entry):
        known = state.authors.get(parsed.author)
        author, kind, hash_, number = parsed.author, parsed.kind, parsed.hash.hex(), parsed.sequence
        signed = None if known is None else parsed.signed_by(known.signing_key)
        body = _body(parsed)
    elif isinstance(parsed, LogEntry):
        known = state.authors.get(parsed.author)
        author, kind, number = parsed.author, "log", parsed.sequence
        signed = None if known is None else parsed.signed_by(known.signing_key)
        body = {"lines": _log_lines(parsed)}
    elif isinstance(parsed, BidCommitment):
        author, kind, body = parsed.trainer, "bid", {"commitment": parsed.commitment.hex()}
    return m.LogRecord(
        sequence_number=message.sequence_number,
        at=seconds(message.time_ns),
        payer=message.payer,
        size_bytes=len(message.data),
        kind=kind,
        author=None if author is None else address_text(author),
        name=None if author is None else name(author),
        entry=number,
        hash=hash_,
        signed=signed,
        body=body,
    )


def trainer(logged: LoggedEvent, account: AccountState, peer_id: str, *, connected: bool) -> m.TrainerRecord:
    return m.TrainerRecord(
        address=address_text(getattr(logged.event, "account", b"")),
        peer_id=peer_id,
        connected=connected,
        registered_at=seconds(logged.time_ns),
        stake_tinybar=int(account.stake_tinybar),
        locked_tinybar=int(account.locked_tinybar),
        free_tinybar=account.free_stake_tinybar,
        balance_tinybar=int(account.balance_tinybar),
        unbonding_tinybar=int(account.unbonding_tinybar),
    )


def movement(each: Movement) -> m.MovementRecord:
    transfers: dict[str, int] = {}
    for account, amount in each.transfers:
        transfers[account] = transfers.get(account, 0) + amount
    return m.MovementRecord(
        transaction=each.transaction,
        at=seconds(each.time_ns),
        name=each.name,
        result=each.result,
        payer=each.payer,
        fee_tinybar=int(each.fee_tinybar),
        transfers=transfers,
    )


def digest_field(sha256: str) -> str:
    """The value of a Repr-Digest field (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


# ---------------------------------------------------------------- parts of a task


def _body(entry: Entry) -> dict[str, Any]:
    """What an entry says; a manifest, which is bytes since its hash is on chain, is shown as what it encodes."""
    body = dict(entry.body)
    if entry.kind == "manifest" and isinstance(body.get("manifest"), bytes):
        with suppress(CodecError):
            body["manifest"] = decode(body["manifest"], max_bytes=limits.LOG_ENTRY_BYTES)
    plain_body: dict[str, Any] = plain(body)
    return plain_body


def _log_lines(entry: LogEntry) -> list[dict[str, Any]] | None:
    try:
        lines = unpack(entry.lines)
    except CodecError:
        return None
    return [{"at": line.time_ms / 1000, "level": line.level, "text": line.text} for line in lines]


def told_line(line: Told) -> m.LogLineRecord:
    return m.LogLineRecord(consensus_time=seconds(line.time_ns), **line.as_dict())


def _deadlines(state: State) -> list[m.DeadlineRecord]:
    plan, now_s = state.plan, state.now_ns // SECOND_NS
    each = {
        "bid": plan.bid_until,
        "award": plan.award_until,
        "accept": plan.accept_until,
        "standby": plan.standby_until,
        "start": plan.start_until,
        "end": plan.end_by,
    }
    if state.confirmed is not None:
        each["settle"] = state.confirmed.settle_after
    return [m.DeadlineRecord(name=name, at=at, passed=now_s > at) for name, at in each.items()]


def _current(state: State) -> m.RoundRecord:
    rules, aggregator = state.manifest.rules if state.manifest else None, state.aggregator()
    return m.RoundRecord(
        round=state.round,
        since=seconds(state.turn_ns),
        aggregator=address_text(aggregator.trainer) if aggregator else None,
        delivered=sorted(state.updates),
        waiting_for=list(state.waiting_for()),
        void=sorted({chunk for chunk, _ in state.voids}),
        round_timeout_s=rules.round_timeout_s if rules else 0,
        aggregate_timeout_s=rules.aggregate_timeout_s if rules else 0,
    )


def _checkpoint(each: Checkpoint, name: Name) -> m.CheckpointRecord:
    wall_s = (each.time_ns - each.started_ns) / SECOND_NS
    return m.CheckpointRecord(
        round=each.round,
        sha256=each.state.hex(),
        author=address_text(each.author),
        name=name(each.author),
        loss=_finite(each.loss),
        metric=_finite(each.metric),
        at=seconds(each.time_ns),
        wall_s=round(wall_s, 3),
        overhead_s=round(wall_s - slowest_trainer_s(each), 3),
        rejected=[chunk for chunk, _ in each.rejected],
        updates=[_update(update, name) for update in each.updates],
    )


def _update(update: Update, name: Name) -> m.UpdateRecord:
    return m.UpdateRecord(
        trainer=address_text(update.author),
        name=name(update.author),
        chunk=update.chunk,
        samples=update.samples,
        loss=_finite(update.loss),
        metric=_finite(update.metric),
        seconds=_finite(update.seconds) or 0.0,
    )


def _seats(state: State, name: Name) -> list[m.SeatRecord]:
    records = []
    for index, seat in enumerate(state.seats):
        claim = state.claims.get(seat.trainer)
        records.append(
            m.SeatRecord(
                trainer=address_text(seat.trainer),
                name=name(seat.trainer),
                rank=seat.rank,
                units=seat.units,
                ready=seat.ready,
                lost=seat.lost,
                chunks=[chunk for chunk, each in enumerate(state.holders) if each.primary == index],
                units_done=state.units.get(seat.trainer, 0),
                aggregates_done=state.aggregates.get(seat.trainer, 0),
                paid_tinybar=None if claim is None else int(claim.paid),
                penalty_tinybar=None if claim is None else int(claim.penalty),
            )
        )
    return records


def _money(state: State) -> m.MoneyRecord:
    plan = state.plan
    return m.MoneyRecord(
        escrow_tinybar=int(plan.escrow()),
        max_unit_price_tinybar=int(plan.max_unit_price),
        unit_price_tinybar=int(state.unit_price),
        aggregate_price_tinybar=int(plan.aggregate_price),
        stake_per_seat_tinybar=int(plan.stake_per_seat),
        compensation_tinybar=int(plan.compensation),
        paid_tinybar=sum(int(claim.paid) for claim in state.claims.values()),
        refunded_tinybar=int(state.refunded),
        penalties_tinybar=sum(int(claim.penalty) for claim in state.claims.values()),
    )


def _result_of(state: State) -> str | None:
    """SHA-256 of the weights that a quorum confirmed."""
    mark = state.mark_of(state.confirmed.round) if state.confirmed else None
    return mark.checkpoint.hex() if mark else None


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None


def plain(value: Any) -> Any:
    """What JSON can say: bytes as hexadecimal digits."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value
