"""The process that trains one job: a model at the end, and a reason where there is none."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from core import jobs, storage
from core.config import ROOT
from core.db import reading, writing
from core.errors import DiskFull
from core.models import publishing
from core.people.users import User
from core.runners.subprocess import _environment
from core.tables import (
    CheckpointRow,
    JobEventRow,
    JobRow,
    MetricPointRow,
    ModelRow,
    ModelVersionRow,
    UsageRow,
)
from core.training import checkpoints
from core.training.loop import Loop
from core.workers import worker
from core.workers.recorder import Recorder
from tests.absence import Absence, absence
from tests.waiting import wait_until

__all__ = ["absence"]

MakeJob = Callable[..., JobRow]
pytestmark = pytest.mark.usefixtures("tiny_base")


@pytest.fixture(autouse=True)
def signals_are_put_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_job_trains_and_becomes_a_model(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada, validation_fraction=0.2)
    assert worker.main(claim()) == 0
    done = row_of(job.id)
    assert (done.status, done.progress, done.lease_token, done.error) == ("succeeded", 1.0, None, None)
    assert done.total_steps == done.step == 30
    losses = points(job.id, "train_loss")
    assert list(losses) == list(range(1, 31))
    assert losses[30] < losses[1]
    for name in ("valid_loss", "learning_rate", "grad_norm", "memory_bytes", "tokens_per_second"):
        assert points(job.id, name), name
    with reading() as session:
        version = session.query(ModelVersionRow).filter_by(finetune_job_id=job.id).one()
        model = session.get_one(ModelRow, version.model_id)
        assert (model.id, model.name, model.owner_id) == (done.model_id, "tuned", ada.id)
        assert version.settings["resolved"]["n_epochs"] == 10
        assert session.query(UsageRow).filter_by(kind="training").one().trained_tokens > 0
        assert [c.step for c in session.query(CheckpointRow)] == checkpoints.steps(storage.job_dir(job.id))
    assert (storage.model_dir(version.id) / "model.safetensors").exists()
    assert (storage.model_dir(version.id) / "chat_template.jinja").exists()
    assert "step 30 of 30" in log_of(job.id)


def test_lora_publishes_an_adapter_that_names_no_folder(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada, hyperparameters={"n_epochs": 2, "tuning": "lora", "lora_rank": 2})
    assert worker.main(claim()) == 0
    with reading() as session:
        version = session.query(ModelVersionRow).filter_by(finetune_job_id=job.id).one()
    assert (version.kind, version.base_version_id) == ("adapter", job.base_version_id)
    config = (storage.model_dir(version.id) / "adapter_config.json").read_text()
    assert '"base_model_name_or_path": null' in config


@pytest.mark.parametrize(
    ("module", "name"),
    [(jobs, "take"), (checkpoints, "prune"), (publishing, "read_facts"), (publishing, "_store")],
    ids=["at the start", "at a checkpoint", "before the model", "at its rows"],
)
def test_a_job_waits_for_a_database_that_is_away_and_goes_on(
    ada: User,
    make_job: MakeJob,
    absence: Absence,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
) -> None:
    make_job(ada, hyperparameters={"n_epochs": 4})
    job_id = claim()
    absence.after(monkeypatch, module, name, times=8)
    assert worker.main(job_id) == 0
    done = row_of(job_id)
    assert absence.left == 0
    assert (done.status, done.error, done.attempts, done.lease_token) == ("succeeded", None, 1, None)
    with reading() as session:
        version = session.query(ModelVersionRow).filter_by(finetune_job_id=job_id).one()
        assert [row.step for row in session.query(CheckpointRow)] == checkpoints.steps(
            storage.job_dir(job_id)
        )
    assert (storage.model_dir(version.id) / "model.safetensors").exists()


@pytest.mark.slow
@pytest.mark.long
def test_a_killed_worker_resumes_and_the_numbers_are_the_same_to_the_bit(
    ada: User, make_job: MakeJob
) -> None:
    settings = {"n_epochs": 8, "batch_size": 4}
    straight, broken = make_job(ada, hyperparameters=settings), make_job(ada, hyperparameters=settings)
    assert worker.main(claim()) == 0
    job_id = claim()
    assert job_id == broken.id
    process = start_worker(job_id, checkpoint_seconds=0.0, slow_steps=0.02)
    wait_until(lambda: row_of(job_id).step >= 7)
    process.kill()
    process.wait()
    assert row_of(job_id).status == "running"
    with writing() as session:
        assert jobs.requeue(session, job_id, token=row_of(job_id).lease_token)
    assert worker.main(claim()) == 0
    assert row_of(job_id).status == "succeeded"
    for name in ("train_loss", "grad_norm", "learning_rate"):
        assert points(straight.id, name) == points(broken.id, name)
    assert any("Resumed from the checkpoint of step" in message for message in events(job_id))
    assert weights_of(straight.id) == weights_of(broken.id)


@pytest.mark.slow
@pytest.mark.long
def test_a_stopping_server_gets_the_job_back_in_the_queue(ada: User, make_job: MakeJob) -> None:
    make_job(ada, hyperparameters={"n_epochs": 50})
    process = start_worker(job_id := claim(), slow_steps=0.05)
    wait_until(lambda: row_of(job_id).step >= 2)
    process.terminate()
    assert process.wait(10) == 0
    found = row_of(job_id)
    assert (found.status, found.lease_token, found.attempts) == ("queued", None, 0)
    assert checkpoints.steps(storage.job_dir(job_id)) == [found.step]


@pytest.mark.parametrize(
    ("action", "status", "keeps"), [("pause", "paused", True), ("cancel", "cancelled", False)]
)
def test_pause_and_cancel_stop_within_a_step(
    ada: User, make_job: MakeJob, during: Any, action: str, status: str, keeps: bool
) -> None:
    job = make_job(ada, hyperparameters={"n_epochs": 50})

    def act(step: int, recorder: Recorder) -> None:
        if step == 5:
            with writing() as session:
                assert getattr(jobs, action)(session, job.id)
            wait_until(recorder.wish)

    during(act)
    assert worker.main(claim()) == 0
    found = row_of(job.id)
    assert (found.status, found.lease_token, found.model_id) == (status, None, None)
    assert checkpoints.steps(storage.job_dir(job.id)) == ([5] if keeps else [])
    assert found.step <= 5


def test_a_pause_taken_back_before_the_training_asks_interrupts_nothing(
    ada: User, make_job: MakeJob, during: Any
) -> None:
    job = make_job(ada)

    def pause_and_resume(step: int, recorder: Recorder) -> None:
        if step == 5:
            steer(job.id, jobs.pause)
            wait_until(recorder.wish)
            steer(job.id, jobs.resume)
            wait_until(lambda: recorder.wish() is None)

    during(pause_and_resume)
    assert worker.main(claim()) == 0
    assert (row_of(job.id).status, row_of(job.id).attempts) == ("succeeded", 1)
    assert not any("Resumed from the checkpoint" in message for message in events(job.id))


def test_a_job_resumed_while_its_worker_saves_goes_on_from_that_checkpoint(
    ada: User, make_job: MakeJob, during: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(ada)
    save = Loop.save

    def pause(step: int, recorder: Recorder) -> None:
        if step == 5 and row_of(job.id).attempts == 1:
            steer(job.id, jobs.pause)
            wait_until(recorder.wish)
            monkeypatch.setattr(Loop, "save", resume_and_save)

    def resume_and_save(loop: Loop) -> None:
        monkeypatch.setattr(Loop, "save", save)
        steer(job.id, jobs.resume)
        save(loop)

    during(pause)
    assert worker.main(claim()) == 0
    assert_it_waits_and_goes_on(job.id, step=5)


def test_a_job_paused_and_resumed_while_its_model_is_saved_makes_one_model(
    ada: User, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause keeps the model back; the worker then lets go of a job that runs again."""
    job = make_job(ada)
    publication, let_go = worker._publication, worker._let_go

    def pause(*args: Any) -> Any:
        steer(job.id, jobs.pause)
        return publication(*args)

    def resume(*args: Any, **more: Any) -> int:
        steer(job.id, jobs.resume)
        return let_go(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(worker, "_publication", pause)
        patch.setattr(worker, "_let_go", resume)
        assert worker.main(claim()) == 0
    assert_it_waits_and_goes_on(job.id, step=30)


def assert_it_waits_and_goes_on(job_id: str, *, step: int) -> None:
    """``step`` of the checkpoint."""
    found = row_of(job_id)
    assert (found.status, found.lease_token, found.attempts) == ("queued", None, 0)
    assert worker.RESUMED_WHILE_ENDING in events(job_id)
    assert worker.main(claim()) == 0
    assert row_of(job_id).status == "succeeded"
    assert any(f"Resumed from the checkpoint of step {step}" in message for message in events(job_id))
    with reading() as session:
        assert session.query(ModelVersionRow).filter_by(finetune_job_id=job_id).count() == 1


def test_a_job_cancelled_while_its_model_is_saved_leaves_no_model(
    ada: User, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(ada, hyperparameters={"n_epochs": 1})
    publication = worker._publication

    def cancel_first(*args: Any) -> Any:
        with writing() as session:
            jobs.cancel(session, job.id)
        return publication(*args)

    monkeypatch.setattr(worker, "_publication", cancel_first)
    assert worker.main(claim()) == 0
    assert row_of(job.id).status == "cancelled"
    with reading() as session:
        assert session.query(ModelVersionRow).filter_by(finetune_job_id=job.id).count() == 0
    assert not list(storage.model_dir("mdv_aaaaaaaa").parent.glob("mdv_*"))


def test_a_lost_loss_fails_the_job_with_advice(
    ada: User, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(ada)
    whole = Loop.backward
    monkeypatch.setattr(
        Loop, "backward", lambda self, rows: whole(self, rows) if self.state.step < 4 else (float("nan"), {})
    )
    assert worker.main(claim()) == 1
    found = row_of(job.id)
    assert (found.status, found.error and found.error["code"]) == ("failed", "diverged")
    assert "since step 5" in found.error["message"]
    assert "learning rate" in found.error["message"]


def test_a_wrong_row_fails_the_job_with_its_line(ada: User, make_job: MakeJob) -> None:
    rows = [{"prompt": "a", "completion": "b"}] * 3 + [{"prompt": "", "completion": "b"}]
    job = make_job(ada, rows=rows)
    assert worker.main(claim()) == 1
    assert row_of(job.id).error["line"] == 4
    assert "Line 4" in row_of(job.id).error["message"]


def test_a_full_disk_pauses_the_job_and_leaves_nothing_half_written(
    ada: User, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(ada)

    def no_space(needed_bytes: int = 0) -> None:
        raise DiskFull

    monkeypatch.setattr(storage, "require_space", no_space)
    assert worker.main(claim()) == 1
    found = row_of(job.id)
    assert found.status == "paused"
    assert "disk is full" in found.error["message"]
    assert checkpoints.steps(storage.job_dir(job.id)) == []
    monkeypatch.undo()


def test_an_unexpected_error_shows_no_traceback(
    ada: User, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(ada)
    monkeypatch.setattr(Loop, "backward", lambda *_: 1 / 0)
    assert worker.main(claim()) == 1
    found = row_of(job.id)
    assert found.error["code"] == "internal_error"
    assert "ZeroDivision" not in found.error["message"] + log_of(job.id)


def test_three_rows_train_with_a_warning(ada: User, make_job: MakeJob, data_dir: Path) -> None:
    job = make_job(
        ada,
        rows=[{"prompt": f"{n}?", "completion": "yes"} for n in range(3)],
        hyperparameters={"n_epochs": 2},
    )
    assert worker.main(claim()) == 0
    assert any("rows are very few" in message for message in events(job.id))


def claim() -> str:
    with writing() as session:
        job_id = jobs.claim(session)
    assert job_id
    return job_id


def steer(job_id: str, change: Callable[[Session, str], bool]) -> None:
    with writing() as session:
        assert change(session, job_id)


def row_of(job_id: str) -> Any:
    with reading() as session:
        return session.get_one(JobRow, job_id)


def points(job_id: str, name: str) -> dict[int, float]:
    with reading() as session:
        found = (
            session.query(MetricPointRow).filter_by(job_id=job_id, name=name).order_by(MetricPointRow.step)
        )
        return {point.step: point.value for point in found}


def log_of(job_id: str) -> str:
    return (storage.job_dir(job_id) / "log.txt").read_text()


def events(job_id: str) -> list[str]:
    with reading() as session:
        return [
            event.message
            for event in session.query(JobEventRow).filter_by(job_id=job_id).order_by(JobEventRow.id)
        ]


def weights_of(job_id: str) -> bytes:
    with reading() as session:
        version = session.query(ModelVersionRow).filter_by(finetune_job_id=job_id).one()
    return (storage.model_dir(version.id) / "model.safetensors").read_bytes()


def start_worker(
    job_id: str, *, checkpoint_seconds: float = 15.0, slow_steps: float = 0.0
) -> subprocess.Popen[bytes]:
    """The worker as a real process, with steps slow enough to be met in the middle."""
    script = (
        "import sys, time\n"
        "from core.workers import worker\n"
        "from core.training.loop import Loop\n"
        "step = Loop.take_step\n"
        f"Loop.take_step = lambda self: (time.sleep({slow_steps}), step(self))[1]\n"
        f"Loop._saving_is_cheap = lambda self: {checkpoint_seconds} == 0\n"
        "init = Loop.__init__\n"
        f"Loop.__init__ = lambda self, **k: init(self, **k | {{'checkpoint_seconds': "
        f"{checkpoint_seconds}}})\n"
        "sys.exit(worker.main(sys.argv[1]))\n"
    )
    return subprocess.Popen([sys.executable, "-c", script, job_id], cwd=ROOT, env=_environment(1))


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int, Recorder], None]], None]:
    """``during(act)``: ``act(step, recorder)`` is called after each step."""
    report = Recorder.step

    def install(act: Callable[[int, Recorder], None]) -> None:
        def step(self: Recorder, facts: Any) -> None:
            report(self, facts)
            act(facts.step, self)

        monkeypatch.setattr(Recorder, "step", step)

    return install
