"""``/api/datasets``: files become versions; versions are listed, described, taken away again.

Their rows: ``rows``.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from core import datasets, query, uploads
from core.api.deps import CurrentUser, JsonRequest, SignedIn
from core.api.uploads import read_object, receive_form
from core.datasets import Dataset, DatasetChange, DatasetList, IngestOptions, NewDataset, Version
from core.errors import ValidationError
from core.fields import Input, Note500, parse
from core.listing import Listed, ListQuery

router = APIRouter(route_class=SignedIn, tags=["datasets"])
Number = Annotated[int, Path(ge=1, le=10**9)]
OBJECT = {"schema": {"type": "object"}}
FILE_BODY = {
    "requestBody": {"content": {"multipart/form-data": OBJECT, "application/json": OBJECT}, "required": True}
}


class Imported(Input):
    """An upload that has arrived.

    Without ``options`` those chosen for it count, else those of the dataset's last upload.
    """

    upload_id: str = Field(min_length=1)
    options: IngestOptions | None = None


class ImportedVersion(Imported):
    """``append``: behind the rows there are, instead of in their place."""

    note: Note500 = ""
    append: bool = False


class SavedVersion(Input):
    """A version made by a query."""

    sql: str = Field(min_length=1)
    note: Note500 = ""


@router.post("/datasets", status_code=201, openapi_extra=FILE_BODY)
async def create_dataset(user: CurrentUser, request: Request) -> Dataset:
    """``multipart/form-data``: file, name, description, format, options (JSON), up to 16 MiB converted at
    once. Or as JSON ``{"upload_id", "name", "description", "format", "options"}``: a file that came in
    pieces."""
    if not _is_form(request):
        body = await _object(request)
        chosen, new = (
            parse(Imported, **body),
            parse(NewDataset, **{k: v for k, v in body.items() if k != "options"}),
        )
        return await run_in_threadpool(
            uploads.commit_dataset, user, chosen.upload_id, new, options=chosen.options
        )
    async with receive_form(request) as form:
        file, fields = (
            form.require_file(),
            {k: v for k, v in form.fields.items() if k in ("name", "description", "format")},
        )
        new = parse(NewDataset, **fields, options=read_object(form.fields.get("options"), "options"))
        return await run_in_threadpool(
            datasets.create, user, new, file=file, filename=form.filename, sha256=form.sha256
        )


@router.get("/datasets")
def list_datasets(user: CurrentUser, query: Annotated[DatasetList, Query()]) -> Listed[Dataset]:
    """The caller's datasets, each as its newest version."""
    return datasets.list_datasets(user, query)


@router.get("/datasets/{dataset_id}")
def get_dataset(dataset_id: str, user: CurrentUser) -> Dataset:
    """One dataset, as its newest version."""
    return datasets.get(user, dataset_id)


@router.patch("/datasets/{dataset_id}")
def change_dataset(dataset_id: str, change: DatasetChange, user: CurrentUser) -> Dataset:
    """Change the name or the description."""
    return datasets.update(user, dataset_id, change)


@router.delete("/datasets/{dataset_id}", status_code=204)
def delete_dataset(dataset_id: str, user: CurrentUser) -> None:
    """With all its versions. Refused while an active job or a model's alias needs one of them."""
    datasets.delete(user, dataset_id)


@router.get("/datasets/{dataset_id}/uses")
def list_uses(dataset_id: str, user: CurrentUser) -> list[datasets.Use]:
    """Jobs, aliases, models and versions that need this dataset;
    those that ``blocks`` forbid its deletion."""
    return datasets.uses(user, dataset_id)


@router.post("/datasets/{dataset_id}/versions", status_code=201, openapi_extra=FILE_BODY)
async def add_version(dataset_id: str, user: CurrentUser, request: Request, response: Response) -> Version:
    """A file as ``multipart/form-data`` (file, note, options), or JSON: ``{"upload_id", "note", "options",
    "append"}``, or ``{"sql", "note"}`` for a query's result. 200 instead of 201: the bytes are those of the
    version that comes back."""
    if _is_form(request):
        version = await _add_file(dataset_id, user, request)
    else:
        version = await _add_from_json(dataset_id, user, await _object(request))
    if version.same_as:
        response.status_code = 200
    return version


@router.get("/datasets/{dataset_id}/versions")
def list_versions(
    dataset_id: str, user: CurrentUser, query: Annotated[ListQuery, Query()]
) -> Listed[Version]:
    """Every version of a dataset, newest first."""
    return datasets.list_versions(user, dataset_id, query)


@router.get("/datasets/{dataset_id}/versions/{number}")
def get_version(dataset_id: str, number: Number, user: CurrentUser) -> Version:
    """One version."""
    return datasets.version_of(user, dataset_id, number)


@router.delete("/datasets/{dataset_id}/versions/{number}", status_code=204)
def delete_version(dataset_id: str, number: Number, user: CurrentUser) -> None:
    """Remove its files; number, note, hash and lineage stay.

    Refused while something needs it, and for the last one.
    """
    datasets.delete_version(user, datasets.version_of(user, dataset_id, number).id)


async def _add_file(dataset_id: str, user: CurrentUser, request: Request) -> Version:
    await run_in_threadpool(datasets.get, user, dataset_id)  # before the file is read
    async with receive_form(request) as form:
        text = form.fields.get("options")
        options = parse(IngestOptions, **read_object(text, "options")) if text else None
        note, file = form.fields.get("note", ""), form.require_file()
        return await run_in_threadpool(
            datasets.add_version,
            user,
            dataset_id,
            file=file,
            filename=form.filename,
            note=note,
            options=options,
            sha256=form.sha256,
        )


async def _add_from_json(dataset_id: str, user: CurrentUser, body: dict[str, Any]) -> Version:
    if "upload_id" in body:
        new = parse(ImportedVersion, **body)
        return await run_in_threadpool(
            uploads.commit_version,
            user,
            new.upload_id,
            dataset_id,
            options=new.options,
            note=new.note,
            append=new.append,
        )
    saved = parse(SavedVersion, **body)
    _, version = await run_in_threadpool(
        query.save, user, sql=saved.sql, dataset_id=dataset_id, note=saved.note
    )
    return version


def _is_form(request: Request) -> bool:
    """Anything but JSON is read as a form, which says what is wrong with it."""
    return (
        not request.headers.get("content-type", "")
        .partition(";")[0]
        .strip()
        .lower()
        .endswith(("/json", "+json"))
    )


async def _object(request: Request) -> dict[str, Any]:
    body = await JsonRequest(request.scope, request.receive).json()
    if not isinstance(body, dict):
        raise ValidationError.of("body", "must be an object")
    return body
