"""Checkpoints as something to use: keep, delete, promote.

Chatting with one needs nothing of this, ``core.models`` calls it.

While a job is active it owns two checkpoints: the newest, from which it goes on, and, where the best is to
become the model, the best one so far. These cannot be deleted. To *keep* one takes it out of the sweep. To
*promote* one makes it a version in the registry, once: the files get a second name there, so the checkpoint
may go afterwards.
"""

import shutil
from pathlib import Path

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import models, storage
from core.db import reading, writing
from core.errors import Conflict, NotFound
from core.fields import Input
from core.fine_tuning import provenance
from core.fine_tuning.values import ACTIVE, Checkpoint, present_checkpoint
from core.jobs import notes
from core.models import Publication, Published
from core.people.users import User
from core.tables import CheckpointRow, JobRow, ModelVersionRow
from core.training import checkpoints


class Promotion(Input):
    """``name``: of the model that gets a new version. Left out: a model of its own, ``NAME-step-N``, so that
    no name that programs call answers otherwise than before."""

    name: str | None = Field(None, min_length=1, max_length=100, title="Name of the model", pattern=r"\S")


class _Known(Exception):
    """Somebody else has promoted it meanwhile."""


def get_checkpoint(user: User, job_id: str, step: int) -> Checkpoint:
    with reading() as session:
        return present_checkpoint(session, _find(session, user, job_id, step)[1])


def pin_checkpoint(user: User, job_id: str, step: int) -> Checkpoint:
    """Keep it until somebody says otherwise. Raises NotFound, Conflict when its files are gone."""
    with writing() as session:
        _, row = _find(session, user, job_id, step)
        _require_files(job_id, step)
        row.pinned = True
        session.flush()
        return present_checkpoint(session, row)


def unpin_checkpoint(user: User, job_id: str, step: int) -> Checkpoint:
    """Leave it to the sweep again."""
    with writing() as session:
        _, row = _find(session, user, job_id, step)
        row.pinned = False
        session.flush()
        return present_checkpoint(session, row)


def delete_checkpoint(user: User, job_id: str, step: int) -> None:
    """Raises NotFound, Conflict when the job needs it. A version that it became in the registry stays."""
    with writing() as session:
        job, row = _find(session, user, job_id, step)
        if reason := why_needed(session, job, step):
            raise Conflict(reason)
        session.delete(row)
        notes.add_event(session, job_id, f"The checkpoint of step {step} was deleted.", data={"step": step})
    storage.remove(checkpoints.folder(storage.job_dir(job_id)) / f"step-{step}")


def promote_checkpoint(user: User, job_id: str, step: int, promotion: Promotion | None = None) -> Published:
    """Make it a version in the registry, or name the version that it is already.

    Raises NotFound, Conflict, DiskFull.
    """
    with reading() as session:
        job, row = _find(session, user, job_id, step)
        name = (promotion or Promotion()).name
        if known := _version_of(session, job, row, named=name is not None):
            return known
        _require_files(job_id, step)
        new = _publication(session, job, row, name=name)

    def note(session: Session, made: Published) -> None:
        checkpoint = session.get(CheckpointRow, row.id)
        if checkpoint is None or _version_of(
            session, session.get_one(JobRow, job_id), checkpoint, named=name is not None
        ):
            raise _Known
        checkpoint.model_version_id = made.version_id
        message = f"The checkpoint of step {step} was promoted."
        notes.add_event(session, job_id, message, data={"step": step, "model_id": made.model_id})

    draft = _second_names(job_id, step)
    try:
        return models.publish(new, draft=draft, then=note)
    except _Known:
        return promote_checkpoint(user, job_id, step)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def why_needed(session: Session, job: JobRow, step: int) -> str | None:
    """Why an active job cannot do without a checkpoint; None when it can."""
    if job.status not in ACTIVE:
        return None
    rows = session.scalars(select(CheckpointRow).where(CheckpointRow.job_id == job.id)).all()
    if step == max(row.step for row in rows):
        return (
            f"The job goes on from the checkpoint of step {step}. Delete it when the job has ended, "
            f"or cancel the job first."
        )
    measured = {
        row.step: row.metrics["valid_loss"] for row in rows if row.metrics.get("valid_loss") is not None
    }
    keeps_best = "best" in (job.resolved.get("keep"), job.hyperparameters.get("keep"))
    if keeps_best and measured and step == min(measured, key=lambda each: (measured[each], each)):
        return (
            f"The checkpoint of step {step} is the best so far and may become the model. "
            f"Delete it when the job has ended."
        )
    return None


def _find(session: Session, user: User, job_id: str, step: int) -> tuple[JobRow, CheckpointRow]:
    mine = select(JobRow, CheckpointRow).join(CheckpointRow, CheckpointRow.job_id == JobRow.id)
    pair = session.execute(
        mine.where(JobRow.id == job_id, JobRow.user_id == user.id, CheckpointRow.step == step)
    ).first()
    if pair is None:
        raise NotFound
    return pair[0], pair[1]


def _require_files(job_id: str, step: int) -> None:
    if not storage.checkpoint_model_dir(job_id, step).is_dir():
        raise Conflict(f"The files of the checkpoint of step {step} are gone. Choose another one.")


def _version_of(session: Session, job: JobRow, row: CheckpointRow, *, named: bool) -> Published | None:
    """The version that a checkpoint is already: promoted before or,
    where no name is asked for, what the job published."""
    version = session.get(ModelVersionRow, row.model_version_id) if row.model_version_id else None
    if version is None and job.model_version_id and not named:
        version = session.get(ModelVersionRow, job.model_version_id)
        version = version if version and version.settings.get("checkpoint_step") == row.step else None
    return Published(version.model_id, version.id) if version else None


def _publication(session: Session, job: JobRow, row: CheckpointRow, *, name: str | None) -> Publication:
    folder = storage.checkpoint_model_dir(job.id, row.step)
    tail = f"-step-{row.step}"
    seconds = float(row.metrics.get("seconds") or job.spent_seconds)
    return Publication(
        user_id=job.user_id,
        name=name or job.name[: 100 - len(tail)] + tail,
        kind="adapter" if (folder / "adapter_config.json").is_file() else "full",
        base_version_id=str(job.base_version_id),
        job_id=job.id,
        dataset_version_id=job.dataset_version_id,
        metrics={**row.metrics, "step": row.step, "steps": job.total_steps},
        settings=provenance.describe(session, job, model=folder, step=row.step, seconds=seconds),
        is_promotion=True,
    )


def _second_names(job_id: str, step: int) -> Path:
    """A folder with the checkpoint's model in it, for publishing to move away.

    Raises Conflict when it is swept meanwhile.
    """
    draft, folder = storage.new_staging_path(), storage.checkpoint_model_dir(job_id, step)
    draft.mkdir()
    try:
        for file in folder.iterdir():
            storage.link(file, draft / file.name)
    except FileNotFoundError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise Conflict(
            f"The checkpoint of step {step} was just removed. Choose another one; keep those you still need."
        ) from error
    return draft
