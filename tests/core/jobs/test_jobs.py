"""The queue: states and actions, turns between users, leases."""

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core import jobs
from core.clock import now
from core.db import reading, writing
from core.jobs import Error, notes
from core.people.users import User
from core.tables import JOB_STATUSES, AlertRow, CheckpointRow, JobRow, MetricPointRow, ModelRow

TOKEN, REF = "the-lease", "a-ref"
MakeJob = Callable[..., JobRow]

ACTIONS: dict[str, Callable[[Session, str], Any]] = {
    "cancel": jobs.cancel,
    "pause": jobs.pause,
    "resume": jobs.resume,
    "remove": jobs.remove,
    "admit": lambda s, j: jobs.admit(s, j, resolved={}, total_steps=5),
    "reject": lambda s, j: jobs.reject(s, j, error=Error("x", "y")),
    "claim": lambda s, j: jobs.claim(s) is not None,
    "requeue": lambda s, j: jobs.requeue(s, j, token=TOKEN),
    "fail": lambda s, j: jobs.fail(s, j, token=TOKEN, error=Error("x", "y")),
    "set_aside": lambda s, j: jobs.set_aside(s, j, error=Error("x", "y")),
    "release": lambda s, j: jobs.release(s, j, token=TOKEN),
    "note_ref": lambda s, j: jobs.note_ref(s, j, ref="a-new-ref"),
    "hold": lambda s, j: jobs.hold(s, REF),
    "take": lambda s, j: bool(jobs.take(s, j, pid=2, started=2.0)),
    "heartbeat": lambda s, j: bool(jobs.heartbeat(s, j, token=TOKEN)),
    "succeed": lambda s, j: jobs.succeed(
        s, j, token=TOKEN, model_id=a_model(s), model_version_id="mdv_x", trained_tokens=1
    ),
    "pause_for_reason": lambda s, j: jobs.pause_for_reason(s, j, token=TOKEN, error=Error("x", "y")),
}
WITH_TOKEN = ("requeue", "fail", "release", "heartbeat", "succeed", "pause_for_reason")
# who has the lease: nobody; a worker that has not reported itself; one that has; one that is gone for longer
# than the lease lasts; and for actions that name a token: somebody who has another one outcome: the new
# state, with * where the lease stays, with + where there is a new one, else there is none; "." is refused and
# changes nothing; "gone" is no row any more; "-" is a state that the database refuses
LEASES = ("none", "coming", "held", "lost", "other")
TABLE = """
                          validating queued     running    paused     succeeded  failed     cancelled
cancel           none     cancelled  cancelled  -          cancelled  .          .          .
cancel           coming   cancelled* cancelled* cancelled* cancelled* .          .          .
cancel           held     cancelled* cancelled* cancelled* cancelled* .          .          .
cancel           lost     cancelled* cancelled* cancelled* cancelled* .          .          .

pause            none     .          paused     -          .          .          .          .
pause            coming   .          paused*    paused*    .          .          .          .
pause            held     .          paused*    paused*    .          .          .          .
pause            lost     .          paused*    paused*    .          .          .          .

resume           none     .          .          -          queued     .          .          .
resume           coming   .          .          .          running*   .          .          .
resume           held     .          .          .          running*   .          .          .
resume           lost     .          .          .          running*   .          .          .

remove           none     .          .          -          .          gone       gone       gone
remove           coming   .          .          .          .          .          .          .
remove           held     .          .          .          .          .          .          .
remove           lost     .          .          .          .          .          .          .

admit            none     queued     .          -          .          .          .          .
admit            coming   queued*    .          .          .          .          .          .
admit            held     queued*    .          .          .          .          .          .
admit            lost     queued*    .          .          .          .          .          .

reject           none     failed     .          -          .          .          .          .
reject           coming   failed*    .          .          .          .          .          .
reject           held     failed*    .          .          .          .          .          .
reject           lost     failed*    .          .          .          .          .          .

claim            none     .          running+   -          .          .          .          .
claim            coming   .          .          .          .          .          .          .
claim            held     .          .          .          .          .          .          .
claim            lost     .          .          .          .          .          .          .

requeue          none     .          .          -          .          .          .          .
requeue          coming   .          .          queued     .          .          .          .
requeue          held     .          .          queued     .          .          .          .
requeue          lost     .          .          queued     .          .          .          .
requeue          other    .          .          .          .          .          .          .

fail             none     .          .          -          .          .          .          .
fail             coming   .          .          failed     .          .          .          .
fail             held     .          .          failed     .          .          .          .
fail             lost     .          .          failed     .          .          .          .
fail             other    .          .          .          .          .          .          .

set_aside        none     .          paused     -          .          .          .          .
set_aside        coming   .          paused*    paused*    .          .          .          .
set_aside        held     .          paused*    paused*    .          .          .          .
set_aside        lost     .          paused*    paused*    .          .          .          .

release          none     .          .          -          .          .          .          .
release          coming   validating queued     queued     paused     succeeded  failed     cancelled
release          held     validating queued     queued     paused     succeeded  failed     cancelled
release          lost     validating queued     queued     paused     succeeded  failed     cancelled
release          other    .          .          .          .          .          .          .

note_ref         none     .          .          -          .          .          .          .
note_ref         coming   .          .          running*   .          .          .          .
note_ref         held     .          .          .          .          .          .          .
note_ref         lost     .          .          .          .          .          .          .

hold             none     .          .          -          .          .          .          .
hold             coming   .          .          running*   .          .          .          .
hold             held     .          .          .          .          .          .          .
hold             lost     .          .          .          .          .          .          .

take             none     .          .          -          .          .          .          .
take             coming   .          .          running*   .          .          .          .
take             held     .          .          .          .          .          .          .
take             lost     .          .          .          .          .          .          .

heartbeat        none     .          .          -          .          .          .          .
heartbeat        coming   .          .          running*   paused*    .          .          .
heartbeat        held     .          .          running*   paused*    .          .          .
heartbeat        lost     .          .          running*   paused*    .          .          .
heartbeat        other    .          .          .          .          .          .          .

succeed          none     .          .          -          .          .          .          .
succeed          coming   .          .          succeeded  .          .          .          .
succeed          held     .          .          succeeded  .          .          .          .
succeed          lost     .          .          succeeded  .          .          .          .
succeed          other    .          .          .          .          .          .          .

pause_for_reason none     .          .          -          .          .          .          .
pause_for_reason coming   .          .          paused     .          .          .          .
pause_for_reason held     .          .          paused     .          .          .          .
pause_for_reason lost     .          .          paused     .          .          .          .
pause_for_reason other    .          .          .          .          .          .          .
"""
# actions that the owner did not ask for -> what the owner is told
TOLD = {
    "reject": "failed",
    "fail": "failed",
    "succeed": "finished",
    "set_aside": "paused",
    "pause_for_reason": "paused",
}


def read_table() -> dict[tuple[str, str, str], str]:
    """(action, lease, state) -> what comes of it."""
    lines = [line.split() for line in TABLE.strip().splitlines() if line.strip()]
    return {
        (action, lease, status): told
        for action, lease, *row in lines[1:]
        for status, told in zip(lines[0], row, strict=True)
    }


def test_the_table_has_every_action_state_and_lease() -> None:
    leases = {action: LEASES if action in WITH_TOKEN else LEASES[:-1] for action in ACTIONS}
    every = {
        (action, lease, status) for action in ACTIONS for lease in leases[action] for status in JOB_STATUSES
    }
    assert set(read_table()) == every
    changing = {
        name
        for name, made in vars(jobs).items()
        if inspect.isfunction(made) and "_change(" in inspect.getsource(made)
    }
    assert {name for name in changing if not name.startswith("_")} | {"hold", "remove"} == set(ACTIONS)


@pytest.mark.parametrize("action", ACTIONS)
def test_states_and_actions(ada: User, make_job: MakeJob, action: str) -> None:
    template = make_job(ada, status="cancelled")
    for (named, lease, status), told in read_table().items():
        if named != action:
            continue
        if told == "-":
            with pytest.raises(IntegrityError, match="running_has_lease"):
                put(template, status, lease)
            continue
        before = put(template, status, lease)
        changed = try_to(action, template.id)
        after = row_or_none(template.id)
        assert (lease, status, outcome(before, after, changed)) == (lease, status, told)
        assert (lease, status, alerts_taken()) == (
            lease,
            status,
            [TOLD[action]] if changed and action in TOLD else [],
        )


def put(template: JobRow, status: str, lease: str) -> dict[str, Any]:
    """The job in that state, with that lease; returns its columns."""
    worker = (
        {"worker_pid": None, "worker_started": None}
        if lease == "coming"
        else {"worker_pid": 1, "worker_started": 1.0}
    )
    until = now() + timedelta(seconds=-1 if lease == "lost" else 30)
    held = {
        "lease_token": "somebody-else's" if lease == "other" else TOKEN,
        "lease_until": until,
        "worker_ref": REF,
        **worker,
    }
    columns = columns_of(template) | {"status": status, "attempts": 1} | ({} if lease == "none" else held)
    with writing() as session:
        session.execute(delete(JobRow))
        session.execute(insert(JobRow).values(columns))
    return columns_of(row_of(template.id))


def try_to(action: str, job_id: str) -> bool:
    try:
        with writing() as session:
            return bool(ACTIONS[action](session, job_id))
    except jobs.Lost:
        return False


def outcome(before: dict[str, Any], row: JobRow | None, changed: bool) -> str:
    if row is None:
        return "gone"
    after = columns_of(row)
    if not changed:
        return "." if after == before else "refused and yet changed"
    if row.lease_token is None:
        assert (row.lease_until, row.worker_pid, row.worker_started, row.worker_ref) == (
            None,
            None,
            None,
            None,
        )
        return row.status
    return row.status + ("*" if row.lease_token == before["lease_token"] else "+")


def columns_of(row: JobRow) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in JobRow.__table__.columns}


def row_or_none(job_id: str) -> JobRow | None:
    with reading() as session:
        return session.get(JobRow, job_id)


def alerts_taken() -> list[str]:
    with writing() as session:
        kinds = [alert.kind for alert in session.query(AlertRow)]
        session.execute(delete(AlertRow))
    return kinds


@pytest.mark.parametrize("action", ["pause_for_reason", "set_aside", "reject", "fail", "succeed"])
def test_an_alert_is_the_owners_and_goes_with_a_change_that_does_not_come_true(
    ada: User, make_job: MakeJob, action: str
) -> None:
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
        notes.add_points(session, job.id, [("train_loss", step, 1.0) for step in range(500)])
        notes.add_points(session, job.id, [("train_loss", 3, 2.0), ("train_loss", 3, 0.5)])
    with reading() as session:
        values = {p.step: p.value for p in session.query(MetricPointRow)}
    assert (len(values), values[3], values[4]) == (500, 0.5, 1.0)


def test_only_checkpoints_on_disk_are_listed(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada)
    with writing() as session:
        for step, kept in ((10, [10]), (20, [10, 20]), (30, [20, 30]), (30, [20, 30])):
            notes.note_checkpoint(session, job.id, step, size_bytes=1, metrics={}, kept=kept)
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
