"""Processes that compute reports are killed in the middle
of their work: nothing is half there, and the owner is told.

The table is large enough to be worked on for seconds; it is killed as soon as the process has claimed its
report.
"""

import os
import signal
from collections.abc import Callable, Iterator

import duckdb
import psutil
import pytest

from core import datasets, storage
from core.db import reading, writing
from core.people.users import User
from core.processes.tended import is_alive
from core.reports import computing
from core.reports import queue as report_queue
from core.reports.queue import ReportQueue
from core.tables import DatasetVersionRow, VersionReportRow
from tests.core.conftest import make_version as make_version
from tests.waiting import wait_until

SECONDS = 60.0
LARGE = (
    "SELECT i AS n, md5(i::VARCHAR) || ' is the name of row number ' || i AS text FROM range(1500000) t(i)"
)
SMALL = "SELECT i AS n, 'a' || i || '@b.org' AS text FROM range(30) t(i)"


@pytest.fixture
def version(ada: User, make_version: Callable[..., DatasetVersionRow]) -> DatasetVersionRow:
    made = make_version(ada, [{"n": 1, "text": "x"}], types={"n": "BIGINT"})
    fill(made, LARGE)
    return made


@pytest.fixture
def queue(as_servers_do: None) -> Iterator[ReportQueue]:
    made = ReportQueue()
    yield made
    for child in made.children.values():
        child.kill()
        child.wait()


def fill(version: DatasetVersionRow, select: str) -> None:
    """Put other rows under a version: only a test may."""
    duckdb.execute(f"COPY ({select}) TO '{storage.parquet_path(version.id)}' (FORMAT parquet)")


def report_of(version: DatasetVersionRow, kind: str = "quality") -> VersionReportRow:
    with reading() as session:
        row = session.get(VersionReportRow, (version.id, kind))
    assert row is not None
    return row


def wait_for(version: DatasetVersionRow, *status: str, kind: str = "quality") -> VersionReportRow:
    return wait_until(lambda: report_of(version, kind), lambda row: row.status in status, seconds=SECONDS)


def ask_and_kill(ada: User, version: DatasetVersionRow, queue: ReportQueue) -> None:
    datasets.start_report(ada, version.id, "quality")
    queue.tick()
    pid = wait_for(version, "running").worker_pid
    assert pid == queue.children[version.id, "quality"].pid
    os.kill(pid, signal.SIGKILL)
    queue.children[version.id, "quality"].wait()
    assert report_of(version).status == "running"


def test_a_killed_process_is_told_and_can_be_started_again(
    ada: User, version: DatasetVersionRow, queue: ReportQueue
) -> None:
    ask_and_kill(ada, version, queue)
    queue.tick()
    found = datasets.quality(ada, version.id)
    assert (found.status, found.error, found.findings) == ("failed", computing.CRASHED.message, [])
    assert not computing.spill_path(version.id, "quality").exists()
    fill(version, SMALL)
    datasets.start_report(ada, version.id, "quality")
    queue.tick()
    assert wait_for(version, "ready", "failed").status == "ready"
    assert [finding["key"] for finding in datasets.quality(ada, version.id).findings] == ["email.1"]


def test_what_died_with_its_server_is_computed_by_the_next(
    ada: User, version: DatasetVersionRow, queue: ReportQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_and_kill(ada, version, queue)
    fill(version, SMALL)
    following = ReportQueue()
    monkeypatch.setattr(report_queue, "QUEUE", following)
    try:
        report_queue.QUEUE.recover()  # as a server does at its start: the thread goes on by itself
        assert wait_for(version, "ready", "failed").status == "ready"
    finally:
        following.shut_down()


def test_a_server_that_stops_leaves_its_processes_working(
    ada: User, version: DatasetVersionRow, queue: ReportQueue
) -> None:
    datasets.start_report(ada, version.id, "quality")
    queue.run()
    row = wait_for(version, "running")
    queue.shut_down()
    assert row.worker_pid is not None
    process = psutil.Process(row.worker_pid)
    assert process.is_running()
    assert process.nice() >= computing.NICENESS or os.name == "nt"
    assert is_alive(row)  # so the next server leaves it alone


def test_a_process_whose_version_is_deleted_ends_by_itself(
    ada: User, version: DatasetVersionRow, queue: ReportQueue
) -> None:
    datasets.start_report(ada, version.id, "quality")
    queue.tick()
    wait_for(version, "running")
    with writing() as session:
        session.query(DatasetVersionRow).filter_by(id=version.id).delete()
    assert queue.children[version.id, "quality"].wait(SECONDS) == 0
