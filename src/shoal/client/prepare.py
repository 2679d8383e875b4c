"""Preparing a task on the ML user's machine: look at the data, check the model, cut, encrypt, upload.

Nothing here costs anything, and nothing leaves the machine in clear but the graph document.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trio

from shoal import seal
from shoal.client.source import Source, load_data, load_model, recipe_of
from shoal.core import limits
from shoal.core.codec import CodecError, digest
from shoal.core.ids import Digest
from shoal.core.manifest import AuditRules, Blob, ChunkInfo, Manifest, Rules
from shoal.errors import DataError, UsageError
from shoal.learn import chunks as chunkfiles
from shoal.learn import data, document, export, fit, train, update
from shoal.learn.interpreter import GraphModel
from shoal.learn.recipe import Recipe
from shoal.ports import Blobs
from shoal.roles import bundle as b
from shoal.roles.client import Secrets

EXAMPLE_ROWS = 8
_PLAIN_BYTES = limits.CHUNK_BYTES - limits.MIB
"""Of rows in a chunk: the rest is left for its header."""
DOCUMENT = "graph.json"
TEST_SPLIT = "test.safetensors"


@dataclass(frozen=True, slots=True)
class Examined:
    """A model and a data set that fit each other: everything that is known before a price is asked."""

    name: str
    recipe: Recipe
    split: data.Split
    description: data.Description
    exported: export.Exported
    classes: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task that lies encrypted in storage, ready to be created."""

    manifest: Manifest
    secrets: Secrets


def examine(source: Source, overrides: dict[str, Any]) -> Examined:
    """Load the data and the model, and check that the exported model trains like the one that was written.

    Raises:
        DataError, ModelError, UsageError: what is wrong, where, and what to do.
    """
    recipe = recipe_of(source, overrides)
    loaded = load_data(source, recipe)
    # The seed is the task's; what a notebook draws afterwards is its own.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        module = load_model(source)
        loaded = _as_taken(module, loaded)
        split = data.split(loaded, seed=recipe.seed)
        rows = min(EXAMPLE_ROWS, len(split.train.x))
        exported = export.export_model(module, (_tensor(split.train.x[:rows]),), recipe, _tensor(split.train.y[:rows]))
    return Examined(source.name, recipe, split, data.describe(loaded), exported, loaded.classes)


def _as_taken(module: torch.nn.Module, loaded: data.Dataset) -> data.Dataset:
    """Whole numbers stay whole for a model that takes them so, such as one with an embedding; else they are float32."""
    whole = loaded.x.dtype == np.int64
    if not whole or not fit.wants_floats(module, _tensor(loaded.x[:EXAMPLE_ROWS])):
        return loaded
    return replace(loaded, x=fit.as_floats(loaded.x, loaded.source))


async def prepare(
    examined: Examined,
    *,
    chunks: int,
    blobs: Blobs,
    directory: Path,
    network: str,
    contract: str,
    rules: Rules,
    audit: AuditRules | None = None,
    progress: Callable[[str, int, int], None],
    graph_cid: str = "",
) -> Prepared:
    """Cut the data into chunks, encrypt each with a key of its own, upload, and write the manifest.

    Args:
        directory: keeps the secrets and the test split; readable by the owner only.
        progress: called with (what, done, total).
        graph_cid: where the graph document is pinned, if it is.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    prefix = f"tasks/{secrets.token_hex(16)}"
    work = directory / "upload"
    work.mkdir(exist_ok=True)
    (directory / DOCUMENT).write_bytes(examined.exported.document)
    await blobs.ensure_bucket()
    infos, keys = [], []
    pieces = chunkfiles.cut(examined.split.train, chunks, seed=examined.recipe.seed)
    for index, piece in enumerate(pieces):
        info, key = await _encrypt_chunk(blobs, prefix, f"chunk-{index}", piece.x, piece.y, work)
        infos.append(info)
        keys.append(key)
        progress("chunks", index + 1, len(pieces))
    validation = fitting(examined.split.validation)
    validation_info, validation_key = await _encrypt_chunk(
        blobs, prefix, "validation", validation.x, validation.y, work
    )
    secret = secrets.token_bytes(32)
    initial, initial_blob, size = await _encrypt_initial(examined, blobs, prefix, secret, directory, work)
    chunkfiles.write_chunk(directory / TEST_SPLIT, examined.split.test.x, examined.split.test.y)
    manifest = Manifest(
        nonce=secrets.token_bytes(16),
        network=network,
        contract=contract,
        document=Blob(digest(examined.exported.document), len(examined.exported.document)),
        initial=initial,
        initial_blob=initial_blob,
        recipe=examined.recipe.as_dict(),
        chunks=tuple(infos),
        validation=validation_info,
        slot_bytes=seal.slot_bytes(size),
        rules=rules,
        summary={
            "name": examined.name,
            "rows": sum(info.rows for info in infos),
            "shape": [int(n) for n in examined.split.train.x.shape[1:]],
            "classes": len(examined.classes or ()),
            "metric": examined.recipe.metric,
            **({"graph_cid": graph_cid} if graph_cid else {}),
        },
        audit=audit,
    )
    try:
        Manifest.from_bytes(manifest.to_bytes())
    except CodecError as error:
        # Nobody could read it: better here than after the escrow is paid.
        raise UsageError(
            f"this task cannot be described: {error}", code="SHOAL-U14", hint="fewer chunks, or other timeouts"
        ) from error
    return Prepared(manifest, Secrets(prefix, secret, tuple(keys), validation_key))


def fewest_chunks(rows: data.Part) -> int:
    """How many chunks some rows fill, each as large as a chunk may be."""
    return -(-(rows.x.nbytes + rows.y.nbytes) // _PLAIN_BYTES)


def fitting(rows: data.Part) -> data.Part:
    """The rows, or as many of them as fit one chunk: they are shuffled, so these stand for all."""
    most = _PLAIN_BYTES * len(rows.x) // max(1, rows.x.nbytes + rows.y.nbytes)
    return rows if most >= len(rows.x) else data.Part(rows.x[:most], rows.y[:most])


async def _encrypt_chunk(
    blobs: Blobs, prefix: str, name: str, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], work: Path
) -> tuple[ChunkInfo, str]:
    plain, cipher = work / f"{name}.safetensors", work / f"{name}.age"
    identity, recipient = seal.new_identity()

    def encrypt() -> Blob:
        chunkfiles.write_chunk(plain, x, y)
        if plain.stat().st_size > limits.CHUNK_BYTES:
            raise DataError(
                f"{name} has {plain.stat().st_size} bytes, at most {limits.CHUNK_BYTES} fit",
                code="SHOAL-D20",
                hint="cut the data set into more chunks with --chunks",
            )
        seal.seal_file(plain, cipher, [recipient])
        return Blob(Digest(seal.sha256_file(cipher)), cipher.stat().st_size)

    blob = await trio.to_thread.run_sync(encrypt)
    await blobs.put(f"{prefix}/{name}", cipher)
    plain.unlink()
    cipher.unlink()
    return ChunkInfo(blob, len(x)), identity


async def _encrypt_initial(
    examined: Examined, blobs: Blobs, prefix: str, secret: bytes, directory: Path, work: Path
) -> tuple[Digest, Blob, int]:
    """Round 0: the weights as the author's model was initialised."""
    plain, cipher = directory / "initial.safetensors", work / "initial.cipher"
    update.write_state(plain, initial_state(examined))
    plain_hash, cipher_hash, size = seal.encrypt_deterministic(secret, b.checkpoint_label(0), plain, cipher)
    await blobs.put(f"{prefix}/initial", cipher)
    cipher.unlink()
    return Digest(plain_hash), Blob(Digest(cipher_hash), size), plain.stat().st_size


def graph_model(examined: Examined) -> GraphModel:
    """The exported model, as trainers will run it."""
    return GraphModel.from_bytes(examined.exported.document, examined.exported.weights)


def initial_state(examined: Examined) -> dict[str, torch.Tensor]:
    return graph_model(examined).state()


def evaluate(document_bytes: bytes, weights: Path, test: Path, recipe: Recipe) -> train.Metrics:
    """Score a result on the test split, which never left this machine."""
    parsed = document.parse(document_bytes)
    state = update.read_state(weights, parsed)
    x, y = chunkfiles.read_chunk(test, max_bytes=limits.CHUNK_BYTES * limits.CHUNKS)
    return train.evaluate(GraphModel(parsed, state), state, _tensor(x), _tensor(y), recipe)


def train_centrally(examined: Examined, *, steps: int) -> train.Metrics:
    """The same model and data in one place, for the same number of steps: what federation is measured by."""
    model = graph_model(examined)
    x, y = _tensor(examined.split.train.x), _tensor(examined.split.train.y)
    state = train.train_central(
        model, initial_state(examined), x, y, examined.recipe, steps=steps, seed=examined.recipe.seed
    )
    test = examined.split.test
    return train.evaluate(model, state, _tensor(test.x), _tensor(test.y), examined.recipe)


def _tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
