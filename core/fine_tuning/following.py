"""Watching and steering the jobs one owns. What is stored is what every viewer sees; watching changes nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import jobs, storage
from core.db import reading, writing
from core.errors import Conflict, NotFound
from core.fine_tuning.values import (
    Checkpoint,
    Event,
    Job,
    Metrics,
    Progress,
    present,
    present_checkpoint,
    present_event,
    present_progress,
)
from core.listing import Listed, ListQuery, contains, fetch
from core.tables import CheckpointRow, JobEventRow, JobRow, MetricPointRow
from core.users import User

Status = Literal["validating", "queued", "running", "paused", "succeeded", "failed", "cancelled"]
LOG_BYTES = 512 * 1024  # as much of a log's end as is ever read at once
Point = tuple[int, float]


class JobList(ListQuery):
    status: Status | None = None
    base_model_id: str | None = None
    dataset_id: str | None = None


class EventList(ListQuery):
    """Events come in the order in which they happened."""

    sort: str = "created_at"


class CheckpointList(ListQuery):
    sort: str = "step"


def list_jobs(user: User, query: JobList | None = None) -> Listed[Job]:
    query = query or JobList()
    statement = select(JobRow).where(JobRow.user_id == user.id)
    for column in ("status", "base_model_id", "dataset_id"):
        if value := getattr(query, column):
            statement = statement.where(getattr(JobRow, column) == value)
    if query.q:
        statement = statement.where(contains(JobRow.name, query.q))
    sortable = {"created_at": JobRow.created_at}
    with reading() as session:
        return fetch(session, statement, query, sortable=sortable, tie=JobRow.id, present=lambda row: present(session, row))


def get(user: User, job_id: str) -> Job:
    with reading() as session:
        return present(session, find(session, user, job_id))


def cancel(user: User, job_id: str) -> Job:
    """End a job that has not ended. Raises NotFound, Conflict."""
    return _steer(user, job_id, jobs.cancel, "Cancelled.", "cancel")


def pause(user: User, job_id: str) -> Job:
    """Set a queued or running job aside; a running one saves a checkpoint first. Raises NotFound, Conflict."""
    return _steer(user, job_id, jobs.pause, "Pause.", "pause")


def resume(user: User, job_id: str) -> Job:
    """Queue a paused job again; it goes on from its last checkpoint. Raises NotFound, Conflict."""
    return _steer(user, job_id, jobs.resume, "Resumed. Waiting for a free place.", "resume")


def progress(user: User, job_id: str) -> Progress:
    with reading() as session:
        return present_progress(find(session, user, job_id))


def events(user: User, job_id: str, query: EventList | None = None) -> Listed[Event]:
    query = query or EventList()
    with reading() as session:
        find(session, user, job_id)
        statement = select(JobEventRow).where(JobEventRow.job_id == job_id)
        sortable = {"created_at": JobEventRow.created_at}
        return fetch(session, statement, query, sortable=sortable, tie=JobEventRow.id, present=present_event)


def metrics(user: User, job_id: str, *, after_step: int | None = None, max_points: int = 600) -> Metrics:
    """All series, each thinned to about ``max_points`` that keep its peaks."""
    with reading() as session:
        find(session, user, job_id)
        columns = select(MetricPointRow.name, MetricPointRow.step, MetricPointRow.value).where(MetricPointRow.job_id == job_id)
        if after_step is not None:
            columns = columns.where(MetricPointRow.step > after_step)
        series: dict[str, list[Point]] = {}
        for name, step, value in session.execute(columns.order_by(MetricPointRow.name, MetricPointRow.step)):
            series.setdefault(name, []).append((step, value))
    return Metrics({name: downsample(points, max_points) for name, points in series.items()})


def checkpoints(user: User, job_id: str, query: CheckpointList | None = None) -> Listed[Checkpoint]:
    query = query or CheckpointList()
    with reading() as session:
        find(session, user, job_id)
        statement = select(CheckpointRow).where(CheckpointRow.job_id == job_id)
        sortable = {"step": CheckpointRow.step, "created_at": CheckpointRow.created_at}
        return fetch(session, statement, query, sortable=sortable, tie=CheckpointRow.id, present=present_checkpoint)


def log_tail(user: User, job_id: str, *, tail: int = 200) -> str:
    """The last lines of the job's log; empty when there is none yet."""
    path = log_path(user, job_id)
    if not path.exists():
        return ""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - LOG_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-tail:]) + "\n" if lines else ""


def log_path(user: User, job_id: str) -> Path:
    """Where the log is, or will be. Raises NotFound."""
    with reading() as session:
        return storage.job_dir(find(session, user, job_id).id) / "log.txt"


def find(session: Session, user: User, job_id: str) -> JobRow:
    """The user's own job. Raises NotFound."""
    row = session.scalar(select(JobRow).where(JobRow.id == job_id, JobRow.user_id == user.id))
    if row is None:
        raise NotFound
    return row


def downsample(points: Sequence[Point], max_points: int) -> list[Point]:
    """At most ``max_points``: the lowest and the highest of each bucket, and the first and last of all."""
    if len(points) <= max_points:
        return list(points)
    buckets = max(1, (max_points - 2) // 2)
    inner = points[1:-1]
    kept = [points[0]]
    for index in range(buckets):
        bucket = inner[index * len(inner) // buckets : (index + 1) * len(inner) // buckets]
        kept += sorted({min(bucket, key=_value), max(bucket, key=_value)}) if bucket else []
    return [*kept, points[-1]]


def _value(point: Point) -> float:
    return point[1]


def _steer(user: User, job_id: str, change: Callable[[Session, str], bool], told: str, verb: str) -> Job:
    with writing() as session:
        row = find(session, user, job_id)
        if not change(session, job_id):
            raise Conflict(
                f"A job that is {row.status} cannot {verb}." if verb != "cancel" else f"The job is already {row.status}."
            )
        jobs.add_event(session, job_id, told)
        session.refresh(row)
        return present(session, row)
