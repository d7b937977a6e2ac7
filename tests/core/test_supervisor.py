"""Who starts workers and notices when one is gone."""

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psutil
import pytest

from core import jobs, storage, supervisor
from core.clock import now
from core.config import settings
from core.db import reading
from core.errors import DiskFull
from core.runners import RUNNERS, Worker
from core.runners.subprocess import SubprocessRunner
from core.supervisor import Supervisor
from core.tables import JobEventRow, JobRow
from core.training import checkpoints
from core.users import User

MakeJob = Callable[..., JobRow]
ALIVE = Worker(pid=os.getpid(), started=1.0)


class PretendRunner:
    """Starts nothing; a worker lives until the test says otherwise."""

    name = "pretend"
    title = "Nowhere"

    def __init__(self) -> None:
        self.started: list[str] = []
        self.stopped: list[Worker] = []
        self.killed: list[Worker] = []
        self.dead = False
        self.refuses = False

    def start(self, job_id: str) -> Worker | None:
        if self.refuses:
            raise OSError(11, "no more processes")
        self.started.append(job_id)
        return ALIVE

    def is_alive(self, worker: Worker) -> bool:
        return not self.dead

    def stop(self, worker: Worker) -> None:
        self.stopped.append(worker)

    def kill(self, worker: Worker) -> None:
        self.killed.append(worker)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> PretendRunner:
    pretend = PretendRunner()
    monkeypatch.setitem(RUNNERS, "pretend", pretend)
    return pretend


@pytest.fixture
def make_waiting(make_job: MakeJob, runner: PretendRunner) -> MakeJob:
    return lambda user, **columns: make_job(user, runner="pretend", **columns)


def test_one_job_runs_and_the_other_waits(ada: User, make_waiting: MakeJob, runner: PretendRunner) -> None:
    first, second = make_waiting(ada), make_waiting(ada)
    watch = Supervisor()
    watch.tick()
    watch.tick()
    assert runner.started == [first.id]
    assert (row_of(first.id).status, row_of(second.id).status) == ("running", "queued")


def test_a_dead_worker_is_replaced_until_the_attempts_are_used_up(ada: User, make_waiting: MakeJob, runner: PretendRunner) -> None:
    job = make_waiting(ada)
    watch = Supervisor()
    runner.dead = True
    for _ in range(jobs.MAX_ATTEMPTS + 1):
        watch.tick()
    found = row_of(job.id)
    assert runner.started == [job.id] * jobs.MAX_ATTEMPTS
    assert (found.status, found.lease_token) == ("failed", None)
    assert found.error["code"] == "worker_lost"
    assert [e.level for e in events(job.id)] == ["warn", "warn", "error"]


def test_a_living_worker_is_adopted_by_the_next_server(ada: User, make_waiting: MakeJob, runner: PretendRunner) -> None:
    job = make_waiting(ada, status="running", lease_token="t", lease_until=later(60), worker_pid=1, worker_started=1.0)
    watch = Supervisor()
    watch._greet()
    watch.tick()
    assert row_of(job.id).lease_token == "t"
    assert [e.message for e in events(job.id)] == ["The server is back. The training went on meanwhile."]


def test_a_worker_that_died_with_the_server_is_replaced_at_the_next_start(
    ada: User, make_waiting: MakeJob, runner: PretendRunner
) -> None:
    job = make_waiting(ada, status="running", lease_token="t", lease_until=later(60), worker_pid=1, worker_started=1.0, attempts=1)
    runner.dead = True
    watch = Supervisor()
    watch.tick()
    assert (row_of(job.id).status, row_of(job.id).attempts) == ("running", 2)
    assert runner.started == [job.id]


def test_a_silent_worker_is_ended(ada: User, make_waiting: MakeJob, runner: PretendRunner) -> None:
    make_waiting(ada, status="running", lease_token="t", lease_until=later(-1), worker_pid=1, worker_started=1.0)
    Supervisor().tick()
    assert runner.killed == [Worker(1, 1.0)]


def test_a_worker_that_ignores_a_cancel_is_ended(
    ada: User, make_waiting: MakeJob, runner: PretendRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_waiting(ada, status="cancelled", lease_token="t", lease_until=later(60), worker_pid=1, worker_started=1.0)
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.0)
    watch = Supervisor()
    watch.tick()
    watch.tick()
    assert runner.killed
    runner.dead = True
    watch.tick()
    assert (row_of(job.id).status, row_of(job.id).lease_token) == ("cancelled", None)


def test_a_nearly_full_disk_starts_nothing_and_says_so(
    ada: User, make_waiting: MakeJob, runner: PretendRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_waiting(ada)

    def no_space(needed_bytes: int = 0) -> None:
        raise DiskFull

    monkeypatch.setattr(storage, "require_space", no_space)
    watch = Supervisor()
    watch.tick()
    watch.tick()
    assert (row_of(job.id).status, runner.started) == ("queued", [])
    assert [e.level for e in events(job.id)] == ["warn"]


def test_a_runner_that_cannot_start_fails_the_job_in_the_end(ada: User, make_waiting: MakeJob, runner: PretendRunner) -> None:
    job = make_waiting(ada)
    runner.refuses = True
    watch = Supervisor()
    for _ in range(jobs.MAX_ATTEMPTS):
        watch.tick()
    assert row_of(job.id).status == "failed"
    assert "no more processes" in row_of(job.id).error["message"]


def test_folders_of_forgotten_jobs_are_swept(ada: User, make_waiting: MakeJob) -> None:
    job = make_waiting(ada)
    for name in (job.id, "ftj_aaaaaaaaaa", f".{job.id}.x.tmp"):
        (settings().data_dir / "jobs" / name).mkdir(parents=True)
    Supervisor()._sweep()
    assert [p.name for p in (settings().data_dir / "jobs").iterdir()] == [job.id]


@pytest.mark.parametrize("name", RUNNERS)
def test_every_runner_says_what_it_is(name: str) -> None:
    runner = RUNNERS[name]
    assert (runner.name, bool(runner.title)) == (name, True)
    gone = Worker(pid=2**22 - 1, started=1.0)
    assert not runner.is_alive(gone)
    runner.stop(gone)
    runner.kill(gone)


def test_a_pid_that_belongs_to_another_process_by_now_is_not_our_worker() -> None:
    me = psutil.Process()
    assert SubprocessRunner().is_alive(Worker(me.pid, me.create_time()))
    assert not SubprocessRunner().is_alive(Worker(me.pid, me.create_time() - 100))


@pytest.mark.usefixtures("tiny_base")
@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_a_stopped_server_loses_nothing(ada: User, make_job: MakeJob) -> None:
    job = make_job(
        ada, hyperparameters={"n_epochs": 50, "batch_size": 1}, rows=[{"prompt": "x" * 100, "completion": "y" * 400}] * 400
    )
    watch = Supervisor()
    watch.start()
    try:
        wait_until(lambda: row_of(job.id).step >= 3)
        os.kill(row_of(job.id).worker_pid, signal.SIGKILL)
        log = storage.job_dir(job.id) / "log.txt"
        wait_until(lambda: " step " in log.read_text().partition("attempt 2")[2])
    finally:
        began = time.monotonic()
        watch.stop()
    assert time.monotonic() - began < 3
    found = row_of(job.id)
    assert (found.status, found.lease_token) == ("queued", None)
    assert checkpoints.steps(storage.job_dir(job.id)) == [found.step]
    assert "ended unexpectedly" in " ".join(e.message for e in events(job.id))


def row_of(job_id: str) -> Any:
    with reading() as session:
        return session.get_one(JobRow, job_id)


def events(job_id: str) -> list[JobEventRow]:
    with reading() as session:
        return session.query(JobEventRow).filter_by(job_id=job_id).order_by(JobEventRow.id).all()


def later(seconds: float) -> Any:
    return now() + timedelta(seconds=seconds)


def wait_until(true: Callable[[], Any], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
