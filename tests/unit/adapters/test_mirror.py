"""Reading a mirror node that pages, repeats itself, is busy, late, or many machines: everything once, or an error."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from eth_abi.abi import encode

from shoal.adapters.hedera import LedgerReader, LedgerSettings
from shoal.adapters.hedera.mirror import SECOND_NS, parse_time, time_text
from shoal.core.ids import keccak256
from shoal.errors import LedgerUnreachable

START = 1_800_000_000 * SECOND_NS
Query = list[tuple[str, str]]


class FakeMirror:
    """Serves rows of one topic and one contract, page by page; `fault` may answer in its place."""

    def __init__(self) -> None:
        self.messages = [_message(number) for number in range(1, 26)]
        self.logs = [_log(number) for number in range(25)]
        self.page = 4
        self.zipped = False
        self.fault: Callable[[int, str, Query], tuple[int, Any] | None] = lambda count, path, query: None
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                url = urlsplit(self.path)
                query = parse_qsl(url.query)
                status, body = outer.fault(len(outer.asked), url.path, query) or outer.answer(url.path, query)
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(raw)))
                if outer.zipped:
                    self.send_header("content-encoding", "gzip")
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str, query: Query) -> tuple[int, Any]:
        name, time = ("messages", "consensus_timestamp") if "/topics/" in path else ("logs", "timestamp")
        rows = getattr(self, name)
        for key, text in query:
            if key == "timestamp":
                operator, _, value = text.partition(":")
                bound = parse_time(value)
                rows = [r for r in rows if (parse_time(r[time]) > bound if operator == "gt" else True)]
                rows = [r for r in rows if (parse_time(r[time]) <= bound if operator == "lte" else True)]
        given, rest = rows[: self.page], rows[self.page :]
        link = None
        if rest:
            upper = next(text for key, text in query if text.startswith("lte:"))
            link = f"{path}?timestamp=gt:{given[-1][time]}&timestamp={upper}&order=asc"
        return 200, {name: given, "links": {"next": link}}


def _message(number: int) -> dict[str, Any]:
    return {
        "consensus_timestamp": time_text(START + number * SECOND_NS),
        "message": base64.b64encode(b"%d" % number).decode(),
        "payer_account_id": "0.0.5",
        "sequence_number": number,
        "chunk_info": None,
    }


def _log(number: int) -> dict[str, Any]:
    return {
        "timestamp": time_text(START + (number // 3) * SECOND_NS + number),
        "index": number % 3,
        "topics": ["0x" + keccak256(b"StakeDeposited(address,uint64)").hex(), "0x" + bytes(32).hex()],
        "data": "0x" + encode(["uint64"], [number]).hex(),
        "transaction_hash": "0x00",
    }


@pytest.fixture
def mirror() -> Iterator[FakeMirror]:
    running = FakeMirror()
    yield running
    running.close()


def settings(mirror: FakeMirror) -> LedgerSettings:
    return LedgerSettings("custom", mirror_rest=mirror.url, contract_id="0.0.9", timeout_s=3.0)


async def read(mirror: FakeMirror, *cuts: int) -> tuple[list[bytes], list[int]]:
    """All messages and all deposits, window by window; a window that fails is read again."""
    messages, deposits = [], []
    async with LedgerReader.open_reader(settings(mirror)) as ledger:
        for after, until in zip((0, *cuts), (*cuts, 1_000), strict=True):
            window = {"after_ns": START + after * SECOND_NS - 1, "until_ns": START + until * SECOND_NS - 1}
            for attempt in range(5):
                try:
                    found = await ledger.messages(7, **window)
                    events = await ledger.events(**window)
                    break
                except LedgerUnreachable:
                    assert attempt < 4
            messages += [each.data for each in found]
            deposits += [int(each.event.amount) for each in events]  # type: ignore[union-attr]
    return messages, deposits


ALL = ([b"%d" % number for number in range(1, 26)], list(range(25)))


@pytest.mark.parametrize("page", [1, 4, 100])
@pytest.mark.parametrize("cuts", [(), (5,), (1, 2, 3, 8), (24,)])
async def test_pages_and_windows(mirror: FakeMirror, page: int, cuts: tuple[int, ...]) -> None:
    mirror.page = page
    assert await read(mirror, *cuts) == ALL


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_mirror_that_is_busy_is_asked_again(mirror: FakeMirror, status: int) -> None:
    mirror.fault = lambda count, path, query: (status, {"_status": {}}) if count % 3 else None
    assert await read(mirror, 8) == ALL


async def test_half_an_answer_is_none(mirror: FakeMirror) -> None:
    mirror.fault = lambda count, path, query: (200, b'{"messages": [') if count % 2 else None
    assert await read(mirror, 8) == ALL


async def test_what_is_shown_twice_counts_once(mirror: FakeMirror) -> None:
    """Each page begins with rows of the one before, and ends with some that nobody asked for."""

    def fault(count: int, path: str, query: Query) -> tuple[int, Any]:
        status, body = FakeMirror.answer(mirror, path, query)
        name = "messages" if "messages" in body else "logs"
        rows = getattr(mirror, name)
        begin = rows.index(body[name][0]) if body[name] else 0
        repeated = rows[max(0, begin - 2) : begin] if "order=asc" not in path else []
        later = [] if body["links"]["next"] else [_message(26) if name == "messages" else _log(26)]
        return status, {**body, name: [*repeated, *body[name], *later]}

    mirror.fault = fault
    messages, deposits = await read(mirror, 5, 8)
    assert (messages[:25], deposits[:25]) == ALL
    assert messages[25:] == [b"26"] and deposits[25:] == [26], "the last window is open, and they lie in it, once"


async def test_a_page_of_a_machine_that_is_behind_is_noticed(mirror: FakeMirror) -> None:
    """It leaves out what it does not have yet: a topic's numbers show the gap."""
    lies = {6}

    def fault(count: int, path: str, query: Query) -> tuple[int, Any] | None:
        status, body = FakeMirror.answer(mirror, path, query)
        if "messages" in body and count in lies:
            return status, {**body, "messages": body["messages"][2:]}
        return None

    mirror.fault = fault
    async with LedgerReader.open_reader(settings(mirror)) as ledger:
        window = {"after_ns": START, "until_ns": START + 100 * SECOND_NS}
        with pytest.raises(LedgerUnreachable) as gap:
            await ledger.messages(7, **window)
        assert "left messages 21 to 22" in gap.value.message
        assert [each.data for each in await ledger.messages(7, **window)] == ALL[0]


async def test_a_mirror_that_stays_away_is_named(mirror: FakeMirror) -> None:
    mirror.fault = lambda count, path, query: (503, {})
    async with LedgerReader.open_reader(settings(mirror)) as ledger:
        with pytest.raises(LedgerUnreachable) as away:
            await ledger.watermark()
    assert "HTTP 503" in away.value.message


async def test_the_newest_seconds_are_left_to_settle(mirror: FakeMirror) -> None:
    def fault(count: int, path: str, query: Query) -> tuple[int, Any]:
        time = time_text(START)
        return 200, {"blocks": [{"timestamp": {"to": time}}], "transactions": [{"consensus_timestamp": time}]}

    mirror.fault = fault
    for network, margin in (("custom", 0), ("testnet", 2), ("mainnet", 2)):
        given = LedgerSettings(network, mirror_rest=mirror.url)  # type: ignore[arg-type]
        async with LedgerReader.open_reader(given) as ledger:
            assert await ledger.watermark() == START - margin * SECOND_NS


DEEP = b"[" * 200_000
NOT_GZIP = b"\x1f\x8b nonsense"


@pytest.mark.parametrize(
    "body", [{}, {"blocks": [{}]}, {"blocks": 5}, {"blocks": [{"timestamp": {"to": "soon"}}]}, DEEP]
)
async def test_an_answer_of_another_shape_is_no_answer(mirror: FakeMirror, body: Any) -> None:
    mirror.fault = lambda count, path, query: (200, body)
    async with LedgerReader.open_reader(settings(mirror)) as ledger:
        for read in (ledger.watermark, ledger.rate, ledger.supply, ledger.liabilities):
            with pytest.raises(LedgerUnreachable):
                await read()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_answer_that_cannot_be_unpacked_is_asked_for_again(mirror: FakeMirror) -> None:
    mirror.zipped = True  # httpx leaves a generator of its own unclosed then, and is warned for it
    mirror.fault = lambda count, path, query: (200, NOT_GZIP)
    async with LedgerReader.open_reader(settings(mirror)) as ledger:
        with pytest.raises(LedgerUnreachable):
            await ledger.watermark()
    assert len(mirror.asked) > 1


async def test_a_tail_that_was_left_out_is_missed_when_the_next_window_opens(mirror: FakeMirror) -> None:
    """Messages 9 and 10 lie at the end of the first window, and a machine that is behind does not show them."""
    hidden = True

    def behind(count: int, path: str, query: Query) -> tuple[int, Any] | None:
        if not hidden:
            return None
        rows, mirror.messages = mirror.messages, [r for r in mirror.messages if r["sequence_number"] not in (9, 10)]
        try:
            return mirror.answer(path, query)
        finally:
            mirror.messages = rows

    def window(after: int, until: int) -> dict[str, int]:
        return {"after_ns": START + after * SECOND_NS, "until_ns": START + until * SECOND_NS}

    mirror.fault = behind
    async with LedgerReader.open_reader(settings(mirror)) as ledger:
        assert len(await ledger.messages(7, **window(0, 10))) == 8
        for _ in range(2):  # it stays an error, also once the state of the first window is gone
            with pytest.raises(LedgerUnreachable, match="9 to 10"):
                await ledger.messages(7, **window(10, 12))


@pytest.mark.parametrize(
    "owned",
    [
        {"admin_key": {"_type": "ED25519", "key": "00"}},
        {"submit_key": {"_type": "ED25519", "key": "00"}},
        {"fee_schedule_key": {"_type": "ED25519", "key": "00"}},
        {"custom_fees": {"fixed_fees": [{"amount": 1}]}},
        {"deleted": True},
        None,
    ],
)
async def test_a_topic_with_an_owner_is_told_from_one_without(mirror: FakeMirror, owned: dict[str, Any] | None) -> None:
    free = {"deleted": False, "admin_key": None, "submit_key": None, "custom_fees": {"fixed_fees": []}}
    async with LedgerReader.open_reader(settings(mirror)) as ledger:
        mirror.fault = lambda count, path, query: (200, free)
        assert await ledger.is_unowned(7)
        mirror.fault = lambda count, path, query: (404, {}) if owned is None else (200, {**free, **owned})
        assert not await ledger.is_unowned(7)
