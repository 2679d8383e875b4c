"""A client as a browser tab is one: keys and a wallet of its own, and a node for nothing but its HTTP API.

It follows docs/browser-client.md step by step, and uses of shoal only formats: no node, no peer, no S3 credentials.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shoal import seal
from shoal.core import calls
from shoal.core.assign import assign
from shoal.core.auction import Bid, clear
from shoal.core.codec import decode, encode
from shoal.core.entries import Place, make_entry
from shoal.core.ids import ZERO_DIGEST, Address, Digest, TaskId, parse_address
from shoal.core.manifest import Blob, ChunkInfo, Manifest, Rules
from shoal.core.money import Tinybar
from shoal.core.task import Seat
from shoal.learn.chunks import write_chunk
from shoal.ports import Ledger
from shoal.roles import bundle as b

API = "/api/v1"


@dataclass
class Tab:
    """One user at one node."""

    api: httpx.AsyncClient
    wallet: Ledger
    network: str
    contract: str
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    identity: str = ""
    recipient: bytes = b""
    secret: bytes = field(default_factory=lambda: os.urandom(32))
    task: str = ""
    topic: int = 0
    head: Digest = ZERO_DIGEST
    sequence: int = 0
    objects: dict[str, str] = field(default_factory=dict)
    """Name -> upload id."""
    chunk_keys: list[str] = field(default_factory=list)
    validation_key: str = ""
    info: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.identity, self.recipient = seal.new_identity()

    @property
    def signing_key(self) -> bytes:
        return self.key.public_key().public_bytes_raw()

    async def get(self, path: str, **params: Any) -> Any:
        return _json(await self.api.get(API + path, params=params))

    async def post(self, path: str, **body: Any) -> Any:
        return _json(await self.api.post(API + path, json=body))

    # ------------------------------------------------------------ before the task

    async def upload(self, name: str, data: bytes) -> str:
        """Encrypted bytes to storage, by the URLs that the node gives; returns the URL to read them."""
        wish = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        made = await self.post("/chunks", **wish)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as storage:
            for part in made["parts"] or [{"offset": 0, "bytes": len(data), "put_url": made["put_url"]}]:
                if part["put_url"]:
                    piece = data[part["offset"] : part["offset"] + part["bytes"]]
                    answer = await storage.put(part["put_url"], content=piece, headers=made["headers"])
                    assert answer.status_code == 200, answer.text
        done = await self.post(f"/chunks/{made['upload_id']}/complete")
        assert done["state"] == "complete"
        self.objects[name] = made["upload_id"]
        url: str = done["get_url"]
        return url

    async def prepare(self, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], *, classes: int, **wish: Any) -> Any:
        """Model, data, quote, uploads and manifest; returns the quote."""
        self.info = await self.get("/info")
        shape = ",".join(map(str, x.shape[1:]))
        model = await self.get("/zoo/linear", shape=shape, classes=classes)
        document = (await self.api.get(model["url"])).content
        weights = (await self.api.get(model["weights_url"])).content
        assert hashlib.sha256(document).hexdigest() == model["document_sha256"]
        assert hashlib.sha256(weights).hexdigest() == model["weights_sha256"]
        chunks, held_out = int(wish["chunks"]), len(x) // 10
        infos = []
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            rest = np.arange(held_out, len(x))
            for index in range(chunks):
                rows = rest[index::chunks]
                info, key = await self._chunk(folder, f"chunk-{index}", x[rows], y[rows])
                infos.append(info)
                self.chunk_keys.append(key)
            validation, self.validation_key = await self._chunk(folder, "validation", x[:held_out], y[:held_out])
            (folder / "weights").write_bytes(weights)
            plain, sealed, size = seal.encrypt_deterministic(
                self.secret, b"checkpoint/0", folder / "weights", folder / "initial"
            )
            await self.upload("initial", (folder / "initial").read_bytes())
        terms = {"document_sha256": model["document_sha256"], "recipe": model["recipe"], "rows": len(rest), **wish}
        quote = await self.post("/quotes/graph", **terms)
        self.manifest = Manifest(
            nonce=secrets.token_bytes(16),
            network=self.network,
            contract=self.contract,
            document=Blob(Digest(bytes.fromhex(model["document_sha256"])), len(document)),
            initial=Digest(plain),
            initial_blob=Blob(Digest(sealed), size),
            recipe=quote["recipe"],
            chunks=tuple(infos),
            validation=validation,
            slot_bytes=quote["slot_bytes"],
            rules=Rules(*quote["rules"]),
            summary={"name": "tab", "rows": len(rest), "shape": list(x.shape[1:]), "classes": classes,
                     "metric": "accuracy"},
            via=bytes.fromhex(self.info["signing_key"]),
        )  # fmt: skip
        manifest_b64 = base64.b64encode(self.manifest.to_bytes()).decode()
        client = "0x" + self.wallet.address.hex()
        taken = await self.post("/manifests", manifest_b64=manifest_b64, client=client)
        assert taken["manifest_hash"] == self.manifest.hash.hex()
        self.task = taken["task_id"]
        self.terms = terms
        self.taken = taken
        return quote

    async def _chunk(
        self, folder: Path, name: str, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]
    ) -> tuple[ChunkInfo, str]:
        identity, recipient = seal.new_identity()
        write_chunk(folder / name, x, y)
        cipher = seal.seal((folder / name).read_bytes(), [recipient])
        await self.upload(name, cipher)
        return ChunkInfo(Blob(Digest(hashlib.sha256(cipher).digest()), len(cipher)), len(x)), identity

    # ------------------------------------------------------------ the task

    @property
    def task_id(self) -> TaskId:
        return TaskId(bytes.fromhex(self.task))

    async def create(self) -> None:
        """Topic, escrow, announcement, manifest: the plan is quoted again, since its deadlines count from now."""
        quote = await self.post("/quotes/graph", **self.terms)
        self.topic = await self.wallet.create_topic(f"shoal task {self.task[:16]}")
        plan = calls.Plan(**{_snake(name): value for name, value in quote["plan"].items()})
        assert plan.escrow() == quote["escrow_tinybar"]
        call = calls.CreateTask(self.manifest.hash, self.topic, self.signing_key, self.recipient, plan)
        await self.wallet.call(call, value=quote["escrow_tinybar"])
        with trio.fail_after(60):
            while (answer := await self.api.post(f"{API}/tasks/{self.task}/announce")).status_code == 404:  # noqa: ASYNC110
                await trio.sleep(0.2)
        assert answer.status_code == 202, answer.text
        await self.say("manifest", {"manifest": self.manifest.to_bytes()})

    async def say(self, kind: str, body: dict[str, Any]) -> None:
        """Sign an entry, gossip it by the node, and write it by the wallet."""
        place = Place(self.network, self.contract, self.task_id)
        entry = make_entry(
            self.key, place, author=self.wallet.address, sequence=self.sequence, previous=self.head, kind=kind,
            body=body,
        )  # fmt: skip
        self.sequence, self.head = self.sequence + 1, entry.hash
        data_b64 = base64.b64encode(entry.data()).decode()
        said = await self.post(f"/tasks/{self.task}/entries", data_b64=data_b64)
        assert said == {"hash": entry.hash.hex(), "kind": kind, "sequence": entry.sequence}
        await self.wallet.submit(self.topic, entry.data())

    async def view_when(self, condition: Any, *, timeout_s: float = 120) -> Any:
        """The node's fold, once it says so."""
        with trio.fail_after(timeout_s):
            while not condition(view := await self.get(f"/tasks/{self.task}/client")):
                assert view["phase"] not in ("cancelled", "expired"), view
                await trio.sleep(0.3)
        return view

    async def award(self) -> None:
        """Wait for the bids, check each against its commitment, clear, award."""
        with trio.fail_after(180):
            while True:
                bids = await self.get(f"/tasks/{self.task}/bids")
                if bids["closed"] and bids["opened"] and len(bids["opened"]) == len(bids["sealed"]):
                    break
                await trio.sleep(0.3)
        sealed = {row["trainer"]: row["commitment"] for row in bids["sealed"]}
        opened = []
        for row in bids["opened"]:
            task, trainer, *numbers = decode(base64.b64decode(row["opening_b64"]), max_bytes=1_000)
            price, units, unit_s, expires, salt = numbers
            bid = Bid(Address(trainer), Tinybar(price), units, unit_s, expires, salt)
            assert task == self.task_id and sealed["0x" + trainer.hex()] == bid.commitment(self.task_id).hex()
            opened.append(bid)
        view = await self.get(f"/tasks/{self.task}/client")
        plan = view["plan"]
        award = clear(
            opened, task=self.task_id, chunks=plan["chunks"], seats=plan["seats"], min_trainers=plan["minTrainers"],
            ceiling=Tinybar(plan["maxUnitPrice"]), now_s=int(view["now"]),
        )  # fmt: skip
        assert award is not None
        root = award.root(self.task_id)
        await self.wallet.call(calls.Award(self.task_id, root, award.unit_price, award.primaries))
        await self.view_when(lambda view: view["phase"] == "awarded")
        leaves = [[leaf.trainer, leaf.units, leaf.rank] for leaf in award.leaves]
        await self.say("award", {"leaves": leaves})
        self.primaries = award.primaries

    async def seat_and_start(self) -> None:
        """Assign, seal a bundle to each seat, and start once all are ready."""
        view = await self.view_when(lambda view: len(view["seats"]) >= self.primaries)
        seats = [
            Seat(parse_address(each["trainer"]), bytes.fromhex(each["signing_key"]), bytes.fromhex(each["recipient"]),
                 each["units"], each["rank"])
            for each in view["seats"]
        ]  # fmt: skip
        holders = [[each.primary, each.backup] for each in assign(seats, view["plan"]["chunks"])]
        await self.say("assign", {"holders": holders})
        await self.view_when(lambda view: view["holders"] == holders)
        slots = [await self.post("/slots", task_id=self.task, seat=index) for index in range(len(seats))]
        shared = await self._shared({name: url for each in slots for name, url in each["get"].items()})
        for index, seat in enumerate(seats):
            held = [chunk for chunk, pair in enumerate(holders) if index in pair]
            own = b.Bundle(
                secret=self.secret,
                chunks={chunk: (await self._url(f"chunk-{chunk}"), self.chunk_keys[chunk]) for chunk in held},
                validation=(await self._url("validation"), self.validation_key),
                initial=await self._url("initial"),
                put=slots[index]["put"],
                shared=shared,
            )
            pointer = await self._pointer(f"bundle-{index}", seal.seal(own.to_bytes(), [seat.recipient]))
            sealed = seal.seal(pointer.to_bytes(), [seat.recipient])
            await self.say("envelope", {"to": seat.trainer, "sealed": sealed})
        await self.view_when(lambda view: all(each["ready"] for each in view["seats"]))
        await self.wallet.call(calls.Start(self.task_id))

    async def _shared(self, get: dict[str, str]) -> b.Pointer:
        with tempfile.TemporaryDirectory() as name:
            plain, cipher = Path(name) / "plain", Path(name) / "cipher"
            plain.write_bytes(encode(get))
            seal.encrypt_deterministic(self.secret, b"shared", plain, cipher)
            return await self._pointer("shared", cipher.read_bytes())

    async def _pointer(self, name: str, data: bytes) -> b.Pointer:
        url = await self.upload(name, data)
        return b.Pointer(url, hashlib.sha256(data).digest(), len(data))

    async def _url(self, name: str) -> str:
        found: str = (await self.get(f"/chunks/{self.objects[name]}"))["get_url"]
        return found

    async def result(self, out: Path) -> str:
        """Wait for the end; open the envelope with the tab's own key, fetch, compare; returns the weights' SHA-256."""
        with trio.fail_after(240):
            while (task := await self.get(f"/tasks/{self.task}"))["phase"] != "settled":
                assert task["phase"] not in ("cancelled", "expired"), task
                await trio.sleep(0.5)
        answer = await self.api.get(f"{API}/tasks/{self.task}/envelope")
        opened = decode(seal.open_(answer.content, self.identity), max_bytes=10_000)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as storage:
            padded = (await storage.get(opened["url"])).content
        assert hashlib.sha256(padded).digest() == opened["object"]
        folder = out.parent
        (folder / "padded").write_bytes(padded)
        seal.unpad(folder / "padded", folder / "cipher")
        seal.decrypt_with_key(opened["key"], folder / "cipher", out)
        sha256 = hashlib.sha256(out.read_bytes())
        assert sha256.digest() == opened["state"] and sha256.hexdigest() == task["result_sha256"]
        return sha256.hexdigest()


def _json(answer: httpx.Response) -> Any:
    assert answer.status_code < 300, f"{answer.request.url.path}: {answer.text}"
    return answer.json()


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
