"""``/api/uploads``: files in pieces, for what is too large
or too far away for one request; looked at before they are imported.

``POST /api/datasets`` and ``POST /api/datasets/{dataset_id}/versions`` import them by their id.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from core import uploads
from core.api.deps import CurrentUser, SignedIn
from core.api.uploads import receive_chunk
from core.datasets import IngestOptions
from core.fields import Input
from core.listing import Listed, ListQuery
from core.readers.look import Look
from core.uploads import NewUpload, Upload

router = APIRouter(route_class=SignedIn, tags=["uploads"])
Offset = Annotated[int, Query(ge=0, le=2**50)]
BYTES_BODY = {
    "requestBody": {
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    }
}


class Asked(Input):
    """Under which options an upload is looked at; without any, those it would be imported with."""

    options: IngestOptions | None = None


@router.post("/uploads", status_code=201)
def begin_upload(new: NewUpload, user: CurrentUser) -> Upload:
    """Announce a file.

    With the ``fingerprint`` of an unfinished one, that one comes back: go on at its ``received_bytes``.
    """
    return uploads.begin(user, new, source="api")


@router.get("/uploads")
def list_uploads(user: CurrentUser, query: Annotated[ListQuery, Query()]) -> Listed[Upload]:
    """What is unfinished, waits for its import, or is being imported."""
    return uploads.list_page(user, query)


@router.get("/uploads/{upload_id}")
def get_upload(upload_id: str, user: CurrentUser) -> Upload:
    """How much of it has arrived. One that has become a version is gone."""
    return uploads.get(user, upload_id)


@router.put("/uploads/{upload_id}", openapi_extra=BYTES_BODY)
async def append_to_upload(upload_id: str, user: CurrentUser, request: Request, offset: Offset) -> Upload:
    """The raw bytes from ``offset`` on, which must be what has arrived so far (else 409, which names it)."""
    return await receive_chunk(request, user, upload_id, offset=offset)


@router.delete("/uploads/{upload_id}", status_code=204)
def cancel_upload(upload_id: str, user: CurrentUser) -> None:
    """Stop it, and remove what has arrived."""
    uploads.cancel(user, upload_id)


@router.post("/uploads/{upload_id}/look")
def look_at_upload(upload_id: str, asked: Asked, user: CurrentUser) -> Look:
    """What the first rows would become: columns, types, what was detected, what is wrong.

    Nothing is imported.
    """
    return uploads.look(user, upload_id, asked.options)
