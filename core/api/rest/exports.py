"""``/api/exports``: versions of models in forms that run elsewhere."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import Response as AnyResponse

from core import exports
from core.api import downloads
from core.api.deps import CurrentUser, SignedIn
from core.exports import Export, ExportList, NewExport, Offer, Precision
from core.listing import Listed

router = APIRouter(route_class=SignedIn, tags=["exports"])
Version = Annotated[int | None, Query(ge=1, le=10**9)]


@router.post("/models/{model_id}/exports", status_code=201)
def create_export(model_id: str, new: NewExport, user: CurrentUser, response: Response) -> Export:
    """Make an export of a version, the newest if none is named. 200 instead of 201: there is one already."""
    requested = exports.request_export(user, model_id, new)
    response.status_code = 201 if requested.is_new else 200
    return requested.export


@router.get("/models/{model_id}/exports")
def list_exports(model_id: str, user: CurrentUser, query: Annotated[ExportList, Query()]) -> Listed[Export]:
    """The caller's exports of all versions of a model, newest first."""
    return exports.list_exports(user, model_id, query)


@router.get("/models/{model_id}/export-kinds")
def list_kinds(
    model_id: str, user: CurrentUser, version: Version = None, precision: Precision = "stored"
) -> list[Offer]:
    """What a version can be exported as, with the size before, or why it cannot."""
    return exports.list_offers(user, model_id, version=version, precision=precision)


@router.get("/exports/{export_id}")
def get_export(export_id: str, user: CurrentUser) -> Export:
    """One export, with the answers it was checked by."""
    return exports.get_export(user, export_id)


@router.delete("/exports/{export_id}", status_code=204)
def delete_export(export_id: str, user: CurrentUser) -> None:
    """Remove an export; one that is being made stops."""
    exports.delete_export(user, export_id)


@router.get("/exports/{export_id}/content", response_class=AnyResponse)
def get_content(export_id: str, user: CurrentUser, request: Request) -> AnyResponse:
    """The file: a .zip or a .gguf. ``Range`` is understood, so that a broken transfer can go on."""
    return downloads.send_export(exports.open_export(user, export_id), request)
