"""Random calls by anybody, at any time, on the contract and on its model: both say the same of every one of them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from shoal.core import calls
from shoal.core.codec import digest
from shoal.core.ids import Address
from shoal.core.money import Tinybar

from .harness import UNBONDING_S
from .twin import EVIDENCE, KEY, PLAN, Twin

STAGES = ["registered", "running", "progress", "settling", "disputed"]
indices = st.integers(0, 3)


class Both(RuleBasedStateMachine):
    """Where a call goes through, the twin checks both books; chance starts at a stage that honest people reached."""

    def __init__(self) -> None:
        super().__init__()
        self.twin = Twin()
        self.people: list[Address] = self.twin.everyone

    @initialize(stage=st.sampled_from(STAGES))
    def begin(self, stage: str) -> None:
        twin = self.twin
        if stage == "registered":
            twin.registered()
        elif stage in ("running", "progress"):
            twin.running()
        else:
            twin.settling()
        twin(twin.stranger, calls.Register(KEY, KEY), 5_000)
        if stage == "progress":
            for trainer in twin.trainers[:2]:
                twin(trainer, twin.checkpoint(1))
        if stage == "disputed":
            twin(twin.stranger, calls.Accuse(twin.task, twin.trainers[0], EVIDENCE), int(PLAN.bond))
            twin(twin.client, calls.Register(KEY, KEY))
            twin(twin.client, calls.ChallengeResult(twin.task, self.result(1)), int(PLAN.bond))
            twin.wait(2)
            twin(twin.stranger, calls.DrawJury(twin.dispute(1)))
            twin(twin.stranger, calls.DrawJury(twin.dispute(2)))

    def result(self, which: int) -> calls.Result:
        return self.twin.result(**[{}, {"result": digest(b"wrong")}, {"units": 0}, {"units": 13}][which])

    def attempt(self, who: int, call: calls.Call, value: int = 0) -> None:
        done = self.twin.try_call(self.people[who % len(self.people)], call, value)
        event(f"{type(call).__name__}: {'done' if isinstance(done, list) else done}")
        if isinstance(done, list):
            self.twin.check()

    # ------------------------------------------------------------ rules

    @rule(seconds=st.sampled_from([1, 1, 30, 51, 61, 100, 400, 4_500, UNBONDING_S, 31 * 24 * 3600]))
    def time_passes(self, seconds: int) -> None:
        self.twin.wait(seconds)

    @rule(who=st.integers(0, 9), amount=st.sampled_from([0, 1, 5_000, 16_000]), which=st.integers(0, 7))
    def account(self, who: int, amount: int, which: int) -> None:
        call, value = [
            (calls.Register(KEY, KEY), amount),
            (calls.DepositStake(), amount),
            (calls.RequestUnstake(Tinybar(amount)), 0),
            (calls.CancelUnstake(), 0),
            (calls.CompleteUnstake(), 0),
            (calls.JoinValidators(), 0),
            (calls.LeaveValidators(), 0),
            (calls.Withdraw(), 0),
        ][which]
        self.attempt(who, call, value)

    @rule(who=st.sampled_from([0, 0, 1, 2]), which=st.integers(0, 5), i=indices)
    def before_the_start(self, who: int, which: int, i: int) -> None:
        twin = self.twin
        root, price = twin.award.root(twin.task), twin.award.unit_price
        call, value = [
            (twin.create(), int(PLAN.escrow())),
            (calls.Award(twin.task, root, price, PLAN.seats), 0),
            (twin.accept(i), 0),
            (calls.Ready(twin.task), 0),
            (calls.Start(twin.task), 0),
            (calls.Cancel(twin.task), 0),
        ][which]
        # Another's task with this manifest would be another task, which nobody here looks after.
        self.attempt(2 + i if which in (2, 3) else who * (which != 0), call, value)

    @rule(who=st.integers(0, 5), which=st.integers(0, 2), result=indices, round=st.integers(1, 2))
    def vote(self, who: int, which: int, result: int, round: int) -> None:
        twin = self.twin
        found = self.result(result)
        call: calls.Call = [twin.checkpoint(round), twin.publish(found), twin.confirm(found)][which]
        self.attempt(who, call)

    @rule(who=st.integers(0, 9), which=st.sampled_from(["settle", "expire", "release", "claim", "audits"]), i=indices)
    def end(self, who: int, which: str, i: int) -> None:
        twin = self.twin
        call: calls.Call = {
            "settle": calls.Settle(twin.task),
            "expire": calls.Expire(twin.task),
            "release": calls.Release(twin.task, twin.trainers[i]),
            "claim": twin.claim(i % 3),
            "audits": twin.claim_audits(i % 2),
        }[which]
        self.attempt(who, call)

    @rule(who=st.integers(0, 9), which=st.integers(0, 4), i=indices, bond=st.sampled_from([0, 0, 0, 1]))
    def open(self, who: int, which: int, i: int, bond: int) -> None:
        twin, value = self.twin, int(PLAN.bond) + bond
        call, paid = [
            (calls.RequestDraw(twin.task), 0),
            (calls.Draw(twin.task), 0),
            (calls.Accuse(twin.task, twin.trainers[i], EVIDENCE), value),
            (calls.ChallengeResult(twin.task, self.result(i)), value),
            (calls.Appeal(twin.task, self.result(i)), value),
        ][which]
        self.attempt(who, call, paid)

    @rule(which=st.integers(0, 2), number=st.integers(1, 3), juror=indices, upheld=st.booleans())
    def decide(self, which: int, number: int, juror: int, upheld: bool) -> None:
        dispute = self.twin.dispute(number)
        call: calls.Call = [calls.DrawJury(dispute), calls.Judge(dispute, upheld), calls.Resolve(dispute)][which]
        self.attempt(6 + juror if which == 1 else 1, call)

    @rule(number=st.integers(1, 3), votes=st.lists(st.booleans(), min_size=3, max_size=3))
    def whole_jury(self, number: int, votes: list[bool]) -> None:
        """All that were drawn vote, since chance alone seldom has them vote in time."""
        known = self.twin.model.court.disputes.get(self.twin.dispute(number))
        for juror, vote in zip(list(known.ballots) if known else [], votes, strict=False):
            self.attempt(self.people.index(juror), calls.Judge(self.twin.dispute(number), vote))
        self.attempt(1, calls.Resolve(self.twin.dispute(number)))

    def teardown(self) -> None:
        """However it went, time and strangers end it, and everybody gets all that is theirs."""
        twin = self.twin
        for _ in range(3):
            twin.wait(121 * 24 * 3600)
            for number in range(1, 1 + len(twin.model.court.disputes)):
                self.attempt(1, calls.Resolve(twin.dispute(number)))
            self.attempt(1, calls.Settle(twin.task))
            self.attempt(1, calls.Expire(twin.task))
        for trainer in twin.trainers:
            self.attempt(1, calls.Release(twin.task, trainer))
        twin.leave_no_money()


TestBoth = Both.TestCase
TestBoth.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)


def test_a_wrong_value_is_refused_alike() -> None:
    twin = Twin().registered()
    assert twin.refused(twin.client, twin.create(), int(PLAN.escrow()) - 1) == "WrongEscrow"
    assert twin.refused(twin.client, calls.Withdraw(), 1) == ""
    assert twin.refused(twin.client, replace(twin.create(), manifest_hash=bytes(32)), int(PLAN.escrow())) == "ZeroValue"  # type: ignore[arg-type]
