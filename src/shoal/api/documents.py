"""Graph documents and ready models that a node keeps for pages: files named by their SHA-256, bounded in number."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from shoal import seal
from shoal.core import limits
from shoal.errors import ModelError, UsageError
from shoal.learn import document, update, zoo
from shoal.learn.document import GraphDocument
from shoal.learn.recipe import Recipe
from shoal.seal.files import whole_file

DOCUMENTS = 2_000
"""Kept at once; the oldest that no task needs go first."""
WEIGHTS_BYTES = 64 * limits.MIB
"""Of a ready model: others are made where there is Python."""
_MADE = 64


@dataclass(frozen=True, slots=True)
class Held:
    """A document on this node."""

    sha256: str
    size_bytes: int
    parsed: GraphDocument
    path: Path
    is_ours: bool
    """Whether it is of our own zoo: what a stranger wrote is never run on a gateway."""

    @property
    def weights_bytes(self) -> int:
        """Of a state of this model as a file."""
        return len(update.header(self.parsed.state_specs())) + self.parsed.state_bytes

    @property
    def slot_bytes(self) -> int:
        return seal.slot_bytes(self.weights_bytes)


@dataclass(frozen=True, slots=True)
class Ready:
    """A model of the zoo, with where its initial weights lie."""

    held: Held
    weights_sha256: str
    weights_bytes: int
    recipe: Recipe


class Documents:
    """Files below one directory.

    Args:
        needed: hashes of documents that must stay.
    """

    def __init__(self, directory: Path, needed: Callable[[], Collection[str]]) -> None:
        self._dir, self._needed = directory, needed
        self._one = trio.CapacityLimiter(1)  # exporting a model takes a processor for seconds

    async def add(self, data: bytes) -> Held:
        """Keep a document, once it has been read as trainers read it.

        Raises:
            ModelError: SHOAL-M03, M05, M06, what is wrong with it.
        """
        parsed = await trio.to_thread.run_sync(document.parse, data)
        return await trio.to_thread.run_sync(self._keep, data, parsed, False)

    async def get(self, sha256: str) -> Held:
        """A document that this node holds.

        Raises:
            UsageError: SHOAL-U92, it does not.
        """
        path = self._path(sha256)
        if not path.is_file():
            raise UsageError(
                "this node does not hold such a document", code="SHOAL-U92", hint="POST /api/v1/documents first"
            )
        data = path.read_bytes()
        parsed = await trio.to_thread.run_sync(document.parse, data)
        return Held(sha256, len(data), parsed, path, path.with_suffix(".zoo").exists())

    async def make(self, name: str, shape: Sequence[int], classes: int, *, hidden: int, seed: int) -> Ready:
        """A model of the zoo: made once, the same for everybody who asks for the same.

        Raises:
            UsageError: SHOAL-U91, there is none for this shape.
            ModelError: SHOAL-M05, it is too large to be made here.
        """
        wish = json.dumps([name, list(shape), classes, hidden, seed])
        note = self._dir / "zoo" / f"{hashlib.sha256(wish.encode()).hexdigest()}.json"
        if note.is_file():
            kept = json.loads(note.read_bytes())
            if self._path(kept["document"]).is_file() and self.weights(kept["weights"]) is not None:
                held = await self.get(kept["document"])
                return Ready(held, kept["weights"], kept["bytes"], Recipe.from_dict(kept["recipe"]))
        made = await trio.to_thread.run_sync(
            lambda: zoo.make(name, shape, classes, hidden=hidden, seed=seed), limiter=self._one
        )
        return await trio.to_thread.run_sync(self._keep_made, made, note)

    def weights(self, sha256: str) -> Path | None:
        """The initial weights of a ready model."""
        path = self._dir / "zoo" / f"{sha256}.safetensors"
        return path if path.is_file() else None

    # ------------------------------------------------------------

    def _path(self, sha256: str) -> Path:
        return self._dir / f"{sha256}.json"

    def _keep(self, data: bytes, parsed: GraphDocument, is_ours: bool) -> Held:
        self._dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._path(sha256)
        if path.is_file():
            os.utime(path)
        else:
            self._make_room(self._dir.glob("*.json"), DOCUMENTS)
            _write(path, data)
        if is_ours:
            path.with_suffix(".zoo").touch()
        return Held(sha256, len(data), parsed, path, path.with_suffix(".zoo").exists())

    def _keep_made(self, made: zoo.Made, note: Path) -> Ready:
        if len(made.weights) > WEIGHTS_BYTES:
            raise ModelError(
                f"this model has {len(made.weights)} bytes of weights; a node makes none beyond {WEIGHTS_BYTES}",
                code="SHOAL-M05",
                hint="a smaller `hidden`, or smaller images",
            )
        held = self._keep(made.document, document.parse(made.document), True)
        folder = self._dir / "zoo"
        folder.mkdir(exist_ok=True, mode=0o700)
        self._make_room(folder.glob("*.safetensors"), _MADE)
        self._make_room(folder.glob("*.json"), _MADE)
        sha256 = hashlib.sha256(made.weights).hexdigest()
        _write(folder / f"{sha256}.safetensors", made.weights)
        kept = {
            "document": held.sha256,
            "weights": sha256,
            "bytes": len(made.weights),
            "recipe": made.recipe.as_dict(),
        }
        _write(note, json.dumps(kept).encode())
        return Ready(held, sha256, len(made.weights), made.recipe)

    def _make_room(self, paths: Any, most: int) -> None:
        needed = set(self._needed())
        old = sorted((each for each in paths if each.stem not in needed), key=lambda each: each.stat().st_mtime)
        for path in old[: max(0, len(old) - most + 1)]:
            path.unlink(missing_ok=True)
            path.with_suffix(".zoo").unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with whole_file(path) as file:
        file.write(data)
