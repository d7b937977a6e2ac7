"""``/api/finetune/queue`` and what changes it:
the order of one's waiting jobs, priorities, jobs once more and jobs no more."""

from typing import Annotated

from fastapi import APIRouter, Query

from core import fine_tuning
from core.api.deps import CurrentUser, SignedIn
from core.fine_tuning import Job, Move, Priority, Queue

router = APIRouter(route_class=SignedIn, tags=["finetune"])


Key = Annotated[str | None, Query(max_length=200, description="The same key never starts two.")]


@router.get("/finetune/queue")
def get_queue(user: CurrentUser) -> Queue:
    """The caller's waiting jobs in the order in
    which they will start, with their place and expected start."""
    return fine_tuning.queue(user)


@router.post("/finetune/{job_id}/move")
def move_job(job_id: str, move: Move, user: CurrentUser) -> Queue:
    """Put a waiting job elsewhere among one's own: ``{"to": "up"}`` or ``{"before": "ftj_…"}``."""
    return fine_tuning.move(user, job_id, move)


@router.post("/finetune/{job_id}/priority")
def set_priority(job_id: str, priority: Priority, user: CurrentUser) -> Job:
    """1 goes before 0, 0 before -1, among one's own jobs."""
    return fine_tuning.set_priority(user, job_id, priority.priority)


@router.post("/finetune/{job_id}/rerun", status_code=201)
def rerun_job(job_id: str, user: CurrentUser, idempotency_key: Key = None) -> Job:
    """Start a job once more as it was: same versions of data and base, same seed and settings."""
    return fine_tuning.rerun(user, job_id, idempotency_key=idempotency_key)


@router.delete("/finetune/{job_id}", status_code=204)
def delete_job(job_id: str, user: CurrentUser) -> None:
    """Remove a job that has ended, with its curves and checkpoints. The model that it made stays."""
    fine_tuning.delete(user, job_id)
