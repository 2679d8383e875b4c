"""Vectors of what the node's own tests/vectors do not hold: folds, random rows, data sets, calls of the contract.

`PYTHONPATH=src python web/src/market/vectors/make_vectors.py` writes them anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from shoal.adapters.hedera.market import MarketAbi, artefact, camel
from shoal.core import calls, events, fold
from shoal.core.codec import digest, encode
from shoal.core.entries import Entry
from shoal.core.ids import Address, Digest, TaskId
from shoal.core.money import Tinybar, format_hbar
from shoal.core.task import State
from shoal.errors import DataError
from shoal.learn import chunks as chunkfiles
from shoal.learn import data
from shoal.testing.simulator import simulate
from shoal.testing.world import Fault

HERE = Path(__file__).parent


def plain(value: Any) -> Any:
    """A call or event as JSON: bytes in hexadecimal, money and other whole numbers as text."""
    if dataclasses.is_dataclass(value):
        return {camel(part.name): plain(getattr(value, part.name)) for part in dataclasses.fields(value)}
    if isinstance(value, bool):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return str(value)


def summary(state: State) -> dict[str, Any]:
    """What two folds must agree on, as a value that has one encoding."""
    return {
        "now": state.now_ns,
        "phase": str(state.phase),
        "manifest": state.manifest is not None,
        "award": [[leaf.trainer, leaf.units, leaf.rank] for leaf in state.award],
        "price": int(state.unit_price),
        "seats": [[s.trainer, s.recipient, s.units, s.rank, s.ready, s.lost] for s in state.seats],
        "holders": [[h.primary, h.backup] for h in state.holders],
        "envelopes": sorted(state.envelopes),
        "quorum": state.quorum,
        "turn": state.turn_ns,
        "updates": [[u.chunk, u.author, u.state, u.loss, u.seconds] for _, u in sorted(state.updates.items())],
        "voids": sorted([chunk, who, why] for (chunk, who), why in state.voids.items()),
        "early": [[e.author, e.kind, e.round] for e in state.early],
        "checkpoints": [
            [c.round, c.state, c.object, c.author, list(c.included), c.loss, c.metric, c.time_ns]
            for c in state.checkpoints
        ],
        "marks": [[m.round, m.root(state.place), m.log_position, m.subject()] for m in state.marks],
        "votes": len(state.votes),
        "progress": [state.progress_round, state.progress_root],
        "result": state.result.object if state.result else None,
        "notes": sorted(state.notes),
        "publishers": state.publishers,
        "published": sorted(state.published),
        "confirmed": [state.confirmed.result, state.confirmed.settle_after] if state.confirmed else None,
        "claims": [[who, int(c.paid), int(c.penalty)] for who, c in sorted(state.claims.items())],
        "refunded": int(state.refunded),
        "authors": [[who, a.sequence, a.head, a.entries, a.equivocated] for who, a in sorted(state.authors.items())],
    }


def folds() -> list[dict[str, Any]]:
    """Whole tasks of the simulator, with the state after every item of the log."""
    cases: list[tuple[int, tuple[Fault, ...]]] = [
        (1, ()),
        (2, (Fault.CRASH, Fault.GOSSIP_LOSS)),
        (3, (Fault.SILENT_AGGREGATOR, Fault.EQUIVOCATE)),
        (4, (Fault.LAZY, Fault.NO_READY)),
        (5, (Fault.DIVERGE,)),
        (6, (Fault.BAD_CHECKPOINT, Fault.CRASH_AND_RESTART)),
        (7, (Fault.SPAM,)),
    ]
    made = []
    for seed, faults in cases:
        trace = simulate(seed, trainers=4, chunks=5, rounds=3, faults=faults, seats=3)
        state, items = trace.begin, []
        for item in trace.items:
            state = fold.step(state, item)
            what: dict[str, Any] = {"time": str(item.time_ns), "state": digest(encode(summary(state))).hex()[:16]}
            if isinstance(item.what, Entry):
                what["entry"] = item.what.data().hex()
            else:
                what |= {"event": type(item.what).__name__, "fields": plain(item.what)}
            items.append(what)
        state = fold.advance(state, trace.end_ns)
        begin = trace.begin
        made.append(
            {
                "faults": [str(fault) for fault in faults],
                "place": {
                    "network": begin.place.network,
                    "contract": begin.place.contract,
                    "task": begin.place.task.hex(),
                },
                "created": {
                    "taskId": begin.place.task.hex(),
                    "client": begin.client.hex(),
                    "topic": str(begin.topic),
                    "manifestHash": begin.manifest_hash.hex(),
                    "signingKey": begin.authors[begin.client].signing_key.hex(),
                    "recipient": begin.client_recipient.hex(),
                    "plan": plain(begin.plan),
                    "escrow": str(begin.plan.escrow()),
                    "time": str(begin.created_ns),
                },
                "items": items,
                "end": str(trace.end_ns),
                "phase": str(state.phase),
                "final": digest(encode(summary(state))).hex(),
            }
        )
    return made


def permutations() -> list[dict[str, Any]]:
    seeds = [[0, 1], [1, 2], [12345, 2], [2**40 + 7, 1], [2**63 - 1, 1], [3, 1, 4, 1, 5, 9]]
    made = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        drawn = [rng.permutation(size) for size in (1, 2, 10, 1_000)]
        again = rng.permutation(drawn[3][::7])
        made.append({"seed": [str(n) for n in seed], "drawn": [[int(n) for n in d] for d in [*drawn[:3], again]],
                     "thousand": hashlib.sha256(drawn[3].astype("<u4").tobytes()).hexdigest()})  # fmt: skip
    return made


def tables() -> list[tuple[str, bytes, str | None, str]]:
    """Name, bytes, label, target."""
    rng = random.Random(7)
    names = ["setosa", "versicolor", "virginica", "\u6c34", "\U00010151", "\uffee"]
    iris = ["a,b,c,species"] + [
        f"{rng.random():.4f},{rng.randint(-5, 5)},{rng.random() * 1e6:e},{rng.choice(names)}" for _ in range(151)
    ]
    numbers = ["x1;x2;y"] + [
        f"{rng.random()};{rng.choice(['true', 'false'])};{rng.choice([2, 10, 1])}" for _ in range(90)
    ]
    price = ["size\trooms\tprice"] + [
        f"{rng.randint(20, 200)}\t{rng.randint(1, 6)}\t{rng.random() * 9:.3f}" for _ in range(77)
    ]
    yes = ["v,w,class,z"] + [f"{rng.random()},{rng.random()},{rng.choice(['True', 'False'])},1" for _ in range(64)]
    quoted = ['"a","b, c",label'] + [
        f'"{rng.random()}", 1e{rng.randint(0, 9)} ,"{rng.choice(["x y", "z"])}"' for _ in range(61)
    ]
    tables = [("iris.csv", "\n".join(iris), None, "classes"), ("numbers.csv", "\r\n".join(numbers) + "\r\n", None, "classes"),
              ("price.csv", "\ufeff" + "\n".join(price), None, "values"), ("yes.csv", "\n".join(yes), None, "classes"),
              ("quoted.csv", "\n".join(quoted) + "\n\n", None, "classes"), ("by-label.csv", "\n".join(yes), "class", "classes")]  # fmt: skip
    return [(name, text.encode(), label, target) for name, text, label, target in tables]


def arrays() -> list[tuple[str, bytes, str | None, str]]:
    rng = np.random.default_rng(11)
    kinds: list[tuple[str, dict[str, Any], str]] = [
        ("floats.npz", {"x": rng.random((80, 3, 2), dtype=np.float32), "y": rng.integers(0, 4, 80)}, "classes"),
        ("doubles.npz", {"x": np.asfortranarray(rng.random((60, 5))), "y": rng.random(60)}, "values"),
        ("bytes.npz", {"X": rng.integers(0, 255, (70, 2, 4), dtype=np.uint8), "label": rng.integers(5, 8, (70, 1))}, "classes"),
        ("tokens.npz", {"tokens": rng.integers(0, 999, (50, 6)).astype(">i4"), "y": rng.integers(0, 99, (50, 6))}, "classes"),
        ("texts.npz", {"x": rng.random((66, 2)).astype(np.float16), "y": np.array(["b", "a", "\u00e9"])[rng.integers(0, 3, 66)]}, "classes"),
        ("bools.npz", {"x": rng.random((66, 2)) > 0.5, "y": rng.random(66) > 0.5}, "classes"),
    ]  # fmt: skip
    made = []
    for name, parts, target in kinds:
        file = io.BytesIO()
        (np.savez_compressed if name == "tokens.npz" else np.savez)(file, **parts)
        made.append((name, file.getvalue(), None, target))
    return made


def refused() -> list[tuple[str, str, str | None, str]]:
    rows = "\n".join(f"{n},{n % 2}" for n in range(30))
    return [
        ("empty", "", None, "classes"),
        ("no rows", "a,label\n", None, "classes"),
        ("missing", "a,b,label\n1,2,x\n3,,y\n", None, "classes"),
        ("missing word", "a,b,label\n1,2,x\n3,NA,y\n", None, "classes"),
        ("missing label", "a,label\n1,x\n3,\n", None, "classes"),
        ("word", "a,b,label\n1,2,x\n3,red,y\n", None, "classes"),
        ("word and bits", "a,label\ntrue,x\n2,y\n", None, "classes"),
        ("infinite", "a,label\n1,x\ninf,y\n", None, "classes"),
        ("too large", "a,label\n1,x\n1e39,y\n", None, "classes"),
        ("nameless", ",label\n1,x\n2,y\n", None, "classes"),
        ("twice", "a,a,label\n1,1,x\n2,2,y\n", None, "classes"),
        ("no header", "1.5,2.5,3\n1,2,3\n", None, "classes"),
        ("no label", "a,b\n1,2\n", "c", "classes"),
        ("ragged", "a,b,label\n1,2,x\n3,4\n", None, "classes"),
        ("one class", "a,label\n1,x\n2,x\n", None, "classes"),
        ("fractions", "a,label\n1,0.5\n2,1\n", None, "classes"),
        ("names as values", "a,label\n1,x\n2,y\n", None, "values"),
        ("too few", f"a,label\n{rows[:9]}\n", None, "classes"),
        ("no features", "label\n1\n2\n", None, "classes"),
    ]


def datasets() -> list[dict[str, Any]]:
    made = []
    for seed, (name, content, label, target) in enumerate([*tables(), *arrays()]):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / name
            path.write_bytes(content)
            loaded = data.load_any(path, label, target=target)  # type: ignore[arg-type]
            split = data.split(loaded, seed=seed)
            files = {}
            pieces = [("validation", split.validation), ("test", split.test)]
            pieces += [(f"chunk-{n}", each) for n, each in enumerate(chunkfiles.cut(split.train, 3, seed=seed))]
            for what, part in pieces:
                chunkfiles.write_chunk(path, part.x, part.y)
                files[what] = hashlib.sha256(path.read_bytes()).hexdigest()
        made.append(
            {
                "name": name, "content": content.hex(), "label": label, "target": target, "seed": seed,
                "description": data.describe(loaded).as_dict(), "files": files,
            }
        )  # fmt: skip
    return made


def refusals() -> list[dict[str, Any]]:
    made = []
    for name, content, label, target in refused():
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "data.csv"
            path.write_text(content)
            try:
                data.split(data.load_any(path, label, target=target), seed=0)  # type: ignore[arg-type]
            except DataError as error:
                made.append({"name": name, "content": content, "label": label, "target": target,
                             "code": error.code, "message": error.message})  # fmt: skip
            else:
                raise AssertionError(f"{name} is taken")
    return made


def contract() -> dict[str, Any]:
    task, key, root = TaskId(digest(b"task")), digest(b"key"), digest(b"root")
    trainer = Address(bytes.fromhex("c0ffee254729296a45a3885639ac7e10f9d54979"))
    plan = calls.Plan(*(index * 3 + 1 for index in range(23)))  # type: ignore[arg-type]
    result = (Digest(digest(b"result")), 2**60 + 1, 7, 21, 7, 0, root)
    some: list[calls.Call] = [
        calls.CreateTask(Digest(root), 1_014, key, key, plan),
        calls.Award(task, root, Tinybar(2**50), 3),
        calls.Start(task), calls.Cancel(task), calls.Expire(task), calls.Settle(task), calls.Withdraw(),
        calls.Claim(task, trainer, 5, 2, True, (root, key)),
        calls.Release(task, trainer),
        calls.ConfirmCheckpoint(task, 3, Digest(root), 9, 3, 0, key),
        calls.PublishResult(task, *result), calls.ConfirmResult(task, *result),
        calls.Register(key, root),
    ]  # fmt: skip
    abi = MarketAbi()
    return {
        "calls": [{"name": type(c).__name__, "fields": plain(c), "data": abi.encode(c).hex()} for c in some],
        "abi_sha256": hashlib.sha256(
            json.dumps([e for e in artefact()["abi"] if e["type"] in ("function", "event", "error")], separators=(",", ":")).encode()
        ).hexdigest(),
        "money": [[str(n), format_hbar(n)] for n in (0, 1, -1, 150_000_000, 123_456_789_012_345, 10**8)],
    }  # fmt: skip


if __name__ == "__main__":
    assert events.TaskCreated
    for name, value in {
        "folds": folds(), "permutations": permutations(), "datasets": datasets(), "refusals": refusals(), "contract": contract(),
    }.items():  # fmt: skip
        (HERE / f"{name}.json").write_text(json.dumps(value, separators=(",", ":")) + "\n")
