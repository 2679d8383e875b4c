"""Telling what happens in a task: the difference between two states, as lines for people and as plain records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from shoal.core.ids import Address, short
from shoal.core.money import format_hbar
from shoal.core.task import LEFT, Checkpoint, Phase, State

_REASONS = {
    "SHOAL-E02": "the loss or a weight became NaN or infinite (SHOAL-E02)",
    "SHOAL-G10": "its machine is not free now (SHOAL-G10)",
}


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of a task's story."""

    kind: str
    text: str
    data: dict[str, Any]


def counted(number: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "vote"), counted(2, "vote")
    ('1 vote', '2 votes')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"


def happenings(old: State | None, new: State, name: Callable[[Address], str]) -> Iterator[Happening]:
    """What changed from `old` to `new`, in a readable order."""
    if old is None:
        plan = new.plan
        yield Happening(
            "created",
            f"task {short(new.place.task)}: {format_hbar(plan.escrow())} in escrow for {plan.chunks} chunks x "
            f"{plan.rounds} rounds, at most {format_hbar(plan.max_unit_price)} a unit; log on topic 0.0.{new.topic}",
            {"task_id": new.place.task.hex(), "topic_id": f"0.0.{new.topic}", "escrow_tinybar": int(plan.escrow())},
        )
        old = new
    if new.award and not old.award:
        seats = [leaf for leaf in new.award if leaf.rank == 0]
        who = ", ".join(f"{name(leaf.trainer)} for {counted(leaf.units, 'chunk')}" for leaf in seats)
        standbys = len(new.award) - len(seats)
        yield Happening(
            "awarded",
            f"awarded at {format_hbar(new.unit_price)} a unit to {who}" + (f", {standbys} standby" * bool(standbys)),
            {"unit_price_tinybar": int(new.unit_price), "trainers": [name(leaf.trainer) for leaf in seats]},
        )
    for seat in new.seats[len(old.seats) :]:
        yield Happening(
            "accepted",
            f"{name(seat.trainer)} accepted; {format_hbar(new.plan.stake_per_seat)} of its stake is locked",
            {"trainer": name(seat.trainer)},
        )
    for index, seat in enumerate(new.seats):
        before = old.seats[index] if index < len(old.seats) else None
        if seat.ready and not (before and before.ready):
            yield Happening(
                "ready", f"{name(seat.trainer)} has verified its chunks and is ready", {"trainer": name(seat.trainer)}
            )
        if seat.lost and not (before and before.lost):
            what = "gave its seat back" if seat.lost == LEFT else f"lost its seat: {seat.lost}"
            yield Happening(
                "lost", f"{name(seat.trainer)} {what}",
                {"trainer": name(seat.trainer), "reason": seat.lost},
            )  # fmt: skip
    if new.started_ns and not old.started_ns:
        yield Happening(
            "started",
            f"started; {counted(new.quorum, 'vote')} confirm; the client may go offline now",
            {"quorum": new.quorum},
        )
    for (chunk, trainer), reason in new.voids.items():
        if (chunk, trainer) not in old.voids:
            meaning = _REASONS.get(reason, reason)
            yield Happening(
                "void",
                f"{name(trainer)} cannot train chunk {chunk} in round {new.round}: {meaning}",
                {"trainer": name(trainer), "chunk": chunk, "round": new.round, "reason": reason},
            )
    for checkpoint in new.checkpoints[max(1, len(old.checkpoints)) :]:
        yield _round(checkpoint, new, name)
    if new.progress_round > old.progress_round:
        yield Happening("confirmed", f"round {new.progress_round} is confirmed on chain", {"round": new.progress_round})
    if new.result and not old.result:
        yield Happening(
            "published",
            f"{name(new.result.author)} put the encrypted result into storage",
            {"object": new.result.object.hex()},
        )
    if new.confirmed and not old.confirmed:
        yield Happening(
            "result_confirmed", "a quorum confirmed the result on chain", {"result": new.confirmed.result.hex()}
        )
    yield from _ends(old, new, name)


def _round(checkpoint: Checkpoint, state: State, name: Callable[[Address], str]) -> Happening:
    metric = str(state.manifest.summary.get("metric", "metric")) if state.manifest else "metric"
    parts = [f"{name(u.author)} {u.loss:.3f}/{u.metric:.3f}" for u in checkpoint.updates]
    wall = (checkpoint.time_ns - checkpoint.started_ns) / 1e9
    return Happening(
        "round",
        f"round {checkpoint.round}/{state.plan.rounds}: global loss {checkpoint.loss:.4f}, {metric} "
        f"{checkpoint.metric:.4f} (aggregated by {name(checkpoint.author)}); loss/{metric} of each: {', '.join(parts)}",
        {
            "round": checkpoint.round,
            "loss": _finite(checkpoint.loss),
            metric: _finite(checkpoint.metric),
            "aggregator": name(checkpoint.author),
            "trainers": {
                name(u.author): {"chunk": u.chunk, "loss": u.loss, metric: u.metric, "seconds": u.seconds}
                for u in checkpoint.updates
            },
            "wall_s": wall,
            "overhead_s": wall - slowest_trainer_s(checkpoint),
        },
    )


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None


def slowest_trainer_s(checkpoint: Checkpoint) -> float:
    """Pure training time of the trainer that trained longest in a round; several chunks it trains one by one."""
    spent: dict[Address, float] = {}
    for update in checkpoint.updates:
        spent[update.author] = spent.get(update.author, 0.0) + update.seconds
    return max(spent.values(), default=0.0)


def _ends(old: State, new: State, name: Callable[[Address], str]) -> Iterator[Happening]:
    if new.phase is not old.phase and new.phase.over:
        text = {
            Phase.SETTLED: f"settled: {format_hbar(new.refunded)} of the escrow goes back to the client",
            Phase.CANCELLED: f"cancelled: {format_hbar(new.refunded)} goes back to the client",
            Phase.EXPIRED: f"expired: {format_hbar(new.refunded)} goes back to the client",
        }[new.phase]
        yield Happening(str(new.phase), text, {"refunded_tinybar": int(new.refunded)})
    for trainer, claim in new.claims.items():
        if trainer not in old.claims:
            back = format_hbar(claim.stake_returned)
            text = f"{name(trainer)} is paid {format_hbar(claim.paid)} and gets {back} of stake back"
            if claim.penalty:
                text += f", less {format_hbar(claim.penalty)} for not showing up"
            yield Happening(
                "paid",
                text,
                {"trainer": name(trainer), "paid_tinybar": int(claim.paid), "penalty_tinybar": int(claim.penalty)},
            )
