"""What a lost answer leads to when the mirror is late, split, or away: nodes that never answer, on a mock clock."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from shoal.adapters.hedera import submit
from shoal.adapters.hedera.journal import Journal
from shoal.adapters.hedera.mirror import SECOND_NS
from shoal.adapters.hedera.sdk import Refused, Unanswered
from shoal.adapters.hedera.submit import Ids, Landed, Submitter
from shoal.errors import LedgerError, LedgerUnreachable


class Silent:
    """Nodes that take everything and say nothing."""

    def __init__(self) -> None:
        self.asked = 0

    async def run(self, function: Any) -> Any:
        self.asked += 1
        await trio.sleep(0.1)
        raise Unanswered("no answer", sent=True)


class Replicas:
    """A mirror of several machines: each knows the ledger up to a time of its own, and they answer in turn."""

    def __init__(self, start_ns: int, lags_s: list[float], *, happened_s: float | None) -> None:
        self._start_ns, self._lags_s, self._happened_s = start_ns, lags_s, happened_s
        self._turn = 0
        self.denied = 0

    def _known_s(self) -> float:
        self._turn += 1
        return trio.current_time() - self._lags_s[self._turn % len(self._lags_s)]

    async def watermark(self) -> int:
        await trio.sleep(0.01)
        return self._start_ns + int(self._known_s() * SECOND_NS)

    async def transaction(self, name: str) -> dict[str, Any] | None:
        await trio.sleep(0.01)
        if self._happened_s is not None and self._known_s() >= self._happened_s:
            return {"result": "SUCCESS", "entity_id": "0.0.7"}
        self.denied += 1
        return None


class MemoryStore:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], bytes] = {}

    def put(self, table: str, key: str, value: bytes) -> None:
        self.rows[table, key] = value

    def get(self, table: str, key: str) -> bytes | None:
        return self.rows.get((table, key))

    def delete(self, table: str, key: str) -> None:
        self.rows.pop((table, key), None)

    def items(self, table: str) -> list[tuple[str, bytes]]:
        return [(key, value) for (_, key), value in self.rows.items()]


class Signed:
    def to_bytes(self) -> bytes:
        return b"signed"


def submitter(mirror: Replicas, store: MemoryStore, nodes: Silent) -> Submitter:
    journal = Journal(store, "testnet/0.0.5")
    return Submitter(nodes, mirror, "0.0.5", journal=journal, unsent_s=30.0)  # type: ignore[arg-type]


async def finish(mirror: Replicas, store: MemoryStore, nodes: Silent) -> Landed:
    one = submitter(mirror, store, nodes)
    (identity,) = one.ids.take()
    return await one._finish(Signed(), identity, "pay", maybe_sent=True)


def start_ns() -> int:
    return submit._start_ns(Ids("0.0.5").take()[0])


async def test_a_machine_that_is_behind_cannot_deny(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """One machine is past the transaction's end, the other does not know yet that it happened at its last moment."""
    mirror, store = Replicas(start_ns(), [0.0, 9.0], happened_s=118.0), MemoryStore()
    landed = await finish(mirror, store, Silent())
    assert landed.entity == 7
    [(key, kept)] = store.items("transactions")
    assert key == "testnet/0.0.5/pay" and submit.Record.from_bytes(kept).landed


async def test_what_never_happened_is_said_once_it_is_certain(autojump_clock: trio.testing.MockClock) -> None:
    mirror, store = Replicas(start_ns(), [0.0, 5.0], happened_s=None), MemoryStore()
    with pytest.raises(LedgerUnreachable) as never:
        await finish(mirror, store, Silent())
    assert "did not happen and never will" in never.value.money
    assert trio.current_time() > submit.VALID_S + submit._LAG_NS / SECOND_NS
    assert not store.rows, "so that the next request is a new one"


async def test_what_nobody_can_tell_stays_in_the_journal(autojump_clock: trio.testing.MockClock) -> None:
    store = MemoryStore()
    mirror = Replicas(start_ns(), [500.0], happened_s=None)
    one = submitter(mirror, store, Silent())
    (identity,) = one.ids.take()
    store.put("transactions", "testnet/0.0.5/pay", submit.Record(submit.mirror_id(identity), b"signed").to_bytes())
    with pytest.raises(LedgerUnreachable) as unknown:
        await one._finish(Signed(), identity, "pay", maybe_sent=True)
    assert "not known" in unknown.value.money and store.rows


async def test_its_bytes_are_not_sent_any_more_once_its_time_is_over(autojump_clock: trio.testing.MockClock) -> None:
    mirror, nodes = Replicas(start_ns(), [0.0], happened_s=None), Silent()
    with pytest.raises(LedgerUnreachable):
        await finish(mirror, MemoryStore(), nodes)
    before = nodes.asked
    assert before > 20
    one = submitter(Replicas(start_ns() + 10**12, [0.0], happened_s=None), MemoryStore(), nodes)
    (old,) = Ids("0.0.5").take()
    old.valid_start.seconds -= 1_000
    with pytest.raises(LedgerUnreachable) as never:
        await one._finish(Signed(), old, "pay", maybe_sent=True)
    assert "never will" in never.value.money
    assert nodes.asked - before <= 2 + submit._DENIALS, "only its receipt was asked for"


class Odd(Silent):
    """Nodes that take the transaction and then refuse to say what became of it."""

    def __init__(self, status: str, *, receipt: bool) -> None:
        super().__init__()
        self._refusal = Refused(status, receipt=receipt)

    async def run(self, function: Any) -> Any:
        self.asked += 1
        await trio.sleep(0.1)
        raise self._refusal


async def test_a_node_that_refuses_a_question_says_nothing_about_the_transaction(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Else a second transaction would be sent while the first may still have consensus."""
    mirror, store = Replicas(start_ns(), [0.0], happened_s=3.0), MemoryStore()
    landed = await finish(mirror, store, Odd("NOT_SUPPORTED", receipt=False))
    assert landed.entity == 7
    with pytest.raises(submit.Failed) as failed:
        await finish(
            Replicas(start_ns(), [0.0], happened_s=None), MemoryStore(), Odd("INVALID_SIGNATURE", receipt=True)
        )
    assert failed.value.at_consensus


async def test_an_id_that_others_refer_to_is_not_exchanged(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    async def burnt(self: Submitter, make: Any, identity: Any, *rest: Any) -> Landed:
        tried.append(submit.mirror_id(identity))
        raise submit.Failed("THROTTLED_AT_CONSENSUS", tried[-1], at_consensus=True)

    monkeypatch.setattr(Submitter, "_once", burnt)
    one = submitter(Replicas(start_ns(), [0.0], happened_s=None), MemoryStore(), Silent())
    (identity,) = one.ids.take()
    for redraw, tries in ((False, 1), (True, submit._BURNT_TRIES)):
        tried.clear()
        with pytest.raises(LedgerError) as busy:
            await one.run(lambda: None, cap_tinybar=1, identity=identity, redraw=redraw)
        assert busy.value.code == "SHOAL-L05" and len(set(tried)) == tries
