"""A view: which rows of a version are shown, in which order, with which columns.

The same for a page, a link and a file.

Whose dataset it is comes first, as everywhere; what the parts of a view mean is told in ``pages``.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import Field

from core import storage
from core.cells import json_safe
from core.datasets import looking, pages, reports, rows
from core.datasets.pages import Preview, files, shares
from core.datasets.pages.filters import Filter
from core.datasets.pages.shares import ColumnShare
from core.datasets.values import Content, Version
from core.errors import ValidationError
from core.fields import Input, parse
from core.people.users import User

MAX_LIMIT = 500
QUERY = {"version": "version", "sort": "order_by", "q": "search", "finding": "finding"}
FILES = {
    "csv": ("text/csv; charset=utf-8", files.csv_chunks),
    "jsonl": ("application/x-ndjson", files.jsonl_chunks),
    "parquet": ("application/vnd.apache.parquet", files.parquet_chunks),
}


class View(Input):
    """``finding`` names a finding of the quality report;
    only its rows are meant, as with ``lines`` (numbers from 1)."""

    version: int | None = Field(None, ge=1, le=10**9)
    columns: list[str] | None = None
    order_by: str | None = None
    where: dict[str, Filter] = Field(default_factory=dict, max_length=200)
    search: str | None = Field(None, max_length=500)
    lines: list[int] | None = None
    finding: str | None = Field(None, max_length=200)

    @property
    def narrows(self) -> bool:
        """Whether it may leave rows out."""
        return bool(self.where or self.search or self.finding) or self.lines is not None


def from_query(query: Mapping[str, str]) -> View:
    """The view of an address: ``version``, ``where`` (JSON),
    ``sort`` (``-name``: descending), ``q``, ``cols``, ``finding``.

    Raises ValidationError for what is no view.
    """
    fields: dict[str, Any] = {field: query[name] for name, field in QUERY.items() if query.get(name)}
    if "where" in query:
        fields["where"] = _json(query["where"], "where", dict) if query["where"] else {}
    if columns := query.get("cols"):
        fields["columns"] = _json(columns, "cols", list) if columns.startswith("[") else columns.split(",")
    return parse(View, **fields)


def to_query(view: View) -> dict[str, str]:
    """The same the other way round; what is at its default is left out."""
    query = {name: str(value) for name, field in QUERY.items() if (value := getattr(view, field))}
    if view.where:
        where = {name: wanted.model_dump(exclude_none=True) for name, wanted in view.where.items()}
        query["where"] = json.dumps(where, ensure_ascii=False, separators=(",", ":"))
    if view.columns:
        is_plain = not any("," in name for name in view.columns) and not view.columns[0].startswith("[")
        query["cols"] = ",".join(view.columns) if is_plain else json.dumps(view.columns, ensure_ascii=False)
    return query


def rows_of(
    user: User,
    dataset_id: str,
    view: View,
    *,
    limit: int = 50,
    offset: int = 0,
    present: Callable[[Any], Any] = json_safe,
    cut: int | None = None,
) -> Preview:
    """A page of a view; ``present`` and ``cut`` as in :func:`pages.page`.

    Raises ValidationError and QueryTimeout, and NotFound or Conflict for the version.
    """
    version = _version(user, dataset_id, view)
    return pages.page(
        storage.parquet_path(version.id),
        version.columns,
        num_rows=version.num_rows,
        limit=limit,
        offset=offset,
        only=view.columns,
        order_by=view.order_by,
        where=view.where,
        search=view.search,
        lines=_lines(user, version, view),
        present=present,
        cut=cut,
        max_limit=MAX_LIMIT,
    )


def shares_of(
    user: User, dataset_id: str, view: View, statistics: Mapping[str, Mapping[str, Any]], *, values: int
) -> dict[str, ColumnShare] | None:
    """How many of the view's rows each bar and each of the first ``values`` commonest values of its columns
    holds; ``statistics`` are the columns' of the version. Empty when all rows are meant, None when counting
    takes too long."""
    if not view.narrows:
        return {}
    version = _version(user, dataset_id, view)
    chosen = pages.select(
        storage.parquet_path(version.id),
        version.columns,
        only=view.columns,
        where=view.where,
        search=view.search,
        lines=_lines(user, version, view),
    )
    return shares.of(chosen, version.columns, statistics, values=values)


def open_view(user: User, dataset_id: str, view: View, *, as_: str) -> Content:
    """All rows of a view as a file that is made while it is sent."""
    if as_ not in FILES:
        raise ValidationError.of("as", "must be csv, jsonl or parquet")
    version = _version(user, dataset_id, view)
    chosen = pages.select(
        storage.parquet_path(version.id),
        version.columns,
        only=view.columns,
        order_by=view.order_by,
        where=view.where,
        search=view.search,
        lines=_lines(user, version, view),
    )
    pages.count(chosen)  # says what is wrong with a value before the first byte is out
    media_type, write = FILES[as_]
    stem = rows.file_stem(looking.get(user, dataset_id).name)
    part = " (part)" if view.narrows else ""
    return Content(f"{stem}{part}.{as_}", media_type, open_chunks=lambda: write(chosen))


def _version(user: User, dataset_id: str, view: View) -> Version:
    version = looking.version_of(user, dataset_id, view.version)
    rows.require_readable(version)
    return version


def _lines(user: User, version: Version, view: View) -> Sequence[int] | None:
    if not view.finding:
        return view.lines
    lines = set(reports.finding(user, version.id, view.finding).lines)
    return sorted(lines if view.lines is None else lines & set(view.lines))


def _json(text: str, field: str, kind: type[Any]) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValidationError.of(field, "is not valid JSON") from error
    if not isinstance(value, kind):
        raise ValidationError.of(field, f"must be a JSON {'object' if kind is dict else 'list'}")
    return value
