"""Measure the peer network alone: how soon many nodes know of each other, how fast news spreads, memory, dead peers.

python bench/mesh.py --nodes 50 --processes 10
python bench/mesh.py --nodes 10 --processes 10       # one a process: memory of a node
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import psutil
import trio

from shoal.adapters.libp2p import Libp2pNetwork, open_network

TOPIC = "shoal/bench"
ANNOUNCEMENTS = 20
WAIT_S = 180.0


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


async def worker(nodes: int, total: int, bootstrap: str) -> None:
    """`nodes` nodes in this process, told what to do by lines on stdin; times are Unix time."""
    stdin = trio.wrap_file(sys.stdin)
    say(event="loaded")
    await stdin.readline()
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        networks = []
        for _ in range(nodes):
            options: dict[str, Any] = {"bootstrap": [bootstrap] if bootstrap else [], "roles": ["trainer"]}
            if not bootstrap:
                options["roles"] = ["bootstrap"]
            networks.append(await stack.enter_async_context(open_network(private_key=os.urandom(32), **options)))
        say(event="started", time_s=time.time(), address=networks[0].addresses()[0])
        for network in networks:
            nursery.start_soon(listen, network)
            nursery.start_soon(report_when_complete, network, total)
        while line := (await stdin.readline()).strip():
            if line == "publish":
                now_s = time.time()
                say(event="published", time_s=now_s)
                await networks[0].publish(TOPIC, repr(now_s).encode())
            elif line == "peers":
                degrees = [network.status().connected for network in networks]
                say(event="peers", degrees=degrees, ids=[network.peer_id for network in networks])
            elif line.startswith("watch "):
                nursery.start_soon(report_when_lost, networks[0], line.removeprefix("watch "))
        nursery.cancel_scope.cancel()


async def listen(network: Libp2pNetwork) -> None:
    async with network.subscribe(TOPIC) as stream:
        async for _, data in stream:
            say(event="heard", time_s=time.time(), said_s=float(data))


async def report_when_complete(network: Libp2pNetwork, total: int) -> None:
    while len(network.mesh()) < total:  # noqa: ASYNC110
        await trio.sleep(0.25)
    say(event="complete", time_s=time.time())


async def report_when_lost(network: Libp2pNetwork, peer_id: str) -> None:
    while any(each.peer_id == peer_id and each.connected for each in network.peers()):  # noqa: ASYNC110
        await trio.sleep(0.02)
    say(event="lost", time_s=time.time())


class Child:
    """A worker process, and what it said."""

    def __init__(self, nodes: int, total: int, bootstrap: str) -> None:
        command = [sys.executable, __file__, "--worker", str(nodes), str(total), bootstrap]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.events: list[dict[str, Any]] = []

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in trio.wrap_file(self.process.stdout):
            self.events.append(json.loads(line))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["event"] == event]


async def until(condition: Any) -> None:
    with trio.fail_after(WAIT_S):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.05)


async def measure(nodes: int, processes: int) -> None:
    report: dict[str, Any] = {"nodes": nodes, "processes": processes, "load_before": os.getloadavg()[0]}
    shares = [nodes // processes + (index < nodes % processes) for index in range(processes)]
    async with trio.open_nursery() as nursery:
        children = [Child(1, nodes, "")]  # the bootstrap node has a process to itself
        shares[-1] -= 1
        nursery.start_soon(children[0].read)
        await until(lambda: children[0].of("loaded"))
        children[0].tell("go")
        await until(lambda: children[0].of("started"))
        address = children[0].of("started")[0]["address"]
        for share in filter(None, shares):
            children.append(Child(share, nodes, address))
            nursery.start_soon(children[-1].read)
        await until(lambda: all(child.of("loaded") for child in children))
        began_s = time.time()
        for child in children[1:]:
            child.tell("go")
        nursery.start_soon(progress, children)
        await until(lambda: sum(len(child.of("complete")) for child in children) == nodes)
        started_s = max(child.of("started")[0]["time_s"] for child in children)
        complete_s = max(each["time_s"] for child in children for each in child.of("complete"))
        report |= {"all_started_s": started_s - began_s, "mesh_complete_s": complete_s - began_s}
        await trio.sleep(10)
        report["rss_mib"] = [round(psutil.Process(c.process.pid).memory_info().rss / 2**20, 1) for c in children]
        report |= await announcements(children, nodes)
        report |= await degrees(children)
        report |= await stopped(children)
        report["load_after"] = os.getloadavg()[0]
        for child in children:
            child.process.send_signal(signal.SIGCONT)
            child.process.kill()
        nursery.cancel_scope.cancel()
    print(json.dumps({name: round(v, 3) if isinstance(v, float) else v for name, v in report.items()}, indent=1))


async def progress(children: list[Child]) -> None:
    began_s = time.time()
    while True:
        await trio.sleep(5)
        complete = sum(len(child.of("complete")) for child in children)
        print(f"{time.time() - began_s:.0f} s: {complete} nodes know all others", file=sys.stderr)


async def announcements(children: list[Child], nodes: int) -> dict[str, Any]:
    """Seconds until the last node heard each of some announcements, and how many nodes missed one."""
    last, missed, each_s = [], 0, []
    for number in range(ANNOUNCEMENTS):
        speaker = children[number % len(children)]
        before = len(speaker.of("published"))
        speaker.tell("publish")
        await until(lambda speaker=speaker, before=before: len(speaker.of("published")) > before)
        said_s = speaker.of("published")[-1]["time_s"]

        def heard(said_s: float = said_s) -> list[float]:
            found = [event for child in children for event in child.of("heard") if event["said_s"] == said_s]
            return [event["time_s"] - said_s for event in found]

        with trio.move_on_after(10):
            while len(heard()) < nodes - 1:  # noqa: ASYNC110
                await trio.sleep(0.02)
        missed += nodes - 1 - len(heard())
        last.append(max(heard(), default=10.0))
        each_s += heard()
    return {
        "announcement_to_all_s": {"median": round(statistics.median(last), 3), "max": round(max(last), 3)},
        "announcement_to_one_s": {"median": round(statistics.median(each_s), 3)},
        "announcements_missed": missed,
    }


async def degrees(children: list[Child]) -> dict[str, Any]:
    for child in children:
        child.tell("peers")
    await until(lambda: all(child.of("peers") for child in children))
    found = [degree for child in children[1:] for degree in child.of("peers")[0]["degrees"]]
    return {"connections_of_a_node": {"min": min(found), "median": statistics.median(found), "max": max(found)}}


async def stopped(children: list[Child]) -> dict[str, Any]:
    """Seconds until the bootstrap node notices a process that was stopped, and one that was killed."""
    report = {}
    for name, told, child in (("stopped", signal.SIGSTOP, children[1]), ("killed", signal.SIGKILL, children[2])):
        before = len(children[0].of("lost"))
        children[0].tell("watch " + child.of("peers")[0]["ids"][0])
        await trio.sleep(0.5)
        began_s = time.time()
        child.process.send_signal(told)
        await until(lambda before=before: len(children[0].of("lost")) > before)
        report[f"{name}_peer_noticed_s"] = children[0].of("lost")[-1]["time_s"] - began_s
    return report


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--worker", nargs=3)
    arguments = parser.parse_args()
    if arguments.worker:
        nodes, total, bootstrap = arguments.worker
        trio.run(worker, int(nodes), int(total), bootstrap)
    else:
        trio.run(measure, arguments.nodes, arguments.processes)


if __name__ == "__main__":
    main()
