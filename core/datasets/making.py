"""Making, changing and deleting datasets.

Rules kept here: a version is made once and never changed; nothing is deleted under an active job; what an
upload may be called and how large it may be. A small upload is verified within the call and leaves nothing
when it is bad; a larger one is converted in the background and ends as ready, or as failed with its errors.
How a file is read is ``core.ingest``'s business.
"""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator
from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy import update as sql_update

from core import formats, storage
from core.clock import now
from core.datasets import adding, earlier_options, from_tables, removing, results, rows, same_bytes
from core.datasets.bundled import SAMPLES, sample_path
from core.datasets.from_tables import Table
from core.datasets.looking import (
    get,
    get_version,
    version_of,
)
from core.datasets.values import Dataset, Sample, Version
from core.db import num_changed, reading, writing
from core.errors import Conflict, NotFound, ValidationError
from core.fields import Input, Name200, Text2000
from core.ingest import converter
from core.ingest import queue as conversions
from core.people import usage
from core.people.users import User
from core.readers import IngestOptions, appended, kind_of
from core.reports import queue as report_queue
from core.tables import DatasetRow, DatasetVersionRow, UploadRow


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


def create(
    user: User,
    new: NewDataset,
    *,
    file: Path | None = None,
    filename: str = "",
    table: Table | None = None,
    sha256: str | None = None,
) -> Dataset:
    """Make a dataset of a staged upload, which is taken over: moved in, or removed when this raises.

    Or of a ``table`` in Python.

    ``sha256`` of the file where it is known already. Bytes the user has in another dataset, read in the same
    way, are not converted or stored again: ``same_as`` of what comes back names the version. Raises
    UnsupportedMediaType, TooLarge, DiskFull, UnreadableFile, ValidationError. Of a large file the last two
    show later, as status ``failed``.
    """
    if file is None:
        return _create_of(user, new, table)
    with adding.taking(file):
        row = _uploaded_row(
            user, file, filename, {**new.options.model_dump(), "format": new.format}, sha256=sha256
        )
        with reading() as session:
            twin = same_bytes.find_twin(session, row, owner_id=user.id)
            known_as = same_bytes.name_twin(session, twin) if twin else None
        shared = twin is not None and same_bytes.share_version(twin, row)
        with nullcontext() if shared else adding.staged(row, file), writing() as session:
            title = new.name or rows.free_name(session, user.id, kind_of(row.filename).stem)
            rows.insert(session, user.id, title, new.description, row)
            if twin is not None and shared:
                same_bytes.note_shared(session, twin, row)
        if shared:
            report_queue.QUEUE.wake()
            if row.content_hash == converter.HASHED_LATER:  # the twin's is still being made
                conversions.QUEUE.hash_content(row.id)
        else:
            adding.finish(row)
    return replace(get(user, row.dataset_id), same_as=known_as if shared else None)


def add_version(
    user: User,
    dataset_id: str,
    *,
    file: Path,
    filename: str,
    note: str = "",
    options: IngestOptions | None = None,
    sha256: str | None = None,
) -> Version:
    """Make the next version of a dataset of a staged upload. Raises as :func:`create` does, and NotFound.

    Without ``options`` it is read as the dataset's newest upload was: ``detected["notes"]`` and errors name
    that version. When the dataset has a version of the same bytes, read in the same way, that one comes back,
    with ``same_as`` set.
    """
    with adding.taking(file):
        chosen, earlier = earlier_options.choose(user, dataset_id, options)
        row = _uploaded_row(user, file, filename, chosen, sha256=sha256, note=note)
        with reading() as session:
            twin = same_bytes.find_twin(session, row, owner_id=user.id, dataset_id=dataset_id)
            known_as = same_bytes.name_twin(session, twin) if twin else None
        if twin is not None:
            return replace(get_version(user, twin.id), same_as=known_as)
        with adding.staged(row, file), writing() as session:
            rows.append(session, rows.lock(session, user.id, dataset_id), row)
        with earlier_options.blaming(earlier):
            adding.finish(row)
        if earlier is not None:
            earlier_options.note(row.id, earlier)
    return get_version(user, row.id)


def append_rows(
    user: User,
    dataset_id: str,
    *,
    file: Path,
    filename: str,
    note: str = "",
    options: IngestOptions | None = None,
    sha256: str | None = None,
) -> Version:
    """Make the next version: the rows of the newest one, those of a staged upload behind them.

    Columns must fit by name and type.

    Types are read as the dataset has them unless ``options`` say otherwise. Raises as :func:`create` does,
    NotFound, and Conflict while another version is being made: one of the two would lose the rows of the
    other.
    """
    with adding.taking(file):
        newest = version_of(user, dataset_id)
        chosen_options = options or IngestOptions()
        types = appended.types_for(newest.columns) | (chosen_options.types or {})
        chosen = {
            **chosen_options.model_copy(update={"types": types or None}).model_dump(),
            "append_to": newest.id,
            "keep_original": False,
        }
        row = _uploaded_row(user, file, filename, chosen, sha256=sha256, note=note)
        row.origin = "append"
        with adding.staged(row, file), writing() as session:
            dataset = rows.lock(session, user.id, dataset_id)
            rows.require_newest(session, newest, what="these rows")
            rows.append(session, dataset, row)
            adding.name_parents(session, user, row, [newest.id])
        adding.finish(row)
    return get_version(user, row.id)


def add_sample(user: User, name: str) -> Dataset:
    """Make a dataset of a bundled file. Raises NotFound."""
    sample = next((candidate for candidate in samples() if candidate.name == name), None)
    if sample is None:
        raise NotFound
    staged = storage.new_staging_path()
    staged.write_bytes(sample_path(sample).read_bytes())
    with reading() as session:
        title = rows.free_name(session, user.id, sample.title)
    return create(
        user, NewDataset(name=title, description=sample.description), file=staged, filename=sample.filename
    )


def samples() -> list[Sample]:
    """The bundled files that are there."""
    return [sample for sample in SAMPLES if sample_path(sample).exists()]


def update(user: User, dataset_id: str, change: DatasetChange) -> Dataset:
    """Rename or describe. Raises NotFound, ValidationError."""
    changes = {
        name: value for name, value in change.model_dump(exclude_unset=True).items() if value is not None
    }
    with writing() as session:
        row = rows.own(session, user.id, dataset_id)
        for name, value in changes.items():
            setattr(row, name, value)
        row.updated_at = now()
    return get(user, dataset_id)


def delete(user: User, dataset_id: str) -> None:
    """Delete a dataset with all versions and files.

    Raises NotFound, or InUse while an active job needs it.
    """
    with writing() as session:
        row = rows.lock(session, user.id, dataset_id)
        ids = list(
            session.scalars(select(DatasetVersionRow.id).where(DatasetVersionRow.dataset_id == dataset_id))
        )
        removing.require_unused(session, dataset_id, ids)
        # to become versions of it
        sent = list(session.scalars(select(UploadRow.id).where(UploadRow.dataset_id == dataset_id)))
        stored = sum(storage.folder_bytes(storage.version_dir(version_id)) for version_id in ids)
        session.execute(sql_delete(DatasetRow).where(DatasetRow.id == row.id))
        usage.record(session, user_id=user.id, kind="storage", bytes=-stored)
    for version_id in ids:
        removing.remove_files(version_id)
    for upload_id in sent:
        storage.upload_path(upload_id).unlink(missing_ok=True)


def cancel_ingest(user: User, version_id: str) -> Version:
    """Ask a running conversion to end; it does within a second or two. Raises Conflict when none runs."""
    with writing() as session:
        rows.own_version(session, user.id, version_id)
        running = sql_update(DatasetVersionRow).where(
            DatasetVersionRow.id == version_id, DatasetVersionRow.status == "processing"
        )
        if not num_changed(session, running.values(cancel_requested=True)):
            raise Conflict("This version is not being converted any more.")
    return get_version(user, version_id)


def _create_of(user: User, new: NewDataset, table: Table | None) -> Dataset:
    if table is None:
        raise ValidationError.of("file", "is required")
    name = new.name
    if name is None:
        with reading() as session:
            name = rows.free_name(session, user.id, "table")
    parquet = from_tables.write_parquet(table)
    dataset, _ = results.create_from_table(
        user,
        parquet=parquet,
        name=name,
        description=new.description,
        origin="python",
        options={"format": new.format},
    )
    return dataset


def _uploaded_row(
    user: User, file: Path, filename: str, options: dict[str, Any], *, sha256: str | None, note: str = ""
) -> DatasetVersionRow:
    """The row of a version to be made of a staged file, whose name and size are checked here."""
    name = rows.display_name(filename)
    kind_of(name)
    row = adding.version_row(user, filename=name, file=file, options=options, note=note)
    row.sha256 = sha256 or same_bytes.hash_of(file)
    return row
