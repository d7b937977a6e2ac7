"""``/api/datasets``: files become versions; versions are looked at and taken away again."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from core import datasets, query
from core.api import downloads, uploads
from core.api.deps import CurrentUser, JsonRequest, SignedIn
from core.api.uploads import read_json, read_object
from core.datasets import Dataset, DatasetChange, DatasetList, IngestOptions, NewDataset, Preview, Profile, Version
from core.errors import ValidationError
from core.fields import Input, parse
from core.listing import Listed, ListQuery

router = APIRouter(route_class=SignedIn, tags=["datasets"])
Number = Annotated[int | None, Query(ge=1, le=10**9)]
FILE_BODY = {"requestBody": {"content": {"multipart/form-data": {"schema": {"type": "object"}}}, "required": True}}


class PreviewQuery(ListQuery):
    version: int | None = Field(None, ge=1, le=10**9)
    columns: str | None = None
    order_by: str | None = None
    where: str | None = None


class SavedVersion(Input):
    """A version made by a query."""

    sql: str = Field(min_length=1)
    note: str = Field("", max_length=500)


@router.post("/datasets", status_code=201, openapi_extra=FILE_BODY)
async def create_dataset(user: CurrentUser, request: Request) -> Dataset:
    """``multipart/form-data``: file, name, description, format, options (JSON). Up to 16 MiB are converted at once."""
    async with uploads.receive_form(request) as form:
        file, fields = form.require_file(), {k: v for k, v in form.fields.items() if k in ("name", "description", "format")}
        new = parse(NewDataset, **fields, options=read_object(form.fields.get("options"), "options"))
        return await run_in_threadpool(datasets.create, user, new, file=file, filename=form.filename)


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
    """With all its versions."""
    datasets.delete(user, dataset_id)


@router.post("/datasets/{dataset_id}/versions", status_code=201, openapi_extra=FILE_BODY)
async def add_version(dataset_id: str, user: CurrentUser, request: Request) -> Version:
    """A file as ``multipart/form-data``, or ``{"sql", "note"}`` as JSON: the query's result."""
    if request.headers.get("content-type", "").startswith("multipart/"):
        return await _add_file(dataset_id, user, request)
    body = await JsonRequest(request.scope, request.receive).json()
    if not isinstance(body, dict):
        raise ValidationError.of("body", "must be an object")
    new = parse(SavedVersion, **body)
    _, version = await run_in_threadpool(query.save, user, sql=new.sql, dataset_id=dataset_id, note=new.note)
    return version


@router.get("/datasets/{dataset_id}/versions")
def list_versions(dataset_id: str, user: CurrentUser, query: Annotated[ListQuery, Query()]) -> Listed[Version]:
    """Every version of a dataset, newest first."""
    return datasets.list_versions(user, dataset_id, query)


@router.get("/datasets/{dataset_id}/preview")
def preview_rows(dataset_id: str, user: CurrentUser, page: Annotated[PreviewQuery, Query()]) -> Preview:
    """A page of rows. ``columns``: names with commas between, or a JSON list. ``where``: a JSON object, a filter per column."""
    return datasets.preview(
        user,
        dataset_id,
        version=page.version,
        limit=page.limit,
        offset=page.offset,
        columns=_names(page.columns),
        order_by=page.order_by,
        where=read_object(page.where, "where"),
    )


@router.get("/datasets/{dataset_id}/profile")
def get_profile(dataset_id: str, user: CurrentUser, version: Number = None) -> Profile:
    """Per column: type, nulls, distinct (approximate), min, max, mean, quantiles, histogram, top values."""
    return datasets.profile(user, dataset_id, version=version)


@router.get("/datasets/{dataset_id}/content")
def get_content(
    dataset_id: str,
    user: CurrentUser,
    request: Request,
    version: Number = None,
    form: Annotated[Literal["original", "parquet", "csv", "jsonl"], Query(alias="as")] = "original",
) -> Response:
    """The uploaded bytes, or the rows in another format."""
    return downloads.send_content(datasets.open_content(user, dataset_id, version=version, as_=form), request)


async def _add_file(dataset_id: str, user: CurrentUser, request: Request) -> Version:
    await run_in_threadpool(datasets.get, user, dataset_id)  # before the file is read
    async with uploads.receive_form(request) as form:
        options = parse(IngestOptions, **read_object(form.fields.get("options"), "options"))
        note, file = form.fields.get("note", ""), form.require_file()
        return await run_in_threadpool(
            datasets.add_version, user, dataset_id, file=file, filename=form.filename, note=note, options=options
        )


def _names(text: str | None) -> list[str] | None:
    if not text:
        return None
    found = read_json(text, "columns") if text.startswith("[") else text.split(",")
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValidationError.of("columns", "must be names with commas between, or a JSON list of names")
    return found
