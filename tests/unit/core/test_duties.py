"""What the state asks of whom: each duty once, in its time, and votes only for what follows from the log."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shoal.core import calls, duties, fold
from shoal.core import events as ev
from shoal.core.codec import digest
from shoal.core.duties import GetReady, MakeCheckpoint, PostResult, TrainChunk
from shoal.core.events import ResultConfirmed
from shoal.core.ids import Address, TaskId
from shoal.core.merkle import verify
from shoal.core.money import ZERO, Tinybar
from shoal.core.task import SECOND_NS, Phase, State

from .scene import AGGREGATE_S, ROUND_S, Scene

STRANGER = Address(b"s" * 20)


def at(state: State, seconds: float) -> State:
    return fold.advance(state, int(seconds * SECOND_NS))


# ---------------------------------------------------------------- work


def test_a_trainer_gets_ready_once_it_has_its_envelope() -> None:
    scene = Scene().assigned()
    me = scene.trainers[0]
    assert duties.work(scene.state, me) == []
    scene.say(scene.client, "envelope", {"to": me, "sealed": b"x"})
    assert duties.work(scene.state, me) == [GetReady(b"x")]
    scene.take(ev.TrainerReady(scene.place.task, me))
    assert duties.work(scene.state, me) == []


def test_everyone_trains_its_chunks_and_one_aggregates() -> None:
    scene = Scene().running()
    everyone = [duty for trainer in scene.trainers for duty in duties.work(scene.state, trainer)]
    assert sorted(duty.chunk for duty in everyone if isinstance(duty, TrainChunk)) == list(range(6))
    scene.train(0)
    assert [duty.chunk for duty in duties.work(scene.state, scene.trainers[0]) if isinstance(duty, TrainChunk)] == [3]
    scene.train()
    everyone = [duty for trainer in scene.trainers for duty in duties.work(scene.state, trainer)]
    (duty,) = everyone
    assert isinstance(duty, MakeCheckpoint) and [update.chunk for update in duty.updates] == list(range(6))
    assert duties.work(scene.state, scene.aggregator()) == [duty]


def test_who_lost_its_seat_or_has_none_has_no_work() -> None:
    scene = Scene().running()
    scene.train(1, 2, 4, 5)
    scene.pass_time(ROUND_S)
    assert duties.work(scene.state, scene.trainers[0]) == []
    assert duties.work(scene.state, STRANGER) == duties.work(scene.state, scene.client) == []
    taken_over = duties.work(scene.state, scene.trainers[1])
    assert [duty.chunk for duty in taken_over if isinstance(duty, TrainChunk)] == [0, 3]


def test_the_result_is_posted_by_one() -> None:
    scene = Scene().finished()
    asked = {trainer: duties.work(scene.state, trainer) for trainer in scene.trainers}
    assert scene.state.final is not None
    assert asked.pop(scene.aggregator()) == [PostResult(scene.state.final)]
    assert not any(asked.values())
    scene.say(scene.aggregator(), "result", scene.result())
    assert not any(duties.work(scene.state, trainer) for trainer in scene.trainers)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 10_000), st.integers(0, 255))
def test_seeds_differ_by_unit(task: bytes, round: int, chunk: int) -> None:
    seed = duties.unit_seed(TaskId(task), round, chunk)
    assert 0 <= seed < 2**63
    assert seed == duties.unit_seed(TaskId(task), round, chunk)
    assert seed != duties.unit_seed(TaskId(task), round + 1, chunk) != duties.unit_seed(TaskId(task), round, chunk + 1)


# ---------------------------------------------------------------- votes


def test_a_mark_is_voted_for_once_and_until_it_is_confirmed() -> None:
    scene = Scene().running()
    for _ in range(2):
        scene.round()
    (mark,) = scene.state.marks
    me = scene.trainers[0]
    vote = duties.checkpoint_vote(scene.state, me, mark)
    assert vote is not None and vote.credits_root == mark.root(scene.place)
    assert duties.checkpoint_vote(scene.state, me, replace(mark, checkpoint=digest(b"x"))) is None
    what = (vote.round, vote.checkpoint, vote.units, vote.aggregates, vote.audits, vote.credits_root)
    scene.take(ev.CheckpointVoted(scene.place.task, me, *what))
    assert duties.checkpoint_vote(scene.state, me, mark) is None
    assert duties.checkpoint_vote(scene.state, scene.trainers[1], mark) is not None
    scene.take(ev.CheckpointConfirmed(scene.place.task, *what))
    assert duties.checkpoint_vote(scene.state, scene.trainers[1], mark) is None


def test_the_author_publishes_the_result_and_others_confirm() -> None:
    scene = Scene().finished()
    author = scene.aggregator()
    other = next(each for each in scene.trainers if each != author)
    assert duties.result_vote(scene.state, author) is None
    scene.say(author, "result", scene.result())
    ballot = duties.result_vote(scene.state, author)
    assert isinstance(ballot, calls.PublishResult)
    assert duties.result_vote(scene.state, other) is None, "the author goes first"
    scene.pass_time(AGGREGATE_S * 2)
    assert isinstance(duties.result_vote(scene.state, other), calls.PublishResult), (
        "an author that stays away is not needed"
    )
    scene.take(
        ev.ResultPublished(
            scene.place.task,
            author,
            ballot.result,
            ballot.log_position,
            ballot.round,
            ballot.units,
            ballot.aggregates,
            ballot.audits,
            ballot.credits_root,
        )
    )
    assert duties.result_vote(scene.state, author) is None
    confirmation = duties.result_vote(scene.state, other)
    assert isinstance(confirmation, calls.ConfirmResult)
    assert confirmation == calls.ConfirmResult(
        ballot.task_id,
        ballot.result,
        ballot.log_position,
        ballot.round,
        ballot.units,
        ballot.aggregates,
        ballot.audits,
        ballot.credits_root,
    )


# ---------------------------------------------------------------- money


def test_anyone_of_the_task_ends_it_one_after_the_other() -> None:
    scene = Scene().accepted()
    plan = scene.state.plan
    expire = [calls.Expire(scene.place.task)]
    late = at(scene.state, plan.start_until + 1.5)
    assert duties.payments(at(scene.state, plan.start_until + 0.5), scene.client) == []
    assert duties.payments(late, scene.client) == expire
    assert duties.payments(late, scene.trainers[0]) == []
    assert duties.payments(at(scene.state, plan.start_until + 4.5), scene.trainers[0]) == expire
    assert duties.payments(at(scene.state, plan.start_until + 500), STRANGER) == []


def test_each_phase_has_its_deadline() -> None:
    task = Scene().place.task
    opened, few, running = Scene().awarded(), Scene().accepted(0), Scene().running()
    assert duties.payments(at(Scene().state, opened.state.plan.award_until + 2), opened.client) == [calls.Expire(task)]
    assert duties.payments(at(few.state, few.state.plan.standby_until + 2), few.client) == [calls.Expire(task)]
    assert duties.payments(at(few.state, few.state.plan.standby_until), few.client) == []
    assert duties.payments(at(running.state, running.state.plan.end_by), running.client) == []
    assert duties.payments(at(running.state, running.state.plan.end_by + 2), running.client) == [calls.Expire(task)]


def test_a_task_started_without_its_assignment_ends_when_the_contract_lets_it() -> None:
    scene = Scene().accepted()
    scene.start()
    plan = scene.state.plan
    assert duties.payments(at(scene.state, plan.start_until + 2), scene.client) == []
    assert duties.payments(at(scene.state, plan.end_by + 2), scene.client) == [calls.Expire(scene.place.task)]


def confirmed(scene: Scene, root: bytes | None = None) -> ResultConfirmed:
    mark = scene.state.final
    assert mark is not None
    settle_after = scene.state.now_ns // SECOND_NS + 5
    counts = (mark.log_position, mark.round, mark.units, mark.aggregates, mark.audits)
    root = root or mark.root(scene.place)
    return ev.ResultConfirmed(scene.place.task, digest(b"result"), *counts, root, settle_after)


def test_settling_waits_for_the_window_and_then_everyone_claims_its_own() -> None:
    scene = Scene().running(0, 1)  # the third never got ready
    while scene.state.phase is Phase.RUNNING:
        scene.round()
    scene.take(confirmed(scene))
    assert duties.payments(scene.state, scene.client) == []
    scene.pass_time(7)
    assert duties.payments(scene.state, scene.client) == [calls.Settle(scene.place.task)]
    scene.take(ev.Settled(scene.place.task, Tinybar(1), Tinybar(1)))
    mark = duties.settled_mark(scene.state)
    assert mark is not None
    for trainer in scene.trainers[:2]:
        (claim,) = duties.payments(scene.state, trainer)
        assert isinstance(claim, calls.Claim) and claim.trainer == trainer
        leaf = next(each for each in mark.credits if each.trainer == trainer)
        assert (claim.units, claim.aggregates, claim.no_show) == (leaf.units, leaf.aggregates, leaf.no_show)
        assert verify(leaf.hash(scene.place.task), claim.proof, mark.root(scene.place))
    release = calls.Release(scene.place.task, scene.trainers[2])
    assert duties.payments(scene.state, scene.client) == duties.payments(scene.state, scene.trainers[2]) == [release]
    scene.take(ev.Released(scene.place.task, scene.trainers[2], Tinybar(9), ZERO))
    assert duties.payments(scene.state, scene.client) == duties.payments(scene.state, scene.trainers[2]) == []


def test_credits_that_do_not_follow_from_the_log_are_not_claimed_by_a_proof_that_cannot_fit() -> None:
    scene = Scene().finished()
    scene.take(confirmed(scene, digest(b"a colluding quorum's root")))
    scene.take(ev.Settled(scene.place.task, Tinybar(1), Tinybar(1)))
    assert duties.settled_mark(scene.state) is None
    assert duties.claim_for(scene.state, scene.trainers[0]) is None
    assert duties.payments(scene.state, scene.trainers[0]) == []
    scene.take(ev.Expired(scene.place.task, 6, Tinybar(1), ZERO))
    released = [calls.Release(scene.place.task, scene.trainers[0])]
    assert duties.payments(scene.state, scene.trainers[0]) == released


def test_after_an_early_end_the_confirmed_progress_is_claimed() -> None:
    scene = Scene().running()
    for _ in range(3):
        scene.round()
    mark = scene.state.marks[0]
    what = (mark.round, mark.checkpoint, mark.units, mark.aggregates, mark.audits, mark.root(scene.place))
    scene.take(ev.CheckpointConfirmed(scene.place.task, *what))
    scene.take(ev.Expired(scene.place.task, 4, ZERO, ZERO))
    scene.take(ev.Settled(scene.place.task, Tinybar(1), Tinybar(1)))
    claim = duties.claim_for(scene.state, scene.trainers[0])
    assert claim is not None and claim.units == 4, "two rounds of two chunks; the third was not confirmed"


def test_a_cancelled_task_releases_each_seat_once() -> None:
    scene = Scene().accepted()
    task, me = scene.place.task, scene.trainers[0]
    scene.take(ev.Cancelled(task, ZERO, ZERO))
    assert duties.payments(scene.state, me) == [calls.Release(task, me)]
    scene.take(ev.Released(task, me, ZERO, ZERO))
    assert duties.payments(scene.state, me) == []


def test_nothing_is_settled_before_its_disputes_have_ended() -> None:
    scene = Scene().finished()
    scene.take(confirmed(scene))
    task, dispute = scene.place.task, digest(b"dispute")
    late = at(scene.state, scene.state.now_ns // SECOND_NS + 100)
    assert duties.payments(late, scene.client) == [calls.Settle(task)]
    scene.take(ev.DisputeOpened(task, dispute, 0, scene.trainers[1], scene.trainers[0], digest(b"x"), Tinybar(5)))
    late = at(scene.state, scene.state.now_ns // SECOND_NS + 100)
    assert duties.payments(late, scene.client) == [calls.Resolve(dispute)]
    scene.take(ev.DisputeClosed(task, dispute, 3, scene.trainers[0], Tinybar(5)))
    late = at(scene.state, scene.state.now_ns // SECOND_NS + 100)
    assert duties.payments(late, scene.client) == [calls.Settle(task)]


# ---------------------------------------------------------------- a machine that is not free


def test_a_chunk_is_handed_over_at_once_to_whoever_can_take_it_and_late_where_nobody_can() -> None:
    scene = Scene().running()
    first = scene.state.holder(0)
    assert first is not None
    assert duties.hand_over_at(scene.state, first.trainer, 0) == scene.state.turn_ns
    scene.say(first.trainer, "void", scene.void(0))
    second = scene.state.holder(0)
    assert second is not None
    late = duties.hand_over_at(scene.state, second.trainer, 0)
    assert scene.state.turn_ns < late < scene.state.turn_ns + ROUND_S * SECOND_NS


def test_a_seat_is_left_to_others_only() -> None:
    scene = Scene().running()
    assert all(duties.may_leave(scene.state, trainer) for trainer in scene.trainers)
    assert not duties.may_leave(scene.state, STRANGER) and not duties.may_leave(scene.state, scene.client)
    for trainer in scene.trainers[1:]:
        scene.say(trainer, "leave", {})
        assert not duties.may_leave(scene.state, trainer)
    assert not duties.may_leave(scene.state, scene.trainers[0]), "it is the last"
    assert not duties.may_leave(Scene().finished().state, scene.trainers[0])
    assert duties.may_leave(Scene().assigned().state, scene.trainers[0])
