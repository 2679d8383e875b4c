"""The trainer: what it bids for and what it takes, and that no restart, silence or lost answer costs it its pay."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from shoal.core import calls
from shoal.core.fees import Rate
from shoal.core.merkle import AwardLeaf
from shoal.core.pricing import fees_per_unit
from shoal.core.task import Phase
from shoal.errors import EngineError, LedgerUnreachable, MarketError
from shoal.roles.trainer import MIN_AGGREGATE_TIMEOUT_S, OPENING, SLOT_SLACK_BYTES, Trainer, parse_opening, unacceptable

from .fakes import Engines, FakeKeys
from .world import OFFER, STAKE, World

pytestmark = pytest.mark.timeout(60)
Clock = trio.testing.MockClock
ASKED = 5_556
"""What the offer asks for a unit of 0.2 s."""


# ---------------------------------------------------------------- terms


def changed(w: World, **changes: Any) -> Any:
    state = w.published().state()
    assert state.manifest is not None
    rules = {name: changes.pop(name) for name in list(changes) if hasattr(state.manifest.rules, name)}
    content = {name: changes.pop(name) for name in list(changes) if hasattr(state.manifest, name)}
    manifest = replace(state.manifest, rules=replace(state.manifest.rules, **rules), **content)
    return replace(state, manifest=manifest, plan=replace(state.plan, **changes))


@pytest.mark.parametrize(
    ("edge", "beyond"),
    [
        ({"stake_per_seat": STAKE}, {"stake_per_seat": STAKE + 1}),
        ({"no_show_penalty": 50_000}, {"no_show_penalty": 50_001}),
        (
            {"aggregate_timeout_s": MIN_AGGREGATE_TIMEOUT_S},
            {"aggregate_timeout_s": MIN_AGGREGATE_TIMEOUT_S - 1},
        ),
        ({"confirm_every": 1}, {"confirm_every": 2}),
        ({"rounds": 9, "confirm_every": 3}, {"rounds": 9, "confirm_every": 4}),
        ({"rounds": 10, "confirm_every": 4}, {"rounds": 10, "confirm_every": 5}),
        ({"slot_bytes": "initial"}, {"slot_bytes": "initial - 1"}),
        ({"slot_bytes": "initial + slack"}, {"slot_bytes": "initial + slack + 1"}),
    ],
)
async def test_every_term_has_its_limit(
    tmp_path: Path, autojump_clock: Clock, edge: dict[str, Any], beyond: dict[str, Any]
) -> None:
    w = World(tmp_path)
    names = {"initial": w.manifest.initial_blob.size_bytes, "slack": SLOT_SLACK_BYTES}

    def terms(changes: dict[str, Any]) -> Any:
        return changed(w, **{key: eval(str(value), names) for key, value in changes.items()})

    assert unacceptable(terms(edge), OFFER, STAKE) == ""
    assert unacceptable(terms(beyond), OFFER, STAKE) != ""


@pytest.mark.parametrize("bad", [False, True])
async def test_bad_terms_are_refused_before_anything_of_the_task_is_fetched_or_run(
    tmp_path: Path, autojump_clock: Clock, bad: bool
) -> None:
    w, engines = World(tmp_path).published(), Engines()
    async with w.trainer(0, engines=engines, offer=replace(OFFER, max_penalty_tinybar=49_999 if bad else 50_000)):
        await trio.sleep(10)
    assert bool(engines.opened) is bool(w.peer("trainer-0").fetched) is bool(w.bids(0)) is not bad


@pytest.mark.parametrize("unowned", [False, True])
async def test_no_bid_where_somebody_owns_the_topic(tmp_path: Path, autojump_clock: Clock, unowned: bool) -> None:
    """Who may lock a topic decides, in the middle of the work, who can still say in the log what it has done."""
    w, engines = World(tmp_path).published(), Engines()
    w.ledger.topic_is_unowned = unowned
    async with w.trainer(0, engines=engines):
        await trio.sleep(10)
    assert bool(engines.opened) is bool(w.bids(0)) is unowned


@pytest.mark.parametrize(("covers", "asks"), [(False, ASKED), (True, None)])
async def test_a_bid_asks_for_the_fees_of_the_ledger_as_well(
    tmp_path: Path, autojump_clock: Clock, covers: bool, asks: int | None
) -> None:
    w = World(tmp_path, max_unit_price=10**9).published()
    async with w.trainer(0, offer=replace(OFFER, covers_fees=covers)):
        await w.until(lambda _: w.bids(0))
    _, bid = parse_opening(w.stores["trainer-0"].items("bids")[0][1])
    fees = fees_per_unit(rounds=w.plan.rounds, chunks=1, confirm_every=1, rate=Rate(cents=12, hbars=1))
    assert bid.unit_price == (asks or ASKED + fees)


@pytest.mark.parametrize(("step_s", "bids"), [(0.05, True), (0.09, True), (0.1, False)])
async def test_a_task_that_pays_less_than_is_asked_gets_no_bid(
    tmp_path: Path, autojump_clock: Clock, step_s: float, bids: bool
) -> None:
    w, engines = World(tmp_path).published(), Engines()
    engines.step_s = step_s  # 10,000 tinybar at most are paid for 4 steps: 0.36 s of them at 1 HBAR an hour
    async with w.trainer(0, engines=engines):
        await trio.sleep(10)
    assert bool(w.bids(0)) is bids


@pytest.mark.parametrize(("step_s", "units"), [(0.3, 5), (1.6, 1), (1.7, None)])
async def test_no_more_chunks_are_bid_for_than_fit_three_times_into_a_round(
    tmp_path: Path, autojump_clock: Clock, step_s: float, units: int | None
) -> None:
    w, engines = World(tmp_path, chunks=12).published(), Engines()
    engines.step_s = step_s
    async with w.trainer(0, engines=engines, offer=replace(OFFER, hbar_per_hour=0.001)):
        await trio.sleep(10)
    kept = w.stores["trainer-0"].get("bids", w.task.hex())
    assert (parse_opening(kept)[1].units if kept else None) == units
    assert len(w.bids(0)) == (units is not None)


# ---------------------------------------------------------------- the document


async def test_the_document_comes_from_whoever_has_it(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).published()
    w.peer("client").online = False
    w.peer("trainer-2").provide(w.manifest.document.sha256, tmp_path / "puppets" / "document")
    async with w.trainer(0):
        await trio.sleep(10)
        assert w.bids(0)
        assert w.manifest.document.sha256 in w.peer("trainer-0").files, "and is passed on"


async def test_a_client_that_is_not_known_yet_is_asked_for_the_document_again(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).published()
    w.peer("client").online = False
    async with w.trainer(0):
        await trio.sleep(7)
        w.peer("client").online = True
        await trio.sleep(5)
        assert w.bids(0)


async def test_a_document_that_nobody_has_is_not_asked_for_after_the_bids(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w, engines = World(tmp_path).published(), Engines()
    w.peer("client").online = False
    async with w.trainer(0, engines=engines) as trainer:
        await w.sleep_to(w.plan.bid_until - 1)
        assert serves(trainer, w)
        await trio.sleep(5)
        assert not serves(trainer, w) and not engines.opened


async def test_the_node_that_the_manifest_names_speaks_for_a_client_without_one(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path, via=FakeKeys("trainer-2").signing_key).published()
    w.peer("client").online = False
    node, shown = w.peer("trainer-2"), list[bytes]()
    node.provide(w.manifest.document.sha256, tmp_path / "puppets" / "document")

    async def take(peer_id: str, payload: bytes) -> bytes:
        shown.append(payload)
        return b"seen"

    node.serve(OPENING, take)
    async with w.trainer(0):
        await w.sleep_to(w.plan.bid_until + 10)
        assert w.peer("trainer-0").fetched[0][0] == node.peer_id
        kept = w.stores["trainer-0"].get("bids", w.task.hex())
        assert shown == [kept], "the bid is opened to it, once"


# ---------------------------------------------------------------- bids


def serves(trainer: Trainer, w: World) -> bool:
    return w.task in trainer._serving


async def has_bid(w: World, *who: int) -> None:
    """Wait until these trainers have bid and the time for bids is over."""
    await w.until(lambda _: all(w.bids(index) for index in who), 14)
    await w.sleep_to(w.plan.bid_until + 2)


async def test_a_bid_that_is_remembered_and_not_on_the_topic_is_sent_after_a_restart_and_only_once(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).published()
    port = w.ledger.port(w.trainers[0])
    port.submits = False
    async with w.trainer(0, port=port):
        await w.until(lambda _: w.stores["trainer-0"].items("bids"), 5)
        await trio.sleep(0.5)
    assert not w.bids(0)
    _, remembered = parse_opening(w.stores["trainer-0"].items("bids")[0][1])
    engines = Engines()
    async with w.trainer(0, engines=engines):
        await w.until(lambda _: w.bids(0), 5)
        await trio.sleep(0.2)
    assert [each.commitment for each in w.bids(0)] == [remembered.commitment(w.task)]
    assert engines.opened[0].count("preflight") == 0, "it is the same bid"
    async with w.trainer(0):
        await w.sleep_to(w.plan.bid_until + 2)
    assert len(w.bids(0)) == 1


async def test_a_bid_is_opened_to_the_client_after_the_deadline_until_it_has_seen_it(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).published()
    seen: list[tuple[int, bytes]] = []

    async def take(peer: str, payload: bytes) -> bytes:
        seen.append((w.ledger.now_ns(), payload))
        if len(seen) < 3:
            raise MarketError("not yet")
        return b"seen"

    w.peer("client").serve("opening", take)
    async with w.trainer(0):
        await has_bid(w, 0)
        await trio.sleep(20)
    assert len(seen) == 3 and seen[0][0] > w.plan.bid_until * 10**9
    task, bid = parse_opening(seen[-1][1])
    assert (task, bid.trainer, bid.unit_price) == (w.task, w.trainers[0], ASKED)
    assert bid.commitment(task) == w.bids(0)[0].commitment


async def test_waiting_for_a_manifest_ends_with_the_bids(tmp_path: Path, autojump_clock: Clock) -> None:
    w, engines = World(tmp_path), Engines()
    async with w.trainer(0, engines=engines) as trainer:
        await w.sleep_to(w.plan.bid_until - 1)
        assert serves(trainer, w)
        await trio.sleep(4)
        assert not serves(trainer, w) and not engines.opened
        w.published()  # too late
        await trio.sleep(10)
    assert not w.bids(0)


@pytest.mark.parametrize("on_chain", [False, True])
async def test_waiting_for_an_award_ends_with_the_time_for_standbys(
    tmp_path: Path, autojump_clock: Clock, on_chain: bool
) -> None:
    w, engines = World(tmp_path).published(), Engines()
    async with w.trainer(0, engines=engines) as trainer:
        await has_bid(w, 0)
        if on_chain:
            w.awarded(told=False)  # and nobody says who it went to
        await w.sleep_to(w.plan.standby_until - 1)
        assert serves(trainer, w) and engines.open == 1
        await trio.sleep(6)
        assert not serves(trainer, w) and engines.open == 0
    assert not w.ledger.calls_of(calls.Accept)


async def test_waiting_for_an_award_ends_when_the_task_does(tmp_path: Path, autojump_clock: Clock) -> None:
    w, engines = World(tmp_path).published(), Engines()
    async with w.trainer(0, engines=engines) as trainer:
        await has_bid(w, 0)
        w.call(w.client, calls.Cancel(w.task))
        await trio.sleep(3)
        assert not serves(trainer, w) and engines.open == 0
        assert not list((tmp_path / "trainer-0").iterdir()), "nothing of the task stays on this machine"


# ---------------------------------------------------------------- awards


async def accepts(w: World, leaves: list[AwardLeaf], price: int = ASKED, **options: Any) -> list[calls.Accept]:
    """What trainer 0 answers to an award."""
    async with w.trainer(0, **options) as trainer:
        await has_bid(w, 0)
        w.awarded(leaves, price)
        await trio.sleep(10)
        assert bool(w.ledger.calls_of(calls.Accept)) is serves(trainer, w)
    return w.ledger.calls_of(calls.Accept)


@pytest.mark.parametrize(("units", "taken"), [(1, True), (2, True), (3, False)])
async def test_more_units_than_were_bid_for_are_declined(
    tmp_path: Path, autojump_clock: Clock, units: int, taken: bool
) -> None:
    w = World(tmp_path).published()
    others = [AwardLeaf(trainer, 3, 0) for trainer in w.trainers[1:]]
    made = await accepts(w, [AwardLeaf(w.trainers[0], units, 0), *others], offer=replace(OFFER, max_chunks=2))
    assert [call.units for call in made] == [units] * taken


@pytest.mark.parametrize(("price", "taken"), [(ASKED, True), (ASKED - 1, False)])
async def test_a_price_below_the_bid_is_declined(
    tmp_path: Path, autojump_clock: Clock, price: int, taken: bool
) -> None:
    w = World(tmp_path).published()
    assert len(await accepts(w, [AwardLeaf(each, 1, 0) for each in w.trainers], price)) == taken


async def test_an_award_to_others_is_theirs(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).published()
    assert await accepts(w, [AwardLeaf(each, 2, 0) for each in w.trainers[1:]]) == []


@pytest.mark.parametrize(("absent", "standbys"), [([], []), ([1], [2]), ([0, 1], [2, 3])])
async def test_standbys_take_the_vacant_seats_by_rank_when_it_is_their_turn(
    tmp_path: Path, autojump_clock: Clock, absent: list[int], standbys: list[int]
) -> None:
    w = World(tmp_path, trainers=4, chunks=4, seats=2, min_trainers=2).published()
    async with w.trainer(2), w.trainer(3):
        await has_bid(w, 2, 3)
        w.awarded([AwardLeaf(trainer, 2, rank) for trainer, rank in zip(w.trainers, (0, 0, 1, 2), strict=True)])
        present = [index for index in (0, 1) if index not in absent]
        if present:
            w.accepted(*present)
        await w.sleep_to(w.plan.standby_until + 3)
    made = [(who, time_ns) for time_ns, who, call, _ in w.ledger.calls if isinstance(call, calls.Accept)]
    late = [w.trainers.index(who) for who, time_ns in made if time_ns > (w.plan.accept_until + 1) * 10**9]
    assert sorted(late) == standbys, "nobody else even asks"
    assert len(made) == len(present) + len(standbys), "nor before its turn"
    assert len(w.state().seats) == 2


# ---------------------------------------------------------------- seats


async def seated(w: World) -> None:
    """After trainer 0's bid: the puppets' client gives seats to all, and then envelopes."""
    w.awarded([AwardLeaf(each, 3, 0) for each in w.trainers])
    w.accepted(1, 2)
    await w.until(lambda s: len(s.seats) == 3, 20)
    w.assigned().enveloped()


async def test_an_accept_whose_answer_is_lost_leads_to_the_seat(tmp_path: Path, autojump_clock: Clock) -> None:
    w, engines = World(tmp_path).published(), Engines()
    port = w.ledger.port(w.trainers[0])
    port.answers_lost = {calls.Accept}
    async with w.trainer(0, port=port, engines=engines):
        await has_bid(w, 0)
        await seated(w)
        await w.until(lambda s: s.seats[2].ready, 20)
    assert len(engines.opened) == 1, "with the sandbox of its bid"


async def test_an_accept_that_was_made_before_a_crash_leads_to_the_seat(tmp_path: Path, autojump_clock: Clock) -> None:
    """The contract has it, and the log that the trainer has read does not yet: it calls again, and is refused."""
    w, engines = World(tmp_path).published(), Engines()
    port = w.ledger.port(w.trainers[0])
    plain = port.call

    async def crashed_once(call: calls.Call, *, value: int = 0) -> Any:
        if isinstance(call, calls.Accept):
            w.call(port.address, call)
        return await plain(call, value=value)

    port.call = crashed_once  # type: ignore[method-assign]
    async with w.trainer(0, port=port, engines=engines):
        await has_bid(w, 0)
        await seated(w)
        await w.until(lambda s: s.seats[2].ready, 20)
    reasons = [reason for _, _, call, reason in w.ledger.calls if isinstance(call, calls.Accept)]
    assert "AlreadyAccepted" in reasons and len(engines.opened) == 1


async def test_a_trainer_that_is_killed_comes_back_to_its_seat(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).published()
    async with w.trainer(0):
        await has_bid(w, 0)
        w.awarded([AwardLeaf(each, 3, 0) for each in w.trainers])
        await w.until(lambda s: s.seats, 20)
    w.accepted(1, 2).assigned().enveloped()
    async with w.trainer(0):
        await w.until(lambda s: s.seats[0].ready, 20)
        w.ready(1, 2)
        w.call(w.client, calls.Start(w.task))
        await w.until(lambda s: 0 in s.updates, 20)
    w.check_chains()


async def test_after_its_tasks_are_over_a_trainer_only_takes_what_it_is_owed(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w, engines = World(tmp_path).settled(), Engines()
    w.peer("client").online = False
    me = w.trainers[0]
    async with w.trainer(0, engines=engines):
        await w.until(lambda _: w.ledger.calls_of(calls.Withdraw, me), 30)
    account = w.ledger.market.account(me)
    assert (account.balance, account.locked, account.stake) == (0, 0, STAKE)
    assert w.state().claims[me].paid == w.ledger.market.withdrawn > 0
    assert not engines.opened and not w.peer("trainer-0").fetched


async def test_what_others_claimed_for_a_trainer_is_withdrawn(tmp_path: Path, autojump_clock: Clock) -> None:
    w, me = World(tmp_path).settled(), 0
    w.claim(me)
    async with w.trainer(me):
        await trio.sleep(20)
    assert [reason for _, who, call, reason in w.ledger.calls if isinstance(call, calls.Withdraw)] == [""]
    assert len(w.ledger.calls_of(calls.Claim)) == 1 and w.ledger.market.account(w.trainers[me]).balance == 0
    async with w.trainer(me):
        await trio.sleep(20)
    assert len(w.ledger.calls_of(calls.Withdraw)) == 1, "once nothing is owed, nothing is called"


async def test_without_an_engine_a_trainer_still_claims_its_pay_and_its_stake(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).running()
    w.round()
    w.confirm(w.state().marks[0], 1, 2)
    me = w.trainers[0]
    async with w.trainer(0, engines=Engines(EngineError("the walls do not stand", code="SHOAL-E06"))):
        await trio.sleep(10)
        w.skip_to(w.plan.end_by + 2)
        await w.until(lambda s: s.phase is Phase.SETTLED and me in s.claims, 60)
        await w.until(lambda _: w.ledger.calls_of(calls.Withdraw, me), 10)
    claim = w.state().claims[me]
    assert claim.paid > 0 and claim.stake_returned + claim.penalty == w.plan.stake_per_seat
    assert w.ledger.market.account(me).locked == w.ledger.market.account(me).balance == 0


async def test_without_an_engine_a_trainer_gets_its_stake_of_a_cancelled_task_back(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).accepted()
    async with w.trainer(0, engines=Engines(EngineError("it does not start", code="SHOAL-E07"))):
        await trio.sleep(5)
        w.call(w.client, calls.Cancel(w.task))
        await w.until(lambda _: w.ledger.calls_of(calls.Withdraw, w.trainers[0]), 20)
    assert w.ledger.market.account(w.trainers[0]).locked == 0
    assert w.ledger.market.withdrawn == w.plan.compensation


@pytest.mark.parametrize("error", [RuntimeError("a fault"), EngineError("the walls do not stand")])
async def test_a_task_that_goes_wrong_is_that_tasks_affair(
    tmp_path: Path, autojump_clock: Clock, error: Exception
) -> None:
    w, engines = World(tmp_path).published(), Engines(error)
    async with w.trainer(0, engines=engines) as trainer:
        await trio.sleep(5)
        assert not serves(trainer, w)
        engines.error = None
        again = World(tmp_path / "again", rounds=1)  # another task on the same ledger
        w.ledger.market.tasks |= again.ledger.market.tasks
        w.ledger.events.append(replace(again.created, time_ns=w.ledger._next_ns()))
        await trio.sleep(2)
        assert again.task in trainer._serving


# ---------------------------------------------------------------- the account


async def test_a_trainer_registers_once(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path)
    w.ledger.market.accounts.clear()
    w.ledger.market.received = w.plan.escrow()
    w.ledger.calls.clear()
    for _ in range(2):
        async with w.trainer(0):
            await trio.sleep(3)
    keys = w.keys["trainer-0"]
    assert w.ledger.calls_of(calls.Register) == [calls.Register(keys.signing_key, keys.recipient)]
    assert w.ledger.market.account(w.trainers[0]).stake == OFFER.stake_tinybar


async def test_an_account_of_another_node_key_is_refused(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path)
    w.ledger.market.account(w.trainers[0]).signing_key = FakeKeys("somebody").signing_key
    with pytest.RaisesGroup(pytest.RaisesExc(MarketError, check=lambda error: error.code == "SHOAL-T06")):
        async with w.trainer(0):
            await trio.sleep(3)


async def test_a_ledger_that_is_away_is_asked_again(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).published()
    port = w.ledger.port(w.trainers[0])
    troubles, plain = deque([LedgerUnreachable("away")] * 3), port.watermark

    async def watermark() -> int:
        if troubles:
            raise troubles.popleft()
        return await plain()

    port.watermark = watermark  # type: ignore[method-assign]
    async with w.trainer(0, port=port):
        await trio.sleep(10)
    assert w.bids(0)


async def test_gossip_makes_a_new_task_known_at_once(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path)
    events = w.ledger.events[:]
    w.ledger.events.clear()
    async with w.trainer(0) as trainer:
        trainer._poll_s = 1_000
        await trio.sleep(3)
        w.ledger.events += [replace(each, time_ns=w.ledger._next_ns()) for each in events]
        await trio.sleep(3)
        assert not serves(trainer, w)
        await w.network.publish("shoal/market/sim/0.0.1001", w.task)
        await trio.sleep(1)
        assert serves(trainer, w)


# ---------------------------------------------------------------- a ledger that is away at a bad moment


async def test_a_ledger_that_is_away_while_a_seat_is_taken_up_again_does_not_cost_the_seat(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    w = World(tmp_path).running()
    port = w.ledger.port(w.trainers[0])
    answers, plain = deque([None, LedgerUnreachable("away")]), port.watermark

    async def watermark() -> int:
        if answers and (error := answers.popleft()):
            raise error
        return await plain()

    port.watermark = watermark  # type: ignore[method-assign]
    async with w.trainer(0, port=port):
        await w.until(lambda s: 0 in s.updates, 15)


@pytest.mark.parametrize("kind", [calls.Claim, calls.Withdraw])
async def test_a_ledger_that_is_away_when_a_trainer_claims_is_called_again(
    tmp_path: Path, autojump_clock: Clock, kind: type[Any]
) -> None:
    w = World(tmp_path).settled()
    port = w.ledger.port(w.trainers[0])
    port.troubles[kind] = deque([LedgerUnreachable("away")])
    async with w.trainer(0, port=port):
        await w.until(lambda _: w.ledger.calls_of(calls.Withdraw, w.trainers[0]), 60)


async def test_an_accept_that_does_not_get_through_is_made_again(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).published()
    port = w.ledger.port(w.trainers[0])
    port.troubles[calls.Accept] = deque([LedgerUnreachable("away")])
    made = await accepts(w, [AwardLeaf(each, 1, 0) for each in w.trainers], port=port)
    assert len(made) == 1


async def test_a_bid_that_does_not_get_through_is_sent_again(tmp_path: Path, autojump_clock: Clock) -> None:
    w = World(tmp_path).published()
    port = w.ledger.port(w.trainers[0])
    port.submits = False
    async with w.trainer(0, port=port):
        await w.until(lambda _: w.stores["trainer-0"].items("bids"), 5)
        await trio.sleep(1.5)
        port.submits = True
        await trio.sleep(8)
    assert len(w.bids(0)) == 1
