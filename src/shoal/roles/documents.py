"""The model's graph document, from whoever has it: it is public, and its hash is in the manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio

from shoal.core import limits
from shoal.core.manifest import Manifest
from shoal.core.task import State
from shoal.errors import NetworkError, ShoalError
from shoal.ports import Network
from shoal.roles.tasklog import TaskLog

DOCUMENT_PAUSE_S = 0.3


async def get_document(
    tasklog: TaskLog,
    network: Network,
    peer_id_of: Callable[[bytes], str],
    manifest: Manifest,
    out: Path,
    *,
    until_ns: int,
) -> None:
    """Fetch it from the client, a trainer, or any connected peer, and offer it to others.

    Somebody who has just come is not known to everyone yet: all are asked again while it is not too late.

    Args:
        until_ns: consensus time from which it is too late.

    Raises:
        NetworkError: SHOAL-N11, nobody reachable has it.
    """
    size = min(manifest.document.size_bytes, limits.DOCUMENT_BYTES)
    failure: ShoalError | None = None
    while not out.exists():
        state = tasklog.log
        keys = [node_key(state), *(state.authors[seat.trainer].signing_key for seat in state.seats)]
        named = [peer_id_of(key) for key in keys]
        others = [peer.peer_id for peer in network.peers() if peer.connected and peer.peer_id not in named]
        for peer in [named[0], *others, *named[1:]]:
            if peer == network.peer_id:
                continue
            try:
                await network.fetch(peer, manifest.document.sha256, out, max_bytes=size, timeout_s=20)
                break
            except ShoalError as error:
                failure = error
        else:
            if tasklog.log.now_ns > until_ns or tasklog.log.phase.over:
                raise NetworkError("nobody reachable has the model's graph document", code="SHOAL-N11") from failure
            await trio.sleep(DOCUMENT_PAUSE_S)
    network.provide(manifest.document.sha256, out)


def node_key(log: State) -> bytes:
    """The key of the node that speaks for the client among peers: the one that the manifest names, else its own."""
    via = log.manifest.via if log.manifest is not None else b""
    return via or log.authors[log.client].signing_key
