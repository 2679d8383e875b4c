"""The ports: what the roles need of the world, as Protocols that adapters implement and tests check alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from shoal.core.calls import Call
from shoal.core.events import Event
from shoal.core.fees import Rate
from shoal.core.ids import Address, TaskId
from shoal.core.limits import IPFS_PINS
from shoal.core.money import ZERO, Tinybar
from shoal.core.signatures import KeyKind
from shoal.core.standing import TaskView

# ---------------------------------------------------------------- ledger


@dataclass(frozen=True, slots=True)
class Message:
    """One whole message of a topic, chunks put together; `time_ns` is that of its last chunk."""

    time_ns: int
    sequence_number: int
    payer: str
    data: bytes


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One contract event; `index` orders events of one transaction."""

    time_ns: int
    index: int
    event: Event
    transaction: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A transaction that reached consensus: when, and what its payer was charged in fees."""

    transaction: str
    time_ns: int
    fee_tinybar: Tinybar


@dataclass(frozen=True, slots=True)
class AccountState:
    """What the contract knows of an account."""

    registered: bool
    signing_key: bytes
    recipient: bytes
    stake_tinybar: Tinybar
    locked_tinybar: Tinybar
    balance_tinybar: Tinybar
    unbonding_tinybar: Tinybar = ZERO
    unbond_at: int = 0
    """Consensus second from which what is unbonding can be had."""

    @property
    def free_stake_tinybar(self) -> int:
        return self.stake_tinybar - self.locked_tinybar


@dataclass(frozen=True, slots=True)
class Liabilities:
    """What the contract owes in all."""

    escrow_tinybar: Tinybar
    stake_tinybar: Tinybar
    balances_tinybar: Tinybar

    @property
    def total_tinybar(self) -> int:
        return self.escrow_tinybar + self.stake_tinybar + self.balances_tinybar


@dataclass(frozen=True, slots=True)
class Movement:
    """What one transaction did to account balances: (account, tinybar), fees included. The sum is 0."""

    time_ns: int
    transaction: str
    name: str
    result: str
    transfers: tuple[tuple[str, int], ...]
    payer: str
    fee_tinybar: Tinybar

    def net_tinybar(self, account: str) -> int:
        """What an account gained, or lost if negative."""
        return sum(amount for who, amount in self.transfers if who == account)


@dataclass(frozen=True, slots=True)
class AccountKey:
    """The one public key of an account: 32 bytes, or a compressed point of 33."""

    kind: KeyKind
    data: bytes


class LedgerView(Protocol):
    """What anyone can read of Hedera. Every method raises `LedgerUnreachable` when no answer can be had in time."""

    account: str
    """The account of whoever looks, `0.0.N`; empty where it has none."""
    address: Address
    """The same account as the contract sees it; zeros where there is none."""
    contract: str
    """The market's contract, `0.0.N`."""

    async def watermark(self) -> int:
        """Consensus time (ns) up to which every message and event can be read now."""
        ...

    async def messages(self, topic: int, *, after_ns: int, until_ns: int) -> Sequence[Message]:
        """All whole messages with after_ns < time <= until_ns, in order."""
        ...

    async def is_unowned(self, topic: int) -> bool:
        """Whether nobody can close a topic, or say who may write to it and for what fee."""
        ...

    async def events(self, *, after_ns: int, until_ns: int, task: TaskId | None = None) -> Sequence[LoggedEvent]:
        """All events of the market contract with after_ns < time <= until_ns, in order; one task's if given."""
        ...

    async def account_state(self, address: Address) -> AccountState: ...

    async def task(self, task: TaskId, trainers: Sequence[Address] = ()) -> TaskView:
        """What the contract itself says of a task now; of the seats of these trainers, whether they are closed."""
        ...

    async def balance(self, account: str | None = None) -> Tinybar:
        """What an account holds, contracts included; this account if none is named."""
        ...

    async def address_of(self, account: str) -> Address:
        """How the contract sees an account `0.0.N`; looked up, since it cannot be computed."""
        ...

    async def key_of(self, account: str) -> AccountKey | None:
        """The key of an account `0.0.N`; None where it has no single one: a list, a threshold, a contract.

        Raises:
            UsageError: SHOAL-U83, there is no such account.
        """
        ...

    async def liabilities(self) -> Liabilities: ...

    async def movements(self, *, after_ns: int, until_ns: int, account: str | None = None) -> Sequence[Movement]:
        """All transactions with after_ns < time <= until_ns that moved money, oldest first; one account's if given."""
        ...

    async def supply(self) -> Tinybar:
        """All HBAR there is."""
        ...

    async def validator_stake(self) -> Tinybar:
        """What the contract locks of each validator."""
        ...

    async def rate(self) -> Rate:
        """What HBAR is worth, by the network's own exchange rate, in which it charges its fees."""
        ...


class Ledger(LedgerView, Protocol):
    """Hedera, seen by one account that signs."""

    async def create_topic(self, memo: str) -> int: ...

    async def submit(self, topic: int, data: bytes) -> None:
        """Put one message (at most `limits.LOG_ENTRY_BYTES`) on a topic; returns once it has consensus."""
        ...

    async def call(self, call: Call, *, value: int = 0) -> Outcome:
        """Run a function of the contract. Retries never run it twice. Raises CallReverted with its reason."""
        ...


# ---------------------------------------------------------------- peers


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer as this node sees it: `addresses` and `roles` are the peer's own words, the rest is measured here."""

    peer_id: str
    addresses: tuple[str, ...]
    roles: tuple[str, ...]
    connected: bool
    relayed: bool = False
    """Connected through a relay only: slower, and good for small messages."""
    latency_s: float | None = None
    """The last ping's round trip."""
    received_bytes: int = 0
    sent_bytes: int = 0
    """Over the connections that are open now."""
    score: float = 100.0
    """100 for a peer that did nothing wrong, 0 for one that is cut off."""


Reachability = Literal["unknown", "direct", "relayed", "outbound"]
"""How others reach a node: nobody has tried yet; they dial it; through a relay; not at all, so that it can only dial
out and large files reach it and leave it by object storage."""


@dataclass(frozen=True, slots=True)
class NodeSummary:
    """What a node says of itself to the whole mesh, signed by it."""

    peer_id: str
    roles: tuple[str, ...]
    addresses: tuple[str, ...]
    topics: tuple[str, ...]
    load: float
    """Processes that want to run per CPU core, over a minute."""
    version: str
    reachability: Reachability
    peers: int
    latency_s: float | None
    """The median of its pings to its peers."""
    time_s: float
    """When it said so, by its own clock, in Unix time."""
    age_s: float
    """How long ago that was, by this node's clock."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A gossip topic: whether this node hears it, and which connected peers do."""

    name: str
    joined: bool
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Received:
    """One message of a joined topic; numbers grow by one, so that a gap shows what was dropped."""

    number: int
    time_s: float
    peer_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """The state of this node's side of the peer network."""

    reachability: Reachability
    connected: int
    relays: tuple[str, ...]
    """Peers through which others reach this node."""
    cut_off: tuple[str, ...]
    """Peers on this node's ban list."""
    rebuilds: int
    """How often libp2p failed and was started anew."""


class Network(Protocol):
    """libp2p, seen by one node. Losing it may cost time, never money or correctness."""

    peer_id: str

    def addresses(self) -> list[str]:
        """Own addresses, each with `/p2p/<peer id>`; those through a relay included."""
        ...

    def peers(self) -> list[Peer]: ...

    def status(self) -> NetworkStatus: ...

    def mesh(self) -> Sequence[NodeSummary]:
        """The latest summary of every node heard of, this one first, the others by age."""
        ...

    async def ask_mesh(self, peer_id: str, *, timeout_s: float) -> Sequence[NodeSummary]:
        """What another node knows of the mesh, each summary with its node's signature. Raises NetworkError."""
        ...

    async def connect(self, address: str, *, timeout_s: float) -> str:
        """Connect to a multiaddress with `/p2p/<peer id>`; the peer's id. Raises NetworkError."""
        ...

    def add_addresses(self, peer_id: str, addresses: Sequence[str]) -> None:
        """Take addresses known from elsewhere, such as the contract's registry, as hints for a dial."""
        ...

    async def join(self, topic: str) -> None:
        """Hear a topic until `leave`: its last messages are kept for `read`. Raises NetworkError past a bound."""
        ...

    async def leave(self, topic: str) -> None:
        """Forget a joined topic and what came on it; nothing if it was not joined."""
        ...

    def read(self, topic: str, *, after: int = 0) -> Sequence[Received]:
        """Kept messages of a joined topic with a greater number, oldest first. Raises NetworkError."""
        ...

    def topics(self) -> Sequence[Topic]:
        """Topics that this node or a connected peer hears."""
        ...

    async def publish(self, topic: str, data: bytes) -> None:
        """Gossip up to `limits.GOSSIP_BYTES`; best effort, paced, never raises for a lost peer."""
        ...

    def subscribe(self, topic: str) -> AbstractAsyncContextManager[AsyncIterator[tuple[str, bytes]]]:
        """Messages of a topic as (peer id of the author, data); drops the oldest when its reader is slow."""
        ...

    def serve(self, name: str, handler: Callable[[str, bytes], Awaitable[bytes]]) -> None:
        """Answer requests of a name: handler(peer id, payload) -> reply, each at most `limits.REQUEST_BYTES`."""
        ...

    async def request(self, peer_id: str, name: str, payload: bytes, *, timeout_s: float) -> bytes:
        """Ask one peer. Raises NetworkError when it cannot be reached, refuses, or is too slow."""
        ...

    def provide(self, sha256: bytes, path: Path) -> None:
        """Serve a file by its SHA-256 to anyone who asks (only ciphertext and public documents)."""
        ...

    async def fetch(self, peer_id: str, sha256: bytes, out: Path, *, max_bytes: int, timeout_s: float) -> None:
        """Pull a file by hash over a stream, resumable, verified. Raises NetworkError or CryptoError."""
        ...


# ---------------------------------------------------------------- bytes


class Blobs(Protocol):
    """An S3 bucket that this node has credentials for."""

    async def ensure_bucket(self) -> None: ...

    async def put(self, key: str, path: Path) -> None: ...

    async def delete(self, key: str) -> None:
        """Remove an object; that it is not there is a success."""
        ...

    def presign_get(self, key: str, *, expires_s: int) -> str: ...

    def presign_put(self, key: str, *, size_bytes: int, expires_s: int, again: bool = False) -> str:
        """A URL that takes exactly `size_bytes`, once where the store allows it; `again`: also in place of another."""
        ...

    async def size_of(self, key: str) -> int | None:
        """How large an object is; None where there is none."""
        ...

    async def remove(self, prefix: str) -> None:
        """Remove every object whose key begins so; nothing if there is none."""
        ...

    async def allow_origins(self, origins: Sequence[str]) -> None:
        """Let pages of these origins read and write by presigned URL (CORS), beside those that may already."""
        ...

    async def begin_parts(self, key: str) -> str:
        """Begin an object that comes in parts; what names it until it is whole."""
        ...

    def presign_part(self, key: str, parts_id: str, number: int, *, size_bytes: int, expires_s: int) -> str:
        """A URL that takes one part, counted from 1."""
        ...

    async def parts(self, key: str, parts_id: str) -> Mapping[int, int]:
        """What has arrived: number -> bytes. Empty where nothing of that name is under way."""
        ...

    async def join_parts(self, key: str, parts_id: str) -> None:
        """Make the object of the parts that have arrived."""
        ...

    async def drop_parts(self, key: str, parts_id: str) -> None:
        """Give up an object that came in parts."""
        ...


class Transfer(Protocol):
    """Moves bytes by presigned URL; needs no credentials."""

    async def download(self, url: str, out: Path, *, sha256: bytes | None, max_bytes: int, timeout_s: float) -> None:
        """Raises StorageError (unreachable, missing, refused) or CryptoError (other bytes than promised)."""
        ...

    async def upload(self, url: str, path: Path, *, timeout_s: float) -> None:
        """Put a file; a second put of the same bytes into a write-once slot is a success."""
        ...


Progress = Callable[[int, int], None]
"""Told now and then how many bytes are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Pin:
    """Something that an IPFS service keeps. Where the service does not say: no name, no size, no time."""

    cid: str
    name: str = ""
    size_bytes: int | None = None
    pinned_at: str = ""


class ContentSource(Protocol):
    """A way to content on IPFS."""

    async def fetch(self, cid: str, out: Path, *, max_bytes: int, progress: Progress | None = None) -> int:
        """Fetch a file by its CID into `out`, which appears whole and verified or not at all; returns its size.

        Raises:
            UsageError: SHOAL-U20, it is no CID.
            StorageError: SHOAL-S20 to S28.
            CryptoError: SHOAL-K20, K21: these are other bytes than the CID names, or it cannot be told.
        """
        ...


class ContentStore(ContentSource, Protocol):
    """A service of IPFS that keeps content for this user. The CIDs that it returns have been verified."""

    async def add_file(self, path: Path, *, name: str = "", progress: Progress | None = None) -> Pin:
        """Upload a file and keep it pinned. Once it is public, it can never be taken back."""
        ...

    async def add_bytes(self, data: bytes, *, name: str) -> Pin: ...

    async def pins(self, *, limit: int = IPFS_PINS) -> Sequence[Pin]:
        """What it keeps, the newest first where it can tell."""
        ...

    async def pin(self, cid: str, *, name: str = "") -> None:
        """Have it keep what is on IPFS already; it may take its time to find it."""
        ...

    async def unpin(self, cid: str) -> None:
        """Stop keeping it; others may keep it all the same. Raises StorageError SHOAL-S27 where it was not pinned."""
        ...


# ---------------------------------------------------------------- keys and ciphertext


class Keys(Protocol):
    """This node's secrets, never given out: an Ed25519 signing key (also its libp2p identity) and an age identity."""

    signing_key: bytes
    """32 bytes, public."""
    recipient: bytes
    """32 bytes, the X25519 public key of the age identity."""

    def sign(self, data: bytes) -> bytes: ...

    def open(self, envelope: bytes) -> bytes:
        """Decrypt an age envelope sealed to `recipient`. Raises CryptoError."""
        ...


# ---------------------------------------------------------------- store


class Store(Protocol):
    """What a node must remember across `kill -9`, in SQLite; each call is one durable transaction."""

    def put(self, table: str, key: str, value: bytes) -> None: ...

    def get(self, table: str, key: str) -> bytes | None: ...

    def items(self, table: str) -> Sequence[tuple[str, bytes]]: ...

    def delete(self, table: str, key: str) -> None: ...


# ---------------------------------------------------------------- engine


class Engine(Protocol):
    """Training behind a wall: a child process without network, one job at a time, files in one job directory."""

    job_dir: Path

    async def load(self, document: Path, recipe: Mapping[str, Any]) -> None: ...

    async def preflight(self, *, timeout_s: float) -> Mapping[str, Any]: ...

    async def train(
        self, *, base: str, chunk: str, out: str, seed: int, round: int, timeout_s: float
    ) -> Mapping[str, Any]: ...

    async def aggregate(
        self,
        *,
        base: str,
        updates: Sequence[Mapping[str, Any]],
        out: str,
        max_norm: float | None,
        timeout_s: float,
    ) -> Mapping[str, Any]: ...

    async def evaluate(self, *, state: str, chunk: str, timeout_s: float) -> Mapping[str, Any]: ...

    async def compare(self, *, mine: str, theirs: str, timeout_s: float) -> Mapping[str, Any]: ...


__all__ = [
    "AccountKey",
    "AccountState",
    "Blobs",
    "ContentSource",
    "ContentStore",
    "Engine",
    "Keys",
    "Ledger",
    "LedgerView",
    "Liabilities",
    "LoggedEvent",
    "Message",
    "Movement",
    "Network",
    "NetworkStatus",
    "NodeSummary",
    "Outcome",
    "Peer",
    "Pin",
    "Progress",
    "Reachability",
    "Received",
    "Store",
    "Topic",
    "Transfer",
]
