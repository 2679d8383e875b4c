"""Keeps one child ready: starts it, sees its walls, loads the model into it, and starts another when it is lost."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import trio

from shoal import meters
from shoal.adapters.engine import bubblewrap, replies
from shoal.adapters.engine.files import JobFiles
from shoal.adapters.engine.process import Child
from shoal.adapters.engine.wire import REQUEST_BYTES, Setup, encode
from shoal.errors import EngineError

START_TIMEOUT_S = 120.0
"""Importing torch takes seconds, on a cold disk many."""
LOAD_TIMEOUT_S = 60.0
CHILD = (sys.executable, "-P", "-B", "-m", "shoal.adapters.engine.child")
"""The command; how the child is to live follows as its last argument."""
_INHERITED = ("PYTHONPATH", "LD_LIBRARY_PATH")
"""All that is taken from our own environment, which may hold secrets."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Walls = Literal["auto", "none"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What every child of an engine gets."""

    memory_limit_bytes: int
    threads: int
    walls: Walls
    command: tuple[str, ...] = CHILD


class Keeper:
    """Not for two tasks at once: its user holds a lock."""

    def __init__(self, files: JobFiles, terms: Terms) -> None:
        self.wall = ""
        self._files, self._terms = files, terms
        self._bubblewrap: tuple[str, ...] = ()
        self._child: Child | None = None
        self._greeted = self._loaded = False
        self._model: Mapping[str, Any] | None = None
        """The request that loads it, to be said again to each fresh child."""

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None and self._child.alive else None

    async def start(self) -> Child:
        """A child that has begun to start."""
        await trio.to_thread.run_sync(self._files.prepare)
        if self._terms.walls == "auto":
            self._bubblewrap = await trio.to_thread.run_sync(bubblewrap.prefix)
        setup = Setup(
            job_dir=str(self._files.job_dir),
            scratch=str(self._files.scratch),
            canary=str(self._files.canary),
            memory_limit_bytes=self._terms.memory_limit_bytes,
            threads=self._terms.threads,
            walled=self._terms.walls == "auto",
            bubblewrap=bool(self._bubblewrap),
            parent_pid=os.getpid(),
        )
        outer = bubblewrap.wrap(self._bubblewrap, self._files) if self._bubblewrap else []
        command = [*outer, *self._terms.command, setup.to_json()]
        meters.ENGINE_STARTS.inc()
        self._child = Child(command, environment=self._environment(), directory=self._files.scratch)
        return self._child

    async def greet(self) -> Child:
        """A child that has shown its walls.

        Raises:
            EngineError: SHOAL-E06 the walls do not stand; SHOAL-E07 it does not start.
        """
        if self._child is not None and not self._child.alive:
            meters.ENGINE_RESTARTS.inc()
            await self.end()
        child = self._child or await self.start()
        if self._greeted:
            return child
        try:
            wall, breaches = replies.read_hello(await _hello(child))
            if self._terms.walls == "auto" and (breaches or not wall):
                raise _no_walls(wall, breaches)
        except BaseException:
            await self.end()
            raise
        outer = "bubblewrap + " if self._bubblewrap else ""
        self.wall = f"{outer}{wall}" if self._terms.walls == "auto" else "none"
        self._greeted = True
        return child

    async def load(self, model: Mapping[str, Any]) -> None:
        """Serve this model from now on. Raises as the child, and then serves none."""
        if self._loaded:  # one child, one model: nothing of the last one is left to meet
            await self.end()
        self._model = model
        try:
            await self._ready()
        except BaseException:
            self._model = None
            raise

    async def ask(self, request: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
        """The report on a job, as yet unchecked. Raises as the child, and as `Child.ask`."""
        return await _ask(await self._ready(), request, timeout_s)

    async def end(self) -> None:
        """No child; the next job starts one."""
        child, self._child = self._child, None
        self._greeted = self._loaded = False
        if child is not None:
            await child.aclose()

    # ------------------------------------------------------------

    async def _ready(self) -> Child:
        child = await self.greet()
        if not self._loaded:
            if self._model is None:
                raise EngineError("no model is loaded", code="SHOAL-E09", hint="call load first")
            try:
                replies.nothing(await _ask(child, self._model, LOAD_TIMEOUT_S))
            except BaseException:
                await self.end()  # it may have loaded half of it
                raise
            self._loaded = True
        return child

    def _environment(self) -> dict[str, str]:
        scratch = str(self._files.scratch)
        own = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return {
            **own,
            **dict.fromkeys(_THREAD_VARIABLES, str(self._terms.threads)),
            **dict.fromkeys(("HOME", "TMPDIR", "TORCHINDUCTOR_CACHE_DIR"), scratch),
            "USER": "shoal",  # else torch asks the system's user database
            "LANG": "C.UTF-8",
            "CUDA_VISIBLE_DEVICES": "",
            "MALLOC_ARENA_MAX": "2",  # each reserves address space, which the memory limit counts
        }


async def _hello(child: Child) -> bytes:
    try:
        return await child.ask(None, what="its start", timeout_s=START_TIMEOUT_S)
    except replies.Lie:
        raise
    except EngineError as error:
        hint = "its last words are in the message; is there enough memory, and is torch installed?"
        raise EngineError(error.message, code="SHOAL-E07", hint=hint) from error


async def _ask(child: Child, request: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
    try:
        too_long = len(encode(request)) > REQUEST_BYTES
    except (TypeError, ValueError) as error:
        raise EngineError(f"a job that is not JSON: {error}", code="SHOAL-E09") from error
    if too_long:
        raise EngineError(f"a job of more than {REQUEST_BYTES} bytes", code="SHOAL-E09")
    return replies.read_reply(await child.ask(request, what=str(request["do"]), timeout_s=timeout_s))


def _no_walls(wall: str, breaches: Sequence[str]) -> EngineError:
    through = f"{', '.join(breaches)} got through" if breaches else "there are none"
    return EngineError(
        f"the walls around training do not stand ({wall or 'none'}): {through}",
        code="SHOAL-E06",
        hint="use Linux 5.13 or newer with Landlock, or install bubblewrap; allow_unsandboxed trains strangers' models "
        "without walls, which is dangerous",
    )
