"""The process that makes one export:
``python -m core.exports.worker EXPORT_ID``, started by ``core.exports.queue``.

It claims the export's row, makes and checks it at low priority, publishes its folder, and settles the row
last; meanwhile a second thread writes progress and a heartbeat, and ends the process when the row is gone:
nobody waits for it any more. The first line of stdin is the token of a push; it is kept in a variable and
nowhere else.
"""

import os
import sys
import threading
from functools import partial
from pathlib import Path

from sqlalchemy.orm import Session

from core import hardware, storage
from core.clock import now
from core.config import settings
from core.errors import DiskFull, LuthierError
from core.exports.making.order import ExportProgress, read_order
from core.exports.making.whole import Made, make
from core.exports.work import WORK
from core.processes import claimed
from core.storage import trash
from core.tables import ExportRow

NICENESS = 10
TICK_SECONDS = 0.5
DISK_FULL = DiskFull("The server's disk is full. Free some space, then export it again.")
NO_MEMORY = LuthierError(
    "There was not enough memory to load the model. Try again when the server does less, or on a larger one."
)


def run(export_id: str, token: str = "") -> bool:
    """Make one export and settle its row, whatever happens. False: the log of the process says why."""
    return claimed.run(WORK, (export_id,), partial(_make, token=token), _explain)


def _make(row: ExportRow, *, token: str) -> None:
    progress = ExportProgress(facts=dict(row.facts))

    def beat() -> bool:
        return WORK.beat((row.id,), progress=progress.value, facts=progress.facts)

    def stop(done: threading.Event) -> None:
        if not done.is_set():
            WORK.clean((row.id,))
            os._exit(0)

    final = storage.export_dir(row.id)
    try:
        with claimed.beating(beat, stop, every=TICK_SECONDS):
            result = _make_and_publish(row, final, progress, token)
    except DiskFull as error:
        raise DISK_FULL from error
    facts = {name: value for name, value in progress.facts.items() if name != "stage"}
    done = {"size_bytes": result.size_bytes, "checks": result.checks, "facts": facts}

    def settle(session: Session) -> bool:
        return WORK.settle(session, (row.id,), error=None, finished_at=now(), **done)

    if not claimed.write_end(settle):
        storage.remove(final)


def _make_and_publish(row: ExportRow, final: Path, progress: ExportProgress, token: str) -> Made:
    # a process died in between, or the row is old
    trash.put("exports", row.id, why="was made, but its row says that it was not")
    with storage.publishing(final) as draft:
        return make(read_order(row), progress, draft, token=token)


def _explain(error: Exception) -> LuthierError | None:
    is_memory = isinstance(error, MemoryError) or "not enough memory" in str(error).lower()
    return NO_MEMORY if is_memory else None


def main(export_id: str) -> None:
    claimed.start_program(NICENESS)  # people's clicks and trainings come first
    token = sys.stdin.readline().strip()
    hardware.set_up_torch(threads=settings().inference_threads)
    sys.exit(0 if run(export_id, token) else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
