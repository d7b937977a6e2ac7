"""The queue: states and actions, turns between users, leases."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from core import jobs
from core.clock import now
from core.db import reading, writing
from core.jobs import Error
from core.tables import JOB_STATUSES, AlertRow, CheckpointRow, JobRow, MetricPointRow, ModelRow
from core.users import User

TOKEN = "the-lease"
MakeJob = Callable[..., JobRow]

ACTIONS: dict[str, Callable[[Session, str], Any]] = {
    "admit": lambda s, j: jobs.admit(s, j, resolved={}, total_steps=5),
    "reject": lambda s, j: jobs.reject(s, j, error=Error("x", "y")),
    "claim": lambda s, j: jobs.claim(s) is not None,
    "requeue": lambda s, j: jobs.requeue(s, j, token=TOKEN),
    "pause": jobs.pause,
    "resume": jobs.resume,
    "cancel": jobs.cancel,
    "fail": lambda s, j: jobs.fail(s, j, token=TOKEN, error=Error("x", "y")),
    "set_aside": lambda s, j: jobs.set_aside(s, j, error=Error("x", "y")),
    "pause_for_reason": lambda s, j: jobs.pause_for_reason(s, j, token=TOKEN, error=Error("x", "y")),
    "remove": jobs.remove,
    "succeed": lambda s, j: jobs.succeed(s, j, token=TOKEN, model_id=a_model(s), model_version_id="mdv_x", trained_tokens=1),
}
# state -> action -> state; what is not here is refused and changes nothing
ALLOWED = {
    "validating": {"admit": "queued", "reject": "failed", "cancel": "cancelled"},
    "queued": {"claim": "running", "pause": "paused", "set_aside": "paused", "cancel": "cancelled"},
    "running": {
        "requeue": "queued",
        "pause": "paused",
        "set_aside": "paused",
        "pause_for_reason": "paused",
        "cancel": "cancelled",
        "fail": "failed",
        "succeed": "succeeded",
    },
    "paused": {"resume": "queued", "cancel": "cancelled"},
    "succeeded": {"remove": None},
    "failed": {"remove": None},
    "cancelled": {"remove": None},
}
# actions that the owner did not ask for -> what the owner is told
TOLD = {"reject": "failed", "fail": "failed", "succeed": "finished", "set_aside": "paused", "pause_for_reason": "paused"}


@pytest.mark.parametrize("status", JOB_STATUSES)
def test_states_and_actions(ada: User, make_job: MakeJob, status: str) -> None:
    for action, act in ACTIONS.items():
        job = make_job(ada, status=status, lease_token=TOKEN if status == "running" else None)
        with writing() as session:
            changed = act(session, job.id)
        is_allowed = action in ALLOWED[status]
        assert (action, bool(changed)) == (action, is_allowed)
        assert (action, status_of(job.id)) == (action, ALLOWED[status].get(action, status))
        with writing() as session:
            told = [alert.kind for alert in session.query(AlertRow)]
            assert (action, told) == (action, [TOLD[action]] if is_allowed and action in TOLD else [])
            session.execute(delete(JobRow))


@pytest.mark.parametrize("action", ["pause_for_reason", "set_aside", "reject", "fail", "succeed"])
def test_an_alert_is_the_owners_and_goes_with_a_change_that_does_not_come_true(ada: User, make_job: MakeJob, action: str) -> None:
    status = {"reject": "validating"}.get(action, "running")
    job = make_job(ada, status=status, lease_token=TOKEN if status == "running" else None)
    with reading() as session:  # and nothing is committed
        assert ACTIONS[action](session, job.id)
    with writing() as session:
        assert not session.query(AlertRow).count()
        ACTIONS[action](session, job.id)
    with reading() as session:
        alert = session.query(AlertRow).one()
        assert (alert.user_id, alert.job_id, alert.message.startswith("tuned: ")) == (ada.id, job.id, True)


def test_a_job_is_not_removed_while_its_worker_lets_go(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada, status="cancelled", lease_token=TOKEN)
    with writing() as session:
        assert not jobs.remove(session, job.id)
    assert status_of(job.id) == "cancelled"


@pytest.mark.parametrize("action", ["requeue", "fail", "succeed"])
def test_only_the_holder_of_the_lease_ends_a_running_job(ada: User, make_job: MakeJob, action: str) -> None:
    job = make_job(ada, status="running", lease_token="somebody-else")
    with writing() as session:
        assert not ACTIONS[action](session, job.id)
    assert row_of(job.id).status == "running"


def test_turns_go_to_the_user_who_waited_longest(ada: User, bob: User, make_job: MakeJob) -> None:
    first, second, third = make_job(ada), make_job(ada), make_job(bob)
    order = []
    for _ in range(3):
        with writing() as session:
            claimed = jobs.claim(session)
            assert claimed
            order.append(claimed)
            jobs.fail(session, claimed, token=token_of(session, claimed), error=Error("x", "y"))
    assert order == [first.id, third.id, second.id]


def test_a_job_whose_worker_still_saves_is_not_claimed(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada, status="running", lease_token=TOKEN)
    with writing() as session:
        jobs.pause(session, job.id)
        jobs.resume(session, job.id)
        assert jobs.claim(session) is None
        assert row_of(job.id).lease_token == TOKEN


def test_a_second_worker_finds_the_place_taken(ada: User, make_job: MakeJob) -> None:
    make_job(ada)
    with writing() as session:
        job_id = str(jobs.claim(session))
        jobs.take(session, job_id, pid=1, started=1.0)
        with pytest.raises(jobs.Lost):
            jobs.take(session, job_id, pid=2, started=2.0)


def test_progress_never_decreases(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada, status="running", lease_token=TOKEN)
    for share in (0.5, 0.2):
        with writing() as session:
            jobs.heartbeat(session, job.id, token=TOKEN, progress=share, step=int(share * 100))
    found = row_of(job.id)
    assert (found.progress, found.step) == (0.5, 20)
    assert found.lease_until
    assert found.lease_until > now() + jobs.LEASE - timedelta(seconds=30)


def test_a_heartbeat_learns_that_the_job_was_cancelled(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada, status="running", lease_token=TOKEN)
    with writing() as session:
        jobs.cancel(session, job.id)
    with writing() as session, pytest.raises(jobs.Lost):
        jobs.heartbeat(session, job.id, token=TOKEN)


def test_a_graceful_stop_does_not_use_up_an_attempt(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada)
    with writing() as session:
        jobs.claim(session)
        jobs.requeue(session, job.id, token=token_of(session, job.id), counts=False)
    assert row_of(job.id).attempts == 0


def test_a_step_trained_again_overwrites_its_points(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada)
    with writing() as session:
        jobs.add_points(session, job.id, [("train_loss", step, 1.0) for step in range(500)])
        jobs.add_points(session, job.id, [("train_loss", 3, 2.0), ("train_loss", 3, 0.5)])
    with reading() as session:
        values = {p.step: p.value for p in session.query(MetricPointRow)}
    assert (len(values), values[3], values[4]) == (500, 0.5, 1.0)


def test_only_checkpoints_on_disk_are_listed(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada)
    with writing() as session:
        for step, kept in ((10, [10]), (20, [10, 20]), (30, [20, 30]), (30, [20, 30])):
            jobs.note_checkpoint(session, job.id, step, size_bytes=1, metrics={}, kept=kept)
    with reading() as session:
        assert sorted(c.step for c in session.query(CheckpointRow)) == [20, 30]


def a_model(session: Session) -> str:
    return session.query(ModelRow).one().id


def row_of(job_id: str) -> JobRow:
    with reading() as session:
        return session.get_one(JobRow, job_id)


def status_of(job_id: str) -> str | None:
    with reading() as session:
        row = session.get(JobRow, job_id)
        return row.status if row else None


def token_of(session: Session, job_id: str) -> str:
    session.expire_all()
    return str(session.get_one(JobRow, job_id).lease_token)
