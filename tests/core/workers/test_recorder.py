"""What a training reports reaches rows and files, once, also when it goes on after a break."""

import logging
import math
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from sqlalchemy import select

from core import jobs, storage
from core.db import reading, writing
from core.jobs.row_files import path_of
from core.people.users import User
from core.tables import AlertRow, JobRow, MetricPointRow, SampleRow
from core.training import Settings
from core.training.hyperparameters import Hyperparameters, resolve
from core.training.method import AnswerSample, RowLosses, Step, Wish
from core.workers.recorder import Recorder

MakeJob = Callable[..., JobRow]
TOKEN = "the-lease"


@pytest.fixture
def job(ada: User, make_job: MakeJob) -> JobRow:
    return make_job(ada, status="running", lease_token=TOKEN)


def recorder_of(job: JobRow) -> Recorder:
    return Recorder(job.id, token=TOKEN, log=logging.getLogger("test"), user_id=job.user_id)


def settings() -> Settings:
    return resolve(
        Hyperparameters(), num_examples=10, num_parameters=1000, context_length=64, method="supervised"
    )


def a_step(step: int, **facts: object) -> Step:
    values = {
        "train_loss": 2.0,
        "learning_rate": 0.1,
        "grad_norm": 1.0,
        "tokens": 10 * step,
        "eta_seconds": 3.0,
    }
    return Step(step=step, epoch=0.1, **(values | facts))  # type: ignore[arg-type]


def row_of(job: JobRow) -> JobRow:
    with reading() as session:
        return session.get_one(JobRow, job.id)


def points_of(job: JobRow, name: str) -> dict[int, float]:
    with reading() as session:
        rows = select(MetricPointRow).where(MetricPointRow.job_id == job.id, MetricPointRow.name == name)
        return {row.step: row.value for row in session.scalars(rows)}


@pytest.mark.slow  # tensorboardX imports torch
def test_steps_become_series_with_those_of_the_method(job: JobRow) -> None:
    recorder = recorder_of(job)
    recorder.planned(settings(), total_steps=10, start_step=0)
    recorder.step(a_step(1, extra={"reward_margin": 0.5, "odd": math.nan}))
    recorder.step(a_step(2, train_loss=math.inf))
    recorder.flush()
    assert points_of(job, "reward_margin") == {1: 0.5}
    assert points_of(job, "odd") == {}
    assert points_of(job, "train_loss") == {1: 2.0}
    assert points_of(job, "trained_tokens") == {2: 20}
    assert row_of(job).stepped_at is not None


def test_a_pause_that_is_taken_back_is_no_wish_and_a_server_that_stops_is_one(job: JobRow) -> None:
    recorder = recorder_of(job)
    wishes = [recorder.wish()]
    for change in (jobs.pause, jobs.resume, jobs.pause, jobs.resume):
        with writing() as session:
            assert change(session, job.id)
        recorder.flush()
        wishes.append(recorder.wish())
        if len(wishes) == 3:
            recorder.ask_to_stop()
    assert wishes == [None, Wish.PAUSE, None, Wish.PAUSE, Wish.STOP]


def test_best_loss_is_the_lowest_also_after_a_break(job: JobRow) -> None:
    for step, loss in ((1, 3.0), (2, 1.5)):
        first = recorder_of(job)
        first.validated(step, loss, {"valid_accuracy": 0.5})
        first.flush()
    second = recorder_of(job)
    second.validated(3, 2.0, {})
    second.flush()
    row = row_of(job)
    assert (row.best_loss, row.best_step, row.valid_loss) == (1.5, 2, 2.0)
    assert points_of(job, "valid_accuracy") == {1: 0.5, 2: 0.5}


def test_samples_of_a_step_are_replaced_when_it_is_trained_again(job: JobRow) -> None:
    for answer in ("old", "new"):
        recorder = recorder_of(job)
        fixed = [AnswerSample("fixed", "Hi?", answer), AnswerSample("fixed", "Who?", answer)]
        recorder.sampled(
            5, [*fixed, AnswerSample("worst", "Why?", answer, expected="So.", line=3, loss=math.nan)]
        )
        recorder.flush()
    with reading() as session:
        found = session.scalars(select(SampleRow).order_by(SampleRow.kind, SampleRow.position)).all()
    assert [(s.kind, s.position, s.answer, s.loss) for s in found] == [
        ("fixed", 0, "new", None),
        ("fixed", 1, "new", None),
        ("worst", 0, "new", None),
    ]


def test_alert_is_written_once_for_the_owner(job: JobRow) -> None:
    recorder = recorder_of(job)
    recorder.alert("nan", "Step 3 gave no finite loss.")
    recorder.flush()
    recorder.flush()
    with reading() as session:
        found = session.scalars(select(AlertRow)).all()
    assert [(a.user_id, a.job_id, a.kind, a.delivery) for a in found] == [
        (job.user_id, job.id, "nan", "none")
    ]


def test_losses_by_row_are_one_whole_file(job: JobRow) -> None:
    recorder = recorder_of(job)
    for step in (4, 8):
        lines, losses = np.arange(1, 4), np.array([0.5, np.nan, 2.0 + step], np.float32)
        recorder.rows(RowLosses("train", lines, losses, losses, np.array([3, 4, 5]), step))
    table = parquet.read_table(path_of(job.id, "train"))
    assert table.column_names == ["line", "loss", "first", "tokens", "step"]
    assert table["step"].to_pylist() == [8, 8, 8]
    assert table["loss"].to_pylist()[2] == 10.0
    assert [p.name for p in storage.job_dir(job.id).iterdir() if "rows" in p.name] == ["rows-train.parquet"]


def test_machine_is_described_and_load_is_measured(job: JobRow) -> None:
    with recorder_of(job) as recorder:
        recorder.step(a_step(1))
        recorder.step(a_step(2))
        recorder.flush()
    row = row_of(job)
    assert row.hardware["cores"] >= 1
    assert row.hardware["memory_bytes"] > 2**20
    assert isinstance(row.hardware["gpus"], list)
    assert row.memory_bytes
    assert 0 <= points_of(job, "cpu_utilisation")[2] <= 1


@pytest.mark.slow
def test_tensorboard_shows_no_step_twice_after_a_resume(job: JobRow) -> None:
    for start, steps in ((0, (1, 2, 3)), (2, (3, 4))):
        recorder = recorder_of(job)
        with recorder:
            recorder.planned(settings(), total_steps=4, start_step=start)
            for step in steps:
                recorder.step(a_step(step, train_loss=float(start + step)))
    files = sorted((storage.job_dir(job.id) / "tensorboard").iterdir())  # by name, as TensorBoard does
    assert len(files) == 2
    assert as_tensorboard_reads(files, "loss/train") == {1: 1.0, 2: 2.0, 3: 5.0, 4: 6.0}


def test_a_lost_lease_writes_nothing(job: JobRow) -> None:
    recorder = Recorder(job.id, token="another", log=logging.getLogger("test"), user_id=job.user_id)
    recorder.step(a_step(1))
    recorder.alert("nan", "no")
    with pytest.raises(jobs.Lost):
        recorder.flush()
    assert points_of(job, "train_loss") == {}
    with reading() as session:
        assert not session.scalars(select(AlertRow)).all()


def as_tensorboard_reads(files: list[Path], tag: str) -> dict[int, float]:
    """Records of (length, checksum, event, checksum);
    a START note voids what earlier files say from its step on."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    found: list[tuple[int, float]] = []
    for file in files:
        data, at = file.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            if event.HasField("session_log") and event.session_log.status == SessionLog.START:
                found = [(step, value) for step, value in found if step < event.step]
            found += [(event.step, value.simple_value) for value in event.summary.value if value.tag == tag]
    assert len(found) == len(dict(found))
    return dict(found)
