"""Learning without learning: every model is a hash of what it was made from, which anyone can recompute."""

from __future__ import annotations

from collections.abc import Iterable

from shoal.core.codec import digest, encode
from shoal.core.duties import TrainChunk, unit_seed
from shoal.core.ids import Digest, TaskId
from shoal.core.task import Checkpoint, Update

INITIAL = digest(b"initial weights")


def train(task: TaskId, round: int, chunk: int, base: Digest) -> dict[str, object]:
    """The body of the `update` entry for one work unit."""
    state = digest(encode(["update", round, chunk, base, unit_seed(task, round, chunk)]))
    return {
        "round": round,
        "chunk": chunk,
        "base": base,
        "object": sealed(state),
        "state": state,
        "loss": 1.0 / (round + 1),
        "metric": 1.0 - 1.0 / (round + 1),
        "seconds": 0.5,
        "chain": digest(b"steps" + state),
    }


def void(duty: TrainChunk) -> dict[str, object]:
    """The body of the `void` entry for one work unit."""
    return {"round": duty.round, "chunk": duty.chunk, "base": duty.base.state, "reason": "the loss is NaN"}


def aggregate(base: Digest, updates: Iterable[Update]) -> Digest:
    """The next weights; depends on every update, in the order of chunks."""
    return digest(encode(["aggregate", base, [[u.chunk, u.state, u.samples] for u in updates]]))


def is_right(base: Checkpoint, checkpoint: Checkpoint) -> bool:
    """What a voter finds when it makes a checkpoint itself: nothing was left out, and the weights are these."""
    everything = tuple(update.chunk for update in checkpoint.updates)
    return checkpoint.included == everything and checkpoint.state == aggregate(base.state, checkpoint.updates)


def sealed(state: Digest) -> Digest:
    """The name of the ciphertext; encryption is deterministic, so every holder of the state finds the same."""
    return digest(b"sealed" + state)
