"""Fine-tuning jobs as rows: in which state they are, whose turn it is, and what a training leaves behind.

- ``states``: every change of a job's state, one guarded UPDATE each; this package hands its functions on
- ``turns``: which waiting job comes next, between users and among one user's; when the others will
- ``health``: whether a worker that is alive still makes progress
- ``notes``: events, metric points, checkpoints, samples; ``row_files``: the losses of single rows

A job goes from the form (``core.fine_tuning``) into the queue; the supervisor (``core.workers``) claims it
and has a runner start its worker, which trains and writes here. Functions run in the caller's transaction.
Who may see or touch a job is decided in ``core.fine_tuning``, what is trained in ``core.training``.
"""

from core.jobs.states import (
    LEASE,
    MAX_ATTEMPTS,
    Error,
    Lost,
    admit,
    cancel,
    claim,
    fail,
    has_new_checkpoint,
    has_waiting,
    heartbeat,
    hold,
    leased,
    note_ref,
    pause,
    pause_for_reason,
    reject,
    release,
    remove,
    requeue,
    resume,
    set_aside,
    succeed,
    take,
    too_wide,
    waiting_for_check,
)

__all__ = [
    "LEASE",
    "MAX_ATTEMPTS",
    "Error",
    "Lost",
    "admit",
    "cancel",
    "claim",
    "fail",
    "has_new_checkpoint",
    "has_waiting",
    "heartbeat",
    "hold",
    "leased",
    "note_ref",
    "pause",
    "pause_for_reason",
    "reject",
    "release",
    "remove",
    "requeue",
    "resume",
    "set_aside",
    "succeed",
    "take",
    "too_wide",
    "waiting_for_check",
]
