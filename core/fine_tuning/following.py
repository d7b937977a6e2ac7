"""Watching and steering the jobs one owns.

What is stored is what every viewer sees; watching changes nothing.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

from sqlalchemy import String, cast, select
from sqlalchemy.orm import Session

from core import jobs
from core.db import reading, writing
from core.errors import Conflict
from core.fine_tuning.owned import find
from core.fine_tuning.values import (
    Checkpoint,
    Event,
    Job,
    Progress,
    present,
    present_checkpoint,
    present_event,
    present_progress,
)
from core.jobs import notes
from core.listing import Listed, ListQuery, SearchQuery, contains, fetch
from core.people.users import User
from core.tables import CheckpointRow, DatasetRow, JobEventRow, JobRow, ModelRow

Status = Literal["validating", "queued", "running", "paused", "succeeded", "failed", "cancelled"]
RESUMED = {
    "queued": "Resumed. Waiting for a free place.",
    "running": "Resumed before the worker had stopped: it keeps its place.",
}
SORTABLE = {
    "created_at": JobRow.created_at,
    "name": JobRow.name,
    "train_loss": JobRow.train_loss,
    "valid_loss": JobRow.valid_loss,
    "best_loss": JobRow.best_loss,
    "duration": JobRow.spent_seconds,
    "status": JobRow.status,
    "method": JobRow.method,
    "learning_rate": JobRow.resolved["learning_rate"].as_float(),
    "tuning": JobRow.resolved["tuning"].as_string(),
    "n_epochs": JobRow.resolved["n_epochs"].as_float(),
    "batch_size": JobRow.resolved["batch_size"].as_float(),
    "seed": JobRow.seed,
    "tokens_per_second": JobRow.tokens_per_second,
    "base": select(ModelRow.name).where(ModelRow.id == JobRow.base_model_id).scalar_subquery(),
    "dataset": select(DatasetRow.name).where(DatasetRow.id == JobRow.dataset_id).scalar_subquery(),
}


class JobList(SearchQuery):
    """``q`` is looked for in name and notes; ``tag`` is one of a job's tags, whatever its letter case."""

    status: Status | None = None
    base_model_id: str | None = None
    dataset_id: str | None = None
    tag: str | None = None


class EventList(ListQuery):
    """Events come in the order in which they happened."""

    sort: str = "created_at"
    level: Literal["info", "warn", "error"] | None = None


class CheckpointList(ListQuery):
    sort: str = "step"


def list_jobs(user: User, query: JobList | None = None) -> Listed[Job]:
    query = query or JobList()
    statement = select(JobRow).where(JobRow.user_id == user.id, query.found_in(JobRow.name, JobRow.notes))
    for column in ("status", "base_model_id", "dataset_id"):
        if value := getattr(query, column):
            statement = statement.where(getattr(JobRow, column) == value)
    if query.tag:
        statement = statement.where(contains(cast(JobRow.tags, String), json.dumps(query.tag)))
    with reading() as session:
        return fetch(
            session,
            statement,
            query,
            sortable=SORTABLE,
            tie=JobRow.id,
            present=lambda row: present(session, row),
        )


def get(user: User, job_id: str) -> Job:
    with reading() as session:
        return present(session, find(session, user, job_id))


def cancel(user: User, job_id: str) -> Job:
    """End a job that has not ended. Raises NotFound, Conflict."""
    return _steer(user, job_id, jobs.cancel, "cancel", {"cancelled": "Cancelled."})


def pause(user: User, job_id: str) -> Job:
    """Set a queued or running job aside; a running one saves a checkpoint first.

    Raises NotFound, Conflict.
    """
    return _steer(user, job_id, jobs.pause, "pause", {"paused": "Pause."})


def resume(user: User, job_id: str) -> Job:
    """Queue a paused job again; it goes on from its last checkpoint.

    One whose worker has not ended yet runs at once.

    Raises NotFound, Conflict.
    """
    return _steer(user, job_id, jobs.resume, "resume", RESUMED)


def progress(user: User, job_id: str) -> Progress:
    with reading() as session:
        return present_progress(find(session, user, job_id))


def events(user: User, job_id: str, query: EventList | None = None) -> Listed[Event]:
    query = query or EventList()
    with reading() as session:
        find(session, user, job_id)
        statement = select(JobEventRow).where(JobEventRow.job_id == job_id)
        if query.level:
            statement = statement.where(JobEventRow.level == query.level)
        sortable = {"created_at": JobEventRow.created_at}
        return fetch(session, statement, query, sortable=sortable, tie=JobEventRow.id, present=present_event)


def list_checkpoints(user: User, job_id: str, query: CheckpointList | None = None) -> Listed[Checkpoint]:
    query = query or CheckpointList()
    with reading() as session:
        find(session, user, job_id)
        statement = select(CheckpointRow).where(CheckpointRow.job_id == job_id)
        sortable = {"step": CheckpointRow.step, "created_at": CheckpointRow.created_at}
        return fetch(
            session,
            statement,
            query,
            sortable=sortable,
            tie=CheckpointRow.id,
            present=partial(present_checkpoint, session),
        )


def _steer(
    user: User, job_id: str, change: Callable[[Session, str], bool], verb: str, told: Mapping[str, str]
) -> Job:
    """``told``: new status -> the event that says so."""
    with writing() as session:
        row = find(session, user, job_id)
        if not change(session, job_id):
            raise Conflict(
                f"A job that is {row.status} cannot {verb}."
                if verb != "cancel"
                else f"The job is already {row.status}."
            )
        session.refresh(row)
        notes.add_event(session, job_id, told[row.status])
        return present(session, row)
