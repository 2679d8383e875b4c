"""Measure what a peer that gossips 1,000 valid messages a second does to honest gossip, and when it is cut off.

python bench/flood.py
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

from shoal.adapters.libp2p import open_network
from shoal.adapters.libp2p.library import build_host

TOPIC = "shoal/flood"
HONEST_PER_S = 50
FLOOD_PER_S = 1_000
CALM_S = 8.0
FLOODED_S = 8.0


async def victim() -> None:
    async with open_network(private_key=os.urandom(32), roles=["bootstrap"]) as network:
        print(json.dumps({"address": network.addresses()[0]}), flush=True)
        heard: list[tuple[str, float, float]] = []

        async def listen() -> None:
            async with network.subscribe(TOPIC) as stream:
                async for author, data in stream:
                    heard.append((author, time.time(), float(data.split()[0])))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            cut_off_s, began_s = 0.0, time.time()
            while time.time() - began_s < 3 + CALM_S + FLOODED_S:
                if network.status().cut_off and not cut_off_s:
                    cut_off_s = time.time()
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        print(json.dumps({"heard": heard, "cut_off_s": cut_off_s, "rebuilds": network.rebuilds}), flush=True)


async def honest(address: str) -> None:
    async with open_network(private_key=os.urandom(32), bootstrap=[address]) as network:
        print(json.dumps({"peer_id": network.peer_id}), flush=True)
        next_s = trio.current_time()
        while True:
            await network.publish(TOPIC, b"%f" % time.time())
            next_s += 1 / HONEST_PER_S
            await trio.sleep_until(next_s)


async def flooder(address: str) -> None:
    host = build_host(os.urandom(32))
    bare, _, peer_id = address.partition("/p2p/")
    async with host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        await host.get_network().dial_addr(Multiaddr(bare), ID.from_base58(peer_id))
        stream = await host.new_stream(ID.from_base58(peer_id), ["/meshsub/1.2.0"])
        key, public = host.get_private_key(), host.get_public_key().serialize()
        print(json.dumps({"peer_id": str(host.get_id()), "began_s": time.time()}), flush=True)
        sent, began_s = 0, time.time()
        while True:
            rpc = rpc_pb2.RPC()
            for _ in range(10):
                message = rpc_pb2.Message(
                    from_id=host.get_id().to_bytes(), seqno=os.urandom(8), data=b"%f" % time.time(), topicIDs=[TOPIC]
                )
                message.signature = key.sign(b"libp2p-pubsub:" + message.SerializeToString())
                message.key = public
                rpc.publish.append(message)
            await stream.write(encode_varint_prefixed(rpc.SerializeToString()))
            sent += 10
            await trio.sleep(max(0.0, began_s + sent / FLOOD_PER_S - time.time()))


def start(role: str, *arguments: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    process = subprocess.Popen(
        [sys.executable, __file__, role, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def measure() -> None:
    target, said = start("victim")
    speaker, named = start("honest", said["address"])
    time.sleep(3 + CALM_S)
    enemy, other = start("flooder", said["address"])
    assert target.stdout is not None
    report = json.loads(target.stdout.readline())
    for process in (speaker, enemy, target):
        process.kill()
        process.wait()
    began_s = other["began_s"]
    honest_rows = [(at, at - sent) for author, at, sent in report["heard"] if author == named["peer_id"]]
    flood_rows = [at for author, at, _ in report["heard"] if author == other["peer_id"]]
    calm = [row for row in honest_rows if began_s - 5 <= row[0] < began_s]
    attacked = [row for row in honest_rows if began_s <= row[0] < began_s + 5]
    result = {
        "load": os.getloadavg()[0],
        "cut_off_after_s": report["cut_off_s"] - began_s if report["cut_off_s"] else None,
        "flood_messages_delivered": len(flood_rows),
        "honest_per_s": {"calm": len(calm) / 5, "flooded": len(attacked) / 5},
        "honest_latency_ms": {
            name: statistics.median(latency for _, latency in rows) * 1e3 if rows else None
            for name, rows in (("calm", calm), ("flooded", attacked))
        },
        "rebuilds": report["rebuilds"],
    }
    print(json.dumps(result, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", nargs="?", choices=["victim", "honest", "flooder"])
    parser.add_argument("address", nargs="?")
    arguments = parser.parse_args()
    if arguments.role is None:
        measure()
    elif arguments.role == "victim":
        trio.run(victim)
    else:
        trio.run({"honest": honest, "flooder": flooder}[arguments.role], arguments.address)


if __name__ == "__main__":
    main()
