"""What the fine-tuning service hands out, and how rows become it. Runs in the caller's session."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.clock import now
from core.models.evaluations import metrics_of
from core.tables import ACTIVE_STATUSES, CheckpointRow, DatasetVersionRow, JobEventRow, JobRow

ACTIVE = ACTIVE_STATUSES


@dataclass(frozen=True)
class Job:
    """One fine-tuning. Losses are means in nats over the tokens that are learned (pairs for preferences)."""

    id: str
    user_id: str
    name: str
    suffix: str | None  # of the name of the model it makes
    base_model_id: str | None  # None since the model was deleted; so with every id here that may be None
    base_version_id: str | None
    dataset_id: str | None
    dataset_version_id: str | None
    validation_dataset_id: str | None
    validation_version_id: str | None
    validation_fraction: float  # share of the rows kept back for validation, 0 to 0.5
    columns: dict[str, Any] | None  # how columns of a plain table become examples; None: the rows say it
    method: str  # a name in core.training.methods
    runner: str  # a name in core.runners
    num_processes: int  # training side by side, one to a device
    group_id: str | None  # the sweep it belongs to
    copied_from: str | None  # the job it repeats or varies
    sample_prompts: list[str]  # answered again and again while it trains
    priority: int  # -1 low, 0 normal, 1 high
    position: float | None  # place among its owner's waiting jobs, lowest first; None: by age
    notes: str
    tags: list[str]
    hyperparameters: dict[str, Any]  # those that were asked for, as run
    asked: dict[str, Any]  # as given, "auto" kept
    resolved: dict[str, Any]  # all, as run
    seed: int
    status: str  # one of core.tables.JOB_STATUSES
    error: dict[str, Any] | None  # code, message and, if a setting is to blame, param
    attempts: int  # times a worker was started for it
    progress: float  # share of the steps, 0 to 1
    step: int  # optimizer steps done
    total_steps: int  # 0 until they are known
    epoch: float  # passes over the rows, with the part of the one under way
    train_loss: float | None  # of the last step
    valid_loss: float | None  # of the last validation
    learning_rate: float | None  # of the last step
    tokens_per_second: float | None  # since the worker's last heartbeat
    memory_bytes: int | None  # the worker's resident set, when last looked at
    gpu_memory_bytes: int | None  # in use on its devices, when last looked at
    gpu_utilisation: float | None  # share of its devices, 0 to 1
    best_loss: float | None  # lowest validation loss
    best_step: int | None  # when that was
    eta_seconds: float | None  # until it ends, as far as its pace tells; None unless it runs
    trained_tokens: int | None  # over all epochs; None until it has succeeded
    spent_seconds: float  # at work, all attempts together
    hardware: dict[str, Any]  # what it ran on; empty before
    model_id: str | None  # what came of it
    model_version_id: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    stepped_at: datetime | None  # when the last step was heard of
    updated_at: datetime

    @property
    def elapsed_seconds(self) -> float | None:
        """At work so far; waiting and pauses do not count. None before a worker has begun.

        A job that has told nothing yet, or ran before that was counted, is measured by its start and end.
        """
        if self.spent_seconds or self.started_at is None:
            return self.spent_seconds or None
        end = self.finished_at or (now() if self.status == "running" else None)
        return (end - self.started_at).total_seconds() if end else None


@dataclass(frozen=True)
class Progress:
    """Where a job stands: the fields of ``Job`` that change while it runs. ``progress`` never decreases."""

    status: str
    progress: float
    step: int
    total_steps: int
    epoch: float
    train_loss: float | None
    valid_loss: float | None
    learning_rate: float | None
    tokens_per_second: float | None
    memory_bytes: int | None
    trained_tokens: int  # so far
    eta_seconds: float | None
    updated_at: datetime


@dataclass(frozen=True)
class Event:
    """Something worth reading about a job."""

    id: str
    level: str  # info, warn or error
    message: str
    data: dict[str, Any]  # the numbers and names in the message
    created_at: datetime


@dataclass(frozen=True)
class Metrics:
    series: dict[str, list[tuple[int, float]]]  # name -> points of (step, value), steps ascending


@dataclass(frozen=True)
class Checkpoint:
    """Weights and state of a job at one step, from which it can go on or become a model."""

    id: str
    step: int
    metrics: dict[str, Any]  # name -> value, at that step; with ``evaluation`` once it was measured
    size_bytes: int  # on disk
    pinned: bool  # kept when room is made
    model_version_id: str | None  # what it became in the registry
    created_at: datetime


def present(session: Session, row: JobRow) -> Job:
    return Job(
        **{name: getattr(row, name) for name in Job.__dataclass_fields__ if name not in _MADE},
        validation_dataset_id=_dataset_of(session, row.validation_version_id),
        hyperparameters=row.hyperparameters
        | {name: row.resolved[name] for name in row.hyperparameters if name in row.resolved},
        asked=row.hyperparameters,
        trained_tokens=row.trained_tokens if row.status == "succeeded" else None,
    )


def present_progress(row: JobRow) -> Progress:
    return Progress(**{name: getattr(row, name) for name in Progress.__dataclass_fields__})


def present_event(row: JobEventRow) -> Event:
    return Event(f"evt_{row.id}", row.level, row.message, row.data, row.created_at)


def present_checkpoint(session: Session, row: CheckpointRow) -> Checkpoint:
    return Checkpoint(
        **{name: getattr(row, name) for name in Checkpoint.__dataclass_fields__}
        | {"metrics": metrics_of(session, row)}
    )


_MADE = ("validation_dataset_id", "hyperparameters", "asked", "trained_tokens")


def _dataset_of(session: Session, version_id: str | None) -> str | None:
    if version_id is None:
        return None
    return session.scalar(select(DatasetVersionRow.dataset_id).where(DatasetVersionRow.id == version_id))
