"""A node in a process of its own, for tests that stop or kill it: prints its address, echoes, gossips back."""

from __future__ import annotations

import json
import sys

import trio

from shoal.adapters.libp2p import open_network


async def main(seed: str, bootstrap: str, topic: str) -> None:
    async with open_network(private_key=bytes.fromhex(seed), bootstrap=[bootstrap], roles=["trainer"]) as network:

        async def echo(peer_id: str, payload: bytes) -> bytes:
            return payload

        network.serve("echo", echo)
        async with network.subscribe(topic) as stream:
            print(json.dumps(network.addresses()), flush=True)
            async for _, data in stream:
                await network.publish(topic, b"heard " + data)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
