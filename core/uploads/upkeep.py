"""What time and crashes leave of uploads: told at the next start, and swept when nobody comes back for it."""

import time
from datetime import timedelta
from pathlib import Path

from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy import update as sql_update

from core import storage
from core.clock import now
from core.config import settings
from core.db import reading, writing
from core.storage import trash
from core.tables import DatasetVersionRow, UploadRow
from core.uploads import receiving

SETTLING_SECONDS = 3600.0  # a file may be there a moment before its row
SENT_AGAIN = ("browser", "api")


def recover() -> None:
    """At the start of a server, before anything is sent."""
    with reading() as session:
        trash.put_back(
            "uploads", set(session.scalars(select(UploadRow.id).where(UploadRow.state != "failed")))
        )
    with writing() as session:
        for row in session.scalars(select(UploadRow).where(UploadRow.state == "receiving")):
            statement = sql_update(UploadRow).where(UploadRow.id == row.id)
            session.execute(statement.values(updated_at=row.updated_at, **_interrupted(row)))  # its age stays
        for row in session.scalars(select(UploadRow).where(UploadRow.state == "received")):
            if not storage.upload_path(row.id).exists():
                session.delete(row)
    sweep()
    _clear_files()


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
    _clear_files(older_than_seconds=SETTLING_SECONDS)
    return len(gone)


def _clear_files(*, older_than_seconds: float = 0) -> None:
    """Files of failed uploads go; those that no row names, which a crash left, go to the trash."""
    newest = time.time() - older_than_seconds
    files = [path for path in (settings().data_dir / "uploads").glob("*") if _changed_at(path) <= newest]
    with reading() as session:
        states = {row.id: row.state for row in session.execute(select(UploadRow.id, UploadRow.state))}
    for path in files:
        if states.get(path.name) == "failed":
            path.unlink(missing_ok=True)
        elif path.name not in states and trash.is_ours("uploads", path.name):
            trash.put("uploads", path.name)


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_ctime
    except FileNotFoundError:
        return 0.0  # gone meanwhile


def _interrupted(row: UploadRow) -> dict[str, str]:
    if row.source in SENT_AGAIN:
        share = f"{100 * row.received_bytes // row.size_bytes} %" if row.size_bytes else "a part of it"
        return {
            "error": (
                f"The server was restarted when {share} had arrived. Choose the same file again to go on."
            )
        }
    return {"state": "failed", "error": "The server was restarted before all of it was here. Start it again."}
