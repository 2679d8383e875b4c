"""What the child does for its parent: load, preflight, train, aggregate and evaluate, one after another."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shoal.adapters.engine import walls, wire
from shoal.adapters.engine.wire import REASON_CHARS, Setup
from shoal.core import limits
from shoal.errors import EngineError, ModelError
from shoal.learn import aggregate, chunks, train, update
from shoal.learn.document import GraphDocument, parse
from shoal.learn.interpreter import GraphModel
from shoal.learn.preflight import preflight
from shoal.learn.recipe import Recipe

_CHUNK_BYTES = limits.CHUNK_BYTES + limits.MIB
NO_MEMORY = ("DefaultCPUAllocator", "std::bad_alloc", "Cannot allocate memory")
"""How libraries say it, where they do not raise MemoryError."""
_STATES = 3
"""States that training holds beside the model: the base, the result and their difference."""


class Jobs:
    """One task's model and recipe, and what is worth keeping between jobs: the built model and the last chunk."""

    def __init__(self, setup: Setup, memory_limit: int) -> None:
        self._job_dir, self._scratch = Path(setup.job_dir), Path(setup.scratch)
        self._threads, self._memory_bytes, self._memory_limit = setup.threads, setup.memory_limit_bytes, memory_limit
        self._document: GraphDocument | None = None
        self._recipe: Recipe | None = None
        self._model: GraphModel | None = None
        self._chunk: tuple[tuple[object, ...], Tensor, Tensor] | None = None

    def run(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The report on one request."""
        arguments = {key: value for key, value in request.items() if key != "do"}
        jobs: dict[str, Callable[..., dict[str, Any]]] = {
            "load": self.load,
            "preflight": self.preflight,
            "train": self.train,
            "aggregate": self.aggregate,
            "evaluate": self.evaluate,
            "compare": self.compare,
        }
        try:
            return jobs[request["do"]](**arguments)
        finally:
            self._tidy()

    def load(self, *, document: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
        assert self._document is None, "a child serves one model"
        with (self._job_dir / document).open("rb") as file:
            parsed = parse(file.read(limits.DOCUMENT_BYTES + 1))
        self._recipe = Recipe.from_dict(recipe)
        self._document = parsed
        # Averaging maps every update at once: pages of files, which take no memory but count as address space.
        walls.set_memory(self._memory_limit + self._mapped(limits.CHUNKS), for_ever=True)
        walls.set_memory(self._memory_limit)
        return {}

    def preflight(self) -> dict[str, Any]:
        document, recipe = self._loaded()
        left = self._memory_bytes - _STATES * document.state_bytes - 2 * limits.CHUNK_BYTES
        if left <= 0:
            raise ModelError(
                f"the weights alone need more than the memory limit of {self._memory_bytes // limits.MIB} MiB",
                code="SHOAL-M09",
                hint="raise engine_memory_mib, or leave the task to larger machines",
            )
        found = preflight(document, recipe, max_bytes=left, threads=self._threads)
        return {"step_s": found.step_s, "peak_bytes": found.peak_bytes, "parameters": found.parameters}

    def train(self, *, base: str, chunk: str, out: str, seed: int, round: int) -> dict[str, Any]:
        document, recipe = self._loaded()
        x, y = self._read_chunk(chunk)
        state = update.read_state(self._job_dir / base, document)
        model = self._built(state)
        unit = train.train_unit(model, state, x, y, recipe, seed=seed, round=round, threads=self._threads)
        sha256 = update.write_state(self._scratch / out, update.difference(unit.state, state))
        return {
            "sha256": sha256,
            "samples": unit.samples,
            "loss": unit.loss,
            "metric": unit.metric,
            "seconds": unit.seconds,
            "chain": unit.chain.hex(),
        }

    def aggregate(
        self, *, base: str, updates: list[Mapping[str, Any]], out: str, max_norm: float | None
    ) -> dict[str, Any]:
        document, _ = self._loaded()
        files = [
            aggregate.UpdateFile(self._job_dir / row["path"], row["samples"], row["chunk"])
            for row in sorted(updates, key=lambda row: row["chunk"])
        ]
        # The library rejects what it cannot read. That must be the update's fault, or this node's checkpoint alone
        # would lack it.
        if absent := [file.path.name for file in files if not file.path.is_file()]:
            raise EngineError(f"the update {absent[0]} is not in the job directory", code="SHOAL-E09")
        walls.set_memory(self._memory_limit + self._mapped(len(files)))
        found = aggregate.aggregate(self._job_dir / base, files, self._scratch / out, document, max_norm=max_norm)
        if any(text in reason for text in NO_MEMORY for reason in found.rejected.values()):
            raise MemoryError
        rejected = {str(chunk): reason[:REASON_CHARS] for chunk, reason in found.rejected.items()}
        return {"sha256": found.sha256, "included": found.included, "rejected": rejected}

    def evaluate(self, *, state: str, chunk: str) -> dict[str, Any]:
        document, recipe = self._loaded()
        x, y = self._read_chunk(chunk)
        tensors = update.read_state(self._job_dir / state, document)
        found = train.evaluate(self._built(tensors), tensors, x, y, recipe, threads=self._threads)
        if not math.isfinite(found.loss) or not math.isfinite(found.metric):
            raise EngineError(
                f"the model diverged: its loss is {found.loss}, its {recipe.metric} {found.metric}",
                code="SHOAL-E02",
                hint="a smaller lr or a grad_clip in recipe.json usually helps",
            )
        return {"loss": found.loss, "metric": found.metric, "samples": found.samples}

    def compare(self, *, mine: str, theirs: str) -> dict[str, Any]:
        document, _ = self._loaded()
        walls.set_memory(self._memory_limit + self._mapped(2))
        found = update.distance(self._job_dir / mine, self._job_dir / theirs, document)
        return {"distance": min(found, wire.FARTHEST)}

    # ------------------------------------------------------------

    def _loaded(self) -> tuple[GraphDocument, Recipe]:
        assert self._document is not None and self._recipe is not None, "the parent loads first"
        return self._document, self._recipe

    def _built(self, state: Mapping[str, Tensor]) -> GraphModel:
        if self._model is None:
            self._model = GraphModel(self._loaded()[0], state)
        return self._model

    def _read_chunk(self, name: str) -> tuple[Tensor, Tensor]:
        path = self._job_dir / name
        try:
            found = path.stat()
            key: tuple[object, ...] = (name, found.st_ino, found.st_size, found.st_mtime_ns)
        except OSError:
            key = ()  # reading it says what is wrong
        if self._chunk is None or self._chunk[0] != key:
            self._chunk = None
            x, y = chunks.read_chunk(path, max_bytes=_CHUNK_BYTES)
            self._chunk = (key, torch.from_numpy(x), torch.from_numpy(y))
        return self._chunk[1:]

    def _mapped(self, updates: int) -> int:
        return (updates + 1) * (self._loaded()[0].state_bytes + limits.MIB)

    def _tidy(self) -> None:
        """Between jobs the child holds no more than it must."""
        walls.set_memory(self._memory_limit)
        if self._model is not None:
            self._model.zero_grad(set_to_none=True)
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)
