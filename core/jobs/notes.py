"""What a training leaves beside its state: events, points of the curves,
checkpoints, the best validation loss, sampled answers.

Functions run in the caller's transaction, most often the worker's.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.clock import now
from core.security import new_id
from core.tables import CheckpointRow, JobEventRow, JobRow, MetricPointRow, SampleRow
from core.training.method import AnswerSample


def add_event(
    session: Session,
    job_id: str,
    message: str,
    *,
    level: str = "info",
    data: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> None:
    row = {
        "job_id": job_id,
        "message": message,
        "level": level,
        "data": dict(data or {}),
        "created_at": at or now(),
    }
    session.execute(insert(JobEventRow).values(row))


def add_points(session: Session, job_id: str, points: Sequence[tuple[str, int, float]]) -> None:
    """Write (series, step, value); a step that was trained again overwrites what it said before."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    # PostgreSQL refuses the same key twice in one statement
    last = {(name, step): value for name, step, value in points}
    rows = [
        {"job_id": job_id, "name": name, "step": step, "value": value} for (name, step), value in last.items()
    ]
    for start in range(0, len(rows), 200):
        statement = dialect.insert(MetricPointRow).values(rows[start : start + 200])
        key = [MetricPointRow.job_id, MetricPointRow.name, MetricPointRow.step]
        session.execute(
            statement.on_conflict_do_update(index_elements=key, set_={"value": statement.excluded.value})
        )


def note_checkpoint(
    session: Session,
    job_id: str,
    step: int,
    *,
    size_bytes: int,
    metrics: Mapping[str, float],
    kept: Sequence[int],
) -> None:
    """A checkpoint came to disk, and others went."""
    gone = or_(CheckpointRow.step.not_in(list(kept)), CheckpointRow.step == step)
    session.execute(delete(CheckpointRow).where(CheckpointRow.job_id == job_id, gone))
    session.add(
        CheckpointRow(
            id=new_id("ckpt"), job_id=job_id, step=step, size_bytes=size_bytes, metrics=dict(metrics)
        )
    )


def note_best(session: Session, job_id: str, *, step: int, loss: float) -> None:
    """The lowest validation loss of a job and its step;
    a higher one changes nothing, whichever attempt measured it."""
    lower = or_(JobRow.best_loss.is_(None), JobRow.best_loss > loss)
    change = update(JobRow).where(JobRow.id == job_id, lower).values(best_loss=loss, best_step=step)
    session.execute(change.execution_options(synchronize_session=False))


def note_samples(session: Session, job_id: str, step: int, samples: Sequence[AnswerSample]) -> None:
    """What the model answered at ``step``; a step that is trained again replaces what it said before."""
    session.execute(delete(SampleRow).where(SampleRow.job_id == job_id, SampleRow.step == step))
    for kind in ("fixed", "worst"):
        of_kind = [sample for sample in samples if sample.kind == kind]
        session.add_all(
            SampleRow(
                job_id=job_id,
                step=step,
                kind=kind,
                position=position,
                line=sample.line,
                prompt=sample.prompt,
                expected=sample.expected,
                answer=sample.answer,
                loss=sample.loss if sample.loss is not None and math.isfinite(sample.loss) else None,
            )
            for position, sample in enumerate(of_kind)
        )
