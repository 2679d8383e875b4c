"""`kill -9` and worse, at chosen moments of a real task on a real network of processes."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from shoal.client.books import audit
from shoal.client.examples import example
from shoal.core.events import TaskCreated
from shoal.core.ids import Address
from shoal.core.task import Phase, State
from shoal.localnet.stack import LocalStack, local_stack
from shoal.node import open_ledger, place_of
from shoal.ports import Ledger
from shoal.roles.tasklog import TaskLog, find_task

from .harness import Running, last_json, shoal

pytestmark = pytest.mark.e2e
ROUNDS = 9


@dataclass
class Scene:
    """A network, a client at work on it, and a reader of its task's log."""

    stack: LocalStack
    client: Running
    ledger: Ledger
    tasklog: TaskLog
    names: dict[Address, str]

    async def until(self, condition: object, timeout_s: float = 150.0) -> State:
        assert callable(condition)
        with trio.fail_after(timeout_s):
            while True:
                change = self.tasklog.change
                if condition(self.tasklog.log):
                    return self.tasklog.log
                await change.wait()

    def kill(self, trainer: Address) -> str:
        """SIGKILL to the whole of a trainer: its process and its sandboxed child."""
        name = self.names[trainer]
        os.killpg(self.stack.children[name].pid, signal.SIGKILL)
        return name


@asynccontextmanager
async def scene(tmp_path: Path, *more: str) -> AsyncIterator[Scene]:
    async with local_stack(tmp_path / "network", trainers=4, say=lambda text: None) as stack:
        command = ["train", str(example("breast_cancer")), "--yes", "--json", "--rounds", str(ROUNDS)]
        command += ["--round-timeout", "8", "--dir", str(stack.client.dir), "--out", str(tmp_path / "w.safetensors")]
        client = Running([*command, *more], tmp_path)
        try:
            event = await trio.to_thread.run_sync(
                lambda: client.until(lambda: next((e for e in client.json() if e["event"] == "created"), None))
            )
            async with open_ledger(stack.settings) as ledger:
                created = await find_task(ledger, event["task_id"])
                assert created is not None and isinstance(created.event, TaskCreated)
                place = place_of(stack.settings, created.event.task_id)
                tasklog = TaskLog(created, place, ledger=ledger, poll_s=0.1)
                names = {await ledger.address_of(account): name for account, name in stack.names.items()}
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(tasklog.run)
                    yield Scene(stack, client, ledger, tasklog, names)
                    nursery.cancel_scope.cancel()
        finally:
            client.end(signal.SIGKILL)


async def check_books(scene: Scene) -> None:
    """Every tinybar is where the contract and the mirror node say, whoever died."""
    stack = scene.stack
    books = await audit(
        scene.ledger,
        scene.tasklog.log,
        names=stack.names,
        before=stack.opening,
        supply_before=stack.supply,
        after_ns=stack.opened_ns,
    )
    assert books.conserved, books.checks


async def finished(scene: Scene) -> dict[str, object]:
    status = await trio.to_thread.run_sync(lambda: scene.client.process.wait(150))
    assert status == 0, scene.client.story()
    return last_json("".join(scene.client.lines))


async def test_an_aggregator_killed_in_the_middle_of_a_round_is_not_paid_for_what_it_did_not_deliver(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as s:

        def in_the_middle(log: State) -> bool:
            return log.phase is Phase.RUNNING and 2 <= log.round < ROUNDS - 3 and bool(log.waiting_for())

        log = await s.until(in_the_middle)
        aggregator = log.aggregator()
        assert aggregator is not None
        dead = aggregator.trainer
        s.kill(dead)
        report = await finished(s)
        assert report["rounds"] == ROUNDS
        log = await s.until(lambda log: len(log.claims) == 4)
        assert log.confirmed is not None and log.confirmed.round == ROUNDS
        seat = log.seat_of(dead)
        assert seat is not None and seat.lost
        delivered = sum(u.author == dead for c in log.checkpoints[1:] for u in c.updates)
        aggregated = sum(c.author == dead for c in log.checkpoints[1:])
        assert delivered < ROUNDS
        claim = log.claims[dead]
        assert claim.paid == delivered * log.unit_price + aggregated * log.plan.aggregate_price
        assert claim.penalty == log.plan.no_show_penalty
        paid = sum(int(each.paid) for each in log.claims.values())
        assert log.refunded == log.plan.escrow() - paid
        await trio.sleep(2)  # the others withdraw
        await check_books(s)


async def test_a_client_killed_before_and_after_the_start_goes_on_where_it_was(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.until(lambda log: log.phase is Phase.AWARDED and len(log.seats) >= 1)
        s.client.process.kill()
        task, directory = s.tasklog.place.task.hex(), str(s.stack.client.dir)
        command = ["get", task, "--json", "--dir", directory, "-o", "got.safetensors"]
        again = Running(command, tmp_path)
        try:
            await s.until(lambda log: log.phase is Phase.RUNNING and log.round >= 2)
        finally:
            again.end(signal.SIGKILL)
        await s.until(lambda log: log.phase is Phase.SETTLING)
        got = await trio.to_thread.run_sync(lambda: shoal(*command, cwd=tmp_path))
        assert got.returncode == 0, got.stderr
        log = await s.until(lambda log: len(log.claims) == 4)
        assert log.confirmed is not None and log.confirmed.round == ROUNDS
        assert last_json(got.stdout)["sha256"] == log.checkpoints[-1].state.hex()
        assert (tmp_path / "got.safetensors").is_file()
        await trio.sleep(2)
        await check_books(s)


async def test_a_killed_trainer_that_comes_back_keeps_its_seat(tmp_path: Path) -> None:
    async with scene(tmp_path, "--round-timeout", "60") as s:
        log = await s.until(lambda log: log.phase is Phase.RUNNING and log.round >= 2)
        name = s.kill(log.seats[0].trainer)
        child = s.stack.children[name]
        back = Running(["node", "run", "--role", "trainer", "--dir", str(s.stack.directory / name)], tmp_path)
        try:
            report = await finished(s)
            assert report["rounds"] == ROUNDS and not child.alive
            log = await s.until(lambda log: len(log.claims) == 4)
            assert not any(seat.lost for seat in log.seats)
            assert all(claim.penalty == 0 for claim in log.claims.values())
            await trio.sleep(2)
            await check_books(s)
        finally:
            back.end(signal.SIGTERM)
