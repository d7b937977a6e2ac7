"""The work of an export's row: what it says where it fails, and what is removed then."""

from core import storage
from core.clock import now
from core.errors import LuthierError
from core.exports.making.order import CannotExport
from core.processes.claimed import Key, Values, Work
from core.tables import ExportRow

CRASHED = LuthierError(
    "Making the export was stopped before its end. Start it again; if it happens twice, "
    "the model is too large for this server's memory."
)


def _failure(error: LuthierError) -> Values:
    checks = error.checks if isinstance(error, CannotExport) else None
    return {"error": error.message, "finished_at": now()} | ({"checks": checks} if checks else {})


def _remove_drafts(key: Key) -> None:
    final = storage.export_dir(*key)
    for draft in final.parent.glob(f".{final.name}.*"):
        storage.remove(draft)


WORK = Work("export", ExportRow, crashed=CRASHED, unforeseen=CRASHED, failure=_failure, clean=_remove_drafts)
