"""`SandboxedEngine`: the engine port over one walled child process that is started again whenever it is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from shoal.adapters.engine import replies
from shoal.adapters.engine.files import JobFiles, check_name
from shoal.adapters.engine.keeper import CHILD, Keeper, Terms, Walls
from shoal.errors import EngineError

_Check = Callable[[Mapping[str, Any]], dict[str, Any]]


class SandboxedEngine:
    """Trains strangers' models behind walls, one job at a time.

    >>> async with SandboxedEngine.open(job_dir, memory_limit_bytes=2**31, threads=1, walls="auto") as engine:
    ...     await engine.load(job_dir / "graph.json", manifest.recipe)
    ...     report = await engine.train(base="w0", chunk="chunk-0", out="update", seed=1, round=1, timeout_s=600)

    A child that crashes, lies or is too slow is killed, its job raises, and the next job starts a fresh one. Cancelling
    a job kills the child as well. Trains on the CPU only.

    Raises, from every job:
        ModelError, DataError, EngineError SHOAL-E02: what the model or the data did.
        EngineError: SHOAL-E01 a fault in the child; E04 too slow; E05 it died; E06 the walls do not stand; E07 it does
            not start; E08 it lied; E09 what was asked makes no sense; E10 out of memory; E11 this machine's disk.
    """

    def __init__(self, job_dir: Path, terms: Terms) -> None:
        self.job_dir = job_dir
        self._files = JobFiles(job_dir)
        self._keeper = Keeper(self._files, terms)
        self._lock = trio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        job_dir: Path,
        *,
        memory_limit_bytes: int,
        threads: int,
        walls: Walls,
        command: Sequence[str] = CHILD,
    ) -> AsyncIterator[SandboxedEngine]:
        """An engine whose child is already starting, and is gone afterwards.

        Args:
            memory_limit_bytes: what a job may take beyond what an idle child takes.
            walls: `none` is for machines without walls: a stranger's model then runs as this user, kept back by nothing
                but the operator table.
        """
        engine = cls(job_dir, Terms(memory_limit_bytes, threads, walls, tuple(command)))
        try:
            await engine._keeper.start()
            yield engine
        finally:
            await engine._keeper.end()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(engine._files.remove)

    @property
    def wall(self) -> str:
        """The walls that stand, such as `landlock abi 7 + seccomp`, or `none`; empty until `ready`."""
        return self._keeper.wall

    @property
    def pid(self) -> int | None:
        """The process to watch, if one runs: the child, or the bubblewrap around it."""
        return self._keeper.pid

    async def ready(self) -> str:
        """Wait for the child, and return `wall`. Raises EngineError: E06 or E07."""
        async with self._lock:
            await self._keeper.greet()
        return self.wall

    async def load(self, document: Path, recipe: Mapping[str, Any]) -> None:
        """The model to serve from now on: a document in the job directory, and how to train it."""
        name = check_name(document.name)
        if document.absolute() != self._files.job_dir / name:
            raise EngineError(f"{document} is not in the job directory {self.job_dir}", code="SHOAL-E09")
        async with self._lock:
            await self._keeper.load({"do": "load", "document": name, "recipe": dict(recipe)})

    async def preflight(self, *, timeout_s: float) -> dict[str, Any]:
        """`step_s`, `peak_bytes` and `parameters` of one training step, on made-up weights and data."""
        return await self._job({"do": "preflight"}, replies.preflight, timeout_s)

    async def train(
        self, *, base: str, chunk: str, out: str, seed: int, round: int, timeout_s: float
    ) -> dict[str, Any]:
        """Train a chunk from a state, and write the difference; `sha256` is that of the file `out`."""
        request = {"do": "train", "base": check_name(base), "chunk": check_name(chunk), "seed": seed, "round": round}
        return await self._job(request, replies.train, timeout_s, out=out)

    async def aggregate(
        self,
        *,
        base: str,
        updates: Sequence[Mapping[str, Any]],
        out: str,
        max_norm: float | None,
        timeout_s: float,
    ) -> dict[str, Any]:
        """Write base plus the mean of the updates that pass the gates: rows of `path`, `samples` and `chunk`."""
        chunks = [int(row["chunk"]) for row in updates]
        rows = [
            {"path": check_name(row["path"]), "samples": int(row["samples"]), "chunk": chunk}
            for row, chunk in zip(updates, chunks, strict=True)
        ]
        request = {"do": "aggregate", "base": check_name(base), "updates": rows, "max_norm": max_norm}
        return await self._job(request, partial(replies.aggregate, asked=set(chunks)), timeout_s, out=out)

    async def evaluate(self, *, state: str, chunk: str, timeout_s: float) -> dict[str, Any]:
        """`loss`, `metric` and `samples` of a state on a chunk."""
        request = {"do": "evaluate", "state": check_name(state), "chunk": check_name(chunk)}
        return await self._job(request, replies.evaluate, timeout_s)

    async def compare(self, *, mine: str, theirs: str, timeout_s: float) -> dict[str, Any]:
        """`distance` of another's update from one's own, relative to the norm of one's own.

        Raises:
            ModelError: SHOAL-M11, the other is no update of this model.
        """
        request = {"do": "compare", "mine": check_name(mine), "theirs": check_name(theirs)}
        return await self._job(request, replies.compare, timeout_s)

    async def _job(
        self, request: dict[str, Any], check: _Check, timeout_s: float, *, out: str | None = None
    ) -> dict[str, Any]:
        """One request and its checked report; a result is the child's until it was copied and hashed here."""
        if out is not None:
            request["out"] = check_name(out)
        async with self._lock:
            try:
                report = check(await self._keeper.ask(request, timeout_s=timeout_s))
                if out is not None:
                    await trio.to_thread.run_sync(self._files.take, out, report["sha256"])
            except replies.Lie:
                await self._keeper.end()
                raise
            return report
