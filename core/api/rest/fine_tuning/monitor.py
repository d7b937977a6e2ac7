"""``/api/finetune/{job_id}/…``: what is seen
of a training beside its curves, and what a person notes about it."""

from typing import Annotated

from fastapi import APIRouter, Query

from core import fine_tuning
from core.api.deps import CurrentUser, SignedIn
from core.fine_tuning import Annotation, Comparison, HardRow, Job, JobSample, SampleList
from core.fine_tuning.monitor.comparing import MOST, Axis
from core.fine_tuning.monitor.hardest import Split
from core.listing import Listed

router = APIRouter(route_class=SignedIn, tags=["finetune"])
Limit = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0, le=10**9)]
Ids = Annotated[list[str], Query(alias="id", min_length=1, max_length=MOST)]
Points = Annotated[int, Query(ge=10, le=10_000)]


@router.get("/finetune/compare")
def compare_jobs(user: CurrentUser, ids: Ids, by: Axis = "step", max_points: Points = 600) -> Comparison:
    """Several jobs side by side (``?id=…&id=…``):
    curves over steps, tokens or seconds, settings, what came out."""
    return fine_tuning.compare(user, ids, by=by, max_points=max_points)


@router.patch("/finetune/{job_id}")
def annotate_job(job_id: str, new: Annotation, user: CurrentUser) -> Job:
    """Change its notes and tags; what is left out stays."""
    return fine_tuning.annotate(user, job_id, new)


@router.get("/finetune/{job_id}/samples")
def list_samples(job_id: str, user: CurrentUser, query: Annotated[SampleList, Query()]) -> Listed[JobSample]:
    """What the model answered while it was trained."""
    return fine_tuning.samples(user, job_id, query)


@router.get("/finetune/{job_id}/rows")
def list_hardest_rows(
    job_id: str, user: CurrentUser, split: Split = "train", limit: Limit = 20, offset: Offset = 0
) -> Listed[HardRow]:
    """The rows with the highest loss, with the loss they had at first."""
    return fine_tuning.hardest_rows(user, job_id, split=split, limit=limit, offset=offset)
