"""Log lines on their way to the topic: few, within the budget, no secret and no stranger's words among them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from shoal.client.loglines import Told, TopicLog
from shoal.core import limits
from shoal.core.costs import log_messages
from shoal.core.entries import LogEntry, parse
from shoal.errors import DataError, LedgerUnreachable
from shoal.redact import MASK
from shoal.roles.shiplog import LOGGERS, TABLE, Shipper, Shipping, public_text, shipping_logs
from shoal.roles.tasklog import TaskLog

from .world import World

pytestmark = pytest.mark.timeout(60)
Clock = trio.testing.MockClock
log = logging.getLogger("shoal.trainer")


@pytest.fixture(autouse=True)
def loud() -> Iterator[None]:
    logging.getLogger("shoal").setLevel(logging.DEBUG)
    yield
    logging.getLogger("shoal").setLevel(logging.NOTSET)
    for name in LOGGERS:
        for handler in [each for each in logging.getLogger(name).handlers if type(each).__name__ == "_Forward"]:
            logging.getLogger(name).removeHandler(handler)


@asynccontextmanager
async def shipping(tasklog: TaskLog, what: Shipping, **parts: Any) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        async with shipping_logs(nursery, tasklog, what, **parts):
            yield
        nursery.cancel_scope.cancel()


def batches(w: World, author: bytes | None = None) -> list[LogEntry]:
    found = [entry for entry in map(parse, (each.data for each in w.ledger.log)) if isinstance(entry, LogEntry)]
    return [each for each in found if author in (None, each.author)]


def lines(w: World) -> list[Told]:
    return TopicLog().read(w.ledger.log, w.state())


async def test_trainers_tell_a_task_s_topic_what_they_do(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path, rounds=3)
    async with AsyncExitStack() as stack:
        for index in range(3):
            shipping = Shipping(logging.INFO, 5.0) if index else None
            await stack.enter_async_context(w.trainer(index, shipping=shipping))
        done = await stack.enter_async_context(w.run_client())
        await done.wait()
        await trio.sleep(30)
    told = lines(w)
    assert len({line.trainer for line in told}) == 2, "one does not tell"
    for each in {line.trainer for line in told}:
        texts = [line.text for line in told if line.trainer == each]
        assert sum("loss" in text for text in texts) >= 3 and any("withdrew" in text for text in texts), texts
        assert any("bid" in text for text in texts), "from before the seat, too"
    reader = w.tasklog("client", w.ledger.port(w.client))
    await reader.catch_up()
    for trainer in w.trainers[1:]:
        mine = batches(w, trainer)
        assert [each.sequence for each in mine] == list(range(len(mine))) and len(mine) <= log_messages(3)
        assert all(len(each.data()) <= limits.TOPIC_MESSAGE_BYTES for each in mine)
        assert reader.log.authors[trainer].log_entries == len(mine)
    assert w.stores["trainer-1"].items(TABLE) == []


async def test_one_message_in_a_while_and_no_more_than_the_budget(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path, rounds=2).running()
    port, tasklog = w.ledger.port(w.trainers[0]), None
    tasklog = w.tasklog("trainer-0", port)
    await tasklog.catch_up()
    keys, store = w.keys["trainer-0"], w.stores["trainer-0"]
    parts: Any = {"ledger": port, "keys": keys, "store": store}
    async with shipping(tasklog, Shipping(logging.INFO, 10.0), **parts):
        for second in range(100):
            log.info("second %d", second)
            log.debug("nobody asked for this")
            logging.getLogger("shoal.adapters.libp2p").error("nor for this")
            await trio.sleep(1)
    sent = batches(w, w.trainers[0])
    assert len(sent) == log_messages(2) == 4
    first, last = sent[0], sent[-1]
    gaps = [
        b.time_ns - a.time_ns for a, b in zip(w.ledger.log, w.ledger.log[1:], strict=False) if parse(b.data) in sent
    ]
    assert min(gaps[1:-1]) > 5 * 10**9
    texts = [line.text for line in lines(w)]
    assert texts == [f"second {second}" for second in range(100)], "the last batch has what was left"
    assert first.sequence == 0 and last.sequence == 3
    log.info("outside of it")
    assert len(batches(w)) == 4


async def test_what_is_too_much_is_dropped_and_said_so(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path, rounds=2).running()
    tasklog = w.tasklog("trainer-0", w.ledger.port(w.trainers[0]))
    await tasklog.catch_up()
    parts: Any = {"ledger": w.ledger.port(w.trainers[0]), "keys": w.keys["trainer-0"], "store": w.stores["trainer-0"]}
    async with shipping(tasklog, Shipping(), **parts):
        for number in range(2_000):
            log.warning("line %d", number)
    told = lines(w)
    assert told[0].text == "1488 lines before this one were dropped" and told[1].text == "line 1488"
    assert told[1].level == "warning"


async def test_a_number_is_never_used_twice_and_a_ledger_that_is_away_harms_nothing(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path, rounds=40).running()
    port = w.ledger.port(w.trainers[0])
    numbers: list[int] = []

    async def submit(topic: int, data: bytes) -> None:
        entry = parse(data)
        assert isinstance(entry, LogEntry)
        numbers.append(entry.sequence)
        raise LedgerUnreachable("away")

    port.submit = submit  # type: ignore[method-assign]
    for _ in range(3):  # three lives
        tasklog = w.tasklog("trainer-0", port)
        await tasklog.catch_up()
        parts: Any = {"ledger": port, "keys": w.keys["trainer-0"], "store": w.stores["trainer-0"]}
        shipper = Shipper(tasklog, Shipping(), **parts)
        for _ in range(2):
            shipper.take(logging.LogRecord("shoal.trainer", logging.INFO, "", 0, "a line", (), None))
            assert await shipper.send()
    assert numbers == [0, 1, 2, 3, 4, 5]


async def test_who_has_no_seat_says_nothing(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).published()
    port = w.ledger.port(w.trainers[0])
    tasklog = w.tasklog("trainer-0", port)
    await tasklog.catch_up()
    parts: Any = {"ledger": port, "keys": w.keys["trainer-0"], "store": w.stores["trainer-0"]}
    async with shipping(tasklog, Shipping(), **parts):
        log.info("a line")
    assert batches(w) == []


def test_a_stranger_s_words_and_secrets_are_not_published() -> None:
    error = DataError("cell 'diagnosis of Mr Miller' is empty", code="SHOAL-D22")
    url = "https://s3.example/b/c?X-Amz-Signature=0123456789abcdef"

    def record(message: str, *arguments: Any, exc_info: Any = None) -> logging.LogRecord:
        return logging.LogRecord("shoal.trainer", logging.ERROR, "", 0, message, arguments, exc_info)

    assert public_text(record("chunk %d: %s", 3, error)) == "chunk 3: SHOAL-D22"
    assert public_text(record("%s; trying again", ValueError("Mr Miller"))) == "ValueError; trying again"
    assert (
        public_text(record("a fault", exc_info=(ValueError, ValueError("Mr Miller"), None))) == "a fault (ValueError)"
    )
    assert public_text(record("got %s", url)) == f"got https://s3.example/b/c?{MASK}"
    assert "\x1b" not in public_text(record("\x1b[2J%s", "x"))
