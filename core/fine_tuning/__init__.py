"""Fine-tuning as its owner sees it: plan and start a job, watch it, pause, resume and cancel it.

How a job's state changes is decided in ``core.jobs``, what a training does in ``core.training``; here is who may, and on what.

- ``values``: what services hand out
- ``sources``: the base and the rows of a new job, found and checked
- ``starting``: plan, create, admit
- ``using``: checkpoints to keep, delete, promote
- ``evaluating``: how good a checkpoint or a version is on rows of one's choice
- ``provenance``: what a version of the registry remembers about how it was made
- ``following``: list, get, cancel, pause, resume, progress, events, metrics, checkpoints, log
"""

from core.fine_tuning.evaluating import NewEvaluation, evaluate_checkpoint, evaluate_version
from core.fine_tuning.following import (
    CheckpointList,
    EventList,
    JobList,
    cancel,
    checkpoints,
    events,
    get,
    list_jobs,
    log_path,
    log_tail,
    metrics,
    pause,
    progress,
    resume,
)
from core.fine_tuning.starting import NewJob, Plan, admit, create, plan
from core.fine_tuning.using import (
    Promotion,
    delete_checkpoint,
    get_checkpoint,
    pin_checkpoint,
    promote_checkpoint,
    unpin_checkpoint,
)
from core.fine_tuning.values import ACTIVE, Checkpoint, Event, Job, Metrics, Progress

__all__ = [
    "ACTIVE",
    "Checkpoint",
    "CheckpointList",
    "Event",
    "EventList",
    "Job",
    "JobList",
    "Metrics",
    "NewEvaluation",
    "NewJob",
    "Plan",
    "Progress",
    "Promotion",
    "admit",
    "cancel",
    "checkpoints",
    "create",
    "delete_checkpoint",
    "evaluate_checkpoint",
    "evaluate_version",
    "events",
    "get",
    "get_checkpoint",
    "list_jobs",
    "log_path",
    "log_tail",
    "metrics",
    "pause",
    "pin_checkpoint",
    "plan",
    "progress",
    "promote_checkpoint",
    "resume",
    "unpin_checkpoint",
]
