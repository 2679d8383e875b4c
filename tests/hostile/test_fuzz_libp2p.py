"""Two thousand malformed messages of every wire type: none ends a node or makes it hang; `make fuzz` sends 100,000."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from shoal.adapters.libp2p import bounds, open_network
from shoal.core import limits

MESSAGES = 2_000


def load_wire() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wire", Path(__file__).with_name("wire.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["wire"] = module
    spec.loader.exec_module(module)
    return module


wire = load_wire()


async def test_no_malformed_message_ends_a_node_or_makes_it_hang() -> None:
    async with wire.target(seed=11) as fuzzed:
        node = fuzzed.network
        for wire_type in wire.WIRE_TYPES:
            for _ in range(MESSAGES):
                await fuzzed.send(wire_type)
            assert node.rebuilds == 0, wire_type
        # Some of them were sound, and went all the way in.
        assert len(node._mesh._held) == 1
        assert len(node.peers()) > 1
        assert node.read(wire.TOPIC)
        remembered = wire.tables(node)
        assert remembered["peers"] <= limits.PEERS
        assert remembered["accounts"] <= 2 * bounds.CONNECTIONS
        assert remembered["bans"] <= bounds.BANS
        assert remembered["hearers"] == 0
        async with open_network(private_key=os.urandom(32), bootstrap=node.addresses()) as honest:
            await honest.wait_for_peers(1, 20)
            assert await honest.request(node.peer_id, "echo", b"sound", timeout_s=10) == b"sound"


async def test_it_would_notice_what_a_node_hangs_at_or_dies_of() -> None:
    async with wire.target(seed=12) as fuzzed:

        def fail(*args: object) -> None:
            raise RuntimeError("injected")

        fuzzed.network._mesh.take = fail
        try:
            await fuzzed.send("summary")
        except RuntimeError:
            return
        raise AssertionError("an error in a handler of gossip went unnoticed")
