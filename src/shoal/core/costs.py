"""What a task costs everyone in fees to Hedera, line by line, from its plan alone: told before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from shoal.core import fees, limits
from shoal.core.calls import Plan

# Entries as they lie on the topic, in bytes: measured in a demo of four trainers, the largest of each kind.
BID_BYTES, ENVELOPE_BYTES, UPDATE_BYTES, CHECKPOINT_BYTES, RESULT_BYTES = 182, 1_019, 420, 386, 1_047
OPEN_BYTES, VERDICT_BYTES = 1_789, 264
LOG_BYTES = limits.TOPIC_MESSAGE_BYTES
"""Of a full message of log lines."""
_AWARD_BYTES, _LEAF_BYTES, _ASSIGN_BYTES, _HOLDERS_BYTES = 201, 25, 207, 5
ENTRY_BYTES = 215
"""What an entry adds to its body: place, author, chain and signature."""
_MEMO_BYTES = 27


class Payer(StrEnum):
    """Whose account pays a fee."""

    CLIENT = "client"
    CLIENT_AT_WORST = "client at worst"
    """What trainers do themselves as a rule, and the client where they do not."""
    TRAINERS = "trainers"
    VALIDATORS = "validators"
    ACCUSER = "accuser"


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of transaction: how many, and what all of them cost in tinycents."""

    what: str
    count: int
    tinycents: int
    payer: Payer


def log_messages(rounds: int) -> int:
    """How many messages of log lines a trainer puts on a task's topic at most.

    >>> log_messages(10), log_messages(10_000)
    (6, 256)
    """
    return min(limits.AUTHOR_LOG_ENTRIES, 4 + rounds // 4)


def lines(plan: Plan, *, manifest_bytes: int, confirm_every: int, logs: bool = False) -> tuple[Line, ...]:
    """Every fee of a task that goes well, with every seat taken and nobody registered anew.

    Args:
        logs: whether trainers put their logs on the topic, which is theirs to choose; at most, then.

    >>> sum(line.tinycents for line in lines(plan, manifest_bytes=900, confirm_every=3))  # doctest: +SKIP
    """
    seats, client, worst, trainers = plan.seats, Payer.CLIENT, Payer.CLIENT_AT_WORST, Payer.TRAINERS
    units, votes = plan.chunks * plan.rounds, plan.rounds // confirm_every
    return (
        Line("createTopic", 1, fees.create_topic(_MEMO_BYTES), client),
        _call("createTask", 1, client),
        _messages("manifest", 1, manifest_bytes, client),
        _call("award", 1, client),
        _messages("award, as a message", 1, _AWARD_BYTES + _LEAF_BYTES * seats, client),
        _messages("assignment", 1, _ASSIGN_BYTES + _HOLDERS_BYTES * plan.chunks, client),
        _messages("envelopes", seats, ENVELOPE_BYTES, client),
        _call("start", 1, client),
        _call("settle", 1, client),
        _call("withdraw", 1, client),
        _call("claim", seats, worst),
        _messages("bids", seats, BID_BYTES, trainers),
        _call("accept", seats, trainers),
        _call("ready", seats, trainers),
        _messages("updates", units, UPDATE_BYTES, trainers),
        _messages("checkpoints", plan.rounds, CHECKPOINT_BYTES, trainers),
        _call("confirmCheckpoint", votes * seats, trainers),
        _messages("result, as a message", 1, RESULT_BYTES, trainers),
        _call("publishResult", 1, trainers),
        _call("confirmResult", max(0, seats - 1), trainers),
        Line("withdraw, by trainers", seats, seats * fees.call(fees.GAS["withdraw"]), trainers),
        *(_audit_lines(plan, votes) if plan.audits else ()),
        *([_messages("log lines, at most", log_messages(plan.rounds) * seats, LOG_BYTES, trainers)] if logs else []),
    )


def _audit_lines(plan: Plan, draws: int) -> tuple[Line, ...]:
    """What audits cost where nobody is accused."""
    validators = Payer.VALIDATORS
    return (
        _call("requestDraw", draws, Payer.CLIENT),
        _call("draw", draws, Payer.CLIENT),
        _messages("openings", plan.audits, OPEN_BYTES, Payer.TRAINERS),
        _messages("verdicts", plan.audits, VERDICT_BYTES, validators),
        _call("claimAudits", plan.auditors, validators),
        Line("withdraw, by validators", plan.auditors, plan.auditors * fees.call(fees.GAS["withdraw"]), validators),
    )


def dispute_lines(plan: Plan) -> tuple[Line, ...]:
    """What one dispute costs on top; whoever accuses pays for all but the votes, as long as others are not quicker."""
    accuser, jurors = Payer.ACCUSER, Payer.VALIDATORS
    return (
        _call("accuse", 1, accuser),
        _call("drawJury", 1, accuser),
        _messages("opening to the jury", 1, OPEN_BYTES, Payer.TRAINERS),
        _call("judge", plan.auditors, jurors),
        _call("resolve", 1, accuser),
    )


def total(some: Iterable[Line], *payers: Payer) -> int:
    """Tinycents of the lines that these pay."""
    return sum(line.tinycents for line in some if line.payer in payers)


def manifest_estimate(chunks: int) -> int:
    """The size of a manifest, about, where the task is not prepared yet: measured 895 bytes with four chunks."""
    return 720 + 44 * chunks


def _call(name: str, count: int, payer: Payer) -> Line:
    return Line(name, count, count * fees.call(fees.GAS[name]), payer)


def _messages(what: str, count: int, size: int, payer: Payer) -> Line:
    return Line(what, count * -(-size // limits.TOPIC_MESSAGE_BYTES), count * messages(size), payer)


def messages(size: int) -> int:
    """What one entry costs, in tinycents: one larger than a transaction is cut into several."""
    whole, rest = divmod(size, limits.TOPIC_MESSAGE_BYTES)
    return whole * fees.message(limits.TOPIC_MESSAGE_BYTES) + (fees.message(rest) if rest else 0)
