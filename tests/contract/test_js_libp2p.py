"""js-libp2p, which nobody here wrote, joins as an observer (needs `npm ci` in tests/js-libp2p)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio

from shoal.adapters.libp2p import Libp2pNetwork, open_network
from shoal.core import codec

JS = Path(__file__).parents[1] / "js-libp2p"
TOPIC = "shoal/observed"
pytestmark = pytest.mark.skipif(not (JS / "node_modules").is_dir(), reason="needs `npm ci` in tests/js-libp2p")


class Observer:
    """What the other process says, by event."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    async def listen(self, stdout: trio.abc.ReceiveStream) -> None:
        rest = b""
        async for part in stdout:
            *lines, rest = (rest + part).split(b"\n")
            self.events += [json.loads(line) for line in lines]

    async def first(self, event: str, **fields: Any) -> dict[str, Any]:
        with trio.fail_after(60):
            while True:
                for each in self.events:
                    if each["event"] == event and all(each[name] == value for name, value in fields.items()):
                        return each
                await trio.sleep(0.05)


async def publish(network: Libp2pNetwork, texts: int) -> None:
    for number in range(texts):
        await network.publish(TOPIC, b"hello %d" % number)
        await trio.sleep(0.2)


async def test_an_observer_pings_identifies_gossips_and_asks_for_the_mesh() -> None:
    async with (
        open_network(private_key=os.urandom(32), roles=["bootstrap"]) as network,
        open_network(private_key=os.urandom(32), bootstrap=network.addresses(), roles=["trainer"]) as other,
        trio.open_nursery() as nursery,
    ):
        await other.wait_for_peers(1, 20)
        await network.join(TOPIC)
        process: trio.Process = await nursery.start(
            lambda task_status: trio.run_process(  # noqa: ASYNC105 - the nursery awaits it
                ["node", "observer.mjs", network.addresses()[0], TOPIC],
                cwd=JS,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                check=False,
                task_status=task_status,
            )
        )
        assert process.stdout is not None
        assert process.stdin is not None
        observer = Observer()
        nursery.start_soon(observer.listen, process.stdout)
        own = (await observer.first("connected"))["own"]
        assert (await observer.first("ping"))["ms"] >= 0
        protocols = (await observer.first("identify", peer=network.peer_id))["protocols"]
        assert {"/shoal/mesh/1", "/meshsub/1.2.0", "/ipfs/ping/1.0.0"} <= set(protocols)
        nursery.start_soon(publish, network, 100)
        heard = await observer.first("message", **{"from": network.peer_id})
        answer = (own, b"heard " + heard["text"].encode())
        with trio.fail_after(30):
            while answer not in [(each.peer_id, each.data) for each in network.read(TOPIC)]:  # noqa: ASYNC110
                await trio.sleep(0.05)
        reply = bytes.fromhex((await observer.first("mesh"))["hex"])
        found = await other._mesh.take_reply(reply)
        assert network.peer_id in {each.peer_id for each in found}
        assert set(codec.decode(reply, max_bytes=len(reply))) == {"summaries"}
        topics = {each.name: each.peers for each in network.topics()}
        assert own in topics[TOPIC]
        assert network.rebuilds == 0
        await process.stdin.aclose()
        with trio.fail_after(20):
            await process.wait()
        nursery.cancel_scope.cancel()
