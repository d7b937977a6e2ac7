"""The processes that make exports, from the outside: one at a time, oldest request first.

The token of a push is kept in this memory until its process has read it from stdin: after a restart such a
push has to be asked for again.
"""

from collections.abc import Mapping

from sqlalchemy import select

from core.config import settings, sibling_environment
from core.db import reading
from core.errors import Conflict
from core.exports.work import WORK
from core.processes.children import Program
from core.processes.claimed import Key, Work
from core.processes.tended import TendedQueue
from core.storage import trash
from core.tables import ExportRow

NO_TOKEN = Conflict(
    "The token of this push is not at hand: the server was restarted, "
    "or another process than the server was asked. Tokens are not kept. "
    "Push it again from the model's page or over the API."
)


class ExportQueue(TendedQueue[ExportRow]):
    name, log_name, slots = "exports", "export", 1
    program = Program("core.exports.worker", "core.exports.worker:main")
    deferred = ("checks",)

    def __init__(self) -> None:
        super().__init__()
        self._tokens: dict[str, str] = {}

    @property
    def work(self) -> Work[ExportRow]:
        return WORK

    def keep_token(self, export_id: str, token: str | None) -> None:
        """Before the row is there: the thread may see it at once."""
        if token:
            self._tokens[export_id] = token

    def drop_token(self, export_id: str) -> None:
        self._tokens.pop(export_id, None)

    def may_start(self, row: ExportRow, open_rows: list[ExportRow]) -> bool:
        if row.kind == "hub" and row.id not in self._tokens:
            WORK.fail((row.id,), NO_TOKEN, pid=None)
            return False
        return True

    def environment(self, row: ExportRow) -> Mapping[str, str]:
        return sibling_environment(
            LUTHIER_LLAMA_CPP=settings().llama_cpp,
            PYTHONUNBUFFERED="1",
            CUDA_VISIBLE_DEVICES="",  # an export takes its time; a training's memory is not touched
            **({"HF_HUB_OFFLINE": "1"} if row.kind != "hub" else {}),
        )

    def stdin(self, row: ExportRow) -> str:
        return self._tokens.pop(row.id, "") + "\n"

    def sweep(self, alive: set[Key], waiting: set[Key]) -> None:
        """Folders that no row names, and drafts of processes that are gone."""
        with reading() as session:
            known = set(session.scalars(select(ExportRow.id).where(ExportRow.status == "ready")))
        living = {export_id for (export_id,) in alive}
        folder = settings().data_dir / "exports"
        drafts = {path.name for path in folder.glob(".*") if path.name.split(".")[1] in living}
        trash.sweep("exports", known | living | drafts)


QUEUE = ExportQueue()
