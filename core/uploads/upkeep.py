"""What time and crashes leave of uploads: told at the next start, and swept when nobody comes back for it."""

from datetime import timedelta

from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy import update as sql_update

from core import storage
from core.clock import now
from core.config import settings
from core.db import reading, writing
from core.tables import DatasetVersionRow, UploadRow
from core.uploads import receiving

SENT_AGAIN = ("browser", "api")


def recover() -> None:
    """At the start of a server, before anything is sent."""
    with writing() as session:
        for row in session.scalars(select(UploadRow).where(UploadRow.state == "receiving")):
            told = sql_update(UploadRow).where(UploadRow.id == row.id)
            session.execute(told.values(updated_at=row.updated_at, **_interrupted(row)))  # its age stays
        for row in session.scalars(select(UploadRow).where(UploadRow.state == "received")):
            if not storage.upload_path(row.id).exists():
                session.delete(row)
    sweep()
    with reading() as session:
        known = set(session.scalars(select(UploadRow.id).where(UploadRow.state != "failed")))
    for path in (settings().data_dir / "uploads").glob("*"):
        if path.name not in known:
            path.unlink(missing_ok=True)


def sweep() -> int:
    """Remove what nobody finished or reviewed in time, and what has become a version; returns how many."""
    keep = timedelta(hours=settings().upload_keep_hours)
    version = DatasetVersionRow
    done = select(version.id).where(version.id == UploadRow.version_id, version.status == "ready").exists()
    with writing() as session:
        old = select(UploadRow.id).where((UploadRow.updated_at < now() - keep) | done)
        gone = list(session.scalars(old))
        session.execute(sql_delete(UploadRow).where(UploadRow.id.in_(gone)))
    for upload_id in gone:
        receiving.drop(upload_id)
    return len(gone)


def _interrupted(row: UploadRow) -> dict[str, str]:
    if row.source in SENT_AGAIN:
        return {"error": f"The server was restarted when {_share(row)} had arrived. Choose the same file again to go on."}
    return {"state": "failed", "error": "The server was restarted before all of it was here. Start it again."}


def _share(row: UploadRow) -> str:
    return f"{100 * row.received_bytes // row.size_bytes} %" if row.size_bytes else "a part of it"
