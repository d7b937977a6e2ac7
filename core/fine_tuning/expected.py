"""How long waiting jobs will run, from how fast jobs on the same base ran.

Cheap: asked with every look at the queue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.tables import JobRow
from core.training.settings import rows_per_step

START_SECONDS = 8.0  # a worker's way to its first step
LOOKED_AT = 200  # jobs that measured a pace


@dataclass(frozen=True)
class Pace:
    """What one row took in a job that ran."""

    base_version_id: str | None
    dataset_version_id: str | None
    seconds_per_row: float


def durations(session: Session, job_ids: Sequence[str]) -> dict[str, float | None]:
    """Seconds that each of these jobs still needs once it has started;
    None where nothing on its base has run yet."""
    rows = session.scalars(select(JobRow).where(JobRow.id.in_(job_ids))).all()
    paces = _paces(session, {row.base_version_id for row in rows if row.base_version_id})
    return {row.id: _duration(row, paces) for row in rows}


def _paces(session: Session, bases: set[str]) -> list[Pace]:
    """Newest first, those that run now before those that ended."""
    measured = select(JobRow).where(
        JobRow.base_version_id.in_(bases),
        JobRow.status.in_(("running", "succeeded")),
        JobRow.tokens_per_second.is_not(None),
    )
    rows = session.scalars(measured.order_by(JobRow.started_at.desc()).limit(LOOKED_AT)).all()
    paces = ((row, _seconds_per_row(row)) for row in rows)
    return [Pace(row.base_version_id, row.dataset_version_id, pace) for row, pace in paces if pace]


def _seconds_per_row(row: JobRow) -> float | None:
    per_step = _rows_per_step(row)
    if not per_step or not row.step or not row.trained_tokens or not row.tokens_per_second:
        return None
    return row.trained_tokens / row.tokens_per_second / (row.step * per_step)


def _duration(row: JobRow, paces: Sequence[Pace]) -> float | None:
    per_step = _rows_per_step(row)
    if not per_step or not row.total_steps:
        return None
    ran = [pace for pace in paces if pace.base_version_id == row.base_version_id]
    alike = [pace for pace in ran if pace.dataset_version_id == row.dataset_version_id]
    pace = next(iter(alike or ran), None)
    return (
        START_SECONDS + pace.seconds_per_row * per_step * max(0, row.total_steps - row.step) if pace else None
    )


def _rows_per_step(row: JobRow) -> int | None:
    settings: dict[str, Any] = row.resolved or {}
    if not isinstance(settings.get("batch_size"), int):
        return None
    accumulation = int(settings.get("gradient_accumulation") or 1)
    return rows_per_step(settings["batch_size"], accumulation, row.num_processes)
