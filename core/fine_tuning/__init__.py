"""Fine-tuning as its owner sees it: plan and start a job, watch it, pause, resume and cancel it.

How a job's state changes is decided in ``core.jobs``, what a training does in ``core.training``; here is who may, and on what.

- ``values``: what services hand out
- ``sources``: the base and the rows of a new job, found and checked
- ``starting``: plan, create, admit
- ``queue``: the waiting jobs in the order in which they will start, and changing it
- ``again``: run a job once more exactly, delete one that has ended
- ``sweeps``: a group of jobs that differ in a few settings; ``sweep_space`` says in which
- ``retention``: how long checkpoints stay
- ``following``: list, get, cancel, pause, resume, progress, events, metrics, checkpoints, log
"""

from core.fine_tuning import sweeps
from core.fine_tuning.again import delete, rerun
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
from core.fine_tuning.queue import Move, Priority, Queue, QueuedJob, move, queue, set_priority
from core.fine_tuning.retention import describe_checkpoint_rule, sweep_checkpoints
from core.fine_tuning.starting import NewJob, Plan, admit, create, plan
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
    "Move",
    "NewJob",
    "Plan",
    "Priority",
    "Progress",
    "Queue",
    "QueuedJob",
    "admit",
    "cancel",
    "checkpoints",
    "create",
    "delete",
    "describe_checkpoint_rule",
    "events",
    "get",
    "list_jobs",
    "log_path",
    "log_tail",
    "metrics",
    "move",
    "pause",
    "plan",
    "progress",
    "queue",
    "rerun",
    "resume",
    "set_priority",
    "sweep_checkpoints",
    "sweeps",
]
