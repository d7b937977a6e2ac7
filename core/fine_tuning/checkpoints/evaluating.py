"""How good a checkpoint or a model version is on a version
of a dataset: asked for here, computed by ``evaluator``.

Without a dataset version the rows count that the job kept for validation, the very same. The result stands
beside the other metrics as ``evaluation``; a later one takes its place. Which of them run is the business of
``evaluations``.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import datasets, models, storage
from core.db import reading, writing
from core.errors import Conflict, NotFound
from core.fields import Input
from core.fine_tuning import sources
from core.fine_tuning.checkpoints.evaluations import QUEUE
from core.fine_tuning.values import Checkpoint, present_checkpoint
from core.models import ModelVersion
from core.models.evaluations import Measured
from core.models.values import present_version
from core.people.users import User
from core.security import new_id
from core.tables import CheckpointRow, EvaluationRow, JobRow, ModelRow, ModelVersionRow
from core.training import METHODS

OPEN = ("waiting", "running")
Row = TypeVar("Row", CheckpointRow, ModelVersionRow)
Told = TypeVar("Told")


class NewEvaluation(Input):
    """``dataset_version_id``: what to measure on. Left out: the rows that the job kept for validation."""

    dataset_version_id: str | None = Field(None, max_length=64, title="Dataset version")


def evaluate_checkpoint(user: User, job_id: str, step: int, new: NewEvaluation | None = None) -> Checkpoint:
    """Begin to measure; returns at once.

    Raises NotFound, Conflict (no rows to measure on, files gone).
    """
    with reading() as session:
        mine = select(JobRow, CheckpointRow).join(CheckpointRow, CheckpointRow.job_id == JobRow.id)
        pair = session.execute(
            mine.where(JobRow.id == job_id, JobRow.user_id == user.id, CheckpointRow.step == step)
        ).first()
    if pair is None:
        raise NotFound
    job, row = pair
    models.location(row.id)
    asked = _ask(user, job, method=job.method, version_id=(new or NewEvaluation()).dataset_version_id)
    return _request(row, asked, present_checkpoint)


def evaluate_version(user: User, model_id: str, number: int, new: NewEvaluation) -> ModelVersion:
    """The same for a version of a model. Results of shared bases are not stored, so those are refused."""
    with reading() as session:
        mine = select(ModelVersionRow).join(ModelRow, ModelRow.id == ModelVersionRow.model_id)
        row = session.scalar(
            mine.where(
                ModelRow.id == model_id, ModelRow.owner_id == user.id, ModelVersionRow.version == number
            )
        )
        job = session.get(JobRow, row.finetune_job_id) if row and row.finetune_job_id else None
    if row is None:
        raise NotFound
    method = str(row.settings.get("method") or "supervised")
    asked = _ask(user, job, method=method, version_id=new.dataset_version_id)
    return _request(row, asked, present_version)


def _request(seen: Row, asked: dict[str, Any], present: Callable[[Session, Row], Told]) -> Told:
    """Have it measured, and what was seen as it is now.

    Raises NotFound when it was deleted meanwhile.
    """
    with writing() as session:
        row = session.get(type(seen), seen.id)
        if row is None:
            raise NotFound
        _insert(session, row, asked)
        presented = present(session, row)
    QUEUE.wake()
    return presented


def _insert(session: Session, row: Measured, asked: dict[str, Any]) -> None:
    """One that waits or runs stays as it is; one that failed is replaced."""
    if row.evaluation is not None:
        if row.evaluation.status in OPEN:
            return
        session.delete(row.evaluation)
        session.flush()
    of = "checkpoint_id" if isinstance(row, CheckpointRow) else "model_version_id"
    session.add(EvaluationRow(id=new_id("eval"), asked=asked, **{of: row.id}))
    session.flush()
    session.refresh(row, ["evaluation"])


def _ask(user: User, job: JobRow | None, *, method: str, version_id: str | None) -> dict[str, Any]:
    """What the process will read.

    Raises NotFound, Conflict, ValidationError as a new job on these rows would.
    """
    kept = job is not None and version_id in (None, job.dataset_version_id) and job.validation_fraction > 0
    chosen = version_id or (job and (job.dataset_version_id if kept else job.validation_version_id))
    if not chosen:
        raise Conflict("This job kept no rows for validation. Choose a version of a dataset to measure on.")
    version = datasets.get_version(user, chosen)
    is_own = job is not None and version.id == job.dataset_version_id
    columns = job.columns if job and (is_own or version.format == "table") else None
    rows = sources.find_rows(
        user, version.dataset_id, version_id=chosen, mapping=columns, method=METHODS[method]
    )
    sources.require_sound(rows)
    storage.require_space()
    return {
        "method": method,
        "dataset_version_id": chosen,
        "dataset": f"{rows.name} v{version.version}",
        "columns": columns,
        "rows": "held out" if kept else "all",
    }
