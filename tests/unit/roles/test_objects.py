"""A task's bytes: what a client or a peer sends is what the log names, or is refused as what it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal import seal
from shoal.core.codec import CodecError, decode, digest, encode
from shoal.core.task import State, Update
from shoal.errors import CryptoError, StorageError
from shoal.roles import bundle as b
from shoal.roles.objects import TaskObjects

from ..core.test_codec import VALUES
from .world import PREFIX, World

pytestmark = pytest.mark.timeout(60)
Clock = trio.testing.MockClock
ME = 0


async def opened(w: World, index: int = ME) -> TaskObjects:
    objects, state = w.objects(w.names[index + 1]), w.state()
    await objects.open_envelope(state, state.envelopes[w.trainers[index]])
    return objects


def job(w: World, index: int = ME) -> Path:
    return w.dir / w.names[index + 1] / "job"


# ---------------------------------------------------------------- envelopes


async def test_an_honest_envelope_gives_a_trainer_all_that_it_starts_from(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).enveloped()
    objects = await opened(w)
    assert objects.is_open
    files = {path.name: path.read_bytes() for path in job(w).iterdir()}
    assert files == {
        "chunk-0.safetensors": b"chunk-0",
        "chunk-2.safetensors": b"chunk-2",
        "validation.safetensors": b"validation",
        objects.checkpoint_name(0, w.manifest.initial): w.models[w.manifest.initial],
    }
    gets = len(w.storage.gets)
    await objects.open_envelope(w.state(), b"whatever comes later")
    assert len(w.storage.gets) == gets, "once is enough"


async def refused(w: World, body: dict[str, Any], kinds: Any = CryptoError) -> Exception:
    """An envelope that does not open, and leaves nothing open; the reason."""
    objects = w.objects("trainer-0")
    with pytest.raises(kinds) as caught:
        await objects.open_envelope(w.state(), body["sealed"])
    assert not objects.is_open
    return caught.value


SPOILT: dict[str, Callable[[World], dict[str, Any]]] = {
    "another secret": lambda w: {"secret": b"s" * 32},
    "no chunk": lambda w: {"chunks": {0: w.bundle_fields(ME)["chunks"][0]}},
    "another trainer's key of a chunk": lambda w: {
        "chunks": {chunk: (w.get(f"chunk-{chunk}"), w.secrets.chunk_keys[1]) for chunk in (0, 2)}
    },
    "another chunk's bytes": lambda w: {
        "chunks": {chunk: (w.get("chunk-1"), w.secrets.chunk_keys[chunk]) for chunk in (0, 2)}
    },
    "no key of a chunk": lambda w: {"chunks": {chunk: (w.get(f"chunk-{chunk}"), "key") for chunk in (0, 2)}},
    "another validation chunk": lambda w: {"validation": (w.get("chunk-0"), w.secrets.chunk_keys[0])},
    "other initial weights": lambda w: {"initial": w._put("other", bytes(w.manifest.initial_blob.size_bytes)).url},
    "no slot": lambda w: {"put": {}},
    "a slot less": lambda w: {"put": dict(list(w.bundle_fields(ME)["put"].items())[1:])},
    "another shared bundle": lambda w: {"shared": w._put("other", b"bytes")},
    "a shared bundle that lacks slots": lambda w: {"shared": w._put("other", shared(w, encode({})))},
    "a shared bundle of numbers": lambda w: {"shared": w._put("other", shared(w, encode([1, 2])))},
}


def shared(w: World, content: bytes) -> bytes:
    plain, cipher = w.dir / "puppets" / "plain", w.dir / "puppets" / "cipher"
    plain.write_bytes(content)
    seal.encrypt_deterministic(w.secrets.secret, b.SHARED_LABEL, plain, cipher)
    return cipher.read_bytes()


@pytest.mark.parametrize("spoilt", SPOILT)
async def test_a_spoilt_bundle_is_refused(tmp_path: Path, autojump_clock: Clock, spoilt: str) -> None:
    w = World(tmp_path).assigned()
    changes = SPOILT[spoilt](w)
    await refused(w, w.envelope(ME, **changes))
    w.say(w.client, "envelope", w.envelope(ME))
    assert (await opened(w)).is_open, "and the right one opens after it"


async def test_an_envelope_that_is_sealed_to_another_is_refused(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).assigned()
    await refused(w, w.envelope(1))
    await refused(w, {"sealed": b""})
    await refused(w, {"sealed": b"age-encryption.org/v1\n" + bytes(300)})


async def test_what_the_store_does_not_have_is_a_storage_error(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).assigned()
    body = w.envelope(ME)
    for name in ("bundle-0", "shared-0", "chunk-2", "validation", "initial"):
        data = w.storage.objects.pop(f"{PREFIX}/{name}")
        await refused(w, body, StorageError)
        w.storage.objects[f"{PREFIX}/{name}"] = data


def run(what: Callable[[], Awaitable[Any]]) -> Any:
    return trio.run(what, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.fixture(scope="module", name="w")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One world for all examples, whose client is hostile; a trainer meets it anew each time."""

    async def begin() -> World:
        return World(tmp_path_factory.mktemp("hostile")).assigned()

    return run(begin)  # type: ignore[no-any-return]


def opens(w: World, make: Callable[[], bytes]) -> bool:
    """Whether a trainer opens an envelope with this content; anything but a refusal is a failure."""

    async def try_it() -> bool:
        shutil.rmtree(w.dir / "trainer-0", ignore_errors=True)
        objects, sealed = w.objects("trainer-0"), to_trainer(w, make())
        try:
            await objects.open_envelope(w.state(), sealed)
        except (CryptoError, CodecError, StorageError):
            assert not objects.is_open
            return False
        assert objects.is_open
        return True

    return bool(run(try_it))


def to_trainer(w: World, data: bytes) -> bytes:
    return seal.seal(data, [w.keys["trainer-0"].recipient])


def pointing_to(w: World, bundle: bytes) -> bytes:
    return w._put("bundle-hostile", to_trainer(w, bundle)).to_bytes()


def fields(w: World) -> dict[str, Any]:
    """An honest bundle of trainer 0, as it is encoded."""
    return decode(b.Bundle(**w.bundle_fields(ME)).to_bytes(), max_bytes=10**6)


def test_an_honest_bundle_opens_all_the_same(w: World) -> None:
    assert opens(w, lambda: pointing_to(w, encode(fields(w))))


INTEGERS = st.integers(-(2**63), 2**64 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
HASH = st.binary(min_size=32, max_size=32)


@settings(max_examples=60)
@given(VALUES | st.tuples(TEXT, HASH, INTEGERS).map(list))
def test_no_pointer_breaks_a_trainer(w: World, value: Any) -> None:
    assert not opens(w, lambda: encode(value))


@settings(max_examples=60)
@given(st.sampled_from(["secret", "chunks", "validation", "initial", "put", "shared"]), VALUES)
def test_no_field_of_a_bundle_breaks_a_trainer(w: World, name: str, value: Any) -> None:
    assert not opens(w, lambda: pointing_to(w, encode(fields(w) | {name: value})))


@settings(max_examples=60)
@given(VALUES)
def test_no_bundle_breaks_a_trainer(w: World, value: Any) -> None:
    assert not opens(w, lambda: pointing_to(w, encode(value)))


@settings(max_examples=60)
@given(st.lists(st.tuples(INTEGERS | st.just(0) | st.just(2), TEXT, TEXT).map(list), max_size=3), st.booleans(), TEXT)
def test_no_keys_or_urls_of_chunks_break_a_trainer(
    w: World, rows: list[list[Any]], validation: bool, text: str
) -> None:
    def make() -> bytes:
        honest = fields(w)
        if validation:
            return pointing_to(w, encode(honest | {"validation": [honest["validation"][0], text]}))
        keys = [[chunk, url, text] for chunk, url, _ in honest["chunks"]]
        return pointing_to(w, encode(honest | {"chunks": keys + rows}))

    assert not opens(w, make)


@settings(max_examples=60)
@given(VALUES, st.booleans())
def test_no_shared_bundle_breaks_a_trainer(w: World, value: Any, every_slot: bool) -> None:
    def make() -> bytes:
        content = dict.fromkeys(b.slots_of(w.state(), ME), value) if every_slot else value
        return pointing_to(w, encode(fields(w) | {"shared": w._put("other", shared(w, encode(content))).fields()}))

    assert opens(w, make) is (every_slot and isinstance(value, str))


@settings(max_examples=60)
@given(st.binary(max_size=200), st.integers(0, 2))
def test_no_bytes_break_a_trainer(w: World, data: bytes, depth: int) -> None:
    def make() -> bytes:
        other = w._put("other", data or b"x").fields()
        return [data, pointing_to(w, data), pointing_to(w, encode(fields(w) | {"shared": other}))][depth]

    assert not opens(w, make)


# ---------------------------------------------------------------- finding


async def stored(tmp_path: Path) -> tuple[World, TaskObjects, State, Update]:
    """An update of trainer 1 in the log, of which nobody has the bytes but its author and its slot."""
    w = World(tmp_path).running()
    objects = await opened(w)
    w.train(1)
    state = w.state()
    w.storage.gets.clear()
    return w, objects, state, state.updates[1]


def slot_of(update: Update) -> str:
    return f"{PREFIX}/slot/{b.update_slot(update.round, update.chunk, 1)}"


async def test_an_object_comes_from_its_author(tmp_path: Path, autojump_clock: Clock) -> None:
    w, objects, state, update = await stored(tmp_path)
    assert await objects.fetch_update(state, update, timeout_s=5)
    assert w.peer("trainer-0").fetched == [(w.peer("trainer-1").peer_id, update.object)] and not w.storage.gets
    assert (job(w) / objects.update_name(update)).read_bytes() == w.models[update.state]
    assert update.object in w.peer("trainer-0").files, "and is passed on"
    assert await objects.fetch_update(state, update, timeout_s=5)
    assert len(w.peer("trainer-0").fetched) == 1, "once is enough"


@pytest.mark.parametrize("lies", [False, True])
async def test_else_it_comes_from_its_slot(tmp_path: Path, autojump_clock: Clock, lies: bool) -> None:
    w, objects, state, update = await stored(tmp_path)
    if lies:
        w.peer("trainer-1").lies[update.object] = b"something else"
    else:
        w.peer("trainer-1").online = False
    assert await objects.fetch_update(state, update, timeout_s=5)
    assert w.storage.gets == [slot_of(update)] and len(w.peer("trainer-0").fetched) == 1
    assert (job(w) / objects.update_name(update)).read_bytes() == w.models[update.state]


@pytest.mark.parametrize("slot", ["missing", "other bytes"])
async def test_else_it_comes_from_another_trainer(tmp_path: Path, autojump_clock: Clock, slot: str) -> None:
    w, objects, state, update = await stored(tmp_path)
    w.peer("trainer-2").provide(update.object, w.peer("trainer-1").files[update.object])
    w.peer("trainer-1").online = False
    data = w.storage.objects.pop(slot_of(update))
    if slot == "other bytes":
        w.storage.objects[slot_of(update)] = data[:-1] + b"x"
    assert await objects.fetch_update(state, update, timeout_s=5)
    asked = [peer for peer, _ in w.peer("trainer-0").fetched]
    assert asked == [w.peer("trainer-1").peer_id, w.peer("trainer-2").peer_id]
    assert w.storage.gets == [slot_of(update)]


async def test_wrong_bytes_everywhere_are_refused_and_leave_nothing(tmp_path: Path, autojump_clock: Clock) -> None:
    w, objects, state, update = await stored(tmp_path)
    for name in ("trainer-1", "trainer-2"):
        w.peer(name).lies[update.object] = b"something else"
    w.storage.objects[slot_of(update)] = b"something else"
    before = set(job(w).iterdir())
    assert not await objects.fetch_update(state, update, timeout_s=5)
    assert set(job(w).iterdir()) == before and update.object not in w.peer("trainer-0").files
    w.peer("trainer-2").lies.clear()
    w.peer("trainer-2").provide(update.object, w.peer("trainer-1").files[update.object])
    assert await objects.fetch_update(state, update, timeout_s=5), "but it may come later"


@pytest.mark.parametrize("wrong", ["plaintext", "label", "secret", "padding", "no ciphertext"])
async def test_an_object_that_is_not_what_its_entry_says_is_refused(
    tmp_path: Path, autojump_clock: Clock, wrong: str
) -> None:
    """The hash is that of the log, and the bytes are an author's who lies."""
    w = World(tmp_path).running()
    objects, body = await opened(w), w.update(1, w.trainers[1])
    plain, label = w.models[body["state"]], b.update_label(1, 1)
    if wrong == "plaintext":
        plain = b"another update"
    if wrong == "label":
        label = b.update_label(2, 1)
    if wrong == "secret":
        w.secrets = w.secrets.__class__(PREFIX, b"s" * 32, w.secrets.chunk_keys, w.secrets.validation_key)
    data = w.sealed(label, plain).read_bytes()
    if wrong == "padding":
        data = data[:-1] + b"x"
    if wrong == "no ciphertext":
        data = bytes(8) + bytes(w.manifest.slot_bytes - 8)
    w.storage.objects[f"{PREFIX}/slot/{b.update_slot(1, 1, 1)}"] = data
    w.say(w.trainers[1], "update", body | {"object": digest(data)})
    state, before = w.state(), set(job(w).iterdir())
    assert state.updates[1].object == digest(data)
    for _ in range(2):
        assert not await objects.fetch_update(state, state.updates[1], timeout_s=5)
        assert set(job(w).iterdir()) == before


async def test_a_checkpoint_that_cannot_be_had_is_an_error(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    objects = await opened(w)
    w.round()
    state = w.state()
    made = state.checkpoints[1]
    w.peer("trainer-1").online = False
    slot = f"{PREFIX}/slot/{b.checkpoint_slot(1, 1)}"
    data = w.storage.objects.pop(slot)
    with pytest.raises(StorageError):
        await objects.checkpoint(state, made)
    w.storage.objects[slot] = data
    assert (job(w) / await objects.checkpoint(state, made)).read_bytes() == w.models[made.state]


async def test_one_object_is_fetched_once_however_many_ask_for_it(tmp_path: Path, autojump_clock: Clock) -> None:
    w, objects, state, update = await stored(tmp_path)
    got: list[bool] = []

    async def fetch() -> None:
        got.append(await objects.fetch_update(state, update, timeout_s=5))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(fetch)
    assert got == [True] * 4 and len(w.peer("trainer-0").fetched) == 1


# ---------------------------------------------------------------- delivering


async def test_everybody_makes_the_same_object_and_others_find_it(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    objects, body = await opened(w), w.update(0, w.trainers[ME])
    (job(w) / "update").write_bytes(w.models[body["state"]])
    assert await objects.deliver_update(w.state(), 1, 0, "update") == body["object"]
    assert w.storage.puts == [f"{PREFIX}/slot/u/1/0/0"]
    assert digest(w.peer("trainer-0").files[body["object"]].read_bytes()) == body["object"]


async def test_a_slot_that_refuses_is_an_error_for_the_result_alone(tmp_path: Path, autojump_clock: Clock) -> None:
    """Peers fetch the rest from here; whoever buys the model has only the slot."""
    w = World(tmp_path).finished()
    objects, state = await opened(w), w.state()
    mark = state.final
    assert mark is not None
    w.storage.refuses = lambda method, key: method == "PUT"
    (job(w) / "update").write_bytes(b"an update")
    update = await objects.deliver_update(state, 1, 0, "update")
    name = await objects.checkpoint(state, state.checkpoints[1])
    checkpoint = await objects.deliver_checkpoint(state, 1, state.checkpoints[1].state)
    assert {update, checkpoint} <= w.peer("trainer-0").files.keys() and (job(w) / name).exists()
    with pytest.raises(StorageError):
        await objects.deliver_result(state, mark)
    w.storage.refuses = lambda method, key: False
    slot = f"{PREFIX}/slot/{b.result_slot(ME)}"
    w.storage.objects.pop(slot, None)
    note = await objects.deliver_result(state, mark)
    assert digest(w.storage.objects[slot]) == note.object and note.author == w.trainers[ME]
    content = decode(w.keys["client"].open(note.envelope), max_bytes=8_192)
    (w.dir / "padded").write_bytes(w.storage.objects[slot])
    seal.unpad(w.dir / "padded", w.dir / "cipher")
    seal.decrypt_with_key(content["key"], w.dir / "cipher", w.dir / "plain")
    assert (w.dir / "plain").read_bytes() == w.models[mark.checkpoint]


async def test_a_result_is_right_if_it_is_the_final_checkpoint_and_lies_in_its_slot(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).finished()
    w.say(w.aggregator(), "result", w.publish())
    objects, state = await opened(w), w.state()
    mark, note = state.final, state.result
    assert mark is not None and note is not None
    assert await objects.check_result(state, mark, note)
    slot = f"{PREFIX}/slot/{b.result_slot(state.seat_index(note.author) or 0)}"
    data = w.storage.objects[slot]
    assert not await objects.check_result(state, mark, type(note)(note.author, digest(b"another"), note.envelope))
    w.storage.objects[slot] = data[:-1] + b"x"
    with pytest.raises(CryptoError):
        await objects.check_result(state, mark, note)
    del w.storage.objects[slot]
    with pytest.raises(StorageError):
        await objects.check_result(state, mark, note)


async def test_nothing_is_delivered_before_the_envelope_is_open(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).running()
    objects = w.objects("trainer-0")
    (job(w) / "update").write_bytes(b"an update")
    with pytest.raises(CryptoError):
        await objects.deliver_update(w.state(), 1, 0, "update")


# ---------------------------------------------------------------- reports


class Maker:
    """An engine's job that writes a file and reports on it."""

    def __init__(self, w: World) -> None:
        self.made, self._path = 0, job(w) / "update"

    async def __call__(self) -> dict[str, Any]:
        self.made += 1
        self._path.write_bytes(b"weights")
        return {"sha256": "00", "loss": 0.5}


async def test_a_report_is_remembered_with_its_file(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path)
    make = Maker(w)
    for _ in range(2):
        report = await w.objects("trainer-0").remembered("update", make)
        assert report == {"sha256": "00", "loss": 0.5}
    assert make.made == 1
    (job(w) / "update").unlink()
    await w.objects("trainer-0").remembered("update", make)
    assert make.made == 2, "a report alone is worth nothing"


@pytest.mark.parametrize("torn", [b'{"sha256": "0', b""])
async def test_a_report_that_was_being_written_at_the_crash_is_made_again(
    tmp_path: Path, autojump_clock: Clock, torn: bytes
) -> None:
    w = World(tmp_path)
    make, objects = Maker(w), w.objects("trainer-0")
    await make()
    (tmp_path / "trainer-0" / "sealed" / "update.json").with_suffix(".part").write_bytes(torn)
    assert await objects.remembered("update", make) == {"sha256": "00", "loss": 0.5}
    assert make.made == 2
    note = tmp_path / "trainer-0" / "sealed" / "update.json"
    assert json.loads(note.read_text()) == {"sha256": "00", "loss": 0.5}


@pytest.mark.parametrize("torn", [b'{"sha256": "0', b"", b"\xff\xfe", b"null"])
async def test_a_torn_report_is_made_again(tmp_path: Path, autojump_clock: Clock, torn: bytes) -> None:
    """A machine that loses power may keep the name of a file and not its bytes."""
    w = World(tmp_path)
    make, objects = Maker(w), w.objects("trainer-0")
    await objects.remembered("update", make)
    (tmp_path / "trainer-0" / "sealed" / "update.json").write_bytes(torn)
    assert await objects.remembered("update", make) == {"sha256": "00", "loss": 0.5}
