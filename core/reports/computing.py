"""Reports about a version that is ready: its profile, its quality, its token lengths.

A process of its own computes each one.

``python -m core.reports VERSION_ID KIND`` claims the report's row, computes at low priority, and settles the
row last; meanwhile a second thread writes progress and a heartbeat. A report is asked for by a row in state
``waiting``, written together with the version that becomes ready, so that none is forgotten. Who starts these
processes, and finds those that died, is the business of ``queue``. Nothing here changes a version; a profile
is kept with it, other results with their row.
"""

import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psutil
from sqlalchemy import update
from sqlalchemy.orm import Session

from core import storage
from core.clock import now
from core.config import settings
from core.db import reading, writing
from core.errors import Conflict, LuthierError, NotFound
from core.readers.base import Progress
from core.readers.opening import configure
from core.reports import profile
from core.storage import model_files
from core.tables import DatasetVersionRow, VersionReportRow
from core.weights import tokenizer_folder

PROFILE, QUALITY, TOKENS = "profile", "quality", "tokens"
SMALL_CELLS = 2_000_000  # a table up to this many has its profile computed before it is ready: about a second
MEMORY_MB = 768
NICENESS = 10
TICK_SECONDS = 1.0
CRASHED = (
    "The computation ended unexpectedly: its process was stopped before it could say why, "
    "as happens when a server runs out of memory. Start it again; if it happens twice, "
    "ask your administrator."
)
TOO_MUCH = "The computation takes more memory than it may use."
UNFORESEEN = (
    "It could not be computed, for a reason that is not known here. The details are in the server's log."
)
log = logging.getLogger("luthier.reports")


@dataclass(frozen=True)
class Task:
    """One report to compute. ``about`` is what stands behind the colon of its kind."""

    version: DatasetVersionRow
    about: str
    parquet: Path
    connection: duckdb.DuckDBPyConnection
    progress: Progress


def is_small(num_rows: int, num_columns: int) -> bool:
    return num_rows * num_columns <= SMALL_CELLS


def request(session: Session, version_id: str, kind: str) -> None:
    """Ask for a report, within the caller's transaction.

    One that runs or is ready stays as it is; a failed one is tried again.
    """
    row = session.get(VersionReportRow, (version_id, kind))
    if row is None:
        session.add(VersionReportRow(version_id=version_id, kind=kind, created_at=now()))
    elif row.status == "failed":
        row.status, row.error, row.progress, row.worker_pid, row.created_at = (
            "waiting",
            None,
            0.0,
            None,
            now(),
        )


def request_all(session: Session, version_id: str, *, profiled: bool) -> None:
    """What every version that becomes ready gets."""
    for kind in (QUALITY,) if profiled else (PROFILE, QUALITY):
        request(session, version_id, kind)


def log_path(version_id: str, kind: str) -> Path:
    folder = settings().data_dir / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"report-{version_id}-{kind.replace(':', '-')}.log"


def spill_path(version_id: str, kind: str) -> Path:
    """Where its DuckDB spills.

    Not the staging folder: that is swept while a report of the last server may still run.
    """
    return settings().data_dir / "reports" / f"{version_id}-{kind.replace(':', '-')}"


def run(version_id: str, kind: str) -> bool:
    """Compute one report and settle its row, whatever happens: the outermost loop of the process.

    False: see its log.
    """
    version = _claim(version_id, kind)
    if version is None:
        return True
    progress = Progress()
    try:
        with _working(version_id, kind, progress) as connection:
            parquet = storage.parquet_path(version_id)
            name, _, about = kind.partition(":")
            result = COMPUTERS[name](Task(version, about, parquet, connection, progress))
        _settle(version_id, kind, result)
    except LuthierError as error:
        fail(version_id, kind, error.message)
    except duckdb.OutOfMemoryException:
        log.exception("%s of %s", kind, version_id)
        fail(version_id, kind, TOO_MUCH)
        return False
    except Exception:
        log.exception("%s of %s", kind, version_id)
        fail(version_id, kind, UNFORESEEN)
        return False
    return True


def fail(version_id: str, kind: str, message: str) -> None:
    """Settle a report that is not over yet as failed."""
    _change(version_id, kind, ("waiting", "running"), status="failed", error=message, finished_at=now())


def _claim(version_id: str, kind: str) -> DatasetVersionRow | None:
    me = psutil.Process()
    worker = {"worker_pid": me.pid, "worker_started": me.create_time(), "heartbeat_at": now()}
    if not _change(version_id, kind, ("waiting",), status="running", progress=0.0, error=None, **worker):
        return None
    with reading() as session:
        return session.get(DatasetVersionRow, version_id)


def _change(version_id: str, kind: str, from_: tuple[str, ...], **values: Any) -> bool:
    report = VersionReportRow
    with writing() as session:
        changed = session.execute(
            update(report)
            .where(report.version_id == version_id, report.kind == kind, report.status.in_(from_))
            .values(**values)
        )
        return bool(changed.rowcount)  # type: ignore[attr-defined]


def _settle(version_id: str, kind: str, result: dict[str, Any]) -> None:
    report, is_profile = VersionReportRow, kind == PROFILE
    with writing() as session:
        settled = session.execute(
            update(report)
            .where(report.version_id == version_id, report.kind == kind, report.status == "running")
            .where(report.worker_pid == os.getpid())
            .values(
                status="ready",
                progress=1.0,
                result=None if is_profile else result,
                finished_at=now(),
                heartbeat_at=now(),
            )
        )
        if is_profile and settled.rowcount:  # type: ignore[attr-defined]
            session.execute(
                update(DatasetVersionRow).where(DatasetVersionRow.id == version_id).values(profile=result)
            )


@contextmanager
def _working(version_id: str, kind: str, progress: Progress) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with bounded memory that spills into a folder
    of its own, and a thread that reports on it."""
    spill, done = spill_path(version_id, kind), threading.Event()
    shutil.rmtree(spill, ignore_errors=True)
    spill.mkdir(parents=True)  # DuckDB makes one folder, not those above it
    with duckdb.connect() as connection:
        configure(connection, spill, memory_mb=MEMORY_MB)
        thread = threading.Thread(
            target=_watch, args=(version_id, kind, connection, progress, done, spill), daemon=True
        )
        thread.start()
        try:
            yield connection
        finally:
            done.set()
            thread.join()
            shutil.rmtree(spill, ignore_errors=True)


def _watch(
    version_id: str,
    kind: str,
    connection: duckdb.DuckDBPyConnection,
    progress: Progress,
    done: threading.Event,
    spill: Path,
) -> None:
    while not done.wait(TICK_SECONDS):
        progress.follow(connection.query_progress())
        if not _change(version_id, kind, ("running",), progress=progress.value, heartbeat_at=now()):
            shutil.rmtree(spill, ignore_errors=True)
            os._exit(0)  # the version is deleted: nobody waits for this any more


def _profile(task: Task) -> dict[str, Any]:
    version = task.version
    return {
        "columns": profile.compute(task.connection, task.parquet, version.columns, progress=task.progress)
    }


def _quality(task: Task) -> dict[str, Any]:
    # the converter imports this module too, and starts faster without what quality needs
    from core.reports import quality

    version = task.version
    profiled = (version.profile or {}).get("columns", [])
    return quality.examine(
        task.connection, task.parquet, version.columns, profiled=profiled, progress=task.progress
    )


def _tokens(task: Task) -> dict[str, Any]:
    from core.reports import token_lengths

    try:
        with reading() as session:  # who may use it was settled when the report was asked for
            folder = tokenizer_folder(model_files.locate(session, task.about))
    except (NotFound, Conflict) as error:
        raise NotFound("The model was deleted. Choose another one.") from error
    return token_lengths.measure(
        task.parquet, task.version.columns, folder / "tokenizer.json", progress=task.progress
    )


COMPUTERS: dict[str, Callable[[Task], dict[str, Any]]] = {
    PROFILE: _profile,
    QUALITY: _quality,
    TOKENS: _tokens,
}


def main(version_id: str, kind: str) -> None:
    logging.basicConfig(level=settings().log_level, format="%(asctime)s %(levelname)s %(message)s")
    if hasattr(os, "nice"):
        os.nice(NICENESS)  # people's clicks come first
    sys.exit(0 if run(version_id, kind) else 1)
