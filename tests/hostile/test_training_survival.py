"""What happens to a training when everything around it breaks:
each ends in the stated way, and what was learned is not lost.

Nobody watches here: there is no page and no client at all. The server is a process of its own that can be
killed. Whatever is resumed must give the same curve as a training that nothing happened to.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from core import fine_tuning, jobs
from core.config import ROOT, settings
from core.db import engine, reading, writing
from core.errors import Conflict
from core.people.users import User
from core.runners import RUNNERS
from core.runners.subprocess import _environment
from core.tables import AlertRow, JobEventRow, JobRow, MetricPointRow, ModelVersionRow
from core.workers import supervisor
from tests.core.conftest import base_model, make_job, make_version, tiny_base  # noqa: F401
from tests.hostile import slow_worker
from tests.waiting import wait_until

MakeJob = Callable[..., JobRow]
Serve = Callable[[], subprocess.Popen[bytes]]
pytestmark = [pytest.mark.usefixtures("tiny_base"), pytest.mark.timeout(300)]
SETTINGS, STEPS = {"n_epochs": 7, "batch_size": 4}, 21
MEBIBYTE = 2**20


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums over several threads may differ in the last digit, and curves are compared to the bit."""
    monkeypatch.setenv("LUTHIER_TRAINING_THREADS", "1")
    settings.cache_clear()
    monkeypatch.setitem(RUNNERS, "slow", slow_worker.SlowRunner())


@pytest.fixture
def short_patience(one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a hang is what the test is about.

    Elsewhere a busy machine may well take 10 seconds for a step.
    """
    monkeypatch.setenv("LUTHIER_TRAINING_STALL_SECONDS", "10")
    settings.cache_clear()


@pytest.fixture
def make(ada: User, make_job: MakeJob) -> Callable[..., JobRow]:  # noqa: F811
    """``make(slow=0.2, hang_at=5)``: a job of 21 steps with that trouble."""

    def make(**trouble: Any) -> JobRow:
        return make_job(ada, runner="slow", notes=json.dumps(trouble), hyperparameters=SETTINGS)

    return make


STRAIGHT: dict[int, float] = {}


@pytest.fixture
def straight(make: Callable[..., JobRow]) -> dict[int, float]:
    """The curve of a training that nothing happened to.

    All jobs here train the same, so one per process is enough.
    """
    if not STRAIGHT:
        job = make()
        with writing() as session:
            assert jobs.claim(session) == job.id
        assert slow_worker.start(job.id).wait(120) == 0
        STRAIGHT.update(curve_of(job))
        assert len(STRAIGHT) == STEPS
    return STRAIGHT


@pytest.fixture
def server(one_thread: None) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """``server()`` starts one. At the end no server and no worker of a test is left."""
    started = []

    def start() -> subprocess.Popen[bytes]:
        stall = {"LUTHIER_TRAINING_STALL_SECONDS": str(settings().training_stall_seconds)}
        command = [sys.executable, "-m", "tests.hostile.slow_worker", "serve"]
        started.append(
            subprocess.Popen(command, cwd=ROOT, env={**_environment(1), **stall}, start_new_session=True)
        )
        return started[-1]

    yield start
    for process in started:
        kill(process)
    for row in leased():
        if row.worker_pid and psutil.pid_exists(row.worker_pid):
            os.kill(row.worker_pid, signal.SIGKILL)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def test_a_killed_server_leaves_the_training_at_work_and_adopts_it_again(
    make: MakeJob, server: Serve, straight: dict[int, float]
) -> None:
    job = make(slow=0.3)
    first = server()
    wait_until(lambda: row_of(job).step >= 5)
    kill(first)
    at, worker = row_of(job).step, row_of(job).worker_pid
    wait_until(lambda: row_of(job).step >= at + 5)  # nobody is there, and it goes on
    server()
    wait_until(lambda: any("The server is back" in message for message in events(job)))
    assert row_of(job).worker_pid == worker
    assert wait_for(job, "succeeded").attempts == 1
    assert curve_of(job) == straight


@pytest.mark.long
def test_killed_server_and_worker_resume_at_the_next_start_with_the_same_curve(
    make: MakeJob, server: Serve, straight: dict[int, float]
) -> None:
    job = make(slow=0.3)
    first = server()
    wait_until(lambda: row_of(job).step >= 7)
    kill(first)
    os.kill(row_of(job).worker_pid, signal.SIGKILL)
    assert row_of(job).status == "running"  # as a power cut leaves it
    server()
    assert wait_for(job, "succeeded").attempts == 2
    assert curve_of(job) == straight
    assert kinds(job) == ["finished"]


@pytest.mark.long
@pytest.mark.usefixtures("short_patience")
@pytest.mark.parametrize("how", ["SIGSTOP", "a step that never ends"])
def test_a_hanging_worker_is_ended_and_the_job_goes_on(
    make: MakeJob, server: Serve, straight: dict[int, float], how: str
) -> None:
    job = make(**({"slow": 0.3} if how == "SIGSTOP" else {"slow": 0.05, "hang_at": 8}))
    server()
    wait_until(lambda: row_of(job).step >= 7)
    if how == "SIGSTOP":
        os.kill(row_of(job).worker_pid, signal.SIGSTOP)
    done = wait_for(job, "succeeded", seconds=120)
    assert done.attempts == 2
    assert kinds(job) == ["stalled", "finished"]
    assert any("hung: no step for" in message for message in events(job))
    assert curve_of(job) == straight


@pytest.mark.long
@pytest.mark.usefixtures("short_patience")
def test_a_training_that_always_hangs_fails_with_that_reason(make: MakeJob, server: Serve) -> None:
    job = make(hang_at=4, always=True)
    server()
    failed = wait_for(job, "failed", seconds=200)
    assert failed.error["code"] == "stalled"
    assert "no step for" in failed.error["message"]
    assert kinds(job) == ["stalled"] * jobs.MAX_ATTEMPTS + ["failed"]


@pytest.mark.long
def test_a_lost_loss_ends_the_job_with_advice_and_one_alert(make: MakeJob, server: Serve) -> None:
    job = make(nan_at=6)
    server()
    failed = wait_for(job, "failed")
    assert failed.error["code"] == "diverged"
    assert "learning rate" in failed.error["message"]
    assert kinds(job).count("failed") == 1
    assert max(curve_of(job)) == 5


@pytest.mark.long
def test_a_rerun_trains_the_same_to_the_last_digit(
    ada: User,
    make_job: MakeJob,  # noqa: F811
    straight: dict[int, float],
) -> None:
    earlier = make_job(ada, status="succeeded", runner="slow", hyperparameters=SETTINGS)
    again = fine_tuning.rerun(ada, earlier.id)
    fine_tuning.admit(again.id)
    with writing() as session:
        assert jobs.claim(session) == again.id
    assert slow_worker.start(again.id).wait(120) == 0
    assert curve_of(again) == straight


@pytest.mark.long
def test_two_workers_for_one_lease_are_one(make: MakeJob, straight: dict[int, float]) -> None:
    job = make(slow=0.1)
    with writing() as session:
        assert jobs.claim(session) == job.id
    workers = [slow_worker.start(job.id) for _ in range(2)]
    assert sorted(worker.wait(120) for worker in workers) == [0, 1]
    assert row_of(job).status == "succeeded"
    assert curve_of(job) == straight


@pytest.mark.long
def test_a_worker_that_was_taken_for_dead_writes_nothing_when_it_wakes(
    make: MakeJob, straight: dict[int, float]
) -> None:
    job = make(slow=0.1)
    with writing() as session:
        assert jobs.claim(session) == job.id
    sleeper = slow_worker.start(job.id)
    wait_until(lambda: row_of(job).step >= 8)
    sleeper.send_signal(signal.SIGSTOP)
    with writing() as session:
        jobs.requeue(session, job.id, token=row_of(job).lease_token)
        assert jobs.claim(session) == job.id
    second = slow_worker.start(job.id)
    wait_until(lambda: row_of(job).worker_pid == second.pid and row_of(job).step >= 12)
    sleeper.send_signal(signal.SIGCONT)
    assert sleeper.wait(60) == 0
    assert second.wait(120) == 0
    assert row_of(job).status == "succeeded"
    assert curve_of(job) == straight


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A supervisor in this process, which looks often and forks its workers."""
    monkeypatch.setitem(RUNNERS, "forked", slow_worker.ForkedRunner())
    monkeypatch.setattr(supervisor, "TICK_SECONDS", 0.1)
    watching = supervisor.Supervisor()
    watching.start()
    yield
    watching.stop()
    for row in leased():
        if row.worker_pid and psutil.pid_exists(row.worker_pid):
            os.kill(row.worker_pid, signal.SIGKILL)


@pytest.mark.long
@pytest.mark.parametrize("presses", [3, 10])
def test_trainings_paused_and_resumed_at_random_moments_end_and_so_does_the_job_behind_each(
    ada: User,
    bob: User,
    make_job: MakeJob,  # noqa: F811
    watch: None,
    presses: int,
) -> None:
    """From the claim to the end, with one place: the worker has not come yet,
    reads, trains, saves its checkpoint or the model."""
    short = {"n_epochs": 4, "batch_size": 4}  # 12 steps

    def make(user: User, **trouble: float) -> JobRow:
        return make_job(user, runner="forked", notes=json.dumps(trouble), hyperparameters=short)

    straight = make(ada)
    wait_for(straight, "succeeded")
    random.seed(seed := time.time_ns())
    while presses:
        job, behind = make(ada, slow=0.1), make(bob)
        wait_until(lambda job=job: row_of(job).status == "running")
        time.sleep(random.uniform(0, 1.8))  # the moment itself, not a wait for anything
        try:
            fine_tuning.pause(ada, job.id)
        except Conflict:  # it has ended meanwhile: that is one more training, and no press
            continue
        presses -= 1
        time.sleep(random.choice((0, 0, random.uniform(0, 1))))
        fine_tuning.resume(ada, job.id)
        for each in (job, behind):
            done = wait_for(each, "succeeded", seconds=120)
            assert (seed, done.lease_token, num_versions(each)) == (seed, None, 1)
        assert (seed, curve_of(job)) == (seed, curve_of(straight))


@pytest.fixture
def small_disk(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The data folder on a file system of 48 MiB, 16 of them in reserve."""
    if os.geteuid() != 0 or not shutil.which("mount") or sys.platform != "linux":
        pytest.skip("NOT TESTED: a full disk needs a small file system, and mounting one needs root on Linux")
    database = (data_dir / "luthier.db").read_bytes()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "luthier-test", str(data_dir)],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(
            f"NOT TESTED: a full disk needs a small file system, and this machine mounts none: "
            f"{made.stderr.strip()}"
        )
    (data_dir / "luthier.db").write_bytes(database)
    monkeypatch.setenv("LUTHIER_DISK_RESERVE_MB", "16")
    settings.cache_clear()
    yield data_dir
    engine().dispose()
    subprocess.run(["umount", "-l", str(data_dir)], check=True)


@pytest.mark.long
def test_a_disk_that_fills_pauses_the_job_before_it_breaks(
    small_disk: Path, ada: User, make: MakeJob, server: Serve, straight: dict[int, float]
) -> None:
    job = make(slow=0.3)
    server()
    wait_until(lambda: row_of(job).step >= 5)
    filler = fill(small_disk, leave=12 * MEBIBYTE)
    paused = wait_until(lambda: (row := row_of(job)).status == "paused" and row.lease_token is None and row)
    assert paused.error["code"] == "disk_full"
    assert "Free some space, then resume it" in paused.error["message"]
    assert kinds(job) == ["paused"]
    filler.unlink()
    fine_tuning.resume(ada, job.id)
    wait_for(job, "succeeded")
    assert curve_of(job) == straight
    assert kinds(job) == ["paused", "finished"]


@pytest.mark.long
def test_a_disk_without_a_single_byte_loses_nothing(
    small_disk: Path, ada: User, make: MakeJob, server: Serve, straight: dict[int, float]
) -> None:
    """Faster than anybody could look: even the database cannot be written.

    Once there is space the job ends as it should.
    """
    job = make(slow=0.3)
    server()
    wait_until(lambda: row_of(job).step >= 5)
    worker, filler = psutil.Process(row_of(job).worker_pid), fill(small_disk, leave=0)
    busy = worker.cpu_times().user
    wait_until(
        lambda: not worker.is_running() or worker.cpu_times().user > busy + 1
    )  # it works on, or gave up
    filler.unlink()
    ended = wait_until(
        lambda: (
            (row := row_of(job)).status in ("paused", "succeeded", "failed")
            and row.lease_token is None
            and row
        )
    )
    assert ended.status != "failed"
    if ended.status == "paused":
        assert ended.error["code"] == "disk_full"
        fine_tuning.resume(ada, job.id)
    wait_for(job, "succeeded")
    assert curve_of(job) == straight


def fill(folder: Path, *, leave: int) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while (free := shutil.disk_usage(folder).free - leave) > 0:
                file.write(b"\0" * min(free, MEBIBYTE))
        except OSError:
            assert leave == 0
    return filler


def row_of(job: JobRow) -> Any:
    with reading() as session:
        return session.get_one(JobRow, job.id)


def leased() -> list[JobRow]:
    with reading() as session:
        return list(jobs.leased(session))


def curve_of(job: JobRow) -> dict[int, float]:
    with reading() as session:
        found = (
            session.query(MetricPointRow)
            .filter_by(job_id=job.id, name="train_loss")
            .order_by(MetricPointRow.step)
        )
        return {point.step: point.value for point in found}


def kinds(job: JobRow) -> list[str]:
    with reading() as session:
        return [
            alert.kind for alert in session.query(AlertRow).filter_by(job_id=job.id).order_by(AlertRow.id)
        ]


def events(job: JobRow) -> list[str]:
    with reading() as session:
        return [
            event.message
            for event in session.query(JobEventRow).filter_by(job_id=job.id).order_by(JobEventRow.id)
        ]


def num_versions(job: JobRow) -> int:
    with reading() as session:
        return session.query(ModelVersionRow).filter_by(finetune_job_id=job.id).count()


def wait_for(job: JobRow, status: str, *, seconds: float = 90) -> Any:
    return wait_until(
        lambda: (row := row_of(job)).status == status and row, seconds=seconds, told=lambda: row_of(job).error
    )
