"""What a training leaves beside its points: the best validation loss, sampled answers. In the worker's transaction."""

import math
from collections.abc import Sequence

from sqlalchemy import delete, or_, update
from sqlalchemy.orm import Session

from core.tables import JobRow, SampleRow
from core.training.method import Sample


def note_best(session: Session, job_id: str, *, step: int, loss: float) -> None:
    """The lowest validation loss of a job and its step; a higher one changes nothing, whichever attempt measured it."""
    lower = or_(JobRow.best_loss.is_(None), JobRow.best_loss > loss)
    change = update(JobRow).where(JobRow.id == job_id, lower).values(best_loss=loss, best_step=step)
    session.execute(change.execution_options(synchronize_session=False))


def note_samples(session: Session, job_id: str, step: int, samples: Sequence[Sample]) -> None:
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
