"""Measures the devnet: transactions per second with receipts, latency, memory, restart, and what kill -9 loses.

python bench/devnet.py speed --runs 5        # transfers, then topic messages, from 8 clients
python bench/devnet.py speed --sdk           # the same through the official Python SDK
python bench/devnet.py kill --rounds 20      # kill -9 under load, and what was lost
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import hiero_sdk_python as sdk
import httpx
import psutil
from cryptography.hazmat.primitives.asymmetric import ed25519
from hiero_sdk_python.exceptions import PrecheckError
from hiero_sdk_python.hapi.services import (
    basic_types_pb2,
    query_pb2,
    response_pb2,
    timestamp_pb2,
    transaction_contents_pb2,
    transaction_pb2,
    transaction_response_pb2,
)

HBAR = 10**8
SUPPLY = 50_000_000_000 * HBAR
OK, DUPLICATE, SUCCESS = 0, 11, 22
SUBMIT = {
    "transfer": "/proto.CryptoService/cryptoTransfer",
    "message": "/proto.ConsensusService/submitMessage",
    "topic": "/proto.ConsensusService/createTopic",
}
RECEIPT = "/proto.CryptoService/getTransactionReceipts"
TARGET = 98
"""Who is paid: the account that collects the network's fees."""


class Process:
    """One devnet process on a directory, and how long it took to be ready."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        began = time.monotonic()
        command = [sys.executable, "-m", "shoal.adapters.devnet", "--dir", str(directory), "--port-base", "0", "--json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.endpoints = json.loads(self.process.stdout.readline())
        self.start_s = time.monotonic() - began
        self.key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.endpoints["operator_key"])[-32:])

    def end(self, number: int = signal.SIGTERM) -> None:
        os.kill(self.process.pid, number)
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def rss_mib(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / 2**20


class Client:
    """One client with a connection of its own: a transaction, then its receipt, then the next."""

    def __init__(self, process: Process) -> None:
        self._key = process.key
        self._public = process.key.public_key().public_bytes_raw()
        self.channel = grpc.aio.insecure_channel(process.endpoints["node"], [("grpc.use_local_subchannel_pool", 1)])
        self._submit = {
            kind: self.channel.unary_unary(
                path,
                request_serializer=transaction_pb2.Transaction.SerializeToString,
                response_deserializer=transaction_response_pb2.TransactionResponse.FromString,
            )
            for kind, path in SUBMIT.items()
        }
        self._receipt = self.channel.unary_unary(
            RECEIPT,
            request_serializer=query_pb2.Query.SerializeToString,
            response_deserializer=response_pb2.Response.FromString,
        )

    def body(self, kind: str, topic: int = 0) -> Any:
        """A transaction of a kind, paid for by the operator, under a new id."""
        body = transaction_pb2.TransactionBody(transactionFee=HBAR)
        body.transactionID.accountID.accountNum = 2
        start_ns = time.time_ns() - random.randrange(5 * 10**9)
        body.transactionID.transactionValidStart.CopyFrom(
            timestamp_pb2.Timestamp(seconds=start_ns // 10**9, nanos=start_ns % 10**9)
        )
        body.nodeAccountID.accountNum = 3
        body.transactionValidDuration.seconds = 120
        if kind == "transfer":
            for account, amount in ((2, -1), (TARGET, 1)):
                body.cryptoTransfer.transfers.accountAmounts.add(
                    accountID=basic_types_pb2.AccountID(accountNum=account), amount=amount
                )
        elif kind == "message":
            body.consensusSubmitMessage.topicID.topicNum = topic
            body.consensusSubmitMessage.message = b"x" * 200
        else:
            body.consensusCreateTopic.SetInParent()
        return body

    async def send(self, kind: str, topic: int = 0, acknowledged: set[str] | None = None) -> Any:
        """Submit one and fetch its receipt, which must say SUCCESS."""
        body = self.body(kind, topic)
        raw = body.SerializeToString()
        pair = basic_types_pb2.SignaturePair(pubKeyPrefix=self._public, ed25519=self._key.sign(raw))
        signed = transaction_contents_pb2.SignedTransaction(
            bodyBytes=raw, sigMap=basic_types_pb2.SignatureMap(sigPair=[pair])
        )
        response = await self._submit[kind](
            transaction_pb2.Transaction(signedTransactionBytes=signed.SerializeToString())
        )
        assert response.nodeTransactionPrecheckCode == OK, response
        if acknowledged is not None:
            start = body.transactionID.transactionValidStart
            acknowledged.add(f"0.0.2-{start.seconds}-{start.nanos:09d}")
        query = query_pb2.Query()
        query.transactionGetReceipt.transactionID.CopyFrom(body.transactionID)
        answer = (await self._receipt(query)).transactionGetReceipt
        assert answer.receipt.status == SUCCESS, answer
        return answer.receipt


async def created_topic(process: Process) -> int:
    client = Client(process)
    receipt = await client.send("topic")
    await client.channel.close()
    return int(receipt.topicID.topicNum)


# ---------------------------------------------------------------- speed


@dataclass
class Speed:
    """What one run showed."""

    per_s: float
    p50_ms: float
    p99_ms: float
    rss_mib: float
    others: float
    """Processors that other programs used meanwhile, on average."""


async def measure(process: Process, kind: str, clients: int, count: int) -> Speed:
    """`count` transactions with receipts, shared by the clients."""
    topic = await created_topic(process)
    left = iter(range(count))
    latencies: list[float] = []

    async def work() -> None:
        client = Client(process)
        await client.send(kind, topic)
        ready.release()
        await begin.wait()
        for _ in left:
            at = time.perf_counter()
            await client.send(kind, topic)
            latencies.append(1000 * (time.perf_counter() - at))
        await client.channel.close()

    ready, begin = asyncio.Semaphore(0), asyncio.Event()
    tasks = [asyncio.create_task(work()) for _ in range(clients)]
    for _ in range(clients):
        await ready.acquire()
    ours = [psutil.Process(process.process.pid), psutil.Process()]
    busy, at = busy_s(ours), time.perf_counter()
    begin.set()
    await asyncio.gather(*tasks)
    took = time.perf_counter() - at
    cuts = statistics.quantiles(latencies, n=100)
    others = (busy_s(ours) - busy) / took
    return Speed(count / took, cuts[49], cuts[98], process.rss_mib(), max(0.0, others))


def measure_sdk(process: Process, kind: str, clients: int, count: int) -> Speed:
    """The same with the official Python SDK: a thread for each client, all in one process."""

    def client() -> sdk.Client:
        made = sdk.Client.for_network({process.endpoints["node"]: sdk.AccountId(0, 0, 3)})
        made.network.mirror_address = process.endpoints["mirror_grpc"]
        made.set_operator(sdk.AccountId(0, 0, 2), sdk.PrivateKey.from_string_der(process.endpoints["operator_key"]))
        return made

    first = client()
    topic = sdk.TopicCreateTransaction().execute(first, validate_status=True).topic_id
    left = iter(range(count))
    latencies: list[float] = []

    def work() -> None:
        mine = client()
        while next(left, None) is not None:
            transaction: Any = sdk.TopicMessageSubmitTransaction(topic, "x" * 200)
            if kind == "transfer":
                transaction = sdk.TransferTransaction().add_hbar_transfer(sdk.AccountId(0, 0, 2), -1)
                transaction.add_hbar_transfer(sdk.AccountId(0, 0, TARGET), 1)
            began = time.perf_counter()
            try:
                transaction.execute(mine, validate_status=True)
            except PrecheckError as error:  # ids are drawn from a float's time: two threads may draw one
                assert error.status == DUPLICATE, error
                continue
            latencies.append(1000 * (time.perf_counter() - began))
        mine.close()

    threads = [threading.Thread(target=work) for _ in range(clients)]
    ours = [psutil.Process(process.process.pid), psutil.Process()]
    busy, at = busy_s(ours), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - at
    first.close()
    cuts = statistics.quantiles(latencies, n=100)
    others = (busy_s(ours) - busy) / took
    return Speed(len(latencies) / took, cuts[49], cuts[98], process.rss_mib(), max(0.0, others))


def busy_s(ours: list[psutil.Process]) -> float:
    """Processor seconds that others than these processes have used."""
    times = psutil.cpu_times()
    everyone = times.user + times.system + times.nice + times.irq + times.softirq
    return float(everyone - sum(sum(process.cpu_times()[:2]) for process in ours))


def speed(arguments: argparse.Namespace) -> None:
    runs: dict[str, list[Speed]] = {"transfer": [], "message": []}
    for number in range(arguments.runs):
        for kind, found in runs.items():
            with tempfile.TemporaryDirectory() as directory:
                process = Process(Path(directory))
                if arguments.sdk:
                    found.append(measure_sdk(process, kind, arguments.clients, arguments.count))
                else:
                    found.append(asyncio.run(measure(process, kind, arguments.clients, arguments.count)))
                process.end()
            seen = found[-1]
            print(
                f"run {number + 1} {kind:8} {seen.per_s:6.0f}/s  p50 {seen.p50_ms:5.1f} ms  p99 {seen.p99_ms:5.1f} ms  "
                f"RSS {seen.rss_mib:4.0f} MiB  others used {seen.others:.2f} processors",
                flush=True,
            )
    print(f"\n| {arguments.clients} clients | median | best | p50, ms | p99, ms | worst p99 | RSS, MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for kind, found in runs.items():
        rates, p50s, p99s = ([getattr(s, name) for s in found] for name in ("per_s", "p50_ms", "p99_ms"))
        cells = [f"{statistics.median(rates):.0f}/s", f"{max(rates):.0f}/s"]
        cells += [f"{statistics.median(p50s):.1f}", f"{statistics.median(p99s):.1f}", f"{max(p99s):.1f}"]
        print(f"| {kind} | {' | '.join(cells)} | {max(s.rss_mib for s in found):.0f} |")


# ---------------------------------------------------------------- kill -9


@dataclass
class Sent:
    """What a load sent: ids that were acknowledged."""

    acknowledged: set[str] = field(default_factory=set)
    receipts: int = 0


async def load_until_killed(process: Process, topic: int, sent: Sent, clients: int, seconds: float) -> None:
    """All clients send as fast as they can; after some time the process is killed under them."""

    async def work(number: int) -> None:
        client = Client(process)
        kind = ("transfer", "message")[number % 2]
        try:
            while True:
                await client.send(kind, topic, sent.acknowledged)
                sent.receipts += 1
        except grpc.aio.AioRpcError:
            await client.channel.close()

    tasks = [asyncio.create_task(work(number)) for number in range(clients)]
    await asyncio.sleep(seconds)
    os.kill(process.process.pid, signal.SIGKILL)
    await asyncio.gather(*tasks)
    process.process.wait(30)


def pages(base: str, path: str, rows: str) -> list[Any]:
    found: list[Any] = []
    with httpx.Client(base_url=base, timeout=60, trust_env=False) as http:
        link = path
        while link:
            body = http.get(link).raise_for_status().json()
            found += body[rows]
            link = body["links"]["next"]
    return found


def check(process: Process, topic: int, sent: Sent) -> Counter[str]:
    """Everything acknowledged is there, nothing twice, and all sums agree."""
    base = process.endpoints["mirror_rest"]
    rows = pages(base, "/api/v1/transactions?limit=100&order=asc&result=success", "transactions")
    ids = [row["transaction_id"] for row in rows]
    missing = sent.acknowledged - set(ids)
    assert not missing, f"{len(missing)} acknowledged transactions are lost"
    assert len(ids) == len(set(ids))
    done = Counter(row["name"] for row in rows)
    messages = pages(base, f"/api/v1/topics/0.0.{topic}/messages?limit=100", "messages")
    assert [row["sequence_number"] for row in messages] == list(range(1, done["CONSENSUSSUBMITMESSAGE"] + 1))
    supply = httpx.get(f"{base}/api/v1/network/supply", trust_env=False).json()["total_supply"]
    assert int(supply) == SUPPLY, supply
    return done


def kill(arguments: argparse.Namespace) -> None:
    restarts: list[float] = []
    sent = Sent()
    with tempfile.TemporaryDirectory() as directory:
        process = Process(Path(directory))
        topic = asyncio.run(created_topic(process))
        for number in range(arguments.rounds):
            seconds = random.uniform(0.5, 2.5)
            asyncio.run(load_until_killed(process, topic, sent, arguments.clients, seconds))
            process = Process(Path(directory))
            restarts.append(process.start_s)
            done = check(process, topic, sent)
            print(
                f"round {number + 1:2}: {len(sent.acknowledged)} acknowledged in all, {sum(done.values())} executed, "
                f"0 lost, supply exact, restarted in {process.start_s:.2f} s, imports included",
                flush=True,
            )
        process.end()
    middle, worst = statistics.median(restarts), max(restarts)
    print(f"restart: median {middle:.2f} s, worst {worst:.2f} s; {sent.receipts} receipts were read")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run in (("speed", speed), ("kill", kill)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--clients", type=int, default=8)
        if name == "speed":
            command.add_argument("--runs", type=int, default=5)
            command.add_argument("--count", type=int, default=3000)
            command.add_argument("--sdk", action="store_true", help="use the official Python SDK as the client")
        else:
            command.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
