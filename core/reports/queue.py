"""The processes that compute reports, from the outside: at most ``slots`` at a time, oldest request first."""

import shutil

from core.config import settings
from core.processes.children import Program
from core.processes.claimed import Key, Work
from core.processes.tended import TendedQueue
from core.reports import computing
from core.tables import VersionReportRow


class ReportQueue(TendedQueue[VersionReportRow]):
    name, log_name, slots = "reports", "report", 2
    program = Program("core.reports", "core.reports.computing:main")
    deferred = ("result",)

    @property
    def work(self) -> Work[VersionReportRow]:
        return computing.WORK

    def may_start(self, row: VersionReportRow, open_rows: list[VersionReportRow]) -> bool:
        """The quality of a version is looked at with its profile at hand."""
        return row.kind != computing.QUALITY or not any(
            other.kind == computing.PROFILE and other.version_id == row.version_id for other in open_rows
        )

    def sweep(self, alive: set[Key], waiting: set[Key]) -> None:
        folders = {computing.spill_path(*key) for key in alive}
        for leftover in (settings().data_dir / "reports").glob("dsv_*"):
            if leftover not in folders:
                shutil.rmtree(leftover, ignore_errors=True)


QUEUE = ReportQueue()
