"""From a staged upload to an immutable version: the converter,
a process of its own (``python -m core.ingest VERSION_ID``).

It claims the version's row, checks and converts the file, computes hash, profile and training report,
publishes the folder by one rename, and writes the row last. Meanwhile a second thread reports progress with a
heartbeat and watches for a cancel. A converter that dies leaves a draft folder and a row in state
``processing``; the queue that started it, or that of the next server, cleans up. Who may upload, names and
limits are the business of ``core.datasets``.
"""

import hashlib
import logging
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import update
from sqlalchemy.orm import Session

from core import formats, storage
from core.clock import now
from core.db import reading, writing
from core.errors import LuthierError, UnreadableFile
from core.ingest.look import TOO_MUCH
from core.people import usage
from core.processes import claimed
from core.processes.claimed import Key, Values, Work
from core.readers import (
    Cancelled,
    IngestOptions,
    Reading,
    ReadTask,
    WorkProgress,
    appended,
    chosen_types,
    moments,
    reader_for,
)
from core.readers.base import MAX_ERRORS, describe, literal, quoted
from core.readers.opening import configure, open_plain
from core.reports import computing, profile
from core.storage import trash
from core.tables import DatasetRow, DatasetVersionRow

# cells; the content of more is hashed when the version is ready already: nobody waits for it
HASHED_AT_ONCE = 2_000_000
HASHED_LATER = ""
TICK_SECONDS = 0.5
GRACE_SECONDS = 5.0
CRASHED = UnreadableFile(
    "The conversion was stopped before its end and could not say why, "
    "as happens when a server restarts or runs out of memory. Upload the file again; if it happens twice, "
    "ask your administrator."
)
UNFORESEEN = UnreadableFile(
    "The file could not be converted, for a reason that is not known here. "
    "The details are in the server's log: ask your administrator, or upload the file in another format."
)
CANCELLED = UnreadableFile("The conversion was cancelled.")
log = logging.getLogger("luthier.ingest")


@dataclass(frozen=True)
class Converted:
    """Everything the row of a ready version says."""

    sha256: str
    size_bytes: int
    num_rows: int
    num_columns: int
    columns: list[dict[str, str]]
    content_hash: str
    format: str
    training: dict[str, Any]
    profile: dict[str, Any] | None  # None: too large to compute here, a report does it
    detected: dict[str, Any] = field(default_factory=dict)
    skipped_rows: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)


def staged_path(version_id: str) -> Path:
    """Where an upload waits for its converter."""
    return storage.staging_dir() / version_id


def run(version_id: str) -> bool:
    """Convert one staged upload and settle its row, whatever happens. The outermost loop of the converter.

    False when the converter itself is at fault, not the file; its log says more then.
    """
    return claimed.run(WORK, (version_id,), _convert_and_publish, _explain) and _complete(version_id)


def convert(
    staged: Path,
    filename: str,
    draft: Path,
    *,
    options: IngestOptions,
    stated_format: str = "auto",
    behind: Path | None = None,
    sha256: str | None = None,
    connection: duckdb.DuckDBPyConnection,
    progress: WorkProgress,
) -> Converted:
    """Fill ``draft`` with data.parquet (and rejects.jsonl) from one file; no database.

    Raises UnreadableFile, TooLarge, …

    ``behind``: an older version's Parquet whose rows come first. ``sha256`` of the file where it is known
    already.
    """
    work, target = draft / "work", draft / "data.parquet"
    work.mkdir()
    configure(connection, work)
    progress.stage(0.0, 0.1)
    opened = open_plain(staged, filename, work, options=options, progress=progress)
    task = ReadTask(opened.path, opened.suffix, target, work, options, connection, progress)
    progress.stage(0.1, 0.15)  # checking the text; write_parquet goes on from here
    reading = reader_for(opened.suffix)(task)
    chosen_types.apply(task, reading)
    moments.require_known_years(task)
    reading.detected = opened.found | reading.detected
    progress.stage(0.9, 1.0)
    task.rejects.sort()
    if task.rejects.count:
        os.replace(task.rejects.path, draft / "rejects.jsonl")
    if behind:
        appended.put_behind(connection, behind, target)
    shutil.rmtree(work)
    sha256 = sha256 or _sha256_of(staged)
    return _measure(
        target, sha256, task, reading, stated_format=stated_format, connection=connection, progress=progress
    )


def content_hash(connection: duckdb.DuckDBPyConnection, parquet: Path, columns: list[dict[str, str]]) -> str:
    """A hash of names, types and rows that does not depend
    on the order of rows: a sum over the MD5 of each row as JSON.

    DuckDB's own hash() may change with its version; MD5 does not. Sums, not xor: equal rows must not cancel.
    """
    row = ", ".join(f"{quoted(column['name'])} := {quoted(column['name'])}" for column in columns)
    total = connection.execute(
        "SELECT count(*), sum((digest & 18446744073709551615)::UBIGINT), sum((digest >> 64)::UBIGINT) "
        f"FROM (SELECT md5_number(to_json(struct_pack({row}))::VARCHAR) AS digest "
        f"FROM read_parquet({literal(str(parquet))}))"
    ).fetchall()
    return hashlib.sha256(repr((columns, total)).encode()).hexdigest()


def training_report(
    parquet: Path, format_: str, mapping: dict[str, str] | None = None, progress: WorkProgress | None = None
) -> dict[str, Any]:
    """{"format", "ok", "num_examples", "errors": [{"line",
    "field", "message"}], "remarks"} of a version as it would train.

    ``remarks`` are those of ``core.formats.tally``: what stands in the rows and is not learned.
    """
    chosen, count, bad = formats.FORMATS[format_], 0, 0
    errors: list[dict[str, Any]] = []
    tally = formats.RowTally()
    if not chosen.trainable:
        help_ = "Map the columns to train from this table."
        return {
            "format": format_,
            "ok": False,
            "num_examples": 0,
            "errors": [{"line": None, "field": "columns", "message": help_}],
        }
    for line, example in formats.read_examples(parquet, chosen, mapping, tally=tally):
        if not isinstance(example, list):
            count += 1
        else:
            bad += 1
            errors += [
                {"line": line, "field": d.field, "message": d.message}
                for d in example
                if len(errors) < MAX_ERRORS
            ]
        if progress and line % 1000 == 0:
            progress.advance(0)
    return {
        "format": format_,
        "ok": count > 0 and not bad,
        "num_examples": count,
        "num_errors": bad,
        "errors": errors,
        "remarks": [
            asdict(one) for one in (*tally.remarks(), *formats.unread_columns(parquet, chosen, mapping))
        ],
    }


def remove_drafts(version_id: str) -> None:
    """What a dead converter left beside the published folders."""
    parent = storage.version_dir(version_id).parent
    for draft in parent.glob(f".{version_id}.*"):
        shutil.rmtree(draft, ignore_errors=True)


def _failure(error: LuthierError) -> Values:
    """The first entry carries the error's code and whole message."""
    lines = error.lines if isinstance(error, UnreadableFile) and error.lines else [(None, error.message)]
    entries: list[dict[str, Any]] = [
        {"line": line, "message": message} for line, message in lines[:MAX_ERRORS]
    ]
    entries[0] |= {"code": error.code, "summary": error.message}
    return {"errors": entries}


def _clean(key: Key) -> None:
    (version_id,) = key
    staged_path(version_id).unlink(missing_ok=True)
    remove_drafts(version_id)
    # a crash in between, or the row is old
    trash.put("datasets", version_id, why="was made, but its row did not become ready")


WORK = Work(
    "conversion",
    DatasetVersionRow,
    crashed=CRASHED,
    unforeseen=UNFORESEEN,
    waiting="processing",
    running="processing",
    failure=_failure,
    clean=_clean,
)
IS_WANTED = DatasetVersionRow.cancel_requested.is_(False)


def _explain(error: Exception) -> LuthierError | None:
    return UnreadableFile(TOO_MUCH) if isinstance(error, duckdb.OutOfMemoryException) else None


def _convert_and_publish(row: DatasetVersionRow) -> None:
    options = dict(row.options)
    stated, keeps_original = options.pop("format", "auto"), options.pop("keep_original", True)
    first = options.pop("append_to", None)  # the version whose rows come first
    staged, progress = staged_path(row.id), WorkProgress()
    try:
        with (
            duckdb.connect() as connection,
            _watching(row.id, connection, progress),
            storage.publishing(storage.version_dir(row.id)) as draft,
        ):
            converted = convert(
                staged, row.filename, draft, options=IngestOptions(**options), stated_format=stated,
                behind=storage.parquet_path(first) if first else None, sha256=row.sha256,
                connection=connection, progress=progress,
            )  # fmt: skip
            if keeps_original:
                os.replace(staged, draft / "original")
        _settle_ready(row, converted)
    except Exception as error:  # whatever a reader raises when it is interrupted
        if isinstance(error, Cancelled) or (progress.cancelled and isinstance(error, LuthierError)):
            raise CANCELLED from error
        raise
    finally:
        staged.unlink(missing_ok=True)


def _settle_ready(row: DatasetVersionRow, converted: Converted) -> None:
    """The row last. When the version was cancelled or deleted meanwhile, the folder goes again."""

    def settle(session: Session) -> bool:
        if not WORK.settle(session, (row.id,), IS_WANTED, **asdict(converted)):
            return False
        session.execute(update(DatasetRow).where(DatasetRow.id == row.dataset_id).values(updated_at=now()))
        computing.request_all(session, row.id, profiled=converted.profile is not None)
        stored = storage.folder_bytes(storage.version_dir(row.id))
        usage.record(session, user_id=row.created_by, kind="storage", bytes=stored)
        return True

    if not claimed.write_end(settle):
        storage.remove(storage.version_dir(row.id))
        raise Cancelled


def _complete(version_id: str) -> bool:
    """Hash the content of a large version, which is ready without.

    Whoever dies on the way leaves it to the server's next start.
    """
    with reading() as session:
        row = session.get(DatasetVersionRow, version_id)
    if row is None or row.status != "ready" or row.content_hash != HASHED_LATER or row.removed_at:
        return True
    with tempfile.TemporaryDirectory(dir=storage.staging_dir()) as work, duckdb.connect() as connection:
        configure(connection, Path(work))
        digest = content_hash(connection, storage.parquet_path(version_id), row.columns)
    with writing() as session:
        session.execute(
            update(DatasetVersionRow).where(DatasetVersionRow.id == version_id).values(content_hash=digest)
        )
    return True


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _watching(
    version_id: str, connection: duckdb.DuckDBPyConnection, progress: WorkProgress
) -> Iterator[None]:
    """Tell how far it is, and end it when it was cancelled or its dataset is gone."""
    key = (version_id,)

    def beat() -> bool:
        progress.follow(connection.query_progress())
        return WORK.beat(key, IS_WANTED, progress=progress.value)

    def stop(done: threading.Event) -> None:
        progress.cancelled = True
        connection.interrupt()
        if not done.wait(GRACE_SECONDS):  # stuck in a library that cannot be interrupted
            WORK.fail(key, CANCELLED, pid=os.getpid())
            staged_path(version_id).unlink(missing_ok=True)
            os._exit(3)

    with claimed.beating(beat, stop, every=TICK_SECONDS):
        yield


def _measure(
    target: Path,
    sha256: str,
    task: ReadTask,
    reading: Reading,
    *,
    stated_format: str,
    connection: duckdb.DuckDBPyConnection,
    progress: WorkProgress,
) -> Converted:
    columns = [
        {"name": name, "type": type_}
        for name, type_ in describe(connection, f"FROM read_parquet({literal(str(target))})")
    ]
    (num_rows,) = connection.execute("SELECT count(*) FROM read_parquet(?)", [str(target)]).fetchall()[0]
    if not num_rows or not columns:
        raise UnreadableFile("The file has a header but no rows." if columns else "The file holds no data.")
    if stated_format != "auto":
        formats.check_format(stated_format, columns)
    format_ = formats.detect(columns) if stated_format == "auto" else stated_format
    report = training_report(target, format_, progress=progress)
    return Converted(
        sha256=sha256,
        size_bytes=target.stat().st_size,
        num_rows=num_rows,
        num_columns=len(columns),
        columns=columns,
        content_hash=content_hash(connection, target, columns)
        if num_rows * len(columns) <= HASHED_AT_ONCE
        else HASHED_LATER,
        format=format_,
        training=report,
        profile=_profile(connection, target, columns) if computing.is_small(num_rows, len(columns)) else None,
        detected=reading.detected,
        skipped_rows=task.rejects.count,
        errors=[{"line": line, "message": message} for line, message in sorted(task.rejects.first)],
    )


def _profile(
    connection: duckdb.DuckDBPyConnection, target: Path, columns: list[dict[str, str]]
) -> dict[str, Any] | None:
    """None when that fails: the data is whole without it,
    and the report that then tries again says so where it fails, too."""
    try:
        return {"columns": profile.compute(connection, target, columns)}
    except duckdb.InterruptException:  # cancelled
        raise
    except Exception:  # a fault in a statistic, of whatever kind, is none of the file's
        log.exception("profile of %s", target.parent.name)
        return None


def main(version_id: str) -> None:
    claimed.start_program()
    sys.exit(0 if run(version_id) else 1)
