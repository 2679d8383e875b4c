"""Telling what happens in a task: the difference between two states, as lines for people and as plain records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from shoal.core.audits import Finding, Kind, Ruling
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
    yield from _audits(old, new, name)
    yield from _disputes(old, new, name)
    yield from _ends(old, new, name)


_FINDINGS = {
    Finding.OK: "{validator} trained chunk {chunk} of round {round} again: it is what {trainer} delivered",
    Finding.WRONG: "{validator} trained chunk {chunk} of round {round} again: it is NOT what {trainer} delivered",
    Finding.WITHHELD: "{trainer} let nobody see how it trained chunk {chunk} of round {round}",
    Finding.LAPSED: "{validator} said nothing about chunk {chunk} of round {round}: nobody is paid for it",
}
_RULINGS = {
    Ruling.UPHELD: "the jury upheld what {challenger} said",
    Ruling.REJECTED: "the jury rejected what {challenger} said: its bond is lost",
    Ruling.VOID: "the jury did not decide: the bond goes back to {challenger}",
}


def _audits(old: State, new: State, name: Callable[[Address], str]) -> Iterator[Happening]:
    if new.drawn_round > old.drawn_round:
        fresh = [audit for key, audit in new.audits.items() if key not in old.audits]
        committee = sorted({name(audit.validator) for audit in fresh})
        by = f" by {', '.join(committee)}" if committee else ""
        yield Happening(
            "drawn",
            f"drawn from rounds {old.drawn_round + 1} to {new.drawn_round}: {counted(len(fresh), 'unit')} to audit{by}",
            {"round": new.drawn_round, "audits": len(fresh), "auditors": committee},
        )
    for key, audit in new.audits.items():
        before = old.audits.get(key)
        if audit.finding is not None and (before is None or before.finding is None):
            who = {"validator": name(audit.validator), "trainer": name(audit.unit.trainer)}
            where = {"round": audit.unit.round, "chunk": audit.unit.chunk}
            yield Happening(
                "audited",
                _FINDINGS[audit.finding].format(**who, **where),
                {**who, **where, "finding": str(audit.finding)},
            )


def _disputes(old: State, new: State, name: Callable[[Address], str]) -> Iterator[Happening]:
    for key, dispute in new.disputes.items():
        before, challenger = old.disputes.get(key), name(dispute.challenger)
        if before is None:
            unit = dispute.unit
            what = f"{name(dispute.accused)} of fraud" if dispute.kind is Kind.FRAUD else "the result"
            where = f" in chunk {unit.chunk} of round {unit.round}" if unit else ""
            verb = "accuses" if dispute.kind is Kind.FRAUD else "disputes"
            yield Happening(
                "accused",
                f"{challenger} {verb} {what}{where}, with a bond of {format_hbar(dispute.bond)}",
                {"challenger": challenger, "accused": name(dispute.accused), "bond_tinybar": int(dispute.bond)},
            )
        if dispute.jury and not (before and before.jury):
            jury = [name(juror) for juror in dispute.jury]
            yield Happening("jury", f"the jury is {', '.join(jury)}", {"jury": jury})
        if dispute.ruling is not Ruling.OPEN and (before is None or before.ruling is Ruling.OPEN):
            votes = sum(dispute.ballots.values()), len(dispute.jury)
            text = _RULINGS[dispute.ruling].format(challenger=challenger)
            yield Happening(
                "ruling",
                f"{text} ({votes[0]} of {votes[1]} found fraud)" if dispute.kind is Kind.FRAUD else text,
                {"ruling": dispute.ruling.name.lower(), "challenger": challenger, "accused": name(dispute.accused)},
            )
    for index, seat in enumerate(new.seats):
        if seat.slashed and not (index < len(old.seats) and old.seats[index].slashed):
            yield Happening(
                "slashed",
                f"{name(seat.trainer)} is slashed: {format_hbar(new.plan.slash)} of its stake, and all its pay",
                {"trainer": name(seat.trainer), "slash_tinybar": int(new.plan.slash)},
            )


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
    for validator, paid in new.audit_claims.items():
        if validator not in old.audit_claims:
            yield Happening(
                "audits_paid",
                f"{name(validator)} is paid {format_hbar(paid)} for its audits",
                {"validator": name(validator), "paid_tinybar": int(paid)},
            )
    for trainer, claim in new.claims.items():
        if trainer not in old.claims:
            back = format_hbar(claim.stake_returned)
            text = f"{name(trainer)} is paid {format_hbar(claim.paid)} and gets {back} of stake back"
            if claim.penalty:
                text += f", less {format_hbar(claim.penalty)} for not showing up"
            if claim.forfeited:
                text += f"; what it would have earned, {format_hbar(claim.forfeited)}, goes to the client"
            yield Happening(
                "paid",
                text,
                {"trainer": name(trainer), "paid_tinybar": int(claim.paid), "penalty_tinybar": int(claim.penalty)},
            )
