"""Whose turn it is, what the queue says about it, and what its users may change."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from core import fine_tuning, hardware, jobs, storage
from core.clock import now
from core.config import settings
from core.db import reading, writing
from core.errors import Conflict, InUse, NotFound, ValidationError
from core.fields import parse
from core.fine_tuning import Move, NewJob, Priority
from core.jobs import notes, turns
from core.jobs.turns import Held, WaitingJob
from core.people import usage
from core.people.users import User
from core.tables import (
    CheckpointRow,
    DatasetVersionRow,
    JobEventRow,
    JobRow,
    ModelRow,
    ModelVersionRow,
    UsageRow,
)
from core.workers.supervisor import Supervisor

MakeJob = Callable[..., JobRow]
DAWN = datetime(2026, 1, 1, tzinfo=UTC)


def job(
    name: str, user: str = "ada", *, age: int = 0, seconds: float | None = 100.0, **fields: Any
) -> WaitingJob:
    """``age``: the older of two has the lower number."""
    values: dict[str, Any] = {"priority": 0, "position": None, "devices": 1, "seconds": seconds}
    return WaitingJob(id=name, user_id=user, created_at=DAWN + timedelta(seconds=age), **(values | fields))


def foresee(
    *waiting: WaitingJob,
    holding: list[Held] | None = None,
    places: int = 1,
    devices: int = 4,
    **served: float,
) -> Any:
    found = turns.foresee(
        waiting, holding=holding or [], served=served, places=places, devices=devices, at=1e9
    )
    return [(start.job_id, start.seconds) for start in found]


def names(found: list[tuple[str, Any]]) -> list[str]:
    return [name for name, _ in found]


def test_users_take_turns_whatever_they_queued_first() -> None:
    found = foresee(
        *[job(f"a{n}", age=n) for n in range(3)], job("b0", "bob", age=9), job("b1", "bob", age=10)
    )
    assert names(found) == ["a0", "b0", "a1", "b1", "a2"]


def test_a_high_priority_orders_only_ones_own_jobs() -> None:
    urgent = [job(f"a{n}", age=n, priority=1) for n in range(3)]
    found = foresee(*urgent, job("a-low", age=0, priority=-1), job("b-low", "bob", age=5, priority=-1))
    assert names(found) == ["a0", "b-low", "a1", "a2", "a-low"]


def test_among_ones_own_priority_then_position_then_age_decides() -> None:
    found = foresee(
        job("young", age=9),
        job("old", age=1),
        job("placed", age=20, position=1.0),
        job("urgent", age=30, priority=1),
    )
    assert names(found) == ["urgent", "placed", "old", "young"]


def test_whoever_holds_the_fewest_devices_is_next() -> None:
    found = foresee(job("a", age=0), job("b", "bob", age=1), holding=[Held("ada", 2, 50.0)], places=2)
    assert names(found) == ["b", "a"]


def test_a_wide_job_is_not_overtaken_and_so_starts() -> None:
    narrow = [job(f"n{n}", "bob", age=1 + n) for n in range(6)]
    found = foresee(job("wide", devices=4), *narrow, holding=[Held("bob", 1, 30.0)], places=8, devices=4)
    assert found[0] == ("wide", 30.0)
    assert found[1] == ("n0", 130.0)


def test_a_job_wider_than_the_server_has_no_turn_and_blocks_nobody() -> None:
    assert foresee(job("huge", devices=9), job("small", age=1)) == [("small", 0.0), ("huge", None)]


def test_starts_follow_from_what_runs_and_what_is_ahead() -> None:
    waiting = (job("a", seconds=200.0), job("b", age=1), job("c", age=2))
    assert foresee(*waiting, holding=[Held("bob", 1, 40.0)]) == [("a", 40.0), ("b", 240.0), ("c", 340.0)]
    assert foresee(*waiting, holding=[Held("bob", 1, 40.0), Held("bob", 1, 10.0)], places=2)[1] == ("b", 40.0)


def test_behind_an_unknown_end_nobody_is_promised_a_time() -> None:
    found = foresee(job("a", seconds=None), job("b", age=1), holding=[Held("bob", 1, 40.0)])
    assert found == [("a", 40.0), ("b", None)]
    assert foresee(job("a"), holding=[Held("bob", 1, None)]) == [("a", None)]


def test_a_thousand_jobs_are_foreseen_at_once() -> None:
    began = now()
    found = foresee(*[job(f"{n}", f"user{n % 7}", age=n) for n in range(1000)], places=3)
    assert len(found) == 1000
    assert (now() - began).total_seconds() < 2


def claim_all(*, all_devices: int | None = None) -> list[str]:
    order = []
    while True:
        with writing() as session:
            claimed = jobs.claim(session, devices=all_devices)
            if claimed is None:
                return order
            order.append(claimed)
            jobs.fail(
                session,
                claimed,
                token=session.get_one(JobRow, claimed).lease_token,
                error=jobs.Error("x", "y"),
            )
            session.expire_all()


def test_jobs_start_in_the_order_that_the_queue_shows(ada: User, bob: User, make_job: MakeJob) -> None:
    for user, priority in ((ada, 0), (ada, 1), (bob, -1), (ada, -1), (bob, 1), (bob, 0)):
        make_job(user, priority=priority)
    shown = sorted(
        ((item.place, item.id) for user in (ada, bob) for item in fine_tuning.queue(user).items),
    )
    assert [place for place, _ in shown] == [1, 2, 3, 4, 5, 6]
    assert claim_all() == [job_id for _, job_id in shown]


def test_deleting_a_job_gives_no_turn_back(ada: User, bob: User, make_job: MakeJob) -> None:
    """Else whoever tidies up after each job would always be first."""
    ran = make_job(
        ada,
        status="succeeded",
        started_at=now() - timedelta(minutes=9),
        finished_at=now() - timedelta(minutes=5),
    )
    with writing() as session:
        usage.record(session, user_id=ada.id, kind="training", seconds=240)
        session.query(UsageRow).update({"created_at": now() - timedelta(minutes=5)})
    make_job(
        bob,
        status="succeeded",
        started_at=now() - timedelta(minutes=30),
        finished_at=now() - timedelta(minutes=29),
    )
    make_job(ada, name="ada's"), make_job(bob, name="bob's")
    fine_tuning.delete(ada, ran.id)
    assert claimed_names() == ["bob's", "ada's"]


def test_a_wide_job_waits_for_its_devices(ada: User, bob: User, make_job: MakeJob) -> None:
    running = make_job(bob, status="running", lease_token="t", num_processes=2, started_at=now())
    wide = make_job(ada, num_processes=3)
    make_job(bob)
    with writing() as session:
        assert jobs.claim(session, devices=4) is None  # and the narrow one behind it does not overtake
        jobs.fail(session, running.id, token="t", error=jobs.Error("x", "y"))
        assert jobs.claim(session, devices=4) == wide.id


def test_a_job_too_wide_for_the_server_of_today_is_set_aside(
    ada: User, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = make_job(ada, num_processes=3)
    monkeypatch.setenv("LUTHIER_TRAINING_DEVICES", "2")
    settings.cache_clear()
    Supervisor().tick()
    found = row_of(wide.id)
    assert (found.status, found.error["code"]) == ("paused", "too_many_devices")
    assert "asks for 3 devices" in found.error["message"]


def test_more_devices_than_there_are_cannot_be_asked_for(
    ada: User, make_job: MakeJob, base_model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = make_job(ada, status="succeeded", num_processes=3)
    monkeypatch.setenv("LUTHIER_TRAINING_DEVICES", "2")
    settings.cache_clear()
    new = {"base_model_id": base_model.id, "dataset_id": earlier.dataset_id}
    assert fine_tuning.create(ada, parse(NewJob, **new, num_processes=2)).num_processes == 2
    with pytest.raises(ValidationError, match="at most 2"):
        fine_tuning.create(ada, parse(NewJob, **new, num_processes=3))
    with pytest.raises(ValidationError, match="at most 2"):
        fine_tuning.rerun(ada, earlier.id)


def test_devices_are_the_gpus_and_without_any_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "gpus", lambda: ())
    assert hardware.device_count() == hardware.cores() >= 1
    monkeypatch.setattr(hardware, "gpus", lambda: (hardware.Gpu("one", 2**34, 2**33, True),) * 3)
    assert hardware.device_count() == 3


def test_others_jobs_are_counted_and_not_named(ada: User, bob: User, make_job: MakeJob) -> None:
    make_job(ada, name="secret")
    mine = make_job(bob, name="mine")
    seen = fine_tuning.queue(bob)
    assert [(item.id, item.place, item.others_ahead) for item in seen.items] == [(mine.id, 2, 1)]
    assert seen.others_waiting == 1
    assert "secret" not in repr(seen)
    assert ada.id not in repr(seen)


def test_expected_start_comes_from_the_pace_of_jobs_on_the_same_base(ada: User, make_job: MakeJob) -> None:
    resolved = {"batch_size": 4, "gradient_accumulation": 2}
    make_job(
        ada, status="running", lease_token="t", eta_seconds=60.0, step=10, total_steps=20,
        trained_tokens=8000, tokens_per_second=100.0, resolved=resolved, started_at=now(),
    )  # fmt: skip
    make_job(ada, resolved=resolved, total_steps=50)
    make_job(ada, resolved=resolved, total_steps=50)
    first, second = fine_tuning.queue(ada).items
    assert first.starts_in_seconds == 60.0
    assert second.starts_in_seconds == 60.0 + 8.0 + 50 * 8  # ten steps of eight rows took 80 s
    assert first.starts_at
    assert abs((first.starts_at - now()).total_seconds() - 60) < 5


def test_expected_start_is_unknown_before_anything_ran(ada: User, make_job: MakeJob) -> None:
    make_job(ada), make_job(ada)
    assert [item.starts_in_seconds for item in fine_tuning.queue(ada).items] == [0.0, None]


@pytest.mark.parametrize(
    ("which", "to", "order"),
    [(2, "up", "acb"), (0, "down", "bac"), (2, "first", "cab"), (0, "last", "bca"), (0, "up", "abc")],
)
def test_waiting_jobs_move(ada: User, make_job: MakeJob, which: int, to: str, order: str) -> None:
    made = [make_job(ada, name=name) for name in "abc"]
    moved = fine_tuning.move(ada, made[which].id, parse(Move, to=to))
    assert "".join(item.name for item in moved.items) == order
    assert [row_of(item.id).name for item in moved.items] == claimed_names()


def test_a_job_is_put_before_another(ada: User, bob: User, make_job: MakeJob) -> None:
    a, b, c = (make_job(ada, name=name) for name in "abc")
    assert [item.name for item in fine_tuning.move(ada, c.id, parse(Move, before=b.id)).items] == [
        "a",
        "c",
        "b",
    ]
    bobs = make_job(bob)
    with pytest.raises(NotFound):
        fine_tuning.move(ada, a.id, parse(Move, before=bobs.id))
    with pytest.raises(NotFound):
        fine_tuning.move(bob, a.id, parse(Move, to="first"))


def test_a_job_that_passes_one_of_another_priority_takes_it(ada: User, make_job: MakeJob) -> None:
    make_job(ada, name="urgent", priority=1)
    normal = make_job(ada, name="normal")
    low = make_job(ada, name="low", priority=-1)
    assert [item.name for item in fine_tuning.move(ada, low.id, parse(Move, to="up")).items] == [
        "urgent",
        "low",
        "normal",
    ]
    assert row_of(low.id).priority == 0
    fine_tuning.move(ada, normal.id, parse(Move, to="first"))
    assert row_of(normal.id).priority == 1
    assert claimed_names() == ["normal", "urgent", "low"]


def test_only_a_waiting_job_moves(ada: User, make_job: MakeJob) -> None:
    running = make_job(ada, status="running", lease_token="t")
    with pytest.raises(Conflict, match="no place in the queue"):
        fine_tuning.move(ada, running.id, parse(Move, to="up"))
    for given in ({}, {"to": "up", "before": running.id}):
        with pytest.raises(ValidationError):
            parse(Move, **given)


@pytest.mark.parametrize("priority", range(-3, 4))
def test_a_job_takes_the_known_priorities_and_no_other(ada: User, make_job: MakeJob, priority: int) -> None:
    """Asked for at the start, changed later, and kept by the table: all three know the same ones."""
    asked = {"base_model_id": "mdl_x", "dataset_id": "ds_x", "name": "x", "priority": priority}
    if priority in fine_tuning.PRIORITIES:
        assert parse(NewJob, **asked).priority == priority
        job = make_job(ada)
        assert fine_tuning.set_priority(ada, job.id, parse(Priority, priority=priority).priority)
        assert row_of(job.id).priority == priority
        return
    for model, given in ((NewJob, asked), (Priority, {"priority": priority})):
        with pytest.raises(ValidationError, match="priority"):
            parse(model, **given)
    with pytest.raises(IntegrityError, match="priority"):
        make_job(ada, priority=priority)


def test_priority_is_changed_until_the_job_has_ended(ada: User, bob: User, make_job: MakeJob) -> None:
    make_job(ada, name="a")
    b = make_job(ada, name="b")
    assert fine_tuning.set_priority(ada, b.id, 1).priority == 1
    assert [item.name for item in fine_tuning.queue(ada).items] == ["b", "a"]
    with pytest.raises(NotFound):
        fine_tuning.set_priority(bob, b.id, -1)
    fine_tuning.cancel(ada, b.id)
    with pytest.raises(Conflict):
        fine_tuning.set_priority(ada, b.id, 0)


def test_a_rerun_is_the_same_job_even_when_newer_versions_exist(
    ada: User, make_job: MakeJob, base_model: ModelRow, make_version: Any
) -> None:
    validation = make_version(ada, name="held out")
    earlier = make_job(
        ada, status="failed", validation_version_id=validation.id, sample_prompts=["Hello?"], seed=99,
        priority=1, hyperparameters={"n_epochs": 3, "learning_rate": "auto"}, tags=["x"], columns=None,
        resolved={"n_epochs": 3, "learning_rate": 0.01, "threads": 2},
    )  # fmt: skip
    with writing() as session:
        session.add(
            ModelVersionRow(id="mdv_newer", model_id=base_model.id, version=2, folder="x", num_parameters=1)
        )
    again = fine_tuning.rerun(ada, earlier.id)
    stored, before = row_of(again.id), row_of(earlier.id)
    for field in (
        "base_version_id",
        "dataset_version_id",
        "validation_version_id",
        "hyperparameters",
        "seed",
        "sample_prompts",
    ):
        assert getattr(stored, field) == getattr(before, field), field
    assert (again.copied_from, again.status, again.name) == (earlier.id, "validating", before.name)
    fine_tuning.admit(again.id)
    assert row_of(again.id).status == "queued"
    assert row_of(again.id).resolved["threads"] == 2, (
        "what the machine's load chose is part of how it was run"
    )


def test_pressing_rerun_twice_makes_one_job(ada: User, bob: User, make_job: MakeJob) -> None:
    earlier = make_job(ada, status="succeeded")
    first, second = (fine_tuning.rerun(ada, earlier.id, idempotency_key="k") for _ in range(2))
    assert first.id == second.id
    assert fine_tuning.rerun(ada, earlier.id).id != first.id
    with pytest.raises(NotFound):
        fine_tuning.rerun(bob, earlier.id, idempotency_key="k")


@pytest.mark.parametrize("gone", ["base", "data", "files", "validation"])
def test_a_rerun_of_what_is_gone_says_what(
    ada: User, make_job: MakeJob, make_version: Any, gone: str
) -> None:
    validation = make_version(ada, name="held out")
    earlier = make_job(ada, status="succeeded", validation_version_id=validation.id, valid_loss=1.0)
    with writing() as session:
        if gone == "base":
            session.delete(session.get_one(ModelVersionRow, earlier.base_version_id))
        elif gone == "files":
            session.get_one(DatasetVersionRow, earlier.dataset_version_id).removed_at = now()
        else:
            version_id = earlier.dataset_version_id if gone == "data" else validation.id
            session.delete(session.get_one(DatasetVersionRow, version_id))
    words = {
        "base": "base model",
        "data": "data of this job was deleted",
        "files": "files of the data",
        "validation": "validation",
    }
    with pytest.raises(Conflict, match=words[gone]):
        fine_tuning.rerun(ada, earlier.id)


def test_a_copy_names_a_job_of_ones_own(
    ada: User, bob: User, make_job: MakeJob, base_model: ModelRow, make_version: Any
) -> None:
    earlier, bobs = make_job(ada, status="succeeded"), make_version(bob)
    new = {"base_model_id": base_model.id, "dataset_id": earlier.dataset_id, "copied_from": earlier.id}
    assert fine_tuning.create(ada, parse(NewJob, **new)).copied_from == earlier.id
    with pytest.raises(NotFound):
        fine_tuning.create(bob, parse(NewJob, **(new | {"dataset_id": bobs.dataset_id})))


def test_a_deleted_job_leaves_its_model_and_nothing_else(
    ada: User, bob: User, make_job: MakeJob, base_model: ModelRow
) -> None:
    ended = make_job(ada, status="succeeded", model_id=base_model.id)
    folder = storage.job_dir(ended.id)
    (folder / "checkpoints" / "step-5").mkdir(parents=True)
    with writing() as session:
        notes.note_checkpoint(session, ended.id, 5, size_bytes=1, metrics={}, kept=[5])
        notes.add_event(session, ended.id, "x")
        notes.add_points(session, ended.id, [("train_loss", 1, 1.0)])
    with pytest.raises(NotFound):
        fine_tuning.delete(bob, ended.id)
    fine_tuning.delete(ada, ended.id)
    with reading() as session:
        assert session.get(JobRow, ended.id) is None
        assert session.get(ModelRow, base_model.id)
        assert not session.query(CheckpointRow).count()
        assert not session.query(JobEventRow).count()
    assert not folder.exists()


@pytest.mark.parametrize("status", ["validating", "queued", "running", "paused"])
def test_a_job_that_has_not_ended_cannot_be_deleted(ada: User, make_job: MakeJob, status: str) -> None:
    active = make_job(ada, status=status, lease_token="t" if status == "running" else None)
    with pytest.raises(InUse, match="Cancel it first"):
        fine_tuning.delete(ada, active.id)


def test_a_job_whose_worker_still_lets_go_cannot_be_deleted(ada: User, make_job: MakeJob) -> None:
    cancelled = make_job(ada, status="cancelled", lease_token="t")
    with pytest.raises(InUse, match="Try again"):
        fine_tuning.delete(ada, cancelled.id)


def claimed_names() -> list[str]:
    return [row_of(job_id).name for job_id in claim_all()]


def row_of(job_id: str) -> Any:
    with reading() as session:
        return session.get_one(JobRow, job_id)
