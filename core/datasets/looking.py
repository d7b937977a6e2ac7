"""Looking at datasets: lists, versions, pages of rows, downloads.

Everything here reads. Whose a dataset is comes first, every time: somebody else's looks as if it were not
there.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import case, func, select
from sqlalchemy.orm import defer

from core import storage
from core.datasets import pages, rows
from core.datasets.pages import Filter, Preview, files
from core.datasets.values import Content, Dataset, SqlTable, Version
from core.db import reading
from core.errors import NotFound, ValidationError
from core.listing import Listed, ListQuery, SearchQuery, fetch
from core.people.users import User
from core.sql_sandbox.gate import fold
from core.tables import DatasetRow, DatasetVersionRow

MOST_CONVERTING = 20
TRAINS = DatasetVersionRow.training["ok"].as_boolean()
SORTABLE = {
    "created_at": DatasetRow.created_at,
    "updated_at": DatasetRow.updated_at,
    "name": func.lower(DatasetRow.name),
    "size_bytes": DatasetVersionRow.original_bytes,
    "stored_bytes": DatasetVersionRow.size_bytes,
    "num_rows": DatasetVersionRow.num_rows,
    "num_columns": DatasetVersionRow.num_columns,
    "version": DatasetVersionRow.number,
    "training": case(
        (DatasetVersionRow.status != "ready", -1),
        (TRAINS, 3),
        (DatasetVersionRow.format == "table", 2),
        else_=1,
    ),
}
As = Literal["original", "parquet", "csv", "jsonl", "rejects"]


class DatasetList(SearchQuery):
    format: Literal["chat", "preference", "completion", "text", "table"] | None = None
    status: Literal["processing", "ready", "failed"] | None = None
    trains: bool | None = Field(
        None, description="Whether every row of the newest version can be learned as it is."
    )


def list_datasets(user: User, query: DatasetList) -> Listed[Dataset]:
    """Raises ValidationError for an unknown sort."""
    with reading() as session:
        statement = rows.matching(user.id, format_=query.format, status=query.status).where(
            query.found_in(DatasetRow.name, DatasetRow.description)
        )
        if query.trains is not None:
            statement = statement.where(func.coalesce(TRAINS, False) == query.trains)
        page = fetch(session, statement, query, sortable=SORTABLE, tie=DatasetRow.id, present=lambda row: row)
        return Listed(rows.present_all(session, page.items), page.total, page.limit, page.offset)


def doubled(user: User) -> frozenset[str]:
    """Ids of the user's datasets whose name another one has, too, as SQL compares names."""
    with reading() as session:
        mine = session.execute(select(DatasetRow.id, DatasetRow.name).where(DatasetRow.owner_id == user.id))
        names = {dataset_id: fold(name) for dataset_id, name in mine.tuples()}
    counts = Counter(names.values())
    return frozenset(dataset_id for dataset_id, name in names.items() if counts[name] > 1)


def get(user: User, dataset_id: str) -> Dataset:
    """Raises NotFound, also for other users' datasets."""
    with reading() as session:
        return rows.present_all(session, [rows.own(session, user.id, dataset_id)])[0]


def list_versions(user: User, dataset_id: str, query: ListQuery | None = None) -> Listed[Version]:
    """Newest first; a try that still runs is among them,
    and the last one that failed until something newer is ready."""
    version = DatasetVersionRow
    with reading() as session:
        rows.own(session, user.id, dataset_id)
        statement = (
            select(version)
            .where(version.dataset_id == dataset_id, rows.is_listed(dataset_id))
            .options(defer(version.profile))
        )
        sortable = {"created_at": version.number, "version": version.number}
        page = fetch(
            session,
            statement,
            query or ListQuery(),
            sortable=sortable,
            tie=version.id,
            present=lambda row: row,
        )
        return Listed(rows.present_versions(session, page.items), page.total, page.limit, page.offset)


def list_converting(user: User, dataset_id: str | None = None) -> list[Version]:
    """Versions that are being made right now, oldest first: of one dataset, or of all the user's."""
    version = DatasetVersionRow
    statement = (
        select(version).join(DatasetRow, DatasetRow.id == version.dataset_id).options(defer(version.profile))
    )
    statement = statement.where(DatasetRow.owner_id == user.id, version.status == "processing")
    if dataset_id:
        statement = statement.where(version.dataset_id == dataset_id)
    with reading() as session:
        versions = session.scalars(statement.order_by(version.created_at).limit(MOST_CONVERTING)).all()
        return rows.present_versions(session, versions)


def get_version(user: User, version_id: str) -> Version:
    """Raises NotFound, also for versions of other users' datasets."""
    with reading() as session:
        row = rows.own_version(session, user.id, version_id)
        return rows.present_versions(session, [row])[0]


def version_of(user: User, dataset_id: str, number: int | None = None) -> Version:
    """A version by number, or the newest ready one. Raises NotFound, or Conflict when none is ready yet."""
    with reading() as session:
        row = rows.numbered(session, user.id, dataset_id, number)
        return rows.present_versions(session, [row])[0]


def sql_tables(user: User) -> list[SqlTable]:
    """Every ready version of the user's datasets, for SQL to name.

    Files lie at ``storage.parquet_path(version_id)``.
    """
    with reading() as session:
        return rows.tables_of(session, user.id)


def preview(
    user: User,
    dataset_id: str,
    *,
    version: int | None = None,
    limit: int = 20,
    offset: int = 0,
    columns: Sequence[str] | None = None,
    order_by: str | None = None,
    where: Mapping[str, Filter | Mapping[str, Any] | str | int | float | bool | None] | None = None,
    search: str | None = None,
    lines: Sequence[int] | None = None,
) -> Preview:
    """A page of rows.

    ``where`` is a :class:`Filter` (or its dict) per column; a plain value means equals, None means null.

    ``search``: words that must all occur somewhere in the row's text; ``lines``: only rows of these numbers,
    from 1.
    """
    dataset_version = _ready(user, dataset_id, version)
    return pages.page(
        storage.parquet_path(dataset_version.id),
        dataset_version.columns,
        num_rows=dataset_version.num_rows,
        limit=limit,
        offset=offset,
        only=columns,
        order_by=order_by,
        where={name: pages.as_filter(name, wanted) for name, wanted in (where or {}).items()},
        search=search,
        lines=lines,
    )


def open_content(user: User, dataset_id: str, *, version: int | None = None, as_: As = "original") -> Content:
    """A version to download: the uploaded bytes, the rows in another form, or the rows that were skipped.

    Raises NotFound (also when nothing was skipped), Conflict, ValidationError.
    """
    dataset_version, dataset = _ready(user, dataset_id, version), get(user, dataset_id)
    parquet, original = storage.parquet_path(dataset_version.id), storage.original_path(dataset_version.id)
    stem = rows.file_stem(dataset.name)
    if as_ == "csv":
        return Content(
            f"{stem}.csv", "text/csv; charset=utf-8", open_chunks=lambda: files.csv_chunks(parquet)
        )
    if as_ == "jsonl":
        return Content(
            f"{stem}.jsonl", "application/x-ndjson", open_chunks=lambda: files.jsonl_chunks(parquet)
        )
    if as_ == "rejects":
        # one JSON object per row that could not be read: its line, what was wrong with it, and its text
        path = storage.version_dir(dataset_version.id) / "rejects.jsonl"
        if not path.exists():
            raise NotFound("No row of this version was skipped.")
        return Content(f"{stem} (skipped rows).jsonl", "application/x-ndjson", path=path)
    if as_ == "original" and original.exists():
        return Content(dataset_version.filename, "application/octet-stream", path=original)
    if as_ not in ("original", "parquet"):
        raise ValidationError.of("as", "must be original, parquet, csv, jsonl or rejects")
    return Content(f"{stem}.parquet", "application/vnd.apache.parquet", path=parquet)


def _ready(user: User, dataset_id: str, number: int | None) -> Version:
    version = version_of(user, dataset_id, number)
    rows.require_readable(version)
    return version
