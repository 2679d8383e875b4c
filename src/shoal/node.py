"""The composition root: the only place that names adapters and puts a node together."""

from __future__ import annotations

import fcntl
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shoal.adapters.engine import SandboxedEngine
from shoal.adapters.hedera import HederaLedger, LedgerReader, LedgerSettings
from shoal.adapters.keys import FileKeys, export_keys, import_keys, key_from_file, key_from_keyring
from shoal.adapters.libp2p import Libp2pNetwork, open_network
from shoal.adapters.libp2p.peer_id import peer_id_of as peer_id_of
from shoal.adapters.store import SqliteStore
from shoal.adapters.transfer import HttpTransfer
from shoal.core.entries import Place
from shoal.core.ids import TaskId
from shoal.core.limits import MIB
from shoal.core.money import Tinybar
from shoal.errors import MarketError, UsageError
from shoal.ports import Engine, Store, Transfer
from shoal.roles.cheat import false_updates
from shoal.roles.gate import Gate
from shoal.roles.shiplog import Shipping
from shoal.roles.trainer import Offer, Trainer
from shoal.roles.validator import Validator
from shoal.settings import SERVING, Settings

if TYPE_CHECKING:
    from shoal.adapters.s3 import S3Blobs


@dataclass(frozen=True, slots=True)
class Node:
    """One process's connection to the world."""

    settings: Settings
    ledger: HederaLedger
    network: Libp2pNetwork
    keys: FileKeys
    store: SqliteStore
    transfer: HttpTransfer

    def place(self, task: TaskId) -> Place:
        return place_of(self.settings, task)

    def blobs(self) -> S3Blobs:
        return open_blobs(self.settings, self.transfer)


def place_of(settings: Settings, task: TaskId) -> Place:
    """Where a task's entries belong on this node's ledger."""
    return Place(settings.network, settings.contract_id, task)


def ledger_settings(settings: Settings, *, operator: bool = True) -> LedgerSettings:
    """Where the ledger is; with the operator's key, wherever that lies, unless only a reader is wanted."""
    if operator:
        settings.need("operator_id")
    return LedgerSettings(
        network=settings.network,
        node=settings.ledger_node,
        node_account=settings.ledger_node_account,
        mirror_grpc=settings.mirror_grpc,
        mirror_rest=settings.mirror_rest,
        operator_id=settings.operator_id,
        operator_key=_operator_key(settings) if operator else "",
        contract_id=settings.contract_id or None,
        mirror_margin_s=settings.mirror_margin_s,
        timeout_s=settings.ledger_timeout_s,
    )


def _operator_key(settings: Settings) -> str:
    """From the settings themselves, else from a file, else from the keyring."""
    if settings.operator_key.get_secret_value():
        return settings.operator_key.get_secret_value()
    if settings.operator_key_file:
        return key_from_file(Path(settings.operator_key_file).expanduser())
    if settings.operator_keyring:
        return key_from_keyring(settings.operator_id)
    settings.need("operator_key")
    raise AssertionError("need() raises where it is missing")


def open_ledger(settings: Settings, *, store: Store | None = None) -> AbstractAsyncContextManager[HederaLedger]:
    """The ledger with an account that signs; `store` remembers what was sent, so that nothing is paid twice."""
    return HederaLedger.open(ledger_settings(settings), store=store)


def open_reader(settings: Settings) -> AbstractAsyncContextManager[LedgerReader]:
    """The ledger as anyone can read it; needs no key."""
    return LedgerReader.open_reader(ledger_settings(settings, operator=False))


@dataclass(frozen=True, slots=True)
class Wallet:
    """An account on the ledger, and this directory's memory of what it sent; no peers, no storage."""

    settings: Settings
    ledger: HederaLedger
    store: SqliteStore


@asynccontextmanager
async def open_wallet(settings: Settings) -> AsyncIterator[Wallet]:
    """For commands that only deal with the ledger."""
    given = ledger_settings(settings)
    settings.dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(settings.dir / "lock"), SqliteStore(settings.dir / "node.db") as store:
        async with HederaLedger.open(given, store=store) as ledger:
            yield Wallet(settings, ledger, store)


def open_transfer(settings: Settings) -> HttpTransfer:
    """What moves bytes by URL; into the local network only where the settings say so, or the ledger is local itself."""
    return HttpTransfer(allow_private=settings.private_urls or settings.network in ("devnet", "solo"))


def open_blobs(settings: Settings, transfer: Transfer) -> S3Blobs:
    settings.need("s3_endpoint", "s3_access_key", "s3_secret_key")
    # Clients only: boto3 takes some 8 MiB in each trainer and bootstrap node otherwise.
    from shoal.adapters.s3 import S3Blobs

    return S3Blobs(
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        bucket=settings.s3_bucket,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        write_once=settings.s3_write_once,
        transfer=transfer,
    )


@asynccontextmanager
async def open_node(settings: Settings, *, roles: Sequence[str]) -> AsyncIterator[Node]:
    """A node of any role but bootstrap, which needs no ledger."""
    settings.need("contract_id")
    settings.dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(settings.dir / "lock"):
        async with _open_node(settings, roles) as node:
            yield node


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process an identity: two would sign different entries with one number. The kernel frees the lock."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"another shoal is at work with {path.parent}",
                code="SHOAL-U13",
                hint="wait until it is done, or use another directory and account with --dir",
            ) from error
        (path.parent / SERVING).unlink(missing_ok=True)  # of a process that was killed
        yield


def running_at(settings: Settings) -> dict[str, str]:
    """Where the node that runs with this directory is served, by its own word; nothing if none runs, or is served.

    Only a process that holds the directory's lock is asked: whoever else listens there now must not get the token.
    """
    try:
        with (settings.dir / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return {}
    except FileNotFoundError:
        return {}
    except OSError:
        pass  # somebody holds it
    try:
        found = json.loads((settings.dir / SERVING).read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): str(url) for name, url in found.items()}


@asynccontextmanager
async def _open_node(settings: Settings, roles: Sequence[str]) -> AsyncIterator[Node]:
    keys = FileKeys.load(settings.dir / "keys")
    async with AsyncExitStack() as stack:
        store = stack.enter_context(SqliteStore(settings.dir / "node.db"))
        transfer = await stack.enter_async_context(open_transfer(settings))
        ledger = await stack.enter_async_context(open_ledger(settings, store=store))
        await ledger.check_contract(settings.contract_id)  # it will be sent money
        network = await stack.enter_async_context(open_peer(settings, keys, roles=roles))
        yield Node(settings, ledger, network, keys, store, transfer)


@asynccontextmanager
async def open_bootstrap(settings: Settings) -> AsyncIterator[Libp2pNetwork]:
    """A bootstrap node: an identity that lasts, and the peer network."""
    settings.dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(settings.dir / "lock"):
        async with open_peer(settings, FileKeys.load(settings.dir / "keys"), roles=["bootstrap"]) as network:
            yield network


def open_store(settings: Settings) -> SqliteStore:
    """What a node of this directory remembers; for a bootstrap node, which has nothing else on disk."""
    return SqliteStore(settings.dir / "node.db")


def exported_keys(settings: Settings) -> bytes:
    """This node's keys, not encrypted."""
    return export_keys(settings.dir / "keys")


def imported_keys(settings: Settings, exported: bytes) -> FileKeys:
    """Put keys where this node has none yet."""
    settings.dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(settings.dir / "lock"):
        return import_keys(settings.dir / "keys", exported)


def open_peer(
    settings: Settings, keys: FileKeys, *, roles: Sequence[str]
) -> AbstractAsyncContextManager[Libp2pNetwork]:
    """The libp2p side of a node; all that a bootstrap node is."""
    return open_network(
        private_key=keys.network_seed(),
        listen=settings.listen,
        bootstrap=settings.bootstrap,
        roles=roles,
        peerstore=settings.dir / "peers.json",
        lan=settings.lan,
    )


def open_bystander(settings: Settings) -> AbstractAsyncContextManager[Libp2pNetwork]:
    """Somebody who looks at the network for a moment: a new identity each time, no role, nothing kept."""
    return open_network(
        private_key=secrets.token_bytes(32), listen=(), bootstrap=settings.bootstrap, roles=(), lan=bool(settings.lan)
    )


def engine_opener(settings: Settings) -> Callable[[Path], AbstractAsyncContextManager[Engine]]:
    """How this node opens a sandboxed engine on a job directory."""

    def open_engine(job_dir: Path) -> AbstractAsyncContextManager[Engine]:
        return SandboxedEngine.open(
            job_dir,
            memory_limit_bytes=settings.engine_memory_mib * MIB,
            threads=settings.engine_threads,
            walls="none" if settings.allow_unsandboxed else "auto",
        )

    return open_engine


async def sandbox_walls(settings: Settings, directory: Path) -> str:
    """Start a training process that trains nothing, and tell which walls stand around it, such as `landlock abi 7`.

    Raises:
        EngineError: SHOAL-E06, none stand; SHOAL-E07, it does not start.
    """
    async with SandboxedEngine.open(
        directory,
        memory_limit_bytes=settings.engine_memory_mib * MIB,
        threads=settings.engine_threads,
        walls="none" if settings.allow_unsandboxed else "auto",
    ) as engine:
        return await engine.ready()


@asynccontextmanager
async def open_visitor(settings: Settings, directory: Path) -> AsyncIterator[Libp2pNetwork]:
    """A peer with keys of its own in `directory`, that only looks at the network; a node may run beside it."""
    visiting = settings.model_copy(update={"dir": directory})
    async with open_peer(visiting, FileKeys.load(directory / "keys"), roles=[]) as network:
        yield network


def load_keys(settings: Settings) -> bytes:
    """The public signing key of a node's keys, which must be there.

    Raises:
        ConfigError: SHOAL-C20 to C23.
    """
    return FileKeys.load(settings.dir / "keys").signing_key


def operator_key(settings: Settings) -> None:
    """Check that the operator's key can be had. Raises ConfigError: SHOAL-C01, C22, C25."""
    _operator_key(settings)


def validator(node: Node) -> Validator:
    """The validator service of a node."""
    settings = node.settings
    return Validator(
        ledger=node.ledger,
        network=node.network,
        transfer=node.transfer,
        keys=node.keys,
        store=node.store,
        open_engine=engine_opener(settings),
        peer_id_of=peer_id_of,
        place_of=node.place,
        dir=settings.dir / "tasks",
        max_stake=Tinybar(settings.validator_stake_tinybar),
        poll_s=settings.poll_s,
    )


def trainer(node: Node, *, gate: Gate | None = None, hbar_per_hour: float | None = None) -> Trainer:
    """The trainer service of a node.

    Args:
        gate: where the machine is not always free to work.
        hbar_per_hour: asked instead of what the settings say.

    Raises:
        MarketError: SHOAL-T22, it is to cheat, and this is no devnet.
    """
    settings, open_engine = node.settings, engine_opener(node.settings)
    if settings.testing_false_updates:
        if settings.network != "devnet":
            raise MarketError(
                "testing_false_updates is for a devnet",
                code="SHOAL-T22",
                hint="take the setting out: a trainer that cheats loses its stake",
            )
        open_engine = false_updates(open_engine)
    return Trainer(
        ledger=node.ledger,
        network=node.network,
        transfer=node.transfer,
        keys=node.keys,
        store=node.store,
        open_engine=open_engine,
        peer_id_of=peer_id_of,
        place_of=node.place,
        dir=settings.dir / "tasks",
        offer=Offer(
            hbar_per_hour=hbar_per_hour or settings.hbar_per_hour,
            min_unit_tinybar=settings.min_unit_tinybar,
            max_chunks=settings.max_chunks,
            stake_tinybar=settings.stake_tinybar,
            max_penalty_tinybar=settings.max_penalty_tinybar,
            covers_fees=settings.cover_fees,
        ),
        poll_s=settings.poll_s,
        shipping=shipping_of(settings),
        gate=gate,
    )


def shipping_of(settings: Settings) -> Shipping | None:
    """What of its logs a node puts on the topics of its tasks."""
    level = settings.topic_log_level
    return None if level is None else Shipping(level, settings.topic_logs_s)
