"""Reports about a version that is ready: its profile, its quality, its token lengths.

A process of its own computes each one.

``python -m core.reports VERSION_ID KIND`` claims the report's row, computes at low priority, and settles the
row last; meanwhile a second thread writes progress and a heartbeat. A report is asked for by a row in state
``waiting``, written together with the version that becomes ready, so that none is forgotten. Who starts these
processes, and finds those that died, is the business of ``queue``. Nothing here changes a version; a profile
is kept with it, other results with their row.
"""

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
from sqlalchemy import update
from sqlalchemy.orm import Session

from core import storage
from core.clock import now
from core.config import settings
from core.db import reading
from core.errors import Conflict, LuthierError, NotFound
from core.processes import claimed
from core.processes.claimed import Key, Work
from core.readers.base import WorkProgress
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
CRASHED = LuthierError(
    "The computation was stopped before its end and could not say why, "
    "as happens when a server runs out of memory. Start it again; if it happens twice, "
    "ask your administrator."
)
TOO_MUCH = LuthierError("The computation takes more memory than it may use.")
UNFORESEEN = LuthierError(
    "It could not be computed, for a reason that is not known here. The details are in the server's log."
)


@dataclass(frozen=True)
class ReportTask:
    """One report to compute. ``about`` is what stands behind the colon of its kind."""

    version: DatasetVersionRow
    about: str
    parquet: Path
    connection: duckdb.DuckDBPyConnection
    progress: WorkProgress


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


def spill_path(version_id: str, kind: str) -> Path:
    """Where its DuckDB spills.

    Not the staging folder: that is swept while a report of the last server may still run.
    """
    return settings().data_dir / "reports" / f"{version_id}-{kind.replace(':', '-')}"


def _clean(key: Key) -> None:
    shutil.rmtree(spill_path(*key), ignore_errors=True)


WORK = Work("report", VersionReportRow, crashed=CRASHED, unforeseen=UNFORESEEN, clean=_clean)


def run(version_id: str, kind: str) -> bool:
    """Compute one report and settle its row, whatever happens. False: the log of the process says why."""
    return claimed.run(WORK, (version_id, kind), _compute, _explain)


def _compute(row: VersionReportRow) -> None:
    with reading() as session:
        version = session.get(DatasetVersionRow, row.version_id)
    if version is None:
        return
    progress = WorkProgress()
    with _working(row, progress) as connection:
        name, _, about = row.kind.partition(":")
        parquet = storage.parquet_path(version.id)
        result = COMPUTERS[name](ReportTask(version, about, parquet, connection, progress))
    _settle(row, result)


def _explain(error: Exception) -> LuthierError | None:
    return TOO_MUCH if isinstance(error, duckdb.OutOfMemoryException) else None


def _settle(row: VersionReportRow, result: dict[str, Any]) -> None:
    """A profile is kept with its version, another result with its row."""
    key, is_profile = (row.version_id, row.kind), row.kind == PROFILE

    def settle(session: Session) -> None:
        kept = None if is_profile else result
        if WORK.settle(session, key, result=kept, error=None, finished_at=now()) and is_profile:
            version = DatasetVersionRow
            session.execute(update(version).where(version.id == row.version_id).values(profile=result))

    claimed.write_end(settle)


@contextmanager
def _working(row: VersionReportRow, progress: WorkProgress) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with bounded memory that spills into its own folder, and a thread that tells of it."""
    key = (row.version_id, row.kind)
    spill = spill_path(*key)
    _clean(key)
    spill.mkdir(parents=True)  # DuckDB makes one folder, not those above it

    def beat() -> bool:
        progress.follow(connection.query_progress())
        return WORK.beat(key, progress=progress.value)

    def stop(_done: threading.Event) -> None:
        _clean(key)
        os._exit(0)  # the version is deleted: nobody waits for this any more

    with duckdb.connect() as connection:
        configure(connection, spill, memory_mb=MEMORY_MB)
        try:
            with claimed.beating(beat, stop, every=TICK_SECONDS):
                yield connection
        finally:
            _clean(key)


def _profile(task: ReportTask) -> dict[str, Any]:
    version = task.version
    return {
        "columns": profile.compute(task.connection, task.parquet, version.columns, progress=task.progress)
    }


def _quality(task: ReportTask) -> dict[str, Any]:
    # the converter imports this module too, and starts faster without what quality needs
    from core.reports import quality

    version = task.version
    profiled = (version.profile or {}).get("columns", [])
    return quality.examine(
        task.connection, task.parquet, version.columns, profiled=profiled, progress=task.progress
    )


def _tokens(task: ReportTask) -> dict[str, Any]:
    from core.reports import token_lengths

    try:
        with reading() as session:  # who may use it was settled when the report was asked for
            folder = tokenizer_folder(model_files.locate(session, task.about))
    except (NotFound, Conflict) as error:
        raise NotFound("The model was deleted. Choose another one.") from error
    return token_lengths.measure(
        task.parquet, task.version.columns, folder / "tokenizer.json", progress=task.progress
    )


COMPUTERS: dict[str, Callable[[ReportTask], dict[str, Any]]] = {
    PROFILE: _profile,
    QUALITY: _quality,
    TOKENS: _tokens,
}


def main(version_id: str, kind: str) -> None:
    claimed.start_program(NICENESS)
    sys.exit(0 if run(version_id, kind) else 1)
