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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shoal.adapters.hedera.market import MarketAbi, artefact, camel
from shoal.core import calls, court, events, fold
from shoal.core.codec import digest, encode
from shoal.core.entries import Entry, LogEntry, make_entry, make_log_entry
from shoal.core.fold import Item
from shoal.core.ids import Address, Digest, TaskId
from shoal.core.loglines import LogLine, pack
from shoal.core.money import Tinybar, format_hbar
from shoal.core.task import SECOND_NS, State
from shoal.errors import DataError
from shoal.learn import chunks as chunkfiles
from shoal.learn import data
from shoal.testing.follower import identity
from shoal.testing.simulator import Trace, replay, simulate
from shoal.testing.world import Fault, Misdeed

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
        "seats": [[s.trainer, s.recipient, s.units, s.rank, s.ready, s.lost, s.slashed] for s in state.seats],
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
        "final": state.final.subject() if state.final else None,
        "votes": len(state.votes),
        "progress": [state.progress_round, state.progress_root, state.progress_ns],
        "result": state.result.object if state.result else None,
        "notes": sorted(state.notes),
        "publishers": state.publishers,
        "published": sorted(state.published),
        "confirmed": [state.confirmed.result, state.confirmed.settle_after] if state.confirmed else None,
        "settled": [int(state.settled.reserved), int(state.settled.refunded)] if state.settled else None,
        "claims": [
            [who, int(c.paid), int(c.stake_returned), int(c.penalty), int(c.forfeited), int(c.finder_fee)]
            for who, c in sorted(state.claims.items())
        ],
        "refunded": int(state.refunded),
        "draws": [state.draw_requested_ns, state.drawn_round],
        "members": [[who, m.signing_key, m.recipient] for who, m in sorted(state.members.items())],
        "audits": [
            [
                *key,
                a.unit.trainer,
                a.validator,
                list(a.committee),
                a.place,
                a.asked_ns,
                a.sealed,
                a.opened_ns,
                list(a.unusable),
                str(a.finding) if a.finding else None,
                a.found,
            ]
            for key, a in state.audits.items()
        ],
        "disputes": [
            [
                key,
                int(d.kind),
                d.challenger,
                d.accused,
                d.subject,
                int(d.bond),
                d.opened_ns,
                d.asked_ns,
                d.drawn_ns,
                [d.unit.round, d.unit.chunk] if d.unit else None,
                list(d.jury),
                d.decide_by,
                d.sealed,
                [list(each) for each in sorted(d.ballots.items())],
                int(d.ruling),
            ]
            for key, d in state.disputes.items()
        ],
        "replacements": [[key, r.result, r.credits_root] for key, r in sorted(state.replacements.items())],
        "audit claims": [[who, int(paid)] for who, paid in sorted(state.audit_claims.items())],
        "gains": [[who, amount] for who, amount in sorted(state.gains.items())],
        "pins": [[what, cid] for what, cid in sorted(state.pins.items())],
        "authors": [
            [who, a.sequence, a.head, a.entries, a.equivocated, a.log_next, a.log_entries]
            for who, a in sorted(state.authors.items())
        ],
    }


def folds() -> list[dict[str, Any]]:
    """Whole tasks of the simulator, and parts of them that go on otherwise, with the state after every item."""
    plain_cases: list[tuple[int, tuple[Fault | Misdeed, ...]]] = [
        (1, ()),
        (2, (Fault.CRASH, Fault.GOSSIP_LOSS)),
        (3, (Fault.SILENT_AGGREGATOR, Fault.EQUIVOCATE)),
        (4, (Fault.LAZY, Fault.NO_READY)),
        (5, (Fault.DIVERGE,)),
        (6, (Fault.BAD_CHECKPOINT, Fault.CRASH_AND_RESTART)),
        (7, (Fault.SPAM,)),
        (8, (Fault.LEAVE, Fault.LEAVE)),
    ]
    audited_cases: list[tuple[int, tuple[Fault | Misdeed, ...]]] = [
        (10, ()),
        (11, (Misdeed.CHEAT,)),
        (12, (Misdeed.WITHHOLD, Fault.LEAVE)),
        (13, (Misdeed.UNUSABLE, Misdeed.CHEAT)),
        (14, (Misdeed.FALSE_ACCUSER,)),
        (15, (Misdeed.CHEAT, Misdeed.SLEEPING_VALIDATOR)),
        (16, (Fault.LEAVE, Fault.GOSSIP_LOSS)),
        (17, (Fault.NO_READY, Misdeed.CHEAT, Fault.CLIENT_GONE_AFTER_START)),
    ]
    made, audited = [], []
    for seed, faults in plain_cases:
        trace = simulate(seed, trainers=4, chunks=5, rounds=3, faults=faults, seats=3)
        made.append(folded(faults, trace, with_log_lines(trace)))
    for seed, faults in audited_cases:
        trace = simulate(seed, trainers=4, chunks=5, rounds=3, faults=faults, seats=3, pool=5, auditors=3, audits=6)
        audited.append(trace)
        made.append(folded(faults, trace, trace.items))
    for seed, trace in enumerate(audited):
        of = len(plain_cases) + seed
        for part in range(3):
            made.append(branch("nonsense", made[of], of, folded([], trace, with_nonsense(trace, 3 * seed + part))))
    of = len(plain_cases)
    made.append(branch("replaced result", made[of], of, folded([], audited[0], with_replacement(audited[0]))))
    return made


def branch(name: str, trunk: dict[str, Any], of: int, whole: dict[str, Any]) -> dict[str, Any]:
    """A fold that goes on otherwise after some items of another, which are not written twice."""
    pairs = zip(trunk["items"], whole["items"], strict=False)
    same = next(index for index, (one, other) in enumerate(pairs) if one != other)
    ends = {key: whole[key] for key in ("end", "phase", "final")}
    return {"faults": [name], "of": of, "after": same, "items": whole["items"][same:], **ends}


def folded(faults: Sequence[str], trace: Trace, log: Sequence[Item]) -> dict[str, Any]:
    state, items = trace.begin, []
    for item in log:
        state = fold.step(state, item)
        what: dict[str, Any] = {"time": str(item.time_ns), "state": digest(encode(summary(state))).hex()[:16]}
        if isinstance(item.what, Entry | LogEntry):
            what["entry"] = item.what.data().hex()
        else:
            what |= {"event": type(item.what).__name__, "fields": plain(item.what)}
        items.append(what)
    end_ns = log[-1].time_ns + 3600 * SECOND_NS
    state, begin = fold.advance(state, end_ns), trace.begin
    return {
        "faults": [str(fault) for fault in faults],
        "place": {"network": begin.place.network, "contract": begin.place.contract, "task": begin.place.task.hex()},
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
        "end": str(end_ns),
        "phase": str(state.phase),
        "final": digest(encode(summary(state))).hex(),
    }


NAMES = ["client", *(f"trainer-{index}" for index in range(4)), *(f"validator-{index}" for index in range(5))]
SIGNERS = dict(identity(name) for name in NAMES)


def with_log_lines(trace: Trace) -> list[Item]:
    """Batches of everybody between the items: with gaps, twice, out of order, too high, of strangers, elsewhere."""
    rng, log = random.Random(trace.seed), []
    other = dataclasses.replace(trace.begin.place, contract="0.0.1")
    for item in trace.items:
        log.append(item)
        author = rng.choice(list(SIGNERS))
        signer = SIGNERS[author] if rng.random() < 0.9 else SIGNERS[trace.begin.client]
        place = trace.begin.place if rng.random() < 0.9 else other
        lines, _ = pack([LogLine(1, "info", "round 1")], 500)
        number = rng.choice([0, 1, 2, 3, 5, 2**32 - 1, 2**32, 2**63])
        log.append(Item(item.time_ns, make_log_entry(signer, place, author=author, sequence=number, lines=lines)))
    return log


def with_nonsense(trace: Trace, seed: int) -> list[Item]:
    """A part of a log, after which its authors say right and wrong things of the newer kinds."""
    rng = random.Random(seed)
    drawn = [index for index, item in enumerate(trace.items) if isinstance(item.what, events.Drawn)]
    cut = rng.choice(range(drawn[0] + 1, min(drawn[0] + 25, len(trace.items))) if drawn else range(20, 40))
    log = list(trace.items[:cut])
    state = replay(trace.begin, log, log[-1].time_ns)
    for _ in range(40):
        time_ns = state.now_ns + rng.choice([0, 1, SECOND_NS // 2, SECOND_NS, 3 * SECOND_NS])
        author, kind, body = statement(rng, state)
        chain = state.authors[author]
        entry = make_entry(
            SIGNERS[author],
            state.place,
            author=author,
            sequence=chain.sequence,
            previous=chain.head,
            kind=kind,
            body=body,
        )
        log.append(Item(time_ns, entry))
        state = fold.step(state, log[-1])
    return log


def statement(rng: random.Random, state: State) -> tuple[Address, str, dict[str, Any]]:
    kind = rng.choice(["open"] * 5 + ["verdict"] * 6 + ["pin"] * 3 + ["leave"])
    odd = [None, True, 0, 1, 1.0, -1, 2**63, "", "1", b"", b"x", bytes(32), [], [1], {}, {"a": 1}]
    key, audit = rng.choice(list(state.audits.items()) or [((1, 0), None)])
    dispute, about = rng.choice(list(state.disputes.items()) or [(b"", None)])
    author, body = state.client, {}
    if kind == "open" and about and about.unit and rng.random() < 0.5:
        author = about.accused
        body = {"round": about.unit.round, "chunk": about.unit.chunk, "sealed": b"age", "dispute": dispute, "to": b""}
    elif kind == "open":
        author = audit.unit.trainer if audit else author
        body = {"round": key[0], "chunk": key[1], "sealed": rng.choice([b"age"] * 30 + [bytes(8192), bytes(8193)]),
                "dispute": b"", "to": audit.validator if audit else b""}  # fmt: skip
    elif kind == "verdict":
        author = audit.validator if audit else author
        finding = rng.choice(["ok", "wrong", "unusable", "unusable", "lapsed"])
        body = {"round": key[0], "chunk": key[1], "finding": finding, "state": digest(b"found")}
    elif kind == "pin":
        cid = rng.choice(["bafkrei", "x" * 100, "x" * 101, "", "b f", "b\n", "\u00e9", "\u0663"])
        body = {"what": rng.choice(["graph", "manifest", "result", "other"]), "cid": cid}
    else:
        author = rng.choice([seat.trainer for seat in state.seats])
    if rng.random() < 0.3 and (body or rng.random() < 0.3):
        body[rng.choice([*body, "more"])] = rng.choice(odd)
    if body and rng.random() < 0.1:
        del body[rng.choice(list(body))]
    return rng.choice([*state.authors]) if rng.random() < 0.1 else author, kind, body


def with_replacement(trace: Trace) -> list[Item]:
    """A jury puts another result in the place of the confirmed one, at the second attempt to draw it."""
    cut = next(index for index, item in enumerate(trace.items) if isinstance(item.what, events.ResultConfirmed))
    log = list(trace.items[: cut + 1])
    state = replay(trace.begin, log, log[-1].time_ns)
    task, dispute, right = state.place.task, digest(b"dispute"), court.true_result(state)
    assert right is not None, "the log has a result"
    (challenger, bad), member = [seat.trainer for seat in state.seats][:2], next(iter(state.members.values()))
    late = events.Member(Address(digest(b"new")[:20]), digest(b"key"), digest(b"recipient"))
    bond, settle_after = state.plan.bond, state.now_ns // SECOND_NS + 100
    after: list[events.Event] = [
        events.JuryRequested(task, digest(b"unknown")),
        events.Judged(task, digest(b"unknown"), late.validator, True),
        events.DisputeClosed(task, digest(b"unknown"), 2, challenger, bond),
        events.DisputeOpened(task, dispute, 1, challenger, Address(bytes(20)), bytes(32), bond),
        events.ReplacementProposed(task, dispute, right),
        events.JuryRequested(task, dispute),
        events.JuryDrawn(task, dispute, (member, late), state.now_ns // SECOND_NS + 60),
        events.Judged(task, dispute, member.validator, True),
        events.Judged(task, dispute, late.validator, False),
        events.JurorPaid(task, dispute, member.validator, Tinybar(70)),
        events.JurorFined(task, dispute, late.validator, Tinybar(30)),
        events.DisputeClosed(task, dispute, 2, challenger, bond),
        events.ResultReplaced(task, dispute, right.result, settle_after),
        events.Slashed(task, bad, Tinybar(5), Tinybar(6)),
        events.Settled(task, Tinybar(9), Tinybar(8)),
        events.Claimed(task, bad, 3, 1, Tinybar(1), Tinybar(2), Tinybar(3), Tinybar(4), Tinybar(5)),
        events.AuditsClaimed(task, member.validator, 2, Tinybar(80)),
    ]
    return log + [Item(state.now_ns + (index + 1) * SECOND_NS, event) for index, event in enumerate(after)]


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
        calls.Release(task, trainer), calls.ClaimAudits(task, trainer, 4, (key, root)),
        calls.RequestDraw(task), calls.Draw(task), calls.DrawJury(root), calls.Resolve(key),
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
    for name, value in {
        "folds": folds(), "permutations": permutations(), "datasets": datasets(), "refusals": refusals(), "contract": contract(),
    }.items():  # fmt: skip
        (HERE / f"{name}.json").write_text(json.dumps(value, separators=(",", ":")) + "\n")
