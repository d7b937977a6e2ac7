"""``/api/finetune/{job_id}/report`` and ``…/mlflow``: a run to take along."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from core import fine_tuning
from core.api import downloads
from core.api.deps import CurrentUser, SignedIn
from core.fine_tuning import Exported
from core.fine_tuning.run.files import Form

router = APIRouter(route_class=SignedIn, tags=["finetune"])
As = Annotated[
    Form,
    Query(
        alias="as", description="ipynb: a notebook; zip: YAML, CSV and the log; tensorboard: its event files"
    ),
]


@router.get("/finetune/{job_id}/report", response_class=Response)
def get_report(job_id: str, request: Request, user: CurrentUser, form: As = "ipynb") -> Response:
    """The run as a file."""
    return downloads.send_report(
        fine_tuning.open_report(user, job_id, form, address=downloads.address_of(request))
    )


@router.post("/finetune/{job_id}/mlflow")
def export_to_mlflow(job_id: str, user: CurrentUser) -> Exported:
    """Write a run that has ended into the server's MLflow, once."""
    return fine_tuning.export_to_mlflow(user, job_id)
