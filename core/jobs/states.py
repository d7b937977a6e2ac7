"""The queue of fine-tuning jobs: every change of a job's state is one guarded UPDATE in this file.

::

    validating ──admit──> queued ──claim──> running ──succeed──> succeeded
        │                  │ ^ ^             │ │ ^ └──fail─────> failed
        │                  │ │ └──requeue────┘ │ │
        │               pause resume        pause resume, while its worker still holds the lease
        │                  v │                 v │
        └──cancel── any active state          paused

``set_aside`` pauses a queued or running job for a reason of the server's. Ended jobs may be removed. Whose
turn it is, between users and among one user's jobs, is decided in ``core.jobs.turns``. Each end that nobody
pressed a button for (finished, failed, paused by itself) becomes an alert here, in the transaction that makes
it, so none is missed and none comes twice.

Who owns a running job is decided by ``lease_token``: only its holder may write progress, metric points,
checkpoints or the end. ``pause`` and ``cancel`` change the state at once, whoever holds the lease; the worker
sees it within a step and gives the lease back. Until it has, the token stays, and nobody else can claim it.

Three rules keep a job, and the place that its lease takes, from standing still. ``queued`` means that nobody
holds the job: whatever makes a job wait takes the lease away in the same UPDATE, and a job that is resumed
before its worker has ended is ``running`` again under the lease that it has. ``release`` works in every
state. And the supervisor looks at every lease, whatever the state of its job, and ends the lease of a worker
that is gone.

Functions run in the caller's transaction; ``False`` or ``Lost`` means that the guard did not hold. Who may
see or touch a job is decided in ``core.fine_tuning``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.orm import Session

from core import alerts
from core.clock import now
from core.db import num_changed
from core.jobs import turns
from core.security import new_token
from core.tables import ACTIVE_STATUSES, ENDED_STATUSES, JOB_STATUSES, CheckpointRow, JobRow

LEASE = timedelta(seconds=60)  # a worker that has not reported for so long counts as dead
MAX_ATTEMPTS = 3  # without a new checkpoint between them
PROGRESS_FIELDS = frozenset(
    {
        "step", "total_steps", "epoch", "train_loss", "valid_loss", "learning_rate", "tokens_per_second",
        "memory_bytes", "eta_seconds", "trained_tokens", "resolved", "stepped_at", "spent_seconds",
        "gpu_memory_bytes", "gpu_utilisation", "hardware",
    }
)  # fmt: skip


class Lost(Exception):
    """The job is no longer ours: it was cancelled, or another worker has it. Write nothing more."""


@dataclass(frozen=True)
class Error:
    """Why a job failed, in words for its owner. ``line`` is a line of the dataset."""

    code: str
    message: str
    line: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "line": self.line}


def cancel(session: Session, job_id: str) -> bool:
    """Any active state -> cancelled."""
    return _change(session, job_id, ACTIVE_STATUSES, status="cancelled", finished_at=now(), eta_seconds=None)


def pause(session: Session, job_id: str) -> bool:
    """queued or running -> paused.

    The time left stays until the worker has ended: the pace of the run is judged by it.
    """
    return _change(session, job_id, ("queued", "running"), status="paused")


def resume(session: Session, job_id: str) -> bool:
    """paused -> queued, or -> running where a worker still holds the lease; with fresh attempts.

    A worker that has not seen the pause, or sees the end of it in time, then goes on and nothing is lost. One
    that is already saving ends as it would have: ``release`` puts the job into the queue, and it goes on
    from that checkpoint when its turn comes. One that is dead is found by the supervisor, as any worker of a
    running job. Would the job wait in the queue with the lease of a worker that may never end, it could
    not be claimed and its place would be taken.
    """
    is_held = JobRow.lease_token.is_not(None)
    status, attempts = case((is_held, "running"), else_="queued"), case((is_held, 1), else_=0)
    return _change(session, job_id, ("paused",), status=status, attempts=attempts, error=None)


def remove(session: Session, job_id: str) -> bool:
    """A job that has ended, and what is kept about it, are gone; its files are the caller's.

    Not while a worker still holds the lease.
    """
    gone = delete(JobRow).where(
        JobRow.id == job_id, JobRow.status.in_(ENDED_STATUSES), JobRow.lease_token.is_(None)
    )
    return num_changed(session, gone) == 1


def admit(session: Session, job_id: str, *, resolved: Mapping[str, Any], total_steps: int) -> bool:
    """validating -> queued: the dataset was checked."""
    return _change(
        session, job_id, ("validating",), status="queued", resolved=dict(resolved), total_steps=total_steps
    )


def reject(session: Session, job_id: str, *, error: Error) -> bool:
    """validating -> failed."""
    changed = _change(
        session, job_id, ("validating",), status="failed", error=error.as_json(), finished_at=now()
    )
    return changed and _alert(session, job_id, "failed", error.message)


def claim(session: Session, *, devices: int | None = None) -> str | None:
    """queued -> running for the job whose turn it is, with a new lease; returns its id.

    ``devices``: all there are.
    """
    job_id = turns.next_to_start(session, devices=devices)
    if job_id is None:
        return None
    changes: dict[str, Any] = {
        **_NO_LEASE,
        "lease_token": new_token(),
        "lease_until": now() + LEASE,
        "status": "running",
        "started_at": func.coalesce(JobRow.started_at, now()),
        "attempts": JobRow.attempts + 1,
    }
    return job_id if _change(session, job_id, ("queued",), JobRow.lease_token.is_(None), **changes) else None


def requeue(
    session: Session, job_id: str, *, token: str | None, counts: bool = True, fresh: bool = False
) -> bool:
    """running -> queued, lease given back.

    ``counts`` False: the attempt was ended by us and is not counted as a failed one.

    ``fresh``: it made progress in this attempt, so the attempts before it are forgotten.
    """
    attempts: Any = JobRow.attempts if counts else _ONE_ATTEMPT_LESS
    attempts = 1 if fresh else attempts
    return _change(
        session,
        job_id,
        ("running",),
        JobRow.lease_token == token,
        status="queued",
        attempts=attempts,
        eta_seconds=None,
        **_NO_LEASE,
    )


def has_new_checkpoint(session: Session, job: JobRow) -> bool:
    """Whether the attempt that runs has saved anything:
    a job that makes progress between its crashes is not given up."""
    if job.worker_started is None:
        return False
    since = datetime.fromtimestamp(job.worker_started, UTC)
    newest = session.scalar(select(func.max(CheckpointRow.created_at)).where(CheckpointRow.job_id == job.id))
    return newest is not None and newest > since


def fail(session: Session, job_id: str, *, token: str | None, error: Error) -> bool:
    """running -> failed."""
    end = {"status": "failed", "error": error.as_json(), "finished_at": now(), "eta_seconds": None}
    changed = _change(session, job_id, ("running",), JobRow.lease_token == token, **end, **_NO_LEASE)
    return changed and _alert(session, job_id, "failed", error.message)


def set_aside(session: Session, job_id: str, *, error: Error) -> bool:
    """queued or running -> paused because the server cannot go
    on with it, with the reason shown until the user resumes.

    A worker sees it as any pause: it saves a checkpoint and gives the lease back.
    """
    changed = _change(session, job_id, ("queued", "running"), status="paused", error=error.as_json())
    return changed and _alert(session, job_id, "paused", error.message)


def release(session: Session, job_id: str, *, token: str) -> bool:
    """The worker has ended and its lease is given back.

    The state stays, only running -> queued: nobody trains the job any more.

    It works in every state, so that no lease outlives its worker. In ``queued`` such a lease is one that an
    earlier version of ``resume`` left behind; in ``running`` the job was resumed while its worker was ending,
    which is not counted as a failed attempt.
    """
    runs = JobRow.status == "running"
    changes = {
        "status": case((runs, "queued"), else_=JobRow.status),
        "attempts": case((runs, _ONE_ATTEMPT_LESS), else_=JobRow.attempts),
        "eta_seconds": None,
    }
    return _change(session, job_id, JOB_STATUSES, JobRow.lease_token == token, **changes, **_NO_LEASE)


def note_ref(session: Session, job_id: str, *, ref: str) -> bool:
    """A runner beyond this machine is about to start the worker
    of a claimed job and will know it by ``ref``."""
    return _change(session, job_id, ("running",), JobRow.worker_pid.is_(None), worker_ref=ref)


def hold(session: Session, ref: str) -> bool:
    """The worker has not reported itself because the cluster has no room for it yet: its lease goes on."""
    mine = update(JobRow).where(
        JobRow.worker_ref == ref, JobRow.worker_pid.is_(None), JobRow.status == "running"
    )
    longer = mine.values(lease_until=now() + LEASE).execution_options(synchronize_session=False)
    return num_changed(session, longer) == 1


def has_waiting(session: Session, *, devices: int | None = None) -> bool:
    """Whether ``claim`` would find a job. A look that takes no write lock."""
    return turns.next_to_start(session, devices=devices) is not None


def too_wide(session: Session, *, devices: int) -> Sequence[JobRow]:
    """Waiting jobs that ask for more devices than there are: the server had more when they were made."""
    return session.scalars(select(JobRow).where(JobRow.status == "queued", devices < turns.DEVICES)).all()


def leased(session: Session) -> Sequence[JobRow]:
    """All jobs that a worker holds or is supposed to hold."""
    return session.scalars(select(JobRow).where(JobRow.lease_token.is_not(None))).all()


def waiting_for_check(session: Session) -> Sequence[str]:
    return session.scalars(
        select(JobRow.id).where(JobRow.status == "validating").order_by(JobRow.created_at)
    ).all()


def take(session: Session, job_id: str, *, pid: int, started: float) -> JobRow:
    """The worker process of a claimed job reports itself; a second one finds the place taken. Raises Lost."""
    if not _change(
        session, job_id, ("running",), JobRow.worker_pid.is_(None), worker_pid=pid, worker_started=started
    ):
        raise Lost
    return session.scalars(select(JobRow).where(JobRow.id == job_id)).one()


def heartbeat(
    session: Session, job_id: str, *, token: str, progress: float | None = None, **facts: Any
) -> str:
    """Renew the lease and write where the training stands; returns the job's status (running or paused).

    Raises Lost.
    """
    if unknown := set(facts) - PROGRESS_FIELDS:
        raise TypeError(f"not a fact about progress: {', '.join(sorted(unknown))}")
    if progress is not None:
        # never decreases
        facts["progress"] = case((JobRow.progress > progress, JobRow.progress), else_=progress)
    held = _change(
        session,
        job_id,
        ("running", "paused"),
        JobRow.lease_token == token,
        lease_until=now() + LEASE,
        **facts,
    )
    status = session.scalar(select(JobRow.status).where(JobRow.id == job_id))
    if not held or status is None:
        raise Lost
    return status


def succeed(
    session: Session, job_id: str, *, token: str, model_id: str, model_version_id: str, trained_tokens: int
) -> bool:
    """running -> succeeded, in the transaction that also makes the model's rows."""
    end = {
        "status": "succeeded",
        "progress": 1.0,
        "finished_at": now(),
        "eta_seconds": None,
        "error": None,
        "model_id": model_id,
        "model_version_id": model_version_id,
        "trained_tokens": trained_tokens,
    }
    changed = _change(session, job_id, ("running",), JobRow.lease_token == token, **end, **_NO_LEASE)
    return changed and _alert(session, job_id, "finished", "The model is ready.")


def pause_for_reason(session: Session, job_id: str, *, token: str, error: Error) -> bool:
    """running -> paused by the worker itself, with the reason shown until the user resumes."""
    end = {"status": "paused", "error": error.as_json(), "eta_seconds": None}
    changed = _change(session, job_id, ("running",), JobRow.lease_token == token, **end, **_NO_LEASE)
    return changed and _alert(session, job_id, "paused", error.message)


_ONE_ATTEMPT_LESS = case((JobRow.attempts > 0, JobRow.attempts - 1), else_=0)
_NO_LEASE: dict[str, Any] = {
    "lease_token": None,
    "lease_until": None,
    "worker_pid": None,
    "worker_started": None,
    "worker_ref": None,
}


def _change(session: Session, job_id: str, allowed: Sequence[str], *guards: Any, **values: Any) -> bool:
    """The one guarded UPDATE."""
    statement = update(JobRow).where(JobRow.id == job_id, JobRow.status.in_(allowed), *guards)
    statement = statement.values(updated_at=now(), **values).execution_options(synchronize_session=False)
    return num_changed(session, statement) == 1


def _alert(session: Session, job_id: str, kind: str, message: str) -> bool:
    """Tell the owner; always True, to stand behind the change it tells of."""
    name, user_id = session.execute(select(JobRow.name, JobRow.user_id).where(JobRow.id == job_id)).one()
    alerts.note(session, user_id=user_id, job_id=job_id, kind=kind, message=f"{name}: {message}")
    return True
