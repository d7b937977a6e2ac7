"""The process that makes one export:
``python -m core.exports.worker EXPORT_ID``, started by ``core.exports.queue``.

It claims the export's row, makes and checks it at low priority, publishes its folder, and settles the row
last; meanwhile a second thread writes progress and a heartbeat, and ends the process when the row is gone:
nobody waits for it any more. The first line of stdin is the token of a push; it is kept in a variable and
nowhere else.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from core import hardware, storage
from core.config import settings
from core.errors import DiskFull, LuthierError
from core.exports import rows
from core.exports.making.order import CannotExport, Progress, read_order
from core.exports.making.whole import make
from core.storage import trash
from core.tables import ExportRow

NICENESS = 10
TICK_SECONDS = 0.5
DISK_FULL = "The server's disk is full. Free some space, then export it again."
NO_MEMORY = (
    "There was not enough memory to load the model. Try again when the server does less, or on a larger one."
)
log = logging.getLogger("luthier.exports")


def run(export_id: str, token: str = "") -> bool:
    """Make one export and settle its row, whatever happens: the outermost loop of the process.

    False: see its log.
    """
    row = rows.claim(export_id)
    if row is None:
        return True
    progress = Progress(facts=dict(row.facts))
    try:
        with _reporting(export_id, progress):
            _make(row, progress, token)
    except CannotExport as error:
        rows.fail(export_id, str(error), checks=error.checks)
    except DiskFull:
        rows.fail(export_id, DISK_FULL)
    except LuthierError as error:
        rows.fail(export_id, error.message)
    except Exception as error:
        log.exception("export %s", export_id)
        is_memory = isinstance(error, MemoryError) or "not enough memory" in str(error).lower()
        rows.fail(export_id, NO_MEMORY if is_memory else rows.CRASHED)
        return False
    return True


def _make(row: ExportRow, progress: Progress, token: str) -> None:
    final = storage.export_dir(row.id)
    # a process died in between, or the row is old
    trash.put("exports", row.id, why="was made, but its row says that it was not")
    with storage.publishing(final) as draft:
        made = make(read_order(row), progress, draft, token=token)
    facts = {name: value for name, value in progress.facts.items() if name != "stage"}
    if not rows.settle(row.id, size_bytes=made.size_bytes, checks=made.checks, facts=facts):
        storage.remove(final)


@contextmanager
def _reporting(export_id: str, progress: Progress) -> Iterator[None]:
    done = threading.Event()
    thread = threading.Thread(target=_report, args=(export_id, progress, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _report(export_id: str, progress: Progress, done: threading.Event) -> None:
    while not done.wait(TICK_SECONDS):
        if not rows.report(export_id, progress=progress.value, facts=progress.facts) and not done.is_set():
            final = storage.export_dir(export_id)
            for leftover in final.parent.glob(f".{final.name}.*"):
                storage.remove(leftover)
            os._exit(0)


def main(export_id: str) -> None:
    logging.basicConfig(level=settings().log_level, format="%(asctime)s %(levelname)s %(message)s")
    if hasattr(os, "nice"):
        os.nice(NICENESS)  # people's clicks and trainings come first
    token = sys.stdin.readline().strip()
    hardware.set_up_torch(threads=settings().inference_threads)
    sys.exit(0 if run(export_id, token) else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
