"""When a training that still reports is treated as stuck:
its worker's heartbeat goes on, but no step comes.

The rule follows the pace of the run itself. A step may take 20 times as long as they usually do, a
measurement on the validation rows happens between two steps, and ``LUTHIER_TRAINING_STALL_SECONDS`` is always
allowed. Before the first step of an attempt (the model is loaded, the rows are read) and behind the last one
(the model is saved) nothing is known of the pace, so that may take ``WITHOUT_PACE`` times the setting.
"""

from datetime import UTC, datetime

from core.config import settings
from core.tables import JobRow

STEPS = 20.0
WITHOUT_PACE = 12.0


def is_stalled(job: JobRow, at: datetime, *, validation_share: float) -> bool:
    """Whether a running job has been silent for too long.

    ``validation_share``: validation rows per training row.
    """
    last = last_sign(job)
    return last is not None and (at - last).total_seconds() > patience(job, validation_share=validation_share)


def last_sign(job: JobRow) -> datetime | None:
    """When this attempt last made progress: its last step, or the start of its worker.

    None before it has one.
    """
    if job.worker_started is None:
        return None
    began = datetime.fromtimestamp(job.worker_started, UTC)
    return max(began, job.stepped_at) if job.stepped_at else began


def patience(job: JobRow, *, validation_share: float) -> float:
    """Seconds without a step that are no reason to worry."""
    allowed = float(settings().training_stall_seconds)
    left = job.total_steps - job.step
    has_stepped = job.stepped_at is not None and last_sign(job) == job.stepped_at
    if not has_stepped or left <= 0:
        return WITHOUT_PACE * allowed
    step = (job.eta_seconds or 0.0) / left
    epochs = max(1, int(job.resolved.get("n_epochs") or 1))
    return max(allowed, STEPS * step, 2 * validation_share * step * job.total_steps / epochs)
