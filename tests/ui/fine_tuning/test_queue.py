"""The queue on the page of fine-tunings and on a waiting job's page; running a job again; deleting it."""

from typing import Any

from core import fine_tuning
from core.db import writing
from core.people.users import User
from core.tables import ModelVersionRow
from core.ui.fine_tuning.jobs import job_queue
from tests.ui.conftest import Visit, text_of
from tests.ui.things import make_dataset, make_job, make_model

WAITS = {
    "step": 0,
    "progress": 0.0,
    "started_at": None,
    "train_loss": None,
    "valid_loss": None,
    "eta_seconds": None,
}


def order(user: User) -> list[str]:
    return [item.name for item in fine_tuning.queue(user).items]


def wait(user: User, name: str, **fields: Any) -> str:
    return make_job(user, "queued", name=name, **(WAITS | fields))


def test_without_waiting_jobs_there_is_no_queue(ada: User, visit: Visit) -> None:
    make_job(ada)
    assert "Queue" not in text_of(visit(ada, "fine_tuning"))


def test_waiting_jobs_stand_in_their_order_with_their_start(ada: User, bob: User, visit: Visit) -> None:
    make_job(ada, name="runs", eta_seconds=240.0)
    wait(bob, "secret")
    wait(ada, "mine")
    app = visit(ada, "fine_tuning")
    assert not app.exception
    text = text_of(app)
    assert "1 of 1 place taken · 1 job of others waits" in text
    assert "secret" not in text
    assert "start not known yet" in text or "starts in about" in text


def test_buttons_move_a_job_and_the_ends_cannot_be_passed(ada: User, visit: Visit) -> None:
    first, second = wait(ada, "first"), wait(ada, "second")
    app = visit(ada, "fine_tuning")
    assert app.button(key=f"queue_up_{first}").disabled
    assert app.button(key=f"queue_down_{second}").disabled
    app.button(key=f"queue_up_{second}").click().run()
    assert not app.exception
    assert order(ada) == ["second", "first"]


def test_priority_is_chosen_beside_the_job_and_follows_what_happens_elsewhere(
    ada: User, visit: Visit
) -> None:
    wait(ada, "first")
    second = wait(ada, "second")
    app = visit(ada, "fine_tuning")
    app.menu_button(key=f"queue_priority_{second}").set_value(1).run()
    assert not app.exception
    assert order(ada) == ["second", "first"]
    fine_tuning.set_priority(ada, second, -1)
    app.run()
    assert app.menu_button(key=f"queue_priority_{second}").label == "Low"
    assert order(ada) == ["first", "second"]


def test_a_job_that_started_meanwhile_says_so(ada: User, visit: Visit) -> None:
    wait(ada, "first")
    second = wait(ada, "second")
    app = visit(ada, "fine_tuning")
    fine_tuning.cancel(ada, second)
    app.button(key=f"queue_up_{second}").click().run()
    assert not app.exception
    assert "has no place in the queue" in text_of(app)


def test_a_waiting_job_says_its_place(ada: User, visit: Visit) -> None:
    wait(ada, "first")
    second = wait(ada, "second")
    assert "Place 2 in the queue" in text_of(visit(ada, "job", id=second))


def test_a_job_is_run_again_with_one_press(ada: User, visit: Visit) -> None:
    data, base = make_dataset(ada, [{"prompt": "a", "completion": "b"}] * 4), make_model(None, "tiny-base")
    with writing() as session:
        version = session.query(ModelVersionRow).filter_by(model_id=base).one().id
    sources = {
        "base_model_id": base,
        "base_version_id": version,
        "dataset_id": data.dataset_id,
        "dataset_version_id": data.id,
    }
    job_id = make_job(ada, "succeeded", valid_loss=None, **sources)
    app = visit(ada, "job", id=job_id)
    app.button(key="job_rerun").click().run()
    assert not app.exception
    again = next(job for job in fine_tuning.list_jobs(ada).items if job.id != job_id)
    assert (again.copied_from, app.query_params["id"]) == (job_id, again.id)


def test_running_again_what_is_gone_says_so(ada: User, visit: Visit) -> None:
    app = visit(ada, "job", id=make_job(ada, "failed", error={"code": "x", "message": "y"}))
    app.button(key="job_rerun").click().run()
    assert not app.exception
    assert "The base model of this job is gone" in text_of(app)


def test_a_job_is_deleted_after_a_question_and_the_list_says_so(ada: User, visit: Visit) -> None:
    job_id = make_job(ada, "cancelled")
    app = visit(ada, "job", id=job_id)
    app.button(key="job_delete").click().run()
    assert fine_tuning.list_jobs(ada).total == 1
    app.button(key="job_delete_yes").click().run()
    assert not app.exception
    assert fine_tuning.list_jobs(ada).total == 0
    assert "support-bot is deleted" in text_of(app)


def test_starts_are_told_in_words() -> None:
    def queued(seconds: float | None) -> Any:
        fields: tuple[Any, ...] = ("ftj_x", "x", 0, 1, None, 1, 0, seconds, None, None)
        return fine_tuning.QueuedJob(*fields)

    assert job_queue.describe_start(queued(None)) == "start not known yet"
    assert job_queue.describe_start(queued(3)) == "starts next"
    assert job_queue.describe_start(queued(250)) == "starts in about 4 min"
