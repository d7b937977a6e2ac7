"""Evaluations of checkpoints and model versions: the numbers of the training, in a process that may die."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core import clock, datasets, fine_tuning, storage
from core.db import reading, writing
from core.errors import Conflict, NotFound
from core.fine_tuning import NewEvaluation
from core.fine_tuning.checkpoints import evaluator
from core.fine_tuning.checkpoints.evaluations import QUEUE, EvaluationQueue
from core.models.evaluations import CRASHED
from core.people.users import User
from core.tables import CheckpointRow, EvaluationRow, JobRow, ModelVersionRow
from core.training import checkpoints
from core.workers import worker
from tests.core.fine_tuning.test_checkpoint_use import half_way
from tests.core.workers.test_worker import claim, points, row_of
from tests.waiting import wait_until

MakeJob = Callable[..., JobRow]
PAIRS = [
    {
        "input": {"messages": [{"role": "user", "content": f"Say {n}"}]},
        "preferred_output": [{"role": "assistant", "content": f"It is {n}."}],
        "non_preferred_output": [{"role": "assistant", "content": "No."}],
    }
    for n in range(12)
]
EASY = [{"prompt": "a", "completion": "x"}, {"prompt": "b", "completion": "y"}]
__all__ = ["half_way"]


def asked() -> list[str]:
    """Evaluations that wait or run, the oldest first. Nobody looks after the queue here."""
    return [row.id for row in EvaluationQueue().list_open()]


def train(ada: User, make_job: MakeJob, **columns: Any) -> tuple[JobRow, int]:
    """A finished job, and the step of its last checkpoint."""
    job_id = make_job(ada, **columns).id
    assert claim() == job_id
    assert worker.main(job_id) == 0
    return row_of(job_id), checkpoints.steps(storage.job_dir(job_id))[-1]


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_the_numbers_are_those_of_the_training(
    ada: User, tiny_base: Path, make_job: MakeJob, tuning: str
) -> None:
    settings = {"n_epochs": 3, "batch_size": 4, "tuning": tuning, "evaluate_every": 3, "lora_dropout": 0.1}
    job, step = train(ada, make_job, validation_fraction=0.3, hyperparameters=settings)
    told = fine_tuning.evaluate_checkpoint(ada, job.id, step).metrics["evaluation"]
    assert (told["status"], told["ahead"], told["rows"]) == ("waiting", 0, "held out")
    assert evaluator.run(asked()[0])
    found = fine_tuning.get_checkpoint(ada, job.id, step).metrics["evaluation"]
    assert found["status"] == "ready"
    assert found["num_rows"] == found["num_answers"] == 4
    assert found["loss"] == pytest.approx(points(job.id, "valid_loss")[step], abs=1e-4)
    assert 0 <= found["accuracy"] <= 1
    assert found["exact_match"] == sum(one["is_right"] for one in found["answers"]) / 4


def test_a_model_that_knows_its_rows_by_heart_answers_them_exactly(
    ada: User, tiny_base: Path, make_job: MakeJob
) -> None:
    job, step = train(
        ada, make_job, rows=EASY, hyperparameters={"n_epochs": 50, "batch_size": 1, "learning_rate": 0.01}
    )
    fine_tuning.evaluate_checkpoint(
        ada, job.id, step, NewEvaluation(dataset_version_id=job.dataset_version_id)
    )
    assert evaluator.run(asked()[0])
    found = fine_tuning.get_checkpoint(ada, job.id, step).metrics["evaluation"]
    assert (found["rows"], found["num_rows"], found["dataset"]) == ("all", 2, "faq v1")
    assert found["exact_match"] == 1
    assert found["answers"][-1]["answer"] == found["answers"][-1]["expected"]


def test_preferences_are_compared_with_what_the_training_started_from(
    ada: User, tiny_base: Path, make_job: MakeJob, make_version: Callable[..., Any]
) -> None:
    settings = {"n_epochs": 3, "batch_size": 4, "evaluate_every": 3}
    job = make_job(ada, method="dpo", validation_fraction=0.3, hyperparameters=settings)
    version = make_version(ada, PAIRS, format="preference", name="pairs")
    with writing() as session:
        session.get_one(JobRow, job.id).dataset_version_id = version.id
    assert worker.main(claim()) == 0
    step = checkpoints.steps(storage.job_dir(job.id))[-1]
    fine_tuning.evaluate_checkpoint(ada, job.id, step)
    assert evaluator.run(asked()[0])
    found = fine_tuning.get_checkpoint(ada, job.id, step).metrics["evaluation"]
    assert found["status"] == "ready", found
    assert found["loss"] == pytest.approx(points(job.id, "valid_loss")[step], abs=1e-4)
    assert "reward_margin" in found
    assert "exact_match" not in found


def test_a_version_of_a_model_is_evaluated_the_same_way(
    ada: User, tiny_base: Path, make_job: MakeJob
) -> None:
    job, _ = train(ada, make_job, hyperparameters={"n_epochs": 2, "batch_size": 4})
    new = NewEvaluation(dataset_version_id=job.dataset_version_id)
    fine_tuning.evaluate_version(ada, str(job.model_id), 1, new)
    assert evaluator.run(asked()[0])
    with reading() as session:
        found = session.get_one(ModelVersionRow, job.model_version_id).metrics
    assert found["evaluation"]["status"] == "ready"
    assert found["steps"]  # what stood there before still does


def test_without_rows_for_validation_it_asks_which(ada: User, half_way: JobRow) -> None:
    with pytest.raises(Conflict, match="kept no rows for validation"):
        fine_tuning.evaluate_checkpoint(ada, half_way.id, 8)


def test_asking_twice_asks_once_and_the_fifth_waits_behind_four(ada: User, half_way: JobRow) -> None:
    new = NewEvaluation(dataset_version_id=half_way.dataset_version_id)
    with writing() as session:
        for step in (16, 20):
            session.add(CheckpointRow(id=f"ckpt_{step}", job_id=half_way.id, step=step))
            (storage.checkpoint_model_dir(half_way.id, step)).mkdir(parents=True)
    for ahead, step in enumerate((4, 8, 12, 16, 20)):
        for _ in range(2):
            told = fine_tuning.evaluate_checkpoint(ada, half_way.id, step, new).metrics["evaluation"]
            assert (told["status"], told["ahead"]) == ("waiting", ahead)
    assert len(asked()) == 5


def test_one_that_waits_for_long_is_no_failure(ada: User, half_way: JobRow) -> None:
    new = NewEvaluation(dataset_version_id=half_way.dataset_version_id)
    fine_tuning.evaluate_checkpoint(ada, half_way.id, 8, new)
    with writing() as session:
        session.query(EvaluationRow).one().created_at = clock.now() - timedelta(hours=5)
    assert fine_tuning.get_checkpoint(ada, half_way.id, 8).metrics["evaluation"]["status"] == "waiting"


def test_a_job_with_a_mapping_is_measured_through_it_on_its_own_rows_only(
    ada: User, make_job: Callable[..., JobRow], make_version: Callable[..., Any]
) -> None:
    """Its version may have a format of its own, which the mapping sets aside."""
    columns = {"prompt": "completion", "completion": "prompt"}
    job = make_job(ada, status="succeeded", columns=columns, validation_fraction=0.25)
    with writing() as session:
        session.add(CheckpointRow(id="ckpt_own", job_id=job.id, step=8))
    storage.checkpoint_model_dir(job.id, 8).mkdir(parents=True)
    fine_tuning.evaluate_checkpoint(ada, job.id, 8)
    other = make_version(ada, EASY, name="other")
    with reading() as session:
        assert session.query(EvaluationRow).one().asked["columns"] == columns
    with writing() as session:
        session.query(EvaluationRow).delete()
    fine_tuning.evaluate_checkpoint(ada, job.id, 8, NewEvaluation(dataset_version_id=other.id))
    with reading() as session:
        assert session.query(EvaluationRow).one().asked["columns"] is None


@pytest.mark.slow
def test_a_failed_one_may_be_asked_for_again(ada: User, half_way: JobRow) -> None:
    new = NewEvaluation(dataset_version_id=half_way.dataset_version_id)
    fine_tuning.evaluate_checkpoint(ada, half_way.id, 8, new)
    assert not evaluator.run(first := asked()[0])  # the files are no model
    fine_tuning.evaluate_checkpoint(ada, half_way.id, 8, new)
    assert len(asked()) == 1
    assert asked() != [first]


def test_rows_that_were_deleted_meanwhile_are_named(
    ada: User, half_way: JobRow, make_version: Callable[..., Any]
) -> None:
    other = make_version(ada, EASY, name="other")
    fine_tuning.evaluate_checkpoint(ada, half_way.id, 8, NewEvaluation(dataset_version_id=other.id))
    datasets.delete(ada, other.dataset_id)
    assert evaluator.run(asked()[0])
    found = fine_tuning.get_checkpoint(ada, half_way.id, 8).metrics["evaluation"]
    assert (found["status"], found["error"]) == (
        "failed",
        "The rows to measure on were deleted. Choose others.",
    )


@pytest.mark.slow  # torch
def test_what_cannot_be_loaded_fails_with_a_sentence(ada: User, half_way: JobRow) -> None:
    fine_tuning.evaluate_checkpoint(
        ada, half_way.id, 8, NewEvaluation(dataset_version_id=half_way.dataset_version_id)
    )
    assert not evaluator.run(asked()[0])
    assert fine_tuning.get_checkpoint(ada, half_way.id, 8).metrics["evaluation"]["error"] == CRASHED.message


@pytest.mark.long
@pytest.mark.usefixtures("as_servers_do")
def test_the_process_does_it_on_its_own(ada: User, tiny_base: Path, make_job: MakeJob) -> None:
    job, step = train(
        ada, make_job, validation_fraction=0.3, hyperparameters={"n_epochs": 1, "batch_size": 4}
    )
    fine_tuning.evaluate_checkpoint(ada, job.id, step)
    QUEUE.run()
    wait_until(
        lambda: fine_tuning.get_checkpoint(ada, job.id, step).metrics["evaluation"]["status"] == "ready"
    )


def test_others_rows_and_checkpoints_do_not_exist(
    ada: User, bob: User, half_way: JobRow, make_job: MakeJob
) -> None:
    with pytest.raises(NotFound):
        fine_tuning.evaluate_checkpoint(bob, half_way.id, 8)
    with reading() as session:
        assert session.query(EvaluationRow).all() == []


def test_another_users_rows_cannot_be_measured_on(
    ada: User, bob: User, half_way: JobRow, make_version: Callable[..., Any]
) -> None:
    theirs = make_version(bob)
    with pytest.raises(NotFound):
        fine_tuning.evaluate_checkpoint(ada, half_way.id, 8, NewEvaluation(dataset_version_id=theirs.id))
    assert asked() == []
