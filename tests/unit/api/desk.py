"""A node in memory: the roles' test world as an ML user's desk, with the API's applications over it."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import trio
from trio.testing import MockClock

from shoal.api.access import Access, Caller
from shoal.api.app import command_app, resource_app
from shoal.api.server import Serving, serving, station_of
from shoal.api.service import Endpoints, Service
from shoal.api.token import Token
from shoal.core.codec import digest
from shoal.core.entries import Place
from shoal.core.ids import Address, TaskId
from shoal.core.money import Tinybar
from shoal.errors import UsageError
from shoal.ports import AccountKey, Liabilities, Movement
from shoal.settings import Settings
from shoal.shell.commands import Shell
from shoal.testing.follower import CONTRACT, NETWORK

from ..roles.fakes import SECOND_NS, START_NS, FakeLedger, FakePeer, FakeStorage, LedgerPort, MemoryStore
from ..roles.world import World, peer_id_of

MODEL = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
    def forward(self, x):
        return self.layer(x)
"""
RECIPE = json.dumps(
    {
        "loss": "cross_entropy",
        "metric": "accuracy",
        "optimizer": {"name": "sgd", "lr": 0.1},
        "batch_size": 8,
        "local_steps": 2,
        "rounds": 2,
        "trainers": 2,
        "seed": 1,
    }
)
ROWS = "a,b,label\n" + "".join(f"{i % 7},{i % 5},{'yes' if i % 2 else 'no'}\n" for i in range(60))


def archive(**files: str) -> bytes:
    """A zip of a task, in a folder as people make them."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        for name, text in {"model.py": MODEL, "recipe.json": RECIPE, "rows.csv": ROWS, **files}.items():
            made.writestr(f"mine/{name}", text)
    return data.getvalue()


DEADLINES_S = {
    "bid_until": 600,
    "award_until": 1_200,
    "accept_until": 1_300,
    "standby_until": 1_400,
    "start_until": 2_000,
    "end_by": 6_000,
}
"""Of the world's task: far away, since this clock runs while a test does other things."""


class Ledger(LedgerPort):
    """What the world's ledger port lacks: an account with money in it."""

    def __init__(self, ledger: FakeLedger, address: Any) -> None:
        super().__init__(ledger, address)
        self.topics: list[str] = []
        self.held = Tinybar(10**12)
        self.accounts: dict[str, tuple[Address, AccountKey | None]] = {}
        """Those of users, with their keys."""

    async def create_topic(self, memo: str) -> int:
        self.topics.append(memo)
        return 1_000 + len(self.topics)

    async def address_of(self, account: str) -> Address:
        return self.accounts[account][0] if account in self.accounts else Address(digest(account.encode())[:20])

    async def key_of(self, account: str) -> AccountKey | None:
        if account not in self.accounts:
            raise UsageError("there is no such account", code="SHOAL-U83")
        return self.accounts[account][1]

    async def balance(self, account: str | None = None) -> Tinybar:
        return self.held

    async def liabilities(self) -> Liabilities:
        return Liabilities(Tinybar(0), Tinybar(0), Tinybar(0))

    async def movements(self, *, after_ns: int, until_ns: int, account: str | None = None) -> Sequence[Movement]:
        who = account or self.account
        rows = [
            Movement(n, f"{who}-{n}", "CRYPTOTRANSFER", "SUCCESS", ((who, -3), ("0.0.98", 3)), who, Tinybar(3))
            for n in range(1, 8)
        ]
        return [row for row in rows if after_ns < row.time_ns]


@dataclass
class Desk:
    """One node of the world: its client's."""

    world: World
    settings: Settings
    ledger: Ledger
    network: FakePeer
    keys: Any
    store: MemoryStore
    transfer: FakeStorage
    storage_is_away: Exception | None = None

    @classmethod
    def make(cls, dir: Path, **settings: Any) -> Desk:
        world = World(dir / "world", **{name: START_NS // SECOND_NS + after_s for name, after_s in DEADLINES_S.items()})
        world.peer("trainer-0")  # somebody to see
        home = dir / "node"
        (home / "tasks").mkdir(parents=True)
        return cls(
            world=world,
            settings=Settings(dir=home, contract_id=CONTRACT, poll_s=0.2, **settings),
            ledger=Ledger(world.ledger, world.client),
            network=world.peer("client"),
            keys=world.keys["client"],
            store=world.stores["client"],
            transfer=world.storage,
        )

    def place(self, task: TaskId) -> Place:
        return Place(NETWORK, CONTRACT, task)

    def blobs(self) -> FakeStorage:
        if self.storage_is_away is not None:
            raise self.storage_is_away
        return self.world.storage


@dataclass
class Api:
    """The applications over a desk, asked in memory."""

    desk: Desk
    service: Service
    token: str
    http: httpx.AsyncClient
    commands: httpx.AsyncClient
    app: Any = field(repr=False)
    command_app: Any = field(repr=False)
    access: Access = field(repr=False)

    @property
    def authorised(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def quote(self, data: bytes | None = None, **fields: Any) -> dict[str, Any]:
        answer = await self.http.post(
            "/api/v1/quotes",
            files={"archive": ("mine.zip", archive() if data is None else data)},
            data={name: str(value) for name, value in fields.items()},
            headers=self.authorised,
        )
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def api(desk: Desk) -> AsyncIterator[Api]:
    """A process's life: the same desk may have several, one after the other."""
    made = Token.load(desk.settings.dir)
    access = Access(made, desk.store, Caller("operator", desk.ledger.account, desk.ledger.address))
    endpoints = Endpoints("http://mirror:5551", "http://mirror:5551", ("http://127.0.0.1:8420",))
    async with Service.open(desk, endpoints=endpoints) as service:
        app = resource_app(service, access, peer_id_of=peer_id_of)
        async with station_of(service) as station:
            commands = command_app(Shell(station), access)
            async with _client(app) as http, _client(commands) as asked:
                token = made.fresh or made.path.read_text().strip()
                yield Api(desk, service, token, http, asked, app, commands, access)


def _client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8420", timeout=None)


@dataclass
class Served:
    """A server in a thread of its own, with a clock that begins at 0."""

    desk: Desk
    url: str
    command_url: str
    token: str

    @property
    def authorised(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@contextmanager
def served_in_a_thread(dir: Path, **settings: Any) -> Iterator[Served]:
    """Serve until the block ends; what goes wrong in the thread is raised here."""
    ready, found, stop = threading.Event(), list[tuple[Desk, Serving]](), list[Any]()
    errors: list[BaseException] = []

    async def main() -> None:
        desk = Desk.make(dir, api_listen="127.0.0.1:0", command_listen="127.0.0.1:0", **settings)
        async with trio.open_nursery() as nursery:
            async with serving(desk, peer_id_of=peer_id_of) as it:
                stop.extend([trio.lowlevel.current_trio_token(), nursery.cancel_scope])
                found.append((desk, it))
                ready.set()
                await trio.sleep_forever()

    def run() -> None:
        try:
            trio.run(main, clock=MockClock(rate=20))
        except BaseException as error:
            errors.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(30)
        if errors:
            raise errors[0]
        [(desk, it)] = found
        yield Served(desk, it.url, it.command_url, it.token.fresh)
    finally:
        if stop:
            stop[0].run_sync_soon(stop[1].cancel)
        thread.join(30)
    assert not thread.is_alive() and not errors, errors
