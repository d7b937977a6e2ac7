"""Who starts workers and notices when one is gone."""

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from sqlalchemy.exc import OperationalError

from core import fine_tuning, jobs, storage
from core.clock import now
from core.config import settings
from core.db import reading, writing
from core.errors import DiskFull
from core.jobs import notes
from core.people.users import User
from core.runners import RUNNERS, Worker
from core.runners.subprocess import SubprocessRunner
from core.tables import AlertRow, CheckpointRow, JobEventRow, JobRow
from core.training import checkpoints
from core.workers import supervisor
from core.workers.supervisor import Supervisor
from tests.waiting import wait_until

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


def test_a_dead_worker_is_replaced_until_the_attempts_are_used_up(
    ada: User, make_waiting: MakeJob, runner: PretendRunner
) -> None:
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


def test_a_job_that_gets_on_between_its_crashes_is_not_given_up(
    ada: User, make_waiting: MakeJob, runner: PretendRunner
) -> None:
    """Three power cuts in a week of training are no reason
    to throw it away; three crashes at the same step are."""
    worker = {
        "worker_pid": 1,
        "worker_started": later(-60).timestamp(),
        "lease_token": "t",
        "lease_until": later(60),
    }
    job = make_waiting(ada, status="running", attempts=jobs.MAX_ATTEMPTS, **worker)
    with writing() as session:
        notes.note_checkpoint(session, job.id, 500, size_bytes=1, metrics={}, kept=[500])
    runner.dead = True
    watch = Supervisor()
    watch.tick()
    assert (row_of(job.id).status, row_of(job.id).attempts) == ("running", 2)
    for _ in range(jobs.MAX_ATTEMPTS):  # and now it gets nowhere
        watch.tick()
    assert row_of(job.id).status == "failed"


def test_a_living_worker_is_adopted_by_the_next_server(
    ada: User, make_waiting: MakeJob, runner: PretendRunner
) -> None:
    job = make_waiting(
        ada, status="running", lease_token="t", lease_until=later(60), worker_pid=1, worker_started=1.0
    )
    watch = Supervisor()
    watch._greet()
    watch.tick()
    assert row_of(job.id).lease_token == "t"
    assert [e.message for e in events(job.id)] == ["The server is back. The training went on meanwhile."]


def test_a_worker_that_died_with_the_server_is_replaced_at_the_next_start(
    ada: User, make_waiting: MakeJob, runner: PretendRunner
) -> None:
    job = make_waiting(
        ada,
        status="running",
        lease_token="t",
        lease_until=later(60),
        worker_pid=1,
        worker_started=1.0,
        attempts=1,
    )
    runner.dead = True
    watch = Supervisor()
    watch.tick()
    assert (row_of(job.id).status, row_of(job.id).attempts) == ("running", 2)
    assert runner.started == [job.id]


def test_a_worker_has_time_to_report_to_a_database_that_is_back(
    ada: User, make_waiting: MakeJob, runner: PretendRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile nobody could renew a lease, nor tell of a step."""
    make_waiting(
        ada,
        status="running",
        lease_token="t",
        lease_until=later(-600),
        stepped_at=later(-100_000),
        worker_pid=1,
        worker_started=1.0,
    )
    watching = Supervisor()
    away = OperationalError("BEGIN", {}, sqlite3.OperationalError("unable to open database file"))
    with monkeypatch.context() as patch:
        patch.setattr(supervisor, "_leased", lambda: _raise(away))
        run_rounds(watching, 1)
    run_rounds(watching, 3)
    assert runner.killed == []
    watching._database_away_at -= supervisor.BACK_SECONDS
    run_rounds(watching, 1)
    assert runner.killed


def test_a_full_disk_is_one_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))
    monkeypatch.setattr(supervisor, "_leased", lambda: _raise(full))
    run_rounds(Supervisor(), 20)
    assert [record.exc_info for record in caplog.records] == [None]
    assert "The jobs could not be looked after for now" in caplog.text


def _raise(error: Exception) -> None:
    raise error


def run_rounds(watching: Supervisor, count: int) -> None:
    """As its thread does, so many times."""
    waits = iter([False] * count + [True])
    end: Any = SimpleNamespace(wait=lambda _seconds: next(waits), is_set=lambda: False)
    watching._end = end
    watching._run()


def test_a_silent_worker_is_ended(ada: User, make_waiting: MakeJob, runner: PretendRunner) -> None:
    make_waiting(
        ada, status="running", lease_token="t", lease_until=later(-1), worker_pid=1, worker_started=1.0
    )
    Supervisor().tick()
    assert runner.killed == [Worker(1, 1.0)]


def test_a_worker_that_ignores_a_cancel_is_ended(
    ada: User, make_waiting: MakeJob, runner: PretendRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_waiting(
        ada, status="cancelled", lease_token="t", lease_until=later(60), worker_pid=1, worker_started=1.0
    )
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


def test_a_running_job_is_set_aside_before_the_disk_is_full(
    ada: User, make_waiting: MakeJob, runner: PretendRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_waiting(ada)
    watch = Supervisor()
    watch.tick()

    def no_space(needed_bytes: int = 0) -> None:
        raise DiskFull

    monkeypatch.setattr(storage, "require_space", no_space)
    watch.tick()
    watch.tick()
    found = row_of(job.id)
    assert (found.status, found.error["code"]) == ("paused", "disk_full")
    assert found.lease_token  # the worker still saves
    assert not runner.killed
    assert [alert.kind for alert in alerts(job.id)] == ["paused"]


RUNS = {
    "status": "running",
    "lease_token": "t",
    "worker_pid": 1,
    "step": 50,
    "total_steps": 100,
    "resolved": {"n_epochs": 2},
}


def running(
    ada: User, make_waiting: MakeJob, *, silent: float, step_seconds: float = 0.1, **columns: Any
) -> JobRow:
    """A job in the middle of its run whose heartbeat goes
    on and whose last step was ``silent`` seconds ago."""
    facts = {
        "lease_until": later(60),
        "stepped_at": later(-silent),
        "worker_started": later(-silent - 100).timestamp(),
    }
    return make_waiting(ada, **(RUNS | facts | {"eta_seconds": 50 * step_seconds, "attempts": 1} | columns))


def test_a_worker_that_beats_but_does_not_step_is_ended_and_the_job_goes_on(
    ada: User, make_waiting: MakeJob, runner: PretendRunner
) -> None:
    job = running(ada, make_waiting, silent=700)
    watch = Supervisor()
    watch.tick()
    watch.tick()
    assert runner.killed == [Worker(1, row_of(job.id).worker_started)] * 2  # until it is gone
    assert [alert.kind for alert in alerts(job.id)] == ["stalled"]  # but told once
    assert "no step for 12 min" in alerts(job.id)[0].message
    runner.dead = True
    watch.tick()
    assert (row_of(job.id).status, row_of(job.id).attempts, runner.started) == ("running", 2, [job.id])
    assert "The training hung: no step for 12 min. The job goes on" in events(job.id)[-1].message


def test_a_training_that_hangs_every_time_fails_with_that_reason(
    ada: User, make_waiting: MakeJob, runner: PretendRunner
) -> None:
    job = running(ada, make_waiting, silent=700, attempts=jobs.MAX_ATTEMPTS)
    watch = Supervisor()
    watch.tick()
    runner.dead = True
    watch.tick()
    found = row_of(job.id)
    assert (found.status, found.error["code"]) == ("failed", "stalled")
    assert "hung" in found.error["message"]
    assert [alert.kind for alert in alerts(job.id)] == ["stalled", "failed"]


@pytest.mark.parametrize(
    ("silent", "columns", "hangs"),
    [
        (590, {}, False),
        (610, {}, True),
        (610, {"eta_seconds": 50 * 60.0}, False),  # steps of a minute: twenty of them are fine
        (1210, {"eta_seconds": 50 * 60.0}, True),
        # half of the rows are measured between two steps
        (610, {"validation_fraction": 0.5, "eta_seconds": 50 * 10.0}, False),
        (610, {"stepped_at": None}, False),  # it prepares
        (7300, {"stepped_at": None}, True),
        (610, {"step": 100, "eta_seconds": 0.0}, False),  # it saves the model
        (7300, {"step": 100, "eta_seconds": 0.0}, True),
        (86400, {"worker_started": 0.0}, False),  # the step is an earlier attempt's
    ],
)
def test_patience_follows_the_pace_of_the_run(
    ada: User,
    make_waiting: MakeJob,
    runner: PretendRunner,
    silent: float,
    columns: dict[str, Any],
    hangs: bool,
) -> None:
    if columns.get("worker_started") == 0.0:
        columns = {"worker_started": later(-60).timestamp()}
    running(ada, make_waiting, silent=silent, **columns)
    Supervisor().tick()
    assert bool(runner.killed) == hangs


def test_a_silent_worker_is_told_of_once(ada: User, make_waiting: MakeJob, runner: PretendRunner) -> None:
    job = make_waiting(
        ada, status="running", lease_token="t", lease_until=later(-1), worker_pid=1, worker_started=1.0
    )
    watch = Supervisor()
    watch.tick()
    watch.tick()
    assert [alert.kind for alert in alerts(job.id)] == ["stalled"]


def test_a_job_paused_and_resumed_at_once_goes_on_and_so_does_the_next_users(
    ada: User, bob: User, make_waiting: MakeJob, runner: PretendRunner
) -> None:
    """With one place.

    The worker had seen the pause, and gives its lease back only after the job was resumed.
    """
    job, behind = make_waiting(ada), make_waiting(bob)
    watch = Supervisor()
    watch.tick()
    token = row_of(job.id).lease_token
    fine_tuning.pause(ada, job.id)
    fine_tuning.resume(ada, job.id)
    with writing() as session:
        assert jobs.release(session, job.id, token=token)
    watch.tick()
    assert runner.started == [job.id, behind.id]
    with writing() as session:
        jobs.fail(session, behind.id, token=row_of(behind.id).lease_token, error=jobs.Error("x", "y"))
    watch.tick()
    assert runner.started == [job.id, behind.id, job.id]


def test_a_job_that_an_earlier_release_left_queued_with_a_dead_lease_goes_on(
    ada: User, bob: User, make_waiting: MakeJob, runner: PretendRunner
) -> None:
    """Until now a job that was resumed before its worker let go ended so,
    and held the only place for ever."""
    left = make_waiting(
        ada, status="queued", lease_token="t", lease_until=later(-60), worker_pid=1, worker_started=1.0
    )
    behind = make_waiting(bob)
    runner.dead = True
    watch = Supervisor()
    for _ in range(2 * jobs.MAX_ATTEMPTS):
        watch.tick()
    assert {left.id, behind.id} == set(runner.started)


def test_a_worker_that_was_paused_before_has_its_whole_time_to_save_again(
    ada: User, make_waiting: MakeJob, runner: PretendRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The patience of a pause that was taken back is not taken from the next one."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=time.sleep))
    job = make_waiting(
        ada,
        status="running",
        lease_token="t",
        lease_until=later(60),
        worker_pid=1,
        worker_started=1.0,
        stepped_at=now(),
    )
    watch = Supervisor()
    for change, seconds in ((jobs.pause, 0.9), (jobs.resume, 0.9), (jobs.pause, 0.9)):
        with writing() as session:
            assert change(session, job.id)
        watch.tick()
        clock.now += seconds * supervisor.SAVING_SECONDS
        watch.tick()
        assert not runner.killed
    clock.now += 0.2 * supervisor.SAVING_SECONDS
    watch.tick()
    assert runner.killed == [Worker(1, 1.0)]


def test_a_job_resumed_after_its_last_attempt_died_starts_afresh(
    ada: User, make_waiting: MakeJob, runner: PretendRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the supervisor had looked at it a moment before:
    the attempts that count are those of the row as it is now."""
    dead = {"lease_token": "t", "lease_until": later(60), "worker_pid": 1, "worker_started": 1.0}
    job = make_waiting(ada, status="paused", attempts=jobs.MAX_ATTEMPTS, **dead)
    before = row_of(job.id)
    with writing() as session:
        assert jobs.resume(session, job.id)
    runner.dead = True
    Supervisor()._see_to(before)
    found = row_of(job.id)
    assert (found.status, found.lease_token, found.error) == ("queued", None, None)


@pytest.mark.parametrize("status", ["running", "paused", "cancelled"])
def test_an_orphan_whose_pid_is_somebody_elses_by_now_is_not_touched(
    ada: User, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """The pid in the row is this test's own, but the process
    that had it started at another time: before the machine did."""
    worker = {"worker_pid": os.getpid(), "worker_started": psutil.boot_time() - 3600}
    job = make_job(ada, status=status, lease_token="t", lease_until=later(60), attempts=1, **worker)
    monkeypatch.setattr(SubprocessRunner, "start", lambda self, job_id: None)
    Supervisor().tick()
    found = row_of(job.id)
    assert found.lease_token != "t"
    assert found.status == status  # a running one was queued and claimed again
    assert found.attempts == (2 if status == "running" else 1)


def test_an_orphan_that_died_too_often_fails_with_a_reason(ada: User, make_job: MakeJob) -> None:
    worker = {
        "worker_pid": os.getpid(),
        "worker_started": psutil.boot_time() - 3600,
        "attempts": jobs.MAX_ATTEMPTS,
    }
    job = make_job(ada, status="running", lease_token="t", lease_until=later(60), **worker)
    Supervisor().tick()
    assert (row_of(job.id).status, row_of(job.id).error["code"]) == ("failed", "worker_lost")
    assert [alert.kind for alert in alerts(job.id)] == ["failed"]


def test_a_claim_whose_worker_never_came_is_given_back_when_its_lease_ends(
    ada: User, make_waiting: MakeJob, runner: PretendRunner
) -> None:
    """The server died between claiming and starting: nobody knows whether a worker is on its way."""
    job = make_waiting(ada, status="running", lease_token="t", lease_until=later(30))
    watch = Supervisor()
    watch.tick()
    assert row_of(job.id).lease_token == "t"
    with writing() as session:
        session.get_one(JobRow, job.id).lease_until = later(-1)
    watch.tick()
    assert (row_of(job.id).status, runner.started) == ("running", [job.id])


@pytest.mark.parametrize("status", ["queued", "running", "cancelled"])
def test_a_job_for_a_runner_that_is_gone_stops_nobody_elses(
    ada: User, make_waiting: MakeJob, make_job: MakeJob, runner: PretendRunner, status: str
) -> None:
    """An optional runner was uninstalled, or never there."""
    lease = (
        {}
        if status == "queued"
        else {"lease_token": "t", "lease_until": later(60), "worker_pid": 1, "worker_started": 1.0}
    )
    odd, fine = make_job(ada, status=status, runner="nowhere", **lease), make_waiting(ada)
    watch = Supervisor()
    watch._greet()
    for _ in range(jobs.MAX_ATTEMPTS + 1):
        watch.tick()
    assert runner.started == [fine.id]
    assert (row_of(odd.id).status, row_of(odd.id).lease_token) == (
        "cancelled" if status == "cancelled" else "failed",
        None,
    )
    if status != "cancelled":
        assert "no runner 'nowhere'" in row_of(odd.id).error["message"]


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_old_checkpoints_of_ended_jobs_go_and_kept_ones_stay(
    ada: User, make_waiting: MakeJob, status: str
) -> None:
    old = make_waiting(ada, status=status, finished_at=later(-31 * 86400))
    recent = make_waiting(ada, status=status, finished_at=later(-29 * 86400))
    paused = make_waiting(ada, status="paused", started_at=later(-90 * 86400))
    for job in (old, recent, paused):
        with writing() as session:
            for step in (10, 20, 30):
                notes.note_checkpoint(session, job.id, step, size_bytes=1, metrics={}, kept=[10, 20, 30])
                (checkpoints.folder(storage.job_dir(job.id)) / f"step-{step}").mkdir(parents=True)
            session.query(CheckpointRow).filter_by(job_id=job.id, step=20).one().pinned = True
    watch = Supervisor()
    watch.tick()
    assert checkpoints.steps(storage.job_dir(old.id)) == steps_of(old.id) == [20]
    for job in (recent, paused):
        assert checkpoints.steps(storage.job_dir(job.id)) == steps_of(job.id) == [10, 20, 30]


def test_checkpoints_that_a_crash_left_without_rows_are_swept_too(ada: User, make_waiting: MakeJob) -> None:
    old = make_waiting(ada, status="failed", finished_at=later(-31 * 86400))
    (checkpoints.folder(storage.job_dir(old.id)) / "step-3").mkdir(parents=True)
    assert fine_tuning.sweep_checkpoints(now()) == 1
    assert checkpoints.steps(storage.job_dir(old.id)) == []
    assert fine_tuning.sweep_checkpoints(now()) == 0


def test_the_rule_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "30 days after it has ended" in fine_tuning.describe_checkpoint_rule()
    monkeypatch.setenv("LUTHIER_CHECKPOINT_DAYS", "7")
    settings.cache_clear()
    assert "7 days after" in fine_tuning.describe_checkpoint_rule()


def test_a_runner_that_cannot_start_fails_the_job_in_the_end(
    ada: User, make_waiting: MakeJob, runner: PretendRunner
) -> None:
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
        ada,
        hyperparameters={"n_epochs": 50, "batch_size": 1},
        rows=[{"prompt": "x" * 100, "completion": "y" * 400}] * 400,
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
    assert "was stopped before its end" in " ".join(e.message for e in events(job.id))


def row_of(job_id: str) -> Any:
    with reading() as session:
        return session.get_one(JobRow, job_id)


def events(job_id: str) -> list[JobEventRow]:
    with reading() as session:
        return session.query(JobEventRow).filter_by(job_id=job_id).order_by(JobEventRow.id).all()


def alerts(job_id: str) -> list[AlertRow]:
    with reading() as session:
        return session.query(AlertRow).filter_by(job_id=job_id).order_by(AlertRow.id).all()


def steps_of(job_id: str) -> list[int]:
    with reading() as session:
        return sorted(row.step for row in session.query(CheckpointRow).filter_by(job_id=job_id))


def later(seconds: float) -> Any:
    return now() + timedelta(seconds=seconds)
