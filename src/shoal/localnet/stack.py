"""Starting the local network: devnet, SeaweedFS, contract, accounts, bootstrap node, trainers."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from shoal.client.books import balances
from shoal.core.money import TINYBAR_PER_HBAR
from shoal.core.quote import LOCAL_TIMING
from shoal.errors import ProcessError
from shoal.localnet.process import Child
from shoal.node import open_ledger
from shoal.seal.files import whole_file
from shoal.settings import Settings, write_toml

READY_S = 90.0
TRAINER_HBAR = 20
CLIENT_HBAR = 100
VALIDATOR_HBAR = 120
"""The contract's stake, and enough for bonds and fees."""
CONTRACT = "local"
"""Names the deployment of a stack's own contract."""
ASKS_HBAR_PER_HOUR = (1.0, 1.2, 1.4, 1.7)
"""What the trainers ask for an hour: they compete, so they differ."""
NODE = "shoal"
NOTE = "network.json"
"""What a network is taken up again by; readable by its owner only, since it holds keys of the accounts."""


@dataclass
class LocalStack:
    """What runs, and where its files are."""

    directory: Path
    settings: Settings
    """Those of the operator, who owns all the devnet's HBAR."""
    client: Settings
    children: dict[str, Child] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Account -> what people call it."""
    opening: dict[str, int] = field(default_factory=dict)
    """What each of these accounts held before the first node started, in tinybar."""
    opened_ns: int = 0
    supply: int = 0
    trainer_hbar: int = TRAINER_HBAR
    client_hbar: int = CLIENT_HBAR

    def trainers(self) -> list[Child]:
        """Those that still run."""
        return [child for name, child in self.children.items() if name.startswith("trainer-") and child.alive]

    def workers(self) -> list[Child]:
        """Trainers and validators that still run."""
        prefixes = ("trainer-", "validator-")
        return [child for name, child in self.children.items() if name.startswith(prefixes) and child.alive]

    async def stop(self) -> None:
        """End everything, the last started first."""
        for child in reversed(list(self.children.values())):
            await child.stop()


@asynccontextmanager
async def local_stack(
    directory: Path,
    *,
    trainers: int,
    say: Callable[[str], None],
    ledger: Settings | None = None,
    trainer_hbar: int = TRAINER_HBAR,
    client_hbar: int = CLIENT_HBAR,
    validators: int = 0,
    cheats: int = 0,
) -> AsyncIterator[LocalStack]:
    """Start everything, hand it over, and end everything on the way out.

    A directory in which a network has been before is taken up again: its ledger, contract, accounts and objects. The
    books of `stack.opening` then begin now.

    Args:
        ledger: a ledger that runs already, and the operator that pays for contract and accounts on it; None starts a
            devnet.
        trainer_hbar, client_hbar: what each account is given.
        cheats: how many of the trainers, the last ones, deliver false updates; a devnet only.

    Raises:
        ProcessError: SHOAL-P01, a process did not come up, or died while it was needed; P08, too few trainers are left.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    stack = LocalStack(directory, ledger or Settings(), Settings(), trainer_hbar=trainer_hbar, client_hbar=client_hbar)
    try:
        await _start(stack, Crew(trainers, validators, cheats), say, own_ledger=ledger is None)
        async with trio.open_nursery() as nursery:
            for child in stack.children.values():
                nursery.start_soon(child.watch, _mourner(stack, trainers, say))
            yield stack
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await stack.stop()


def _mourner(stack: LocalStack, trainers: int, say: Callable[[str], None]) -> Callable[[Child], None]:
    needed = max(1, trainers // 2)  # with the client's vote these are a quorum

    def mourn(child: Child) -> None:
        if child.essential:
            raise child.failure("died")
        alive = len(stack.trainers())
        if child.name.startswith("trainer-") and alive < needed:
            raise ProcessError(
                f"{child.name} died; {alive} of {trainers} trainers are left, too few for a quorum",
                code="SHOAL-P08",
                hint=f"its log is {child.log}; on a real network the task would end by its deadline",
                money="on the local devnet no real money is involved; elsewhere the contract pays what a quorum "
                "confirmed, and returns the rest of the escrow after the deadline",
            )
        say(f"{child.name} died; the others go on without it (its log: {child.log})")

    return mourn


@dataclass(frozen=True, slots=True)
class Crew:
    """Who works on the network."""

    trainers: int
    validators: int
    cheats: int

    def accounts(self, stack: LocalStack) -> list[tuple[str, int]]:
        """Every account and the HBAR that it is given."""
        return [
            *((f"trainer-{n + 1}", stack.trainer_hbar) for n in range(self.trainers)),
            *((f"validator-{n + 1}", VALIDATOR_HBAR) for n in range(self.validators)),
            ("client", stack.client_hbar),
        ]


async def _start(stack: LocalStack, crew: Crew, say: Callable[[str], None], *, own_ledger: bool) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_start_storage, stack)
        if own_ledger:
            await _start_devnet(stack)
    say(f"ledger ({stack.settings.network}) and S3 server are up")
    contract, accounts = await _provision(stack, crew, say)
    bootstrap = await _start_node(stack, "bootstrap", "bootstrap", {})
    common = {
        "contract_id": contract,
        "bootstrap": bootstrap["addresses"],
        "network": stack.settings.network,
        "private_urls": True,  # the store is on this machine
    }
    async with trio.open_nursery() as nursery:
        for index in range(crew.trainers):
            name = f"trainer-{index + 1}"
            asks = ASKS_HBAR_PER_HOUR[index % len(ASKS_HBAR_PER_HOUR)]
            values = {**common, **accounts[name], "hbar_per_hour": asks}
            if index >= crew.trainers - crew.cheats:
                values["testing_false_updates"] = True
            nursery.start_soon(_start_node, stack, "trainer", name, values)
        for index in range(crew.validators):
            name = f"validator-{index + 1}"
            nursery.start_soon(_start_node, stack, "validator", name, {**common, **accounts[name]})
    say(f"bootstrap node and {crew.trainers} trainers are up")
    if crew.validators:
        say(f"{crew.validators} validators are in the pool")
    storage = json.loads((stack.directory / "storage" / "endpoint.json").read_text())
    client_dir = stack.directory / "client"
    client_dir.mkdir(exist_ok=True, mode=0o700)
    write_toml(client_dir / "shoal.toml", {**_ledger(stack), **common, **accounts["client"], **storage})
    stack.client = Settings.model_validate(
        {"dir": client_dir, **_ledger(stack), **common, **accounts["client"], **storage}
    )


async def _start_devnet(stack: LocalStack) -> None:
    arguments = ["shoal.adapters.devnet", "--dir", str(stack.directory / "devnet"), "--port-base", "0", "--json"]
    child = _start_child(stack, "devnet", arguments)
    ready = await child.line(timeout_s=READY_S)
    stack.settings = Settings(
        dir=stack.directory,
        network="devnet",
        ledger_node=ready["node"],
        ledger_node_account=ready["node_account"],
        mirror_grpc=ready["mirror_grpc"],
        mirror_rest=ready["mirror_rest"],
        operator_id=ready["operator_id"],
        operator_key=ready["operator_key"],
    )


async def _start_storage(stack: LocalStack) -> None:
    directory = stack.directory / "storage"
    child = _start_child(stack, "storage", ["shoal.adapters.seaweed", "--dir", str(directory), "--json"])
    ready = await child.line(timeout_s=READY_S)
    keys = json.loads(Path(ready["credentials"]).read_text())
    path = directory / "endpoint.json"
    bucket = json.loads(path.read_text())["s3_bucket"] if path.is_file() else f"shoal-{secrets.token_hex(4)}"
    values = {
        "s3_endpoint": ready["endpoint"],
        "s3_access_key": keys["access_key"],
        "s3_secret_key": keys["secret_key"],
        "s3_bucket": bucket,
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(values))


def _start_child(stack: LocalStack, name: str, arguments: list[str], *, essential: bool = True) -> Child:
    logs = stack.directory / "logs"
    logs.mkdir(exist_ok=True)
    home = stack.directory / name
    home.mkdir(exist_ok=True, mode=0o700)
    child = Child.start(name, arguments, directory=home, log=logs / f"{name}.log", essential=essential)
    stack.children[name] = child
    return child


async def _provision(
    stack: LocalStack, crew: Crew, say: Callable[[str], None]
) -> tuple[str, dict[str, dict[str, str]]]:
    """Deploy the contract and create the accounts, all through the ledger adapter; what is there is used again."""
    note = stack.directory / NOTE
    kept: dict[str, Any] = json.loads(note.read_text()) if note.is_file() else {"contract": "", "accounts": {}}
    contract: str = kept["contract"]
    accounts: dict[str, dict[str, str]] = kept["accounts"]
    async with open_ledger(stack.settings) as ledger:
        say(f"contract {contract} is taken up again" if contract else "the contract is being deployed")
        contract = contract or (await ledger.deploy(CONTRACT, min_dispute_s=LOCAL_TIMING.challenge_s)).contract_id
        for name, hbar in crew.accounts(stack):
            if name not in accounts:
                key = ledger.new_key()
                account = await ledger.create_account(hbar * TINYBAR_PER_HBAR, key)
                accounts[name] = {"operator_id": account, "operator_key": key}
            stack.names[accounts[name]["operator_id"]] = name
        stack.names[contract] = "contract"
        with whole_file(note) as file:
            file.write(json.dumps({"contract": contract, "accounts": accounts}).encode())
        say(f"contract {contract}; {crew.trainers} trainers and a client have accounts")
        stack.supply = int(await ledger.supply())
        stack.opened_ns = await ledger.watermark()
        stack.opening = await balances(ledger, list(stack.names))
    stack.settings = stack.settings.model_copy(update={"contract_id": contract})
    return contract, accounts


def _ledger(stack: LocalStack) -> dict[str, Any]:
    settings = stack.settings
    return {
        "ledger_node": settings.ledger_node,
        "ledger_node_account": settings.ledger_node_account,
        "mirror_grpc": settings.mirror_grpc,
        "mirror_rest": settings.mirror_rest,
    }


async def _start_node(stack: LocalStack, role: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
    directory = stack.directory / name
    directory.mkdir(exist_ok=True, mode=0o700)
    write_toml(directory / "shoal.toml", {**_ledger(stack), **values})
    arguments = [NODE, "node", "run", "--role", role, "--dir", str(directory), "--json"]
    child = _start_child(stack, name, arguments, essential=False)
    return await child.line(timeout_s=READY_S)
