"""Pinning what belongs to a task to IPFS: its graph, its manifest, its encrypted result; their CIDs go into the log.

A service that fails after the task is created harms nothing: it is told, and `shoal get` tries again. What was pinned
is remembered before it is said, so that a crash neither pins nor says anything twice.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

import trio

from shoal import seal
from shoal.client.desk import Desk
from shoal.client.result import Goal
from shoal.core import limits
from shoal.core.ids import TaskId, short
from shoal.core.task import State
from shoal.errors import CryptoError, ShoalError, first_error
from shoal.ports import ContentSource, ContentStore
from shoal.roles.tasklog import TaskLog

log = logging.getLogger("shoal.client")

GRAPH, MANIFEST, RESULT = "graph", "manifest", "result"
KINDS = (GRAPH, MANIFEST, RESULT)
PATIENCE_S = 30.0
"""How long pins are waited for when all else is done."""
IN_LOG_S = 60.0
"""How long an entry about the result is waited for at the end of a command."""
_WISHES, _DONE = "pin-wishes", "pins"

OpenStore = Callable[[], AbstractAsyncContextManager[ContentStore]]
OpenSource = Callable[[], AbstractAsyncContextManager[ContentSource]]


class Pinner:
    """The pins of one client's tasks.

    Args:
        open_store: the service that keeps them.
    """

    def __init__(self, desk: Desk, open_store: OpenStore) -> None:
        self._desk, self._open = desk, open_store

    async def graph(self, document: Path, name: str) -> str:
        """Pin a graph document before there is a task: bidders read it in clear, so nothing is told that was private.

        Raises:
            StorageError, CryptoError, UsageError: as of `ContentStore.add_file`; nothing was spent.
        """
        async with self._open() as store:
            return (await store.add_file(document, name=f"shoal graph {name}")).cid

    def wish(self, task: TaskId, wanted: Collection[str], *, graph: str = "") -> None:
        """Remember what is to be pinned of a task, and the graph that is pinned already."""
        self._desk.store.put(_WISHES, task.hex(), ",".join(each for each in KINDS if each in wanted).encode())
        if graph:
            self._note(task, GRAPH, graph)

    def wishes(self, state: State) -> frozenset[str]:
        """What is wanted of a task and is not in its log yet."""
        kept = self._desk.store.get(_WISHES, state.place.task.hex())
        return frozenset((kept or b"").decode().split(",")) & frozenset(KINDS) - state.pins.keys()

    async def manifest_and_graph(self, tasklog: TaskLog) -> None:
        """Pin the manifest, and say both in the log. What fails is told, and left for the next time."""
        task, state = tasklog.place.task, tasklog.log
        kept = self._desk.store.get("manifests", task.hex())
        wanted = self.wishes(state)
        if GRAPH in wanted and (cid := self._noted(task, GRAPH)):
            await self._say(tasklog, GRAPH, cid)
        if MANIFEST in wanted and kept is not None:
            with _told("manifest", task):
                cid = self._noted(task, MANIFEST)
                if not cid:
                    async with self._open() as store:
                        cid = (await store.add_bytes(kept, name=f"shoal manifest {short(task)}")).cid
                    self._note(task, MANIFEST, cid)
                await self._say(tasklog, MANIFEST, cid)

    async def result(self, tasklog: TaskLog, padded: Path) -> str | None:
        """Pin the result as it lies in its slot: ciphertext, which only the ML user's envelope opens. Its CID.

        None where the service refuses: the weights are here all the same.
        """
        task, found = tasklog.place.task, None
        with _told("result", task):
            cid = self._noted(task, RESULT)
            if not cid:
                async with self._open() as store:
                    cid = (await store.add_file(padded, name=f"shoal result {short(task)}")).cid
                self._note(task, RESULT, cid)
            await self._say(tasklog, RESULT, cid)
            await tasklog.wait_for(lambda me: RESULT in me.log.pins, timeout_s=IN_LOG_S)
            found = cid
        return found

    async def _say(self, tasklog: TaskLog, what: str, cid: str) -> None:
        said = any(entry.kind == "pin" and entry.body.get("what") == what for entry in tasklog.outbox)
        if what not in tasklog.log.pins and not said:
            await tasklog.post(self._desk.ledger.address, "pin", {"what": what, "cid": cid})

    def _note(self, task: TaskId, what: str, cid: str) -> None:
        self._desk.store.put(_DONE, f"{task.hex()}/{what}", cid.encode())

    def _noted(self, task: TaskId, what: str) -> str:
        return (self._desk.store.get(_DONE, f"{task.hex()}/{what}") or b"").decode()


@contextmanager
def _told(what: str, task: TaskId) -> Iterator[None]:
    """What cannot be pinned is told, and goes no further."""
    try:
        yield
    except Exception as error:
        found = first_error(error)
        if not isinstance(found, ShoalError):
            raise
        log.warning("the %s of task %s is not pinned: %s; `shoal get` tries again", what, short(task), found)


async def beside(work: Callable[[], Awaitable[None]], other: Callable[[], Awaitable[None]]) -> None:
    """Do what matters, and something else at the same time, which gets little time of its own at the end."""
    async with trio.open_nursery() as nursery:
        done = trio.Event()

        async def aside() -> None:
            await other()
            done.set()

        nursery.start_soon(aside)
        await work()
        with trio.move_on_after(PATIENCE_S):
            await done.wait()
        nursery.cancel_scope.cancel()


async def fetch_pinned(open_source: OpenSource, state: State, goal: Goal, out: Path) -> None:
    """The encrypted result from IPFS, compared with what was confirmed on chain.

    Raises:
        StorageError, CryptoError, ConfigError: as of `ContentSource.fetch`; SHOAL-K02, these are other bytes.
    """
    size = state.manifest.slot_bytes if state.manifest else limits.WEIGHTS_BYTES
    async with open_source() as source:
        await source.fetch(state.pins[RESULT], out, max_bytes=size)
    if await trio.to_thread.run_sync(seal.sha256_file, out) != goal.object:
        out.unlink(missing_ok=True)
        raise CryptoError("what is pinned as the result is not what was confirmed on chain", code="SHOAL-K02")
