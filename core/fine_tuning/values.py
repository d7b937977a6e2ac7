"""What the fine-tuning service hands out, and how rows become it. Runs in the caller's session."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.models.evaluations import metrics_of
from core.tables import ACTIVE_STATUSES, CheckpointRow, DatasetVersionRow, JobEventRow, JobRow

ACTIVE = ACTIVE_STATUSES


@dataclass(frozen=True)
class Job:
    """One fine-tuning.

    ``asked``: hyperparameters as given; ``resolved``: as run; ``hyperparameters``: those asked, as run.
    """

    id: str
    user_id: str
    name: str
    suffix: str | None
    base_model_id: str | None
    base_version_id: str | None
    dataset_id: str | None
    dataset_version_id: str | None
    validation_dataset_id: str | None
    validation_version_id: str | None
    validation_fraction: float
    columns: dict[str, Any] | None
    method: str
    runner: str
    num_processes: int
    group_id: str | None
    copied_from: str | None
    sample_prompts: list[str]
    priority: int
    position: float | None
    notes: str
    tags: list[str]
    hyperparameters: dict[str, Any]
    asked: dict[str, Any]
    resolved: dict[str, Any]
    seed: int
    status: str
    error: dict[str, Any] | None
    attempts: int
    progress: float
    step: int
    total_steps: int
    epoch: float
    train_loss: float | None
    valid_loss: float | None
    learning_rate: float | None
    tokens_per_second: float | None
    memory_bytes: int | None
    gpu_memory_bytes: int | None
    gpu_utilisation: float | None
    best_loss: float | None
    best_step: int | None
    eta_seconds: float | None
    trained_tokens: int | None
    spent_seconds: float
    hardware: dict[str, Any]
    model_id: str | None
    model_version_id: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    stepped_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True)
class Progress:
    """Where a job stands.

    ``progress`` is a share of 1 and never decreases; ``eta_seconds`` is known while it runs.
    """

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
    trained_tokens: int
    eta_seconds: float | None
    updated_at: datetime


@dataclass(frozen=True)
class Event:
    """Something worth reading about a job. ``level`` is info, warn or error."""

    id: str
    level: str
    message: str
    data: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True)
class Metrics:
    """``series``: name -> points of (step, value), steps ascending."""

    series: dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class Checkpoint:
    id: str
    step: int
    metrics: dict[str, Any]
    size_bytes: int
    pinned: bool
    model_version_id: str | None
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
