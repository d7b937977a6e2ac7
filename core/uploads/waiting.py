"""Uploads that wait: for the rest of their bytes, or for somebody to look at what they are and decide."""

from typing import Any

from sqlalchemy import Select, select
from sqlalchemy import update as sql_update

from core import storage
from core.db import reading, writing
from core.errors import Conflict, ValidationError
from core.fields import parse
from core.ingest.look import look_in_child
from core.listing import Listed, ListQuery, fetch
from core.people.users import User
from core.readers import IngestOptions
from core.readers.look import Look
from core.tables import DatasetVersionRow, UploadRow
from core.uploads import receiving, rows
from core.uploads.values import Chosen, Upload

SORTABLE = {
    "created_at": UploadRow.created_at,
    "updated_at": UploadRow.updated_at,
    "filename": UploadRow.filename,
}
COPIED = (
    "dataset_id",
    "source",
    "state",
    "filename",
    "location",
    "size_bytes",
    "received_bytes",
    "sha256",
    "options",
)


def get(user: User, upload_id: str) -> Upload:
    """Raises NotFound, also for what has become a version."""
    with reading() as session:
        return rows.present(session, rows.own(session, user.id, upload_id))


def list_uploads(user: User) -> list[Upload]:
    """All that is unfinished or waits, newest first; not what is being imported right now."""
    with reading() as session:
        uploads = session.scalars(
            _waiting(user).order_by(UploadRow.created_at.desc(), UploadRow.id.desc())
        ).all()
        shown = [rows.present(session, row) for row in uploads]
    return [upload for upload in shown if not upload.is_importing]


def list_page(user: User, query: ListQuery) -> Listed[Upload]:
    """The same, page by page. Raises ValidationError for an unknown sort."""
    with reading() as session:
        present = lambda row: rows.present(session, row)  # noqa: E731
        return fetch(session, _waiting(user), query, sortable=SORTABLE, tie=UploadRow.id, present=present)


def cancel(user: User, upload_id: str) -> None:
    """Stop it where it is, and remove its bytes.

    What is being imported is cancelled by cancelling that. Raises NotFound.
    """
    with writing() as session:
        session.delete(rows.own(session, user.id, upload_id))
    receiving.drop(upload_id)


def choose(user: User, upload_id: str, options: IngestOptions) -> Upload:
    """Remember how it is to be read. Raises NotFound."""
    with writing() as session:
        row = rows.own(session, user.id, upload_id)
        session.execute(
            sql_update(UploadRow).where(UploadRow.id == row.id).values(options=options.model_dump())
        )
        session.refresh(row)
        return rows.present(session, row)


def chosen(user: User, upload_id: str) -> Chosen:
    """How it will be read: as stored with it, else as the newest upload of its target was, else as detected.

    Raises NotFound.
    """
    with reading() as session:
        row = rows.own(session, user.id, upload_id)
        if row.options:
            return Chosen(_known(row.options))
        earlier = _newest_uploaded(row.dataset_id)
        version = session.execute(earlier).first() if row.dataset_id else None
    if version is None:
        return Chosen(IngestOptions())
    options, number = version
    return Chosen(_known(options), from_version=number)


def look(user: User, upload_id: str, options: IngestOptions | None = None) -> Look:
    """What the readers make of the first rows, under these options or those in force.

    Raises NotFound, Conflict.
    """
    upload = require_received(user, upload_id)
    in_force = options or chosen(user, upload_id).options
    return look_in_child(storage.upload_path(upload_id), upload.filename, in_force)


def duplicate(user: User, upload_id: str) -> Upload:
    """The same bytes once more, as an upload of its own: for another sheet, or another file of the archive.

    Makes no copy.
    """
    require_received(user, upload_id)
    with writing() as session:
        row = rows.own(session, user.id, upload_id)
        copy = rows.insert(session, user.id, **{name: getattr(row, name) for name in COPIED})
        storage.link(storage.upload_path(row.id), storage.upload_path(copy.id))
        return rows.present(session, copy)


def require_received(user: User, upload_id: str) -> Upload:
    upload = get(user, upload_id)
    if upload.is_importing:
        raise Conflict("This upload is being imported already.")
    if upload.state == "receiving":
        raise Conflict("This file has not arrived yet. Wait until all of it is here.")
    if upload.state == "failed":
        raise Conflict(upload.error or "This upload failed. Start it again.")
    return upload


def _waiting(user: User) -> Select[UploadRow]:
    version = DatasetVersionRow
    done = select(version.id).where(version.id == UploadRow.version_id, version.status == "ready").exists()
    return select(UploadRow).where(UploadRow.user_id == user.id, ~done)


def _newest_uploaded(dataset_id: str | None) -> Any:
    version = DatasetVersionRow
    return (
        select(version.options, version.number)
        .where(version.dataset_id == dataset_id, version.status == "ready", version.origin == "upload")
        .order_by(version.number.desc())
        .limit(1)
    )


def _known(stored: dict[str, Any]) -> IngestOptions:
    """Options as they were stored, perhaps by an older release;
    what is not valid any more is detected again."""
    try:
        return parse(IngestOptions, **stored)
    except ValidationError:
        return IngestOptions()
