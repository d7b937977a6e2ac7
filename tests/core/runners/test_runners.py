"""Where workers run: processes of this machine, alone or as a group that shares the steps."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import psutil
import pytest

from core import jobs, storage
from core.db import reading, writing
from core.people.users import User
from core.runners import RUNNERS, Worker
from core.runners.base import WORKER_NAMES, worker_command
from core.runners.subprocess import _processes_of
from core.tables import JobEventRow, JobRow
from core.training import checkpoints
from core.workers.supervisor import Supervisor
from tests.waiting import wait_until

MakeJob = Callable[..., JobRow]
LONG = [{"prompt": "x" * 60, "completion": "y" * 200}] * 200


def test_one_process_is_the_worker_itself_and_more_are_torchruns() -> None:
    assert worker_command("ftj_1", 1)[1:] == ["-m", "core.workers.worker", "ftj_1"]
    words = worker_command("ftj_1", 3)
    assert words[1:3] == ["-m", "torch.distributed.run"]
    assert words[words.index("--nproc-per-node") + 1] == "3"
    assert words[-3:] == ["-m", "core.workers.worker", "ftj_1"]


@pytest.mark.parametrize("name", WORKER_NAMES)
def test_a_worker_is_found_also_by_the_name_it_had_in_earlier_releases(name: str) -> None:
    assert find_spec(name)
    command = [sys.executable, "-c", "import time; time.sleep(60)", "-m", name, "ftj_earlier"]
    with subprocess.Popen(command) as worker:
        wait_until(lambda: [process.pid for process in _processes_of("ftj_earlier")] == [worker.pid])
        worker.kill()


@pytest.mark.parametrize("name", RUNNERS)
def test_a_runner_has_a_title_and_says_whether_it_can_be_used(name: str) -> None:
    assert RUNNERS[name].title
    assert RUNNERS[name].problem() is None or name != "subprocess"


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("tiny_base")
def test_two_processes_train_one_job_to_its_model(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada, num_processes=2, hyperparameters={"n_epochs": 4, "batch_size": 3})
    with supervised():
        wait_until(lambda: row_of(job.id).status not in ("queued", "running"))
    row = row_of(job.id)
    assert (row.status, row.error) == ("succeeded", None)
    assert row.resolved["num_processes"] == 2
    assert row.step == row.total_steps == 8  # 12 rows in batches of 3 on each of two devices, four times
    wait_until(lambda: members(job.id) == [])


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("tiny_base")
def test_a_cancel_stops_all_processes_within_a_step(ada: User, make_job: MakeJob) -> None:
    job = make_long(make_job, ada)
    with supervised():
        wait_until(lambda: row_of(job.id).step >= 3)
        assert len(members(job.id)) == 3, "torchrun and two workers"
        assert row_of(job.id).worker_pid in [p.pid for p in members(job.id)]
        with writing() as session:
            assert jobs.cancel(session, job.id)
        began = row_of(job.id).step
        wait_until(lambda: row_of(job.id).lease_token is None)
        wait_until(lambda: members(job.id) == [])
    assert row_of(job.id).status == "cancelled"
    assert row_of(job.id).step <= began + 1, "nothing is written any more once the job is cancelled"


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("tiny_base")
@pytest.mark.parametrize(
    "whom",
    ["other worker", "first worker", "launcher"],
)
def test_a_group_that_loses_a_process_goes_on_from_its_checkpoint(
    ada: User, make_job: MakeJob, whom: str
) -> None:
    job = make_long(make_job, ada)
    with supervised():
        wait_until(lambda: row_of(job.id).step >= 3)
        before = members(job.id)
        os.kill(member(job.id, whom).pid, signal.SIGKILL)
        wait_until(lambda: row_of(job.id).attempts == 2 and row_of(job.id).worker_pid is not None)
        assert not any(p.is_running() for p in before), "nothing of the first group is left"
        step = row_of(job.id).step
        wait_until(lambda: row_of(job.id).step > step)
    assert "goes on from its last checkpoint" in " ".join(told(job.id))
    assert row_of(job.id).status == "queued", "a stopped supervisor asks the group to save"
    assert checkpoints.steps(storage.job_dir(job.id))[-1] == row_of(job.id).step
    wait_until(lambda: members(job.id) == [])


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("tiny_base")
def test_killing_the_first_worker_ends_the_group(ada: User, make_job: MakeJob) -> None:
    job = make_long(make_job, ada)
    with supervised() as watch:
        wait_until(lambda: row_of(job.id).step >= 1)
        row, before = row_of(job.id), members(job.id)
        with writing() as session:
            jobs.cancel(session, job.id)
        RUNNERS["subprocess"].kill(Worker(row.worker_pid, row.worker_started))
        assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in before)
        wait_until(lambda: row_of(job.id).lease_token is None)
    assert watch


def make_long(make_job: MakeJob, user: User) -> JobRow:
    return make_job(user, num_processes=2, rows=LONG, hyperparameters={"n_epochs": 50, "batch_size": 1})


@contextmanager
def supervised() -> Iterator[Supervisor]:
    watch = Supervisor()
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def members(job_id: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.cmdline()[-2:] == ["core.workers.worker", job_id]
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found


def member(job_id: str, whom: str) -> psutil.Process:
    first = row_of(job_id).worker_pid
    launcher = next(p for p in members(job_id) if "torch.distributed.run" in p.cmdline())
    other = next(p for p in members(job_id) if p.pid not in (first, launcher.pid))
    return {"first worker": psutil.Process(first), "other worker": other, "launcher": launcher}[whom]


def row_of(job_id: str) -> JobRow:
    with reading() as session:
        return session.get_one(JobRow, job_id)


def told(job_id: str) -> list[str]:
    with reading() as session:
        return [event.message for event in session.query(JobEventRow).filter_by(job_id=job_id)]
