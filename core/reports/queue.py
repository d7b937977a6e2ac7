"""The processes that compute reports, from the outside: at most ``SLOTS`` at a time, oldest request first.

One thread of the server starts them and looks after them. A process that dies leaves its report failed, and
says so; after a restart of the server such a report is computed again, and processes of the last server that
still live are left to finish. Without a running server (a script, a test) requests only wait.
"""

import logging
import shutil

from sqlalchemy import select, update
from sqlalchemy.orm import defer

from core.config import settings, sibling_environment
from core.db import reading, writing
from core.processes import children, living
from core.processes.children import Child, Program
from core.processes.tended import TendedQueue
from core.reports import computing
from core.tables import VersionReportRow

SLOTS = 2
PROGRAM = Program("core.reports", "core.reports.computing:main")
LOGGED_CHARACTERS = 4000
Key = tuple[str, str]
log = logging.getLogger("luthier.reports")


class ReportQueue(TendedQueue):
    """Starts what waits, settles what died."""

    name = "reports"

    def __init__(self) -> None:
        super().__init__()
        self.children: dict[Key, Child] = {}

    def tick(self) -> bool:
        self._settle_dead(_open_reports())
        open_reports = _open_reports()
        alive = {_key(row) for row in open_reports if row.status == "running"} | set(self.children)
        for row in open_reports:
            if len(alive) >= SLOTS:
                break
            if row.status == "waiting" and _key(row) not in alive and not _needs_profile(row, open_reports):
                self._start(_key(row))
                alive.add(_key(row))
        return bool(open_reports)

    def _settle_dead(self, open_reports: list[VersionReportRow]) -> None:
        ended = {key: child for key, child in self.children.items() if child.poll() is not None}
        for key, child in ended.items():
            del self.children[key]
            _note_output(key, child.wait())
            computing.fail(*key, computing.CRASHED)  # without effect where the process has settled its row
        for row in open_reports:
            if (
                row.status == "running"
                and _key(row) not in self.children
                and _key(row) not in ended
                and not is_alive(row)
            ):
                computing.fail(*_key(row), computing.CRASHED)

    def _start(self, key: Key) -> None:
        try:
            self.children[key] = children.start(
                PROGRAM,
                *key,
                output=computing.log_path(*key),
                environment=sibling_environment(),
                then=self.wake,
            )
        except OSError as error:
            log.error("a process for the report %s of %s could not be started: %s", key[1], key[0], error)
            computing.fail(*key, computing.CRASHED)


QUEUE = ReportQueue()


def recover() -> None:
    """At the start of a server: what died with the last one is computed again;
    what still runs is left alone."""
    running = [row for row in _open_reports() if row.status == "running"]
    alive = {_key(row) for row in running if is_alive(row)}
    for row in running:
        if _key(row) not in alive:
            _ask_again(row)
    _sweep(alive)
    QUEUE.run()


def shut_down() -> None:
    """Stop looking after reports; those that run go on."""
    QUEUE.shut_down()


def is_alive(row: VersionReportRow) -> bool:
    return living.is_alive(row.worker_pid, row.worker_started)


def _open_reports() -> list[VersionReportRow]:
    report = VersionReportRow
    with reading() as session:
        statement = (
            select(report).where(report.status.in_(("waiting", "running"))).options(defer(report.result))
        )
        return list(session.scalars(statement.order_by(report.created_at, report.kind)))


def _key(row: VersionReportRow) -> Key:
    return row.version_id, row.kind


def _needs_profile(row: VersionReportRow, open_reports: list[VersionReportRow]) -> bool:
    """The quality of a version is looked at with its profile at hand."""
    return row.kind == computing.QUALITY and any(
        other.kind == computing.PROFILE and other.version_id == row.version_id for other in open_reports
    )


def _ask_again(row: VersionReportRow) -> None:
    report = VersionReportRow
    with writing() as session:
        session.execute(
            update(report)
            .where(
                report.version_id == row.version_id,
                report.kind == row.kind,
                report.worker_pid == row.worker_pid,
            )
            .where(report.status == "running")
            .values(status="waiting", progress=0.0, worker_pid=None, worker_started=None)
        )


def _note_output(key: Key, code: int) -> None:
    """What a process said before it went wrong belongs into the server's log; its own file is done with."""
    path = computing.log_path(*key)
    if code != 0:
        output = path.read_text(errors="replace")[-LOGGED_CHARACTERS:] if path.exists() else ""
        log.error("the report %s of %s ended with code %s: %s", key[1], key[0], code, output)
        shutil.rmtree(computing.spill_path(*key), ignore_errors=True)
    path.unlink(missing_ok=True)


def _sweep(alive: set[Key]) -> None:
    """Files of processes that are gone."""
    kept = {computing.spill_path(*key).name for key in alive}
    spilled = settings().data_dir / "reports"
    for folder in spilled.iterdir() if spilled.is_dir() else ():
        if folder.name not in kept and folder.name.startswith("dsv_"):
            shutil.rmtree(folder, ignore_errors=True)
    for output in computing.log_path("", "").parent.glob("report-*.log"):
        if output.stem.removeprefix("report-") not in kept:
            output.unlink(missing_ok=True)
