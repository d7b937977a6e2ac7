"""What happens to the row of an export: every change is one guarded UPDATE.

A row that is gone was deleted: nobody waits.
"""

from typing import Any

import psutil
from sqlalchemy import select, update
from sqlalchemy.orm import defer

from core.clock import now
from core.db import reading, writing
from core.processes import living
from core.tables import ExportRow

CRASHED = (
    "Making the export ended unexpectedly. Start it again; if it happens twice, "
    "the model is too large for this server's memory."
)


def claim(export_id: str) -> ExportRow | None:
    """For the process that makes it: None when somebody else has it, or nobody wants it."""
    me = psutil.Process()
    worker = {"worker_pid": me.pid, "worker_started": me.create_time(), "heartbeat_at": now()}
    if not _change(export_id, ("waiting",), status="running", progress=0.0, error=None, **worker):
        return None
    with reading() as session:
        return session.get(ExportRow, export_id)


def report(export_id: str, *, progress: float, facts: dict[str, Any]) -> bool:
    """False: it was deleted."""
    return _change(export_id, ("running",), progress=progress, facts=facts, heartbeat_at=now())


def settle(export_id: str, *, size_bytes: int, checks: list[dict[str, Any]], facts: dict[str, Any]) -> bool:
    """It may be taken away now. False: it was deleted meanwhile."""
    done = {"size_bytes": size_bytes, "checks": checks, "facts": facts, "progress": 1.0}
    return _change(
        export_id, ("running",), status="ready", error=None, finished_at=now(), heartbeat_at=now(), **done
    )


def fail(export_id: str, message: str, *, checks: list[dict[str, Any]] | None = None) -> bool:
    """End one that is not over yet. Without effect where its process has settled it."""
    told = {"checks": checks} if checks else {}
    return _change(
        export_id, ("waiting", "running"), status="failed", error=message, finished_at=now(), **told
    )


def ask_again(export_id: str, worker_pid: int | None) -> bool:
    """Back to waiting: its process died with the last server."""
    row, fresh = ExportRow, {"status": "waiting", "progress": 0.0, "worker_pid": None, "worker_started": None}
    with writing() as session:
        its_own = (row.id == export_id, row.status == "running", row.worker_pid == worker_pid)
        return bool(session.execute(update(row).where(*its_own).values(**fresh)).rowcount)  # type: ignore[attr-defined]


def list_open() -> list[ExportRow]:
    """What waits or runs, oldest first."""
    with reading() as session:
        statement = (
            select(ExportRow)
            .where(ExportRow.status.in_(("waiting", "running")))
            .options(defer(ExportRow.checks))
        )
        return list(session.scalars(statement.order_by(ExportRow.created_at, ExportRow.id)))


def is_alive(row: ExportRow) -> bool:
    """Whether the process that claimed it still runs."""
    return living.is_alive(row.worker_pid, row.worker_started)


def _change(export_id: str, from_: tuple[str, ...], **values: Any) -> bool:
    row = ExportRow
    with writing() as session:
        changed = session.execute(
            update(row).where(row.id == export_id, row.status.in_(from_)).values(**values)
        )
        return bool(changed.rowcount)  # type: ignore[attr-defined]
