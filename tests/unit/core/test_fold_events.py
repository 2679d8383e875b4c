"""What the fold notes of the contract's events."""

from dataclasses import replace

from shoal.core import events as ev
from shoal.core import fold
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
        scene.place.task, scene.trainers[0], 2, mark.checkpoint, mark.units, mark.aggregates, mark.root(scene.place)
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
    scene.take(ev.Claimed(task, scene.trainers[0], 1, 0, Tinybar(20), Tinybar(5), ZERO))
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
