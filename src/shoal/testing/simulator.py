"""A whole task from funding to settlement, simulated: same arguments, same trace, in every process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shoal.core import duties, fold
from shoal.core.calls import Call, Plan, Withdraw
from shoal.core.codec import digest
from shoal.core.fold import Item
from shoal.core.ids import Address
from shoal.core.manifest import AuditRules, Blob, ChunkInfo, Manifest, Rules
from shoal.core.money import Tinybar
from shoal.core.task import SECOND_NS, State
from shoal.testing import faulty, learning, validators
from shoal.testing.actors import Client, Trainer
from shoal.testing.follower import CONTRACT, NETWORK, Follower, beginning
from shoal.testing.market import Market
from shoal.testing.world import START_S, Fault, Misdeed, World

ROUND_TIMEOUT_S = 20
AGGREGATE_TIMEOUT_S = 10
STAKE = Tinybar(1_000_000)
_KINDS = {
    Fault.SILENT_AGGREGATOR: faulty.SilentAggregator,
    Fault.NO_READY: faulty.NeverReady,
    Fault.LAZY: faulty.Lazy,
    Fault.LEAVE: faulty.Leaver,
    Fault.EQUIVOCATE: faulty.Equivocator,
    Fault.BAD_CHECKPOINT: faulty.BadAggregator,
    Fault.SPAM: faulty.Spammer,
    Misdeed.CHEAT: validators.Cheat,
    Misdeed.WITHHOLD: validators.Withholder,
    Misdeed.UNUSABLE: validators.Obscurer,
}
_OF_VALIDATORS = {
    Misdeed.FALSE_ACCUSER: validators.FalseAccuser,
    Misdeed.SLEEPING_VALIDATOR: validators.SleepingValidator,
}
OPEN_S, VERDICT_S, DISPUTE_S = 8, 8, 40
AUDIT_PRICE, BOND, SLASH = Tinybar(40), Tinybar(400), Tinybar(300_000)
FINDER_SHARE = 5_000
BONDS = 8
"""What a validator has the purse for."""
_OF_TRAINERS = (Fault.CRASH, Fault.CRASH_AND_RESTART, *_KINDS)


@dataclass(frozen=True)
class Trace:
    """What happened, and what everybody holds of it at the end.

    `states` and `views` are those of every party that followed the log to the end, the client's under `client`; all
    are read up to `end_ns`.
    """

    seed: int
    begin: State
    items: tuple[Item, ...]
    """The log: entries and events in consensus order."""
    calls: tuple[tuple[int, Address, Call, int, str], ...]
    """Every call of the contract: consensus second, sender, call, value, and why it reverted, if it did."""
    states: dict[str, State]
    views: dict[str, State]
    struck: dict[Address, Fault | Misdeed]
    validators: tuple[Address, ...]
    crashed_ns: dict[Address, int]
    market: Market
    deposits: dict[Address, int]
    """Tinybar that each party's wallet held at the beginning."""
    wallets: dict[Address, int]
    """Tinybar in each wallet after everybody has claimed and withdrawn."""
    end_ns: int
    hash: str

    @property
    def final(self) -> State:
        """The state that follows from the log, folded from nothing."""
        return replay(self.begin, self.items, self.end_ns)


def replay(state: State, items: Sequence[Item], end_ns: int) -> State:
    """What a late joiner computes."""
    for item in items:
        state = fold.step(state, item)
    return fold.advance(state, end_ns)


def simulate(
    seed: int,
    trainers: int,
    chunks: int,
    rounds: int,
    faults: Sequence[Fault | Misdeed] = (),
    *,
    seats: int | None = None,
    pool: int = 0,
    auditors: int = 0,
    audits: int = 0,
) -> Trace:
    """Run one task.

    Args:
        seed: fixes everything that is left to chance.
        trainers: how many bid.
        faults: what goes wrong; each that strikes a trainer strikes another one.
        seats: of the plan, one a trainer if left out; with fewer the other trainers stand by.
        pool: how many validators there are.
        auditors, audits: of the plan.

    Raises:
        ValueError: more faults than trainers.
    """
    world = World(seed, faults)
    manifest = _manifest(chunks, rounds, audited=bool(auditors))
    plan = _plan(trainers, chunks, rounds, len(faults), seats)
    plan = with_audits(plan, auditors, audits) if auditors else plan
    client = _client(world, plan, manifest, faults)
    crew, struck = _crew(world, client, trainers, faults)
    bench, bad = _bench(world, pool, faults)
    struck |= bad
    parties: list[Follower] = [client, *crew, *bench]
    if Fault.SPAM in faults:
        parties.append(faulty.Stranger(world, "stranger"))
    deposits = dict(world.wallets)
    for party in parties:
        party.begin()
    crashed_ns = _schedule_crashes(world, crew, client, faults, struck, plan)
    end_s = plan.end_by + plan.window + 90 + 2 * plan.dispute_time
    world.run(end_s, lambda: _all_is_paid(world, parties))
    world.run(world.now_ns / SECOND_NS + 10, lambda: False)
    assert world.created is not None, "the client creates its task before anything can strike it"
    begin = beginning(world.created)
    _close(world, begin, [client, *crew, *bench])
    end_ns = world.log[-1].time_ns + SECOND_NS
    alive = [party for party in parties if party.alive]
    for party in alive:
        party.read(end_ns)
    world.note(sorted(world.wallets.items()))
    return Trace(
        seed=seed,
        begin=begin,
        items=tuple(world.log),
        calls=tuple(world.calls),
        states={party.name: party.log for party in alive if party.log is not None},
        views={party.name: party.view for party in alive if party.view is not None},
        struck=struck,
        validators=tuple(each.address for each in bench),
        crashed_ns=crashed_ns,
        market=world.market,
        deposits=deposits,
        wallets=world.wallets,
        end_ns=end_ns,
        hash=world.hash,
    )


def _bench(
    world: World, pool: int, faults: Sequence[Fault | Misdeed]
) -> tuple[list[validators.Validator], dict[Address, Fault | Misdeed]]:
    """The validators; misdeeds strike one each, beginning with the last."""
    bad: list[Fault | Misdeed] = [fault for fault in faults if fault in _OF_VALIDATORS]
    if len(bad) > pool:
        raise ValueError(f"{len(bad)} misdeeds cannot strike {pool} validators")
    kinds = [validators.Validator] * (pool - len(bad)) + [_OF_VALIDATORS[Misdeed(each)] for each in bad]
    bench = [kind(world, f"validator-{index}", BONDS * BOND) for index, kind in enumerate(kinds)]
    return bench, {party.address: fault for party, fault in zip(bench[pool - len(bad) :], bad, strict=True)}


def _client(world: World, plan: Plan, manifest: Manifest, faults: Sequence[Fault | Misdeed]) -> Client:
    if Fault.CLIENT_GONE_BEFORE_START in faults:
        return faulty.LeavingClient(world, plan, manifest, before_start=True)
    if Fault.CLIENT_GONE_AFTER_START in faults:
        return faulty.LeavingClient(world, plan, manifest, before_start=False)
    return Client(world, plan, manifest)


def _crew(
    world: World, client: Client, trainers: int, faults: Sequence[Fault | Misdeed]
) -> tuple[list[Trainer], dict[Address, Fault | Misdeed]]:
    strikes = [fault for fault in faults if fault in _OF_TRAINERS]
    if len(strikes) > trainers:
        raise ValueError(f"{len(strikes)} faults cannot strike {trainers} trainers")
    unlucky = dict(zip(world.random.sample(range(trainers), len(strikes)), strikes, strict=True))
    crew = [
        _KINDS.get(unlucky.get(index, Fault.CRASH), Trainer)(world, f"trainer-{index}", client, STAKE)
        for index in range(trainers)
    ]
    return crew, {crew[index].address: fault for index, fault in unlucky.items()}


def _schedule_crashes(
    world: World,
    crew: Sequence[Trainer],
    client: Client,
    faults: Sequence[Fault | Misdeed],
    struck: dict[Address, Fault | Misdeed],
    plan: Plan,
) -> dict[Address, int]:
    """When whom; a crash may strike at any stage of the task, hence some time around its likely length."""
    crashed_ns: dict[Address, int] = {}
    likely_s = 45 + 6 * plan.rounds

    def crash(party: Follower) -> None:
        crashed_ns[party.address] = world.now_ns
        party.crash()

    for trainer in crew:
        fault = struck.get(trainer.address)
        if fault in (Fault.CRASH, Fault.CRASH_AND_RESTART):
            at_s = world.random.uniform(0, likely_s)
            world.after(at_s, lambda trainer=trainer: crash(trainer))  # type: ignore[misc]
            if fault is Fault.CRASH_AND_RESTART:
                world.after(at_s + world.random.uniform(1, 30), trainer.restart)
    if Fault.CLIENT_GONE_BEFORE_START in faults:
        world.soon(3, 30, lambda: crash(client))
    return crashed_ns


def _all_is_paid(world: World, parties: Sequence[Follower]) -> bool:
    """Nobody who is still there has anything left to do."""
    states = [(party, party.log) for party in parties if party.alive]
    return bool(world.log) and all(
        log is not None and log.phase.over and not duties.payments(log, party.address) for party, log in states
    )


def _close(world: World, begin: State, parties: Sequence[Follower]) -> None:
    """Whoever was gone comes back, makes the calls that are owed to it, and everybody withdraws."""
    plan = begin.plan
    world.now_ns = max(world.now_ns, (plan.end_by + plan.window + 2 * plan.dispute_time) * SECOND_NS) + 600 * SECOND_NS
    for _ in range(3):  # end the task, settle it, claim
        for party in parties:
            state = replay(begin, world.log, world.now_ns)
            for call in duties.payments(state, party.address):
                world.call_now(party.address, call)
    for party in parties:
        if world.market.account(party.address).balance:
            world.call_now(party.address, Withdraw())


def _plan(trainers: int, chunks: int, rounds: int, faults: int, seats: int | None) -> Plan:
    seats = min(trainers, chunks) if seats is None else seats
    bid_until = START_S + 12
    start_until = bid_until + 60
    return Plan(
        chunks=chunks,
        rounds=rounds,
        seats=seats,
        min_trainers=seats // 2 + 1 if seats > 1 else 1,
        max_unit_price=Tinybar(1_000),
        aggregate_price=Tinybar(77),
        stake_per_seat=Tinybar(500_000),
        compensation=Tinybar(11),
        no_show_penalty=Tinybar(50_000),
        bid_until=bid_until,
        award_until=bid_until + 20,
        accept_until=bid_until + 26,
        standby_until=bid_until + 34,
        start_until=start_until,
        end_by=start_until + 60 + 12 * rounds + (ROUND_TIMEOUT_S + 3 * AGGREGATE_TIMEOUT_S) * faults,
        window=5,
    )


def with_audits(plan: Plan, auditors: int, audits: int) -> Plan:
    return replace(
        plan,
        auditors=auditors,
        audit_price=AUDIT_PRICE,
        audits=audits,
        bond=BOND,
        slash=SLASH,
        finder_share=FINDER_SHARE,
        dispute_time=DISPUTE_S,
        end_by=plan.end_by + 6 * (OPEN_S + VERDICT_S) + 2 * DISPUTE_S,
    )


def _manifest(chunks: int, rounds: int, *, audited: bool) -> Manifest:
    def blob(name: str) -> Blob:
        return Blob(digest(name.encode()), 1_000)

    return Manifest(
        nonce=bytes(16),
        network=NETWORK,
        contract=CONTRACT,
        document=blob("document"),
        initial=learning.INITIAL,
        initial_blob=blob("initial"),
        recipe={"loss": "none"},
        chunks=tuple(ChunkInfo(blob(f"chunk {index}"), 100) for index in range(chunks)),
        validation=ChunkInfo(blob("validation"), 100),
        slot_bytes=1_000,
        rules=Rules(ROUND_TIMEOUT_S, AGGREGATE_TIMEOUT_S, confirm_every=2 if rounds > 2 else 1),
        summary={"name": "a simulated task"},
        audit=AuditRules(OPEN_S, VERDICT_S, 10_000) if audited else None,
    )
