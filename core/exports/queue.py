"""The processes that make exports, from the outside: one at a time, oldest request first.

A thread of the server starts them and looks after them. One that dies leaves its export failed, and says so;
after a restart of the server such an export is made again, and a process of the last server that still lives
is left to finish. The token of a push is kept in this memory until its process has read it from stdin: after
a restart such a push has to be asked for again.
"""

import logging
from pathlib import Path

from sqlalchemy import select

from core import storage
from core.config import settings, sibling_environment
from core.db import reading
from core.exports import rows as export_rows
from core.processes import children
from core.processes.children import Child, Program
from core.processes.tended import TendedQueue
from core.storage import trash
from core.tables import ExportRow

SLOTS = 1
PROGRAM = Program("core.exports.worker", "core.exports.worker:main")
LOGGED_CHARACTERS = 4000
NO_TOKEN = (
    "The token of this push is not at hand: the server was restarted, "
    "or another process than the server was asked. Tokens are not kept. "
    "Push it again from the model's page or over the API."
)
log = logging.getLogger("luthier.exports")


class ExportQueue(TendedQueue):
    """Starts what waits, settles what died."""

    name = "exports"

    def __init__(self) -> None:
        super().__init__()
        self.children: dict[str, Child] = {}
        self._tokens: dict[str, str] = {}

    def keep_token(self, export_id: str, token: str | None) -> None:
        """Before the row is there: the thread may see it at once."""
        if token:
            self._tokens[export_id] = token

    def drop_token(self, export_id: str) -> None:
        self._tokens.pop(export_id, None)

    def tick(self) -> bool:
        self._settle_dead()
        rows = export_rows.list_open()
        living = {row.id for row in rows if row.status == "running"} | set(self.children)
        for row in rows:
            if (
                row.status == "waiting"
                and row.id not in living
                and self._may_start(row)
                and len(living) < SLOTS
            ):
                self._start(row)
                living.add(row.id)
        return bool(rows or self.children)

    def _settle_dead(self) -> None:
        for export_id, child in [
            (key, child) for key, child in self.children.items() if child.poll() is not None
        ]:
            del self.children[export_id]
            _note_output(export_id, child.wait())
            _clear_drafts(export_id)
            # without effect where the process has settled its row
            export_rows.fail(export_id, export_rows.CRASHED)
        for row in export_rows.list_open():
            if row.status == "running" and row.id not in self.children and not export_rows.is_alive(row):
                _clear_drafts(row.id)
                export_rows.fail(row.id, export_rows.CRASHED)

    def _may_start(self, row: ExportRow) -> bool:
        if row.kind == "hub" and row.id not in self._tokens:
            export_rows.fail(row.id, NO_TOKEN)
            return False
        return True

    def _start(self, row: ExportRow) -> None:
        try:
            self.children[row.id] = children.start(
                PROGRAM,
                row.id,
                output=_log_path(row.id),
                environment=_environment(offline=row.kind != "hub"),
                stdin=self._tokens.pop(row.id, "") + "\n",
                then=self.wake,
            )
        except OSError as error:
            log.error("a process for the export %s could not be started: %s", row.id, error)
            export_rows.fail(row.id, export_rows.CRASHED)


QUEUE = ExportQueue()


def recover() -> None:
    """At the start of a server: what died with the last one is made again; what still runs is left alone."""
    rows = export_rows.list_open()
    living = {row.id for row in rows if row.status == "running" and export_rows.is_alive(row)}
    for row in rows:
        if row.status == "running" and row.id not in living:
            export_rows.ask_again(row.id, row.worker_pid)
    _sweep(living)
    QUEUE.run()


def shut_down() -> None:
    """Stop looking after exports; one that runs goes on."""
    QUEUE.shut_down()


def _environment(*, offline: bool) -> dict[str, str]:
    return sibling_environment(
        LUTHIER_LLAMA_CPP=settings().llama_cpp,
        PYTHONUNBUFFERED="1",
        CUDA_VISIBLE_DEVICES="",  # an export takes its time; a training's memory is not touched
        **({"HF_HUB_OFFLINE": "1"} if offline else {}),
    )


def _log_path(export_id: str) -> Path:
    folder = settings().data_dir / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"export-{export_id}.log"


def _note_output(export_id: str, code: int) -> None:
    """What a process said before it went wrong belongs into the server's log; its own file is done with."""
    path = _log_path(export_id)
    if code != 0:
        output = path.read_text(errors="replace")[-LOGGED_CHARACTERS:] if path.exists() else ""
        log.error("the export %s ended with code %s: %s", export_id, code, output)
    path.unlink(missing_ok=True)


def _clear_drafts(export_id: str) -> None:
    final = storage.export_dir(export_id)
    for draft in final.parent.glob(f".{final.name}.*"):
        storage.remove(draft)


def _sweep(living: set[str]) -> None:
    """Folders that no row names, and what processes left that are gone."""
    with reading() as session:
        known = set(session.scalars(select(ExportRow.id).where(ExportRow.status == "ready")))
    folder = settings().data_dir / "exports"
    drafts = (
        {path.name for path in folder.glob(".*") if path.name.split(".")[1] in living}
        if folder.is_dir()
        else set()
    )
    trash.sweep("exports", known | living | drafts)
    for output in _log_path("").parent.glob("export-*.log"):
        if output.stem.removeprefix("export-") not in living:
            output.unlink(missing_ok=True)
