"""Datasets: a named line of immutable versions, and everything a user does with them.

Rules kept here: a dataset belongs to one user and does not exist for others; a version is made once and never changed; nothing is
deleted under an active job; what an upload may be called and how large it may be. A small upload is verified within the call and
leaves nothing when it is bad; a larger one is converted in the background and ends as ready, or as failed with its errors.
How a file is read is ``core.ingest``'s business, what rows mean for training ``core.formats``'s, user SQL ``core.query``'s.
"""

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from sqlalchemy import delete as sql_delete
from sqlalchemy import func, select
from sqlalchemy import update as sql_update
from sqlalchemy.orm import Session, defer

from core import conversions, dataset_rows, exports, formats, ingest, storage, usage
from core import preview as previews
from core.clock import now
from core.config import settings
from core.dataset_values import Content, Dataset, Profile, Sample, SqlTable, TrainingReport, Version, present_version
from core.db import reading, writing
from core.errors import Conflict, Detail, NotFound, TooLarge, UnreadableFile, ValidationError
from core.fields import Input, Name200, Text2000
from core.formats import Example
from core.listing import Listed, ListQuery, fetch
from core.preview import Filter, Preview
from core.readers import IngestOptions, kind_of
from core.samples import SAMPLES, sample_path
from core.security import new_id
from core.tables import DatasetRow, DatasetVersionRow, VersionParentRow
from core.users import User

__all__ = [
    "Content",
    "Dataset",
    "Filter",
    "IngestOptions",
    "Preview",
    "Profile",
    "Sample",
    "SqlTable",
    "TrainingReport",
    "Version",
]

SMALL_BYTES = 16 * 2**20  # up to this, an upload is verified within the call
SORTABLE = {"created_at": DatasetRow.created_at, "updated_at": DatasetRow.updated_at, "name": DatasetRow.name}
As = Literal["original", "parquet", "csv", "jsonl"]
recover = conversions.recover


class NewDataset(Input):
    """What goes with a new upload."""

    name: Name200 | None = Field(None, description="Empty: the file's name.")
    description: Text2000 = ""
    format: str = Field("auto", description="auto, or the training format the rows must have.")
    options: IngestOptions = Field(default_factory=IngestOptions)

    @field_validator("format")
    @classmethod
    def _format_is_known(cls, name: str) -> str:
        if name != "auto" and name not in formats.FORMATS:
            raise ValueError(f"must be auto or one of {', '.join(formats.FORMATS)}")
        return name


class DatasetChange(Input):
    name: Name200 | None = None
    description: Text2000 | None = None


class DatasetList(ListQuery):
    format: Literal["chat", "preference", "completion", "text", "table"] | None = None
    status: Literal["processing", "ready", "failed"] | None = None


# Making ------------------------------------------------------------------------------------------------------------------------


def create(user: User, new: NewDataset, *, file: Path, filename: str) -> Dataset:
    """Make a dataset of a staged upload, which is taken over: moved in, or removed when this raises.

    Raises UnsupportedMediaType, TooLarge, DiskFull, UnreadableFile, ValidationError. Above SMALL_BYTES the last two show later, as
    status ``failed``.
    """
    with _taking(file):
        name = dataset_rows.display_name(filename)
        kind = kind_of(name)
        _require_size(file)
        row = _version_row(user, filename=name, file=file, options={**new.options.model_dump(), "format": new.format})
        with writing() as session:
            title = new.name or dataset_rows.free_name(session, user.id, kind.stem)
            dataset_rows.insert(session, user.id, title, new.description, row)
        _convert(row, file)
    return get(user, row.dataset_id)


def add_version(
    user: User, dataset_id: str, *, file: Path, filename: str, note: str = "", options: IngestOptions | None = None
) -> Version:
    """Make the next version of a dataset of a staged upload. Raises as :func:`create` does, and NotFound."""
    with _taking(file):
        name = dataset_rows.display_name(filename)
        kind_of(name)
        _require_size(file)
        chosen = (options or IngestOptions()).model_dump()
        row = _version_row(user, filename=name, file=file, options=chosen, note=_checked_note(note))
        with writing() as session:
            dataset_rows.append(session, dataset_rows.own(session, user.id, dataset_id), row)
        _convert(row, file)
    return get_version(user, row.id)


def create_from_table(
    user: User,
    *,
    parquet: Path,
    name: str | None = None,
    description: str = "",
    sql: str | None = None,
    parents: Sequence[str] = (),
    note: str = "",
    dataset_id: str | None = None,
) -> tuple[Dataset, Version]:
    """Keep a query's result: as a new dataset, or as the next version of ``dataset_id``. ``parquet`` is taken over.

    ``parents`` are the versions it read, all the user's own. Raises NotFound, ValidationError, TooLarge, DiskFull, UnreadableFile.
    """
    with _taking(parquet):
        _require_size(parquet)
        options = {"keep_original": False}  # the table itself is the original
        row = _version_row(user, filename="result.parquet", file=parquet, options=options, note=_checked_note(note), sql=sql)
        with writing() as session:
            _require_own_versions(session, user, parents)
            if dataset_id:
                dataset_rows.append(session, dataset_rows.own(session, user.id, dataset_id), row)
            else:
                title = name or dataset_rows.free_name(session, user.id, "query result")
                dataset_rows.insert(session, user.id, title[:200], description, row)
            session.add_all(VersionParentRow(version_id=row.id, parent_id=parent) for parent in dict.fromkeys(parents))
        _convert(row, parquet)
    return get(user, row.dataset_id), get_version(user, row.id)


def add_sample(user: User, name: str) -> Dataset:
    """Make a dataset of a bundled file. Raises NotFound."""
    sample = next((found for found in samples() if found.name == name), None)
    if sample is None:
        raise NotFound
    staged = storage.new_staging_path()
    staged.write_bytes(sample_path(sample).read_bytes())
    with reading() as session:
        title = dataset_rows.free_name(session, user.id, sample.title)
    return create(user, NewDataset(name=title, description=sample.description), file=staged, filename=sample.filename)


def samples() -> list[Sample]:
    """The bundled files that are there."""
    return [sample for sample in SAMPLES if sample_path(sample).exists()]


# Looking -----------------------------------------------------------------------------------------------------------------------


def list_datasets(user: User, query: DatasetList) -> Listed[Dataset]:
    """Raises ValidationError for an unknown sort."""
    with reading() as session:
        statement = dataset_rows.matching(user.id, q=query.q, format_=query.format, status=query.status)
        sortable = {**SORTABLE, "size_bytes": DatasetVersionRow.original_bytes}
        found = fetch(session, statement, query, sortable=sortable, tie=DatasetRow.id, present=lambda row: row)
        return Listed(dataset_rows.present_all(session, found.items), found.total, found.limit, found.offset)


def get(user: User, dataset_id: str) -> Dataset:
    """Raises NotFound, also for other users' datasets."""
    with reading() as session:
        return dataset_rows.present_all(session, [dataset_rows.own(session, user.id, dataset_id)])[0]


def list_versions(user: User, dataset_id: str, query: ListQuery | None = None) -> Listed[Version]:
    """Newest first; tries that failed or still run are among them."""
    version = DatasetVersionRow
    with reading() as session:
        dataset_rows.own(session, user.id, dataset_id)
        statement = select(version).where(version.dataset_id == dataset_id).options(defer(version.profile))
        sortable = {"created_at": version.number, "version": version.number}
        found = fetch(session, statement, query or ListQuery(), sortable=sortable, tie=version.id, present=lambda row: row)
        parents = dataset_rows.parents_of(session, [row.id for row in found.items])
        items = [present_version(row, parents[row.id]) for row in found.items]
        return Listed(items, found.total, found.limit, found.offset)


def get_version(user: User, version_id: str) -> Version:
    """Raises NotFound, also for versions of other users' datasets."""
    with reading() as session:
        row = dataset_rows.own_version(session, user.id, version_id)
        return present_version(row, dataset_rows.parents_of(session, [row.id])[row.id])


def version_of(user: User, dataset_id: str, number: int | None = None) -> Version:
    """A version by number, or the newest ready one. Raises NotFound, or Conflict when none is ready yet."""
    with reading() as session:
        row = dataset_rows.numbered(session, user.id, dataset_id, number)
        return present_version(row, dataset_rows.parents_of(session, [row.id])[row.id])


def sql_tables(user: User) -> list[SqlTable]:
    """Every ready version of the user's datasets, for SQL to name. Files lie at ``storage.parquet_path(version_id)``."""
    with reading() as session:
        return dataset_rows.tables_of(session, user.id)


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
) -> Preview:
    """A page of rows. ``where`` is a :class:`Filter` (or its dict) per column; a plain value means equals, None means null."""
    found = _ready(user, dataset_id, version)
    return previews.page(
        storage.parquet_path(found.id),
        found.columns,
        num_rows=found.num_rows,
        limit=limit,
        offset=offset,
        only=columns,
        order_by=order_by,
        where={name: previews.as_filter(name, wanted) for name, wanted in (where or {}).items()},
    )


def profile(user: User, dataset_id: str, *, version: int | None = None) -> Profile:
    """What is in each column, as computed at the conversion."""
    with reading() as session:
        row = dataset_rows.numbered(session, user.id, dataset_id, version)
        stored = row.profile or {}
        _require_ready(row.status)
    return Profile(columns=stored.get("columns", []), num_rows=row.num_rows)


def open_content(user: User, dataset_id: str, *, version: int | None = None, as_: As = "original") -> Content:
    """A version to download: the uploaded bytes, or the rows in another form."""
    found, dataset = _ready(user, dataset_id, version), get(user, dataset_id)
    parquet, original = storage.parquet_path(found.id), storage.original_path(found.id)
    stem = dataset_rows.file_stem(dataset.name)
    if as_ == "csv":
        return Content(f"{stem}.csv", "text/csv; charset=utf-8", open_chunks=lambda: exports.csv_chunks(parquet))
    if as_ == "jsonl":
        return Content(f"{stem}.jsonl", "application/x-ndjson", open_chunks=lambda: exports.jsonl_chunks(parquet))
    if as_ == "original" and original.exists():
        return Content(found.filename, "application/octet-stream", path=original)
    if as_ not in ("original", "parquet"):
        raise ValidationError.of("as", "must be original, parquet, csv or jsonl")
    return Content(f"{stem}.parquet", "application/vnd.apache.parquet", path=parquet)


def training_preview(
    user: User, version_id: str, mapping: Mapping[str, str] | None = None, limit: int = 5
) -> list[tuple[int, Example | list[Detail]]]:
    """The first rows as examples, or what is wrong with them. Raises ValidationError for a mapping that does not fit."""
    found = _ready_version(user, version_id)
    format_ = formats.mapped(found.columns, mapping)
    return list(islice(formats.read_examples(storage.parquet_path(found.id), format_, mapping or None), limit))


def training_report(user: User, version_id: str, mapping: Mapping[str, str] | None = None) -> TrainingReport:
    """Whether a version trains as it is (stored), or under a mapping (read now, all rows)."""
    found = _ready_version(user, version_id)
    if not mapping and found.training:
        return TrainingReport(**found.training)
    format_ = formats.mapped(found.columns, mapping)
    return TrainingReport(**ingest.training_report(storage.parquet_path(found.id), format_.name, dict(mapping or {}) or None))


# Changing ----------------------------------------------------------------------------------------------------------------------


def update(user: User, dataset_id: str, change: DatasetChange) -> Dataset:
    """Rename or describe. Raises NotFound, ValidationError."""
    given = {name: value for name, value in change.model_dump(exclude_unset=True).items() if value is not None}
    with writing() as session:
        row = dataset_rows.own(session, user.id, dataset_id)
        for name, value in given.items():
            setattr(row, name, value)
        row.updated_at = now()
    return get(user, dataset_id)


def delete(user: User, dataset_id: str) -> None:
    """Delete a dataset with all versions and files. Raises NotFound, or InUse while an active job needs it."""
    with writing() as session:
        row = dataset_rows.own(session, user.id, dataset_id)
        ids = list(session.scalars(select(DatasetVersionRow.id).where(DatasetVersionRow.dataset_id == dataset_id)))
        dataset_rows.require_unused(session, dataset_id, ids)
        stored = sum(storage.folder_bytes(storage.version_dir(version_id)) for version_id in ids)
        session.execute(sql_delete(DatasetRow).where(DatasetRow.id == row.id))
        usage.record(session, user_id=user.id, kind="storage", bytes=-stored)
    for version_id in ids:
        _remove_files(version_id)


def cancel_ingest(user: User, version_id: str) -> Version:
    """Ask a running conversion to end; it does within a second or two. Raises Conflict when none runs."""
    with writing() as session:
        dataset_rows.own_version(session, user.id, version_id)
        asked = session.execute(
            sql_update(DatasetVersionRow)
            .where(DatasetVersionRow.id == version_id, DatasetVersionRow.status == "processing")
            .values(cancel_requested=True)
        )
        if not asked.rowcount:  # type: ignore[attr-defined]
            raise Conflict("This version is not being converted any more.")
    return get_version(user, version_id)


# Private -----------------------------------------------------------------------------------------------------------------------


class _taking:
    """Whatever happens, the staged file is not left behind."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self.file.unlink(missing_ok=True)


def _require_size(file: Path) -> None:
    size, limit = file.stat().st_size, settings().max_upload_mb
    if size == 0:
        raise UnreadableFile("The file is empty.")
    if size > limit * 2**20:
        raise TooLarge(f"The file is larger than the {limit:,} MiB this server accepts.")
    storage.require_space(size)


def _checked_note(note: str) -> str:
    if len(note) > 500:
        raise ValidationError.of("note", "at most 500 characters")
    return note


def _version_row(
    user: User, *, filename: str, file: Path, options: dict[str, Any], note: str = "", sql: str | None = None
) -> DatasetVersionRow:
    size = file.stat().st_size
    return DatasetVersionRow(
        id=new_id("dsv"), created_by=user.id, filename=filename, original_bytes=size, options=options, note=note, sql=sql
    )


def _convert(row: DatasetVersionRow, file: Path) -> None:
    """Hand the file to a converter; for a small one wait, and when it fails leave nothing and raise its error."""
    os.replace(file, ingest.staged_path(row.id))
    if row.original_bytes > SMALL_BYTES:
        conversions.run_in_background(row.id)
        return
    conversions.run_and_wait(row.id)
    with reading() as session:
        settled = session.get(DatasetVersionRow, row.id)
    if settled is None:
        raise NotFound
    if settled.status != "ready":
        _forget(settled)
        raise conversions.error_of(settled)


def _forget(row: DatasetVersionRow) -> None:
    with writing() as session:
        session.execute(sql_delete(DatasetVersionRow).where(DatasetVersionRow.id == row.id))
        left = session.scalar(
            select(func.count()).select_from(DatasetVersionRow).where(DatasetVersionRow.dataset_id == row.dataset_id)
        )
        if not left:
            session.execute(sql_delete(DatasetRow).where(DatasetRow.id == row.dataset_id))
    _remove_files(row.id)


def _remove_files(version_id: str) -> None:
    storage.remove(storage.version_dir(version_id))
    ingest.staged_path(version_id).unlink(missing_ok=True)
    ingest.log_path(version_id).unlink(missing_ok=True)


def _require_own_versions(session: Session, user: User, version_ids: Sequence[str]) -> None:
    for version_id in version_ids:
        dataset_rows.own_version(session, user.id, version_id)


def _ready(user: User, dataset_id: str, number: int | None) -> Version:
    found = version_of(user, dataset_id, number)
    _require_ready(found.status)
    return found


def _ready_version(user: User, version_id: str) -> Version:
    found = get_version(user, version_id)
    _require_ready(found.status)
    return found


def _require_ready(status: str) -> None:
    if status == "processing":
        raise Conflict("The dataset is still being converted. Try again in a moment.")
    if status == "failed":
        raise Conflict("The upload of this dataset failed, so it has no rows. Upload the file again.")
