"""``/api/datasets/{dataset_id}/…``: what is in a version.

Pages of its rows, what its columns hold, how two differ, and files.
"""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from core import datasets
from core.api import downloads
from core.api.deps import CurrentUser, SignedIn
from core.api.uploads import read_json, read_object
from core.datasets import Filter, Preview, Profile, View
from core.datasets.pages import filters
from core.errors import ValidationError
from core.fields import Input, parse
from core.listing import ListQuery

router = APIRouter(route_class=SignedIn, tags=["datasets"])
Number = Annotated[int | None, Query(ge=1, le=10**9)]


class ViewQuery(Input):
    """``columns``: names with commas between, or a JSON list.

    ``where``: a JSON object, a filter per column. ``search``: words.
    """

    model_config = ConfigDict(strict=False)  # an address holds text only

    version: int | None = Field(None, ge=1, le=10**9)
    columns: str | None = None
    order_by: str | None = None
    where: str | None = None
    search: str | None = Field(None, max_length=500)


class PreviewQuery(ViewQuery, ListQuery):
    pass


class ContentQuery(ViewQuery):
    form: Literal["original", "parquet", "csv", "jsonl", "rejects"] = Field("original", alias="as")


class DiffQuery(Input):
    model_config = ConfigDict(strict=False)

    from_: int = Field(alias="from", ge=1, le=10**9)
    to: int = Field(ge=1, le=10**9)
    key: str | None = None
    match: Literal["key", "row"] = "key"
    limit: int = Field(20, ge=0, le=100)


@router.get("/datasets/{dataset_id}/preview")
def preview_rows(dataset_id: str, user: CurrentUser, page: Annotated[PreviewQuery, Query()]) -> Preview:
    """A page of rows.

    A filter is a value, null, or any of ``contains``, ``equals``, ``min``, ``max``, ``one_of``, ``is_null`` …
    """
    return datasets.preview(
        user,
        dataset_id,
        version=page.version,
        limit=page.limit,
        offset=page.offset,
        columns=_names(page.columns, "columns"),
        order_by=page.order_by,
        where=_filters(page.where),
        search=page.search,
    )


@router.get("/datasets/{dataset_id}/profile")
def get_profile(dataset_id: str, user: CurrentUser, version: Number = None) -> Profile:
    """Per column: type, nulls, distinct (approximate), min, max, mean, quantiles, histogram, top values.
    ``status`` says whether it is complete: while it is ``running``, what the file's footer knows is there."""
    return datasets.profile(user, dataset_id, version=version)


@router.get("/datasets/{dataset_id}/diff")
def get_diff(dataset_id: str, user: CurrentUser, asked: Annotated[DiffQuery, Query()]) -> dict[str, Any]:
    """Rows added, removed and changed between two versions, exactly, with samples.

    ``key``: the columns that name a row; without one whole rows are compared. ``match=row``: rows meet by
    their numbers.
    """
    diff = datasets.diff(
        user,
        dataset_id,
        asked.from_,
        asked.to,
        key=_names(asked.key, "key") or [],
        by_row=asked.match == "row",
        limit=asked.limit,
    )
    return {name.rstrip("_"): value for name, value in asdict(diff).items()}


@router.get("/datasets/{dataset_id}/content")
def get_content(
    dataset_id: str, user: CurrentUser, request: Request, asked: Annotated[ContentQuery, Query()]
) -> Response:
    """The uploaded bytes, the rows in another format (all,
    or those of a view), or the rows that were skipped."""
    view = parse(
        View,
        version=asked.version,
        columns=_names(asked.columns, "columns"),
        order_by=asked.order_by,
        where=_filters(asked.where),
        search=asked.search,
    )
    if view == View(version=asked.version):
        content = datasets.open_content(user, dataset_id, version=asked.version, as_=asked.form)
    else:
        content = datasets.open_view(user, dataset_id, view, as_=asked.form)
    return downloads.send_content(content, request)


def _filters(text: str | None) -> dict[str, Filter]:
    return {name: filters.as_filter(name, wanted) for name, wanted in read_object(text, "where").items()}


def _names(text: str | None, field: str) -> list[str] | None:
    if not text:
        return None
    names = read_json(text, field) if text.startswith("[") else text.split(",")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValidationError.of(field, "must be names with commas between, or a JSON list of names")
    return names
