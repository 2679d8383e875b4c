"""The records for clients that are pages: sessions, uploads, documents, manifests, slots; docs/browser-client.md."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from shoal.api.models import BidRecord
from shoal.core import limits

AccountId = Annotated[str, Field(pattern=r"^0\.0\.[0-9]{1,18}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_BASE64 = r"^[A-Za-z0-9+/]*={0,2}$"
EntryBytes = Annotated[str, Field(max_length=4 * limits.LOG_ENTRY_BYTES // 3 + 4, pattern=_BASE64)]


class _Wish(BaseModel):
    model_config = ConfigDict(extra="forbid")


# ---------------------------------------------------------------- sessions


class Pair(_Wish):
    code: str = Field(min_length=1, max_length=40)


class NonceWish(_Wish):
    account: AccountId


class NonceRecord(BaseModel):
    account: str
    nonce: str
    message: str = Field(description="what the wallet signs")
    expires_at: float


class SignInWish(_Wish):
    """One of the two signatures."""

    account: AccountId
    nonce: str = Field(max_length=64)
    signature: str | None = Field(None, pattern=r"^[0-9a-f]{128}$", description="64 bytes")
    signature_map_b64: str | None = Field(None, max_length=8_192, pattern=_BASE64)


class SessionRecord(BaseModel):
    role: str = Field(description="`operator` or `user`")
    account: str
    address: str


class OpenedSession(SessionRecord):
    token: str = Field(description="for `Authorization: Bearer`; told once")
    expires_at: float


class CodeRecord(BaseModel):
    code: str = Field(description="good once, for two minutes")
    expires_in_s: float


class SignedOut(BaseModel):
    closed: bool


class MirrorRecord(BaseModel):
    rest: str
    grpc_web: str | None


class QuotaRecord(BaseModel):
    bytes_per_day: int
    bytes_kept: int
    objects: int
    upload_life_s: int


class StorageTerms(BaseModel):
    account: str | None = Field(description="where the storage fee goes; null where there is none")
    fee_tinybar_per_gib: int


class InfoRecord(BaseModel):
    """What a page must know of this node before it does anything."""

    version: str
    network: str
    contract_id: str
    contract_address: str
    account: str = Field(description="of the node's operator")
    chain_time: float
    mirror: MirrorRecord
    node: dict[str, str | None]
    peer_id: str
    signing_key: str = Field(description="what a manifest names as `via`")
    roles: list[str]
    gateway: bool
    walletconnect_project_id: str | None
    limits: dict[str, int]
    quotas: QuotaRecord | None
    storage: StorageTerms
    rate: dict[str, int]
    opening_grace_s: int


# ---------------------------------------------------------------- uploads


class UploadWish(_Wish):
    sha256: Sha256
    bytes: int = Field(ge=1, le=limits.WEIGHTS_BYTES)


class PartRecord(BaseModel):
    number: int
    offset: int
    bytes: int
    done: bool
    put_url: str | None


class UploadRow(BaseModel):
    upload_id: str
    sha256: str
    bytes: int
    state: str = Field(description="`open` or `complete`")
    expires_at: float = Field(description="when it is removed, unless a task needs it")


class UploadRecord(UploadRow):
    """With its URLs; whoever has one of them can use it until it expires."""

    put_url: str | None
    headers: dict[str, str] = Field(description="to be sent with each PUT")
    parts: list[PartRecord]
    get_url: str
    urls_expire_at: float


class UploadPage(BaseModel):
    items: list[UploadRow]
    next: str | None


class StorageRecord(BaseModel):
    """What a user has stored and paid."""

    objects: int
    bytes_kept: int
    credit_tinybar: int
    quotas: QuotaRecord | None


# ---------------------------------------------------------------- models and prices


class DocumentRecord(BaseModel):
    document_sha256: str
    bytes: int
    input: dict[str, Any] = Field(description="dtype and shape of one row")
    output: dict[str, Any]
    parameters: int
    weights_bytes: int = Field(description="of a state as a file")
    slot_bytes: int
    tensors: list[dict[str, Any]] = Field(description="in the order of the file")
    url: str


class TemplateRecord(BaseModel):
    name: str
    title: str
    about: str
    ranks: list[int] = Field(description="how many dimensions one row may have")
    recipe: dict[str, Any]


class TemplateList(BaseModel):
    items: list[TemplateRecord]


class ReadyRecord(DocumentRecord):
    weights_sha256: str
    weights_url: str
    recipe: dict[str, Any]


class GraphQuoteWish(_Wish):
    document_sha256: Sha256
    recipe: dict[str, Any]
    rows: int = Field(ge=1, le=2**31, description="for training")
    upload_bytes: int = Field(0, ge=0, le=2**45, description="of chunks, validation split and initial weights")
    chunks: int | None = Field(None, ge=1, le=limits.CHUNKS)
    rounds: int | None = Field(None, ge=1, le=limits.ROUNDS)
    trainers: int | None = Field(None, ge=1, le=limits.SEATS)
    budget_tinybar: int | None = Field(None, ge=1, le=5 * 10**18)
    round_timeout_s: int = Field(60, ge=5, le=86_400)
    bid_s: int | None = Field(None, ge=5, le=86_400)
    auditors: int = Field(
        0, ge=0, le=limits.AUDITORS, description="validators in a committee and in a jury, odd; 0: none"
    )
    audits: int | None = Field(None, ge=1, le=2**31, description="paid at most; null, with auditors: what is usual")


class GraphQuoteRecord(BaseModel):
    """The worst case, and what is likely; nothing was spent. `plan` is Solidity's, in its order."""

    plan: dict[str, int]
    escrow_tinybar: int
    units: int
    rules: list[int]
    slot_bytes: int
    recipe: dict[str, Any]
    now: int
    fees_usd: float
    fees_tinybar: int
    fees_at_worst_tinybar: int
    fees: list[dict[str, Any]]
    unit_s: float | None
    expected_unit_price_tinybar: int | None
    expected_paid_tinybar: int | None
    expected_back_tinybar: int | None
    pays_enough: bool | None
    stored_bytes: int
    storage_fee_tinybar: int
    storage_account: str
    trainer_in_sight: bool


# ---------------------------------------------------------------- tasks


class ManifestWish(_Wish):
    manifest_b64: EntryBytes
    client: str | None = Field(
        None, pattern=r"^0x[0-9a-f]{40}$", description="whose task it will be; the session's account if not given"
    )


class ManifestTaken(BaseModel):
    manifest_hash: str
    task_id: str
    stored_bytes: int
    storage_fee_tinybar: int
    storage_credit_tinybar: int = Field(description="what the account has paid and not used")
    storage_account: str
    storage_memo: str


class Announced(BaseModel):
    task_id: str
    peer_id: str = Field(description="that takes the opened bids")
    bids_until: int


class EntryWish(_Wish):
    data_b64: EntryBytes


class EntryTaken(BaseModel):
    hash: str
    kind: str
    sequence: int


class SlotsWish(_Wish):
    task_id: str = Field(min_length=1, max_length=80)
    seat: int = Field(ge=0, le=limits.SEATS)


class SlotsRecord(BaseModel):
    seat: int
    slot_bytes: int
    put: dict[str, str]
    get: dict[str, str]
    expires_at: int


class OpenedBid(BaseModel):
    trainer: str
    unit_price_tinybar: int
    units: int
    unit_s: float
    expires: int
    salt: str
    commitment: str
    opening_b64: str = Field(description="as the trainer sent it")


class BidsRecord(BaseModel):
    task_id: str
    bid_until: int
    closed: bool = Field(description="whether the deadline has passed")
    sealed: list[BidRecord]
    opened: list[OpenedBid] | None = Field(description="for the task's owner only")


class ClientSeat(BaseModel):
    trainer: str
    signing_key: str
    recipient: str
    units: int
    rank: int
    ready: bool
    enveloped: bool


class ClientView(BaseModel):
    """The fold, as far as a client needs it to go on."""

    task_id: str
    now: float
    phase: str
    topic_id: str
    sequence: int = Field(description="of the client's next entry")
    head: str = Field(description="hash of its last")
    posted: list[str]
    seats: list[ClientSeat]
    holders: list[list[int | None]]
    award: list[dict[str, Any]]
    award_root: str
    unit_price_tinybar: int
    plan: dict[str, int]


class CancellationRecord(BaseModel):
    """What would come back if the client cancelled now."""

    task_id: str
    possible: bool
    phase: str
    refunded_tinybar: int
    compensation_tinybar: int = Field(description="to each trainer that has accepted")
    trainers: int
    money: str


# ---------------------------------------------------------------- the ledger


class ContractEventRecord(BaseModel):
    at: float
    index: int
    transaction: str
    name: str
    task_id: str | None
    fields: dict[str, Any]


class ContractEventPage(BaseModel):
    items: list[ContractEventRecord]
    next: str | None


class MessageRecord(BaseModel):
    sequence_number: int
    at: float
    payer: str
    size_bytes: int
    data_b64: str


class MessagePage(BaseModel):
    items: list[MessageRecord]
    next: str | None
