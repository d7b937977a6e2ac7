"""Fine-tuning as its owner sees it: plan and start a job, watch it, pause, resume and cancel it.

How a job's state changes is decided in ``core.jobs``, what a training does in ``core.training``; here is who may, and on what.

- ``values``: what services hand out
- ``sources``: the base and the rows of a new job, found and checked
- ``starting``: plan, create, admit
- ``recipes``: a request as a YAML file
- ``preview``: what the model sees of the data, in a process of its own
- ``forecast``: memory and time, by arithmetic and by measured steps
- ``following``: list, get, cancel, pause, resume, progress, events, metrics, checkpoints, log
"""

from core.fine_tuning import forecast, preview, recipes
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
    "NewJob",
    "Plan",
    "Progress",
    "admit",
    "cancel",
    "checkpoints",
    "create",
    "events",
    "forecast",
    "get",
    "list_jobs",
    "log_path",
    "log_tail",
    "metrics",
    "pause",
    "plan",
    "preview",
    "progress",
    "recipes",
    "resume",
]
