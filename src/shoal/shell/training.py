"""The command `train`: buys a training, and tells a gossip topic what becomes of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import trio

from shoal.client import prepare
from shoal.client.desk import Desk
from shoal.client.examples import example
from shoal.client.purchase import Order, Purchase, describe_quote, quoted
from shoal.client.session import home_of
from shoal.client.source import Source
from shoal.core import limits
from shoal.core.events import TaskCreated
from shoal.core.ids import TaskId, short
from shoal.core.money import Tinybar, format_hbar, parse_hbar
from shoal.errors import ShoalError, UsageError
from shoal.shell.station import Answer, Call, Driven, Station, wrong
from shoal.shell.topics import checked

log = logging.getLogger("shoal.shell")
T = TypeVar("T")

USAGE = "train TOPIC [DATA] [MODEL] [--rounds N] [--budget HBAR] [--yes]"
DEFAULT_EXAMPLE = "breast_cancer"
RESULT = "result.safetensors"
PATIENCE_S = 5.0


@dataclass(frozen=True)
class _Wish:
    topic: str
    source: Source
    rounds: int | None
    budget: Tinybar | None
    yes: bool


async def train(call: Call, arguments: Sequence[str]) -> Answer:
    """Quote, ask, create; then the task is followed to its end, and its weights are fetched."""
    wish, station = _parse(arguments), call.station
    desk, drive = station.need_drive("train")
    await station.network.join(wish.topic)
    overrides = {"rounds": wish.rounds} if wish.rounds else {}
    examined = await trio.to_thread.run_sync(prepare.examine, wish.source, overrides)
    order = Order(wish.source, rounds=wish.rounds, budget=wish.budget)
    purchase = await Purchase.begin(desk, order, examined)
    offer = await purchase.quote()
    call.tell(describe_quote(offer), {"event": "quoted", **quoted(offer)})
    if not await purchase.check(offer):
        call.tell("no trainer is in sight yet; the task is on the ledger's list", {"event": "nobody in sight"})
    if not wish.yes and not await call.ask(f"lock {format_hbar(offer.escrow)} in escrow"):
        raise UsageError(
            f"not confirmed: this would lock {format_hbar(offer.escrow)} in escrow",
            code="SHOAL-U07",
            hint="`train ... --yes` spends without being asked",
            money="nothing was spent",
        )

    async def create() -> tuple[Answer, Driven]:
        prepared = await purchase.prepare(offer, lambda what, done, total: None)
        created = await purchase.create(prepared)
        assert isinstance(created.event, TaskCreated), "just created here"
        answer = {
            "topic": wish.topic,
            "task_id": created.event.task_id.hex(),
            "topic_id": f"0.0.{created.event.topic}",
            "escrow_tinybar": int(offer.escrow),
        }
        driven = await drive(created, created.event.task_id)
        await _announce(station, wish.topic, {"event": "training", **answer})
        return answer, driven

    answer, driven = await _whole(station.nursery, create)
    if not call.waits:
        station.nursery.start_soon(_follow_quietly, call, desk, driven, wish.topic, purchase)
        return answer
    return {**answer, **await _follow(call, desk, driven, wish.topic, purchase)}


async def _whole(nursery: trio.Nursery, work: Callable[[], Awaitable[T]]) -> T:
    """Money is in it: it goes on when whoever asked for it has hung up."""
    done, results, errors = trio.Event(), list[T](), list[Exception]()

    async def run() -> None:
        try:
            results.append(await work())
        except Exception as error:
            errors.append(error)
        finally:
            done.set()

    nursery.start_soon(run)
    await done.wait()
    if errors:
        raise errors[0]
    return results[0]


async def _follow(call: Call, desk: Desk, driven: Driven, topic: str, purchase: Purchase) -> Answer:
    """Tell here and on the topic what happens, until it is over; returns the report."""
    index = 0
    while not driven.is_told(index):
        told = await driven.told(index, patience_s=PATIENCE_S)
        if told is not None:
            index += 1
            record = {"task_id": driven.state.place.task.hex(), **told.as_dict()}
            call.tell(told.text, record)
            await _announce(call.station, topic, record)
    task = driven.state.place.task
    report = (await purchase.fetch(driven.state, home_of(desk.settings, task) / RESULT)).as_dict()
    await _announce(call.station, topic, {"event": "trained", **_public(report)})
    return report


async def _follow_quietly(call: Call, desk: Desk, driven: Driven, topic: str, purchase: Purchase) -> None:
    """In the background: how it ends is told, also when it ends badly."""
    task: TaskId = driven.state.place.task
    try:
        report = await _follow(call, desk, driven, topic, purchase)
    except ShoalError as error:
        call.tell(f"task {short(task)}: {error.message}", {"event": "error", "task_id": task.hex(), **error.as_dict()})
        log.warning("task %s: %s", short(task), error)
    else:
        text = f"task {short(task)}: {report['metric']} {report['test_metric']:.4f}, weights in {report['weights']}"
        call.tell(text, {"event": "result", **report})


def _public(report: Answer) -> Answer:
    """What others may know: not where the weights lie on this machine."""
    return {name: value for name, value in report.items() if name != "weights"}


async def _announce(station: Station, topic: str, record: Answer) -> None:
    data = json.dumps(record).encode()
    if len(data) <= limits.GOSSIP_BYTES:
        await station.network.publish(topic, data)


def _parse(arguments: Sequence[str]) -> _Wish:
    words, options, yes = [], dict[str, str](), False
    todo = list(arguments)
    while todo:
        word = todo.pop(0)
        if word == "--yes":
            yes = True
        elif word in ("--rounds", "--budget") and todo:
            options[word] = todo.pop(0)
        elif word.startswith("--"):
            raise wrong(USAGE)
        else:
            words.append(word)
    if not 1 <= len(words) <= 3:
        raise wrong(USAGE)
    try:
        rounds = int(options["--rounds"]) if "--rounds" in options else None
        budget = parse_hbar(options["--budget"]) if "--budget" in options else None
    except ValueError as error:
        raise wrong(f"{USAGE}: {error}") from error
    if rounds is not None and not 1 <= rounds <= limits.ROUNDS:
        raise wrong(f"1 to {limits.ROUNDS} rounds")
    return _Wish(checked(words[0]), _source(words[1:]), rounds, budget, yes)


def _source(words: Sequence[str]) -> Source:
    """Data and model; a folder that holds both; the name of an example; or the example that is usual."""
    if len(words) == 2:
        return Source(Path(words[1]).expanduser(), Path(words[0]).expanduser())
    if not words:
        return Source(example(DEFAULT_EXAMPLE))
    path = Path(words[0]).expanduser()
    if path.is_dir() and (path / "model.py").is_file():
        return Source(path)
    if not path.exists() and path.name == words[0]:
        return Source(example(words[0]))
    raise wrong(f"{words[0]} holds data only: give the model after it")
