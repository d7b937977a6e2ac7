"""The metadata behind uploads: whose they are, and how a row becomes what people see.

Runs in the caller's session.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.clock import now
from core.errors import Conflict, NotFound
from core.security import new_id
from core.tables import DatasetRow, DatasetVersionRow, UploadRow
from core.uploads.values import Upload

MOVING_SECONDS = 10
MOST_WAITING = 1000


def own(session: Session, owner_id: str, upload_id: str) -> UploadRow:
    """Raises NotFound, also for other users' uploads and for those that have become a version."""
    row = session.get(UploadRow, upload_id)
    if row is None or row.user_id != owner_id or _is_done(session, row):
        raise NotFound
    return row


def insert(session: Session, owner_id: str, **columns: Any) -> UploadRow:
    """Raises Conflict when far too many wait already."""
    waiting = select(UploadRow.id).where(UploadRow.user_id == owner_id).limit(MOST_WAITING)
    if len(session.scalars(waiting).all()) >= MOST_WAITING:
        raise Conflict(f"{MOST_WAITING:,} uploads are waiting already. Import or discard some of them first.")
    row = UploadRow(id=new_id("upl"), user_id=owner_id, **columns)
    session.add(row)
    session.flush()
    return row


def present(session: Session, row: UploadRow) -> Upload:
    version = session.get(DatasetVersionRow, row.version_id) if row.version_id else None
    idle = now() - row.updated_at
    return Upload(
        id=row.id,
        dataset_id=row.dataset_id,
        source=row.source,
        state=row.state,
        filename=row.filename,
        location=row.location,
        size_bytes=row.size_bytes,
        received_bytes=row.received_bytes,
        sha256=row.sha256,
        options=row.options,
        error=_why_not(version) if version is not None and version.status == "failed" else row.error,
        version_id=row.version_id,
        is_importing=version is not None and version.status == "processing",
        is_moving=row.state == "receiving"
        and row.received_bytes > 0
        and idle < timedelta(seconds=MOVING_SECONDS),
        same_as=same_as(session, row) if row.state == "received" else None,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def same_as(session: Session, row: UploadRow) -> dict[str, Any] | None:
    """A version its user has of the same bytes:
    of the target dataset if there is one there, else the newest."""
    version = DatasetVersionRow
    statement = (
        select(version.dataset_id, version.id, version.number, DatasetRow.name)
        .join(DatasetRow, DatasetRow.id == version.dataset_id)
        .where(DatasetRow.owner_id == row.user_id, version.sha256 == row.sha256, version.origin == "upload")
        .where(version.status == "ready", version.removed_at.is_(None))
        .order_by((version.dataset_id == (row.dataset_id or "")).desc(), version.created_at.desc())
    )
    twin = session.execute(statement.limit(1)).first()
    return dict(zip(("dataset_id", "version_id", "version", "name"), twin, strict=True)) if twin else None


def _is_done(session: Session, row: UploadRow) -> bool:
    version = session.get(DatasetVersionRow, row.version_id) if row.version_id else None
    return version is not None and version.status == "ready"


def _why_not(version: DatasetVersionRow) -> str | None:
    first = (version.errors or [{}])[0]
    return first.get("summary") or first.get("message")
