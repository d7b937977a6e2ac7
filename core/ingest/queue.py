"""Converters from the outside: how many run, who waits for them, and what becomes of those that died."""

import threading

from sqlalchemy import select

from core import errors, storage
from core.db import reading
from core.errors import LuthierError, UnreadableFile, ValidationError
from core.ingest import converter
from core.processes.children import Program
from core.processes.claimed import Key, Work
from core.processes.tended import TendedQueue
from core.reports import queue as report_queue
from core.storage import trash
from core.tables import DatasetVersionRow


class ConversionQueue(TendedQueue[DatasetVersionRow]):
    """What died with its server is told, not tried again: the file may be why."""

    name, log_name, slots = "conversions", "ingest", 3
    program = Program("core.ingest", "core.ingest.converter:main")
    is_repeatable = False

    @property
    def work(self) -> Work[DatasetVersionRow]:
        return converter.WORK

    def ended(self, key: Key) -> None:
        (version_id,) = key
        with reading() as session:
            is_deleted = session.get(DatasetVersionRow, version_id) is None
        if is_deleted:  # the dataset went while its converter worked
            converter.staged_path(version_id).unlink(missing_ok=True)
            converter.remove_drafts(version_id)
            storage.remove(storage.version_dir(version_id))
        report_queue.QUEUE.wake()

    def sweep(self, alive: set[Key], waiting: set[Key]) -> None:
        """Folders and uploads that no row names. A row whose upload is gone has failed."""
        trash.put_back("staging", {version_id for (version_id,) in alive | waiting})
        for key in [key for key in waiting if not converter.staged_path(*key).exists()]:
            converter.WORK.fail(key, converter.CRASHED, pid=None)
            waiting.discard(key)
        living = {version_id for (version_id,) in alive}
        wanted = living | {version_id for (version_id,) in waiting}
        drafts = {p.name for v in living for p in storage.version_dir(v).parent.glob(f".{v}.*")}
        trash.sweep("datasets", _list_ready() | living | drafts)
        trash.sweep("staging", wanted)
        storage.clear_scratch(wanted)

    def hash_content(self, version_id: str) -> None:
        """Of a large version that is ready without: its converter died, or it shares another one's files."""
        with reading() as session:
            row = session.get(DatasetVersionRow, version_id)
        if row is not None and (version_id,) not in self.children:
            self._start(row, (version_id,))


QUEUE = ConversionQueue()


def recover() -> None:
    """At the start of a server, before anything uploads: start, leave or fail what is processing."""
    QUEUE.recover()
    version = DatasetVersionRow
    with reading() as session:  # their converter died between "ready" and the hash of a large content
        unhashed = select(version.id).where(version.content_hash == converter.HASHED_LATER)
        version_ids = session.scalars(unhashed.where(version.removed_at.is_(None))).all()
    for version_id in version_ids:
        QUEUE.hash_content(version_id)


def run_and_wait(version_id: str) -> None:
    """Convert and return when the version's row is settled."""
    QUEUE.finish((version_id,))


def run_in_background(version_id: str) -> None:
    """Convert; where no thread looks after the queue (a script, a test), one of its own does."""
    if QUEUE.is_running:
        QUEUE.wake()
    else:
        name = f"ingest-{version_id}"
        threading.Thread(target=run_and_wait, args=(version_id,), daemon=True, name=name).start()


def _list_ready() -> set[str]:
    version = DatasetVersionRow
    with reading() as session:
        ready = select(version.id).where(version.status == "ready", version.removed_at.is_(None))
        return set(session.scalars(ready))


def error_of(row: DatasetVersionRow) -> LuthierError:
    """The error a converter left in its row, as it was raised there."""
    entries = row.errors or [{"line": None, "message": converter.CRASHED.message}]
    lines = [(entry["line"], entry["message"]) for entry in entries if entry.get("line") is not None]
    message = entries[0].get("summary") or entries[0]["message"]
    code = entries[0].get("code", "")
    # what is unavailable to a converter is room on the disk
    kind = errors.DiskFull if code == errors.DiskFull.code else errors.class_of(code)
    if kind is None or issubclass(kind, ValidationError):
        return UnreadableFile(message, lines=lines)
    return kind(message)
