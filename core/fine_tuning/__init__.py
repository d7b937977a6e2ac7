"""Fine-tuning as its owner sees it: plan and start a job, watch it, pause, resume and cancel it.

How a job's state changes is decided in ``core.jobs``, what a training does in ``core.training``; here is who may, and on what.

- ``values``: what services hand out
- ``sources``: the base and the rows of a new job, found and checked
- ``starting``: plan, create, admit
- ``queue``: the waiting jobs in the order in which they will start, and changing it
- ``again``: run a job once more exactly, delete one that has ended
- ``sweeps``: a group of jobs that differ in a few settings; ``sweep_space`` says in which
- ``retention``: how long checkpoints stay
- ``using``: checkpoints to keep, delete, promote
- ``evaluating``: how good a checkpoint or a version is on rows of one's choice
- ``provenance``: what a version of the registry remembers about how it was made
- ``recipes``: a request as a YAML file
- ``preview``: what the model sees of the data, in a process of its own
- ``forecast``: memory and time, by arithmetic and by measured steps
- ``run_reports``: a run to take along; ``run_facts`` gathers, ``run_notebook``, ``run_curves`` and ``run_mlflow`` write
- ``following``: list, get, cancel, pause, resume, progress, events, metrics, checkpoints, log
"""

from core.fine_tuning import forecast, preview, recipes, sweeps
from core.fine_tuning.again import delete, rerun
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
from core.fine_tuning.queue import Move, Priority, Queue, QueuedJob, move, queue, set_priority
from core.fine_tuning.retention import describe_checkpoint_rule, sweep_checkpoints
from core.fine_tuning.run_mlflow import Exported
from core.fine_tuning.run_reports import Report, export_to_mlflow, has_tensorboard, open_report, why_no_mlflow
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
    "Exported",
    "Job",
    "JobList",
    "Metrics",
    "Move",
    "NewEvaluation",
    "NewJob",
    "Plan",
    "Priority",
    "Progress",
    "Promotion",
    "Queue",
    "QueuedJob",
    "Report",
    "admit",
    "cancel",
    "checkpoints",
    "create",
    "delete",
    "delete_checkpoint",
    "describe_checkpoint_rule",
    "evaluate_checkpoint",
    "evaluate_version",
    "events",
    "export_to_mlflow",
    "forecast",
    "get",
    "get_checkpoint",
    "has_tensorboard",
    "list_jobs",
    "log_path",
    "log_tail",
    "metrics",
    "move",
    "open_report",
    "pause",
    "pin_checkpoint",
    "plan",
    "preview",
    "progress",
    "promote_checkpoint",
    "queue",
    "recipes",
    "rerun",
    "resume",
    "set_priority",
    "sweep_checkpoints",
    "sweeps",
    "unpin_checkpoint",
    "why_no_mlflow",
]
