"""The records of the API, as OpenAPI describes them. Money is tinybar, times are Unix seconds of consensus."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class QuoteRecord(BaseModel):
    """What a task would cost at most, and what was found in the upload. Nothing was spent."""

    quote_id: str
    expires_at: float = Field(description="Unix seconds")
    escrow_tinybar: int = Field(description="the worst case, which creating the task locks")
    units: int = Field(description="work units: chunks x rounds")
    max_unit_price_tinybar: int
    aggregate_price_tinybar: int
    rounds: int
    chunks: int
    trainers: int
    fees_usd: float = Field(description="Hedera's fees of the client's own transactions, about")
    trainer_in_sight: bool
    examined: dict[str, Any] = Field(description="rows, shape, classes, range")
    task_id: str | None = Field(description="the task that was made of it")


class CreateTask(BaseModel):
    quote_id: str = Field(max_length=64)
    confirm: bool = Field(False, description="true locks the escrow")


class TaskRow(BaseModel):
    """A task in a list."""

    task_id: str
    phase: str
    round: int = Field(description="rounds that are done")
    rounds: int
    trainers: int
    escrow_tinybar: int
    topic_id: str
    created_at: float
    mine: bool


class TaskPage(BaseModel):
    items: list[TaskRow]
    next: str | None = Field(description="cursor of the next page")


class DeadlineRecord(BaseModel):
    name: str
    at: int
    passed: bool


class SeatRecord(BaseModel):
    """An accepted trainer."""

    trainer: str
    name: str
    rank: int
    units: int = Field(description="chunks that it said it can hold")
    ready: bool
    lost: str = Field(description="why it lost its seat; empty while it holds it")
    chunks: list[int] = Field(description="that it is first to train")
    units_done: int
    aggregates_done: int
    paid_tinybar: int | None
    penalty_tinybar: int | None


class UpdateRecord(BaseModel):
    trainer: str
    name: str
    chunk: int
    samples: int
    loss: float | None
    metric: float | None
    seconds: float


class CheckpointRecord(BaseModel):
    round: int
    sha256: str
    author: str
    name: str
    loss: float | None
    metric: float | None
    at: float
    wall_s: float
    overhead_s: float = Field(description="of the round's time, what its slowest trainer did not train")
    rejected: list[int]
    updates: list[UpdateRecord]


class RoundRecord(BaseModel):
    """The round that is trained now."""

    round: int
    since: float
    aggregator: str | None
    delivered: list[int]
    waiting_for: list[int]
    void: list[int]
    round_timeout_s: int
    aggregate_timeout_s: int


class BidRecord(BaseModel):
    trainer: str
    commitment: str


class MoneyRecord(BaseModel):
    escrow_tinybar: int
    max_unit_price_tinybar: int
    unit_price_tinybar: int = Field(description="the clearing price; 0 before the award")
    aggregate_price_tinybar: int
    stake_per_seat_tinybar: int
    compensation_tinybar: int
    paid_tinybar: int
    refunded_tinybar: int
    penalties_tinybar: int


class TaskRecord(TaskRow):
    """Everything a live page needs."""

    client: str
    name: str
    metric: str
    now: float = Field(description="consensus time up to which the log is read")
    started_at: float | None
    deadlines: list[DeadlineRecord]
    current: RoundRecord | None
    checkpoints: list[CheckpointRecord]
    bids: list[BidRecord]
    award: list[dict[str, Any]]
    seats: list[SeatRecord]
    quorum: int
    confirmed_round: int
    result_sha256: str | None
    money: MoneyRecord
    events: int = Field(description="how many events there are")
    following: bool = Field(description="whether this node does the client's part")
    trouble: dict[str, Any] | None = Field(description="why the client's part does not get on at present")


class MetricsRecord(BaseModel):
    task_id: str
    metric: str
    checkpoints: list[CheckpointRecord]


class CheckRecord(BaseModel):
    check: str
    by: str = Field(description="what it was compared with")
    verdict: Literal["ok", "noted", "wrong", "unknown"]
    found: str


class VerificationRecord(BaseModel):
    """A task checked from public data alone, as anyone can do without this node."""

    task_id: str
    verified_until: float
    holds: bool = Field(description="whether nothing is wrong; something may be unknown")
    counts: dict[str, int] = Field(description="checks by verdict")
    checks: list[CheckRecord]


class CancelRecord(BaseModel):
    task_id: str
    phase: str
    refunded_tinybar: int
    compensation_tinybar: int = Field(description="to each trainer that had accepted")
    money: str


class EventPage(BaseModel):
    items: list[dict[str, Any]]
    next: str | None
    over: bool = Field(description="whether no more is to come")


class LogRecord(BaseModel):
    """One message of a task's topic."""

    sequence_number: int
    at: float
    payer: str
    size_bytes: int
    kind: str = Field(description="of an entry; `bid`; or `unreadable`")
    author: str | None
    name: str | None
    entry: int | None = Field(description="its author's own number")
    hash: str | None
    signed: bool | None = Field(description="whether its author's key made it; null where that is not known")
    body: dict[str, Any] | None


class LogPage(BaseModel):
    items: list[LogRecord]
    next: str | None


class LogLineRecord(BaseModel):
    """A line that a participant logged on the topic; its words, and its clock in `at`."""

    at: float
    consensus_time: float = Field(description="of the message that holds it")
    trainer: str
    level: str
    text: str


class LogLinePage(BaseModel):
    items: list[LogLineRecord]
    next: str | None = Field(description="cursor of the next page")


class PeerRecord(BaseModel):
    peer_id: str
    addresses: list[str]
    roles: list[str]
    connected: bool


class PeerList(BaseModel):
    items: list[PeerRecord]


class MeshRecord(BaseModel):
    peer_id: str
    addresses: list[str]
    connected: int
    known: int
    roles: dict[str, int] = Field(description="how many connected peers say that they have each role")


class TrainerRecord(BaseModel):
    """A registered account; whether it trains or validates, the contract does not tell."""

    address: str
    peer_id: str
    connected: bool = Field(description="whether this node sees it now")
    registered_at: float
    stake_tinybar: int
    locked_tinybar: int
    free_tinybar: int
    balance_tinybar: int
    unbonding_tinybar: int


class TrainerPage(BaseModel):
    items: list[TrainerRecord]
    next: str | None


class MovementRecord(BaseModel):
    """One transaction that moved money."""

    transaction: str
    at: float
    name: str
    result: str
    payer: str
    fee_tinybar: int
    transfers: dict[str, int] = Field(description="account -> what it gained, or lost if negative")


class MovementPage(BaseModel):
    items: list[MovementRecord]
    next: str | None


class Health(BaseModel):
    status: str


class Readiness(BaseModel):
    status: str
    checks: dict[str, bool]


class EarningLine(BaseModel):
    """One transaction of the ledger, as far as it concerns this trainer."""

    at: float
    transaction: str
    kind: str = Field(description="work, audit, payment, stake, withdrawal or fee")
    what: str
    task_id: str | None
    earned_tinybar: int
    penalty_tinybar: int
    fee_tinybar: int = Field(description="to Hedera")
    net_tinybar: int = Field(description="what the account's balance on the ledger changed by")


class EarningTotal(BaseModel):
    earned_tinybar: int
    penalties_tinybar: int
    fees_tinybar: int
    profit_tinybar: int = Field(description="earned less penalties and fees")


class Earnings(BaseModel):
    """What this trainer does and has earned, read from the ledger."""

    account: str
    state: dict[str, Any] | None = Field(description="run, pause or stop, why, and what would change it")
    read_at: float = Field(description="consensus time up to which the ledger was read")
    withdrawable_tinybar: int
    stake_tinybar: int
    today: EarningTotal = Field(description="since midnight, where the node is")
    days_7: EarningTotal
    days_30: EarningTotal
    items: list[EarningLine] = Field(description="newest first")


class Pause(BaseModel):
    seconds: int | None = Field(None, ge=1, le=366 * 86_400, description="without it: until resumed")


class EarnOrders(BaseModel):
    paused_until: float | None = Field(description="Unix seconds; null while it is not paused, or until resumed")
    paused: bool
