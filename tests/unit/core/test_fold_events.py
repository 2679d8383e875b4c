"""What the fold notes of the contract's events."""

from dataclasses import replace

from shoal.core import calls, fold
from shoal.core import events as ev
from shoal.core.codec import digest
from shoal.core.ids import TaskId
from shoal.core.money import ZERO, Tinybar
from shoal.core.task import Phase

from .scene import Scene


def published(scene: Scene, **changes: object) -> ev.ResultPublished:
    final = scene.state.final
    assert final is not None
    event = ev.ResultPublished(
        scene.place.task,
        scene.trainers[0],
        digest(b"result"),
        final.log_position,
        final.round,
        final.units,
        final.aggregates,
        final.audits,
        final.root(scene.place),
    )
    return replace(event, **changes)  # type: ignore[arg-type]


def test_events_of_other_tasks_and_of_accounts_change_nothing() -> None:
    scene = Scene().running()
    before = scene.state
    scene.take(ev.Cancelled(TaskId(bytes(32)), ZERO, ZERO))
    scene.take(ev.Withdrawn(scene.client, Tinybar(5)))
    assert replace(scene.state, now_ns=before.now_ns) == before


def test_a_task_started_without_its_assignment_does_not_run() -> None:
    scene = Scene().accepted()
    scene.start()
    assert scene.state.phase is Phase.AWARDED and scene.state.quorum == 2
    assert fold.next_deadline(scene.state) is None


def test_only_the_very_result_counts_as_published() -> None:
    scene = Scene().finished()
    final = scene.state.final
    assert final is not None
    for wrong in (
        {"log_position": final.log_position + 1},
        {"units": final.units - 1},
        {"round": final.round - 1},
        {"aggregates": 0},
        {"audits": 1},
        {"credits_root": digest(b"x")},
    ):
        scene.take(published(scene, **wrong))
        assert not scene.state.published, f"with another {wrong}, others' confirmations are for another proposal"
        assert not scene.state.voted(scene.trainers[0], final.subject(digest(b"result")))
    scene.take(published(scene))
    assert scene.state.published == {digest(b"result")}
    assert scene.state.voted(scene.trainers[0], final.subject(digest(b"result")))


def test_a_vote_for_another_checkpoint_is_kept_apart() -> None:
    scene = Scene().running()
    for _ in range(2):
        scene.round()
    (mark,) = scene.state.marks
    vote = ev.CheckpointVoted(
        scene.place.task,
        scene.trainers[0],
        2,
        mark.checkpoint,
        mark.units,
        mark.aggregates,
        mark.audits,
        mark.root(scene.place),
    )
    scene.take(replace(vote, checkpoint=digest(b"other")))
    assert not scene.state.voted(scene.trainers[0], mark.subject())
    scene.take(vote)
    assert scene.state.voted(scene.trainers[0], mark.subject())


def test_a_task_that_ends_on_its_progress_is_settled() -> None:
    scene = Scene().running()
    task = scene.place.task
    scene.take(ev.Expired(task, 4, ZERO, ZERO))
    scene.take(ev.Settled(task, Tinybar(70), Tinybar(30)))
    assert (scene.state.phase, scene.state.refunded) == (Phase.SETTLED, 30)


def test_when_claims_lapse_stakes_are_released_and_the_refunds_add_up() -> None:
    scene = Scene().finished()
    task = scene.place.task
    scene.take(ev.Settled(task, Tinybar(70), Tinybar(30)))
    scene.take(ev.Claimed(task, scene.trainers[0], 1, 0, Tinybar(20), Tinybar(5), ZERO, ZERO, ZERO))
    scene.take(ev.Expired(task, 6, Tinybar(50), ZERO))
    assert (scene.state.phase, scene.state.refunded) == (Phase.EXPIRED, 80)
    assert scene.state.claims[scene.trainers[0]].paid == 20


def test_a_release_closes_a_seat() -> None:
    scene = Scene().accepted()
    task = scene.place.task
    scene.take(ev.Cancelled(task, Tinybar(10), Tinybar(3)))
    scene.take(ev.Released(task, scene.trainers[0], Tinybar(5), Tinybar(1)))
    assert (scene.state.phase, scene.state.compensation) == (Phase.CANCELLED, 3)
    assert scene.state.claims[scene.trainers[0]].paid == 1


def test_a_slashed_trainer_has_lost_its_seat_and_its_backup_trains_on() -> None:
    scene = Scene().running()
    trainer = scene.trainers[0]
    chunk = next(c for c in scene.state.waiting_for() if scene.state.holder(c) == scene.state.seat_of(trainer))
    turn_ns = scene.state.turn_ns
    scene.take(ev.Slashed(scene.place.task, trainer, Tinybar(1), Tinybar(2)))
    seat, holder = scene.state.seat_of(trainer), scene.state.holder(chunk)
    assert seat is not None and seat.lost == "slashed" and not seat.active
    assert holder is not None and holder.trainer != trainer
    assert scene.state.turn_ns > turn_ns, "with the whole time for it"


def test_when_every_trainer_is_slashed_the_task_ends_with_the_checkpoint_that_it_has() -> None:
    scene = Scene().running()
    for trainer in scene.trainers:
        scene.take(ev.Slashed(scene.place.task, trainer, Tinybar(1), Tinybar(2)))
    assert scene.state.phase is Phase.FINISHED and scene.state.final is not None


def test_a_result_that_a_jury_upheld_takes_the_place_of_the_confirmed_one() -> None:
    scene = Scene().finished()
    final = scene.state.final
    assert final is not None
    task, dispute = scene.place.task, digest(b"dispute")
    counts = (final.round, final.units, final.aggregates, final.audits)
    right = calls.Result(final.log_position, *counts, digest(b"right"), final.root(scene.place))
    wrong = replace(right, result=digest(b"wrong"))
    scene.take(ev.ResultConfirmed(task, wrong.result, wrong.log_position, *counts, wrong.credits_root, settle_after=7))
    scene.take(ev.ReplacementProposed(task, dispute, right))
    assert scene.state.confirmed is not None and scene.state.confirmed.result == wrong.result
    scene.take(ev.ResultReplaced(task, dispute, right.result, 9))
    assert scene.state.phase is Phase.SETTLING
    assert (scene.state.confirmed.result, scene.state.confirmed.settle_after) == (right.result, 9)
