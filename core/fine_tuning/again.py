"""A job once more exactly, and a job no more.

A rerun takes everything from the stored job: the version of the base and of the data, the seed, the settings
as asked, and the number of threads it ran with, because sums over another number differ in their last digits.
(On several threads they were seen to differ from run to run too.) Nobody names a version here, so nothing can
be reached that the first run could not; what has been deleted or taken away since is a Conflict.
"""

from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core import jobs, storage
from core.db import reading, writing
from core.errors import Conflict, InUse
from core.fine_tuning.owned import find
from core.fine_tuning.queue import require_devices
from core.fine_tuning.starting import find_by_key, key_of
from core.fine_tuning.values import Job, present
from core.jobs import notes
from core.people.users import User
from core.runners import RUNNERS
from core.security import new_id
from core.tables import ENDED_STATUSES, DatasetRow, DatasetVersionRow, JobRow, ModelRow, ModelVersionRow

SAME = (
    "name", "suffix", "base_model_id", "base_version_id", "dataset_id", "dataset_version_id",
    "validation_version_id", "validation_fraction", "columns", "method", "runner", "num_processes",
    "sample_prompts", "priority", "notes", "tags", "hyperparameters", "seed", "group_id",
)  # fmt: skip


def rerun(user: User, job_id: str, *, idempotency_key: str | None = None) -> Job:
    """Start the job again as a new one: same data, base, seed and settings. The same key never starts two.

    Raises NotFound, Conflict (the base or the data is gone), ValidationError (more devices than there are),
    DiskFull.
    """
    key = key_of(user, idempotency_key)
    if key and (existing := find_by_key(key)):
        return existing
    storage.require_space()
    with reading() as session:
        earlier = find(session, user, job_id)
    require_devices(earlier.num_processes, runner=earlier.runner)
    if problem := RUNNERS[earlier.runner].problem():
        raise Conflict(problem)
    try:
        with writing() as session:
            earlier = find(session, user, job_id)
            _require_sources(session, user, earlier)
            same: dict[str, Any] = {name: getattr(earlier, name) for name in SAME}
            as_run = {name: value for name, value in earlier.resolved.items() if name == "threads"}
            row = JobRow(
                id=new_id("ftj"),
                user_id=user.id,
                copied_from=job_id,
                idempotency_key=key,
                resolved=as_run,
                **same,
            )
            session.add(row)
            session.flush()
            notes.add_event(session, row.id, f"Created: {earlier.name} once more, with everything as it was.")
            session.refresh(row)
            return present(session, row)
    except IntegrityError:
        if key and (existing := find_by_key(key)):
            return existing
        raise


def delete(user: User, job_id: str) -> None:
    """Remove a job that has ended, with its curves, checkpoints and log.

    The model that it made stays. Raises NotFound, InUse.
    """
    with writing() as session:
        row = find(session, user, job_id)
        if row.status not in ENDED_STATUSES:
            raise InUse(f"The job is {row.status}. Cancel it first, or wait until it has ended.")
        if not jobs.remove(session, job_id):
            raise InUse("The job's worker is just ending. Try again in a moment.")
    storage.remove(storage.job_dir(job_id))


def _require_sources(session: Session, user: User, job: JobRow) -> None:
    """Raises Conflict when what the job learned from is not there any more, or not the user's to use."""
    model = session.get(ModelRow, job.base_model_id) if job.base_model_id else None
    base = session.get(ModelVersionRow, job.base_version_id) if job.base_version_id else None
    if model is None or base is None or not model.is_visible_to(user.id):
        raise Conflict("The base model of this job is gone. Start a new job from another base.")
    _require_data(session, user, job.dataset_version_id, "data")
    had_validation = job.validation_version_id or (job.valid_loss is not None and not job.validation_fraction)
    if had_validation:
        _require_data(session, user, job.validation_version_id, "validation data")


def _require_data(session: Session, user: User, version_id: str | None, what: str) -> None:
    own = select(DatasetVersionRow).join(DatasetRow, DatasetRow.id == DatasetVersionRow.dataset_id)
    row = session.scalar(own.where(DatasetVersionRow.id == version_id, DatasetRow.owner_id == user.id))
    if row is None:
        raise Conflict(f"The {what} of this job was deleted. Start a new job on another dataset.")
    if row.removed_at:
        raise Conflict(
            f"The files of the {what} of this job were removed. Start a new job on another version."
        )
