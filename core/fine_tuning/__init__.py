"""Fine-tuning as its owner sees it: plan and start a job, watch it, pause, resume and cancel it.

How a job's state changes is decided in ``core.jobs``, what a training does in ``core.training``; here is who
may, and on what.

- ``values``: what services hand out; ``owned``: the jobs of a user, as rows
- ``sources``: the base and the rows of a new job, found and checked; ``recipes``: a request as a YAML file
- ``choices``: what may not be chosen on this machine, or for this base
- ``before``: what the model will see of the data, and what the training will cost
- ``starting``: plan, create, admit; ``again``: run a job once more exactly, delete one that has ended
- ``sweeps``: a group of jobs that differ in a few settings; ``sweep_space`` says in which
- ``queue``: the waiting jobs in the order in which they will start, and changing it; ``expected``: what their
  seconds are taken to be
- ``following``: list, get, cancel, pause, resume, progress, events, checkpoints; ``annotating``: notes and
  tags; ``origins``: what they were made from, by name
- ``monitor``: curves, samples, hardest rows, log
- ``checkpoints``: keep, delete, promote, evaluate; ``provenance``: what a version of the registry remembers
  about its making
- ``run``: a run to take along
"""

from core.fine_tuning import recipes, sweeps
from core.fine_tuning.again import delete, rerun
from core.fine_tuning.annotating import Annotation, annotate, tags
from core.fine_tuning.before import forecast, preview
from core.fine_tuning.checkpoints.evaluating import NewEvaluation, evaluate_checkpoint, evaluate_version
from core.fine_tuning.checkpoints.retention import describe_checkpoint_rule, sweep_checkpoints
from core.fine_tuning.checkpoints.using import (
    Promotion,
    delete_checkpoint,
    get_checkpoint,
    pin_checkpoint,
    promote_checkpoint,
    unpin_checkpoint,
)
from core.fine_tuning.following import (
    CheckpointList,
    EventList,
    JobList,
    cancel,
    events,
    get,
    list_checkpoints,
    list_jobs,
    pause,
    progress,
    resume,
)
from core.fine_tuning.monitor.comparing import Comparison, RunOutcome, Setting, compare
from core.fine_tuning.monitor.hardest import HardRow, hardest_rows
from core.fine_tuning.monitor.logs import LogLine, LogSearch, log_path, log_tail, search_log
from core.fine_tuning.monitor.samples import JobSample, SampleList, sample_steps, samples
from core.fine_tuning.monitor.series import metrics
from core.fine_tuning.origins import origins
from core.fine_tuning.queue import Move, Priority, Queue, QueuedJob, move, queue, set_priority
from core.fine_tuning.run.files import RunFile, export_to_mlflow, has_tensorboard, open_report, why_no_mlflow
from core.fine_tuning.run.mlflow import Exported
from core.fine_tuning.starting import NewJob, Plan, admit, automatic, create, look_up, plan
from core.fine_tuning.values import ACTIVE, Checkpoint, Event, Job, Metrics, Progress
from core.jobs.turns import PRIORITIES

__all__ = [
    "ACTIVE",
    "PRIORITIES",
    "Annotation",
    "Checkpoint",
    "CheckpointList",
    "Comparison",
    "Event",
    "EventList",
    "Exported",
    "HardRow",
    "Job",
    "JobList",
    "JobSample",
    "LogLine",
    "LogSearch",
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
    "RunFile",
    "RunOutcome",
    "SampleList",
    "Setting",
    "admit",
    "annotate",
    "automatic",
    "cancel",
    "compare",
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
    "hardest_rows",
    "has_tensorboard",
    "list_checkpoints",
    "list_jobs",
    "log_path",
    "log_tail",
    "look_up",
    "metrics",
    "move",
    "open_report",
    "origins",
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
    "sample_steps",
    "samples",
    "search_log",
    "set_priority",
    "sweep_checkpoints",
    "sweeps",
    "tags",
    "unpin_checkpoint",
    "why_no_mlflow",
]
