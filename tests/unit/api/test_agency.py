"""A node serves clients without one: their documents, announcements, bids and slots; and each only its own."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from trio.testing import MockClock

from shoal import seal
from shoal.api.storage_fees import GIB
from shoal.core import calls
from shoal.core.auction import Award, Bid
from shoal.core.entries import Place, make_bid_commitment, make_entry
from shoal.core.ids import ZERO_DIGEST, Digest, TaskId, task_id
from shoal.core.manifest import Blob, ChunkInfo, Manifest, Rules
from shoal.core.merkle import AwardLeaf
from shoal.core.money import Tinybar
from shoal.learn.recipe import Recipe
from shoal.ports import Movement
from shoal.roles import bundle as b
from shoal.roles.trainer import opening
from shoal.testing.follower import CONTRACT, NETWORK, identity

from .desk import Api, Desk, api
from .test_uploads import ask, put, wish
from .users import User

TOPIC = 7
"""The world has one topic only; what is another task's there, everybody skips."""


@dataclass
class Buyer:
    """A user who prepares a task by hand."""

    it: Api
    user: User
    header: dict[str, str]
    key: Ed25519PrivateKey
    sequence: int = 0
    head: Digest = ZERO_DIGEST

    @classmethod
    async def make(cls, it: Api, account: str = "0.0.7") -> Buyer:
        user = User.make(account)
        return cls(it, user, await user.sign_in(it), Ed25519PrivateKey.generate())

    async def ask(self, method: str, path: str, status: int, **body: Any) -> Any:
        return await ask(self.it, self.header, method, path, status, **body)

    async def object(self, data: bytes) -> Blob:
        made = await self.ask("POST", "/chunks", 201, **wish(data))
        put(self.it.desk.world.storage, made["put_url"], data)
        await self.ask("POST", f"/chunks/{made['upload_id']}/complete", 200)
        return Blob(Digest(hashlib.sha256(data).digest()), len(data))

    async def manifest(self, **changes: Any) -> Manifest:
        """Of a ready model and three chunks of nonsense."""
        desk = self.it.desk
        model = await self.ask("GET", "/zoo/linear?shape=3&classes=2", 200)
        document = (await self.it.http.get(model["url"])).content
        weights = (await self.it.http.get(model["weights_url"])).content
        initial = await self.object(weights + bytes(184))
        chunks = [ChunkInfo(await self.object(f"{self.user.account} {n}".encode()), 5) for n in range(3)]
        given: dict[str, Any] = {
            "nonce": bytes(16),
            "network": NETWORK,
            "contract": CONTRACT,
            "document": Blob(Digest(bytes.fromhex(model["document_sha256"])), len(document)),
            "initial": Digest(hashlib.sha256(weights).digest()),
            "initial_blob": initial,
            "recipe": Recipe.from_dict({**model["recipe"], "rounds": 2}).as_dict(),
            "chunks": tuple(chunks),
            "validation": chunks[0],
            "slot_bytes": seal.slot_bytes(len(weights)),
            "rules": Rules(60, 60, 1),
            "summary": {"name": "mine"},
            "via": desk.keys.signing_key,
        }
        return Manifest(**(given | changes))

    async def give(self, manifest: Manifest, status: int = 201) -> Any:
        return await self.ask("POST", "/manifests", status, manifest_b64=base64.b64encode(manifest.to_bytes()).decode())

    def create(self, manifest: Manifest) -> TaskId:
        """What the wallet does."""
        world = self.it.desk.world
        signing_key, recipient = self.key.public_key().public_bytes_raw(), seal.new_identity()[1]
        call = calls.CreateTask(manifest.hash, TOPIC, signing_key, recipient, world.plan)
        world.ledger.run_call(self.user.address, call, world.plan.escrow())
        return task_id(self.user.address, manifest.hash)

    async def say(self, task: TaskId, kind: str, body: dict[str, Any], status: int = 202, **changes: Any) -> Any:
        place = Place(NETWORK, CONTRACT, task)
        given = {"author": self.user.address, "sequence": self.sequence, "previous": self.head, "kind": kind}
        entry = make_entry(self.key, place, body=body, **(given | changes))  # type: ignore[arg-type]
        data_b64 = base64.b64encode(entry.data()).decode()
        answer = await self.ask("POST", f"/tasks/{task.hex()}/entries", status, data_b64=data_b64)
        if status == 202:
            self.sequence, self.head = self.sequence + 1, entry.hash
            self.it.desk.world.ledger.write(entry.data())
        return answer

    async def seen(self, path: str, condition: Any) -> Any:
        with trio.fail_after(60):
            while not condition(found := await self.ask("GET", path, 200)):  # noqa: ASYNC110
                await trio.sleep(0.2)
        return found


def gateway(path: Path, **settings: Any) -> Desk:
    return Desk.make(path, gateway=True, **settings)


def sealed_bid(it: Api, task: TaskId, index: int = 0) -> Bid:
    """A trainer of the world bids for a task."""
    world = it.desk.world
    bid = Bid(world.trainers[index], Tinybar(5_000), 3, 0.5, world.plan.start_until, bytes([index]) * 32)
    signer = identity(world.names[index + 1])[1]
    world.ledger.write(make_bid_commitment(signer, task, bid.trainer, bid.commitment(task)).data())
    return bid


async def test_a_task_is_served_from_its_manifest_to_its_slots(clock: MockClock, tmp_path: Path) -> None:
    desk = gateway(tmp_path)
    world = desk.world
    async with api(desk) as it:
        alice, bob = await Buyer.make(it), await Buyer.make(it, "0.0.8")
        manifest = await alice.manifest()
        taken = await alice.give(manifest)
        task = task_id(alice.user.address, manifest.hash)
        path = f"/tasks/{task.hex()}"
        assert (taken["task_id"], taken["manifest_hash"]) == (task.hex(), manifest.hash.hex())
        assert (await alice.ask("POST", f"{path}/announce", 404))["code"] == "SHOAL-T08", "it is not on the ledger yet"
        assert alice.create(manifest) == task
        await trio.sleep(1)
        assert (await bob.ask("POST", f"{path}/announce", 403))["code"] == "SHOAL-U08"
        assert (await alice.ask("POST", f"{path}/announce", 202))["peer_id"] == desk.network.peer_id
        await alice.ask("POST", f"{path}/announce", 202)
        await alice.say(task, "manifest", {"manifest": manifest.to_bytes()})
        view = await alice.seen(f"{path}/client", lambda view: view["posted"] == ["manifest"])
        assert (view["sequence"], view["head"]) == (1, alice.head.hex())
        with trio.fail_after(30):
            while bytes(task) not in world.network.gossiped:  # noqa: ASYNC110
                await trio.sleep(0.5)
        assert desk.network.files[manifest.document.sha256].read_bytes()
        bid = sealed_bid(it, task)
        await trio.sleep(1)
        early = await bob.ask("GET", f"{path}/bids", 200)
        assert (early["closed"], early["opened"], len(early["sealed"])) == (False, None, 1)
        world.skip_to(world.plan.bid_until + 2)
        await alice.seen(f"{path}/bids", lambda bids: bids["closed"])
        trainer = world.peer("trainer-0")
        await trainer.request(desk.network.peer_id, "opening", opening(task, bid), timeout_s=5)
        [opened] = (await alice.ask("GET", f"{path}/bids", 200))["opened"]
        assert base64.b64decode(opened["opening_b64"]) == opening(task, bid)
        assert opened["commitment"] == bid.commitment(task).hex()
        assert (await bob.ask("GET", f"{path}/bids", 200))["opened"] is None
        assert (await it.http.get(f"/api/v1{path}/bids")).json()["opened"] is None
        assert [row["task_id"] for row in (await alice.ask("GET", "/tasks", 200))["items"]] == [task.hex()]
        assert (await bob.ask("GET", "/tasks", 200))["items"] == []
        await _seat(alice, bob, task, path, manifest)


async def _seat(alice: Buyer, bob: Buyer, task: TaskId, path: str, manifest: Manifest) -> None:
    world = alice.it.desk.world
    leaves = tuple(AwardLeaf(trainer, 2, 0) for trainer in world.trainers)
    award = Award(leaves, Tinybar(5_000))
    world.ledger.run_call(alice.user.address, calls.Award(task, award.root(task), award.unit_price, 3))
    await alice.seen(f"{path}/client", lambda view: view["phase"] == "awarded")
    for index, trainer in enumerate(world.trainers):
        leaf, proof = award.proof(task, trainer) or (leaves[index], ())
        world.ledger.run_call(trainer, calls.Accept(task, leaf.units, leaf.rank, proof))
    await alice.seen(f"{path}/client", lambda view: len(view["seats"]) == 3)
    early = await alice.ask("POST", "/slots", 409, task_id=task.hex(), seat=0)
    assert early["code"] == "SHOAL-U98"
    cancel = await bob.ask("GET", f"{path}/cancellation", 200)
    assert cancel["possible"] and cancel["trainers"] == 3
    each = int(world.plan.compensation)
    assert cancel["refunded_tinybar"] + 3 * each == int(world.plan.escrow())
    await alice.say(task, "award", {"leaves": [[leaf.trainer, leaf.units, leaf.rank] for leaf in leaves]})
    await alice.say(task, "assign", {"holders": [[0, 1], [1, 2], [2, 0]]})
    view = await alice.seen(f"{path}/client", lambda view: view["holders"])
    assert [seat["recipient"] for seat in view["seats"]] == [
        world.keys[name].recipient.hex() for name in world.names[1:]
    ]
    slots = await alice.ask("POST", "/slots", 200, task_id=task.hex(), seat=1)
    names = {b.update_slot(round, chunk, 1) for round in (1, 2) for chunk in (0, 1)}
    names |= {b.checkpoint_slot(1, 1), b.checkpoint_slot(2, 1), b.result_slot(1)}
    assert slots["put"].keys() == slots["get"].keys() == names
    assert slots["slot_bytes"] == manifest.slot_bytes
    assert f"size={manifest.slot_bytes}" in slots["put"][b.result_slot(1)]
    assert (await bob.ask("POST", "/slots", 403, task_id=task.hex(), seat=1))["code"] == "SHOAL-U08"
    assert (await alice.ask("POST", "/slots", 422, task_id=task.hex(), seat=3))["code"] == "SHOAL-U54"
    made = await alice.ask("POST", "/chunks", 201, **wish(b"a bundle"))
    assert (await alice.ask("DELETE", f"/chunks/{made['upload_id']}", 409))["code"] == "SHOAL-U90"
    again = await alice.ask("POST", "/slots", 200, task_id=task.hex(), seat=1)
    assert again["get"].keys() == names


async def test_it_goes_on_after_a_restart_with_the_bids_of_before(clock: MockClock, tmp_path: Path) -> None:
    desk = gateway(tmp_path)
    async with api(desk) as it:
        alice = await Buyer.make(it)
        manifest = await alice.manifest()
        await alice.give(manifest)
        task = alice.create(manifest)
        await trio.sleep(1)
        await alice.ask("POST", f"/tasks/{task.hex()}/announce", 202)
        bids = [sealed_bid(it, task, index) for index in range(2)]
        await trio.sleep(1)
        desk.world.skip_to(desk.world.plan.bid_until + 2)
        await alice.seen(f"/tasks/{task.hex()}/bids", lambda bids: bids["closed"])
        trainer = desk.world.peer("trainer-0")
        await trainer.request(desk.network.peer_id, "opening", opening(task, bids[0]), timeout_s=5)
    desk.network.handlers.clear()
    desk.network.files.clear()
    async with api(desk) as it:
        alice.it = it
        with trio.fail_after(60):
            while not (await alice.ask("GET", f"/tasks/{task.hex()}/bids", 200))["opened"]:  # noqa: ASYNC110
                await trio.sleep(0.2)
        trainer = desk.world.peer("trainer-1")
        await trainer.request(desk.network.peer_id, "opening", opening(task, bids[1]), timeout_s=5)
        found = await alice.ask("GET", f"/tasks/{task.hex()}/bids", 200)
        assert {row["commitment"] for row in found["opened"]} == {bid.commitment(task).hex() for bid in bids}
        assert manifest.document.sha256 in desk.network.files


async def test_a_manifest_that_would_fail_later_is_refused_at_once(clock: MockClock, tmp_path: Path) -> None:
    async with api(gateway(tmp_path)) as it:
        alice, bob = await Buyer.make(it), await Buyer.make(it, "0.0.8")
        good = await alice.manifest()
        strange = ChunkInfo(Blob(Digest(bytes(32)), 10), 5)
        for changed in (
            replace(good, network="mainnet"),
            replace(good, contract="0.0.9"),
            replace(good, via=b""),
            replace(good, via=bytes(32)),
            replace(good, slot_bytes=good.slot_bytes + 4_096),
            replace(good, chunks=(*good.chunks, strange)),
            replace(good, initial_blob=replace(good.initial_blob, size_bytes=good.slot_bytes + 1)),
        ):
            assert (await alice.give(changed, 422))["code"] == "SHOAL-U93"
        document = replace(good.document, sha256=Digest(bytes(32)))
        assert (await alice.give(replace(good, document=document), 404))["code"] == "SHOAL-U92"
        assert (await alice.give(replace(good, recipe={"loss": "mse"}), 422))["code"] == "SHOAL-M10"
        assert (await bob.give(good, 422))["code"] == "SHOAL-U93", "its objects are another's"
        await alice.give(good)


async def test_only_entries_of_the_task_and_its_owner_are_gossiped(clock: MockClock, tmp_path: Path) -> None:
    desk = gateway(tmp_path)
    async with api(desk) as it:
        alice, bob = await Buyer.make(it), await Buyer.make(it, "0.0.8")
        manifest = await alice.manifest()
        task = alice.create(manifest)
        await trio.sleep(1)
        body = {"manifest": manifest.to_bytes()}
        assert (await bob.say(task, "manifest", body, 422))["code"] == "SHOAL-U94", "it takes no part"
        other = await bob.say(task, "manifest", body, 403, author=alice.user.address)
        assert other["code"] == "SHOAL-U08"
        forged = await alice.say(task, "manifest", body, 403, author=bob.user.address)
        assert forged["code"] == "SHOAL-U08"
        alice.key, key = bob.key, alice.key
        assert (await alice.say(task, "manifest", body, 422))["code"] == "SHOAL-U94", "not signed by the task's key"
        alice.key = key
        junk = await alice.ask("POST", f"/tasks/{task.hex()}/entries", 422, data_b64="AAAA")
        assert junk["code"] == "SHOAL-U94"
        assert not any(data != task for data in desk.world.network.gossiped)
        await alice.say(task, "manifest", body)
        assert len(desk.world.network.gossiped) == 1


async def test_storage_is_paid_once_and_credit_is_not_lost(
    clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = gateway(tmp_path, storage_fee=GIB)  # a tinybar a byte
    paid: list[Movement] = []

    async def movements(*, after_ns: int, until_ns: int, account: str | None = None) -> list[Movement]:
        return [each for each in paid if after_ns < each.time_ns <= until_ns]

    def pay(amount: int, *, payer: str = "0.0.7", name: str = "CRYPTOTRANSFER", result: str = "SUCCESS") -> None:
        to, at = desk.ledger.account, desk.world.ledger.now_ns()
        transfers = ((payer, -amount), (to, amount))
        paid.append(Movement(at, f"{payer}-{at}-{len(paid)}", name, result, transfers, payer, Tinybar(0)))

    monkeypatch.setattr(desk.ledger, "movements", movements)
    async with api(desk) as it:
        alice = await Buyer.make(it)
        manifest = await alice.manifest()
        taken = await alice.give(manifest)
        fee = taken["storage_fee_tinybar"]
        assert fee == taken["stored_bytes"] == sum(
            each.size_bytes for each in [*(c.blob for c in manifest.chunks), manifest.validation.blob,
                                         manifest.initial_blob]
        ) + (3 * 2 + 2 + 1) * manifest.slot_bytes  # fmt: skip
        task = alice.create(manifest)
        pay(fee - 1)
        pay(10**9, payer="0.0.8")
        pay(10**9, result="INSUFFICIENT_PAYER_BALANCE")
        pay(10**9, name="CONTRACTCALL")
        await trio.sleep(1)
        path = f"/tasks/{task.hex()}/announce"
        refused = await alice.ask("POST", path, 402)
        assert refused["code"] == "SHOAL-U96" and "0.0.5" in refused["hint"]
        pay(5)
        await trio.sleep(1)
        await alice.ask("POST", path, 202)
        await alice.ask("POST", path, 202)
        assert (await alice.ask("GET", "/storage", 200))["credit_tinybar"] == 4
    async with api(desk) as it:
        alice.it = it
        assert (await alice.ask("GET", "/storage", 200))["credit_tinybar"] == 4


async def test_a_user_has_so_many_tasks_at_once(clock: MockClock, tmp_path: Path) -> None:
    async with api(gateway(tmp_path, gateway_tasks=1)) as it:
        alice = await Buyer.make(it)
        first = await alice.manifest()
        second = replace(first, nonce=bytes(15) + b"\x01")
        tasks = []
        for manifest in (first, second):
            await alice.give(manifest)
            tasks.append(alice.create(manifest))
        await trio.sleep(1)
        await alice.ask("POST", f"/tasks/{tasks[0].hex()}/announce", 202)
        assert (await alice.ask("POST", f"/tasks/{tasks[1].hex()}/announce", 429))["code"] == "SHOAL-U87"
        it.desk.world.ledger.run_call(alice.user.address, calls.Cancel(tasks[0]))
        with trio.fail_after(60):
            path = f"/api/v1/tasks/{tasks[1].hex()}/announce"
            while (await it.http.post(path, headers=alice.header)).is_error:  # noqa: ASYNC110
                await trio.sleep(0.5)


async def test_a_gateway_runs_no_python_and_prices_documents(clock: MockClock, tmp_path: Path) -> None:
    async with api(gateway(tmp_path, storage_fee=10**8)) as it:
        refused = await it.http.post("/api/v1/quotes", headers=it.authorised)
        assert (refused.status_code, refused.json()["code"]) == (403, "SHOAL-U95")
        alice = await Buyer.make(it)
        model = await alice.ask("GET", "/zoo/mlp?shape=4&classes=3&hidden=8", 200)
        assert model == await alice.ask("GET", "/zoo/mlp?shape=4&classes=3&hidden=8", 200)
        wish = {"document_sha256": model["document_sha256"], "recipe": model["recipe"], "rows": 100, "trainers": 2}
        quote = await alice.ask("POST", "/quotes/graph", 200, upload_bytes=5_000, **wish)
        plan = quote["plan"]
        assert quote["escrow_tinybar"] == plan["chunks"] * plan["rounds"] * plan["maxUnitPrice"] + (
            plan["rounds"] * plan["aggregatePrice"]
        )
        assert list(plan)[:3] == ["chunks", "rounds", "seats"] and list(plan)[-1] == "disputeTime"
        assert quote["unit_s"] > 0 and quote["storage_fee_tinybar"] > 0 and quote["slot_bytes"] == model["slot_bytes"]
        assert quote["expected_paid_tinybar"] + quote["expected_back_tinybar"] == quote["escrow_tinybar"]
        document = (await it.http.get(model["url"])).content
        strange = document.replace(b'"tied":{}', b'"tied":{"other":"1.weight"}')
        assert strange != document
        added = await it.http.post("/api/v1/documents", content=strange, headers=alice.header)
        assert added.status_code == 201, added.text
        wish["document_sha256"] = added.json()["document_sha256"]
        quote = await alice.ask("POST", "/quotes/graph", 200, **wish)
        assert quote["unit_s"] is None and quote["pays_enough"] is None, "a stranger's document is not run"
        few = await alice.ask("POST", "/quotes/graph", 422, **{**wish, "rows": 3})
        assert few["code"] == "SHOAL-D21"


async def test_the_ledger_as_it_is(clock: MockClock, desk: Desk) -> None:
    world = desk.world.published()
    async with api(desk) as it:
        events: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = (await it.http.get(f"/api/v1/ledger/contract-events?limit=2{cursor}")).json()
            events += page["items"]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert [each["name"] for each in events] == ["Registered"] * 3 + ["TaskCreated"]
        created = events[-1]
        assert created["task_id"] == world.task.hex()
        assert created["fields"]["client"] == "0x" + world.client.hex()
        assert created["fields"]["plan"]["minTrainers"] == world.plan.min_trainers
        only = (await it.http.get(f"/api/v1/ledger/contract-events?task={world.task.hex()}")).json()["items"]
        assert only == [created]
        [message] = (await it.http.get(f"/api/v1/topics/0.0.{TOPIC}/messages")).json()["items"]
        assert base64.b64decode(message["data_b64"]) == world.ledger.log[0].data
        info = (await it.http.get("/api/v1/info")).json()
        assert info["signing_key"] == desk.keys.signing_key.hex() and info["quotas"] is None
        assert info["mirror"]["rest"] == "http://mirror:5551" and not info["gateway"]
        assert np.isclose(info["chain_time"], world.ledger.now_ns() / 1e9, atol=100)
