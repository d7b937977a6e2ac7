"""``/api/finetune``: jobs that train a model on a dataset."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import PlainTextResponse

from core import fine_tuning
from core.api.deps import CurrentUser, SignedIn
from core.fine_tuning import (
    Checkpoint,
    CheckpointList,
    Event,
    EventList,
    Job,
    JobList,
    Metrics,
    NewJob,
    Progress,
)
from core.listing import Listed

router = APIRouter(route_class=SignedIn, tags=["finetune"])
Steps = Annotated[int | None, Query(ge=0, le=10**9)]
Points = Annotated[int, Query(ge=10, le=10_000)]
Search = Annotated[str | None, Query(max_length=200)]
Lines = Annotated[int, Query(ge=1, le=10_000)]


@router.post("/finetune", status_code=201)
def create_job(new: NewJob, user: CurrentUser) -> Job:
    """Queue a fine-tuning of a base model on a dataset version."""
    return fine_tuning.create(user, new)


@router.get("/finetune")
def list_jobs(user: CurrentUser, query: Annotated[JobList, Query()]) -> Listed[Job]:
    """The caller's fine-tuning jobs."""
    return fine_tuning.list_jobs(user, query)


@router.get("/finetune/{job_id}")
def get_job(job_id: str, user: CurrentUser) -> Job:
    """One job."""
    return fine_tuning.get(user, job_id)


@router.post("/finetune/{job_id}/cancel")
def cancel_job(job_id: str, user: CurrentUser) -> Job:
    """End a job that has not ended; what it learned is not kept."""
    return fine_tuning.cancel(user, job_id)


@router.post("/finetune/{job_id}/pause")
def pause_job(job_id: str, user: CurrentUser) -> Job:
    """A running job saves a checkpoint first."""
    return fine_tuning.pause(user, job_id)


@router.post("/finetune/{job_id}/resume")
def resume_job(job_id: str, user: CurrentUser) -> Job:
    """It goes on from its last checkpoint."""
    return fine_tuning.resume(user, job_id)


@router.get("/finetune/{job_id}/progress")
def get_progress(job_id: str, user: CurrentUser) -> Progress:
    """How far a job is, in few numbers: made to be polled."""
    return fine_tuning.progress(user, job_id)


@router.get("/finetune/{job_id}/events")
def list_events(job_id: str, user: CurrentUser, query: Annotated[EventList, Query()]) -> Listed[Event]:
    """Oldest first."""
    return fine_tuning.events(user, job_id, query)


@router.get("/finetune/{job_id}/metrics")
def get_metrics(
    job_id: str,
    user: CurrentUser,
    after_step: Steps = None,
    from_step: Steps = None,
    to_step: Steps = None,
    max_points: Points = 600,
) -> Metrics:
    """Series of ``[step, value]``, thinned to about ``max_points``
    that keep the peaks; a range of steps shows more of it."""
    return fine_tuning.metrics(
        user, job_id, after_step=after_step, from_step=from_step, to_step=to_step, max_points=max_points
    )


@router.get("/finetune/{job_id}/checkpoints")
def list_checkpoints(
    job_id: str, user: CurrentUser, query: Annotated[CheckpointList, Query()]
) -> Listed[Checkpoint]:
    """The checkpoints a job has written."""
    return fine_tuning.list_checkpoints(user, job_id, query)


@router.get("/finetune/{job_id}/logs", response_class=PlainTextResponse)
def get_log(job_id: str, user: CurrentUser, tail: Lines = 200, q: Search = None) -> PlainTextResponse:
    """The last lines of what the training wrote;
    with ``q`` the last lines that hold it, each behind its number."""
    if q:
        log = fine_tuning.search_log(user, job_id, q, limit=tail)
        return PlainTextResponse("".join(f"{line.number}: {line.text}\n" for line in log.lines))
    return PlainTextResponse(fine_tuning.log_tail(user, job_id, tail=tail))
