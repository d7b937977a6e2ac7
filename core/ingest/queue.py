"""Converters from the outside: how many run, who waits for them, and what becomes of those that died.

A converter is a process (``core.ingest``) that settles its version's row by itself. Here is what must be done
around it: at most ``SLOTS`` at a time, a row failed when its converter died, and the same after a restart of
the server, when converters of the last server may still be alive (they are adopted) or never have started
(they are started now).
"""

import logging
import threading
import time

from sqlalchemy import select

from core import errors, storage
from core.db import reading
from core.errors import LuthierError, UnreadableFile, ValidationError
from core.ingest import converter
from core.processes import living
from core.reports import queue as report_queue
from core.storage import trash
from core.tables import DatasetVersionRow

SLOTS = 3
POLL_SECONDS = 1.0
LOGGED_CHARACTERS = 4000
_slots = threading.BoundedSemaphore(SLOTS)
log = logging.getLogger("luthier.conversions")


def run_and_wait(version_id: str) -> None:
    """Convert and return when the version's row is settled."""
    with _slots:
        code = _run(version_id)
        # it died before it had claimed the version, which is no fault of the file
        if _is_untouched(version_id):
            code = _run(version_id)
    _note_output(version_id, code)
    settle_dead(version_id)
    report_queue.QUEUE.wake()


def _is_untouched(version_id: str) -> bool:
    row = _row(version_id)
    return row is not None and row.status == "processing" and row.worker_pid is None


def _run(version_id: str) -> int:
    try:
        return converter.start(version_id).wait()
    except OSError as error:
        log.error("converter for %s could not be started: %s", version_id, error)
        return -1


def run_in_background(version_id: str) -> None:
    threading.Thread(
        target=run_and_wait, args=(version_id,), daemon=True, name=f"ingest-{version_id}"
    ).start()


def settle_dead(version_id: str) -> None:
    """A version whose converter is gone but which is still processing becomes failed, with its reason."""
    row = _row(version_id)
    if row is None:
        _remove_files(version_id)
    elif row.status == "processing":
        converter.fail(version_id, UnreadableFile(converter.CRASHED))
        converter.staged_path(version_id).unlink(missing_ok=True)


def recover() -> None:
    """At the start of a server, before anything uploads: adopt,
    start or fail what is processing; sweep what nobody needs."""
    with reading() as session:
        processing = list(
            session.scalars(select(DatasetVersionRow).where(DatasetVersionRow.status == "processing"))
        )
        kept = select(DatasetVersionRow.id).where(
            DatasetVersionRow.status == "ready", DatasetVersionRow.removed_at.is_(None)
        )
        settled = set(session.scalars(kept))
    with reading() as session:  # a converter died between "ready" and the hash of a large content
        unhashed = select(DatasetVersionRow.id).where(
            DatasetVersionRow.content_hash == converter.HASHED_LATER
        )
        incomplete = set(session.scalars(unhashed.where(DatasetVersionRow.removed_at.is_(None))))
    trash.put_back("staging", {row.id for row in processing})
    alive = {row.id for row in processing if _is_alive(row)}
    waiting = {
        row.id for row in processing if row.worker_pid is None and converter.staged_path(row.id).exists()
    }
    for row in processing:
        if row.id not in alive | waiting:
            settle_dead(row.id)
    _sweep(settled, alive, waiting)
    for version_id in alive:
        threading.Thread(target=_adopt, args=(version_id,), daemon=True, name=f"adopt-{version_id}").start()
    for version_id in waiting | incomplete:
        run_in_background(version_id)


def _note_output(version_id: str, code: int) -> None:
    """What a converter said before it went wrong belongs into the server's log; its own file is done with."""
    path = converter.log_path(version_id)
    if code != 0:
        output = path.read_text(errors="replace")[-LOGGED_CHARACTERS:] if path.exists() else ""
        log.error("converter for %s ended with code %s: %s", version_id, code, output)
    path.unlink(missing_ok=True)


def _is_alive(row: DatasetVersionRow) -> bool:
    return living.is_alive(row.worker_pid, row.worker_started)


def _adopt(version_id: str) -> None:
    """Watch a converter that the last server started."""
    while (row := _row(version_id)) is not None and row.status == "processing":
        if not _is_alive(row):
            settle_dead(version_id)
            break
        time.sleep(POLL_SECONDS)
    report_queue.QUEUE.wake()
    converter.log_path(version_id).unlink(missing_ok=True)


def _row(version_id: str) -> DatasetVersionRow | None:
    with reading() as session:
        return session.get(DatasetVersionRow, version_id)


def _remove_files(version_id: str) -> None:
    """The dataset was deleted while its converter worked."""
    converter.staged_path(version_id).unlink(missing_ok=True)
    converter.remove_drafts(version_id)
    storage.remove(storage.version_dir(version_id))


def _sweep(settled: set[str], alive: set[str], waiting: set[str]) -> None:
    drafts = {p.name for v in alive for p in storage.version_dir(v).parent.glob(f".{v}.*")}
    trash.sweep("datasets", settled | alive | drafts)
    trash.sweep("staging", alive | waiting)
    for output in converter.log_path("").parent.glob("ingest-*.log"):
        if output.stem.removeprefix("ingest-") not in alive:
            output.unlink(missing_ok=True)
    storage.clear_scratch(alive | waiting)


def error_of(row: DatasetVersionRow) -> LuthierError:
    """The error a converter left in its row, as it was raised there."""
    entries = row.errors or [{"line": None, "message": converter.CRASHED}]
    lines = [(entry["line"], entry["message"]) for entry in entries if entry.get("line") is not None]
    message = entries[0].get("summary") or entries[0]["message"]
    kind = errors.class_of(entries[0].get("code", ""))
    if kind is None or issubclass(kind, ValidationError):
        return UnreadableFile(message, lines=lines)
    return kind(message)
