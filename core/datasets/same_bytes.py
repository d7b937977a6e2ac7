"""Bytes that a user has already: no second conversion, no second copy.

A version made of the same bytes, read in the same way, gives its files to the new one as hard links: both are
immutable, and each can be deleted without the other. Read in another way, only the uploaded file itself is
shared. Nobody's bytes are compared with another user's, so nothing can be learned from an answer.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import storage
from core.clock import now
from core.errors import UnsupportedMediaType, ValidationError
from core.fields import parse
from core.people import usage
from core.readers import IngestOptions, kind_of
from core.reports import computing
from core.tables import DatasetRow, DatasetVersionRow, VersionReportRow

FACTS = (
    "size_bytes", "num_rows", "num_columns", "columns", "content_hash", "format", "training", "profile",
    "detected", "skipped_rows", "errors",
)  # fmt: skip

REPORT_FACTS = ("kind", "status", "progress", "result", "created_at", "finished_at")


def hash_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def options_of(row: DatasetVersionRow) -> IngestOptions:
    """How a version was read; what an older release stored
    and is not valid any more is left to be detected."""
    try:
        return parse(IngestOptions, **row.options)
    except ValidationError:
        return IngestOptions()


def find_twin(
    session: Session, row: DatasetVersionRow, *, owner_id: str, dataset_id: str | None = None
) -> DatasetVersionRow | None:
    """A ready version of the owner (of one dataset) with the bytes,
    the kind of file and the options of ``row``."""
    version = DatasetVersionRow
    statement = (
        select(version)
        .join(DatasetRow, DatasetRow.id == version.dataset_id)
        .where(DatasetRow.owner_id == owner_id, version.sha256 == row.sha256, version.origin == row.origin)
        .where(version.status == "ready", version.removed_at.is_(None))
        .order_by(version.created_at.desc())
    )
    if dataset_id:
        statement = statement.where(version.dataset_id == dataset_id)
    return next(
        (candidate for candidate in session.scalars(statement) if _is_read_alike(candidate, row)), None
    )


def name_twin(session: Session, twin: DatasetVersionRow) -> dict[str, Any]:
    """What ``same_as`` says of it."""
    dataset = session.get_one(DatasetRow, twin.dataset_id)
    return {"dataset_id": dataset.id, "version_id": twin.id, "version": twin.number, "name": dataset.name}


def share_version(twin: DatasetVersionRow, row: DatasetVersionRow) -> bool:
    """Publish the twin's files under ``row``, which becomes ready; its insertion comes after.

    False when they are gone.
    """
    source, final = storage.version_dir(twin.id), storage.version_dir(row.id)
    try:
        with storage.publishing(final) as draft:
            for file in source.iterdir():
                storage.link(file, draft / file.name)
    except (FileNotFoundError, IsADirectoryError):
        return False
    if not storage.parquet_path(row.id).exists():
        storage.remove(final)
        return False
    for name in FACTS:
        setattr(row, name, getattr(twin, name))
    row.status, row.progress, row.heartbeat_at = "ready", 1.0, now()
    return True


def note_shared(session: Session, twin: DatasetVersionRow, row: DatasetVersionRow) -> None:
    """What else the new version has of its twin: the reports about it.

    Those that are not there yet are asked for.

    The shared files count as if they were its own, because deleting it takes as much away again. The hash of
    a large content comes after its version: by now perhaps.
    """
    row.content_hash = (
        session.scalar(select(DatasetVersionRow.content_hash).where(DatasetVersionRow.id == twin.id))
        or row.content_hash
    )
    reports = session.scalars(select(VersionReportRow).where(VersionReportRow.version_id == twin.id))
    for report in [report for report in reports if report.status == "ready"]:
        session.add(
            VersionReportRow(version_id=row.id, **{name: getattr(report, name) for name in REPORT_FACTS})
        )
    session.flush()
    computing.request_all(session, row.id, profiled=row.profile is not None)
    usage.record(
        session,
        user_id=row.created_by,
        kind="storage",
        bytes=storage.folder_bytes(storage.version_dir(row.id)),
    )


def share_original(session: Session, file: Path, *, owner_id: str, sha256: str) -> None:
    """Let a staged file be a second name of an original with the same bytes, where one is kept."""
    version = DatasetVersionRow
    statement = select(version.id).join(DatasetRow, DatasetRow.id == version.dataset_id)
    statement = statement.where(
        DatasetRow.owner_id == owner_id, version.sha256 == sha256, version.status == "ready"
    )
    kept = next(
        (path for id_ in session.scalars(statement) if (path := storage.original_path(id_)).exists()), None
    )
    if kept is None:
        return
    link = storage.new_staging_path()
    try:
        os.link(kept, link)
    except OSError:
        return  # gone meanwhile, or a file system without links: the staged file does as well
    os.replace(link, file)


def _is_read_alike(one: DatasetVersionRow, other: DatasetVersionRow) -> bool:
    return _reading_of(one) is not None and _reading_of(one) == _reading_of(other)


def _reading_of(row: DatasetVersionRow) -> tuple[Any, ...] | None:
    """What decides how bytes are read: the kind of file, the options, the format they must have."""
    try:
        kind = kind_of(row.filename)
        options = parse(IngestOptions, **row.options)
    except (UnsupportedMediaType, ValidationError):  # as an older release stored them
        return None
    return kind.suffix, kind.compression, options, row.options.get("format", "auto")
