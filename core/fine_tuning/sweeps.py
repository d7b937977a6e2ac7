"""A sweep: jobs that differ in a few settings, started together, compared in one table.

All its jobs learn from the same version of the data and the same base with the same seed (unless the seed
varies), so what differs in the end comes from the settings. They wait in the queue like any others. A sweep
has no state of its own: it is what its jobs are.
"""

import random
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pydantic
from pydantic import Field
from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core import jobs, storage
from core.db import reading, writing
from core.errors import Conflict, InUse, NotFound, ValidationError
from core.fields import details_of
from core.fine_tuning import starting, sweep_space
from core.fine_tuning.starting import NewJob
from core.fine_tuning.sweep_space import MAX_JOBS, SEED, Range, Search, Values
from core.jobs import notes
from core.listing import Listed, SearchQuery, fetch
from core.people.users import User
from core.security import new_id
from core.tables import ACTIVE_STATUSES, JobGroupRow, JobRow
from core.training import Hyperparameters

__all__ = ["MAX_JOBS", "NewSweep", "Range", "Search", "Sweep", "SweepList", "Trial"]
SORTS = ("created_at", "name", "status", "train_loss", "valid_loss", "seconds")


class NewSweep(Search):
    """A job, and what to vary in it."""

    job: NewJob
    name: str | None = Field(None, min_length=1, max_length=100, title="Name of the sweep")
    idempotency_key: str | None = Field(None, max_length=200)


@dataclass(frozen=True)
class Trial:
    """One job of a sweep. ``values``: what differs; ``valid_loss``: the lowest measured, or the last one."""

    job_id: str
    name: str
    status: str
    values: dict[str, Any]
    step: int
    total_steps: int
    progress: float
    train_loss: float | None
    valid_loss: float | None
    seconds: float | None
    model_id: str | None
    error: str | None
    created_at: datetime
    best: bool = False


@dataclass(frozen=True)
class Sweep:
    """``statuses`` counts its jobs by state, ``progress`` is their mean.

    ``measure`` is what ``best_job_id`` is lowest in.
    """

    id: str
    name: str
    kind: str
    space: dict[str, Any]
    settings: list[str]
    num_jobs: int
    statuses: dict[str, int]
    active: bool
    progress: float
    measure: str
    best_job_id: str | None
    trials: list[Trial]
    created_at: datetime


class SweepList(SearchQuery):
    pass


def draw(new: NewSweep) -> list[Values]:
    """What each job would differ in, without starting any. Raises ValidationError."""
    combinations = sweep_space.draw(new)
    for values in combinations:
        _vary(new.job, values)
    return combinations


def create(user: User, new: NewSweep) -> Sweep:
    """Start all jobs, or none.

    The same key never starts two sweeps. Raises what ``fine_tuning.create`` raises.
    """
    keys = [
        starting.key_of(user, f"sweep {n} {new.idempotency_key}") if new.idempotency_key else None
        for n in range(MAX_JOBS)
    ]
    if keys[0] and (existing := _find_by_key(user, keys[0])):
        return existing
    drawn = draw(new)
    shared = new.job.model_copy(update={"idempotency_key": None})
    if shared.seed is None:
        shared = shared.model_copy(update={"seed": random.SystemRandom().randrange(2**31)})
    job_sources = starting.find_sources(user, shared)
    base_name = shared.name or starting.default_name(job_sources, shared.suffix)
    try:
        with writing() as session:
            group = JobGroupRow(
                id=new_id("swp"),
                user_id=user.id,
                name=new.name or base_name,
                kind=new.kind,
                space={
                    name: choices.model_dump() if isinstance(choices, Range) else choices
                    for name, choices in new.space.items()
                },
            )
            session.add(group)
            session.flush()
            for values, key in zip(drawn, keys, strict=False):
                job = _vary(shared, values, name=sweep_space.name_of(base_name, values))
                starting.insert(session, user, job, job_sources, key=key, group_id=group.id)
            return _present(session, group)
    except IntegrityError as error:
        if keys[0] and (existing := _find_by_key(user, keys[0])):
            return existing
        raise NotFound(starting.GONE) from error


def get(user: User, sweep_id: str, *, sort: str = "created_at") -> Sweep:
    """``sort`` orders the jobs: a field of theirs, ``-``
    in front means descending; nothing measured comes last."""
    with reading() as session:
        sweep = _present(session, _find(session, user, sweep_id))
    return replace(sweep, trials=_sorted(sweep.trials, sort))


def list_sweeps(user: User, query: SweepList | None = None) -> Listed[Sweep]:
    """Without their jobs."""
    query = query or SweepList()
    statement = select(JobGroupRow).where(JobGroupRow.user_id == user.id, query.found_in(JobGroupRow.name))
    sortable = {"created_at": JobGroupRow.created_at, "name": JobGroupRow.name}
    with reading() as session:
        return fetch(
            session,
            statement,
            query,
            sortable=sortable,
            tie=JobGroupRow.id,
            present=lambda row: replace(_present(session, row), trials=[]),
        )


def cancel(user: User, sweep_id: str) -> Sweep:
    """End all its jobs that have not ended. Raises NotFound, Conflict when all have."""
    with writing() as session:
        group = _find(session, user, sweep_id)
        active = session.scalars(_jobs_of(sweep_id).where(JobRow.status.in_(ACTIVE_STATUSES))).all()
        cancelled = [row.id for row in active if jobs.cancel(session, row.id)]
        if not cancelled:
            raise Conflict("All jobs of this sweep have ended already.")
        for job_id in cancelled:
            notes.add_event(session, job_id, "Cancelled with its sweep.")
        session.expire_all()
        return _present(session, group)


def delete(user: User, sweep_id: str) -> None:
    """Remove a sweep with its jobs; models that they made stay.

    Raises NotFound, InUse while a job has not ended.
    """
    with writing() as session:
        _find(session, user, sweep_id)
        job_ids = [row.id for row in session.scalars(_jobs_of(sweep_id))]
        if not all(jobs.remove(session, job_id) for job_id in job_ids):
            raise InUse(
                "Jobs of this sweep have not ended. Cancel the sweep first; workers need a moment to stop."
            )
        session.execute(sql_delete(JobGroupRow).where(JobGroupRow.id == sweep_id))
    for job_id in job_ids:
        storage.remove(storage.job_dir(job_id))


def _vary(job: NewJob, values: Values, *, name: str | None = None) -> NewJob:
    """Raises ValidationError when the settings do not go together."""
    settings = {key: value for key, value in values.items() if key != SEED}
    try:
        hyperparameters = Hyperparameters.model_validate(job.hyperparameters.model_dump() | settings)
    except pydantic.ValidationError as error:
        raise ValidationError(
            details=details_of(error.errors(include_url=False, include_input=False))
        ) from error
    changes = {
        "hyperparameters": hyperparameters,
        "seed": values.get(SEED, job.seed),
        "name": name or job.name,
    }
    return job.model_copy(update=changes)


def _find(session: Session, user: User, sweep_id: str) -> JobGroupRow:
    row = session.scalar(
        select(JobGroupRow).where(JobGroupRow.id == sweep_id, JobGroupRow.user_id == user.id)
    )
    if row is None:
        raise NotFound
    return row


def _find_by_key(user: User, key: str) -> Sweep | None:
    first = starting.find_by_key(key)
    return get(user, first.group_id) if first and first.group_id else None


def _jobs_of(sweep_id: str) -> Any:
    return select(JobRow).where(JobRow.group_id == sweep_id).order_by(JobRow.created_at, JobRow.id)


def _present(session: Session, group: JobGroupRow) -> Sweep:
    rows = session.scalars(_jobs_of(group.id)).all()
    trials = [_trial(row, list(group.space)) for row in rows]
    measure = "valid_loss" if any(trial.valid_loss is not None for trial in trials) else "train_loss"
    measured = [
        (getattr(trial, measure), trial.job_id) for trial in trials if getattr(trial, measure) is not None
    ]
    best = min(measured)[1] if measured else None
    return Sweep(
        id=group.id,
        name=group.name,
        kind=group.kind,
        space=group.space,
        settings=list(group.space),
        num_jobs=len(trials),
        statuses=dict(Counter(trial.status for trial in trials)),
        active=any(trial.status in ACTIVE_STATUSES for trial in trials),
        progress=sum(1.0 if t.status not in ACTIVE_STATUSES else t.progress for t in trials) / len(trials)
        if trials
        else 1.0,
        measure=measure,
        best_job_id=best,
        trials=[replace(trial, best=trial.job_id == best) for trial in trials],
        created_at=group.created_at,
    )


def _trial(row: JobRow, settings: list[str]) -> Trial:
    as_run = row.hyperparameters | {SEED: row.seed}
    took = (row.finished_at - row.started_at).total_seconds() if row.started_at and row.finished_at else None
    return Trial(
        job_id=row.id,
        name=row.name,
        status=row.status,
        values={name: as_run.get(name) for name in settings},
        step=row.step,
        total_steps=row.total_steps,
        progress=row.progress,
        train_loss=row.train_loss,
        valid_loss=row.best_loss if row.best_loss is not None else row.valid_loss,
        seconds=took,
        model_id=row.model_id,
        error=row.error.get("message") if row.error and row.status == "failed" else None,
        created_at=row.created_at,
    )


def _sorted(trials: list[Trial], sort: str) -> list[Trial]:
    descending, name = sort.startswith("-"), sort.removeprefix("-")
    settings = set(trials[0].values) if trials else set()
    if name not in SORTS and name not in settings:
        raise ValidationError.of(
            "sort", f"must be one of {', '.join([*SORTS, *sorted(settings)])}, with - in front for descending"
        )

    def value(trial: Trial) -> Any:
        return trial.values[name] if name in trial.values else getattr(trial, name)

    known = sorted(
        (t for t in trials if value(t) is not None), key=lambda t: _comparable(value(t)), reverse=descending
    )
    return known + [trial for trial in trials if value(trial) is None]


def _comparable(value: Any) -> tuple[int, Any]:
    """Numbers before words: a setting may hold both (``auto`` and 8)."""
    return (1, value) if isinstance(value, str) else (0, value)
