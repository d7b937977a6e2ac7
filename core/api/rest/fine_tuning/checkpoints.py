"""``/api/finetune/{job_id}/checkpoints/{step}``: keep,
promote, evaluate and delete what a job has written."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path

from core import fine_tuning
from core.api.deps import CurrentUser, SignedIn
from core.fine_tuning import Checkpoint, NewEvaluation, Promotion
from core.models import ModelVersion

router = APIRouter(route_class=SignedIn, tags=["finetune"])
Number = Annotated[int, Path(ge=0, le=10**9)]


@dataclass(frozen=True)
class Promoted:
    """The version in the registry."""

    model_id: str
    model_version_id: str


@router.get("/finetune/{job_id}/checkpoints/{step}")
def get_checkpoint(job_id: str, step: Number, user: CurrentUser) -> Checkpoint:
    """One checkpoint. Call it by ``JOB_ID:step-N`` as a model."""
    return fine_tuning.get_checkpoint(user, job_id, step)


@router.post("/finetune/{job_id}/checkpoints/{step}/pin")
def pin_checkpoint(job_id: str, step: Number, user: CurrentUser) -> Checkpoint:
    """Keep it: it is not swept."""
    return fine_tuning.pin_checkpoint(user, job_id, step)


@router.post("/finetune/{job_id}/checkpoints/{step}/unpin")
def unpin_checkpoint(job_id: str, step: Number, user: CurrentUser) -> Checkpoint:
    """Leave it to the sweep again."""
    return fine_tuning.unpin_checkpoint(user, job_id, step)


@router.post("/finetune/{job_id}/checkpoints/{step}/promote")
def promote_checkpoint(
    job_id: str, step: Number, user: CurrentUser, body: Promotion | None = None
) -> Promoted:
    """Make it a version in the registry: of the model ``name``, or of one of its own.

    A second time names the first result.
    """
    published = fine_tuning.promote_checkpoint(user, job_id, step, body)
    return Promoted(published.model_id, published.version_id)


@router.post("/finetune/{job_id}/checkpoints/{step}/evaluate", status_code=202)
def evaluate_checkpoint(
    job_id: str, step: Number, user: CurrentUser, body: NewEvaluation | None = None
) -> Checkpoint:
    """Begin to measure it on rows; the result comes into ``metrics.evaluation``."""
    return fine_tuning.evaluate_checkpoint(user, job_id, step, body)


@router.delete("/finetune/{job_id}/checkpoints/{step}", status_code=204)
def delete_checkpoint(job_id: str, step: Number, user: CurrentUser) -> None:
    """Delete it, unless its job needs it. A version that it became stays."""
    fine_tuning.delete_checkpoint(user, job_id, step)


@router.post("/models/{model_id}/versions/{number}/evaluate", status_code=202)
def evaluate_version(model_id: str, number: Number, user: CurrentUser, body: NewEvaluation) -> ModelVersion:
    """Begin to measure a version of an own model on rows;
    the result comes into its ``metrics.evaluation``."""
    return fine_tuning.evaluate_version(user, model_id, number, body)
