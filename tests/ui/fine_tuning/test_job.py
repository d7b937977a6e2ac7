"""The live monitor of a job."""

import pytest
from streamlit.testing.v1 import AppTest

from core import fine_tuning, jobs
from core.db import writing
from core.people.users import User
from core.tables import JobRow, MetricPointRow
from core.training import METHODS
from core.ui.fine_tuning.jobs import job_cards, job_charts, job_monitor
from tests.ui.conftest import Visit, text_of
from tests.ui.things import add_points, make_job, make_model

BUTTONS = {
    "validating": {"job_cancel"},
    "queued": {"job_pause", "job_cancel"},
    "running": {"job_pause", "job_cancel"},
    "paused": {"job_resume", "job_cancel"},
    "succeeded": set(),
    "failed": set(),
    "cancelled": set(),
}


def keys_of(app: AppTest) -> set[str]:
    return {button.key for button in app.button}


def test_running_job_shows_what_is_measured(ada: User, visit: Visit) -> None:
    job_id = make_job(ada)
    add_points(job_id)
    app = visit(ada, "job", id=job_id)
    assert not app.exception
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Training loss"] == "1.250"
    assert shown["Validation loss"] == "1.500"
    assert shown["Tokens per second"] == "1,800"
    assert shown["Time left"] == "1 min 30 s"
    assert app.get("progress")[0].value == 50
    assert "Step 50 / 100 · epoch 1.5 of 3" in app.get("progress")[0].proto.text
    # loss, learning rate; the others say that nothing is measured yet
    assert len(app.get("vega_lite_chart")) == 2
    assert [list(tags) for tags in app.dataframe[0].value["tags"]] == [["best", "latest"], []]


@pytest.mark.parametrize(("status", "offered"), BUTTONS.items())
def test_buttons_follow_the_state(ada: User, visit: Visit, status: str, offered: set[str]) -> None:
    app = visit(ada, "job", id=make_job(ada, status))
    assert not app.exception
    assert keys_of(app) & {"job_pause", "job_resume", "job_cancel"} == offered


@pytest.mark.parametrize(("lets_go", "goes_on"), [(True, "queued"), (False, "running")])
def test_pause_and_resume_are_one_press(ada: User, visit: Visit, lets_go: bool, goes_on: str) -> None:
    """A job whose worker has not let go yet is shown as what it is:
    it runs, and has no place in the queue."""
    job_id = make_job(ada)
    app = visit(ada, "job", id=job_id)
    app.button(key="job_pause").click().run()
    assert fine_tuning.get(ada, job_id).status == "paused"
    if lets_go:
        with writing() as session:
            jobs.release(session, job_id, token=str(session.get_one(JobRow, job_id).lease_token))
    app.button(key="job_resume").click().run()
    assert fine_tuning.get(ada, job_id).status == goes_on
    assert [item.id for item in fine_tuning.queue(ada).items] == ([job_id] if lets_go else [])
    assert ("starts next" in text_of(app)) == lets_go
    assert keys_of(app) & {"job_pause", "job_resume"} == {"job_pause"}


def test_cancel_asks_before_it_acts(ada: User, visit: Visit) -> None:
    job_id = make_job(ada)
    app = visit(ada, "job", id=job_id)
    app.button(key="job_cancel").click().run()
    assert fine_tuning.get(ada, job_id).status == "running"
    app.button(key="job_cancel_yes").click().run()
    assert fine_tuning.get(ada, job_id).status == "cancelled"
    assert "Nothing was added to the registry" in text_of(app)


def test_action_that_came_too_late_says_so(ada: User, visit: Visit) -> None:
    job_id = make_job(ada)
    app = visit(ada, "job", id=job_id)
    fine_tuning.cancel(ada, job_id)
    app.button(key="job_pause").click().run()
    assert not app.exception
    assert "cancelled" in text_of(app)


def test_success_leads_to_the_model(ada: User, visit: Visit) -> None:
    app = visit(ada, "job", id=make_job(ada, "succeeded", model_id=make_model(ada)))
    assert {"job_chat", "job_open_model", "job_call"} <= keys_of(app)
    assert "The model is ready" in text_of(app)


def test_failure_says_why_and_offers_another_try(ada: User, visit: Visit) -> None:
    error = {"code": "row_too_long", "message": "A row is longer than the model can read.", "line": 12}
    app = visit(ada, "job", id=make_job(ada, "failed", error=error, dataset_id=None))
    assert "A row is longer than the model can read. (line 12)" in text_of(app)
    assert "job_again" in keys_of(app)


def test_events_are_shown_with_their_warnings(ada: User, visit: Visit) -> None:
    job_id = make_job(ada)
    add_points(job_id)
    app = visit(ada, "job", id=job_id)
    app.session_state["job_tabs"] = "Events"
    app.run()
    assert "2 rows were cut to 256 tokens." in text_of(app)


def test_another_users_job_looks_missing(ada: User, bob: User, visit: Visit) -> None:
    job_id = make_job(ada)
    theirs, missing = visit(bob, "job", id=job_id), visit(bob, "job", id="ftj_aaaaaaaaaaaaaaaaaaaaaaaa")
    assert text_of(theirs) == text_of(missing)
    assert "support-bot" not in text_of(theirs)


def test_sparkline_keeps_the_last_value_and_few_points() -> None:
    points = [(step, float(step)) for step in range(1000)]
    thinned = job_cards.spark(points)
    assert len(thinned) <= job_cards.SPARK
    assert thinned[-1] == 999


def test_running_mean_starts_at_the_first_value_and_follows() -> None:
    assert [value for _, value in job_charts.smooth([(1, 4.0), (2, 4.0), (3, 4.0)])] == pytest.approx(
        [4.0, 4.0, 4.0]
    )
    assert job_charts.smooth([(step, 1.0 if step > 50 else 3.0) for step in range(1, 101)])[-1][
        1
    ] == pytest.approx(1.0, abs=0.01)


def test_change_compares_tenths_not_single_steps() -> None:
    noisy_fall = [10 - i * 0.1 + (0.3 if i % 2 else 0) for i in range(100)]
    assert (job_cards.change(noisy_fall) or 0) < 0
    assert job_cards.change([1.0]) is None


def test_rising_validation_loss_is_remarked() -> None:
    rising = [(10, 2.0), (20, 1.0), (30, 1.2)]
    assert "lowest at step 20 (1.000)" in (job_monitor.describe_overfitting(rising) or "")
    assert job_monitor.describe_overfitting([(10, 2.0), (20, 1.0), (30, 1.05)]) is None
    assert job_monitor.describe_overfitting(rising[:2]) is None


@pytest.mark.parametrize(
    ("step", "total", "end"),
    [(0, 279, 10), (8, 1263, 10), (60, 1263, 100), (400, 1263, 500), (900, 1263, 1000), (1000, 1263, 1263)],
)
def test_axis_grows_in_few_jumps_up_to_the_jobs_end(step: int, total: int, end: int) -> None:
    assert job_charts.axis_end(step, total) == end


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_reports_is_drawn(ada: User, visit: Visit, name: str) -> None:
    series = METHODS[name].series
    job_id = make_job(ada, method=name)
    add_points(job_id)
    with writing() as session:
        session.add_all(
            MetricPointRow(job_id=job_id, name=one.name, step=step, value=step / 10)
            for one in series
            for step in (1, 2, 3)
        )
    app = visit(ada, "job", id=job_id)
    assert not app.exception
    assert all(f"**{one.title}**" in text_of(app) for one in series)
    assert len(app.get("vega_lite_chart")) == 2 + len(series)  # beside the loss and the learning rate
