"""How long checkpoints stay: one rule, which people can read before it takes something from them.

While a job runs, ``core.training.checkpoints`` keeps the last two, the best and those somebody keeps. Once it
has ended, all of these stay for ``LUTHIER_CHECKPOINT_DAYS``, and then only the ones somebody keeps. Models
made of them are files of their own.
"""

from datetime import datetime, timedelta

from sqlalchemy import delete, select

from core import storage
from core.config import settings
from core.db import reading, writing
from core.tables import ENDED_STATUSES, CheckpointRow, JobRow
from core.training import checkpoints


def describe_checkpoint_rule() -> str:
    """The rule in words."""
    days = settings().checkpoint_days
    return (
        f"While a job runs, its last {checkpoints.KEEP_LAST} checkpoints, "
        f"the best one and those you keep stay on disk. {'One day' if days == 1 else f'{days} days'} after "
        f"it has ended, only those you keep stay."
    )


def sweep_checkpoints(at: datetime) -> int:
    """Remove what the rule no longer keeps at this moment; returns the number of jobs that lost checkpoints.

    Rows first: a crash in between leaves files, which the next sweep finds because it looks at the folders.
    """
    before = at - timedelta(days=settings().checkpoint_days)
    with reading() as session:
        ended = session.scalars(
            select(JobRow.id).where(JobRow.status.in_(ENDED_STATUSES), JobRow.finished_at < before)
        ).all()
    return sum(_sweep_job(job_id) for job_id in ended if checkpoints.folder(storage.job_dir(job_id)).is_dir())


def _sweep_job(job_id: str) -> bool:
    with writing() as session:
        kept = set(
            session.scalars(
                select(CheckpointRow.step).where(CheckpointRow.job_id == job_id, CheckpointRow.pinned)
            )
        )
        session.execute(
            delete(CheckpointRow).where(CheckpointRow.job_id == job_id, CheckpointRow.pinned.is_(False))
        )
    folder = storage.job_dir(job_id)
    gone = [step for step in checkpoints.steps(folder) if step not in kept]
    for step in gone:
        storage.remove(checkpoints.folder(folder) / f"step-{step}")
    return bool(gone)
