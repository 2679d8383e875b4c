"""Test vectors for clients in other languages: `python tests/vectors/make.py` writes them anew.

In them bytes are hexadecimal, and floats of `codec.json` are tagged, since JSON has one kind of number only.
"""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shoal import seal
from shoal.core.assign import assign
from shoal.core.auction import Bid, clear
from shoal.core.codec import digest, encode
from shoal.core.entries import Place, make_bid_commitment, make_entry
from shoal.core.ids import ZERO_DIGEST, Address, TaskId, keccak256, task_id, word
from shoal.core.manifest import Blob, ChunkInfo, Manifest, Rules
from shoal.core.merkle import AwardLeaf, CreditLeaf, proof, root
from shoal.core.money import Tinybar
from shoal.core.task import Seat
from shoal.roles import bundle as b
from shoal.roles.trainer import opening

HERE = Path(__file__).parent
CLIENT = Address(bytes.fromhex("00000000000000000000000000000000000003ea"))
SIGNING_SEED = bytes(range(32))
TASK_SECRET = hashlib.sha256(b"the secret of a task").digest()
AGE_SECRET = hashlib.sha256(b"an age identity").digest()


def codec() -> dict[str, Any]:
    """Values with their one encoding, and bytes that no decoder may take."""
    long_key = "k" * 24
    values: list[Any] = [
        None, True, False, 0, 1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**53 - 1, 2**53, 2**63, 2**64 - 1,
        -1, -24, -25, -256, -257, -(2**31), -(2**53), -(2**63), 0.0, -0.0, 1.0, 1.5, 0.1, 1e-8, 65_504.0, 65_505.0,
        100_000.0, 3.4028234663852886e38, 1.1, -4.1, 5.960464477539063e-08, 0.00006103515625, 1e300, 5e-324,
        float("inf"), float("-inf"), float("nan"), b"", b"\x01\x02", bytes(24), bytes(300), "", "a", "\u00fc",
        "\u6c34", "\U00010151", "x" * 24, [], [1, [2, [3]]], list(range(25)), {}, {"b": 1, "a": b"x"},
        {"aa": 1, "b": 2, "": 3, long_key: 4, "z" * 23: 5, "\u00fc": 6}, {"nested": {"b": [None, {"a": 1.0}]}},
    ]  # fmt: skip
    deep: Any = 0
    for _ in range(16):
        deep = [deep]
    values.append(deep)
    refused = {
        "two values": "0101",
        "nothing": "",
        "cut off": "4201",
        "a longer head than needed": "1801",
        "a length with a longer head than needed": "580101",
        "an indefinite array": "9f01ff",
        "an indefinite map": "bf6161 01ff",
        "an indefinite string": "5f4101ff",
        "keys out of order": "a2616201616101",
        "a longer key first": "a262616101616202",
        "a key twice": "a2616101616102",
        "a key that is no text": "a10101",
        "a key of bytes": "a1416101",
        "a tag": "c074323031332d30332d32315432303a30343a30305a",
        "a bignum": "c249010000000000000000",
        "below -2^63": "3bffffffffffffffff",
        "undefined": "f7",
        "a simple value": "f0",
        "a float with more bits than needed": "fa3f800000",
        "a double with more bits than needed": "fb3ff0000000000000",
        "another NaN": "f97e01",
        "text that is not UTF-8": "61ff",
        "nested too deeply": "81" * 17 + "00",
    }
    return {
        "accepted": [{"value": tagged(value), "cbor": encode(value).hex()} for value in values],
        "refused": [{"why": why, "cbor": text.replace(" ", "")} for why, text in refused.items()],
    }


def tagged(value: Any) -> Any:
    """A value as JSON that loses nothing: {"int": "1"}, {"float": "1.0"}, {"bytes": hex}; the rest as it is."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, list | tuple):
        return [tagged(each) for each in value]
    return {"map": [[key, tagged(each)] for key, each in value.items()]}


def ids() -> dict[str, Any]:
    manifests = [digest(bytes([n])) for n in range(3)]
    clients = [CLIENT, Address(bytes.fromhex("c0ffee254729296a45a3885639ac7e10f9d54979"))]
    return {
        "keccak256": [{"data": data.hex(), "hash": keccak256(data).hex()} for data in (b"", b"abc", bytes(200))],
        "word": [
            {"value": str(value) if isinstance(value, int) else value.hex(), "word": word(value).hex()}
            for value in (0, 1, 2**64 - 1, bytes(CLIENT), bytes(manifests[0]))
        ],
        "task_id": [
            {"client": client.hex(), "manifest_hash": manifest.hex(), "task_id": task_id(client, manifest).hex()}
            for client in clients
            for manifest in manifests
        ],
    }


def merkle() -> dict[str, Any]:
    rng = random.Random(1)
    task = task_id(CLIENT, digest(b"merkle"))
    trees = []
    for count in (1, 2, 3, 4, 5, 7, 8, 13):
        leaves = [AwardLeaf(Address(rng.randbytes(20)), rng.randint(1, 9), rng.randint(0, 3)) for _ in range(count)]
        hashes = [leaf.hash(task) for leaf in leaves]
        trees.append(
            {
                "leaves": [
                    {"trainer": leaf.trainer.hex(), "units": leaf.units, "rank": leaf.rank, "hash": made.hex()}
                    for leaf, made in zip(leaves, hashes, strict=True)
                ],
                "root": root(hashes).hex(),
                "proofs": [[each.hex() for each in proof(hashes, index)] for index in range(count)],
            }
        )
    credit = CreditLeaf(CLIENT, 12, 3, True)
    return {
        "task": task.hex(),
        "empty_root": root([]).hex(),
        "awards": trees,
        "credit": {
            "trainer": credit.trainer.hex(), "units": 12, "aggregates": 3, "no_show": True,
            "hash": credit.hash(task).hex(),
        },
    }  # fmt: skip


def a_manifest(via: bytes = b"") -> Manifest:
    return Manifest(
        nonce=bytes(range(16)),
        network="devnet",
        contract="0.0.1013",
        document=Blob(digest(b"document"), 2_345),
        initial=digest(b"initial"),
        initial_blob=Blob(digest(b"initial, encrypted"), 1_234),
        recipe={
            "loss": "cross_entropy",
            "optimizer": {"name": "adamw", "lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-08, "weight_decay": 0.0},
            "batch_size": 32,
            "local_steps": 20,
            "metric": "accuracy",
            "schedule": "constant",
            "seed": 0,
            "rounds": 10,
            "grad_clip": 1.0,
        },
        chunks=tuple(ChunkInfo(Blob(digest(bytes([n])), 4_000 + n), 100 - n) for n in range(3)),
        validation=ChunkInfo(Blob(digest(b"validation"), 900), 30),
        slot_bytes=seal.slot_bytes(1_000),
        rules=Rules(60, 60, 3),
        summary={"name": "mine", "rows": 297, "shape": [4], "classes": 3, "metric": "accuracy"},
        via=via,
    )


def manifest() -> dict[str, Any]:
    key = Ed25519PrivateKey.from_private_bytes(SIGNING_SEED).public_key().public_bytes_raw()
    made = []
    for via in (b"", key):
        it = a_manifest(via)
        made.append({"value": tagged(plain(it)), "cbor": it.to_bytes().hex(), "hash": it.hash.hex()})
    sizes = [0, 1, 1_000, 65_536, 65_537, 1_000_000, 10**9]
    return {"manifests": made, "slot_bytes": [{"plain": n, "slot": seal.slot_bytes(n)} for n in sizes]}


def plain(it: Manifest) -> dict[str, Any]:
    """The fields of a manifest by name, as Python has them; the document tells where each stands in the CBOR."""
    value = asdict(it)
    return value if it.via else {key: each for key, each in value.items() if key != "via"}


def entries() -> dict[str, Any]:
    key = Ed25519PrivateKey.from_private_bytes(SIGNING_SEED)
    the_manifest = a_manifest()
    place = Place(the_manifest.network, the_manifest.contract, task_id(CLIENT, the_manifest.hash))
    trainer = Address(bytes(19) + b"\x07")
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("manifest", {"manifest": the_manifest.to_bytes()}),
        ("award", {"leaves": [[trainer, 2, 0], [Address(bytes(19) + b"\x08"), 1, 0]]}),
        ("assign", {"holders": [[0, 1], [1, 0], [0, None], [None, None]]}),
        ("envelope", {"to": trainer, "sealed": b"age-encryption.org/v1 and so on"}),
    ]
    chain, previous = [], ZERO_DIGEST
    for sequence, (kind, body) in enumerate(bodies):
        entry = make_entry(key, place, author=CLIENT, sequence=sequence, previous=previous, kind=kind, body=body)
        previous = entry.hash
        chain.append(
            {
                "kind": kind, "sequence": sequence, "previous": entry.previous.hex(), "body": tagged(body),
                "payload": entry.payload.hex(), "signature": entry.signature.hex(), "data": entry.data().hex(),
                "hash": entry.hash.hex(),
            }
        )  # fmt: skip
    bid = make_bid_commitment(key, place.task, trainer, digest(b"a bid"))
    return {
        "signing_seed": SIGNING_SEED.hex(),
        "signing_key": key.public_key().public_bytes_raw().hex(),
        "network": place.network,
        "contract": place.contract,
        "task": place.task.hex(),
        "author": CLIENT.hex(),
        "chain": chain,
        "bid_commitment": {
            "trainer": trainer.hex(), "commitment": bid.commitment.hex(), "payload": bid.payload.hex(),
            "data": bid.data().hex(),
        },
    }  # fmt: skip


def auction() -> dict[str, Any]:
    rng = random.Random(2)
    task = TaskId(digest(b"auction"))
    cases = []
    for _ in range(60):
        chunks = rng.randint(1, 12)
        seats = rng.randint(1, chunks)
        plan = {"chunks": chunks, "seats": seats, "min_trainers": rng.randint(1, seats)}
        bidders = [Address(rng.randbytes(20)) for _ in range(rng.randint(0, 8))]
        bids = [
            Bid(who, Tinybar(rng.randint(1, 6)), rng.randint(1, 6), rng.choice([0.5, 1.0, 2.0, 0.1]),
                rng.choice([90, 100, 200]), rng.randbytes(32))
            for who in bidders + bidders[: rng.randint(0, 2)]
        ]  # fmt: skip
        award = clear(bids, task=task, ceiling=Tinybar(5), now_s=100, **plan)
        cases.append(
            {
                **plan,
                "max_unit_price": 5,
                "now": 100,
                "bids": [
                    {
                        "trainer": bid.trainer.hex(), "unit_price": int(bid.unit_price), "units": bid.units,
                        "unit_s": repr(bid.unit_s), "expires": bid.expires, "salt": bid.salt.hex(),
                        "commitment": bid.commitment(task).hex(), "opening": opening(task, bid).hex(),
                    }
                    for bid in bids
                ],
                "award": None
                if award is None
                else {
                    "leaves": [[leaf.trainer.hex(), leaf.units, leaf.rank] for leaf in award.leaves],
                    "unit_price": int(award.unit_price), "primaries": award.primaries, "root": award.root(task).hex(),
                },
            }
        )  # fmt: skip
    assert sum(case["award"] is not None for case in cases) > 20
    return {"task": task.hex(), "cases": cases}


def assignment() -> dict[str, Any]:
    rng = random.Random(3)
    cases = []
    for _ in range(60):
        units = [rng.randint(1, 5) for _ in range(rng.randint(1, 6))]
        chunks = rng.randint(1, sum(units) + 2)
        seats = [Seat(Address(bytes([n]) * 20), b"", b"", each, 0) for n, each in enumerate(units)]
        cases.append(
            {"units": units, "chunks": chunks, "holders": [[h.primary, h.backup] for h in assign(seats, chunks)]}
        )
    return {"cases": cases}


def bundles() -> dict[str, Any]:
    """What lies behind an envelope, in clear. The sealed forms are random, so they are no vectors."""
    url = "http://127.0.0.1:8333/shoal/{}?X-Amz-Signature=00"
    identity = seal.identity.identity_text(AGE_SECRET)
    slots = [b.update_slot(1, 0, 0), b.update_slot(1, 2, 0), b.checkpoint_slot(1, 0), b.result_slot(0)]
    shared = b.encode_shared({slot: url.format(slot) for slot in slots})
    pointer = b.Pointer(url.format("shared"), digest(shared), len(shared))
    own = b.Bundle(
        secret=TASK_SECRET,
        chunks={2: (url.format("chunk-2"), identity), 0: (url.format("chunk-0"), identity)},
        validation=(url.format("validation"), identity),
        initial=url.format("initial"),
        put={slot: url.format(slot) for slot in slots},
        shared=pointer,
    )
    result = {"url": url.format("r/0"), "object": digest(b"o"), "key": identity, "state": digest(b"s")}
    return {
        "slots": slots,
        "shared": {"value": tagged({slot: url.format(slot) for slot in slots}), "cbor": shared.hex()},
        "pointer": {"value": tagged(pointer.fields()), "cbor": pointer.to_bytes().hex()},
        "bundle": {
            "secret": TASK_SECRET.hex(), "chunks": [[0, *own.chunks[0]], [2, *own.chunks[2]]],
            "validation": list(own.validation), "initial": own.initial, "put": dict(own.put),
            "shared": tagged(pointer.fields()), "cbor": own.to_bytes().hex(),
        },
        "result_envelope": {"value": tagged(result), "cbor": encode(result).hex()},
    }  # fmt: skip


def sealing() -> dict[str, Any]:
    """Keys as text and bytes, deterministic files, and padding."""
    made = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, data in (
            (b"checkpoint/0", b""),
            (b"checkpoint/0", b"weights"),
            (b"shared", b"weights"),
            (b"result", bytes(65_536)),
            (b"update/1/2", bytes(65_537)),
        ):
            (folder / "plain").write_bytes(data)
            plain_hash, cipher_hash, size = seal.encrypt_deterministic(
                TASK_SECRET, label, folder / "plain", folder / "cipher"
            )
            case = {
                "label": label.decode(), "plain_zeros": len(data) if len(data) > 100 else None,
                "plain": data.hex() if len(data) <= 100 else None, "plain_sha256": plain_hash.hex(),
                "cipher_sha256": cipher_hash.hex(), "cipher_bytes": size, "key": seal.derive_key(TASK_SECRET, label),
            }  # fmt: skip
            if size < 1_000:
                case["cipher"] = (folder / "cipher").read_bytes().hex()
                slot = seal.slot_bytes(len(data))
                seal.pad_to(folder / "cipher", folder / "padded", slot)
                case |= {"slot_bytes": slot, "padded_sha256": seal.sha256_file(folder / "padded").hex()}
            made.append(case)
    recipient = seal.identity.public_key(AGE_SECRET)
    return {
        "secret": TASK_SECRET.hex(),
        "deterministic": made,
        "identity": {
            "bytes": AGE_SECRET.hex(), "text": seal.identity.identity_text(AGE_SECRET), "recipient": recipient.hex(),
            "recipient_text": seal.identity.recipient_text(recipient),
        },
        "low_order": [bytes(32).hex(), (b"\x01" + bytes(31)).hex()],
    }  # fmt: skip


def sign_in() -> dict[str, Any]:
    """What is signed, by both kinds of key. An ECDSA signature is random: there is the hash that it is over."""
    message = "shoal sign-in\nnode: 127.0.0.1:8420\nnetwork: devnet\ncontract: 0.0.1013\naccount: 0.0.1002\nnonce: 00"
    prefixed = f"\x19Hedera Signed Message:\n{len(message)}{message}"
    ed = Ed25519PrivateKey.from_private_bytes(SIGNING_SEED)
    secp = ec.derive_private_key(int.from_bytes(SIGNING_SEED, "big"), ec.SECP256K1())
    compressed = secp.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return {
        "message": message,
        "prefixed": prefixed.encode().hex(),
        "ed25519": {
            "private_key": SIGNING_SEED.hex(), "public_key": ed.public_key().public_bytes_raw().hex(),
            "signature": ed.sign(prefixed.encode()).hex(),
        },
        "ecdsa_secp256k1": {
            "private_key": SIGNING_SEED.hex(), "public_key": compressed.hex(),
            "signed_hash": keccak256(prefixed.encode()).hex(),
        },
    }  # fmt: skip


FILES = {
    "codec": codec, "ids": ids, "merkle": merkle, "entries": entries, "manifest": manifest, "auction": auction,
    "assign": assignment, "bundles": bundles, "seal": sealing, "sign_in": sign_in,
}  # fmt: skip
"""File -> what makes it."""


def text(name: str) -> str:
    return json.dumps(FILES[name](), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    for each in FILES:
        (HERE / f"{each}.json").write_text(text(each))
